//! What a run is opened for, and how it is planned: a release, or what an operator or an app's policy wants.

use std::collections::{BTreeMap, BTreeSet};

use manifold_core::control::{Answer, Command, Decision, Origin, Request, Via, Which};
use manifold_core::drift::Note;
use manifold_core::event::{Envelope, PipelineEvent};
use manifold_core::ids::{ExecutionRef, RunId, TargetKey};
use manifold_core::known::{Good, Known};
use manifold_core::ledger::{Commit, Expect, Item, Key, Listing, RUN_RETENTION, Write};
use manifold_core::message::{Message, Payload};
use manifold_core::plan::Plan;
use manifold_core::release::Release;
use manifold_core::run::{AppQueue, Closing, Event, Head, NoWayBack, Outcome, Phase, Status, Target};
use manifold_core::time::Timestamp;
use manifold_fleet::{App, Back, Selection};
use manifold_ports::clock::Clock;
use manifold_ports::jobs::Jobs;
use manifold_ports::ledger::{Ledger, Listings};
use manifold_ports::queues::Queues;
use manifold_ports::releases::Releases;
use manifold_ports::runs::{self, RunError, Stepped};
use tracing::Instrument;

use crate::{Dispatch, Failure};

/// Where a run comes from.
pub(crate) enum Source<'a> {
    /// A release pipeline succeeded.
    Released {
        /// The app.
        app: &'a App,
        /// The event.
        envelope: &'a Envelope,
        /// What it tells.
        told: &'a PipelineEvent,
        /// The execution.
        source: &'a ExecutionRef,
    },
    /// Somebody wants it.
    Wanted(&'a Command<Request>),
}

impl Source<'_> {
    pub(crate) fn origin(&self) -> Origin {
        match self {
            Self::Released { .. } => Origin::Release,
            Self::Wanted(command) => command.origin(),
        }
    }

    /// The decision, for the record of the run that the new one points to.
    pub(crate) fn record(&self, run: &RunId, now: Timestamp) -> Option<Write> {
        let Self::Wanted(command) = self else { return None };
        let what = match &command.what {
            Request::Start { .. } => return None,
            Request::Retry { which, .. } => format!("retry {}, as {run}", words(which)),
            Request::Rollback { which, .. } => format!("roll back {}, as {run}", words(which)),
            Request::Restore { targets, .. } => format!("bring back {} targets, as {run}", targets.len()),
        };
        Some(write(command, what, Answer::Done, now))
    }
}

fn words(which: &Which) -> String {
    match which {
        Which::Failed => "what failed".to_owned(),
        Which::All => "all".to_owned(),
        Which::Named { targets } => targets.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    }
}

/// The record of a decision, with the run that the request points to.
fn write(command: &Command<Request>, what: String, answer: Answer, now: Timestamp) -> Write {
    let of = command.origin().of().cloned().unwrap_or_else(|| command.run());
    let decision = Decision::of(command, what, answer);
    Write {
        key: Key::Decision(of, decision.at, decision.id.clone()),
        item: Item::Decision(decision),
        // A request that comes again is decided anew only if its run was not opened.
        expect: Expect::Anything,
        expires_at: Some(now.plus(RUN_RETENTION)),
    }
}

impl<L: Ledger + Listings, Q: Queues, R: Releases + Jobs, C: Clock> Dispatch<L, Q, R, C> {
    /// Opens the run that somebody wants. What can't be is recorded with the run that it points to, and done with.
    pub(crate) async fn request(&self, body: &str) -> Result<&'static str, Failure> {
        let request = match Message::decode(body)?.payload {
            Payload::Open { request } => request,
            Payload::Start { .. } => return Err(Failure::Misplaced("start")),
            Payload::Explain { .. } => return Err(Failure::Misplaced("explain")),
            Payload::Ask { .. } => return Err(Failure::Misplaced("ask")),
            Payload::Summarize { .. } => return Err(Failure::Misplaced("summarize")),
            Payload::Notify { .. } => return Err(Failure::Misplaced("notify")),
            Payload::Activate { .. } => return Err(Failure::Misplaced("activate")),
            Payload::Advance { .. } => return Err(Failure::Misplaced("advance")),
            Payload::Command { .. } => return Err(Failure::Misplaced("command")),
            Payload::Stop { .. } => return Err(Failure::Misplaced("stop")),
            Payload::Alarms { .. } => return Err(Failure::Misplaced("alarms")),
            Payload::Deadline { .. } => return Err(Failure::Misplaced("deadline")),
            Payload::Drift(Note::Open { request }) => {
                let span = tracing::info_span!("check", run = %request.check(), who = %request.who);
                return self.asked(&request).instrument(span).await;
            }
            Payload::Drift(note) => return Err(Failure::Misplaced(note.name())),
        };
        let run = request.run();
        let span = tracing::info_span!("request", %run, who = %request.who);
        let opened = Box::pin(self.open(&run, &Source::Wanted(&request))).instrument(span).await;
        let because = match opened {
            Ok(true) => return Ok("opened"),
            Ok(false) => return Ok("duplicate"),
            Err(Failure::Refused(because)) => because,
            // Planned again, it would come to the same.
            Err(Failure::Plan(error)) => error.to_string(),
            Err(failure) => return Err(failure),
        };
        match request.origin().of().is_some() {
            // There is no run to record it with.
            false => Err(Failure::Refused(because)),
            true => {
                tracing::warn!(%run, because, "refused");
                let verb = match &request.what {
                    Request::Start { .. } => "start",
                    Request::Retry { .. } => "retry",
                    Request::Rollback { .. } => "roll back",
                    Request::Restore { .. } => "bring back",
                };
                let answer = Answer::Refused { because: because.clone() };
                let record = write(&request, verb.to_owned(), answer, self.clock.now());
                match (&request.what, request.who.via) {
                    (Request::Rollback { of, .. }, Via::Manifold) => {
                        self.no_way_back(of, NoWayBack { closed_at: request.at, because }, record).await?;
                    }
                    (_, Via::Manifold | Via::Cli | Via::Slack | Via::Pipeline) => {
                        self.ledger.commit(Commit { writes: vec![record], nonce: self.clock.nonce() }).await?;
                    }
                }
                Ok("refused")
            }
        }
    }

    /// Has the run tell that it is not rolled back, although its policy wants it to be: nobody asked, so nobody else would
    /// be told.
    async fn no_way_back(&self, of: &RunId, none: NoWayBack, record: Write) -> Result<(), Failure> {
        let noted = runs::advance(&self.ledger, &self.clock, of, &[], &[], |loaded, now| {
            let (run, told) = loaded.run.step(Event::NoWayBack(none.clone()), now);
            Stepped { run, answer: told, writes: vec![record.clone()] }
        })
        .await;
        match noted {
            Ok(noted) => Ok(runs::perform(&self.queues, noted.effects).await?),
            // It is forgotten, and there is nobody to tell.
            Err(RunError::Unknown(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The release and its plan.
    pub(crate) async fn prepare(&self, run: &RunId, source: &Source<'_>) -> Result<(Release, Plan), Failure> {
        match source {
            Source::Released { app, envelope, told, source } => {
                let details = self.releases.describe(&told.pipeline, source).await?;
                let release = Release::announced(envelope, told, details.revisions, details.trigger);
                let release = release.through(details.stages);
                let known = self.known_if_needed(app, false).await?;
                let plan = app.plan_for(run, &release, &Selection { known: known.as_ref(), ..Selection::default() })?;
                Ok((release, plan))
            }
            Source::Wanted(command) => match &command.what {
                Request::Start { app, pipeline, source, set, force } => {
                    let app = self.app(app)?;
                    let released_here = app.releases().iter().any(|known| {
                        known.name() == pipeline
                            && *known.region() == source.target.region
                            && *self.fleet.hub().account() == source.target.account
                    });
                    if !released_here {
                        let name = app.name();
                        return Err(Failure::Refused(format!("{pipeline} is no release pipeline of app {name}")));
                    }
                    let details = self.releases.describe(pipeline, source).await?;
                    let (revisions, trigger) = (details.revisions, details.trigger);
                    let release = Release::started(source.clone(), pipeline.clone(), revisions, trigger, command.at);
                    let release = release.through(details.stages);
                    let known = self.known_if_needed(app, *force).await?;
                    let selection = Selection { known: known.as_ref(), set, ..Selection::default() };
                    let plan = app.plan_for(run, &release, &selection)?;
                    Ok((release, plan))
                }
                Request::Retry { of, which } => {
                    let head = self.ended(of, command).await?;
                    let app = self.app(&head.app)?;
                    if let Origin::Rollback { of, .. } = &head.origin {
                        let because = format!("it is a rollback: roll {of} back again instead");
                        return Err(Failure::Refused(because));
                    }
                    if let Origin::Restore { .. } = &head.origin {
                        let because = "it brought back what drifted: the next drift check does so again";
                        return Err(Failure::Refused(because.to_owned()));
                    }
                    let only = self.selected(app, &head, which).await?;
                    let selection = Selection { only: only.as_ref(), ..Selection::default() };
                    let plan = app.plan_for(run, &head.release, &selection)?;
                    refuse_empty(&plan, "no target of it is left to retry")?;
                    Ok((head.release, plan))
                }
                Request::Rollback { of, which } => {
                    let head = self.ended(of, command).await?;
                    let app = self.app(&head.app)?;
                    let goods = self.goods(&head, which).await?;
                    let Back { plan, gone } = app.plan_back(run, of, &goods)?;
                    refuse_empty(&plan, "no earlier good release is known of any of its targets")?;
                    if !gone.is_empty() {
                        tracing::warn!(?gone, "not rolled back: the fleet file does not have them any more");
                    }
                    Ok((head.release, plan))
                }
                Request::Restore { of, targets } => self.restore(run, of, targets).await,
            },
        }
    }

    /// The plan that brings targets their own last good release again.
    async fn restore(&self, run: &RunId, of: &RunId, targets: &[TargetKey]) -> Result<(Release, Plan), Failure> {
        let app = self.app(&of.app())?;
        let known = self.known(app.name()).await?;
        let goods: Vec<(TargetKey, Good)> =
            targets.iter().filter_map(|key| Some((key.clone(), known.get(key)?.current.clone()))).collect();
        let newest = goods.iter().max_by_key(|(_, good)| good.at).map(|(_, good)| good.release.clone());
        let Some(release) = newest else {
            return Err(Failure::Refused("no good release is known of any of its targets".to_owned()));
        };
        let Back { plan, .. } = app.plan_back(run, of, &goods)?;
        refuse_empty(&plan, "the fleet file does not have its targets any more")?;
        Ok((release, plan))
    }

    pub(crate) fn app(&self, name: &manifold_core::ids::AppName) -> Result<&App, Failure> {
        self.fleet
            .app(name.as_str())
            .ok_or_else(|| Failure::Refused(format!("the fleet file has no app {name}; is it in this version of it?")))
    }

    /// A run that has ended, and that whoever asks may operate.
    async fn ended(&self, of: &RunId, command: &Command<Request>) -> Result<Head, Failure> {
        let key = Key::Head(of.clone());
        let Some(record) = self.ledger.get(std::slice::from_ref(&key)).await?.pop().flatten() else {
            return Err(Failure::Refused(format!("there is no run {of}")));
        };
        let head = runs::head_of(&key, record)?;
        head.policy.may_operate(&command.who).map_err(Failure::Refused)?;
        match head.verdict() {
            Some(_) => Ok(head),
            None => Err(Failure::Refused("it is under way; abort it first, or wait for its verdict".to_owned())),
        }
    }

    /// Whether a run that is under way, or waits for its turn, is not after the same already: a button that is pressed twice is two
    /// requests.
    pub(crate) async fn is_wanted_once(&self, queue: &AppQueue, source: &Source<'_>) -> Result<(), Failure> {
        let origin = source.origin();
        let Some(of) = origin.of() else { return Ok(()) };
        let keys: Vec<Key> = queue.current.iter().chain(&queue.next).cloned().map(Key::Head).collect();
        for (key, record) in keys.iter().zip(self.ledger.get(&keys).await?) {
            let Some(record) = record else { continue };
            let head = runs::head_of(key, record)?;
            if head.verdict().is_none() && head.origin.of() == Some(of) {
                return Err(Failure::Refused(format!("{} is after that already, as {}", head.run, who(&head.origin))));
            }
        }
        Ok(())
    }

    /// What is known of an app's targets, if those that have the release already are to be left alone.
    async fn known_if_needed(&self, app: &App, force: bool) -> Result<Option<BTreeMap<TargetKey, Known>>, Failure> {
        if force || !app.changed_only() {
            return Ok(None);
        }
        Ok(Some(self.known(app.name()).await?))
    }

    async fn known(&self, app: &manifold_core::ids::AppName) -> Result<BTreeMap<TargetKey, Known>, Failure> {
        let records = self.ledger.list(&Listing::Known(app.clone())).await?;
        let known = records.into_iter().filter_map(|record| record.item.take::<Known>());
        Ok(known.map(|known| (known.target.clone(), known)).collect())
    }

    /// The targets that a retry is about; `None` for all.
    async fn selected(&self, app: &App, head: &Head, which: &Which) -> Result<Option<BTreeSet<TargetKey>>, Failure> {
        let planned = match which {
            Which::All => return Ok(None),
            Which::Named { targets } => return Ok(Some(targets.iter().cloned().collect())),
            Which::Failed => runs::plan(&self.ledger, &head.run, head.size()).await?,
        };
        // A later run may have brought it there.
        let known = self.known(&head.app).await?;
        let got_it = |(key, known): (&TargetKey, &Known)| {
            (known.current.release.source == head.release.source).then(|| key.clone())
        };
        let got_it: BTreeSet<TargetKey> = known.iter().filter_map(got_it).collect();
        let has_it: BTreeSet<TargetKey> = (self.ledger.targets(&head.run).await.map_err(RunError::from)?)
            .into_iter()
            .filter(|target| target.status() == Status::Ended(Outcome::Succeeded))
            .map(|target| target.key)
            .collect();
        // What the fleet file does not have any more can't be retried, and keeps the others from nothing.
        let is_left = |key: &TargetKey| !has_it.contains(key) && !got_it.contains(key) && app.target(key).is_some();
        Ok(Some(planned.into_iter().map(|planned| planned.key).filter(is_left).collect()))
    }

    /// What the targets of a run had before it, of those that it touched.
    async fn goods(&self, head: &Head, which: &Which) -> Result<Vec<(TargetKey, Good)>, Failure> {
        let failed = match &head.phase {
            Phase::Closed { because: Closing::Halted { wave } | Closing::Alarm { wave, .. }, .. } => {
                head.waves.iter().position(|known| known.plan.name == *wave)
            }
            Phase::Closed { .. } | Phase::Waiting { .. } | Phase::Active { .. } => None,
        };
        let is_meant = |target: &Target| match which {
            Which::All => true,
            Which::Named { targets } => targets.contains(&target.key),
            Which::Failed => match failed {
                Some(wave) => usize::try_from(target.wave) == Ok(wave),
                None => target.status() != Status::Ended(Outcome::Succeeded),
            },
        };
        let known = self.known(&head.app).await?;
        let targets = self.ledger.targets(&head.run).await.map_err(RunError::from)?;
        let touched = targets.into_iter().filter(|target| target.execution.is_some() || !target.past.is_empty());
        let before = |target: Target| {
            Some((target.key.clone(), known.get(&target.key)?.before(&head.run, head.opened_at)?.clone()))
        };
        Ok(touched.filter(is_meant).filter_map(before).collect())
    }
}

/// Whose wish a run is, in words.
fn who(origin: &Origin) -> String {
    match origin {
        Origin::Release => "a release".to_owned(),
        Origin::Start { by } | Origin::Retry { by, .. } | Origin::Rollback { by, .. } | Origin::Restore { by, .. } => {
            format!("{by} wants")
        }
    }
}

fn refuse_empty(plan: &Plan, because: &str) -> Result<(), Failure> {
    match plan.targets.is_empty() {
        true => Err(Failure::Refused(because.to_owned())),
        false => Ok(()),
    }
}
