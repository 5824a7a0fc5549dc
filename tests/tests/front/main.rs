//! The front of the local AWS: one documented behaviour a test, by the real SDK's clients and the functions' own
//! adapters where they make the call, by bare HTTP where a client would never send it.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod codepipeline;
mod emulator;
mod engines;
mod events;
mod faults;
mod identity;
mod slack;
mod stage;
mod watch;
