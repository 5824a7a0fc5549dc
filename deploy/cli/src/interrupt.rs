//! Ctrl-C: the first one asks to stop, and what was planned is taken back; a second one leaves at once.

use std::thread;

use anyhow::{Context, Result};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tokio::sync::watch;

use crate::say;

/// What a shell reports of a command that Ctrl-C ended: 128 and the signal's number.
pub(crate) const EXIT_STATUS: u8 = 130;

/// Whether the operator wants to stop.
#[derive(Debug, Clone)]
pub(crate) struct Interrupt(watch::Receiver<bool>);

impl Interrupt {
    /// Listens from now on: SIGINT and SIGTERM no longer end the command by themselves.
    ///
    /// # Errors
    /// The system takes no handler, or gives no thread to wait in.
    pub(crate) fn listen() -> Result<Self> {
        let mut signals = Signals::new([SIGINT, SIGTERM]).context("failed to listen for Ctrl-C")?;
        let (asked, receiver) = watch::channel(false);
        let wait = move || {
            for _ in signals.forever() {
                if asked.send_replace(true) {
                    std::process::exit(i32::from(EXIT_STATUS));
                }
                say(
                    "\nStopping: what was planned is taken back, and what was begun is waited for. Again to leave at once.",
                );
            }
        };
        thread::Builder::new().name("interrupt".to_owned()).spawn(wait).context("failed to wait for Ctrl-C")?;
        Ok(Self(receiver))
    }

    /// Whether it was asked for.
    pub(crate) fn is_asked(&self) -> bool {
        *self.0.borrow()
    }

    /// Until it is asked for.
    pub(crate) async fn asked(&self) {
        // The other end lives as long as the command.
        let _ = self.0.clone().wait_for(|asked| *asked).await;
    }
}
