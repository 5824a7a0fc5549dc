//! What the functions need from the world, as traits, and the loop that every function shares.
//!
//! Two worlds implement them: `manifold-aws` on the AWS SDK, and `manifold-local` in one process. The handlers are
//! the same in both.
//!
//! **Invariant:** nothing here decides about runs. Decisions are `manifold-core`'s; a port does what it is told and
//! tells what happened.

pub mod batch;
pub mod checkup;
pub mod clock;
pub mod drift;
pub mod engine;
pub mod jobs;
pub mod ledger;
pub mod pace;
pub mod queues;
pub mod releases;
pub mod runs;
pub mod signing;
pub mod slack;
