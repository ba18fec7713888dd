//! One statement for many rows.
//!
//! A statement is prepared once for each text, so the number of rows must not be part of it: a batch goes in parts of 64,
//! 32, … and 1 rows. A hundred rows are three statements, and seven texts serve batches of any size.

use sea_orm::{ConnectionTrait, DbErr, QueryResult, Value};

use super::sql;

/// The most rows of one statement.
pub(super) const MOST: usize = 64;

/// Runs a statement for many rows at once, in their order, and returns what it gives back. In the text `{rows}` stands
/// for `($1, $2), ($3, $4)`: `INSERT … VALUES {rows}`, `… WHERE id IN (VALUES {rows})`, or
/// `WITH v (id, name) AS (VALUES {rows}) UPDATE … FROM v …`. Every row has the same number of values, at least one.
pub async fn with_rows<C: ConnectionTrait, const N: usize>(
    on: &C,
    text: &str,
    rows: Vec<[Value; N]>,
) -> Result<Vec<QueryResult>, DbErr> {
    let mut found = Vec::new();
    let mut rows = rows.into_iter();
    while rows.len() > 0 {
        let count = part_of(rows.len());
        let values = rows.by_ref().take(count).flatten();
        let statement = sql(on, &text.replace("{rows}", &places(count, N)), values);
        found.extend(on.query_all_raw(statement).await?);
    }
    Ok(found)
}

/// The largest power of two that is not larger than `left`, nor than [`MOST`].
fn part_of(left: usize) -> usize {
    let mut count = MOST;
    while count > left.max(1) {
        count /= 2;
    }
    count
}

fn places(rows: usize, columns: usize) -> String {
    let row = |row: usize| {
        let places: Vec<String> = (row * columns + 1..=(row + 1) * columns)
            .map(|place| format!("${place}"))
            .collect();
        format!("({})", places.join(", "))
    };
    (0..rows).map(row).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::Db;

    #[test]
    fn batches_of_any_size_need_seven_texts() {
        let parts = |mut left: usize| {
            let mut parts = Vec::new();
            while left > 0 {
                parts.push(part_of(left));
                left -= part_of(left);
            }
            parts
        };
        assert_eq!(parts(100), [64, 32, 4]);
        assert_eq!(parts(130), [64, 64, 2]);
        assert_eq!(parts(1), [1]);
        assert_eq!(places(2, 3), "($1, $2, $3), ($4, $5, $6)");
    }

    #[tokio::test]
    async fn every_row_is_written_and_read_once_and_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::open(&format!("sqlite:{}", dir.path().join("t.db").display()))
            .await
            .unwrap();
        let on = db.write();
        on.execute_unprepared("CREATE TABLE t (id BIGINT PRIMARY KEY, name TEXT)")
            .await
            .unwrap();
        let rows: Vec<[Value; 2]> = (0..150_i64).map(|n| [n.into(), format!("n{n}").into()]).collect();
        let text = "INSERT INTO t (id, name) VALUES {rows} ON CONFLICT DO NOTHING RETURNING id";
        assert_eq!(with_rows(on, text, rows.clone()).await.unwrap().len(), 150);
        assert!(with_rows(on, text, rows).await.unwrap().is_empty());
        let ids: Vec<[Value; 1]> = [149_i64, 7, 999].into_iter().map(|id| [id.into()]).collect();
        let text = "SELECT name FROM t WHERE id IN (VALUES {rows})";
        let found = with_rows(on, text, ids).await.unwrap();
        let mut names: Vec<String> = found.iter().map(|row| row.try_get("", "name").unwrap()).collect();
        names.sort();
        assert_eq!(names, ["n149", "n7"]);
        let none: Vec<[Value; 1]> = Vec::new();
        assert!(with_rows(on, text, none).await.unwrap().is_empty());
    }
}
