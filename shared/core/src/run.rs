//! The run as a state machine.
//!
//! ```text
//!             activate                release            claim            start              events
//!  Waiting ───────────► Active ─ wave ─────────► queued ───────► claimed ───────► running ──────────► ended
//!     │                   │                                         │  refused, unreachable             │
//!     │ newer release     │ all ended, halted or past deadline      └───────────────────────────────────┤
//!     ▼                   ▼                                                                             │
//!   Closed ◄─────────── Closed ── verdict once nothing is in flight ◄────────────────────────────────────┘
//! ```
//!
//! | module | holds |
//! |---|---|
//! | [`seen`] | what was observed of one execution, merged without regard to order |
//! | [`status`] | where a target stands, and how it ended |
//! | [`target`] | one target: facts, and the status derived from them |
//! | [`head`] | the run as a whole: waves, counts, verdict |
//! | [`observation`] | what an event tells, cut down to what moves a run |
//! | [`machine`] | [`machine::Run`]: one event in, new facts and effects out |
//! | [`posting`] | the life of the one Slack message |
//! | [`sweep`] | what is still to be done, from state alone |
//!
//! **Invariant:** status is derived from facts and never stored beside them. Effects are derived from state:
//! a duplicate event changes nothing, and yields the effects that its first arrival may have lost.

pub mod head;
pub mod machine;
pub mod observation;
pub mod posting;
pub mod seen;
pub mod status;
pub mod sweep;
pub mod target;

pub use head::{Closing, Ending, Head, Hold, NoWayBack, Phase, Tally, Verdict, Wave};
pub use machine::{AlarmsSeen, AppQueue, Effect, Event, Opened, Refusal, Run, Step, Told, Wanted};
pub use observation::{Learnt, Observation, Observed, Standing, build_failed_in, resource_failed};
pub use seen::Seen;
pub use status::{Outcome, Status};
pub use target::{Heard, HeardOf, Reason, ReasonSource, Target, Throttled};
