//! `drift accept`, `drift ignore`, `drift revert`: decisions about what the last check found, and what became of them.

use anyhow::Result;
use manifold_core::control::{Answer, Command, Decision};
use manifold_core::drift::{Ignore as Rule, Note, Order};
use manifold_core::ids::{RunId, TargetKey};
use manifold_core::message::{Outgoing, Payload};
use manifold_core::plan::PlannedTarget;
use manifold_core::summary::text;
use serde_json::json;

use super::super::find::{self as runs, some_of};
use super::super::orders::{agreed, decided, why};
use super::super::site::Site;
use super::super::{EXIT_REFUSED, EXIT_UNKNOWN};
use super::find::{self, Facts};
use super::options::{Accept, Ignore, Revert};
use super::{Desk, WORDS};
use crate::args::Output;
use crate::input::advise;
use crate::words::counted;

pub(super) async fn accept<S: Site>(options: &Accept, output: Output, desk: &mut Desk<'_, S>) -> Result<u8> {
    let facts = last(desk, options.app.as_deref()).await?;
    let run = &facts.check.run;
    let targets: Vec<&PlannedTarget> =
        options.targets.iter().map(|named| target(&facts, named)).collect::<Result<_>>()?;
    if targets.is_empty() {
        let drifted = facts.check.closed().map_or(0, |closed| closed.counts.drifted);
        let question =
            format!("Accept whatever drifted in {}, as {run} found it?", counted(drifted as usize, "target"));
        if let Some(status) = agreed(desk, options.yes, &question, "\"manifold drift accept\"").await? {
            return Ok(status);
        }
    }
    let names: Vec<String> = targets.iter().map(|planned| name(planned)).collect();
    let aspects: Vec<&str> = options.aspects.iter().map(|aspect| aspect.name()).collect();
    let what = if aspects.is_empty() { "all".to_owned() } else { aspects.join(", ") };
    let of = if names.is_empty() { "what drifted".to_owned() } else { names.join(", ") };
    let targets: Vec<TargetKey> = targets.into_iter().map(|planned| planned.key.clone()).collect();
    let order = Order::Accept { targets, aspects: options.aspects.clone() };
    let told =
        Told { done: format!("accepted {what} of {of}, as {run} found it"), refused: format!("accept {what} of {of}") };
    give(desk, run, order, &options.why, told, output).await
}

pub(super) async fn ignore<S: Site>(options: &Ignore, output: Output, desk: &mut Desk<'_, S>) -> Result<u8> {
    let facts = last(desk, options.app.as_deref()).await?;
    if options.until <= desk.site.now() {
        return Err(advise(format!("{} has passed", options.until), "give a later --until"));
    }
    let rule = Rule {
        target: options.target.clone(),
        aspect: options.aspect,
        path: options.path.clone(),
        owner: options.owner.clone(),
        reason: why(Some(&options.why)).unwrap_or_default(),
        until: options.until,
    };
    // A slip would make a rule that hides nothing, and nobody would know.
    if !facts.plan.iter().any(|planned| rule.covers(&planned.account_name, &planned.key)) {
        return Err(advise(
            format!("no target of {} is {}", facts.check.run, rule.target),
            format!("write a pattern of ACCOUNT/REGION, such as 'dev/*'; it has {}", some_of(&facts.plan)),
        ));
    }
    let mut what = match rule.aspect {
        Some(aspect) => format!("{} of {}", aspect.name(), rule.target),
        None => rule.target.clone(),
    };
    if let Some(path) = &rule.path {
        what.push_str(&format!(" at {path}"));
    }
    let told = Told {
        done: format!("ignored until {}: {what}; {} answers for it", rule.until, rule.owner),
        refused: format!("ignore {what}"),
    };
    give(desk, &facts.check.run, Order::Ignore { rule }, &options.why, told, output).await
}

pub(super) async fn revert<S: Site>(options: &Revert, output: Output, desk: &mut Desk<'_, S>) -> Result<u8> {
    let facts = last(desk, options.app.as_deref()).await?;
    let planned = target(&facts, &options.target)?;
    let (place, stack) = (name(planned), &options.stack);
    let stacks = planned.looks.as_ref().map(|looks| looks.stacks.as_slice()).unwrap_or_default();
    if !stacks.contains(stack) {
        let help = match stacks {
            [] => "name its stacks in the fleet file, so that they are checked".to_owned(),
            known => format!("it has {}", known.join(", ")),
        };
        return Err(advise(format!("no stack {stack} of {place} is checked"), help));
    }
    let order = Order::Revert { target: planned.key.clone(), stack: stack.clone() };
    let told = Told {
        done: format!("a change set that takes stack {stack} in {place} back to its template is being prepared"),
        refused: format!("prepare to revert stack {stack} in {place}"),
    };
    give(desk, &facts.check.run, order, &options.why, told, output).await
}

/// The app's last check.
async fn last<S: Site>(desk: &Desk<'_, S>, app: Option<&str>) -> Result<Facts> {
    let app = find::app(desk, app)?;
    find::facts(desk.site, find::last(desk.site, &app).await?).await
}

fn target<'a>(facts: &'a Facts, named: &str) -> Result<&'a PlannedTarget> {
    runs::target(&facts.plan, &facts.check.run, named)
}

fn name(planned: &PlannedTarget) -> String {
    format!("{}/{}", planned.account_name, planned.key.region)
}

/// What is said of an order.
struct Told {
    done: String,
    refused: String,
}

async fn give<S: Site>(
    desk: &mut Desk<'_, S>,
    check: &RunId,
    order: Order,
    reason: &str,
    told: Told,
    output: Output,
) -> Result<u8> {
    let site = desk.site;
    let who = site.who().await?;
    let command = Command { id: site.nonce(), at: site.now(), who, why: why(Some(reason)), what: order };
    let note = Note::Order { check: check.clone(), command: Box::new(command.clone()) };
    site.send(Outgoing::from(Payload::from(note))).await?;
    let decision: Option<Decision> = decided(site, check, &command).await?;
    let answer = decision.map(|decision| decision.answer);
    match output {
        Output::Json => {
            let document = json!({
                "check": check,
                "order": command.what,
                "id": command.id,
                "at": command.at.to_string(),
                "by": command.who,
                "why": command.why,
                "answer": answer,
            });
            (desk.tell)(&format!("{document:#}\n"))?;
        }
        Output::Text => {
            let words = match &answer {
                Some(Answer::Done) => {
                    format!("✔ {}, as {}\n", told.done, text::plain(&command.who.to_string(), WORDS))
                }
                Some(Answer::Refused { because }) => {
                    format!("✖ refused to {}: {}\n", told.refused, text::plain(because, WORDS))
                }
                None => format!(
                    "? sent, and nothing has become of it yet\n  look again: manifold drift show {check} --decisions; if it \
                     stays so: manifold dead-letters\n"
                ),
            };
            (desk.tell)(&words)?;
        }
    }
    Ok(match answer {
        Some(Answer::Done) => 0,
        Some(Answer::Refused { .. }) => EXIT_REFUSED,
        None => EXIT_UNKNOWN,
    })
}
