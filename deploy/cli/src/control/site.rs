//! What the commands need of the place where Manifold runs: the ledger to read, two queues to send to, time.
//!
//! Nobody answers a command. It is a message, and what became of it is read from the ledger.

use anyhow::Result;
use manifold_core::changes::{Previewed, ToPreview};
use manifold_core::checkup::Tried;
use manifold_core::control::Who;
use manifold_core::ids::{ExecutionRef, Nonce, PipelineName, RunId};
use manifold_core::ledger::{Key, Listing, Record};
use manifold_core::message::Outgoing;
use manifold_core::release::Release;
use manifold_core::run::Target;
use manifold_core::time::{Span, Timestamp};

/// Looking ahead, and the time that it takes.
pub(crate) trait Ahead {
    /// What a release would do to stacks, one answer for each target.
    async fn preview(&self, asked: ToPreview) -> Result<Vec<Previewed>>;
    /// Takes away what is there for that, and says of each target whether nothing is left.
    async fn discard(&self, asked: ToPreview) -> Result<Vec<Tried<()>>>;
    /// Whether whoever gives the commands does not want to wait any more.
    fn is_to_stop(&self) -> bool;
    /// Lets a moment pass, before it is asked or read again.
    async fn pass(&self) -> Result<()>;
    /// Now.
    fn now(&self) -> Timestamp;
}

/// A place where Manifold runs.
pub(crate) trait Site: Ahead {
    /// Reads items, consistently. The answer has the order of `keys`.
    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Record>>>;
    /// All targets of a run that were ever claimed.
    async fn targets(&self, run: &RunId) -> Result<Vec<Target>>;
    /// The items of a listing, in its order.
    async fn list(&self, listing: &Listing) -> Result<Vec<Record>>;
    /// The runs that are looked after.
    async fn open_runs(&self) -> Result<Vec<RunId>>;
    /// Sends a message.
    async fn send(&self, message: Outgoing) -> Result<()>;
    /// Who gives the commands.
    async fn who(&self) -> Result<Who>;
    /// What the release pipeline tells of an execution of its own.
    async fn release(&self, pipeline: &PipelineName, source: &ExecutionRef) -> Result<Release>;
    /// How long what was sent is waited for.
    fn patience(&self) -> Span;
    /// A mark that was never used before.
    fn nonce(&self) -> Nonce;
    /// Asks whoever gives the commands. `None`: nobody can be asked.
    async fn agree(&self, question: &str) -> Result<Option<bool>>;
    /// Has whoever gives the commands choose. `None`: nobody can be asked.
    async fn choose(&self, question: &str, choices: &[String]) -> Result<Option<String>>;
}
