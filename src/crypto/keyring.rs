//! The key ring: keys with ids, and sealing with AES-256-GCM bound to one place in the database.
//!
//! A sealed value reads `mg1.<key id>.<base64url of nonce, ciphertext and tag>`. Its associated data is the table,
//! column and row it was made for, so a value that is copied to another row does not open there.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use aes_gcm::aead::{Aead, Generate, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hkdf::Hkdf;
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use zeroize::Zeroizing;

/// Where a sealed value lives. It opens nowhere else.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Table name.
    pub table: &'a str,
    /// Column name.
    pub column: &'a str,
    /// Primary key of the row.
    pub row: &'a str,
}

impl Place<'_> {
    fn associated_data(&self, kid: &str) -> Vec<u8> {
        // Lengths in front: no two places share one encoding, whatever characters the names hold.
        let mut data = Vec::new();
        for part in [kid, self.table, self.column, self.row] {
            data.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
            data.extend_from_slice(part.as_bytes());
        }
        data
    }
}

/// Why a sealed value did not open.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SealError {
    /// The text is not a sealed value.
    #[error("stored value is not in the sealed form")]
    Malformed,
    /// The key it was sealed with is not in the key file.
    #[error("sealed with key {0}, which is not in the key file")]
    UnknownKey(String),
    /// The value was changed, or moved from the place it was sealed for.
    #[error("sealed value does not open here: it was changed or moved from another row")]
    WrongPlace,
}

/// Why the key file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyRingError {
    /// It cannot be read or written.
    #[error("key file {path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Others than the owner can read it.
    #[error("key file {path} can be read by others (mode {mode:o}); run: chmod 600 {path}")]
    Exposed {
        /// The file.
        path: String,
        /// Its permission bits.
        mode: u32,
    },
    /// A line is not `<key id>:<32 bytes in base64>`.
    #[error("key file {path}, line {line}: expected <key id>:<32 bytes in base64>")]
    Malformed {
        /// The file.
        path: String,
        /// Line number, from 1.
        line: usize,
    },
    /// It holds no key.
    #[error("key file {path} holds no key; restore it from a backup")]
    Empty {
        /// The file.
        path: String,
    },
}

struct RingKey {
    kid: String,
    cipher: Aes256Gcm,
    // What the keys of other purposes are expanded from; the root itself is not kept.
    expander: Hkdf<Sha256>,
}

/// The keys that seal secrets. The first key of the file seals; every key opens.
pub struct KeyRing {
    keys: Vec<RingKey>,
}

impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.keys.iter().map(|key| &key.kid))
            .finish()
    }
}

impl KeyRing {
    /// Reads a key file, which only its owner may be able to read.
    pub fn read(path: &Path) -> Result<Self, KeyRingError> {
        let shown = path.display().to_string();
        let io = |source| KeyRingError::Io {
            path: shown.clone(),
            source,
        };
        refuse_if_exposed(path, &shown)?;
        let text = Zeroizing::new(std::fs::read_to_string(path).map_err(io)?);
        let mut keys = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let key = parse_line(line).ok_or_else(|| KeyRingError::Malformed {
                path: shown.clone(),
                line: index + 1,
            })?;
            keys.push(key);
        }
        if keys.is_empty() {
            return Err(KeyRingError::Empty { path: shown });
        }
        Ok(Self { keys })
    }

    /// Makes a key file with one new key, mode 0600. Fails if the file exists.
    pub fn create(path: &Path) -> Result<Self, KeyRingError> {
        let shown = path.display().to_string();
        let io = |source| KeyRingError::Io {
            path: shown.clone(),
            source,
        };
        let mut key = Zeroizing::new([0_u8; 32]);
        rand::fill(&mut key[..]);
        let kid = hex::encode(rand::random::<[u8; 4]>());
        let mut text = Zeroizing::new(String::from(
            "# Mailgrant's keys. Whoever has this file and the database has every token: back it up apart from it.\n",
        ));
        let _ = writeln!(text, "{kid}:{}", STANDARD.encode(&key[..]));
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            options.mode(0o600);
        }
        let mut file = options.open(path).map_err(io)?;
        file.write_all(text.as_bytes()).map_err(io)?;
        file.sync_all().map_err(io)?;
        Self::read(path)
    }

    /// The key that seals from now on.
    pub fn active_kid(&self) -> &str {
        self.keys.first().map_or("", |key| &key.kid)
    }

    /// The ids of all keys, the sealing one first.
    pub fn kids(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|key| key.kid.as_str())
    }

    /// A key of its own for each purpose, from every key of the ring: the first makes, all of them check. No purpose
    /// learns anything of another's key, or of the one that seals.
    pub fn derived(&self, purpose: &str) -> Vec<Zeroizing<[u8; 32]>> {
        let info = format!("mailgrant {purpose}");
        let derive = |key: &RingKey| {
            let mut derived = Zeroizing::new([0_u8; 32]);
            // Fails only for more than 8,160 bytes.
            key.expander
                .expand(info.as_bytes(), &mut derived[..])
                .ok()
                .map(|()| derived)
        };
        self.keys.iter().filter_map(derive).collect()
    }

    /// Seals a secret for one place. An empty secret stays the empty text, so that "none" is visible in the table.
    pub fn seal(&self, place: &Place<'_>, secret: &SecretString) -> String {
        if secret.expose_secret().is_empty() {
            return String::new();
        }
        match self.keys.first() {
            Some(key) => key.seal(place, secret.expose_secret().as_bytes()),
            None => String::new(),
        }
    }

    /// Opens a sealed value at the place it was sealed for.
    pub fn open(&self, place: &Place<'_>, sealed: &str) -> Result<SecretString, SealError> {
        if sealed.is_empty() {
            return Ok(SecretString::from(String::new()));
        }
        let (kid, packed) = sealed
            .strip_prefix("mg1.")
            .and_then(|rest| rest.split_once('.'))
            .ok_or(SealError::Malformed)?;
        let key = self
            .keys
            .iter()
            .find(|key| key.kid == kid)
            .ok_or_else(|| SealError::UnknownKey(kid.chars().take(32).collect()))?;
        key.open(place, packed)
    }
}

impl RingKey {
    fn seal(&self, place: &Place<'_>, plain: &[u8]) -> String {
        let nonce = Nonce::generate();
        let aad = place.associated_data(&self.kid);
        // AES-GCM fails only on inputs of more than 64 GiB.
        let sealed = self
            .cipher
            .encrypt(
                &nonce,
                Payload {
                    msg: plain,
                    aad: &aad,
                },
            )
            .unwrap_or_default();
        let mut packed = nonce.to_vec();
        packed.extend_from_slice(&sealed);
        format!("mg1.{}.{}", self.kid, URL_SAFE_NO_PAD.encode(packed))
    }

    fn open(&self, place: &Place<'_>, packed: &str) -> Result<SecretString, SealError> {
        let packed = URL_SAFE_NO_PAD.decode(packed).map_err(|_| SealError::Malformed)?;
        let (nonce, sealed) = packed.split_at_checked(12).ok_or(SealError::Malformed)?;
        let nonce: [u8; 12] = nonce.try_into().map_err(|_| SealError::Malformed)?;
        let aad = place.associated_data(&self.kid);
        let plain = Zeroizing::new(
            self.cipher
                .decrypt(
                    &nonce.into(),
                    Payload {
                        msg: sealed,
                        aad: &aad,
                    },
                )
                .map_err(|_| SealError::WrongPlace)?,
        );
        let text = std::str::from_utf8(&plain).map_err(|_| SealError::Malformed)?;
        Ok(SecretString::from(text.to_owned()))
    }
}

fn parse_line(line: &str) -> Option<RingKey> {
    let (kid, key) = line.split_once(':')?;
    let usable = !kid.is_empty() && kid.len() <= 32 && kid.chars().all(|c| c.is_ascii_alphanumeric());
    let root = Zeroizing::new(
        STANDARD
            .decode(key.trim())
            .ok()
            .filter(|key| usable && key.len() == 32)?,
    );
    // The file's key is a root: what seals is derived, and so is the key of every other purpose.
    let expander = Hkdf::<Sha256>::new(None, &root);
    let mut derived = Zeroizing::new([0_u8; 32]);
    expander.expand(b"mailgrant seal v1", &mut derived[..]).ok()?;
    let cipher = Aes256Gcm::new_from_slice(&derived[..]).ok()?;
    Some(RingKey {
        kid: kid.to_owned(),
        cipher,
        expander,
    })
}

#[cfg(unix)]
fn refuse_if_exposed(path: &Path, shown: &str) -> Result<(), KeyRingError> {
    use std::os::unix::fs::PermissionsExt;
    let meta = std::fs::metadata(path).map_err(|source| KeyRingError::Io {
        path: shown.to_owned(),
        source,
    })?;
    let mode = meta.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyRingError::Exposed {
            path: shown.to_owned(),
            mode,
        });
    }
    Ok(())
}

#[cfg(not(unix))]
fn refuse_if_exposed(_: &Path, _: &str) -> Result<(), KeyRingError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place<'static> = Place {
        table: "grants",
        column: "access_token_sealed",
        row: "grt_1",
    };

    fn ring() -> (tempfile::TempDir, KeyRing) {
        let dir = tempfile::tempdir().unwrap();
        let ring = KeyRing::create(&dir.path().join("key")).unwrap();
        (dir, ring)
    }

    #[test]
    fn a_sealed_value_opens_only_where_it_was_sealed() {
        let (_dir, ring) = ring();
        let sealed = ring.seal(&PLACE, &SecretString::from("ya29.token"));
        assert!(!sealed.contains("ya29"));
        assert_eq!(ring.open(&PLACE, &sealed).unwrap().expose_secret(), "ya29.token");
        for moved in [
            Place {
                row: "grt_2",
                ..PLACE
            },
            Place {
                column: "refresh_token_sealed",
                ..PLACE
            },
            Place {
                table: "integrations",
                ..PLACE
            },
            // The same characters cut differently must not be the same place.
            Place {
                table: "grantsaccess_token",
                column: "_sealed",
                row: "grt_1",
            },
        ] {
            assert_eq!(
                ring.open(&moved, &sealed).err(),
                Some(SealError::WrongPlace),
                "{moved:?}"
            );
        }
    }

    #[test]
    fn sealing_twice_gives_two_texts() {
        let (_dir, ring) = ring();
        let secret = SecretString::from("same");
        assert_ne!(ring.seal(&PLACE, &secret), ring.seal(&PLACE, &secret));
    }

    #[test]
    fn another_key_file_does_not_open_it() {
        let (_a, first) = ring();
        let (_b, second) = ring();
        let sealed = first.seal(&PLACE, &SecretString::from("x"));
        assert!(matches!(
            second.open(&PLACE, &sealed),
            Err(SealError::UnknownKey(_))
        ));
        let forged = sealed.replace(first.active_kid(), second.active_kid());
        assert_eq!(second.open(&PLACE, &forged).err(), Some(SealError::WrongPlace));
    }

    #[test]
    fn an_older_key_in_the_file_still_opens() {
        let (dir, ring) = ring();
        let sealed = ring.seal(&PLACE, &SecretString::from("old"));
        let (other_dir, _) = self::ring();
        let newer = std::fs::read_to_string(other_dir.path().join("key")).unwrap();
        let older = std::fs::read_to_string(dir.path().join("key")).unwrap();
        let path = dir.path().join("key");
        std::fs::write(&path, format!("{newer}{older}")).unwrap();
        let both = KeyRing::read(&path).unwrap();
        assert_ne!(both.active_kid(), ring.active_kid());
        assert_eq!(both.open(&PLACE, &sealed).unwrap().expose_secret(), "old");
    }

    #[test]
    fn each_purpose_has_keys_of_its_own_and_they_stay_the_same() {
        let (dir, ring) = ring();
        let thread = ring.derived("thread v1");
        assert_eq!(thread.len(), 1);
        assert_ne!(thread, ring.derived("inline image v1"));
        assert_eq!(
            thread,
            KeyRing::read(&dir.path().join("key"))
                .unwrap()
                .derived("thread v1")
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_key_file_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let (dir, _) = ring();
        let path = dir.path().join("key");
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let error = KeyRing::read(&path).unwrap_err();
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }

    #[test]
    fn an_existing_key_file_is_never_overwritten() {
        let (dir, _) = ring();
        assert!(KeyRing::create(&dir.path().join("key")).is_err());
    }
}
