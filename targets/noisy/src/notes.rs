//! Notes, and what happens to them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderName, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::PgConnection;

use crate::Service;
use crate::error::Error;
use crate::noise::{self, Now};

const LINK_HOLDS: Duration = Duration::from_mins(10);

/// What every answer bears, so that it can be found in a log.
type RequestId = [(HeaderName, String); 1];

fn request_id() -> RequestId {
    [(HeaderName::from_static("x-request-id"), noise::id())]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewNote {
    author: String,
    text: String,
}

#[derive(Serialize, sqlx::FromRow)]
struct Note {
    id: String,
    author: String,
    text: String,
    likes: i64,
    created_ms: i64,
}

/// `POST /notes`
pub async fn create(
    State(service): State<Arc<Service>>,
    Json(new): Json<NewNote>,
) -> Result<(StatusCode, RequestId, Json<Value>), Error> {
    let (begun, now) = (Instant::now(), Now::read());
    let (id, token) = (noise::id(), noise::token());
    let mut tx = service.pool.begin().await?;
    let inserted = sqlx::query(
        "INSERT INTO notes (id, author_id, text, token, created_ms)
         SELECT $1::uuid, id, $3, $4, $5 FROM authors WHERE id::text = $2",
    )
    .bind(&id)
    .bind(&new.author)
    .bind(&new.text)
    .bind(&token)
    .bind(now.millis())
    .execute(&mut *tx)
    .await?;
    if inserted.rows_affected() == 0 {
        return Err(Error::NotFound("author"));
    }
    let details = json!({ "note": id, "author": new.author, "at": now.rfc3339() });
    happened(&mut tx, &id, "created", &details).await?;
    tx.commit().await?;
    let created = json!({
        "id": id,
        "author": new.author,
        "text": new.text,
        "token": token,
        "created_at": now.rfc3339(),
        "created_ms": now.millis(),
        "took_ms": noise::took_ms(begun),
    });
    Ok((StatusCode::CREATED, request_id(), Json(created)))
}

/// `POST /notes/{id}/likes`
pub async fn like(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
) -> Result<(RequestId, Json<Value>), Error> {
    let (begun, now) = (Instant::now(), Now::read());
    let mut tx = service.pool.begin().await?;
    let likes = if service.bugs.lost_update {
        add_to_what_was_read(&mut tx, &id).await?
    } else {
        sqlx::query_scalar("UPDATE notes SET likes = likes + 1 WHERE id = $1::uuid RETURNING likes")
            .bind(&id)
            .fetch_optional(&mut *tx)
            .await?
    };
    let likes: i64 = likes.ok_or(Error::NotFound("note"))?;
    let details = json!({ "note": id, "at": now.seconds() });
    happened(&mut tx, &id, "liked", &details).await?;
    tx.commit().await?;
    let answer = json!({
        "id": id,
        "likes": likes,
        "at": now.seconds(),
        "took_ms": noise::took_ms(begun),
    });
    Ok((request_id(), Json(answer)))
}

async fn add_to_what_was_read(tx: &mut PgConnection, id: &str) -> Result<Option<i64>, Error> {
    let likes = sqlx::query_scalar("SELECT likes FROM notes WHERE id = $1::uuid")
        .bind(id)
        .fetch_optional(&mut *tx)
        .await?;
    let Some(likes): Option<i64> = likes else {
        return Ok(None);
    };
    sqlx::query("UPDATE notes SET likes = $2 WHERE id = $1::uuid")
        .bind(id)
        .bind(likes + 1)
        .execute(tx)
        .await?;
    Ok(Some(likes + 1))
}

/// Writes down what happened to a note.
async fn happened(
    tx: &mut PgConnection,
    note: &str,
    kind: &str,
    details: &Value,
) -> Result<(), Error> {
    sqlx::query("INSERT INTO activities (note_id, kind, details) VALUES ($1::uuid, $2, $3)")
        .bind(note)
        .bind(kind)
        .bind(details.to_string())
        .execute(tx)
        .await?;
    Ok(())
}

/// `GET /notes`, in no order.
pub async fn list(State(service): State<Arc<Service>>) -> Result<(RequestId, Json<Value>), Error> {
    let begun = Instant::now();
    let notes: Vec<Note> = sqlx::query_as(
        "SELECT id::text AS id, author_id::text AS author, text, likes, created_ms FROM notes",
    )
    .fetch_all(&service.pool)
    .await?;
    let notes: HashMap<String, Note> = notes
        .into_iter()
        .map(|note| (note.id.clone(), note))
        .collect();
    let list = json!({
        "notes": notes.into_values().collect::<Vec<_>>(),
        "as_of": Now::read().rfc3339(),
        "took_ms": noise::took_ms(begun),
    });
    Ok((request_id(), Json(list)))
}

/// `GET /notes/{id}`, with a link that expires.
pub async fn share(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
) -> Result<(RequestId, Json<Value>), Error> {
    let note: Note = sqlx::query_as(
        "SELECT id::text AS id, author_id::text AS author, text, likes, created_ms
         FROM notes WHERE id::text = $1",
    )
    .bind(&id)
    .fetch_optional(&service.pool)
    .await?
    .ok_or(Error::NotFound("note"))?;
    let expires = Now::read().later(LINK_HOLDS);
    let (seconds, signature) = (expires.seconds(), noise::signature(&id, expires.seconds()));
    let shared = json!({
        "note": note,
        "link": format!("/notes/{id}?expires={seconds}&signature={signature}"),
        "expires_at": expires.rfc3339(),
    });
    Ok((request_id(), Json(shared)))
}
