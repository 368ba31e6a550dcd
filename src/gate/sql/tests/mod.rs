//! What statements touch, told with the catalog of a real database and tried on
//! it.

mod commute;
mod mappers;
mod shop;

use std::fmt::Write as _;

use crate::database::{Database, Source, open};
use crate::gate::sql::{CATALOG, Catalog, End, Meaning, Statements, meaning, short};
use crate::guard::Guard;
use crate::model::engine::Engine;
use crate::model::step::{Access, Mode};

/// A database with these tables, and its catalog.
async fn database(scripts: &[&str]) -> (Box<dyn Database>, Catalog) {
    let mut database = open(Engine::Postgres, &Source::ThrowAway, &Guard::disabled())
        .await
        .unwrap();
    for script in scripts {
        database.run_script(script).await.unwrap();
    }
    let rows = database.query(CATALOG, None).await.unwrap();
    (database, Catalog::from_rows(&rows).unwrap())
}

fn bound(parameters: &[&str]) -> Vec<Option<String>> {
    let bound = |text: &&str| (*text != "NULL").then(|| (*text).to_owned());
    parameters.iter().map(bound).collect()
}

/// `W orders id=1, R users`
fn told(meaning: &Meaning) -> String {
    let Meaning::Touches { accesses, ends } = meaning else {
        return "nothing".to_owned();
    };
    let told = |access: &Access| {
        let mode = match access.mode {
            Mode::Read => "R",
            Mode::Insert => "I",
            Mode::Write => "W",
        };
        let mut told = format!("{mode} {}", access.table);
        for (name, value) in &access.rows {
            let _ = write!(told, " {name}={value}");
        }
        told
    };
    let mut told: Vec<String> = accesses.iter().map(told).collect();
    told.sort();
    told.extend(ends.map(|end| match end {
        End::Commit => "commits".to_owned(),
        End::Rollback => "rolls back".to_owned(),
    }));
    told.join(", ")
}

/// Each statement with what it touches, for a person to read.
fn listed(statements: &[(&str, &[&str])], catalog: &Catalog) -> String {
    let mut cache = Statements::default();
    let mut listed = String::new();
    for (sql, parameters) in statements {
        let bound = bound(parameters);
        let meant = meaning(sql, &bound, catalog);
        assert_eq!(meant, cache.meaning(sql, &bound, catalog));
        assert_eq!(meant, cache.meaning(sql, &bound, catalog));
        let sql = sql.split_whitespace().collect::<Vec<_>>().join(" ");
        let _ = writeln!(listed, "{sql}");
        if !parameters.is_empty() {
            let _ = writeln!(listed, "    with {}", parameters.join(" | "));
        }
        let short = short(&sql, &bound);
        let _ = writeln!(listed, "    {}\n    {short}\n", told(&meant));
    }
    listed
}
