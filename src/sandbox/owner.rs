//! The mailbox owner who is not there: goes through the provider's pages as a browser does, for tests and for the demo that
//! checks itself.

use std::collections::{BTreeSet, HashMap};

use url::Url;

use super::{Decision, SandboxError};
use crate::net::{HttpClient, HttpResponse};

/// How many redirects lead from the request to the question at most.
const REDIRECTS: usize = 10;

/// Somebody at the provider, with cookies of their own.
pub(super) struct Owner<'a> {
    http: &'a HttpClient,
    issuer: &'a str,
    cookies: HashMap<String, String>,
}

impl<'a> Owner<'a> {
    /// Comes with no cookie.
    pub(super) fn new(http: &'a HttpClient, issuer: &'a str) -> Owner<'a> {
        Owner {
            http,
            issuer,
            cookies: HashMap::new(),
        }
    }

    /// Goes where an application sends them, signs in as `account` (the request's own hint if none), answers the
    /// question, and says where they are sent back to.
    pub(super) async fn decide(
        mut self,
        authorization_url: &str,
        decision: Decision,
        account: Option<&str>,
    ) -> Result<String, SandboxError> {
        let refused = |why: &str| SandboxError::Authorization(why.to_owned());
        let mut url = Url::parse(authorization_url).map_err(|_| refused("it is not a URL"))?;
        if let Some(account) = account {
            let others: Vec<(String, String)> = url
                .query_pairs()
                .into_owned()
                .filter(|(name, _)| name != "login_hint")
                .collect();
            url.query_pairs_mut()
                .clear()
                .extend_pairs(others)
                .append_pair("login_hint", account);
        }
        for _ in 0..REDIRECTS {
            if !self.is_here(&url) {
                return Ok(url.into());
            }
            let header = self.header();
            let answer = self.http.get(url.as_str(), &[("cookie", &header)]).await;
            let answer = answer.map_err(SandboxError::provider)?;
            self.keep(&answer);
            match (answer.status, onward(&url, &answer)) {
                (300..400, Some(next)) => url = next,
                (200, _) => return self.answer(&url, &answer, decision).await,
                _ => return Err(SandboxError::Authorization(said(&answer))),
            }
        }
        Err(refused("it leads nowhere"))
    }

    /// Sends the form of the consent page.
    async fn answer(
        &self,
        page: &Url,
        shown: &HttpResponse,
        decision: Decision,
    ) -> Result<String, SandboxError> {
        let html = String::from_utf8_lossy(&shown.body);
        let decision = match decision {
            Decision::Allow => "allow",
            Decision::Refuse => "refuse",
        };
        let csrf = values(&html, "csrf").next().unwrap_or_default().to_owned();
        let mut form = vec![("csrf", csrf.as_str()), ("decision", decision), ("reach", "all")];
        // What cannot be unticked stands there twice.
        let scopes: BTreeSet<&str> = values(&html, "scope").collect();
        form.extend(scopes.into_iter().map(|scope| ("scope", scope)));
        let header = self.header();
        let headers = [("cookie", header.as_str())];
        let answer = self.http.post_form(page.as_str(), &headers, &form).await;
        let answer = answer.map_err(SandboxError::provider)?;
        onward(page, &answer)
            .map(String::from)
            .ok_or_else(|| SandboxError::Authorization(said(&answer)))
    }

    fn is_here(&self, url: &Url) -> bool {
        url.origin().ascii_serialization() == self.issuer
    }

    fn keep(&mut self, answer: &HttpResponse) {
        for set in answer.headers.get_all("set-cookie") {
            let pair = set.to_str().ok().and_then(|set| set.split(';').next());
            if let Some((name, value)) = pair.and_then(|pair| pair.split_once('=')) {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }

    fn header(&self) -> String {
        let pairs = self.cookies.iter().map(|(name, value)| format!("{name}={value}"));
        pairs.collect::<Vec<_>>().join("; ")
    }
}

/// Where an answer sends a browser: by a redirect, or, after a form, by a page that goes on by itself.
fn onward(from: &Url, answer: &HttpResponse) -> Option<Url> {
    if let Some(location) = answer.header("location") {
        return from.join(location).ok();
    }
    let html = String::from_utf8_lossy(&answer.body);
    let (_, rest) = html.split_once("http-equiv=\"refresh\" content=\"0;url=")?;
    let url = rest
        .split('"')
        .next()?
        .replace("&#x2F;", "/")
        .replace("&#x3D;", "=");
    from.join(&url.replace("&amp;", "&")).ok()
}

/// The values of a form's fields of one name. Those that are read here hold nothing that HTML writes in another way.
fn values<'a>(html: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let before = format!("name=\"{name}\" value=\"");
    let mut rest = html;
    std::iter::from_fn(move || {
        let at = rest.find(&before)?;
        rest = rest.get(at + before.len()..)?;
        rest.split('"').next()
    })
}

/// What a page says in its heading and its first alert, for a person.
fn said(answer: &HttpResponse) -> String {
    let html = String::from_utf8_lossy(&answer.body);
    let title = html
        .split("<title>")
        .nth(1)
        .and_then(|rest| rest.split('<').next());
    format!(
        "the provider answers {} ({})",
        answer.status,
        title.unwrap_or("no page").trim()
    )
}
