//! `plan`: what a release would do, before it does.

use std::collections::BTreeMap;

use anyhow::Result;
use manifold_core::engine::Service;
use manifold_core::ids::{ExecutionRef, RunId, TargetKey};
use manifold_core::known::Known;
use manifold_core::ledger::Listing;
use manifold_core::plan::{Plan, PlannedTarget, PlannedWave};
use manifold_core::release::{Release, Revision, Trigger};
use manifold_core::summary::text;
use manifold_core::time::Span;
use manifold_fleet::{App, Fleet, Selection};
use serde_json::json;

use super::look::table;
use super::preview::{self, Foreseen};
use super::requests::{app, needed, newest, release_pipeline};
use super::site::Site;
use super::{Desk, find, options};
use crate::args::Output;
use crate::paint;
use crate::words::{counted, grouped};

/// How many finished runs the time is estimated from.
const RUNS_LOOKED_AT: usize = 3;
/// How many of an app's newest runs are looked through for them.
const RUNS_LOOKED_THROUGH: u32 = 10;
/// How many targets of a kind are named before the rest is counted.
const MOST_NAMED: usize = 40;
/// What Manifold's own part of one target costs: Lambda, SQS, EventBridge and DynamoDB, in US dollars (prices of us-east-1,
/// 2026, without the free tier: a starter of 1.5 s and 256 MB, two forwarded events, 12 writes and 4 reads).
const CONTROL_PLANE: f64 = 2.05e-5;
/// An action-minute of a CodePipeline V2 pipeline, in US dollars (us-east-1, 2026).
const ACTION_MINUTE: f64 = 0.002;
/// Actions of a target pipeline, where nobody says.
const ACTIONS: u32 = 3;
/// Minutes of one of them, and of a build, where no earlier run tells.
const ACTION_MINUTES: i64 = 2;
/// A minute of a build on `general1.small`, in US dollars (us-east-1, 2026).
const BUILD_MINUTE: f64 = 0.005;

/// What a target has and gets.
struct Change<'a> {
    target: &'a PlannedTarget,
    has: Option<&'a Known>,
    is_same: bool,
}

/// All that is told.
struct Told<'a> {
    run: &'a RunId,
    app: &'a App,
    release: &'a Release,
    plan: &'a Plan,
    targets: Vec<Change<'a>>,
    estimate: Estimate,
    /// What change sets would do, if that was asked for.
    foreseen: Option<Foreseen<'a>>,
    hints: Vec<String>,
}

/// How long a run would take.
struct Estimate {
    /// What a target took, as the median of so many.
    target: Option<(Span, usize)>,
    /// All waves, with their bakes.
    whole: Option<Span>,
    /// How many waves wait for somebody besides.
    approvals: usize,
}

pub(super) async fn plan<S: Site>(options: &options::Plan, desk: &mut Desk<'_, S>) -> Result<u8> {
    let fleet = needed(desk.fleet, "plan")?;
    let app = app(fleet, &options.app)?;
    let release = release(options, app, fleet, desk.site).await?;
    let run = RunId::derive(app.name(), &release.source);
    let listed = desk.site.list(&Listing::Known(app.name().clone())).await?.into_iter();
    let known = listed.filter_map(|record| record.item.take()).map(|known: Known| (known.target.clone(), known));
    let known: BTreeMap<TargetKey, Known> = known.collect();
    let selection = Selection { set: &options.set, only: None, known: Some(&known) };
    let plan = app.plan_for(&run, &release, &selection)?;
    let change = |target| changes(target, &known);
    let targets: Vec<Change<'_>> = plan.targets.iter().map(change).collect();
    let estimate = estimate(desk.site, app, &plan).await?;
    let foreseen = match options.change_sets {
        true => Some(Box::pin(preview::foresee(desk.site, &run, &plan.targets)).await?),
        false => None,
    };
    let mut hints = Vec::new();
    if foreseen.is_none() {
        hints.extend(preview::hint(app.name().as_str(), &plan.targets));
    }
    let open = desk.site.open_runs().await?;
    if let Some(head) = find::head(desk.site, &run).await? {
        let verdict = head.verdict().map_or("in progress", |verdict| verdict.words());
        hints.push(format!("This release has its run already: {run}, {verdict}."));
    }
    for other in open.iter().filter(|other| other.app() == *app.name() && **other != run) {
        if find::head(desk.site, other).await?.is_some_and(|head| head.verdict().is_none()) {
            hints.push(format!("{other} is under way: see with \"manifold why {other}\" what it waits for."));
        }
    }
    hints.push("Whether roles, pipelines and forwarding are in place: manifold doctor.".to_owned());
    let told = Told { run: &run, app, release: &release, plan: &plan, targets, estimate, foreseen, hints };
    let text = match options.common.output {
        Output::Text => paint::summary(&draw(&told)),
        Output::Json => format!("{:#}\n", document(&told)),
    };
    (desk.tell)(&text)?;
    Ok(told.foreseen.as_ref().map_or(0, Foreseen::exit_status))
}

async fn release<S: Site>(options: &options::Plan, app: &App, fleet: &Fleet, site: &S) -> Result<Release> {
    let source = |execution: &str| -> Result<_> {
        let pipeline = release_pipeline(app, None)?;
        let target = TargetKey { account: fleet.hub().account().clone(), region: pipeline.region().clone() };
        Ok((pipeline.name().clone(), ExecutionRef { target, id: execution.parse()? }))
    };
    if let Some(execution) = &options.execution {
        let (pipeline, source) = source(execution)?;
        return site.release(&pipeline, &source).await;
    }
    if let Some(id) = &options.revision {
        let (pipeline, source) = source(id)?;
        let revision = Revision {
            id: id.clone(),
            action: String::new(),
            message: None,
            url: None,
            author: None,
            repository: None,
            reference: None,
            authored_at: None,
        };
        let (revision, trigger) = (Some(revision), Trigger::default());
        return Ok(Release {
            source,
            pipeline,
            revision,
            trigger,
            released_at: site.now(),
            started_at: None,
            stages: Vec::new(),
        });
    }
    Ok(newest(site, app).await?.release)
}

fn changes<'a>(target: &'a PlannedTarget, known: &'a BTreeMap<TargetKey, Known>) -> Change<'a> {
    let has = known.get(&target.key);
    let is_same = has.is_some_and(|known| known.current.fingerprint == target.fingerprint());
    Change { target, has, is_same }
}

async fn estimate<S: Site>(site: &S, app: &App, plan: &Plan) -> Result<Estimate> {
    let mut took: Vec<Span> = Vec::new();
    let mut looked_at = 0;
    for opening in find::newest(site, app.name(), RUNS_LOOKED_THROUGH).await? {
        let ended = find::head(site, &opening.run).await?.is_some_and(|head| head.tally().succeeded > 0);
        if !ended || looked_at >= RUNS_LOOKED_AT {
            continue;
        }
        looked_at += 1;
        let targets = site.targets(&opening.run).await?;
        took.extend(targets.iter().filter_map(|target| Some(target.ended_at()?.since(target.started_at?))));
    }
    took.sort();
    let median = took.get(took.len() / 2).map(|median| (*median, took.len()));
    let whole = median.map(|(each, _)| {
        plan.waves.iter().fold(Span::from_millis(0), |sum, wave| {
            let bake = wave.bake.as_ref().map_or(Span::from_millis(0), |bake| bake.time);
            let turns = i64::from(wave.size.div_ceil(wave.max_concurrent.max(1)));
            sum.plus(Span::from_millis(each.as_millis().saturating_mul(turns))).plus(bake)
        })
    });
    let approvals = plan.waves.iter().filter(|wave| wave.approval.is_some()).count();
    Ok(Estimate { target: median, whole, approvals })
}

fn cost(targets: &[Change<'_>], estimate: &Estimate) -> Cost {
    // Each action, and each build, is rounded up to the minute.
    let minutes = |parts: i64| {
        let minute = Span::from_minutes(1).as_millis() * parts;
        estimate.target.map_or(ACTION_MINUTES, |(each, _)| (each.as_millis() + minute - 1) / minute)
    };
    let (action_minutes, build_minutes) = (minutes(i64::from(ACTIONS)), minutes(1));
    let of = |service| targets.iter().filter(|change| change.target.subject.service() == service).count();
    let (pipelines, projects) = (of(Service::CodePipeline), of(Service::CodeBuild));
    Cost {
        own: targets.len() as f64 * CONTROL_PLANE,
        pipelines: (pipelines > 0)
            .then(|| pipelines as f64 * f64::from(ACTIONS) * action_minutes as f64 * ACTION_MINUTE),
        builds: (projects > 0).then_some(projects as f64 * build_minutes as f64 * BUILD_MINUTE),
        action_minutes,
        build_minutes,
    }
}

/// What a run costs, in US dollars, as far as it follows from its targets. Change sets are free, and so are deployments to
/// AWS's own compute; what they start is not known.
struct Cost {
    own: f64,
    /// `None` if no target has one.
    pipelines: Option<f64>,
    /// `None` if no target has one.
    builds: Option<f64>,
    action_minutes: i64,
    build_minutes: i64,
}

fn release_words(release: &Release) -> String {
    release.revision.as_ref().map_or_else(
        || "an unknown revision".to_owned(),
        |revision| {
            let message = revision.message.as_deref().map_or_else(String::new, |message| {
                format!(" “{}”", text::plain(message.lines().next().unwrap_or_default(), 80))
            });
            format!("{}{message}", text::plain(revision.short_id(), 40))
        },
    )
}

fn wave_words(wave: &PlannedWave) -> String {
    let mut words = format!(
        "{}, at most {} at once, tolerates {}{}",
        counted(wave.size as usize, "target"),
        grouped(wave.max_concurrent),
        match wave.failure_tolerance {
            0 => "no failure".to_owned(),
            failures => counted(failures as usize, "failure"),
        },
        if wave.strict { " (strictly)" } else { "" }
    );
    if let Some(approval) = &wave.approval {
        let names: Vec<&str> = approval.approvers.iter().map(|operator| operator.name.as_str()).collect();
        words.push_str(&format!("; waits for approval by {}, at most {}", names.join(", "), approval.valid_for));
    }
    if let Some(bake) = &wave.bake {
        words.push_str(&format!("; bakes for {}", bake.time));
        if !bake.alarms.is_empty() {
            words.push_str(&format!(", watching {}", bake.alarms.join(", ")));
        }
    }
    words
}

fn change_words(change: &Change<'_>, release: &Release) -> String {
    let new = change.target.release.as_deref().unwrap_or(release);
    let id = |release: &Release| {
        let revision = release.revision.as_ref();
        revision.map_or_else(|| "?".to_owned(), |revision| text::plain(revision.short_id(), 16))
    };
    match change.has {
        None => format!("nothing known → {}", id(new)),
        Some(_) if change.is_same => format!("{}, the same once more", id(new)),
        Some(known) => format!("{} → {}", id(&known.current.release), id(new)),
    }
}

/// How long it takes and what it costs.
fn costs(targets: &[Change<'_>], plan: &Plan, estimate: &Estimate) -> [String; 2] {
    let approvals = match estimate.approvals {
        0 => String::new(),
        waves => format!(
            ", and what {} for",
            if waves == 1 { "1 wave waits".to_owned() } else { format!("{waves} waves wait") }
        ),
    };
    let takes = match (estimate.target, estimate.whole) {
        (Some((each, of)), Some(whole)) => {
            format!("Takes    about {whole}{approvals}: {each} a target, the median of {} in earlier runs", grouped(of))
        }
        _ => format!("Takes    nobody knows how long{approvals}: no earlier run tells; at most {}", plan.deadline),
    };
    let Cost { own, pipelines, builds, action_minutes, build_minutes } = cost(targets, estimate);
    let sum = own + pipelines.unwrap_or_default() + builds.unwrap_or_default();
    let pipelines = pipelines.map(|pipelines| {
        format!(
            "CodePipeline ${pipelines:.2} (V2 pipelines of {ACTIONS} actions, {action_minutes} min each, at \
             ${ACTION_MINUTE} an action-minute)"
        )
    });
    let builds = builds.map(|builds| {
        format!("CodeBuild ${builds:.2} (general1.small, {build_minutes} min each, at ${BUILD_MINUTE} a minute)")
    });
    let parts: Vec<String> = pipelines.into_iter().chain(builds).chain([format!("Manifold ${own:.4}")]).collect();
    [takes, format!("Costs    about ${sum:.2}: {}", parts.join(", "))]
}

fn draw(told: &Told<'_>) -> String {
    let Told { run: _, app, release, plan, targets, estimate, foreseen, hints } = told;
    let mut lines = vec![format!(
        "{}: {} to {} in {}",
        app.name(),
        release_words(release),
        counted(targets.len(), "target"),
        counted(plan.waves.len(), "wave")
    )];
    for wave in &plan.waves {
        lines.push(String::new());
        lines.push(format!("wave \"{}\": {}", wave.name, wave_words(wave)));
        let first = wave.first as usize;
        let own = targets.get(first..first + wave.size as usize).unwrap_or_default();
        let rows = own.iter().take(MOST_NAMED).map(|change| {
            let target = change.target;
            vec![
                format!("  {}/{}", target.account_name, target.key.region),
                target.subject.to_string(),
                change_words(change, release),
            ]
        });
        lines.extend(table(rows.collect()).lines().map(str::to_owned));
        if let more @ 1.. = own.len().saturating_sub(MOST_NAMED) {
            lines.push(format!("  and {} more", grouped(more)));
        }
    }
    if !plan.unchanged.is_empty() {
        lines.push(String::new());
        lines.push(format!("{} left alone: the release is there already", counted(plan.unchanged.len(), "target")));
    }
    lines.extend(foreseen.iter().flat_map(Foreseen::draw));
    lines.push(String::new());
    if !targets.is_empty() {
        lines.extend(costs(targets, plan, estimate));
    }
    lines.extend(hints.iter().map(|hint| format!("Note     {hint}")));
    lines.push(String::new());
    lines.join("\n")
}

fn document(told: &Told<'_>) -> serde_json::Value {
    let Told { run, app: _, release, plan, targets, estimate, foreseen, hints } = told;
    let cost = cost(targets, estimate);
    let targets: Vec<_> = targets
        .iter()
        .map(|change| {
            json!({
                "account": change.target.key.account,
                "account_name": change.target.account_name,
                "region": change.target.key.region,
                "wave": change.target.wave,
                "pipeline": change.target.subject,
                "work": change.target.work,
                "variables": change.target.variables,
                "has": change.has.map(|known| &known.current),
                "same": change.is_same,
                "change_set": foreseen.as_ref().and_then(|foreseen| foreseen.document(&change.target.key)),
            })
        })
        .collect();
    json!({
        "run": run,
        "release": release,
        "waves": plan.waves,
        "targets": targets,
        "unchanged": plan.unchanged.iter().map(|target| &target.key).collect::<Vec<_>>(),
        "takes_ms": estimate.whole.map(Span::as_millis),
        "target_takes_ms": estimate.target.map(|(each, _)| each.as_millis()),
        "approvals": estimate.approvals,
        "costs_usd": {
            "codepipeline": cost.pipelines.unwrap_or_default(),
            "codebuild": cost.builds.unwrap_or_default(),
            "manifold": cost.own,
            "assumed": {
                "actions": ACTIONS,
                "minutes": cost.action_minutes,
                "action_minute": ACTION_MINUTE,
                "build_minutes": cost.build_minutes,
                "build_minute": BUILD_MINUTE,
            },
        },
        "change_sets_left": foreseen.as_ref().map(Foreseen::left).unwrap_or_default(),
        "hints": hints,
    })
}
