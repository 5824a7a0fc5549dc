//! `status`, `history`, `show`, `why`: looks that change nothing.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use console::measure_text_width;
use manifold_core::console as aws_console;
use manifold_core::control::{Answer, Decision, Origin};
use manifold_core::engine::Service;
use manifold_core::ids::{AppName, RunId, TargetKey};
use manifold_core::plan::PlannedTarget;
use manifold_core::run::{
    Head, Heard, HeardOf, Hold, Learnt, Outcome, Phase, ReasonSource, Status as TargetStatus, Target, Verdict,
};
use manifold_core::summary::{Summary, text};
use manifold_core::time::Span;
use serde_json::json;

use super::Desk;
use super::find::{self, Facts};
use super::options::{History, Show, ShowOutput, Status, Why};
use super::site::Site;
use crate::args::Output;
use crate::input::advise;
use crate::paint;
use crate::words::{grouped, symbol};

/// How much of somebody's words is shown.
const WORDS: usize = 240;
/// How many targets are named before the rest is counted.
const MOST_NAMED: usize = 8;

pub(super) async fn status<S: Site>(options: &Status, desk: &mut Desk<'_, S>) -> Result<u8> {
    let mut apps: BTreeSet<AppName> = BTreeSet::new();
    let mut runs: BTreeSet<RunId> = BTreeSet::new();
    for run in desk.site.open_runs().await? {
        apps.insert(run.app());
        runs.insert(run);
    }
    apps.extend(desk.fleet.iter().flat_map(|fleet| fleet.apps()).map(|app| app.name().clone()));
    if let Some(name) = &options.app {
        let app: AppName = name.parse()?;
        apps = BTreeSet::from([app.clone()]);
        runs.retain(|run| run.app() == app);
    }
    for app in &apps {
        runs.extend(find::newest(desk.site, app, 1).await?.into_iter().map(|opening| opening.run));
    }
    let mut heads = Vec::new();
    for run in &runs {
        heads.extend(find::head(desk.site, run).await?);
    }
    heads.sort_by(|one, other| (&one.app, one.opened_at, &one.run).cmp(&(&other.app, other.opened_at, &other.run)));
    if options.common.output == Output::Json {
        let runs: Vec<_> = heads
            .iter()
            .map(|head| {
                json!({
                    "run": head.run,
                    "app": head.app,
                    "verdict": head.verdict(),
                    "revision": head.release.revision.as_ref().map(|revision| &revision.id),
                    "origin": head.origin,
                    "opened_at": head.opened_at.to_string(),
                    "ended": head.tally().ended(),
                    "size": head.size(),
                    "waits_for": waits(head),
                })
            })
            .collect();
        (desk.tell)(&format!("{:#}\n", json!({ "runs": runs })))?;
        return Ok(0);
    }
    if heads.is_empty() {
        let of = options.app.as_ref().map_or_else(String::new, |app| format!(" of {app}"));
        (desk.tell)(&format!("No run{of} yet.\n"))?;
        return Ok(0);
    }
    let rows = heads
        .iter()
        .map(|head| vec![format!("{} {}", mark(head), head.app), head.run.to_string(), revision(head), standing(head)]);
    (desk.tell)(&paint::summary(&table(rows.collect())))?;
    Ok(0)
}

pub(super) async fn history<S: Site>(options: &History, desk: &mut Desk<'_, S>) -> Result<u8> {
    let app: AppName = options.app.parse()?;
    let mut heads = Vec::new();
    for opening in find::newest(desk.site, &app, options.limit).await? {
        heads.extend(find::head(desk.site, &opening.run).await?);
    }
    if options.common.output == Output::Json {
        let runs: Vec<_> = heads
            .iter()
            .map(|head| {
                json!({
                    "run": head.run,
                    "opened_at": head.opened_at.to_string(),
                    "origin": head.origin,
                    "revision": head.release.revision.as_ref().map(|revision| &revision.id),
                    "verdict": head.verdict(),
                    "took_ms": took(head).map(Span::as_millis),
                    "tally": head.tally(),
                    "size": head.size(),
                })
            })
            .collect();
        (desk.tell)(&format!("{:#}\n", json!({ "app": app, "runs": runs })))?;
        return Ok(0);
    }
    if heads.is_empty() {
        return Err(advise(format!("{app} has no run"), "list all apps with \"manifold status\""));
    }
    let rows = heads.iter().map(|head| {
        vec![
            format!("{} {}", mark(head), head.run),
            head.opened_at.to_string(),
            revision(head),
            match (head.verdict(), took(head)) {
                (Some(verdict), Some(took)) => format!("{} in {took}", verdict.words()),
                (Some(verdict), None) => verdict.words().to_owned(),
                (None, _) => standing(head),
            },
            origin(head),
        ]
    });
    (desk.tell)(&paint::summary(&table(rows.collect())))?;
    Ok(0)
}

pub(super) async fn show<S: Site>(options: &Show, desk: &mut Desk<'_, S>) -> Result<u8> {
    let run = find::run(desk.site, &options.run).await?;
    let decisions = find::decisions(desk.site, &run).await?;
    match options.output {
        ShowOutput::Jsonl => {
            for decision in &decisions {
                let line = json!({
                    "run": run,
                    "at": decision.at.to_string(),
                    "id": decision.id,
                    "who": decision.who,
                    "what": decision.what,
                    "why": decision.why,
                    "answer": decision.answer,
                });
                (desk.tell)(&format!("{line}\n"))?;
            }
        }
        ShowOutput::Json => {
            let facts = find::facts(desk.site, &run).await?;
            let document = json!({ "summary": facts.summary(), "decisions": decisions });
            (desk.tell)(&format!("{document:#}\n"))?;
        }
        ShowOutput::Text => {
            let summary = find::facts(desk.site, &run).await?.summary();
            (desk.tell)(&paint::summary(&text::render(&summary)))?;
            if options.decisions {
                (desk.tell)(&format!("\nDecisions\n{}", told(&decisions)))?;
            }
        }
    }
    Ok(0)
}

/// Decisions for people, a line each.
pub(super) fn told(decisions: &[Decision]) -> String {
    if decisions.is_empty() {
        return "  none yet\n".to_owned();
    }
    // A link is longer than any column, and of no use when it is cut.
    let parts = |decision: &Decision| match decision.what.rsplit_once(": ") {
        Some((what, link)) if aws_console::is_console_link(link) => (what.to_owned(), Some(link.to_owned())),
        Some(_) | None => (decision.what.clone(), None),
    };
    let rows = decisions.iter().map(|decision| {
        let answer = match &decision.answer {
            Answer::Done => String::new(),
            Answer::Refused { because } => format!("refused: {}", text::plain(because, WORDS)),
        };
        let why = decision.why.as_deref().map_or_else(String::new, |why| format!("“{}”", text::plain(why, WORDS)));
        vec![
            format!("  {}", decision.at),
            text::plain(&decision.who.to_string(), 60),
            text::plain(&parts(decision).0, WORDS),
            [answer, why].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("  "),
        ]
    });
    let table = table(rows.collect());
    let lines = table.lines().zip(decisions).map(|(line, decision)| {
        let link = parts(decision).1.map_or_else(String::new, |link| format!("    {link}\n"));
        format!("{line}\n{link}")
    });
    lines.collect()
}

pub(super) async fn why<S: Site>(options: &Why, desk: &mut Desk<'_, S>) -> Result<u8> {
    let run = find::run(desk.site, &options.run).await?;
    let facts = find::facts(desk.site, &run).await?;
    let text = match (&options.target, options.common.output) {
        (None, Output::Text) => of_run(&facts, desk.site),
        (None, Output::Json) => {
            let summary = facts.summary();
            format!(
                "{:#}\n",
                json!({
                    "run": run,
                    "verdict": summary.verdict,
                    "closing": summary.closing,
                    "waits_for": summary.waits_for,
                    "causes": summary.causes,
                    "next_step": summary.next_step(),
                })
            )
        }
        (Some(named), output) => {
            let planned = facts.target(named)?;
            let target = facts.targets.iter().find(|target| target.key == planned.key);
            match output {
                Output::Text => of_target(&facts, planned, target),
                Output::Json => format!("{:#}\n", json!({ "run": run, "planned": planned, "target": target })),
            }
        }
    };
    (desk.tell)(&paint::summary(&text))?;
    Ok(0)
}

/// What a run waits for, or why it ended as it did.
fn of_run<S: Site>(facts: &Facts, site: &S) -> String {
    let Facts { head, .. } = facts;
    let summary = facts.summary();
    let mut lines = vec![text::headline(&summary)];
    lines.extend(summary.waits_for.iter().map(|wait| format!("  waits for {}", text::plain(wait, WORDS))));
    lines.extend(summary.deeds.iter().map(|deed| format!("  {}", text::plain(deed, WORDS))));
    if let Some(closing) = &summary.closing {
        lines.push(format!("  {}", text::plain(&closing.words(), WORDS)));
    }
    for group in &summary.causes {
        let named: Vec<String> = group
            .targets
            .iter()
            .filter_map(|index| summary.targets.get(*index))
            .take(MOST_NAMED)
            .map(|line| format!("{}/{}", line.account_name, line.key.region))
            .collect();
        let more = group.targets.len().saturating_sub(named.len());
        let more = if more > 0 { format!(" and {} more", grouped(more)) } else { String::new() };
        let sign = symbol(TargetStatus::Ended(group.outcome));
        lines.push(format!("{sign} {}: {}{more}", text::plain(&group.cause, WORDS), named.join(", ")));
    }
    let run = &head.run;
    let next = match head.hold(site.now()) {
        Some(Hold::Approval { wave, .. }) => {
            let wave = head.waves.get(wave).map_or("", |wave| wave.plan.name.as_str());
            Some(format!("manifold approve {run} {wave}, or manifold reject {run} {wave}"))
        }
        Some(Hold::Paused { .. }) => Some(format!("manifold resume {run}, or manifold abort {run}")),
        Some(Hold::Bake { .. } | Hold::Alarms { .. }) | None => summary.next_step(),
    };
    lines.extend(next.map(|next| format!("What to do: {next}")));
    let failed = summary.causes.iter().flat_map(|group| &group.targets).find_map(|at| summary.targets.get(*at));
    lines.extend(
        failed.map(|line| format!("Of one target: manifold why {run} {}/{}", line.account_name, line.key.region)),
    );
    lines.push(String::new());
    lines.join("\n")
}

/// Why a target stands where it does.
fn of_target(facts: &Facts, planned: &PlannedTarget, target: Option<&Target>) -> String {
    let Facts { head, .. } = facts;
    let summary = facts.summary();
    let line = summary.targets.iter().find(|line| line.key == planned.key);
    let status = line.map_or(TargetStatus::Waiting, |line| line.status);
    let place = format!("{}/{}", planned.account_name, planned.key.region);
    let mut rows: Vec<(&str, String)> = Vec::new();
    if let Some(reason) = target.and_then(|target| target.reason.as_ref()) {
        rows.push(("Why", text::plain(&reason.cause, WORDS)));
        rows.extend(reason.detail.as_deref().map(|detail| ("", text::plain(detail, WORDS))));
        rows.extend(safe(reason.link.as_deref()).map(|link| ("", link)));
        rows.push((
            "Told by",
            match reason.source {
                ReasonSource::Event => "the failed action's event",
                ReasonSource::Engine => "the engine, when it was asked",
                ReasonSource::Manifold => "Manifold: nothing was started, or nothing answered",
            }
            .to_owned(),
        ));
    } else if let Some(cause) = line.and_then(|line| line.cause.as_deref()) {
        rows.push(("Why", text::plain(cause, WORDS)));
    }
    rows.extend(waiting(facts, planned, status).map(|waits| ("Waits for", waits)));
    rows.push(("Wave", wave_words(head, planned)));
    let what = planned.subject.service();
    let noun = match what {
        Service::CodePipeline => "Pipeline",
        Service::CodeBuild => "Project",
        Service::CloudFormation => "Stack",
        Service::CodeDeploy => "Group",
    };
    rows.push((noun, format!("{} in {} {}", planned.subject.name(), planned.key.account, planned.key.region)));
    if let Some(target) = target {
        rows.push(("Attempt", format!("{} of at most {}", target.attempt, head.max_attempts)));
        rows.extend(target.execution.as_ref().map(|execution| ("Execution", execution.to_string())));
        rows.extend(line.and_then(|line| safe(line.link.as_deref())).map(|link| ("", link)));
        if let Some(started) = target.started_at {
            let took = target.ended_at().map_or_else(String::new, |ended| format!(", took {}", ended.since(started)));
            rows.push(("Started", format!("{started}{took}")));
        }
        if let Some(seen) = &target.seen {
            let attempt = match seen.attempt() {
                1 => String::new(),
                attempt => format!(", in attempt {attempt} of its own account"),
            };
            let learnt = if target.asked_for > 0 { "; asked for, as its event did not arrive" } else { "" };
            let what = if target.already { "; there was nothing to do" } else { "" };
            rows.push(("Seen", format!("{} at {}{attempt}{learnt}{what}", seen.state(), seen.at())));
        }
        if let Some(gave_up) = target.gave_up {
            rows.push(("Given up", format!("as {} at {}", gave_up.outcome.words(), gave_up.at)));
        }
        for (position, heard) in target.heard.iter().enumerate() {
            rows.push((if position == 0 { "Heard" } else { "" }, heard_words(target, heard)));
        }
        for past in &target.past {
            let reason = past
                .reason
                .as_ref()
                .map_or_else(|| "no reason known".to_owned(), |reason| text::plain(&reason.cause, WORDS));
            let execution = past.execution.as_ref().map_or_else(String::new, |execution| format!(" ({execution})"));
            rows.push(("Before", format!("attempt {}: {reason}{execution}", past.attempt)));
        }
    }
    if !planned.after.is_empty() {
        let names: BTreeMap<_, _> = facts.plan.iter().map(|planned| (&planned.key, &planned.account_name)).collect();
        let after = planned.after.iter().take(MOST_NAMED).map(|key| match names.get(key) {
            Some(name) => format!("{name}/{}", key.region),
            None => key.to_string(),
        });
        rows.push(("After", after.collect::<Vec<_>>().join(", ")));
    }
    rows.extend(planned.source_revision.as_ref().map(|pinned| ("Revision", text::plain(&pinned.value, WORDS))));
    let mut lines = vec![format!("{} {place}: {}", symbol(status), status_words(status))];
    lines.extend(rows.into_iter().map(|(name, value)| format!("  {name:<9} {value}")));
    lines.extend(advice(head, &place, status, target).map(|advice| format!("What to do: {advice}")));
    lines.push(String::new());
    lines.join("\n")
}

/// What was heard of a target: when it happened, when it was heard, and how.
fn heard_words(target: &Target, heard: &Heard) -> String {
    let (what, attempt) = match &heard.what {
        HeardOf::State { state, attempt } => (state.to_string(), attempt.unwrap_or(1)),
        HeardOf::ActionFailed { cause, attempt } => (cause.clone(), *attempt),
    };
    let attempt = if attempt > 1 { format!(", in attempt {attempt} of its own account") } else { String::new() };
    let of = target.past.iter().find(|past| past.execution.as_ref() == Some(&heard.execution));
    let of = of.map_or_else(String::new, |past| format!(" (attempt {})", past.attempt));
    let how = match heard.learnt {
        Learnt::ByEvent => "by its event",
        Learnt::ByAsking => "by asking",
    };
    let later = heard.received.since(heard.at);
    format!("{} at {}{attempt}{of}, {how} {later} later", text::plain(&what, WORDS), heard.at)
}

fn safe(link: Option<&str>) -> Option<String> {
    link.filter(|link| aws_console::is_console_link(link)).map(str::to_owned)
}

fn wave_words(head: &Head, planned: &PlannedTarget) -> String {
    let wave = usize::try_from(planned.wave).ok().and_then(|at| head.waves.get(at));
    wave.map_or_else(String::new, |wave| {
        format!("{}, {} of {} ended", wave.plan.name, grouped(wave.tally.ended()), grouped(wave.plan.size))
    })
}

/// What a target waits for that has not been started.
fn waiting(facts: &Facts, planned: &PlannedTarget, status: TargetStatus) -> Option<String> {
    match status {
        TargetStatus::Waiting | TargetStatus::Queued => {}
        TargetStatus::Starting | TargetStatus::Running | TargetStatus::Stopping | TargetStatus::Ended(_) => {
            return None;
        }
    }
    let ended = |key: &TargetKey| {
        let target = facts.targets.iter().find(|target| target.key == *key);
        target.is_some_and(|target| target.status().outcome().is_some())
    };
    let open: Vec<String> = planned.after.iter().filter(|key| !ended(key)).map(ToString::to_string).collect();
    if facts.head.is_released(planned.index) && !open.is_empty() {
        return Some(format!("{} to end", open.join(", ")));
    }
    let waits = waits(&facts.head);
    (!waits.is_empty()).then(|| text::plain(&waits.join("; "), WORDS))
}

/// Where a target stands, in words.
pub(super) const fn status_words(status: TargetStatus) -> &'static str {
    match status {
        TargetStatus::Waiting => "its turn has not come",
        TargetStatus::Queued => "its turn has come",
        TargetStatus::Starting => "is being started",
        TargetStatus::Running => "runs",
        TargetStatus::Stopping => "is being stopped",
        TargetStatus::Ended(outcome) => outcome.words(),
    }
}

fn advice(head: &Head, place: &str, status: TargetStatus, target: Option<&Target>) -> Option<String> {
    let outcome = status.outcome()?;
    let run = &head.run;
    let retry = format!("manifold retry {run} --target {place}");
    let started = target.is_some_and(|target| target.execution.is_some());
    Some(match outcome {
        Outcome::Succeeded => return None,
        Outcome::Failed if started && target.is_some_and(|target| target.subject.pipeline().is_none()) => {
            format!("open the execution and mend the cause; then {retry}")
        }
        Outcome::Failed if started => format!(
            "open the execution and mend the cause; then retry its failed stage there (the result is added here), or {retry}"
        ),
        Outcome::Failed => format!("mend the cause; nothing was started, so then {retry}"),
        Outcome::TimedOut if started => {
            format!("open the execution: if it still runs, its result is added here when it comes; else {retry}")
        }
        Outcome::TimedOut => {
            let place = target.map_or_else(|| "the target".to_owned(), |target| target.subject.words());
            format!("look into {place} whether anything was started; then {retry}")
        }
        Outcome::Unreachable => format!("look with manifold doctor what the role lacks; then {retry}"),
        Outcome::Superseded | Outcome::Canceled => {
            format!("look what overtook or changed the pipeline; if it should have this release: {retry}")
        }
        Outcome::Skipped => format!("it was never started; to go on: {retry}"),
    })
}

/// What a run waits for as a whole: its head tells.
fn waits(head: &Head) -> Vec<String> {
    Summary::of(head, &[], &[]).waits_for
}

fn standing(head: &Head) -> String {
    if let Some(verdict) = head.verdict() {
        let took = took(head).map_or_else(String::new, |took| format!(" in {took}"));
        return format!("{}{took}, opened {}", verdict.words(), head.opened_at);
    }
    let waits = waits(head);
    let waits = match waits.as_slice() {
        [] => String::new(),
        waits => format!("; waits for {}", text::plain(&waits.join(" and "), WORDS)),
    };
    match head.phase {
        Phase::Waiting { .. } => format!("its turn has not come{waits}"),
        Phase::Active { .. } | Phase::Closed { .. } => {
            format!("{} of {} ended{waits}", grouped(head.tally().ended()), grouped(head.size()))
        }
    }
}

fn took(head: &Head) -> Option<Span> {
    head.verdict()?;
    match &head.phase {
        Phase::Closed { at, .. } => Some(at.since(head.opened_at)),
        Phase::Waiting { .. } | Phase::Active { .. } => None,
    }
}

fn revision(head: &Head) -> String {
    let revision = head.release.revision.as_ref();
    let id = revision.map_or_else(|| "unknown".to_owned(), |revision| text::plain(revision.short_id(), 16));
    match &head.origin {
        // Each target has its own: what it had before that one.
        Origin::Rollback { .. } => format!("before {id}"),
        Origin::Restore { .. } => format!("{id} again"),
        Origin::Release | Origin::Start { .. } | Origin::Retry { .. } => id,
    }
}

fn origin(head: &Head) -> String {
    match &head.origin {
        Origin::Release => "release".to_owned(),
        Origin::Start { by } => text::plain(&format!("started by {by}"), WORDS),
        Origin::Retry { of, by } => text::plain(&format!("retry of {of} by {by}"), WORDS),
        Origin::Restore { of, by } => text::plain(&format!("back after drift check {of}, by {by}"), WORDS),
        Origin::Rollback { of, by } => text::plain(&format!("rollback of {of} by {by}"), WORDS),
    }
}

fn mark(head: &Head) -> &'static str {
    match (head.verdict(), &head.phase) {
        (Some(Verdict::Succeeded), _) => "✔",
        (Some(Verdict::CompletedWithFailures | Verdict::Incomplete), _) => "!",
        (Some(Verdict::Failed), _) => "✖",
        (Some(Verdict::TimedOut), _) => "⧖",
        (Some(Verdict::Overtaken), _) => "»",
        (Some(Verdict::Aborted | Verdict::NotApproved | Verdict::Refused), _) => "■",
        (None, Phase::Waiting { .. }) => "○",
        (None, Phase::Active { .. } | Phase::Closed { .. }) => "▶",
    }
}

/// Columns as wide as their widest cell, two spaces apart.
pub(super) fn table(rows: Vec<Vec<String>>) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |at: usize| rows.iter().filter_map(|row| row.get(at)).map(|cell| measure_text_width(cell)).max();
    let widths: Vec<usize> = (0..columns).map(|at| width(at).unwrap_or(0)).collect();
    rows.iter().fold(String::new(), |mut text, row| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| {
            let pad = width.saturating_sub(measure_text_width(cell));
            format!("{cell}{}", " ".repeat(pad))
        });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
        text
    })
}
