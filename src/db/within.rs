//! Ownership in the query: what belongs to a project one may not see is not found, rather than refused.

use sea_orm::Value;
use sea_orm::sea_query::{Alias, Condition, Expr, ExprTrait, IntoColumnRef, Query};

use crate::access::Projects;

/// A condition for queries that are built: the column holds one of these projects.
pub fn within(projects: &Projects, column: impl IntoColumnRef) -> Condition {
    match projects {
        Projects::All => Condition::all(),
        // An empty list becomes a condition that nothing fulfils.
        Projects::Only(ids) => Condition::all().add(Expr::col(column).is_in(ids.iter().map(String::as_str))),
    }
}

/// The same where a table of its own says what belongs to which project: the column is a `key` of its rows.
pub fn within_table(
    projects: &Projects,
    column: impl IntoColumnRef,
    table: &'static str,
    key: &'static str,
) -> Condition {
    if projects.is_all() {
        return Condition::all();
    }
    let mine = Query::select()
        .column(Alias::new(key))
        .from(Alias::new(table))
        .cond_where(within(projects, Alias::new("project_id")))
        .to_owned();
    Condition::all().add(Expr::col(column).in_subquery(mine))
}

/// The same for queries that are written, in the way of [`super::sql`]: the condition, whose first value is `$first`,
/// and the values to append.
pub fn within_sql(projects: &Projects, column: &str, first: usize) -> (String, Vec<Value>) {
    match projects {
        Projects::All => ("1 = 1".to_owned(), vec![]),
        Projects::Only(ids) if ids.is_empty() => ("1 = 0".to_owned(), vec![]),
        Projects::Only(ids) => {
            let places: Vec<String> = (first..first + ids.len()).map(|n| format!("${n}")).collect();
            let values = ids.iter().map(|id| id.as_str().into()).collect();
            (format!("{column} IN ({})", places.join(", ")), values)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_project_finds_nothing_and_all_find_everything() {
        assert_eq!(within_sql(&Projects::none(), "project_id", 2).0, "1 = 0");
        assert_eq!(within_sql(&Projects::All, "project_id", 2).0, "1 = 1");
        let two = Projects::Only(["a".to_owned(), "b".to_owned()].into());
        let (text, values) = within_sql(&two, "t.project_id", 3);
        assert_eq!(text, "t.project_id IN ($3, $4)");
        assert_eq!(values, vec![Value::from("a"), Value::from("b")]);
    }
}
