//! The service under test: build it, start its replicas, know them ready, see
//! them die, stop them. Knows no requests but the one that asks for readiness
//! and the one that the target file wants after a restore.

mod error;

use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use url::Url;

use crate::guard::Guard;
use crate::process::Process;
use crate::target::error::TargetError;
use crate::target::{Target, request_line};

pub use error::ServiceError;

/// How often a service that is starting is asked whether it is ready.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// How long one question for readiness may take; a service that is starting may
/// accept a connection long before it answers on it.
const ASK_WITHIN: Duration = Duration::from_secs(2);

/// How long a replica that takes no connection may take to be seen dead; one that
/// lives on without listening costs this once, for the next round ends the run.
const ENDS_WITHIN: Duration = Duration::from_secs(2);

/// How long a process that ends may take to close its sockets.
const CLOSES_WITHIN: Duration = Duration::from_millis(20);

/// The replicas of a service.
#[derive(Debug)]
pub struct Service {
    urls: Vec<Url>,
    /// Empty for a service that deadheat did not start.
    processes: Vec<Process>,
    start: Start,
    http: reqwest::Client,
}

/// What every start of the service needs.
#[derive(Clone, Debug)]
pub struct Start {
    /// What templates see as `database` (`url`, `engine`) and `stubs`.
    pub context: Value,
    /// The database's URL for each replica; empty where it is the same for all.
    pub databases: Vec<String>,
    /// Variables that the command line overrides.
    pub env: Vec<(String, String)>,
    /// Ends the service should deadheat be killed.
    pub guard: Guard,
}

/// Runs the target's build command, if it has one, and that of its next version.
pub async fn build(target: &Target, guard: &Guard) -> Result<(), ServiceError> {
    let section = &target.file.service;
    let next = section.next.as_ref().and_then(|next| next.build.as_ref());
    for command in section.build.iter().chain(next) {
        Process::run(command, &target.folder, &[], guard)
            .await
            .map_err(ServiceError::Build)?;
    }
    Ok(())
}

impl Service {
    /// Starts every replica and waits until all are ready; of a service that
    /// already runs, sees that it answers.
    pub async fn start(target: &Target, start: Start) -> Result<Service, ServiceError> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(ASK_WITHIN)
            .build()
            .map_err(ServiceError::Client)?;
        let mut service = Service {
            urls: Vec::new(),
            processes: Vec::new(),
            start,
            http,
        };
        service.run(target).await?;
        Ok(service)
    }

    async fn run(&mut self, target: &Target) -> Result<(), ServiceError> {
        let section = &target.file.service;
        if section.start.is_some() {
            for replica in 0..target.replicas() {
                let port = match &section.port {
                    Some(port) => fixed_port(*port.get_ref())?,
                    None => free_port()?,
                };
                let process = self.spawn(target, port, replica)?;
                self.processes.push(process);
                let url = format!("http://127.0.0.1:{port}");
                self.urls.push(Url::parse(&url).map_err(ServiceError::Url)?);
            }
        } else {
            for url in &section.urls {
                self.urls
                    .push(Url::parse(url.get_ref()).map_err(ServiceError::Url)?);
            }
        }
        for replica in 0..self.urls.len() {
            self.ready(target, replica).await?;
        }
        Ok(())
    }

    fn spawn(&self, target: &Target, port: u16, replica: usize) -> Result<Process, ServiceError> {
        let command = target.start(replica).unwrap_or_default();
        let env = self.env(target, port, replica)?;
        Process::spawn(command, &target.folder, &env, &self.start.guard)
            .map_err(ServiceError::Start)
    }

    fn env(
        &self,
        target: &Target,
        port: u16,
        replica: usize,
    ) -> Result<Vec<(String, String)>, TargetError> {
        let mut context = self.start.context.clone();
        context["port"] = json!(port);
        context["replica"] = json!(replica);
        if let Some(own) = self.start.databases.get(replica) {
            context["database"]["url"] = json!(own);
        }
        let url = context["database"]["url"].as_str().unwrap_or_default();
        let mut env = vec![
            ("DATABASE_URL".to_owned(), url.to_owned()),
            ("PORT".to_owned(), port.to_string()),
        ];
        env.extend(target.service_env(replica, &context, &self.start.env)?);
        Ok(env)
    }

    /// Waits until a replica is ready.
    pub async fn ready(&mut self, target: &Target, replica: usize) -> Result<(), ServiceError> {
        let section = &target.file.service;
        let begun = Instant::now();
        loop {
            let refused = match self.ask(section.ready.as_deref(), replica).await {
                Ok(()) => return Ok(()),
                Err(why) => why,
            };
            let Some(process) = self.processes.get_mut(replica) else {
                return Err(ServiceError::NotThere {
                    url: self.urls[replica].clone(),
                    why: refused,
                });
            };
            if let Some(status) = process.ended() {
                return Err(ServiceError::EndedAtStart {
                    replica,
                    status,
                    output: process.last_words().await,
                });
            }
            if begun.elapsed() >= section.ready_within {
                return Err(ServiceError::NeverReady {
                    replica,
                    within: section.ready_within,
                    why: refused,
                    output: process.last_lines(),
                });
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    /// Asks a replica once; `Err` says what it answered instead.
    async fn ask(&self, path: Option<&str>, replica: usize) -> Result<(), String> {
        let base = &self.urls[replica];
        let Some(path) = path else {
            let host = base.host_str().unwrap_or_default();
            let port = base.port_or_known_default().unwrap_or_default();
            return match tokio::net::TcpStream::connect((host, port)).await {
                Ok(_) => Ok(()),
                Err(error) => Err(format!("connecting to {host}:{port} failed: {error}")),
            };
        };
        let url = format!("{}{path}", base.as_str().trim_end_matches('/'));
        match self.http.get(&url).send().await {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(format!("{url} answers {}", answer.status())),
            Err(error) => Err(format!("{url} cannot be reached: {}", root_cause(&error))),
        }
    }

    /// Where the replicas are.
    pub fn urls(&self) -> &[Url] {
        &self.urls
    }

    /// Sees that every replica still runs.
    pub async fn check(&mut self) -> Result<(), ServiceError> {
        for (replica, process) in self.processes.iter_mut().enumerate() {
            if let Some(status) = process.ended() {
                return Err(ServiceError::Died {
                    replica,
                    status,
                    output: process.last_words().await,
                });
            }
        }
        Ok(())
    }

    /// The same after a connection was lost: a process that ends closes its sockets
    /// a moment before it can be seen to have ended.
    pub async fn check_lost(&mut self) -> Result<(), ServiceError> {
        for replica in 0..self.processes.len() {
            // The one that it listens at may be the last that it closes.
            if self.ask(None, replica).await.is_ok() {
                self.processes[replica].ends_within(CLOSES_WITHIN).await;
            }
            if self.ask(None, replica).await.is_err() {
                self.processes[replica].ends_within(ENDS_WITHIN).await;
            }
        }
        self.check().await
    }

    /// Does what the target file wants after each restore: nothing, a restart,
    /// or a request to each replica.
    ///
    /// Returns whether the replicas were restarted, and so have new addresses.
    pub async fn after_restore(&mut self, target: &Target) -> Result<bool, ServiceError> {
        let Some(rule) = &target.file.service.after_restore else {
            return Ok(false);
        };
        if rule.get_ref() == "restart" {
            self.restart(target).await?;
            return Ok(true);
        }
        let (method, path) = request_line(rule).map_err(|problem| target.problem(problem))?;
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap_or_default();
        for base in &self.urls {
            let url = format!("{}{path}", base.as_str().trim_end_matches('/'));
            let failed = |why| ServiceError::AfterRestore {
                request: rule.get_ref().clone(),
                why,
            };
            let answer = self.http.request(method.clone(), &url).send().await;
            let answer = answer.map_err(|error| failed(root_cause(&error)))?;
            if !answer.status().is_success() {
                return Err(failed(format!("it answered {}", answer.status())));
            }
        }
        Ok(false)
    }

    /// Ends every replica and starts it anew, at a new address; leaves alone a
    /// service that deadheat did not start.
    pub async fn restart(&mut self, target: &Target) -> Result<(), ServiceError> {
        if self.processes.is_empty() {
            return Ok(());
        }
        self.end().await;
        self.urls.clear();
        self.run(target).await
    }

    /// Kills a replica, as the system does that runs out of memory. Nothing is done to
    /// one that deadheat did not start.
    pub async fn kill(&mut self, replica: usize) {
        if let Some(process) = self.processes.get_mut(replica) {
            process.kill().await;
        }
    }

    /// Starts a replica that was killed again, at its address.
    pub fn revive(&mut self, target: &Target, replica: usize) -> Result<(), ServiceError> {
        if target.start(replica).is_none() {
            return Ok(());
        }
        let port = self.urls[replica]
            .port_or_known_default()
            .unwrap_or_default();
        let process = self.spawn(target, port, replica)?;
        self.processes[replica] = process;
        Ok(())
    }

    /// Stops every replica.
    pub async fn stop(mut self) {
        self.end().await;
    }

    async fn end(&mut self) {
        let mut ending: tokio::task::JoinSet<()> =
            self.processes.drain(..).map(Process::stop).collect();
        while ending.join_next().await.is_some() {}
    }
}

/// Where the system takes the ports of connections from that go out.
const OUTGOING: &str = "/proc/sys/net/ipv4/ip_local_port_range";

/// The lowest port that a replica is given.
const LOWEST_PORT: u16 = 10_000;

/// How many ports below those are looked at.
const LOOKS: usize = 50;

/// A port that nobody listens on now. It is none of those that connections go out from:
/// of the many that a run makes one could take it while a replica that was killed is
/// started again.
fn free_port() -> Result<u16, ServiceError> {
    let first_outgoing = std::fs::read_to_string(OUTGOING).ok();
    let first_outgoing =
        first_outgoing.and_then(|range| range.split_whitespace().next()?.parse().ok());
    let quiet = LOWEST_PORT..first_outgoing.unwrap_or(LOWEST_PORT);
    for _ in 0..if quiet.is_empty() { 0 } else { LOOKS } {
        let port = rand::random_range(quiet.clone());
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|source| ServiceError::Port { port: 0, source })
}

/// The port that the target file names, if nobody listens on it.
fn fixed_port(port: u16) -> Result<u16, ServiceError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .map(|_| port)
        .map_err(|source| ServiceError::Port { port, source })
}

/// What is at the bottom of an error: reqwest's own words are about itself.
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}
