//! The pure heart of Manifold: state and event in, new state and effects out.
//!
//! **Invariant:** no tokio, no AWS SDK, no clock, no randomness, no environment. Time, nonces and
//! identifiers are arguments. Cargo enforces it: look at this crate's manifest.
//!
//! | module | holds |
//! |---|---|
//! | [`brief`] | words from outside, as an error shows them |
//! | [`ids`] | validated names: accounts, regions, apps, runs, targets |
//! | [`time`] | [`time::Timestamp`], the only notion of time |
//! | [`release`] | what is deployed, and who released it |
//! | [`plan`] | the immutable list of targets of a run, with every choice made |
//! | [`control`] | what operators decide, and the record of it |
//! | [`invoke`] | the release pipeline that waits for a run |
//! | [`known`] | what is known to be deployed in a target |
//! | [`drift`] | drift checks: what was seen, against what should be there |
//! | [`engine`] | which services do the work in targets, what they start, and with what |
//! | [`changes`] | what a change set would do, and whether it may |
//! | [`event`] | the lenient decoder of what AWS sends |
//! | [`figures`] | pipeline figures: how often, how fast and how safely releases go out |
//! | [`run`] | the state machine: heads, targets, attempts, outcomes, verdicts |
//! | [`pace`] | how fast an API may be called, learnt from its throttling |
//! | [`ledger`] | keys and items as they are stored, with their schema version |
//! | [`message`] | what functions send each other through queues |
//! | [`press`] | what Slack sends when somebody presses a button, and whether it was Slack |
//! | [`console`] | links into the AWS consoles of each partition |
//! | [`summary`] | the model of the one message, and its Slack form |
//! | [`checkup`] | what the functions are asked about accounts, Regions and Slack, and what their answers mean |
//! | [`deadletter`] | what dead letters are, why they are there, and whether putting them back would help |
//! | [`wildcard`] | patterns of names, as IAM and EventBridge read them |

pub mod brief;
pub mod changes;
pub mod checkup;
pub mod console;
pub mod control;
pub mod deadletter;
pub mod drift;
pub mod engine;
pub mod event;
pub mod figures;
pub mod ids;
pub mod invoke;
pub mod known;
pub mod ledger;
pub mod message;
pub mod pace;
pub mod plan;
pub mod press;
pub mod release;
pub mod run;
pub mod summary;
pub mod time;
pub mod wildcard;
