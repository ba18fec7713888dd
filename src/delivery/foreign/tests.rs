//! What the receivers of other services find in a body, and how large it is at most.

use super::*;
use crate::delivery::payload::testkit::{event, long_mail, mail};
use std::collections::HashMap;

fn stamp() -> Stamp {
    Stamp {
        timestamp: "1800000000".into(),
        token: "t".into(),
        signature: "s".into(),
    }
}

fn theirs(email: &Value, files: &Files) -> Value {
    serde_json::from_slice(&postmark(Some(email), &event(), files).bytes).unwrap()
}

fn fields(email: &Value) -> HashMap<String, String> {
    let body = mailgun(Some(email), &event(), &stamp());
    url::form_urlencoded::parse(&body.bytes).into_owned().collect()
}

#[test]
fn no_format_sends_more_than_may_be_sent() {
    let email = long_mail("\u{1}\"äöü\u{2}");
    for body in [
        postmark(Some(&email), &event(), &Files::new()),
        mailgun(Some(&email), &event(), &stamp()),
    ] {
        assert!(body.bytes.len() <= MAX_BODY_BYTES, "{}", body.bytes.len());
        assert!(body.bytes.len() > 8 * 1024, "{}", body.bytes.len());
    }
}

#[test]
fn a_mail_to_thousands_arrives_with_some_of_them_and_says_so() {
    let person =
        |n: usize| json!({ "name": format!("Person {n}"), "email": format!("person.{n}@desk.test") });
    let mut email = mail("Hello all");
    email["to"] = (0..5_000).map(person).collect();
    email["cc"] = email["to"].clone();
    let whole = theirs(&email, &Files::new());
    assert!(whole.to_string().len() <= MAX_BODY_BYTES);
    assert_eq!(whole["ToFull"].as_array().unwrap().len(), 50);
    assert_eq!(
        (&whole["TextBody"], &whole["IsTruncated"]),
        (&json!("Hello all"), &json!(true))
    );
    assert_eq!(whole["RawUrl"], "u");
    let form = fields(&email);
    assert!(mailgun(Some(&email), &event(), &stamp()).bytes.len() <= MAX_BODY_BYTES);
    assert_eq!(form["To"].split(", ").count(), 50);
    assert_eq!(
        (form["is-truncated"].as_str(), form["raw-url"].as_str()),
        ("true", "u")
    );
    assert_eq!(fields(&mail("x"))["is-truncated"], "false");
}

#[test]
fn whatever_is_long_in_a_mail_it_fits() {
    let long = "\u{1}".repeat(300_000);
    let person = json!({ "name": long, "email": "\u{1}".repeat(9_000) });
    let mut email = mail(&long);
    for list in ["from", "to", "cc", "replyTo"] {
        email[list] = json!(vec![person.clone(); 100]);
    }
    email["subject"] = json!(long);
    email["references"] = json!(vec!["\u{1}".repeat(60); 9_000]);
    email["attachments"] = json!(vec![
        json!({ "partId": "3", "name": long, "type": long, "cid": long });
        900
    ]);
    let size = postmark(Some(&email), &event(), &Files::new()).bytes.len();
    assert!(size <= MAX_BODY_BYTES, "{size}");
    let size = mailgun(Some(&email), &event(), &stamp()).bytes.len();
    assert!(size <= MAX_BODY_BYTES, "{size}");
}

#[test]
fn files_are_in_the_body_while_there_is_room_and_else_there_is_where_they_are() {
    let mut email = mail("See the files");
    let part = |id: &str, name: &str| json!({ "partId": id, "name": name, "type": "image/png", "size": 7, "cid": "c", "url": format!("https://m/{id}") });
    email["attachments"] = json!([part("3", "a.png"), part("4", "b.png"), part("5", "c.png")]);
    let mut files = Files::from([
        ("3".to_owned(), b"small".to_vec()),
        ("4".to_owned(), vec![7; 190_000]),
        ("5".to_owned(), vec![8; 3_000]),
    ]);
    let whole = theirs(&email, &files);
    assert!(whole.to_string().len() <= MAX_BODY_BYTES);
    let all = &whole["Attachments"];
    for (index, id) in ["3", "4"].into_iter().enumerate() {
        let content = STANDARD.decode(all[index]["Content"].as_str().unwrap()).unwrap();
        assert_eq!(content, files[id]);
        assert_eq!(
            (&all[index]["ContentLength"], &all[index]["ContentID"]),
            (&json!(content.len()), &json!("c"))
        );
    }
    assert_eq!(
        all[2]["Name"], "c.png",
        "there is room for it behind the large one"
    );
    assert_eq!(whole["IsTruncated"], false);
    files.insert("4".to_owned(), vec![7; 200_000]);
    let whole = theirs(&email, &files);
    let all = &whole["Attachments"];
    let note = STANDARD.decode(all[1]["Content"].as_str().unwrap()).unwrap();
    assert_eq!(
        (&all[1]["Name"], &all[1]["ContentType"]),
        (&json!("b.png.txt"), &json!("text/plain"))
    );
    assert!(String::from_utf8(note).unwrap().contains("https://m/4"));
    assert_eq!(
        (&all[0]["Name"], &all[2]["Name"]),
        (&json!("a.png"), &json!("c.png"))
    );
    assert_eq!(whole["IsTruncated"], true);
}

#[test]
fn the_other_formats_name_what_theirs_name() {
    let mut email = mail("long");
    email["inReplyTo"] = json!(["r2@b"]);
    email["references"] = json!(["r1@b", "r2@b"]);
    let whole = theirs(&email, &Files::new());
    assert_eq!(whole["FromFull"]["Email"], "a@b.test");
    assert_eq!(whole["MailboxHash"], "42");
    assert_eq!(whole["StrippedTextReply"], "short");
    assert_eq!(whole["TextBody"], "long");
    assert_eq!(
        whole["Headers"],
        json!([
            { "Name": "Message-ID", "Value": "<a@b>" },
            { "Name": "In-Reply-To", "Value": "<r2@b>" },
            { "Name": "References", "Value": "<r1@b> <r2@b>" },
        ])
    );
    let form = fields(&email);
    assert_eq!(form["sender"], "a@b.test");
    assert_eq!(form["recipient"], "help+42@desk.test");
    assert_eq!(form["stripped-text"], "short");
    assert_eq!(form["References"], "<r1@b> <r2@b>");
    assert_eq!(
        (form["timestamp"].as_str(), form["signature"].as_str()),
        ("1800000000", "s")
    );
}
