//! The bench tested on itself, so that a red test elsewhere is about Mailgrant and not about the bench.

use super::certs::TestCa;
use super::database::TestDatabase;
use super::dovecot::Dovecot;
use super::mails::{self, Mail};
use super::oidc_provider::{self, CLIENT_ID, OidcProvider, Person, query};
use super::process::{Mailgrant, Settings};
use super::scripted_http::{Answer, ScriptedHttp};
use super::scripted_imap::{Connection, Ended, Inbox, ScriptedImap, Security};
use super::wait::{SOON, eventually, within};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

const USER: &str = "u1@example.test";
const OTHER: &str = "u2@example.test";

/// A mail client that can do just enough, independent of Mailgrant's own.
struct Client<S>(BufReader<S>);

async fn tls_client(port: u16, ca: &TestCa) -> Client<impl AsyncRead + AsyncWrite + Unpin + use<>> {
    let socket = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TlsConnector::from(ca.client_config())
        .connect(name, socket)
        .await
        .unwrap();
    let mut client = Client(BufReader::new(stream));
    assert!(client.line().await.starts_with("* OK"));
    client
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    async fn line(&mut self) -> String {
        let mut bytes = Vec::new();
        within(
            "the server says something",
            SOON,
            self.0.read_until(b'\n', &mut bytes),
        )
        .await
        .unwrap();
        String::from_utf8_lossy(&bytes).trim_end().to_owned()
    }

    async fn say(&mut self, line: &str) {
        self.0
            .get_mut()
            .write_all(format!("{line}\r\n").as_bytes())
            .await
            .unwrap();
    }

    /// Sends a command and returns all lines up to its answer, which is the last.
    async fn ask(&mut self, command: &str) -> Vec<String> {
        self.say(&format!("t1 {command}")).await;
        let mut lines = Vec::new();
        loop {
            lines.push(self.line().await);
            let last = lines.last().unwrap();
            assert!(!last.is_empty(), "the server left after {lines:?}");
            if last.starts_with("t1 ") {
                return lines;
            }
        }
    }

    /// Logs in and returns the server's last word, and the challenge if there was one.
    async fn xoauth2(&mut self, user: &str, token: &str) -> (Option<String>, String) {
        let response = STANDARD.encode(format!("user={user}\x01auth=Bearer {token}\x01\x01"));
        self.say(&format!("t1 AUTHENTICATE XOAUTH2 {response}")).await;
        let mut line = self.line().await;
        let mut challenge = None;
        if let Some(text) = line.strip_prefix("+ ") {
            challenge = Some(String::from_utf8(STANDARD.decode(text).unwrap()).unwrap());
            self.say("").await;
            line = self.line().await;
        }
        (challenge, line)
    }
}

#[tokio::test]
async fn dovecot_lets_in_who_the_oauth_server_vouches_for_and_nobody_else() {
    let provider = OidcProvider::start(&["http://127.0.0.1:1/callback"]).await;
    let dovecot = Dovecot::start(&provider.introspection_url(), &[USER, OTHER]).await;
    let tokens = provider.tokens_for(USER).await;
    let token = tokens["access_token"].as_str().unwrap();

    let mut client = tls_client(dovecot.imaps_port, &dovecot.ca).await;
    let (challenge, answer) = client.xoauth2(USER, token).await;
    assert_eq!(challenge, None, "{}", dovecot.log());
    assert!(answer.starts_with("t1 OK"), "{answer}");

    for (user, token) in [
        (USER, "garbage"),
        (OTHER, token),
        ("stranger@example.test", token),
    ] {
        let mut client = tls_client(dovecot.imaps_port, &dovecot.ca).await;
        let (challenge, answer) = client.xoauth2(user, token).await;
        assert!(
            challenge.is_some_and(|json| json.contains("\"status\"")),
            "{user}"
        );
        assert!(
            answer.starts_with("t1 NO [AUTHENTICATIONFAILED]"),
            "{user}: {answer}"
        );
    }

    provider.revoke(tokens["refresh_token"].as_str().unwrap()).await;
    assert_eq!(provider.introspect(token).await["active"], false);
    let mut client = tls_client(dovecot.imaps_port, &dovecot.ca).await;
    assert!(
        client.xoauth2(USER, token).await.1.starts_with("t1 NO"),
        "a revoked token is refused"
    );
}

#[tokio::test]
async fn dovecot_offers_starttls_and_no_login_by_password() {
    let dovecot = Dovecot::start("http://a:b@127.0.0.1:1/introspection", &[USER]).await;
    let socket = TcpStream::connect(("127.0.0.1", dovecot.imap_port))
        .await
        .unwrap();
    let mut client = Client(BufReader::new(socket));
    let greeting = client.line().await;
    assert!(
        greeting.contains("STARTTLS") && greeting.contains("LOGINDISABLED"),
        "{greeting}"
    );
    assert!(
        greeting.contains("AUTH=XOAUTH2") && !greeting.contains("AUTH=PLAIN"),
        "{greeting}"
    );
    assert!(client.ask("STARTTLS").await[0].starts_with("t1 OK"));
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TlsConnector::from(dovecot.ca.client_config())
        .connect(name, client.0.into_inner())
        .await
        .unwrap();
    let mut client = Client(BufReader::new(stream));
    assert!(client.ask("CAPABILITY").await[0].contains("AUTH=OAUTHBEARER"));
}

#[tokio::test]
async fn dovecot_serves_mail_that_was_seeded_and_mail_that_was_delivered() {
    let provider = OidcProvider::start(&["http://127.0.0.1:1/callback"]).await;
    let mut dovecot = Dovecot::start(&provider.introspection_url(), &[USER]).await;
    let seeded = dovecot.seed(USER, 20);
    dovecot.make_folder(USER, "Support/Old");

    let tokens = provider.tokens_for(USER).await;
    let token = tokens["access_token"].as_str().unwrap();
    let mut client = tls_client(dovecot.imaps_port, &dovecot.ca).await;
    client.xoauth2(USER, token).await;
    let folders = client.ask("LIST \"\" \"*\"").await.join("\n");
    assert!(folders.contains("Support/Old"), "{folders}");
    let opened = client.ask("SELECT INBOX").await.join("\n");
    assert!(opened.contains("* 20 EXISTS"), "{opened}");
    dovecot
        .deliver(
            USER,
            &mails::simple("<d1@mails.test>", "a@example.test", "Delivered", ".a line\r\nend"),
        )
        .await;
    assert!(client.ask("NOOP").await.contains(&"* 21 EXISTS".to_owned()));
    let before = uidvalidity(&opened);

    client.say("t1 UID FETCH 3 (BODY.PEEK[])").await;
    let head = client.line().await;
    let bytes = seeded[2].bytes();
    assert!(
        head.contains("UID 3") && head.ends_with(&format!("{{{}}}", bytes.len())),
        "{head}"
    );
    let mut got = vec![0; bytes.len()];
    client.0.read_exact(&mut got).await.unwrap();
    assert_eq!(got, bytes, "the third mail, byte for byte");
    assert_eq!(client.line().await, ")");
    client.line().await;
    assert_eq!(dovecot.seen(USER, "INBOX"), 0);
    client.ask("UID STORE 3 +FLAGS (\\Seen)").await;
    assert_eq!(dovecot.seen(USER, "INBOX"), 1);

    client.say("t1 IDLE").await;
    assert!(client.line().await.starts_with('+'));
    dovecot
        .deliver(
            USER,
            &mails::simple("<d2@mails.test>", "a@example.test", "While idle", "x"),
        )
        .await;
    assert_eq!(client.line().await, "* 22 EXISTS");

    dovecot.bump_uidvalidity(USER).await;
    let mut client = tls_client(dovecot.imaps_port, &dovecot.ca).await;
    client.xoauth2(USER, token).await;
    let opened = client.ask("SELECT INBOX").await.join("\n");
    assert!(opened.contains("* 22 EXISTS"), "{opened}");
    assert_ne!(uidvalidity(&opened), before);
    dovecot.disconnect(USER);
    eventually("the session ends", SOON, async || {
        let line = client.line().await;
        (line.is_empty() || line.starts_with("* BYE")).then_some(())
    })
    .await;
}

fn uidvalidity(opened: &str) -> u32 {
    opened
        .split_once("[UIDVALIDITY ")
        .unwrap()
        .1
        .split_once(']')
        .unwrap()
        .0
        .parse()
        .unwrap()
}

#[tokio::test]
async fn the_oauth_server_rotates_refresh_tokens_and_kills_a_grant_whose_old_one_comes_back() {
    let provider = OidcProvider::start(&["http://127.0.0.1:1/callback"]).await;
    let tokens = provider.tokens_for(USER).await;
    let first = tokens["refresh_token"].as_str().unwrap();
    let refresh = async |token: &str| {
        provider
            .token_request(&[("grant_type", "refresh_token"), ("refresh_token", token)])
            .await
    };
    let second = refresh(first).await;
    assert_ne!(second["refresh_token"].as_str().unwrap(), first);
    assert_eq!(refresh(first).await["error"], "invalid_grant");
    assert_eq!(
        refresh(second["refresh_token"].as_str().unwrap()).await["error"],
        "invalid_grant"
    );
}

#[tokio::test]
async fn the_oauth_server_sends_a_refusal_back_and_insists_on_pkce() {
    let redirect = "http://127.0.0.1:1/callback";
    let provider = OidcProvider::start(&[redirect]).await;
    let url = |challenge: &str| {
        let endpoint = provider.authorization_endpoint();
        format!(
            "{endpoint}?client_id={CLIENT_ID}&response_type=code&redirect_uri={redirect}&scope=openid+offline_access\
             &prompt=consent&state=s1{challenge}"
        )
    };
    let challenge = "&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256";
    let back = provider
        .walk(&url(challenge), Person::Refuses(USER))
        .await
        .unwrap();
    assert_eq!(query(&back, "error").as_deref(), Some("access_denied"));
    assert_eq!(query(&back, "state").as_deref(), Some("s1"));
    let back = provider.walk(&url(""), Person::Consents(USER)).await.unwrap();
    assert_eq!(query(&back, "error").as_deref(), Some("invalid_request"));
}

#[tokio::test]
async fn an_app_only_token_opens_the_mailbox_it_was_told_to() {
    let options = oidc_provider::Options {
        app_mailbox: Some(USER.to_owned()),
        ..Default::default()
    };
    let provider = OidcProvider::start_with(options).await;
    let dovecot = Dovecot::start(&provider.introspection_url(), &[USER]).await;
    let answer = provider
        .token_request(&[("grant_type", "client_credentials"), ("scope", "mail")])
        .await;
    let token = answer["access_token"]
        .as_str()
        .unwrap_or_else(|| panic!("{answer}"));
    let mut client = tls_client(dovecot.imaps_port, &dovecot.ca).await;
    assert!(
        client.xoauth2(USER, token).await.1.starts_with("t1 OK"),
        "{}",
        dovecot.log()
    );
}

async fn a_database_is_empty_and_of_this_test_alone(database: TestDatabase) {
    let other = TestDatabase::create(database.kind).await;
    assert_ne!(database.url, other.url);
    if let Some(postgres) = database.postgres() {
        assert_eq!(
            postgres.query("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"),
            "0"
        );
        assert_eq!(postgres.query("SHOW server_encoding"), "UTF8");
    } else {
        assert!(!std::path::Path::new(database.url.strip_prefix("sqlite:").unwrap()).exists());
    }
}
crate::on_each_database!(a_database_is_empty_and_of_this_test_alone);

#[tokio::test]
async fn the_scripted_imap_server_behaves_until_it_is_told_not_to() {
    let server = ScriptedImap::start(Security::Implicit, async |mut c: Connection| {
        c.greet().await?;
        let inbox = Inbox::with([2, 5, 7]);
        c.behave_until(&inbox, "UID FETCH").await?;
        c.raw(&super::scripted_imap::fetch_answer(&inbox, 0, "BODY.PEEK[]"))
            .await?;
        c.send("* 2 FETCH (UID 5 BODY[] {100}").await?;
        c.raw(b"cut here").await
    })
    .await;
    let mut client = tls_client(server.port, &server.ca).await;
    assert!(client.ask("CAPABILITY").await[0].contains("AUTH=XOAUTH2"));
    assert!(client.xoauth2(USER, "any").await.1.starts_with("t1 OK"));
    assert!(
        client
            .ask("SELECT INBOX")
            .await
            .contains(&"* 3 EXISTS".to_owned())
    );
    assert_eq!(client.ask("UID SEARCH UID 4:*").await[0], "* SEARCH 5 7");
    assert_eq!(
        client.ask("UID SEARCH UID 9:*").await[0],
        "* SEARCH 7",
        "the last one always matches"
    );
    client.say("t1 UID FETCH 2:7 (BODY.PEEK[])").await;
    let mut rest = Vec::new();
    // The end of TLS is missing as well, which is the point.
    let _ = client.0.read_to_end(&mut rest).await;
    assert!(String::from_utf8_lossy(&rest).ends_with("{100}\r\ncut here"));
    eventually("the script has ended", SOON, async || {
        (server.open_connections() == 0).then_some(())
    })
    .await;
    assert_eq!(server.commands("uid search").len(), 2);
    server.finish();
}

#[tokio::test]
async fn a_surprised_script_fails_the_test() {
    let server = ScriptedImap::start(Security::StartTls, async |mut c: Connection| {
        c.greet().await?;
        c.expect("STARTTLS").await?;
        c.starttls().await?;
        let login = c.expect("AUTHENTICATE").await?;
        assert_ne!(login.tag, "*");
        c.refuse_token(r#"{"status":"400"}"#, "NO [AUTHENTICATIONFAILED] no")
            .await
    })
    .await;
    let socket = TcpStream::connect(("127.0.0.1", server.port)).await.unwrap();
    let mut client = Client(BufReader::new(socket));
    client.line().await;
    assert_eq!(client.ask("STARTTLS").await, ["t1 OK begin TLS"]);
    let name = ServerName::try_from("localhost").unwrap();
    let tls = TlsConnector::from(server.ca.client_config());
    let mut client = Client(BufReader::new(
        tls.connect(name, client.0.into_inner()).await.unwrap(),
    ));
    let (challenge, answer) = client.xoauth2(USER, "x").await;
    assert_eq!(challenge.as_deref(), Some(r#"{"status":"400"}"#));
    assert_eq!(answer, "t1 NO [AUTHENTICATIONFAILED] no");

    let socket = TcpStream::connect(("127.0.0.1", server.port)).await.unwrap();
    let mut client = Client(BufReader::new(socket));
    client.line().await;
    client.say("t1 LOGIN a b").await;
    eventually("both scripts have ended", SOON, async || {
        (server.open_connections() == 0).then_some(())
    })
    .await;
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| server.finish())).unwrap_err();
    let text = panic.downcast_ref::<String>().unwrap();
    assert!(
        text.contains("expected STARTTLS, the client sent LOGIN a b"),
        "{text}"
    );
}

#[tokio::test]
async fn a_silent_script_ends_when_the_client_leaves() {
    let server = ScriptedImap::start(Security::None, async |mut c: Connection| {
        c.silence().await?;
        Err(Ended::ClientLeft)
    })
    .await;
    let socket = TcpStream::connect(("127.0.0.1", server.port)).await.unwrap();
    eventually("it connects", SOON, async || {
        (server.open_connections() == 1).then_some(())
    })
    .await;
    drop(socket);
    eventually("it ends", SOON, async || {
        (server.open_connections() == 0).then_some(())
    })
    .await;
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn the_scripted_web_server_answers_what_was_queued_and_remembers_what_was_asked() {
    let server = ScriptedHttp::start().await;
    server
        .answer(Answer::json(503, "{}").header("Retry-After", "7"))
        .answer(Answer::text(200, "text/html", "<html>"))
        .answer(Answer::raw(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\ncut"));
    let client = super::process::http();
    let ask = || {
        client
            .post(format!("{}/token?x=1", server.url))
            .form(&[("grant_type", "refresh_token")])
            .send()
    };
    let first = ask().await.unwrap();
    assert_eq!(
        (
            first.status().as_u16(),
            first.headers()["retry-after"].to_str().unwrap()
        ),
        (503, "7")
    );
    assert_eq!(ask().await.unwrap().text().await.unwrap(), "<html>");
    assert!(ask().await.unwrap().text().await.is_err(), "a cut answer");
    let requests = server.requests();
    assert_eq!((requests.len(), requests[0].target.as_str()), (3, "/token?x=1"));
    assert_eq!(requests[0].form("grant_type").as_deref(), Some("refresh_token"));
    assert_eq!(server.queued(), 0);
}

#[test]
fn made_up_mail_is_the_same_every_time_and_never_the_same_twice() {
    let mails: Vec<Vec<u8>> = (0..200).map(|number| Mail { seed: 1, number }.bytes()).collect();
    assert_eq!(mails[17], Mail { seed: 1, number: 17 }.bytes());
    let different: std::collections::BTreeSet<&Vec<u8>> = mails.iter().collect();
    assert_eq!(different.len(), 200);
    for mail in &mails {
        let text = String::from_utf8_lossy(mail);
        assert_eq!(
            text.matches('\n').count(),
            text.matches("\r\n").count(),
            "bare line feeds"
        );
        assert!(text.lines().all(|line| line.len() < 998));
    }
    assert_eq!(
        Mail { seed: 1, number: 9 }.answers(),
        Some(Mail { seed: 1, number: 8 })
    );
}

#[tokio::test]
async fn a_program_that_does_not_start_shows_its_log() {
    let mut mailgrant = Mailgrant::prepare(Settings::new().set("MAILGRANT_LISTEN", "nonsense"));
    mailgrant.spawn();
    eventually("it ends", Duration::from_secs(30), async || mailgrant.ended()).await;
    let started = tokio::spawn(async move { mailgrant.resume().await }).await;
    let panic = started.unwrap_err().into_panic();
    let text = panic.downcast_ref::<String>().unwrap();
    assert!(
        text.contains("mailgrant ended") && text.contains("its log:"),
        "{text}"
    );
}
