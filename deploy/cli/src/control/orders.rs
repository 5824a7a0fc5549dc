//! `approve`, `reject`, `pause`, `resume`, `abort`: orders about a run, and what became of them.

use anyhow::Result;
use manifold_core::control::{Answer, Command, Decision, LONGEST_WHY, Order};
use manifold_core::ids::RunId;
use manifold_core::ledger::Key;
use manifold_core::message::{Outgoing, Payload};
use manifold_core::run::{Head, Hold};
use manifold_core::summary::text;
use manifold_core::time::Timestamp;
use serde_json::json;

use super::options::{Abort, Approve, Common, Pause, Reject, Resume};
use super::site::Site;
use super::{Desk, EXIT_DECLINED, EXIT_REFUSED, EXIT_UNKNOWN, find};
use crate::args::Output;
use crate::input::advise;

/// How much of somebody's words is shown.
const WORDS: usize = 200;

pub(super) async fn approve<S: Site>(options: &Approve, desk: &mut Desk<'_, S>) -> Result<u8> {
    let head = meant(desk, &options.run).await?;
    let wave = wave(&head, options.wave.as_deref(), desk.site)?;
    give(desk, &head, Order::Approve { wave }, options.why.as_deref(), true, &options.common).await
}

pub(super) async fn reject<S: Site>(options: &Reject, desk: &mut Desk<'_, S>) -> Result<u8> {
    let head = meant(desk, &options.run).await?;
    let wave = wave(&head, options.wave.as_deref(), desk.site)?;
    give(desk, &head, Order::Reject { wave }, options.why.as_deref(), options.yes, &options.common).await
}

pub(super) async fn pause<S: Site>(options: &Pause, desk: &mut Desk<'_, S>) -> Result<u8> {
    let head = meant(desk, &options.run).await?;
    give(desk, &head, Order::Pause, options.why.as_deref(), true, &options.common).await
}

pub(super) async fn resume<S: Site>(options: &Resume, desk: &mut Desk<'_, S>) -> Result<u8> {
    let head = meant(desk, &options.run).await?;
    give(desk, &head, Order::Resume, options.why.as_deref(), true, &options.common).await
}

pub(super) async fn abort<S: Site>(options: &Abort, desk: &mut Desk<'_, S>) -> Result<u8> {
    let head = meant(desk, &options.run).await?;
    let order = Order::Abort { stop: options.stop };
    give(desk, &head, order, options.why.as_deref(), options.yes, &options.common).await
}

async fn meant<S: Site>(desk: &Desk<'_, S>, named: &str) -> Result<Head> {
    let run = find::run(desk.site, named).await?;
    find::head(desk.site, &run).await?.ok_or_else(|| anyhow::anyhow!("there is no run {run}"))
}

/// The wave that is named, or the one that waits for approval.
fn wave<S: Site>(head: &Head, named: Option<&str>, site: &S) -> Result<String> {
    if let Some(name) = named {
        return Ok(name.to_owned());
    }
    if let Some(Hold::Approval { wave, .. }) = head.hold(site.now())
        && let Some(wave) = head.waves.get(wave)
    {
        return Ok(wave.plan.name.clone());
    }
    Err(advise(
        format!("no wave of {} waits for approval", head.run),
        format!("see what it waits for: manifold why {}", head.run),
    ))
}

/// Whether a destructive command may go on. `Some` is the exit status if not.
pub(super) async fn agreed<S: Site>(
    desk: &mut Desk<'_, S>,
    yes: bool,
    question: &str,
    verb: &str,
) -> Result<Option<u8>> {
    if yes {
        return Ok(None);
    }
    match desk.site.agree(question).await? {
        Some(true) => Ok(None),
        Some(false) => {
            (desk.tell)("Nothing was done.\n")?;
            Ok(Some(EXIT_DECLINED))
        }
        None => Err(advise(format!("{verb} asks first, and this is no terminal"), "give --yes if you mean it")),
    }
}

/// The reason as it is stored.
pub(super) fn why(words: Option<&str>) -> Option<String> {
    words.map(|words| words.chars().take(LONGEST_WHY).collect())
}

async fn give<S: Site>(
    desk: &mut Desk<'_, S>,
    head: &Head,
    order: Order,
    reason: Option<&str>,
    yes: bool,
    common: &Common,
) -> Result<u8> {
    let run = head.run.clone();
    if let Some(question) = question(&run, &order)
        && let Some(status) = agreed(desk, yes, &question, &format!("\"manifold {}\"", first_word(&order))).await?
    {
        return Ok(status);
    }
    let site = desk.site;
    let who = site.who().await?;
    let command = Command { id: site.nonce(), at: site.now(), who, why: why(reason), what: order };
    let payload = Payload::Command { run: run.clone(), command: Box::new(command.clone()) };
    site.send(Outgoing::from(payload)).await?;
    let decision = decided(site, &run, &command).await?;
    match common.output {
        Output::Json => {
            let document = json!({
                "run": run,
                "order": command.what,
                "id": command.id,
                "at": command.at.to_string(),
                "by": command.who,
                "why": command.why,
                "answer": decision.as_ref().map(|decision| &decision.answer),
            });
            (desk.tell)(&format!("{document:#}\n"))?;
        }
        Output::Text => tell(desk, &run, &command, decision.as_ref()).await?,
    }
    Ok(match decision.map(|decision| decision.answer) {
        Some(Answer::Done) => 0,
        Some(Answer::Refused { .. }) => EXIT_REFUSED,
        None => EXIT_UNKNOWN,
    })
}

/// What became of a command, once it is known.
pub(super) async fn decided<S: Site, T>(site: &S, run: &RunId, command: &Command<T>) -> Result<Option<Decision>> {
    let key = Key::Decision(run.clone(), command.at, command.id.to_string());
    recorded(site, key, command.at.plus(site.patience())).await
}

/// A decision, once it is recorded.
pub(super) async fn recorded<S: Site>(site: &S, key: Key, until: Timestamp) -> Result<Option<Decision>> {
    loop {
        if let Some(decision) = find::item(site, key.clone()).await? {
            return Ok(Some(decision));
        }
        if site.now() >= until {
            return Ok(None);
        }
        site.pass().await?;
    }
}

async fn tell<S: Site>(
    desk: &mut Desk<'_, S>,
    run: &RunId,
    command: &Command<Order>,
    decision: Option<&Decision>,
) -> Result<()> {
    let mut lines = String::new();
    match decision.map(|decision| &decision.answer) {
        Some(Answer::Done) => {
            lines.push_str(&format!("✔ {}, as {}\n", done(run, &command.what), text::plain(&who(command), WORDS)));
            let now = find::facts(desk.site, run).await?.summary();
            lines.push_str(&format!("{}\n", text::headline(&now)));
            for wait in &now.waits_for {
                lines.push_str(&format!("  waits for {}\n", text::plain(wait, WORDS)));
            }
        }
        Some(Answer::Refused { because }) => {
            lines.push_str(&format!("✖ refused to {} {run}: {}\n", command.what.verb(), text::plain(because, WORDS)));
        }
        None => lines.push_str(&unanswered(run)),
    }
    (desk.tell)(&lines)
}

/// What is said if nothing becomes known.
pub(super) fn unanswered(run: &RunId) -> String {
    format!(
        "? sent, and nothing has become of it yet\n  look again: manifold show {run} --decisions; if it stays so: manifold \
         dead-letters\n"
    )
}

fn who<T>(command: &Command<T>) -> String {
    command.who.to_string()
}

fn first_word(order: &Order) -> &'static str {
    match order {
        Order::Approve { .. } => "approve",
        Order::Reject { .. } => "reject",
        Order::Pause => "pause",
        Order::Resume => "resume",
        Order::Abort { .. } => "abort",
    }
}

/// What is asked before an order that can't be taken back.
fn question(run: &RunId, order: &Order) -> Option<String> {
    match order {
        Order::Approve { .. } | Order::Pause | Order::Resume => None,
        Order::Reject { wave } => Some(format!("Reject wave \"{wave}\" and end {run}?")),
        Order::Abort { stop: false } => Some(format!("End {run}? What runs goes on to its end.")),
        Order::Abort { stop: true } => Some(format!("End {run} and stop what runs? Targets may be left half changed.")),
    }
}

fn done(run: &RunId, order: &Order) -> String {
    match order {
        Order::Approve { wave } => format!("approved wave \"{wave}\" of {run}"),
        Order::Reject { wave } => format!("rejected wave \"{wave}\" of {run}"),
        Order::Pause => format!("paused {run}"),
        Order::Resume => format!("resumed {run}"),
        Order::Abort { stop: false } => format!("aborted {run}"),
        Order::Abort { stop: true } => format!("aborted {run}, and what runs is stopped"),
    }
}
