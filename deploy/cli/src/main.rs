//! `manifold`: validate a fleet file, rehearse a release, see what would be posted.

mod args;
#[cfg(feature = "aws")]
mod aws;
#[cfg(feature = "aws")]
mod confirm;
mod control;
#[cfg(feature = "aws")]
mod dead_letters;
#[cfg(feature = "aws")]
mod doctor;
#[cfg(feature = "aws")]
mod hub;
mod input;
#[cfg(feature = "aws")]
mod install;
#[cfg(feature = "aws")]
mod interrupt;
mod paint;
mod play;
mod progress;
mod simulate;
mod validate;
mod words;

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{CommandFactory, Parser};

use crate::args::{Args, Command};
use crate::control::options::{Replay, Verb};

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match args.command {
        Command::Demo(options) => simulate::demo(&options),
        Command::Simulate(options) => simulate::simulate(&options),
        Command::Validate(options) => validate::validate(&options),
        Command::Schema => validate::schema(),
        Command::Play(options) => play::play(&options),
        Command::Completions(options) => completions(options.shell),
        Command::Control(Verb::Replay(Replay { from: Some(file), common, .. })) => {
            control::offline(&file, common.output)
        }
        #[cfg(feature = "aws")]
        Command::Control(verb) => control::control(&verb),
        #[cfg(not(feature = "aws"))]
        Command::Control(_) => Err(anyhow::anyhow!("this command is not in this build\n{}", args::WITHOUT_AWS)),
        #[cfg(feature = "aws")]
        Command::Install(options) => install::install(&options),
        #[cfg(not(feature = "aws"))]
        Command::Doctor(_) => Err(anyhow::anyhow!("\"manifold doctor\" is not in this build\n{}", args::WITHOUT_AWS)),
        #[cfg(not(feature = "aws"))]
        Command::DeadLetters(_) => {
            Err(anyhow::anyhow!("\"manifold dead-letters\" is not in this build\n{}", args::WITHOUT_AWS))
        }
        #[cfg(feature = "aws")]
        Command::DeadLetters(options) => dead_letters::dead_letters(&options),
        #[cfg(feature = "aws")]
        Command::Doctor(options) => doctor::doctor(&options),
        #[cfg(not(feature = "aws"))]
        Command::Install(_) => Err(anyhow::anyhow!("\"manifold install\" is not in this build\n{}", args::WITHOUT_AWS)),
    };
    done.unwrap_or_else(|error| {
        // Nothing is left to tell if standard error is gone too.
        let _ = writeln!(io::stderr(), "{} {error:#}", paint::error_word("error:"));
        ExitCode::from(args::EXIT_USAGE)
    })
}

fn completions(shell: clap_complete::Shell) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "manifold", &mut script);
    print(|out| out.write_all(&script))?;
    Ok(ExitCode::SUCCESS)
}

/// Writes to standard output. Whoever reads it may have seen enough (`manifold … | head`): that changes no answer.
fn print(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    match write(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        done => done.context("failed to write to standard output"),
    }
}

/// One line on standard error.
#[cfg(feature = "aws")]
fn say(words: &str) {
    // Nobody may be listening any more.
    let _ = writeln!(io::stderr().lock(), "{words}");
}
