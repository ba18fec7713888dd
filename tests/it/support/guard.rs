//! Child processes that end with the test, even when the test process itself is killed; and the small things
//! every server here needs: a program's path, a free port, a short directory, a user to run as.

use std::ffi::OsStr;
use std::fs::{File, Permissions};
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// A running program. Dropping it ends the program.
///
/// A shell watches the other end of a pipe: when this process dies without running any destructor (a killed test
/// run), the shell ends the program and removes its directory.
pub struct Guarded {
    child: Child,
    watcher: Option<(Child, ChildStdin)>,
    signal: &'static str,
    name: String,
    log: PathBuf,
}

impl Guarded {
    /// Starts `command` with its output in `log`. `signal` is what asks it to end (`TERM`, `QUIT`, …);
    /// `directory` is removed as well if the test process dies.
    pub fn start(
        name: &str,
        command: &mut Command,
        log: &Path,
        signal: &'static str,
        directory: Option<&Path>,
    ) -> Self {
        let out = File::options()
            .create(true)
            .append(true)
            .open(log)
            .expect("the log of a test server");
        let child = command
            .stdin(Stdio::null())
            .stdout(out.try_clone().expect("a second handle on a log"))
            .stderr(out)
            // Own group: a Ctrl-C in the terminal must not reach it before the watcher does.
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} could not be started: {error}. {RUN_SERVICES}"));
        let mut watcher = Command::new("/bin/sh")
            .args(["-c", WATCH, "watch", signal, &child.id().to_string()])
            .arg(directory.map_or(OsStr::new(""), Path::as_os_str))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("/bin/sh");
        let leash = watcher.stdin.take().expect("a pipe to the watcher");
        Self {
            child,
            watcher: Some((watcher, leash)),
            signal,
            name: name.to_owned(),
            log: log.to_owned(),
        }
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The exit status, once it has ended.
    pub fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.child.try_wait().expect("the state of a child")
    }

    /// Asks once a moment whether `ready` holds. Panics with the log when the program ends first or `limit` passes.
    pub async fn wait_until<F: Future<Output = bool>>(
        &mut self,
        what: &str,
        limit: Duration,
        mut ready: impl FnMut() -> F,
    ) {
        let started = Instant::now();
        let mut pause = Duration::from_millis(10);
        while !ready().await {
            if let Some(status) = self.ended() {
                panic!(
                    "{} ended ({status}) before {what}; its log:\n{}",
                    self.name,
                    self.log_tail()
                );
            }
            assert!(
                started.elapsed() < limit,
                "{} runs, but not within {limit:?}: {what}; its log:\n{}",
                self.name,
                self.log_tail()
            );
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(100));
        }
    }

    /// The last lines of its output.
    pub fn log_tail(&self) -> String {
        let text = String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    /// Where its output goes.
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// Everything it has printed so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill9(&mut self) {
        self.release_watcher();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends a signal by name (`HUP`, `STOP`, `CONT`, `TERM`).
    pub fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// Asks it to end and waits; kills it after ten seconds.
    pub fn stop(&mut self) {
        self.release_watcher();
        if self.ended().is_some() {
            return;
        }
        signal(self.child.id(), self.signal);
        let started = Instant::now();
        while self.ended().is_none() {
            if started.elapsed() > Duration::from_secs(10) {
                let _ = self.child.kill();
                let _ = self.child.wait();
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn release_watcher(&mut self) {
        if let Some((mut watcher, mut leash)) = self.watcher.take() {
            // A line, unlike the end of the pipe, tells the shell that everything is in order.
            let _ = leash.write_all(b"done\n");
            let _ = watcher.wait();
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.stop();
    }
}

const WATCH: &str = r#"
read -r word && exit 0
kill -s "$1" "$2" 2>/dev/null
n=0
while kill -0 "$2" 2>/dev/null && [ "$n" -lt 50 ]; do n=$((n + 1)); sleep 0.1; done
kill -s KILL "$2" 2>/dev/null
[ -z "$3" ] || rm -rf -- "$3"
"#;

/// What to do when a server is missing; part of every such message.
pub const RUN_SERVICES: &str = "Run `tests/run services`, which installs what the tests need.";

fn signal(id: u32, name: &str) {
    let kill = ["-c", "kill -s \"$0\" \"$1\"", name, &id.to_string()];
    // The shell's own, because `/bin/kill` is not on every machine.
    let _ = Command::new("/bin/sh").args(kill).stderr(Stdio::null()).status();
}

/// The first of `candidates` (absolute paths or names on the path) that exists, or a panic that says what to run.
pub fn program(name: &str, candidates: &[&str]) -> PathBuf {
    let path = std::env::var("PATH").unwrap_or_default();
    candidates
        .iter()
        .flat_map(|candidate| {
            if candidate.starts_with('/') {
                vec![PathBuf::from(candidate)]
            } else {
                std::env::split_paths(&path)
                    .map(|folder| folder.join(candidate))
                    .collect()
            }
        })
        .find(|found| found.is_file())
        .unwrap_or_else(|| panic!("{name} is not installed (looked for {candidates:?}). {RUN_SERVICES}"))
}

static NEXT_PORT: Mutex<Option<u16>> = Mutex::new(None);

/// A loopback port nobody listens on. Taken below the range from which the system draws ports of its own, and never
/// given out twice in one process, so that two tests cannot race for it.
pub fn free_port() -> u16 {
    const FIRST: u16 = 11_000;
    const LAST: u16 = 31_000;
    let mut next = NEXT_PORT
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut port = next.unwrap_or_else(|| {
        // Spread test processes that run at the same time.
        FIRST + u16::try_from(std::process::id() * 61 % u32::from(LAST - FIRST)).unwrap_or(0)
    });
    for _ in FIRST..LAST {
        port = if port >= LAST { FIRST } else { port + 1 };
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            *next = Some(port);
            return port;
        }
    }
    panic!("no free port between {FIRST} and {LAST}");
}

/// A new directory with a short path (the names of unix sockets hold 108 bytes) that other users may enter,
/// because servers drop their rights.
pub fn short_dir() -> tempfile::TempDir {
    let dir = tempfile::Builder::new()
        .prefix("mgt")
        .tempdir_in("/tmp")
        .expect("a directory in /tmp");
    std::fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).expect("permissions");
    dir
}

/// A user of this machine.
#[derive(Clone, Debug)]
pub struct User {
    pub name: String,
    pub uid: u32,
    pub gid: u32,
}

impl User {
    /// The user the tests run as.
    pub fn me() -> Self {
        Self {
            name: id(&["-un"]),
            uid: number(&id(&["-u"])),
            gid: number(&id(&["-g"])),
        }
    }

    /// `name` when the tests run as root (servers refuse to run as root), else the user they run as.
    pub fn for_server(name: &str) -> Self {
        let me = Self::me();
        if me.uid != 0 {
            return me;
        }
        Self {
            name: name.to_owned(),
            uid: number(&id(&["-u", name])),
            gid: number(&id(&["-g", name])),
        }
    }

    /// Whether the tests run as root.
    pub fn am_root() -> bool {
        id(&["-u"]) == "0"
    }

    /// Gives a file or directory to this user.
    pub fn own(&self, path: &Path) {
        std::os::unix::fs::chown(path, Some(self.uid), Some(self.gid))
            .unwrap_or_else(|error| panic!("{} cannot be given to {}: {error}", path.display(), self.name));
    }
}

fn id(arguments: &[&str]) -> String {
    let out = Command::new("id")
        .args(arguments)
        .output()
        .expect("the command `id`");
    assert!(
        out.status.success(),
        "`id {}` failed: {}{RUN_SERVICES}",
        arguments.join(" "),
        String::from_utf8_lossy(&out.stderr)
    );
    String::from_utf8_lossy(&out.stdout).trim().to_owned()
}

fn number(text: &str) -> u32 {
    text.parse().expect("a number from `id`")
}
