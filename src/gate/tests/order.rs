//! Whose answer it is, with a server that says what it is told to.

use super::super::answers::{Answers, Expected};
use super::*;
use crate::wire::postgres::backend;
use crate::wire::postgres::frames::Frame;
use Expected::{CopyEnd, Execute, Flush, Reply, Simple, Sync};
use TransactionStatus::{Failed, Idle, InTransaction};

const STEP: bool = true;

fn error() -> Vec<u8> {
    backend::fatal("22012", "division by zero").split_off(5)
}

/// Tells what the server says, kinds with their bodies; returns the answers.
fn told(answers: &mut Answers, said: &[(u8, &[u8])]) -> Vec<StepAnswer> {
    let frames = said.iter().map(|(tag, body)| Frame {
        tag: *tag,
        body,
        whole: true,
    });
    frames.filter_map(|frame| answers.told(frame)).collect()
}

fn after(messages: impl IntoIterator<Item = Expected>) -> Answers {
    let mut answers = Answers::default();
    for message in messages {
        assert_eq!(answers.expect(message), None);
    }
    answers
}

fn rows(rows: u64, status: TransactionStatus) -> StepAnswer {
    StepAnswer {
        rows: Some(rows),
        error: None,
        status,
    }
}

#[test]
fn pipelined_batches_get_their_own_answers() {
    let mut answers = after([
        Reply,
        Execute,
        Sync { step: STEP },
        Execute,
        Sync { step: STEP },
    ]);
    let first: [(u8, &[u8]); 3] = [(b'2', b""), (b'C', b"UPDATE 3\0"), (b'Z', b"T")];
    assert_eq!(told(&mut answers, &first), [rows(3, InTransaction)]);
    let second: [(u8, &[u8]); 3] = [(b'N', b"\0"), (b'C', b"UPDATE 1\0"), (b'Z', b"I")];
    assert_eq!(told(&mut answers, &second), [rows(1, Idle)]);
    assert!(answers.is_settled());
}

#[test]
fn what_is_skipped_after_an_error_is_not_waited_for() {
    let error = error();
    let mut answers = after([Reply, Execute, Flush { step: STEP }]);
    let refused = told(&mut answers, &[(b'2', b""), (b'E', &error)]);
    assert_eq!(refused[0].error.as_ref().unwrap().code, "22012");
    assert!(answers.is_settled() && !answers.sync_commits());
    // The server reads on, and does nothing.
    for skipped in [Reply, Execute, Simple { step: false }] {
        assert_eq!(answers.expect(skipped), None);
    }
    assert!(answers.is_settled());
    assert_eq!(answers.expect(Sync { step: false }), None);
    assert!(!answers.is_settled());
    assert!(told(&mut answers, &[(b'Z', b"I")]).is_empty());
    assert!(answers.is_settled());
    // Inside a block, it has failed at once.
    let mut answers = after([Simple { step: false }]);
    told(&mut answers, &[(b'C', b"BEGIN\0"), (b'Z', b"T")]);
    answers.expect(Execute);
    answers.expect(Flush { step: STEP });
    let refused = told(&mut answers, &[(b'E', &error)]);
    assert_eq!(refused[0].status, Failed);
    // An error of no message is the session's end, and skips nothing.
    let mut answers = Answers::default();
    assert!(told(&mut answers, &[(b'E', &error)]).is_empty());
    answers.expect(Simple { step: STEP });
    assert!(!answers.is_settled());
}

#[test]
fn a_flush_leaves_open_what_a_sync_commits() {
    let mut answers = after([Reply, Reply, Execute, Flush { step: STEP }]);
    let ran: [(u8, &[u8]); 3] = [(b'1', b""), (b'2', b""), (b'C', b"INSERT 0 1\0")];
    assert_eq!(told(&mut answers, &ran), [rows(1, InTransaction)]);
    assert!(answers.sync_commits());
    answers.expect(Sync { step: STEP });
    assert_eq!(told(&mut answers, &[(b'Z', b"I")])[0].status, Idle);
    assert!(!answers.sync_commits());
    for (tag, commits) in [
        (&b"BEGIN\0"[..], false),
        (b"COMMIT\0", false),
        (b"SELECT 1\0", true),
    ] {
        let mut answers = after([Execute, Flush { step: false }]);
        told(&mut answers, &[(b'C', tag)]);
        assert_eq!(answers.sync_commits(), commits, "{tag:?}");
    }
    let mut answers = after([Execute, Flush { step: STEP }]);
    let suspended = told(&mut answers, &[(b'D', b""), (b'D', b""), (b's', b"")]);
    assert_eq!(suspended, [rows(2, InTransaction)]);
}

#[test]
fn a_sync_within_a_copy_has_no_answer_whenever_it_is_sent() {
    let error = error();
    let begun: [(u8, &[u8]); 2] = [(b'2', b""), (b'G', b"")];
    let ended: [(u8, &[u8]); 2] = [(b'C', b"COPY 7\0"), (b'Z', b"I")];
    let failed: [(u8, &[u8]); 2] = [(b'E', &error), (b'Z', b"I")];
    for end in [ended, failed] {
        // The first Sync goes before the server says that it copies, or after.
        let mut early = after([Reply, Execute, Sync { step: STEP }]);
        assert!(told(&mut early, &begun).is_empty());
        let mut late = after([Reply, Execute]);
        told(&mut late, &begun);
        late.expect(Sync { step: STEP });
        for mut answers in [early, late] {
            answers.expect(CopyEnd);
            answers.expect(Sync { step: false });
            let answered = told(&mut answers, &end);
            assert_eq!((answered.len(), answered[0].status), (1, Idle));
            assert_eq!(answered[0].error.is_some(), end[0].0 == b'E');
            assert!(answers.is_settled());
        }
        // All is sent at once.
        let mut answers = after([
            Reply,
            Execute,
            Sync { step: STEP },
            CopyEnd,
            Sync { step: false },
            Simple { step: false },
        ]);
        assert!(told(&mut answers, &begun).is_empty());
        assert_eq!(told(&mut answers, &end).len(), 1);
        assert!(!answers.is_settled());
        assert!(told(&mut answers, &[(b'Z', b"I")]).is_empty());
        assert!(answers.is_settled());
    }
}
