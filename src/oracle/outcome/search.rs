//! Looks for a one-at-a-time order that explains an outcome, and says which to try next.
//!
//! A search of orders as in the checkers of linearizability (Wing and Gong, 1993): depth
//! first, the likeliest first (who was answered earlier came earlier), and where a call
//! answers otherwise than it did in the race, no order that begins in the same way is
//! tried. The state that theirs is told by a model is here what the database holds, so
//! each order is a round; this file makes none, and says what it lacks. Where there are
//! too many orders, they are drawn by chance, near the likeliest, under the same rule.

use std::collections::{HashMap, HashSet};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::model::outcome::{Outcome, Reply};
use crate::oracle::outcome::canon::Reader;
use crate::oracle::outcome::knowledge::{Constants, Knowledge};
use crate::oracle::outcome::known::{Known, Order};
use crate::oracle::outcome::race::Race;

/// So many orders are all tried: those of five calls, of which any may be absent.
const MOST_ORDERS: usize = 326;

/// How many are drawn where there are more.
const SAMPLE: usize = 300;

/// How often an order is drawn in search of one that is neither tried nor refuted.
const DRAWS: usize = 200;

/// How often what is likeliest comes next in an order that is drawn.
const LIKELIEST: f64 = 0.5;

/// What a search needs, or has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// A round of this order.
    Try(Order),
    /// Nothing: this order explains it.
    Explained(Order),
    /// Nothing: no order does.
    Unexplained {
        /// Whether none was left out.
        all: bool,
    },
}

/// The search for an order that explains one outcome.
#[derive(Debug)]
pub struct Search<'a> {
    race: &'a Race,
    outcome: &'a Outcome,
    /// What comparing has shown, by the number of the round that it was
    /// compared with, for an order.
    compared: HashMap<(usize, Order), Compared>,
    /// With which knowledge.
    version: u64,
    /// Whether all has been compared anew before it is said that nothing explains it.
    is_checked: bool,
}

/// A race's outcome beside that of an order.
#[derive(Clone, Copy, Debug)]
struct Compared {
    is_same: bool,
    /// How many calls of the order answered as they did in the race, up to the first
    /// that did not.
    agreed: usize,
}

enum Walk {
    Try(Order),
    Explained(Order),
    /// Nothing with the first so many calls of this order explains it.
    BackTo(usize),
}

impl<'a> Search<'a> {
    /// A search that has yet to look at anything.
    pub fn new(race: &'a Race, outcome: &'a Outcome) -> Search<'a> {
        Search {
            race,
            outcome,
            compared: HashMap::new(),
            version: 0,
            is_checked: false,
        }
    }

    /// Looks at what is known, in the order of a depth-first search.
    pub fn next(&mut self, known: &Known, knowledge: &Knowledge) -> Next {
        if self.version != knowledge.version() {
            self.version = knowledge.version();
            self.compared.clear();
        }
        let found = self.look(known, knowledge);
        if matches!(found, Next::Unexplained { .. }) && !self.is_checked {
            // What is constant is known better after more rounds.
            self.compared.clear();
            self.is_checked = true;
            return self.look(known, knowledge);
        }
        self.is_checked = false;
        found
    }

    /// First as if calls that are answered alike were one, which costs little; then with
    /// what their answers name.
    fn look(&mut self, known: &Known, knowledge: &Knowledge) -> Next {
        match self.look_at(known, knowledge, false) {
            Next::Unexplained { .. } => self.look_at(known, knowledge, true),
            found => found,
        }
    }

    fn look_at(&mut self, known: &Known, knowledge: &Knowledge, names: bool) -> Next {
        let constants = known.constants(self.outcome);
        let reader = Reader::new(knowledge, &constants, self.outcome);
        let mut look = Look {
            race: self.race,
            outcome: self.outcome,
            compared: &mut self.compared,
            known,
            knowledge,
            constants: &constants,
            alike: self.race.alike(self.outcome, &reader, names),
            refuted: HashSet::new(),
        };
        let mut count = 0;
        let all = look.count(&mut Vec::new(), &mut count);
        let walk = look.known().unwrap_or_else(|| {
            if all {
                look.from(&mut Vec::new())
            } else {
                look.drawn()
            }
        });
        match walk {
            Walk::Try(order) => Next::Try(order),
            Walk::Explained(order) => Next::Explained(order),
            Walk::BackTo(_) => Next::Unexplained { all },
        }
    }
}

/// One look at all that is known.
struct Look<'a> {
    race: &'a Race,
    outcome: &'a Outcome,
    compared: &'a mut HashMap<(usize, Order), Compared>,
    known: &'a Known,
    knowledge: &'a Knowledge,
    constants: &'a Constants,
    alike: Vec<usize>,
    /// The beginnings after which a call answers otherwise than it did.
    refuted: HashSet<Order>,
}

impl Look<'_> {
    /// An order that was tried and explains it.
    fn known(&mut self) -> Option<Walk> {
        for requests in self.known.different() {
            for order in self.race.orders_of(requests, &self.alike) {
                if let Walk::Explained(order) = self.leaf(&order) {
                    return Some(Walk::Explained(order));
                }
            }
        }
        None
    }

    /// Counts the orders; whether there are few enough to try them all.
    fn count(&self, order: &mut Order, count: &mut usize) -> bool {
        *count += usize::from(self.race.is_whole(order));
        for call in self.race.next(order, &self.alike) {
            if *count > MOST_ORDERS {
                break;
            }
            order.push(call);
            self.count(order, count);
            order.pop();
        }
        *count <= MOST_ORDERS
    }

    /// Depth first, from this beginning on.
    fn from(&mut self, order: &mut Order) -> Walk {
        let depth = order.len();
        if self.race.is_whole(order) {
            match self.leaf(order) {
                Walk::BackTo(refuted) if refuted > depth => {}
                other => return other,
            }
        }
        for call in self.race.next(order, &self.alike) {
            order.push(call);
            let walk = self.from(order);
            order.pop();
            match walk {
                Walk::BackTo(refuted) if refuted > depth => {}
                other => return other,
            }
        }
        Walk::BackTo(depth)
    }

    /// Orders by chance, the first one excepted: it is the likeliest.
    fn drawn(&mut self) -> Walk {
        if self.known.orders() >= SAMPLE {
            return Walk::BackTo(0);
        }
        let mut rng = StdRng::seed_from_u64(self.known.rounds() as u64);
        for draw in 0..DRAWS {
            let likeliest = if draw == 0 { 1.0 } else { LIKELIEST };
            let order = self.draw(&mut rng, likeliest);
            match order.map(|order| self.leaf(&order)) {
                None | Some(Walk::BackTo(_)) => {}
                Some(walk) => return walk,
            }
        }
        Walk::BackTo(0)
    }

    /// An order by chance; `None` where it led to a beginning that is refuted.
    fn draw(&self, rng: &mut StdRng, likeliest: f64) -> Option<Order> {
        let mut order = Order::new();
        loop {
            let mut next = self.race.next(&order, &self.alike);
            next.retain(|call| {
                let longer: Order = order.iter().copied().chain([*call]).collect();
                !self.refuted.contains(&longer)
            });
            let ends = self.race.is_whole(&order);
            // Who may be absent comes last, and is absent as often as not.
            let may_end = next.iter().all(|call| self.race.may_be_absent(*call));
            if ends && may_end && (next.is_empty() || rng.random_bool(likeliest)) {
                return Some(order);
            }
            let first = *next.first()?;
            order.push(if rng.random_bool(likeliest) {
                first
            } else {
                next[rng.random_range(0..next.len())]
            });
        }
    }

    /// A whole order: whether it explains it, has to be tried, or is refuted.
    fn leaf(&mut self, order: &Order) -> Walk {
        let known = self.known;
        let mut is_known = false;
        let mut agreed = 0;
        for (number, one_by_one) in known.of(&self.race.requests(order)) {
            is_known = true;
            let pair = (number, order.clone());
            let compared = match self.compared.get(&pair) {
                Some(compared) => *compared,
                None => self.compare(order, one_by_one),
            };
            self.compared.insert(pair, compared);
            if compared.is_same {
                return Walk::Explained(order.clone());
            }
            agreed = agreed.max(compared.agreed);
        }
        // What differs of its own accord has to be known before orders are refuted.
        if !is_known || known.repeated() == 0 {
            return Walk::Try(order.clone());
        }
        if agreed < order.len() {
            self.refuted.insert(order[..=agreed].to_vec());
        }
        Walk::BackTo(agreed + 1)
    }

    fn compare(&self, order: &[usize], one_by_one: &Outcome) -> Compared {
        let (race, outcome) = (self.race, self.outcome);
        let here = race.told(order, outcome);
        let there = race.told_in_order(order, one_by_one);
        let one = Reader::new(self.knowledge, self.constants, &here);
        let other = Reader::new(self.knowledge, self.constants, &there);
        let agree = |(answer, others): &(&Option<Reply>, &Option<Reply>)| match (answer, others) {
            (Some(answer), Some(others)) => one.reply(answer) == other.reply(others),
            (Some(_), None) => false,
            (None, _) => true,
        };
        let answers = here.answers.iter().zip(&there.answers);
        let agreed = answers.take_while(agree).count();
        Compared {
            is_same: agreed == order.len() && one.read(&here) == other.read(&there),
            agreed,
        }
    }
}
