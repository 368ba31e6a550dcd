//! Two versions of the service: whether they can run side by side.

use super::Checker;
use crate::target::error::Problem;

impl Checker<'_> {
    /// What `[service.next]` asks of the rest of `[service]`.
    pub(super) fn versions(&self, problems: &mut Vec<Problem>) {
        let service = &self.file.service;
        let Some(next) = &service.next else {
            return;
        };
        if let Some(replicas) = &service.replicas
            && *replicas.get_ref() < 2
        {
            problems.push(
                Problem::new(
                    replicas.span(),
                    "two versions of the service need two replicas, and this is one",
                )
                .help("write replicas = 2, or leave it out: every second replica is of `[service.next]`"),
            );
        }
        if let Some(url) = service.urls.first() {
            problems.push(
                Problem::new(
                    url.span(),
                    "`[service.next]` is for a service that deadheat starts",
                )
                .help("leave `[service.next]` out: `urls` may name replicas of any version"),
            );
        }
        if let Some(port) = &service.port {
            problems.push(
                Problem::new(port.span(), "two versions cannot share one port")
                    .help("leave `port` out, and let the service listen on the variable `PORT`"),
            );
        }
        for template in next.env.values() {
            let known = ["database", "port", "replica", "stubs"];
            self.template(template.get_ref(), template.span(), &known, problems);
        }
    }
}
