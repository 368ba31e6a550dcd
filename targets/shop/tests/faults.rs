//! What a broken connection, a refused statement or an unclear answer of the provider
//! leaves behind, on PostgreSQL: nothing that is half done in the right shop, whichever
//! statement it hits, and what each bug says in the shop that makes it.

#![allow(clippy::unwrap_used)] // A test that cannot go on may stop.

#[cfg(test)]
mod support;

use std::path::Path;
use std::time::Duration;

use deadheat::database::{self, Database, Source};
use deadheat::guard::Guard;
use deadheat::model::engine::Engine;
use deadheat::target::Target;
use serde_json::{Value, json};
use support::cutter::{At, Cutter, How};
use support::{Shop, UNCLEAR};

const ORDER: &str = "POST /api/orders";
const PAY: &str = "POST /api/payments";
const TRANSFER: &str = "POST /api/wallet/transfer";

const HOWS: [How; 4] = [How::Before, How::After, How::Refused, How::Undone];

/// A shop on PostgreSQL whose statements can be broken.
struct Faulty {
    shop: Shop,
    cutter: Cutter,
    database: Box<dyn Database>,
    target: Target,
}

impl Faulty {
    async fn start(bugs: &str) -> Faulty {
        let guard = Guard::disabled();
        let opened = database::open(Engine::Postgres, &Source::ThrowAway, &guard).await;
        let mut database = opened.unwrap_or_else(|error| panic!("{error}"));
        for sql in [
            include_str!("../schema.postgres.sql"),
            include_str!("../fixtures.sql"),
        ] {
            database.run_script(sql).await.unwrap();
        }
        let mut url = reqwest::Url::parse(database.url()).unwrap();
        let cutter = Cutter::before(url.port().unwrap()).await;
        url.set_port(Some(cutter.port)).unwrap();
        url.set_query(Some("sslmode=disable"));
        let shop = Shop::on(url.as_str(), bugs).await;
        database.take_snapshot().await.unwrap();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        Faulty {
            shop,
            cutter,
            database,
            target: Target::load(folder).unwrap_or_else(|error| panic!("{error}")),
        }
    }

    async fn send(&self, request: &str, key: &str, body: &Value) -> (u16, Value) {
        let (status, body) = self.shop.send("ben", request, key, body).await;
        (status.as_u16(), body)
    }

    async fn count(&mut self, table: &str) -> u64 {
        let sql = format!("SELECT COUNT(*) AS n FROM {table}");
        let rows = self.database.query(&sql, None).await.unwrap();
        rows[0]["n"].as_u64().unwrap()
    }

    /// The invariants that do not hold, once nothing is under way.
    async fn broken(&mut self) -> Vec<String> {
        let within = Duration::from_secs(5);
        let busy = self.database.settle(Duration::from_millis(20), within);
        assert_eq!(busy.await.unwrap(), None);
        let mut broken = Vec::new();
        for (name, invariant) in &self.target.file.invariants {
            let sql = invariant.sql.get_ref();
            if !self.database.query(sql, None).await.unwrap().is_empty() {
                broken.push(name.clone());
            }
        }
        broken
    }

    async fn close(self) {
        drop(self.shop);
        self.database.close().await.unwrap();
    }
}

fn order() -> Value {
    json!({ "items": [{ "product_id": 3, "quantity": 1 }, { "product_id": 2, "quantity": 1 }] })
}

fn payment() -> Value {
    json!({ "order_id": 1 })
}

fn transfer() -> Value {
    json!({ "to_user_id": 1, "amount_cents": 300 })
}

fn refund() -> Value {
    json!({
        "id": "r", "type": "payment.refunded", "sequence": 2, "charge_id": "ch_north",
        "amount_cents": 50,
    })
}

/// Each request of the shop's that changes something; with a key if it has one.
fn requests() -> [(&'static str, &'static str, Value); 7] {
    [
        (ORDER, "", order()),
        (PAY, "k", payment()),
        (TRANSFER, "k", transfer()),
        ("POST /api/coupons/redeem", "", json!({ "code": "FIRST" })),
        (
            "POST /api/reservations",
            "",
            json!({ "slot_id": 1, "seat": "A1" }),
        ),
        ("PATCH /api/profile", "", json!({ "city": "Rome" })),
        (
            "PUT /api/orders/1/note",
            "",
            json!({ "note": "Ring twice" }),
        ),
    ]
}

#[tokio::test]
async fn the_right_shop_is_right_whichever_statement_is_broken() {
    let mut faulty = Faulty::start("").await;
    for (request, key, body) in requests() {
        for how in HOWS {
            for step in 0.. {
                let case = format!("{request}, {how:?} step {step}");
                faulty.database.restore().await.unwrap();
                faulty.shop.forget();
                faulty.cutter.arm(At::Step(step), how);
                let (status, answer) = faulty.send(request, key, &body).await;
                let struck = faulty.cutter.struck();
                let hidden = !answer.to_string().contains("SELECT");
                assert!(status < 300 || (struck && hidden), "{case}: {answer}");
                // An order without a key is made or not, and nobody can tell.
                let (again, _) = faulty.send(request, key, &body).await;
                assert!(
                    key.is_empty() || [200, 201].contains(&again),
                    "{case}: {again}"
                );
                assert_eq!(faulty.broken().await, [""; 0], "{case}");
                let mut charges = faulty.shop.charges();
                charges.dedup();
                assert!(charges.len() <= 1, "{case}: {charges:?}");
                if !struck {
                    assert!(step > 3, "{case}");
                    break;
                }
            }
        }
    }
    for how in HOWS {
        for step in 0.. {
            let case = format!("refund, {how:?} step {step}");
            faulty.database.restore().await.unwrap();
            faulty.cutter.arm(At::Step(step), how);
            faulty.shop.event(&refund()).await;
            let struck = faulty.cutter.struck();
            assert_eq!(faulty.shop.event(&refund()).await, 200, "{case}");
            assert_eq!(faulty.broken().await, [""; 0], "{case}");
            assert_eq!(faulty.count("wallet_entries").await, 1, "{case}");
            if !struck {
                break;
            }
        }
    }
    faulty.close().await;
}

/// Who leaves at a statement.
#[derive(Clone, Copy, Debug)]
enum Leaves {
    Client,
    Shop,
}

#[tokio::test]
async fn the_right_shop_is_right_whenever_its_client_leaves_or_it_is_killed() {
    let mut faulty = Faulty::start("").await;
    for (request, key, body) in requests() {
        for who in [Leaves::Client, Leaves::Shop] {
            for step in 0.. {
                let case = format!("{request}, {who:?} leaves at step {step}");
                faulty.database.restore().await.unwrap();
                faulty.shop.forget();
                faulty.cutter.arm(At::Step(step), How::Held);
                let answered = tokio::select! {
                    answered = faulty.send(request, key, &body) => Some(answered),
                    () = faulty.cutter.reached() => None,
                };
                if let Some((status, _)) = answered {
                    assert!(status < 300 && step > 3, "{case}");
                    faulty.cutter.struck();
                    break;
                }
                if matches!(who, Leaves::Shop) {
                    // What it was at is still open, and must not be in its way.
                    faulty.shop.die_and_rise().await;
                } else {
                    // Long enough to be seen in most cases: it is right if it is not, too.
                    tokio::time::sleep(Duration::from_millis(3)).await;
                }
                faulty.cutter.release();
                let (again, _) = faulty.send(request, key, &body).await;
                assert!(
                    key.is_empty() || [200, 201].contains(&again),
                    "{case}: {again}"
                );
                assert_eq!(faulty.broken().await, [""; 0], "{case}");
                let mut charges = faulty.shop.charges();
                charges.dedup();
                assert!(charges.len() <= 1, "{case}: {charges:?}");
            }
        }
    }
    faulty.close().await;
}

/// What came of a request that was broken, and of the same once more if it has a key.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    statuses: Vec<u16>,
    broken: Vec<String>,
    orders: u64,
    charges: usize,
    events: usize,
}

async fn outcome(bugs: &str, (request, key, body): (&str, &str, Value), fault: Fault) -> Outcome {
    let mut faulty = Faulty::start(bugs).await;
    let before = faulty.count("orders").await;
    if let Some((at, how)) = fault {
        faulty.cutter.arm(at, how);
    }
    let mut statuses = vec![faulty.send(request, key, &body).await.0];
    assert!(faulty.cutter.struck() || fault.is_none(), "{bugs}");
    if !key.is_empty() {
        statuses.push(faulty.send(request, key, &body).await.0);
    }
    let outcome = Outcome {
        statuses,
        broken: faulty.broken().await,
        orders: faulty.count("orders").await - before,
        charges: faulty.shop.charges().len(),
        events: faulty.shop.events(),
    };
    faulty.close().await;
    outcome
}

type Fault = Option<(At, How)>;

/// The outcome of the bug, and that of the right shop.
async fn twins(bug: &str, request: (&str, &str, Value), fault: Fault) -> [Outcome; 2] {
    let right = outcome("", request.clone(), fault).await;
    assert_eq!(right.broken, [""; 0], "{right:?}");
    [outcome(bug, request, fault).await, right]
}

#[tokio::test]
async fn items_apart_leave_an_order_without_them() {
    let fault = Some((At::Text("INSERT INTO order_items"), How::Before));
    let [wrong, right] = twins("items_apart", (ORDER, "", order()), fault).await;
    assert_eq!((right.statuses, right.orders), (vec![500], 0));
    assert_eq!((wrong.statuses, wrong.orders), (vec![500], 1));
    assert_eq!(wrong.broken, ["orders-add-up"]);
}

#[tokio::test]
async fn an_event_before_its_commit_may_tell_of_what_is_not() {
    let fault = Some((At::Text("COMMIT"), How::Before));
    let [wrong, right] = twins("event_before_commit", (ORDER, "", order()), fault).await;
    assert_eq!((right.orders, right.events), (0, 0));
    assert_eq!((wrong.orders, wrong.events), (0, 1));
}

#[tokio::test]
async fn a_charge_is_not_rolled_back() {
    let fault = Some((At::Text("INSERT INTO outbox"), How::Before));
    let [wrong, right] = twins("charge_in_transaction", (PAY, "k", payment()), fault).await;
    assert_eq!(right.statuses, [500, 201], "with one key at the provider");
    assert_eq!((wrong.statuses, wrong.charges), (vec![500, 201], 2));
}

#[tokio::test]
async fn a_commit_in_doubt_that_is_tried_again_is_done_twice() {
    let fault = Some((At::Text("COMMIT"), How::After));
    let [wrong, right] = twins("retry_lost_connection", (ORDER, "", order()), fault).await;
    assert_eq!((right.statuses, right.orders), (vec![500], 1));
    assert_eq!((wrong.statuses, wrong.orders), (vec![201], 2));
}

#[tokio::test]
async fn a_key_before_its_effect_loses_the_effect() {
    let fault = Some((At::Text("UPDATE wallets"), How::Before));
    let [wrong, right] = twins("key_before_effect", (TRANSFER, "k", transfer()), fault).await;
    assert_eq!(right.statuses, [500, 201]);
    assert_eq!(wrong.statuses, [500, 200]);
    assert_eq!(wrong.broken, ["transfers-move-money"]);
}

#[tokio::test]
async fn a_swallowed_error_leaves_an_order_that_nobody_hears_of() {
    let fault = Some((At::Text("INSERT INTO outbox"), How::Refused));
    let [wrong, right] = twins("swallowed_event", (ORDER, "", order()), fault).await;
    assert_eq!((right.statuses, right.orders), (vec![500], 0));
    assert_eq!((wrong.statuses, wrong.orders), (vec![201], 1));
    assert_eq!(wrong.broken, ["orders-are-announced"]);
}

#[tokio::test]
async fn silence_is_no_refusal() {
    let [wrong, right] = twins("silence_is_decline", (PAY, UNCLEAR, payment()), None).await;
    assert_eq!(right.statuses, [502, 201]);
    assert_eq!(wrong.statuses, [402, 402], "and charged");
}

#[tokio::test]
async fn a_refund_apart_is_lost() {
    for (bug, broken) in [("", vec![]), ("refund_apart", vec!["refunds-are-credited"])] {
        let mut faulty = Faulty::start(bug).await;
        faulty.cutter.arm(At::Text("UPDATE wallets"), How::Before);
        assert_eq!(faulty.shop.event(&refund()).await, 500);
        assert_eq!(faulty.shop.event(&refund()).await, 200);
        assert_eq!(faulty.broken().await, broken);
        faulty.close().await;
    }
}

#[tokio::test]
async fn an_event_of_what_is_not_yet_known_is_asked_for_again() {
    for (bug, first, broken) in [
        ("", 404, vec![]),
        ("webhook_dropped", 200, vec!["captures-are-heard"]),
    ] {
        let mut faulty = Faulty::start(bug).await;
        let event = json!({
            "id": "evt_1", "type": "payment.captured", "sequence": 1, "charge_id": "ch_1",
        });
        assert_eq!(faulty.shop.event(&event).await, first);
        let paid = faulty.shop.ask("ben", PAY, "k", &payment()).await;
        assert_eq!(paid.0, 201);
        if first != 200 {
            assert_eq!(faulty.shop.event(&event).await, 200);
        }
        assert_eq!(faulty.broken().await, broken);
        faulty.close().await;
    }
}

#[tokio::test]
async fn what_the_database_was_asked_is_no_answer() {
    for (bug, leaks) in [("", false), ("sql_in_answer", true)] {
        let faulty = Faulty::start(bug).await;
        faulty.cutter.arm(At::Text("UPDATE products"), How::Refused);
        let (status, answer) = faulty.send(ORDER, "", &order()).await;
        assert_eq!(status, 500);
        let answer = answer.to_string();
        assert_eq!(answer.contains("SET stock = stock"), leaks, "{answer}");
        faulty.close().await;
    }
}
