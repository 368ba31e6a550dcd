//! The transaction of a request: statement after statement, counted.

use sqlx::pool::PoolConnection;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{PgConnection, Postgres, Transaction};

use crate::Service;
use crate::error::Error;

/// A request's work in the database. Dropped before it is committed, it is undone.
pub struct Work {
    transaction: Transaction<'static, Postgres>,
    /// Where accounts are handled, if not in the transaction.
    apart: Option<PoolConnection<Postgres>>,
    locks: bool,
    statements: u32,
}

impl Work {
    pub async fn begin(service: &Service) -> Result<Work, Error> {
        let apart = if service.bugs.forgotten_transaction {
            Some(service.pool.acquire().await?)
        } else {
            None
        };
        Ok(Work {
            transaction: service.pool.begin().await?,
            apart,
            locks: !service.bugs.no_lock,
            statements: 1,
        })
    }

    pub async fn run(&mut self, query: Query<'_, Postgres, PgArguments>) -> Result<(), Error> {
        self.statements += 1;
        query.execute(&mut *self.transaction).await?;
        Ok(())
    }

    /// What an account holds.
    pub async fn balance(&mut self, account: i64) -> Result<i64, Error> {
        self.statements += 1;
        // A payment that refers to the account must not wait for this one.
        let sql = if self.locks {
            "SELECT balance_cents FROM accounts WHERE id = $1 FOR NO KEY UPDATE"
        } else {
            "SELECT balance_cents FROM accounts WHERE id = $1"
        };
        let balance = sqlx::query_scalar(sql).bind(account);
        Ok(balance.fetch_one(self.of_accounts()).await?)
    }

    /// Sets what an account holds.
    pub async fn set_balance(&mut self, account: i64, cents: i64) -> Result<(), Error> {
        self.statements += 1;
        let set = sqlx::query("UPDATE accounts SET balance_cents = $2 WHERE id = $1");
        set.bind(account)
            .bind(cents)
            .execute(self.of_accounts())
            .await?;
        Ok(())
    }

    /// Commits; tells how many statements it was all together.
    pub async fn commit(self) -> Result<u32, Error> {
        self.transaction.commit().await?;
        Ok(self.statements + 1)
    }

    fn of_accounts(&mut self) -> &mut PgConnection {
        match &mut self.apart {
            Some(apart) => apart,
            None => &mut self.transaction,
        }
    }
}
