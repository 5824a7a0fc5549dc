//! The adapters on the wire: the real SDK over real HTTP, to a server that answers as AWS and Slack would.
//!
//! Each test says what is answered, in order, and then looks at what was asked. A request that nobody expected and an
//! answer that nobody asked for both fail the test.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what tests share fails by panicking")]

mod access;
mod cbor;
mod clients;
mod credentials;
mod drift_items;
mod engine;
#[cfg(feature = "inspect")]
mod inspect;
mod ledger;
mod open_runs;
mod pace;
mod queues;
mod releases;
#[cfg(feature = "revert")]
mod revert;
mod samples;
mod secrets;
mod slack;
mod slack_look;
mod stub;
#[cfg(feature = "inspect")]
mod watch;
