//! The embedded default: the real handlers and the real core in one process, over an in-memory ledger, in-memory
//! queues, simulated targets, and virtual time.
//!
//! For trying Manifold, for rehearsing a fleet file, for replaying recorded events, and for tests. Nothing sleeps: the
//! clock jumps to whatever is due next. Everything random comes from one seed, so a run can be repeated.
//!
//! | module | holds |
//! |---|---|
//! | [`behaviour`] | what a simulated target does when it is started |
//! | [`echo`] | events that real executions sent, sent again by simulated targets |
//! | [`faults`] | what may go wrong in it |
//! | [`world`] | the ledger, queues, engine, release pipeline, Slack and clock that the handlers are given |
//! | [`limits`] | how often simulated targets may be called |
//! | [`simulation`] | the loop that delivers messages to the handlers, as SQS and Lambda would |
//! | [`recording`] | a run that took place, played again |
//! | [`steps`] | a world that moves only as it is told to |
//! | [`report`] | what a simulation found, for people and for scripts |

pub mod behaviour;
pub mod echo;
mod envelope;
pub mod faults;
mod handlers;
pub mod limits;
mod pace;
pub mod recording;
pub mod report;
pub mod simulation;
pub mod steps;
mod tale;
pub mod world;
