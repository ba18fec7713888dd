//! Whose turn it is, of a backlog: in the order of the time without sorting, and without what has been delivered.

use sea_orm_migration::prelude::*;

#[derive(Debug, DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for statement in [
            "DROP INDEX deliveries_due",
            "CREATE INDEX deliveries_due ON deliveries (webhook_id, next_at, sequence) WHERE state = 'waiting'",
            "DROP INDEX deliveries_order",
            "CREATE INDEX deliveries_order ON deliveries (webhook_id, order_key, sequence) WHERE state = 'waiting'",
        ] {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for statement in [
            "DROP INDEX deliveries_order",
            "CREATE INDEX deliveries_order ON deliveries (webhook_id, order_key, sequence)",
            "DROP INDEX deliveries_due",
            "CREATE INDEX deliveries_due ON deliveries (webhook_id, state, next_at)",
        ] {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        Ok(())
    }

    // SQLite can do it too, and half a schema is worse than none.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
