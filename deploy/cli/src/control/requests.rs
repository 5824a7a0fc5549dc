//! `start`, `retry`, `rollback`: requests for a new run, which `dispatch` plans and opens.

use anyhow::{Result, anyhow};
use manifold_core::control::{Answer, Command, Request, Which};
use manifold_core::ids::{ExecutionRef, RunId, TargetKey};
use manifold_core::ledger::Key;
use manifold_core::message::{Outgoing, Payload};
use manifold_core::run::Head;
use manifold_core::summary::text;
use manifold_fleet::{App, Fleet, Selection};
use serde_json::json;

use super::options::{Common, Retry, Rollback, Start};
use super::orders::{agreed, unanswered, why};
use super::site::Site;
use super::{Desk, EXIT_REFUSED, EXIT_UNKNOWN, find, watch};
use crate::args::Output;
use crate::input::advise;
use crate::words::counted;

/// How much of somebody's words is shown.
const WORDS: usize = 300;
/// The first choice of every menu.
const AS_IN_THE_FILE: &str = "as the fleet file says";

pub(super) async fn start<S: Site>(options: &Start, desk: &mut Desk<'_, S>) -> Result<u8> {
    let fleet = needed(desk.fleet, "start")?;
    let app = app(fleet, &options.app)?;
    let release = match &options.execution {
        Some(execution) => {
            let pipeline = release_pipeline(app, options.pipeline.as_deref())?;
            let key = TargetKey { account: fleet.hub().account().clone(), region: pipeline.region().clone() };
            let source = ExecutionRef { target: key, id: execution.parse()? };
            desk.site.release(pipeline.name(), &source).await?
        }
        None => newest(desk.site, app).await?.release,
    };
    let set = settings(desk.site, app, &options.set).await?;
    // The hub plans it by its own fleet file; what can't be planned by this one is told at once, and why.
    app.plan_for(
        &RunId::derive(app.name(), &release.source),
        &release,
        &Selection { set: &set, ..Selection::default() },
    )?;
    let (pipeline, source) = (release.pipeline, release.source);
    let what = Request::Start { app: app.name().clone(), pipeline, source, set, force: options.force };
    let command = command(desk.site, what, options.why.as_deref()).await?;
    if let Some(head) = find::head(desk.site, &command.run()).await? {
        let verdict = head.verdict().map_or("in progress", |verdict| verdict.words());
        return Err(advise(
            format!("this release has its run already: {}, {verdict}", head.run),
            format!("roll it out once more with --force, or only where it is missing: manifold retry {}", head.run),
        ));
    }
    give(desk, &command, &options.common, options.watch).await
}

pub(super) async fn retry<S: Site>(options: &Retry, desk: &mut Desk<'_, S>) -> Result<u8> {
    let of = find::run(desk.site, &options.run).await?;
    let which = match (options.all, options.targets.as_slice()) {
        (true, _) => Which::All,
        (false, []) => Which::Failed,
        (false, named) => Which::Named { targets: find::facts(desk.site, &of).await?.keys(named)? },
    };
    let command = command(desk.site, Request::Retry { of, which }, options.why.as_deref()).await?;
    give(desk, &command, &options.common, options.watch).await
}

pub(super) async fn rollback<S: Site>(options: &Rollback, desk: &mut Desk<'_, S>) -> Result<u8> {
    let of = find::run(desk.site, &options.run).await?;
    let which = match options.targets.as_slice() {
        [] => Which::All,
        named => Which::Named { targets: find::facts(desk.site, &of).await?.keys(named)? },
    };
    let question = match &which {
        Which::All | Which::Failed => format!("Bring every target that {of} got to back to what it had before?"),
        Which::Named { targets } => {
            format!("Bring {} back to what it had before {of}?", counted(targets.len(), "target"))
        }
    };
    if let Some(status) = agreed(desk, options.yes, &question, "\"manifold rollback\"").await? {
        return Ok(status);
    }
    let command = command(desk.site, Request::Rollback { of, which }, options.why.as_deref()).await?;
    give(desk, &command, &options.common, options.watch).await
}

/// What is set, and what is chosen of the parameters that have choices, if somebody can be asked.
async fn settings<S: Site>(site: &S, app: &App, set: &[(String, String)]) -> Result<Vec<(String, String)>> {
    let mut settings = set.to_vec();
    for parameter in app.parameter_choices() {
        let is_set = set.iter().any(|(name, _)| name == parameter.name());
        if parameter.choices().is_empty() || parameter.is_fixed() || is_set {
            continue;
        }
        let mut choices = vec![AS_IN_THE_FILE.to_owned()];
        choices.extend_from_slice(parameter.choices());
        let question = match parameter.description() {
            Some(description) => format!("{}: {description}", parameter.name()),
            None => parameter.name().to_owned(),
        };
        match site.choose(&question, &choices).await? {
            Some(chosen) if chosen != AS_IN_THE_FILE => settings.push((parameter.name().to_owned(), chosen)),
            Some(_) | None => {}
        }
    }
    Ok(settings)
}

async fn command<S: Site>(site: &S, what: Request, reason: Option<&str>) -> Result<Command<Request>> {
    let who = site.who().await?;
    Ok(Command { id: site.nonce(), at: site.now(), who, why: why(reason), what })
}

/// What became of a request.
enum Became {
    Opened(Box<Head>),
    Refused(String),
    Unknown,
}

async fn give<S: Site>(
    desk: &mut Desk<'_, S>,
    command: &Command<Request>,
    common: &Common,
    follow: bool,
) -> Result<u8> {
    let run = command.run();
    let request = Box::new(command.clone());
    desk.site.send(Outgoing::from(Payload::Open { request })).await?;
    let became = became(desk.site, &run, command).await?;
    match common.output {
        Output::Json => {
            let (answer, because) = match &became {
                Became::Opened(_) => ("opened", None),
                Became::Refused(because) => ("refused", Some(because)),
                Became::Unknown => ("unknown", None),
            };
            let document = json!({
                "run": run,
                "request": command.what,
                "id": command.id,
                "at": command.at.to_string(),
                "by": command.who,
                "why": command.why,
                "answer": answer,
                "because": because,
            });
            (desk.tell)(&format!("{document:#}\n"))?;
        }
        Output::Text => {
            let words = match &became {
                Became::Opened(head) => {
                    let size = counted(head.size() as usize, "target");
                    let verb = verb(&command.what);
                    format!("✔ opened {run}: {verb} on {size}, as {}\n", text::plain(&command.who.to_string(), WORDS))
                }
                Became::Refused(because) => format!("✖ refused: {}\n", text::plain(because, WORDS)),
                Became::Unknown => unanswered(match &command.what {
                    Request::Start { .. } => &run,
                    Request::Retry { of, .. } | Request::Rollback { of, .. } | Request::Restore { of, .. } => of,
                }),
            };
            (desk.tell)(&words)?;
        }
    }
    match became {
        Became::Opened(_) if follow => watch::follow(desk, &run, common.output).await,
        Became::Opened(_) => Ok(0),
        Became::Refused(_) => Ok(EXIT_REFUSED),
        Became::Unknown => Ok(EXIT_UNKNOWN),
    }
}

async fn became<S: Site>(site: &S, run: &RunId, command: &Command<Request>) -> Result<Became> {
    let of = match &command.what {
        Request::Start { .. } => run,
        Request::Retry { of, .. } | Request::Rollback { of, .. } | Request::Restore { of, .. } => of,
    };
    let keys = [Key::Head(run.clone()), Key::Decision(of.clone(), command.at, command.id.to_string())];
    let until = command.at.plus(site.patience());
    loop {
        for record in site.get(&keys).await?.into_iter().flatten() {
            if let Some(head) = record.item.get::<Head>() {
                return Ok(Became::Opened(Box::new(head.clone())));
            }
            if let Some(decision) = record.item.get::<manifold_core::control::Decision>()
                && let Answer::Refused { because } = &decision.answer
            {
                return Ok(Became::Refused(because.clone()));
            }
        }
        if site.now() >= until {
            return Ok(Became::Unknown);
        }
        site.pass().await?;
    }
}

fn verb(request: &Request) -> String {
    match request {
        Request::Start { .. } => "start".to_owned(),
        Request::Retry { of, .. } => format!("retry of {of}"),
        Request::Rollback { of, .. } => format!("rollback of {of}"),
        Request::Restore { of, .. } => format!("way back after drift check {of}"),
    }
}

/// The fleet file of a command that needs one.
pub(super) fn needed<'a>(fleet: Option<&'a Fleet>, verb: &str) -> Result<&'a Fleet> {
    fleet.ok_or_else(|| advise(format!("\"manifold {verb}\" needs the fleet file"), "name it: --fleet fleet.yaml"))
}

/// An app of the fleet.
pub(super) fn app<'a>(fleet: &'a Fleet, name: &str) -> Result<&'a App> {
    fleet.app(name).ok_or_else(|| {
        let known: Vec<&str> = fleet.apps().map(|app| app.name().as_str()).collect();
        advise(format!("the fleet file has no app {name}"), format!("it has {}", known.join(", ")))
    })
}

/// A release pipeline of an app.
pub(super) fn release_pipeline<'a>(app: &'a App, named: Option<&str>) -> Result<&'a manifold_fleet::ReleasePipeline> {
    let all = app.releases();
    let names = || all.iter().map(|release| release.name().as_str()).collect::<Vec<_>>().join(", ");
    match (named, all) {
        (Some(name), _) => all.iter().find(|release| release.name().as_str() == name).ok_or_else(|| {
            advise(format!("{name} is no release pipeline of {}", app.name()), format!("it has {}", names()))
        }),
        (None, [only]) => Ok(only),
        (None, []) => Err(anyhow!("{} has no release pipeline", app.name())),
        (None, _) => Err(advise(
            format!("{} has several release pipelines", app.name()),
            format!("choose one with --pipeline: {}", names()),
        )),
    }
}

/// The head of an app's newest run.
pub(super) async fn newest<S: Site>(site: &S, app: &App) -> Result<Head> {
    let newest = find::newest(site, app.name(), 1).await?.into_iter().next();
    let head = match newest {
        Some(opening) => find::head(site, &opening.run).await?,
        None => None,
    };
    head.ok_or_else(|| {
        advise(
            format!("{} has no run yet, so that there is no newest release", app.name()),
            "name an execution of its release pipeline: --execution ID",
        )
    })
}
