//! Following the event log over HTTP: server-sent events for the API and for the page of events.
//!
//! What may be seen is asked again while the stream is open: before anything is sent, and at least every
//! [`HEARTBEAT`]. When the token was revoked, the session has ended or the projects are others than at the beginning,
//! the stream ends; a client that connects again is told why, or sees what it may see now.
//!
//! A batch is read when the socket took the one before, so that a reader who is slow, or does not read at all, costs
//! one batch of memory.

use std::time::{Duration, Instant};

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::web::{self, Bytes};
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use futures_util::Stream;
use serde_json::json;
use tokio::sync::watch;

use super::error::Problem;
use super::gate;
use super::limit::{MOST_STREAMS, OpenStream, Streams};
use crate::access::{Access, Projects};
use crate::ctx::Ctx;
use crate::event::{self, Cursor, Event, Filter, LogError};

/// A comment is sent at least this often, so that neither side takes a quiet stream for a dead one.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// While nothing is sent, access is asked again at most this often.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// Events of one look.
const BATCH: u64 = 100;

/// Where to begin.
pub(super) enum Place {
    /// Behind a place.
    After(Cursor),
    /// At the end of the log.
    End,
}

impl Place {
    /// Where a client wants to begin: a browser that reconnects says what it saw last, which is newer than the address
    /// it connects to.
    pub(super) fn asked(request: &HttpRequest, after: Option<String>) -> Result<Self, Problem> {
        let seen = request
            .headers()
            .get("last-event-id")
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        match [seen, after].into_iter().flatten().find(|text| !text.is_empty()) {
            Some(text) => Cursor::parse(&text).map(Self::After).ok_or_else(bad_cursor),
            None => Ok(Self::End),
        }
    }
}

/// 400.
pub(super) fn bad_cursor() -> Problem {
    Problem::bad_request(
        "bad_cursor",
        "`after` must be the `cursor` of an event or of a part of the log",
    )
    .at("/after")
}

/// One client that follows.
pub(super) struct Follower {
    ctx: Ctx,
    request: HttpRequest,
    /// What whoever asked could see when it began, before the filter.
    may_see: Projects,
    /// When that was asked last.
    asked_at: Instant,
    /// Whether somebody wrote to the log since.
    woken: bool,
    /// When something was sent last.
    said_at: Instant,
    filter: Filter,
    cursor: Cursor,
    head: watch::Receiver<i64>,
    over: bool,
    greeted: bool,
    /// Counts while it lives.
    _counted: OpenStream,
}

impl Follower {
    /// Begins to follow.
    ///
    /// # Errors
    /// 410 if what comes next was deleted already; 429 if too many streams of the same person or token are open.
    pub(super) async fn start(
        ctx: &web::Data<Ctx>,
        request: HttpRequest,
        filter: Filter,
        place: Place,
    ) -> Result<Self, Problem> {
        let may_see = gate::projects_now(&request)
            .await?
            .ok_or_else(|| Problem::not_found("stream"))?;
        let counted = count(&request)?;
        let head = ctx.log.follow();
        ctx.log.reach(event::advance(&ctx.db).await?);
        let (floor, last) = event::extent(&ctx.db).await?;
        let cursor = match place {
            Place::After(cursor) => cursor,
            Place::End => last,
        };
        if cursor < floor {
            return Err(gone(LogError::Gone { oldest: floor }));
        }
        not_ahead(cursor, last)?;
        Ok(Self {
            ctx: ctx.get_ref().clone(),
            request,
            may_see,
            asked_at: Instant::now(),
            said_at: Instant::now(),
            filter,
            cursor,
            head,
            woken: false,
            over: false,
            greeted: false,
            _counted: counted,
        })
    }

    /// The answer, each event as `line` writes it. `gone` and `over` say why there will be no more.
    pub(super) fn answer<F: Fn(&Event) -> String + 'static>(self, line: F) -> HttpResponse {
        HttpResponse::Ok()
            .content_type("text/event-stream")
            // Proxies that collect an answer before they pass it on would make it less than live.
            .insert_header(("x-accel-buffering", "no"))
            .streaming(follow(self, line))
    }

    async fn next(&mut self, line: &impl Fn(&Event) -> String) -> Result<Bytes, Problem> {
        if !self.greeted {
            self.greeted = true;
            return Ok(Bytes::from(format!(
                "retry: 2000\nid: {}\n: begins\n\n",
                self.cursor
            )));
        }
        loop {
            self.head.mark_unchanged();
            let read = match event::read_after(self.ctx.db.read(), self.cursor, &self.filter, BATCH).await {
                Ok(read) => read,
                Err(LogError::Gone { oldest }) => {
                    let gone = json!({ "code": "cursor_expired", "oldest": oldest.to_string() });
                    return Ok(self.last("gone", &gone));
                }
                Err(LogError::Db(error)) => return Err(error.into()),
            };
            let is_quiet = read.events.is_empty();
            if (!is_quiet || self.is_time_to_ask()) && !self.may_still_see().await? {
                return Ok(self.last("over", &json!({ "code": "access_ended" })));
            }
            let moved = read.cursor != self.cursor;
            self.cursor = read.cursor;
            if !is_quiet {
                return Ok(Bytes::from(read.events.iter().map(line).collect::<String>()));
            }
            if read.has_more && moved {
                continue;
            }
            if let Some(said) = self.wait().await {
                return Ok(said);
            }
        }
    }

    /// The last words of the stream.
    fn last(&mut self, name: &str, data: &serde_json::Value) -> Bytes {
        self.over = true;
        Bytes::from(format!("event: {name}\ndata: {data}\n\n"))
    }

    async fn may_still_see(&mut self) -> Result<bool, Problem> {
        self.asked_at = Instant::now();
        self.woken = false;
        Ok(gate::projects_now(&self.request).await?.as_ref() == Some(&self.may_see))
    }

    /// Whether somebody wrote, which may have been the end of its access, or nobody asked for as long as nothing is said.
    fn is_time_to_ask(&self) -> bool {
        let pause = if self.woken { ASK_AGAIN } else { HEARTBEAT };
        self.asked_at.elapsed() >= pause
    }

    /// Waits for something to look at; what is to be said meanwhile, if anything is.
    async fn wait(&mut self) -> Option<Bytes> {
        let ask = self.woken.then(|| self.asked_at + ASK_AGAIN);
        let beat = self.said_at + HEARTBEAT;
        let until = ask.map_or(beat, |ask| ask.min(beat));
        tokio::select! {
            changed = self.head.changed() => {
                self.over |= changed.is_err();
                self.woken = true;
            }
            () = tokio::time::sleep_until(until.into()) => {}
            () = self.ctx.stop.cancelled() => {
                self.over = true;
                return Some(Bytes::from_static(b": the service stops\n\n"));
            }
        }
        // The id moves on also past events that were not wanted.
        (self.over || Instant::now() >= beat)
            .then(|| Bytes::from(format!("id: {}\n: still here\n\n", self.cursor)))
    }
}

fn count(request: &HttpRequest) -> Result<OpenStream, Problem> {
    let access = Access::from_request(request, &mut Payload::None).into_inner()?;
    let streams = request
        .app_data::<web::Data<Streams>>()
        .ok_or_else(|| Problem::internal(&"the application counts no streams"))?;
    streams.open(access.actor()).ok_or_else(|| {
        Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_streams",
            format!("{MOST_STREAMS} streams of this token or its owner are open already"),
        )
        .with_remedy("Close those that are not read any more; one stream can follow everything.")
        .retry_after(5)
    })
}

fn follow<F: Fn(&Event) -> String>(
    follower: Follower,
    line: F,
) -> impl Stream<Item = Result<Bytes, Problem>> {
    futures_util::stream::unfold((follower, line), |(mut follower, line)| async move {
        if follower.over {
            return None;
        }
        let next = follower.next(&line).await;
        follower.said_at = Instant::now();
        follower.over |= next.is_err();
        Some((next, (follower, line)))
    })
}

/// Refuses a cursor that no event has yet: the log was restored from a backup since it was given out, and what happened
/// from there on has the numbers that the reader believes to have seen.
///
/// # Errors
/// 410 with where the log ends now.
pub(super) fn not_ahead(cursor: Cursor, last: Cursor) -> Result<(), Problem> {
    if cursor <= last {
        return Ok(());
    }
    let problem = Problem::new(
        StatusCode::GONE,
        "cursor_ahead",
        "this cursor is behind the end of the log: the database was restored to an earlier moment since you got it",
    )
    .with_remedy(
        "Find the newest event that both sides know, for example by the time of the backup, go on with its cursor, \
         and expect events that you have seen already.",
    )
    .with_member("newest", json!(last.to_string()));
    Err(problem)
}

/// 410 with where the log begins, so that a consumer can say what it lost and go on.
pub(super) fn gone(error: LogError) -> Problem {
    match error {
        LogError::Gone { oldest } => Problem::new(
            StatusCode::GONE,
            "cursor_expired",
            "events after this cursor were older than the retention and are gone",
        )
        .with_remedy(format!(
            "Go on with after={oldest}, the oldest place that is left, and load what may have changed before it."
        ))
        .with_member("oldest", json!(oldest.to_string())),
        LogError::Db(error) => error.into(),
    }
}
