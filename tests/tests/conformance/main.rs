//! Every engine through the same stories: the real adapters and the real SDK over the stand-in.
//!
//! What each story holds is promised in [`manifold_ports::engine`]. The engines are the rows of `table`; a story is a
//! function over a row. What only one service has is told beside it.
//!
//! | module | holds |
//! |---|---|
//! | `table` | the engines: what is started, by which calls, how it fails, what it is called where it is missing |
//! | `stage` | a target with what an engine needs, and a worker that asks |
//! | `promises` | what all of them promise |
//! | `refusals` | what goes wrong with each call, and what it means |
//! | `stacks` | change sets: made, reviewed, executed |
//! | `previews` | change sets: made to be looked at, and taken away |
//! | `deployments` | revisions and rollbacks |

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod deployments;
mod previews;
mod promises;
mod refusals;
mod stacks;
mod stage;
mod table;
