//! The real thing, on this machine: the real templates, installed by the real command, with the real binaries, on an
//! emulator of AWS that speaks HTTP.
//!
//! | module | is |
//! |---|---|
//! | [`server`] | the emulator: `ministack`, installed into a private environment, started, and ended with the tests |
//! | [`router`] | EventBridge's part in the forwarding of service events, played from what the templates installed |
//! | [`policy`] | IAM's policy language, for what the emulator does not evaluate |
//! | [`template`] | what CloudFormation made of a property that the emulator does not keep |
//! | [`patience`] | waiting, bounded and with words |

pub mod patience;
pub mod policy;
pub mod router;
pub mod server;
pub mod template;
