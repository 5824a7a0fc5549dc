//! `manifold validate` and `manifold schema`.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use anyhow::{Context, Result};
use manifold_fleet::{Fleet, Problem};
use serde_json::json;

use crate::args::{Output, Validate};

pub(crate) fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))
}

pub(crate) fn validate(options: &Validate) -> Result<ExitCode> {
    let text = read(&options.fleet)?;
    let name = options.fleet.display().to_string();
    let mut out = std::io::stdout().lock();
    match Fleet::parse(&name, &text) {
        Ok(fleet) => {
            match options.output {
                Output::Text => describe(&mut out, &name, &fleet)?,
                Output::Json => writeln!(out, "{}", json!({"file": name, "problems": []}))?,
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(problems) => {
            match options.output {
                Output::Text if out.is_terminal() => draw(&mut out, &name, &text, problems.iter())?,
                Output::Text => writeln!(out, "{problems}")?,
                Output::Json => {
                    let problems: Vec<_> = problems.iter().map(as_json).collect();
                    writeln!(out, "{}", json!({"file": name, "problems": problems}))?;
                }
            }
            Ok(ExitCode::FAILURE)
        }
    }
}

pub(crate) fn schema() -> Result<ExitCode> {
    writeln!(std::io::stdout().lock(), "{:#}", manifold_fleet::json_schema())?;
    Ok(ExitCode::SUCCESS)
}

fn describe(out: &mut impl Write, name: &str, fleet: &Fleet) -> Result<()> {
    let targets: usize = fleet.apps().map(|app| app.targets().len()).sum();
    let counted = |count: usize, one: &str| if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") };
    writeln!(
        out,
        "{name}: no problem found: {}, {}, {}, {}",
        counted(fleet.accounts().len(), "account"),
        counted(fleet.regions().len(), "region"),
        counted(fleet.apps().count(), "app"),
        counted(targets, "target"),
    )?;
    for app in fleet.apps() {
        writeln!(out, "  {}", app.name())?;
        for wave in app.waves() {
            writeln!(
                out,
                "    wave {:<12} {}, at most {} at once, tolerates {}",
                wave.name,
                counted(wave.size as usize, "target"),
                wave.max_concurrent,
                counted(wave.failure_tolerance as usize, "failure"),
            )?;
        }
    }
    Ok(())
}

/// As a compiler would show it.
fn draw<'a>(out: &mut impl Write, name: &str, text: &str, problems: impl Iterator<Item = &'a Problem>) -> Result<()> {
    let renderer = Renderer::styled();
    let mut count = 0_usize;
    for problem in problems {
        count += 1;
        let title = match problem.path() {
            "" => problem.message().to_owned(),
            path => format!("{} ({path})", problem.message()),
        };
        let mut group = Group::with_title(Level::ERROR.primary_title(title))
            .element(Snippet::source(text).path(name).annotation(AnnotationKind::Primary.span(problem.range())));
        if let Some(help) = problem.help() {
            group = group.element(Level::HELP.message(help));
        }
        if let Some(meant) = problem.did_you_mean() {
            group = group.element(Level::HELP.message(format!("did you mean \"{meant}\"?")));
        }
        writeln!(out, "{}\n", renderer.render(&[group]))?;
    }
    writeln!(out, "{name}: {count} problem{}", if count == 1 { "" } else { "s" })?;
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
