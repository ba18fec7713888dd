//! Labels that rules gave in earlier versions, written as labels are looked for: lower case in every script, single
//! spaces. Where two become one, one is left.

use std::collections::BTreeSet;

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::Statement;

#[derive(Debug, DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let on = manager.get_connection();
        let of = |text: &str, values: Vec<Value>| {
            Statement::from_sql_and_values(on.get_database_backend(), text, values)
        };
        let labelled =
            "SELECT id, labels FROM tickets WHERE labels <> '[]' AND id > $1 ORDER BY id LIMIT 1000";
        let mut after = String::new();
        loop {
            let rows = on.query_all_raw(of(labelled, vec![after.clone().into()])).await?;
            let Some(last) = rows.last() else {
                return Ok(());
            };
            after = last.try_get("", "id")?;
            for row in rows {
                let (id, labels): (String, String) = (row.try_get("", "id")?, row.try_get("", "labels")?);
                let Some((new, set)) = normal(&labels) else {
                    continue;
                };
                on.execute_raw(of(
                    "UPDATE tickets SET labels = $1 WHERE id = $2",
                    vec![new.into(), id.clone().into()],
                ))
                .await?;
                on.execute_raw(of(
                    "DELETE FROM ticket_labels WHERE ticket_id = $1",
                    vec![id.clone().into()],
                ))
                .await?;
                for label in set {
                    let text = "INSERT INTO ticket_labels (label, ticket_id) VALUES ($1, $2)";
                    on.execute_raw(of(text, vec![label.into(), id.clone().into()]))
                        .await?;
                }
            }
        }
    }

    async fn down(&self, _manager: &SchemaManager) -> Result<(), DbErr> {
        Ok(())
    }

    // SQLite can do it too, and half a schema is worse than none.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

/// The JSON and the labels as they should be, if they are not so already.
fn normal(labels: &str) -> Option<(String, BTreeSet<String>)> {
    let before: Vec<String> = serde_json::from_str(labels).ok()?;
    let set: BTreeSet<String> = before
        .iter()
        .map(|label| label_of(label))
        .filter(|label| !label.is_empty())
        .collect();
    let is_so = before.iter().eq(set.iter());
    (!is_so).then(|| (serde_json::json!(set).to_string(), set))
}

fn label_of(text: &str) -> String {
    let plain = text.replace(|c: char| c.is_control() || c == ',', " ");
    let words: Vec<&str> = plain.split_whitespace().collect();
    words.join(" ").to_lowercase().chars().take(50).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_every_script_become_what_is_looked_for() {
        let (json, set) = normal(r#"["VIP  Kunde","Übersetzung","vip kunde"," "]"#).unwrap();
        assert_eq!(json, r#"["vip kunde","übersetzung"]"#);
        assert_eq!(set.len(), 2);
        assert!(normal(&json).is_none(), "and stay so");
    }
}
