//! Stories about one run, told to the real state machine.

use std::collections::BTreeMap;

use manifold_core::control::{Command, Operator, Order, Origin, Via, Who};
use manifold_core::event::PipelineState;
use manifold_core::ids::{AppName, Attempt, ExecutionId, ExecutionRef, RunId, TargetKey};
use manifold_core::pace::{Api, Turn};
use manifold_core::plan::{Approval, Channel, Lapse, Plan, PlannedTarget, PlannedWave, Policy, SecretRef};
use manifold_core::release::{Release, Revision, Trigger};
use manifold_core::run::machine::AppQueue;
use manifold_core::run::{
    Event, Learnt, Observation, Observed, Outcome, Reason, ReasonSource, Refusal, Run, Target, Wanted,
};
use manifold_core::summary::Summary;
use manifold_core::time::{Span, Timestamp};

/// What a story plays on.
pub(crate) struct Fleet {
    /// Name and id.
    pub(crate) accounts: Vec<(String, String)>,
    pub(crate) regions: Vec<&'static str>,
    /// Name, size and failure tolerance; one strict wave of everything when empty.
    pub(crate) waves: Vec<(&'static str, u32, u32)>,
    pub(crate) concurrent: u32,
    /// How long the engine takes between two events.
    pub(crate) pace: Span,
    pub(crate) max_attempts: u32,
    pub(crate) revision: Option<Revision>,
    /// The session name of whoever released.
    pub(crate) who: Option<String>,
    /// The wave that waits for approval.
    pub(crate) approval: Option<&'static str>,
    /// Who may approve it.
    pub(crate) approvers: Vec<Operator>,
    /// Who may do everything else.
    pub(crate) operators: Vec<Operator>,
    pub(crate) channel: Channel,
    pub(crate) origin: Origin,
    /// How many of the targets have the release already; the last ones.
    pub(crate) unchanged: usize,
}

/// A channel in which messages can be edited.
pub(crate) fn bot() -> Channel {
    Channel::Bot { channel: "C0123456789".to_owned(), token: SecretRef::SecretsManager("manifold/slack".to_owned()) }
}

/// Somebody who may decide, in Slack if they are known there.
pub(crate) fn operator(name: &str, slack: &[&str]) -> Operator {
    Operator {
        name: name.to_owned(),
        slack: slack.iter().map(|id| (*id).to_owned()).collect(),
        iam: vec!["arn:aws:sts::999999999999:assumed-role/Operator/*".to_owned()],
    }
}

/// Somebody in Slack.
pub(crate) fn in_slack(id: &str, name: &str) -> Who {
    Who { via: Via::Slack, id: id.to_owned(), name: Some(name.to_owned()) }
}

impl Default for Fleet {
    fn default() -> Self {
        let accounts = [("dev", "111111111111"), ("staging", "222222222222"), ("prod", "333333333333")];
        Self {
            accounts: accounts.map(|(name, id)| (name.to_owned(), id.to_owned())).to_vec(),
            regions: vec!["eu-west-1", "us-east-1"],
            waves: Vec::new(),
            concurrent: 10_000,
            pace: Span::from_seconds(7),
            max_attempts: 1,
            revision: Some(revision()),
            who: Some("jane.doe@example.com".to_owned()),
            approval: None,
            approvers: Vec::new(),
            operators: Vec::new(),
            channel: Channel::Silent,
            origin: Origin::Release,
            unchanged: 0,
        }
    }
}

impl Fleet {
    /// So many accounts in the same Regions.
    pub(crate) fn of_accounts(count: usize, regions: Vec<&'static str>) -> Self {
        let account = |n: usize| (format!("team-{n:03}"), format!("{:012}", 100_000_000_000_u64 + n as u64));
        Self { accounts: (1..=count).map(account).collect(), regions, ..Self::default() }
    }

    pub(crate) fn size(&self) -> u32 {
        u32::try_from(self.accounts.len() * self.regions.len()).unwrap()
    }
}

fn revision() -> Revision {
    Revision {
        id: "9fceb02d0ae598e95dc970b74767f19372d61af8".to_owned(),
        action: "Source".to_owned(),
        message: Some("Fix the login form\n\nIt forgot the user's locale.".to_owned()),
        url: Some("https://github.com/octo-org/web/commit/9fceb02d0ae598e95dc970b74767f19372d61af8".to_owned()),
        author: Some("Jane Doe".to_owned()),
        repository: Some("octo-org/web".to_owned()),
        reference: Some("main".to_owned()),
        authored_at: None,
    }
}

/// A revision whose every text is up to no good.
pub(crate) fn hostile() -> Revision {
    Revision {
        id: "<!channel>|`x`".to_owned(),
        message: Some(
            "\n<!channel> <@U012AB3CD> *URGENT* <https://evil.example|sign in> :white_check_mark: https://evil.example \
             \u{202e}gnp.exe & `rm -rf` _now_ \u{1b}[2J\nsecond line <!here>"
                .to_owned(),
        ),
        url: Some("https://github.com@evil.example/|<!here>".to_owned()),
        author: Some("Mallory *<!everyone>* ~x~\u{2066}".to_owned()),
        repository: Some("octo/<web>".to_owned()),
        reference: Some("feature/_<#C024BE7LR>_".to_owned()),
        ..revision()
    }
}

/// One run, and the clock of its story.
pub(crate) struct Story {
    plan: Plan,
    run: Run,
    now: Timestamp,
    pace: Span,
    executions: BTreeMap<TargetKey, (ExecutionId, u32)>,
    by_name: BTreeMap<(String, String), usize>,
    started: usize,
}

impl Story {
    /// A run that is active at once.
    pub(crate) fn open(fleet: Fleet) -> Self {
        Self::open_behind(fleet, None)
    }

    /// A run that waits behind another one.
    pub(crate) fn waiting(fleet: Fleet) -> Self {
        Self::open_behind(fleet, Some(run_id("another")))
    }

    /// A run that waited, until a newer release took its place.
    pub(crate) fn overtaken(fleet: Fleet) -> Self {
        let mut story = Self::waiting(fleet);
        story.wait_minutes(2);
        let now = story.now;
        story.run = story.run.overtake(run_id("newer"), now);
        story
    }

    fn open_behind(fleet: Fleet, current: Option<RunId>) -> Self {
        let plan = plan(&fleet);
        let now = Timestamp::parse_rfc3339("2026-10-26T13:49:40Z").unwrap();
        let who = fleet.who.map(|who| format!("arn:aws:sts::999999999999:assumed-role/Release/{who}"));
        let release = Release {
            source: ExecutionRef { target: key("999999999999", "eu-west-1"), id: execution(0) },
            pipeline: "web-release".parse().unwrap(),
            revision: fleet.revision,
            trigger: Trigger { kind: Some("StartPipelineExecution".to_owned()), detail: who },
            released_at: Timestamp::parse_rfc3339("2026-10-26T13:49:12Z").unwrap(),
            started_at: None,
            stages: Vec::new(),
        };
        let queue = AppQueue { current, ..AppQueue::default() };
        let wanted = Wanted { origin: fleet.origin, ..Wanted::release(run_id("this one"), app(), release, &plan) };
        let run = Run::open(wanted, queue, now).run;
        let by_name = plan.targets.iter().enumerate();
        let by_name = by_name.map(|(at, t)| ((t.account_name.clone(), t.key.region.to_string()), at)).collect();
        Self { plan, run, now, pace: fleet.pace, executions: BTreeMap::new(), by_name, started: 0 }
    }

    /// Every target: its account's name and its Region.
    pub(crate) fn places(&self) -> Vec<(String, String)> {
        self.plan.targets.iter().map(|t| (t.account_name.clone(), t.key.region.to_string())).collect()
    }

    /// The worker claims the target and starts its execution.
    pub(crate) fn start(&mut self, account: &str, region: &str) {
        let planned = self.claim(account, region);
        self.started += 1;
        let id = execution(self.started);
        self.executions.insert(planned.key.clone(), (id.clone(), 1));
        let attempt = self.run.target(&planned.key).unwrap().attempt;
        self.tell(Event::Started { target: planned.key, attempt, execution: id });
    }

    /// Starts every target whose turn has come and that has no execution yet.
    pub(crate) fn start_all(&mut self) {
        for (account, region) in self.places() {
            let planned = self.planned(&account, &region);
            if self.run.head().is_released(planned.index) && self.run.target(&planned.key).is_none() {
                self.start(&account, &region);
            }
        }
    }

    /// Everything that runs succeeds.
    pub(crate) fn succeed_all(&mut self) {
        for (account, region) in self.places() {
            let planned = self.planned(&account, &region);
            let target = self.run.target(&planned.key);
            if target.is_some_and(|target| target.execution.is_some() && target.status().outcome().is_none()) {
                self.succeed(&account, &region);
            }
        }
    }

    pub(crate) fn succeed(&mut self, account: &str, region: &str) {
        self.state(account, region, "SUCCEEDED");
    }

    pub(crate) fn supersede(&mut self, account: &str, region: &str) {
        self.state(account, region, "SUPERSEDED");
    }

    pub(crate) fn cancel(&mut self, account: &str, region: &str) {
        self.state(account, region, "CANCELED");
    }

    /// Somebody retries the failed stage in the target account.
    pub(crate) fn resume(&mut self, account: &str, region: &str) {
        let key = self.planned(account, region).key;
        self.executions.get_mut(&key).unwrap().1 += 1;
        self.state(account, region, "RESUMED");
    }

    /// An action fails, and with it the execution.
    pub(crate) fn fail(&mut self, account: &str, region: &str, cause: &str, detail: &str) {
        let (_, attempt) = self.executions[&self.planned(account, region).key];
        let reason = Reason {
            cause: cause.to_owned(),
            detail: Some(detail.to_owned()),
            link: Some(format!(
                "https://{region}.console.aws.amazon.com/codesuite/codebuild/projects/deploy/build/deploy%3A1/log"
            )),
            source: ReasonSource::Event,
            attempt,
        };
        self.observe(account, region, Observed::ActionFailed { reason });
        self.state(account, region, "FAILED");
    }

    /// The target account does not let the worker in.
    pub(crate) fn deny(&mut self, account: &str, region: &str) {
        self.claim(account, region);
        self.refuse(account, region);
    }

    /// The target account does not let the worker in that claimed it.
    pub(crate) fn refuse(&mut self, account: &str, region: &str) {
        let planned = self.planned(account, region);
        let role = planned.role.name().to_owned();
        let reason = Reason {
            cause: format!("AccessDenied on role {role}"),
            detail: Some(format!(
                "User: arn:aws:sts::999999999999:assumed-role/ManifoldDeploy/mf is not authorized to perform: sts:AssumeRole on resource: {}",
                planned.role
            )),
            link: None,
            source: ReasonSource::Manifold,
            attempt: 0,
        };
        let refusal = Refusal::Permanent { outcome: Outcome::Unreachable, reason };
        self.tell(Event::Refused { target: planned.key, attempt: Attempt::FIRST, refusal });
    }

    /// The target's engine is at its limit of executions.
    pub(crate) fn busy(&mut self, account: &str, region: &str) {
        let planned = self.claim(account, region);
        let reason = Reason {
            cause: "ConcurrentPipelineExecutionsLimitExceeded".to_owned(),
            detail: None,
            link: None,
            source: ReasonSource::Manifold,
            attempt: 0,
        };
        self.tell(Event::Refused { target: planned.key, attempt: Attempt::FIRST, refusal: Refusal::Busy { reason } });
    }

    /// The target waits for its turn to be started.
    pub(crate) fn wait_in_line(&mut self, account: &str, region: &str) {
        let planned = self.claim(account, region);
        let turn = Turn { api: Api::StartPipelineExecution, at: self.now.plus(Span::from_seconds(90)), cuts: 1 };
        let refusal = Refusal::Wait { turn, throttled: None };
        self.tell(Event::Refused { target: planned.key, attempt: Attempt::FIRST, refusal });
    }

    /// The engine tells of a state, known or not.
    pub(crate) fn state(&mut self, account: &str, region: &str, state: &str) {
        let (_, attempt) = self.executions[&self.planned(account, region).key];
        let state = PipelineState::from(state.to_owned());
        self.observe(account, region, Observed::State { state, attempt: Some(attempt), comments: None, reason: None });
    }

    /// Somebody decides.
    pub(crate) fn command(&mut self, who: Who, what: Order) {
        let id = format!("press-{}", self.now.as_millis()).parse().unwrap();
        self.now = self.now.plus(Span::from_minutes(2));
        self.tell(Event::Commanded(Box::new(Command { id, at: self.now, who, why: None, what })));
    }

    /// The deadline passes: who has not answered timed out, whose turn had not come is skipped.
    pub(crate) fn deadline(&mut self) {
        self.wait_minutes(121);
        let before = self.run.head().clone();
        let silent = self.plan.targets.iter().filter(|t| before.is_released(t.index)).cloned().collect();
        self.tell(Event::DeadlinePassed { silent });
    }

    pub(crate) fn wait_minutes(&mut self, minutes: i64) {
        self.now = self.now.plus(Span::from_minutes(minutes));
    }

    pub(crate) fn summary(&self) -> Summary {
        self.summary_of(self.targets())
    }

    /// The targets as another query might have returned them.
    pub(crate) fn summary_of_shuffled_targets(&self) -> Summary {
        let mut targets = self.targets();
        targets.reverse();
        targets.rotate_left(2);
        self.summary_of(targets)
    }

    fn targets(&self) -> Vec<Target> {
        self.plan.targets.iter().filter_map(|planned| self.run.target(&planned.key).cloned()).collect()
    }

    fn summary_of(&self, targets: Vec<Target>) -> Summary {
        Summary::of(self.run.head(), &self.plan.targets, &targets)
    }

    fn planned(&self, account: &str, region: &str) -> PlannedTarget {
        let at = self.by_name[&(account.to_owned(), region.to_owned())];
        self.plan.targets[at].clone()
    }

    /// The worker takes the target, and has not started anything yet.
    pub(crate) fn claim(&mut self, account: &str, region: &str) -> PlannedTarget {
        let planned = self.planned(account, region);
        let attempt = self.run.target(&planned.key).map_or(Attempt::FIRST, |target| target.attempt);
        let nonce = "worker-1".parse().unwrap();
        let lease = Span::from_seconds(60);
        self.tell(Event::Claim { planned: Box::new(planned.clone()), attempt, nonce, lease });
        planned
    }

    fn observe(&mut self, account: &str, region: &str, what: Observed) {
        let planned = self.planned(account, region);
        self.now = self.now.plus(self.pace);
        self.tell(Event::Observed(Box::new(Observation {
            target: planned.key.clone(),
            subject: planned.subject,
            execution: self.executions[&planned.key].0.clone(),
            at: self.now,
            started_by: None,
            learnt: Learnt::ByEvent,
            what,
        })));
    }

    fn tell(&mut self, event: Event) {
        // A run without targets stands in while the event is taken in.
        let idle = Run::load(self.run.head().clone(), AppQueue::default(), []);
        let (run, _) = std::mem::replace(&mut self.run, idle).step(event, self.now);
        self.run = run;
    }
}

fn plan(fleet: &Fleet) -> Plan {
    let waves = match fleet.waves.as_slice() {
        [] => vec![("all", fleet.size(), 0)],
        waves => waves.to_vec(),
    };
    let mut first = 0;
    let waves: Vec<PlannedWave> = waves
        .into_iter()
        .map(|(name, size, failure_tolerance)| {
            let approval = (fleet.approval == Some(name)).then(|| Approval {
                approvers: fleet.approvers.clone(),
                valid_for: Span::from_minutes(60 * 24),
                newer: Lapse::default(),
            });
            let wave = PlannedWave::plain(name.to_owned(), first, size, fleet.concurrent, failure_tolerance);
            let wave = PlannedWave { approval, ..wave };
            first += size;
            wave
        })
        .collect();
    let places = fleet.accounts.iter().flat_map(|account| fleet.regions.iter().map(move |region| (account, region)));
    let targets = places.enumerate().map(|(index, ((name, id), region))| {
        let index = u32::try_from(index).unwrap();
        let key = key(id, region);
        PlannedTarget {
            index,
            wave: waves.iter().rposition(|wave| wave.first <= index).unwrap() as u32,
            role: format!("arn:{}:iam::{id}:role/ManifoldTarget", key.region.partition().as_str()).parse().unwrap(),
            key,
            account_name: name.clone(),
            external_id: None,
            subject: "web-deploy".parse().unwrap(),
            work: None,
            variables: BTreeMap::new(),
            source_revision: None,
            after: Vec::new(),
            before: Vec::new(),
            release: None,
            looks: None,
        }
    });
    let mut targets: Vec<PlannedTarget> = targets.collect();
    let unchanged = targets.split_off(targets.len() - fleet.unchanged);
    let deadline = Span::from_minutes(120);
    Plan {
        waves,
        targets,
        max_attempts: fleet.max_attempts,
        deadline,
        channel: fleet.channel.clone(),
        policy: Policy { operators: fleet.operators.clone(), ..Policy::default() },
        unchanged,
    }
}

fn app() -> AppName {
    "web".parse().unwrap()
}

fn run_id(source: &str) -> RunId {
    let id = source.replace(' ', "-").parse().unwrap();
    RunId::derive(&app(), &ExecutionRef { target: key("999999999999", "eu-west-1"), id })
}

fn key(account: &str, region: &str) -> TargetKey {
    TargetKey { account: account.parse().unwrap(), region: region.parse().unwrap() }
}

fn execution(number: usize) -> ExecutionId {
    format!("3f8c1f0a-7d52-4d5e-9f0b-{number:012x}").parse().unwrap()
}
