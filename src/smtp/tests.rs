//! Tests of whole mails and of conversations with servers that do what they are told.

use proptest::prelude::*;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream};

use super::connect::{Wire, greet};
use super::*;
use std::time::Duration;

fn at(name: &str, email: &str) -> Address {
    Address::new("to", name, email).unwrap()
}

fn draft<'a>(from: &'a Address, to: &'a [Address]) -> Draft<'a> {
    Draft {
        message_id: "1@mail.example",
        date_ms: 1_800_000_000_000,
        from,
        reply_to: None,
        to,
        cc: &[],
        subject: "Hello",
        text: "Text",
        html: None,
        in_reply_to: None,
        references: &[],
        auto: AutoSubmitted::No,
        extra: &[],
        files: &[],
    }
}

/// Names of the header fields before the first blank line.
fn header_names(mail: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(mail);
    let head = text.split("\r\n\r\n").next().unwrap_or_default().to_owned();
    head.split("\r\n")
        .filter(|line| !line.starts_with([' ', '\t']))
        .map(|line| line.split(':').next().unwrap_or_default().to_lowercase())
        .collect()
}

/// Any text: much of what breaks mails in it.
fn any_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        any::<String>(),
        Just("\r\nBcc: evil@example.com\r\n".to_owned()),
        Just("\r\n\r\n".to_owned()),
        Just("\r\n.\r\nMAIL FROM:<evil@example.com>\r\n".to_owned()),
        Just("\r.\r".to_owned()),
        Just("\n.\n".to_owned()),
        Just("\0".to_owned()),
        Just("=?utf-8?Q?a=0ABcc:_x?=".to_owned()),
        Just("\"; filename=\"b".to_owned()),
        Just("\u{85}\u{2028}\u{2029}".to_owned()),
        Just("ü".repeat(120)),
        Just("x".repeat(2000)),
    ];
    proptest::collection::vec(piece, 0..4).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn a_mail_has_exactly_the_headers_asked_for(
        subject in any_text(), name in any_text(), text in any_text(), html in proptest::option::of(any_text()),
        file in any_text(), kind in any_text(), reference in any_text(),
    ) {
        let from = Address::new("from", &name, "a@b.example").unwrap_or_else(|_| at("", "a@b.example"));
        let to = [Address::new("to", &name, "c@d.example").unwrap_or_else(|_| at("", "c@d.example"))];
        let files = [File { name: file, content_type: kind, bytes: text.clone().into_bytes() }];
        let references = [reference, "1@known.example".to_owned()];
        let mut wanted = draft(&from, &to);
        wanted.subject = &subject;
        wanted.text = &text;
        wanted.html = html.as_deref();
        wanted.files = &files;
        wanted.references = &references;
        wanted.in_reply_to = Some(&references[0]);
        // Refused is fine; what is made must be right.
        if let Ok(mail) = compose(&wanted) {
            let mut names = header_names(&mail);
            names.sort();
            names.retain(|name| name != "in-reply-to");
            prop_assert_eq!(
                names,
                ["content-type", "date", "from", "message-id", "mime-version", "references", "subject", "to"]
            );
            prop_assert!(!mail.contains(&0), "NUL");
            prop_assert!(mail.is_ascii());
            let lines: Vec<&[u8]> = mail.split(|b| *b == b'\n').collect();
            prop_assert!(lines.iter().all(|line| line.len() <= 999), "long line");
            prop_assert!(lines[..lines.len() - 1].iter().all(|line| line.ends_with(b"\r")), "bare LF");
            prop_assert!(lines.iter().all(|line| !line[..line.len().saturating_sub(1)].contains(&b'\r')), "bare CR");
            let parsed = mailgrant_mail::parse(&mail);
            prop_assert_eq!(parsed.from.len(), 1);
            prop_assert_eq!(&parsed.from[0].email, "a@b.example");
            prop_assert_eq!(parsed.to.len(), 1);
            prop_assert_eq!(parsed.cc.len() + parsed.bcc.len(), 0);
            prop_assert!(parsed.references.contains(&"1@known.example".to_owned()));
            let squeeze = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
            prop_assert_eq!(squeeze(parsed.subject.as_deref().unwrap_or_default()), squeeze(&subject));
        }
    }

    #[test]
    fn a_text_arrives_as_it_was_written(text in "[ -~äöü€\n.=]{0,400}") {
        let (from, to) = (at("Ünïcode \"Q\"", "a@b.example"), [at("", "c@d.example")]);
        let mut wanted = draft(&from, &to);
        wanted.text = &text;
        let mail = compose(&wanted).unwrap();
        let parsed = mailgrant_mail::parse(&mail);
        prop_assert_eq!(parsed.from[0].name.as_deref(), Some("Ünïcode \"Q\""));
        let lines = |text: &str| text.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n").trim_end().to_owned();
        prop_assert_eq!(lines(&parsed.mailgrant.text), lines(&text));
    }
}

#[test]
fn what_looks_encoded_already_is_not_decoded_at_its_reader() {
    let word = "=?utf-8?Q?Paid?=";
    let (from, to) = (at(word, "a@b.example"), [at("", "c@d.example")]);
    let files = [File {
        name: format!("{word}.txt"),
        content_type: "text/plain".into(),
        bytes: Vec::new(),
    }];
    let mut wanted = draft(&from, &to);
    wanted.subject = word;
    wanted.files = &files;
    let parsed = mailgrant_mail::parse(&compose(&wanted).unwrap());
    assert_eq!(parsed.subject.as_deref(), Some(word));
    assert_eq!(parsed.from[0].name.as_deref(), Some("= ?utf-8?Q?Paid?="));
    assert_eq!(
        parsed.attachments[0].name.as_deref(),
        Some("= ?utf-8?Q?Paid?=.txt")
    );
}

#[test]
fn a_mail_goes_to_fifty_and_no_more() {
    let from = at("", "a@b.example");
    let all: Vec<Address> = (0..51).map(|n| at("", &format!("{n}@d.example"))).collect();
    let to = |to: usize, cc: usize| {
        let mut wanted = draft(&from, &all[..to]);
        wanted.cc = &all[..cc];
        compose(&wanted).map(drop)
    };
    assert!(to(50, 0).is_ok() && to(20, 30).is_ok());
    for (refused, error) in [("to", to(51, 0)), ("cc", to(20, 31))] {
        assert_eq!(error.unwrap_err().code, "too_many", "{refused}");
    }
}

/// The server's end of a conversation.
struct Server(BufReader<DuplexStream>);

impl Server {
    async fn say(&mut self, line: &str) {
        self.0
            .get_mut()
            .write_all(format!("{line}\r\n").as_bytes())
            .await
            .unwrap();
    }

    async fn hear(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).await.unwrap();
        line.trim_end().to_owned()
    }

    /// Greets and takes EHLO, offering some things.
    async fn welcome(&mut self, offers: &str) {
        self.say("220 mail.example").await;
        assert_eq!(self.hear().await, "EHLO desk.example");
        self.say(&format!("250-mail.example\r\n250 {offers}")).await;
    }

    /// Takes sender and recipients.
    async fn envelope(&mut self, recipients: usize) {
        for _ in 0..=recipients {
            self.hear().await;
            self.say("250 2.1.0 fine").await;
        }
    }

    /// Takes DATA and everything up to the last dot.
    async fn data(&mut self) -> Vec<u8> {
        assert_eq!(self.hear().await, "DATA");
        self.say("354 go on").await;
        let mut all = Vec::new();
        while !all.ends_with(b"\r\n.\r\n") {
            all.push(self.0.read_u8().await.unwrap());
        }
        all
    }
}

fn endpoint() -> Endpoint {
    Endpoint {
        host: "mail.example".into(),
        port: 465,
        tls: TlsMode::Implicit,
        hello: "desk.example".into(),
        patience: Patience {
            answer: Duration::from_secs(20),
            with_mail: Duration::from_millis(50),
        },
    }
}

/// Runs a client against a server.
async fn talk<C, S, T, U>(client: C, server: S) -> (T, U)
where
    C: AsyncFnOnce(Result<Session, SmtpError>) -> T,
    S: AsyncFnOnce(Server) -> U,
{
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let server = server(Server(BufReader::new(theirs)));
    let client = async { client(greet(&endpoint(), Wire::new(Box::new(ours), "")).await).await };
    tokio::join!(client, server)
}

async fn deliver(session: Result<Session, SmtpError>, mail: &[u8]) -> Result<Reply, SmtpError> {
    let mut session = session?;
    session
        .prepare(&at("", "a@b.example"), &[at("", "c@d.example")])
        .await?;
    session.hand_over(mail).await
}

#[tokio::test]
async fn dots_are_doubled_and_the_mail_arrives_byte_for_byte() {
    let mail = b"Subject: x\r\n\r\n.\r\n..\r\n.hidden\r\nend";
    let (taken, seen) = talk(
        async |session| deliver(session, mail).await,
        async |mut server| {
            server.welcome("8BITMIME").await;
            server.envelope(1).await;
            let seen = server.data().await;
            server.say("250 2.0.0 queued as 1").await;
            seen
        },
    )
    .await;
    assert_eq!(taken.unwrap().code, 250);
    assert_eq!(seen, b"Subject: x\r\n\r\n..\r\n...\r\n..hidden\r\nend\r\n.\r\n");
}

#[tokio::test]
async fn a_connection_that_ends_after_the_last_dot_leaves_the_outcome_unknown() {
    let (result, ()) = talk(
        async |session| deliver(session, b"x").await,
        async |mut server| {
            server.welcome("8BITMIME").await;
            server.envelope(1).await;
            server.data().await;
        },
    )
    .await;
    assert!(result.unwrap_err().is_unknown());
}

#[tokio::test]
async fn a_connection_that_ends_before_the_mail_leaves_no_doubt() {
    let (result, ()) = talk(
        async |session| deliver(session, b"x").await,
        async |mut server| {
            server.welcome("8BITMIME").await;
            server.hear().await;
        },
    )
    .await;
    let error = result.unwrap_err();
    assert!(!error.is_unknown());
    assert!(
        matches!(
            error,
            SmtpError::Lost {
                stage: Stage::Sender,
                ..
            }
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_refused_recipient_is_named() {
    let (result, ()) = talk(
        async |session| deliver(session, b"x").await,
        async |mut server| {
            server.welcome("8BITMIME").await;
            server.envelope(0).await;
            server.hear().await;
            server.say("550 5.1.1 no such user").await;
        },
    )
    .await;
    let (class, trouble) = result
        .unwrap_err()
        .explain(crate::oauth2_client::Provider::Custom);
    assert_eq!((class, trouble.code.as_str()), (Class::Mail, "recipient_unknown"));
    assert!(trouble.cause.contains("c@d.example"), "{}", trouble.cause);
}

#[tokio::test]
async fn silence_ends_in_time() {
    let hurried = Endpoint {
        patience: Patience {
            answer: Duration::from_millis(20),
            ..endpoint().patience
        },
        ..endpoint()
    };
    let (ours, theirs) = tokio::io::duplex(1024);
    let greeted = greet(&hurried, Wire::new(Box::new(ours), "")).await;
    assert!(matches!(
        greeted,
        Err(SmtpError::Lost {
            stage: Stage::Greeting,
            ..
        })
    ));
    drop(theirs);
    let (result, server) = talk(
        async |session| deliver(session, b"x").await,
        async |mut server: Server| {
            server.welcome("8BITMIME").await;
            server.envelope(1).await;
            server.data().await;
            server
        },
    )
    .await;
    assert!(result.unwrap_err().is_unknown());
    drop(server);
}

#[tokio::test]
async fn a_server_that_talks_without_end_is_left() {
    let (result, ()) = talk(
        async |session| session.map(drop),
        async |mut server: Server| {
            let much = vec![b'x'; 64 * 1024];
            while server.0.get_mut().write_all(&much).await.is_ok() {}
        },
    )
    .await;
    assert!(result.is_err());
}

#[tokio::test]
async fn no_password_and_no_token_goes_over_a_connection_without_tls() {
    let secret = secrecy::SecretString::from("canary");
    let user = "a@b.example";
    for how in [
        SignIn::Password {
            user,
            password: &secret,
        },
        SignIn::Token { user, token: &secret },
    ] {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let plain = Endpoint {
            tls: TlsMode::None,
            ..endpoint()
        };
        let client = async {
            let mut session = greet(&plain, Wire::new(Box::new(ours), "")).await.unwrap();
            session.sign_in(how).await
        };
        let server = async {
            let mut server = Server(BufReader::new(theirs));
            server.welcome("AUTH PLAIN XOAUTH2").await;
            server.hear().await
        };
        let (refused, heard) = tokio::join!(client, server);
        assert_eq!(heard, "");
        assert!(
            matches!(refused, Err(SmtpError::PlainRefused { .. })),
            "{refused:?}"
        );
    }
}

#[tokio::test]
async fn a_challenge_is_answered_and_the_refusal_read() {
    use base64::Engine;
    let challenge = base64::engine::general_purpose::STANDARD.encode(r#"{"status":"401"}"#);
    let (result, heard) = talk(
        async |session| {
            let token = secrecy::SecretString::from("canary-token");
            let how = SignIn::Token {
                user: "a@b.example",
                token: &token,
            };
            session.unwrap().sign_in(how).await
        },
        async |mut server: Server| {
            server.welcome("AUTH PLAIN XOAUTH2").await;
            let first = server.hear().await;
            server.say(&format!("334 {challenge}")).await;
            let second = server.hear().await;
            server
                .say("535-5.7.8 Username and Password not accepted.\r\n535 5.7.8 Learn more")
                .await;
            (first, second)
        },
    )
    .await;
    assert!(heard.0.starts_with("AUTH XOAUTH2 dXNlcj1h"), "{}", heard.0);
    assert_eq!(heard.1, "");
    let error = result.unwrap_err();
    let SmtpError::SignInRefused { reply, challenge } = &error else {
        panic!("{error:?}");
    };
    assert_eq!((reply.code, reply.enhanced.as_deref()), (535, Some("5.7.8")));
    assert_eq!(challenge.as_deref(), Some(r#"{"status":"401"}"#));
    assert!(!format!("{error:?}{error}").contains("canary"));
}

#[tokio::test]
async fn an_address_beyond_ascii_goes_only_where_it_is_understood() {
    let to = || [at("", "jürgen@d.example")];
    let from = at("", "a@b.example");
    let (refused, ()) = talk(
        async |session| session.unwrap().prepare(&from, &to()).await,
        async |mut server: Server| server.welcome("8BITMIME").await,
    )
    .await;
    assert!(matches!(refused, Err(SmtpError::NeedsUtf8 { .. })));
    let (taken, heard) = talk(
        async |session| session.unwrap().prepare(&from, &to()).await,
        async |mut server: Server| {
            server.say("220 mail.example").await;
            server.hear().await;
            server
                .say("250-mail.example\r\n250-8BITMIME\r\n250 SMTPUTF8")
                .await;
            let sender = server.hear().await;
            server.say("250 fine").await;
            server.hear().await;
            server.say("250 fine").await;
            sender
        },
    )
    .await;
    taken.unwrap();
    assert_eq!(heard, "MAIL FROM:<a@b.example> SMTPUTF8 BODY=8BITMIME");
}
