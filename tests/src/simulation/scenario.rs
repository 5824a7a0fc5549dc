//! A scenario: everything that makes a story what it is, as data. Drawn from a seed, shrunk when it goes wrong, and told.

use std::fmt::{self, Display, Write};

use manifold_core::control::{Command, Order, Request, Via, Which, Who};
use manifold_core::ids::{ExecutionRef, RunId, TargetKey};
use manifold_core::message::{Message, Payload};
use manifold_core::time::{Span, Timestamp};
use manifold_fleet::Fleet;
use manifold_local::behaviour::Behaviour;
use manifold_local::faults::{At, DELIVERIES, Faults, Harm, Mishap, POINTS, Stage};
use manifold_local::limits::Limits;
use manifold_local::simulation::{Setup, Simulation};
use manifold_local::world::Inbox;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::json;

const ACCOUNTS: [(&str, &str); 2] = [("dev", "444455556666"), ("prod", "777788889999")];
/// What may do the work in a target, each in its own way pinned to the release.
const ENGINES: [&str; 4] = [
    "{ codedeploy: { application: web, group: web, github: shop/web } }",
    "{ cloudformation: { stack: web, template: \"s3://artifacts/{{ release.revision }}/template.yaml\" } }",
    "{ codebuild: { project: web, source_version: \"{{ release.revision }}\" } }",
    "{ codepipeline: { name: svc-deploy, source_action: Source } }",
];
const REGIONS: [&str; 3] = ["us-east-1", "eu-west-1", "eu-central-1"];
/// When the first release pipeline succeeds: 2026-10-26T13:58:01Z.
const FIRST_RELEASE: i64 = 1_793_023_081;
/// What nobody may find in Slack as it is here.
pub const HOSTILE: &str = "<!channel> <@U123> <https://evil.example|log in> &lt;!here>";

/// Where a run's summary goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// To a bot, whose message is edited.
    Bot,
    /// To a webhook, once.
    Webhook,
    /// To nobody.
    Nobody,
}

/// A release of the app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// So long after the first one it arrives.
    pub after: Span,
    /// So much older or newer than its arrival it is, in seconds: pipelines take their time, and events overtake.
    pub age: i64,
}

/// What the app's policy says besides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Control {
    /// What a newer release does: `queue`, `supersede` or `refuse`.
    pub newer: &'static str,
    /// What a failure beyond tolerance does.
    pub on_failure: &'static str,
    /// Whether the tolerance is strict.
    pub strict: bool,
    /// Whether targets that have a release already are skipped.
    pub changed_only: bool,
    /// How many targets of one account run at once.
    pub per_account: Option<u32>,
    /// What the last wave's request for approval does when a newer release comes, if it needs any.
    pub approval: Option<&'static str>,
    /// How many minutes each wave bakes, and whether it looks at an alarm then.
    pub bake: Option<(i64, bool)>,
    /// The target whose alarm is in ALARM all along, by its number.
    pub firing: Option<usize>,
}

impl Default for Control {
    /// As it is when the fleet file says nothing of it.
    fn default() -> Self {
        Self {
            newer: "queue",
            on_failure: "halt",
            strict: false,
            changed_only: false,
            per_account: None,
            approval: None,
            bake: None,
            firing: None,
        }
    }
}

/// A decision of an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Press {
    /// So long after the first release.
    pub after: Span,
    /// About the run of which release.
    pub release: usize,
    /// What.
    pub what: Pressed,
}

/// What operators decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pressed {
    /// The last wave may begin.
    Approve,
    /// It may not.
    Reject,
    /// Nothing more has its turn.
    Pause,
    /// It goes on.
    Resume,
    /// It ends, and what runs goes on.
    Abort,
    /// It ends, and what runs is stopped.
    Stop,
    /// What failed again.
    Retry,
    /// All of it back.
    Rollback,
}

/// Everything that makes a story what it is.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Of latencies and of what happens by chance.
    pub seed: u64,
    /// How many accounts, one or two.
    pub accounts: usize,
    /// How many Regions, one to three.
    pub regions: usize,
    /// Whether each account is a wave of its own.
    pub wave_per_account: bool,
    /// How many targets of a wave are in flight at most.
    pub max_concurrent: u32,
    /// How many may end without the release.
    pub failure_tolerance: u32,
    /// How many executions a target may get.
    pub max_attempts: u32,
    /// From a run's turn to its verdict, at the latest, in minutes.
    pub deadline: i64,
    /// What the policy says besides.
    pub control: Control,
    /// What operators decide.
    pub presses: Vec<Press>,
    /// Where the summary goes.
    pub told: Told,
    /// What targets do that do not just succeed, by their number.
    pub behaviours: Vec<(usize, Behaviour)>,
    /// Where the four engines begin, counted from the first target; `None` if all targets start a pipeline.
    pub engines: Option<usize>,
    /// The releases.
    pub releases: Vec<Release>,
    /// What goes wrong.
    pub faults: Faults,
}

impl Scenario {
    /// The scenario of a seed.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        tree(seed).current()
    }

    /// Its fleet file.
    #[must_use]
    pub fn fleet(&self) -> String {
        let mut yaml = String::from(
            "version: 1\nhub: { account: \"111122223333\", region: us-east-1 }\ndefaults:\n  role: ManifoldTarget\n",
        );
        yaml.push_str(match self.told {
            Told::Bot => "  slack: { channel: C0123456789, token: { secrets_manager: manifold/slack } }\n",
            Told::Webhook => "  slack: { webhook: { ssm: /manifold/webhook } }\n",
            Told::Nobody => "  slack: silent\n",
        });
        yaml.push_str("operators:\n  alice: { iam: \"arn:*/alice\" }\nregions:\n");
        for region in &REGIONS[..self.regions] {
            writeln!(yaml, "  {region}: {{}}").expect("a string takes text");
        }
        yaml.push_str("accounts:\n");
        for (name, id) in &ACCOUNTS[..self.accounts] {
            writeln!(yaml, "  {name}: {{ id: \"{id}\" }}").expect("a string takes text");
        }
        yaml.push_str(
            "apps:\n  web:\n    release: { pipelines: web-release }\n    engine: { codepipeline: { name: svc-deploy, \
             source_action: Source } }\n",
        );
        if let Some(first) = self.engines {
            yaml.push_str("    engines:\n");
            for (a, (name, _)) in ACCOUNTS[..self.accounts].iter().enumerate() {
                for (r, region) in REGIONS[..self.regions].iter().enumerate() {
                    let engine = ENGINES[(a * REGIONS.len() + r + first) % ENGINES.len()];
                    writeln!(yaml, "      - {{ select: {{ accounts: {name}, regions: {region} }}, engine: {engine} }}")
                        .expect("a string takes text");
                }
            }
        }
        yaml.push_str("    waves:\n");
        let limits = |size: usize| {
            let size = u32::try_from(size).unwrap_or(u32::MAX);
            let (concurrent, tolerance) = (self.max_concurrent.clamp(1, size), self.failure_tolerance.min(size));
            let Control { strict, per_account, bake, .. } = &self.control;
            let mut limits = format!("max_concurrent: {concurrent}, failure_tolerance: {tolerance}, strict: {strict}");
            if let Some(most) = per_account {
                write!(limits, ", max_per_account: {most}").expect("a string takes text");
            }
            match bake {
                Some((minutes, false)) => write!(limits, ", bake: {minutes}m"),
                Some((minutes, true)) => write!(limits, ", bake: {{ time: {minutes}m, alarms: [errors] }}"),
                None => Ok(()),
            }
            .expect("a string takes text");
            limits
        };
        let approval = self.control.approval.map_or_else(String::new, |newer| {
            format!(", approval: {{ by: alice, valid_for: 1h, newer_release: {newer} }}")
        });
        if self.wave_per_account {
            for (number, (name, _)) in ACCOUNTS[..self.accounts].iter().enumerate() {
                let limits = limits(self.regions);
                let approval = if number + 1 == self.accounts { approval.as_str() } else { "" };
                writeln!(yaml, "      - {{ name: {name}, select: {{ accounts: {name} }}, {limits}{approval} }}")
                    .expect("a string takes text");
            }
        } else {
            let limits = limits(self.regions * self.accounts);
            writeln!(yaml, "      - {{ name: all, {limits}{approval} }}").expect("a string takes text");
        }
        writeln!(yaml, "    max_attempts: {}\n    deadline: {}m", self.max_attempts, self.deadline)
            .expect("a string takes text");
        let Control { newer, on_failure, changed_only, .. } = &self.control;
        writeln!(yaml, "    newer_release: {newer}\n    on_failure: {on_failure}\n    changed_only: {changed_only}")
            .expect("a string takes text");
        yaml
    }

    /// The event of a release.
    #[must_use]
    pub fn event(&self, number: usize) -> String {
        let at = FIRST_RELEASE + self.releases[number].after.as_millis() / 1000 - self.releases[number].age;
        let released_at = manifold_core::time::Timestamp::from_millis(at * 1000);
        json!({
            "version": "0",
            "id": format!("release-{number}"),
            "detail-type": "CodePipeline Pipeline Execution State Change",
            "source": "aws.codepipeline",
            "account": "111122223333",
            "time": released_at.to_string(),
            "region": "us-east-1",
            "resources": [],
            "detail": {
                "pipeline": "web-release",
                "execution-id": execution(number),
                "execution-trigger": {
                    "commit-id": commit(number),
                    "commit-message": HOSTILE,
                    "author-display-name": HOSTILE,
                    "full-repository-name": "example-org/web",
                    "provider-type": "GitHub",
                },
                "state": "SUCCEEDED",
                "version": 7.0,
                "pipeline-execution-attempt": 1.0,
            },
        })
        .to_string()
    }

    /// The run of a release.
    fn run(&self, release: usize) -> RunId {
        let target = TargetKey {
            account: "111122223333".parse().expect("an account"),
            region: "us-east-1".parse().expect("a Region"),
        };
        let id = execution(release % self.releases.len()).parse().expect("an execution");
        RunId::derive(&"web".parse().expect("an app"), &ExecutionRef { target, id })
    }

    /// What an operator's decision is sent as.
    fn message(&self, number: usize, press: &Press) -> (Inbox, Payload) {
        let run = self.run(press.release);
        let wave = if self.wave_per_account { ACCOUNTS[self.accounts - 1].0 } else { "all" }.to_owned();
        let at = Timestamp::from_millis(FIRST_RELEASE * 1000).plus(press.after);
        let id = format!("press-{number}").parse().expect("a nonce");
        let who = Who { via: Via::Cli, id: "arn:aws:sts::111122223333:assumed-role/Ops/alice".to_owned(), name: None };
        let order = |what: Order| {
            let command = Command {
                id: format!("press-{number}").parse().expect("a nonce"),
                at,
                who: who.clone(),
                why: None,
                what,
            };
            (Inbox::Collect, Payload::Command { run: run.clone(), command: Box::new(command) })
        };
        let request = |what: Request| {
            let request = Command { id, at, who: who.clone(), why: None, what };
            (Inbox::Dispatch, Payload::Open { request: Box::new(request) })
        };
        match press.what {
            Pressed::Approve => order(Order::Approve { wave }),
            Pressed::Reject => order(Order::Reject { wave }),
            Pressed::Pause => order(Order::Pause),
            Pressed::Resume => order(Order::Resume),
            Pressed::Abort => order(Order::Abort { stop: false }),
            Pressed::Stop => order(Order::Abort { stop: true }),
            Pressed::Retry => request(Request::Retry { of: run.clone(), which: Which::Failed }),
            Pressed::Rollback => request(Request::Rollback { of: run.clone(), which: Which::All }),
        }
    }

    /// Sets the scenario up; nothing has happened yet.
    ///
    /// # Panics
    /// The fleet file has a problem: a fault of this module.
    #[must_use]
    pub fn begin(&self) -> Simulation {
        let yaml = self.fleet();
        let fleet = match Fleet::parse("fleet.yaml", &yaml) {
            Ok(fleet) => fleet,
            Err(problems) => panic!("{problems:?} in\n{yaml}"),
        };
        let targets = self.accounts * self.regions;
        let chosen = self.behaviours.iter().map(|(number, behaviour)| {
            let target = number % targets;
            manifold_local::behaviour::Chosen {
                account: ACCOUNTS[target % self.accounts].0.to_owned(),
                region: REGIONS[target / self.accounts].to_owned(),
                behaviour: behaviour.clone(),
            }
        });
        let setup = Setup {
            fleet,
            event: self.event(0),
            chosen: chosen.collect(),
            seed: self.seed,
            faults: self.faults.clone(),
        };
        let simulation = Simulation::new(setup).expect("the scenario's event opens a run");
        if let Some(number) = self.control.firing {
            let target = number % targets;
            let key = TargetKey {
                account: ACCOUNTS[target % self.accounts].1.parse().expect("an account"),
                region: REGIONS[target / self.accounts].parse().expect("a Region"),
            };
            simulation.world().set_alarm(&key, "errors", true);
        }
        for (number, press) in self.presses.iter().enumerate() {
            let (inbox, payload) = self.message(number, press);
            let body = Message::new(payload).encode().expect("a message");
            simulation.world().deliver(inbox, body, press.after);
        }
        for number in 1..self.releases.len() {
            simulation.release(self.event(number), self.releases[number].after).expect("a release event");
        }
        simulation
    }
}

/// The source execution of a release.
fn execution(number: usize) -> String {
    format!("{number:08}-7d52-4d5e-9f0b-5a1f7c2b9e01")
}

/// The commit of a release.
#[must_use]
pub fn commit(number: usize) -> String {
    format!("{number:040x}")
}

/// What a seed begins with, before it is shrunk.
#[must_use]
pub fn tree(seed: u64) -> impl ValueTree<Value = Scenario> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), random);
    scenarios(seed).new_tree(&mut runner).expect("no scenario is rejected")
}

fn scenarios(seed: u64) -> impl Strategy<Value = Scenario> {
    let shape = (1..=2_usize, 1..=3_usize, any::<bool>(), 1..=4_u32, 0..=2_u32, 1..=3_u32, 20..=50_i64);
    let told = prop_oneof![4 => Just(Told::Bot), 1 => Just(Told::Webhook), 1 => Just(Told::Nobody)];
    let behaviours = prop::collection::vec((0..6_usize, behaviour()), 0..=3);
    let release = (0..2_400_i64, prop_oneof![3 => Just(0), 1 => -600..1_800_i64]);
    let release = release.prop_map(|(after, age)| Release { after: Span::from_seconds(after), age });
    let first = Just(Release { after: Span::from_seconds(0), age: 0 });
    let later =
        prop_oneof![3 => prop::collection::vec(release.clone(), 0..=0), 2 => prop::collection::vec(release, 1..=2)];
    let releases = (first, later).prop_map(|(first, later)| [vec![first], later].concat());
    let engines = prop_oneof![1 => Just(None), 1 => (0..ENGINES.len()).prop_map(Some)];
    let parts = (shape, told, behaviours, releases, faults(), control(), presses(), engines);
    parts.prop_map(move |(shape, told, behaviours, releases, faults, control, presses, engines)| {
        let (accounts, regions, wave_per_account, max_concurrent, failure_tolerance, max_attempts, deadline) = shape;
        Scenario {
            seed,
            accounts,
            regions,
            wave_per_account,
            max_concurrent,
            failure_tolerance,
            max_attempts,
            deadline,
            control,
            presses,
            told,
            behaviours,
            engines,
            releases,
            faults,
        }
    })
}

fn control() -> impl Strategy<Value = Control> {
    let newer = prop_oneof![3 => Just("queue"), 1 => Just("supersede"), 1 => Just("refuse")];
    let on_failure = prop_oneof![
        3 => Just("halt"), 1 => Just("continue"), 1 => Just("roll_back_wave"), 1 => Just("roll_back_run"),
    ];
    let rarely = || prop_oneof![3 => Just(false), 1 => Just(true)];
    let per_account = prop_oneof![3 => Just(None), 1 => (1..=2_u32).prop_map(Some)];
    let approval = prop_oneof![3 => Just(None), 1 => select(vec!["repoint", "expire", "keep"]).prop_map(Some)];
    let bake = prop_oneof![3 => Just(None), 1 => (1..=30_i64, any::<bool>()).prop_map(Some)];
    let firing = prop_oneof![3 => Just(None), 1 => (0..6_usize).prop_map(Some)];
    let control = (newer, on_failure, rarely(), rarely(), per_account, approval, bake, firing);
    control.prop_map(|(newer, on_failure, strict, changed_only, per_account, approval, bake, firing)| Control {
        newer,
        on_failure,
        strict,
        changed_only,
        per_account,
        approval,
        bake,
        firing,
    })
}

/// Some decisions, perhaps the same twice; a pause is ended in the end, or nobody would wait for that story.
fn presses() -> impl Strategy<Value = Vec<Press>> {
    let what = select(vec![
        Pressed::Approve,
        Pressed::Approve,
        Pressed::Reject,
        Pressed::Pause,
        Pressed::Resume,
        Pressed::Abort,
        Pressed::Stop,
        Pressed::Retry,
        Pressed::Rollback,
    ]);
    let press = (0..7_200_i64, 0..3_usize, what);
    let press = press.prop_map(|(after, release, what)| Press { after: Span::from_seconds(after), release, what });
    prop_oneof![2 => Just(Vec::new()), 1 => prop::collection::vec(press, 1..=5)].prop_map(|mut presses| {
        let paused: Vec<usize> =
            presses.iter().filter(|press| press.what == Pressed::Pause).map(|press| press.release).collect();
        for release in paused {
            presses.push(Press { after: Span::from_minutes(240), release, what: Pressed::Resume });
        }
        presses
    })
}

fn behaviour() -> impl Strategy<Value = Behaviour> {
    select(vec![
        Behaviour::Fails("JobFailed".to_owned()),
        Behaviour::FailsThenRetried,
        Behaviour::RetriedLate,
        Behaviour::RetriedInVain,
        Behaviour::FailsOnce,
        Behaviour::Superseded,
        Behaviour::Canceled,
        Behaviour::Stopped,
        Behaviour::Silent,
        Behaviour::AccessDenied,
        Behaviour::PipelineNotFound,
        Behaviour::Throttled,
        Behaviour::UnknownState,
        Behaviour::Current,
        Behaviour::Replaces,
    ])
}

fn faults() -> impl Strategy<Value = Faults> {
    let share = || prop_oneof![6 => Just(0.0), 2 => Just(0.3), 1 => Just(1.0)];
    let disorder = prop_oneof![4 => Just(0), 2 => Just(20), 1 => Just(300), 1 => Just(2_400_i64)];
    let messages_lost = prop_oneof![8 => Just(0.0), 1 => Just(0.3)];
    let lasting = (share(), share(), disorder, any::<bool>(), any::<bool>(), messages_lost);
    let limit = prop_oneof![3 => Just(None), 1 => Just(Some(1))];
    let handed = (1..=2_usize, prop_oneof![Just(1_usize), Just(3), Just(10)], prop_oneof![Just(0), 1..=10_i64], limit);
    (lasting, handed, mishaps()).prop_map(|(lasting, handed, mishaps)| {
        let (lost, duplicates, disorder, tokens_forgotten, started_untold, messages_lost) = lasting;
        let (sweeps, largest_batch, skew, calls_per_second) = handed;
        Faults {
            duplicates,
            disorder: Span::from_seconds(disorder),
            tokens_forgotten,
            lost,
            sweeps: Some(sweeps),
            messages_lost,
            started_untold,
            largest_batch: Some(largest_batch),
            skew: Span::from_seconds(skew),
            limits: Limits { everywhere: calls_per_second, ..Limits::default() },
            mishaps,
        }
    })
}

fn mishaps() -> impl Strategy<Value = Vec<Mishap>> {
    let harms = |(name, harms): &(&'static str, &'static [Harm])| {
        let name = *name;
        harms.iter().map(move |harm| (name, *harm)).collect::<Vec<_>>()
    };
    let points: Vec<(&'static str, Harm)> = POINTS.iter().flat_map(harms).collect();
    let places: Vec<(&'static str, Harm)> = POINTS.iter().chain(DELIVERIES).flat_map(harms).collect();
    // Most of what matters happens early; what happens rarely happens a few times at all.
    let nth = prop_oneof![3 => 0..6_u64, 2 => 0..30_u64, 1 => 0..120_u64];
    let named = (select(places), nth).prop_map(|((name, harm), nth)| Mishap { at: At::Named(name, nth), harm });
    // And what only a late stage of a run can meet would hardly ever be hit by counting.
    let in_stage = (select(points), select(Stage::ALL.to_vec()), 0..3_u64);
    let in_stage = in_stage.prop_map(|((name, harm), stage, nth)| Mishap { at: At::InStage(name, stage, nth), harm });
    prop::collection::vec(prop_oneof![1 => named, 1 => in_stage], 0..=16)
}

impl Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, accounts, regions, max_concurrent, failure_tolerance, max_attempts, deadline, .. } = self;
        writeln!(f, "  seed       {seed}")?;
        let waves = if self.wave_per_account { "a wave for each account" } else { "one wave" };
        writeln!(f, "  fleet      {accounts} accounts × {regions} Regions, {waves}, told to {:?}", self.told)?;
        writeln!(
            f,
            "  policy     {max_concurrent} at once, {failure_tolerance} tolerated, {max_attempts} attempts, {deadline} min"
        )?;
        let Control { newer, on_failure, strict, changed_only, per_account, approval, bake, firing } = &self.control;
        writeln!(f, "             a newer release: {newer}; a failure: {on_failure}")?;
        if *strict {
            writeln!(f, "             strict tolerance")?;
        }
        if *changed_only {
            writeln!(f, "             changed only")?;
        }
        if let Some(most) = per_account {
            writeln!(f, "             {most} of an account at once")?;
        }
        if let Some(newer) = approval {
            writeln!(f, "             approval of the last wave, which a newer release has {newer}")?;
        }
        if let Some((minutes, alarms)) = bake {
            writeln!(f, "             bakes {minutes} min{}", if *alarms { ", with an alarm" } else { "" })?;
        }
        if let Some(target) = firing {
            writeln!(f, "             the alarm of target {target} fires")?;
        }
        for Press { after, release, what } in &self.presses {
            writeln!(f, "  operator   {what:?} release {release} after {after}")?;
        }
        if let Some(first) = self.engines {
            writeln!(f, "  engines    all four, from {first} on")?;
        }
        for (number, behaviour) in &self.behaviours {
            writeln!(f, "  target {number}   {behaviour:?}")?;
        }
        for Release { after, age } in &self.releases {
            writeln!(f, "  release    after {after}, {age} s old")?;
        }
        let Faults {
            duplicates,
            disorder,
            tokens_forgotten,
            lost,
            sweeps,
            messages_lost,
            started_untold,
            largest_batch,
            skew,
            limits,
            mishaps,
        } = &self.faults;
        let (sweeps, batch) = (sweeps.unwrap_or(1), largest_batch.unwrap_or(10));
        writeln!(
            f,
            "  weather    {duplicates} doubled, {lost} lost, {messages_lost} of the messages, late by {disorder}"
        )?;
        writeln!(f, "             {sweeps} sweeps at once, batches of {batch}, clocks off by {skew}")?;
        if let Some(limit) = limits.everywhere {
            writeln!(f, "             {limit} call a second of each API in each account and Region")?;
        }
        if *tokens_forgotten {
            writeln!(f, "             the engine forgets its tokens")?;
        }
        if *started_untold {
            writeln!(f, "             no STARTED event arrives")?;
        }
        for mishap in mishaps {
            writeln!(f, "  mishap     {mishap}")?;
        }
        Ok(())
    }
}
