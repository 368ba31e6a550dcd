//! What a fault does to the step that it strikes.

use std::time::Duration;

use crate::gate;
use crate::hold::Go;
use crate::model::fault::FaultKind;
use crate::stub;

/// Lets go, or strikes, what is held: at the gate, or at a stand-in.
#[derive(Debug)]
pub(super) enum Held {
    /// A statement, and whether it ends its transaction.
    Sql(Go<gate::Strike>, bool),
    /// A request to a third party.
    ThirdParty(Go<stub::Strike>),
}

impl Held {
    /// Lets it go.
    pub(super) fn run(self) {
        match self {
            Held::Sql(go, _) => go.run(),
            Held::ThirdParty(go) => go.run(),
        }
    }

    /// Strikes it, as far as that is done to the step itself; else it goes.
    pub(super) fn strike(self, kind: FaultKind) {
        match self {
            Held::Sql(go, ends) => match at_the_gate(kind, ends) {
                Some(strike) => go.strike(strike),
                None => go.run(),
            },
            Held::ThirdParty(go) => match at_a_stand_in(kind) {
                Some(strike) => go.strike(strike),
                None => go.run(),
            },
        }
    }
}

fn at_the_gate(kind: FaultKind, ends: bool) -> Option<gate::Strike> {
    Some(match kind {
        // Who is dead sends nothing.
        FaultKind::CutBefore | FaultKind::Killed => gate::Strike::CutBefore,
        FaultKind::CutAfter => gate::Strike::CutAfter,
        FaultKind::Refused(state) => gate::Strike::Refuse {
            state,
            rolls_back: ends,
        },
        FaultKind::ServerError
        | FaultKind::Slow { .. }
        | FaultKind::NeverAnswers
        | FaultKind::HangsUp
        | FaultKind::WebhookTwice
        | FaultKind::WebhookBefore
        | FaultKind::HangUpHalfWay
        | FaultKind::HangUp => return None,
    })
}

fn at_a_stand_in(kind: FaultKind) -> Option<stub::Strike> {
    Some(match kind {
        FaultKind::ServerError => stub::Strike::ServerError,
        FaultKind::Slow { ms } => stub::Strike::Slow(Duration::from_millis(ms)),
        FaultKind::NeverAnswers => stub::Strike::NeverAnswers,
        FaultKind::HangsUp => stub::Strike::HangsUp,
        FaultKind::WebhookTwice => stub::Strike::Webhook(stub::Delivery::Twice),
        FaultKind::WebhookBefore => stub::Strike::Webhook(stub::Delivery::Before),
        // What was asked of a third party by then, that it does.
        FaultKind::Killed
        | FaultKind::HangUp
        | FaultKind::HangUpHalfWay
        | FaultKind::CutBefore
        | FaultKind::CutAfter
        | FaultKind::Refused(_) => return None,
    })
}
