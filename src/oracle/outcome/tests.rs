//! A shop as a function, and races of its calls: what some order explains and what none
//! does.

mod nearest;

use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};

use super::*;
use crate::model::Row;
use crate::model::allowance::Allowance;
use crate::model::history::{Answer, Ending, History, Made};
use crate::model::outcome::{Reply, Trace, TraceKind};
use crate::model::step::{Action, Step};
use crate::oracle::outcome::canon::Reader;
use crate::oracle::testing::made;

/// A shop that sells what it has, one item an order, and notes each order in a log. All
/// that it generates is another each time, as in real ones.
struct Shop {
    stock: i64,
    /// Distinguishes one round from another.
    round: i64,
    traces: Vec<Trace>,
    orders: i64,
}

impl Shop {
    fn new(stock: i64, round: i64) -> Shop {
        Shop {
            stock,
            round,
            traces: Vec::new(),
            orders: 0,
        }
    }

    /// An order of somebody's, and its answer.
    fn order(&mut self, who: &str) -> (u16, Value) {
        if self.stock == 0 {
            return (409, json!({ "error": "sold out" }));
        }
        self.stock -= 1;
        self.record(who)
    }

    /// Writes an order down, whatever the stock.
    fn record(&mut self, who: &str) -> (u16, Value) {
        let id = 1000 + self.round * 500 + self.orders;
        let uuid = format!("{:08x}-0000-4000-8000-{id:012}", id * 7919);
        let at = format!("2026-11-25T16:40:{:02}.{:06}Z", self.round % 60, id);
        self.orders += 1;
        let row = json!({ "id": id, "uuid": uuid, "who": who, "made_at": at });
        self.add(TraceKind::Added, "orders", &row);
        let log = json!({ "n": 5 + self.round * 31 + self.orders, "order_uuid": uuid,
            "doc": json!({ "order": id }).to_string() });
        self.add(TraceKind::Added, "log", &log);
        let took = (id * 37) % 11;
        (201, json!({ "id": id, "took_ms": took, "made_at": at }))
    }

    fn add(&mut self, kind: TraceKind, place: &str, row: &Value) {
        self.traces.push(Trace {
            kind,
            place: place.to_owned(),
            row: row.as_object().cloned().unwrap(),
        });
    }

    /// What the shop holds in the end.
    fn end(mut self, stock: i64, answers: Vec<Option<Reply>>) -> Outcome {
        if self.stock != stock {
            let product = |stock: i64| json!({ "id": 3, "stock": stock });
            self.add(TraceKind::Removed, "products", &product(stock));
            self.add(TraceKind::Added, "products", &product(self.stock));
        }
        Outcome {
            answers,
            traces: self.traces,
        }
    }
}

fn reply((status, body): (u16, Value)) -> Reply {
    Reply {
        operation: "order".to_owned(),
        status,
        body,
    }
}

fn replies<const N: usize>(answers: [(u16, Value); N]) -> Vec<Option<Reply>> {
    answers.map(|answer| Some(reply(answer))).to_vec()
}

/// Calls of these people, as their clients saw them: all at once, unless `times` says
/// when each began and ended.
fn history(who: &[&str], outcome: &Outcome, times: &[(u64, u64)]) -> History {
    let calls = who.iter().zip(&outcome.answers).enumerate();
    let call = |(at, (who, answer)): (usize, (&&str, &Option<Reply>))| {
        let ending = match answer {
            Some(answer) => Ending::Answered(Answer {
                status: answer.status,
                headers: Vec::new(),
                body: answer.body.to_string(),
            }),
            None => Ending::HungUp,
        };
        let mut call: Made = made("order", None, ending);
        call.request.body = (*who).to_owned();
        if let Some((released, ended)) = times.get(at) {
            (call.released_us, call.ended_us) = (Some(*released), Some(*ended));
        }
        call
    };
    History {
        calls: calls.map(call).collect(),
        ..History::default()
    }
}

/// What these calls come to one at a time.
fn one_by_one(stock: i64, who: &[&str], order: &[usize], round: i64) -> Outcome {
    let mut shop = Shop::new(stock, round);
    let answers: Vec<_> = order
        .iter()
        .map(|call| Some(reply(shop.order(who[*call]))))
        .collect();
    shop.end(stock, answers)
}

fn knowledge(allowances: Vec<Allowance>) -> Knowledge {
    let mut knowledge = Knowledge::new(allowances, UNIX_EPOCH + Duration::from_secs(1_795_600_000));
    knowledge.counted(("orders", "id"), None);
    knowledge.counted(("log", "n"), None);
    knowledge
}

/// What a hunt would come to: whether an order explains an outcome, and the different
/// orders that it took.
fn asked(
    stock: i64,
    who: &[&str],
    times: &[(u64, u64)],
    outcome: &Outcome,
    knowledge: &mut Knowledge,
) -> (Result<Order, Violation>, usize) {
    let race = Race::of(&history(who, outcome, times));
    let mut known = Known::default();
    let mut search = Search::new(&race, outcome);
    for round in 1..1000 {
        let order = match search.next(&known, knowledge) {
            Next::Explained(order) => return (Ok(order), known.orders()),
            Next::Unexplained { all } if known.repeated() >= 6 => {
                let violation = violation(&race, outcome, &known, knowledge, all);
                return (Err(violation), known.orders());
            }
            Next::Unexplained { .. } => {
                let nearest = nearest(&race, outcome, &known, knowledge);
                nearest.unwrap().order
            }
            Next::Try(order) => order,
        };
        let outcome = one_by_one(stock, who, &order, round);
        known.add(knowledge, race.requests(&order), outcome);
    }
    panic!("a search without an end");
}

fn explained(stock: i64, who: &[&str], outcome: &Outcome) -> Result<Order, Violation> {
    asked(stock, who, &[], outcome, &mut knowledge(Vec::new())).0
}

fn cell<'a>(row: &'a Row, name: &str) -> &'a Value {
    &row[name]
}

#[test]
fn what_is_generated_differs_and_means_the_same() {
    // Written in the other order than answered, with numbers left out in between.
    let mut shop = Shop::new(5, 0);
    let second = Some(reply(shop.order("ben")));
    shop.orders += 3;
    let first = Some(reply(shop.order("ada")));
    let outcome = shop.end(5, vec![first, second]);
    let explained = explained(5, &["ada", "ben"], &outcome);
    assert!(explained.is_ok(), "{explained:?}");
}

#[test]
fn the_last_item_sold_twice_is_in_no_order() {
    let mut shop = Shop::new(1, 0);
    let first = Some(reply(shop.order("ada")));
    let second = Some(reply(shop.record("ben")));
    let outcome = shop.end(1, vec![first, second]);
    let violation = explained(1, &["ada", "ben"], &outcome).unwrap_err();
    assert!(
        violation.says.contains("none of the 2 does"),
        "{}",
        violation.says
    );
    let status = violation
        .rows
        .iter()
        .find(|row| cell(row, "what") == "status");
    assert_eq!(cell(status.unwrap(), "one at a time"), 409);
    assert!(
        violation
            .rows
            .iter()
            .any(|row| cell(row, "where") == "orders")
    );
}

#[test]
fn a_stock_that_forgets_a_sale_is_in_no_order_and_is_shown() {
    let mut shop = Shop::new(5, 0);
    let answers = replies(["ada", "ben"].map(|who| shop.order(who)));
    shop.stock = 4;
    let outcome = shop.end(5, answers);
    let violation = explained(5, &["ada", "ben"], &outcome).unwrap_err();
    let [row] = violation.rows.as_slice() else {
        panic!("{:?}", violation.rows);
    };
    assert_eq!(cell(row, "where"), "products id=3");
    assert_eq!(
        (cell(row, "is"), cell(row, "one at a time")),
        (&json!(4), &json!(3))
    );
}

#[test]
fn a_refused_call_may_not_have_happened_but_leaves_nothing() {
    let refused = || Some(reply((409, json!({ "error": "try again" }))));
    let mut shop = Shop::new(5, 0);
    let first = Some(reply(shop.order("ada")));
    let outcome = shop.end(5, vec![first, refused()]);
    assert_eq!(explained(5, &["ada", "ben"], &outcome), Ok(vec![0]));
    let mut shop = Shop::new(5, 0);
    let first = Some(reply(shop.order("ada")));
    shop.order("ben");
    let outcome = shop.end(5, vec![first, refused()]);
    explained(5, &["ada", "ben"], &outcome).unwrap_err();
}

#[test]
fn a_call_in_doubt_has_happened_or_has_not_and_nothing_in_between() {
    let race = ["ada", "ben"];
    for happened in [false, true] {
        let mut shop = Shop::new(5, 0);
        let first = Some(reply(shop.order("ada")));
        if happened {
            shop.order("ben");
        }
        let outcome = shop.end(5, vec![first, None]);
        assert!(
            explained(5, &race, &outcome).is_ok(),
            "happened: {happened}"
        );
    }
    let mut shop = Shop::new(5, 0);
    let first = Some(reply(shop.order("ada")));
    shop.order("ben");
    // The last thing that it wrote, the log, is not there.
    shop.traces.pop();
    let outcome = shop.end(5, vec![first, None]);
    explained(5, &race, &outcome).unwrap_err();
}

#[test]
fn who_was_answered_before_another_began_came_before() {
    let race = ["ada", "ben"];
    let mut shop = Shop::new(1, 0);
    let second = Some(reply(shop.order("ben")));
    let first = Some(reply(shop.order("ada")));
    let outcome = shop.end(1, vec![first, second]);
    let mut learned = knowledge(Vec::new());
    let mut ask = |times: &[(u64, u64)]| asked(1, &race, times, &outcome, &mut learned).0;
    assert_eq!(ask(&[(0, 9), (5, 20)]), Ok(vec![1]), "they overlap");
    // A refusal that came first was none of this race's making, but is one.
    assert_eq!(ask(&[(0, 9), (10, 20)]), Ok(vec![1]));
    let mut shop = Shop::new(1, 0);
    let first = Some(reply(shop.order("ada")));
    let second = Some(reply((404, json!({ "error": "there is no such order" }))));
    let outcome = shop.end(1, vec![first, second]);
    asked(1, &race, &[(0, 9), (10, 20)], &outcome, &mut learned)
        .0
        .unwrap_err();
}

#[test]
fn without_a_gate_a_request_with_a_body_has_begun_before_the_barrier() {
    let mut shop = Shop::new(5, 0);
    let answers = replies(["ada", "ben"].map(|who| shop.order(who)));
    let outcome = shop.end(5, answers);
    let mut history = history(&["ada", "ben"], &outcome, &[(0, 9), (10, 20)]);
    let first = |history: &History| Race::of(history).next(&[], &[0, 1]);
    assert_eq!(first(&history), [0, 1], "ben's head was read before");
    history.calls[1].request.body.clear();
    assert_eq!(first(&history), [0]);
    history.calls[1].request.body = "ben".to_owned();
    history.steps = vec![Step {
        call: 0,
        action: Action::Begin,
        accesses: Vec::new(),
    }];
    assert_eq!(first(&history), [0], "a led one is sent when it begins");
}

#[test]
fn references_have_to_agree_which_comparing_row_by_row_misses() {
    let mut shop = Shop::new(5, 0);
    let answers = replies(["ada", "ben"].map(|who| shop.order(who)));
    let mut outcome = shop.end(5, answers);
    // The log entries of the two orders have swapped what they are about, by halves.
    let swapped = (
        outcome.traces[1].row["order_uuid"].clone(),
        outcome.traces[3].row["order_uuid"].clone(),
    );
    outcome.traces[1].row["order_uuid"] = swapped.1;
    outcome.traces[3].row["order_uuid"] = swapped.0;
    let mut learned = knowledge(Vec::new());
    let violation = asked(5, &["ada", "ben"], &[], &outcome, &mut learned)
        .0
        .unwrap_err();
    assert_eq!(cell(&violation.rows[0], "where"), "what refers to what");
    let constants = knowledge::Constants::default();
    let by_row = |outcome: &Outcome| Reader::new(&learned, &constants, outcome).parts(outcome);
    assert_eq!(
        by_row(&outcome),
        by_row(&one_by_one(5, &["ada", "ben"], &[0, 1], 1))
    );
}

#[test]
fn a_list_in_no_fixed_order_is_learned_and_one_in_order_is_compared() {
    let lists = |items: [i64; 3]| Outcome {
        answers: replies([(200, json!({ "items": items }))]),
        traces: Vec::new(),
    };
    let race = Race::of(&history(&["ada"], &lists([1, 2, 3]), &[]));
    let ask = |fixed: bool| {
        let outcome = lists([3, 1, 2]);
        let (mut knowledge, mut known) = (knowledge(Vec::new()), Known::default());
        let mut search = Search::new(&race, &outcome);
        for round in 1.. {
            match search.next(&known, &knowledge) {
                Next::Explained(_) => return true,
                Next::Unexplained { .. } if known.repeated() >= 6 => return false,
                Next::Unexplained { .. } | Next::Try(_) => {}
            }
            let shuffled = if fixed || round % 3 > 0 {
                [1, 2, 3]
            } else {
                [2, 3, 1]
            };
            known.add(&mut knowledge, vec![0], lists(shuffled));
        }
        unreachable!("it has answered before")
    };
    assert!(ask(false) && !ask(true));
}

#[test]
fn what_the_file_allows_is_not_compared() {
    let mut shop = Shop::new(5, 0);
    let answers = replies(["ada", "ben"].map(|who| shop.order(who)));
    shop.stock = 4;
    let outcome = shop.end(5, answers);
    let allowed_in = |outcome: &Outcome, place: &str| {
        let allowance = Allowance {
            name: "lag".to_owned(),
            says: "It may lag.".to_owned(),
            place: place.to_owned(),
            order_only: false,
        };
        let mut knowledge = knowledge(vec![allowance]);
        asked(5, &["ada", "ben"], &[], outcome, &mut knowledge)
            .0
            .is_ok()
    };
    let allowed = |place: &str| allowed_in(&outcome, place);
    assert!(allowed("products.stock") && allowed("products"));
    assert!(!allowed("products.stoc") && !allowed("orders"));
    // As many rows as there may be.
    let mut shop = Shop::new(5, 0);
    let answers = replies(["ada", "ben"].map(|who| shop.order(who)));
    shop.traces.retain(|trace| trace.place == "orders");
    let outcome = shop.end(5, answers);
    assert!(allowed_in(&outcome, "log") && !allowed_in(&outcome, "orders"));
}

#[test]
fn which_of_two_alike_calls_came_first_is_told_by_what_else_names_them() {
    // Two orders alike, the first to be answered is the second of the shop's; a list in
    // between has the other.
    let list = |ids: Vec<&Value>| (200, json!({ "ids": ids }));
    let run = |order: &[usize], round: i64| {
        let mut shop = Shop::new(9, round);
        let mut answers = Vec::new();
        let mut ids: Vec<Value> = Vec::new();
        for call in order {
            let answer = if *call == 2 {
                list(ids.iter().collect())
            } else {
                let order = shop.order("ada");
                ids.push(order.1["id"].clone());
                order
            };
            answers.push(Some(Reply {
                operation: if *call == 2 { "list" } else { "order" }.to_owned(),
                ..reply(answer)
            }));
        }
        shop.end(9, answers)
    };
    let made = run(&[1, 2, 0], 0);
    let answers = [2, 0, 1].map(|at: usize| made.answers[at].clone()).to_vec();
    let outcome = Outcome { answers, ..made };
    let times = [(0, 5), (0, 9), (0, 9)];
    let race = Race::of(&history(&["ada", "ada", "list"], &outcome, &times));
    let (mut knowledge, mut known) = (knowledge(Vec::new()), Known::default());
    let mut search = Search::new(&race, &outcome);
    for round in 1..20 {
        let order = match search.next(&known, &knowledge) {
            Next::Explained(order) => return assert_eq!(order, [1, 2, 0]),
            Next::Unexplained { .. } => nearest(&race, &outcome, &known, &knowledge).unwrap().order,
            Next::Try(order) => order,
        };
        known.add(&mut knowledge, race.requests(&order), run(&order, round));
    }
    panic!("no order explains it");
}

#[test]
fn many_calls_that_nobody_can_tell_apart_take_few_rounds() {
    let who = ["ada"; 8];
    let mut shop = Shop::new(3, 0);
    let mut answers = replies(who.map(|who| shop.order(who)));
    answers.reverse();
    let outcome = shop.end(3, answers);
    let (order, orders) = asked(3, &who, &[], &outcome, &mut knowledge(Vec::new()));
    assert!(order.is_ok() && orders <= 2, "{order:?} after {orders}");
    let mut shop = Shop::new(3, 0);
    let answers = replies(who.map(|who| shop.record(who)));
    let outcome = shop.end(3, answers);
    let (order, orders) = asked(3, &who, &[], &outcome, &mut knowledge(Vec::new()));
    assert!(order.is_err() && orders <= 8, "{order:?} after {orders}");
}

#[test]
fn of_too_many_orders_a_sample_is_drawn_and_said() {
    let who = ["a", "b", "c", "d", "e", "f", "g"];
    // Who sold last what was there is told by the answers, and by nothing else.
    let mut shop = Shop::new(4, 0);
    let mut answers = vec![None; 7];
    for call in [6, 2, 5, 0, 1, 3, 4] {
        answers[call] = Some(reply(shop.order(who[call])));
    }
    let outcome = shop.end(4, answers);
    assert!(explained(4, &who, &outcome).is_ok());
    let mut shop = Shop::new(4, 0);
    let answers = replies(who.map(|who| shop.order(who)));
    shop.stock = 3;
    let outcome = shop.end(4, answers);
    let violation = explained(4, &who, &outcome).unwrap_err();
    assert!(violation.says.contains("were tried"), "{}", violation.says);
}
