//! Lists by mailbox, in their order; and which request a key was last worked on by.
//!
//! Which tickets have a message of which mailbox is noted in rows that know their ticket's place in every order of lists,
//! like those of labels, and triggers keep them so. A connection test knows the project of the mailbox it is about.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

#[derive(Debug, DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, TABLES).await?;
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
        run(
            manager,
            match manager.get_database_backend() {
                DbBackend::Sqlite => DOWN_SQLITE,
                _ => DOWN_POSTGRES,
            },
        )
        .await?;
        run(manager, DOWN).await
    }

    // SQLite can do it too, and half a schema is worse than none.
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
const TABLES: &str = r"
CREATE TABLE ticket_mailboxes (
  mailbox_id TEXT NOT NULL,
  ticket_id TEXT NOT NULL REFERENCES tickets(id) ON DELETE CASCADE,
  project_id TEXT NOT NULL,
  updated_at BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  urgency BIGINT NOT NULL,
  PRIMARY KEY (mailbox_id, ticket_id)
);
INSERT INTO ticket_mailboxes (mailbox_id, ticket_id, project_id, updated_at, created_at, urgency)
SELECT DISTINCT m.mailbox_id, t.id, t.project_id, t.updated_at, t.created_at, CASE t.priority WHEN 'urgent' THEN 3 WHEN 'high' THEN 2 WHEN 'normal' THEN 1 ELSE 0 END * 100000000000000 + t.updated_at
FROM messages m JOIN tickets t ON t.id = m.ticket_id;
ALTER TABLE connection_tests ADD COLUMN project_id TEXT NOT NULL DEFAULT '';
UPDATE connection_tests SET project_id = m.project_id FROM mailboxes AS m WHERE m.id = connection_tests.subject_id;
ALTER TABLE idempotency_keys ADD COLUMN request_id TEXT NOT NULL DEFAULT '';
";

const SQLITE: [&str; 7] = [
    "CREATE TRIGGER ticket_mailboxes_begin AFTER INSERT ON messages WHEN NEW.ticket_id <> '' BEGIN \
     INSERT INTO ticket_mailboxes (mailbox_id, ticket_id, project_id, updated_at, created_at, urgency) \
     SELECT NEW.mailbox_id, t.id, t.project_id, t.updated_at, t.created_at, CASE t.priority WHEN 'urgent' THEN 3 \
     WHEN 'high' THEN 2 WHEN 'normal' THEN 1 ELSE 0 END * 100000000000000 + t.updated_at FROM tickets AS t \
     WHERE t.id = NEW.ticket_id ON CONFLICT DO NOTHING; END",
    "CREATE TRIGGER ticket_mailboxes_move AFTER UPDATE OF ticket_id ON messages \
     WHEN NEW.ticket_id <> OLD.ticket_id BEGIN \
     INSERT INTO ticket_mailboxes (mailbox_id, ticket_id, project_id, updated_at, created_at, urgency) \
     SELECT NEW.mailbox_id, t.id, t.project_id, t.updated_at, t.created_at, CASE t.priority WHEN 'urgent' THEN 3 \
     WHEN 'high' THEN 2 WHEN 'normal' THEN 1 ELSE 0 END * 100000000000000 + t.updated_at FROM tickets AS t \
     WHERE t.id = NEW.ticket_id ON CONFLICT DO NOTHING; \
     DELETE FROM ticket_mailboxes WHERE ticket_id = OLD.ticket_id AND mailbox_id = OLD.mailbox_id AND NOT EXISTS \
     (SELECT 1 FROM messages AS m WHERE m.ticket_id = OLD.ticket_id AND m.mailbox_id = OLD.mailbox_id); END",
    "CREATE TRIGGER ticket_mailboxes_end AFTER DELETE ON messages WHEN OLD.ticket_id <> '' BEGIN \
     DELETE FROM ticket_mailboxes WHERE ticket_id = OLD.ticket_id AND mailbox_id = OLD.mailbox_id AND NOT EXISTS \
     (SELECT 1 FROM messages AS m WHERE m.ticket_id = OLD.ticket_id AND m.mailbox_id = OLD.mailbox_id); END",
    "CREATE TRIGGER ticket_mailboxes_follow AFTER UPDATE OF updated_at, priority ON tickets BEGIN \
     UPDATE ticket_mailboxes SET updated_at = NEW.updated_at, urgency = CASE NEW.priority WHEN 'urgent' THEN 3 \
     WHEN 'high' THEN 2 WHEN 'normal' THEN 1 ELSE 0 END * 100000000000000 + NEW.updated_at \
     WHERE ticket_id = NEW.id; END",
    "CREATE TRIGGER connection_tests_begin AFTER INSERT ON connection_tests BEGIN \
     UPDATE connection_tests SET project_id = COALESCE((SELECT m.project_id FROM mailboxes AS m \
     WHERE m.id = NEW.subject_id), '') WHERE id = NEW.id; END",
    "CREATE TRIGGER connection_tests_follow AFTER UPDATE OF project_id ON mailboxes \
     WHEN NEW.project_id <> OLD.project_id BEGIN \
     UPDATE connection_tests SET project_id = NEW.project_id WHERE subject_id = NEW.id; END",
    "CREATE TRIGGER connection_tests_end AFTER DELETE ON mailboxes BEGIN \
     UPDATE connection_tests SET project_id = '' WHERE subject_id = OLD.id; END",
];

const POSTGRES: [&str; 14] = [
    "CREATE FUNCTION ticket_mailboxes_begin() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
     INSERT INTO ticket_mailboxes (mailbox_id, ticket_id, project_id, updated_at, created_at, urgency) \
     SELECT NEW.mailbox_id, t.id, t.project_id, t.updated_at, t.created_at, CASE t.priority WHEN 'urgent' THEN 3 \
     WHEN 'high' THEN 2 WHEN 'normal' THEN 1 ELSE 0 END * 100000000000000 + t.updated_at FROM tickets AS t \
     WHERE t.id = NEW.ticket_id ON CONFLICT DO NOTHING; RETURN NULL; END $$",
    "CREATE TRIGGER ticket_mailboxes_begin AFTER INSERT ON messages \
     FOR EACH ROW WHEN (NEW.ticket_id <> '') EXECUTE FUNCTION ticket_mailboxes_begin()",
    "CREATE TRIGGER ticket_mailboxes_move_in AFTER UPDATE OF ticket_id ON messages \
     FOR EACH ROW WHEN (NEW.ticket_id <> OLD.ticket_id) EXECUTE FUNCTION ticket_mailboxes_begin()",
    "CREATE FUNCTION ticket_mailboxes_end() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
     DELETE FROM ticket_mailboxes WHERE ticket_id = OLD.ticket_id AND mailbox_id = OLD.mailbox_id AND NOT EXISTS \
     (SELECT 1 FROM messages AS m WHERE m.ticket_id = OLD.ticket_id AND m.mailbox_id = OLD.mailbox_id); \
     RETURN NULL; END $$",
    "CREATE TRIGGER ticket_mailboxes_move_out AFTER UPDATE OF ticket_id ON messages \
     FOR EACH ROW WHEN (NEW.ticket_id <> OLD.ticket_id) EXECUTE FUNCTION ticket_mailboxes_end()",
    "CREATE TRIGGER ticket_mailboxes_end AFTER DELETE ON messages \
     FOR EACH ROW WHEN (OLD.ticket_id <> '') EXECUTE FUNCTION ticket_mailboxes_end()",
    "CREATE FUNCTION ticket_mailboxes_follow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
     UPDATE ticket_mailboxes SET updated_at = NEW.updated_at, urgency = CASE NEW.priority WHEN 'urgent' THEN 3 \
     WHEN 'high' THEN 2 WHEN 'normal' THEN 1 ELSE 0 END * 100000000000000 + NEW.updated_at \
     WHERE ticket_id = NEW.id; RETURN NULL; END $$",
    "CREATE TRIGGER ticket_mailboxes_follow AFTER UPDATE OF updated_at, priority ON tickets \
     FOR EACH ROW EXECUTE FUNCTION ticket_mailboxes_follow()",
    "CREATE FUNCTION connection_tests_begin() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
     NEW.project_id = COALESCE((SELECT m.project_id FROM mailboxes AS m WHERE m.id = NEW.subject_id), ''); \
     RETURN NEW; END $$",
    "CREATE TRIGGER connection_tests_begin BEFORE INSERT ON connection_tests \
     FOR EACH ROW EXECUTE FUNCTION connection_tests_begin()",
    "CREATE FUNCTION connection_tests_follow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
     UPDATE connection_tests SET project_id = NEW.project_id WHERE subject_id = NEW.id; RETURN NULL; END $$",
    "CREATE TRIGGER connection_tests_follow AFTER UPDATE OF project_id ON mailboxes \
     FOR EACH ROW WHEN (NEW.project_id <> OLD.project_id) EXECUTE FUNCTION connection_tests_follow()",
    "CREATE FUNCTION connection_tests_end() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
     UPDATE connection_tests SET project_id = '' WHERE subject_id = OLD.id; RETURN NULL; END $$",
    "CREATE TRIGGER connection_tests_end AFTER DELETE ON mailboxes \
     FOR EACH ROW EXECUTE FUNCTION connection_tests_end()",
];

/// The project is in each: a mailbox has few, and who asks may see some of them.
const INDEXES: &str = r"
CREATE INDEX ticket_mailboxes_ticket ON ticket_mailboxes (ticket_id);
CREATE INDEX ticket_mailboxes_updated ON ticket_mailboxes (mailbox_id, project_id, updated_at, ticket_id);
CREATE INDEX ticket_mailboxes_created ON ticket_mailboxes (mailbox_id, project_id, created_at, ticket_id);
CREATE INDEX ticket_mailboxes_urgency ON ticket_mailboxes (mailbox_id, project_id, urgency, ticket_id);
CREATE INDEX connection_tests_project ON connection_tests (project_id, id);
";

const DOWN_SQLITE: &str = r"
DROP TRIGGER connection_tests_end;
DROP TRIGGER connection_tests_follow;
DROP TRIGGER connection_tests_begin;
DROP TRIGGER ticket_mailboxes_follow;
DROP TRIGGER ticket_mailboxes_end;
DROP TRIGGER ticket_mailboxes_move;
DROP TRIGGER ticket_mailboxes_begin;
";

const DOWN_POSTGRES: &str = r"
DROP TRIGGER connection_tests_end ON mailboxes;
DROP TRIGGER connection_tests_follow ON mailboxes;
DROP TRIGGER connection_tests_begin ON connection_tests;
DROP TRIGGER ticket_mailboxes_follow ON tickets;
DROP TRIGGER ticket_mailboxes_end ON messages;
DROP TRIGGER ticket_mailboxes_move_out ON messages;
DROP TRIGGER ticket_mailboxes_move_in ON messages;
DROP TRIGGER ticket_mailboxes_begin ON messages;
DROP FUNCTION connection_tests_end;
DROP FUNCTION connection_tests_follow;
DROP FUNCTION connection_tests_begin;
DROP FUNCTION ticket_mailboxes_follow;
DROP FUNCTION ticket_mailboxes_end;
DROP FUNCTION ticket_mailboxes_begin;
";

const DOWN: &str = r"
ALTER TABLE idempotency_keys DROP COLUMN request_id;
DROP INDEX connection_tests_project;
ALTER TABLE connection_tests DROP COLUMN project_id;
DROP TABLE ticket_mailboxes;
";
