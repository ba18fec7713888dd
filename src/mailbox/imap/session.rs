//! The conversation with one server: greeting, login, folders, mails, waiting.
//!
//! Every command goes through [`Wire::exchange`], which alone decides how an answer ended.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::time::Duration;

use async_imap::imap_proto::{
    AttributeValue, MailboxDatum, NameAttribute, Outcome, Response, ResponseCode, Status,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::DateTime;
use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::sleep;
use zeroize::Zeroizing;

use super::error::{ImapError, says_later};
use super::guard::{Allowance, Guard, Limits};
use super::types::{
    Capabilities, FetchReport, Fetched, Folder, IdleOutcome, Meta, SearchFilter, Selected, SpecialUse,
};
use super::utf7;
use super::wire::{FINISH, Io, Parsed as _, SMALL_LITERALS, Wire, words};

/// UIDs per command where each is one line of answer; far below the guard's limit.
const UIDS_PER_COMMAND: usize = 1_000;
/// A failure challenge comes once; a server that keeps asking wants something else.
const MAX_CHALLENGES: usize = 3;

/// A server that has greeted us, before the login.
pub struct Connection<S: AsyncRead + AsyncWrite + Unpin + Send> {
    wire: Wire<S>,
    greeting: String,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> std::fmt::Debug for Connection<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("greeting", &self.greeting)
            .finish_non_exhaustive()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Connection<S> {
    /// Reads the greeting of a server that was just reached.
    ///
    /// # Errors
    /// `Bye` when it sends us away, `Preauth` when it claims that we are signed in already, and everything a stream
    /// can do.
    pub async fn open(stream: S, limits: Limits) -> Result<Connection<S>, ImapError> {
        let mut wire = Wire::new(stream, limits);
        let response = wire.read().await?;
        match response.parsed() {
            Response::Data {
                status: Status::Ok,
                outcome,
            } => {
                let (_, greeting) = words(outcome);
                Ok(Connection { wire, greeting })
            }
            Response::Data {
                status: Status::Bye,
                outcome,
            } => {
                let (code, text) = words(outcome);
                Err(ImapError::Bye { code, text })
            }
            Response::Data {
                status: Status::PreAuth,
                ..
            } => Err(ImapError::Preauth),
            _ => Err(ImapError::Protocol("no IMAP greeting")),
        }
    }

    /// Continues after STARTTLS over the encrypted stream. There is no second greeting, and whatever the server said
    /// before is forgotten (RFC 3501, section 6.2.1).
    pub fn after_starttls(stream: S, limits: Limits) -> Connection<S> {
        Connection {
            wire: Wire::new(stream, limits),
            greeting: String::new(),
        }
    }

    /// The words of the greeting, cleaned and shortened.
    pub fn greeting(&self) -> &str {
        &self.greeting
    }

    /// What the server can do before the login.
    ///
    /// # Errors
    /// When the server does not tell.
    pub async fn capabilities(&mut self) -> Result<Capabilities, ImapError> {
        self.wire.ensure_capabilities().await
    }

    /// Asks the server to begin TLS and returns the bare stream for the handshake.
    ///
    /// # Errors
    /// `Unsupported` when the server does not announce it; `Hostile` when it sends anything after agreeing, which a
    /// man in the middle could have slipped in.
    pub async fn starttls(mut self) -> Result<S, ImapError> {
        if !self.wire.ensure_capabilities().await?.starttls() {
            return Err(ImapError::Unsupported("STARTTLS"));
        }
        let allowance = self.wire.ordinary("STARTTLS");
        self.wire.exchange("STARTTLS", allowance, |_, _| Ok(())).await?;
        let guard = self.wire.client.into_inner();
        if guard.has_leftovers() {
            return Err(ImapError::Hostile {
                what: "bytes between STARTTLS and the handshake",
            });
        }
        Ok(guard.into_inner())
    }

    /// Signs in with an OAuth 2.0 access token (SASL XOAUTH2).
    ///
    /// # Errors
    /// `AuthRejected` when the server says that the credentials are not good, with its challenge decoded;
    /// `No` when it is only busy; `Unsupported` when it does not offer XOAUTH2.
    pub async fn authenticate_xoauth2(
        mut self,
        login: &str,
        token: &SecretString,
    ) -> Result<Session<S>, ImapError> {
        if login.is_empty() || login.len() > 1024 || login.chars().any(char::is_control) {
            return Err(ImapError::InvalidArgument("login name"));
        }
        if token.expose_secret().is_empty() || token.expose_secret().chars().any(char::is_control) {
            return Err(ImapError::InvalidArgument("access token"));
        }
        let offered = self.wire.ensure_capabilities().await?;
        if !offered.xoauth2() {
            return Err(ImapError::Unsupported("AUTH=XOAUTH2"));
        }
        let credentials = Zeroizing::new(format!(
            "user={login}\x01auth=Bearer {}\x01\x01",
            token.expose_secret()
        ));
        let response = Zeroizing::new(BASE64.encode(credentials.as_bytes()));
        self.wire.authenticate(&response, offered.has("SASL-IR")).await?;
        Ok(Session { wire: self.wire })
    }

    /// Says good-bye.
    pub async fn logout(self) {
        self.wire.logout().await;
    }
}

impl<S: Io> Wire<S> {
    async fn authenticate(&mut self, response: &str, at_once: bool) -> Result<(), ImapError> {
        let allowance = self.ordinary("the login");
        let command = Zeroizing::new(match at_once {
            true => format!("AUTHENTICATE XOAUTH2 {response}"),
            false => "AUTHENTICATE XOAUTH2".to_owned(),
        });
        let tag = self.start(&command, allowance).await?;
        // What the login changes must be asked again.
        self.capabilities = None;
        let mut sent = at_once;
        let mut challenge = None;
        let mut rounds = 0;
        let outcome = loop {
            let answer = self.read().await?;
            if let Some(done) = self.tagged(answer.parsed(), &tag)? {
                break done;
            }
            let Response::Continue(outcome) = answer.parsed() else {
                continue;
            };
            rounds += 1;
            if rounds > MAX_CHALLENGES {
                return Err(self.give_up(ImapError::Protocol("the login never ends")));
            }
            if sent {
                // A refusal in two steps: its reason first; the NO comes only after an empty line.
                challenge = decode_challenge(outcome).or(challenge);
                self.write(b"\r\n").await?;
            } else {
                sent = true;
                let line = Zeroizing::new(format!("{response}\r\n"));
                self.write(line.as_bytes()).await?;
            }
        };
        match outcome {
            Ok(_) => Ok(()),
            Err(ImapError::No { code, text })
                if challenge.is_some() || !says_later(code.as_deref(), &text) =>
            {
                Err(ImapError::AuthRejected {
                    challenge,
                    code,
                    text,
                })
            }
            Err(other) => Err(other),
        }
    }
}

/// A server that has let us in.
pub struct Session<S: AsyncRead + AsyncWrite + Unpin + Send> {
    wire: Wire<S>,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> std::fmt::Debug for Session<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("usable", &self.is_usable())
            .finish_non_exhaustive()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Session<S> {
    /// Whether another command can be sent: no error has ended the connection, and none was abandoned half-way.
    pub fn is_usable(&self) -> bool {
        !self.wire.broken && !self.wire.busy
    }

    /// The limits this session was opened with.
    pub fn limits(&self) -> &Limits {
        &self.wire.limits
    }

    /// Messages the server wants a person to see (ALERT), cleaned and shortened; each is returned once.
    pub fn take_alerts(&mut self) -> Vec<String> {
        std::mem::take(&mut self.wire.alerts)
    }

    /// What the server can do after the login.
    ///
    /// # Errors
    /// When the server does not tell.
    pub async fn capabilities(&mut self) -> Result<Capabilities, ImapError> {
        self.wire.ensure_capabilities().await
    }

    /// Every folder of the account, in the server's order.
    ///
    /// # Errors
    /// When the server refuses or the connection fails.
    pub async fn list_folders(&mut self) -> Result<Vec<Folder>, ImapError> {
        let offered = self.wire.ensure_capabilities().await?;
        let command = match offered.has("SPECIAL-USE") && offered.has("LIST-EXTENDED") {
            true => "LIST \"\" \"*\" RETURN (SPECIAL-USE)",
            false => "LIST \"\" \"*\"",
        };
        let allowance = self.wire.ordinary("the list of folders");
        let mut folders = Vec::new();
        self.wire
            .exchange(command, allowance, |response, guard| {
                if let Response::MailboxData(MailboxDatum::List(data)) = response {
                    let raw = guard.resolve(data.name.as_bytes());
                    let delimiter = data.delimiter.as_ref().map(|d| d.to_string());
                    folders.push(folder(&data.name_attributes, delimiter, &raw));
                }
                Ok(())
            })
            .await?;
        Ok(folders)
    }

    /// Opens a folder by the name a person reads. `read_only` uses EXAMINE.
    ///
    /// # Errors
    /// `No` when the folder does not exist or may not be opened; `InvalidArgument` for a name that cannot be sent.
    pub async fn select(&mut self, folder: &str, read_only: bool) -> Result<Selected, ImapError> {
        let verb = if read_only { "EXAMINE" } else { "SELECT" };
        let command = format!("{verb} {}", quoted_folder(folder)?);
        let allowance = self.wire.ordinary("opening the folder");
        self.wire.exists = 0;
        let mut selected = Selected::default();
        let done = self
            .wire
            .exchange(&command, allowance, |response, _| {
                match response {
                    Response::MailboxData(MailboxDatum::Exists(n)) => selected.exists = *n,
                    Response::Data { outcome, .. } => match &outcome.code {
                        Some(ResponseCode::UidValidity(v)) => selected.uid_validity = (*v != 0).then_some(*v),
                        Some(ResponseCode::UidNext(n)) => selected.uid_next = (*n != 0).then_some(*n),
                        Some(ResponseCode::UidNotSticky) => selected.uid_not_sticky = true,
                        _ => {}
                    },
                    _ => {}
                }
                Ok(())
            })
            .await?;
        selected.read_only = read_only || done.code.as_deref() == Some("READ-ONLY");
        self.wire.grown = false;
        Ok(selected)
    }

    /// The UIDs, `from` or higher, of the mails that fit, in ascending order. Holds for the open folder.
    ///
    /// # Errors
    /// When the server refuses, or the connection ends before the answer was complete.
    pub async fn search_uids(&mut self, from: u32, filter: SearchFilter) -> Result<Vec<u32>, ImapError> {
        let from = from.max(1);
        let criterion = match filter {
            SearchFilter::All => String::new(),
            SearchFilter::Unseen => " UNSEEN".to_owned(),
            SearchFilter::Since(day) => format!(" SINCE {}", day.format("%-d-%b-%Y")),
        };
        let command = format!("UID SEARCH UID {from}:*{criterion}");
        let allowance = self.wire.ordinary("the search");
        self.wire.grown = false;
        let mut found = BTreeSet::new();
        self.wire
            .exchange(&command, allowance, |response, _| {
                if let Response::MailboxData(MailboxDatum::Search(uids)) = response {
                    // `n:*` always includes the last mail, even when its UID is below n.
                    found.extend(uids.iter().copied().filter(|uid| *uid >= from));
                }
                Ok(())
            })
            .await?;
        Ok(found.into_iter().collect())
    }

    /// The highest UID of the open folder; `None` when it is empty.
    ///
    /// # Errors
    /// When the server refuses or the connection fails.
    pub async fn newest_uid(&mut self) -> Result<Option<u32>, ImapError> {
        if self.wire.exists == 0 {
            return Ok(None);
        }
        let allowance = self.wire.ordinary("the newest mail");
        let mut newest = None;
        self.wire
            .exchange("FETCH * (UID)", allowance, |response, _| {
                if let Response::Fetch(_, attributes) = response {
                    newest = newest.max(uid_of(attributes));
                }
                Ok(())
            })
            .await?;
        Ok(newest)
    }

    /// UID, size, flags and date of these mails, in ascending order. A mail that is gone is absent.
    ///
    /// # Errors
    /// When the server refuses, or leaves out what was asked for.
    pub async fn fetch_meta(&mut self, uids: &[u32]) -> Result<Vec<Meta>, ImapError> {
        let wanted: BTreeSet<u32> = uids.iter().copied().filter(|u| *u > 0).collect();
        let all: Vec<u32> = wanted.iter().copied().collect();
        let mut found: BTreeMap<u32, Partial> = BTreeMap::new();
        for some in all.chunks(UIDS_PER_COMMAND) {
            let command = format!("UID FETCH {} (UID FLAGS INTERNALDATE RFC822.SIZE)", uid_set(some));
            let allowance = self.wire.ordinary("sizes and flags");
            self.wire
                .exchange(&command, allowance, |response, _| {
                    if let Response::Fetch(_, attributes) = response
                        && let Some(uid) = uid_of(attributes).filter(|uid| wanted.contains(uid))
                    {
                        found.entry(uid).or_default().add(attributes);
                    }
                    Ok(())
                })
                .await?;
        }
        found
            .into_iter()
            .map(|(uid, partial)| {
                partial
                    .meta(uid)
                    .ok_or(ImapError::Protocol("a mail without a size"))
            })
            .collect()
    }

    /// Fetches mails whole, without changing anything on the server, and hands each to `on` as it arrives (not
    /// necessarily in order). Larger ones come in pieces; those above `Limits::max_message` are not fetched. The
    /// caller chooses batches that fit its memory (see [`super::batches`]).
    ///
    /// A mail is handed over only with all its bytes. On an error those handed over before are good.
    ///
    /// # Errors
    /// When the server answers NO or BAD, or the connection ends before every mail was answered for.
    pub async fn fetch_raw<F>(&mut self, metas: &[Meta], mut on: F) -> Result<FetchReport, ImapError>
    where
        F: FnMut(Fetched) + Send,
    {
        let mut report = FetchReport::default();
        let maximum = self.wire.limits.max_message;
        let chunk = self.wire.limits.chunk;
        let (fitting, too_large): (Vec<&Meta>, Vec<&Meta>) =
            metas.iter().partition(|m| u64::from(m.size) <= maximum);
        report.too_large = too_large.iter().map(|m| m.uid).collect();
        let (small, large): (Vec<&Meta>, Vec<&Meta>) = fitting.into_iter().partition(|m| m.size <= chunk);

        let mut missing: Vec<u32> = Vec::new();
        for some in small.chunks(UIDS_PER_COMMAND) {
            missing.extend(self.fetch_small(some, &mut on, &mut report).await?);
        }
        for meta in large {
            match self.fetch_large(meta).await? {
                Large::Whole(mail) => {
                    report.fetched += 1;
                    on(mail);
                }
                Large::Oversize => report.too_large.push(meta.uid),
                Large::Missing => missing.push(meta.uid),
            }
        }
        self.explain(missing, &mut report).await?;
        Ok(report)
    }

    /// One command for many mails; returns the UIDs that did not come.
    async fn fetch_small<F>(
        &mut self,
        metas: &[&Meta],
        on: &mut F,
        report: &mut FetchReport,
    ) -> Result<Vec<u32>, ImapError>
    where
        F: FnMut(Fetched) + Send,
    {
        let mut open: BTreeMap<u32, &Meta> = metas.iter().map(|m| (m.uid, *m)).collect();
        let uids: Vec<u32> = open.keys().copied().collect();
        if uids.is_empty() {
            return Ok(Vec::new());
        }
        let announced: u64 = metas.iter().map(|m| u64::from(m.size)).sum();
        let _held = self.wire.reserve(announced).await?;
        let command = format!(
            "UID FETCH {} (UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])",
            uid_set(&uids)
        );
        // Sizes are a server's promise, and some count line ends differently.
        let allowance = self.fetching(announced.saturating_mul(2) + SMALL_LITERALS);
        self.wire
            .exchange(&command, allowance, |response, guard| {
                let Response::Fetch(_, attributes) = response else {
                    return Ok(());
                };
                let Some(uid) = uid_of(attributes) else {
                    return Ok(());
                };
                let Some(raw) = body_of(attributes, None, guard) else {
                    return Ok(());
                };
                if let Some(meta) = open.remove(&uid) {
                    let mut partial = Partial::from(meta);
                    partial.add(attributes);
                    report.fetched += 1;
                    on(partial.fetched(uid, raw));
                }
                Ok(())
            })
            .await?;
        Ok(open.into_keys().collect())
    }

    /// One mail in pieces.
    async fn fetch_large(&mut self, meta: &Meta) -> Result<Large, ImapError> {
        let (maximum, chunk) = (self.wire.limits.max_message, self.wire.limits.chunk.max(1));
        let _held = self.wire.reserve(u64::from(meta.size) + u64::from(chunk)).await?;
        let uid = meta.uid;
        let mut raw: Vec<u8> = Vec::new();
        loop {
            let offset = u32::try_from(raw.len()).map_err(|_| ImapError::TooLarge {
                bytes: u64::from(u32::MAX),
            })?;
            let command = format!("UID FETCH {uid} (UID BODY.PEEK[]<{offset}.{chunk}>)");
            let allowance = self.fetching(u64::from(chunk) + 4096);
            let mut piece = None;
            self.wire
                .exchange(&command, allowance, |response, guard| {
                    if let Response::Fetch(_, attributes) = response
                        && uid_of(attributes) == Some(uid)
                        && let Some(bytes) = body_of(attributes, Some(offset), guard)
                    {
                        piece = Some(bytes);
                    }
                    Ok(())
                })
                .await?;
            // Gone half-way: what we have is not the mail.
            let Some(piece) = piece else {
                return Ok(Large::Missing);
            };
            let short = piece.len() < chunk as usize;
            let empty = piece.is_empty();
            raw.extend_from_slice(&piece);
            if raw.len() as u64 > maximum {
                return Ok(Large::Oversize);
            }
            // A short piece is the last one, unless the announced size says that more must follow.
            if empty || (short && raw.len() >= meta.size as usize) {
                break;
            }
        }
        if raw.is_empty() {
            return Ok(Large::Missing);
        }
        Ok(Large::Whole(Partial::from(meta).fetched(uid, raw)))
    }

    /// Tells mails that are gone from mails the server will not give, and adds them to the report.
    ///
    /// # Errors
    /// When the server refuses or the connection fails.
    pub async fn explain(&mut self, missing: Vec<u32>, report: &mut FetchReport) -> Result<(), ImapError> {
        if missing.is_empty() {
            return Ok(());
        }
        let still: BTreeSet<u32> = self
            .fetch_meta(&missing)
            .await?
            .into_iter()
            .map(|m| m.uid)
            .collect();
        let (unreadable, vanished): (Vec<u32>, Vec<u32>) =
            missing.into_iter().partition(|uid| still.contains(uid));
        report.unreadable.extend(unreadable);
        report.vanished.extend(vanished);
        Ok(())
    }

    fn fetching(&self, literal_bytes: u64) -> Allowance {
        Allowance {
            what: "fetching mail",
            deadline: Some(self.wire.limits.fetch),
            literal_bytes,
            ..self.wire.ordinary("")
        }
    }

    /// The header lines Date, From and Subject of one mail as raw bytes, for the connection test; `None` when it is
    /// gone.
    ///
    /// # Errors
    /// When the server refuses or the connection fails.
    pub async fn fetch_subject_of(&mut self, uid: u32) -> Result<Option<Vec<u8>>, ImapError> {
        self.fetch_section(uid, "BODY.PEEK[HEADER.FIELDS (DATE FROM SUBJECT)]")
            .await
    }

    /// The header of one mail, at most 1 MiB of it, for a mail that is too large to fetch; `None` when the server gives
    /// none, and [`Self::explain`] tells why.
    ///
    /// # Errors
    /// When the server refuses or the connection fails.
    pub async fn fetch_header(&mut self, uid: u32) -> Result<Option<Vec<u8>>, ImapError> {
        self.fetch_section(uid, "BODY.PEEK[HEADER]<0.1048576>").await
    }

    async fn fetch_section(&mut self, uid: u32, section: &str) -> Result<Option<Vec<u8>>, ImapError> {
        let command = format!("UID FETCH {uid} (UID {section})");
        let allowance = self.wire.ordinary("a mail's header");
        let mut found = None;
        self.wire
            .exchange(&command, allowance, |response, guard| {
                if let Response::Fetch(_, attributes) = response
                    && uid_of(attributes) == Some(uid)
                {
                    let data = attributes.iter().find_map(|a| match a {
                        AttributeValue::BodySection {
                            section: Some(_),
                            data: Some(data),
                            ..
                        } => Some(data),
                        _ => None,
                    });
                    found = data.map(|d| guard.resolve(d)).or(found.take());
                }
                Ok(())
            })
            .await?;
        Ok(found)
    }

    /// Sets `\Seen` on these mails. Doing it twice does no harm; mails that are gone are passed over.
    ///
    /// # Errors
    /// When the server refuses or the connection fails.
    pub async fn mark_seen(&mut self, uids: &[u32]) -> Result<(), ImapError> {
        self.store(uids, "\\Seen").await
    }

    async fn store(&mut self, uids: &[u32], flag: &str) -> Result<(), ImapError> {
        for some in sorted(uids).chunks(UIDS_PER_COMMAND) {
            let command = format!("UID STORE {} +FLAGS.SILENT ({flag})", uid_set(some));
            let allowance = self.wire.ordinary("setting flags");
            self.wire.exchange(&command, allowance, |_, _| Ok(())).await?;
        }
        Ok(())
    }

    /// Moves these mails into another folder, in one step where the server can (RFC 6851), otherwise by copying and
    /// expunging exactly them (UIDPLUS).
    ///
    /// # Errors
    /// `Unsupported` when the server can do neither safely, `No` with code `TRYCREATE` when the folder does not exist.
    pub async fn move_uids(&mut self, uids: &[u32], folder: &str) -> Result<(), ImapError> {
        let target = quoted_folder(folder)?;
        let offered = self.wire.ensure_capabilities().await?;
        if !offered.has("MOVE") && !offered.has("UIDPLUS") {
            return Err(ImapError::Unsupported(
                "MOVE or UIDPLUS, without which mails cannot be moved safely",
            ));
        }
        for some in sorted(uids).chunks(UIDS_PER_COMMAND) {
            let set = uid_set(some);
            let verb = if offered.has("MOVE") { "MOVE" } else { "COPY" };
            let allowance = self.wire.ordinary("moving mails");
            self.wire
                .exchange(&format!("UID {verb} {set} {target}"), allowance, |_, _| Ok(()))
                .await?;
            if !offered.has("MOVE") {
                self.store(some, "\\Deleted").await?;
                self.wire
                    .exchange(&format!("UID EXPUNGE {set}"), allowance, |_, _| Ok(()))
                    .await?;
            }
        }
        Ok(())
    }

    /// Asks the server whether it is still there.
    ///
    /// # Errors
    /// When it is not.
    pub async fn noop(&mut self) -> Result<(), ImapError> {
        let allowance = self.wire.ordinary("a sign of life");
        self.wire
            .exchange("NOOP", allowance, |_, _| Ok(()))
            .await
            .map(|_| ())
    }

    /// Whether the folder has grown since it was last searched, as far as the server told us in passing.
    pub fn has_grown(&self) -> bool {
        self.wire.grown
    }

    /// Waits for new mail until `max` is over or `stop` is ready. The caller renews before 9 minutes are over, since
    /// servers and middleboxes forget quiet connections, and polls now and then whatever this says.
    ///
    /// # Errors
    /// When the connection fails or the server says good-bye. A server that refuses IDLE is an outcome, not an error.
    pub async fn idle(
        &mut self,
        max: Duration,
        stop: impl Future<Output = ()>,
    ) -> Result<IdleOutcome, ImapError> {
        if !self.wire.ensure_capabilities().await?.idle() {
            return Err(ImapError::Unsupported("IDLE"));
        }
        if self.wire.grown {
            return Ok(IdleOutcome::NewMail);
        }
        let tag = match self.wire.begin_idle().await? {
            Begun::Waiting(tag) => tag,
            Begun::Refused(text) => {
                self.wire.demote_idle();
                return Ok(IdleOutcome::Refused { text });
            }
        };
        let outcome = self.wire.wait(&tag, max, stop).await?;
        let ended = match outcome {
            Some(outcome) => {
                self.wire.end_idle(&tag).await?;
                outcome
            }
            None => IdleOutcome::Ended,
        };
        // Mail that was announced while the wait was ending counts as well.
        Ok(if self.wire.grown {
            IdleOutcome::NewMail
        } else {
            ended
        })
    }

    /// Says good-bye.
    pub async fn logout(self) {
        self.wire.logout().await;
    }
}

enum Begun {
    Waiting(String),
    Refused(String),
}

impl<S: Io> Wire<S> {
    fn demote_idle(&mut self) {
        if let Some(capabilities) = &mut self.capabilities {
            capabilities.remove("IDLE");
        }
    }

    async fn begin_idle(&mut self) -> Result<Begun, ImapError> {
        let allowance = Allowance {
            deadline: Some(self.limits.silence),
            ..self.ordinary("the start of IDLE")
        };
        let tag = self.start("IDLE", allowance).await?;
        loop {
            let response = self.read().await?;
            match self.tagged(response.parsed(), &tag)? {
                Some(Err(ImapError::No { text, .. } | ImapError::Bad { text })) => {
                    return Ok(Begun::Refused(text));
                }
                Some(Err(error)) => return Err(error),
                Some(Ok(done)) => return Ok(Begun::Refused(done.text)),
                None if matches!(response.parsed(), Response::Continue(_)) => return Ok(Begun::Waiting(tag)),
                None => {}
            }
        }
    }

    /// Reads until something ends the wait; `None` when the server ended it itself.
    async fn wait(
        &mut self,
        tag: &str,
        max: Duration,
        stop: impl Future<Output = ()>,
    ) -> Result<Option<IdleOutcome>, ImapError> {
        let quiet = Allowance {
            deadline: None,
            silence: None,
            ..self.ordinary("new mail")
        };
        self.client.get_mut().begin(quiet);
        let end = sleep(max);
        tokio::pin!(end, stop);
        while !self.grown {
            tokio::select! {
                biased;
                () = &mut stop => return Ok(Some(IdleOutcome::Cancelled)),
                // Reading can be dropped between responses without losing a byte.
                response = self.read() => {
                    let response = response?;
                    match self.tagged(response.parsed(), tag)? {
                        Some(Err(error)) if !error.is_recoverable() => return Err(error),
                        Some(_) => return Ok(None),
                        None => {}
                    }
                }
                () = &mut end => return Ok(Some(IdleOutcome::Timeout)),
            }
        }
        Ok(Some(IdleOutcome::NewMail))
    }

    async fn end_idle(&mut self, tag: &str) -> Result<(), ImapError> {
        let allowance = Allowance {
            deadline: Some(FINISH),
            silence: Some(FINISH),
            ..self.ordinary("the end of IDLE")
        };
        self.client.get_mut().begin(allowance);
        self.write(b"DONE\r\n").await?;
        loop {
            let response = self.read().await?;
            if let Some(done) = self.tagged(response.parsed(), tag)? {
                // A NO here only says that the server had enough.
                return match done {
                    Err(error) if !error.is_recoverable() => Err(error),
                    _ => Ok(()),
                };
            }
        }
    }
}

enum Large {
    Whole(Fetched),
    Oversize,
    Missing,
}

/// What FETCH answers have told about a mail so far; a server may spread it over several.
#[derive(Default)]
struct Partial {
    size: Option<u32>,
    flags: Vec<String>,
    internal_date_ms: Option<i64>,
}

impl From<&Meta> for Partial {
    fn from(meta: &Meta) -> Self {
        Partial {
            size: Some(meta.size),
            flags: meta.flags.clone(),
            internal_date_ms: meta.internal_date_ms,
        }
    }
}

impl Partial {
    fn add(&mut self, attributes: &[AttributeValue<'_>]) {
        for attribute in attributes {
            match attribute {
                AttributeValue::Rfc822Size(size) => self.size = Some(*size),
                AttributeValue::Flags(flags) => self.flags = flags.iter().map(|f| f.to_string()).collect(),
                AttributeValue::InternalDate(date) => {
                    self.internal_date_ms = internal_date(date).or(self.internal_date_ms);
                }
                _ => {}
            }
        }
    }

    fn meta(self, uid: u32) -> Option<Meta> {
        Some(Meta {
            uid,
            size: self.size?,
            flags: self.flags,
            internal_date_ms: self.internal_date_ms,
        })
    }

    fn fetched(self, uid: u32, raw: Vec<u8>) -> Fetched {
        let size = self
            .size
            .unwrap_or_else(|| u32::try_from(raw.len()).unwrap_or(u32::MAX));
        Fetched {
            uid,
            internal_date_ms: self.internal_date_ms,
            size,
            flags: self.flags,
            raw,
        }
    }
}

fn uid_of(attributes: &[AttributeValue<'_>]) -> Option<u32> {
    attributes.iter().find_map(|a| match a {
        AttributeValue::Uid(uid) if *uid > 0 => Some(*uid),
        _ => None,
    })
}

/// The bytes of `BODY[]`, or of the piece of it that begins at `offset`.
fn body_of<S>(
    attributes: &[AttributeValue<'_>],
    offset: Option<u32>,
    guard: &mut Guard<S>,
) -> Option<Vec<u8>> {
    let (index, data) = attributes.iter().find_map(|a| match a {
        AttributeValue::BodySection {
            section: None,
            index,
            data,
        } => Some((*index, data)),
        _ => None,
    })?;
    if index.unwrap_or(0) != offset.unwrap_or(0) {
        return None;
    }
    match data {
        Some(data) => Some(guard.resolve(data)),
        // Beyond the end of a mail some servers send NIL for an empty piece.
        None => offset.filter(|o| *o > 0).map(|_| Vec::new()),
    }
}

fn internal_date(text: &str) -> Option<i64> {
    DateTime::parse_from_str(text.trim(), "%d-%b-%Y %H:%M:%S %z")
        .ok()
        .map(|d| d.timestamp_millis())
}

fn folder(attributes: &[NameAttribute<'_>], delimiter: Option<String>, raw: &[u8]) -> Folder {
    let raw_name = String::from_utf8_lossy(raw).into_owned();
    let mut folder = Folder {
        name: utf7::decode(&raw_name),
        raw_name,
        delimiter,
        flags: Vec::new(),
        special_use: None,
        selectable: true,
    };
    for attribute in attributes {
        let special = match attribute {
            NameAttribute::All => SpecialUse::All,
            NameAttribute::Archive => SpecialUse::Archive,
            NameAttribute::Drafts => SpecialUse::Drafts,
            NameAttribute::Flagged => SpecialUse::Flagged,
            NameAttribute::Junk => SpecialUse::Junk,
            NameAttribute::Sent => SpecialUse::Sent,
            NameAttribute::Trash => SpecialUse::Trash,
            NameAttribute::NoSelect => {
                folder.selectable = false;
                continue;
            }
            NameAttribute::Extension(name) => {
                folder.selectable &= !name.eq_ignore_ascii_case("\\NonExistent");
                folder.flags.push(name.to_string());
                continue;
            }
            NameAttribute::NoInferiors => {
                folder.flags.push("\\Noinferiors".to_owned());
                continue;
            }
            NameAttribute::Marked | NameAttribute::Unmarked | _ => continue,
        };
        folder.special_use = Some(special);
    }
    folder
}

/// A folder name as a quoted string. Nothing in it can end the string or the line.
fn quoted_folder(name: &str) -> Result<String, ImapError> {
    if name.is_empty() || name.len() > 1024 || name.chars().any(char::is_control) {
        return Err(ImapError::InvalidArgument("folder name"));
    }
    let wire = utf7::encode(name);
    Ok(format!("\"{}\"", wire.replace('\\', "\\\\").replace('"', "\\\"")))
}

fn sorted(uids: &[u32]) -> Vec<u32> {
    let unique: BTreeSet<u32> = uids.iter().copied().filter(|u| *u > 0).collect();
    unique.into_iter().collect()
}

/// Ascending UIDs in the short form: `1:3,7`.
fn uid_set(uids: &[u32]) -> String {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for uid in uids {
        match ranges.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(*uid) => *last = *uid,
            _ => ranges.push((*uid, *uid)),
        }
    }
    let parts: Vec<String> = ranges
        .into_iter()
        .map(|(a, b)| if a == b { a.to_string() } else { format!("{a}:{b}") })
        .collect();
    parts.join(",")
}

/// The JSON of a failure challenge, cleaned and shortened; `None` when it is not there or not text.
fn decode_challenge(outcome: &Outcome<'_>) -> Option<String> {
    let encoded = outcome.information.as_deref()?.trim();
    let text = String::from_utf8(BASE64.decode(encoded).ok()?).ok()?;
    let text: String = text.chars().filter(|c| !c.is_control()).take(512).collect();
    (!text.is_empty()).then_some(text)
}
