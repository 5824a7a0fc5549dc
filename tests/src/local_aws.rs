//! The real thing, on this machine: the real templates, installed by the real command, with the real binaries, on an
//! emulator of AWS that speaks HTTP.
//!
//! | module | is |
//! |---|---|
//! | [`organization`] | a hub with its member accounts and target pipelines: what a story is told about |
//! | [`server`] | the emulator: `ministack`, installed into a private environment, started, and ended with the tests |
//! | [`front`] | what stands before the emulator: CodePipeline, faults on request, and a Slack that refuses like Slack |
//! | [`buttons`] | what Slack sends when somebody presses a button |
//! | [`chance`] | what a seed draws |
//! | [`processes`] | the functions' processes, and their deaths |
//! | [`router`] | EventBridge's part in the forwarding of service events, played from what the templates installed |
//! | [`product`] | the functions' packages and the command, built as a user builds them |
//! | [`policy`] | IAM's policy language, for what the emulator does not evaluate |
//! | [`template`] | what CloudFormation made of a property that the emulator does not keep |
//! | [`patience`] | waiting, bounded and with words |

pub mod buttons;
pub mod chance;
pub mod front;
pub mod organization;
pub mod patience;
pub mod policy;
pub mod processes;
pub mod product;
pub mod router;
pub mod server;
pub mod template;
