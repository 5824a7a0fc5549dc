//! The adapters on the wire: the real SDK over real HTTP, to a server that answers as AWS and Slack would.
//!
//! Each test says what is answered, in order, and then looks at what was asked. A request that nobody expected and an
//! answer that nobody asked for both fail the test.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what tests share fails by panicking")]

#[cfg(feature = "engines")]
mod access;
#[cfg(feature = "engines")]
mod cbor;
mod clients;
#[cfg(feature = "engines")]
mod cloudformation;
#[cfg(feature = "engines")]
mod codebuild;
#[cfg(feature = "engines")]
mod codedeploy;
mod credentials;
mod drift_items;
#[cfg(feature = "engines")]
mod engine;
#[cfg(feature = "inspect")]
mod inspect;
mod ledger;
mod open_runs;
mod pace;
mod queues;
mod releases;
#[cfg(feature = "engines")]
mod revert;
mod samples;
mod secrets;
mod slack;
mod slack_look;
mod stub;
#[cfg(feature = "inspect")]
mod watch;
