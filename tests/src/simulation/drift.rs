//! Drift checks, from one seed each: targets that somebody changes by hand, messages that are lost, doubled and late,
//! functions that die, answers that are lost and credentials that have expired; and what must hold of every check.
//!
//! What is told is compared with what the simulated world knows, never with Manifold's own word: what was changed is never
//! in sync, what was not is never drift, and what could not be seen is neither.

use std::collections::{BTreeMap, BTreeSet};

use manifold_core::drift::check::{Change, Telling};
use manifold_core::drift::{Aspect, Check, Looked, Standing, Value, slot};
use manifold_core::ids::TargetKey;
use manifold_core::ledger::Key;
use manifold_core::plan::PlannedTarget;
use manifold_core::run::posting::Posting;
use manifold_core::time::Span;
use manifold_local::faults::{At, Faults, Harm, Mishap};
use manifold_local::simulation::Simulation;
use manifold_local::world::Tampering;
use manifold_ports::clock::Clock;

use crate::FLEET;
use crate::story::Story;

/// How many checks follow the first one.
const ROUNDS: usize = 3;
/// The points of a check's handlers at which something may go wrong.
const POINTS: u64 = 700;
/// The calls of a look.
const CALLS: [&str; 7] = [
    "watch.assume",
    "watch.pipeline",
    "watch.executions",
    "watch.deployed",
    "watch.state",
    "watch.detect",
    "watch.detected",
];

/// The home fleet, checked every hour for everything.
#[must_use]
pub fn fleet(more: &str) -> String {
    let drift =
        format!("    drift: {{ every: 1h, checks: [revision, definition, health, stack], stacks: svc{more} }}\n");
    // Without the block that it has.
    let mut is_inside = false;
    let outside = |line: &&str| {
        let indent = line.len() - line.trim_start().len();
        is_inside = line.starts_with("    drift:") || (is_inside && (indent > 4 || line.trim().is_empty()));
        !is_inside
    };
    let without: String = FLEET.split_inclusive('\n').filter(outside).collect();
    let first = "    description: The web shop and its API.\n";
    without.replace(first, &format!("{first}{drift}"))
}

/// Has time pass, the schedule tick, twice in one slot, and all that follows happen. Returns the check that was opened.
///
/// # Errors
/// The simulation does not settle, or there is another number of checks than one more.
pub fn check(simulation: &mut Simulation) -> Result<Check, String> {
    let known = simulation.world().checks().len();
    let hour = slot(simulation.world().now(), Span::from_minutes(60)).plus(Span::from_minutes(61));
    simulation.pass_until(hour).map_err(|error| error.to_string())?;
    simulation.tick_drift(Span::from_millis(0));
    simulation.tick_drift(Span::from_minutes(1));
    simulation.run().map_err(|error| error.to_string())?;
    let checks = simulation.world().checks();
    if checks.len() != known + 1 {
        return Err(format!("{} checks came of two ticks of one slot", checks.len() - known));
    }
    checks.into_iter().next_back().ok_or_else(|| "no check".to_owned())
}

/// What was concluded of a check's targets, a line each: target, comparison, value and change.
#[must_use]
pub fn told(plan: &[PlannedTarget], looked: &[Looked]) -> Vec<String> {
    let mut told = Vec::new();
    for looked in looked {
        let planned = plan.iter().find(|planned| planned.index == looked.index);
        let name = planned.map_or("?", |planned| planned.account_name.as_str());
        for (aspect, concluded) in &looked.concluded {
            let value = match &concluded.value {
                Value::InSync => "in sync",
                Value::Drifted(_) => "drifted",
                Value::Unknown(_) => "unknown",
            };
            let change = match &concluded.change {
                Change::New => "new",
                Change::Other { .. } => "other",
                Change::Persisting { .. } => "persisting",
                Change::Resolved { .. } => "resolved",
            };
            told.push(format!("{name}/{} {}: {value}, {change}", looked.key.region, aspect.name()));
        }
    }
    told.sort();
    told
}

/// What somebody has done to targets, and not undone.
#[derive(Debug, Default)]
struct Truth {
    drifted: BTreeSet<(TargetKey, Aspect)>,
    /// They can't be seen.
    hidden: BTreeSet<TargetKey>,
    /// How often somebody started them by hand: the last one is the revision's drift, the others are the health's.
    started: BTreeMap<TargetKey, u32>,
}

impl Truth {
    fn tamper(&mut self, target: &TargetKey, what: &Tampering) {
        let mut drifts = |aspect| self.drifted.insert((target.clone(), aspect));
        match what {
            Tampering::Start { .. } => {
                let times = self.started.entry(target.clone()).or_default();
                *times += 1;
                if *times > 1 {
                    drifts(Aspect::Health);
                }
                drifts(Aspect::Revision)
            }
            Tampering::Edit { .. } => drifts(Aspect::Definition),
            Tampering::Disable { .. } => drifts(Aspect::Health),
            Tampering::Change { .. } => drifts(Aspect::Stack),
            Tampering::RemoveRole => self.hidden.insert(target.clone()),
            Tampering::Repair => {
                let started = self.started.get(target).copied().unwrap_or(0);
                let stays = |aspect: Aspect| match aspect {
                    Aspect::Revision => true,
                    Aspect::Health => started > 1,
                    Aspect::Definition | Aspect::Stack => false,
                };
                self.drifted.retain(|(key, aspect)| key != target || stays(*aspect));
                self.hidden.remove(target)
            }
        };
    }
}

/// Tells a story of some checks. Returns how many points its handlers passed.
///
/// # Errors
/// The first thing that does not hold.
pub fn play(seed: u64) -> Result<u64, String> {
    let mut random = fastrand::Rng::with_seed(seed);
    let confirm =
        random.choice([", confirm: 5m", ", confirm: never", ", confirm: 1m, quiet: edit"]).unwrap_or_default();
    let mut simulation = Story::new().fleet(fleet(confirm)).seed(seed).begin();
    simulation.run().map_err(|error| error.to_string())?;
    let first = check(&mut simulation)?;
    let targets: Vec<TargetKey> = simulation.world().plan(&first.run).into_iter().map(|planned| planned.key).collect();
    let mut truth = Truth::default();
    holds(&simulation, &first, &truth, &targets, true)?;
    let mut points = 0;
    for _ in 0..ROUNDS {
        for _ in 0..random.usize(0..4) {
            let Some(target) = random.choice(&targets).cloned() else { continue };
            let what = match random.u8(0..7) {
                0 => Tampering::Start { revision: format!("{:040x}", random.u64(1..)) },
                1 => Tampering::Edit { project: "svc-hotfix".to_owned() },
                2 => Tampering::Disable { stage: "Deploy".to_owned() },
                3 => Tampering::Change { stack: "svc".to_owned() },
                4 => Tampering::RemoveRole,
                5.. => Tampering::Repair,
            };
            truth.tamper(&target, &what);
            simulation.world().tamper(&target, &what);
        }
        let faults = faults(&mut random);
        let is_calm = faults.mishaps.is_empty();
        simulation.world().set_faults(faults.clone());
        let check = check(&mut simulation).map_err(|error| format!("{error}; {faults:?}"))?;
        points += simulation.world().points();
        holds(&simulation, &check, &truth, &targets, is_calm).map_err(|error| format!("{error}; {faults:?}"))?;
    }
    Ok(points)
}

fn faults(random: &mut fastrand::Rng) -> Faults {
    let mishaps = (0..random.usize(0..5)).map(|_| {
        let harms = [
            Harm::Killed,
            Harm::Killed,
            Harm::Refused,
            Harm::Mistaken,
            Harm::Slow(Span::from_seconds(20)),
            Harm::Lost,
            Harm::Twice,
            Harm::Late(Span::from_seconds(90)),
        ];
        match random.bool() {
            true => Mishap { at: At::Any(random.u64(0..POINTS)), harm: random.choice(harms).unwrap_or(Harm::Killed) },
            // An answer is lost, or the credentials have expired.
            false => Mishap {
                at: At::Named(random.choice(CALLS).unwrap_or(CALLS[0]), random.u64(0..12)),
                harm: Harm::Refused,
            },
        }
    });
    let mishaps = mishaps.collect();
    Faults {
        mishaps,
        duplicates: random.choice([0.0, 0.0, 0.3, 1.0]).unwrap_or(0.0),
        disorder: Span::from_seconds(random.i64(0..60)),
        messages_lost: random.choice([0.0, 0.0, 0.1, 0.3]).unwrap_or(0.0),
        lost: random.choice([0.0, 0.5, 1.0]).unwrap_or(0.0),
        sweeps: Some(random.usize(1..3)),
        largest_batch: random.bool().then_some(1),
        skew: Span::from_seconds(random.i64(0..5)),
        ..Faults::default()
    }
}

/// What must hold of a check that has ended.
fn holds(
    simulation: &Simulation,
    check: &Check,
    truth: &Truth,
    targets: &[TargetKey],
    is_calm: bool,
) -> Result<(), String> {
    let world = simulation.world();
    let run = &check.run;
    let Some(closed) = check.closed() else { return Err(format!("{run} goes on: {:?}", check.phase)) };
    if closed.at > check.due_at.plus(Span::from_minutes(10)) {
        return Err(format!("{run} was due at {}, and ended at {}", check.due_at, closed.at));
    }
    let looked = world.looked(run);
    let mut counted: BTreeMap<&str, u32> = BTreeMap::new();
    for target in targets {
        let concluded = looked.iter().find(|looked| looked.key == *target).map(|looked| &looked.concluded);
        let standing: Option<Standing> =
            world.record(&Key::Standing(check.app.clone(), target.clone())).and_then(|record| record.item.take());
        let mut worst = "in sync";
        for aspect in Aspect::ALL {
            let value =
                concluded.and_then(|concluded| concluded.get(&aspect)).map_or(&Value::InSync, |each| &each.value);
            let is_drifted = truth.drifted.contains(&(target.clone(), aspect));
            let is_hidden = truth.hidden.contains(target);
            let fits = match value {
                // What nobody concluded anything about is in sync.
                Value::InSync => !is_drifted && !is_hidden,
                // Who started what was deployed is told with the revision, unless that could not be seen.
                Value::Drifted(_) if aspect == Aspect::Health && !is_calm && truth.started.contains_key(target) => {
                    !is_hidden
                }
                Value::Drifted(_) => is_drifted && !is_hidden,
                Value::Unknown(_) => is_hidden || !is_calm || closed.out_of_time,
            };
            if !fits {
                let name = aspect.name();
                return Err(format!("{run}: {target} {name} is {value:?}; drifted: {is_drifted}, hidden: {is_hidden}"));
            }
            worst = match (value, worst) {
                (Value::Drifted(_), _) | (_, "drifted") => "drifted",
                (Value::Unknown(_), _) | (_, "unknown") => "unknown",
                (Value::InSync, other) => other,
            };
            let stand = standing.as_ref().and_then(|standing| standing.stands.get(&aspect));
            let stands = match value {
                Value::InSync => stand.is_none(),
                Value::Drifted(_) => stand.is_some_and(|stand| stand.drifted && stand.unseen_since.is_none()),
                Value::Unknown(_) => stand.is_some_and(|stand| !stand.drifted || stand.unseen_since.is_some()),
            };
            if !stands {
                return Err(format!("{run}: {target} {} is {value:?}, and stands as {stand:?}", aspect.name()));
            }
        }
        *counted.entry(worst).or_default() += 1;
    }
    let of = |worst: &str| counted.get(worst).copied().unwrap_or(0);
    if (of("in sync"), of("drifted"), of("unknown"))
        != (closed.counts.in_sync, closed.counts.drifted, closed.counts.unknown)
    {
        return Err(format!("{run} counts {:?}, and its targets are {counted:?}", closed.counts));
    }
    let posting: Option<Posting> = world.record(&Key::Summary(run.clone())).and_then(|record| record.item.take());
    let is_posted = posting.as_ref().is_some_and(|posting| posting.message.is_some());
    let is_news = closed.news.is_any();
    match (&closed.telling, is_posted) {
        (Telling::Post, true) => {}
        (Telling::Again { .. } | Telling::Silent, false) if !is_news => {}
        (telling, is_posted) => {
            return Err(format!("{run}: {telling:?} with {:?}, and posted: {is_posted}", closed.news));
        }
    }
    if posting.is_some_and(|posting| posting.lease.is_some()) {
        return Err(format!("{run}: a lease was left behind"));
    }
    match world.dead_letters().first() {
        Some(letter) => Err(format!("a dead letter: {letter:?}")),
        None => Ok(()),
    }
}
