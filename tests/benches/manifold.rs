//! Benchmarks: `cargo bench -p manifold-tests`, or, without building the AWS SDK,
//! `cargo bench -p manifold-tests --no-default-features`.
//!
//! What counts are the ratios at the end, which do not depend on the machine: a thousand times the targets must cost
//! a thousand times the time, not a million times. What a run costs in API calls is the test `api_calls`.

#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark measures, prints, and fails by panicking"
)]

use std::fmt::Write;
use std::hint::black_box;
use std::time::{Duration, Instant};

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use manifold_core::event::PipelineState;
use manifold_core::ids::{Attempt, ExecutionRef, RunId, TargetKey};
use manifold_core::plan::Plan;
use manifold_core::release::{Release, Revision, Trigger};
use manifold_core::run::sweep::{Look, OpenRun, View};
use manifold_core::run::{AppQueue, Event, Head, Learnt, Observation, Observed, Run, Target, Verdict, Wanted};
use manifold_core::summary::{Summary, slack};
use manifold_core::time::{Span, Timestamp};
use manifold_fleet::{App, Fleet};
use manifold_tests::{COMMIT, Story};

const REGIONS: [&str; 20] = [
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
    "ca-central-1",
    "sa-east-1",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "eu-central-1",
    "eu-central-2",
    "eu-north-1",
    "eu-south-1",
    "ap-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "af-south-1",
];

/// Events come in batches of this many.
const BATCH: usize = 10;

fn main() {
    divan::main();
    if std::env::args().all(|argument| argument != "--test" && argument != "--list") {
        ratios();
    }
}

/// A fleet of so many targets: all Regions from 20 targets on.
fn yaml(targets: usize) -> String {
    let regions = targets.min(REGIONS.len());
    let accounts = targets / regions;
    let mut yaml = String::from(
        "version: 1\nhub:\n  account: \"111122223333\"\n  region: us-east-1\ndefaults:\n  role: ManifoldTarget\n  \
         external_id: rollouts-7f3a\n  variables: { LOG_LEVEL: info }\n  \
         slack: { channel: C0123456789, token: { secrets_manager: manifold/slack } }\nregions:\n",
    );
    for region in &REGIONS[..regions] {
        writeln!(yaml, "  {region}: {{}}").expect("a string takes text");
    }
    yaml.push_str("accounts:\n");
    for account in 0..accounts {
        let stage = if account % 2 == 0 { "dev" } else { "prod" };
        writeln!(
            yaml,
            "  team-{account:03}:\n    id: \"{}\"\n    tags: {{ stage: {stage} }}\n    variables: {{ LOG_LEVEL: debug }}",
            200_000_000_000_u64 + account as u64
        )
        .expect("a string takes text");
    }
    write!(
        yaml,
        "apps:\n  web:\n    release:\n      pipelines: web-release\n    engine:\n      codepipeline: {{ name: svc-deploy, \
         source_action: Source }}\n    parameters:\n      LOG_LEVEL: {{ choices: [debug, info] }}\n      COMMIT: {{ value: \
         \"{{{{ release.revision }}}}\" }}\n      STAGE: {{ value: \"{{{{ account.tags.stage }}}}\" }}\n      ARTIFACTS: {{ \
         default: \"web-{{{{ account.id }}}}-{{{{ region }}}}\" }}\n    waves:\n      - name: all\n        \
         max_concurrent: {targets}\n    deadline: 2h\n"
    )
    .expect("a string takes text");
    yaml
}

fn fleet(targets: usize) -> Fleet {
    let fleet = Fleet::parse("fleet.yaml", &yaml(targets)).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(app(&fleet).targets().len(), targets);
    fleet
}

fn app(fleet: &Fleet) -> &App {
    fleet.app("web").expect("the fleet's app")
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(1_792_000_000_000).plus(Span::from_seconds(seconds))
}

fn release() -> Release {
    let target = TargetKey {
        account: "111122223333".parse().expect("an account"),
        region: "us-east-1".parse().expect("a Region"),
    };
    let id = "3f8c1f0a-7d52-4d5e-9f0b-5a1f7c2b9e01".parse().expect("an execution");
    Release {
        source: ExecutionRef { target, id },
        pipeline: "web-release".parse().expect("a pipeline"),
        revision: Some(Revision {
            id: COMMIT.to_owned(),
            action: "Source".to_owned(),
            message: Some("Fix the basket".to_owned()),
            url: None,
            author: Some("Mary Major".to_owned()),
            repository: Some("example-org/web".to_owned()),
            reference: Some("main".to_owned()),
            authored_at: None,
        }),
        trigger: Trigger::default(),
        released_at: at(0),
        started_at: None,
        stages: Vec::new(),
    }
}

/// A run as the ledger holds it, and its plan.
#[derive(Clone)]
struct Stored {
    head: Head,
    queue: AppQueue,
    targets: Vec<Target>,
    plan: Plan,
}

/// Every target has been started, and none has told anything.
fn started(targets: usize) -> Stored {
    let (fleet, release) = (fleet(targets), release());
    let app = app(&fleet);
    let run = RunId::derive(app.name(), &release.source);
    let plan = app.plan(&run, &release).expect("a plan");
    let opened =
        Run::open(Wanted::release(run, app.name().clone(), release, &plan), AppQueue::default(), at(1)).run.finish();
    let (mut head, mut queue) = (opened.head.expect("a head"), opened.queue.expect("a queue"));
    let mut started = Vec::with_capacity(targets);
    for planned in &plan.targets {
        let execution = format!("e-{}", planned.index).parse().expect("an execution");
        let (nonce, target) = ("n".parse().expect("a nonce"), planned.key.clone());
        let (planned, lease) = (Box::new(planned.clone()), Span::from_seconds(120));
        let claim = Event::Claim { planned, attempt: Attempt::FIRST, nonce, lease };
        let (run, _) = Run::load(head.clone(), queue.clone(), []).step(claim, at(2));
        let (run, _) = run.step(Event::Started { target, attempt: Attempt::FIRST, execution }, at(3));
        let step = run.finish();
        head = step.head.unwrap_or(head);
        queue = step.queue.unwrap_or(queue);
        started.extend(step.targets);
    }
    Stored { head, queue, targets: started, plan }
}

/// One end of each target: one in seven fails.
fn observations(stored: &Stored) -> Vec<Event> {
    let observation = |target: &Target| Observation {
        target: target.key.clone(),
        subject: target.subject.clone(),
        execution: target.execution.clone().expect("a started target"),
        at: at(60),
        started_by: None,
        learnt: Learnt::ByEvent,
        what: Observed::State {
            state: if target.index.is_multiple_of(7) { PipelineState::Failed } else { PipelineState::Succeeded },
            attempt: Some(1),
            comments: None,
            reason: None,
        },
    };
    stored.targets.iter().map(|target| Event::Observed(Box::new(observation(target)))).collect()
}

/// Folds every observation in, a batch at a time, as `collect` does between a load and a commit.
fn fold(mut stored: Stored, observations: Vec<Event>) -> Stored {
    let mut observations = observations.into_iter();
    for first in (0..stored.targets.len()).step_by(BATCH) {
        let end = (first + BATCH).min(stored.targets.len());
        let mut run = Run::load(stored.head.clone(), stored.queue.clone(), stored.targets[first..end].iter().cloned());
        for observation in observations.by_ref().take(BATCH) {
            (run, _) = run.step(observation, at(61));
        }
        let step = run.finish();
        stored.head = step.head.unwrap_or(stored.head);
        stored.queue = step.queue.unwrap_or(stored.queue);
        for target in step.targets {
            let index = target.index as usize;
            stored.targets[index] = target;
        }
        black_box(step.effects);
    }
    stored
}

fn ended(targets: usize) -> Stored {
    let stored = started(targets);
    let observations = observations(&stored);
    let ended = fold(stored, observations);
    assert!(matches!(ended.head.verdict(), Some(Verdict::Failed)), "{:?}", ended.head.verdict());
    ended
}

fn summary(stored: &Stored) -> Summary {
    Summary::of(&stored.head, &stored.plan.targets, &stored.targets)
}

#[divan::bench(args = [10, 10_000])]
fn core_steps(bencher: Bencher<'_, '_>, targets: usize) {
    let stored = started(targets);
    let observations = observations(&stored);
    bencher
        .counter(ItemsCount::new(targets))
        .with_inputs(|| (stored.clone(), observations.clone()))
        .bench_values(|(stored, observations)| fold(stored, observations));
}

#[divan::bench(args = [20, 10_000])]
fn fleet_parse(bencher: Bencher<'_, '_>, targets: usize) {
    let text = yaml(targets);
    bencher
        .counter(ItemsCount::new(targets))
        .counter(BytesCount::of_str(&text))
        .bench(|| Fleet::parse("fleet.yaml", black_box(&text)).expect("a fleet"));
}

#[divan::bench(args = [20, 10_000])]
fn plan(bencher: Bencher<'_, '_>, targets: usize) {
    let (fleet, release) = (fleet(targets), release());
    let run = RunId::derive(app(&fleet).name(), &release.source);
    bencher.counter(ItemsCount::new(targets)).bench(|| app(&fleet).plan(&run, black_box(&release)).expect("a plan"));
}

#[divan::bench(args = [10, 10_000])]
fn summary_and_slack_payload(bencher: Bencher<'_, '_>, targets: usize) {
    let stored = ended(targets);
    bencher.counter(ItemsCount::new(targets)).bench(|| {
        let summary = summary(black_box(&stored));
        (slack::message(&summary), slack::thread(&summary))
    });
}

/// What a tick of the sweep decides about a run whose every execution is silent: all of its pages, without what reading
/// them costs.
fn sweep(stored: &Stored) -> usize {
    let Stored { head, queue, targets, plan } = stored;
    let view = View { head, version: 1, queue, posting: None };
    let Look::Open { mut open, messages } = OpenRun::new(head.run.clone()).look(view, at(400)) else { return 0 };
    let mut said = messages.len();
    while let Some((first, end)) = open.next_page(head) {
        let page = first as usize..end as usize;
        said += open.look_at(head, end, &plan.targets[page.clone()], &targets[page]).len();
    }
    said
}

#[divan::bench(args = [10, 10_000])]
fn sweep_of_open_targets(bencher: Bencher<'_, '_>, targets: usize) {
    let stored = started(targets);
    assert!(sweep(&stored) >= targets / 10, "every target is asked for, ten with a message");
    bencher.counter(ItemsCount::new(targets)).bench(|| sweep(black_box(&stored)));
}

#[divan::bench]
fn embedded_run_of_ten_targets() -> Option<Verdict> {
    Story::new().tell().verdict()
}

/// The shortest of several tries: what the machine can do when nobody else is on it.
fn best<T>(tries: u32, mut work: impl FnMut() -> T) -> Duration {
    let once = |_| {
        let begun = Instant::now();
        black_box(work());
        begun.elapsed()
    };
    (0..tries).map(once).min().unwrap_or_default()
}

/// The time a target, in nanoseconds.
fn each(time: Duration, targets: usize) -> f64 {
    time.as_secs_f64() * 1e9 / targets as f64
}

fn ratios() {
    let row = |what: &str, small: (usize, Duration), large: (usize, Duration)| {
        let (one, other) = (each(small.1, small.0), each(large.1, large.0));
        println!(
            "{what:<28} {:>6} targets: {one:>9.0} ns each   {:>6} targets: {other:>9.0} ns each   ratio {:>5.2}   {:>8.2} ms whole",
            small.0,
            large.0,
            other / one,
            large.1.as_secs_f64() * 1e3
        );
    };
    println!("\nscaling (a ratio near 1 or below is linear)");
    let steps = |targets: usize, tries: u32| {
        let stored = started(targets);
        let observations = observations(&stored);
        // What is given to each try is made outside of its time.
        let mut inputs: Vec<_> = (0..tries).map(|_| (stored.clone(), observations.clone())).collect();
        (targets, best(tries, || inputs.pop().map(|(stored, observations)| fold(stored, observations))))
    };
    let (small, large) = (steps(10, 2_000), steps(10_000, 20));
    row("core steps", small, large);
    let parse = |targets: usize, tries: u32| {
        let text = yaml(targets);
        (targets, best(tries, || Fleet::parse("fleet.yaml", &text).expect("a fleet")))
    };
    let parsed = parse(10_000, 20);
    row("fleet parse", parse(20, 200), parsed);
    let planned = |targets: usize, tries: u32| {
        let (fleet, release) = (fleet(targets), release());
        let run = RunId::derive(app(&fleet).name(), &release.source);
        (targets, best(tries, || app(&fleet).plan(&run, &release).expect("a plan")))
    };
    row("plan", planned(20, 200), planned(10_000, 20));
    let summed = |targets: usize, tries: u32| {
        let stored = ended(targets);
        let work = || {
            let summary = summary(&stored);
            (slack::message(&summary), slack::thread(&summary))
        };
        (targets, best(tries, work))
    };
    row("summary and Slack payload", summed(10, 200), summed(10_000, 20));
    let swept = |targets: usize, tries: u32| {
        let stored = started(targets);
        (targets, best(tries, || sweep(&stored)))
    };
    row("sweep, all silent", swept(10, 2_000), swept(10_000, 20));
    println!("\ncore: {:.0} steps/s with 10,000 targets", 10_000.0 / large.1.as_secs_f64());
    let text = yaml(10_000);
    let lines = best(50, || text.lines().map(|line| line.trim_start().len()).sum::<usize>());
    println!(
        "fleet of 10,000 targets: {} bytes, {} lines; parsing it takes {:.0} × as long as splitting it into lines",
        text.len(),
        text.lines().count(),
        parsed.1.as_secs_f64() / lines.as_secs_f64()
    );
    let embedded = best(20, || Story::new().tell().verdict());
    println!("embedded run of 10 targets, end to end: {:.2} ms", embedded.as_secs_f64() * 1e3);
}
