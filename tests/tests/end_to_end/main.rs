//! The main job on a local AWS: the real templates, installed by the real command, the real binaries, the real SDK over
//! HTTP. Each story has accounts of its own, and is bounded in time.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic is how a test fails")]

mod control;
mod dead_letters;
mod doctor;
mod drift;
mod engines;
mod examples;
mod faults;
mod forwarding;
mod install;
mod rollout;
mod story;
