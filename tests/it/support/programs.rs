//! Programs of other languages that stand beside Mailgrant in a test: receivers and consumers in Node.js and Python,
//! with the libraries that `tests/run services` put in place.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::guard::{Guarded, RUN_SERVICES, short_dir};
use super::oidc_provider::node;

/// A program in a language that is not Rust.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    Node,
    Python,
}

impl Language {
    pub const BOTH: [Self; 2] = [Self::Node, Self::Python];

    /// The command that runs a script of `tests/services`, by its name for Node.js or for Python.
    pub fn script(self, for_node: &str, for_python: &str) -> Command {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/services");
        let (program, script) = match self {
            Self::Node => (node(), for_node),
            Self::Python => (python(), for_python),
        };
        let mut command = Command::new(program);
        command.arg(folder.join(script)).current_dir(&folder);
        command
    }
}

/// Python with the packages of `tests/services/requirements.txt`.
pub fn python() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(
        || Path::new(&std::env::var_os("HOME").unwrap_or_default()).join(".cache"),
        PathBuf::from,
    );
    let found = cache.join("mailgrant-tests/python/bin/python");
    assert!(found.exists(), "{} is not there. {RUN_SERVICES}", found.display());
    found
}

/// A program that runs and prints JSON, one on each line.
pub struct Running {
    pub program: Guarded,
    _dir: tempfile::TempDir,
}

impl Running {
    /// Starts it.
    pub fn start(name: &str, command: &mut Command) -> Self {
        let dir = short_dir();
        let log = dir.path().join("log");
        let program = Guarded::start(name, command, &log, "KILL", Some(dir.path()));
        Self { program, _dir: dir }
    }

    /// What it said so far. A line that is not whole yet is left for later.
    pub fn said(&self) -> Vec<Value> {
        self.program
            .log()
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// Waits for its first line.
    pub async fn first(&mut self) -> Value {
        // The closure must not borrow the program that is waited for.
        let log = self.program.log_path().to_owned();
        let said = move || {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            text.lines().any(|line| line.starts_with('{'))
        };
        self.program
            .wait_until("its first line", Duration::from_secs(30), || {
                let ready = said();
                async move { ready }
            })
            .await;
        self.said().remove(0)
    }
}
