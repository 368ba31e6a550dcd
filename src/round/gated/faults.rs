//! A scenario's faults in a gated round: which is due, and what a call's step comes to
//! there.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::{Conductor, LOOK_EVERY};
use crate::failure::Failure;
use crate::gate::control::{Control, Let};
use crate::model::fault::{Fault, FaultKind};
use crate::model::scenario::HangUp;
use crate::model::schedule::Choice;
use crate::model::step::{Action, Step};
use crate::service::Service;
use crate::stage::LISTEN_FIRST;

/// How long a service is given to see that a client has left, before the step that was
/// held meanwhile runs: some times what one takes that looks.
const SEES_WITHIN: Duration = Duration::from_millis(5);

/// How long all others wait for a replica that starts again. One that takes longer may
/// wait for a lock of theirs, so that they have to go on; it is asked again before each
/// of their steps, for a moment.
const STARTS_WITHIN: Duration = Duration::from_secs(1);
pub(super) const A_MOMENT: Duration = Duration::from_millis(20);

/// The faults of a scenario, and which have struck by now.
#[derive(Debug)]
pub(super) struct Faults<'a> {
    all: &'a [Fault],
    struck: BTreeSet<usize>,
    /// The calls that they have struck.
    pub(super) calls: BTreeSet<usize>,
    /// What stood where one was to strike, and was something else.
    other: Option<String>,
}

impl<'a> Faults<'a> {
    pub(super) fn new(all: &'a [Fault]) -> Faults<'a> {
        Faults {
            all,
            struck: BTreeSet::new(),
            calls: BTreeSet::new(),
            other: None,
        }
    }

    /// What goes wrong at the step that a call is about to take. Counts it as done.
    pub(super) fn due<G>(&mut self, control: &Control<G>, call: usize) -> Option<FaultKind> {
        if self.struck.len() == self.all.len() {
            return None;
        }
        let taken = control.past().iter().filter(|step| step.call == call);
        let number = taken.count();
        let at = |fault: &Fault| (fault.call, fault.step) == (call, number);
        let index = self.all.iter().position(at)?;
        let fault = &self.all[index];
        let waiting = control.waiting();
        let step = waiting.iter().find(|step| step.call == call)?;
        let action = Choice::of(step).action;
        if action != fault.action {
            let other = format!(
                "the fault of call {}'s `{}` did not strike: step {number} of that call was `{action}`",
                call + 1,
                fault.action
            );
            self.other.get_or_insert(other);
            return None;
        }
        self.struck.insert(index);
        self.calls.insert(call);
        Some(fault.kind)
    }

    /// Why one of them has not struck, if one has not.
    pub(super) fn missed(&self) -> Option<String> {
        let mut left = (0..self.all.len()).filter(|index| !self.struck.contains(index));
        let fault = &self.all[left.next()?];
        let never = || {
            format!(
                "the fault of call {}'s `{}` did not strike: that call took no step {}",
                fault.call + 1,
                fault.action,
                fault.step
            )
        };
        Some(self.other.clone().unwrap_or_else(never))
    }
}

/// Whether a fault makes a call's client leave half-way.
pub(super) fn half_way(faults: &[Fault], call: usize) -> Option<HangUp> {
    let mut own = faults.iter().filter(|fault| fault.call == call);
    own.any(|fault| fault.kind == FaultKind::HangUpHalfWay)
        .then_some(HangUp::HalfWay)
}

impl Conductor<'_> {
    /// Lets a call's step go, or does what a fault does there.
    pub(super) async fn go(&mut self, call: usize, service: &mut Service) -> Result<(), Failure> {
        let fault = match &self.diverged {
            None => self.faults.due(&self.control, call),
            Some(_) => None,
        };
        match fault {
            Some(FaultKind::HangUp) => {
                if let Some(leave) = self.leave[call].take() {
                    let _ = leave.send(());
                }
                self.leaving = Some((call, None));
            }
            Some(FaultKind::Killed) => {
                let replica = self.replicas[call];
                self.faults.calls.extend(self.under_way(replica));
                service.kill(replica).await;
                self.let_go(call, fault);
                self.revived.insert(replica, self.control.past().len());
                service.revive(self.target, replica)?;
                self.starting = Some(replica);
                self.starts_within(Some(STARTS_WITHIN), service).await?;
            }
            _ => self.let_go(call, fault),
        }
        Ok(())
    }

    fn let_go(&mut self, call: usize, fault: Option<FaultKind>) {
        match self.control.go(Instant::now(), call) {
            Some(Let::Begin(call)) => {
                if let Some(go) = self.go[call].take() {
                    // A shot that has failed before hears nothing.
                    let _ = go.send(());
                }
            }
            Some(Let::Step(held)) => match fault {
                Some(kind) => held.strike(kind),
                None => held.run(),
            },
            None => {}
        }
    }

    /// Until when the service is given to see that a client has left; `None` once the
    /// step that was held meanwhile has gone.
    pub(super) fn leave_taken(&mut self, now: Instant) -> Option<Instant> {
        let (call, left) = self.leaving?;
        let until = left.map_or(now + LOOK_EVERY, |left| left + SEES_WITHIN);
        if left.is_some() && until <= now {
            self.leaving = None;
            self.let_go(call, None);
            return None;
        }
        Some(until)
    }

    /// A call's client has its end.
    pub(super) fn ended(&mut self, call: usize) {
        let now = Instant::now();
        self.control.ended(now, call);
        self.ended.insert(call);
        if let Some((leaving, left)) = &mut self.leaving
            && *leaving == call
        {
            *left = Some(now);
        }
    }

    /// The calls that a replica is at work for.
    fn under_way(&self, replica: usize) -> Vec<usize> {
        let begun = |call: &usize| self.go[*call].is_none() && !self.ended.contains(call);
        let calls = self.calls_of(Some(replica)).into_iter();
        calls.filter(begun).collect()
    }

    /// Waits until the replica that was killed is ready again, if one was; at most so
    /// long. What it does meanwhile passes.
    pub(super) async fn starts_within(
        &mut self,
        limit: Option<Duration>,
        service: &mut Service,
    ) -> Result<(), Failure> {
        let Some(replica) = self.starting else {
            return Ok(());
        };
        let ready = service.ready(self.target, replica);
        let ready = async {
            match limit {
                Some(limit) => tokio::time::timeout(limit, ready).await.ok(),
                None => Some(ready.await),
            }
        };
        let Some(ready) = self.hearing(ready).await else {
            return Ok(());
        };
        ready?;
        self.starting = None;
        if self.gating.habits.any() {
            // What it did before it was killed, it does on another connection now.
            self.hearing(tokio::time::sleep(LISTEN_FIRST)).await;
        }
        Ok(())
    }

    /// Hears gate and stand-ins while something is waited for.
    async fn hearing<T>(&mut self, wait: impl Future<Output = T>) -> T {
        tokio::pin!(wait);
        loop {
            tokio::select! {
                biased;
                done = &mut wait => return done,
                Some(event) = self.gating.events.recv() => self.hear(event),
                Some(event) = self.gating.third_parties.recv() => self.overhear(event),
            }
        }
    }

    /// Whether a call is to go to a replica that is not there yet.
    pub(super) fn finds_nobody(&self, call: usize) -> bool {
        let replica = self.replicas[call];
        self.go[call].is_some() && self.starting == Some(replica)
    }

    /// Whether what a replica does is its own affair: it was started again, and no call
    /// has come to it since.
    pub(super) fn is_starting(&self, replica: usize) -> bool {
        let Some(&since) = self.revived.get(&replica) else {
            return false;
        };
        let moved = &self.control.past()[since..];
        let begun = |step: &Step| step.action == Action::Begin;
        let mut begun = moved.iter().filter(|step| begun(step));
        !begun.any(|step| self.replicas[step.call] == replica)
    }
}
