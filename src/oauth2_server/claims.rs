//! What we say about a person (OpenID Connect Core, section 5): only what the scopes allow.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sea_orm::DbErr;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256, Sha512};

use super::model::Family;
use super::store;
use crate::access::Projects;
use crate::account::{self, User};
use crate::crypto::SigningAlg;
use crate::ctx::Ctx;
use crate::project;

/// The claims we have, each with the scope that opens it. Names to sign in with are addresses here, so
/// `preferred_username` is told to nobody who may not know the address: `profile` alone does not open it.
const CLAIMS: [(&str, &str); 8] = [
    ("name", "profile"),
    (USERNAME, "email"),
    ("email", "email"),
    ("email_verified", "email"),
    ("phone_number", "phone"),
    ("phone_number_verified", "phone"),
    ("address", "address"),
    ("groups", "groups"),
];

/// The claim that `profile` asks for and the address is said in.
const USERNAME: &str = "preferred_username";

/// Names of the claims about a person, `sub` apart.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    CLAIMS.iter().map(|(name, _)| *name)
}

/// The scope a claim belongs to; none for claims we do not have.
pub(super) fn scope_of(claim: &str) -> Option<&'static str> {
    CLAIMS
        .iter()
        .find(|(name, _)| *name == claim)
        .map(|(_, scope)| *scope)
}

/// The claims of a person that these scopes open, and those of `single`, which the person allowed one by one. `sub` is
/// not among them: it is always said, and never used again for somebody else, since ids are not.
pub(super) async fn of(
    ctx: &Ctx,
    user: &User,
    family: &Family,
    scopes: &[String],
    single: &[String],
) -> Result<Map<String, Value>, DbErr> {
    let mut claims = Map::new();
    let has = |scope: &str| scopes.iter().any(|have| have == scope);
    for (name, scope) in CLAIMS {
        let is_asked = name != USERNAME || has("profile");
        let is_single = single.iter().any(|have| have == name);
        let is_told = is_single || (is_asked && has(scope));
        if !is_told {
            continue;
        }
        let value: Value = match name {
            // Whoever gave no name is called by their address, which is not their name.
            "name" if user.name.eq_ignore_ascii_case(&user.email) && !has("email") => continue,
            "name" => user.name.clone().into(),
            USERNAME | "email" => user.email.clone().into(),
            // True only if its owner followed a link that was mailed there, or a provider vouched for it.
            "email_verified" => account::is_email_verified(&ctx.db, &user.id).await?.into(),
            // What somebody did not write is not said, rather than said to be nothing.
            "phone_number" | "phone_number_verified" if user.phone.is_empty() => continue,
            "address" if user.address.is_empty() => continue,
            "phone_number" => user.phone.clone().into(),
            "phone_number_verified" => false.into(),
            "address" => json!({ "formatted": user.address }),
            _ => groups(ctx, user, &limit(ctx, family).await?).await?.into(),
        };
        claims.insert(name.into(), value);
    }
    Ok(claims)
}

/// The projects a client hears of, all if none: those of the consent, and of a project's own application that project.
async fn limit(ctx: &Ctx, family: &Family) -> Result<Vec<String>, DbErr> {
    let client = store::client(ctx.db.read(), &family.client).await?;
    Ok(match client.map(|client| client.project_id) {
        Some(project) if !project.is_empty() => vec![project],
        _ => family.projects.clone(),
    })
}

/// The projects a person works in, with the role they have there: `HELP:agent`. Of those in `limit`, unless it is empty.
async fn groups(ctx: &Ctx, user: &User, limit: &[String]) -> Result<Vec<String>, DbErr> {
    let roles = project::roles_of(&ctx.db, &user.id).await?;
    let ids = roles
        .keys()
        .filter(|id| limit.is_empty() || limit.contains(id))
        .cloned()
        .collect();
    let mut groups: Vec<String> = project::list(ctx, &Projects::Only(ids))
        .await
        .unwrap_or_default()
        .into_iter()
        .filter_map(|project| Some(format!("{}:{}", project.key, roles.get(&project.id)?.as_str())))
        .collect();
    if user.is_site_admin && limit.is_empty() {
        groups.push("site_admin".to_owned());
    }
    Ok(groups)
}

/// What ties an access token (`at_hash`) or a code (`c_hash`) to an ID token: the left half of its hash, by the hash of the
/// signature algorithm, which is SHA-512 for Ed25519 and SHA-256 for the others.
pub(super) fn half_hash(alg: SigningAlg, of: &SecretString) -> String {
    let token = of.expose_secret().as_bytes();
    let digest = match alg {
        SigningAlg::EdDsa => Sha512::digest(token).to_vec(),
        _ => Sha256::digest(token).to_vec(),
    };
    URL_SAFE_NO_PAD.encode(digest.get(..digest.len() / 2).unwrap_or_default())
}
