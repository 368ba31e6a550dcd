//! A list that is read page by page shows every row once: none twice, and each that was
//! there all the time, also while rows come and go between the pages.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use crate::model::Row;
use crate::model::history::{History, Walk};
use crate::model::observed::Observed;
use crate::model::verdict::{Verdict, Violation};

/// The oracle's name.
pub const NAME: &str = "pages";

/// Judges the pages of a round that has read some.
pub fn judge(history: &History, _: &Observed) -> Verdict {
    let found = history.walk.iter().flat_map(of);
    super::verdict(super::by_rule(found))
}

fn of(walk: &Walk) -> Vec<Violation> {
    let operation = &walk.operation;
    let mut violations = Vec::new();
    let mut say = |rule: &str, says: String, rows: Vec<Row>| {
        if !rows.is_empty() {
            violations.push(Violation {
                oracle: NAME.to_owned(),
                name: format!("{operation} {rule}"),
                says,
                rows,
            });
        }
    };
    if walk.endless {
        let says = format!("The pages of `{operation}` come to an end.");
        say("endless", says, vec![pages(&walk.during)]);
        return violations;
    }
    let twice = [&walk.before, &walk.during, &walk.after]
        .into_iter()
        .flat_map(|walk| twice(walk));
    let says = format!("The pages of `{operation}` show no row twice.");
    say("twice", says, twice.collect());
    let (before, after) = (set(&walk.before), set(&walk.after));
    let during = set(&walk.during);
    let stayed = before.intersection(&after);
    let skipped: Vec<Row> = stayed
        .filter(|row| !during.contains(*row))
        .map(|row| {
            let mut facts = Row::new();
            facts.insert("skipped".to_owned(), json!(row));
            facts.insert("pages".to_owned(), json!(walk.during));
            facts
        })
        .collect();
    let says = format!("The pages of `{operation}` show each row that is there all the time.");
    say("skips", says, skipped);
    if let Some([all_before, all_after]) = &walk.all {
        let shown = [(all_before, &before), (all_after, &after)];
        let wrong: Vec<Row> = shown
            .into_iter()
            .flat_map(|(all, shown)| differences(all, shown))
            .collect();
        let says = format!("The pages of `{operation}` show the rows that they are to show.");
        say("differ", says, wrong);
    }
    violations
}

/// The rows that should be shown and are not, and those that are and should not.
fn differences(all: &[String], shown: &BTreeSet<&String>) -> Vec<Row> {
    let all: BTreeSet<&String> = all.iter().collect();
    let row = |name: &str, key: &String| {
        let mut row = Row::new();
        row.insert(name.to_owned(), json!(key));
        row
    };
    let lacking = all.difference(shown).map(|key| row("not_shown", key));
    let extra = shown.difference(&all).map(|key| row("shown", key));
    lacking.chain(extra).collect()
}

/// The rows that come more than once, with the pages that they stand on.
fn twice(walk: &[Vec<String>]) -> Vec<Row> {
    let mut places: BTreeMap<&String, Vec<usize>> = BTreeMap::new();
    for (number, page) in walk.iter().enumerate() {
        for row in page {
            places.entry(row).or_default().push(number + 1);
        }
    }
    let repeated = places.into_iter().filter(|(_, places)| places.len() > 1);
    let row = |(key, places): (&String, Vec<usize>)| {
        let mut row = Row::new();
        row.insert("row".to_owned(), json!(key));
        row.insert("on_pages".to_owned(), json!(places));
        row
    };
    repeated.map(row).collect()
}

fn set(walk: &[Vec<String>]) -> BTreeSet<&String> {
    walk.iter().flatten().collect()
}

fn pages(walk: &[Vec<String>]) -> Row {
    let mut row = Row::new();
    row.insert("pages_read".to_owned(), json!(walk.len()));
    row.insert("first".to_owned(), json!(walk.first()));
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(before: &[&[&str]], during: &[&[&str]], after: &[&[&str]]) -> Walk {
        let own = |pages: &[&[&str]]| {
            let page = |page: &&[&str]| page.iter().map(|row| (*row).to_owned()).collect();
            pages.iter().map(page).collect()
        };
        Walk {
            operation: "list".to_owned(),
            before: own(before),
            during: own(during),
            after: own(after),
            ..Walk::default()
        }
    }

    fn names(walk: &Walk) -> Vec<String> {
        of(walk).into_iter().map(|found| found.name).collect()
    }

    #[test]
    fn a_row_that_stays_is_shown_once() {
        let steady = walk(
            &[&["3"], &["2"]],
            &[&["3"], &["2"]],
            &[&["4"], &["3"], &["2"]],
        );
        assert!(names(&steady).is_empty());
        let repeats = walk(
            &[&["3"], &["2"]],
            &[&["3"], &["3"], &["2"]],
            &[&["3"], &["2"]],
        );
        assert_eq!(names(&repeats), ["list twice"]);
        let skips = walk(&[&["3"], &["2"]], &[&["3"]], &[&["3"], &["2"]]);
        assert_eq!(names(&skips), ["list skips"]);
    }

    #[test]
    fn a_row_that_goes_or_comes_may_be_shown_or_not() {
        assert!(names(&walk(&[&["1", "2"]], &[&["1"]], &[&["1"]])).is_empty());
        assert!(names(&walk(&[&["1"]], &[&["1", "2"]], &[&["1", "2"]])).is_empty());
    }

    #[test]
    fn the_file_says_which_rows_there_are() {
        let mut one = walk(&[&["1"]], &[&["1"]], &[&["1"]]);
        one.all = Some([vec!["1".to_owned()], vec!["1".to_owned()]]);
        assert!(names(&one).is_empty());
        one.all = Some([vec!["1".to_owned(), "2".to_owned()], vec!["1".to_owned()]]);
        assert_eq!(names(&one), ["list differ"]);
        one.endless = true;
        assert_eq!(names(&one), ["list endless"]);
    }
}
