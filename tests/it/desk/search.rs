//! The search, on mail that arrived: the same questions have the same answers on both databases, whatever is asked.

use reqwest::Method;
use serde_json::{Value, json};

use crate::on_each_database;
use crate::support::database::TestDatabase;
use crate::world::{ACCOUNT, World, text};

on_each_database!(
    the_same_questions_have_the_same_answers_on_both_databases,
    any_question_has_an_answer,
);

fn mail(id: &str, from: &str, subject: &str, body: &str, more: &str) -> Vec<u8> {
    format!(
        "Message-ID: <{id}@s.test>\r\nDate: Thu, 01 Jan 2026 00:00:00 +0000\r\nFrom: {from}\r\n\
         To: Support Team <support@example.test>\r\nSubject: {subject}\r\nMIME-Version: 1.0\r\n{more}\
         Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n{body}\r\n"
    )
    .into_bytes()
}

const WITH_FILE: &str = "Message-ID: <file@s.test>\r\nFrom: Fay <fay@files.test>\r\nTo: support@example.test\r\n\
    Cc: Boss <boss@example.test>\r\nSubject: Invoice attached\r\nMIME-Version: 1.0\r\n\
    Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: text/plain\r\n\r\nSee the file.\r\n--x\r\n\
    Content-Type: application/pdf\r\nContent-Disposition: attachment; filename=\"quarterly-report.pdf\"\r\n\r\n%PDF\r\n\
    --x--\r\n";

async fn the_same_questions_have_the_same_answers_on_both_databases(database: TestDatabase) {
    let world = World::start(database).await;
    let mails = [
        mail(
            "a",
            "Ada Lovelace <ada@example.test>",
            "Printer on fire",
            "It burns. Room 42.",
            "",
        ),
        mail(
            "b",
            "Bo <bo@example.test>",
            "Re: Printer on fire",
            "Still burning\r\n> It burns. Room 42.",
            "In-Reply-To: <a@s.test>\r\n",
        ),
        mail(
            "c",
            "Élodie <elodie@ecole.test>",
            "L'école",
            "Straße und Łódź, naïve café",
            "",
        ),
        mail(
            "d",
            "Taro <taro@example.test>",
            "プリンタ",
            "東京都のプリンタが動きません。Room 7",
            "",
        ),
        WITH_FILE.as_bytes().to_vec(),
        mail(
            "f",
            "Mallory <m@evil.test>",
            "word' \\ \"quoted\" & | ! <-> *",
            &format!("{} {}", "é".repeat(3_000), "long ".repeat(30_000)),
            "",
        ),
    ];
    for one in &mails {
        world.dovecot.deliver(ACCOUNT, one).await;
    }
    world.add_mailbox(json!({})).await;
    world.ticketed(mails.len()).await;

    // What is asked, and the subjects of the messages that answer.
    let (a, b, c, d) = ("Printer on fire", "Re: Printer on fire", "L'école", "プリンタ");
    let (file, odd) = ("Invoice attached", "word' \\ \"quoted\" & | ! <-> *");
    let questions: &[(&str, &[&str])] = &[
        ("printer", &[a, b]),
        ("print", &[a, b]),
        ("\"print\"", &[]),
        ("PRINTER fire", &[a, b]),
        ("\"on fire\"", &[a, b]),
        ("\"fire on\"", &[]),
        ("still", &[b]),
        ("\"it burns\"", &[a, b]),
        ("burn*", &[a, b]),
        ("42", &[a, b]),
        ("room 4", &[]),
        ("room 4*", &[a, b]),
        ("from:ada", &[a]),
        ("from:\"Ada Lovelace\"", &[a]),
        ("from:ada@example.test burns", &[a]),
        ("from:lovelace subject:printer", &[a]),
        ("to:support subject:printer from:bo", &[b]),
        ("to:boss", &[file]),
        ("to:ada", &[]),
        ("subject:burns", &[]),
        // No phrase reaches over two fields.
        ("\"fire ada\"", &[]),
        ("ecole", &[c]),
        ("École", &[c]),
        ("strasse", &[c]),
        ("STRAßE", &[c]),
        ("lodz", &[c]),
        ("naive cafe", &[c]),
        ("l'ecole", &[c]),
        ("プリンタ", &[d]),
        ("リンタ", &[d]),
        ("ﾌﾟﾘﾝﾀ", &[d]),
        ("東京", &[d]),
        ("京都", &[d]),
        ("都", &[d]),
        ("東都", &[]),
        ("プリンタが動", &[d]),
        ("has:attachment", &[file]),
        ("quarterly report", &[file]),
        ("quarterly-report.pdf", &[file]),
        ("has:attachment printer", &[]),
        ("printer has:attachment", &[]),
        ("room", &[a, b, d]),
        ("room is:open", &[a, b, d]),
        ("room is:closed", &[]),
        ("room after:2020", &[a, b, d]),
        ("room before:2020-01-01", &[]),
        ("quoted", &[odd]),
        ("word' quoted", &[odd]),
        ("from:evil.test long", &[odd]),
        ("no-such-word", &[]),
        ("***", &[]),
        ("project:HELP still", &[b]),
        ("label:none still", &[]),
    ];
    for (question, wanted) in questions {
        let asked: String = url_encoded(question);
        let found = world.rest.all(&format!("/api/v1/search?q={asked}&limit=2")).await;
        let mut subjects: Vec<String> = found.iter().map(|hit| text(hit, "subject")).collect();
        subjects.sort();
        let mut wanted: Vec<String> = wanted.iter().map(|subject| (*subject).to_owned()).collect();
        wanted.sort();
        assert_eq!(subjects, wanted, "{question}");
        let tickets = world.rest.all(&format!("/api/v1/tickets?q={asked}")).await;
        let mut keys: Vec<&Value> = found.iter().map(|hit| &hit["ticketKey"]).collect();
        keys.sort_by_key(|key| key.to_string());
        keys.dedup();
        assert_eq!(
            tickets.len(),
            keys.len(),
            "{question}: each ticket once, if one of its messages answers"
        );
    }
    the_index_can_be_made_again(&world).await;
}

/// What was lost from the index is there again after a rebuild, and nothing is there twice.
async fn the_index_can_be_made_again(world: &World) {
    let count = async |question: &str| {
        let path = format!("/api/v1/search?q={question}");
        world.rest.all(&path).await.len()
    };
    assert_eq!(count("room").await, 3);
    if let Some(postgres) = world.database.postgres() {
        postgres.query("UPDATE search_documents SET words = ''");
        assert_eq!(count("room").await, 0);
    }
    let said = world.mailgrant.run_ok(&["search", "rebuild"]);
    assert!(said.starts_with("6 messages, 6 tickets, "), "{said}");
    assert_eq!(count("room").await, 3);
    // Bo answers a mail he had no part in: his mail is a ticket of its own.
    let tickets = world.rest.all("/api/v1/tickets?q=printer").await;
    assert_eq!(tickets.len(), 2);
}

async fn any_question_has_an_answer(database: TestDatabase) {
    let mailgrant = crate::support::process::Mailgrant::start(
        crate::support::process::Settings::new().database(&database.url),
    )
    .await;
    let rest = mailgrant.rest();
    let project = rest
        .post("/projects", &json!({ "key": "HELP", "name": "Help" }))
        .await;
    rest.post(
        "/tickets",
        &json!({ "projectId": text(&project, "id"), "subject": "Anything", "note": "or nothing" }),
    )
    .await;
    let mut questions: Vec<String> = [
        "\"",
        "'",
        "\\",
        "*",
        "a*b*",
        "\"a",
        "a\"b\"c",
        "(a OR b",
        "a AND",
        "NOT",
        "NEAR(a b)",
        "a:b:c",
        "{a}:b",
        "^a",
        "-a",
        "+a",
        "a & b",
        "a | b",
        "!a",
        "a <-> b",
        "a:*",
        "':*",
        "''",
        "%",
        "_",
        "from:",
        "from:\"",
        "from:*",
        "subject:\"a",
        "is:",
        "is:is:open",
        "before:9999-99-99",
        "before:0000",
        "after:10000-01-01",
        "after:-5",
        "has:has",
        "label:\"",
        "label:,",
        "project:'",
        "\u{0}",
        "\u{feff}",
        "a\u{202e}b",
        "\u{1f525}",
        "ﷺ",
        "𠀀𠀁",
        "ก็",
        "e\u{301}\u{301}\u{301}",
        "\u{301}",
        "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18",
    ]
    .map(str::to_owned)
    .into();
    questions.push("long ".repeat(400));
    questions.push("x".repeat(3_000));
    questions.push("漢".repeat(600));
    questions.push(format!("\"{}\"", "a b ".repeat(100)));
    for question in questions {
        for path in ["/search", "/tickets"] {
            let path = format!("{path}?q={}", url_encoded(&question));
            let reply = rest.send(Method::GET, &path, None).await;
            let wanted = if question.contains('\0') { 400 } else { 200 };
            assert_eq!(reply.status, wanted, "{question:?}: {}", reply.json);
        }
    }
    assert_eq!(rest.all("/api/v1/search?q=noth").await.len(), 1);
}

fn url_encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
