//! `manifold validate` and `manifold schema`.

use std::io::{self, Write};
use std::process::ExitCode;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use anyhow::Result;
use console::Term;
use manifold_fleet::{Fleet, Problem, Problems};
use serde_json::json;

use crate::args::{Output, Validate};
use crate::words::counted;
use crate::{input, print};

/// What a fleet file is, for those who named something else.
pub(crate) const FLEET: &str = "expected a fleet file, such as deploy/examples/fleet.yaml";

/// Wider than this, a snippet does not read better.
const WIDEST: u16 = 140;

pub(crate) fn validate(options: &Validate) -> Result<ExitCode> {
    let text = input::read(&options.fleet, FLEET)?;
    let name = input::name(&options.fleet);
    match Fleet::parse(&name, &text) {
        Ok(fleet) => {
            print(|out| match options.output {
                Output::Text => describe(out, &name, &fleet),
                Output::Json => writeln!(out, "{}", json!({"file": name, "problems": []})),
            })?;
            Ok(ExitCode::SUCCESS)
        }
        Err(problems) => {
            print(|out| match options.output {
                Output::Text => tell(out, &Term::stdout(), &text, &problems),
                Output::Json => {
                    let problems: Vec<_> = problems.iter().map(as_json).collect();
                    writeln!(out, "{}", json!({"file": name, "problems": problems}))
                }
            })?;
            Ok(ExitCode::FAILURE)
        }
    }
}

pub(crate) fn schema() -> Result<ExitCode> {
    print(|out| writeln!(out, "{:#}", manifold_fleet::json_schema()))?;
    Ok(ExitCode::SUCCESS)
}

/// Reads the fleet file of a command that needs a good one. Its problems are told, and `so` is what became of the command.
///
/// # Errors
/// It can't be read, or has problems.
#[cfg(feature = "aws")]
pub(crate) fn read(path: &std::path::Path, so: &str) -> Result<(String, Fleet)> {
    let text = input::read(path, FLEET)?;
    let name = input::name(path);
    match Fleet::parse(&name, &text) {
        Ok(fleet) => Ok((text, fleet)),
        Err(problems) => {
            // Where the problems can't be written the count below still says that there are some.
            let _ = tell(&mut io::stderr().lock(), &Term::stderr(), &text, &problems);
            anyhow::bail!("{name} has {}; {so}", counted(problems.len(), "problem"))
        }
    }
}

/// Tells every problem: as a compiler would show it on a terminal, a line each elsewhere.
pub(crate) fn tell(out: &mut dyn Write, to: &Term, text: &str, problems: &Problems) -> io::Result<()> {
    if !to.is_term() {
        return writeln!(out, "{problems}");
    }
    let renderer = if to.features().colors_supported() { Renderer::styled() } else { Renderer::plain() };
    let renderer = renderer.term_width(usize::from(to.size().1.min(WIDEST)));
    for problem in problems.iter() {
        writeln!(out, "{}\n", draw(&renderer, problems.file(), text, problem))?;
    }
    writeln!(out, "{}: {}", problems.file(), counted(problems.len(), "problem"))
}

fn draw(renderer: &Renderer, name: &str, text: &str, problem: &Problem) -> String {
    let title = match problem.path() {
        "" => problem.message().to_owned(),
        path => format!("{} ({path})", problem.message()),
    };
    // A problem stays on one line; looking through the whole of a large file for each would take long.
    let range = problem.range();
    let start = text.get(..range.start).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1);
    let end = text.get(range.end..).and_then(|after| after.find('\n')).map_or(text.len(), |at| range.end + at);
    let line = text.get(start..end).unwrap_or_default();
    let within = range.start.saturating_sub(start)..range.end.saturating_sub(start);
    let mut group = Group::with_title(Level::ERROR.primary_title(title)).element(
        Snippet::source(line)
            .line_start(problem.line() as usize)
            .path(name)
            .annotation(AnnotationKind::Primary.span(within)),
    );
    if let Some(help) = problem.help() {
        group = group.element(Level::HELP.message(help));
    }
    if let Some(meant) = problem.did_you_mean() {
        group = group.element(Level::HELP.message(format!("did you mean \"{meant}\"?")));
    }
    renderer.render(&[group])
}

fn describe(out: &mut dyn Write, name: &str, fleet: &Fleet) -> io::Result<()> {
    let targets: usize = fleet.apps().map(|app| app.targets().len()).sum();
    writeln!(
        out,
        "{name}: no problem found: {}, {}, {}, {}",
        counted(fleet.accounts().len(), "account"),
        counted(fleet.regions().len(), "region"),
        counted(fleet.apps().count(), "app"),
        counted(targets, "target"),
    )?;
    let waves = fleet.apps().flat_map(|app| app.waves());
    let width = waves.map(|wave| wave.name.chars().count()).max().unwrap_or(0);
    for app in fleet.apps() {
        let releases: Vec<String> =
            app.releases().iter().map(|release| format!("{} in {}", release.name(), release.region())).collect();
        writeln!(out, "  {}, released by {}", app.name(), releases.join(", "))?;
        for wave in app.waves() {
            writeln!(
                out,
                "    wave {:<width$}  {}, at most {} at once, tolerates {}",
                wave.name,
                counted(wave.size as usize, "target"),
                wave.max_concurrent,
                match wave.failure_tolerance {
                    0 => "no failure".to_owned(),
                    failures => counted(failures as usize, "failure"),
                },
            )?;
        }
        let aspects: Vec<&str> = app.aspects().iter().map(|aspect| aspect.name()).collect();
        let every = app.drift().every.map_or_else(|| "when asked for".to_owned(), |every| format!("every {every}"));
        writeln!(out, "    checked for drift {every}: {}", aspects.join(", "))?;
    }
    Ok(())
}

fn as_json(problem: &Problem) -> serde_json::Value {
    json!({
        "line": problem.line(),
        "column": problem.column(),
        "path": problem.path(),
        "message": problem.message(),
        "help": problem.help(),
        "did_you_mean": problem.did_you_mean(),
    })
}
