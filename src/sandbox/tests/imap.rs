//! The mail server, driven by a small client that shows every line.

use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::*;

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

struct Client {
    stream: BufReader<Box<dyn Stream>>,
    tag: usize,
}

impl Client {
    async fn plain(sandbox: &Sandbox) -> Client {
        let stream = TcpStream::connect(("127.0.0.1", sandbox.imap_plain_port()))
            .await
            .unwrap();
        Client::greeted(Box::new(stream)).await
    }

    /// Over TLS, trusting the sandbox's authority and nothing else.
    async fn tls(sandbox: &Sandbox) -> std::io::Result<Client> {
        let mut roots = rustls::RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(sandbox.ca_pem().as_bytes()).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(sandbox.imap_host()).unwrap();
        let stream = TcpStream::connect(("127.0.0.1", sandbox.imap_port())).await?;
        let stream = tokio_rustls::TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await?;
        Ok(Client::greeted(Box::new(stream)).await)
    }

    async fn greeted(stream: Box<dyn Stream>) -> Client {
        let mut client = Client {
            stream: BufReader::new(stream),
            tag: 0,
        };
        assert!(client.line().await.starts_with("* OK [CAPABILITY IMAP4REV1"));
        client
    }

    /// The next line with its literals, without the line end; empty at the end of the connection.
    async fn line(&mut self) -> String {
        let mut all = Vec::new();
        let read = async {
            loop {
                self.stream.read_until(b'\n', &mut all).await.unwrap_or(0);
                let text = String::from_utf8_lossy(&all).into_owned();
                let length = text
                    .trim_end()
                    .strip_suffix('}')
                    .and_then(|text| text.rsplit_once('{'));
                let Some(length) = length.and_then(|(_, length)| length.parse::<usize>().ok()) else {
                    return text.trim_end().to_owned();
                };
                let mut literal = vec![0; length];
                self.stream.read_exact(&mut literal).await.unwrap();
                all.extend(literal);
            }
        };
        tokio::time::timeout(Duration::from_secs(20), read)
            .await
            .expect("a line in 20 s")
    }

    async fn say(&mut self, text: &str) {
        self.stream
            .get_mut()
            .write_all(format!("{text}\r\n").as_bytes())
            .await
            .unwrap();
        self.stream.get_mut().flush().await.unwrap();
    }

    /// A command and everything up to its tagged answer.
    async fn command(&mut self, text: &str) -> String {
        self.tag += 1;
        let tag = format!("a{}", self.tag);
        self.say(&format!("{tag} {text}")).await;
        let mut all = Vec::new();
        loop {
            let line = self.line().await;
            assert!(!line.is_empty(), "the connection ended after {text}: {all:?}");
            let last = line.starts_with(&tag);
            all.push(line);
            if last {
                return all.join("\n");
            }
        }
    }

    async fn sign_in(&mut self, user: &str, token: &Value) -> String {
        self.command(&format!("AUTHENTICATE XOAUTH2 {}", xoauth2(user, token)))
            .await
    }
}

fn xoauth2(user: &str, token: &Value) -> String {
    let token = token["access_token"].as_str().unwrap();
    STANDARD.encode(format!("user={user}\u{1}auth=Bearer {token}\u{1}\u{1}"))
}

fn mail(subject: &str) -> Vec<u8> {
    format!("From: <a@orchard.example>\r\nSubject: {subject}\r\n folded\r\nX-Other: x\r\n\r\nBody of {subject}\r\n")
        .into_bytes()
}

/// A session in INBOX with three mails.
async fn in_inbox() -> (Sandbox, Client) {
    let (sandbox, clock) = sandbox().await;
    for subject in ["one", "two", "three"] {
        sandbox.deliver(mail(subject));
        clock.advance(chrono::Duration::days(1));
    }
    let token = connect(&sandbox).await;
    let mut client = Client::plain(&sandbox).await;
    client.sign_in("demo@sandbox.test", &token).await;
    let selected = client.command("SELECT INBOX").await;
    assert!(
        selected.contains("* 3 EXISTS") && selected.contains("OK [READ-WRITE]"),
        "{selected}"
    );
    (sandbox, client)
}

#[tokio::test]
async fn over_tls_a_token_opens_the_mailbox_and_the_certificate_is_for_this_host() {
    let (sandbox, _) = sandbox().await;
    let token = connect(&sandbox).await;
    let mut client = Client::tls(&sandbox).await.unwrap();
    let welcome = client.sign_in("demo@sandbox.test", &token).await;
    assert!(
        welcome.contains("OK [CAPABILITY IMAP4REV1 IDLE ID MOVE UIDPLUS"),
        "{welcome}"
    );
    let logout = client.command("LOGOUT").await;
    assert!(logout.starts_with("* BYE"));
    assert_eq!(client.line().await, "", "the server closes");
}

#[tokio::test]
async fn only_xoauth2_is_offered() {
    let (sandbox, _) = sandbox().await;
    let mut client = Client::plain(&sandbox).await;
    let offered = client.command("CAPABILITY").await;
    assert!(
        offered.contains("SASL-IR") && offered.contains("AUTH=XOAUTH2") && offered.contains("LOGINDISABLED")
    );
    assert!(!offered.contains("AUTH=PLAIN"));
    assert!(client.command("LOGIN a b").await.contains("NO [PRIVACYREQUIRED]"));
    assert!(client.command("AUTHENTICATE PLAIN").await.contains("NO [CANNOT]"));
    assert!(client.command("SELECT INBOX").await.contains("BAD"));
    assert!(client.command("WHAT IS THIS").await.contains("BAD"));
}

#[tokio::test]
async fn without_initial_response_the_server_asks_for_it() {
    let (sandbox, _) = sandbox().await;
    let token = connect(&sandbox).await;
    let mut client = Client::plain(&sandbox).await;
    client.say("x AUTHENTICATE XOAUTH2").await;
    assert_eq!(client.line().await, "+");
    client.say(&xoauth2("demo@sandbox.test", &token)).await;
    assert!(client.line().await.starts_with("x OK"));
}

#[tokio::test]
async fn a_refused_token_gets_its_reason_waits_for_the_empty_line_and_then_no() {
    let (sandbox, clock) = sandbox_with(|options| {
        options.other_mailboxes = vec!["other@sandbox.test".to_owned()];
    })
    .await;
    let good = connect(&sandbox).await;
    let code = allowed_code(&sandbox, &[("scope", Some("openid"))]).await;
    let narrow = redeem(&sandbox, &code).await.1;
    let garbage = serde_json::json!({ "access_token": "garbage" });
    let cases = [
        ("demo@sandbox.test", &garbage, "401"),
        ("other@sandbox.test", &good, "401"),
        ("nobody@sandbox.test", &good, "401"),
        ("demo@sandbox.test", &narrow, "403"),
    ];
    let mut client = Client::plain(&sandbox).await;
    for (user, token, status) in cases {
        client
            .say(&format!("x AUTHENTICATE XOAUTH2 {}", xoauth2(user, token)))
            .await;
        let reason = STANDARD
            .decode(client.line().await.strip_prefix("+ ").unwrap())
            .unwrap();
        let reason: Value = serde_json::from_slice(&reason).unwrap();
        assert_eq!(reason["status"], status, "{user}");
        client.say("").await;
        assert!(client.line().await.starts_with("x NO [AUTHENTICATIONFAILED]"));
    }
    clock.advance(chrono::Duration::hours(1));
    client
        .say(&format!(
            "x AUTHENTICATE XOAUTH2 {}",
            xoauth2("demo@sandbox.test", &good)
        ))
        .await;
    assert!(
        client.line().await.starts_with("+ "),
        "an hour later the token is over"
    );
}

#[tokio::test]
async fn a_token_of_the_client_itself_opens_the_mailbox() {
    let (sandbox, _) = sandbox().await;
    let (_, token) = post_token(&sandbox, &[("grant_type", "client_credentials")]).await;
    let mut client = Client::plain(&sandbox).await;
    assert!(client.sign_in("demo@sandbox.test", &token).await.contains("OK"));
}

#[tokio::test]
async fn folders_are_listed_with_their_special_use_and_counted_by_status() {
    let (_sandbox, mut client) = in_inbox().await;
    let all = client.command("LIST \"\" \"*\"").await;
    for line in [
        "* LIST () \"/\" INBOX",
        "* LIST (\\Archive) \"/\" Archive",
        "* LIST (\\Junk) \"/\" Junk",
    ] {
        assert!(all.contains(line), "{all}");
    }
    assert!(!client.command("LIST \"\" A%").await.contains("INBOX"));
    assert!(client.command("LIST \"\" \"\"").await.contains("\\Noselect"));
    let status = client
        .command("STATUS INBOX (MESSAGES UIDNEXT UIDVALIDITY UNSEEN)")
        .await;
    assert!(
        status.contains("(MESSAGES 3 UIDNEXT 4 UIDVALIDITY 1 UNSEEN 3)"),
        "{status}"
    );
    assert!(
        client
            .command("SELECT Nowhere")
            .await
            .contains("NO [NONEXISTENT]")
    );
}

#[tokio::test]
async fn search_finds_by_uid_flag_and_day() {
    let (_sandbox, mut client) = in_inbox().await;
    client.command("UID STORE 1 +FLAGS (\\Seen)").await;
    for (criteria, found) in [
        ("ALL", "* SEARCH 1 2 3"),
        ("UNSEEN", "* SEARCH 2 3"),
        ("SINCE 2-Mar-2026", "* SEARCH 2 3"),
        ("BEFORE 2-Mar-2026", "* SEARCH 1"),
        ("UID 2:*", "* SEARCH 2 3"),
        // "*" is the last mail even when it is smaller than the start.
        ("UID 9:*", "* SEARCH 3"),
        ("SEEN SINCE 2-Mar-2026", "* SEARCH\n"),
        ("OR SEEN SUBJECT three", "* SEARCH 1 3"),
        ("NOT UID 1:2", "* SEARCH 3"),
    ] {
        let answer = client.command(&format!("UID SEARCH {criteria}")).await;
        assert!(
            format!("{}\n", answer.lines().next().unwrap()).starts_with(found),
            "{criteria}: {answer}"
        );
    }
}

#[tokio::test]
async fn fetch_gives_bytes_headers_parts_of_bytes_and_leaves_peeked_mail_unseen() {
    let (sandbox, mut client) = in_inbox().await;
    let two = String::from_utf8(mail("two")).unwrap();
    let all = client
        .command("UID FETCH 2 (UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])")
        .await;
    assert!(
        all.starts_with("* 2 FETCH (UID 2 FLAGS () INTERNALDATE \"02-Mar-2026 12:00:00 +0000\""),
        "{all}"
    );
    assert!(
        all.contains(&format!(
            "RFC822.SIZE {} BODY[] {{{}}}\r\n{two})",
            two.len(),
            two.len()
        )),
        "{all}"
    );
    let part = client.command("UID FETCH 2 BODY.PEEK[]<6.3>").await;
    assert!(part.contains("BODY[]<6> {3}\r\n<a@"), "{part}");
    let header = client
        .command("UID FETCH 1:2 BODY.PEEK[HEADER.FIELDS (Subject)]")
        .await;
    assert!(
        header.contains("Subject: two\r\n folded\r\n\r\n") && !header.contains("X-Other"),
        "{header}"
    );
    let header = client
        .command("UID FETCH 2 (BODY.PEEK[HEADER] RFC822.SIZE)")
        .await;
    assert!(
        header.contains("X-Other: x\r\n\r\n") && !header.contains("Body of"),
        "{header}"
    );
    assert!(!sandbox.flags(2).unwrap().contains("\\Seen"));
    let read = client.command("UID FETCH 2 BODY[TEXT]").await;
    assert!(
        read.contains("Body of two") && read.contains("FLAGS (\\Seen)"),
        "{read}"
    );
    assert!(sandbox.flags(2).unwrap().contains("\\Seen"));
    assert!(client.command("UID FETCH 2 BODYSTRUCTURE").await.contains("NO"));
    assert!(
        client.command("UID FETCH 77 FLAGS").await.starts_with("a"),
        "a missing UID is no error"
    );
}

#[tokio::test]
async fn store_copy_move_and_expunge_work_by_uid() {
    let (sandbox, mut client) = in_inbox().await;
    let stored = client.command("UID STORE 1:2 +FLAGS (\\Seen)").await;
    assert!(stored.contains("* 1 FETCH (FLAGS (\\Seen) UID 1)"), "{stored}");
    let copied = client.command("UID COPY 1 Archive").await;
    assert!(copied.contains("OK [COPYUID 1 1 1]"), "{copied}");
    let moved = client.command("UID MOVE 2 Archive").await;
    assert!(
        moved.contains("* OK [COPYUID 1 2 2]") && moved.contains("* 2 EXPUNGE"),
        "{moved}"
    );
    assert!(
        client
            .command("UID MOVE 1 Nowhere")
            .await
            .contains("NO [TRYCREATE]")
    );
    client.command("UID STORE 1,3 +FLAGS.SILENT (\\Deleted)").await;
    let expunged = client.command("UID EXPUNGE 3").await;
    assert!(expunged.contains("* 2 EXPUNGE"), "{expunged}");
    assert_eq!((sandbox.message_count(), sandbox.folder_count("Archive")), (1, 2));
    client.command("CLOSE").await;
    assert_eq!(sandbox.message_count(), 0);
    let examined = client.command("EXAMINE Archive").await;
    assert!(examined.contains("[READ-ONLY]"));
    assert!(client.command("UID STORE 1 +FLAGS (\\Seen)").await.contains("NO"));
}

#[tokio::test]
async fn an_appended_mail_comes_through_a_literal_and_gets_a_uid() {
    let (sandbox, mut client) = in_inbox().await;
    let raw = String::from_utf8(mail("sent")).unwrap();
    client
        .say(&format!("x APPEND Sent (\\Seen) {{{}}}", raw.len()))
        .await;
    assert_eq!(client.line().await, "+");
    client.say(&raw).await;
    assert!(client.line().await.starts_with("x OK [APPENDUID 1 1]"));
    assert_eq!(sandbox.folder_count("Sent"), 1);
}

#[tokio::test]
async fn idle_tells_of_a_new_mail_at_once_and_ends_with_done() {
    let (sandbox, mut client) = in_inbox().await;
    client.say("x IDLE").await;
    assert!(client.line().await.starts_with('+'));
    let uid = sandbox.deliver(mail("four"));
    assert_eq!(client.line().await, "* 4 EXISTS");
    client.say("DONE").await;
    assert!(client.line().await.starts_with("x OK"));
    assert!(
        client
            .command(&format!("UID FETCH {uid} UID"))
            .await
            .contains("* 4 FETCH (UID 4)")
    );
}

#[tokio::test]
async fn a_mail_that_arrives_between_commands_is_told_by_noop_and_found_by_fetch() {
    let (sandbox, mut client) = in_inbox().await;
    sandbox.deliver(mail("four"));
    assert!(client.command("NOOP").await.contains("* 4 EXISTS"));
    sandbox.deliver(mail("five"));
    let fetched = client.command("UID FETCH 5:* UID").await;
    assert!(
        fetched.contains("* 5 EXISTS") && fetched.contains("* 5 FETCH (UID 5)"),
        "{fetched}"
    );
}

#[tokio::test]
async fn a_mail_with_nul_bytes_can_still_be_fetched() {
    let (sandbox, mut client) = in_inbox().await;
    let uid = sandbox.deliver(b"Subject: nul\r\n\r\na\0b".to_vec());
    let fetched = client.command(&format!("UID FETCH {uid} BODY.PEEK[]")).await;
    assert!(fetched.contains("{19}"), "{fetched}");
}

#[tokio::test]
async fn a_new_uid_validity_numbers_the_mails_anew_and_ends_connections() {
    let (sandbox, mut client) = in_inbox().await;
    client.command("UID MOVE 1 Archive").await;
    sandbox.set_uid_validity(77);
    assert_eq!(client.line().await, "");
    let token = connect(&sandbox).await;
    let mut client = Client::plain(&sandbox).await;
    client.sign_in("demo@sandbox.test", &token).await;
    let selected = client.command("SELECT INBOX").await;
    assert!(
        selected.contains("[UIDVALIDITY 77]") && selected.contains("[UIDNEXT 3]"),
        "{selected}"
    );
    assert!(client.command("UID SEARCH ALL").await.contains("* SEARCH 1 2"));
}

#[tokio::test]
async fn cut_connections_end_now_and_are_refused_until_restored() {
    let (sandbox, mut client) = in_inbox().await;
    sandbox.faults().cut_connections();
    assert_eq!(client.line().await, "");
    assert!(Client::tls(&sandbox).await.is_err());
    sandbox.faults().restore_connections();
    assert!(Client::tls(&sandbox).await.is_ok());
}

#[tokio::test]
async fn connections_cut_for_a_while_come_back_by_the_clock() {
    let (sandbox, clock) = sandbox().await;
    sandbox.faults().cut_connections_for(Duration::from_secs(30));
    assert!(Client::tls(&sandbox).await.is_err());
    clock.advance(chrono::Duration::seconds(31));
    assert!(Client::tls(&sandbox).await.is_ok());
}

#[tokio::test]
async fn a_revoked_consent_ends_connections_and_the_token() {
    let (sandbox, mut client) = in_inbox().await;
    let token = connect(&sandbox).await;
    sandbox.revoke_consent().await.unwrap();
    assert_eq!(client.line().await, "");
    let mut client = Client::plain(&sandbox).await;
    client
        .say(&format!(
            "x AUTHENTICATE XOAUTH2 {}",
            xoauth2("demo@sandbox.test", &token)
        ))
        .await;
    assert!(client.line().await.starts_with("+ "));
}

#[tokio::test]
async fn each_tls_fault_breaks_the_handshake_in_its_own_way() {
    let (sandbox, _) = sandbox().await;
    for (fault, cause) in [
        (TlsFault::Refused, "HandshakeFailure"),
        (TlsFault::UnknownAuthority, "UnknownIssuer"),
        (TlsFault::OtherHost, "not valid for"),
        (TlsFault::Expired, "expired"),
    ] {
        sandbox.faults().set_tls(fault);
        let error = Client::tls(&sandbox).await.err().unwrap().to_string();
        assert!(error.contains(cause), "{fault:?}: {error}");
    }
    sandbox.faults().refuse_tls(false);
    assert!(Client::tls(&sandbox).await.is_ok());
}

#[tokio::test]
async fn queued_imap_faults_are_used_up_one_by_one() {
    let (sandbox, mut client) = in_inbox().await;
    let faults = sandbox.faults();
    let unavailable = ImapFaultKind::No {
        code: Some("UNAVAILABLE".to_owned()),
        text: "later".to_owned(),
    };
    faults.queue_imap_fault("SELECT", unavailable, 1);
    faults.queue_imap_fault("FETCH", ImapFaultKind::Bad("no".to_owned()), 2);
    faults.queue_imap_fault("NOOP", ImapFaultKind::Bye("shutting down".to_owned()), 1);
    assert!(
        client
            .command("SELECT INBOX")
            .await
            .ends_with("NO [UNAVAILABLE] later")
    );
    assert!(client.command("SELECT INBOX").await.contains("OK [READ-WRITE]"));
    assert!(client.command("UID FETCH 1 UID").await.ends_with("BAD no"));
    assert!(client.command("UID FETCH 1 UID").await.ends_with("BAD no"));
    assert!(client.command("UID FETCH 1 UID").await.contains("OK"));
    client.say("x NOOP").await;
    assert_eq!(client.line().await, "* BYE shutting down");
    assert_eq!(client.line().await, "");
    assert!(!faults.any());
}

#[tokio::test]
async fn a_command_can_be_delayed_met_with_silence_or_with_the_end_of_the_connection() {
    let (sandbox, mut client) = in_inbox().await;
    let faults = sandbox.faults();
    faults.queue_imap_fault("NOOP", ImapFaultKind::Delay(Duration::from_millis(60)), 1);
    faults.queue_imap_fault("NOOP", ImapFaultKind::Close, 1);
    faults.queue_imap_fault("SEARCH", ImapFaultKind::Silence, 1);
    let asked = std::time::Instant::now();
    assert!(client.command("NOOP").await.contains("OK"));
    assert!(asked.elapsed() >= Duration::from_millis(60));
    client.say("x NOOP").await;
    assert_eq!(client.line().await, "");
    let token = connect(&sandbox).await;
    let mut client = Client::plain(&sandbox).await;
    client.sign_in("demo@sandbox.test", &token).await;
    client.command("SELECT INBOX").await;
    client.say("x UID SEARCH ALL").await;
    let answer = tokio::time::timeout(Duration::from_millis(60), client.line()).await;
    assert!(answer.is_err(), "silence was asked for: {answer:?}");
    faults.drop_connections();
    assert_eq!(client.line().await, "");
}

#[tokio::test]
async fn expired_tokens_end_open_connections() {
    let (sandbox, mut client) = in_inbox().await;
    sandbox.expire_tokens().await.unwrap();
    assert_eq!(client.line().await, "");
}

#[tokio::test]
async fn commands_and_their_outcomes_are_in_the_log() {
    let (sandbox, mut client) = in_inbox().await;
    client.command("SELECT Nowhere").await;
    let log = sandbox.log();
    let seen: Vec<(Option<&str>, &str)> = log
        .iter()
        .filter(|call| call.endpoint == "imap")
        .map(|c| (c.detail, &*c.outcome))
        .collect();
    assert!(seen.contains(&(Some("AUTHENTICATE"), "ok")));
    assert!(seen.contains(&(Some("SELECT"), "ok")));
    assert!(seen.contains(&(Some("SELECT"), "refused")));
}

#[tokio::test]
async fn a_hostile_line_ends_in_bad_and_the_session_goes_on() {
    let (_sandbox, mut client) = in_inbox().await;
    let nested = "(".repeat(20_000);
    assert!(
        client
            .command(&format!("UID SEARCH {nested}"))
            .await
            .contains("BAD")
    );
    assert!(client.command("NOOP").await.contains("OK"));
}
