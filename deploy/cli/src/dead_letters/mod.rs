//! `manifold dead-letters`: lists what the hub gave up on, explains it, puts it back, or drops it.
//!
//! What a letter is and whether a redrive would help is the core's to say (`manifold_core::deadletter`). Here letters and
//! ledger are fetched, and what is agreed to is done.
//!
//! **Invariant:** nothing is redriven or dropped that was not shown and agreed to, and nothing is deleted that was not
//! sent on first, but for what is dropped.

mod draw;
mod hub;
pub(crate) mod options;
mod shelf;

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;
use std::process::ExitCode;

use anyhow::{Result, anyhow};
use futures::future::join_all;
use manifold_aws::clock::SystemClock;
use manifold_aws::ledger::DynamoLedger;
use manifold_core::deadletter::{self, Fact, Inbox, Judgement, Known, Letter, Planning, Redrive, Releases};
use manifold_core::ids::{ExecutionRef, RunId, TargetKey};
use manifold_core::ledger::Key;
use manifold_core::release::{Release, Trigger};
use manifold_core::time::Timestamp;
use manifold_fleet::{Fleet, PlanError};
use manifold_ports::clock::Clock;
use manifold_ports::ledger::{Ledger, LedgerError};

use crate::args::Output;
use crate::input::advise;
use crate::{aws, confirm, input, print, say, validate};
use hub::Hub;
use options::{Action, DeadLetters};
use shelf::{Fate, Found, Moved, Seen};

/// How many letters of a queue are shown, and how many are looked at to redrive or drop some.
const MOST_SHOWN: u32 = 100;
const MOST_MOVED: u32 = 10_000;

/// There are dead letters, or some are left.
const EXIT_SOME: u8 = 1;
/// Nobody agreed.
const EXIT_DECLINED: u8 = 3;

/// A letter, with all that is to be told of it.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The position of its queue.
    pub(crate) shelf: usize,
    /// As it was received.
    pub(crate) found: Found,
    /// Where a redrive puts it.
    pub(crate) inbox: Option<Inbox>,
    /// The core's word on it.
    pub(crate) judgement: Judgement,
}

/// What was seen in all queues.
pub(crate) struct Sight {
    pub(crate) fleet: String,
    pub(crate) hub_key: TargetKey,
    pub(crate) prefix: String,
    pub(crate) hub: Hub,
    /// Beside each of the hub's shelves: how many more letters it has, and how many are hidden.
    pub(crate) counts: Vec<(usize, usize)>,
    pub(crate) entries: Vec<Entry>,
    pub(crate) now: Timestamp,
}

/// What became of the letters that were chosen.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// The position of each letter, and what became of it.
    pub(crate) moved: Vec<(usize, Moved)>,
    /// Letters that were left where they are, as a redrive would not help them.
    pub(crate) skipped: Vec<usize>,
    /// Ids that were asked for, and not found.
    pub(crate) missing: Vec<String>,
}

/// What is to be done with letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Redrive,
    Drop,
}

pub(crate) fn dead_letters(options: &DeadLetters) -> Result<ExitCode> {
    let path = options.fleet.as_ref().ok_or_else(|| {
        advise("--fleet is missing", "name the fleet file, whose hub is looked at: --fleet fleet.yaml")
    })?;
    if !options.members && (!options.regions.is_empty() || options.rule_prefix.is_some()) {
        return Err(advise("--region and --rule-prefix choose among the members' queues", "give --members, too"));
    }
    if let Some(Action::Redrive(redrive)) = &options.action
        && !redrive.all
        && redrive.ids.is_empty()
        && options.queues.is_empty()
    {
        return Err(advise("nothing is chosen", "give --id, --queue or --all"));
    }
    let (_, fleet) = validate::read(path, "nothing was looked at")?;
    aws::runtime()?.block_on(async {
        let sight = Box::pin(look(options, input::name(path), &fleet)).await?;
        match &options.action {
            None | Some(Action::List) => list(options.output, &sight),
            Some(Action::Redrive(redrive)) => {
                let chosen = Chosen { verb: Verb::Redrive, ids: &redrive.ids, force: redrive.force, yes: redrive.yes };
                Box::pin(move_letters(options, &sight, chosen)).await
            }
            Some(Action::Drop(drop)) => {
                let chosen = Chosen { verb: Verb::Drop, ids: &drop.ids, force: true, yes: drop.yes };
                Box::pin(move_letters(options, &sight, chosen)).await
            }
        }
    })
}

fn list(output: Output, sight: &Sight) -> Result<ExitCode> {
    print(|out| match output {
        Output::Text => draw::list(out, sight),
        Output::Json => draw::list_json(out, sight),
    })?;
    Ok(ExitCode::from(match sight {
        Sight { hub, .. } if !hub.troubles.is_empty() => crate::args::EXIT_USAGE,
        Sight { entries, counts, .. }
            if entries.is_empty() && counts.iter().all(|(more, hidden)| more + hidden == 0) =>
        {
            0
        }
        Sight { .. } => EXIT_SOME,
    }))
}

/// How many letters of each queue are looked at.
fn most(options: &DeadLetters) -> usize {
    let default = match options.action {
        None | Some(Action::List) => MOST_SHOWN,
        Some(Action::Redrive(_) | Action::Drop(_)) => MOST_MOVED,
    };
    usize::try_from(options.most.unwrap_or(default)).unwrap_or(usize::MAX)
}

async fn look(options: &DeadLetters, name: String, fleet: &Fleet) -> Result<Sight> {
    let session = aws::Session::load(options.profile.as_deref(), fleet.hub().region()).await?;
    session.expect_account(fleet.hub().account(), "the hub")?;
    let mut hub = Box::pin(Hub::open(&session, &options.prefix)).await?;
    if options.members {
        Box::pin(hub.add_members(&session, fleet, options)).await;
    }
    hub.keep_only(&options.queues, &options.prefix)?;
    let most = most(options);
    let seen = join_all(hub.shelves.iter().map(|shelf| shelf.look(most))).await;
    let mut entries = Vec::new();
    let mut counts = Vec::new();
    let hub_key = TargetKey { account: fleet.hub().account().clone(), region: fleet.hub().region().clone() };
    for (index, seen) in seen.into_iter().enumerate() {
        let shelf = &hub.shelves[index];
        let Seen { letters, more, hidden } =
            seen.map_err(|refusal| anyhow!("failed to look into {}: {refusal}", shelf.name))?;
        counts.push((more, hidden));
        let of = deadletter::Hub { key: &hub_key, prefix: &options.prefix };
        entries.extend(letters.into_iter().map(|found| {
            let letter = Letter::read(&shelf.place, of, &found.body, found.undelivered.clone());
            let releases = releases(fleet, &letter);
            (index, found, letter, releases)
        }));
    }
    let known = Box::pin(facts(&hub.ledger, &entries)).await;
    let (now, nonce) = (SystemClock.now(), SystemClock.nonce());
    let entries = entries.into_iter().map(|(shelf, found, letter, releases)| Entry {
        shelf,
        found,
        inbox: letter.inbox(),
        judgement: letter.judge(&releases, &known, now, &nonce),
    });
    let entries = entries.collect();
    Ok(Sight { fleet: name, hub_key, prefix: options.prefix.clone(), hub, counts, entries, now })
}

/// The apps that a release letter releases, and whether their runs could be planned.
fn releases(fleet: &Fleet, letter: &Letter) -> Vec<Releases> {
    let Some((envelope, told)) = letter.release() else { return Vec::new() };
    let source = ExecutionRef {
        target: TargetKey { account: envelope.account.clone(), region: envelope.region.clone() },
        id: told.execution.clone(),
    };
    let release = Release::announced(envelope, told, Vec::new(), Trigger::default());
    let apps = fleet.released_by(&envelope.account, &envelope.region, &told.pipeline);
    let planned = apps.into_iter().map(|app| {
        let run = RunId::derive(app.name(), &source);
        let plan = match app.plan(&run, &release) {
            Ok(_) => Planning::Fits,
            // The release pipeline, which `dispatch` asks, may know.
            Err(error @ (PlanError::NoRevision { .. } | PlanError::NotReported { .. })) => {
                Planning::Unsure(error.to_string())
            }
            Err(
                error @ (PlanError::OtherApp { .. }
                | PlanError::BadValue { .. }
                | PlanError::TooLarge { .. }
                | PlanError::UnknownParameter { .. }
                | PlanError::FixedParameter { .. }
                | PlanError::SetTwice { .. }
                | PlanError::BadSetting { .. }
                | PlanError::Unpinned { .. }
                | PlanError::NotTargets { .. }
                | PlanError::NothingToGoBack { .. }),
            ) => Planning::Fails(error.to_string()),
        };
        Releases { app: app.name().clone(), plan }
    });
    planned.collect()
}

/// Reads what the letters want to know.
async fn facts(ledger: &DynamoLedger, letters: &[(usize, Found, Letter, Vec<Releases>)]) -> Known {
    let mut known = Known::new();
    loop {
        let wanted: BTreeSet<Key> =
            letters.iter().flat_map(|(_, _, letter, releases)| letter.wants(releases, &known)).collect();
        if wanted.is_empty() {
            return known;
        }
        let wanted: Vec<Key> = wanted.into_iter().collect();
        let read = match Box::pin(ledger.get(&wanted)).await {
            Ok(records) => records.into_iter().map(fact).collect(),
            // One that a newer version wrote keeps none of the others: each by itself.
            Err(LedgerError::Unreadable { .. }) => {
                let each = wanted.iter().map(|key| async move {
                    match Box::pin(ledger.get(std::slice::from_ref(key))).await {
                        Ok(mut records) => fact(records.pop().flatten()),
                        Err(error) => Fact::Unread(error.to_string()),
                    }
                });
                join_all(each).await
            }
            Err(error @ (LedgerError::Unavailable(_) | LedgerError::Refused(_))) => {
                vec![Fact::Unread(error.to_string()); wanted.len()]
            }
        };
        known.extend(wanted.into_iter().zip(read));
    }
}

fn fact(record: Option<manifold_core::ledger::Record>) -> Fact {
    record.map_or(Fact::Absent, |record| Fact::Stored(Box::new(record)))
}

/// Which letters, and what with them.
struct Chosen<'a> {
    verb: Verb,
    /// All, if there are none.
    ids: &'a [String],
    force: bool,
    yes: bool,
}

async fn move_letters(options: &DeadLetters, sight: &Sight, chosen: Chosen<'_>) -> Result<ExitCode> {
    if let Some((queue, reason)) = sight.hub.troubles.first() {
        return Err(anyhow!("failed to look into {queue}: {reason}"));
    }
    let is_chosen = |entry: &Entry| chosen.ids.is_empty() || chosen.ids.contains(&entry.found.id);
    let wanted: Vec<usize> =
        (0..sight.entries.len()).filter(|index| sight.entries.get(*index).is_some_and(is_chosen)).collect();
    let (todo, skipped): (Vec<usize>, Vec<usize>) = wanted.into_iter().partition(|index| {
        let Entry { inbox, judgement, .. } = &sight.entries[*index];
        match (chosen.verb, judgement.redrive) {
            (Verb::Drop, _) => true,
            // Not even force says where to.
            (Verb::Redrive, _) if inbox.is_none() => false,
            (Verb::Redrive, Redrive::ComesBack) => chosen.force,
            (Verb::Redrive, Redrive::Helps | Redrive::Unknown | Redrive::ChangesNothing) => true,
        }
    });
    let there: BTreeSet<&str> = sight.entries.iter().map(|entry| entry.found.id.as_str()).collect();
    let missing = chosen.ids.iter().filter(|id| !there.contains(id.as_str())).cloned().collect();
    let mut outcome = Outcome { moved: Vec::new(), skipped, missing };

    let asks = !chosen.yes && std::io::stdin().is_terminal();
    let plan = |out: &mut dyn std::io::Write| draw::plan(out, sight, chosen.verb, &todo, &outcome);
    match options.output {
        Output::Text => print(plan)?,
        Output::Json if asks => plan(&mut std::io::stderr().lock())?,
        Output::Json => {}
    }
    let question = draw::question(chosen.verb, todo.len());
    // Ctrl-C ends the command by itself: nothing is half done that a second try would not mend.
    let agreed = todo.is_empty() || chosen.yes || asks && confirm::ask(&question, std::future::pending()).await;
    if agreed {
        outcome.moved = Box::pin(carry_out(sight, chosen.verb, &todo, most(options))).await;
    }
    print(|out| match options.output {
        Output::Text => draw::outcome(out, sight, chosen.verb, agreed, &outcome),
        Output::Json => draw::outcome_json(out, sight, chosen.verb, agreed, &outcome),
    })?;
    let is_done = |(_, moved): &(usize, Moved)| match moved {
        Moved::Done => true,
        Moved::Gone | Moved::Failed(_) => false,
    };
    Ok(ExitCode::from(match agreed {
        false => EXIT_DECLINED,
        true if outcome.skipped.is_empty() && outcome.missing.is_empty() && outcome.moved.iter().all(is_done) => 0,
        true => EXIT_SOME,
    }))
}

/// Moves what was agreed to, queue by queue.
async fn carry_out(sight: &Sight, verb: Verb, todo: &[usize], most: usize) -> Vec<(usize, Moved)> {
    let mut moved = Vec::new();
    for (index, shelf) in sight.hub.shelves.iter().enumerate() {
        let own: BTreeMap<&str, usize> = todo
            .iter()
            .filter_map(|position| Some((sight.entries.get(*position)?, *position)))
            .filter(|(entry, _)| entry.shelf == index)
            .map(|(entry, position)| (entry.found.id.as_str(), position))
            .collect();
        if own.is_empty() {
            continue;
        }
        let fate = |position: usize| match verb {
            Verb::Drop => Some(Fate::Dropped),
            Verb::Redrive => {
                let url = sight.hub.inboxes.get(&sight.entries.get(position)?.inbox?)?.clone();
                Some(Fate::Sent { client: sight.hub.sqs.clone(), url })
            }
        };
        let chosen = own.iter().filter_map(|(id, position)| Some((*id, fate(*position)?))).collect();
        match Box::pin(shelf.take(&chosen, most)).await {
            Ok(taken) => moved.extend(taken.into_iter().filter_map(|(id, what)| Some((*own.get(id.as_str())?, what)))),
            Err(refusal) => {
                say(&format!("failed to take letters from {}: {refusal}", shelf.name));
                moved.extend(own.values().map(|position| (*position, Moved::Failed(refusal.to_string()))));
            }
        }
    }
    moved.sort_by_key(|(position, _)| *position);
    moved
}
