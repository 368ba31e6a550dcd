//! The mistakes that `SHOP_BUGS` switches on. None of them waits or yields to
//! widen its window: each is what a hurried author writes and a tired reviewer
//! lets through.

use std::collections::BTreeSet;
use std::str::FromStr;

/// A mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bug {
    /// The stock is checked, then decremented without a condition. "It is
    /// checked three lines above."
    Oversell,
    /// The new stock is computed from what was read, and written back. Tests
    /// with one customer cannot tell it from a decrement.
    LostStock,
    /// Check and decrement stand under a mutex, which the second replica does
    /// not share. The author tried it with one.
    OversellProcessLock,
    /// The order is committed before its stock is taken: two short transactions
    /// looked better than a long one.
    OrderEarlyCommit,
    /// The order's event is written after the order's commit, so that it "is
    /// only sent for what is really there". A client that hangs up in between
    /// cancels it.
    OutboxAfterCommit,
    /// The idempotency key is stored with the payment, once the charge went
    /// through, and is not passed on to the provider.
    DoubleCharge,
    /// The look-up of a transfer's idempotency key is not backed by a unique
    /// index: the migration was forgotten.
    KeyNotUnique,
    /// Whether an order is open is checked before the transaction, not in it.
    PayTwice,
    /// A coupon's uses are counted, then one more is added.
    CouponOveruse,
    /// One use a customer is checked, but no unique index says so.
    CouponTwice,
    /// The balance is checked, then the amount taken without a condition.
    Overdraft,
    /// New balances are computed from those that were read, and written back:
    /// what an object-relational mapper's `save()` does.
    LostTransfer,
    /// A seat is looked up, then booked, and no unique index says that it is one.
    DoubleBooking,
    /// The whole profile is read, changed and written back.
    ProfileLostUpdate,
    /// A webhook's event id is looked up, but no unique index backs that.
    WebhookReplay,
    /// Whether an event is newer than what is known is checked before the
    /// transaction, not by the update.
    WebhookBackwards,
    /// The order to pay is looked up by its id alone, not within the tenant.
    TenantLeak,
    /// An order's items are written once it is committed, each by itself: "they are not
    /// contended". What fails or leaves in between leaves an order without items.
    ItemsApart,
    /// The other services are told of an order before its commit, so that they need not
    /// wait for the relay. If the commit fails, they know of an order that is none.
    EventBeforeCommit,
    /// An order is locked, charged and marked as paid in one transaction: "all or
    /// nothing". The charge is not rolled back with it, and the provider is given no key.
    ChargeInTransaction,
    /// A transaction is tried again also if its connection was lost, be it in its commit.
    RetryLostConnection,
    /// A transfer's key is stored in a transaction of its own, so that duplicates are
    /// refused early. What fails afterwards is answered as done for ever.
    KeyBeforeEffect,
    /// An event of a charge that is not known is answered 200, "so that the provider
    /// stops sending it". The charge was about to be written down.
    WebhookDropped,
    /// What the database said, and which statement it said it of, goes to the client:
    /// helpful while the service was written.
    SqlInAnswer,
    /// An order is not to be lost for want of its announcement: an error there is
    /// logged, undone to a savepoint, and the rest committed.
    SwallowedEvent,
    /// A refund is credited after the transaction that writes down its event: "short
    /// transactions". What fails in between is never credited, for the event is known.
    RefundApart,
    /// A provider that does not answer is taken for one that declines, and the order is
    /// opened for another payment.
    SilenceIsDecline,
    /// Whose orders a caller lists is asked, and for managers and auditors that is
    /// everybody: "the tenant is in the token anyhow".
    ListAllTenants,
    /// That auditors only read is checked in each handler, and was forgotten in the one
    /// for notes.
    RoleUnchecked,
    /// One order is looked up by its id alone: it was found in a list that had been
    /// checked.
    OrderById,
    /// A note is written first, and who may see the order is looked up for the answer:
    /// one look-up less where all is well.
    DeniedButWritten,
    /// Whether a caller is still with the company is known from the token; that it may
    /// change before the seat is booked was not thought of.
    RevokeOutlived,
    /// `total_cents` is called `total`: "what else would it be in". The tests were changed
    /// along with it.
    RenamedField,
    /// A note that is null is refused: who wants to clear one "can send an empty text".
    NoteRequired,
    /// A paid order is shown as `settled`, as accounting calls it. No client knows that.
    UnknownStatus,
    /// What is wrong with a note is answered as the framework does it, in plain text.
    BareError,
    /// The items of each order of a page are asked for in a loop: there was a function for
    /// the items of one.
    NPlusOne,
    /// A page begins after so many orders. An order that comes in meanwhile moves the last
    /// one of a page to the next.
    PageByOffset,
    /// Version 2 decrements `available` and reads what is left of it, as a number: in the
    /// tests the migration is always complete. Between its steps there is none.
    HalfMigratedWrite,
    /// Version 2 goes by `available` once it is there. Version 1, which runs beside it, goes
    /// by `stock`, and takes from that alone.
    StockInTwoPlaces,
}

impl Bug {
    const ALL: [(&'static str, Bug); 40] = [
        ("oversell", Bug::Oversell),
        ("lost_stock", Bug::LostStock),
        ("oversell_process_lock", Bug::OversellProcessLock),
        ("order_early_commit", Bug::OrderEarlyCommit),
        ("outbox_after_commit", Bug::OutboxAfterCommit),
        ("double_charge", Bug::DoubleCharge),
        ("key_not_unique", Bug::KeyNotUnique),
        ("pay_twice", Bug::PayTwice),
        ("coupon_overuse", Bug::CouponOveruse),
        ("coupon_twice", Bug::CouponTwice),
        ("overdraft", Bug::Overdraft),
        ("lost_transfer", Bug::LostTransfer),
        ("double_booking", Bug::DoubleBooking),
        ("profile_lost_update", Bug::ProfileLostUpdate),
        ("webhook_replay", Bug::WebhookReplay),
        ("webhook_backwards", Bug::WebhookBackwards),
        ("tenant_leak", Bug::TenantLeak),
        ("items_apart", Bug::ItemsApart),
        ("event_before_commit", Bug::EventBeforeCommit),
        ("charge_in_transaction", Bug::ChargeInTransaction),
        ("retry_lost_connection", Bug::RetryLostConnection),
        ("key_before_effect", Bug::KeyBeforeEffect),
        ("webhook_dropped", Bug::WebhookDropped),
        ("sql_in_answer", Bug::SqlInAnswer),
        ("swallowed_event", Bug::SwallowedEvent),
        ("refund_apart", Bug::RefundApart),
        ("silence_is_decline", Bug::SilenceIsDecline),
        ("list_all_tenants", Bug::ListAllTenants),
        ("role_unchecked", Bug::RoleUnchecked),
        ("order_by_id", Bug::OrderById),
        ("denied_but_written", Bug::DeniedButWritten),
        ("revoke_outlived", Bug::RevokeOutlived),
        ("renamed_field", Bug::RenamedField),
        ("note_required", Bug::NoteRequired),
        ("unknown_status", Bug::UnknownStatus),
        ("bare_error", Bug::BareError),
        ("n_plus_one", Bug::NPlusOne),
        ("page_by_offset", Bug::PageByOffset),
        ("half_migrated_write", Bug::HalfMigratedWrite),
        ("stock_in_two_places", Bug::StockInTwoPlaces),
    ];
}

/// A name in `SHOP_BUGS` that is no bug's.
#[derive(Debug, thiserror::Error)]
#[error("SHOP_BUGS names `{name}`, which is no bug; known are {}", names().join(", "))]
pub struct UnknownBug {
    name: String,
}

fn names() -> [&'static str; Bug::ALL.len()] {
    Bug::ALL.map(|(name, _)| name)
}

/// The mistakes that are switched on.
#[derive(Debug, Default)]
pub struct Bugs(BTreeSet<Bug>);

impl Bugs {
    /// Whether a mistake is to be made.
    pub fn has(&self, bug: Bug) -> bool {
        self.0.contains(&bug)
    }
}

impl FromStr for Bugs {
    type Err = UnknownBug;

    /// Reads names between commas; an empty text is none.
    fn from_str(text: &str) -> Result<Bugs, UnknownBug> {
        text.split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .map(|name| {
                let known = Bug::ALL.into_iter().find(|(known, _)| *known == name);
                known.map(|(_, bug)| bug).ok_or_else(|| UnknownBug {
                    name: name.to_owned(),
                })
            })
            .collect::<Result<_, _>>()
            .map(Bugs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_between_commas_and_an_unknown_one_is_told_the_known() {
        let bugs: Bugs = " oversell, pay_twice,".parse().unwrap();
        assert!(bugs.has(Bug::Oversell) && bugs.has(Bug::PayTwice));
        assert!(!bugs.has(Bug::LostStock));
        let unknown = "oversel".parse::<Bugs>().unwrap_err().to_string();
        assert!(unknown.contains("`oversel`") && unknown.contains("tenant_leak"));
    }
}
