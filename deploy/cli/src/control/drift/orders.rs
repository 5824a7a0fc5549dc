//! `drift accept`, `drift ignore`, `drift revert`: decisions about what the last check found, and what became of them.

use anyhow::Result;
use manifold_core::control::{Answer, Command, Decision};
use manifold_core::drift::{Ignore as Rule, Note, Order, change_set_of};
use manifold_core::ids::{RunId, TargetKey};
use manifold_core::ledger::Key;
use manifold_core::message::{Outgoing, Payload};
use manifold_core::plan::PlannedTarget;
use manifold_core::summary::text;
use serde_json::json;

use super::super::find::some_of;
use super::super::orders::{agreed, decided, recorded, why};
use super::super::site::Site;
use super::super::{EXIT_REFUSED, EXIT_UNKNOWN};
use super::find::{self, Facts};
use super::options::{Accept, Ignore, Revert};
use super::{Desk, WORDS};
use crate::args::Output;
use crate::input::advise;
use crate::words::counted;

/// How much is told of an order: targets and paths are in it, or a link with two ARNs.
const MOST_TOLD: usize = 2_000;

pub(super) async fn accept<S: Site>(options: &Accept, output: Output, desk: &mut Desk<'_, S>) -> Result<u8> {
    let facts = last(desk, options.app.as_deref()).await?;
    let run = &facts.check.run;
    let targets: Vec<&PlannedTarget> =
        options.targets.iter().map(|named| find::target(&facts, named)).collect::<Result<_>>()?;
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
    let given = command(desk.site, order, &options.why).await?;
    let answer = give(desk, run, &given).await?;
    tell(desk, run, &given, answer, output, |answer| match answer {
        Answered::Done { who, .. } => format!("accepted {what} of {of}, which {run} found, as {who}"),
        Answered::Refused => format!("accept {what} of {of}"),
    })
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
    let order = Order::Ignore { rule: rule.clone() };
    let (run, given) = (&facts.check.run, command(desk.site, order, &options.why).await?);
    let answer = give(desk, run, &given).await?;
    tell(desk, run, &given, answer, output, |answer| match answer {
        Answered::Done { who, .. } => {
            format!("ignored {what} until {}; {} answers for it, as {who}", rule.until, rule.owner)
        }
        Answered::Refused => format!("ignore {what}"),
    })
}

pub(super) async fn revert<S: Site>(options: &Revert, output: Output, desk: &mut Desk<'_, S>) -> Result<u8> {
    let facts = last(desk, options.app.as_deref()).await?;
    let planned = find::target(&facts, &options.target)?;
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
    let (run, given) = (&facts.check.run, command(desk.site, order, &options.why).await?);
    let mut answer = give(desk, run, &given).await?;
    if let Some(Decision { answer: Answer::Done, .. }) = answer {
        // Whether it may be is one thing; what came of it is another.
        let key = Key::Decision(run.clone(), given.at, change_set_of(&given.id));
        answer = recorded(desk.site, key, desk.site.now().plus(desk.site.patience())).await?;
    }
    tell(desk, run, &given, answer, output, |answer| match answer {
        // What is recorded ends with a link.
        Answered::Done { what, who } => format!("prepared, as {who}, for a person to execute: {what}"),
        Answered::Refused => format!("prepare to revert stack {stack} in {place}"),
    })
}

/// The app's last check.
async fn last<S: Site>(desk: &Desk<'_, S>, app: Option<&str>) -> Result<Facts> {
    let app = find::app(desk, app)?;
    find::facts(desk.site, find::last(desk.site, &app).await?).await
}

fn name(planned: &PlannedTarget) -> String {
    format!("{}/{}", planned.account_name, planned.key.region)
}

async fn command<S: Site>(site: &S, what: Order, reason: &str) -> Result<Command<Order>> {
    let who = site.who().await?;
    Ok(Command { id: site.nonce(), at: site.now(), who, why: why(Some(reason)), what })
}

/// Gives an order, and waits until it is decided.
async fn give<S: Site>(desk: &Desk<'_, S>, check: &RunId, command: &Command<Order>) -> Result<Option<Decision>> {
    let note = Note::Order { check: check.clone(), command: Box::new(command.clone()) };
    desk.site.send(Outgoing::from(Payload::from(note))).await?;
    decided(desk.site, check, command).await
}

/// How an order was answered.
enum Answered<'a> {
    Done {
        /// What is recorded of it.
        what: &'a str,
        /// Who gave it.
        who: &'a str,
    },
    Refused,
}

/// Tells what became of an order. `words` say what was done, or what it was refused to do.
fn tell<S: Site>(
    desk: &mut Desk<'_, S>,
    check: &RunId,
    command: &Command<Order>,
    decision: Option<Decision>,
    output: Output,
    words: impl FnOnce(Answered<'_>) -> String,
) -> Result<u8> {
    let status = match decision.as_ref().map(|decision| &decision.answer) {
        Some(Answer::Done) => 0,
        Some(Answer::Refused { .. }) => EXIT_REFUSED,
        None => EXIT_UNKNOWN,
    };
    let text = match (output, &decision) {
        (Output::Json, _) => {
            let document = json!({
                "check": check,
                "order": command.what,
                "id": command.id,
                "at": command.at.to_string(),
                "by": command.who,
                "why": command.why,
                "what": decision.as_ref().map(|decision| &decision.what),
                "answer": decision.as_ref().map(|decision| &decision.answer),
            });
            format!("{document:#}\n")
        }
        (Output::Text, Some(Decision { answer: Answer::Done, what, .. })) => {
            let done = words(Answered::Done { what, who: &command.who.to_string() });
            format!("✔ {}\n", text::plain(&done, MOST_TOLD))
        }
        (Output::Text, Some(Decision { answer: Answer::Refused { because }, .. })) => {
            let refused = text::plain(&words(Answered::Refused), MOST_TOLD);
            format!("✖ refused to {refused}: {}\n", text::plain(because, WORDS))
        }
        (Output::Text, None) => format!(
            "? sent, and nothing has become of it yet\n  look again: manifold drift show {check} --decisions; if it stays \
             so: manifold dead-letters\n"
        ),
    };
    (desk.tell)(&text)?;
    Ok(status)
}
