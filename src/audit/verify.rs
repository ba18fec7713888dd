//! Whether the log is the one that was written: goes along the chain and names the first place where it does not hold.

use std::collections::VecDeque;
use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};

use sea_orm::ConnectionTrait;

use super::chain::{AuditError, Head, Keys};
use super::{AuditEvent, store};
use crate::crypto::KeyRing;
use crate::db::Db;

/// Events read at once.
const PAGE: u64 = 500;

/// How far around a place the event that belongs there is looked for.
const WINDOW: usize = 32;

/// The end of the log as this machine has seen it, in a file: whoever cuts the log in the database does not reach it.
#[derive(Clone, Debug)]
pub struct Anchor(PathBuf);

impl Anchor {
    /// The one in a data folder.
    pub fn in_folder(folder: &Path) -> Self {
        Self(folder.join("audit-anchor"))
    }

    fn failed(&self) -> impl Fn(std::io::Error) -> AuditError {
        let path = self.0.display().to_string();
        move |source| AuditError::Anchor {
            path: path.clone(),
            source,
        }
    }

    /// The place and its seal; `None` if nothing was seen here yet.
    pub(super) fn read(&self) -> Result<Option<(i64, String)>, AuditError> {
        let text = match std::fs::read_to_string(&self.0) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.failed()(error)),
        };
        let parsed = text
            .split_once(' ')
            .and_then(|(place, seal)| Some((place.parse::<i64>().ok()?, seal.trim().to_owned())));
        match parsed {
            Some(parsed) => Ok(Some(parsed)),
            None => Err(self.failed()(std::io::Error::other(
                "is not what Mailgrant wrote; remove it only if you know why",
            ))),
        }
    }

    /// Keeps a place, unless a later one is kept already.
    pub(super) fn reach(&self, place: i64, seal: &str) -> Result<(), AuditError> {
        match self.read()? {
            Some((known, _)) if known >= place => Ok(()),
            _ => self.write(place, seal),
        }
    }

    fn write(&self, place: i64, seal: &str) -> Result<(), AuditError> {
        let write = || {
            // Whole or not at all; a name of its own, for several processes may write.
            let draft = self.0.with_extension(std::process::id().to_string());
            let mut file = std::fs::File::create(&draft)?;
            file.write_all(format!("{place} {seal}\n").as_bytes())?;
            std::fs::rename(&draft, &self.0)
        };
        write().map_err(self.failed())
    }
}

/// How a chain can be broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Break {
    /// The event was changed, or its seal was.
    Changed,
    /// The event at this place is gone.
    Removed,
    /// The event stood at another place.
    Reordered {
        /// Where it stood.
        stood_at: i64,
    },
    /// The events from this place on are gone.
    CutOff,
    /// There are sealed events behind the end.
    BeyondEnd,
    /// The head was written by somebody without the key, or is gone.
    ForgedHead,
    /// The event was sealed with a key that is not in the key file.
    UnknownKey(String),
    /// The log ends before this place, which this machine has seen.
    BehindAnchor,
    /// This machine has seen another event at this place.
    NotTheAnchored,
}

impl fmt::Display for Break {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed => f.write_str("the event was changed after it was sealed"),
            Self::Removed => f.write_str("the event was removed"),
            Self::Reordered { stood_at } => {
                write!(f, "the order was changed: this event stood at place {stood_at}")
            }
            Self::CutOff => f.write_str("the log was cut off: the events from here on are gone"),
            Self::BeyondEnd => f.write_str("there are events behind the end of the log"),
            Self::ForgedHead => f.write_str("the end of the log was written by somebody without the key"),
            Self::UnknownKey(id) => write!(f, "sealed with key {id}, which is not in the key file"),
            Self::BehindAnchor => f.write_str("the log ends before this place, which this machine has seen"),
            Self::NotTheAnchored => f.write_str("this machine has seen another event at this place"),
        }
    }
}

/// What a walk along the chain found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Events whose seal holds.
    pub sealed: i64,
    /// Where the log begins.
    pub first: i64,
    /// Where the log ends.
    pub last: i64,
    /// Events that were not sealed yet.
    pub open: i64,
    /// The first place that does not hold, the event there, and how.
    pub broken: Option<(i64, String, Break)>,
}

/// Goes along the whole chain, as it is in one moment: it may be sealed on and trimmed meanwhile.
///
/// # Errors
/// The database, or the anchor's file.
pub async fn verify(db: &Db, keys: &KeyRing, anchor: &Anchor) -> Result<Report, AuditError> {
    // Read first: what this machine has seen by now is committed.
    let anchored = anchor.read()?;
    let snapshot = db.snapshot().await?;
    let report = walk(&snapshot, &Keys::of(keys), anchored).await;
    snapshot.rollback().await?;
    report
}

async fn walk<C: ConnectionTrait>(
    on: &C,
    keys: &Keys<'_>,
    anchored: Option<(i64, String)>,
) -> Result<Report, AuditError> {
    let head = store::head(on, false).await?.unwrap_or_default();
    let mut report = Report {
        sealed: 0,
        first: head.floor + 1,
        last: head.last,
        open: store::open_count(on).await?,
        broken: None,
    };
    if !keys.holds(&head) {
        report.broken = Some((head.last, String::new(), Break::ForgedHead));
        return Ok(report);
    }
    let mut walk = Walk {
        keys,
        place: head.floor,
        seal: head.floor_seal.clone(),
        anchored,
        passed: VecDeque::new(),
    };
    let mut ahead: VecDeque<AuditEvent> = VecDeque::new();
    let mut read_to = head.floor;
    loop {
        if ahead.len() < WINDOW {
            let page = store::placed(on, read_to, PAGE).await?;
            if let Some(last) = page.last() {
                read_to = last.place;
            }
            ahead.extend(page);
        }
        let Some(event) = ahead.pop_front() else {
            break;
        };
        if event.place > head.last && walk.place == head.last {
            report.broken = Some((event.place, event.id, Break::BeyondEnd));
            return Ok(report);
        }
        if let Some((place, how)) = walk.step(&event, &ahead) {
            report.broken = Some((place, event.id, how));
            return Ok(report);
        }
        report.sealed += 1;
    }
    report.broken = walk.end(&head);
    Ok(report)
}

struct Walk<'a> {
    keys: &'a Keys<'a>,
    place: i64,
    seal: String,
    anchored: Option<(i64, String)>,
    passed: VecDeque<AuditEvent>,
}

impl Walk<'_> {
    /// One event further; where and how it does not hold, otherwise.
    fn step(&mut self, event: &AuditEvent, ahead: &VecDeque<AuditEvent>) -> Option<(i64, Break)> {
        let expected = self.place + 1;
        if event.place != expected {
            return Some((expected, Break::Removed));
        }
        match self.keys.seal_of(&self.seal, expected, event) {
            None => return Some((expected, Break::UnknownKey(event.key_id.clone()))),
            Some(seal) if seal == event.seal => {}
            Some(_) => {
                let stood_at = self.stood_at(event, ahead);
                let how = stood_at.map_or(Break::Changed, |stood_at| Break::Reordered { stood_at });
                return Some((expected, how));
            }
        }
        if let Some((place, seal)) = &self.anchored
            && *place == expected
            && *seal != event.seal
        {
            return Some((expected, Break::NotTheAnchored));
        }
        self.place = expected;
        self.seal.clone_from(&event.seal);
        self.passed.push_back(event.clone());
        if self.passed.len() > WINDOW {
            self.passed.pop_front();
        }
        None
    }

    /// The place near by where the seal of an event would hold.
    fn stood_at(&self, event: &AuditEvent, ahead: &VecDeque<AuditEvent>) -> Option<i64> {
        let near = || self.passed.iter().chain([event]).chain(ahead.iter().take(WINDOW));
        near().find_map(|place| {
            near()
                .any(|before| {
                    self.keys
                        .seal_of(&before.seal, place.place, event)
                        .is_some_and(|seal| seal == event.seal)
                })
                .then_some(place.place)
        })
    }

    fn end(&self, head: &Head) -> Option<(i64, String, Break)> {
        let broken = |place, how| Some((place, String::new(), how));
        if self.place < head.last {
            return broken(self.place + 1, Break::CutOff);
        }
        if self.place == head.last && self.seal != head.seal {
            return broken(head.last, Break::ForgedHead);
        }
        match &self.anchored {
            Some((place, _)) if *place > head.last => broken(*place, Break::BehindAnchor),
            _ => None,
        }
    }
}

/// Takes the log as it is for the right one from now on, after a restore from a backup: the anchor moves to its end.
///
/// # Errors
/// A head that was forged is not taken.
pub async fn accept<C: ConnectionTrait>(on: &C, keys: &KeyRing, anchor: &Anchor) -> Result<i64, AuditError> {
    let head = store::head(on, false).await?.ok_or(AuditError::ForgedHead)?;
    if !Keys::of(keys).holds(&head) {
        return Err(AuditError::ForgedHead);
    }
    anchor.write(head.last, &head.seal)?;
    Ok(head.last)
}
