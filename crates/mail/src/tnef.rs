//! Outlook's winmail.dat: the Transport Neutral Encapsulation Format ([MS-OXTNEF]). Only the attached files are read.

use encoding_rs::{UTF_16LE, WINDOWS_1252};

/// A file inside the container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct File {
    pub name: Option<String>,
    pub bytes: Vec<u8>,
}

const SIGNATURE: u32 = 0x223E_9F78;
const ATTACH_REND_DATA: u32 = 0x0006_9002;
const ATTACH_TITLE: u32 = 0x0001_8010;
const ATTACH_DATA: u32 = 0x0006_800F;
const ATTACHMENT: u32 = 0x0006_9005;
const LONG_FILENAME: u16 = 0x3707;
const DISPLAY_NAME: u16 = 0x3001;
const DATA_BINARY: u16 = 0x3701;
/// Files taken of one container.
const MAX_FILES: usize = 200;
/// Properties read of one file.
const MAX_PROPERTIES: u32 = 1_000;

/// Reads little-endian numbers without ever leaving the slice.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(n)?;
        self.0 = tail;
        Some(head)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2)
            .and_then(|b| b.try_into().ok())
            .map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4)
            .and_then(|b| b.try_into().ok())
            .map(u32::from_le_bytes)
    }

    /// A value of that length, padded to four bytes; the padding may be missing at the end.
    fn padded(&mut self, n: usize) -> Option<&'a [u8]> {
        let value = self.take(n)?;
        let pad = (4 - n % 4) % 4;
        self.0 = self.0.get(pad..).unwrap_or_default();
        Some(value)
    }
}

/// The attached files; empty when the bytes are no TNEF. A damaged container gives what precedes the damage.
pub(crate) fn files(bytes: &[u8]) -> Vec<File> {
    let mut out = Vec::new();
    let mut reader = Reader(bytes);
    if reader.u32() != Some(SIGNATURE) || reader.u16().is_none() {
        return out;
    }
    while read_attribute(&mut reader, &mut out).is_some() && out.len() <= MAX_FILES {}
    out.retain(|f| !f.bytes.is_empty() || f.name.is_some());
    out.truncate(MAX_FILES);
    out
}

/// Level, id, length, data, checksum.
fn read_attribute(reader: &mut Reader<'_>, out: &mut Vec<File>) -> Option<()> {
    reader.take(1)?;
    let id = reader.u32()?;
    let len = reader.u32()? as usize;
    let data = reader.take(len)?;
    match id {
        ATTACH_REND_DATA => out.push(File::default()),
        ATTACH_TITLE => {
            let file = out.last_mut()?;
            // A long name from the properties is better than this short one.
            if file.name.is_none() {
                file.name = name_8bit(data);
            }
        }
        ATTACH_DATA => out.last_mut()?.bytes = data.to_vec(),
        ATTACHMENT => {
            let file = out.last_mut()?;
            read_properties(data, file);
        }
        _ => {}
    }
    reader.take(2)?;
    Some(())
}

fn read_properties(data: &[u8], file: &mut File) -> Option<()> {
    let mut reader = Reader(data);
    let count = reader.u32()?.min(MAX_PROPERTIES);
    for _ in 0..count {
        let kind = reader.u16()?;
        let id = reader.u16()?;
        if id >= 0x8000 {
            skip_name(&mut reader)?;
        }
        let value = read_value(&mut reader, kind)?;
        let Some(value) = value else { continue };
        match (id, kind & 0x0FFF) {
            (LONG_FILENAME, 0x1F) => file.name = name_utf16(value).or(file.name.take()),
            (LONG_FILENAME, 0x1E) => file.name = name_8bit(value).or(file.name.take()),
            (DISPLAY_NAME, 0x1F) if file.name.is_none() => file.name = name_utf16(value),
            (DISPLAY_NAME, 0x1E) if file.name.is_none() => file.name = name_8bit(value),
            // An embedded object starts with the id of its interface.
            (DATA_BINARY, 0x0D) if file.bytes.is_empty() => {
                file.bytes = value.get(16..).unwrap_or_default().to_vec();
            }
            (DATA_BINARY, 0x102) if file.bytes.is_empty() => file.bytes = value.to_vec(),
            _ => {}
        }
    }
    Some(())
}

/// A named property carries its name in front of the value.
fn skip_name(reader: &mut Reader<'_>) -> Option<()> {
    reader.take(16)?;
    match reader.u32()? {
        0 => reader.take(4).map(|_| ()),
        _ => {
            let len = reader.u32()? as usize;
            reader.padded(len).map(|_| ())
        }
    }
}

/// The last value of a property; none for values of fixed size.
fn read_value<'a>(reader: &mut Reader<'a>, kind: u16) -> Option<Option<&'a [u8]>> {
    let many = kind & 0x1000 != 0;
    let fixed: Option<usize> = match kind & 0x0FFF {
        0x02 | 0x03 | 0x04 | 0x0A | 0x0B => Some(4),
        0x05 | 0x06 | 0x07 | 0x14 | 0x40 => Some(8),
        0x48 => Some(16),
        _ => None,
    };
    if let Some(size) = fixed {
        let count = if many { reader.u32()? as usize } else { 1 };
        reader.take(size.checked_mul(count)?)?;
        return Some(None);
    }
    let count = reader.u32()?.min(MAX_PROPERTIES);
    let mut value = None;
    for _ in 0..count {
        let len = reader.u32()? as usize;
        value = Some(reader.padded(len)?);
    }
    Some(value)
}

fn name_8bit(value: &[u8]) -> Option<String> {
    let bytes = value.split(|&b| b == 0).next().unwrap_or_default();
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => WINDOWS_1252.decode_without_bom_handling(bytes).0.into_owned(),
    };
    crate::attachment::clean_name(&text)
}

fn name_utf16(value: &[u8]) -> Option<String> {
    let (text, _) = UTF_16LE.decode_without_bom_handling(value);
    crate::attachment::clean_name(text.trim_end_matches('\0'))
}

#[cfg(test)]
mod tests {
    use super::files;

    fn attribute(id: u32, data: &[u8]) -> Vec<u8> {
        let mut out = vec![2];
        out.extend(id.to_le_bytes());
        out.extend((data.len() as u32).to_le_bytes());
        out.extend(data);
        out.extend([0, 0]);
        out
    }

    fn container() -> Vec<u8> {
        let long: Vec<u8> = "Bericht für Ada.txt\0"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        let mut properties = Vec::new();
        properties.extend(2u32.to_le_bytes());
        properties.extend([0x03, 0x00, 0x05, 0x37, 1, 0, 0, 0]);
        properties.extend([0x1F, 0x00, 0x07, 0x37]);
        properties.extend(1u32.to_le_bytes());
        properties.extend((long.len() as u32).to_le_bytes());
        properties.extend(&long);
        let mut out = vec![0x78, 0x9F, 0x3E, 0x22, 1, 0];
        out.extend(attribute(super::ATTACH_REND_DATA, &[0; 14]));
        out.extend(attribute(super::ATTACH_TITLE, b"BERICH~1.TXT\0"));
        out.extend(attribute(super::ATTACH_DATA, b"hello"));
        out.extend(attribute(super::ATTACHMENT, &properties));
        out
    }

    #[test]
    fn files_come_out_with_their_long_names() {
        let found = files(&container());
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].name.as_deref(), Some("Bericht für Ada.txt"));
        assert_eq!(found[0].bytes, b"hello");
    }

    #[test]
    fn a_container_cut_anywhere_does_no_harm() {
        let whole = container();
        for end in 0..whole.len() {
            files(&whole[..end]);
        }
        assert!(files(b"something else").is_empty());
    }
}
