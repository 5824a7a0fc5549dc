//! What follows once all looks of a check are in, or its time is up: a second look at what is not in sync, or the end.
//!
//! **Invariant:** all of it is derived from stored facts, so that whoever is told to settle a check again, after a death
//! midway or for a message that came twice, goes on where the last one stopped. A target's conclusion is written together
//! with what stands of it, and only then counts; the check closes last.

use std::collections::{BTreeMap, BTreeSet};

use super::check::{Again, Change, Check, Closed, Concluded, Counts, Looked, News, Phase, Telling};
use super::judge::{Judged, Value, fingerprint, judge};
use super::message::{Look, Note, ToInspect};
use super::watch::overdue_from;
use super::{Aspect, Cause, Last, Looks, Quiet, Response, Sight, Stand, Standing, Turn, by_account, slot};
use crate::checkup::Tried;
use crate::control::{Command, Request, Who};
use crate::ids::{Nonce, TargetKey};
use crate::message::{Outgoing, Payload};
use crate::plan::PlannedTarget;
use crate::time::{Span, Timestamp};

/// What counts as found for all reasons why nothing was.
const UNKNOWN: &str = "unknown";
/// How long a message may be on its way, and a look take.
const PATIENCE: Span = Span::from_seconds(60);
/// How many gone targets are named.
const MOST_GONE: usize = 20;

/// All that is known of a check.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The check.
    pub check: &'a Check,
    /// Its targets.
    pub plan: &'a [PlannedTarget],
    /// What was seen of them.
    pub looked: &'a [Looked],
    /// What stands of the app's targets.
    pub standing: &'a [Standing],
    /// The app's last check.
    pub last: Option<&'a Last>,
    /// Definitions by their digest, as far as they are kept.
    pub texts: &'a BTreeMap<String, String>,
}

/// What follows.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Settled {
    /// Looks are missing. These messages ask for them, in case theirs were lost.
    Waits(Vec<Outgoing>),
    /// What is not in sync is looked at again. Store the check, then send.
    Confirms {
        /// To be stored.
        check: Box<Check>,
        /// To be sent.
        messages: Vec<Outgoing>,
    },
    /// It ends. Store the targets, each with what stands of it; then the check and the app's last one; then send.
    Ends(Box<Ending>),
    /// It has ended. These messages say so again.
    Ended(Vec<Outgoing>),
    /// It has ended, and no other check followed it when it should have. Store it, then send.
    Overdue {
        /// To be stored.
        check: Box<Check>,
        /// To be sent.
        messages: Vec<Outgoing>,
    },
}

/// How a check ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// The targets that have something to tell, as they are to be stored.
    pub targets: Vec<Looked>,
    /// What stands of them, and of those that are gone.
    pub standing: Vec<Standing>,
    /// The check.
    pub check: Check,
    /// The app's last check.
    pub last: Last,
    /// What an earlier check is told of this one.
    pub again: Option<Again>,
    /// To be sent.
    pub messages: Vec<Outgoing>,
}

/// The digests of the definitions whose texts are needed to say where targets differ.
#[must_use]
pub fn texts_wanted(check: &Check, looked: &[Looked]) -> BTreeSet<String> {
    let common = check.definitions.common().map(|(digest, _)| digest);
    let mut wanted = BTreeSet::new();
    for target in looked {
        let sights = std::iter::once(&target.first).chain(&target.second);
        let own = sights.filter_map(|sight| Some(sight.pipeline.as_ref()?.done()?.digest.as_str()));
        let baseline = target.expected.accepted.get(&Aspect::Definition).map(|accepted| accepted.fingerprint.as_str());
        for own in own {
            let others: Vec<&str> = [baseline, common].into_iter().flatten().filter(|other| *other != own).collect();
            if !others.is_empty() {
                wanted.extend(others.into_iter().chain([own]).map(str::to_owned));
            }
        }
    }
    wanted
}

/// What is to become of a check now.
pub fn settle(facts: Facts<'_>, now: Timestamp) -> Settled {
    let check = facts.check;
    let is_due = now >= check.due_at;
    match &check.phase {
        Phase::Closed(_) if is_overdue(facts, now) => {
            let check = Check { overdue_at: Some(now), ..check.clone() };
            let tell = Outgoing::from(Payload::from(Note::Tell { check: check.run.clone() }));
            Settled::Overdue { check: Box::new(check), messages: vec![tell] }
        }
        Phase::Closed(closed) => Settled::Ended(after(check, closed)),
        Phase::Looking | Phase::Confirming { .. } if !check.is_complete() && !is_due => {
            Settled::Waits(missing(facts, now))
        }
        Phase::Looking => match check.policy.confirm.filter(|_| !is_due) {
            Some(delay) => {
                let suspects: Vec<&PlannedTarget> = suspects(facts);
                if suspects.is_empty() {
                    return end(facts, now);
                }
                let awaited = u32::try_from(suspects.len()).unwrap_or(u32::MAX);
                let phase = Phase::Confirming { since: now, awaited, looked: 0 };
                let check = Check { phase, ..check.clone() };
                let messages = second_looks(&check, suspects, delay);
                Settled::Confirms { check: Box::new(check), messages }
            }
            None => end(facts, now),
        },
        Phase::Confirming { .. } => end(facts, now),
    }
}

/// Whether the check that should have followed this one is missing.
fn is_overdue(facts: Facts<'_>, now: Timestamp) -> bool {
    let Facts { check, last, .. } = facts;
    check.overdue_at.is_none()
        && last.is_some_and(|last| last.is_turn_of(&check.run))
        && overdue_from(check).is_some_and(|from| now >= from)
}

/// The messages for looks that are not in, and whose own messages should have brought them by now. What is looked at twice is
/// known the second time.
#[must_use]
pub fn missing(facts: Facts<'_>, now: Timestamp) -> Vec<Outgoing> {
    let Facts { check, plan, looked, .. } = facts;
    let delay = Span::from_millis(0);
    let by_index: BTreeMap<u32, &Looked> = looked.iter().map(|looked| (looked.index, looked)).collect();
    let mut messages = Vec::new();
    let unseen = |planned: &&PlannedTarget| !by_index.contains_key(&planned.index);
    let whole = |planned: &&PlannedTarget| ToInspect { index: planned.index, detections: Vec::new() };
    for targets in by_account(plan.iter().filter(unseen)) {
        messages.push(check.inspect(Look::First, targets.iter().map(whole).collect(), delay));
    }
    // Whose detections are under way, by the look that began them.
    for look in [Look::First, Look::Second] {
        let detecting = |planned: &PlannedTarget| {
            let (begun, detections) = by_index.get(&planned.index)?.detecting()?;
            (begun == look).then_some(ToInspect { index: planned.index, detections })
        };
        for targets in by_account(plan.iter().filter(|planned| detecting(planned).is_some())) {
            let targets = targets.into_iter().filter_map(detecting).collect();
            messages.push(check.inspect(look, targets, delay));
        }
    }
    if let Phase::Confirming { since, .. } = &check.phase
        // Before that, a second look would not be one: whatever goes by itself has had no time to.
        && now >= since.plus(check.policy.confirm.unwrap_or(delay)).plus(PATIENCE)
    {
        let unconfirmed: Vec<&PlannedTarget> = suspects(facts)
            .into_iter()
            .filter(|planned| by_index.get(&planned.index).is_some_and(|looked| looked.second.is_none()))
            .collect();
        messages.extend(second_looks(check, unconfirmed, delay));
    }
    messages
}

fn second_looks(check: &Check, targets: Vec<&PlannedTarget>, delay: Span) -> Vec<Outgoing> {
    let whole = |planned: &&PlannedTarget| ToInspect { index: planned.index, detections: Vec::new() };
    by_account(targets)
        .iter()
        .map(|targets| check.inspect(Look::Second, targets.iter().map(whole).collect(), delay))
        .collect()
}

fn looks_of(planned: &PlannedTarget) -> Looks {
    planned.looks.as_deref().cloned().unwrap_or_else(|| Looks {
        aspects: BTreeSet::new(),
        deploy_stage: None,
        stacks: Vec::new(),
        stuck_after: Span::from_minutes(60 * 24),
        variables: false,
        who: false,
    })
}

/// The targets whose first look found something that is not in sync.
fn suspects(facts: Facts<'_>) -> Vec<&PlannedTarget> {
    let by_index: BTreeMap<u32, &Looked> = facts.looked.iter().map(|looked| (looked.index, looked)).collect();
    let is_suspect = |planned: &&PlannedTarget| {
        let Some(looked) = by_index.get(&planned.index) else { return false };
        let first = Looked { second: None, ..(*looked).clone() };
        let judged = judged(facts, planned, &first);
        judged.values().any(|judged| judged.value != Value::InSync)
    };
    facts.plan.iter().filter(is_suspect).collect()
}

/// What was seen of a target, judged. Rules hold or not as of the check's opening, whenever it is judged: one that expires
/// midway would have what it hid count without a second look.
fn judged(facts: Facts<'_>, planned: &PlannedTarget, looked: &Looked) -> BTreeMap<Aspect, Judged> {
    let Facts { check, texts, .. } = facts;
    judge(check, &planned.account_name, &looks_of(planned), looked, texts, check.opened_at)
}

/// How the comparisons of a target came out, at the end.
#[must_use]
pub fn values(facts: Facts<'_>, planned: &PlannedTarget, looked: &Looked) -> BTreeMap<Aspect, Judged> {
    let mut judged = judged(facts, planned, looked);
    if facts.check.policy.confirm.is_some() && looked.second.is_none() {
        // A finding that nobody confirmed in time is none.
        for judged in judged.values_mut() {
            if let Value::Drifted(findings) = &mut judged.value {
                for finding in findings.iter_mut() {
                    finding.words = format!("seen once, and not looked at again in time: {}", finding.words);
                }
                judged.value = Value::Unknown(std::mem::take(findings));
            }
        }
    }
    judged
}

/// A target that nobody looked at.
fn unseen(planned: &PlannedTarget, now: Timestamp) -> Looked {
    let reason = "it was not looked at before the check's time was up".to_owned();
    Looked {
        key: planned.key.clone(),
        index: planned.index,
        first: Sight::not_assumed(now, Tried::Unanswered { reason }),
        second: None,
        expected: super::check::Expected::default(),
        concluded: BTreeMap::new(),
    }
}

/// A comparison's value against what stood before.
fn changed(value: &Value, stand: Option<&Stand>) -> Option<Change> {
    let found = match value {
        Value::InSync => {
            let Stand { since, words, .. } = stand?.clone();
            return Some(Change::Resolved { since, was: words });
        }
        Value::Drifted(findings) => fingerprint(findings),
        Value::Unknown(_) => UNKNOWN.to_owned(),
    };
    Some(match (stand, value) {
        (None, _) => Change::New,
        (Some(stand), Value::Unknown(_)) if stand.drifted && stand.unseen_since.is_none() => {
            Change::Other { since: stand.since, was: stand.words.clone() }
        }
        (Some(stand), Value::Unknown(_)) => Change::Persisting { since: stand.unseen_since.unwrap_or(stand.since) },
        (Some(stand), _) if stand.fingerprint == found => Change::Persisting { since: stand.since },
        (Some(stand), _) => Change::Other { since: stand.since, was: stand.words.clone() },
    })
}

/// What stands of a comparison after this check.
fn stands(check: &Check, value: &Value, before: Option<&Stand>, now: Timestamp) -> Option<Stand> {
    let new = |drifted: bool, fingerprint: String| Stand {
        drifted,
        fingerprint,
        check: check.run.clone(),
        since: now,
        unseen_since: None,
        words: value.findings().first().map(|finding| finding.words.clone()).unwrap_or_default(),
    };
    match value {
        Value::InSync => None,
        Value::Drifted(findings) => {
            let found = fingerprint(findings);
            Some(match before {
                Some(stand) if stand.fingerprint == found => Stand { unseen_since: None, ..stand.clone() },
                Some(_) | None => new(true, found),
            })
        }
        Value::Unknown(_) => Some(match before {
            // A drift does not go away because nobody can see it.
            Some(stand) if stand.drifted => {
                Stand { unseen_since: Some(stand.unseen_since.unwrap_or(now)), ..stand.clone() }
            }
            Some(stand) => stand.clone(),
            None => new(false, UNKNOWN.to_owned()),
        }),
    }
}

fn end(facts: Facts<'_>, now: Timestamp) -> Settled {
    let Facts { check, plan, looked, standing, last, .. } = facts;
    let by_index: BTreeMap<u32, &Looked> = looked.iter().map(|looked| (looked.index, looked)).collect();
    let by_key: BTreeMap<&TargetKey, &Standing> =
        standing.iter().map(|standing| (&standing.target, standing)).collect();
    // A check that ends after a later one tells nothing: what it found is older than what is known.
    let is_late = last.is_some_and(|last| last.opened_at > check.opened_at);
    let (mut counts, mut news) = (Counts::default(), News::default());
    let (mut targets, mut stood) = (Vec::new(), Vec::new());
    let mut redeploys = Vec::new();
    for planned in plan {
        let missing;
        let looked = match by_index.get(&planned.index) {
            Some(looked) => *looked,
            None => {
                missing = unseen(planned, now);
                &missing
            }
        };
        let values: BTreeMap<Aspect, Value> = match looked.concluded.is_empty() {
            true => values(facts, planned, looked).into_iter().map(|(aspect, judged)| (aspect, judged.value)).collect(),
            // A death midway: it was concluded together with what stands of it, and so it stays.
            false => {
                let concluded = |aspect: &Aspect| looked.concluded.get(aspect).map(|concluded| concluded.value.clone());
                let looks = looks_of(planned).aspects.into_iter();
                looks.map(|aspect| (aspect, concluded(&aspect).unwrap_or(Value::InSync))).collect()
            }
        };
        let has = |is: fn(&Value) -> bool| values.values().any(is);
        let is_drifted = |value: &Value| matches!(value, Value::Drifted(_));
        match (has(is_drifted), has(|value| matches!(value, Value::Unknown(_))) || values.is_empty()) {
            (true, _) => counts.drifted += 1,
            (false, true) => counts.unknown += 1,
            (false, false) => counts.in_sync += 1,
        }
        let concluded = match looked.concluded.is_empty() {
            false => looked.concluded.clone(),
            true => {
                let before = by_key.get(&planned.key).copied();
                let stand = |aspect: &Aspect| before.and_then(|before| before.stands.get(aspect));
                let concluded: BTreeMap<Aspect, Concluded> = values
                    .iter()
                    .filter_map(|(aspect, value)| {
                        let change = changed(value, stand(aspect))?;
                        Some((*aspect, Concluded { value: value.clone(), change }))
                    })
                    .collect();
                if !concluded.is_empty() {
                    targets.push(Looked { concluded: concluded.clone(), ..looked.clone() });
                    // A later check may have died before it could say that it was the last one.
                    let is_known_better = before.is_some_and(|before| before.as_of > check.opened_at);
                    if !is_late && !is_known_better {
                        // What is not compared any more does not stand.
                        let stands = values
                            .iter()
                            .filter_map(|(aspect, value)| Some((*aspect, stands(check, value, stand(aspect), now)?)));
                        stood.push(Standing {
                            target: planned.key.clone(),
                            account_name: planned.account_name.clone(),
                            as_of: check.opened_at,
                            stands: stands.collect(),
                        });
                    }
                }
                concluded
            }
        };
        // Once for a drift: a rollout that did not mend it is for a person to look at.
        let is_news = concluded.get(&Aspect::Revision).is_some_and(|revision| revision.change.is_news());
        if is_news && is_safe_to_redeploy(&values, looked) {
            redeploys.push(planned.key.clone());
        }
        for concluded in concluded.values() {
            match &concluded.change {
                Change::New | Change::Other { .. } => news.new += 1,
                Change::Persisting { .. } => news.persisting += 1,
                Change::Resolved { .. } => news.resolved += 1,
            }
        }
    }
    let planned: BTreeSet<&TargetKey> = plan.iter().map(|planned| &planned.key).collect();
    let is_gone = |standing: &&Standing| !planned.contains(&standing.target) && !standing.stands.is_empty();
    let gone: Vec<&Standing> = standing.iter().filter(|_| check.is_whole && !is_late).filter(is_gone).collect();
    stood.extend(gone.iter().map(|gone| Standing {
        as_of: check.opened_at,
        stands: BTreeMap::new(),
        ..(*gone).clone()
    }));
    let gone: Vec<String> =
        gone.iter().take(MOST_GONE).map(|gone| format!("{}/{}", gone.account_name, gone.target.region)).collect();
    let out_of_time = !check.is_complete();
    let is_digest = !is_late && is_digest(check, last);
    let is_outage = out_of_time || (counts.in_sync == 0 && counts.drifted == 0);
    let telling = match last.and_then(|last| last.posted.clone()) {
        _ if is_late => Telling::Silent,
        None => Telling::Post,
        Some(_) if news.is_any() || !gone.is_empty() || is_digest => Telling::Post,
        Some(of) if is_outage || check.policy.quiet == Quiet::Edit => Telling::Again { of },
        Some(_) => Telling::Silent,
    };
    let redeploys = match check.policy.response {
        Response::Redeploy if !is_late => redeploys,
        Response::Redeploy | Response::Report => Vec::new(),
    };
    let closed = Closed {
        at: now,
        out_of_time,
        counts,
        news,
        is_digest,
        gone,
        redeploys,
        before: last.map(|last| last.check.clone()),
        telling,
    };
    let again = match &closed.telling {
        Telling::Again { .. } => Some(Again { times: 1, check: check.run.clone(), at: check.opened_at }),
        Telling::Post | Telling::Silent => None,
    };
    let is_posted = closed.telling == Telling::Post;
    let turn = turn(check, last);
    let last = match last.filter(|_| is_late) {
        Some(last) => Last { turn, ..last.clone() },
        None => Last {
            turn,
            check: check.run.clone(),
            opened_at: check.opened_at,
            posted: if is_posted { Some(check.run.clone()) } else { last.and_then(|last| last.posted.clone()) },
            digest_at: match (is_digest, last) {
                (true, _) | (false, None) => Some(check.opened_at),
                (false, Some(last)) => last.digest_at,
            },
        },
    };
    let check = Check { phase: Phase::Closed(Box::new(closed.clone())), ..check.clone() };
    let messages = after(&check, &closed);
    Settled::Ends(Box::new(Ending { targets, standing: stood, check, last, again, messages }))
}

/// The check that a schedule opened last, this one included.
fn turn(check: &Check, last: Option<&Last>) -> Option<Turn> {
    let before = last.and_then(|last| last.turn.clone());
    match &check.cause {
        Cause::Scheduled { slot, .. } if before.as_ref().is_none_or(|before| before.slot < *slot) => {
            Some(Turn { check: check.run.clone(), slot: *slot })
        }
        Cause::Scheduled { .. } | Cause::Asked { .. } => before,
    }
}

/// Whether the turn of a digest came since the last one.
fn is_digest(check: &Check, last: Option<&Last>) -> bool {
    let (Some(every), Some(told)) = (check.policy.digest, last.and_then(|last| last.digest_at)) else { return false };
    let at = match &check.cause {
        Cause::Scheduled { slot, .. } => *slot,
        // Who asks is told anyway.
        Cause::Asked { .. } => return false,
    };
    slot(at, every) > slot(told, every)
}

/// Whether nothing but the revision drifted, and what should be there is known. Executions that somebody started or that
/// failed come with such a drift; a disabled transition, or an approval that nobody gives, would stop a rollout as well.
fn is_safe_to_redeploy(values: &BTreeMap<Aspect, Value>, looked: &Looked) -> bool {
    let drift = |aspect: Aspect| match values.get(&aspect) {
        Some(Value::Drifted(findings)) => findings.as_slice(),
        Some(Value::InSync | Value::Unknown(_)) | None => &[],
    };
    let is_at = |finding: &super::Finding, path: &str| finding.path.as_deref().is_some_and(|own| own.starts_with(path));
    drift(Aspect::Revision).iter().any(|finding| is_at(finding, "/deployed"))
        && looked.expected.known.is_some()
        && drift(Aspect::Definition).is_empty()
        && drift(Aspect::Stack).is_empty()
        && drift(Aspect::Health).iter().all(|finding| finding.is_unseen || is_at(finding, "/executions/"))
}

/// What follows from an end.
fn after(check: &Check, closed: &Closed) -> Vec<Outgoing> {
    let mut messages = Vec::new();
    match &closed.telling {
        Telling::Post => messages.push(Outgoing::from(Payload::from(Note::Tell { check: check.run.clone() }))),
        Telling::Again { of } => messages.push(Outgoing::from(Payload::from(Note::Tell { check: of.clone() }))),
        Telling::Silent => {}
    }
    if let (false, Ok(id)) = (closed.redeploys.is_empty(), "drift".parse::<Nonce>()) {
        let request = Command {
            id,
            at: closed.at,
            who: Who::manifold(),
            why: Some(format!("drift check {} found another revision there", check.run)),
            what: Request::Restore { of: check.run.clone(), targets: closed.redeploys.clone() },
        };
        messages.push(Outgoing::from(Payload::Open { request: Box::new(request) }));
    }
    messages
}
