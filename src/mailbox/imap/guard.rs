//! The guard between the wire and the IMAP parser: a hostile server can neither stop the process nor eat its memory.
//!
//! It cuts the stream into responses and lets a response pass only when it is complete and within bounds. Literals
//! (the bytes of mails, mostly) never reach the parser: the guard keeps them and puts a short quoted string, a
//! *marker*, in their place. So everything the parser ever sees has been counted, however a server may twist quotes
//! and literals to make guard and parser disagree about where a literal ends.
//!
//! It also keeps the clock: silence, drip, and a deadline for each command.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use super::error::ImapError;

const READ_BUFFER: usize = 16 * 1024;
/// The most opening parentheses in an answer to FETCH, the only one in which the parser recurses. What we ask for needs
/// three; an unoptimised build overflows its stack near sixty.
const FETCH_PARENTHESES: usize = 16;
/// A `* SEARCH` answer longer than this is handed to the parser in pieces.
const SEARCH_PIECE: usize = 4 * 1024;
/// Literals up to this size are allocated at once; larger ones grow as bytes arrive.
const EAGER_LITERAL: usize = 64 * 1024;
const FAR_FUTURE: Duration = Duration::from_secs(86_400 * 365);

/// A budget of bytes shared by all sessions of the process.
#[derive(Clone)]
pub struct ByteBudget {
    kib: Arc<Semaphore>,
    total_kib: u32,
}

impl ByteBudget {
    /// A budget of this many bytes, at least 1 MiB.
    pub fn new(bytes: u64) -> ByteBudget {
        let total_kib = u32::try_from(bytes / 1024)
            .unwrap_or(u32::MAX / 8)
            .clamp(1024, u32::MAX / 8);
        ByteBudget {
            kib: Arc::new(Semaphore::new(total_kib as usize)),
            total_kib,
        }
    }

    /// Waits until this many bytes are free. More than the whole budget counts as the whole budget.
    pub(super) async fn reserve(
        &self,
        bytes: u64,
        longest: Duration,
    ) -> Result<OwnedSemaphorePermit, ImapError> {
        let kib = u32::try_from(bytes.div_ceil(1024))
            .unwrap_or(u32::MAX)
            .clamp(1, self.total_kib);
        match timeout(longest, self.kib.clone().acquire_many_owned(kib)).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(ImapError::Timeout {
                what: "memory for mail, held by other mailboxes",
            }),
        }
    }
}

impl fmt::Debug for ByteBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "ByteBudget({} KiB, {} free)",
            self.total_kib,
            self.kib.available_permits()
        )
    }
}

/// What a server may make us do. `Default` is right for production.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The longest response without its literals, in bytes. 64 KiB.
    pub line: usize,
    /// The most opening parentheses in one response. 64; far fewer in an answer to FETCH.
    pub parentheses: usize,
    /// The largest mail that is fetched, in bytes. 50 MiB.
    pub max_message: u64,
    /// The most literals in one response. 16.
    pub literals: usize,
    /// The most untagged responses to one command. 10,000.
    pub responses: usize,
    /// The longest answer to a search, in bytes. 16 MiB, about 1.5 million mails.
    pub search: usize,
    /// How long a server may stay silent while we wait for an answer. 60 s.
    pub silence: Duration,
    /// The least rate, in bytes per second, at which one response may arrive. 1,000.
    pub min_rate: u64,
    /// The time over which the rate is measured. 60 s.
    pub rate_window: Duration,
    /// How long a command may take in all. 2 minutes.
    pub command: Duration,
    /// How long a command that fetches mail may take in all. 15 minutes.
    pub fetch: Duration,
    /// How long one write may take. 30 s.
    pub write: Duration,
    /// Mails larger than this are fetched in pieces of this size, in bytes. 1 MiB.
    pub chunk: u32,
    /// The bytes that all sessions together may hold. 256 MiB; share one among all mailboxes.
    pub budget: ByteBudget,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            line: 64 * 1024,
            parentheses: 64,
            max_message: 50 * 1024 * 1024,
            literals: 16,
            responses: 10_000,
            search: 16 * 1024 * 1024,
            silence: Duration::from_secs(60),
            min_rate: 1_000,
            rate_window: Duration::from_secs(60),
            command: Duration::from_secs(120),
            fetch: Duration::from_secs(15 * 60),
            write: Duration::from_secs(30),
            chunk: 1024 * 1024,
            budget: ByteBudget::new(256 * 1024 * 1024),
        }
    }
}

/// What one command may cost.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allowance {
    /// What is waited for, for the error text.
    pub what: &'static str,
    /// The time for all of it; `None` while idling.
    pub deadline: Option<Duration>,
    /// The longest silence; `None` while idling.
    pub silence: Option<Duration>,
    /// The bytes all its literals may have together.
    pub literal_bytes: u64,
    /// The most untagged responses.
    pub responses: usize,
}

/// Where the guard is in the stream.
enum At {
    /// In the text of a response.
    Line,
    /// Inside a literal of which this many bytes are still to come.
    Literal { left: usize, bytes: Vec<u8> },
}

/// The guard. See the module's text.
pub(super) struct Guard<S> {
    inner: S,
    limits: Limits,
    allowance: Allowance,
    started: Instant,
    last_byte: Instant,
    /// Since when, and how many bytes, the unfinished response is being received.
    window: Option<(Instant, u64)>,
    timer: Pin<Box<Sleep>>,

    read: Vec<u8>,
    read_at: usize,

    at: At,
    response: Vec<u8>,
    parentheses: usize,
    literals_here: usize,
    search_bytes: usize,
    responses: usize,

    ready: Vec<u8>,
    ready_at: usize,
    /// A whole response has been handed over since [`Guard::expect`].
    handed_over: bool,
    literals: Vec<(u64, Vec<u8>)>,
    next_literal: u64,

    violation: Option<ImapError>,
    closed: bool,
}

impl<S> fmt::Debug for Guard<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard")
            .field("violation", &self.violation)
            .finish_non_exhaustive()
    }
}

impl<S> Guard<S> {
    pub(super) fn new(inner: S, limits: Limits) -> Self {
        let now = Instant::now();
        let allowance = Allowance {
            what: "the greeting",
            deadline: Some(limits.command),
            silence: Some(limits.silence),
            literal_bytes: 0,
            responses: 16,
        };
        Guard {
            inner,
            limits,
            allowance,
            started: now,
            last_byte: now,
            window: None,
            timer: Box::pin(sleep_until(now + FAR_FUTURE)),
            read: Vec::new(),
            read_at: 0,
            at: At::Line,
            response: Vec::new(),
            parentheses: 0,
            literals_here: 0,
            search_bytes: 0,
            responses: 0,
            ready: Vec::new(),
            ready_at: 0,
            handed_over: false,
            literals: Vec::new(),
            next_literal: 0,
            violation: None,
            closed: false,
        }
    }

    /// Starts the account of a new command.
    pub(super) fn begin(&mut self, allowance: Allowance) {
        let now = Instant::now();
        self.allowance = allowance;
        self.started = now;
        self.last_byte = now;
        self.responses = 0;
        self.search_bytes = 0;
        self.literals.clear();
    }

    /// Called before each response is read. The parser may ask for one response and no more.
    pub(super) fn expect(&mut self) {
        self.handed_over = false;
    }

    /// Why the stream was cut, when the guard has cut it.
    pub(super) fn violation(&self) -> Option<&ImapError> {
        self.violation.as_ref()
    }

    /// Whether any byte has been received that no response has used up.
    pub(super) fn has_leftovers(&self) -> bool {
        self.read_at < self.read.len() || self.ready_at < self.ready.len() || !self.response.is_empty()
    }

    /// The stream itself. Anything buffered is thrown away.
    pub(super) fn into_inner(self) -> S {
        self.inner
    }

    /// The literal that a marker stands for; text that is no marker stands for itself.
    pub(super) fn resolve(&mut self, text: &[u8]) -> Vec<u8> {
        let id = text
            .strip_prefix(&[MARK])
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| digits.parse::<u64>().ok());
        match id.and_then(|id| self.literals.iter().position(|(i, _)| *i == id)) {
            Some(position) => self.literals.swap_remove(position).1,
            None => text.to_vec(),
        }
    }

    /// Forgets literals nobody asked for. Called after each response.
    pub(super) fn forget_literals(&mut self) {
        self.literals.clear();
    }

    /// Works through received bytes until a response is ready to be handed over, or none are left.
    fn digest(&mut self) -> Result<(), ImapError> {
        while self.ready.is_empty() && self.read_at < self.read.len() {
            match &mut self.at {
                At::Line => self.digest_line()?,
                At::Literal { left, bytes } => {
                    let take = (*left).min(self.read.len() - self.read_at);
                    bytes.extend_from_slice(&self.read[self.read_at..self.read_at + take]);
                    self.read_at += take;
                    *left -= take;
                    if *left == 0 {
                        self.end_literal();
                    }
                }
            }
        }
        Ok(())
    }

    fn digest_line(&mut self) -> Result<(), ImapError> {
        let fresh = &self.read[self.read_at..];
        let end = fresh.iter().position(|b| *b == b'\n');
        let piece = &fresh[..end.map_or(fresh.len(), |at| at + 1)];
        let searching = starts_with_ignoring_case(&self.response, b"* SEARCH");
        // A long search answer is the one line that may be long; it is cut at a space.
        let cut = if searching && self.response.len() >= SEARCH_PIECE {
            piece.iter().position(|b| *b == b' ')
        } else {
            None
        };
        let piece = cut.map_or(piece, |at| &piece[..at]);
        let limit = self.limits.line + if searching { SEARCH_PIECE + READ_BUFFER } else { 0 };
        if self.response.len() + piece.len() > limit {
            return Err(ImapError::Hostile {
                what: "an endless line",
            });
        }
        self.parentheses += piece.iter().filter(|b| **b == b'(').count();
        if self.parentheses > self.limits.parentheses {
            return Err(ImapError::Hostile {
                what: "too many parentheses",
            });
        }
        if piece.contains(&MARK) {
            return Err(ImapError::Hostile {
                what: "a control character",
            });
        }
        self.response.extend_from_slice(piece);
        self.read_at += piece.len();
        if searching {
            self.search_bytes += piece.len();
            if self.search_bytes > self.limits.search {
                return Err(ImapError::Hostile {
                    what: "an endless search answer",
                });
            }
        }
        if cut.is_some() {
            self.response.extend_from_slice(b"\r\n");
            self.ready = std::mem::replace(&mut self.response, b"* SEARCH".to_vec());
            return Ok(());
        }
        if end.is_some() { self.end_line() } else { Ok(()) }
    }

    /// A line is complete: it ends the response, or announces a literal.
    fn end_line(&mut self) -> Result<(), ImapError> {
        // Some servers end lines with a bare LF, which the parser does not know.
        if !self.response.ends_with(b"\r\n") {
            self.response.pop();
            self.response.extend_from_slice(b"\r\n");
        }
        if is_data(&self.response)
            && let Some((announced, length)) = literal_at_end(&self.response)?
        {
            return self.begin_literal(announced, length);
        }
        self.end_response()
    }

    fn begin_literal(&mut self, announcement: usize, length: u64) -> Result<(), ImapError> {
        self.literals_here += 1;
        if self.literals_here > self.limits.literals {
            return Err(ImapError::Hostile {
                what: "too many literals in one response",
            });
        }
        if length > self.allowance.literal_bytes {
            return Err(ImapError::TooLarge { bytes: length });
        }
        self.allowance.literal_bytes -= length;
        self.response.truncate(self.response.len() - announcement);
        self.response
            .extend_from_slice(format!("\"{}{}\"", MARK as char, self.next_literal).as_bytes());
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let bytes = Vec::with_capacity(length.min(EAGER_LITERAL));
        self.at = At::Literal { left: length, bytes };
        if length == 0 {
            self.end_literal();
        }
        Ok(())
    }

    fn end_literal(&mut self) {
        if let At::Literal { bytes, .. } = std::mem::replace(&mut self.at, At::Line) {
            self.literals.push((self.next_literal, bytes));
            self.next_literal += 1;
        }
    }

    fn end_response(&mut self) -> Result<(), ImapError> {
        let mut response = std::mem::take(&mut self.response);
        let parentheses = std::mem::take(&mut self.parentheses);
        self.literals_here = 0;
        self.window = None;
        if response.starts_with(b"* ") {
            self.responses += 1;
            if self.responses > self.allowance.responses {
                return Err(ImapError::Hostile {
                    what: "too many answers to one command",
                });
            }
        }
        match kind(&response) {
            Kind::Unknown => {}
            Kind::Fetch if parentheses > FETCH_PARENTHESES => {
                return Err(ImapError::Hostile {
                    what: "too many parentheses",
                });
            }
            Kind::Fetch => {
                repair_internal_date(&mut response);
                self.ready = response;
            }
            Kind::Known => self.ready = response,
        }
        Ok(())
    }

    /// Why waiting has to end, if it has to.
    fn overdue(&self, now: Instant) -> Option<ImapError> {
        let what = self.allowance.what;
        if self.allowance.deadline.is_some_and(|d| now >= self.started + d)
            || self.allowance.silence.is_some_and(|s| now >= self.last_byte + s)
        {
            return Some(ImapError::Timeout { what });
        }
        let (since, bytes) = self.window?;
        let least = u128::from(self.limits.min_rate) * self.limits.rate_window.as_millis() / 1_000;
        (now >= since + self.limits.rate_window && u128::from(bytes) < least).then_some(ImapError::Timeout {
            what: "a dripping answer",
        })
    }

    /// When [`Guard::overdue`] may next have something to say.
    fn next_check(&self, now: Instant) -> Instant {
        [
            self.allowance.deadline.map(|d| self.started + d),
            self.allowance.silence.map(|s| self.last_byte + s),
            self.window.map(|(since, _)| since + self.limits.rate_window),
        ]
        .into_iter()
        .flatten()
        .min()
        .unwrap_or(now + FAR_FUTURE)
    }

    fn account(&mut self, bytes: usize, now: Instant) {
        self.last_byte = now;
        let bytes = bytes as u64;
        self.window = match self.window {
            Some((since, sum)) if now < since + self.limits.rate_window => Some((since, sum + bytes)),
            _ => Some((now, bytes)),
        };
    }

    fn fail(&mut self, error: ImapError) -> io::Error {
        self.violation.get_or_insert(error);
        // A fresh start is impossible from here, so nothing needs to be kept.
        self.response = Vec::new();
        self.literals = Vec::new();
        self.at = At::Line;
        io::Error::other("cut by the guard")
    }
}

impl<S: AsyncRead + Unpin> Guard<S> {
    /// Reads more bytes from the wire; `Ok(0)` is the end of the stream.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let now = Instant::now();
        if let Some(error) = self.overdue(now) {
            return Poll::Ready(Err(self.fail(error)));
        }
        self.read.resize(READ_BUFFER, 0);
        self.read_at = READ_BUFFER;
        let mut buf = ReadBuf::new(&mut self.read);
        match Pin::new(&mut self.inner).poll_read(cx, &mut buf) {
            Poll::Ready(done) => {
                let got = buf.filled().len();
                self.read.truncate(got);
                self.read_at = 0;
                done?;
                if got > 0 {
                    self.account(got, now);
                }
                Poll::Ready(Ok(got))
            }
            Poll::Pending => {
                self.read.clear();
                self.read_at = 0;
                let next = self.next_check(now);
                if self.timer.deadline() != next {
                    self.timer.as_mut().reset(next);
                }
                ready!(self.timer.as_mut().poll(cx));
                match self.overdue(Instant::now()) {
                    Some(error) => Poll::Ready(Err(self.fail(error))),
                    // A rate window that was fast enough has ended: measure the next one.
                    None => {
                        self.window = self.window.map(|_| (Instant::now(), 0));
                        cx.waker().wake_by_ref();
                        Poll::Pending
                    }
                }
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guard<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if this.violation.is_some() {
                return Poll::Ready(Err(io::Error::other("cut by the guard")));
            }
            if this.handed_over {
                // The parser holds a whole response and waits for its end: they would go on out of step.
                return Poll::Ready(Err(
                    this.fail(ImapError::Protocol("an answer that stops half-way"))
                ));
            }
            if this.ready_at < this.ready.len() {
                let take = buf.remaining().min(this.ready.len() - this.ready_at);
                buf.put_slice(&this.ready[this.ready_at..this.ready_at + take]);
                this.ready_at += take;
                if this.ready_at == this.ready.len() {
                    this.ready.clear();
                    this.ready_at = 0;
                    this.handed_over = true;
                }
                return Poll::Ready(Ok(()));
            }
            if let Err(error) = this.digest() {
                return Poll::Ready(Err(this.fail(error)));
            }
            if !this.ready.is_empty() {
                continue;
            }
            if this.closed {
                let clean = this.response.is_empty() && matches!(this.at, At::Line);
                let end = if clean {
                    Ok(())
                } else {
                    Err(io::ErrorKind::UnexpectedEof.into())
                };
                return Poll::Ready(end);
            }
            this.closed = ready!(this.poll_fill(cx))? == 0;
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guard<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// Begins a marker. Servers may not send it outside literals, so no server can forge one.
const MARK: u8 = 0x01;

enum Kind {
    /// The parser knows it.
    Known,
    /// The parser knows it, with one trap to be repaired.
    Fetch,
    /// An extension's answer we never asked for. The parser would give up the whole connection over it.
    Unknown,
}

fn kind(response: &[u8]) -> Kind {
    let Some(rest) = response.strip_prefix(b"* ") else {
        // Tagged or a continuation; an empty line is neither.
        return if response == b"\r\n" {
            Kind::Unknown
        } else {
            Kind::Known
        };
    };
    let mut words = rest
        .split(|b| matches!(b, b' ' | b'\r' | b'\n'))
        .filter(|w| !w.is_empty());
    let (first, second) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let known: &[&str] = if !first.is_empty() && first.iter().all(u8::is_ascii_digit) {
        if second.eq_ignore_ascii_case(b"FETCH") {
            return Kind::Fetch;
        }
        return if ["EXISTS", "RECENT", "EXPUNGE"]
            .iter()
            .any(|k| second.eq_ignore_ascii_case(k.as_bytes()))
        {
            Kind::Known
        } else {
            Kind::Unknown
        };
    } else {
        &[
            "OK",
            "NO",
            "BAD",
            "BYE",
            "PREAUTH",
            "CAPABILITY",
            "FLAGS",
            "LIST",
            "LSUB",
            "SEARCH",
        ]
    };
    if known.iter().any(|k| first.eq_ignore_ascii_case(k.as_bytes())) {
        Kind::Known
    } else {
        Kind::Unknown
    }
}

/// Whether a response can carry literals: an untagged one that is not a status with free text.
fn is_data(response: &[u8]) -> bool {
    let Some(rest) = response.strip_prefix(b"* ") else {
        return false;
    };
    let first = rest
        .split(|b| matches!(b, b' ' | b'\r' | b'\n'))
        .next()
        .unwrap_or_default();
    !["OK", "NO", "BAD", "BYE", "PREAUTH"]
        .iter()
        .any(|k| first.eq_ignore_ascii_case(k.as_bytes()))
}

/// The announcement of a literal at the end of a line: its own length with CRLF, and the literal's.
fn literal_at_end(line: &[u8]) -> Result<Option<(usize, u64)>, ImapError> {
    let Some(body) = line.strip_suffix(b"}\r\n") else {
        return Ok(None);
    };
    let digits = body.iter().rev().take_while(|b| b.is_ascii_digit()).count();
    let open = body.len() - digits;
    if digits == 0 || open == 0 || body[open - 1] != b'{' {
        return Ok(None);
    }
    let length = std::str::from_utf8(&body[open..])
        .ok()
        .and_then(|d| d.parse::<u64>().ok());
    match length {
        Some(length) => Ok(Some((digits + 4, length))),
        None => Err(ImapError::Hostile {
            what: "an absurd literal",
        }),
    }
}

/// `INTERNALDATE NIL` makes the parser panic; an empty date says the same.
fn repair_internal_date(response: &mut Vec<u8>) {
    const TRAP: &[u8] = b"INTERNALDATE NIL";
    let mut from = 0;
    while let Some(at) = response.get(from..).and_then(|rest| {
        rest.windows(TRAP.len())
            .position(|w| w.eq_ignore_ascii_case(TRAP))
    }) {
        let at = from + at + TRAP.len() - 3;
        response.splice(at..at + 3, *b"\"\"");
        from = at;
    }
}

fn starts_with_ignoring_case(text: &[u8], prefix: &[u8]) -> bool {
    text.get(..prefix.len())
        .is_some_and(|head| head.eq_ignore_ascii_case(prefix))
}
