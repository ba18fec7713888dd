//! Forms with files: the fields, and the files beside them, within a limit of their own.

use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};

use super::error::Problem;
use super::extract::{FormData, parts_of};
use super::gate;

/// Largest form with files, bytes.
pub const MAX_UPLOAD_BYTES: usize = 20 * 1024 * 1024;
/// Most files of one form.
const MAX_FILES: usize = 20;

/// A file that came with a form.
pub struct UploadedFile {
    /// Its name, as the browser told it.
    pub name: String,
    /// Its media type, as the browser told it.
    pub content_type: String,
    /// What is in it.
    pub bytes: Vec<u8>,
}

impl std::fmt::Debug for UploadedFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "UploadedFile({} bytes)", self.bytes.len())
    }
}

/// A form and its files.
#[derive(Debug)]
pub struct Upload {
    /// The fields that are no files.
    pub form: FormData,
    /// The files that were chosen.
    pub files: Vec<UploadedFile>,
}

/// Whether forms at this address may bring files.
pub fn takes_files(path: &str) -> bool {
    path.starts_with("/tickets/") && path.ends_with("/replies")
}

impl FromRequest for Upload {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let request = request.clone();
        let payload = payload.take();
        Box::pin(async move {
            let body = gate::read_body(payload, MAX_UPLOAD_BYTES).await?;
            let (mut fields, mut files) = (Vec::new(), Vec::new());
            for part in parts_of(&request, body).await? {
                match part.file_name {
                    // What a browser sends when no file was chosen.
                    Some(name) if name.is_empty() && part.bytes.is_empty() => {}
                    Some(name) => files.push(UploadedFile {
                        name,
                        content_type: part.content_type,
                        bytes: part.bytes,
                    }),
                    None => fields.push((part.name, String::from_utf8_lossy(&part.bytes).into_owned())),
                }
            }
            if files.len() > MAX_FILES {
                return Err(Problem::bad_request(
                    "too_many_files",
                    format!("a form takes {MAX_FILES} files at most; nothing was changed"),
                ));
            }
            Ok(Self {
                form: FormData::of(fields)?,
                files,
            })
        })
    }
}
