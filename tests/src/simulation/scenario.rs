//! A scenario: everything that makes a story what it is, as data. Drawn from a seed, shrunk when it goes wrong, and told.

use std::fmt::{self, Display, Write};

use manifold_core::time::Span;
use manifold_fleet::Fleet;
use manifold_local::behaviour::Behaviour;
use manifold_local::faults::{At, DELIVERIES, Faults, Harm, Mishap, POINTS, Stage};
use manifold_local::limits::Limits;
use manifold_local::simulation::{Setup, Simulation};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::json;

const ACCOUNTS: [(&str, &str); 2] = [("dev", "444455556666"), ("prod", "777788889999")];
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
    /// Where the summary goes.
    pub told: Told,
    /// What targets do that do not just succeed, by their number.
    pub behaviours: Vec<(usize, Behaviour)>,
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
        yaml.push_str("regions:\n");
        for region in &REGIONS[..self.regions] {
            writeln!(yaml, "  {region}: {{}}").expect("a string takes text");
        }
        yaml.push_str("accounts:\n");
        for (name, id) in &ACCOUNTS[..self.accounts] {
            writeln!(yaml, "  {name}: {{ id: \"{id}\" }}").expect("a string takes text");
        }
        yaml.push_str(
            "apps:\n  web:\n    release: { pipelines: web-release }\n    engine: { codepipeline: { name: svc-deploy, \
             source_action: Source } }\n    waves:\n",
        );
        let limits = |size: usize| {
            let size = u32::try_from(size).unwrap_or(u32::MAX);
            let (concurrent, tolerance) = (self.max_concurrent.clamp(1, size), self.failure_tolerance.min(size));
            format!("max_concurrent: {concurrent}, failure_tolerance: {tolerance}")
        };
        if self.wave_per_account {
            for (name, _) in &ACCOUNTS[..self.accounts] {
                let limits = limits(self.regions);
                writeln!(yaml, "      - {{ name: {name}, select: {{ accounts: {name} }}, {limits} }}")
                    .expect("a string takes text");
            }
        } else {
            let limits = limits(self.regions * self.accounts);
            writeln!(yaml, "      - {{ name: all, {limits} }}").expect("a string takes text");
        }
        writeln!(yaml, "    max_attempts: {}\n    deadline: {}m", self.max_attempts, self.deadline)
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
                "execution-id": format!("{number:08}-7d52-4d5e-9f0b-5a1f7c2b9e01"),
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
        for number in 1..self.releases.len() {
            simulation.release(self.event(number), self.releases[number].after).expect("a release event");
        }
        simulation
    }
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
    (shape, told, behaviours, releases, faults()).prop_map(move |(shape, told, behaviours, releases, faults)| {
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
            told,
            behaviours,
            releases,
            faults,
        }
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
