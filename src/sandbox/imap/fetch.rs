//! What a FETCH asks for, cut from the stored bytes (RFC 9051, section 6.4.5). Structure (`ENVELOPE`,
//! `BODYSTRUCTURE`, parts by number) is not offered: Mailgrant parses mail itself and asks for bytes.

use std::num::NonZeroU32;

use imap_codec::imap_types::core::{AString, Literal, NString};
use imap_codec::imap_types::datetime::DateTime;
use imap_codec::imap_types::fetch::{MessageDataItem, MessageDataItemName, Section};
use imap_codec::imap_types::flag::{Flag, FlagFetch};

use super::store::Message;

/// An item this server does not offer.
pub(super) struct Unsupported;

/// Whether fetching the item marks the mail as seen.
pub(super) fn marks_seen(item: &MessageDataItemName<'_>) -> bool {
    matches!(
        item,
        MessageDataItemName::BodyExt { peek: false, .. }
            | MessageDataItemName::Rfc822
            | MessageDataItemName::Rfc822Text
    )
}

/// The value of one item.
pub(super) fn item(
    message: &Message,
    name: &MessageDataItemName<'static>,
) -> Result<MessageDataItem<'static>, Unsupported> {
    Ok(match name {
        MessageDataItemName::Uid => MessageDataItem::Uid(uid(message)?),
        MessageDataItemName::Flags => MessageDataItem::Flags(
            message
                .flags
                .iter()
                .filter_map(|flag| wire_flag(flag))
                .map(FlagFetch::Flag)
                .collect(),
        ),
        MessageDataItemName::InternalDate => MessageDataItem::InternalDate(internal_date(message)?),
        MessageDataItemName::Rfc822Size => MessageDataItem::Rfc822Size(message.raw.len() as u32),
        MessageDataItemName::Rfc822 => MessageDataItem::Rfc822(literal(message.raw.to_vec())?),
        MessageDataItemName::Rfc822Header => {
            MessageDataItem::Rfc822Header(literal(split(&message.raw).0.to_vec())?)
        }
        MessageDataItemName::Rfc822Text => {
            MessageDataItem::Rfc822Text(literal(split(&message.raw).1.to_vec())?)
        }
        MessageDataItemName::BodyExt { section, partial, .. } => {
            let mut data = section_bytes(&message.raw, section.as_ref())?;
            if let Some((from, count)) = partial {
                data = data
                    .into_iter()
                    .skip(*from as usize)
                    .take(count.get() as usize)
                    .collect();
            }
            MessageDataItem::BodyExt {
                section: section.clone(),
                origin: partial.map(|(from, _)| from),
                data: literal(data)?,
            }
        }
        _ => return Err(Unsupported),
    })
}

/// The UID as the wire's type.
pub(super) fn uid(message: &Message) -> Result<NonZeroU32, Unsupported> {
    NonZeroU32::new(message.uid).ok_or(Unsupported)
}

/// A stored flag as the wire's type.
pub(super) fn wire_flag(flag: &str) -> Option<Flag<'static>> {
    use imap_codec::imap_types::IntoStatic;
    Flag::try_from(flag).ok().map(IntoStatic::into_static)
}

fn internal_date(message: &Message) -> Result<DateTime, Unsupported> {
    // The wire has whole seconds.
    let whole = chrono::DateTime::from_timestamp(message.received_at.timestamp(), 0).ok_or(Unsupported)?;
    DateTime::try_from(whole.fixed_offset()).map_err(|_| Unsupported)
}

fn literal(data: Vec<u8>) -> Result<NString<'static>, Unsupported> {
    Literal::try_from(data)
        .map(NString::from)
        .map_err(|_| Unsupported)
}

fn section_bytes(raw: &[u8], section: Option<&Section<'_>>) -> Result<Vec<u8>, Unsupported> {
    let chosen = |names: &[AString<'_>], wanted: bool| {
        let listed = |name: &str| {
            names
                .iter()
                .any(|listed| listed.as_ref().eq_ignore_ascii_case(name.as_bytes()))
        };
        let mut bytes: Vec<u8> = header_fields(raw)
            .into_iter()
            .filter(|(name, _)| listed(name) == wanted)
            .flat_map(|(_, field)| field.iter().copied())
            .collect();
        bytes.extend_from_slice(b"\r\n");
        bytes
    };
    Ok(match section {
        None => raw.to_vec(),
        Some(Section::Header(None)) => split(raw).0.to_vec(),
        Some(Section::Text(None)) => split(raw).1.to_vec(),
        Some(Section::HeaderFields(None, names)) => chosen(names.as_ref(), true),
        Some(Section::HeaderFieldsNot(None, names)) => chosen(names.as_ref(), false),
        Some(_) => return Err(Unsupported),
    })
}

/// Header with its empty line, and body. Lines may end in LF alone: the mail is what was delivered.
fn split(raw: &[u8]) -> (&[u8], &[u8]) {
    let mut at = 0;
    for line in raw.split_inclusive(|byte| *byte == b'\n') {
        at += line.len();
        if line == b"\r\n" || line == b"\n" {
            break;
        }
    }
    raw.split_at(at)
}

/// The header's fields: name, and the bytes of the field with its folded lines.
pub(super) fn header_fields(raw: &[u8]) -> Vec<(String, &[u8])> {
    let header = split(raw).0;
    let mut fields: Vec<(usize, usize)> = Vec::new();
    let mut at = 0;
    for line in header.split_inclusive(|byte| *byte == b'\n') {
        let end = at + line.len();
        let folded = line.starts_with(b" ") || line.starts_with(b"\t");
        match fields.last_mut() {
            Some(last) if folded => last.1 = end,
            _ => fields.push((at, end)),
        }
        at = end;
    }
    fields
        .into_iter()
        .filter_map(|(start, end)| {
            let field = header.get(start..end)?;
            let colon = field.iter().position(|byte| *byte == b':')?;
            Some((
                String::from_utf8_lossy(field.get(..colon)?).trim().to_owned(),
                field,
            ))
        })
        .collect()
}
