//! The chain: every event's place, and a seal over the event and the seal before it.
//!
//! A seal is an HMAC whose key is derived from the key file, which is not in the database: whoever can write every table
//! still cannot make one. Events are appended without a lock, in transactions that may commit in any order, so the chain
//! is closed afterwards, like the places of the event log: whoever closes it locks the one row of `audit_head`, seals
//! what was committed and has no place yet, moves the head, and commits. Every node may do it, one at a time, and a
//! process that dies in between leaves nothing behind. Ingestion never waits for any of this. Until it is closed over,
//! which takes some milliseconds, an event is protected by the database alone.
//!
//! The head says where the chain ends and where it begins since old events were deleted, under a code of its own. A copy
//! of its end is kept in a file in the data folder ([`Anchor`]): with it also a chain shows that was cut at its end
//! together with its head. A head that does not hold is never written on: that would make a forged one good.

use std::sync::LazyLock;

use sea_orm::DbErr;
use serde_json::{Value, json};
use tokio::sync::watch;
use zeroize::Zeroizing;

use super::verify::Anchor;
use super::{AuditEvent, NewAuditEvent, store};
use crate::clock::Clock;
use crate::crypto::{self, KeyRing};
use crate::db::Db;
use crate::id;

/// Events that are sealed in one transaction.
const ROUND: i64 = 200;

/// What the key of the seals is derived for.
const PURPOSE: &str = "audit chain v1";

/// Why the chain was not closed or cut.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The head is missing, or was written by somebody without the key.
    #[error(
        "the head of the audit log was changed outside Mailgrant; nothing is sealed on it. See `mailgrant audit verify`"
    )]
    ForgedHead,
    /// The log ends before a place that was seen here already, or has another event there.
    #[error(
        "the audit log ends before place {0}, which this machine has seen, or was written anew. If the database was \
         restored from a backup, run `mailgrant audit verify --accept`"
    )]
    Behind(i64),
    /// The anchor cannot be read or written.
    #[error("anchor of the audit log {path}: {source}")]
    Anchor {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The database failed.
    #[error("database: {0}")]
    Db(#[from] DbErr),
}

/// Where the chain begins and ends, as the database has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Place of the last sealed event; 0 before the first.
    pub last: i64,
    /// Its seal.
    pub seal: String,
    /// Everything up to this place was deleted for its age.
    pub floor: i64,
    /// The seal of the event that was there.
    pub floor_seal: String,
    /// The key of `mac`.
    pub(super) key_id: String,
    /// The code over all of it.
    pub(super) mac: String,
}

/// The keys of the seals with their ids, the one that seals first.
pub(super) struct Keys<'a>(Vec<(&'a str, Zeroizing<[u8; 32]>)>);

impl<'a> Keys<'a> {
    pub(super) fn of(ring: &'a KeyRing) -> Self {
        Self(ring.kids().zip(ring.derived(PURPOSE)).collect())
    }

    fn active(&self) -> &str {
        self.0.first().map_or("", |(id, _)| id)
    }

    fn code(&self, key_id: &str, fields: &[&str]) -> Option<String> {
        let (_, key) = self.0.iter().find(|(id, _)| *id == key_id)?;
        // Lengths in front: no two lists of fields share one encoding.
        let mut text = Vec::new();
        for field in fields {
            text.extend_from_slice(&u64::try_from(field.len()).unwrap_or(u64::MAX).to_be_bytes());
            text.extend_from_slice(field.as_bytes());
        }
        Some(hex::encode(crypto::hmac_sha256(&key[..], &[&text])))
    }

    /// The seal of an event behind `before`; `None` if its key is not in the key file.
    pub(super) fn seal_of(&self, before: &str, place: i64, event: &AuditEvent) -> Option<String> {
        self.code(
            &event.key_id,
            &[
                "event",
                before,
                &place.to_string(),
                &event.key_id,
                &event.id,
                &event.created_at.to_string(),
                &event.actor,
                &event.via,
                &event.address,
                &event.request_id,
                &event.action,
                &event.target_kind,
                &event.target_id,
                &event.project_id,
                &event.text,
            ],
        )
    }

    fn mac_of(&self, head: &Head) -> Option<String> {
        self.code(
            &head.key_id,
            &[
                "head",
                &head.last.to_string(),
                &head.seal,
                &head.floor.to_string(),
                &head.floor_seal,
                &head.key_id,
            ],
        )
    }

    /// Whether a head was written with one of the keys, or is that of a log without events.
    pub(super) fn holds(&self, head: &Head) -> bool {
        *head == Head::default()
            || self
                .mac_of(head)
                .is_some_and(|mac| crypto::same_secret(&mac, &head.mac))
    }

    fn sign(&self, head: &mut Head) {
        self.active().clone_into(&mut head.key_id);
        head.mac = self.mac_of(head).unwrap_or_default();
    }
}

/// Counts what this process appends, so that whoever closes the chain looks at once.
static APPENDED: LazyLock<watch::Sender<u64>> = LazyLock::new(|| watch::Sender::new(0));

/// Follows what this process appends, whether or not it is committed.
pub fn appended() -> watch::Receiver<u64> {
    APPENDED.subscribe()
}

pub(super) fn note_appended() {
    APPENDED.send_modify(|count| *count = count.wrapping_add(1));
}

/// Seals every committed event that has no place yet; returns how many.
///
/// # Errors
/// [`AuditError::ForgedHead`] and [`AuditError::Behind`] if the log is not the one that was left; then nothing is sealed.
pub async fn seal(db: &Db, keys: &KeyRing, anchor: &Anchor) -> Result<u64, AuditError> {
    let keys = Keys::of(keys);
    let mut sealed = 0;
    while store::has_open(db.read()).await? {
        let txn = db.begin().await?;
        let mut head = sound_head(&txn, db.is_postgres(), &keys, anchor).await?;
        let round = store::open(&txn, db.is_postgres(), ROUND).await?;
        if round.is_empty() {
            break;
        }
        for mut event in round {
            event.place = head.last + 1;
            keys.active().clone_into(&mut event.key_id);
            event.seal = keys.seal_of(&head.seal, event.place, &event).unwrap_or_default();
            store::close(&txn, &event).await?;
            head.last = event.place;
            head.seal = event.seal;
            sealed += 1;
        }
        keys.sign(&mut head);
        store::set_head(&txn, &head).await?;
        txn.commit().await?;
        anchor.reach(head.last, &head.seal)?;
    }
    Ok(sealed)
}

/// The head under its lock, if it is the one that was left here.
async fn sound_head<C: sea_orm::ConnectionTrait>(
    on: &C,
    lock: bool,
    keys: &Keys<'_>,
    anchor: &Anchor,
) -> Result<Head, AuditError> {
    let head = store::head(on, lock).await?.ok_or(AuditError::ForgedHead)?;
    if !keys.holds(&head) {
        return Err(AuditError::ForgedHead);
    }
    let Some((place, seal)) = anchor.read()? else {
        return Ok(head);
    };
    let is_there = if place > head.last {
        false
    } else if place > head.floor {
        store::at(on, place)
            .await?
            .is_some_and(|event| event.seal == seal)
    } else {
        true
    };
    if is_there {
        Ok(head)
    } else {
        Err(AuditError::Behind(place))
    }
}

/// Deletes a handful of the oldest events from before a time (milliseconds since 1970); the chain then begins behind
/// them and can be verified as before. Returns how many.
///
/// # Errors
/// Like [`seal`].
pub async fn trim(
    db: &Db,
    clock: &Clock,
    keys: &KeyRing,
    anchor: &Anchor,
    before: i64,
    limit: u64,
) -> Result<u64, AuditError> {
    let keys = Keys::of(keys);
    let txn = db.begin().await?;
    let mut head = sound_head(&txn, db.is_postgres(), &keys, anchor).await?;
    let Some(last) = store::last_older(&txn, head.floor, before, limit).await? else {
        return Ok(0);
    };
    head.floor = last.place;
    head.floor_seal = last.seal;
    keys.sign(&mut head);
    store::set_head(&txn, &head).await?;
    let gone = store::delete_to(&txn, head.floor).await?;
    let event = NewAuditEvent::new("audit.trimmed", "audit", "")
        .saying(json!({ "throughPlace": head.floor, "events": gone }));
    super::append(&txn, clock, event).await?;
    txn.commit().await?;
    Ok(gone)
}

/// Families of events that Mailgrant makes by itself and that belong into the audit log nevertheless: somebody's access
/// changed.
const ALWAYS: [&str; 8] = [
    "token",
    "signing_key",
    "client",
    "consent",
    "user",
    "member",
    "session",
    "identity_provider",
];

/// The audit event that goes with an event of the log, if somebody did it: what mail and timetables cause is not noted.
pub fn of_event<'a>(
    kind: &'a str,
    actor: &'a str,
    subject_id: &'a str,
    project_id: &'a str,
    data: &Value,
) -> Option<NewAuditEvent<'a>> {
    let family = kind.split('.').next().unwrap_or_default();
    let somebody = !matches!(actor, "" | "system");
    if family == "message" || !(somebody || ALWAYS.contains(&family)) {
        return None;
    }
    if data.get("sample") == Some(&Value::Bool(true)) {
        // Nothing of that kind has happened: somebody wanted to see what it looks like.
        let event = NewAuditEvent::new("event.triggered", "event", subject_id)
            .by(actor)
            .in_project(project_id);
        return Some(event.saying(json!({ "type": kind })));
    }
    let event = NewAuditEvent::new(kind, kind_of(subject_id).unwrap_or(family), subject_id)
        .by(actor)
        .in_project(project_id);
    Some(event.saying(data.clone()))
}

/// What an id names, by its beginning.
fn kind_of(subject_id: &str) -> Option<&'static str> {
    const KINDS: [(&str, &str); 12] = [
        ("int", "integration"),
        ("grt", "grant"),
        ("mbx", "mailbox"),
        ("msg", "message"),
        ("tkt", "ticket"),
        ("prj", "project"),
        ("usr", "user"),
        ("tok", "token"),
        ("whk", "webhook"),
        ("que", "queue"),
        ("rul", "rule"),
        ("cli", "client"),
    ];
    KINDS
        .iter()
        .find(|(prefix, _)| id::is(prefix, subject_id))
        .map(|(_, kind)| *kind)
}
