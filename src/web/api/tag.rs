//! `ETag` and `If-Match`: nobody overwrites what somebody else changed meanwhile.

use actix_web::dev::Payload;
use actix_web::http::{StatusCode, header};
use actix_web::{FromRequest, HttpRequest};
use serde_json::Value;

use crate::crypto::sha256_hex;
use crate::web::error::Problem;

/// What a resource is told apart by from what it was before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tag(String);

impl From<i64> for Tag {
    /// Of a resource that counts its changes.
    fn from(revision: i64) -> Self {
        Self(format!("\"{revision}\""))
    }
}

/// Members that change by themselves, and say nothing about what somebody decided.
const PASSING: [&str; 6] = [
    "hasRefreshToken",
    "lastSeenAt",
    "lastUsedAt",
    "lastTokenAt",
    "accessTokens",
    "usesLeft",
];

impl Tag {
    /// Of a resource that does not count its changes: of what is shown of it.
    pub(super) fn of(shown: &Value) -> Self {
        let mut shown = shown.clone();
        if let Some(members) = shown.as_object_mut() {
            members.retain(|name, _| !PASSING.contains(&name.as_str()));
        }
        let mut hash = sha256_hex(shown.to_string().as_bytes());
        hash.truncate(16);
        Self(format!("\"{hash}\""))
    }

    /// As it stands in the header.
    pub(super) fn into_header(self) -> (header::HeaderName, String) {
        (header::ETAG, self.0)
    }
}

/// How often a change is made before it is left to whoever asks: each try in vain is a change of somebody else.
const MOST_TRIES: u32 = 16;

/// What a change was made from, if whoever asks says so. Without `If-Match` the last change wins, except where the change
/// says that somebody looked ([`IfMatch::looked_at`]).
pub(super) struct IfMatch(Option<String>);

impl IfMatch {
    /// Refuses a change that was made from something else than what is there.
    pub(super) fn check(&self, present: impl Into<Tag>) -> Result<(), Problem> {
        let Tag(present) = present.into();
        let fits = |wanted: &str| wanted == "*" || wanted == present;
        match &self.0 {
            Some(wanted) if !wanted.split(',').map(str::trim).any(fits) => Err(changed_meanwhile()),
            _ => Ok(()),
        }
    }

    /// Refuses a change that says somebody looked at what is there, if it does not name what they looked at.
    pub(super) fn looked_at(&self) -> Result<(), Problem> {
        let names_one = |wanted: &str| wanted.split(',').all(|one| one.trim() != "*");
        match self.0.as_deref().is_some_and(names_one) {
            true => Ok(()),
            false => Err(Problem::new(
                StatusCode::PRECONDITION_REQUIRED,
                "revision_required",
                "this change says that somebody looked at what is there, and does not say at what; nothing was changed",
            )
            .with_remedy("Load it, look at it, and send its ETag as If-Match.")),
        }
    }

    /// Makes a change that reads what is there and writes it if it is still there, once more if somebody else was faster.
    /// What is gone is then not found; what was looked at before is refused; without `If-Match` the last change wins.
    pub(super) async fn settle<T>(
        &self,
        mut change: impl AsyncFnMut() -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        for _ in 1..MOST_TRIES {
            match change().await {
                Err(problem) if problem.status() == StatusCode::PRECONDITION_FAILED => {}
                done => return done,
            }
            if self.names_one() {
                // A state that is over does not come back: one more look tells what became of it.
                break;
            }
        }
        change().await
    }

    /// Whether it says which state the change was made from.
    fn names_one(&self) -> bool {
        let is_any = |wanted: &String| wanted.split(',').any(|one| one.trim() == "*");
        self.0.as_ref().is_some_and(|wanted| !is_any(wanted))
    }

    /// The same as [`IfMatch::check`], and the revision that must still be there when the change is written; none if the last change wins.
    pub(super) fn seen(&self, revision: i64) -> Result<Option<i64>, Problem> {
        self.seen_as(revision, revision)
    }

    /// The same for what does not count its changes: what was read of it must still be there.
    pub(super) fn seen_as<T>(&self, present: impl Into<Tag>, read: T) -> Result<Option<T>, Problem> {
        self.check(present)?;
        Ok(self.names_one().then_some(read))
    }
}

impl FromRequest for IfMatch {
    type Error = Problem;
    type Future = std::future::Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        // One that is no text fits nothing.
        let value = request.headers().get(header::IF_MATCH);
        std::future::ready(Ok(Self(
            value.map(|value| value.to_str().unwrap_or_default().to_owned()),
        )))
    }
}

/// 412.
pub(super) fn changed_meanwhile() -> Problem {
    Problem::new(
        StatusCode::PRECONDITION_FAILED,
        "revision_changed",
        "somebody else changed it meanwhile; nothing was changed now",
    )
    .with_remedy("Load it again and repeat the change with the new ETag.")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fits(wanted: Option<&str>, present: impl Into<Tag>) -> bool {
        IfMatch(wanted.map(str::to_owned)).check(present).is_ok()
    }

    #[test]
    fn a_change_fits_its_revision_any_revision_and_no_other() {
        assert!(fits(None, 2) && fits(Some("*"), 2) && fits(Some("\"1\", \"2\""), 2));
        assert!(
            !fits(Some("\"1\""), 2) && !fits(Some(""), 2) && !fits(Some("2"), 2) && !fits(Some("W/\"2\""), 2)
        );
        assert_eq!(IfMatch(None).seen(2).ok(), Some(None));
        assert_eq!(IfMatch(Some("\"2\"".into())).seen(2).ok(), Some(Some(2)));
        assert!(IfMatch(Some("\"1\"".into())).seen(2).is_err());
        // Whatever is there, so whatever comes between as well.
        assert_eq!(IfMatch(Some("*".into())).seen(2).ok(), Some(None));
    }

    #[test]
    fn who_says_that_they_looked_says_at_what() {
        let is_named = |wanted: Option<&str>| IfMatch(wanted.map(str::to_owned)).looked_at().is_ok();
        assert!(is_named(Some("\"2\"")));
        assert!(!is_named(None) && !is_named(Some("*")) && !is_named(Some("\"2\", *")));
    }

    #[test]
    fn what_passes_by_itself_is_no_change() {
        let tag = |role: &str, seen: &str| Tag::of(&json!({ "role": role, "lastSeenAt": seen }));
        assert_eq!(tag("agent", "today"), tag("agent", "tomorrow"));
        assert_ne!(tag("agent", "today"), tag("viewer", "today"));
    }

    async fn tries(wanted: Option<&str>, in_vain: u32) -> (u32, Option<StatusCode>) {
        let mut tries = 0;
        let done = IfMatch(wanted.map(str::to_owned))
            .settle(async || {
                tries += 1;
                match tries > in_vain {
                    true => Ok(()),
                    false => Err(changed_meanwhile()),
                }
            })
            .await;
        (tries, done.err().map(|problem| problem.status()))
    }

    #[tokio::test]
    async fn a_change_from_no_certain_state_is_made_once_more_if_somebody_was_faster() {
        let refused = Some(StatusCode::PRECONDITION_FAILED);
        for any in [None, Some("*")] {
            assert_eq!(tries(any, 0).await, (1, None));
            assert_eq!(tries(any, 3).await, (4, None));
            assert_eq!(tries(any, 1_000).await, (MOST_TRIES, refused), "it ends");
        }
        assert_eq!(tries(Some("\"1\""), 1_000).await, (2, refused));
    }

    #[tokio::test]
    async fn what_is_gone_is_not_found_whoever_looked_before() {
        for wanted in [None, Some("*"), Some("\"1\"")] {
            let mut looks = 0;
            let gone: Result<(), Problem> = IfMatch(wanted.map(str::to_owned))
                .settle(async || {
                    looks += 1;
                    match looks {
                        1 => Err(changed_meanwhile()),
                        _ => Err(Problem::not_found("webhook")),
                    }
                })
                .await;
            assert_eq!(
                gone.err().map(|problem| problem.status()),
                Some(StatusCode::NOT_FOUND)
            );
        }
    }
}
