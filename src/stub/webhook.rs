//! What a third party calls the service for: a webhook, sent after the answer that
//! caused it, and again until the service takes it.
//!
//! While calls are held it waits: which of their steps it would meet is a matter of
//! time, and time stands still there. Only one that is told to come before the answer
//! goes then. It is nobody's call, and the one who holds is told of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use url::Url;

use crate::hold::{self, Holding, Switch, switch};
use crate::model::Row;
use crate::model::history::Request;
use crate::target::Target;
use crate::target::error::TargetError;
use crate::target::request::{Rendering, Session};

use super::StubError;
use super::door::Event;

/// How often a webhook is sent that the service does not take.
const DELIVERIES: usize = 5;

/// How many of these are kept until the calls of a round have ended: a real provider
/// goes on for days.
const KEPT: usize = 2;

/// How soon it is sent again.
const AGAIN_AFTER: Duration = Duration::from_millis(20);

/// How long the service may take to answer one.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// When a webhook comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delivery {
    /// After the answer that caused it.
    #[default]
    After,
    /// Before that answer.
    Before,
    /// After it, two at once.
    Twice,
}

/// A call that an answer causes.
#[derive(Debug)]
pub(super) struct Webhook {
    /// The operation.
    pub operation: String,
    /// Its values.
    pub values: Row,
}

/// The webhooks of all the stand-ins of a target.
#[derive(Debug)]
pub(super) struct Webhooks {
    target: Arc<Target>,
    client: reqwest::Client,
    service: Mutex<Option<Url>>,
    holding: Holding,
    /// Whether they wait until a call has its answer, and what tells them so.
    waiting: (Switch, Holding),
    events: UnboundedSender<Event>,
    round: watch::Sender<Round>,
    under_way: Mutex<JoinSet<()>>,
    failed: Mutex<Option<TargetError>>,
}

/// How a round stands.
#[derive(Debug, Default)]
struct Round {
    /// How many webhooks are neither taken nor given up.
    pending: usize,
    /// Whether its calls have ended.
    over: bool,
}

impl Webhooks {
    pub(super) fn new(
        target: Arc<Target>,
        holding: Holding,
        events: UnboundedSender<Event>,
    ) -> Result<Webhooks, StubError> {
        let client = reqwest::Client::builder()
            .no_proxy()
            // A replica that was restarted takes no connection of before.
            .pool_max_idle_per_host(0)
            .timeout(ANSWER_WITHIN)
            .build()
            .map_err(StubError::Client)?;
        Ok(Webhooks {
            target,
            client,
            service: Mutex::default(),
            holding,
            waiting: switch(),
            events,
            round: watch::Sender::default(),
            under_way: Mutex::default(),
            failed: Mutex::default(),
        })
    }

    pub(super) fn call_at(&self, url: Url) {
        *locked(&self.service) = Some(url);
    }

    pub(super) fn wait(&self, on: bool) {
        self.waiting.0.turn(on);
    }

    pub(super) fn forget(&self) {
        locked(&self.under_way).abort_all();
        locked(&self.failed).take();
    }

    pub(super) async fn settle(&self) -> Result<bool, TargetError> {
        let mut round = self.round.subscribe();
        let any = round.borrow().pending > 0;
        self.round.send_modify(|round| round.over = true);
        // The sender is this one's own.
        let _ = round.wait_for(|round| round.pending == 0).await;
        self.round.send_modify(|round| round.over = false);
        locked(&self.failed).take().map_or(Ok(any), Err)
    }

    /// Sends a webhook. Its key is made of what caused it, so that each delivery has
    /// the same. Returns when the answer may be given.
    pub(super) async fn send(self: &Arc<Self>, webhook: Webhook, cause: &str, delivery: Delivery) {
        let request = match self.request(&webhook, &format!("evt_{cause}")) {
            Ok(request) => request,
            Err(error) => {
                *locked(&self.failed) = Some(error);
                return;
            }
        };
        match delivery {
            Delivery::After => self.begin(request, None),
            Delivery::Twice => {
                self.begin(request.clone(), None);
                self.begin(request, None);
            }
            Delivery::Before => {
                let (tell, told) = oneshot::channel();
                self.begin(request, Some(tell));
                // It is dropped with a round that was forgotten.
                let _ = told.await;
            }
        }
    }

    fn request(&self, webhook: &Webhook, key: &str) -> Result<Request, TargetError> {
        let operation = &self.target.operations[&webhook.operation];
        let actor = match &operation.section.actors {
            Some(actors) => actors.first().map(toml::Spanned::get_ref),
            None => self.target.file.actors.keys().next(),
        };
        self.target.request(Rendering {
            operation: &webhook.operation,
            actor: actor.map(String::as_str),
            values: &webhook.values,
            key: Some(key),
            replica: 0,
            session: &Session::default(),
            setup: false,
            spoil: None,
        })
    }

    fn begin(self: &Arc<Self>, request: Request, first: Option<oneshot::Sender<()>>) {
        let pending = Pending::new(Arc::clone(self));
        let mut under_way = locked(&self.under_way);
        while under_way.try_join_next().is_some() {}
        under_way.spawn(pending.deliver(request, first));
    }

    /// Calls the service once; answers whether it took that.
    async fn call(&self, request: &Request) -> bool {
        let Some(base) = locked(&self.service).clone() else {
            return false;
        };
        let Ok(method) = request.method.parse::<reqwest::Method>() else {
            return false;
        };
        let url = format!("{}{}", base.as_str().trim_end_matches('/'), request.path);
        let mut call = self.client.request(method, url).body(request.body.clone());
        for (name, value) in &request.headers {
            call = call.header(name, value);
        }
        match call.send().await {
            // Its end is awaited as well: the service is done then.
            Ok(answer) => answer.status().is_success() && answer.bytes().await.is_ok(),
            Err(_) => false,
        }
    }

    /// Calls it while others are held.
    async fn call_past_the_held(&self, request: &Request) -> bool {
        let hold = self.holding.now();
        if !hold.on {
            return self.call(request).await;
        }
        let (go, gone) = hold::held();
        // Where nobody listens nothing is held: what is told is dropped.
        let _ = self.events.send(Event::Calling { go });
        let mut holding = self.holding.clone();
        tokio::select! {
            _ = gone.wait() => {}
            () = holding.released(hold) => {}
        }
        let taken = self.call(request).await;
        let _ = self.events.send(Event::Called);
        taken
    }

    /// Waits before a webhook is sent again, of which so many deliveries are `left`.
    async fn pause(&self, left: usize) {
        let mut round = self.round.subscribe();
        if round.borrow().over {
            return tokio::time::sleep(AGAIN_AFTER).await;
        }
        // The sender is this one's own.
        let over = async move { drop(round.wait_for(|round| round.over).await) };
        if left > KEPT {
            let _ = tokio::time::timeout(AGAIN_AFTER, over).await;
        } else {
            over.await;
        }
    }
}

/// A webhook that is neither taken nor given up.
struct Pending(Arc<Webhooks>);

impl Pending {
    fn new(webhooks: Arc<Webhooks>) -> Pending {
        webhooks.round.send_modify(|round| round.pending += 1);
        Pending(webhooks)
    }

    async fn deliver(self, request: Request, mut first: Option<oneshot::Sender<()>>) {
        let webhooks = &self.0;
        for left in (0..DELIVERIES).rev() {
            let taken = if let Some(first) = first.take() {
                let taken = webhooks.call_past_the_held(&request).await;
                // Whoever waited for it may have gone.
                let _ = first.send(());
                taken
            } else {
                webhooks.holding.clone().off().await;
                webhooks.waiting.1.clone().off().await;
                webhooks.call(&request).await
            };
            if taken || left == 0 {
                return;
            }
            webhooks.pause(left).await;
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.round.send_modify(|round| round.pending -= 1);
    }
}

/// None of the locks is held where something could panic.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
