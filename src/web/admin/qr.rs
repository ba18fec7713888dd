//! A QR code as the path of an SVG: one square for each dark module.

use std::fmt::Write;

use qrcodegen::{QrCode, QrCodeEcc};
use secrecy::{ExposeSecret, SecretString};

use super::views::parts::Drawing;
use crate::web::error::Problem;

/// Light modules around it, as the standard asks for.
const QUIET: i32 = 4;

/// The QR code of a text.
pub(super) fn of(text: &SecretString) -> Result<Drawing, Problem> {
    let code = QrCode::encode_text(text.expose_secret(), QrCodeEcc::Medium)
        .map_err(|error| Problem::internal(&error))?;
    let mut path = String::new();
    for y in 0..code.size() {
        let mut x = 0;
        while x < code.size() {
            let from = x;
            while x < code.size() && code.get_module(x, y) {
                x += 1;
            }
            if x > from {
                let _ = write!(
                    path,
                    "M{},{}h{}v1h-{}z",
                    from + QUIET,
                    y + QUIET,
                    x - from,
                    x - from
                );
            }
            x += 1;
        }
    }
    Ok(Drawing {
        path,
        size: u32::try_from(code.size() + 2 * QUIET).unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corners_hold_the_finder_patterns() {
        let drawing = of(&SecretString::from(
            "otpauth://totp/Mailgrant:ada?secret=MZXW6YTB",
        ))
        .unwrap();
        let side = drawing.size;
        assert!(drawing.path.starts_with("M4,4h7v1h-7z"), "{}", drawing.path);
        let right = format!("M{},4h7v1h-7z", side - 11);
        let below = format!("M4,{}h7v1h-7z", side - 11);
        assert!(drawing.path.contains(&right) && drawing.path.contains(&below));
    }
}
