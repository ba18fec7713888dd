//! An IMAP server that does what a test tells it: say BYE, cut a literal, refuse a FETCH, end the stream in the middle,
//! send bombs, or stay silent.
//!
//! The script is an async function of one [`Connection`]; it is run for each client that connects and told which one
//! it is. What a script expects and does not get is a failure of the test: [`ScriptedImap::finish`] (and, failing
//! that, dropping the server) panics with it.
//!
//! ```ignore
//! let server = ScriptedImap::start(Security::Implicit, async |mut c: Connection| {
//!     c.greet().await?;
//!     let fetch = c.behave_until(&Inbox::with(1..=3), "UID FETCH").await?;
//!     c.send("* 1 FETCH (UID 1 BODY[] {100}").await?;   // 100 bytes promised …
//!     c.raw(b"Subject: cut").await                      // … and never sent: the script ends, the connection closes
//! });
//! ```

use super::certs::{LeafOptions, TestCa};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// How the connection starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// TLS from the first byte.
    Implicit,
    /// Plain text that can be upgraded by [`Connection::starttls`].
    StartTls,
    /// Plain text.
    None,
}

/// Why a script ended early. Clients hanging up is normal; anything else fails the test.
#[derive(Debug)]
pub enum Ended {
    /// The client closed the connection, or stopped reading.
    ClientLeft,
    /// The client did what the script did not expect.
    Unexpected(String),
}

impl From<std::io::Error> for Ended {
    fn from(_: std::io::Error) -> Self {
        Self::ClientLeft
    }
}

/// What a script returns.
pub type Script = Result<(), Ended>;

/// A command as the client sent it.
#[derive(Clone, Debug)]
pub struct Command {
    pub tag: String,
    /// Without tag and line end; a literal is replaced by its text.
    pub line: String,
}

impl Command {
    /// Whether it starts with `word`, in any case.
    pub fn is(&self, word: &str) -> bool {
        self.line
            .get(..word.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(word))
    }
}

#[derive(Default)]
struct Seen {
    connections: usize,
    transcript: Vec<String>,
    failures: Vec<String>,
    running: usize,
}

/// A running scripted server.
pub struct ScriptedImap {
    pub port: u16,
    pub ca: TestCa,
    ca_file: PathBuf,
    seen: Arc<Mutex<Seen>>,
    listening: JoinHandle<()>,
    _dir: tempfile::TempDir,
}

impl ScriptedImap {
    /// Starts with a good certificate.
    pub async fn start<F>(
        security: Security,
        script: impl Fn(Connection) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Script> + Send + 'static,
    {
        Self::start_with(security, &LeafOptions::default(), script).await
    }

    /// Starts with a certificate of the caller's choice.
    pub async fn start_with<F>(
        security: Security,
        certificate: &LeafOptions<'_>,
        script: impl Fn(Connection) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Script> + Send + 'static,
    {
        let ca = TestCa::new();
        let acceptor = TlsAcceptor::from(ca.issue(certificate).server_config());
        let dir = super::guard::short_dir();
        let ca_file = ca.write(dir.path());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let shared = Arc::clone(&seen);
        let listening = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let number = note(&shared, |seen| {
                    seen.connections += 1;
                    seen.running += 1;
                    seen.connections
                });
                let stream: Box<dyn Stream> = if security == Security::Implicit {
                    match acceptor.accept(socket).await {
                        Ok(stream) => Box::new(stream),
                        Err(error) => {
                            note(&shared, |seen| {
                                seen.transcript.push(format!("{number} -- no TLS: {error}"));
                                seen.running -= 1;
                            });
                            continue;
                        }
                    }
                } else {
                    Box::new(socket)
                };
                let connection = Connection {
                    number,
                    tag: "*".to_owned(),
                    stream: Some(stream),
                    read: Vec::new(),
                    acceptor: acceptor.clone(),
                    seen: Arc::clone(&shared),
                };
                let running = script(connection);
                let shared = Arc::clone(&shared);
                connections.spawn(async move {
                    let ended = running.await;
                    note(&shared, |seen| {
                        seen.running -= 1;
                        if let Err(Ended::Unexpected(what)) = ended {
                            seen.failures.push(format!("connection {number}: {what}"));
                        }
                    });
                });
            }
        });
        Self {
            port,
            ca,
            ca_file,
            seen,
            listening,
            _dir: dir,
        }
    }

    /// The authority's certificate, for `MAILGRANT_EXTRA_CA_FILE`.
    pub fn ca_file(&self) -> &Path {
        &self.ca_file
    }

    /// How many clients have connected.
    pub fn connections(&self) -> usize {
        note(&self.seen, |seen| seen.connections)
    }

    /// How many scripts are running: 0 means that every connection has ended.
    pub fn open_connections(&self) -> usize {
        note(&self.seen, |seen| seen.running)
    }

    /// All that was said: `1 C: …` by the first client, `1 S: …` to it.
    pub fn transcript(&self) -> Vec<String> {
        note(&self.seen, |seen| seen.transcript.clone())
    }

    /// The commands of all clients that start with `word`, in order, without tags.
    pub fn commands(&self, word: &str) -> Vec<String> {
        let lines = self.transcript();
        let said = lines
            .iter()
            .filter_map(|line| line.split_once(" C: ").map(|(_, said)| said));
        said.filter_map(|said| said.split_once(' ').map(|(_, command)| command))
            .filter(|command| {
                command
                    .get(..word.len())
                    .is_some_and(|start| start.eq_ignore_ascii_case(word))
            })
            .map(str::to_owned)
            .collect()
    }

    /// Panics if a script met something it did not expect.
    pub fn finish(self) {
        self.check();
    }

    fn check(&self) {
        let failures = note(&self.seen, |seen| std::mem::take(&mut seen.failures));
        assert!(
            failures.is_empty(),
            "the scripted IMAP server was surprised: {failures:#?}\nall that was said:\n{}",
            self.transcript().join("\n")
        );
    }
}

impl Drop for ScriptedImap {
    fn drop(&mut self) {
        self.listening.abort();
        if !std::thread::panicking() {
            self.check();
        }
    }
}

fn note<T>(seen: &Mutex<Seen>, change: impl FnOnce(&mut Seen) -> T) -> T {
    change(&mut seen.lock().unwrap_or_else(PoisonError::into_inner))
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A mailbox for [`Connection::behave_until`].
#[derive(Clone, Debug)]
pub struct Inbox {
    pub uid_validity: u32,
    /// UID and raw mail, ascending.
    pub mails: Vec<(u32, Vec<u8>)>,
    /// Names in LIST, besides INBOX.
    pub folders: Vec<&'static str>,
    /// Announced besides IMAP4rev1 and AUTH=XOAUTH2.
    pub capabilities: &'static str,
}

impl Inbox {
    /// Made-up mails under these UIDs.
    pub fn with(uids: impl IntoIterator<Item = u32>) -> Self {
        let mail = |uid: u32| {
            super::mails::Mail {
                seed: 9,
                number: uid.into(),
            }
            .bytes()
        };
        Self {
            uid_validity: 1_700_000_000,
            mails: uids.into_iter().map(|uid| (uid, mail(uid))).collect(),
            folders: vec!["Archive"],
            capabilities: "SASL-IR IDLE UIDPLUS MOVE",
        }
    }

    fn next_uid(&self) -> u32 {
        self.mails.last().map_or(1, |(uid, _)| uid + 1)
    }

    fn capability(&self) -> String {
        format!("IMAP4rev1 AUTH=XOAUTH2 {}", self.capabilities)
    }
}

/// The server's end of one connection.
pub struct Connection {
    /// 1 for the first client.
    pub number: usize,
    tag: String,
    stream: Option<Box<dyn Stream>>,
    read: Vec<u8>,
    acceptor: TlsAcceptor,
    seen: Arc<Mutex<Seen>>,
}

impl Connection {
    /// Sends a usual greeting.
    pub async fn greet(&mut self) -> Script {
        self.send("* OK ready").await
    }

    /// Sends a line. `{tag}` in it stands for the tag of the last command.
    pub async fn send(&mut self, line: &str) -> Script {
        let line = line.replace("{tag}", &self.tag);
        self.raw(format!("{line}\r\n").as_bytes()).await
    }

    /// Sends bytes as they are.
    pub async fn raw(&mut self, bytes: &[u8]) -> Script {
        let start = &bytes[..bytes.len().min(200)];
        self.say("S", String::from_utf8_lossy(start).trim_end());
        let stream = self.stream()?;
        stream.write_all(bytes).await?;
        stream.flush().await?;
        Ok(())
    }

    /// Answers the last command: `reply("OK done")`, `reply("NO [UNAVAILABLE] later")`.
    pub async fn reply(&mut self, status: &str) -> Script {
        self.send(&format!("{{tag}} {status}")).await
    }

    /// Reads the next command; a synchronising literal in it is asked for and put in its place.
    pub async fn command(&mut self) -> Result<Command, Ended> {
        let mut text = self.line().await?;
        while let Some(size) = literal_size(&text) {
            if !text.ends_with("+}") {
                self.raw(b"+ go on\r\n").await?;
            }
            let at = text.rfind('{').unwrap_or(text.len());
            text.truncate(at);
            let bytes = self.bytes(size).await?;
            text += &String::from_utf8_lossy(&bytes);
            text += &self.line().await?;
        }
        let (tag, line) = text.split_once(' ').unwrap_or((&text, ""));
        self.tag = tag.to_owned();
        Ok(Command {
            tag: tag.to_owned(),
            line: line.to_owned(),
        })
    }

    /// Reads the next command, which must start with `word`.
    pub async fn expect(&mut self, word: &str) -> Result<Command, Ended> {
        let command = self.command().await?;
        if command.is(word) {
            Ok(command)
        } else {
            Err(Ended::Unexpected(format!(
                "expected {word}, the client sent {}",
                command.line
            )))
        }
    }

    /// Reads one line that is not a command: an answer to a challenge, or DONE.
    pub async fn line(&mut self) -> Result<String, Ended> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line)
                    .trim_end_matches(['\r', '\n'])
                    .to_owned();
                self.say("C", &line);
                return Ok(line);
            }
            self.more().await?;
        }
    }

    /// Says nothing until the client leaves. A client that never does keeps the connection open for an hour.
    pub async fn silence(&mut self) -> Script {
        let _ = tokio::time::timeout(Duration::from_secs(3600), async {
            while self.more().await.is_ok() {
                self.read.clear();
            }
        })
        .await;
        Ok(())
    }

    /// Answers a STARTTLS that was just read, and shakes hands.
    pub async fn starttls(&mut self) -> Script {
        self.reply("OK begin TLS").await?;
        let plain = self.stream.take().ok_or(Ended::ClientLeft)?;
        let secured = self.acceptor.clone().accept(plain).await?;
        self.stream = Some(Box::new(secured));
        self.read.clear();
        Ok(())
    }

    /// Refuses an AUTHENTICATE that was just read, as Google and Microsoft do: a challenge with JSON, the client's
    /// empty line, then NO. Anything else in place of the empty line is unexpected.
    pub async fn refuse_token(&mut self, json: &str, status: &str) -> Script {
        self.send(&format!("+ {}", STANDARD.encode(json))).await?;
        let answer = self.line().await?;
        if !answer.is_empty() {
            return Err(Ended::Unexpected(
                "the challenge was answered with something else than an empty line".into(),
            ));
        }
        self.reply(status).await
    }

    /// Behaves like an ordinary server with this mailbox until a command that starts with `word` arrives; that one is
    /// returned, unanswered. Call it again to go on behaving.
    pub async fn behave_until(&mut self, inbox: &Inbox, word: &str) -> Result<Command, Ended> {
        loop {
            let command = self.command().await?;
            if !word.is_empty() && command.is(word) {
                return Ok(command);
            }
            self.behave(inbox, &command).await?;
        }
    }

    /// Behaves like an ordinary server until the client leaves.
    pub async fn behave_forever(&mut self, inbox: &Inbox) -> Script {
        loop {
            let command = self.command().await?;
            self.behave(inbox, &command).await?;
        }
    }

    /// Answers one command as an ordinary server would.
    pub async fn behave(&mut self, inbox: &Inbox, command: &Command) -> Script {
        let line = command.line.as_str();
        let verb = line.split(' ').next().unwrap_or_default().to_ascii_uppercase();
        match verb.as_str() {
            "CAPABILITY" => {
                self.send(&format!("* CAPABILITY {}", inbox.capability())).await?;
                self.reply("OK done").await
            }
            "AUTHENTICATE" => {
                if line.split(' ').count() < 3 {
                    self.send("+ ").await?;
                    self.line().await?;
                }
                self.reply(&format!("OK [CAPABILITY {}] signed in", inbox.capability()))
                    .await
            }
            "LIST" => {
                for folder in std::iter::once("INBOX").chain(inbox.folders.iter().copied()) {
                    self.send(&format!("* LIST (\\HasNoChildren) \"/\" \"{folder}\""))
                        .await?;
                }
                self.reply("OK done").await
            }
            "SELECT" | "EXAMINE" => {
                self.send(&format!("* {} EXISTS", inbox.mails.len())).await?;
                self.send("* 0 RECENT").await?;
                self.send("* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)")
                    .await?;
                self.send(&format!("* OK [UIDVALIDITY {}] valid", inbox.uid_validity))
                    .await?;
                self.send(&format!("* OK [UIDNEXT {}] next", inbox.next_uid()))
                    .await?;
                self.reply("OK [READ-WRITE] selected").await
            }
            "STATUS" => {
                let (count, next, validity) = (inbox.mails.len(), inbox.next_uid(), inbox.uid_validity);
                self.send(&format!(
                    "* STATUS INBOX (MESSAGES {count} UIDNEXT {next} UIDVALIDITY {validity})"
                ))
                .await?;
                self.reply("OK done").await
            }
            "ID" => {
                self.send("* ID NIL").await?;
                self.reply("OK done").await
            }
            "IDLE" => {
                self.send("+ idling").await?;
                self.line().await?;
                self.reply("OK done").await
            }
            "UID" => self.behave_uid(inbox, line).await,
            "LOGOUT" => {
                self.send("* BYE bye").await?;
                self.reply("OK done").await?;
                Err(Ended::ClientLeft)
            }
            "NOOP" | "CHECK" | "ENABLE" | "CLOSE" | "UNSELECT" | "EXPUNGE" => self.reply("OK done").await,
            other => self.reply(&format!("BAD {other} is not in the script")).await,
        }
    }

    async fn behave_uid(&mut self, inbox: &Inbox, line: &str) -> Script {
        let mut words = line.split(' ').skip(1);
        let verb = words.next().unwrap_or_default().to_ascii_uppercase();
        match verb.as_str() {
            "SEARCH" => {
                // `UID n:*` is honoured, every other condition is taken as met.
                let mut set = "1:*";
                while let Some(word) = words.next() {
                    if word.eq_ignore_ascii_case("UID") {
                        set = words.next().unwrap_or(set);
                    }
                }
                let mut answer = "* SEARCH".to_owned();
                for (uid, _) in inbox.mails.iter().filter(|(uid, _)| in_set(*uid, set, inbox)) {
                    let _ = write!(answer, " {uid}");
                }
                self.send(&answer).await?;
            }
            "FETCH" => {
                let set = words.next().unwrap_or_default().to_owned();
                let items: String = words.collect::<Vec<_>>().join(" ").to_ascii_uppercase();
                for index in 0..inbox.mails.len() {
                    if in_set(inbox.mails[index].0, &set, inbox) {
                        let answer = fetch_answer(inbox, index, &items);
                        self.raw(&answer).await?;
                    }
                }
            }
            _ => {}
        }
        self.reply("OK done").await
    }

    async fn bytes(&mut self, count: usize) -> Result<Vec<u8>, Ended> {
        while self.read.len() < count {
            self.more().await?;
        }
        Ok(self.read.drain(..count).collect())
    }

    async fn more(&mut self) -> Script {
        let mut buffer = [0; 4096];
        let count = self.stream()?.read(&mut buffer).await?;
        if count == 0 {
            return Err(Ended::ClientLeft);
        }
        self.read.extend_from_slice(&buffer[..count]);
        Ok(())
    }

    fn stream(&mut self) -> Result<&mut Box<dyn Stream>, Ended> {
        self.stream.as_mut().ok_or(Ended::ClientLeft)
    }

    fn say(&self, who: &str, what: &str) {
        note(&self.seen, |seen| {
            seen.transcript.push(format!("{} {who}: {what}", self.number))
        });
    }
}

/// A whole answer to FETCH for the mail at `index`, with the items that `asked` names.
pub fn fetch_answer(inbox: &Inbox, index: usize, asked: &str) -> Vec<u8> {
    let (uid, raw) = &inbox.mails[index];
    let mut text = format!("* {} FETCH (UID {uid}", index + 1);
    if asked.contains("FLAGS") {
        text += " FLAGS ()";
    }
    if asked.contains("INTERNALDATE") {
        text += " INTERNALDATE \"01-Jan-2026 00:00:00 +0000\"";
    }
    if asked.contains("RFC822.SIZE") {
        let _ = write!(text, " RFC822.SIZE {}", raw.len());
    }
    let mut answer = text.into_bytes();
    let head = raw
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .map_or(raw.len(), |at| at + 4);
    let (name, part) = if asked.contains("[]") {
        ("BODY[]", raw.as_slice())
    } else if let Some(section) = asked.split_once('[').and_then(|(_, rest)| rest.split_once(']')) {
        let name = format!("BODY[{}]", section.0);
        answer.extend_from_slice(format!(" {name} {{{head}}}\r\n").as_bytes());
        answer.extend_from_slice(&raw[..head]);
        answer.extend_from_slice(b")\r\n");
        return answer;
    } else {
        answer.extend_from_slice(b")\r\n");
        return answer;
    };
    // `BODY.PEEK[]<from.count>` asks for a part, and is answered with its start.
    let range = asked
        .split_once("[]<")
        .and_then(|(_, rest)| rest.split_once('>'))
        .map(|(range, _)| range);
    let (name, part) = match range.and_then(|range| range.split_once('.')) {
        Some((from, count)) => {
            let from = from.parse().unwrap_or(0).min(part.len());
            let until = (from + count.parse().unwrap_or(part.len())).min(part.len());
            (format!("{name}<{from}>"), &part[from..until])
        }
        None => (name.to_owned(), part),
    };
    answer.extend_from_slice(format!(" {name} {{{}}}\r\n", part.len()).as_bytes());
    answer.extend_from_slice(part);
    answer.extend_from_slice(b")\r\n");
    answer
}

fn in_set(uid: u32, set: &str, inbox: &Inbox) -> bool {
    let last = inbox.mails.last().map_or(0, |(uid, _)| *uid);
    let number = |text: &str| {
        if text == "*" {
            last
        } else {
            text.parse().unwrap_or(0)
        }
    };
    set.split(',').any(|range| {
        let (from, until) = range.split_once(':').unwrap_or((range, range));
        let (from, until) = (number(from), number(until));
        // `9:*` in a mailbox that ends at 5 means 5:9.
        (from.min(until)..=from.max(until)).contains(&uid)
    })
}

fn literal_size(line: &str) -> Option<usize> {
    let inside = line.strip_suffix('}')?.rsplit_once('{')?.1;
    inside.trim_end_matches('+').parse().ok()
}
