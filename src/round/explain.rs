//! Asks whether some one-at-a-time order of the calls explains what they have left, and
//! makes the rounds that it takes to tell. Knows not what makes two outcomes the same:
//! `oracle::outcome` does.

use std::time::Duration;

use serde_json::{Value, json};

use crate::failure::Failure;
use crate::model::Row;
use crate::model::history::{History, Made};
use crate::model::outcome::{Outcome, Reply, Trace, TraceKind};
use crate::model::scenario::Scenario;
use crate::model::verdict::Violation;
use crate::oracle::outcome::{self, Known, Memory, Next, Race, Search};
use crate::round::Manner;
use crate::stage::Stage;

/// What no order explains is believed once orders, the nearest, have been made so often
/// again: each time, more may be learned of what differs of its own accord.
const CONFIRMATIONS: usize = 6;

/// What is made of the time to the second, such as a signature with the moment at which it
/// expires, is the same in all rounds of one second: the last repetition waits for another.
const ANOTHER_SECOND: Duration = Duration::from_millis(1100);

/// What a service does in its own time, such as a job that sends what was written, may be
/// done or not when a round is looked at. So the last repetition is looked at twice, this
/// long apart.
const LATER: Duration = Duration::from_millis(300);

/// How many last repetitions are waited for in a hunt: what they teach holds for all.
const MOST_SECOND_LOOKS: u32 = 20;

/// What became of the question.
#[derive(Clone, Debug)]
pub enum Explained {
    /// It was not asked: the round violates something else, or it is turned off.
    NotAsked,
    /// An order explains it.
    By {
        /// The calls in this order.
        order: Vec<usize>,
    },
    /// None does.
    ByNone(Violation),
    /// It cannot be told, and why.
    Unclear(String),
}

impl Stage {
    /// What a race has left.
    pub(super) async fn outcome(&mut self, history: &History) -> Result<Outcome, Failure> {
        Ok(Outcome {
            answers: history.calls.iter().map(reply).collect(),
            traces: self.traces().await?,
        })
    }

    async fn traces(&mut self) -> Result<Vec<Trace>, Failure> {
        let mut traces: Vec<Trace> = Vec::new();
        for change in self.database.changes().await? {
            traces.push(Trace {
                kind: if change.is_new {
                    TraceKind::Added
                } else {
                    TraceKind::Removed
                },
                place: change.table,
                row: change.row,
            });
        }
        for asked in crate::stub::asked(&self.stubs.calls()) {
            let mut row = Row::new();
            row.insert("path".to_owned(), json!(asked.request.path));
            row.insert("body".to_owned(), body(&asked.request.body));
            traces.push(Trace {
                kind: TraceKind::Asked,
                place: format!("{} {}", asked.stub, asked.request.method),
                row,
            });
        }
        Ok(traces)
    }

    /// Looks for an order that explains an outcome. Beside what became of it, the rounds
    /// that it took.
    pub(super) async fn explain(
        &mut self,
        scenario: &Scenario,
        history: &History,
        outcome: &Outcome,
    ) -> Result<(Explained, u64), Failure> {
        if let Some(call) = unfinished(history) {
            let why = format!(
                "a call of `{}` ended in doubt, and nobody asked again with its key",
                call.operation
            );
            return Ok((Explained::Unclear(why), 0));
        }
        let Some(mut memory) = self.outcomes.take() else {
            return Ok((Explained::NotAsked, 0));
        };
        let mut known = memory.take(scenario);
        let before = known.rounds();
        let explained = self
            .search(scenario, history, outcome, &mut known, &mut memory)
            .await;
        let rounds = known.rounds() - before;
        memory.put(scenario, known);
        self.outcomes = Some(memory);
        Ok((explained?, rounds as u64))
    }

    async fn search(
        &mut self,
        scenario: &Scenario,
        history: &History,
        outcome: &Outcome,
        known: &mut Known,
        memory: &mut Memory,
    ) -> Result<Explained, Failure> {
        let race = Race::of(history);
        let mut search = Search::new(&race, outcome);
        loop {
            let mut doubts = false;
            let order = match search.next(known, &memory.knowledge) {
                Next::Explained(order) => return Ok(Explained::By { order }),
                Next::Try(order) => order,
                Next::Unexplained { all } => {
                    let nearest = outcome::nearest(&race, outcome, known, &memory.knowledge);
                    match nearest {
                        Some(nearest) if known.repeated() < CONFIRMATIONS => {
                            doubts = known.repeated() == CONFIRMATIONS - 1
                                && memory.second_looks < MOST_SECOND_LOOKS;
                            nearest.order
                        }
                        _ => {
                            let violation =
                                outcome::violation(&race, outcome, known, &memory.knowledge, all);
                            return Ok(Explained::ByNone(violation));
                        }
                    }
                }
            };
            if doubts {
                memory.second_looks += 1;
                tokio::time::sleep(ANOTHER_SECOND).await;
            }
            let one_by_one = self.one_by_one_in(scenario, &order, known.rounds() + 1);
            match one_by_one.await? {
                Ok(one_by_one) => {
                    if doubts {
                        tokio::time::sleep(LATER).await;
                        let later = Outcome {
                            answers: one_by_one.answers.clone(),
                            traces: self.traces().await?,
                        };
                        memory.knowledge.compare_later(&one_by_one, &later);
                    }
                    known.add(&mut memory.knowledge, race.requests(&order), one_by_one);
                }
                Err(why) => return Ok(Explained::Unclear(why)),
            }
        }
    }

    /// Makes some calls of a race one at a time, in this order; the inner `Err` says why
    /// that tells nothing.
    async fn one_by_one_in(
        &mut self,
        scenario: &Scenario,
        order: &[usize],
        number: usize,
    ) -> Result<Result<Outcome, String>, Failure> {
        let number = i64::try_from(number).unwrap_or(i64::MAX);
        let unharmed = Scenario {
            faults: Vec::new(),
            ..scenario.clone()
        };
        let made = self
            .make_unjudged(&unharmed, Manner::OneByOne { order, number })
            .await?;
        let history = match made {
            Ok(made) => made.history,
            Err(why) => return Ok(Err(why)),
        };
        let fails = |call: &&usize| {
            let made = &history.calls[**call];
            let answer = made.answer();
            answer.is_none_or(|answer| {
                answer.status >= 500 && !made.expected.answers.contains(&answer.status)
            })
        };
        if let Some(call) = order.iter().find(fails) {
            let operation = &history.calls[*call].operation;
            return Ok(Err(format!(
                "one at a time, a call of `{operation}` is answered with an error of the server, or not at all"
            )));
        }
        let outcome = self.outcome(&history).await?;
        let answers = order.iter().map(|call| outcome.answers[*call].clone());
        Ok(Ok(Outcome {
            answers: answers.collect(),
            ..outcome
        }))
    }
}

/// A call that carries a key, ended in doubt, and was not made again to its end: a
/// service may take such a call up where it was left, and is not yet at rest.
fn unfinished(history: &History) -> Option<&Made> {
    let settles = |call: &Made, other: &Made| {
        let same = call.operation == other.operation && call.key == other.key;
        same && !other.is_in_doubt() && !other.is_refused() && other.ended_us > call.ended_us
    };
    history.calls.iter().find(|call| {
        let mut others = history.calls.iter();
        call.key.is_some() && call.is_in_doubt() && !others.any(|other| settles(call, other))
    })
}

fn reply(call: &Made) -> Option<Reply> {
    call.answer().map(|answer| Reply {
        operation: call.operation.clone(),
        status: answer.status,
        body: body(&answer.body),
    })
}

/// A body as JSON, if it is that.
fn body(text: &str) -> Value {
    if text.is_empty() {
        return Value::Null;
    }
    serde_json::from_str(text).unwrap_or_else(|_| json!(text))
}
