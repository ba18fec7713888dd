//! One IMAP connection: reads commands, obeys them, answers. The wire is `imap-codec`'s; the mail is the store's.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::Arc;

use imap_codec::encode::Encoder;
use imap_codec::fragmentizer::{FragmentInfo, Fragmentizer, LiteralAnnouncement};
use imap_codec::imap_types::IntoStatic;
use imap_codec::imap_types::auth::{AuthMechanism, AuthenticateData};
use imap_codec::imap_types::command::{Command, CommandBody};
use imap_codec::imap_types::core::{Atom, IString, LiteralMode, NString, QuotedChar, Tag, Text, Vec1};
use imap_codec::imap_types::extensions::binary::LiteralOrLiteral8;
use imap_codec::imap_types::extensions::uidplus::{UidElement, UidSet};
use imap_codec::imap_types::fetch::{MacroOrMessageDataItemNames, MessageDataItem, MessageDataItemName};
use imap_codec::imap_types::flag::{Flag, FlagNameAttribute, FlagPerm, StoreResponse, StoreType};
use imap_codec::imap_types::mailbox::{ListMailbox, Mailbox};
use imap_codec::imap_types::response::{
    Capability, Code, CodeOther, CommandContinuationRequest, Data, Greeting, Response, Status, StatusKind,
};
use imap_codec::imap_types::search::SearchKey;
use imap_codec::imap_types::sequence::SequenceSet;
use imap_codec::imap_types::status::{StatusDataItem, StatusDataItemName};
use imap_codec::{AuthenticateDataCodec, CommandCodec, GreetingCodec, IdleDoneCodec, ResponseCodec};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::fetch;
use super::search::{self, Position};
use super::store::Message;
use crate::sandbox::Shared;
use crate::sandbox::faults::ImapFaultKind;

/// A command with its literals; an APPEND of a mail is the largest.
const MAX_COMMAND: u32 = 4 * 1024 * 1024;

/// The connection is over, for whatever reason.
pub(super) struct Over;

type Flow<T> = Result<T, Over>;

/// How a command ends.
struct Reply {
    kind: StatusKind,
    code: Option<Code<'static>>,
    text: &'static str,
}

impl Reply {
    fn ok(text: &'static str) -> Reply {
        Reply {
            kind: StatusKind::Ok,
            code: None,
            text,
        }
    }

    fn no(text: &'static str) -> Reply {
        Reply {
            kind: StatusKind::No,
            code: None,
            text,
        }
    }

    fn bad(text: &'static str) -> Reply {
        Reply {
            kind: StatusKind::Bad,
            code: None,
            text,
        }
    }

    fn code(mut self, code: Code<'static>) -> Reply {
        self.code = Some(code);
        self
    }
}

/// The folder a session has open, and what it was last told of it.
struct Selected {
    folder: String,
    read_only: bool,
    view: Vec<u32>,
}

impl Selected {
    fn last_uid(&self) -> u32 {
        self.view.last().copied().unwrap_or(0)
    }

    /// Index and UID of every mail that a set of UIDs or sequence numbers means.
    fn chosen(&self, set: &SequenceSet, by_uid: bool) -> Vec<(u32, u32)> {
        let last_seq = self.view.len() as u32;
        (1..)
            .zip(self.view.iter().copied())
            .filter(|(seq, uid)| match by_uid {
                true => search::contains(set, *uid, self.last_uid()),
                false => search::contains(set, *seq, last_seq),
            })
            .collect()
    }
}

/// One connection.
pub(super) struct Session<S> {
    shared: Arc<Shared>,
    stream: S,
    input: Fragmentizer,
    account: Option<String>,
    selected: Option<Selected>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    /// A connection whose transport stands.
    pub fn new(shared: Arc<Shared>, stream: S) -> Session<S> {
        Session {
            shared,
            stream,
            input: Fragmentizer::new(MAX_COMMAND),
            account: None,
            selected: None,
        }
    }

    /// Greets, then obeys until the connection is over.
    pub async fn run(mut self) -> Over {
        match self.converse().await {
            Ok(never) => match never {},
            Err(over) => over,
        }
    }

    async fn converse(&mut self) -> Flow<std::convert::Infallible> {
        let text = "Mailgrant sandbox is ready; it takes XOAUTH2 only";
        let greeting = Greeting::ok(Some(Code::Capability(capabilities(false))), text).map_err(|_| Over)?;
        self.write(GreetingCodec::default().encode(&greeting).dump())
            .await?;
        loop {
            self.next_message().await?;
            let decoded = self.input.decode_message(&CommandCodec::default());
            let command = decoded.map(IntoStatic::into_static).ok();
            match command {
                Some(command) => self.obey(command).await?,
                None => {
                    let tag = self.input.decode_tag().map(IntoStatic::into_static);
                    self.finish(tag, Reply::bad("this command is not understood"))
                        .await?;
                }
            }
        }
    }

    /// Reads until a whole command (or a line of an exchange) is there.
    async fn next_message(&mut self) -> Flow<()> {
        loop {
            let Some(fragment) = self.input.progress() else {
                let mut bytes = [0_u8; 4096];
                let count = self.stream.read(&mut bytes).await.map_err(|_| Over)?;
                if count == 0 {
                    return Err(Over);
                }
                self.input.enqueue_bytes(bytes.get(..count).unwrap_or_default());
                continue;
            };
            if let FragmentInfo::Line {
                announcement:
                    Some(LiteralAnnouncement {
                        mode: LiteralMode::Sync,
                        length,
                    }),
                ..
            } = fragment
            {
                if length <= MAX_COMMAND {
                    self.continue_request(b"").await?;
                } else {
                    let tag = self.input.decode_tag().map(IntoStatic::into_static);
                    self.finish(tag, Reply::no("this literal is too large")).await?;
                    self.input.skip_message();
                }
                continue;
            }
            if self.input.is_message_complete() {
                return Ok(());
            }
        }
    }

    async fn obey(&mut self, command: Command<'static>) -> Flow<()> {
        let Command { tag, body } = command;
        let name = body.name();
        if let Some(fault) = self.shared.faults.next_imap_fault(name) {
            self.shared.note("imap", Some(name), "fault");
            if self.misbehave(&tag, fault).await? {
                return Ok(());
            }
        }
        let reply = match self.check_state(&body) {
            Err(reply) => reply,
            Ok(()) => self.carry_out(body, &tag).await?,
        };
        let outcome = match (reply.kind, &reply.code) {
            (StatusKind::Ok, _) => "ok",
            (StatusKind::No, Some(Code::Other(_))) => "refused",
            (StatusKind::No, _) => "no",
            (StatusKind::Bad, _) => "bad",
        };
        self.shared.note("imap", Some(name), outcome);
        self.finish(Some(tag), reply).await
    }

    /// Carries out a fault; true when that was all there is to do.
    async fn misbehave(&mut self, tag: &Tag<'static>, fault: ImapFaultKind) -> Flow<bool> {
        let (kind, code, text) = match fault {
            ImapFaultKind::Delay(time) => {
                tokio::time::sleep(time).await;
                return Ok(false);
            }
            ImapFaultKind::Silence => std::future::pending().await,
            ImapFaultKind::Close => return Err(Over),
            ImapFaultKind::Bye(text) => {
                self.write(format!("* BYE {}\r\n", one_line(&text)).into_bytes())
                    .await?;
                return Err(Over);
            }
            ImapFaultKind::No { code, text } => ("NO", code, text),
            ImapFaultKind::Bad(text) => ("BAD", None, text),
        };
        let code = code
            .map(|code| format!("[{}] ", one_line(&code)))
            .unwrap_or_default();
        let line = format!("{} {kind} {code}{}\r\n", tag.as_ref(), one_line(&text));
        self.write(line.into_bytes()).await?;
        Ok(true)
    }

    fn check_state(&self, body: &CommandBody<'_>) -> Result<(), Reply> {
        let any = matches!(
            body,
            CommandBody::Capability | CommandBody::Noop | CommandBody::Logout | CommandBody::Id { .. }
        );
        let before = matches!(body, CommandBody::Authenticate { .. } | CommandBody::Login { .. });
        let inside = matches!(
            body,
            CommandBody::Check
                | CommandBody::Close
                | CommandBody::Unselect
                | CommandBody::Expunge
                | CommandBody::ExpungeUid { .. }
                | CommandBody::Search { .. }
                | CommandBody::Fetch { .. }
                | CommandBody::Store { .. }
                | CommandBody::Copy { .. }
                | CommandBody::Move { .. }
        );
        match (&self.account, &self.selected) {
            _ if any => Ok(()),
            (None, _) if before => Ok(()),
            (None, _) => Err(Reply::bad("authenticate first")),
            (Some(_), _) if before => Err(Reply::bad("already authenticated")),
            (Some(_), None) if inside => Err(Reply::bad("select a folder first")),
            _ => Ok(()),
        }
    }

    async fn carry_out(&mut self, body: CommandBody<'static>, tag: &Tag<'static>) -> Flow<Reply> {
        match body {
            CommandBody::Capability => {
                self.data(Data::Capability(capabilities(self.account.is_some())))
                    .await?;
                Ok(Reply::ok("these"))
            }
            CommandBody::Noop | CommandBody::Check => {
                self.tell_changes().await?;
                Ok(Reply::ok("done"))
            }
            CommandBody::Id { .. } => self.id().await,
            CommandBody::Logout => {
                let bye = Status::bye(None, "until next time").map_err(|_| Over)?;
                self.send(Response::Status(bye)).await?;
                self.finish(Some(tag.clone()), Reply::ok("logged out")).await?;
                Err(Over)
            }
            CommandBody::Login { .. } => {
                Ok(Reply::no("LOGIN is disabled; use AUTHENTICATE XOAUTH2")
                    .code(other_code("PRIVACYREQUIRED")))
            }
            CommandBody::Authenticate {
                mechanism,
                initial_response,
            } => {
                let first = initial_response.map(|secret| secret.declassify().to_vec());
                self.authenticate(mechanism, first).await
            }
            CommandBody::List {
                reference,
                mailbox_wildcard,
            } => self.list(&reference, &mailbox_wildcard).await,
            CommandBody::Create { mailbox } => {
                let account = self.account.clone().unwrap_or_default();
                match self.shared.mail.create(&account, &folder_name(&mailbox)) {
                    true => Ok(Reply::ok("made")),
                    false => Ok(Reply::no("there is such a folder").code(other_code("ALREADYEXISTS"))),
                }
            }
            CommandBody::Status { mailbox, item_names } => self.status(mailbox, &item_names).await,
            CommandBody::Select { mailbox } => self.select(&mailbox, false).await,
            CommandBody::Examine { mailbox } => self.select(&mailbox, true).await,
            CommandBody::Append {
                mailbox,
                flags,
                date,
                message,
            } => {
                let date = date.map(|date| date.as_ref().to_utc());
                Ok(self.append(&mailbox, &flags, date, &message))
            }
            CommandBody::Search { criteria, uid, .. } => self.search(&criteria, uid).await,
            CommandBody::Fetch {
                sequence_set,
                macro_or_item_names,
                uid,
            } => self.fetch(&sequence_set, macro_or_item_names, uid).await,
            CommandBody::Store {
                sequence_set,
                kind,
                response,
                flags,
                uid,
            } => self.store(&sequence_set, kind, response, &flags, uid).await,
            CommandBody::Copy {
                sequence_set,
                mailbox,
                uid,
            } => self.copy(&sequence_set, &mailbox, uid, false).await,
            CommandBody::Move {
                sequence_set,
                mailbox,
                uid,
            } => self.copy(&sequence_set, &mailbox, uid, true).await,
            CommandBody::Expunge => self.expunge(None).await,
            CommandBody::ExpungeUid { sequence_set } => self.expunge(Some(&sequence_set)).await,
            CommandBody::Close => {
                if self.selected.as_ref().is_some_and(|selected| !selected.read_only) {
                    let (account, folder) = self.place();
                    self.shared.mail.remove(&account, &folder, &self.deleted(None));
                }
                self.selected = None;
                Ok(Reply::ok("closed"))
            }
            CommandBody::Unselect => {
                self.selected = None;
                Ok(Reply::ok("closed"))
            }
            CommandBody::Idle => self.idle().await,
            _ => Ok(Reply::bad("the sandbox does not know this command")),
        }
    }

    async fn id(&mut self) -> Flow<Reply> {
        let name = IString::try_from("name").map_err(|_| Over)?;
        let value = NString::try_from("Mailgrant sandbox").map_err(|_| Over)?;
        self.data(Data::Id {
            parameters: Some(vec![(name, value)]),
        })
        .await?;
        Ok(Reply::ok("pleased to meet you"))
    }

    /// XOAUTH2: one answer of the client, and when it is refused a reason that the client acknowledges with an
    /// empty line before the tagged NO.
    async fn authenticate(&mut self, mechanism: AuthMechanism<'_>, first: Option<Vec<u8>>) -> Flow<Reply> {
        if mechanism != AuthMechanism::XOAuth2 {
            return Ok(Reply::no("only XOAUTH2 is offered").code(other_code("CANNOT")));
        }
        let answer = match first {
            Some(answer) => answer,
            None => {
                self.continue_request(b"").await?;
                match self.client_answer().await? {
                    Some(answer) => answer,
                    None => return Ok(Reply::bad("authentication was given up")),
                }
            }
        };
        match self.shared.check_xoauth2(&answer).await {
            Ok(account) => {
                self.account = Some(account);
                Ok(Reply::ok("welcome").code(Code::Capability(capabilities(true))))
            }
            Err(challenge) => {
                self.continue_request(challenge.as_bytes()).await?;
                self.client_answer().await?;
                Ok(Reply::no("the access token was refused").code(other_code("AUTHENTICATIONFAILED")))
            }
        }
    }

    /// A line of a SASL exchange; none when it is no base64 or the client gives up.
    async fn client_answer(&mut self) -> Flow<Option<Vec<u8>>> {
        self.next_message().await?;
        Ok(
            match self.input.decode_message(&AuthenticateDataCodec::default()) {
                Ok(AuthenticateData::Continue(data)) => Some(data.declassify().to_vec()),
                _ => None,
            },
        )
    }

    async fn list(&mut self, reference: &Mailbox<'_>, wildcard: &ListMailbox<'_>) -> Flow<Reply> {
        let wildcard = match wildcard {
            ListMailbox::Token(token) => String::from_utf8_lossy(token.as_ref()).into_owned(),
            ListMailbox::String(string) => String::from_utf8_lossy(string.as_ref()).into_owned(),
        };
        let delimiter = QuotedChar::try_from('/').ok();
        if wildcard.is_empty() {
            let root = Mailbox::try_from("").map_err(|_| Over)?;
            let items = vec![FlagNameAttribute::Noselect];
            self.data(Data::List {
                items,
                delimiter,
                mailbox: root,
            })
            .await?;
            return Ok(Reply::ok("listed"));
        }
        let pattern = format!("{}{wildcard}", folder_name(reference));
        let (account, _) = self.place();
        let folders: Vec<(String, Option<&'static str>)> = self
            .shared
            .mail
            .read(&account, |folders| {
                folders
                    .iter()
                    .map(|(name, folder)| (name.clone(), folder.special_use))
                    .collect()
            })
            .unwrap_or_default();
        for (name, special_use) in folders.into_iter().filter(|(name, _)| fits(&pattern, name)) {
            let special = special_use
                .and_then(|name| Atom::try_from(name).ok())
                .map(FlagNameAttribute::from);
            let mailbox = Mailbox::try_from(name).map_err(|_| Over)?;
            self.data(Data::List {
                items: special.into_iter().collect(),
                delimiter,
                mailbox,
            })
            .await?;
        }
        Ok(Reply::ok("listed"))
    }

    async fn status(&mut self, mailbox: Mailbox<'static>, names: &[StatusDataItemName]) -> Flow<Reply> {
        let (account, _) = self.place();
        let items = self.shared.mail.read(&account, |folders| {
            let folder = folders.get(&folder_name(&mailbox))?;
            let deleted = folder
                .messages
                .iter()
                .filter(|message| message.flags.contains("\\Deleted"))
                .count();
            Some(
                names
                    .iter()
                    .filter_map(|name| match name {
                        StatusDataItemName::Messages => {
                            Some(StatusDataItem::Messages(folder.messages.len() as u32))
                        }
                        StatusDataItemName::Recent => Some(StatusDataItem::Recent(0)),
                        StatusDataItemName::UidNext => {
                            NonZeroU32::new(folder.uid_next).map(StatusDataItem::UidNext)
                        }
                        StatusDataItemName::UidValidity => {
                            NonZeroU32::new(folder.uid_validity).map(StatusDataItem::UidValidity)
                        }
                        StatusDataItemName::Unseen => Some(StatusDataItem::Unseen(folder.unseen() as u32)),
                        StatusDataItemName::Deleted => Some(StatusDataItem::Deleted(deleted as u32)),
                        StatusDataItemName::DeletedStorage => None,
                    })
                    .collect::<Vec<StatusDataItem>>(),
            )
        });
        match items.flatten() {
            None => Ok(no_such_folder()),
            Some(items) => {
                self.data(Data::Status {
                    mailbox,
                    items: Cow::Owned(items),
                })
                .await?;
                Ok(Reply::ok("that is it"))
            }
        }
    }

    async fn select(&mut self, mailbox: &Mailbox<'_>, read_only: bool) -> Flow<Reply> {
        self.selected = None;
        let (account, _) = self.place();
        let name = folder_name(mailbox);
        let Some(folder) = self
            .shared
            .mail
            .read(&account, |folders| folders.get(&name).cloned())
            .flatten()
        else {
            return Ok(no_such_folder());
        };
        let view: Vec<u32> = folder.messages.iter().map(|message| message.uid).collect();
        let first_unseen = folder
            .messages
            .iter()
            .position(|message| !message.flags.contains("\\Seen"));
        let flags = [
            Flag::Answered,
            Flag::Flagged,
            Flag::Deleted,
            Flag::Seen,
            Flag::Draft,
        ];
        let mut permanent: Vec<FlagPerm<'static>> = Vec::new();
        if !read_only {
            permanent = flags.iter().cloned().map(FlagPerm::Flag).collect();
            permanent.push(FlagPerm::Asterisk);
        }
        self.data(Data::Flags(flags.to_vec())).await?;
        self.data(Data::Exists(view.len() as u32)).await?;
        self.data(Data::Recent(0)).await?;
        if let Some(seq) = first_unseen.and_then(|at| NonZeroU32::new(at as u32 + 1)) {
            self.untagged_ok(Code::Unseen(seq), "first unseen").await?;
        }
        self.untagged_ok(Code::PermanentFlags(permanent), "flags that stay")
            .await?;
        if let Some(uid_next) = NonZeroU32::new(folder.uid_next) {
            self.untagged_ok(Code::UidNext(uid_next), "next UID").await?;
        }
        if let Some(uid_validity) = NonZeroU32::new(folder.uid_validity) {
            self.untagged_ok(Code::UidValidity(uid_validity), "UIDs are valid")
                .await?;
        }
        self.selected = Some(Selected {
            folder: name,
            read_only,
            view,
        });
        let code = if read_only {
            Code::ReadOnly
        } else {
            Code::ReadWrite
        };
        Ok(Reply::ok("selected").code(code))
    }

    fn append(
        &self,
        mailbox: &Mailbox<'_>,
        flags: &[Flag<'_>],
        date: Option<chrono::DateTime<chrono::Utc>>,
        message: &LiteralOrLiteral8<'_>,
    ) -> Reply {
        let (account, _) = self.place();
        let folder = folder_name(mailbox);
        let raw = match message {
            LiteralOrLiteral8::Literal(literal) => literal.data().to_vec(),
            LiteralOrLiteral8::Literal8(literal) => literal.data.to_vec(),
        };
        let received_at = date.unwrap_or_else(|| self.shared.clock.now());
        let flags = flags.iter().map(ToString::to_string).collect();
        let uid = self
            .shared
            .mail
            .deliver(&account, &folder, raw, received_at, flags);
        let uid_validity = self
            .shared
            .mail
            .read(&account, |folders| {
                folders.get(&folder).map(|folder| folder.uid_validity)
            })
            .flatten();
        match (
            uid.and_then(NonZeroU32::new),
            uid_validity.and_then(NonZeroU32::new),
        ) {
            (Some(uid), Some(uid_validity)) => {
                Reply::ok("stored").code(Code::AppendUid { uid_validity, uid })
            }
            _ => Reply::no("no such folder").code(Code::TryCreate),
        }
    }

    async fn search(&mut self, criteria: &Vec1<SearchKey<'_>>, by_uid: bool) -> Flow<Reply> {
        if by_uid {
            self.tell_changes().await?;
        }
        let mut found = Vec::new();
        let last_uid = self.selected.as_ref().map_or(0, Selected::last_uid);
        let messages = self.messages(None, true);
        let last_seq = self
            .selected
            .as_ref()
            .map_or(0, |selected| selected.view.len() as u32);
        for (seq, message) in &messages {
            let position = Position {
                seq: *seq,
                last_seq,
                last_uid,
            };
            let mut fits = true;
            for key in criteria.as_ref() {
                match search::matches(key, message, &position) {
                    Ok(matched) => fits &= matched,
                    Err(search::Unsupported) => return Ok(Reply::no("this search key is not offered")),
                }
            }
            if fits {
                found.extend(NonZeroU32::new(if by_uid { message.uid } else { *seq }));
            }
        }
        self.data(Data::Search(found)).await?;
        Ok(Reply::ok("searched"))
    }

    async fn fetch(
        &mut self,
        set: &SequenceSet,
        names: MacroOrMessageDataItemNames<'static>,
        by_uid: bool,
    ) -> Flow<Reply> {
        let mut names = match names {
            MacroOrMessageDataItemNames::Macro(names) => {
                names.expand().into_iter().map(IntoStatic::into_static).collect()
            }
            MacroOrMessageDataItemNames::MessageDataItemNames(names) => names,
        };
        if by_uid {
            self.tell_changes().await?;
            if !names.contains(&MessageDataItemName::Uid) {
                names.insert(0, MessageDataItemName::Uid);
            }
        }
        let writable = self.selected.as_ref().is_some_and(|selected| !selected.read_only);
        let marks_seen = writable && names.iter().any(fetch::marks_seen);
        if marks_seen && !names.contains(&MessageDataItemName::Flags) {
            names.push(MessageDataItemName::Flags);
        }
        for (seq, mut message) in self.messages(Some(set), by_uid) {
            if marks_seen && message.flags.insert("\\Seen".to_owned()) {
                self.set_flags(message.uid, message.flags.clone());
            }
            let items: Result<Vec<MessageDataItem<'static>>, fetch::Unsupported> =
                names.iter().map(|name| fetch::item(&message, name)).collect();
            let Ok(items) = items else {
                return Ok(Reply::no("one of these items is not offered"));
            };
            self.fetched(seq, items).await?;
        }
        Ok(Reply::ok("fetched"))
    }

    async fn store(
        &mut self,
        set: &SequenceSet,
        kind: StoreType,
        response: StoreResponse,
        flags: &[Flag<'_>],
        by_uid: bool,
    ) -> Flow<Reply> {
        if self.selected.as_ref().is_some_and(|selected| selected.read_only) {
            return Ok(Reply::no("the folder is open read-only"));
        }
        let flags: BTreeSet<String> = flags.iter().map(ToString::to_string).collect();
        for (seq, mut message) in self.messages(Some(set), by_uid) {
            match kind {
                StoreType::Replace => message.flags = flags.clone(),
                StoreType::Add => message.flags.extend(flags.iter().cloned()),
                StoreType::Remove => message.flags.retain(|flag| !flags.contains(flag)),
            }
            self.set_flags(message.uid, message.flags.clone());
            if response == StoreResponse::Answer {
                let wanted = [MessageDataItemName::Flags, MessageDataItemName::Uid];
                let shown = wanted.iter().take(if by_uid { 2 } else { 1 });
                let items = shown
                    .filter_map(|name| fetch::item(&message, name).ok())
                    .collect();
                self.fetched(seq, items).await?;
            }
        }
        Ok(Reply::ok("stored"))
    }

    async fn copy(
        &mut self,
        set: &SequenceSet,
        mailbox: &Mailbox<'_>,
        by_uid: bool,
        remove: bool,
    ) -> Flow<Reply> {
        if remove && self.selected.as_ref().is_some_and(|selected| selected.read_only) {
            return Ok(Reply::no("the folder is open read-only"));
        }
        let (account, folder) = self.place();
        let uids: Vec<u32> = self
            .messages(Some(set), by_uid)
            .into_iter()
            .map(|(_, message)| message.uid)
            .collect();
        let copied = self
            .shared
            .mail
            .copy(&account, &folder, &uids, &folder_name(mailbox));
        let Some((uid_validity, pairs)) = copied else {
            return Ok(Reply::no("no such folder").code(Code::TryCreate));
        };
        let code = copy_uid(uid_validity, &pairs);
        if !remove {
            let reply = Reply::ok("copied");
            return Ok(match code {
                Some(code) => reply.code(code),
                None => reply,
            });
        }
        // RFC 6851: the new UIDs come before the EXPUNGEs, untagged.
        if let Some(code) = code {
            self.untagged_ok(code, "moved").await?;
        }
        self.shared.mail.remove(&account, &folder, &uids);
        self.tell_changes().await?;
        Ok(Reply::ok("moved"))
    }

    async fn expunge(&mut self, set: Option<&SequenceSet>) -> Flow<Reply> {
        if self.selected.as_ref().is_some_and(|selected| selected.read_only) {
            return Ok(Reply::no("the folder is open read-only"));
        }
        let (account, folder) = self.place();
        self.shared.mail.remove(&account, &folder, &self.deleted(set));
        self.tell_changes().await?;
        Ok(Reply::ok("expunged"))
    }

    /// IDLE (RFC 2177): tells every change until the client says DONE.
    async fn idle(&mut self) -> Flow<Reply> {
        let mut changes = self.shared.mail.changes();
        self.write(b"+ idling\r\n".to_vec()).await?;
        loop {
            self.tell_changes().await?;
            tokio::select! {
                message = self.next_message() => {
                    message?;
                    return Ok(match self.input.decode_message(&IdleDoneCodec::default()) {
                        Ok(_) => Reply::ok("idled"),
                        Err(_) => Reply::bad("DONE was expected"),
                    });
                }
                changed = changes.changed() => changed.map_err(|_| Over)?,
            }
        }
    }

    /// Compares the open folder with what this session was last told, and tells the difference.
    async fn tell_changes(&mut self) -> Flow<()> {
        let (account, _) = self.place();
        let Some(selected) = &mut self.selected else {
            return Ok(());
        };
        let now: Vec<u32> = self
            .shared
            .mail
            .read(&account, |folders| {
                folders
                    .get(&selected.folder)
                    .map(|folder| folder.messages.iter().map(|m| m.uid).collect())
            })
            .flatten()
            .unwrap_or_default();
        if now == selected.view {
            return Ok(());
        }
        let mut told = Vec::new();
        let remaining: BTreeSet<u32> = now.iter().copied().collect();
        // From the end, so that no sequence number shifts before it is told.
        for (at, uid) in selected.view.iter().enumerate().rev() {
            if !remaining.contains(uid) {
                told.extend(NonZeroU32::new(at as u32 + 1).map(Data::Expunge));
            }
        }
        let kept = selected.view.len() - told.len();
        if now.len() > kept {
            told.push(Data::Exists(now.len() as u32));
        }
        selected.view = now;
        for data in told {
            self.data(data).await?;
        }
        Ok(())
    }

    /// Account and open folder.
    fn place(&self) -> (String, String) {
        let folder = self.selected.as_ref().map(|selected| selected.folder.clone());
        (
            self.account.clone().unwrap_or_default(),
            folder.unwrap_or_default(),
        )
    }

    /// The mails a set means (all without one), with their sequence numbers.
    fn messages(&self, set: Option<&SequenceSet>, by_uid: bool) -> Vec<(u32, Message)> {
        let Some(selected) = &self.selected else {
            return Vec::new();
        };
        let chosen: Vec<(u32, u32)> = match set {
            Some(set) => selected.chosen(set, by_uid),
            None => (1..).zip(selected.view.iter().copied()).collect(),
        };
        let (account, folder) = self.place();
        self.shared
            .mail
            .read(&account, |folders| {
                let folder = folders.get(&folder)?;
                let found = chosen
                    .iter()
                    .filter_map(|(seq, uid)| Some((*seq, folder.message(*uid)?.clone())));
                Some(found.collect())
            })
            .flatten()
            .unwrap_or_default()
    }

    /// UIDs flagged `\Deleted`, within a set of UIDs when given.
    fn deleted(&self, set: Option<&SequenceSet>) -> Vec<u32> {
        self.messages(set, true)
            .into_iter()
            .filter(|(_, message)| message.flags.contains("\\Deleted"))
            .map(|(_, message)| message.uid)
            .collect()
    }

    fn set_flags(&self, uid: u32, flags: BTreeSet<String>) {
        let (account, folder) = self.place();
        self.shared.mail.change(&account, |folders| {
            if let Some(message) = folders
                .get_mut(&folder)
                .and_then(|folder| folder.message_mut(uid))
            {
                message.flags = flags;
            }
        });
    }

    async fn fetched(&mut self, seq: u32, items: Vec<MessageDataItem<'static>>) -> Flow<()> {
        match (NonZeroU32::new(seq), Vec1::try_from(items)) {
            (Some(seq), Ok(items)) => self.data(Data::Fetch { seq, items }).await,
            _ => Ok(()),
        }
    }

    async fn data(&mut self, data: Data<'static>) -> Flow<()> {
        self.send(Response::Data(data)).await
    }

    async fn untagged_ok(&mut self, code: Code<'static>, text: &'static str) -> Flow<()> {
        let status = Status::ok(None, Some(code), text).map_err(|_| Over)?;
        self.send(Response::Status(status)).await
    }

    async fn continue_request(&mut self, data: &[u8]) -> Flow<()> {
        let request = CommandContinuationRequest::base64(data.to_vec());
        self.send(Response::CommandContinuationRequest(request)).await
    }

    async fn finish(&mut self, tag: Option<Tag<'static>>, reply: Reply) -> Flow<()> {
        let text = Text::try_from(reply.text).map_err(|_| Over)?;
        let status = Status::new(tag, reply.kind, reply.code, text).map_err(|_| Over)?;
        self.send(Response::Status(status)).await
    }

    async fn send(&mut self, response: Response<'static>) -> Flow<()> {
        self.write(ResponseCodec::default().encode(&response).dump())
            .await
    }

    async fn write(&mut self, bytes: Vec<u8>) -> Flow<()> {
        self.stream.write_all(&bytes).await.map_err(|_| Over)?;
        self.stream.flush().await.map_err(|_| Over)
    }
}

fn capabilities(authenticated: bool) -> Vec1<Capability<'static>> {
    let mut capabilities = vec![Capability::Idle, Capability::Id];
    let named = if authenticated {
        capabilities.extend([Capability::Move, Capability::UidPlus, Capability::Unselect]);
        "SPECIAL-USE"
    } else {
        capabilities.extend([Capability::SaslIr, Capability::LoginDisabled]);
        "AUTH=XOAUTH2"
    };
    capabilities.extend(Atom::try_from(named).ok().map(Capability::from));
    let mut all = Vec1::from(Capability::Imap4Rev1);
    for capability in capabilities {
        all = join(all, capability);
    }
    all
}

fn join(all: Vec1<Capability<'static>>, capability: Capability<'static>) -> Vec1<Capability<'static>> {
    let mut list = all.clone().into_inner();
    list.push(capability);
    Vec1::try_from(list).unwrap_or(all)
}

fn other_code(name: &'static str) -> Code<'static> {
    Code::Other(CodeOther::unvalidated(name.as_bytes()))
}

fn no_such_folder() -> Reply {
    Reply::no("no such folder").code(other_code("NONEXISTENT"))
}

fn folder_name(mailbox: &Mailbox<'_>) -> String {
    match mailbox {
        Mailbox::Inbox => "INBOX".to_owned(),
        Mailbox::Other(other) => String::from_utf8_lossy(other.as_ref()).into_owned(),
    }
}

/// Whether a folder's name fits a LIST pattern: `*` is anything, `%` anything within one level.
fn fits(pattern: &str, name: &str) -> bool {
    let mut characters = pattern.chars();
    match characters.next() {
        None => name.is_empty(),
        Some(wild @ ('*' | '%')) => {
            let rest = characters.as_str();
            let ends = name.char_indices().map(|(at, _)| at).chain([name.len()]);
            ends.take_while(|end| wild == '*' || !name.get(..*end).unwrap_or_default().contains('/'))
                .any(|end| fits(rest, name.get(end..).unwrap_or_default()))
        }
        Some(plain) => name
            .strip_prefix(|first: char| {
                first == plain || pattern.eq_ignore_ascii_case("inbox") && first.eq_ignore_ascii_case(&plain)
            })
            .is_some_and(|rest| fits(characters.as_str(), rest)),
    }
}

fn copy_uid(uid_validity: u32, pairs: &[(u32, u32)]) -> Option<Code<'static>> {
    let set = |uids: Vec<u32>| -> Option<UidSet> {
        let elements: Vec<UidElement> = uids
            .into_iter()
            .filter_map(NonZeroU32::new)
            .map(UidElement::Single)
            .collect();
        Vec1::try_from(elements).ok().map(UidSet)
    };
    Some(Code::CopyUid {
        uid_validity: NonZeroU32::new(uid_validity)?,
        source: set(pairs.iter().map(|(old, _)| *old).collect())?,
        destination: set(pairs.iter().map(|(_, new)| *new).collect())?,
    })
}

fn one_line(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).collect()
}
