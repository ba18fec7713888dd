//! Refusals in the words of RFC 6749 and its companions.

use sea_orm::DbErr;

/// An error answer of the protocol: a registered code, a sentence, and the HTTP status where it is not redirected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OAuthError {
    /// Registered code, such as `invalid_grant`.
    pub code: &'static str,
    /// What was wrong, in the characters RFC 6749 allows.
    pub description: String,
    /// HTTP status.
    pub status: u16,
    /// When to try again, seconds.
    pub retry_after: Option<i64>,
}

impl OAuthError {
    /// An error with status 400. The description loses every character that RFC 6749, section 5.2, does not allow.
    pub fn new(code: &'static str, description: impl AsRef<str>) -> Self {
        Self {
            code,
            description: allowed(description.as_ref()),
            status: 400,
            retry_after: None,
        }
    }

    /// The client could not be authenticated: 401.
    pub fn invalid_client(description: &str) -> Self {
        Self {
            status: 401,
            ..Self::new("invalid_client", description)
        }
    }

    /// Too many requests: 429.
    pub fn too_often(seconds: i64) -> Self {
        Self {
            status: 429,
            retry_after: Some(seconds),
            ..Self::new(
                "temporarily_unavailable",
                format!("too many requests; wait {seconds} s"),
            )
        }
    }

    /// The request is not well formed.
    pub fn invalid_request(description: impl AsRef<str>) -> Self {
        Self::new("invalid_request", description)
    }

    /// The code, token or assertion does not hold.
    pub fn invalid_grant(description: &str) -> Self {
        Self::new("invalid_grant", description)
    }

    /// The scope is unknown, malformed, or not this client's.
    pub fn invalid_scope(description: impl AsRef<str>) -> Self {
        Self::new("invalid_scope", description)
    }
}

/// What may stand in `error_description`: printable ASCII without quote and backslash.
fn allowed(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '"' | '\\' => '\'',
            ' '..='~' => c,
            _ => '?',
        })
        .take(300)
        .collect()
}

impl From<DbErr> for OAuthError {
    fn from(error: DbErr) -> Self {
        tracing::error!(%error, "the authorization server could not use the database");
        Self {
            status: 503,
            retry_after: Some(5),
            ..Self::new(
                "temporarily_unavailable",
                "the server cannot answer now; try again",
            )
        }
    }
}

impl std::fmt::Display for OAuthError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code, self.description)
    }
}

impl std::error::Error for OAuthError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn n69_a_description_reflects_no_markup_and_splits_no_header() {
        let error = OAuthError::invalid_request("bad \"x\"\r\nSet-Cookie: a\\b é\0");
        assert_eq!(error.description, "bad 'x'??Set-Cookie: a'b ??");
    }
}
