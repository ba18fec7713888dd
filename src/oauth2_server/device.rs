//! Devices without a keyboard (RFC 8628): a code they show, a page where somebody types it, and what that person then
//! allows. The device asks for its tokens at the token endpoint meanwhile.

use secrecy::{ExposeSecret, SecretString};

use super::authorize::Refused;
use super::error::OAuthError;
use super::model::{AuthorizeRequest, Client, ClientState, DeviceHint, GrantType, ResponseMode};
use super::scope;
use super::store::{self, requests};
use super::token::Fields;
use super::waiting;
use crate::crypto::{new_prefixed, random_letters, sha256_hex};
use crate::ctx::Ctx;

/// Prefix of device codes.
pub const DEVICE_PREFIX: &str = "mg_dc_";
/// Consonants only, so that no word comes out of it, without those that look or sound alike (RFC 8628, section 6.1):
/// eight of them are 34 bits.
const ALPHABET: &[u8] = b"BCDFGHJKLMNPQRSTVWXZ";
const CHARS: usize = 8;
/// Life of a device's code.
const DEVICE_MS: i64 = 10 * 60_000;
/// A device asks at most so often.
const INTERVAL_MS: i64 = 5_000;

/// What a device is told.
#[derive(Debug)]
pub struct Begun {
    /// Its own secret.
    pub device_code: SecretString,
    /// What it shows.
    pub user_code: String,
    /// Life of both, seconds.
    pub expires_in: i64,
    /// Between two questions, seconds.
    pub interval: i64,
}

/// Where a device is, as far as can be seen from here: shown to whoever allows it.
#[derive(Clone, Copy, Debug)]
pub struct From<'a> {
    /// Its address.
    pub address: &'a str,
    /// What it calls itself.
    pub agent: &'a str,
}

/// Begins: the device gets a code to show.
pub async fn begin(ctx: &Ctx, client: &Client, fields: &Fields, from: From<'_>) -> Result<Begun, OAuthError> {
    if !client.has_grant(GrantType::DeviceCode) {
        return Err(OAuthError::new(
            "unauthorized_client",
            "the device code is not registered for this client",
        ));
    }
    let scopes = scope::parse(fields.get("scope").unwrap_or_default(), &client.scopes)?;
    if scopes.is_empty() {
        return Err(OAuthError::invalid_scope("scope is missing: name what is wanted"));
    }
    fields.check_resources(&ctx.config)?;
    let now = ctx.clock.now_ms();
    let device_code = new_prefixed(DEVICE_PREFIX);
    let letters = random_letters(ALPHABET, CHARS);
    let row = requests::DeviceRow {
        code_hash: sha256_hex(device_code.expose_secret().as_bytes()),
        client: client.id.clone(),
        state: String::new(),
        scopes,
        user_id: String::new(),
        consented: None,
        address: from.address.chars().take(60).collect(),
        agent: from.agent.chars().filter(|c| !c.is_control()).take(120).collect(),
        interval_ms: INTERVAL_MS,
        polled_at: None,
        created_at: now,
        expires_at: now + DEVICE_MS,
    };
    requests::insert_device(ctx.db.write(), &row, &user_code_hash(&letters)).await?;
    Ok(Begun {
        device_code,
        user_code: shown(&letters),
        expires_in: DEVICE_MS / 1000,
        interval: INTERVAL_MS / 1000,
    })
}

fn user_code_hash(letters: &str) -> String {
    sha256_hex(format!("user code {letters}").as_bytes())
}

/// `BCDF-GHJK`.
fn shown(letters: &str) -> String {
    let (first, second) = letters.split_at_checked(CHARS / 2).unwrap_or((letters, ""));
    format!("{first}-{second}")
}

/// What somebody typed, as the code is kept: in capitals, without what only groups it.
pub fn typed(text: &str) -> Option<String> {
    let letters: String = text
        .chars()
        .filter(|c| !c.is_whitespace() && !"-–—_.".contains(*c))
        .map(|c| c.to_ascii_uppercase())
        .collect();
    let is_code = letters.len() == CHARS && letters.bytes().all(|b| ALPHABET.contains(&b));
    is_code.then_some(letters)
}

/// Puts the request of the device that shows this code aside for somebody to decide, who is at this browser. `None` if no
/// device waits with such a code.
pub async fn open(ctx: &Ctx, text: &str, browser: &str) -> Result<Option<String>, Refused> {
    let Some(letters) = typed(text) else {
        return Ok(None);
    };
    let now = ctx.clock.now_ms();
    let Some(found) = requests::waiting_device(ctx.db.read(), &user_code_hash(&letters), now).await? else {
        return Ok(None);
    };
    let client = store::client(ctx.db.read(), &found.client).await?;
    let Some(client) = client
        .filter(|client| client.state == ClientState::Approved && client.has_grant(GrantType::DeviceCode))
    else {
        return Ok(None);
    };
    let request = AuthorizeRequest {
        scopes: found.scopes,
        device: Some(DeviceHint {
            code_hash: found.code_hash,
            user_code: shown(&letters),
            address: found.address,
            agent: found.agent,
            begun_at: found.created_at,
        }),
        ..AuthorizeRequest::new(String::new(), ResponseMode::Query)
    };
    waiting::put_aside(ctx, &client, request, browser).await.map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn n40_a_code_has_34_bits_and_is_found_however_it_is_typed() {
        let bits = f64::from(u32::try_from(ALPHABET.len()).unwrap()).log2() * 8.0;
        assert!(bits > 34.0, "{bits}");
        let letters = random_letters(ALPHABET, CHARS);
        assert_eq!(typed(&shown(&letters)), Some(letters.clone()));
        for text in [
            "bcdf-ghjk",
            " BCDF GHJK ",
            "b c d f g h j k",
            "BCDFGHJK",
            "bcdf–ghjk",
        ] {
            assert_eq!(typed(text).as_deref(), Some("BCDFGHJK"), "{text}");
        }
        for bad in ["", "BCDF-GHJ", "BCDF-GHJKL", "ABCD-EFGH", "BCDF-GHJ1", "ﬁBCDFGH"] {
            assert_eq!(typed(bad), None, "{bad}");
        }
    }
}
