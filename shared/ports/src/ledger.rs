//! Where the facts are stored.

use std::future::Future;

use manifold_core::ids::{Nonce, RunId};
use manifold_core::ledger::{Commit, Key, Listing, Record};
use manifold_core::run::Target;

/// Why the ledger did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// It did not answer, or refused for now. The same call may go through later.
    #[error("the ledger is not available: {0}")]
    Unavailable(String),
    /// It refused for good: a missing table or permission.
    #[error("the ledger refused: {0}")]
    Refused(String),
    /// A stored item can't be read: it is damaged, or a newer version wrote it.
    #[error("ledger item {key} can't be read: {reason}")]
    Unreadable {
        /// Partition and sort key.
        key: String,
        /// Why.
        reason: String,
    },
}

/// Why a commit did not happen.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Somebody else wrote first. `found` are the items that blocked, as they are now, where the ledger told.
    #[error("another writer was first")]
    Conflict {
        /// What stands where a condition failed; `None` for an item that is gone or was not told.
        found: Vec<(Key, Option<Record>)>,
    },
    /// Nothing was tried, or it is not known whether it landed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// The one table.
pub trait Ledger: Send + Sync {
    /// Reads items, consistently. The answer has the order of `keys`.
    fn get(&self, keys: &[Key]) -> impl Future<Output = Result<Vec<Option<Record>>, LedgerError>> + Send;

    /// All targets of a run that were ever claimed, consistently, ordered by account and Region.
    fn targets(&self, run: &RunId) -> impl Future<Output = Result<Vec<Target>, LedgerError>> + Send;

    /// Writes all or nothing. Returns `Ok` as well when an earlier try of the same commit turns out to have landed.
    fn commit(&self, commit: Commit) -> impl Future<Output = Result<(), CommitError>> + Send;
}

/// Reads all items of a kind: what nobody needs to fold an event in.
pub trait Listings: Send + Sync {
    /// The items, consistently, in the listing's order.
    fn list(&self, listing: &Listing) -> impl Future<Output = Result<Vec<Record>, LedgerError>> + Send;
}

impl<T: Listings> Listings for &T {
    fn list(&self, listing: &Listing) -> impl Future<Output = Result<Vec<Record>, LedgerError>> + Send {
        (**self).list(listing)
    }
}

/// The runs and checks that are looked after: what `sweep` needs of the table besides, and nobody else.
pub trait OpenRuns: Send + Sync {
    /// All of them, consistently, checks before runs, and each ordered by its id. One that can't be read, such as one that a newer version wrote, is an
    /// error in its place, and keeps none of the others.
    fn open_runs(&self) -> impl Future<Output = Result<Vec<Result<Record, LedgerError>>, LedgerError>> + Send;

    /// Forgets one, unless somebody has written it since the writer with this mark: it may have been opened again.
    /// Says whether it is gone.
    fn forget(&self, key: &Key, nonce: &Nonce) -> impl Future<Output = Result<bool, LedgerError>> + Send;
}

impl<T: OpenRuns> OpenRuns for &T {
    fn open_runs(&self) -> impl Future<Output = Result<Vec<Result<Record, LedgerError>>, LedgerError>> + Send {
        (**self).open_runs()
    }
    fn forget(&self, key: &Key, nonce: &Nonce) -> impl Future<Output = Result<bool, LedgerError>> + Send {
        (**self).forget(key, nonce)
    }
}

impl<T: Ledger> Ledger for &T {
    fn get(&self, keys: &[Key]) -> impl Future<Output = Result<Vec<Option<Record>>, LedgerError>> + Send {
        (**self).get(keys)
    }
    fn targets(&self, run: &RunId) -> impl Future<Output = Result<Vec<Target>, LedgerError>> + Send {
        (**self).targets(run)
    }
    fn commit(&self, commit: Commit) -> impl Future<Output = Result<(), CommitError>> + Send {
        (**self).commit(commit)
    }
}
