//! What AWS and Slack look like on the wire, for everything here that plays them: the strict stand-in of the stories
//! and the front of the local AWS.
//!
//! | module | holds |
//! |---|---|
//! | [`signature`] | the credential scope of a signed request |
//! | [`engines`] | CodeBuild, CodeDeploy and CloudFormation, as machines of state |
//! | [`events`] | CodePipeline's events, as EventBridge gets them |
//! | `shape` | what the body of a request must look like |
//! | [`slack`] | a Slack workspace that refuses what Slack refuses |

pub mod engines;
pub mod events;
pub(crate) mod shape;
pub mod signature;
pub mod slack;

use manifold_core::ids::Nonce;
use manifold_core::time::Timestamp;
use serde_json::{Value, json};

/// Seconds since the epoch with milliseconds, as AWS's JSON protocols write time.
#[must_use]
pub fn epoch(at: Timestamp) -> Value {
    let millis = at.as_millis();
    let text = format!("{}.{:03}", millis.div_euclid(1000), millis.rem_euclid(1000));
    serde_json::from_str(&text).unwrap_or(Value::Null)
}

/// An error of a service that speaks JSON (Smithy specification, "AWS JSON 1.1 protocol", "Error response
/// serialization").
#[must_use]
pub fn json_error(code: &str, message: &str) -> Value {
    json!({"__type": code, "message": message})
}

/// A UUID in lower case, made of 128 random bits.
#[must_use]
pub fn uuid(nonce: &Nonce) -> String {
    let digits = nonce.to_string();
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    format!("{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32))
}

/// An id of the form of a UUID, made from a number.
pub(crate) fn uuid_of(kind: u16, number: u64) -> String {
    format!("{kind:08x}-0000-4000-8000-{number:012x}")
}

/// RFC 3339 in UTC with milliseconds, such as `2026-10-26T13:49:39.208Z`.
#[must_use]
pub fn with_millis(at: Timestamp) -> String {
    let text = at.to_string();
    format!("{}.{:03}Z", text.trim_end_matches('Z'), at.as_millis().rem_euclid(1000))
}
