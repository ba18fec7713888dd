//! The sanitised form of HTML, made once when a mail is taken in.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::LazyLock;

use super::cost;

/// Bytes of HTML that are sanitised; larger mails are shown as text.
pub const MAX_SIZE: usize = 512 << 10;
/// Element depth up to which HTML is sanitised: the tree builder is worse than quadratic in it.
pub const MAX_DEPTH: usize = 256;

/// Times a document is cleaned until it no longer changes.
const MAX_ROUNDS: usize = 4;

/// Removes everything active or remote. Pictures keep their source only when it is a `cid:` reference to a part of the
/// same mail. None when the document is too large or too deep to clean safely; show the text form then.
///
/// HTML that is written out and read again can mean something else (`<a><table><a>`), which is how markup has been
/// smuggled past cleaners. So the result is cleaned again until reading it changes nothing.
pub fn sanitize_html(html: &str) -> Option<String> {
    let mut current = Cow::Borrowed(html);
    for _ in 0..MAX_ROUNDS {
        if cost::is_costly(&current) {
            return None;
        }
        let next = CLEANER.clean(&current).to_string();
        if next == *current {
            return Some(next);
        }
        current = Cow::Owned(next);
    }
    None
}

static CLEANER: LazyLock<ammonia::Builder<'static>> = LazyLock::new(|| {
    let mut builder = ammonia::Builder::default();
    builder
        .add_tags(["font", "big"])
        .add_tag_attributes("font", ["color", "face", "size"])
        .add_tag_attributes("a", ["name"])
        .add_tag_attributes(
            "table",
            [
                "border",
                "cellpadding",
                "cellspacing",
                "width",
                "bgcolor",
                "align",
            ],
        )
        .add_tag_attributes("td", ["width", "valign", "bgcolor", "height"])
        .add_tag_attributes("th", ["width", "valign", "bgcolor", "height"])
        .add_tag_attributes("tr", ["bgcolor", "valign"])
        .add_tag_attributes("blockquote", ["type"])
        .add_generic_attributes(["style", "dir"])
        .filter_style_properties(safe_properties())
        .add_clean_content_tags([
            "title", "head", "noscript", "template", "svg", "math", "iframe", "object",
        ])
        .url_schemes(HashSet::from(["http", "https", "mailto", "tel", "cid"]))
        .url_relative(ammonia::UrlRelative::Deny)
        .link_rel(Some("noopener noreferrer nofollow"))
        .id_prefix(None)
        .attribute_filter(keep_attribute);
    builder
});

/// Style properties that can neither load anything, nor cover the page, nor hide text from the reader.
fn safe_properties() -> HashSet<&'static str> {
    HashSet::from([
        "background-color",
        "border",
        "border-bottom",
        "border-collapse",
        "border-color",
        "border-left",
        "border-right",
        "border-spacing",
        "border-style",
        "border-top",
        "border-width",
        "color",
        "direction",
        "font-family",
        "font-size",
        "font-style",
        "font-weight",
        "height",
        "line-height",
        "list-style-type",
        "margin",
        "margin-bottom",
        "margin-left",
        "margin-right",
        "margin-top",
        "max-width",
        "min-width",
        "padding",
        "padding-bottom",
        "padding-left",
        "padding-right",
        "padding-top",
        "text-align",
        "text-decoration",
        "text-indent",
        "vertical-align",
        "white-space",
        "width",
        "word-break",
    ])
}

fn keep_attribute<'v>(element: &str, attribute: &str, value: &'v str) -> Option<Cow<'v, str>> {
    match (element, attribute) {
        // A remote picture tells its sender when and where the mail was read.
        ("img", "src") => has_scheme(value, "cid:").then_some(Cow::Borrowed(value)),
        (_, "cite") => None,
        // `cid:` is for pictures; as a link it goes nowhere.
        (_, "href") => (!has_scheme(value, "cid:")).then_some(Cow::Borrowed(value)),
        (_, "style") => {
            let lower = value.to_ascii_lowercase();
            let loads = ["url(", "image(", "expression", "@import", "\\"]
                .iter()
                .any(|bad| lower.contains(bad));
            (!loads).then_some(Cow::Borrowed(value))
        }
        _ => Some(Cow::Borrowed(value)),
    }
}

fn has_scheme(value: &str, scheme: &str) -> bool {
    value
        .trim_start()
        .get(..scheme.len())
        .is_some_and(|s| s.eq_ignore_ascii_case(scheme))
}

#[cfg(test)]
mod tests {
    use super::sanitize_html;

    fn clean(html: &str) -> String {
        sanitize_html(html).expect("small")
    }

    #[test]
    fn active_content_is_removed() {
        let html = "<p onclick=x()>a</p><script>alert(1)</script><style>p{}</style><svg onload=x()></svg>\
            <iframe src=//x></iframe><a href=\"javascript:x()\">b</a><form><input name=p></form>";
        let out = clean(html);
        for bad in [
            "script",
            "onclick",
            "javascript",
            "svg",
            "iframe",
            "form",
            "input",
            "style",
        ] {
            assert!(!out.contains(bad), "{bad} in {out}");
        }
        assert!(out.contains("<p>a</p>") && out.contains(">b</a>"));
    }

    #[test]
    fn remote_pictures_lose_their_source_and_enclosed_ones_keep_it() {
        let out = clean(
            "<img src=\"https://t.example/p.gif\"><img src=\"cid:logo@x\"><p style=\"background:url(//x)\">",
        );
        assert!(!out.contains("t.example") && !out.contains("url("));
        assert!(out.contains("src=\"cid:logo@x\""));
    }

    #[test]
    fn links_say_nothing_about_the_reader() {
        assert!(clean("<a href=\"https://x.example/\">x</a>").contains("noreferrer"));
    }

    #[test]
    fn documents_that_would_take_seconds_are_refused() {
        assert_eq!(sanitize_html(&"<div>".repeat(20_000)), None);
        assert_eq!(sanitize_html(&"x".repeat(600 << 10)), None);
        let unclosed: String = (0..250).map(|i| format!("<b id={i}>")).collect();
        assert_eq!(
            sanitize_html(&format!("<div>{unclosed}</div>{}", "<div>x</div>".repeat(20_000))),
            None
        );
        assert_eq!(sanitize_html(&format!("<p {}>", "a=1 ".repeat(20_000))), None);
    }

    #[test]
    fn cleaning_twice_changes_nothing() {
        let once = clean("<table><tr><td bgcolor=red>x<b><p>y</b>z</table><font color=#123>q</font>");
        assert_eq!(clean(&once), once);
    }
}
