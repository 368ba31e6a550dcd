//! Which order is nearest to what a race left: the one that is made again to learn from.

use super::*;

#[test]
fn an_order_of_the_same_ends_is_nearer_however_much_it_generates() {
    // The one who leaves lets no later order in; the shop itself knows nothing of that.
    let leave = || reply((200, json!({ "id": 2 })));
    let ordered = |round| {
        let mut shop = Shop::new(5, round);
        let order = reply(shop.order("ann"));
        shop.end(5, vec![Some(order), Some(leave())])
    };
    let refused = || {
        let shut_out = reply((401, json!({ "error": "who are you?" })));
        Shop::new(5, 0).end(5, vec![Some(leave()), Some(shut_out)])
    };
    let outcome = ordered(0);
    let race = Race::of(&history(&["ann", "leave"], &outcome, &[]));
    let mut knowledge = knowledge(Vec::new());
    let mut known = Known::default();
    known.add(&mut knowledge, vec![1, 0], refused());
    known.add(&mut knowledge, vec![0, 1], ordered(1));
    let nearest = nearest(&race, &outcome, &known, &knowledge).unwrap();
    assert_eq!(nearest.order, [0, 1]);
}

#[test]
fn a_call_whose_client_has_left_makes_no_order_farther() {
    // Ann has left before her answer, and her order was made; Ben's too.
    let both = |round| one_by_one(5, &["ann", "ben"], &[0, 1], round);
    let mut outcome = both(0);
    outcome.answers[0] = None;
    let race = Race::of(&history(&["ann", "ben"], &outcome, &[]));
    let mut knowledge = knowledge(Vec::new());
    let mut known = Known::default();
    let alone = one_by_one(5, &["ann", "ben"], &[1], 1);
    known.add(&mut knowledge, vec![1], alone);
    known.add(&mut knowledge, vec![0, 1], both(2));
    let nearest = nearest(&race, &outcome, &known, &knowledge).unwrap();
    assert_eq!(nearest.order, [0, 1]);
}
