//! Faults on request: what the sandbox does wrong when it is told to.
//!
//! Only the wishes live here; the OAuth and IMAP sides look them up and obey. Faults on tokens (expire,
//! revoke) are on [`super::Sandbox`], because they change what was issued and not how the wire behaves.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;

use crate::clock::Clock;

/// A change made to the token endpoint's real answer.
pub type RewriteAnswer = Arc<dyn Fn(&mut Value) + Send + Sync>;

/// What the token endpoint does instead of answering properly.
#[derive(Clone)]
pub enum TokenFaultKind {
    /// Answers this, and issues nothing.
    Answer {
        /// HTTP status.
        status: u16,
        /// Response headers, for example `("retry-after", "30")`. Without a `content-type` it is JSON.
        headers: Vec<(String, String)>,
        /// The body, byte for byte.
        body: String,
    },
    /// Issues tokens, then changes the JSON answer (`expires_in` as text, no `token_type`, …).
    Rewrite(RewriteAnswer),
    /// Issues tokens (and rotates), then breaks the connection: the answer is lost on its way.
    LoseAnswer,
    /// Only the delay of the fault; the answer is the real one.
    OnlyDelay,
}

/// One entry of the token endpoint's fault queue.
#[derive(Clone)]
pub struct TokenFault {
    /// Only requests with this `grant_type`; none means any.
    pub grant_type: Option<String>,
    /// Waited before anything else.
    pub delay: Duration,
    /// For how many requests the fault holds.
    pub times: u32,
    /// What happens.
    pub kind: TokenFaultKind,
}

impl TokenFault {
    /// Answers with a status and a body once, at once, to any grant type.
    pub fn answer(status: u16, body: &str) -> TokenFault {
        TokenFault::of(TokenFaultKind::Answer {
            status,
            headers: Vec::new(),
            body: body.to_owned(),
        })
    }

    /// Answers with an OAuth error object (RFC 6749, section 5.2) once.
    pub fn oauth_error(status: u16, error: &str, description: &str) -> TokenFault {
        let body = serde_json::json!({ "error": error, "error_description": description });
        TokenFault::answer(status, &body.to_string())
    }

    /// Changes the real answer once.
    pub fn rewrite(change: impl Fn(&mut Value) + Send + Sync + 'static) -> TokenFault {
        TokenFault::of(TokenFaultKind::Rewrite(Arc::new(change)))
    }

    /// Issues the tokens and loses the answer once.
    pub fn lose_answer() -> TokenFault {
        TokenFault::of(TokenFaultKind::LoseAnswer)
    }

    /// Answers properly, but late, once.
    pub fn delay(delay: Duration) -> TokenFault {
        TokenFault {
            delay,
            ..TokenFault::of(TokenFaultKind::OnlyDelay)
        }
    }

    /// The same fault with a response header more; it only matters for [`TokenFaultKind::Answer`].
    pub fn with_header(mut self, name: &str, value: &str) -> TokenFault {
        if let TokenFaultKind::Answer { headers, .. } = &mut self.kind {
            headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// The same fault for `times` requests.
    pub fn times(mut self, times: u32) -> TokenFault {
        self.times = times;
        self
    }

    /// The same fault for requests with this grant type only.
    pub fn only(mut self, grant_type: &str) -> TokenFault {
        self.grant_type = Some(grant_type.to_owned());
        self
    }

    fn of(kind: TokenFaultKind) -> TokenFault {
        TokenFault {
            grant_type: None,
            delay: Duration::ZERO,
            times: 1,
            kind,
        }
    }
}

/// What is wrong with TLS on the IMAP port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsFault {
    /// Nothing.
    #[default]
    None,
    /// The handshake is refused with an alert.
    Refused,
    /// The certificate comes from an authority nobody knows.
    UnknownAuthority,
    /// The certificate is for another host.
    OtherHost,
    /// The certificate's time is over.
    Expired,
}

/// What the IMAP server does instead of obeying a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImapFaultKind {
    /// Tagged `NO`, with a response code such as `UNAVAILABLE` when given.
    No {
        /// The response code without brackets (RFC 5530).
        code: Option<String>,
        /// Text for people.
        text: String,
    },
    /// Tagged `BAD`.
    Bad(String),
    /// `* BYE` and the end of the connection.
    Bye(String),
    /// The connection ends without a word.
    Close,
    /// No answer, ever; the connection stays open.
    Silence,
    /// The command is obeyed after this time.
    Delay(Duration),
}

/// One entry of the IMAP fault queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImapFault {
    /// The command's name in upper case, for example `AUTHENTICATE`, `SELECT`, `FETCH` (with `UID` or not).
    pub command: String,
    /// For how many commands the fault holds.
    pub times: u32,
    /// What happens.
    pub kind: ImapFaultKind,
}

#[derive(Default)]
struct State {
    token: VecDeque<TokenFault>,
    imap: VecDeque<ImapFault>,
    tls: TlsFault,
    refuse_connections: Refusal,
    granted_scopes: Option<BTreeSet<String>>,
}

#[derive(Default)]
enum Refusal {
    #[default]
    No,
    Yes,
    UntilMs(i64),
}

/// The faults that are switched on. Everything works until one is.
pub struct Faults {
    clock: Clock,
    state: Mutex<State>,
    cut: watch::Sender<u64>,
}

impl Faults {
    pub(super) fn new(clock: Clock) -> Faults {
        Faults {
            clock,
            state: Mutex::default(),
            cut: watch::Sender::new(0),
        }
    }

    /// Queues a fault of the token endpoint. The first entry that fits a request is used.
    pub fn queue_token_fault(&self, fault: TokenFault) {
        self.state().token.push_back(fault);
    }

    /// Queues a fault of the IMAP server. The first entry that fits a command is used.
    pub fn queue_imap_fault(&self, command: &str, kind: ImapFaultKind, times: u32) {
        let command = command.to_ascii_uppercase();
        self.state().imap.push_back(ImapFault { command, times, kind });
    }

    /// Ends every IMAP connection now; new ones are welcome.
    pub fn drop_connections(&self) {
        self.cut.send_modify(|cuts| *cuts += 1);
    }

    /// Ends every IMAP connection now and refuses new ones until [`Faults::restore_connections`].
    pub fn cut_connections(&self) {
        self.state().refuse_connections = Refusal::Yes;
        self.drop_connections();
    }

    /// The same for `time` on the sandbox's clock; then connections are welcome again by themselves.
    pub fn cut_connections_for(&self, time: Duration) {
        let until = self
            .clock
            .now_ms()
            .saturating_add(i64::try_from(time.as_millis()).unwrap_or(i64::MAX));
        self.state().refuse_connections = Refusal::UntilMs(until);
        self.drop_connections();
    }

    /// Welcomes IMAP connections again.
    pub fn restore_connections(&self) {
        self.state().refuse_connections = Refusal::No;
    }

    /// Refuses the TLS handshake, or not. Connections that are open stay open.
    pub fn refuse_tls(&self, refuse: bool) {
        self.set_tls(if refuse { TlsFault::Refused } else { TlsFault::None });
    }

    /// Chooses what is wrong with TLS.
    pub fn set_tls(&self, fault: TlsFault) {
        self.state().tls = fault;
    }

    /// Grants no more than these scopes from now on, whatever is asked; none grants what is asked.
    pub fn limit_scopes(&self, scopes: Option<&[&str]>) {
        self.state().granted_scopes =
            scopes.map(|scopes| scopes.iter().map(|scope| (*scope).to_owned()).collect());
    }

    /// Everything works again. Tokens that were expired or revoked stay so.
    pub fn restore_all(&self) {
        *self.state() = State::default();
    }

    /// Whether any fault is on.
    pub fn any(&self) -> bool {
        let refuses = self.refuses_connections();
        let state = self.state();
        refuses
            || !state.token.is_empty()
            || !state.imap.is_empty()
            || state.tls != TlsFault::None
            || state.granted_scopes.is_some()
    }

    /// Whether IMAP connections are refused at the moment.
    pub fn refuses_connections(&self) -> bool {
        match self.state().refuse_connections {
            Refusal::No => false,
            Refusal::Yes => true,
            Refusal::UntilMs(until) => self.clock.now_ms() < until,
        }
    }

    /// What is wrong with TLS at the moment.
    pub fn tls(&self) -> TlsFault {
        self.state().tls
    }

    pub(super) fn cuts(&self) -> watch::Receiver<u64> {
        self.cut.subscribe()
    }

    pub(super) fn granted_scopes(&self) -> Option<BTreeSet<String>> {
        self.state().granted_scopes.clone()
    }

    pub(super) fn next_token_fault(&self, grant_type: &str) -> Option<TokenFault> {
        let mut state = self.state();
        let fits = |fault: &TokenFault| fault.grant_type.as_deref().is_none_or(|only| only == grant_type);
        let at = state.token.iter().position(fits)?;
        let fault = state.token.get_mut(at)?;
        let found = fault.clone();
        fault.times = fault.times.saturating_sub(1);
        if fault.times == 0 {
            state.token.remove(at);
        }
        Some(found)
    }

    pub(super) fn next_imap_fault(&self, command: &str) -> Option<ImapFaultKind> {
        let mut state = self.state();
        let at = state.imap.iter().position(|fault| fault.command == command)?;
        let fault = state.imap.get_mut(at)?;
        let found = fault.kind.clone();
        fault.times = fault.times.saturating_sub(1);
        if fault.times == 0 {
            state.imap.remove(at);
        }
        Some(found)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
