//! `manifold install`: hub, member accounts and member Regions, planned as a whole and deployed in their order.
//!
//! | module | what it knows |
//! |---|---|
//! | [`options`] | what the operator may ask for |
//! | [`template`], [`pattern`], [`desired`] | fleet file and options → stacks with their parameters; no I/O |
//! | [`changes`], [`status`] | what CloudFormation's answers mean; no I/O |
//! | [`package`] | the functions' zips |
//! | [`code`] | the S3 bucket |
//! | [`secrets`] | the ARNs of the fleet's secrets |
//! | [`stack`] | one stack on AWS: plan, deploy, or leave as it was |
//! | [`run`] | the whole: who may do what, in which order |
//! | [`report`], [`watch`] | what is told |
//!
//! **Invariant:** nothing is changed for good before the plan was shown and agreed to, and what is not deployed leaves
//! nothing behind. The ledger is never deleted or replaced.

mod changes;
mod code;
mod desired;
pub(crate) mod options;
mod package;
mod pattern;
mod report;
mod run;
mod secrets;
pub(crate) mod stack;
mod status;
mod template;
mod watch;

use std::process::ExitCode;

use anyhow::{Result, anyhow};

use crate::{aws, paint, validate};
use desired::Code;
use options::{Install, Kind};
use package::Package;
use template::Template;

/// Reads and checks everything that needs no AWS, then does the rest.
pub(crate) fn install(options: &Install) -> Result<ExitCode> {
    let (text, fleet) = validate::read(&options.fleet, "nothing was deployed")?;
    let functions: Vec<String> = Template::of(Kind::Hub).functions().map(|(_, function)| function).collect();
    let package = Package::read(&options.package, &functions, options.architecture, &text)?;
    let code = Code {
        bucket: desired::bucket(&fleet, options),
        keys: package.keys(&options.prefix),
        architecture: package.architecture,
    };
    let stacks = desired::stacks(&fleet, options, &code)
        .map_err(|problems| anyhow!(problems.join(&format!("\n{} ", paint::error_word("error:")))))?;
    aws::runtime()?.block_on(run::Run { fleet, options, package, code }.go(stacks))
}
