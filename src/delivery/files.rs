//! The files of a mail, for the format that has them in its body. Only those are cut out that can find room there.

use std::collections::BTreeMap;

use sea_orm::DbErr;
use serde_json::Value;

use super::payload::MAX_BODY_BYTES;
use crate::ctx::Ctx;
use crate::message::{self, Message};

/// Bytes of files by the ids of their parts.
pub type Files = BTreeMap<String, Vec<u8>>;

/// The most bytes that fit when they are written in base64, and how many files are looked at.
const ROOM: u64 = MAX_BODY_BYTES as u64 / 4 * 3;
const MOST: usize = 50;

/// Cuts out of a message what can find room in a body.
pub async fn files_of(ctx: &Ctx, message: &Message) -> Result<Files, DbErr> {
    let wanted = small_enough(&message::parsed(message));
    if wanted.is_empty() {
        return Ok(Files::new());
    }
    message::files(ctx, &message.id, wanted).await
}

/// Ids of the parts that find room, each by itself.
fn small_enough(email: &Value) -> Vec<String> {
    let all = email["attachments"].as_array().into_iter().flatten().take(MOST);
    all.filter(|part| part["size"].as_u64().is_some_and(|size| size <= ROOM))
        .filter_map(|part| part["partId"].as_str().map(str::to_owned))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_mail_is_not_taken_apart_for_files_that_have_no_room() {
        let part = |id: &str, size: u64| json!({ "partId": id, "size": size });
        let email = json!({ "attachments": [part("2", 30_000_000), part("3", 100), part("4", 190_000), part("5", 9_000)] });
        assert_eq!(small_enough(&email), ["3", "4", "5"]);
        assert!(small_enough(&json!({})).is_empty());
    }
}
