//! Services with a bug planted, and their right twins.

use crate::schedule::tests::toy::Op::{
    Commit, Count, Give, Insert, Lock, Open, Read, StopUnless, Take, Write,
};
use crate::schedule::tests::toy::Value::{Held, Read as Noted};
use crate::schedule::tests::toy::{Op, Row, Service};

const STOCK: Row = ("stock", 1);

/// A service that is wrong, and the same service put right.
pub struct Pair {
    pub name: &'static str,
    pub racy: Service,
    pub right: Service,
}

pub fn all() -> Vec<Pair> {
    vec![
        lost_update(2),
        check_then_act(),
        write_skew(),
        double_booking(),
        sold_twice(),
    ]
}

/// Both read, both write what they read plus one.
pub fn lost_update(calls: usize) -> Pair {
    let racy = vec![Read(STOCK, 0), Write(STOCK, Noted(0, 1))];
    let right = vec![Open, Lock(STOCK, 0), Write(STOCK, Noted(0, 1)), Commit];
    Pair {
        name: "lost update",
        racy: Service::new(&[(STOCK, 0)], vec![racy; calls]),
        right: Service::new(&[(STOCK, 0)], vec![right; calls]),
    }
}

/// One is left, and each looks before it takes it.
fn check_then_act() -> Pair {
    let call = |check: fn(Row, usize) -> Op| {
        vec![
            Open,
            check(STOCK, 0),
            StopUnless(0, 1, 9),
            Write(STOCK, Held(-1)),
            Commit,
        ]
    };
    Pair {
        name: "check then act",
        racy: Service::new(&[(STOCK, 1)], vec![call(Read); 2]),
        right: Service::new(&[(STOCK, 1)], vec![call(Lock); 2]),
    }
}

/// Two doctors on call, each goes if another is left.
fn write_skew() -> Pair {
    let call = |doctor| {
        vec![
            Open,
            Count("doctor", 0),
            StopUnless(0, 2, 9),
            Write(("doctor", doctor), Held(-1)),
            Commit,
        ]
    };
    let guarded = |doctor| {
        let mut call: Vec<Op> = call(doctor);
        call.insert(1, Lock(("rota", 0), 1));
        call
    };
    let rows = [(("doctor", 1), 1), (("doctor", 2), 1)];
    Pair {
        name: "write skew",
        racy: Service::new(&rows, vec![call(1), call(2)]),
        right: Service::new(&rows, vec![guarded(1), guarded(2)]),
    }
}

/// Nobody has the seat yet, so each books it.
fn double_booking() -> Pair {
    let call = |id| {
        vec![
            Open,
            Count("booking", 0),
            StopUnless(0, 0, 0),
            Insert(("booking", id)),
            Commit,
        ]
    };
    let unique = vec![Insert(("booking", 0))];
    Pair {
        name: "double booking",
        racy: Service::new(&[], vec![call(1), call(2)]),
        right: Service::new(&[], vec![unique; 2]),
    }
}

/// The stock is checked under a mutex that is given back too early.
fn sold_twice() -> Pair {
    let racy = vec![
        Take,
        Read(STOCK, 0),
        Give,
        StopUnless(0, 1, 9),
        Write(STOCK, Held(-1)),
    ];
    let right = vec![
        Take,
        Read(STOCK, 0),
        StopUnless(0, 1, 9),
        Write(STOCK, Held(-1)),
        Give,
    ];
    Pair {
        name: "sold twice",
        racy: Service::new(&[(STOCK, 1)], vec![racy; 2]),
        right: Service::new(&[(STOCK, 1)], vec![right; 2]),
    }
}

/// Shows only if one call looks while the other is halfway, and looks again when
/// it is through: each must be interrupted.
pub fn needs_two_preemptions() -> Service {
    let flag = ("flag", 0);
    let sets = vec![Write(flag, Held(1)), Write(flag, Held(-1))];
    let looks = vec![
        Read(flag, 0),
        StopUnless(0, 1, 1),
        Read(flag, 0),
        StopUnless(0, 0, 0),
    ];
    Service::new(&[(flag, 0)], vec![sets, looks])
}

/// Each locks what the other locks, the other way round.
pub fn deadlock() -> Service {
    let (one, two) = (("account", 1), ("account", 2));
    let call = |from, to| vec![Open, Write(from, Held(-1)), Write(to, Held(1)), Commit];
    Service::new(&[(one, 5), (two, 5)], vec![call(one, two), call(two, one)])
}

/// Eighty statements a call, of which a read, a write and the COMMIT matter.
pub fn eighty_statements() -> Service {
    let call = |own| {
        let mut call = among_eighty(own, 35, 50);
        call.insert(0, Open);
        call[80] = Commit;
        call
    };
    Service::new(&[(STOCK, 0)], vec![call(0), call(1)])
}

/// The same with no transaction, and with little time between read and write: early
/// in one call, late in the other.
pub fn far_apart() -> Service {
    let calls = vec![among_eighty(0, 10, 11), among_eighty(1, 65, 66)];
    Service::new(&[(STOCK, 0)], calls)
}

fn among_eighty(own: u8, read: u8, write: u8) -> Vec<Op> {
    let op = |at| match at {
        at if at == read => Read(STOCK, 0),
        at if at == write => Write(STOCK, Noted(0, 1)),
        at => Read(("own", 100 * own + at), 2),
    };
    (0..80).map(op).collect()
}

#[test]
fn eighty_statements_are_eighty() {
    let steps: Vec<usize> = eighty_statements().solo().iter().map(Vec::len).collect();
    assert_eq!(steps, [81, 81], "with the request that is let go");
}
