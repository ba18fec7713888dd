//! Which parts are body and which are attachments: the algorithm of RFC 8621, section 4.1.4.
//!
//! One deviation: pictures, sounds and films are always listed as attachments and never as body, so that no consumer
//! loses a file that a sender happened to place between two paragraphs.

use crate::prescan::Structure;

/// Part indexes by role, in the order of the mail.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Roles {
    pub text: Vec<usize>,
    pub html: Vec<usize>,
    pub attachments: Vec<usize>,
}

/// The walk's state: the lists are absent where JMAP sets them to null.
struct Lists<'r> {
    roles: &'r mut Roles,
    text: bool,
    html: bool,
}

/// Sorts the leaves of a mail.
pub(crate) fn roles(found: &Structure<'_>) -> Roles {
    let mut roles = Roles::default();
    if !found.parts.is_empty() {
        walk(
            found,
            &[0],
            "mixed",
            false,
            &mut Lists {
                roles: &mut roles,
                text: true,
                html: true,
            },
        );
    }
    roles
}

/// Recursion is bounded by [`crate::prescan::MAX_NESTING`].
fn walk(
    found: &Structure<'_>,
    parts: &[usize],
    multipart: &str,
    in_alternative: bool,
    lists: &mut Lists<'_>,
) {
    let (text_before, html_before) = (lists.roles.text.len(), lists.roles.html.len());
    for (i, &index) in parts.iter().enumerate() {
        let part = &found.parts[index];
        let kind = part.content_type.value.as_str();
        if part.is_multipart {
            let sub = kind.strip_prefix("multipart/").unwrap_or("mixed");
            let alternative = in_alternative || sub == "alternative";
            let mut inner = Lists {
                roles: lists.roles,
                text: lists.text,
                html: lists.html,
            };
            walk(found, &part.children, sub, alternative, &mut inner);
            continue;
        }
        let is_text = kind == "text/plain" || kind == "text/html" || (index == 0 && is_other_text(kind));
        let named = part
            .disposition
            .param("filename")
            .or(part.content_type.param("name"))
            .is_some();
        let inline = part.disposition.value != "attachment"
            && is_text
            && (i == 0 || (multipart != "related" && !named));
        if !inline {
            lists.roles.attachments.push(index);
        } else if multipart == "alternative" {
            let list = if kind == "text/html" {
                &mut lists.roles.html
            } else {
                &mut lists.roles.text
            };
            list.push(index);
        } else {
            if in_alternative {
                if kind == "text/html" {
                    lists.text = false
                } else {
                    lists.html = false
                }
            }
            if lists.text {
                lists.roles.text.push(index);
            }
            // What was recovered from a broken multipart is plain text whatever it was meant to be.
            if lists.html && !part.is_recovered {
                lists.roles.html.push(index);
            }
        }
    }
    if multipart == "alternative" && lists.text && lists.html {
        let roles = &mut lists.roles;
        let (text_grew, html_grew) = (roles.text.len() > text_before, roles.html.len() > html_before);
        if html_grew && !text_grew {
            let only: Vec<usize> = roles.html[html_before..].to_vec();
            roles.text.extend(only);
        } else if text_grew && !html_grew {
            let only: Vec<usize> = roles.text[text_before..].to_vec();
            roles.html.extend(only);
        }
    }
}

/// A mail that is nothing but text of another kind is shown as text.
fn is_other_text(kind: &str) -> bool {
    kind.starts_with("text/") && kind != "text/calendar" && kind != "text/vcard"
}
