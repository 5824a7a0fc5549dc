//! The loop that delivers messages to the handlers, as SQS and Lambda would.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use manifold_core::event::{self, BatchResponse, DecodeError, Envelope, PipelineEvent, PipelineState, decode_event};
use manifold_core::ids::{AppName, RunId, TargetKey};
use manifold_core::release::{Release, Revision, Stage, Trigger};
use manifold_core::run::Verdict;
use manifold_core::summary::Summary;
use manifold_core::time::{Span, Timestamp};
use manifold_fleet::{App, Fleet};
use manifold_ports::clock::Clock;
use manifold_ports::runs::RunError;

use crate::behaviour::{Behaviours, Chosen};
use crate::echo::Echo;
use crate::faults::Faults;
use crate::handlers::{Answer, Answered, Handlers, Handling, failed};
use crate::tale;
use crate::world::{Inbox, Left, Letter, Next, ReleaseFacts, World};

/// A simulation that goes on for longer than this many steps has a fault of its own.
const MOST_STEPS: u64 = 50_000_000;
/// How many targets an error names.
const MOST_NAMED: usize = 12;
/// How long one invocation may take.
pub(crate) const TIMEOUT: Span = Span::from_seconds(60);

/// Why a simulation could not be run.
#[derive(Debug, thiserror::Error)]
pub enum SimulationError {
    /// The event can't be read.
    #[error("failed to read the event")]
    Event(#[from] DecodeError),
    /// The event opens no run.
    #[error("this event opens no run: {0}")]
    NoRelease(String),
    /// A chosen failure names no target.
    #[error("--fail {choice} names no target; the fleet has {known}")]
    NoTarget {
        /// As given.
        choice: String,
        /// Some of the targets there are.
        known: String,
    },
    /// A recording is of something that nobody starts.
    #[error("{what} in {place} was recorded, and {}", match there.as_slice() {
        [] => "no app is deployed there".to_owned(),
        there => format!("what is started there is {}", there.join(", ")),
    })]
    Stranger {
        /// What.
        what: String,
        /// Where.
        place: TargetKey,
        /// What is started there.
        there: Vec<String>,
    },
    /// The simulation itself went wrong.
    #[error("the simulation did not settle after {0} steps")]
    Unsettled(u64),
    /// The ledger could not be read.
    #[error(transparent)]
    Run(#[from] RunError),
}

/// What is simulated.
#[derive(Debug)]
pub struct Setup {
    /// The fleet.
    pub fleet: Fleet,
    /// The release event, as EventBridge delivers it.
    pub event: String,
    /// The targets that do not just succeed.
    pub chosen: Vec<Chosen>,
    /// Everything random comes from it.
    pub seed: u64,
    /// What happens to messages and functions.
    pub faults: Faults,
}

struct Task {
    function: &'static str,
    letters: Vec<Letter>,
    future: Handling<Answer>,
    /// When Lambda ends it.
    deadline: Timestamp,
}

/// A simulation under way.
pub struct Simulation {
    world: World,
    handlers: Arc<Handlers>,
    tasks: BTreeMap<u64, Task>,
    next_task: u64,
    steps: u64,
    stray_events: u32,
    refused: Vec<(AppName, String)>,
    overdue: usize,
    killed: BTreeMap<&'static str, u32>,
}

impl Simulation {
    /// Sets a simulation up: the release event is in its inbox, and nothing has happened yet.
    ///
    /// # Errors
    /// The event can't be read or opens no run, or a chosen failure names no target.
    pub fn new(setup: Setup) -> Result<Self, SimulationError> {
        let event = setup.event.clone();
        let simulation = Self::prepare(setup)?;
        simulation.world.deliver(Inbox::Dispatch, event, Span::from_millis(0));
        Ok(simulation)
    }

    /// Goes on from what another version left in the middle of a run; `setup` has the release event that its world
    /// began with.
    ///
    /// # Errors
    /// As [`Simulation::new`].
    pub fn resume(setup: Setup, left: Left) -> Result<Self, SimulationError> {
        let simulation = Self::prepare(setup)?;
        for underway in left.letters.iter().filter(|underway| underway.letter.inbox == Inbox::Dispatch) {
            simulation.announce(&underway.letter.body)?;
        }
        simulation.world.restore(left);
        Ok(simulation)
    }

    /// What would be left if the functions were replaced now, and died over what they are doing.
    #[must_use]
    pub fn left(&self) -> Left {
        self.world.left(self.tasks.values().flat_map(|task| &task.letters))
    }

    /// A world in which nothing has been released yet. Every target succeeds until
    /// [`set_behaviour`](World::set_behaviour) says otherwise.
    #[must_use]
    pub fn idle(fleet: Fleet, now: Timestamp, seed: u64) -> Self {
        Self::of(fleet, World::new(now, seed, Behaviours::default(), Faults::default()), Vec::new())
    }

    fn prepare(setup: Setup) -> Result<Self, SimulationError> {
        let envelope = decode_event(&setup.event)?;
        let told = check_release(&setup.fleet, &envelope)?;
        let behaviours = behaviours(&setup.fleet, &envelope, told, &setup.chosen)?;
        let refused = refused(&setup.fleet, &envelope, told);
        let world = World::new(envelope.at, setup.seed, behaviours, setup.faults);
        world.know_release(told.execution.clone(), release_facts(told, envelope.at));
        Ok(Self::of(setup.fleet, world, refused))
    }

    pub(crate) fn of(fleet: Fleet, world: World, refused: Vec<(AppName, String)>) -> Self {
        let handlers = Handlers::new(fleet, &world);
        Self {
            world,
            handlers: Arc::new(handlers),
            tasks: BTreeMap::new(),
            next_task: 0,
            steps: 0,
            stray_events: 0,
            refused,
            overdue: 0,
            killed: BTreeMap::new(),
        }
    }

    /// Has one more release event arrive after some time.
    ///
    /// # Errors
    /// The event can't be read, or opens no run.
    pub fn release(&self, event: String, delay: Span) -> Result<(), SimulationError> {
        self.announce(&event)?;
        self.world.deliver(Inbox::Dispatch, event, delay);
        Ok(())
    }

    /// Has targets tell of what they start what was recorded elsewhere, once each, instead of what they would do by
    /// themselves.
    ///
    /// # Errors
    /// A recording is of something that no target of the fleet starts.
    pub fn play_back(&self, echoes: Vec<Echo>) -> Result<(), SimulationError> {
        let targets = || self.fleet().apps().flat_map(App::targets);
        let starts =
            |echo: &Echo| targets().any(|target| *target.key() == echo.target && *target.subject() == echo.subject);
        if let Some(stranger) = echoes.iter().find(|echo| !starts(echo)) {
            let (what, place) = (stranger.subject.words(), stranger.target.clone());
            let there: Vec<String> =
                targets().filter(|target| *target.key() == place).map(|target| target.subject().words()).collect();
            return Err(SimulationError::Stranger { what, place, there });
        }
        self.world.play_back(echoes);
        Ok(())
    }

    /// Has the schedule of drift checks tick after some time.
    pub fn tick_drift(&self, delay: Span) {
        let due = self.world.now().plus(delay);
        let tick = serde_json::json!({ "kind": "drift-check", "scheduledTime": due.to_string() });
        self.world.deliver(Inbox::Dispatch, tick.to_string(), delay);
    }

    /// Has the release pipeline know of an execution what its event will tell.
    fn announce(&self, event: &str) -> Result<(), SimulationError> {
        let envelope = decode_event(event)?;
        let told = check_release(self.handlers.fleet(), &envelope)?;
        self.world.know_release(told.execution.clone(), release_facts(told, envelope.at));
        Ok(())
    }

    /// The world, for a look at what happened.
    #[must_use]
    pub fn world(&self) -> &World {
        &self.world
    }

    /// The fleet.
    #[must_use]
    pub fn fleet(&self) -> &Fleet {
        self.handlers.fleet()
    }

    /// How many events did not belong to any target.
    #[must_use]
    pub fn stray_events(&self) -> u32 {
        self.stray_events
    }

    /// The apps that this release can't be deployed to, and why: their messages end as dead letters.
    #[must_use]
    pub fn refused(&self) -> &[(AppName, String)] {
        &self.refused
    }

    /// How many messages `sweep` sent: what it found lost, or overdue.
    #[must_use]
    pub fn overdue(&self) -> usize {
        self.overdue
    }

    /// How many invocations of a function were killed.
    #[must_use]
    pub fn killed(&self, function: &str) -> u32 {
        self.killed.get(function).copied().unwrap_or(0)
    }

    /// Does what is due next. Returns the virtual time, or nothing once all is done.
    ///
    /// # Errors
    /// The simulation goes on for ever.
    pub fn step(&mut self) -> Result<Option<Timestamp>, SimulationError> {
        self.steps += 1;
        if self.steps > MOST_STEPS {
            return Err(SimulationError::Unsettled(self.steps));
        }
        // Cheap first: looking through the agenda is for the end of a simulation.
        if self.tasks.is_empty() && self.world.is_settled() {
            return Ok(None);
        }
        self.go_on()
    }

    fn go_on(&mut self) -> Result<Option<Timestamp>, SimulationError> {
        match self.world.next() {
            Next::Nothing => return Ok(None),
            Next::Task(task) => self.poll(task),
            Next::Letters(letters) => self.invoke(letters),
            Next::Ticks(times) => (0..times).for_each(|_| self.tick()),
        }
        Ok(Some(self.world.now()))
    }

    /// Does all that is due until a point in time, at which the clock stands then.
    ///
    /// # Errors
    /// The simulation goes on for ever.
    pub fn pass_until(&mut self, until: Timestamp) -> Result<(), SimulationError> {
        while self.world.next_at().is_some_and(|next| next <= until) {
            self.go_on()?;
        }
        self.world.pass_until(until);
        Ok(())
    }

    /// Whether nothing is left to happen.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.tasks.is_empty() && self.world.is_settled()
    }

    /// Runs to the end.
    ///
    /// # Errors
    /// The simulation goes on for ever.
    pub fn run(&mut self) -> Result<(), SimulationError> {
        while self.step()?.is_some() {}
        Ok(())
    }

    /// A run's summary, as it stands.
    ///
    /// # Errors
    /// There is no such run.
    pub fn summary(&self, run: &RunId) -> Result<Summary, SimulationError> {
        let head = self.world.head(run).ok_or_else(|| RunError::Unknown(run.clone()))?;
        Ok(Summary::of(&head, &self.world.plan(run), &self.world.targets_of(run)))
    }

    /// The verdicts given, by run.
    #[must_use]
    pub fn verdicts(&self) -> BTreeMap<RunId, Option<Verdict>> {
        self.world
            .runs()
            .into_iter()
            .map(|run| {
                let verdict = self.world.head(&run).and_then(|head| head.verdict());
                (run, verdict)
            })
            .collect()
    }

    fn invoke(&mut self, letters: Vec<Letter>) {
        let Some(first) = letters.first() else { return };
        let inbox = first.inbox;
        let now = self.world.now();
        let deadline = now.plus(TIMEOUT);
        let future = self.handlers.invoke(inbox, &letters, now, deadline);
        self.begin(Task { function: inbox.function(), letters, future, deadline });
    }

    fn tick(&mut self) {
        let deadline = self.world.now().plus(TIMEOUT);
        let future = self.handlers.tick(deadline);
        self.begin(Task { function: "sweep", letters: Vec::new(), future, deadline });
    }

    fn begin(&mut self, task: Task) {
        let id = self.next_task;
        self.next_task += 1;
        self.world.begin(id, task.function);
        for letter in &task.letters {
            self.world.note(id, || format!("is handed {}", tale::said(&letter.body)));
        }
        self.tasks.insert(id, task);
        self.poll(id);
    }

    fn poll(&mut self, id: u64) {
        let now = self.world.now();
        let Some(task) = self.tasks.get_mut(&id) else { return };
        let polled = if now > task.deadline {
            self.world.time_out(id);
            Poll::Pending
        } else {
            self.world.enter(id);
            let polled = task.future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            self.world.leave();
            polled
        };
        let answer = match polled {
            Poll::Ready(answer) => answer,
            Poll::Pending if self.world.is_killed(id) => {
                // SQS makes the messages of a dead function visible again.
                *self.killed.entry(task.function).or_default() += 1;
                let response = BatchResponse::failing(task.letters.iter().map(|letter| letter.id.clone()));
                Ok(Answered { response, ..Answered::default() })
            }
            Poll::Pending => return,
        };
        let Some(task) = self.tasks.remove(&id) else { return };
        self.world.end(id);
        let failed = failed(&answer, &task.letters);
        if let Ok(Answered { stray, overdue, .. }) = answer {
            self.stray_events += stray;
            self.overdue += overdue;
        }
        for letter in task.letters {
            if failed.contains(&letter.id) {
                self.world.give_back(letter);
            }
        }
    }
}

fn check_release<'a>(fleet: &Fleet, envelope: &'a Envelope) -> Result<&'a PipelineEvent, SimulationError> {
    let told = match &envelope.event {
        event::Event::Pipeline(told) => told,
        event::Event::Stage(_)
        | event::Event::Action(_)
        | event::Event::Drift(_)
        | event::Event::Build(_)
        | event::Event::Phase(_)
        | event::Event::Stack(_)
        | event::Event::Resource(_)
        | event::Event::StackSet(_)
        | event::Event::Deployment(_)
        | event::Event::Instance(_)
        | event::Event::Scheduled { .. }
        | event::Event::Other { .. } => {
            return Err(SimulationError::NoRelease(
                "it is not a \"CodePipeline Pipeline Execution State Change\"".to_owned(),
            ));
        }
    };
    if told.state != PipelineState::Succeeded {
        return Err(SimulationError::NoRelease(format!("its state is {}, a release is SUCCEEDED", told.state)));
    }
    if fleet.released_by(&envelope.account, &envelope.region, &told.pipeline).is_empty() {
        let known: Vec<String> = fleet
            .apps()
            .flat_map(|app| app.releases().iter().map(move |release| (app, release)))
            .map(|(app, release)| format!("{} in {} (app {})", release.name(), release.region(), app.name()))
            .collect();
        return Err(SimulationError::NoRelease(format!(
            "it is of pipeline {} in account {}, {}; the fleet's release pipelines, in account {}, are {}",
            told.pipeline,
            envelope.account,
            envelope.region,
            fleet.hub().account(),
            known.join(", ")
        )));
    }
    Ok(told)
}

fn behaviours(
    fleet: &Fleet,
    envelope: &Envelope,
    told: &PipelineEvent,
    chosen: &[Chosen],
) -> Result<Behaviours, SimulationError> {
    let mut behaviours = Behaviours::default();
    for choice in chosen {
        let mut found = false;
        let mut known = BTreeSet::new();
        for app in fleet.released_by(&envelope.account, &envelope.region, &told.pipeline) {
            for target in app.targets() {
                let key = target.key();
                if choice.means(&key.account, target.account_name(), &key.region) {
                    behaviours.set(key.clone(), choice.behaviour.clone());
                    found = true;
                }
                known.insert(format!("{}/{}", target.account_name(), key.region));
            }
        }
        if !found {
            let more = known.len().saturating_sub(MOST_NAMED);
            let mut known = known.into_iter().take(MOST_NAMED).collect::<Vec<_>>().join(", ");
            if more > 0 {
                known.push_str(&format!(" and {more} more"));
            }
            return Err(SimulationError::NoTarget { choice: choice.to_string(), known });
        }
    }
    Ok(behaviours)
}

/// The apps whose plan can't be made for this release.
fn refused(fleet: &Fleet, envelope: &Envelope, told: &PipelineEvent) -> Vec<(AppName, String)> {
    let facts = release_facts(told, envelope.at);
    let release = Release::announced(envelope, told, facts.revision.into_iter().collect(), facts.trigger);
    let apps = fleet.released_by(&envelope.account, &envelope.region, &told.pipeline).into_iter();
    let refusal = |app: &App| app.plan(&RunId::derive(app.name(), &release.source), &release).err();
    apps.filter_map(|app| Some((app.name().clone(), refusal(app)?.to_string()))).collect()
}

/// What the simulated release pipeline tells: the commit in the event, or one made up from the execution.
fn release_facts(told: &PipelineEvent, at: Timestamp) -> ReleaseFacts {
    let git = told.trigger.as_ref().and_then(|trigger| trigger.git.clone()).unwrap_or_default();
    let made_up = || told.execution.as_str().chars().filter(char::is_ascii_hexdigit).cycle().take(40).collect();
    let told_commit = git.commit_id.is_some();
    let commit: String = git.commit_id.unwrap_or_else(made_up);
    ReleaseFacts {
        revision: Some(Revision {
            id: commit.clone(),
            action: "Source".to_owned(),
            message: git.commit_message,
            url: git.repository.as_ref().zip(git.provider.as_deref()).and_then(|(repository, provider)| {
                (provider == "GitHub" && told_commit)
                    .then(|| format!("https://github.com/{repository}/commit/{commit}"))
            }),
            author: git.author,
            repository: git.repository,
            reference: git.branch.or(git.tag),
            authored_at: git.authored_at,
        }),
        trigger: Trigger {
            kind: told.trigger.as_ref().and_then(|trigger| trigger.kind.clone()),
            detail: told.trigger.as_ref().and_then(|trigger| trigger.detail.clone()),
        },
        stages: told.started_at.filter(|began| *began < at).map_or_else(Vec::new, |began| stages(began, at)),
    }
}

/// The stages of a release pipeline that went on for so long: a tenth is the source's.
fn stages(began: Timestamp, ended: Timestamp) -> Vec<Stage> {
    let between = began.plus(Span::from_millis(ended.since(began).as_millis() / 10));
    let stage = |name: &str, began, ended| Stage { name: name.to_owned(), began, ended };
    vec![stage("Source", began, between), stage("Build", between, ended)]
}

impl std::fmt::Debug for Simulation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Simulation")
            .field("steps", &self.steps)
            .field("tasks", &self.tasks.len())
            .finish_non_exhaustive()
    }
}
