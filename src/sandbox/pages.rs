//! The provider's pages, marked: they are Mailgrant's own, and nobody must take them for those of the Mailgrant that is
//! being tried out.

use actix_web::HttpResponse;

/// Where the style sheet is, which makes the pages look different.
pub(super) const STYLE: &str = "/sandbox.css";

const CSS: &str = include_str!("marked.css");

/// What the pages call their place, and what it is called here.
const NAMES: [(&str, &str); 4] = [
    (" · Mailgrant</title>", " · Sandbox provider</title>"),
    ("<span>Mailgrant</span>", "<span>Sandbox provider</span>"),
    ("to Mailgrant, as ", "to your mailbox, as "),
    ("with your Mailgrant account", "with your account here"),
];

const BADGE: &str = "<aside class=\"sandbox-badge\" aria-label=\"About this page\">Sandbox provider · only on this \
                     machine, no real account</aside>";

/// A page that says where it is from.
pub(super) fn marked(page: &str) -> String {
    let mut page = page.replacen(
        "</head>",
        &format!("<link rel=\"stylesheet\" href=\"{STYLE}\"></head>"),
        1,
    );
    for (ours, theirs) in NAMES {
        page = page.replace(ours, theirs);
    }
    let body = page.find("<body").and_then(|start| {
        let end = page.get(start..)?.find('>')?;
        Some(start + end + 1)
    });
    if let Some(at) = body {
        page.insert_str(at, BADGE);
    }
    page
}

/// The style sheet.
pub(super) async fn style() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/css; charset=utf-8")
        .body(CSS)
}
