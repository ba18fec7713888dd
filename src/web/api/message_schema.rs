//! The shape of a message: JMAP's Email (RFC 8621, section 4) with `mailgrant` extras.

use crate::web::openapi::schema::{
    Schema, anything, boolean, id, integer, list_of, map, number, object, text, time, word,
};

/// A stored message.
pub(super) fn schema() -> Schema {
    let stored = [
        ("mailboxId", id("mbx")),
        ("projectId", text()),
        ("folder", text()),
        ("uid", integer()),
        ("uidValidity", integer()),
        ("internalDate", time().or_null()),
        ("ticketId", text().or_null()),
        ("entryId", text().or_null()),
        (
            "state",
            text().about("`stored`, `ticketed`, `quarantined` and so on"),
        ),
        ("attempts", integer()),
        (
            "isPartial",
            boolean().about("Only its beginning was fetched: it is over the size limit"),
        ),
        ("problem", text().or_null()),
        ("contentHash", text().about("SHA-256 of the raw mail, hex")),
        (
            "senderVerdict",
            word(&["verified", "failed", "unknown"])
                .about("What a mail server that the mailbox trusts says of From (DMARC)"),
        ),
        ("resolution", resolution().or_null()),
    ];
    let extras = stored
        .into_iter()
        .fold(extras(), |all, (name, schema)| all.and(name, schema));
    email(extras).named("Message")
}

/// Why a message is in its ticket.
fn resolution() -> Schema {
    let named = || object([("ticketId", id("tkt")), ("ticketKey", text())]).or_null();
    object([
        (
            "rule",
            text().about(
                "`reply_address`, `signed_message_id`, `known_reference`, `subject_key`, `new_ticket`, \
                 `closed_long_ago`, `mail_rule`, `same_mail` (it arrived in another mailbox of the project before)",
            ),
        ),
        ("why", text().about("A sentence for people")),
        ("joined", named()),
        ("possiblyRelated", named()),
        ("senderVerified", boolean()),
    ])
}

/// A conversation.
pub(super) fn thread() -> Schema {
    object([
        ("id", id("thr")),
        ("projectId", id("prj")),
        ("emailIds", list_of(id("msg"))),
        ("ticketIds", list_of(id("tkt"))),
    ])
    .named("Thread")
}

/// A mail that was parsed and not stored.
pub(super) fn parsed() -> Schema {
    email(extras()).named("ParsedMail")
}

fn email(extras: Schema) -> Schema {
    let people = || list_of(object([("name", text().or_null()), ("email", text())]).named("Address"));
    let value = object([
        ("value", text()),
        ("isEncodingProblem", boolean()),
        ("isTruncated", boolean()),
    ]);
    object([
        ("id", id("msg").or_null()),
        ("blobId", text().or_null()),
        ("threadId", text().or_null()),
        ("messageId", list_of(text())),
        ("inReplyTo", list_of(text())),
        ("references", list_of(text())),
        ("from", people()),
        ("to", people()),
        ("cc", people()),
        ("bcc", people()),
        ("replyTo", people()),
        ("sender", people()),
        ("subject", text().or_null()),
        ("sentAt", text().or_null()),
        ("receivedAt", text().or_null()),
        ("preview", text()),
        ("size", integer()),
        ("hasAttachment", boolean()),
        ("textBody", list_of(part())),
        ("htmlBody", list_of(part())),
        ("bodyValues", map(value)),
        ("attachments", list_of(part())),
        ("mailgrant", extras),
    ])
}

fn part() -> Schema {
    object([
        ("partId", text()),
        ("blobId", text().or_null()),
        ("name", text().or_null()),
        ("type", text()),
        ("size", integer()),
        ("charset", text().or_null()),
        ("disposition", text().or_null()),
        ("cid", text().or_null()),
    ])
    .named("BodyPart")
}

fn extras() -> Schema {
    let segment = object([("kind", text()), ("start", integer()), ("end", integer())]);
    let reply = object([
        ("text", text()),
        ("quoted", text().or_null()),
        ("signature", text().or_null()),
        ("segments", list_of(segment)),
        ("method", text()),
        ("confidence", number()),
    ]);
    let authentication = object([
        ("spf", text()),
        ("dkim", text()),
        ("dmarc", text()),
        ("trustedServer", text().or_null()),
    ]);
    object([
        ("text", text()),
        ("html", text().or_null().about("Sanitised; null in lists")),
        ("reply", reply.or_null().about("Null in lists")),
        (
            "automated",
            anything().about("Null when a person seems to have written it"),
        ),
        (
            "bounce",
            anything().about("Null unless it reports a failed or delayed delivery"),
        ),
        ("authentication", authentication),
        ("parts", list_of(anything())),
        (
            "problems",
            list_of(object([("code", text()), ("detail", text())])),
        ),
    ])
}
