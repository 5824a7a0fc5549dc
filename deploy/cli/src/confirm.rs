//! Agreement: what changes something is shown first, and asked for on a terminal.

use std::future::Future;
use std::io::Write;

use tokio::sync::oneshot;

/// Asks once, on the terminal. Whoever asks to `stop` instead has not agreed.
pub(crate) async fn ask(question: &str, stop: impl Future<Output = ()>) -> bool {
    let asked = {
        let mut err = std::io::stderr().lock();
        write!(err, "\n{question} [y/N] ").and_then(|()| err.flush())
    };
    // In a thread of its own, which Ctrl-C leaves waiting: a runtime would not end before its own threads do.
    let (told, answer) = oneshot::channel();
    let read = std::thread::Builder::new().name("answer".to_owned()).spawn(move || {
        let mut line = String::new();
        // Whoever can't be asked has not agreed.
        let line = std::io::stdin().read_line(&mut line).map(|_| line).unwrap_or_default();
        // Nobody waits for it any more after Ctrl-C.
        let _ = told.send(line);
    });
    if asked.is_err() || read.is_err() {
        return false;
    }
    tokio::select! {
        biased;
        () = stop => false,
        line = answer => line.is_ok_and(|line| ["y", "yes"].contains(&line.trim().to_lowercase().as_str())),
    }
}

/// The command as it was given, for a shell.
pub(crate) fn repeat() -> String {
    let quoted = |arg: String| match arg.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c)) {
        true if !arg.is_empty() => arg,
        _ => format!("'{}'", arg.replace('\'', r"'\''")),
    };
    let args = std::env::args().skip(1).filter(|arg| arg != "--yes" && arg != "--plan").map(quoted);
    let command: Vec<String> = std::iter::once("manifold".to_owned()).chain(args).collect();
    command.join(" ")
}
