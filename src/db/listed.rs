//! Lists: conditions that grow, and the first rows in an order that an index has.
//!
//! Rows of several projects in one order are found by no index. They are asked for project by project, each in its order
//! and no more than are wanted, and the heads put together.

use sea_orm::{ConnectionTrait, Statement, Value};

use super::{sql, within_sql};
use crate::access::Projects;

/// Most projects that are asked one by one: beyond that there are more heads than rows to read over.
const MOST_HEADS: usize = 20;

/// A condition that grows, with its values.
#[derive(Debug, Default)]
pub struct Where {
    /// What must hold, all of it.
    pub all: Vec<String>,
    /// The values, from `$1`.
    pub values: Vec<Value>,
}

impl Where {
    /// Takes a value and returns its name.
    pub fn value(&mut self, value: impl Into<Value>) -> String {
        self.values.push(value.into());
        format!("${}", self.values.len())
    }

    /// `{}` in the text is the value.
    pub fn and(&mut self, text: &str, value: impl Into<Value>) {
        let name = self.value(value);
        self.all.push(text.replace("{}", &name));
    }

    /// The row has the revision that was seen; any, if nobody says which.
    pub fn and_revision(&mut self, seen: Option<i64>) {
        if let Some(seen) = seen {
            self.and("revision = {}", seen);
        }
    }

    /// The column holds one of these.
    pub fn and_in(&mut self, column: &str, values: &[String]) {
        let names: Vec<String> = values.iter().map(|value| self.value(value.as_str())).collect();
        self.all.push(match names.as_slice() {
            [] => "1 = 0".to_owned(),
            _ => format!("{column} IN ({})", names.join(", ")),
        });
    }

    /// The column holds one of these projects.
    pub fn and_projects(&mut self, column: &str, projects: &Projects) {
        let (text, values) = within_sql(projects, column, self.values.len() + 1);
        self.all.push(text);
        self.values.extend(values);
    }

    /// The condition.
    pub fn text(&self) -> String {
        if self.all.is_empty() {
            "1 = 1".to_owned()
        } else {
            self.all.join(" AND ")
        }
    }
}

/// A list of the rows of one table.
#[derive(Clone, Copy, Debug)]
pub struct Listed<'a> {
    /// What is read of each row: `t.*`, or columns that keep their names.
    pub columns: &'a str,
    /// The table, called `t`, and what it is joined with.
    pub from: &'a str,
    /// The column that holds the project.
    pub project: &'a str,
    /// The order, in columns of whatever is in `from`.
    pub order: &'a str,
    /// The same in columns of `t`.
    pub order_of_all: &'a str,
    /// How many rows at most.
    pub limit: u64,
}

impl Listed<'_> {
    /// The statement: the rows of these projects that fulfil a condition.
    pub fn statement<C: ConnectionTrait>(&self, on: &C, mut all: Where, projects: &Projects) -> Statement {
        let Self {
            columns,
            from,
            project,
            order,
            limit,
            ..
        } = self;
        let heads = match projects {
            Projects::Only(ids) if ids.len() <= MOST_HEADS => ids.iter().collect(),
            Projects::Only(_) | Projects::All => Vec::new(),
        };
        if heads.len() < 2 {
            match heads.first() {
                Some(only) => all.and(&format!("{project} = {{}}"), only.as_str()),
                None => all.and_projects(project, projects),
            }
            let text = format!(
                "SELECT {columns} FROM {from} WHERE {} ORDER BY {order} LIMIT {limit}",
                all.text()
            );
            return sql(on, &text, all.values);
        }
        let others = all.text();
        let heads: Vec<String> = heads
            .into_iter()
            .map(|id| {
                let name = all.value(id.as_str());
                format!(
                    "SELECT * FROM (SELECT {columns} FROM {from} WHERE {others} AND {project} = {name} \
                     ORDER BY {order} LIMIT {limit}) AS head"
                )
            })
            .collect();
        let text = format!(
            "SELECT t.* FROM ({}) AS t ORDER BY {} LIMIT {limit}",
            heads.join(" UNION ALL "),
            self.order_of_all
        );
        sql(on, &text, all.values)
    }
}

#[cfg(test)]
pub(crate) mod testkit {
    //! What SQLite means to do for a list.

    use super::*;

    /// Asks that a list is read from an index in its order: no row is passed over that the filter does not want, and none
    /// is sorted but the heads of several projects, which are asked for in turn as if each were alone.
    pub(crate) async fn is_indexed<C: ConnectionTrait>(on: &C, what: &str, statement: Statement) {
        let is_of_several = statement.sql.contains("UNION ALL");
        let explained = Statement {
            sql: format!("EXPLAIN QUERY PLAN {}", statement.sql),
            ..statement
        };
        let steps: Vec<String> = on
            .query_all_raw(explained)
            .await
            .unwrap()
            .iter()
            .map(|row| row.try_get("", "detail").unwrap())
            .collect();
        let is_bad = |step: &String| match step.as_str() {
            "SCAN head" | "SCAN t" => !is_of_several,
            step if step.ends_with("TEMP B-TREE FOR ORDER BY") => !is_of_several,
            step => step.starts_with("SCAN "),
        };
        assert!(!steps.iter().any(is_bad), "{what}: {steps:#?}");
        assert!(
            steps.iter().any(|step| step.starts_with("SEARCH ")),
            "{what}: {steps:#?}"
        );
    }
}
