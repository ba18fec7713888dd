//! Grants and authorizations as plain values. Tokens are not part of them.

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::integration::Flow;
use crate::oauth2_client::stored_text;
use crate::trouble::Trouble;

/// How a grant stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantState {
    /// It works.
    Active,
    /// It works, but its refresh token ends within a week and refreshing does not renew it. Never stored: it follows
    /// from the dates.
    Expiring,
    /// It is dead: somebody has to reconnect.
    NeedsReauth,
    /// It was revoked here; its tokens are gone.
    Revoked,
}

stored_text!(GrantState {
    Active => "active",
    Expiring => "expiring",
    NeedsReauth => "needs_reauth",
    Revoked => "revoked",
});

/// A grant. All times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// `grt_` + ULID.
    pub id: String,
    /// The integration it came through.
    pub integration_id: String,
    /// How it was obtained.
    pub flow: Flow,
    /// Who consented, as an address or name to show; the client id for app-only access; empty when unknown.
    pub identity: String,
    /// The stable identifier of who consented (`sub`); empty when unknown.
    pub subject: String,
    /// Who started it: a user id, a token id or `cli`.
    pub started_by: String,
    /// Scopes granted.
    pub scopes: Vec<String>,
    /// How it stands.
    pub state: GrantState,
    /// When somebody last consented.
    pub issued_at: i64,
    /// When the access token ends.
    pub expires_at: Option<i64>,
    /// When the access token was last renewed.
    pub refreshed_at: i64,
    /// When the present refresh token was issued.
    pub refresh_token_at: i64,
    /// When the refresh token ends, if the provider said.
    pub refresh_expires_at: Option<i64>,
    /// When the next refresh is due.
    pub next_refresh_at: Option<i64>,
    /// Whether there is a refresh token.
    pub has_refresh_token: bool,
    /// Refreshes that failed since the last one that did not.
    pub failures: i64,
    /// What is wrong, if anything.
    pub trouble: Option<Trouble>,
    /// Since when.
    pub error_at: Option<i64>,
    /// Grows with every change of its tokens.
    pub revision: i64,
    /// When it was made.
    pub created_at: i64,
    /// When it was last changed.
    pub updated_at: i64,
}

/// A usable access token.
#[derive(Debug)]
pub struct AccessToken {
    /// The token.
    pub secret: SecretString,
    /// The grant's revision it belongs to; hand it to [`super::force_refresh`] when the mail server refuses it.
    pub revision: i64,
    /// When it ends, milliseconds since 1970.
    pub expires_at: Option<i64>,
}

/// How an authorization stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthorizationState {
    /// Waiting for the browser to come back.
    Pending,
    /// The browser came back; its code is being exchanged.
    Exchanging,
    /// Another account than the pinned one consented; an admin has to confirm.
    AwaitingConfirmation,
    /// It gave a grant.
    Done,
    /// It failed.
    Failed,
}

stored_text!(AuthorizationState {
    Pending => "pending",
    Exchanging => "exchanging",
    AwaitingConfirmation => "awaiting_confirmation",
    Done => "done",
    Failed => "failed",
});

/// An attempt to obtain a grant.
#[derive(Clone, Debug)]
pub struct Authorization {
    /// `aut_` + ULID.
    pub id: String,
    /// The integration.
    pub integration_id: String,
    /// Where to send the browser, while it is pending; `None` for client credentials and once it was used.
    pub authorization_url: Option<String>,
    /// How it stands.
    pub state: AuthorizationState,
    /// The grant it gave.
    pub grant_id: Option<String>,
    /// Who started it.
    pub started_by: String,
    /// The grant that is to be reconnected.
    pub reconnect_grant_id: Option<String>,
    /// Path to show afterwards; may be empty.
    pub return_to: String,
    /// Why it failed.
    pub trouble: Option<Trouble>,
    /// When it was started, milliseconds since 1970.
    pub created_at: i64,
    /// Until when the browser may come back, milliseconds since 1970.
    pub expires_at: i64,
}

/// What starts an authorization.
#[derive(Clone, Debug, Default)]
pub struct StartAuthorization {
    /// For which project it is connected; empty for the site. The project's admins may use the grant then.
    pub project_id: String,
    /// The web session it is bound to. `None`: started by an API token or the command line; the callback then works
    /// once in any browser.
    pub session_id: Option<String>,
    /// Who starts it.
    pub actor: String,
    /// The account that has to consent, if it matters.
    pub expected_identity: Option<String>,
    /// The grant to reconnect.
    pub reconnect_grant_id: Option<String>,
    /// Path to show afterwards.
    pub return_to: String,
    /// The account to suggest to the provider.
    pub login_hint: Option<String>,
}
