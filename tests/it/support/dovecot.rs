//! A private Dovecot on loopback that lets people in by XOAUTH2 and OAUTHBEARER only: it asks an OAuth server's
//! introspection endpoint about each token, as large installations do.
//!
//! Debian 12 has Dovecot 2.3, Debian 13 has 2.4, and their configuration languages differ; both are written here.

use super::certs::{Leaf, LeafOptions, TestCa};
use super::guard::{Guarded, User, free_port, program, short_dir};
use super::mails::Mail;
use super::wait::within;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// How to start one.
pub struct Options {
    /// With the client that may introspect: `http://id:secret@127.0.0.1:1234/token/introspection`.
    pub introspection_url: String,
    /// The accounts, as their owners log in. Anyone else is refused, whatever the token says.
    pub users: Vec<String>,
    /// The member of the introspection answer that must equal the login name.
    pub username_attribute: String,
    /// A scope that the token must have.
    pub scope: Option<String>,
    /// What the certificate says.
    pub certificate: LeafOptions<'static>,
    /// Where mail that is handed in for sending goes on to; none: nothing is sent.
    pub relay_port: Option<u16>,
}

impl Options {
    /// Tokens are checked against `sub`; no scope is asked for; the certificate is good.
    pub fn new(introspection_url: &str, users: &[&str]) -> Self {
        Self {
            introspection_url: introspection_url.to_owned(),
            users: users.iter().map(|user| (*user).to_owned()).collect(),
            username_attribute: "sub".to_owned(),
            scope: None,
            certificate: LeafOptions::default(),
            relay_port: None,
        }
    }
}

/// A running (or stopped) Dovecot. Dropping it ends it and removes its mail.
pub struct Dovecot {
    /// Plain text that offers STARTTLS.
    pub imap_port: u16,
    /// TLS from the first byte.
    pub imaps_port: u16,
    /// Where mail is handed in.
    pub lmtp_port: u16,
    /// Where mail is handed in for sending: STARTTLS.
    pub submission_port: u16,
    /// The same with TLS from the first byte.
    pub submissions_port: u16,
    /// The authority that signed its certificate.
    pub ca: TestCa,
    ca_file: PathBuf,
    mail_user: User,
    server: Option<Guarded>,
    dir: tempfile::TempDir,
}

impl Dovecot {
    /// Starts with the usual options.
    pub async fn start(introspection_url: &str, users: &[&str]) -> Self {
        Self::start_with(Options::new(introspection_url, users)).await
    }

    /// Starts.
    pub async fn start_with(options: Options) -> Self {
        let dir = short_dir();
        let ca = TestCa::new();
        let ca_file = ca.write(dir.path());
        let mail_user = User::for_server("mail");
        let mut dovecot = Self {
            imap_port: free_port(),
            imaps_port: free_port(),
            lmtp_port: free_port(),
            submission_port: free_port(),
            submissions_port: free_port(),
            ca_file,
            mail_user,
            server: None,
            dir,
            ca,
        };
        let leaf = dovecot.ca.issue(&options.certificate);
        dovecot.write_files(&options, &leaf);
        for user in &options.users {
            dovecot.make_folder(user, "INBOX");
        }
        dovecot.resume().await;
        dovecot
    }

    /// The authority's certificate, for `MAILGRANT_EXTRA_CA_FILE`.
    pub fn ca_file(&self) -> &Path {
        &self.ca_file
    }

    /// Ends the server; mail, ports and certificate stay.
    pub fn stop(&mut self) {
        self.server = None;
    }

    /// Starts it again after [`Self::stop`].
    pub async fn resume(&mut self) {
        if self.server.is_some() {
            return;
        }
        let program = program("Dovecot", &["/usr/sbin/dovecot", "dovecot"]);
        let log = self.dir.path().join("dovecot.log");
        let mut server = Guarded::start(
            "Dovecot",
            Command::new(program).arg("-F").arg("-c").arg(self.config_file()),
            &log,
            "TERM",
            Some(self.dir.path()),
        );
        let (imap, lmtp) = (self.imap_port, self.lmtp_port);
        server
            .wait_until(
                "IMAP and LMTP greet",
                Duration::from_secs(30),
                move || async move {
                    greeting(imap).await.starts_with("* OK") && greeting(lmtp).await.starts_with("220")
                },
            )
            .await;
        self.server = Some(server);
    }

    /// Its log so far, for the message of a failed assertion.
    pub fn log(&self) -> String {
        self.server.as_ref().map(Guarded::log_tail).unwrap_or_default()
    }

    /// Ends every session of `user`; the connections see the server close.
    pub fn disconnect(&self, user: &str) {
        let _ = self.doveadm(&["kick", user]);
    }

    /// Runs `doveadm` and returns its status and output.
    pub fn doveadm(&self, arguments: &[&str]) -> (bool, String) {
        let out = Command::new(program("doveadm", &["/usr/bin/doveadm", "doveadm"]))
            .arg("-c")
            .arg(self.config_file())
            .args(arguments)
            .output()
            .expect("doveadm");
        let text = [out.stdout, out.stderr].concat();
        (out.status.success(), String::from_utf8_lossy(&text).into_owned())
    }

    /// Hands in one mail over LMTP, as a mail transfer agent does; IDLE clients are told. Panics unless accepted.
    pub async fn deliver(&self, user: &str, raw: &[u8]) {
        within(
            "Dovecot takes a mail over LMTP",
            Duration::from_secs(20),
            self.lmtp(user, raw),
        )
        .await;
    }

    async fn lmtp(&self, user: &str, raw: &[u8]) {
        let stream = TcpStream::connect(("127.0.0.1", self.lmtp_port))
            .await
            .expect("LMTP");
        let mut stream = BufReader::new(stream);
        expect(&mut stream, "220").await;
        for (command, answer) in [
            ("LHLO localhost".to_owned(), "250"),
            ("MAIL FROM:<sender@example.test>".to_owned(), "250"),
            (format!("RCPT TO:<{user}>"), "250"),
            ("DATA".to_owned(), "354"),
        ] {
            stream
                .write_all(format!("{command}\r\n").as_bytes())
                .await
                .expect("LMTP");
            expect(&mut stream, answer).await;
        }
        stream.write_all(&dot_stuffed(raw)).await.expect("LMTP");
        expect(&mut stream, "250").await;
        let _ = stream.write_all(b"QUIT\r\n").await;
    }

    /// Writes mails 0 to `n` of seed 1 right into the inbox, unread, and returns them. Far faster than LMTP.
    /// Dovecot numbers them in order when somebody opens the inbox; a mail delivered before that comes first.
    pub fn seed(&self, user: &str, n: u64) -> Vec<Mail> {
        self.seed_folder(user, "INBOX", 1, 0..n)
    }

    /// Writes made-up mails into a folder. Dovecot gives UIDs in the order of the numbers.
    pub fn seed_folder(
        &self,
        user: &str,
        folder: &str,
        seed: u64,
        numbers: std::ops::Range<u64>,
    ) -> Vec<Mail> {
        let mails: Vec<Mail> = numbers.map(|number| Mail { seed, number }).collect();
        for mail in &mails {
            let stamp = mail.date().timestamp();
            let name = format!("{stamp}.M{:06}P{seed}.test", mail.number % 1_000_000);
            self.put(user, folder, &name, &mail.bytes(), "");
        }
        mails
    }

    /// Writes one mail, any bytes at all, right into a folder. `flags` are Maildir letters: `S` is seen.
    pub fn put(&self, user: &str, folder: &str, name: &str, raw: &[u8], flags: &str) {
        let cur = self.make_folder(user, folder).join("cur");
        // The size in the name spares Dovecot reading each file. Only honest when no line ends in a bare LF.
        let crlf = raw.windows(2).filter(|pair| pair == b"\r\n").count();
        let size = raw.len();
        let sizes = if crlf == raw.iter().filter(|byte| **byte == b'\n').count() {
            format!(",S={size},W={size}")
        } else {
            String::new()
        };
        let staged = cur.parent().expect("a folder").join("tmp").join(name);
        std::fs::write(&staged, raw).expect("a mail");
        self.mail_user.own(&staged);
        std::fs::rename(staged, cur.join(format!("{name}{sizes}:2,{flags}"))).expect("a mail");
    }

    /// Makes a folder (IMAP name, `/` between levels) and returns its directory.
    pub fn make_folder(&self, user: &str, folder: &str) -> PathBuf {
        let path = self.folder_path(user, folder);
        for part in ["tmp", "new", "cur"] {
            std::fs::create_dir_all(path.join(part)).expect("a Maildir");
        }
        for made in [&self.home(user), &self.maildir(user), &path] {
            self.mail_user.own(made);
        }
        for part in ["tmp", "new", "cur"] {
            self.mail_user.own(&path.join(part));
        }
        path
    }

    /// Removes a folder and the mail in it.
    pub fn remove_folder(&self, user: &str, folder: &str) {
        std::fs::remove_dir_all(self.folder_path(user, folder)).expect("a folder");
    }

    /// The names of the files in a folder: `…:2,S` is a mail that was seen.
    pub fn files(&self, user: &str, folder: &str) -> Vec<String> {
        let path = self.folder_path(user, folder);
        let mut names: Vec<String> = ["new", "cur"]
            .iter()
            .flat_map(|part| std::fs::read_dir(path.join(part)).into_iter().flatten().flatten())
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    /// How many mails of a folder are seen.
    pub fn seen(&self, user: &str, folder: &str) -> usize {
        let files = self.files(user, folder);
        files
            .iter()
            .filter(|name| {
                name.rsplit_once(":2,")
                    .is_some_and(|(_, flags)| flags.contains('S'))
            })
            .count()
    }

    /// Gives the inbox a new UIDVALIDITY and numbers its mail anew, as a restored backup does. Restarts the server.
    pub async fn bump_uidvalidity(&mut self, user: &str) {
        self.stop();
        let maildir = self.maildir(user);
        let list = maildir.join("dovecot-uidlist");
        let text = std::fs::read_to_string(&list).unwrap_or_default();
        let old = text.lines().next().and_then(uidvalidity).unwrap_or_else(|| {
            panic!(
                "{} has no UIDVALIDITY yet: somebody must open the inbox first",
                list.display()
            )
        });
        // The header alone: every mail is then new to Dovecot, and gets a UID from 1 on.
        std::fs::write(&list, format!("3 V{} N1\n", old + 1)).expect("dovecot-uidlist");
        self.mail_user.own(&list);
        for entry in std::fs::read_dir(&maildir).expect("a Maildir").flatten() {
            if entry.file_name().to_string_lossy().starts_with("dovecot.index") {
                std::fs::remove_file(entry.path()).expect("an index");
            }
        }
        self.resume().await;
    }

    fn home(&self, user: &str) -> PathBuf {
        self.dir.path().join("mail").join(user)
    }

    fn maildir(&self, user: &str) -> PathBuf {
        self.home(user).join("Maildir")
    }

    fn folder_path(&self, user: &str, folder: &str) -> PathBuf {
        let maildir = self.maildir(user);
        if folder == "INBOX" {
            maildir
        } else {
            maildir.join(format!(".{}", folder.replace('/', ".")))
        }
    }

    fn config_file(&self) -> PathBuf {
        self.dir.path().join("dovecot.conf")
    }

    fn write_files(&self, options: &Options, leaf: &Leaf) {
        let dir = self.dir.path();
        let write = |name: &str, text: &str| std::fs::write(dir.join(name), text).expect(name);
        write("server.pem", &leaf.certificate);
        write("server.key", &leaf.key);
        std::fs::create_dir_all(dir.join("mail")).expect("a directory");
        self.mail_user.own(&dir.join("mail"));
        let mut users = String::new();
        for user in &options.users {
            let (uid, gid) = (self.mail_user.uid, self.mail_user.gid);
            writeln!(users, "{user}::{uid}:{gid}::{}::", self.home(user).display()).expect("a line");
        }
        write("users", &users);
        if is_version_2_3() {
            write("oauth2.conf.ext", &oauth2_2_3(options));
            write(
                "dovecot.conf",
                &(self.config_2_3(options) + &self.listeners(options)),
            );
        } else {
            write(
                "dovecot.conf",
                &(self.config_2_4(options) + &self.listeners(options)),
            );
        }
    }

    /// What both languages say in the same way.
    fn common(&self) -> String {
        let dir = self.dir.path().display();
        let (internal, login) = if User::am_root() {
            ("dovecot".to_owned(), "dovenull".to_owned())
        } else {
            (self.mail_user.name.clone(), self.mail_user.name.clone())
        };
        let group = Command::new("id")
            .args(["-gn", &internal])
            .output()
            .expect("the command `id`");
        let group = String::from_utf8_lossy(&group.stdout).trim().to_owned();
        let (uid, gid) = (self.mail_user.uid, self.mail_user.gid);
        format!(
            "base_dir = {dir}/run\nstate_dir = {dir}/state\ninstance_name = mailgrant-test\n\
             log_path = /dev/stderr\nauth_verbose = yes\nlisten = 127.0.0.1\n\
             default_internal_user = {internal}\ndefault_internal_group = {group}\ndefault_login_user = {login}\n\
             first_valid_uid = 1\nmail_uid = {uid}\nmail_gid = {gid}\nmail_max_userip_connections = 500\n\
             auth_mechanisms = xoauth2 oauthbearer\nauth_failure_delay = 0 secs\nauth_cache_size = 0\n\
             ssl = yes\nssl_min_protocol = TLSv1.2\nhostname = localhost\n"
        )
    }

    fn config_2_3(&self, options: &Options) -> String {
        let dir = self.dir.path().display();
        let submission = options.relay_port.map_or("", |_| " submission");
        self.common()
            + &format!(
                "protocols = imap lmtp{submission}\nmail_location = maildir:~/Maildir\n\
                 ssl_cert = <{dir}/server.pem\nssl_key = <{dir}/server.key\n\
                 passdb {{\n  driver = oauth2\n  mechanisms = xoauth2 oauthbearer\n  args = {dir}/oauth2.conf.ext\n}}\n\
                 userdb {{\n  driver = passwd-file\n  args = username_format=%Lu {dir}/users\n}}\n\
                 namespace inbox {{\n  inbox = yes\n  separator = /\n}}\n"
            )
    }

    fn config_2_4(&self, options: &Options) -> String {
        let dir = self.dir.path().display();
        let scope = options
            .scope
            .as_ref()
            .map(|scope| format!("oauth2_scope = {scope}\n"))
            .unwrap_or_default();
        let submission = options.relay_port.map_or("", |_| "  submission = yes\n");
        // The versions come first, or Dovecot refuses the file.
        "dovecot_config_version = 2.4.0\ndovecot_storage_version = 2.4.0\n".to_owned()
            + &self.common()
            + &format!(
                "protocols {{\n  imap = yes\n  lmtp = yes\n{submission}}}\nmail_driver = maildir\nmail_path = ~/Maildir\n\
                 ssl_server_cert_file = {dir}/server.pem\nssl_server_key_file = {dir}/server.key\n\
                 auth_username_format = %{{user | lower}}\n\
                 oauth2_introspection_mode = post\noauth2_introspection_url = {}\n\
                 oauth2_force_introspection = yes\noauth2_active_attribute = active\noauth2_active_value = true\n\
                 oauth2_username_attribute = {}\n{scope}\
                 passdb oauth2 {{\n  mechanisms_filter = xoauth2 oauthbearer\n}}\n\
                 userdb passwd-file {{\n  passwd_file_path = {dir}/users\n}}\n\
                 namespace inbox {{\n  inbox = yes\n  separator = /\n}}\n",
                options.introspection_url, options.username_attribute
            )
    }

    fn listeners(&self, options: &Options) -> String {
        let (imap, imaps, lmtp) = (self.imap_port, self.imaps_port, self.lmtp_port);
        // Dovecot slows down an address that failed to log in; tests fail on purpose, all from one address.
        let mut text = format!(
            "service imap-login {{\n  inet_listener imap {{\n    port = {imap}\n  }}\n\
             \x20 inet_listener imaps {{\n    port = {imaps}\n    ssl = yes\n  }}\n}}\n\
             service lmtp {{\n  inet_listener lmtp {{\n    port = {lmtp}\n  }}\n}}\n\
             service anvil {{\n  unix_listener anvil-auth-penalty {{\n    mode = 0\n  }}\n}}\n"
        );
        let mut chrooted = vec!["anvil", "stats", "imap-login"];
        if let Some(relay) = options.relay_port {
            let (start_tls, implicit) = (self.submission_port, self.submissions_port);
            write!(
                text,
                "submission_relay_host = 127.0.0.1\nsubmission_relay_port = {relay}\nsubmission_relay_trusted = no\n\
                 service submission-login {{\n  inet_listener submission {{\n    port = {start_tls}\n  }}\n\
                 \x20 inet_listener submissions {{\n    port = {implicit}\n    ssl = yes\n  }}\n}}\n"
            )
            .expect("lines");
            chrooted.push("submission-login");
        }
        if !User::am_root() {
            // Only root may call chroot.
            for service in chrooted {
                writeln!(text, "service {service} {{\n  chroot =\n}}").expect("a line");
            }
        }
        text
    }
}

fn oauth2_2_3(options: &Options) -> String {
    let scope = options
        .scope
        .as_ref()
        .map(|scope| format!("scope = {scope}\n"))
        .unwrap_or_default();
    format!(
        "introspection_mode = post\nintrospection_url = {}\nactive_attribute = active\nactive_value = true\n\
         username_attribute = {}\nusername_format = %Lu\ntimeout_msecs = 5000\n{scope}",
        options.introspection_url, options.username_attribute
    )
}

fn is_version_2_3() -> bool {
    let out = Command::new(program("Dovecot", &["/usr/sbin/dovecot", "dovecot"]))
        .arg("--version")
        .output();
    String::from_utf8_lossy(&out.expect("dovecot").stdout).starts_with("2.3")
}

fn uidvalidity(header: &str) -> Option<u32> {
    header
        .split(' ')
        .find_map(|field| field.strip_prefix('V'))?
        .parse()
        .ok()
}

async fn greeting(port: u16) -> String {
    let Ok(stream) = TcpStream::connect(("127.0.0.1", port)).await else {
        return String::new();
    };
    let mut line = String::new();
    let read = BufReader::new(stream).read_line(&mut line).await;
    read.map(|_| line).unwrap_or_default()
}

async fn expect(stream: &mut BufReader<TcpStream>, code: &str) {
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.expect("LMTP");
        assert!(line.starts_with(code), "LMTP: expected {code}, got {line:?}");
        if line.as_bytes().get(3) != Some(&b'-') {
            return;
        }
    }
}

fn dot_stuffed(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len() + 8);
    for line in raw.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(b".") {
            out.push(b'.');
        }
        let bare = line.strip_suffix(b"\n").unwrap_or(line);
        out.extend_from_slice(bare.strip_suffix(b"\r").unwrap_or(bare));
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b".\r\n");
    out
}
