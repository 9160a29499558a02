//! Tasks as rows.

use gloaming_api::TaskId;
use gloaming_api::task::TaskState;
use jiff::Timestamp;
use rusqlite::types::{FromSql, Type};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::plane::NewEffect;
use crate::plane::machine::{Task, Try, repo_key};
use crate::sqlite::Cause;

/// A task with the number of its row.
#[derive(Debug)]
pub(super) struct TaskRow {
    pub(super) seq: i64,
    pub(super) task: Task,
    /// How long its text was: it only grows.
    text: usize,
}

/// What [`task_of`] reads, of the tables `task` and `asked`.
pub(super) const TASK: &str = "t.seq, t.standing, a.asked, a.text";

/// Returns a task of a row of [`TASK`].
pub(super) fn task_of(row: &Row<'_>) -> rusqlite::Result<TaskRow> {
    let text: String = row.get(3)?;
    let length = text.len();
    let task = Task { asked: json_at(row, 2)?, text, now: json_at(row, 1)?, told: Vec::new() };
    Ok(TaskRow { seq: row.get(0)?, task, text: length })
}

/// Returns the task of an id.
pub(super) fn find(db: &Connection, id: &TaskId) -> Result<Option<TaskRow>, Cause> {
    let sql = format!("SELECT {TASK} FROM task t JOIN asked a ON a.task = t.seq WHERE t.id = ?1");
    Ok(db.prepare_cached(&sql)?.query_row([id.as_str()], task_of).optional()?)
}

/// Returns the task of a row.
pub(super) fn at(db: &Connection, seq: i64) -> Result<TaskRow, Cause> {
    let sql = format!("SELECT {TASK} FROM task t JOIN asked a ON a.task = t.seq WHERE t.seq = ?1");
    Ok(db.prepare_cached(&sql)?.query_row([seq], task_of)?)
}

/// Returns the number of a task's row.
pub(super) fn seq_of(db: &Connection, id: &TaskId) -> Result<Option<i64>, Cause> {
    let mut query = db.prepare_cached("SELECT seq FROM task WHERE id = ?1")?;
    Ok(query.query_row([id.as_str()], |row| row.get(0)).optional()?)
}

/// Writes a new task down, with its events.
pub(super) fn insert(db: &Connection, task: Task, now: Timestamp) -> Result<TaskRow, Cause> {
    db.prepare_cached(
        "INSERT INTO task (id, repo, state, priority, needs, supersede, ready, ready_at, expires_at, created_at,
                           updated_at, standing, spelt, kind)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
    )?
    .execute(params![
        task.asked.id.as_str(),
        repo_key(&task.asked.new.repo),
        task.now.state.as_str(),
        task.asked.new.priority,
        task.needs(),
        task.asked.new.supersede,
        is_ready(&task),
        task.now.ready_at.map(Timestamp::as_microsecond),
        expires_at(&task),
        task.asked.created_at.as_microsecond(),
        task.now.updated_at.as_microsecond(),
        json(&task.now)?,
        task.asked.new.repo.as_str(),
        json(&task.asked.new.kind)?,
    ])?;
    let seq = db.last_insert_rowid();
    db.prepare_cached("INSERT INTO asked VALUES (?1, ?2, ?3)")?.execute(params![
        seq,
        json(&task.asked)?,
        task.text
    ])?;
    let mut row = TaskRow { seq, text: task.text.len(), task };
    tell(db, &mut row, now)?;
    Ok(row)
}

/// Writes down where a task stands now, and what happened to it.
pub(super) fn save(db: &Connection, row: &mut TaskRow, now: Timestamp) -> Result<(), Cause> {
    let task = &row.task;
    db.prepare_cached(
        "UPDATE task SET state = ?2, ready = ?3, ready_at = ?4, expires_at = ?5, updated_at = ?6, standing = ?7
         WHERE seq = ?1",
    )?
    .execute(params![
        row.seq,
        task.now.state.as_str(),
        is_ready(task),
        task.now.ready_at.map(Timestamp::as_microsecond),
        expires_at(task),
        task.now.updated_at.as_microsecond(),
        json(&task.now)?,
    ])?;
    if task.text.len() != row.text {
        db.prepare_cached("UPDATE asked SET text = ?2 WHERE task = ?1")?
            .execute(params![row.seq, task.text])?;
        row.text = task.text.len();
    }
    tell(db, row, now)
}

fn is_ready(task: &Task) -> bool {
    task.is_ready(task.now.updated_at)
}

fn expires_at(task: &Task) -> Option<i64> {
    task.now.held.as_ref().map(|held| held.expires_at.as_microsecond())
}

fn tell(db: &Connection, row: &mut TaskRow, now: Timestamp) -> Result<(), Cause> {
    for kind in std::mem::take(&mut row.task.told) {
        db.prepare_cached(
            "INSERT INTO event (task, seq, at, kind)
             VALUES (?1, 1 + coalesce((SELECT max(seq) FROM event WHERE task = ?1), 0), ?2, ?3)",
        )?
        .execute(params![row.seq, now.as_microsecond(), json(&kind)?])?;
    }
    Ok(())
}

/// Returns an attempt at a task.
pub(super) fn attempt(db: &Connection, task: i64, number: u32) -> Result<Option<Try>, Cause> {
    let mut query = db.prepare_cached(
        "SELECT token, worker, next, bytes, ended, came_to FROM attempt WHERE task = ?1 AND number = ?2",
    )?;
    let found = query.query_row(params![task, number], |row| {
        let end = match (row.get::<_, Option<String>>(4)?, row.get::<_, Option<String>>(5)?) {
            (Some(digest), Some(state)) => Some((parsed(&digest, 4)?, named(&state, 5)?)),
            _ => None,
        };
        Ok(Try {
            attempt: number,
            token: row.get(0)?,
            worker: row.get(1)?,
            next: unsigned(row, 2)?,
            bytes: unsigned(row, 3)?,
            end,
        })
    });
    Ok(found.optional()?)
}

/// Writes an effect down, where its key is a new one.
pub(super) fn ask(
    db: &Connection,
    task: Option<&TaskId>,
    what: &NewEffect,
    now: Timestamp,
) -> Result<(), Cause> {
    db.prepare_cached(
        "INSERT INTO effect (key, task, kind, payload, due_at)
         SELECT ?1, ?2, ?3, ?4, ?5 WHERE NOT EXISTS (SELECT 1 FROM effect WHERE key = ?1)",
    )?
    .execute(params![
        what.key,
        task.map(TaskId::as_str),
        what.kind,
        json(&what.payload)?,
        now.as_microsecond()
    ])?;
    Ok(())
}

/// A value as JSON.
pub(super) fn json(value: &impl Serialize) -> Result<String, Cause> {
    Ok(serde_json::to_string(value)?)
}

/// The value of a column of JSON.
pub(super) fn json_at<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text).map_err(|error| unfit(column, error.into()))
}

/// The time of a column of microseconds.
pub(super) fn time_at(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    Timestamp::from_microsecond(row.get(column)?).map_err(|error| unfit(column, error.into()))
}

/// The value of a column of text that is parsed.
pub(super) fn parsed_at<T>(row: &Row<'_>, column: usize) -> rusqlite::Result<T>
where
    T: std::str::FromStr<Err: Into<Cause>>,
{
    parsed(&row.get::<_, String>(column)?, column)
}

fn parsed<T>(text: &str, column: usize) -> rusqlite::Result<T>
where
    T: std::str::FromStr<Err: Into<Cause>>,
{
    text.parse().map_err(|error: T::Err| unfit(column, error.into()))
}

/// The state of a name.
pub(super) fn named(name: &str, column: usize) -> rusqlite::Result<TaskState> {
    TaskState::named(name).ok_or_else(|| unfit(column, format!("{name:?} is no state of a task").into()))
}

/// A number that is never below zero.
pub(super) fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let value: i64 =
        FromSql::column_result(row.get_ref(column)?).map_err(|error| unfit(column, error.into()))?;
    Ok(value.max(0).cast_unsigned())
}

fn unfit(column: usize, why: Cause) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, why)
}

/// A number as SQLite holds it; what is beyond it is the largest.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
