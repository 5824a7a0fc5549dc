//! Reading what a command is given, and telling what to do when that fails.

use std::fmt::Display;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use anyhow::{Result, anyhow};

/// An error and the remedy, on a line of its own.
pub(crate) fn advise(problem: impl Display, help: impl Display) -> anyhow::Error {
    anyhow!("{problem}\n  help: {help}")
}

/// What a file is called in messages.
pub(crate) fn name(path: &Path) -> String {
    if is_stdin(path) { "standard input".to_owned() } else { path.display().to_string() }
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Reads a whole file, or standard input for `-`. `what` says what is expected in it.
pub(crate) fn read(path: &Path, what: &str) -> Result<String> {
    let text = if is_stdin(path) {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(path)
    };
    text.map_err(|error| {
        let problem = format!("failed to read {}: {error}", name(path));
        if error.kind() == ErrorKind::InvalidData {
            advise(format!("failed to read {}: it is not UTF-8 text", name(path)), what)
        } else if error.kind() == ErrorKind::NotFound {
            advise(problem, format!("check the path; {what}"))
        } else if error.kind() == ErrorKind::IsADirectory {
            advise(problem, format!("name the file in it; {what}"))
        } else {
            anyhow!(problem)
        }
    })
}
