//! `manifold`: validate a fleet file, rehearse a release, see what would be posted.

mod args;
mod progress;
mod simulate;
mod validate;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use crate::args::{Args, Command};

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match args.command {
        Command::Demo(options) => simulate::demo(&options),
        Command::Simulate(options) => simulate::simulate(&options),
        Command::Validate(options) => validate::validate(&options),
        Command::Schema => validate::schema(),
    };
    match done {
        Ok(code) => code,
        // Whoever reads our output has seen enough: `manifold … | head`.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to tell if standard error is gone too.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::from(args::EXIT_USAGE)
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}
