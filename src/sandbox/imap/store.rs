//! The mail of the sandbox: accounts, folders, messages, in memory. Plain rules without a wire; sessions are
//! told of every change by [`MailStore::changes`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use tokio::sync::watch;

/// The folders every account has, with their special use (RFC 6154).
const FOLDERS: [(&str, Option<&str>); 4] = [
    ("INBOX", None),
    ("Archive", Some("Archive")),
    ("Junk", Some("Junk")),
    ("Sent", Some("Sent")),
];

/// One mail in a folder.
#[derive(Clone)]
pub(super) struct Message {
    /// Unique in its folder, ascending.
    pub uid: u32,
    /// The bytes as delivered.
    pub raw: Arc<[u8]>,
    /// INTERNALDATE.
    pub received_at: DateTime<Utc>,
    /// Flags as written on the wire, `\Seen` with its backslash.
    pub flags: BTreeSet<String>,
}

/// One mail folder.
#[derive(Clone)]
pub(super) struct Folder {
    /// Special use without backslash.
    pub special_use: Option<&'static str>,
    /// Changes when UIDs start anew (RFC 9051, section 2.3.1.1).
    pub uid_validity: u32,
    /// The next UID.
    pub uid_next: u32,
    /// In ascending UID order.
    pub messages: Vec<Message>,
}

impl Folder {
    fn new(special_use: Option<&'static str>) -> Folder {
        Folder {
            special_use,
            uid_validity: 1,
            uid_next: 1,
            messages: Vec::new(),
        }
    }

    /// The message with this UID.
    pub fn message(&self, uid: u32) -> Option<&Message> {
        self.messages
            .binary_search_by_key(&uid, |message| message.uid)
            .ok()
            .and_then(|at| self.messages.get(at))
    }

    /// The same, to change its flags.
    pub fn message_mut(&mut self, uid: u32) -> Option<&mut Message> {
        let at = self
            .messages
            .binary_search_by_key(&uid, |message| message.uid)
            .ok()?;
        self.messages.get_mut(at)
    }

    fn add(&mut self, raw: Arc<[u8]>, received_at: DateTime<Utc>, flags: BTreeSet<String>) -> u32 {
        let uid = self.uid_next;
        self.uid_next += 1;
        self.messages.push(Message {
            uid,
            raw,
            received_at,
            flags,
        });
        uid
    }

    /// How many have not `\Seen`.
    pub fn unseen(&self) -> usize {
        self.messages
            .iter()
            .filter(|message| !message.flags.contains("\\Seen"))
            .count()
    }
}

/// The folders of one account.
pub(super) type Account = BTreeMap<String, Folder>;

/// Every account's mail.
pub(in crate::sandbox) struct MailStore {
    accounts: Mutex<BTreeMap<String, Account>>,
    changed: watch::Sender<u64>,
}

impl MailStore {
    /// Empty folders for every account.
    pub fn new<'a>(accounts: impl Iterator<Item = &'a str>) -> MailStore {
        let folders = || -> Account {
            FOLDERS
                .iter()
                .map(|(name, special_use)| ((*name).to_owned(), Folder::new(*special_use)))
                .collect()
        };
        MailStore {
            accounts: Mutex::new(accounts.map(|account| (account.to_owned(), folders())).collect()),
            changed: watch::Sender::new(0),
        }
    }

    /// Puts a mail into a folder; none when there is no such account or folder. NUL cannot travel in an IMAP
    /// literal (RFC 9051, section 4.3), so it is stored as 0x80, as mail servers do.
    pub fn deliver(
        &self,
        account: &str,
        folder: &str,
        mut raw: Vec<u8>,
        received_at: DateTime<Utc>,
        flags: BTreeSet<String>,
    ) -> Option<u32> {
        for byte in raw.iter_mut().filter(|byte| **byte == 0) {
            *byte = 0x80;
        }
        self.change(account, |folders| {
            folders
                .get_mut(folder)
                .map(|folder| folder.add(raw.into(), received_at, flags))
        })
        .flatten()
    }

    /// How many mails a folder holds.
    pub fn message_count(&self, account: &str, folder: &str) -> usize {
        self.read(account, |folders| {
            folders.get(folder).map_or(0, |folder| folder.messages.len())
        })
        .unwrap_or(0)
    }

    /// The flags of a mail.
    pub fn flags(&self, account: &str, folder: &str, uid: u32) -> Option<BTreeSet<String>> {
        self.read(account, |folders| {
            Some(folders.get(folder)?.message(uid)?.flags.clone())
        })
        .flatten()
    }

    /// Gives a folder a new UIDVALIDITY and its mails new UIDs from 1 on.
    pub fn set_uid_validity(&self, account: &str, folder: &str, uid_validity: u32) {
        self.change(account, |folders| {
            if let Some(folder) = folders.get_mut(folder) {
                folder.uid_validity = uid_validity.max(1);
                folder.uid_next = 1;
                for message in &mut folder.messages {
                    message.uid = folder.uid_next;
                    folder.uid_next += 1;
                }
            }
        });
    }

    /// Looks into an account.
    pub(super) fn read<T>(&self, account: &str, look: impl FnOnce(&Account) -> T) -> Option<T> {
        self.accounts().get(account).map(look)
    }

    /// Changes an account and wakes every session.
    pub(super) fn change<T>(&self, account: &str, change: impl FnOnce(&mut Account) -> T) -> Option<T> {
        let result = self.accounts().get_mut(account).map(change);
        self.changed.send_modify(|changes| *changes += 1);
        result
    }

    /// Makes an empty folder; false when it exists.
    pub(super) fn create(&self, account: &str, name: &str) -> bool {
        self.change(account, |folders| {
            let missing = !folders.contains_key(name);
            folders
                .entry(name.to_owned())
                .or_insert_with(|| Folder::new(None));
            missing
        })
        .unwrap_or(false)
    }

    /// Copies mails, and returns the target's UIDVALIDITY with (old, new) UIDs; none when there is no target.
    pub(super) fn copy(
        &self,
        account: &str,
        from: &str,
        uids: &[u32],
        to: &str,
    ) -> Option<(u32, Vec<(u32, u32)>)> {
        self.change(account, |folders| {
            let copies: Vec<Message> = uids
                .iter()
                .filter_map(|uid| folders.get(from)?.message(*uid).cloned())
                .collect();
            let target = folders.get_mut(to)?;
            let pairs = copies
                .into_iter()
                .map(|copy| (copy.uid, target.add(copy.raw, copy.received_at, copy.flags)))
                .collect();
            Some((target.uid_validity, pairs))
        })
        .flatten()
    }

    /// Removes mails for good.
    pub(super) fn remove(&self, account: &str, folder: &str, uids: &[u32]) {
        self.change(account, |folders| {
            if let Some(folder) = folders.get_mut(folder) {
                folder.messages.retain(|message| !uids.contains(&message.uid));
            }
        });
    }

    /// Wakes at every change.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn accounts(&self) -> MutexGuard<'_, BTreeMap<String, Account>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
