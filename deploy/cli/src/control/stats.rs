//! `stats`: the pipeline figures of a period, from what is stored of its runs.

use std::collections::BTreeSet;

use anyhow::Result;
use manifold_core::figures::history::{History, LeftOut, Share, Spread, Stored};
use manifold_core::ids::AppName;
use manifold_core::ledger::Key;
use manifold_core::run::Head;
use manifold_core::summary::text;
use manifold_core::time::{Span, Timestamp};
use serde_json::json;

use super::Desk;
use super::find;
use super::look::table;
use super::options::Stats;
use super::site::Site;
use crate::args::Output;
use crate::input::advise;
use crate::paint;
use crate::words::{counted, grouped};

/// How many of an app's newest runs are read at most.
const MOST_RUNS: u32 = 1000;
/// How many targets are listed before the rest is counted.
const MOST_TARGETS: usize = 10;
/// How much of a stage's name is shown.
const STAGE: usize = 40;

pub(super) async fn stats<S: Site>(options: &Stats, desk: &mut Desk<'_, S>) -> Result<u8> {
    let until = desk.site.now();
    let since = Timestamp::from_millis(until.as_millis().saturating_sub(options.since.as_millis()));
    let mut histories = Vec::new();
    for app in apps(options, desk).await? {
        histories.push(history(desk.site, app, since, until).await?);
    }
    if options.common.output == Output::Json {
        let document = json!({ "since": since.to_string(), "until": until.to_string(), "apps": histories });
        (desk.tell)(&format!("{document:#}\n"))?;
        return Ok(0);
    }
    let told: Vec<String> = histories.iter().map(|history| words(history, since)).collect();
    (desk.tell)(&paint::summary(&told.join("\n")))?;
    Ok(0)
}

/// The app that is named, or those of the fleet file and those that have an open run.
async fn apps<S: Site>(options: &Stats, desk: &Desk<'_, S>) -> Result<BTreeSet<AppName>> {
    if let Some(name) = &options.app {
        return Ok(BTreeSet::from([name.parse()?]));
    }
    let mut apps: BTreeSet<AppName> = desk.site.open_runs().await?.iter().map(|run| run.app()).collect();
    apps.extend(desk.fleet.iter().flat_map(|fleet| fleet.apps()).map(|app| app.name().clone()));
    match apps.is_empty() {
        true => Err(advise("no app is known here", "name one, or the fleet file with --fleet")),
        false => Ok(apps),
    }
}

/// What the stored runs of an app say. Where not all runs of the period were read, the period is shorter.
async fn history<S: Site>(site: &S, app: AppName, since: Timestamp, until: Timestamp) -> Result<History> {
    let openings = find::newest(site, &app, MOST_RUNS).await?;
    let is_cut = openings.len() >= MOST_RUNS as usize;
    let oldest = openings.last().map(|opening| opening.at).filter(|at| is_cut && *at > since);
    let keys: Vec<Key> =
        openings.into_iter().filter(|opening| opening.at >= since).map(|opening| Key::Head(opening.run)).collect();
    let heads: Vec<Option<Head>> = find::items(site, &keys).await?;
    let mut runs = Vec::new();
    for head in heads.into_iter().flatten() {
        let targets = match head.released() {
            0 => Vec::new(),
            _ => site.targets(&head.run).await?,
        };
        runs.push(Stored { head, targets });
    }
    Ok(History::of(app, oldest.unwrap_or(since), until, &runs))
}

fn words(history: &History, wanted: Timestamp) -> String {
    let History { app, since, until, .. } = history;
    let mut lines = vec![format!("{app}: {} until {until}", until.since(*since))];
    if *since > wanted {
        lines.push(format!("  Only the newest {} runs were read: those since {since}.", grouped(MOST_RUNS)));
    }
    let mut rows: Vec<(&str, String)> = vec![("Deployments", deployments(history))];
    rows.push(("Change failure rate", rate(history.change_failure_rate)));
    let lead = "no change got everywhere";
    rows.push((
        "Lead time",
        match (&history.lead_time, &history.lead_time_from_release) {
            (None, Some(_)) => "unknown: no commit's time was told".to_owned(),
            (spread, _) => spans(spread.as_ref(), lead),
        },
    ));
    rows.extend(
        (history.lead_time_from_release.as_ref()).map(|spread| ("  from the release", spans(Some(spread), lead))),
    );
    rows.push(("Feedback time", spans(history.feedback_time.as_ref(), "no change was answered")));
    rows.push(("Time to restore", spans(history.time_to_restore.as_ref(), "no failure has ended")));
    rows.extend(history.not_restored.iter().map(|lasting| {
        let lasts = until.since(lasting.since);
        ("  not yet", format!("{} failed at {}, {lasts} ago", lasting.run, lasting.since))
    }));
    rows.extend(left_out(history.left_out).map(|words| ("Left out", words)));
    lines.extend(rows.into_iter().map(|(name, value)| format!("  {name:<20} {value}")));
    let mut text = lines.join("\n");
    text.push('\n');
    if !history.stages.is_empty() {
        text.push_str("\n  Stage of the release pipeline\n");
        let stages = history.stages.iter();
        text.push_str(&spreads(stages.map(|figures| (text::plain(&figures.stage, STAGE), &figures.duration))));
    }
    if !history.targets.is_empty() {
        text.push_str("\n  Target, the slowest first\n");
        let shown = history.targets.iter().take(MOST_TARGETS);
        text.push_str(&spreads(
            shown.map(|figures| (format!("{}/{}", figures.account_name, figures.target.region), &figures.duration)),
        ));
        let more = history.targets.len().saturating_sub(MOST_TARGETS);
        if more > 0 {
            text.push_str(&format!("  and {}: --output json\n", counted(more, "more target")));
        }
    }
    text
}

fn deployments(history: &History) -> String {
    let History { deployments, failed, rolled_back, .. } = history;
    if *deployments == 0 {
        return "none".to_owned();
    }
    let per_day = history.deployments_per_day.map_or_else(String::new, |number| format!(", {number:.2} a day"));
    let back = match rolled_back {
        0 => String::new(),
        some => format!(", {} of them by being rolled back", grouped(some)),
    };
    format!(
        "{}{per_day}: {} good, {} failed{back}",
        grouped(deployments),
        grouped(deployments - failed),
        grouped(failed)
    )
}

fn rate(share: Share) -> String {
    let of = || format!("{} of {}", grouped(share.part), grouped(share.of));
    share.rate().map_or_else(|| "unknown: no deployment".to_owned(), |rate| format!("{:.0} % ({})", rate * 100.0, of()))
}

fn spans(spread: Option<&Spread>, none: &str) -> String {
    let Some(Spread { count, median, p90, longest }) = spread else { return format!("unknown: {none}") };
    match count {
        1 => format!("{median}, once"),
        _ => format!("{median} median, {p90} for nine of ten, {longest} at most (of {})", grouped(count)),
    }
}

fn left_out(left: LeftOut) -> Option<String> {
    let LeftOut { under_way, stopped_short, without_targets, retries, rollbacks, restores } = left;
    let kinds = [
        (under_way, "under way"),
        (stopped_short, "short of all targets without a failure"),
        (without_targets, "without a target"),
        (retries, "by a retry"),
        (rollbacks, "by a rollback"),
        (restores, "after a drift check"),
    ];
    let some = kinds.into_iter().filter(|(count, _)| *count > 0);
    let told: Vec<String> = some.map(|(count, kind)| format!("{} {kind}", counted(count as usize, "run"))).collect();
    (!told.is_empty()).then(|| told.join(", "))
}

fn spreads<'a>(figures: impl Iterator<Item = (String, &'a Spread)>) -> String {
    let of = |span: Span| span.to_string();
    let rows = figures.map(|(name, Spread { count, median, p90, longest })| {
        vec![format!("  {name}"), of(*median), of(*p90), of(*longest), grouped(count)]
    });
    let head = ["", "median", "nine of ten", "at most", "of"].map(str::to_owned).to_vec();
    table(std::iter::once(head).chain(rows).collect())
}
