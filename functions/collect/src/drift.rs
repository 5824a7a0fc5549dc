//! Drift checks: looks into the ledger, and from there a second look, or the end.

use std::collections::{BTreeMap, BTreeSet};

use manifold_core::control::{Answer, Command, Decision};
use manifold_core::drift::check::{Expected, Read};
use manifold_core::drift::message::{Look, SeenAt, ToInspect};
use manifold_core::drift::orders::{Carried, carry_out};
use manifold_core::drift::settle::{Ending, Facts, texts_wanted};
use manifold_core::drift::{Baseline, Check, Definition, Last, Looked, Note, Order, Settled, Standing, Told, settle};
use manifold_core::ids::{AppName, RunId, TargetKey};
use manifold_core::known::Known;
use manifold_core::ledger::{
    CHECK_RETENTION, Commit, Content, DetectionOf, Expect, Item, Key, Listing, Versions, Write,
};
use manifold_core::message::{Outgoing, Payload};
use manifold_core::plan::PlannedTarget;
use manifold_core::run::AppQueue;
use manifold_ports::clock::Clock;
use manifold_ports::ledger::{CommitError, Ledger, LedgerError, Listings};
use manifold_ports::queues::Queues;
use manifold_ports::runs::{self, RunError};

use crate::{Collect, Failure};

/// How often a change is tried again after another writer was first. A fleet of 10,000 targets has its looks come in
/// from many workers at once.
const TRIES: u32 = 100;
/// So many writes a commit may have besides the check's own.
const WRITES: usize = Commit::MAX_WRITES - 5;

/// The looks of one check in a batch, each with the position of its message.
pub(crate) type Seen = Vec<(usize, Look, SeenAt)>;

/// A check with all that is known of it.
struct Whole {
    check: Check,
    plan: Vec<PlannedTarget>,
    looked: Vec<Looked>,
    standing: Vec<Standing>,
    last: Option<Last>,
    texts: BTreeMap<String, String>,
    versions: Versions,
}

impl Whole {
    fn facts(&self) -> Facts<'_> {
        Facts {
            check: &self.check,
            plan: &self.plan,
            looked: &self.looked,
            standing: &self.standing,
            last: self.last.as_ref(),
            texts: &self.texts,
        }
    }
}

impl<L: Ledger + Listings, Q: Queues, C: Clock> Collect<L, Q, C> {
    /// Folds the looks of one check in. Returns the messages that failed.
    pub(crate) async fn looked(&self, check: &RunId, seen: Seen) -> Vec<(usize, Failure)> {
        let mut failures = Vec::new();
        let mut part: Seen = Vec::new();
        let mut writes = 0;
        let mut parts = Vec::new();
        for each in seen {
            let own = 2 + each.2.sight.stacks.len();
            if writes + own > WRITES && !part.is_empty() {
                parts.push(std::mem::take(&mut part));
                writes = 0;
            }
            writes += own;
            part.push(each);
        }
        parts.push(part);
        for part in parts {
            if let Err(failure) = self.fold_looks(check, &part).await {
                let positions: BTreeSet<usize> = part.iter().map(|(message, ..)| *message).collect();
                let reason = manifold_ports::batch::Chain(&failure).to_string();
                let again = || Failure::Run(RunError::Ledger(LedgerError::Unavailable(reason.clone())));
                failures.extend(positions.into_iter().map(|message| (message, again())));
            }
        }
        failures
    }

    async fn fold_looks(&self, run: &RunId, seen: &Seen) -> Result<(), Failure> {
        let app = run.app();
        let key = Key::Check(run.clone());
        for _ in 0..TRIES {
            let mut keys = vec![key.clone(), Key::Queue(app.clone())];
            for (_, _, SeenAt { key, .. }) in seen {
                keys.push(Key::Looked(run.clone(), key.clone()));
                keys.push(Key::Known(app.clone(), key.clone()));
                keys.push(Key::Baseline(app.clone(), key.clone()));
            }
            keys.sort();
            keys.dedup();
            let (mut items, versions) = self.read(&keys).await?;
            let Some(mut check) = items.take::<Check>(&key) else {
                tracing::warn!(%run, "looks for a check that does not exist");
                return Ok(());
            };
            let rollout = items.take::<AppQueue>(&Key::Queue(app.clone())).and_then(|queue| queue.current);
            let expires_at = Some(check.opened_at.plus(CHECK_RETENTION));
            let now = self.clock.now();
            let mut looked: BTreeMap<TargetKey, Looked> = BTreeMap::new();
            let mut changed: BTreeSet<TargetKey> = BTreeSet::new();
            let mut writes: Vec<Write> = Vec::new();
            for (_, look, seen) in seen {
                let target = &seen.key;
                // Of one target there may be several: each is folded into what the one before left.
                let stored = || items.get::<Looked>(&Key::Looked(run.clone(), target.clone()));
                let read = Read {
                    looked: looked.get(target).cloned().or_else(stored),
                    known: items.get::<Known>(&Key::Known(app.clone(), target.clone())),
                    baseline: items.get::<Baseline>(&Key::Baseline(app.clone(), target.clone())),
                    rollout: rollout.clone(),
                };
                let folded = check.fold(*look, seen, read, now);
                if folded.told == Told::Stray {
                    tracing::info!(%run, %target, ?look, "a look that nobody waits for");
                }
                if let Some(folded) = folded.looked {
                    changed.insert(target.clone());
                    looked.insert(target.clone(), folded);
                }
                writes.extend(folded.baseline.map(|baseline| {
                    let key = Key::Baseline(app.clone(), target.clone());
                    versions.write(key, Item::Baseline(baseline), None)
                }));
                writes.extend(folded.detections.into_iter().map(|detection| Write {
                    key: Key::Detection(target.clone(), detection.id.clone()),
                    item: Item::Detection(DetectionOf {
                        check: run.clone(),
                        index: seen.index,
                        look: *look,
                        detection,
                    }),
                    // Its content follows from its key.
                    expect: Expect::Anything,
                    expires_at: Some(now.plus(manifold_core::ledger::ORPHAN_RETENTION)),
                }));
            }
            writes.extend(looked.into_iter().map(|(target, looked)| {
                versions.write(Key::Looked(run.clone(), target), Item::Looked(Box::new(looked)), expires_at)
            }));
            let is_complete = check.is_complete();
            if !changed.is_empty() {
                writes.push(versions.write(key.clone(), Item::Check(Box::new(check)), expires_at));
                match self.ledger.commit(Commit { writes, nonce: self.clock.nonce() }).await {
                    Ok(()) => {}
                    Err(CommitError::Conflict { .. }) => continue,
                    Err(error @ CommitError::Ledger(_)) => return Err(error.into()),
                }
            }
            if is_complete {
                self.send(vec![Outgoing::from(Payload::from(Note::Settle { check: run.clone() }))]).await?;
            }
            return Ok(());
        }
        Err(RunError::Contended { run: run.clone() }.into())
    }

    /// Asks for what a detection found that has ended.
    pub(crate) async fn detected(&self, target: &TargetKey, id: &str) -> Result<&'static str, Failure> {
        let key = Key::Detection(target.clone(), id.to_owned());
        let (mut items, _) = self.read(std::slice::from_ref(&key)).await?;
        // Somebody else's, or ours whose look is not folded in yet: the sweep asks for that one.
        let Some(DetectionOf { check, index, look, detection }) = items.take(&key) else { return Ok("ignored") };
        let targets = vec![ToInspect { index, detections: vec![detection] }];
        self.send(vec![Outgoing::from(Payload::from(Note::Inspect { check, look, targets }))]).await?;
        Ok("detected")
    }

    /// Judges a check, as far as it can be judged by now.
    pub(crate) async fn settle(&self, run: &RunId) -> Result<&'static str, Failure> {
        for _ in 0..TRIES {
            let Some(whole) = self.whole(run).await? else { return Ok("stray") };
            let expires_at = Some(whole.check.opened_at.plus(CHECK_RETENTION));
            let write =
                |check: Check| whole.versions.write(Key::Check(run.clone()), Item::Check(Box::new(check)), expires_at);
            let (writes, messages, what) = match settle(whole.facts(), self.clock.now()) {
                Settled::Waits(messages) => (Vec::new(), messages, "waits"),
                Settled::Ended(messages) => (Vec::new(), messages, "duplicate"),
                Settled::Confirms { check, messages } => (vec![write(*check)], messages, "confirms"),
                Settled::Overdue { check, messages } => (vec![write(*check)], messages, "overdue"),
                Settled::Ends(ending) => match self.conclude(run, &whole, &ending).await? {
                    Some(writes) => (writes, ending.messages, "settled"),
                    None => continue,
                },
            };
            if !writes.is_empty() {
                match self.ledger.commit(Commit { writes, nonce: self.clock.nonce() }).await {
                    Ok(()) => {}
                    Err(CommitError::Conflict { .. }) => continue,
                    Err(error @ CommitError::Ledger(_)) => return Err(error.into()),
                }
            }
            self.send(messages).await?;
            return Ok(what);
        }
        Err(RunError::Contended { run: run.clone() }.into())
    }

    /// Stores what came of each target, with what stands of it. Returns the writes that close the check; `None` if somebody
    /// else was first.
    async fn conclude(&self, run: &RunId, whole: &Whole, ending: &Ending) -> Result<Option<Vec<Write>>, Failure> {
        let Whole { versions, .. } = whole;
        let app = run.app();
        let expires_at = Some(ending.check.opened_at.plus(CHECK_RETENTION));
        let mut standing: BTreeMap<&TargetKey, Write> = (ending.standing.iter())
            .map(|standing| {
                let key = Key::Standing(app.clone(), standing.target.clone());
                (&standing.target, versions.write(key, Item::Standing(standing.clone()), None))
            })
            .collect();
        let mut pairs: Vec<Vec<Write>> = (ending.targets.iter())
            .map(|looked| {
                let key = Key::Looked(run.clone(), looked.key.clone());
                let write = versions.write(key, Item::Looked(Box::new(looked.clone())), expires_at);
                std::iter::once(write).chain(standing.remove(&looked.key)).collect()
            })
            .collect();
        pairs.extend(standing.into_values().map(|write| vec![write]));
        for part in pairs.chunks(WRITES / 2) {
            let writes = part.iter().flatten().cloned().collect();
            match self.ledger.commit(Commit { writes, nonce: self.clock.nonce() }).await {
                Ok(()) => {}
                Err(CommitError::Conflict { .. }) => return Ok(None),
                Err(error @ CommitError::Ledger(_)) => return Err(error.into()),
            }
        }
        let mut writes = vec![
            versions.write(Key::Check(run.clone()), Item::Check(Box::new(ending.check.clone())), expires_at),
            versions.write(Key::LastCheck(app.clone()), Item::LastCheck(ending.last.clone()), None),
        ];
        if let (Some(again), Some(of)) = (&ending.again, whole.last.as_ref().and_then(|last| last.posted.clone())) {
            let key = Key::Check(of.clone());
            let (mut items, versions) = self.read(std::slice::from_ref(&key)).await?;
            if let Some(mut earlier) = items.take::<Check>(&key) {
                let times = earlier.again.as_ref().map_or(0, |again| again.times).saturating_add(again.times);
                earlier.again = Some(manifold_core::drift::check::Again { times, ..again.clone() });
                let expires_at = Some(earlier.opened_at.plus(CHECK_RETENTION));
                writes.push(versions.write(key, Item::Check(Box::new(earlier)), expires_at));
            }
        }
        Ok(Some(writes))
    }

    async fn whole(&self, run: &RunId) -> Result<Option<Whole>, Failure> {
        let app = run.app();
        let (check_key, last_key) = (Key::Check(run.clone()), Key::LastCheck(app.clone()));
        let (mut items, mut versions) = self.read(&[check_key.clone(), last_key.clone()]).await?;
        let Some(check) = items.take::<Check>(&check_key) else { return Ok(None) };
        let last = items.take::<Last>(&last_key);
        if check.closed().is_some() {
            // Nothing of its targets is needed any more.
            let (plan, looked, standing, texts) = (Vec::new(), Vec::new(), Vec::new(), BTreeMap::new());
            return Ok(Some(Whole { check, plan, looked, standing, last, texts, versions }));
        }
        let plan = runs::plan(&self.ledger, run, check.size).await?;
        let looked: Vec<Looked> = self
            .listed(&Listing::Looked(run.clone()), &mut versions, |looked: &Looked| {
                Key::Looked(run.clone(), looked.key.clone())
            })
            .await?;
        let standing = self
            .listed(&Listing::Standing(app.clone()), &mut versions, |standing: &Standing| {
                Key::Standing(app.clone(), standing.target.clone())
            })
            .await?;
        let texts = self.texts(&app, &texts_wanted(&check, &looked)).await?;
        Ok(Some(Whole { check, plan, looked, standing, last, texts, versions }))
    }

    async fn texts(&self, app: &AppName, digests: &BTreeSet<String>) -> Result<BTreeMap<String, String>, Failure> {
        let key = |digest: &String| Key::Definition(app.clone(), digest.clone());
        let (mut items, _) = self.read(&digests.iter().map(key).collect::<Vec<_>>()).await?;
        let text = |digest: &String| Some((digest.clone(), items.take::<Definition>(&key(digest))?.text));
        Ok(digests.iter().filter_map(text).collect())
    }

    async fn listed<T: Content>(
        &self,
        listing: &Listing,
        versions: &mut Versions,
        key: impl Fn(&T) -> Key,
    ) -> Result<Vec<T>, Failure> {
        let mut all = Vec::new();
        for record in self.ledger.list(listing).await.map_err(RunError::from)? {
            let version = record.version;
            if let Some(item) = record.item.take::<T>() {
                versions.note(key(&item), version);
                all.push(item);
            }
        }
        Ok(all)
    }

    async fn read(&self, keys: &[Key]) -> Result<(Items, Versions), Failure> {
        let records = if keys.is_empty() { Vec::new() } else { self.ledger.get(keys).await.map_err(RunError::from)? };
        let (mut items, mut versions) = (BTreeMap::new(), Versions::default());
        for (key, record) in keys.iter().zip(records) {
            if let Some(record) = record {
                versions.note(key.clone(), record.version);
                items.insert(key.clone(), record.item);
            }
        }
        Ok((Items(items), versions))
    }

    async fn send(&self, messages: Vec<Outgoing>) -> Result<(), Failure> {
        if messages.is_empty() {
            return Ok(());
        }
        Ok(self.queues.send(messages).await.map_err(RunError::from)?)
    }

    /// Carries an operator's decision out, once: its record comes last, and whoever meets it only tells what follows again.
    pub(crate) async fn order(&self, run: &RunId, command: &Command<Order>) -> Result<&'static str, Failure> {
        let record = Key::Decision(run.clone(), command.at, command.id.to_string());
        for _ in 0..TRIES {
            let (mut items, _) = self.read(std::slice::from_ref(&record)).await?;
            let Some(whole) = self.whole_of_orders(run).await? else { return Ok("stray") };
            let carried = carry_out(&whole.check, &whole.plan, &whole.looked, command, self.clock.now());
            let messages: Vec<Outgoing> = match &carried {
                Ok(Carried::Send(note)) => vec![Outgoing::from(Payload::from(note.clone()))],
                Ok(Carried::Accept(_) | Carried::Ignore(_)) | Err(_) => Vec::new(),
            };
            if let Some(decision) = items.take::<Decision>(&record) {
                // Whoever carried it out may have died before it told what follows.
                if decision.answer == Answer::Done {
                    self.send(messages).await?;
                }
                return Ok("duplicate");
            }
            let (mut writes, answer, what) = match carried {
                Ok(carried) => (writes_of(&whole, command, carried), Answer::Done, "commanded"),
                Err(because) => (Vec::new(), Answer::Refused { because }, "refused"),
            };
            // What is done before it is done again, and comes to the same.
            writes.push(Write {
                key: record.clone(),
                item: Item::Decision(Decision::of(command, command.what.words(), answer)),
                expect: Expect::Absent,
                expires_at: Some(whole.check.opened_at.plus(CHECK_RETENTION)),
            });
            let mut lost = false;
            for part in writes.chunks(WRITES) {
                match self.ledger.commit(Commit { writes: part.to_vec(), nonce: self.clock.nonce() }).await {
                    Ok(()) => {}
                    Err(CommitError::Conflict { .. }) => {
                        lost = true;
                        break;
                    }
                    Err(error @ CommitError::Ledger(_)) => return Err(error.into()),
                }
            }
            if lost {
                continue;
            }
            self.send(messages).await?;
            return Ok(what);
        }
        Err(RunError::Contended { run: run.clone() }.into())
    }

    /// What a decision needs to know: of a check that has ended, too.
    async fn whole_of_orders(&self, run: &RunId) -> Result<Option<Whole>, Failure> {
        let app = run.app();
        let key = Key::Check(run.clone());
        let (mut items, mut versions) = self.read(std::slice::from_ref(&key)).await?;
        let Some(check) = items.take::<Check>(&key) else { return Ok(None) };
        let plan = runs::plan(&self.ledger, run, check.size).await?;
        let mut looked: Vec<Looked> = self
            .listed(&Listing::Looked(run.clone()), &mut versions, |looked: &Looked| {
                Key::Looked(run.clone(), looked.key.clone())
            })
            .await?;
        let baselines: Vec<Baseline> = self
            .listed(&Listing::Baselines(app.clone()), &mut versions, |baseline: &Baseline| {
                Key::Baseline(app.clone(), baseline.target.clone())
            })
            .await?;
        // What is accepted by now, for the write that follows.
        for looked in &mut looked {
            let accepted = baselines.iter().find(|baseline| baseline.target == looked.key);
            let accepted = accepted.map(|baseline| baseline.accepted.clone()).unwrap_or_default();
            looked.expected = Expected { accepted, ..looked.expected.clone() };
        }
        let (standing, last, texts) = (Vec::new(), None, BTreeMap::new());
        Ok(Some(Whole { check, plan, looked, standing, last, texts, versions }))
    }
}

/// The writes that carry a decision out.
fn writes_of(whole: &Whole, command: &Command<Order>, carried: Carried) -> Vec<Write> {
    let app = &whole.check.app;
    match carried {
        Carried::Accept(baselines) => (baselines.into_iter())
            .map(|baseline| {
                let key = Key::Baseline(app.clone(), baseline.target.clone());
                whole.versions.write(key, Item::Baseline(baseline), None)
            })
            .collect(),
        Carried::Ignore(rule) => vec![Write {
            key: Key::Ignore(app.clone(), command.at, command.id.to_string()),
            // Long enough for it to be reported as expired.
            expires_at: Some(rule.until.plus(CHECK_RETENTION)),
            item: Item::Ignore(rule),
            expect: Expect::Anything,
        }],
        Carried::Send(_) => Vec::new(),
    }
}

/// Items that were read, by their keys.
struct Items(BTreeMap<Key, Item>);

impl Items {
    fn get<T: Content + Clone>(&self, key: &Key) -> Option<T> {
        self.0.get(key)?.get().cloned()
    }

    fn take<T: Content>(&mut self, key: &Key) -> Option<T> {
        self.0.remove(key)?.take()
    }
}
