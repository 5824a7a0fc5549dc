//! The site in one process: the embedded world, in virtual time.

use std::cell::RefCell;

use anyhow::{Result, anyhow, bail};
use manifold_core::changes::{Previewed, ToPreview};
use manifold_core::checkup::Tried;
use manifold_core::control::Who;
use manifold_core::drift::Check;
use manifold_core::ids::{ExecutionRef, Nonce, PipelineName, RunId};
use manifold_core::ledger::{Key, Listing, Opening, Record};
use manifold_core::message::Outgoing;
use manifold_core::release::Release;
use manifold_core::run::{Hold, Phase, Target};
use manifold_core::time::{Span, Timestamp};
use manifold_local::simulation::Simulation;
use manifold_ports::clock::Clock;

use super::site::{Ahead, Site};

/// A moment.
const MOMENT: Span = Span::from_seconds(1);
/// As long as a message of Slack may lag behind what it tells of.
const LAG: Span = Span::from_seconds(30);
/// A run that has not come to its verdict or a hold by then never will.
const LONGEST: Span = Span::from_minutes(60 * 24 * 30);

/// An embedded world, and who gives commands in it.
pub(crate) struct Embedded {
    simulation: RefCell<Simulation>,
    who: RefCell<Who>,
}

impl Embedded {
    pub(crate) fn new(simulation: Simulation, who: Who) -> Self {
        Self { simulation: RefCell::new(simulation), who: RefCell::new(who) }
    }

    /// Has somebody else give the next commands.
    pub(crate) fn act_as(&self, who: Who) {
        *self.who.borrow_mut() = who;
    }

    /// Looks at the world.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Simulation) -> T) -> T {
        look(&self.simulation.borrow())
    }

    /// Lets time pass.
    pub(crate) fn wait(&self, span: Span) -> Result<()> {
        let until = self.now().plus(span);
        self.simulation.borrow_mut().pass_until(until)?;
        Ok(())
    }

    /// The drift checks that were opened, oldest first of each app.
    pub(crate) fn checks(&self) -> Vec<Check> {
        self.look(|simulation| {
            let world = simulation.world();
            let mut checks = Vec::new();
            for app in simulation.fleet().apps() {
                let opened = world.listed(&Listing::Checks(app.name().clone(), u32::MAX)).into_iter().rev();
                let opened = opened.filter_map(|record| record.item.take::<Opening>());
                let records = opened.filter_map(|opening| world.record(&Key::Check(opening.run)));
                checks.extend(records.filter_map(|record| record.item.take::<Check>()));
            }
            checks
        })
    }

    /// Lets time pass until every run has its verdict, or holds, or waits for one that does, and every drift check has
    /// ended; and Slack shows it.
    pub(crate) fn settle(&self) -> Result<()> {
        let until = self.now().plus(LONGEST);
        loop {
            // What was sent a moment ago has changed nothing yet.
            self.wait(MOMENT)?;
            if self.look(Simulation::is_over) {
                return Ok(());
            }
            if self.is_at_rest() {
                self.wait(LAG)?;
                if self.is_at_rest() {
                    return Ok(());
                }
            }
            if self.now() >= until {
                bail!("the runs and drift checks neither ended nor held within {LONGEST}");
            }
        }
    }

    fn is_at_rest(&self) -> bool {
        let checks = self.checks();
        if checks.iter().any(|check| check.closed().is_none()) {
            return false;
        }
        self.look(|simulation| {
            let world = simulation.world();
            let heads = world.runs().into_iter().filter_map(|run| world.head(&run));
            let mut any = !checks.is_empty();
            let rests = heads.into_iter().all(|head| {
                any = true;
                let waits = match &head.phase {
                    Phase::Waiting { .. } => true,
                    Phase::Active { .. } | Phase::Closed { .. } => false,
                };
                // A look at alarms is no decision of anybody's.
                let holds = match head.hold(world.time()) {
                    Some(Hold::Paused { .. } | Hold::Approval { .. } | Hold::Bake { .. }) => head.in_flight() == 0,
                    Some(Hold::Alarms { .. }) | None => false,
                };
                waits || holds || head.verdict().is_some()
            });
            any && rests
        })
    }
}

impl Ahead for Embedded {
    async fn preview(&self, asked: ToPreview) -> Result<Vec<Previewed>> {
        Ok(self.look(|simulation| asked.targets.iter().map(|target| simulation.world().preview(target)).collect()))
    }

    async fn discard(&self, asked: ToPreview) -> Result<Vec<Tried<()>>> {
        Ok(vec![Tried::Done(()); asked.targets.len()])
    }

    fn is_to_stop(&self) -> bool {
        false
    }

    async fn pass(&self) -> Result<()> {
        self.wait(MOMENT)
    }

    fn now(&self) -> Timestamp {
        self.look(|simulation| simulation.world().now())
    }
}

impl Site for Embedded {
    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Record>>> {
        Ok(self.look(|simulation| keys.iter().map(|key| simulation.world().record(key)).collect()))
    }

    async fn targets(&self, run: &RunId) -> Result<Vec<Target>> {
        Ok(self.look(|simulation| simulation.world().targets_of(run)))
    }

    async fn list(&self, listing: &Listing) -> Result<Vec<Record>> {
        Ok(self.look(|simulation| simulation.world().listed(listing)))
    }

    async fn open_runs(&self) -> Result<Vec<RunId>> {
        Ok(self.look(|simulation| simulation.world().open()))
    }

    async fn send(&self, message: Outgoing) -> Result<()> {
        Ok(self.look(|simulation| simulation.world().send_now(message))?)
    }

    async fn who(&self) -> Result<Who> {
        Ok(self.who.borrow().clone())
    }

    async fn release(&self, pipeline: &PipelineName, source: &ExecutionRef) -> Result<Release> {
        let known = self.look(|simulation| simulation.world().released(pipeline, source));
        known.ok_or_else(|| anyhow!("{pipeline} has no execution {}", source.id))
    }

    fn patience(&self) -> Span {
        Span::from_minutes(2)
    }

    fn nonce(&self) -> Nonce {
        self.look(|simulation| simulation.world().nonce())
    }

    async fn agree(&self, _: &str) -> Result<Option<bool>> {
        Ok(None)
    }

    async fn choose(&self, _: &str, _: &[String]) -> Result<Option<String>> {
        Ok(None)
    }
}

/// Runs what waits for nothing: in an embedded world every answer is there at once.
///
/// # Errors
/// It waits all the same.
pub(crate) fn at_once<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let work = std::pin::pin!(work);
    match work.poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
        std::task::Poll::Ready(done) => done,
        std::task::Poll::Pending => bail!("an embedded world does not answer"),
    }
}
