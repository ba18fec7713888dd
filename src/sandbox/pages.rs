//! The pages of the sandbox provider: the consent question and plain messages. Written out by hand, because
//! they are the provider's pages and not Mailgrant's: they must not look or be built like the admin pages.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header;

use super::Shared;
use super::oauth::{PendingConsent, SCOPES};

const STYLE: &str = "\
:root{color-scheme:light dark;--ground:#eef1f5;--card:#fff;--ink:#1b2430;--soft:#56606d;--line:#cfd6de;\
--go:#1a5fb4;--go-ink:#fff}\
@media (prefers-color-scheme:dark){:root{--ground:#12161c;--card:#1c222b;--ink:#e8edf3;--soft:#a7b1bd;\
--line:#3a4450;--go:#8fc0ff;--go-ink:#0b1a2c}}\
*{box-sizing:border-box}\
body{margin:0;min-height:100vh;display:grid;place-items:center;padding:1rem;background:var(--ground);\
color:var(--ink);font:1rem/1.5 system-ui,sans-serif}\
main{width:100%;max-width:26rem;background:var(--card);border:1px solid var(--line);border-radius:.75rem;\
padding:1.5rem}\
.badge{margin:0 0 1rem;color:var(--soft);font-size:.875rem}\
h1{margin:0 0 .75rem;font-size:1.375rem;line-height:1.25;overflow-wrap:anywhere}\
ul{padding-left:1.25rem}\
fieldset{border:1px solid var(--line);border-radius:.5rem;margin:0 0 1rem}\
label{display:block;padding:.375rem 0;overflow-wrap:anywhere}\
.actions{display:flex;flex-wrap:wrap;gap:.75rem;margin-top:1.25rem}\
button{flex:1 1 8rem;min-height:2.75rem;border-radius:.5rem;border:1px solid var(--go);font:inherit;\
font-weight:600;cursor:pointer;background:var(--card);color:var(--ink)}\
button.go{background:var(--go);color:var(--go-ink)}\
button:focus-visible,input:focus-visible{outline:3px solid var(--go);outline-offset:2px}\
.note{margin:1rem 0 0;color:var(--soft);font-size:.875rem}";

/// The style sheet.
pub(super) async fn style() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/css; charset=utf-8")
        .body(STYLE)
}

/// A page under a policy that allows its style sheet, its form, and the redirect that answers the form.
pub(super) fn respond(status: StatusCode, redirect_origin: &str, html: String) -> HttpResponse {
    let policy = format!(
        "default-src 'none'; style-src 'self'; form-action 'self' {redirect_origin}; base-uri 'none'; \
         frame-ancestors 'none'"
    );
    HttpResponse::build(status)
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CONTENT_SECURITY_POLICY, policy))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .body(html)
}

/// The question to the mailbox owner.
pub(super) fn consent(shared: &Shared, request_id: &str, pending: &PendingConsent) -> String {
    let asked = SCOPES.iter().filter(|scope| pending.scopes.contains(**scope));
    let wishes: String = asked
        .map(|scope| format!("<li>{}</li>", escape(wish(scope))))
        .collect();
    let body = format!(
        "<h1>Allow {client} to use your mailbox?</h1>\
         <form method=\"post\" action=\"/authorize/decision\">\
         <input type=\"hidden\" name=\"request\" value=\"{request}\">\
         {accounts}\
         <p id=\"wishes\">It asks to:</p><ul aria-labelledby=\"wishes\">{wishes}</ul>\
         <div class=\"actions\">\
         <button class=\"go\" type=\"submit\" name=\"decision\" value=\"allow\">Allow</button>\
         <button type=\"submit\" name=\"decision\" value=\"refuse\">Refuse</button>\
         </div></form>\
         <p class=\"note\">The answer goes to {origin}.</p>",
        client = escape(&pending.client_name),
        request = escape(request_id),
        accounts = accounts(shared, &pending.account),
        origin = escape(&pending.redirect_uri.origin().ascii_serialization()),
    );
    layout("Allow access?", &body)
}

/// A page that says one thing.
pub(super) fn message(title: &str, text: &str) -> String {
    layout(
        title,
        &format!("<h1>{}</h1><p role=\"alert\">{}</p>", escape(title), escape(text)),
    )
}

fn accounts(shared: &Shared, selected: &str) -> String {
    let accounts = shared.accounts();
    if accounts.len() == 1 {
        return format!(
            "<p>You are signed in as <strong>{}</strong>.</p>",
            escape(selected)
        );
    }
    let choices: String = accounts
        .iter()
        .map(|account| {
            let checked = if *account == selected { " checked" } else { "" };
            let account = escape(account);
            format!(
                "<label><input type=\"radio\" name=\"account\" value=\"{account}\"{checked}> {account}</label>"
            )
        })
        .collect();
    format!("<fieldset><legend>Account</legend>{choices}</fieldset>")
}

fn wish(scope: &str) -> &str {
    match scope {
        "openid" => "know who you are",
        "email" => "know your address",
        "profile" => "know your name",
        "imap" => "read and change your mail",
        "offline_access" => "stay connected while you are away",
        other => other,
    }
}

fn layout(title: &str, body: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{} · Sandbox provider</title><link rel=\"stylesheet\" href=\"/sandbox.css\"></head>\
         <body><main><p class=\"badge\">Sandbox provider · only on this machine, no real account</p>{body}\
         </main></body></html>",
        escape(title)
    )
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}
