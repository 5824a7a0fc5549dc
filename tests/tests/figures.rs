//! What is measured while releases go out, and what the ledger says of them later: the real handlers over the embedded run.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use manifold_core::figures::history::{History, Share, Stored};
use manifold_core::run::Verdict;
use manifold_core::time::{Span, Timestamp};
use manifold_fleet::Fleet;
use manifold_local::behaviour::Chosen;
use manifold_local::faults::Faults;
use manifold_local::simulation::{Setup, Simulation};
use manifold_ports::batch::METRIC;
use manifold_tests::stored::SMALL_FLEET;
use serde_json::json;
use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber, span};

/// Metrics as they are logged: name, and every value in the order in which it was.
type Measured = BTreeMap<String, Vec<f64>>;

/// Keeps the lines that become metrics.
#[derive(Clone, Default)]
struct Meter(Arc<Mutex<Measured>>);

#[derive(Default)]
struct Line {
    metric: String,
    value: f64,
    app: String,
}

impl Visit for Line {
    fn record_f64(&mut self, field: &Field, value: f64) {
        if field.name() == "value" {
            self.value = value;
        }
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "metric" {
            self.metric = value.to_owned();
        }
    }
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "App" {
            self.app = format!("{value:?}");
        }
    }
}

impl Subscriber for Meter {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == METRIC
    }
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        // A function's own counters are of no app.
        if line.app == "web" {
            self.0.lock().unwrap().entry(line.metric).or_default().push(line.value);
        }
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

fn begins() -> Timestamp {
    Timestamp::parse_rfc3339("2026-10-26T09:00:00Z").unwrap()
}

fn minutes(minutes: i64) -> Timestamp {
    Timestamp::from_millis(begins().as_millis() + minutes * 60_000)
}

/// A release at a minute: its pipeline took five of them, and its commit is of twenty before.
fn release(nth: u32, minute: i64) -> String {
    let event = json!({
        "source": "aws.codepipeline", "detail-type": "CodePipeline Pipeline Execution State Change",
        "account": "111122223333", "region": "us-east-1", "time": minutes(minute).to_string(),
        "detail": {
            "pipeline": "web-release", "execution-id": format!("00000000-0000-4000-8000-{nth:012}"), "state": "SUCCEEDED",
            "start-time": minutes(minute - 5).to_string(),
            "execution-trigger": {
                "commit-id": format!("{nth:040}"), "author-date": minutes(minute - 20).to_string(),
            },
        },
    });
    event.to_string()
}

/// A release that goes out, one that fails in a wave that tolerates nothing, and its repair.
fn tell(faults: Faults, seed: u64) -> (Measured, History, Vec<Verdict>) {
    let meter = Meter::default();
    let simulation = tracing::subscriber::with_default(meter.clone(), || {
        let fleet = Fleet::parse("fleet.yaml", SMALL_FLEET).unwrap();
        let dev = fleet.app("web").unwrap().targets()[0].key().clone();
        let setup = Setup { fleet, event: release(1, 0), chosen: Vec::new(), seed, faults };
        let mut simulation = Simulation::new(setup).unwrap();
        for (nth, minute, behaviour) in [(2, 300, "JobFailed"), (3, 420, "Succeeded")] {
            simulation.pass_until(minutes(minute)).unwrap();
            let chosen: Chosen = format!("dev/{}={behaviour}", dev.region).parse().unwrap();
            simulation.world().set_behaviour(dev.clone(), chosen.behaviour);
            simulation.release(release(nth, minute), Span::from_millis(0)).unwrap();
        }
        simulation.run().unwrap();
        simulation
    });
    let world = simulation.world();
    let stored: Vec<Stored> = (world.runs().into_iter())
        .map(|run| Stored { head: world.head(&run).unwrap(), targets: world.targets_of(&run) })
        .collect();
    let mut stored = stored;
    stored.sort_by_key(|run| run.head.opened_at);
    let verdicts = stored.iter().filter_map(|run| run.head.verdict()).collect();
    let history = History::of("web".parse().unwrap(), begins(), world.time(), &stored);
    let measured = meter.0.lock().unwrap().clone();
    (measured, history, verdicts)
}

/// What must be measured, whatever happens to messages: everything once.
fn check(measured: &Measured, history: &History) {
    let values = |name: &str| measured.get(name).cloned().unwrap_or_default();
    let sum = |name: &str| values(name).iter().sum::<f64>();
    assert_eq!((values("Deployments").len(), sum("Deployments")), (3, 3.0), "{measured:?}");
    assert_eq!((values("FailedDeployments").len(), sum("FailedDeployments")), (3, 1.0), "{measured:?}");
    assert_eq!(values("FailedRuns"), [1.0]);
    assert_eq!((history.deployments, history.failed), (3, 1));
    assert_eq!(history.change_failure_rate, Share { part: 1, of: 3 });
    // Two got everywhere, and all commits' times are told.
    assert_eq!((values("LeadTime").len(), values("LeadTimeFromRelease").len()), (2, 0));
    assert_eq!(values("FeedbackTime").len(), 3);
    assert_eq!((values("StageDuration").len(), history.stages.len()), (6, 2), "{measured:?}");
    let succeeded: usize = history.targets.iter().map(|target| target.duration.count).sum();
    assert_eq!(values("TargetDuration").len(), succeeded);
    // What was measured when it happened is what the ledger tells later.
    let seconds = |span: Span| span.as_millis() as f64 / 1000.0;
    let longest = |name: &str| values(name).into_iter().fold(0.0, f64::max);
    let same = |name: &str, span: Span| {
        let apart = (longest(name) - seconds(span)).abs();
        assert!(apart < 2.0, "{name}: {} when it happened, {} in the ledger", longest(name), seconds(span));
    };
    same("LeadTime", history.lead_time.unwrap().longest);
    same("FeedbackTime", history.feedback_time.unwrap().longest);
    let [restored] = values("TimeToRestore").try_into().unwrap();
    assert!((restored - seconds(history.time_to_restore.unwrap().longest)).abs() < 2.0, "{restored}");
    // It failed some minutes after 14:00, and was good some minutes after 16:00.
    assert!((6600.0..8400.0).contains(&restored), "{restored}");
    assert_eq!(history.not_restored, None);
}

#[test]
fn a_rollout_that_fails_and_its_repair_are_measured_once_as_they_happen_and_told_alike_later() {
    let (measured, history, verdicts) = tell(Faults::default(), 1);
    assert_eq!(verdicts, [Verdict::Succeeded, Verdict::Failed, Verdict::Succeeded]);
    check(&measured, &history);
    let lead = history.lead_time.unwrap();
    assert!(lead.median >= Span::from_minutes(20) && lead.longest <= Span::from_minutes(60), "{lead:?}");
}

#[test]
fn what_arrives_twice_is_measured_once() {
    for seed in 0..20 {
        let faults = Faults { duplicates: 0.6, ..Faults::default() };
        let (measured, history, _) = tell(faults, seed);
        check(&measured, &history);
    }
}
