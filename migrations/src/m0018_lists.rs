//! What lists are ordered and filtered by: an index for each, and none twice.
//!
//! Tickets with a label are found in the order of a list only if the label knows that order: each row of `ticket_labels`
//! has it from its ticket, and triggers keep it so.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

#[derive(Debug, DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, LABELS).await?;
        let triggers: &[&str] = if manager.get_database_backend() == DbBackend::Sqlite {
            &SQLITE
        } else {
            &POSTGRES
        };
        for statement in triggers {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        run(manager, INDEXES).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if manager.get_database_backend() == DbBackend::Sqlite {
            run(
                manager,
                "DROP TRIGGER ticket_labels_begin;\nDROP TRIGGER ticket_labels_follow;\n",
            )
            .await?;
        } else {
            run(
                manager,
                "DROP TRIGGER ticket_labels_follow ON tickets;\nDROP TRIGGER ticket_labels_begin ON ticket_labels;\n\
                 DROP FUNCTION ticket_labels_follow;\nDROP FUNCTION ticket_labels_begin;\n",
            )
            .await?;
        }
        run(manager, DOWN).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

async fn run(manager: &SchemaManager<'_>, script: &str) -> Result<(), DbErr> {
    for statement in script.split(";\n").map(str::trim) {
        if !statement.is_empty() {
            manager.get_connection().execute_unprepared(statement).await?;
        }
    }
    Ok(())
}

/// `urgency` is what the order by priority goes by, as in the index `tickets_by_priority`.
const LABELS: &str = r"
ALTER TABLE ticket_labels ADD COLUMN project_id TEXT NOT NULL DEFAULT '';
ALTER TABLE ticket_labels ADD COLUMN updated_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE ticket_labels ADD COLUMN created_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE ticket_labels ADD COLUMN urgency BIGINT NOT NULL DEFAULT 0;
UPDATE ticket_labels SET project_id = t.project_id, updated_at = t.updated_at, created_at = t.created_at, urgency = CASE t.priority WHEN 'urgent' THEN 3 WHEN 'high' THEN 2 WHEN 'normal' THEN 1 ELSE 0 END * 100000000000000 + t.updated_at FROM tickets AS t WHERE t.id = ticket_labels.ticket_id;
";

const SQLITE: [&str; 3] = [
    "CREATE INDEX audit_events_family ON audit_events (substr(action, 1, instr(action, '.') - 1), id)",
    "CREATE TRIGGER ticket_labels_begin AFTER INSERT ON ticket_labels BEGIN \
     UPDATE ticket_labels SET (project_id, updated_at, created_at, urgency) = (SELECT t.project_id, t.updated_at, \
     t.created_at, \
     CASE t.priority WHEN 'urgent' THEN 3 WHEN 'high' THEN 2 WHEN 'normal' THEN 1 ELSE 0 END * 100000000000000 \
     + t.updated_at FROM tickets AS t WHERE t.id = NEW.ticket_id) \
     WHERE label = NEW.label AND ticket_id = NEW.ticket_id; END",
    "CREATE TRIGGER ticket_labels_follow AFTER UPDATE OF updated_at, priority ON tickets BEGIN \
     UPDATE ticket_labels SET updated_at = NEW.updated_at, urgency = CASE NEW.priority WHEN 'urgent' THEN 3 \
     WHEN 'high' THEN 2 WHEN 'normal' THEN 1 ELSE 0 END * 100000000000000 + NEW.updated_at \
     WHERE ticket_id = NEW.id; END",
];

const POSTGRES: [&str; 5] = [
    "CREATE INDEX audit_events_family ON audit_events (split_part(action, '.', 1), id)",
    "CREATE FUNCTION ticket_labels_begin() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
     SELECT t.project_id, t.updated_at, t.created_at, CASE t.priority WHEN 'urgent' THEN 3 WHEN 'high' THEN 2 \
     WHEN 'normal' THEN 1 ELSE 0 END * 100000000000000 + t.updated_at \
     INTO NEW.project_id, NEW.updated_at, NEW.created_at, NEW.urgency FROM tickets AS t WHERE t.id = NEW.ticket_id; RETURN NEW; END $$",
    "CREATE TRIGGER ticket_labels_begin BEFORE INSERT ON ticket_labels \
     FOR EACH ROW EXECUTE FUNCTION ticket_labels_begin()",
    "CREATE FUNCTION ticket_labels_follow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
     UPDATE ticket_labels SET updated_at = NEW.updated_at, urgency = CASE NEW.priority WHEN 'urgent' THEN 3 \
     WHEN 'high' THEN 2 WHEN 'normal' THEN 1 ELSE 0 END * 100000000000000 + NEW.updated_at \
     WHERE ticket_id = NEW.id; RETURN NULL; END $$",
    "CREATE TRIGGER ticket_labels_follow AFTER UPDATE OF updated_at, priority ON tickets \
     FOR EACH ROW EXECUTE FUNCTION ticket_labels_follow()",
];

const INDEXES: &str = r"
CREATE INDEX ticket_labels_updated ON ticket_labels (label, updated_at, ticket_id);
CREATE INDEX ticket_labels_created ON ticket_labels (label, created_at, ticket_id);
CREATE INDEX ticket_labels_urgency ON ticket_labels (label, urgency, ticket_id);
CREATE INDEX ticket_labels_project_updated ON ticket_labels (label, project_id, updated_at, ticket_id);
CREATE INDEX ticket_labels_project_created ON ticket_labels (label, project_id, created_at, ticket_id);
CREATE INDEX ticket_labels_project_urgency ON ticket_labels (label, project_id, urgency, ticket_id);
DROP INDEX tickets_project;
DROP INDEX tickets_updated;
DROP INDEX tickets_created;
CREATE INDEX tickets_project_updated ON tickets (project_id, updated_at, id);
CREATE INDEX tickets_project_created ON tickets (project_id, created_at, id);
CREATE INDEX tickets_project_priority ON tickets (project_id, (CASE priority WHEN 'urgent' THEN 3 WHEN 'high' THEN 2 WHEN 'normal' THEN 1 ELSE 0 END * 100000000000000 + updated_at), id);
CREATE INDEX tickets_state_created ON tickets (state, created_at, id);
CREATE INDEX tickets_assignee_created ON tickets (assignee_id, created_at, id);
CREATE INDEX tickets_assignee_priority ON tickets (assignee_id, (CASE priority WHEN 'urgent' THEN 3 WHEN 'high' THEN 2 WHEN 'normal' THEN 1 ELSE 0 END * 100000000000000 + updated_at), id);
CREATE INDEX tickets_priority_created ON tickets (priority, created_at, id);
DROP INDEX messages_by_ticket;
CREATE INDEX messages_project ON messages (project_id, id);
CREATE INDEX messages_of_state ON messages (state, id);
CREATE INDEX messages_project_state ON messages (project_id, state, id);
CREATE INDEX deliveries_of_type ON deliveries (webhook_id, type, id);
CREATE INDEX deliveries_open ON deliveries (webhook_id, state, id) WHERE state <> 'delivered';
CREATE INDEX outgoing_mails_state ON outgoing_mails (state, id);
CREATE INDEX outgoing_mails_kind ON outgoing_mails (kind, id);
CREATE INDEX outgoing_mails_project ON outgoing_mails (project_id, id);
CREATE INDEX audit_events_target_kind ON audit_events (target_kind, id);
CREATE INDEX audit_events_via ON audit_events (via, id);
";

const DOWN: &str = r"
DROP INDEX audit_events_family;
DROP INDEX audit_events_via;
DROP INDEX audit_events_target_kind;
DROP INDEX outgoing_mails_project;
DROP INDEX outgoing_mails_kind;
DROP INDEX outgoing_mails_state;
DROP INDEX deliveries_open;
DROP INDEX deliveries_of_type;
DROP INDEX messages_project_state;
DROP INDEX messages_of_state;
DROP INDEX messages_project;
CREATE INDEX messages_by_ticket ON messages (ticket_id, mailbox_id);
DROP INDEX tickets_priority_created;
DROP INDEX tickets_assignee_priority;
DROP INDEX tickets_assignee_created;
DROP INDEX tickets_state_created;
DROP INDEX tickets_project_priority;
DROP INDEX tickets_project_created;
DROP INDEX tickets_project_updated;
CREATE INDEX tickets_created ON tickets (created_at);
CREATE INDEX tickets_updated ON tickets (updated_at);
CREATE INDEX tickets_project ON tickets (project_id, updated_at);
DROP INDEX ticket_labels_project_urgency;
DROP INDEX ticket_labels_project_created;
DROP INDEX ticket_labels_project_updated;
DROP INDEX ticket_labels_urgency;
DROP INDEX ticket_labels_created;
DROP INDEX ticket_labels_updated;
ALTER TABLE ticket_labels DROP COLUMN urgency;
ALTER TABLE ticket_labels DROP COLUMN created_at;
ALTER TABLE ticket_labels DROP COLUMN updated_at;
ALTER TABLE ticket_labels DROP COLUMN project_id;
";
