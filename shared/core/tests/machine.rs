//! The run as a state machine: messages in, facts and effects out.
//!
//! The stories name targets by their position in the plan, and effects as `start 3`, `start 0 attempt 2`,
//! `explain 0`, `summarize` and `activate web-…`. Every step of every story passes the checks of [`machine::play`]:
//! counts equal facts, a step carries only what changed, a closed run starts nothing.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod machine {
    pub(crate) mod play;

    mod claims;
    mod control;
    mod engines;
    mod events;
    mod figures;
    mod interleavings;
    mod letters;
    mod merging;
    mod queues;
    mod refusals;
    mod starts;
    mod sweep;
    mod turns;
    mod waves;
}
