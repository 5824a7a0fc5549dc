//! The front of the local AWS: one documented behaviour a test, by the real SDK's clients.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
