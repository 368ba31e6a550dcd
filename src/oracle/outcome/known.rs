//! What the calls of one scenario left when they were made one at a time, by order.

use std::collections::BTreeMap;

use crate::model::outcome::Outcome;
use crate::oracle::outcome::knowledge::{Constants, Knowledge};

/// An order of calls, by their index in the race: some may be missing. What is known of
/// it is known by its requests: each call stands for the first that sends the same.
pub type Order = Vec<usize>;

/// The orders of one scenario that have been tried, remembered for all its schedules.
#[derive(Debug, Default)]
pub struct Known {
    tried: Vec<(Order, Outcome)>,
    /// The numbers of an order's rounds.
    numbers: BTreeMap<Order, Vec<usize>>,
    constants: Constants,
}

impl Known {
    /// Adds what requests in this order came to, their answers in this order, and learns
    /// from it.
    pub fn add(&mut self, knowledge: &mut Knowledge, order: Order, outcome: Outcome) {
        self.constants.add(&outcome);
        let constants = &self.constants;
        let numbers = self.numbers.entry(order.clone()).or_default();
        for number in numbers.iter() {
            knowledge.compare(&self.tried[*number].1, &outcome, constants);
        }
        numbers.push(self.tried.len());
        for (earlier, known) in &self.tried {
            if *earlier != order {
                compare_answers(knowledge, (earlier, known), (&order, &outcome));
            }
        }
        self.tried.push((order, outcome));
        // With one round, it is not known what is constant.
        match self.tried.as_slice() {
            [] | [_] => {}
            [(_, first), (_, second)] => {
                knowledge.link(first, constants);
                knowledge.link(second, constants);
            }
            [.., (_, last)] => knowledge.link(last, constants),
        }
    }

    /// What an order came to, as often as it was tried, each with its number.
    pub fn of<'a>(&'a self, order: &'a [usize]) -> impl Iterator<Item = (usize, &'a Outcome)> {
        let numbers = self.numbers.get(order).into_iter().flatten();
        numbers.map(|number| (*number, &self.tried[*number].1))
    }

    /// All that was tried.
    pub fn all(&self) -> impl Iterator<Item = (&Order, &Outcome)> {
        self.tried.iter().map(|(order, outcome)| (order, outcome))
    }

    /// How often an order was tried that had been tried before.
    pub fn repeated(&self) -> usize {
        self.tried.len() - self.orders()
    }

    /// The different orders that were tried.
    pub(super) fn different(&self) -> impl Iterator<Item = &Order> {
        self.numbers.keys()
    }

    /// How many these are.
    pub fn orders(&self) -> usize {
        self.numbers.len()
    }

    /// How many rounds that took; the next one's number.
    pub fn rounds(&self) -> usize {
        self.tried.len()
    }

    /// What rounds of the scenario have in common, this outcome's own included.
    pub(super) fn constants(&self, of: &Outcome) -> Constants {
        self.constants.with(of)
    }
}

/// Compares the answers to requests that are in both orders, once in each.
fn compare_answers(
    knowledge: &mut Knowledge,
    (one, here): (&Order, &Outcome),
    (other, there): (&Order, &Outcome),
) {
    let only = |order: &Order, request: &usize| {
        let mut places = (0..order.len()).filter(|at| order[*at] == *request);
        places.next().filter(|_| places.next().is_none())
    };
    for request in one {
        if let (Some(at), Some(then)) = (only(one, request), only(other, request))
            && let (Some(reply), Some(others)) = (&here.answers[at], &there.answers[then])
        {
            knowledge.differ(reply, others);
        }
    }
}
