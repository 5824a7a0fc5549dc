//! `drift show`, `drift list`: what checks found.

use std::collections::BTreeSet;

use anyhow::Result;
use manifold_core::control::Via;
use manifold_core::drift::{Cause, Check, Phase, Standing, report};
use manifold_core::ids::TargetKey;
use manifold_core::ledger::Listing;
use manifold_core::summary::text;
use serde_json::json;

use super::super::find::{decisions, listed};
use super::super::look::{table, told};
use super::super::site::Site;
use super::options::{List, Show};
use super::{Desk, WORDS, find, status};
use crate::args::Output;
use crate::paint;
use crate::words::{counted, grouped};

pub(super) async fn show<S: Site>(options: &Show, output: Output, desk: &mut Desk<'_, S>) -> Result<u8> {
    let check = match options.check.as_deref() {
        Some(named) => find::named(desk.site, named).await?,
        None => find::last(desk.site, &find::app(desk, options.app.as_deref())?).await?,
    };
    let facts = find::facts(desk.site, check).await?;
    let report = facts.report();
    let app = &facts.check.app;
    // A check of some targets says nothing of the others.
    let looked_at: BTreeSet<&TargetKey> = facts.plan.iter().map(|planned| &planned.key).collect();
    let mut elsewhere: Vec<Standing> = match facts.check.is_whole {
        true => Vec::new(),
        false => listed(desk.site, Listing::Standing(app.clone())).await?,
    };
    elsewhere.retain(|standing| !looked_at.contains(&standing.target) && !standing.stands.is_empty());
    let newer = find::newest(desk.site, app, 1).await?.into_iter().next();
    let newer = newer.filter(|newer| newer.run != facts.check.run && newer.closed().is_none());
    let decisions = match options.decisions {
        true => decisions(desk.site, &facts.check.run).await?,
        false => Vec::new(),
    };
    match output {
        Output::Json => {
            let document = json!({
                "report": report,
                "elsewhere": elsewhere,
                "under_way": newer.map(|newer| newer.run),
                "decisions": options.decisions.then_some(decisions),
            });
            (desk.tell)(&format!("{document:#}\n"))?;
        }
        Output::Text => {
            let mut words = report::text::render(&report);
            if !elsewhere.is_empty() {
                words.push_str(&format!("\nElsewhere, by earlier checks\n{}", stands(&elsewhere)));
            }
            if let Some(newer) = newer {
                words.push_str(&format!("\n▶ {} is under way: {}\n", newer.run, outcome(&newer)));
            }
            (desk.tell)(&paint::summary(&words))?;
            if options.decisions {
                (desk.tell)(&format!("\nDecisions\n{}", told(&decisions)))?;
            }
        }
    }
    Ok(status(&report))
}

/// What stands of targets, a line each comparison.
fn stands(standing: &[Standing]) -> String {
    let rows = standing.iter().flat_map(|standing| {
        standing.stands.iter().map(|(aspect, stand)| {
            let sign = if stand.drifted { "✖" } else { "?" };
            let unseen = stand.unseen_since.map_or_else(String::new, |at| format!(" (not seen since {at})"));
            vec![
                format!("  {sign} {}/{}", standing.account_name, standing.target.region),
                aspect.name().to_owned(),
                format!("since {}", stand.since),
                format!("{}{unseen}", text::plain(&stand.words, WORDS)),
            ]
        })
    });
    table(rows.collect())
}

pub(super) async fn list<S: Site>(options: &List, output: Output, desk: &mut Desk<'_, S>) -> Result<u8> {
    let app = find::app(desk, options.app.as_deref())?;
    let checks = find::newest(desk.site, &app, options.limit).await?;
    if output == Output::Json {
        let checks: Vec<_> = checks
            .iter()
            .map(|check| {
                let closed = check.closed();
                json!({
                    "check": check.run,
                    "opened_at": check.opened_at.to_string(),
                    "cause": check.cause,
                    "size": check.size,
                    "is_whole": check.is_whole,
                    "ended_at": closed.map(|closed| closed.at.to_string()),
                    "counts": closed.map(|closed| closed.counts),
                    "news": closed.map(|closed| closed.news),
                })
            })
            .collect();
        (desk.tell)(&format!("{:#}\n", json!({ "app": app, "checks": checks })))?;
        return Ok(0);
    }
    if checks.is_empty() {
        (desk.tell)(&format!("No drift check of {app} yet.\n"))?;
        return Ok(0);
    }
    let rows = checks.iter().map(|check| {
        vec![
            format!("{} {}", sign(check), check.run),
            check.opened_at.to_string(),
            outcome(check),
            news(check),
            cause(check),
        ]
    });
    (desk.tell)(&paint::summary(&table(rows.collect())))?;
    Ok(0)
}

fn sign(check: &Check) -> &'static str {
    match check.closed().map(|closed| closed.counts) {
        None => "▶",
        Some(counts) if counts.drifted > 0 => "✖",
        Some(counts) if counts.unknown > 0 => "?",
        Some(_) => "✔",
    }
}

/// What a check found, or how far it got.
fn outcome(check: &Check) -> String {
    match &check.phase {
        Phase::Looking => format!("{} of {} looked at", grouped(check.looked), counted(check.size as usize, "target")),
        Phase::Confirming { awaited, looked, .. } => {
            format!("{} of {} looked at again", grouped(looked), counted(*awaited as usize, "target"))
        }
        Phase::Closed(closed) => {
            let counts = [
                (closed.counts.drifted, "drifted"),
                (closed.counts.unknown, "unknown"),
                (closed.counts.in_sync, "in sync"),
            ];
            let told = counts.into_iter().filter(|(count, _)| *count > 0);
            told.map(|(count, what)| format!("{} {what}", grouped(count))).collect::<Vec<_>>().join(", ")
        }
    }
}

fn news(check: &Check) -> String {
    let Some(closed) = check.closed() else { return String::new() };
    let news = [(closed.news.new, "new"), (closed.news.persisting, "persisting"), (closed.news.resolved, "resolved")];
    let told: Vec<String> = news
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{} {what}", grouped(count)))
        .collect();
    if told.is_empty() { "nothing new".to_owned() } else { told.join(", ") }
}

fn cause(check: &Check) -> String {
    match &check.cause {
        Cause::Scheduled { .. } => "scheduled".to_owned(),
        Cause::Asked { by, .. } if by.via == Via::Manifold => "asked for by policy".to_owned(),
        Cause::Asked { by, .. } => text::plain(&format!("asked for by {by}"), WORDS),
    }
}
