//! Attachments: what the list says of them, and cutting one out of the raw mail on demand.

use crate::model::BodyPart;
use crate::prescan::{self, Part, Structure};
use crate::{special, transfer};

/// A file cut from a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// File name, never a path.
    pub name: Option<String>,
    /// Media type as the sender declared it; not to be trusted for display.
    pub content_type: String,
    /// Decoded bytes.
    pub bytes: Vec<u8>,
}

/// Cuts the part that [`BodyPart::part_id`] names out of the raw mail. None when there is no such leaf.
///
/// The bytes of a `message/rfc822` part can be given to [`crate::parse()`].
pub fn attachment(raw: &[u8], part_id: &str) -> Option<Attachment> {
    let raw = &*prescan::with_line_feeds(raw);
    let found = prescan::scan(raw).ok()?;
    let (outer, inner) = part_id
        .split_once('/')
        .map_or((part_id, None), |(o, i)| (o, Some(i)));
    let index: usize = outer.parse().ok()?;
    let part = found
        .parts
        .get(index.checked_sub(1)?)
        .filter(|p| !p.is_multipart)?;
    if let Some(inner) = inner {
        let number: usize = inner.parse().ok()?;
        let file = special::tnef_files(raw, part)
            .into_iter()
            .nth(number.checked_sub(1)?)?;
        let content_type = media_type(file.name.as_deref()).to_owned();
        return Some(Attachment {
            name: file.name,
            content_type,
            bytes: file.bytes,
        });
    }
    let (bytes, _) = transfer::decode(raw.get(part.body.clone())?, part.encoding);
    Some(Attachment {
        name: file_name(part),
        content_type: part.content_type.value.clone(),
        bytes: bytes.into_owned(),
    })
}

/// The attachments that a leaf stands for: itself, or the files inside a container.
pub(crate) fn list(raw: &[u8], found: &Structure<'_>, index: usize) -> Vec<BodyPart> {
    let part = &found.parts[index];
    let files = if special::is_tnef(part) {
        special::tnef_files(raw, part)
    } else {
        Vec::new()
    };
    if files.is_empty() {
        return vec![measure(raw, found, index)];
    }
    files
        .into_iter()
        .enumerate()
        .map(|(i, file)| BodyPart {
            part_id: format!("{}/{}", index + 1, i + 1),
            r#type: media_type(file.name.as_deref()).to_owned(),
            name: file.name,
            size: file.bytes.len() as u64,
            disposition: Some("attachment".to_owned()),
            ..BodyPart::default()
        })
        .collect()
}

/// The media type that a file name's extension suggests; containers keep none.
fn media_type(name: Option<&str>) -> &'static str {
    let extension = name
        .and_then(|n| n.rsplit_once('.'))
        .map(|(_, e)| e.to_ascii_lowercase())
        .unwrap_or_default();
    match extension.as_str() {
        "pdf" => "application/pdf",
        "txt" | "log" => "text/plain",
        "csv" => "text/csv",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "zip" => "application/zip",
        "docx" => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "xlsx" => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "pptx" => "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        _ => "application/octet-stream",
    }
}

/// Decodes a leaf to learn its size, and describes it.
pub(crate) fn measure(raw: &[u8], found: &Structure<'_>, index: usize) -> BodyPart {
    let part = &found.parts[index];
    let body = raw.get(part.body.clone()).unwrap_or_default();
    describe(part, index, transfer::decode(body, part.encoding).0.len() as u64)
}

/// Describes a leaf whose decoded size is known.
pub(crate) fn describe(part: &Part<'_>, index: usize, size: u64) -> BodyPart {
    let text = |v: &str| (!v.is_empty()).then(|| v.to_ascii_lowercase());
    BodyPart {
        part_id: (index + 1).to_string(),
        blob_id: None,
        name: file_name(part),
        r#type: part.content_type.value.clone(),
        size,
        charset: part.content_type.param("charset").and_then(text),
        disposition: text(&part.disposition.value),
        cid: part
            .headers
            .first("Content-ID")
            .map(crate::ids::parse)
            .and_then(|ids| ids.into_iter().next()),
    }
}

/// The declared name, without any path and without characters that no file name should hold.
pub(crate) fn file_name(part: &Part<'_>) -> Option<String> {
    let declared = part
        .disposition
        .param("filename")
        .filter(|n| !n.trim().is_empty());
    let name = declared.or_else(|| part.content_type.param("name").filter(|n| !n.trim().is_empty()));
    match name {
        Some(name) => clean_name(name),
        None => name_from_cid(part),
    }
}

/// Outlook writes the name of a picture into its Content-ID: `image001.png@01D9A1B2.C3D4E5F6`. A picture may stay
/// nameless, since it is looked at; a file is saved, and any name is better than none.
fn name_from_cid(part: &Part<'_>) -> Option<String> {
    let id = part
        .headers
        .first("Content-ID")
        .map(crate::ids::parse)?
        .into_iter()
        .next()?;
    let local = id
        .split('@')
        .next()
        .filter(|l| l.contains('.') && id.contains('@'))?;
    let extension = local.rsplit('.').next().unwrap_or_default();
    let is_name =
        (2..=5).contains(&extension.len()) && extension.starts_with(|c: char| c.is_ascii_alphabetic());
    let is_media = ["image/", "audio/", "video/"]
        .iter()
        .any(|m| part.content_type.value.starts_with(m));
    (is_name || !is_media).then(|| clean_name(local)).flatten()
}

pub(crate) fn clean_name(name: &str) -> Option<String> {
    let name = name.trim();
    // C:\fakepath\a.txt and ../../a.txt alike.
    let last = name.rsplit(['/', '\\']).next().unwrap_or(name);
    let clean: String = last
        .chars()
        .filter(|c| !c.is_control() && !is_bidi_control(*c))
        .collect();
    let clean = clean.trim();
    (!clean.is_empty() && clean != "." && clean != "..").then(|| clean.to_owned())
}

/// Characters that make `exe.gpj` read as `jpg.exe` backwards.
fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
}
