//! What happens in a world, in words: for the tale of a story that went wrong.

use manifold_core::ids::Attempt;
use manifold_core::ledger::Item;
use manifold_core::message::{Message, Payload};
use manifold_core::run::sweep::OpenRun;
use manifold_core::run::{Head, Observation, Observed, Phase, Status, Target};

/// What a body says.
pub(crate) fn said(body: &str) -> String {
    if let Ok(Message { payload, .. }) = Message::decode(body) {
        return match payload {
            Payload::Start { run, index, attempt: Attempt(attempt) } => {
                format!("start {run} target {index} attempt {attempt}")
            }
            Payload::Explain { run, target, .. } => format!("explain {run} {target}"),
            Payload::Ask { run, targets, .. } => {
                let targets: Vec<String> = targets.iter().map(ToString::to_string).collect();
                format!("ask {run} {}", targets.join(" "))
            }
            Payload::Summarize { run } => format!("summarize {run}"),
            Payload::Activate { run } => format!("activate {run}"),
            Payload::Notify { notice } => format!("notify of {}", notice.pipeline),
            Payload::Advance { run } => format!("advance {run}"),
            Payload::Command { run, command } => format!("{} {run}, as {}", command.what.verb(), command.who),
            Payload::Open { request } => format!("open {} for {:?}", request.run(), request.what),
            Payload::Stop { run, targets, .. } => format!("stop {} targets of {run}", targets.len()),
            Payload::Alarms { run, wave, from, .. } => format!("alarms of wave {wave} of {run} from {from}"),
            Payload::Drift(note) => format!("{} of {}", note.name(), note.check()),
            Payload::Deadline { run } => format!("deadline {run}"),
        };
    }
    match manifold_core::event::decode_event(body) {
        Ok(envelope) => match Observation::of(&envelope) {
            Some(Observation { target, execution, what: Observed::State { state, attempt, .. }, .. }) => {
                let attempt = attempt.map_or_else(String::new, |attempt| format!(" (attempt {attempt})"));
                format!("the event {state}{attempt} of {target}, {execution}")
            }
            Some(Observation { target, execution, what: Observed::ActionFailed { reason }, .. }) => {
                format!("the event {} of {target}, {execution}", reason.cause)
            }
            None => "an event that moves no run".to_owned(),
        },
        Err(error) => format!("what can't be read: {error}"),
    }
}

/// What an item says that is written.
pub(crate) fn written(item: &Item) -> String {
    match item {
        Item::Head(head) => head_line(head),
        Item::Plan(chunk) => format!("writes {} planned targets", chunk.targets.len()),
        Item::Target(target) => target_line(target),
        Item::Summary(posting) => {
            let shown = posting.shown.map_or_else(|| "nothing".to_owned(), |version| format!("version {version}"));
            let lease = if posting.lease.is_some() { ", leased" } else { "" };
            let message = posting.message.as_ref().and_then(|message| message.ts.clone());
            format!("writes the summary: {} in Slack shows {shown}{lease}", message.as_deref().unwrap_or("nothing"))
        }
        Item::Link(link) => match &link.owner {
            Some(owner) => format!("writes a link to {}", owner.run),
            None => format!("keeps {} early events", link.early.len()),
        },
        Item::Queue(queue) => {
            let name = |run: &Option<manifold_core::ids::RunId>| {
                run.as_ref().map_or_else(|| "nobody".to_owned(), ToString::to_string)
            };
            format!("writes the queue: {} is active, {} is next", name(&queue.current), name(&queue.next))
        }
        Item::Pace(pace) => format!("writes {pace:?}"),
        Item::Decision(decision) => format!("records: {}, by {}", decision.what, decision.who),
        Item::Known(known) => format!("notes that {} has what {} brought", known.target, known.current.run),
        Item::Opening(opening) => format!("notes that {} was opened", opening.run),
        Item::Check(check) => {
            format!("writes {}: {} of {} looked at, {:?}", check.run, check.looked, check.size, check.phase)
        }
        Item::Looked(looked) => format!("writes what was seen of {}", looked.key),
        Item::Detection(of) => format!("notes detection {} of {}", of.detection.id, of.check),
        Item::Baseline(baseline) => format!("writes what is accepted of {}", baseline.target),
        Item::Standing(standing) => format!("writes what stands of {}", standing.target),
        Item::Ignore(rule) => format!("writes a rule for {}", rule.target),
        Item::LastCheck(last) => format!("notes that {} was the last check", last.check),
        Item::Definition(_) => "keeps a definition".to_owned(),
        Item::OpenCheck(open) => format!("has {} looked after", open.check),
        Item::Open(OpenRun { run, looked_at, .. }) => match looked_at {
            None => format!("has {run} looked after"),
            Some(_) => format!("notes that it looked at {run}"),
        },
    }
}

fn head_line(head: &Head) -> String {
    let phase = match &head.phase {
        Phase::Waiting { behind } => format!("waits behind {behind}"),
        Phase::Active { .. } => "is active".to_owned(),
        Phase::Closed { because, .. } => format!("is closed ({because:?})"),
    };
    let verdict = head.verdict().map_or_else(String::new, |verdict| format!(", verdict: {}", verdict.words()));
    format!(
        "writes {}: {phase}, {} of {} released, {} ended{verdict}",
        head.run,
        head.released(),
        head.size(),
        head.tally().ended()
    )
}

fn target_line(target: &Target) -> String {
    let status = match target.status() {
        Status::Waiting => "waiting",
        Status::Queued => "queued",
        Status::Starting => "claimed",
        Status::Running => "running",
        Status::Stopping => "stopping",
        Status::Ended(outcome) => outcome.words(),
    };
    format!("writes {} attempt {}: {status}", target.key, target.attempt.0)
}
