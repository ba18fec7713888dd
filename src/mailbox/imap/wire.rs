//! One connection as lines: sends a command, reads to its tagged answer, and alone decides how that ended.
//!
//! What commands mean is `session`'s business.

use std::io;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use async_imap::Client;
use async_imap::imap_proto::{MailboxDatum, Outcome, Response, ResponseCode, Status};
use futures_util::FutureExt as _;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::error::ImapError;
use super::guard::{Allowance, Guard, Limits};
use super::types::Capabilities;

/// Answers without mail (folder names, header lines) may carry this many bytes of literals.
pub(super) const SMALL_LITERALS: u64 = 1024 * 1024;

/// How long a server may take to acknowledge the end of IDLE, or to say good-bye.
pub(super) const FINISH: Duration = Duration::from_secs(15);

/// A stream that can carry IMAP.
pub(super) trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Io for S {}

/// A response with the buffer it points into.
pub(super) trait Parsed: Send {
    fn parsed(&self) -> &Response<'_>;
}

/// async-imap keeps the name of its response type to itself; this names only what it can do.
struct Held<R> {
    response: R,
    get: for<'a> fn(&'a R) -> &'a Response<'a>,
}

impl<R: Send> Parsed for Held<R> {
    fn parsed(&self) -> &Response<'_> {
        (self.get)(&self.response)
    }
}

/// The tagged OK at the end of a command.
pub(super) struct Done {
    pub(super) code: Option<String>,
    pub(super) text: String,
}

/// The state both typed states share.
pub(super) struct Wire<S: Io> {
    pub(super) client: Client<Guard<S>>,
    pub(super) limits: Limits,
    pub(super) tag: u32,
    /// An exchange is under way. Still set when the next one begins: its caller went away, and answers are mixed up.
    pub(super) busy: bool,
    pub(super) broken: bool,
    pub(super) capabilities: Option<Capabilities>,
    pub(super) alerts: Vec<String>,
    /// How many mails the open folder holds, as far as we were told.
    pub(super) exists: u32,
    /// The folder has grown since it was last searched.
    pub(super) grown: bool,
}

impl<S: Io> Wire<S> {
    pub(super) fn new(stream: S, limits: Limits) -> Self {
        Wire {
            client: Client::new(Guard::new(stream, limits.clone())),
            limits,
            tag: 0,
            busy: false,
            broken: false,
            capabilities: None,
            alerts: Vec::new(),
            exists: 0,
            grown: false,
        }
    }

    /// What an ordinary command may cost.
    pub(super) fn ordinary(&self, what: &'static str) -> Allowance {
        Allowance {
            what,
            deadline: Some(self.limits.command),
            silence: Some(self.limits.silence),
            literal_bytes: SMALL_LITERALS,
            responses: self.limits.responses,
        }
    }

    /// Sends one command and reads to its tagged answer, showing every other answer to `on`.
    pub(super) async fn exchange<F>(
        &mut self,
        command: &str,
        allowance: Allowance,
        mut on: F,
    ) -> Result<Done, ImapError>
    where
        F: FnMut(&Response<'_>, &mut Guard<S>) -> Result<(), ImapError>,
    {
        let tag = self.start(command, allowance).await?;
        loop {
            let response = self.read().await?;
            if let Some(done) = self.tagged(response.parsed(), &tag)? {
                return done;
            }
            if let Err(error) = on(response.parsed(), self.client.get_mut()) {
                return Err(self.give_up(error));
            }
            self.client.get_mut().forget_literals();
        }
    }

    /// Sends a command and returns its tag.
    pub(super) async fn start(&mut self, command: &str, allowance: Allowance) -> Result<String, ImapError> {
        if self.broken {
            return Err(ImapError::Eof);
        }
        if self.busy {
            return Err(self.give_up(ImapError::Protocol("an earlier command was abandoned half-way")));
        }
        // The last line of defence against a second command smuggled into the first.
        if command.bytes().any(|b| b < 0x20 || b == 0x7f) {
            return Err(ImapError::InvalidArgument("command"));
        }
        self.busy = true;
        self.tag += 1;
        let tag = format!("M{}", self.tag);
        self.client.get_mut().begin(allowance);
        let line = Zeroizing::new(format!("{tag} {command}\r\n"));
        self.write(line.as_bytes()).await?;
        Ok(tag)
    }

    /// Writes directly to the guarded stream: async-imap would log the line.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), ImapError> {
        let stream = self.client.get_mut();
        let sending = async {
            stream.write_all(bytes).await?;
            stream.flush().await
        };
        match timeout(self.limits.write, sending).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(e)) => Err(self.cut(&e)),
            Err(_) => Err(self.give_up(ImapError::Timeout {
                what: "sending a command",
            })),
        }
    }

    /// Reads one response. The guard keeps the time.
    pub(super) async fn read(&mut self) -> Result<impl Parsed + use<S>, ImapError> {
        // The parser has had panics on odd input; one mailbox's server must not take its task down.
        self.client.get_mut().expect();
        let read = AssertUnwindSafe(self.client.read_response()).catch_unwind().await;
        let response = match read {
            Ok(Ok(Some(response))) => Held {
                response,
                get: |r| r.parsed(),
            },
            Ok(Ok(None)) => return Err(self.give_up(ImapError::Eof)),
            Ok(Err(e)) => return Err(self.cut(&e)),
            Err(_) => return Err(self.give_up(ImapError::Protocol("the parser failed on it"))),
        };
        self.note(response.parsed());
        Ok(response)
    }

    /// Remembers what any answer may tell besides its purpose.
    pub(super) fn note(&mut self, response: &Response<'_>) {
        match response {
            Response::Capabilities(list) => self.capabilities = Some(capabilities(list)),
            Response::Data { outcome, .. } | Response::Done { outcome, .. } => match &outcome.code {
                Some(ResponseCode::Capabilities(list)) => self.capabilities = Some(capabilities(list)),
                Some(ResponseCode::Alert) if self.alerts.len() < 16 => {
                    self.alerts
                        .push(clean(outcome.information.as_deref().unwrap_or_default()));
                }
                _ => {}
            },
            Response::MailboxData(MailboxDatum::Exists(n)) => {
                self.grown |= *n > self.exists;
                self.exists = *n;
            }
            Response::Expunge(_) => self.exists = self.exists.saturating_sub(1),
            _ => {}
        }
    }

    /// Whether this response ends the command, and how. A good-bye ends everything.
    pub(super) fn tagged(
        &mut self,
        response: &Response<'_>,
        expected: &str,
    ) -> Result<Option<Result<Done, ImapError>>, ImapError> {
        match response {
            Response::Data {
                status: Status::Bye,
                outcome,
            } => {
                let (code, text) = words(outcome);
                Err(self.give_up(ImapError::Bye { code, text }))
            }
            Response::Done { tag, status, outcome } if tag.0 == expected => {
                self.busy = false;
                let (code, text) = words(outcome);
                Ok(Some(match status {
                    Status::Ok => Ok(Done { code, text }),
                    Status::No => Err(ImapError::No { code, text }),
                    Status::Bad => Err(ImapError::Bad { text }),
                    _ => Err(self.give_up(ImapError::Protocol("an unknown tagged status"))),
                }))
            }
            Response::Done { .. } => Err(self.give_up(ImapError::Protocol("an answer to another command"))),
            _ => Ok(None),
        }
    }

    /// Takes a share of the process's memory for mail, before anything is asked of the server.
    pub(super) async fn reserve(&mut self, bytes: u64) -> Result<OwnedSemaphorePermit, ImapError> {
        self.limits.budget.reserve(bytes, self.limits.fetch).await
    }

    /// Marks the connection unusable.
    pub(super) fn give_up(&mut self, error: ImapError) -> ImapError {
        self.broken = true;
        error
    }

    /// What a failed read or write means. The parser's own text holds the whole buffer and is never looked at.
    pub(super) fn cut(&mut self, error: &io::Error) -> ImapError {
        let violation = self.client.get_ref().violation().cloned();
        let meaning = violation.unwrap_or_else(|| match error.kind() {
            io::ErrorKind::Other => ImapError::Protocol("it is not IMAP as we know it"),
            _ => ImapError::Eof,
        });
        self.give_up(meaning)
    }

    /// The capabilities, asked for when no answer has told them yet.
    pub(super) async fn ensure_capabilities(&mut self) -> Result<Capabilities, ImapError> {
        if self.capabilities.is_none() {
            let allowance = self.ordinary("the capabilities");
            self.exchange("CAPABILITY", allowance, |_, _| Ok(())).await?;
        }
        self.capabilities
            .clone()
            .ok_or(ImapError::Protocol("no capabilities in the answer"))
    }

    pub(super) async fn logout(mut self) {
        let allowance = Allowance {
            deadline: Some(FINISH),
            ..self.ordinary("the good-bye")
        };
        // Good manners only: whatever happens, the connection ends here.
        let _ = timeout(FINISH, self.exchange("LOGOUT", allowance, |_, _| Ok(()))).await;
        let _ = timeout(Duration::from_secs(1), self.client.get_mut().shutdown()).await;
    }
}

fn capabilities(list: &[async_imap::imap_proto::Capability<'_>]) -> Capabilities {
    use async_imap::imap_proto::Capability;
    Capabilities::new(list.iter().map(|c| match c {
        Capability::Imap4rev1 => "IMAP4REV1".to_owned(),
        Capability::Auth(name) => format!("AUTH={name}"),
        Capability::Atom(name) => name.to_string(),
    }))
}

/// The response code and the words of a status. The parser knows few codes; the others are at the head of the text.
pub(super) fn words(outcome: &Outcome<'_>) -> (Option<String>, String) {
    let text = clean(outcome.information.as_deref().unwrap_or_default());
    let known = outcome.code.as_ref().map(|code| match code {
        ResponseCode::Alert => "ALERT",
        ResponseCode::ReadOnly => "READ-ONLY",
        ResponseCode::ReadWrite => "READ-WRITE",
        ResponseCode::TryCreate => "TRYCREATE",
        ResponseCode::Parse => "PARSE",
        ResponseCode::Capabilities(_) => "CAPABILITY",
        _ => "OTHER",
    });
    if let Some(known) = known {
        return (Some(known.to_owned()), text);
    }
    let Some((code, rest)) = text.strip_prefix('[').and_then(|t| t.split_once(']')) else {
        return (None, text);
    };
    let code = code.split(' ').next().unwrap_or_default().to_ascii_uppercase();
    ((!code.is_empty()).then_some(code), rest.trim_start().to_owned())
}

/// A server's words as they may be shown: no control characters, at most 256 characters.
fn clean(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(256).collect()
}
