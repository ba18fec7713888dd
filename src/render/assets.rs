//! Static files: CSS, scripts and the vendored design kit, embedded in the binary.

use std::sync::LazyLock;

use rust_embed::RustEmbed;
use sha2::{Digest, Sha256};

/// The files below `static/`, compiled into the binary.
#[derive(RustEmbed)]
#[folder = "static/"]
struct Static;

/// One static file.
#[derive(Debug, Clone)]
pub struct Asset {
    /// The file's content.
    pub bytes: std::borrow::Cow<'static, [u8]>,
    /// Its media type, with charset for text.
    pub content_type: &'static str,
    /// A strong entity tag with its quotes (RFC 9110, section 8.8.3), drawn from the content.
    pub etag: String,
}

/// The file at `path` below `static/`, for example `mailgrant.css`. None when there is no such file, or when
/// its kind is not one that is served.
#[must_use]
pub fn static_asset(path: &str) -> Option<Asset> {
    let content_type = content_type(path)?;
    let file = Static::get(path)?;
    let hash = file.metadata.sha256_hash();
    let etag = format!("\"{}\"", hex::encode(&hash[..12]));
    Some(Asset {
        bytes: file.data,
        content_type,
        etag,
    })
}

/// Changes whenever any static file changes. Pages ask for `/static/<path>?v=<this>`, so that a browser may
/// keep what it got for good.
#[must_use]
pub fn asset_version() -> &'static str {
    static VERSION: LazyLock<String> = LazyLock::new(|| {
        let mut names: Vec<_> = Static::iter().collect();
        names.sort();
        let mut digest = Sha256::new();
        for name in names {
            if let Some(file) = Static::get(&name) {
                digest.update(name.as_bytes());
                digest.update(file.metadata.sha256_hash());
            }
        }
        let hash = digest.finalize();
        hex::encode(&hash[..6])
    });
    &VERSION
}

/// Only the kinds that exist: an unknown one is a mistake, not something to guess a type for.
fn content_type(path: &str) -> Option<&'static str> {
    match path.rsplit_once('.')?.1 {
        "css" => Some("text/css; charset=utf-8"),
        "js" => Some("text/javascript; charset=utf-8"),
        "svg" => Some("image/svg+xml"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_static_file_has_a_type_and_a_tag_that_follows_its_content() {
        let css = static_asset("mailgrant.css").expect("our style sheet is embedded");
        assert_eq!(css.content_type, "text/css; charset=utf-8");
        assert!(css.etag.starts_with('"') && css.etag.ends_with('"') && css.etag.len() == 26);
        let kit = static_asset("vendor/tabler/tabler.min.css").expect("the design kit is embedded");
        assert_ne!(css.etag, kit.etag);
        assert_eq!(asset_version().len(), 12);
    }

    #[test]
    fn a_file_of_another_kind_or_place_is_not_served() {
        assert!(static_asset("vendor/tabler/LICENSE").is_none());
        assert!(static_asset("../Cargo.toml").is_none());
        assert!(static_asset("../src/render/mod.rs").is_none());
        assert!(static_asset("nothing.css").is_none());
        assert!(static_asset("").is_none());
    }

    #[test]
    fn no_style_sheet_or_script_reaches_for_another_site() {
        for name in Static::iter().filter(|name| content_type(name).is_some()) {
            let text = String::from_utf8(Static::get(&name).unwrap().data.into_owned()).unwrap();
            for marker in [
                "url(http",
                "url(\"http",
                "url('http",
                "@import",
                "sourceMappingURL",
                "from \"http",
            ] {
                assert!(!text.contains(marker), "{name} contains {marker}");
            }
        }
    }
}
