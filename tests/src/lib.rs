//! What the tests of this folder share: the home fleet, stories over its embedded run, and the same stories over the
//! real adapters and a stand-in for AWS.
//!
//! | module | holds |
//! |---|---|
//! | [`simulation`] | thousands of stories, each from a seed, checked after every step |
//! | [`story`] | the embedded run: everything in one process and in virtual time |
//! | [`stored`] | what earlier versions left in the middle of a run |
//! | [`fuzzing`] | what must hold of any input, however bad: for fuzzers and tests |
//! | [`standin`] | AWS and Slack over HTTP, as far as the adapters use them, and not a step further |
//! | [`cloud`] | the five functions on the real adapters, fed as Scheduler, SQS and Lambda feed them |
//! | [`mixed`] | a fleet of all four engines, and what they need |
//! | [`local_aws`] | a local AWS, for the functions as Lambda runs them |
//! | [`wire`] | what AWS and Slack look like on the wire, for both |

#![allow(clippy::expect_used, clippy::missing_panics_doc, reason = "test support: a panic is how a test fails")]
#![recursion_limit = "256"]

#[cfg(feature = "aws")]
pub mod cloud;
pub mod fuzzing;
#[cfg(feature = "aws")]
pub mod local_aws;
#[cfg(feature = "aws")]
pub mod mixed;
pub mod simulation;
#[cfg(feature = "aws")]
pub mod standin;
pub mod stored;
pub mod story;
#[cfg(feature = "aws")]
pub mod wire;

pub use story::{Story, Told};

/// The fleet of the demo: 2 accounts × 5 Regions.
pub const FLEET: &str = include_str!("../../deploy/examples/fleet.yaml");
/// The release event of the demo.
pub const EVENT: &str = include_str!("../../deploy/examples/release-event.json");
/// The commit that the event releases.
pub const COMMIT: &str = "8cf40f2b1c6d4e5f8a9b0c1d2e3f4a5b6c7d8e9f";
