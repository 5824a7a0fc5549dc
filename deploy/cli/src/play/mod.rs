//! `manifold play`: scenarios that a person can read, run in the embedded world in virtual time.

mod scenario;
mod stage;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use manifold_fleet::Fleet;
use similar::TextDiff;

use crate::input::{self, advise};
use crate::print;
use scenario::{Part, Scenario};
use stage::Stage;

/// What the help says after the options.
pub(crate) const HELP: &str = r#"A scenario is a Markdown file. A block of ```yaml is its fleet file, or a line "Fleet: PATH" names one.
Commands stand in blocks of ```console, each after "$ "; what follows one is what it told:

  $ release APP REVISION ["MESSAGE"]      the app's release pipeline succeeds
  $ wait [TIME]                           time passes, as 90s, 10m or 2h; without a time until every run
                                          has its verdict or waits for somebody, and every drift check has ended
  $ fail ACCOUNT/REGION=WHAT              what the target does from now on, as --fail of "manifold simulate"
  $ alarm ACCOUNT/REGION NAME [on|off]    an alarm goes into ALARM, or out of it
  $ tamper ACCOUNT/REGION WHAT            somebody does something to the target by hand: start REVISION, edit PROJECT,
                                          disable STAGE, change STACK, remove-role; repair undoes all but the start
  $ tick drift                            the schedule of drift checks ticks
  $ as NAME                               who gives the next commands: an operator of the fleet, or anybody
  $ manifold COMMAND ...                  plan, start, status, watch, history, stats, show, why, replay,
                                          approve, reject, pause, resume, abort, retry, rollback, drift
  $ slack [APP]                           the one message of the newest run, as it stands in Slack

Exit status:
  0  it was played; with --check, every command told what the file says
  1  with --check: it told something else
  2  the command was not understood, or a file could not be read or used"#;

/// Which scenarios, and what with them.
#[derive(Debug, Args)]
pub(crate) struct Play {
    /// Scenarios; '-' reads standard input
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Compare with what the files say, and show what differs
    #[arg(long, conflicts_with = "write")]
    pub(crate) check: bool,
    /// Write what the commands tell into the files
    #[arg(long)]
    pub(crate) write: bool,
}

pub(crate) fn play(options: &Play) -> Result<ExitCode> {
    // A transcript is the same wherever it is played.
    console::set_colors_enabled(false);
    let mut differs = false;
    for file in &options.files {
        let text = input::read(file, "expected a scenario, as \"manifold help play\" describes it")?;
        let played = played(file, &text)?;
        if options.write {
            if played != text {
                std::fs::write(file, played)?;
            }
        } else if options.check {
            if played != text {
                differs = true;
                let name = input::name(file);
                let diff = TextDiff::from_lines(&text, &played);
                let diff = diff.unified_diff().header(&name, "as played").to_string();
                print(|out| out.write_all(diff.as_bytes()))?;
            }
        } else {
            print(|out| out.write_all(scenario::transcript(&played).as_bytes()))?;
        }
    }
    Ok(if differs { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// A scenario, with what its commands tell now.
fn played(file: &Path, text: &str) -> Result<String> {
    let name = input::name(file);
    let Scenario { fleet, parts } = Scenario::read(&name, text)?;
    let (fleet_name, fleet) = match fleet {
        scenario::Source::Inline(text) => (name.clone(), text),
        scenario::Source::File(path) => {
            let path = file.parent().unwrap_or(Path::new(".")).join(path);
            (input::name(&path), input::read(&path, crate::validate::FLEET)?)
        }
    };
    let fleet = match Fleet::parse(&fleet_name, &fleet) {
        Ok(fleet) => fleet,
        Err(problems) => {
            bail!("the fleet file of {name} can't be used\n{problems}")
        }
    };
    let mut stage = Stage::new(fleet);
    let mut out = String::with_capacity(text.len());
    let mut is_first = true;
    for part in parts {
        match part {
            Part::Prose(prose) => {
                is_first = true;
                out.push_str(prose);
            }
            Part::Command { line, number } => {
                // Each command stands apart from what the one before it told.
                if !std::mem::take(&mut is_first) {
                    out.push('\n');
                }
                out.push_str(&format!("$ {line}\n"));
                let told = stage.play(line).map_err(|error| advise(format!("{name}:{number}: {error:#}"), USAGE))?;
                out.push_str(&told);
            }
        }
    }
    Ok(out)
}

const USAGE: &str = "\"manifold help play\" lists the commands of a scenario";
