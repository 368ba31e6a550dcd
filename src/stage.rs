//! What rounds run on: the database, the stand-ins, the service and the
//! connections to it, put up in this order and taken down in the other.

mod gating;
mod habits;
mod migrations;
mod rules;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::contract::{Contract, Recorded};
use crate::database::{self, Database, Source};
use crate::drive::Driver;
use crate::failure::Failure;
use crate::generate::{Pools, pool_queries};
use crate::guard::Guard;
use crate::model::Row;
use crate::model::engine::Engine;
use crate::model::scenario::{Call, Scenario};
use crate::model::step::{Action, Step};
use crate::oracle::outcome::{Knowledge, Memory};
use crate::process::Process;
use crate::service::{self, Service, Start};
use crate::stub::Stubs;
use crate::target::Target;
use crate::target::error::Problem;
use crate::target::file::PrepareStep;

pub(crate) use gating::{Gating, LISTEN_FIRST};
pub(crate) use migrations::Migrations;

/// A gate stands where the service is told that its database is.
const RUNS_ALREADY: &str =
    "the service runs already, on a database URL of its own: all races are free";

const NO_MIGRATIONS: &str = "migrations run at the gate, and there is none: they are left out";

/// How long the database may be busy with what the service does when it starts.
const CALM_WITHIN: Duration = Duration::from_secs(10);

/// What the command line decides about the stage.
#[allow(clippy::struct_excessive_bools)] // Each is a switch of its own.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The engine; by default the first of the target's that can be served.
    pub engine: Option<Engine>,
    /// A database to use instead of a throw-away one.
    pub database_url: Option<String>,
    /// Whether that database may be reset to the fixtures, again and again.
    pub may_reset: bool,
    /// Variables of the service that are overridden.
    pub env: Vec<(String, String)>,
    /// Whether a gate stands before the database, if it is PostgreSQL.
    pub gated: bool,
    /// Whether it is asked for each race if an order of its calls explains it.
    pub outcomes: bool,
    /// Whether answers are recorded as the contract of later runs, instead of held to
    /// that of an earlier one.
    pub records_contract: bool,
}

/// Everything that a round needs, standing.
pub struct Stage {
    pub(crate) target: Arc<Target>,
    pub(crate) database: Box<dyn Database>,
    pub(crate) stubs: Stubs,
    pub(crate) service: Service,
    pub(crate) driver: Driver,
    pub(crate) pools: Pools,
    /// `None` where all races are free.
    pub(crate) gating: Option<Gating>,
    /// What migrations are run with; `None` where the target has none, or no gate stands.
    pub(crate) migrations: Option<Migrations>,
    /// What one-at-a-time rounds have told; `None` where nobody asks.
    pub(crate) outcomes: Option<Memory>,
    /// Whether it matters now what they tell.
    pub(crate) asks_outcomes: bool,
    /// What answers are held to.
    pub(crate) contract: Contract,
}

impl Stage {
    /// Puts everything up; `tell` hears what is being done.
    pub async fn open(
        target: Target,
        options: &Options,
        guard: &Guard,
        tell: &mut (dyn FnMut(String) + Send),
    ) -> Result<Stage, Failure> {
        let contract = if options.records_contract {
            Contract::recording(&target)?
        } else {
            Contract::open(&target)?
        };
        let (engine, why) = choose_engine(&target, options)?;
        tell(format!("engine {engine}: {why}"));
        let source = match &options.database_url {
            Some(url) => Source::Given {
                url: url.clone(),
                may_reset: options.may_reset,
            },
            None => Source::ThrowAway,
        };
        // A database that may not be touched is refused before anything is built.
        let mut database = database::open(engine, &source, guard).await?;
        tell(format!("database: {}", database.describe()));
        if let Some(command) = &target.file.service.build {
            tell(format!("building the service: {command}"));
        }
        service::build(&target, guard).await?;
        prepare(&target, database.as_mut(), guard, tell).await?;
        let target = Arc::new(target);
        let (tell_requests, third_parties) = mpsc::unbounded_channel();
        let stubs = Stubs::start(&target, tell_requests).await?;
        let wanted = options.gated && engine == Engine::Postgres;
        let mut gating = if wanted && target.file.service.urls.is_empty() {
            // A migration is told by where it comes from, as a replica is.
            let ports = target.replicas() + usize::from(!target.migrations.is_empty());
            Some(Gating::open(database.url(), ports, third_parties, guard).await?)
        } else {
            None
        };
        if wanted && gating.is_none() {
            tell(RUNS_ALREADY.to_owned());
        }
        let mut of_database = context(database.as_ref());
        let databases = match &gating {
            Some(gating) => {
                of_database["socket"] = json!(gating.socket());
                gating.gate.urls(database.url())?
            }
            None => Vec::new(),
        };
        let of_migrations = databases.get(target.replicas()).cloned();
        if of_migrations.is_none() && !target.migrations.is_empty() {
            tell(NO_MIGRATIONS.to_owned());
        }
        let start = Start {
            context: json!({ "database": of_database, "stubs": stubs.context() }),
            databases,
            env: options.env.clone(),
            guard: guard.clone(),
        };
        let replicas = target.replicas();
        tell(match replicas {
            1 => "starting the service".to_owned(),
            _ => format!("starting the service, {replicas} replicas"),
        });
        let service = Box::pin(Service::start(&target, start)).await?;
        database.settle(Duration::ZERO, CALM_WITHIN).await?;
        database.take_snapshot().await?;
        if let Some(gating) = &mut gating {
            gating.learn(database.as_mut()).await?;
        }
        let pools = draw_pools(&target, database.as_mut()).await?;
        rules::try_all(&target, database.as_mut()).await?;
        let migrations = match of_migrations {
            Some(url) => {
                let opened = Migrations::open(&target, url, database.as_mut());
                Some(Box::pin(opened).await?)
            }
            None => None,
        };
        let outcomes = if options.outcomes {
            let mut knowledge = Knowledge::new(target.allowances.clone(), SystemTime::now());
            for counted in database.counted_columns().await? {
                let (table, column) = &counted.column;
                let parent = counted.refers_to.as_ref();
                let parent = parent.map(|(table, column)| (table.as_str(), column.as_str()));
                knowledge.counted((table, column), parent);
            }
            Some(Memory::new(knowledge))
        } else {
            None
        };
        let driver = connect(&service, &stubs)?;
        Ok(Stage {
            target,
            database,
            stubs,
            service,
            driver,
            pools,
            gating,
            migrations,
            outcomes,
            asks_outcomes: true,
            contract,
        })
    }

    /// After the service was restarted: it has new addresses.
    pub(crate) fn reconnect(&mut self) -> Result<(), Failure> {
        self.driver = connect(&self.service, &self.stubs)?;
        Ok(())
    }

    /// Whether a gate stands before the database.
    pub fn is_gated(&self) -> bool {
        self.gating.is_some()
    }

    /// Whether a step asks a third party that calls the service back for it.
    pub fn calls_back(&self, step: &Step) -> bool {
        let Action::ThirdParty { stub, request } = &step.action else {
            return false;
        };
        let stub = self.target.file.stubs.get(stub);
        let mut answers = stub.into_iter().flat_map(|stub| &stub.answers);
        answers.any(|answer| answer.webhook.is_some() && answer.request.get_ref() == request)
    }

    /// Whether rounds from here on are asked for an order that explains them, which costs
    /// rounds; at first they are.
    pub fn ask_outcomes(&mut self, asks: bool) {
        self.asks_outcomes = asks;
    }

    /// Whether anything says what the answers of an operation look like.
    pub fn covers_contract(&self, operation: &str) -> bool {
        self.contract.covers(operation)
    }

    /// Writes what was recorded; `None` if nothing was that can be relied on.
    pub fn write_contract(&self) -> Result<Option<Recorded>, Failure> {
        let written = self.contract.write();
        written.map_err(|(path, source)| Failure::Report { path, source })
    }

    /// The target that is tested.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The engine that the target runs on.
    pub fn engine(&self) -> Engine {
        self.database.engine()
    }

    /// Whether the tables can take no further migration.
    pub(crate) fn is_worn(&self) -> bool {
        self.migrations.as_ref().is_some_and(|all| all.is_worn)
    }

    /// The rows of the fixtures that values are drawn from.
    pub fn pools(&self) -> &Pools {
        &self.pools
    }

    /// Sees that a scenario of another day names only what the target still has;
    /// `Err` says what it lacks.
    pub fn can_make(&self, scenario: &Scenario) -> Result<(), String> {
        if !scenario.faults.is_empty() && !self.is_gated() {
            return Err("its faults strike at the gate, and there is none".to_owned());
        }
        if let Some(name) = &scenario.migration {
            if !self.target.migrations.contains_key(name) {
                return Err(format!("there is no migration `{name}`"));
            }
            if self.migrations.is_none() {
                return Err("its migration runs at the gate, and there is none".to_owned());
            }
        }
        if scenario.grown && (self.target.file.database.grown.is_empty() || !self.is_gated()) {
            return Err("it needs the larger fixtures of `grown`, and the gate".to_owned());
        }
        let setup = scenario
            .setup
            .iter()
            .map(|call| (&call.operation, &call.actor));
        let race = scenario
            .race
            .iter()
            .map(|call| (&call.operation, &call.actor));
        for (operation, actor) in setup.chain(race) {
            if !self.target.operations.contains_key(operation) {
                return Err(format!("there is no operation `{operation}`"));
            }
            if let Some(actor) = actor
                && !self.target.file.actors.contains_key(actor)
            {
                return Err(format!("there is no actor `{actor}`"));
            }
        }
        let has_pages = |call: &Call| self.target.operations[&call.operation].pages.is_some();
        let mut walks = scenario.race.iter().filter(|call| call.walk);
        if let Some(call) = walks.find(|call| !has_pages(call)) {
            return Err(format!("`{}` has no `pages`", call.operation));
        }
        Ok(())
    }

    /// Takes everything down, the service before its database.
    pub async fn close(mut self) -> Result<(), Failure> {
        drop(self.driver);
        self.service.stop().await;
        if let Some(migrations) = self.migrations {
            migrations
                .close(&self.target, self.database.as_mut())
                .await?;
        }
        self.database.close().await?;
        Ok(())
    }
}

/// Connections to the service; third parties call its first replica.
fn connect(service: &Service, stubs: &Stubs) -> Result<Driver, Failure> {
    if let Some(first) = service.urls().first() {
        stubs.call_at(first.clone());
    }
    Ok(Driver::new(service.urls())?)
}

/// The engine, and why it is this one.
fn choose_engine(target: &Target, options: &Options) -> Result<(Engine, String), Failure> {
    let runs_on = |engine: &Engine| target.engines.contains(engine);
    if let Some(engine) = options.engine {
        if !runs_on(&engine) {
            let names: Vec<&str> = target.engines.iter().map(|engine| engine.name()).collect();
            return Err(Failure::Arguments(format!(
                "the target `{}` does not run on {engine}: its file names {}",
                target.name,
                names.join(", ")
            )));
        }
        return Ok((engine, "asked for by --engine".to_owned()));
    }
    if let Some(url) = &options.database_url {
        let engine = database::engine_of(url).ok_or_else(|| {
            Failure::Arguments(format!(
                "`{url}` is no URL of a database that deadheat knows: \
                 write postgres://user:password@host/database or sqlite:///path/to/file.db"
            ))
        })?;
        if !runs_on(&engine) {
            return Err(Failure::Arguments(format!(
                "the target `{}` does not run on {engine}, which --database-url names",
                target.name
            )));
        }
        return Ok((engine, "that of --database-url".to_owned()));
    }
    let mut refused = Vec::new();
    for &engine in &target.engines {
        match database::can_serve(engine) {
            Ok(why) => {
                let mut because = format!("the first that the target names; {why}");
                if !refused.is_empty() {
                    because = format!("{why}; passed over {}", refused.join("; "));
                }
                return Ok((engine, because));
            }
            Err(why) => refused.push(format!("{engine}: {why}")),
        }
    }
    Err(Failure::NoEngine(refused.join("\n")))
}

/// What templates see as `database`.
fn context(database: &dyn Database) -> Value {
    let mut context = json!({ "url": database.url(), "engine": database.engine().name() });
    if let Some(path) = database.path() {
        context["path"] = json!(path);
    }
    context
}

/// Runs the target's prepare steps, unless the database holds tables already.
async fn prepare(
    target: &Target,
    database: &mut dyn Database,
    guard: &Guard,
    tell: &mut (dyn FnMut(String) + Send),
) -> Result<(), Failure> {
    let steps = target.prepare(&json!({ "database": context(database) }))?;
    if steps.is_empty() {
        return Ok(());
    }
    if !database.is_empty().await? {
        tell("the database holds tables already: taken as it stands".to_owned());
        return Ok(());
    }
    for (step, at) in steps {
        match step {
            PrepareStep::File(file) => {
                let path = target.folder.join(&file);
                let sql = std::fs::read_to_string(&path).map_err(|error| {
                    let message = format!("`{}` cannot be read: {error}", path.display());
                    target.problem(Problem::new(at.span.clone(), message))
                })?;
                database
                    .run_script(&sql)
                    .await
                    .map_err(|error| of_the_file(target, &at, &format!("{file}: "), error))?;
            }
            PrepareStep::Command { command } => {
                let env = [("DATABASE_URL".to_owned(), database.url().to_owned())];
                Process::run(&command, &target.folder, &env, guard)
                    .await
                    .map_err(Failure::Prepare)?;
            }
        }
    }
    Ok(())
}

async fn draw_pools(target: &Target, database: &mut dyn Database) -> Result<Pools, Failure> {
    let mut pools = Pools::default();
    for query in pool_queries(target)? {
        let rows = database
            .query(&query.sql, None)
            .await
            .map_err(|error| of_the_file(target, &query.at, "", error))?;
        pools.insert(query.sql, rows);
    }
    Ok(pools)
}

/// The failure of a query that stands in the target file: drawn under it if the
/// query is what is wrong.
pub(crate) fn of_the_file(
    target: &Target,
    at: &Problem,
    file: &str,
    error: database::DatabaseError,
) -> Failure {
    if !error.is_users() {
        return error.into();
    }
    let problem = Problem::new(at.span.clone(), format!("{}: {file}{error}", at.message));
    target.problem(problem).into()
}

/// One query of the target file in a round.
pub(crate) async fn rows(
    target: &Target,
    database: &mut dyn Database,
    sql: &toml::Spanned<String>,
    key: Option<&str>,
) -> Result<Vec<Row>, Failure> {
    database.query(sql.get_ref(), key).await.map_err(|error| {
        let at = Problem::new(sql.span(), "this query failed");
        of_the_file(target, &at, "", error)
    })
}
