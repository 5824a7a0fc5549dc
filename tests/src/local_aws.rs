//! A local AWS for the end-to-end tests: the real functions over HTTP.
//!
//! | module | holds |
//! |---|---|
//! | [`front`] | what stands before the emulator: CodePipeline, faults on request, and a Slack that refuses like Slack |

pub mod front;
