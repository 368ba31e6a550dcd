//! What is known of one connection of the service: whose its transaction is, and
//! what that has touched by now.

use super::Left;
use crate::model::step::{Access, Mode, Step};

/// A connection to the database or to a stand-in.
#[derive(Debug, Default)]
pub(super) struct Connection {
    /// Whose its open transaction is.
    pub owner: Option<usize>,
    /// Who used it last.
    pub last: Option<usize>,
    /// What its open transaction has changed.
    changed: Vec<Access>,
    /// The steps of its open transaction, by their places in the past.
    steps: Vec<usize>,
}

impl Connection {
    /// What a step touches that ends the transaction, beside what it touches itself:
    /// what was changed is seen by others from now on.
    pub(super) fn ends(&self, accesses: &mut Vec<Access>) {
        add(accesses, &self.changed);
    }

    /// A step is let go, and becomes the last of the past. With a `snapshot`, what it
    /// reads was decided by the first of its transaction.
    pub(super) fn goes(&mut self, step: Step, ends: bool, snapshot: bool, past: &mut Vec<Step>) {
        self.last = Some(step.call);
        if !ends {
            let changes = step.accesses.iter();
            let changes = changes.filter(|access| access.mode != Mode::Read);
            self.changed.extend(changes.cloned());
        }
        if snapshot && let Some(&first) = self.steps.first() {
            let seen = step.accesses.iter().map(|access| Access {
                mode: Mode::Read,
                ..access.clone()
            });
            add(&mut past[first].accesses, &seen.collect::<Vec<_>>());
        }
        self.steps.push(past.len());
        past.push(step);
    }

    /// Its step was answered.
    pub(super) fn answered(&mut self, call: usize, left: Left, past: &mut [Step]) {
        if left == Left::Failed
            && let Some(&failed) = self.steps.last()
        {
            // It has undone its transaction.
            add(&mut past[failed].accesses, &self.changed);
        }
        if left == Left::Idle {
            self.owner = None;
            self.changed.clear();
            self.steps.clear();
        } else {
            self.owner = Some(call);
        }
    }
}

/// Adds what is not there yet.
fn add(accesses: &mut Vec<Access>, more: &[Access]) {
    for access in more {
        if !accesses.contains(access) {
            accesses.push(access.clone());
        }
    }
}
