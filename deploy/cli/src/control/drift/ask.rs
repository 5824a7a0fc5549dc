//! `drift`: a look at targets, now.

use std::collections::BTreeSet;

use anyhow::Result;
use manifold_core::control::{Answer, Command, Decision};
use manifold_core::drift::{Ask, Check, Note, Phase, report};
use manifold_core::ids::{AppName, TargetKey};
use manifold_core::ledger::Key;
use manifold_core::message::{Outgoing, Payload};
use manifold_core::summary::text;
use manifold_fleet::{App, Fleet};
use serde_json::{Value, json};

use super::super::orders::why;
use super::super::site::Site;
use super::super::{EXIT_REFUSED, EXIT_UNKNOWN, requests};
use super::find::{self, Facts};
use super::options::Look;
use super::{Desk, WORDS, status, worst};
use crate::args::Output;
use crate::input::advise;
use crate::paint;
use crate::words::counted;

/// What became of a request.
enum Became {
    Ended(Box<Facts>),
    Opened(Box<Check>),
    Refused(String),
    Unknown,
}

pub(super) async fn ask<S: Site>(options: &Look, output: Output, desk: &mut Desk<'_, S>) -> Result<u8> {
    let asks = asks(options, desk.fleet)?;
    let site = desk.site;
    let who = site.who().await?;
    let mut commands = Vec::with_capacity(asks.len());
    for what in asks {
        let why = why(options.why.as_deref());
        let command = Command { id: site.nonce(), at: site.now(), who: who.clone(), why, what };
        let request = Box::new(command.clone());
        site.send(Outgoing::from(Payload::from(Note::Open { request }))).await?;
        commands.push(command);
    }
    let (mut statuses, mut documents) = (Vec::new(), Vec::new());
    for (position, command) in commands.iter().enumerate() {
        if position > 0 && output == Output::Text {
            (desk.tell)("\n")?;
        }
        let mut became = opened(site, command).await?;
        if output == Output::Text {
            (desk.tell)(&told(&became, command))?;
        }
        if let (Became::Opened(check), false) = (&became, options.no_wait) {
            became = ended(desk, check, output).await?;
        }
        statuses.push(match &became {
            Became::Ended(facts) => status(&facts.report()),
            Became::Opened(_) => 0,
            Became::Refused(_) => EXIT_REFUSED,
            Became::Unknown => EXIT_UNKNOWN,
        });
        match (output, &became) {
            (Output::Json, _) => documents.push(document(&became, command)),
            (Output::Text, Became::Ended(facts)) => {
                (desk.tell)(&format!("\n{}", paint::summary(&report::text::render(&facts.report()))))?;
            }
            (Output::Text, Became::Unknown) => (desk.tell)(&unanswered(command))?,
            (Output::Text, Became::Opened(_) | Became::Refused(_)) => {}
        }
    }
    if output == Output::Json {
        (desk.tell)(&format!("{:#}\n", json!({ "checks": documents })))?;
    }
    Ok(worst(statuses))
}

/// What is asked for, of each app that is meant.
fn asks(options: &Look, fleet: Option<&Fleet>) -> Result<Vec<Ask>> {
    let names: BTreeSet<&str> = options.apps.iter().map(String::as_str).collect();
    let is_all = options.accounts.is_empty() && options.regions.is_empty();
    let Some(fleet) = fleet else {
        if names.is_empty() || !is_all {
            let help = "name it: --fleet fleet.yaml; without it, all targets of an app are checked: --app APP";
            return Err(advise("which apps and targets there are is said by the fleet file", help));
        }
        let ask = |name: &str| Ok(Ask { app: name.parse::<AppName>()?, targets: Vec::new() });
        return names.into_iter().map(ask).collect();
    };
    let apps: Vec<&App> = match names.is_empty() {
        true => fleet.apps().collect(),
        false => names.into_iter().map(|name| requests::app(fleet, name)).collect::<Result<_>>()?,
    };
    if is_all {
        return Ok(apps.into_iter().map(|app| Ask { app: app.name().clone(), targets: Vec::new() }).collect());
    }
    let is_account = |target: &manifold_fleet::Target, account: &str| {
        target.account_name() == account || target.key().account.as_str() == account
    };
    let all = || apps.iter().flat_map(|app| app.targets());
    // A slip in one of several would quietly leave targets out.
    for account in &options.accounts {
        if !all().any(|target| is_account(target, account)) {
            let known: BTreeSet<&str> = all().map(manifold_fleet::Target::account_name).collect();
            return Err(unfit(&format!("account {account}"), known));
        }
    }
    for region in &options.regions {
        if !all().any(|target| target.key().region.as_str() == region) {
            return Err(unfit(&format!("Region {region}"), all().map(|target| target.key().region.as_str()).collect()));
        }
    }
    let is_meant = |target: &&manifold_fleet::Target| {
        let has =
            |chosen: &[String], fits: &dyn Fn(&str) -> bool| chosen.is_empty() || chosen.iter().any(|it| fits(it));
        has(&options.accounts, &|account| is_account(target, account))
            && has(&options.regions, &|region| target.key().region.as_str() == region)
    };
    let mut asks = Vec::with_capacity(apps.len());
    for app in apps {
        let targets = app.targets().iter().filter(is_meant).map(|target| target.key().clone());
        let targets: Vec<TargetKey> = targets.collect();
        if !targets.is_empty() {
            asks.push(Ask { app: app.name().clone(), targets });
        } else if !options.apps.is_empty() {
            // It was named: that nothing of it is looked at must not pass for an answer.
            return Err(advise(format!("no target of {} is there", app.name()), "leave out --account or --region"));
        }
    }
    match asks.is_empty() {
        false => Ok(asks),
        true => Err(advise("no target is in these accounts and in these Regions", "leave out --account or --region")),
    }
}

fn unfit(what: &str, known: BTreeSet<&str>) -> anyhow::Error {
    let known: Vec<&str> = known.into_iter().collect();
    advise(format!("no target is in {what}"), format!("targets are in {}", known.join(", ")))
}

/// Whether a check was opened.
async fn opened<S: Site>(site: &S, command: &Command<Ask>) -> Result<Became> {
    let check = command.check();
    let keys = [Key::Check(check.clone()), Key::Decision(check, command.at, command.id.to_string())];
    let until = command.at.plus(site.patience());
    loop {
        for record in site.get(&keys).await?.into_iter().flatten() {
            if let Some(check) = record.item.get::<Check>() {
                return Ok(Became::Opened(Box::new(check.clone())));
            }
            if let Some(decision) = record.item.get::<Decision>()
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

/// Waits until a check has ended: a while longer than it may take.
async fn ended<S: Site>(desk: &mut Desk<'_, S>, opened: &Check, output: Output) -> Result<Became> {
    let site = desk.site;
    let until = opened.due_at.plus(site.patience());
    let mut told = false;
    loop {
        if let Some(check) = find::check(site, &opened.run).await? {
            match &check.phase {
                Phase::Closed(_) => return Ok(Became::Ended(Box::new(find::facts(site, check).await?))),
                Phase::Confirming { awaited, .. } if output == Output::Text && !std::mem::replace(&mut told, true) => {
                    let verb = if *awaited == 1 { "is" } else { "are" };
                    let again = check.policy.confirm.map_or_else(String::new, |after| format!(" after {after}"));
                    let targets = counted(*awaited as usize, "target");
                    (desk.tell)(&format!("… {targets} not in sync {verb} looked at again{again}\n"))?;
                }
                Phase::Looking | Phase::Confirming { .. } => {}
            }
        }
        if site.now() >= until {
            return Ok(Became::Unknown);
        }
        site.pass().await?;
    }
}

fn told(became: &Became, command: &Command<Ask>) -> String {
    match became {
        Became::Opened(check) => {
            let targets = counted(check.size as usize, "target");
            let who = text::plain(&command.who.to_string(), WORDS);
            format!("✔ opened {}: drift check of {targets} of {}, as {who}\n", check.run, check.app)
        }
        Became::Refused(because) => {
            format!("✖ refused to check {}: {}\n", command.what.app, text::plain(because, WORDS))
        }
        Became::Ended(_) | Became::Unknown => String::new(),
    }
}

fn unanswered(command: &Command<Ask>) -> String {
    format!(
        "? sent, and how it ended is not known yet\n  look again: manifold drift show {}; if it stays so: manifold \
         dead-letters\n",
        command.check()
    )
}

fn document(became: &Became, command: &Command<Ask>) -> Value {
    let (answer, because, report) = match became {
        Became::Ended(facts) => ("ended", None, Some(facts.report())),
        Became::Opened(_) => ("opened", None, None),
        Became::Refused(because) => ("refused", Some(because), None),
        Became::Unknown => ("unknown", None, None),
    };
    json!({
        "check": command.check(),
        "app": command.what.app,
        "targets": command.what.targets,
        "id": command.id,
        "at": command.at.to_string(),
        "by": command.who,
        "why": command.why,
        "answer": answer,
        "because": because,
        "report": report,
    })
}
