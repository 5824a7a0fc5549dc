//! Ticks of `sweep` over many open runs, of which nobody claims a target: every message that should start one was lost.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use futures::executor::block_on;
use manifold_core::ids::{AppName, ExecutionRef, Nonce, RunId, TargetKey};
use manifold_core::ledger::{Commit, Expect, Item, Key, OPEN, Record, Versions};
use manifold_core::message::{Outgoing, Payload};
use manifold_core::plan::{Channel, Plan, PlannedTarget, PlannedWave, Policy};
use manifold_core::release::{Release, Trigger};
use manifold_core::run::{AppQueue, Run, Target, Wanted};
use manifold_core::time::{Span, Timestamp};
use manifold_ports::clock::Clock;
use manifold_ports::ledger::{CommitError, Ledger, LedgerError, OpenRuns};
use manifold_ports::queues::{Queues, SendError};
use manifold_ports::runs;
use manifold_sweep::{MOST_TARGETS, Sweep, Tick};

type Place = (String, String);

/// Table, queues and clock in one.
#[derive(Default)]
struct Hub {
    records: Mutex<BTreeMap<Place, Record>>,
    /// What a newer version wrote.
    unreadable: BTreeSet<Place>,
    sent: Mutex<Vec<Payload>>,
    minute: i64,
    nonces: Mutex<u32>,
}

fn place(key: &Key) -> Place {
    (key.partition(), key.sort())
}

impl Hub {
    fn read(&self, place: &Place) -> Result<Option<Record>, LedgerError> {
        if self.unreadable.contains(place) {
            return Err(LedgerError::Unreadable { key: format!("{place:?}"), reason: "it is newer".to_owned() });
        }
        Ok(self.records.lock().unwrap().get(place).cloned())
    }

    /// Opens a run of an app, all of whose targets have their turn at once.
    fn open(&self, app: &str, size: u32) -> RunId {
        let app: AppName = app.parse().unwrap();
        let key = |index: u32| TargetKey {
            account: format!("{:012}", 444_455_556_666_u64 + u64::from(index)).parse().unwrap(),
            region: "eu-west-1".parse().unwrap(),
        };
        let source = ExecutionRef { target: key(0), id: "8cf40f2b-0000-4000-8000-000000000000".parse().unwrap() };
        let run = RunId::derive(&app, &source);
        let target = |index| PlannedTarget {
            index,
            wave: 0,
            key: key(index),
            account_name: "dev".to_owned(),
            role: "arn:aws:iam::444455556666:role/ManifoldTarget".parse().unwrap(),
            external_id: None,
            subject: "svc-deploy".parse().unwrap(),
            work: None,
            variables: BTreeMap::new(),
            source_revision: None,
            after: Vec::new(),
            before: Vec::new(),
            release: None,
            looks: None,
        };
        let wave = PlannedWave::plain("all".to_owned(), 0, size, size, 0);
        let plan = Plan {
            waves: vec![wave],
            targets: (0..size).map(target).collect(),
            max_attempts: 1,
            deadline: Span::from_minutes(120),
            channel: Channel::Silent,
            policy: Policy::default(),
            unchanged: Vec::new(),
        };
        let release = Release {
            source,
            pipeline: "web-release".parse().unwrap(),
            revision: None,
            trigger: Trigger::default(),
            released_at: self.now(),
            started_at: None,
            stages: Vec::new(),
        };
        let mut writes = runs::plan_writes(&run, &plan.targets, self.now());
        let opened = Run::open(Wanted::release(run.clone(), app, release, &plan), AppQueue::default(), self.now());
        writes.extend(Versions::default().writes(&run, self.now(), &opened.run.finish()));
        for write in writes {
            block_on(self.commit(Commit { writes: vec![write], nonce: self.nonce() })).unwrap();
        }
        run
    }

    /// Time passes, and then there is a tick: what it did, and which runs' targets it started again.
    fn tick(&mut self, minutes: i64) -> (Tick, BTreeSet<RunId>) {
        self.minute += minutes;
        let sweep = Sweep { ledger: &*self, open_runs: &*self, queues: &*self, clock: &*self };
        let tick = block_on(sweep.tick(self.now().plus(Span::from_minutes(1)))).unwrap();
        let sent = std::mem::take(self.sent.get_mut().unwrap());
        let started = sent.into_iter().filter_map(|payload| match payload {
            Payload::Start { run, .. } => Some(run),
            Payload::Explain { .. }
            | Payload::Ask { .. }
            | Payload::Summarize { .. }
            | Payload::Activate { .. }
            | Payload::Notify { .. }
            | Payload::Advance { .. }
            | Payload::Command { .. }
            | Payload::Open { .. }
            | Payload::Stop { .. }
            | Payload::Alarms { .. }
            | Payload::Drift(_)
            | Payload::Deadline { .. } => None,
        });
        (tick, started.collect())
    }
}

impl Clock for Hub {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(0).plus(Span::from_minutes(self.minute))
    }
    fn nonce(&self) -> Nonce {
        let mut nonces = self.nonces.lock().unwrap();
        *nonces += 1;
        format!("nonce{nonces}").parse().unwrap()
    }
}

impl Ledger for Hub {
    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Record>>, LedgerError> {
        keys.iter().map(|key| self.read(&place(key))).collect()
    }

    async fn targets(&self, _: &RunId) -> Result<Vec<Target>, LedgerError> {
        unreachable!("a sweep reads the targets of a page")
    }

    async fn commit(&self, commit: Commit) -> Result<(), CommitError> {
        let mut records = self.records.lock().unwrap();
        let [write] = &commit.writes[..] else { unreachable!("a sweep notes one thing at a time") };
        let place = place(&write.key);
        let version = match (write.expect, records.get(&place).map(|record| record.version)) {
            (Expect::Anything, _) | (Expect::Absent, None) => 1,
            (Expect::Version(expected), Some(found)) if expected == found => found + 1,
            (Expect::Absent | Expect::Version(_), _) => return Err(CommitError::Conflict { found: Vec::new() }),
        };
        records.insert(place, Record { version, nonce: commit.nonce, item: write.item.clone() });
        Ok(())
    }
}

impl OpenRuns for Hub {
    async fn open_runs(&self) -> Result<Vec<Result<Record, LedgerError>>, LedgerError> {
        let places: Vec<Place> =
            self.records.lock().unwrap().keys().filter(|(partition, _)| partition == OPEN).cloned().collect();
        Ok(places.iter().filter_map(|place| self.read(place).transpose()).collect())
    }

    async fn forget(&self, key: &Key, nonce: &Nonce) -> Result<bool, LedgerError> {
        let place = place(key);
        let mut records = self.records.lock().unwrap();
        let is_own = records.get(&place).is_some_and(|record| record.nonce == *nonce);
        Ok(is_own && records.remove(&place).is_some())
    }
}

impl Queues for Hub {
    async fn send(&self, messages: Vec<Outgoing>) -> Result<(), SendError> {
        self.sent.lock().unwrap().extend(messages.into_iter().map(|message| message.payload));
        Ok(())
    }
}

fn apps(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|index| format!("app-{index:03}"))
}

#[test]
fn the_targets_of_many_small_runs_are_all_looked_at_in_every_tick() {
    let mut hub = Hub::default();
    let runs: BTreeSet<RunId> = apps(100).map(|app| hub.open(&app, 1)).collect();
    hub.tick(0);
    let (tick, started) = hub.tick(5);
    assert_eq!((tick.open, tick.looked_at, tick.targets, tick.failed), (100, 100, 100, 0));
    assert_eq!(started, runs);
}

#[test]
fn of_more_targets_than_a_tick_takes_those_that_were_not_looked_at_come_first_at_the_next_one() {
    let mut hub = Hub::default();
    let runs: BTreeSet<RunId> = apps(25).map(|app| hub.open(&app, 500)).collect();
    let (tick, _) = hub.tick(0);
    assert_eq!((tick.looked_at, tick.targets), (25, MOST_TARGETS));
    let mut started = BTreeSet::new();
    for minutes in [5, 1, 1] {
        started.extend(hub.tick(minutes).1);
    }
    assert_eq!(started, runs);
}

#[test]
fn a_run_that_cannot_be_read_keeps_none_of_the_others() {
    let mut hub = Hub::default();
    let runs: Vec<RunId> = apps(4).map(|app| hub.open(&app, 1)).collect();
    hub.tick(0);
    hub.unreadable = [Key::Head(runs[0].clone()), Key::Plan(runs[1].clone(), 0), Key::Open(runs[2].clone())]
        .iter()
        .map(place)
        .collect();
    let (tick, started) = hub.tick(5);
    assert_eq!((tick.open, tick.failed), (4, 3));
    assert_eq!(started, BTreeSet::from([runs[3].clone()]));
    // It is looked at as soon as it can be read.
    hub.unreadable.clear();
    let (tick, started) = hub.tick(1);
    assert_eq!((tick.failed, started), (0, runs[..3].iter().cloned().collect()));
}

#[test]
fn what_stands_among_the_open_runs_and_is_none_is_told_and_keeps_none_of_them() {
    let mut hub = Hub::default();
    let run = hub.open("web", 1);
    let record = Record { version: 1, nonce: hub.nonce(), item: Item::Queue(AppQueue::default()) };
    hub.records.lock().unwrap().insert((OPEN.to_owned(), "app#web".to_owned()), record);
    hub.tick(0);
    let (tick, started) = hub.tick(5);
    assert_eq!((tick.failed, started), (1, BTreeSet::from([run])));
}
