//! The layer against scripted servers: what Dovecot will not do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use secrecy::SecretString;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, duplex};
use tokio::task::JoinHandle;

use super::*;
use crate::net::Dialer;

/// One thing a scripted server does.
enum Do {
    /// Sends bytes; `{tag}` stands for the tag of the last command.
    Say(Vec<u8>),
    /// Reads one line.
    Hear,
    /// Reads one line and answers it OK.
    Agree,
    /// Stays connected and says nothing more until the client is gone.
    Hang,
}

fn say(text: impl AsRef<[u8]>) -> Do {
    Do::Say(text.as_ref().to_vec())
}

/// Starts a server that does this and then closes the connection. Its result is what it heard.
fn server(steps: Vec<Do>) -> (DuplexStream, JoinHandle<Vec<String>>) {
    let (client, io) = duplex(64 * 1024);
    let task = tokio::spawn(async move {
        let mut io = BufReader::new(io);
        let mut heard = Vec::new();
        let mut tag = String::new();
        for step in steps {
            match step {
                Do::Say(bytes) => {
                    let text = replace(&bytes, b"{tag}", tag.as_bytes());
                    if io.write_all(&text).await.is_err() {
                        break;
                    }
                }
                Do::Hear | Do::Agree => {
                    let mut line = String::new();
                    if io.read_line(&mut line).await.unwrap_or(0) == 0 {
                        break;
                    }
                    if line.starts_with('M') {
                        tag = line.split(' ').next().unwrap_or_default().to_owned();
                    }
                    heard.push(line.trim_end().to_owned());
                    if matches!(step, Do::Agree)
                        && io
                            .write_all(format!("{tag} OK done\r\n").as_bytes())
                            .await
                            .is_err()
                    {
                        break;
                    }
                }
                Do::Hang => {
                    let mut rest = String::new();
                    while io.read_line(&mut rest).await.unwrap_or(0) > 0 {}
                }
            }
        }
        heard
    });
    (client, task)
}

fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    // Only short texts hold a placeholder; long ones are copied as they are.
    while let Some(at) = (rest.len() < 4096)
        .then(|| rest.windows(from.len()).position(|w| w == from))
        .flatten()
    {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(to);
        rest = &rest[at + from.len()..];
    }
    out.extend_from_slice(rest);
    out
}

/// Limits whose times suit a test.
fn quick() -> Limits {
    Limits {
        silence: Duration::from_millis(150),
        command: Duration::from_secs(20),
        fetch: Duration::from_secs(20),
        rate_window: Duration::from_secs(10),
        ..Limits::default()
    }
}

const GREETING: &str = "* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=XOAUTH2] ready\r\n";
const SIGNED_IN: &str = "{tag} OK [CAPABILITY IMAP4rev1 IDLE MOVE UIDPLUS] in\r\n";

/// A session with a server that lets us in and then does this.
async fn session_with(limits: Limits, steps: Vec<Do>) -> (Session<DuplexStream>, JoinHandle<Vec<String>>) {
    let mut all = vec![say(GREETING), Do::Hear, say(SIGNED_IN)];
    all.extend(steps);
    let (stream, task) = server(all);
    let connection = Connection::open(stream, limits).await.unwrap();
    let session = connection
        .authenticate_xoauth2("u@example.com", &token())
        .await
        .unwrap();
    (session, task)
}

async fn session(steps: Vec<Do>) -> (Session<DuplexStream>, JoinHandle<Vec<String>>) {
    session_with(quick(), steps).await
}

fn token() -> SecretString {
    SecretString::from("token-1".to_owned())
}

fn meta(uid: u32, size: u32) -> Meta {
    Meta {
        uid,
        size,
        flags: vec![],
        internal_date_ms: None,
    }
}

async fn fetch(
    session: &mut Session<DuplexStream>,
    metas: &[Meta],
) -> (Result<FetchReport, ImapError>, Vec<Fetched>) {
    let mut mails = Vec::new();
    let report = session.fetch_raw(metas, |mail| mails.push(mail)).await;
    (report, mails)
}

fn hostile(error: &ImapError) -> bool {
    matches!(error, ImapError::Hostile { .. })
}

// ── greeting and login ──

#[tokio::test]
async fn a_server_that_sends_us_away_is_told_apart() {
    let (stream, _) = server(vec![say(
        "* BYE [UNAVAILABLE] Too many simultaneous connections\r\n",
    )]);
    let error = Connection::open(stream, quick()).await.unwrap_err();
    assert_eq!(
        error,
        ImapError::Bye {
            code: Some("UNAVAILABLE".into()),
            text: "Too many simultaneous connections".into()
        }
    );
    assert!(error.is_throttle() && error.is_transient() && !error.is_auth());
}

#[tokio::test]
async fn a_greeting_that_claims_we_are_signed_in_is_refused() {
    let (stream, _) = server(vec![say("* PREAUTH welcome back\r\n"), Do::Hang]);
    assert_eq!(
        Connection::open(stream, quick()).await.unwrap_err(),
        ImapError::Preauth
    );
}

#[tokio::test]
async fn what_is_not_imap_and_what_says_nothing_is_told_apart() {
    let (stream, _) = server(vec![say("HTTP/1.1 400 Bad Request\r\n\r\n"), Do::Hang]);
    assert!(matches!(
        Connection::open(stream, quick()).await.unwrap_err(),
        ImapError::Protocol(_)
    ));
    let (stream, _) = server(vec![Do::Hang]);
    assert!(matches!(
        Connection::open(stream, quick()).await.unwrap_err(),
        ImapError::Timeout { .. }
    ));
    let (stream, _) = server(vec![]);
    assert_eq!(
        Connection::open(stream, quick()).await.unwrap_err(),
        ImapError::Eof
    );
}

#[tokio::test]
async fn the_token_goes_with_the_command_when_the_server_allows_it() {
    let (session, task) = session(vec![]).await;
    drop(session);
    let heard = task.await.unwrap();
    // base64 of "user=u@example.com\x01auth=Bearer token-1\x01\x01"
    assert_eq!(
        heard,
        ["M1 AUTHENTICATE XOAUTH2 dXNlcj11QGV4YW1wbGUuY29tAWF1dGg9QmVhcmVyIHRva2VuLTEBAQ=="]
    );
}

#[tokio::test]
async fn without_initial_response_the_token_waits_for_the_server() {
    let (stream, task) = server(vec![
        say("* OK hello\r\n"),
        Do::Hear,
        say("* CAPABILITY IMAP4rev1 AUTH=XOAUTH2\r\n{tag} OK\r\n"),
        Do::Hear,
        say("+ \r\n"),
        Do::Hear,
        say("{tag} OK in\r\n"),
    ]);
    let connection = Connection::open(stream, quick()).await.unwrap();
    connection
        .authenticate_xoauth2("u@example.com", &token())
        .await
        .unwrap();
    let heard = task.await.unwrap();
    assert_eq!(heard[0], "M1 CAPABILITY");
    assert_eq!(heard[1], "M2 AUTHENTICATE XOAUTH2");
    assert!(heard[2].starts_with("dXNlcj11"), "{heard:?}");
}

#[tokio::test]
async fn a_refusal_in_two_steps_is_answered_with_an_empty_line_and_its_reason_kept() {
    for (offer, first) in [
        ("SASL-IR AUTH=XOAUTH2", vec![]),
        ("AUTH=XOAUTH2", vec![say("+ \r\n"), Do::Hear]),
    ] {
        let mut steps = vec![
            say(format!("* OK [CAPABILITY IMAP4rev1 {offer}] hi\r\n")),
            Do::Hear,
        ];
        steps.extend(first);
        // {"status":"401","schemes":"bearer mac","scope":"https://mail.google.com/"}
        steps.push(say(
            "+ eyJzdGF0dXMiOiI0MDEiLCJzY2hlbWVzIjoiYmVhcmVyIG1hYyIsInNjb3BlIjoiaHR0cHM6Ly9tYWlsLmdvb2dsZS5jb20vIn0=\r\n",
        ));
        steps.extend([
            Do::Hear,
            say("{tag} NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)\r\n"),
            Do::Hang,
        ]);
        let (stream, task) = server(steps);
        let connection = Connection::open(stream, quick()).await.unwrap();
        let error = connection
            .authenticate_xoauth2("u@example.com", &token())
            .await
            .unwrap_err();
        assert!(error.is_auth() && !error.is_throttle());
        let ImapError::AuthRejected {
            challenge,
            code,
            text,
        } = error
        else {
            panic!("{error:?}")
        };
        assert_eq!(
            challenge.as_deref(),
            Some(r#"{"status":"401","schemes":"bearer mac","scope":"https://mail.google.com/"}"#)
        );
        assert_eq!(code.as_deref(), Some("AUTHENTICATIONFAILED"));
        assert_eq!(text, "Invalid credentials (Failure)");
        assert_eq!(task.await.unwrap().last().map(String::as_str), Some(""));
    }
}

#[tokio::test]
async fn a_plain_refusal_is_a_rejection_and_a_busy_server_is_not() {
    let refused = |line: &'static str| async move {
        let (stream, _) = server(vec![say(GREETING), Do::Hear, say(line), Do::Hang]);
        let connection = Connection::open(stream, quick()).await.unwrap();
        connection
            .authenticate_xoauth2("u@example.com", &token())
            .await
            .unwrap_err()
    };
    let error = refused("{tag} NO AUTHENTICATE failed.\r\n").await;
    assert_eq!(
        error,
        ImapError::AuthRejected {
            challenge: None,
            code: None,
            text: "AUTHENTICATE failed.".into()
        }
    );
    for busy in [
        "{tag} NO [UNAVAILABLE] Temporary authentication failure\r\n",
        "{tag} NO [LIMIT] slow down\r\n",
        "{tag} NO [ALERT] Too many simultaneous connections. (Failure)\r\n",
    ] {
        let error = refused(busy).await;
        assert!(
            error.is_throttle() && !error.is_auth() && error.code() == "imap_throttled",
            "{error:?}"
        );
    }
    let error = refused("{tag} BAD User is authenticated but not connected.\r\n").await;
    assert_eq!(
        error,
        ImapError::Bad {
            text: "User is authenticated but not connected.".into()
        }
    );
}

#[tokio::test]
async fn a_server_that_never_stops_asking_is_left() {
    let mut steps = vec![say(GREETING), Do::Hear];
    steps.extend((0..50).flat_map(|_| [say("+ Z28gb24=\r\n"), Do::Hear]));
    let (stream, _) = server(steps);
    let connection = Connection::open(stream, quick()).await.unwrap();
    let error = connection
        .authenticate_xoauth2("u@example.com", &token())
        .await
        .unwrap_err();
    assert!(matches!(error, ImapError::Protocol(_)), "{error:?}");
}

#[tokio::test]
async fn a_login_name_cannot_carry_another_field() {
    let (stream, task) = server(vec![say(GREETING), Do::Hang]);
    let connection = Connection::open(stream, quick()).await.unwrap();
    let error = connection
        .authenticate_xoauth2("u\u{1}auth=Bearer x", &token())
        .await
        .unwrap_err();
    assert_eq!(error, ImapError::InvalidArgument("login name"));
    assert!(task.await.unwrap().is_empty());
}

#[tokio::test]
async fn a_server_without_xoauth2_gets_no_token() {
    let (stream, task) = server(vec![
        say("* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] hi\r\n"),
        Do::Hang,
    ]);
    let connection = Connection::open(stream, quick()).await.unwrap();
    let error = connection
        .authenticate_xoauth2("u@example.com", &token())
        .await
        .unwrap_err();
    assert_eq!(error, ImapError::Unsupported("AUTH=XOAUTH2"));
    assert!(task.await.unwrap().is_empty());
}

#[tokio::test]
async fn bytes_slipped_in_after_starttls_end_the_connection() {
    let greeting = "* OK [CAPABILITY IMAP4rev1 STARTTLS] hi\r\n";
    for injected in ["* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n", "x", "M2 OK fine\r\n"] {
        let (stream, _) = server(vec![
            say(greeting),
            Do::Hear,
            say(format!("{{tag}} OK go\r\n{injected}")),
            Do::Hang,
        ]);
        let connection = Connection::open(stream, quick()).await.unwrap();
        let error = connection.starttls().await.unwrap_err();
        assert!(hostile(&error), "{injected}: {error:?}");
    }
    let (stream, _) = server(vec![say(greeting), Do::Agree, Do::Hang]);
    assert!(
        Connection::open(stream, quick())
            .await
            .unwrap()
            .starttls()
            .await
            .is_ok()
    );
    let (stream, task) = server(vec![say(GREETING), Do::Hang]);
    let error = Connection::open(stream, quick())
        .await
        .unwrap()
        .starttls()
        .await
        .unwrap_err();
    assert_eq!(error, ImapError::Unsupported("STARTTLS"));
    assert!(task.await.unwrap().is_empty());
}

// ── folders ──

#[tokio::test]
async fn folders_are_listed_with_readable_names_and_their_use() {
    let (mut session, _) = session(vec![
        Do::Hear,
        say("* LIST (\\HasNoChildren) \"/\" INBOX\r\n\
             * LIST (\\HasNoChildren \\Drafts) \"/\" \"Entw&APw-rfe\"\r\n\
             * LIST (\\Noselect \\HasChildren) \"/\" \"[Gmail]\"\r\n\
             * LIST (\\NonExistent) NIL Gone\r\n\
             * LIST () \"/\" {11}\r\nwith \"quote\r\n\
             {tag} OK\r\n"),
    ])
    .await;
    let folders = session.list_folders().await.unwrap();
    let names: Vec<&str> = folders.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(names, ["INBOX", "Entwürfe", "[Gmail]", "Gone", "with \"quote"]);
    assert_eq!(folders[1].special_use, Some(SpecialUse::Drafts));
    assert_eq!(folders[1].raw_name, "Entw&APw-rfe");
    let selectable: Vec<bool> = folders.iter().map(|f| f.selectable).collect();
    assert_eq!(selectable, [true, true, false, false, true]);
    assert_eq!(folders[3].delimiter, None);
}

#[tokio::test]
async fn opening_a_folder_tells_its_epoch() {
    let (mut session, task) = session(vec![
        Do::Hear,
        say(
            "* 3 EXISTS\r\n* FLAGS (\\Seen \\Deleted)\r\n* OK [PERMANENTFLAGS ()] no\r\n\
             * OK [UIDVALIDITY 1700000000] UIDs valid\r\n* OK [UIDNEXT 42] next\r\n\
             * OK [HIGHESTMODSEQ 7] mod\r\n{tag} OK [READ-ONLY] done\r\n",
        ),
    ])
    .await;
    let selected = session.select("Entwürfe & \"mehr\\", true).await.unwrap();
    assert_eq!(
        selected,
        Selected {
            exists: 3,
            uid_validity: Some(1_700_000_000),
            uid_next: Some(42),
            uid_not_sticky: false,
            read_only: true
        }
    );
    drop(session);
    assert_eq!(task.await.unwrap()[1], r#"M2 EXAMINE "Entw&APw-rfe &- \"mehr\\""#);
}

#[tokio::test]
async fn a_folder_name_cannot_carry_a_command() {
    let (mut session, task) = session(vec![Do::Hang]).await;
    for name in [
        "INBOX\r\nM9 DELETE INBOX",
        "a\nb",
        "a\0b",
        "a\u{1}b",
        "a\u{7f}b",
        "",
        "a\u{85}b",
    ] {
        assert_eq!(
            session.select(name, false).await.unwrap_err(),
            ImapError::InvalidArgument("folder name")
        );
        let moved = session.move_uids(&[1], name).await.unwrap_err();
        assert_eq!(moved, ImapError::InvalidArgument("folder name"));
    }
    assert!(session.is_usable());
    drop(session);
    assert_eq!(task.await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_missing_folder_is_a_refusal_that_leaves_the_session_usable() {
    for answer in [
        "{tag} NO [NONEXISTENT] Unknown Mailbox: Sent (Failure)\r\n",
        "{tag} NO [TRYCREATE] first\r\n",
        "{tag} NO Mailbox doesn't exist: Sent (0.001 + 0.000 secs).\r\n",
        "{tag} NO Sent doesn't exist.\r\n",
    ] {
        let (mut session, _) = session(vec![Do::Hear, say(answer), Do::Agree]).await;
        let error = session.select("Sent", false).await.unwrap_err();
        assert_eq!(error.code(), "imap_folder_missing", "{answer}");
        assert!(session.is_usable());
        session.noop().await.unwrap();
    }
}

// ── searching ──

#[tokio::test]
async fn the_last_mail_of_an_open_range_is_not_taken_for_a_new_one() {
    let (mut session, task) = session(vec![
        Do::Hear,
        say("* SEARCH 41\r\n{tag} OK\r\n"),
        Do::Hear,
        say("* SEARCH 44 42 43 42\r\n{tag} OK\r\n"),
    ])
    .await;
    assert_eq!(
        session.search_uids(42, SearchFilter::All).await.unwrap(),
        Vec::<u32>::new()
    );
    let day = chrono::NaiveDate::from_ymd_opt(2026, 3, 5).unwrap();
    assert_eq!(
        session.search_uids(42, SearchFilter::Since(day)).await.unwrap(),
        [42, 43, 44]
    );
    drop(session);
    let heard = task.await.unwrap();
    assert_eq!(heard[1], "M2 UID SEARCH UID 42:*");
    assert_eq!(heard[2], "M3 UID SEARCH UID 42:* SINCE 5-Mar-2026");
}

#[tokio::test]
async fn a_search_that_is_cut_off_is_an_error_and_not_an_empty_folder() {
    for answer in ["", "* SEARCH 1 2", "* SEARCH 1 2\r\n", "* SEARCH\r\n"] {
        let (mut session, _) = session(vec![Do::Hear, say(answer)]).await;
        assert_eq!(
            session.search_uids(1, SearchFilter::All).await.unwrap_err(),
            ImapError::Eof,
            "{answer:?}"
        );
        assert!(!session.is_usable());
    }
}

#[tokio::test]
async fn a_search_answer_longer_than_any_line_may_be_is_read_whole() {
    let uids: Vec<u32> = (1..=100_000).map(|n| n * 7).collect();
    let text: Vec<String> = uids.iter().map(u32::to_string).collect();
    let line = format!("* SEARCH {}\r\n", text.join(" "));
    assert!(line.len() > 600_000);
    let (mut session, _) = session(vec![Do::Hear, say(line), say("{tag} OK\r\n")]).await;
    assert_eq!(session.search_uids(1, SearchFilter::All).await.unwrap(), uids);
}

#[tokio::test]
async fn an_endless_search_answer_is_cut() {
    let limits = Limits {
        search: 100_000,
        ..quick()
    };
    let (mut session, _) = session_with(
        limits,
        vec![Do::Hear, say(format!("* SEARCH{}", " 1".repeat(300_000)))],
    )
    .await;
    assert!(hostile(
        &session.search_uids(1, SearchFilter::All).await.unwrap_err()
    ));
}

// ── fetching ──

#[tokio::test]
async fn mails_arrive_whole_with_their_date_and_flags() {
    let (mut session, task) = session(vec![
        Do::Hear,
        say(
            "* 1 FETCH (UID 5 FLAGS (\\Seen $Label) INTERNALDATE \"17-Jul-1996 02:44:25 -0700\" RFC822.SIZE 14 \
             BODY[] {14}\r\nSubject: a\r\n\r\n)\r\n\
             * 9 EXISTS\r\n\
             * 3 FETCH (FLAGS (\\Answered) UID 7)\r\n\
             * 2 FETCH (BODY[] \"short\" UID 6 RFC822.SIZE 5 INTERNALDATE NIL FLAGS ())\r\n\
             * 3 FETCH (UID 7 RFC822.SIZE 0 FLAGS () INTERNALDATE \" 1-Jan-1970 00:00:00 +0000\" BODY[] {0}\r\n)\r\n\
             {tag} OK\r\n",
        ),
    ])
    .await;
    let (report, mails) = fetch(&mut session, &[meta(5, 14), meta(6, 5), meta(7, 0)]).await;
    assert_eq!(
        report.unwrap(),
        FetchReport {
            fetched: 3,
            ..FetchReport::default()
        }
    );
    assert_eq!(mails[0].raw, b"Subject: a\r\n\r\n");
    assert_eq!(mails[0].flags, ["\\Seen", "$Label"]);
    assert_eq!(mails[0].internal_date_ms, Some(837_596_665_000));
    assert_eq!(
        (mails[1].raw.as_slice(), mails[1].internal_date_ms),
        (&b"short"[..], None)
    );
    assert_eq!(
        (mails[2].raw.as_slice(), mails[2].internal_date_ms),
        (&b""[..], Some(0))
    );
    drop(session);
    assert_eq!(
        task.await.unwrap()[1],
        "M2 UID FETCH 5:7 (UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])"
    );
}

#[tokio::test]
async fn a_mail_full_of_imap_is_only_a_mail() {
    let mail = format!(
        "{}\r\n* BYE\r\nM2 OK done\r\n* 1 FETCH (BODYSTRUCTURE {}{{9}}\r\n\u{1}0\"",
        "(".repeat(9_000),
        "(".repeat(9_000)
    );
    let answer = format!("* 1 FETCH (UID 5 BODY[] {{{}}}\r\n{mail})\r\n", mail.len());
    let (mut session, _) = session(vec![Do::Hear, say(answer), say("{tag} OK\r\n"), Do::Agree]).await;
    let (report, mails) = fetch(&mut session, &[meta(5, 100)]).await;
    assert_eq!(report.unwrap().fetched, 1);
    assert_eq!(mails[0].raw, mail.as_bytes());
    session.noop().await.unwrap();
}

#[tokio::test]
async fn no_to_a_fetch_is_an_error_and_not_an_empty_batch() {
    let (mut session, _) = session(vec![
        Do::Hear,
        say("{tag} NO [LIMIT] Bandwidth exceeded\r\n"),
        Do::Hang,
    ])
    .await;
    let (report, mails) = fetch(&mut session, &[meta(5, 10)]).await;
    let error = report.unwrap_err();
    assert_eq!(
        error,
        ImapError::No {
            code: Some("LIMIT".into()),
            text: "Bandwidth exceeded".into()
        }
    );
    assert!(error.is_throttle());
    assert!(mails.is_empty());
}

#[tokio::test]
async fn the_end_of_the_stream_between_two_mails_is_an_error() {
    let one = "* 1 FETCH (UID 5 BODY[] {3}\r\nabc)\r\n";
    for rest in [
        "",
        "* 2 FETCH (UID 6 ",
        "* 2 FETCH (UID 6 BODY[] {3}\r\nab",
        "* 2 FETCH (UID 6 BODY[] {3}\r\nabc",
    ] {
        let (mut session, _) = session(vec![Do::Hear, say(format!("{one}{rest}"))]).await;
        let (report, mails) = fetch(&mut session, &[meta(5, 3), meta(6, 3)]).await;
        assert_eq!(report.unwrap_err(), ImapError::Eof, "{rest:?}");
        assert_eq!(mails.iter().map(|m| m.uid).collect::<Vec<_>>(), [5]);
        assert!(!session.is_usable());
    }
}

#[tokio::test]
async fn a_good_bye_in_the_middle_is_told() {
    let (mut session, _) = session(vec![
        Do::Hear,
        say("* 1 FETCH (UID 5 BODY[] {3}\r\nabc)\r\n* BYE shutting down\r\n"),
    ])
    .await;
    let (report, mails) = fetch(&mut session, &[meta(5, 3), meta(6, 3)]).await;
    assert_eq!(
        report.unwrap_err(),
        ImapError::Bye {
            code: None,
            text: "shutting down".into()
        }
    );
    assert_eq!(mails.len(), 1);
    assert_eq!(session.noop().await.unwrap_err(), ImapError::Eof);
}

#[tokio::test]
async fn a_mail_that_is_gone_is_told_apart_from_one_that_is_withheld() {
    let (mut session, task) = session(vec![
        Do::Hear,
        say("* 1 FETCH (UID 5 BODY[] {3}\r\nabc)\r\n* 2 FETCH (UID 6 BODY[] NIL)\r\n{tag} OK\r\n"),
        Do::Hear,
        say("* 2 FETCH (UID 6 FLAGS () INTERNALDATE \"01-Jan-2026 00:00:00 +0000\" RFC822.SIZE 3)\r\n{tag} OK\r\n"),
    ])
    .await;
    let (report, _) = fetch(&mut session, &[meta(5, 3), meta(6, 3), meta(8, 3)]).await;
    let expected = FetchReport {
        fetched: 1,
        vanished: vec![8],
        unreadable: vec![6],
        too_large: vec![],
    };
    assert_eq!(report.unwrap(), expected);
    drop(session);
    assert_eq!(
        task.await.unwrap()[2],
        "M3 UID FETCH 6,8 (UID FLAGS INTERNALDATE RFC822.SIZE)"
    );
}

#[tokio::test]
async fn a_large_mail_comes_in_pieces_and_one_above_the_maximum_not_at_all() {
    let limits = Limits {
        chunk: 4,
        max_message: 12,
        ..quick()
    };
    let (mut session, task) = session_with(
        limits,
        vec![
            Do::Hear,
            say("* 1 FETCH (UID 5 BODY[]<0> {4}\r\nabcd)\r\n{tag} OK\r\n"),
            Do::Hear,
            say("* 1 FETCH (UID 5 BODY[]<4> {4}\r\nefgh)\r\n{tag} OK\r\n"),
            Do::Hear,
            say("* 1 FETCH (UID 5 BODY[]<8> {1}\r\ni)\r\n{tag} OK\r\n"),
        ],
    )
    .await;
    let (report, mails) = fetch(&mut session, &[meta(5, 9), meta(6, 13)]).await;
    assert_eq!(
        report.unwrap(),
        FetchReport {
            fetched: 1,
            too_large: vec![6],
            ..FetchReport::default()
        }
    );
    assert_eq!(mails[0].raw, b"abcdefghi");
    drop(session);
    assert_eq!(task.await.unwrap()[2], "M3 UID FETCH 5 (UID BODY.PEEK[]<4.4>)");
}

#[tokio::test]
async fn a_large_mail_whose_announced_size_is_too_small_is_still_whole() {
    let limits = Limits { chunk: 4, ..quick() };
    let (mut session, _) = session_with(
        limits,
        vec![
            Do::Hear,
            say("* 1 FETCH (UID 5 BODY[]<0> {4}\r\nabcd)\r\n{tag} OK\r\n"),
            Do::Hear,
            say("* 1 FETCH (UID 5 BODY[]<4> {4}\r\nefgh)\r\n{tag} OK\r\n"),
            Do::Hear,
            say("* 1 FETCH (UID 5 BODY[]<8> \"\")\r\n{tag} OK\r\n"),
        ],
    )
    .await;
    let (_, mails) = fetch(&mut session, &[meta(5, 5)]).await;
    assert_eq!((mails[0].raw.as_slice(), mails[0].size), (&b"abcdefgh"[..], 5));
}

#[tokio::test]
async fn a_large_mail_that_vanishes_between_two_pieces_is_not_stored_short() {
    let limits = Limits { chunk: 4, ..quick() };
    let (mut session, _) = session_with(
        limits,
        vec![
            Do::Hear,
            say("* 1 FETCH (UID 5 BODY[]<0> {4}\r\nabcd)\r\n{tag} OK\r\n"),
            Do::Agree,
            Do::Agree,
        ],
    )
    .await;
    let (report, mails) = fetch(&mut session, &[meta(5, 9)]).await;
    assert_eq!(report.unwrap().vanished, [5]);
    assert!(mails.is_empty());
}

#[tokio::test]
async fn sizes_and_flags_spread_over_several_answers_are_put_together() {
    let (mut session, _) = session(vec![
        Do::Hear,
        say("* 1 FETCH (UID 5 RFC822.SIZE 10 INTERNALDATE \"01-Jan-2026 00:00:00 +0000\" FLAGS ())\r\n\
             * 1 FETCH (UID 5 FLAGS (\\Seen))\r\n* 9 FETCH (UID 99 RFC822.SIZE 1)\r\n* 2 FETCH (FLAGS ())\r\n{tag} OK\r\n"),
    ])
    .await;
    let metas = session.fetch_meta(&[6, 5]).await.unwrap();
    assert_eq!(
        metas,
        [Meta {
            uid: 5,
            size: 10,
            flags: vec!["\\Seen".into()],
            internal_date_ms: Some(1_767_225_600_000)
        }]
    );
}

#[tokio::test]
async fn the_header_for_the_connection_test_is_read_past_the_parser() {
    let (mut session, _) = session(vec![
        Do::Hear,
        say("* 3 FETCH (UID 5 BODY[HEADER.FIELDS (DATE FROM SUBJECT)] {16}\r\nSubject: (((\r\n\r\n)\r\n{tag} OK\r\n"),
    ])
    .await;
    assert_eq!(
        session.fetch_subject_of(5).await.unwrap().unwrap(),
        b"Subject: (((\r\n\r\n"
    );
}

// ── changing ──

#[tokio::test]
async fn mails_are_moved_in_one_step_or_copied_and_expunged_by_uid_or_not_at_all() {
    let (mut session, task) = session(vec![Do::Agree, Do::Agree]).await;
    session.mark_seen(&[3, 1, 2, 9]).await.unwrap();
    session.move_uids(&[1, 2], "Done").await.unwrap();
    drop(session);
    let heard = task.await.unwrap();
    assert_eq!(heard[1], "M2 UID STORE 1:3,9 +FLAGS.SILENT (\\Seen)");
    assert_eq!(heard[2], "M3 UID MOVE 1:2 \"Done\"");

    let signed_in = |offer: &str| {
        vec![
            say(GREETING),
            Do::Hear,
            say(format!("{{tag}} OK [CAPABILITY IMAP4rev1 {offer}] in\r\n")),
            Do::Agree,
            Do::Agree,
            Do::Agree,
        ]
    };
    let (stream, task) = server(signed_in("UIDPLUS"));
    let connection = Connection::open(stream, quick()).await.unwrap();
    let mut session = connection.authenticate_xoauth2("u", &token()).await.unwrap();
    session.move_uids(&[4], "Done").await.unwrap();
    drop(session);
    let heard = task.await.unwrap();
    assert_eq!(
        heard[1..],
        [
            "M2 UID COPY 4 \"Done\"",
            "M3 UID STORE 4 +FLAGS.SILENT (\\Deleted)",
            "M4 UID EXPUNGE 4"
        ]
    );

    let (stream, task) = server(signed_in("NAMESPACE"));
    let connection = Connection::open(stream, quick()).await.unwrap();
    let mut session = connection.authenticate_xoauth2("u", &token()).await.unwrap();
    assert!(matches!(
        session.move_uids(&[4], "Done").await.unwrap_err(),
        ImapError::Unsupported(_)
    ));
    drop(session);
    assert_eq!(task.await.unwrap().len(), 1);
}

// ── waiting ──

#[tokio::test]
async fn new_mail_ends_the_wait() {
    let (mut session, task) = session(vec![
        Do::Hear,
        say("* 2 EXISTS\r\n{tag} OK\r\n"),
        Do::Hear,
        say("* 2 EXISTS\r\n+ idling\r\n* OK Still here\r\n* 1 EXPUNGE\r\n* 2 EXISTS\r\n"),
        Do::Hear,
        say("{tag} OK\r\n"),
        Do::Agree,
    ])
    .await;
    session.select("INBOX", false).await.unwrap();
    let outcome = session
        .idle(Duration::from_secs(10), std::future::pending())
        .await
        .unwrap();
    assert_eq!(outcome, IdleOutcome::NewMail);
    session.noop().await.unwrap();
    drop(session);
    let heard = task.await.unwrap();
    assert_eq!(heard[2..], ["M3 IDLE", "DONE", "M4 NOOP"]);
}

#[tokio::test]
async fn the_wait_ends_in_time_or_when_asked_and_mail_that_crosses_the_end_counts() {
    let waiting = |answer: &'static str| vec![Do::Hear, say("+ idling\r\n"), Do::Hear, say(answer)];
    let (mut session, _) = self::session(waiting("{tag} OK\r\n")).await;
    let outcome = session
        .idle(Duration::from_millis(20), std::future::pending())
        .await
        .unwrap();
    assert_eq!(outcome, IdleOutcome::Timeout);

    let (mut session, _) = self::session(waiting("{tag} OK\r\n")).await;
    let outcome = session
        .idle(Duration::from_secs(10), std::future::ready(()))
        .await
        .unwrap();
    assert_eq!(outcome, IdleOutcome::Cancelled);

    let (mut session, _) = self::session(waiting("* 7 EXISTS\r\n{tag} OK\r\n")).await;
    let outcome = session
        .idle(Duration::from_millis(20), std::future::pending())
        .await
        .unwrap();
    assert_eq!(outcome, IdleOutcome::NewMail);
}

#[tokio::test]
async fn a_server_that_refuses_idle_is_polled_from_then_on() {
    for answer in ["{tag} BAD unknown command\r\n", "{tag} NO not now\r\n"] {
        let (mut session, _) = session(vec![Do::Hear, say(answer), Do::Agree]).await;
        let outcome = session
            .idle(Duration::from_secs(10), std::future::pending())
            .await
            .unwrap();
        assert!(matches!(outcome, IdleOutcome::Refused { .. }), "{outcome:?}");
        assert!(!session.capabilities().await.unwrap().idle());
        session.noop().await.unwrap();
    }
}

#[tokio::test]
async fn a_connection_that_dies_during_the_wait_is_an_error() {
    let (mut session, _) = session(vec![Do::Hear, say("+ idling\r\n")]).await;
    let error = session
        .idle(Duration::from_secs(10), std::future::pending())
        .await
        .unwrap_err();
    assert_eq!(error, ImapError::Eof);

    let (mut session, _) = self::session(vec![Do::Hear, say("+ idling\r\n* BYE timeout\r\n")]).await;
    let error = session
        .idle(Duration::from_secs(10), std::future::pending())
        .await
        .unwrap_err();
    assert!(matches!(error, ImapError::Bye { .. }));
}

// ── hostile servers ──

/// What a session says to one command answered like this.
async fn answered(limits: Limits, answer: impl AsRef<[u8]>) -> ImapError {
    let (mut session, _) = session_with(limits, vec![Do::Hear, say(answer), Do::Hang]).await;
    session.noop().await.unwrap_err()
}

#[tokio::test]
async fn parentheses_that_would_overflow_the_parsers_stack_never_reach_it() {
    for depth in [16, 60, 65, 400, 100_000] {
        let bomb = format!("* 1 FETCH (UID 1 BODYSTRUCTURE {}\r\n", "(".repeat(depth));
        assert_eq!(
            answered(quick(), bomb).await,
            ImapError::Hostile {
                what: "too many parentheses"
            }
        );
    }
}

#[tokio::test]
async fn the_deepest_nesting_that_passes_fits_the_stack() {
    let nested = format!("{}{}", "(".repeat(15), ")".repeat(15));
    let answer = format!("* 1 FETCH (UID 1 BODYSTRUCTURE {nested})\r\n{{tag}} OK\r\n");
    let (mut session, _) = session(vec![Do::Hear, say(answer)]).await;
    let error = session.noop().await.unwrap_err();
    assert!(matches!(error, ImapError::Protocol(_)), "{error:?}");
}

#[tokio::test]
async fn no_trick_with_quotes_and_literals_hides_parentheses_from_the_guard() {
    let bomb = "(".repeat(3_000);
    let tricks = [
        // A status text is no place for a literal.
        format!("* OK hello {{90000}}\r\n* 1 FETCH (UID 1 BODYSTRUCTURE {bomb}"),
        // The parser takes these announcements for parts of words and lists.
        format!("* 1 FETCH (FOO bar{{90000}}\r\n BODYSTRUCTURE {bomb}"),
        format!("* 1 FETCH (FOO (abc {{90000}}\r\n) BODYSTRUCTURE {bomb}"),
        format!("* 1 FETCH (FOO a\"b BAR (c\" BODY[] {{90000}}\r\n) BODYSTRUCTURE {bomb}"),
        // Quotes that only one side believes in.
        format!("* 1 FETCH (FOO X\"Y BODYSTRUCTURE {bomb}"),
        format!("* 1 FETCH (FOO \"\\\" BODYSTRUCTURE {bomb}"),
        // In a short literal, and in one that is allowed.
        format!("* 1 FETCH (FOO {{3}}\r\n({bomb}"),
        format!("* 1 FETCH (BODY[] {{3000}}\r\n{bomb} BODYSTRUCTURE {bomb}"),
    ];
    for trick in tricks {
        // Long enough in all that even a literal of 90,000 bytes is complete.
        let answer = format!("{trick}{}\r\n{{tag}} OK\r\n", " ".repeat(100_000));
        let error = answered(quick(), answer).await;
        assert!(
            hostile(&error) || matches!(error, ImapError::Protocol(_)),
            "{error:?}: {}",
            &trick[..40]
        );
    }
}

#[tokio::test]
async fn a_server_cannot_forge_the_guards_marker() {
    assert!(hostile(
        &answered(quick(), "* 1 FETCH (UID 1 BODY[] \"\u{1}0\")\r\n").await
    ));
}

#[tokio::test]
async fn a_literal_larger_than_announced_for_the_command_is_refused_before_it_is_read() {
    for size in [5_000_000u64, 500_000_000, 4_294_967_290, u64::MAX] {
        let error = answered(quick(), format!("* 1 FETCH (UID 1 BODY[] {{{size}}}\r\nabc")).await;
        assert_eq!(error, ImapError::TooLarge { bytes: size });
    }
    let absurd = format!("* 1 FETCH (UID 1 BODY[] {{{}}}\r\n", "9".repeat(40));
    assert!(hostile(&answered(quick(), absurd).await));
    let many = format!("* 1 FETCH (UID 1{})\r\n", " X {1}\r\na".repeat(17));
    assert!(hostile(&answered(quick(), many).await));
}

#[tokio::test]
async fn an_endless_line_is_cut() {
    assert_eq!(
        answered(quick(), "x".repeat(200_000)).await,
        ImapError::Hostile {
            what: "an endless line"
        }
    );
    let quoted = format!("* LIST () \"/\" \"{}", "a".repeat(200_000));
    assert_eq!(
        answered(quick(), quoted).await,
        ImapError::Hostile {
            what: "an endless line"
        }
    );
}

#[tokio::test]
async fn millions_of_untagged_answers_are_cut() {
    let flood = "* 1 EXISTS\r\n".repeat(3_000_000);
    let error = answered(quick(), flood).await;
    assert_eq!(
        error,
        ImapError::Hostile {
            what: "too many answers to one command"
        }
    );
}

#[tokio::test]
async fn silence_drip_and_delay_each_end_in_time() {
    assert_eq!(
        answered(quick(), "").await,
        ImapError::Timeout {
            what: "a sign of life"
        }
    );
    assert_eq!(
        answered(quick(), "* OK wait").await,
        ImapError::Timeout {
            what: "a sign of life"
        }
    );

    // One line every 20 ms: never silent, never done.
    let limits = Limits {
        command: Duration::from_millis(300),
        ..quick()
    };
    assert_eq!(
        dripping(limits, b"* OK still busy\r\n").await,
        ImapError::Timeout {
            what: "a sign of life"
        }
    );

    // One byte every 20 ms of a line that never ends.
    let limits = Limits {
        rate_window: Duration::from_millis(200),
        ..quick()
    };
    assert_eq!(
        dripping(limits, b"x").await,
        ImapError::Timeout {
            what: "a dripping answer"
        }
    );
}

/// What a session says to a server that repeats this every 20 ms.
async fn dripping(limits: Limits, drop: &'static [u8]) -> ImapError {
    let (client, io) = duplex(1024);
    let gone = Arc::new(AtomicBool::new(false));
    let stop = gone.clone();
    let task = tokio::spawn(async move {
        let mut io = BufReader::new(io);
        let mut line = String::new();
        io.write_all(GREETING.as_bytes()).await.unwrap();
        io.read_line(&mut line).await.unwrap();
        io.write_all(b"M1 OK [CAPABILITY IMAP4rev1] in\r\n")
            .await
            .unwrap();
        io.read_line(&mut line).await.unwrap();
        while !stop.load(Ordering::SeqCst) && io.write_all(drop).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let connection = Connection::open(client, limits).await.unwrap();
    let mut session = connection.authenticate_xoauth2("u", &token()).await.unwrap();
    let error = session.noop().await.unwrap_err();
    gone.store(true, Ordering::SeqCst);
    task.await.unwrap();
    error
}

#[tokio::test]
async fn odd_input_that_makes_the_parser_panic_ends_only_the_connection() {
    for odd in [
        "* OK [ALERT]\u{e9}\u{e9}\r\n",
        "* 1 FETCH (INTERNALDATE  NIL)\r\n",
    ] {
        let error = answered(quick(), odd).await;
        assert!(matches!(error, ImapError::Protocol(_)), "{error:?}");
    }
}

#[tokio::test]
async fn extensions_nobody_asked_for_are_passed_over() {
    let (mut session, _) = session(vec![
        Do::Hear,
        say(
            "* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n* ESEARCH (TAG \"x\") UID ALL 1:3\r\n* VANISHED (EARLIER) 1:2\r\n\
             * 3 XFOO bar\r\n* XBAR {3}\r\nabc baz\r\n\r\n* OK bare line feed\n{tag} OK\r\n",
        ),
        Do::Agree,
    ])
    .await;
    session.noop().await.unwrap();
    session.noop().await.unwrap();
}

#[tokio::test]
async fn an_answer_to_another_command_ends_the_connection() {
    let error = answered(quick(), "M77 OK done\r\n").await;
    assert!(matches!(error, ImapError::Protocol(_)), "{error:?}");
}

#[tokio::test]
async fn a_command_abandoned_half_way_makes_the_session_unusable() {
    let (mut session, _) = session(vec![Do::Hang]).await;
    let abandoned = tokio::time::timeout(Duration::from_millis(30), session.noop()).await;
    assert!(abandoned.is_err());
    assert!(!session.is_usable());
    assert!(matches!(
        session.noop().await.unwrap_err(),
        ImapError::Protocol(_)
    ));
}

#[tokio::test]
async fn a_servers_alert_reaches_a_person_without_control_characters() {
    let (mut session, _) = session(vec![
        Do::Hear,
        say("* OK [ALERT] Quota \u{1b}[31mnearly\u{7} full\r\n{tag} OK\r\n"),
    ])
    .await;
    session.noop().await.unwrap();
    assert_eq!(session.take_alerts(), ["Quota [31mnearly full"]);
    assert!(session.take_alerts().is_empty());
}

#[tokio::test]
async fn no_error_shows_the_token_or_the_mail() {
    let (stream, _) = server(vec![
        say(GREETING),
        Do::Hear,
        say("* secret-mail-text (\r\n"),
        Do::Hang,
    ]);
    let connection = Connection::open(stream, quick()).await.unwrap();
    let shown = format!("{connection:?}");
    let error = connection.authenticate_xoauth2("u", &token()).await.unwrap_err();
    let shown = format!("{shown} {error} {error:?}");
    assert!(!shown.contains("token-1") && !shown.contains("dXNlcj"), "{shown}");
    assert!(!shown.contains("secret-mail-text"), "{shown}");
}

#[test]
fn batches_respect_count_and_bytes_and_leave_nothing_out() {
    let metas: Vec<Meta> = [10, 10, 10, 100, 5, 5]
        .iter()
        .zip(1..)
        .map(|(size, uid)| meta(uid, *size))
        .collect();
    let cut: Vec<Vec<u32>> = batches(&metas, 2, 25)
        .map(|b| b.iter().map(|m| m.uid).collect())
        .collect();
    assert_eq!(cut, [vec![1, 2], vec![3], vec![4], vec![5, 6]]);
    assert_eq!(batches(&[], 2, 25).count(), 0);
}

#[tokio::test]
async fn sessions_share_one_budget_of_memory() {
    let limits = Limits {
        budget: ByteBudget::new(1024 * 1024),
        fetch: Duration::from_millis(50),
        ..quick()
    };
    let held = limits.budget.reserve(1024 * 1024, Duration::ZERO).await.unwrap();
    let one = || {
        vec![
            Do::Hear,
            say("* 1 FETCH (UID 5 BODY[] {3}\r\nabc)\r\n{tag} OK\r\n"),
        ]
    };
    let (mut session, _) = session_with(limits, one()).await;
    let (report, _) = fetch(&mut session, &[meta(5, 3)]).await;
    assert!(matches!(report.unwrap_err(), ImapError::Timeout { .. }));
    assert!(session.is_usable());
    drop(held);
    let (report, mails) = fetch(&mut session, &[meta(5, 3)]).await;
    assert_eq!((report.unwrap().fetched, mails.len()), (1, 1));
}

// ── connecting ──

fn loopback() -> Dialer {
    Dialer::new(vec!["127.0.0.0/8".parse().unwrap()], None).unwrap()
}

#[tokio::test]
async fn each_step_to_a_greeted_server_is_reported_once_with_what_it_found() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(GREETING.as_bytes()).await.unwrap();
        let mut rest = String::new();
        let _ = BufReader::new(stream).read_line(&mut rest).await;
    });
    let endpoint = Endpoint {
        host: "127.0.0.1".into(),
        port,
        tls: TlsMode::None,
    };
    let mut reports = Vec::new();
    let connection = connect(&loopback(), &endpoint, &quick(), |r| reports.push(r))
        .await
        .unwrap();
    assert_eq!(connection.greeting(), "ready");
    let names: Vec<&str> = reports.iter().map(|r| r.step.name()).collect();
    assert_eq!(names, ["dns", "tcp", "greeting", "capability"]);
    let Ok(StepDetail::Capabilities(offered)) = &reports[3].outcome else {
        panic!("{:?}", reports[3])
    };
    assert!(offered.xoauth2() && !offered.starttls());
}

#[tokio::test]
async fn the_step_that_fails_is_the_last_one_reported() {
    let port = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap().port()
    };
    for (host, tls, steps, code) in [
        ("127.0.0.1", TlsMode::Implicit, 2, "connection_refused"),
        ("10.0.0.1", TlsMode::Implicit, 1, "address_not_allowed"),
        ("8.8.8.8", TlsMode::None, 1, "imap_plain_refused"),
    ] {
        let endpoint = Endpoint {
            host: host.into(),
            port,
            tls,
        };
        let mut reports = Vec::new();
        let error = connect(&loopback(), &endpoint, &quick(), |r| reports.push(r))
            .await
            .unwrap_err();
        assert_eq!(error.code(), code);
        assert_eq!(reports.len(), steps);
        assert_eq!(reports.last().unwrap().outcome, Err(error));
    }
}

/// Pollers run on many threads: everything they await must be able to move between them.
#[test]
fn sessions_can_be_used_from_any_thread() {
    fn is_send<T: Send>(_: T) {}
    fn check(mut session: Session<BoxedStream>, endpoint: &'static Endpoint, dialer: &'static Dialer) {
        static METAS: [Meta; 0] = [];
        is_send(connect(dialer, endpoint, &Limits::default(), |_| {}));
        is_send(session.fetch_raw(&METAS, |_| {}));
        is_send(session.idle(Duration::ZERO, std::future::pending()));
        is_send(session.search_uids(1, SearchFilter::All));
        is_send(session.logout());
    }
    let _ = check;
}
