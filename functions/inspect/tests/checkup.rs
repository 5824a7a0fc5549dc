//! `inspect` asked by a checkup, over a stand-in for accounts.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::sync::Mutex;

use futures::executor::block_on;
use manifold_core::checkup::{
    Answer, BusSeen, HubAsked, HubSeen, Inspected, Inspection, Misunderstood, PipelineSpotSeen, Question, Spot,
    SpotSeen, Tried,
};
use manifold_core::ids::{Nonce, TargetKey};
use manifold_core::time::{Span, Timestamp};
use manifold_inspect::Looker;
use manifold_ports::checkup::Inspect;
use manifold_ports::clock::Clock;

/// Each look takes ten seconds, and finds nothing.
struct Accounts {
    now: Mutex<Timestamp>,
    renewed: Mutex<usize>,
}

impl Clock for &Accounts {
    fn now(&self) -> Timestamp {
        *self.now.lock().unwrap()
    }
    fn nonce(&self) -> Nonce {
        "n".parse().unwrap()
    }
}

impl Inspect for &Accounts {
    fn role(&self) -> &str {
        "ManifoldInspect"
    }

    fn renew(&self, spots: &[Spot]) {
        *self.renewed.lock().unwrap() += spots.len();
    }

    async fn inspect_hub(&self, asked: &HubAsked, _: Timestamp) -> HubSeen {
        let policy = Some(asked.bus.clone());
        HubSeen { bus: Tried::Done(BusSeen { policy }), releases: vec![] }
    }

    async fn inspect_spot(&self, spot: &Spot, _: Timestamp) -> SpotSeen {
        let mut now = self.now.lock().unwrap();
        *now = now.plus(Span::from_seconds(10));
        let nothing = PipelineSpotSeen { pipeline: Tried::NotTried, decisions: Tried::NotTried };
        SpotSeen { assumed: Tried::Done(()), rules: vec![], pipelines: vec![nothing; spot.started.len()] }
    }
}

fn spot() -> Spot {
    Spot {
        key: TargetKey { account: "444455556666".parse().unwrap(), region: "eu-west-1".parse().unwrap() },
        external_id: None,
        role: "arn:aws:iam::444455556666:role/ManifoldTarget".parse().unwrap(),
        rules: vec!["manifold-forward-pipeline".to_owned()],
        started: vec!["svc-deploy".parse().unwrap()],
    }
}

fn ask(question: Question) -> Result<Answer, Misunderstood> {
    let accounts = Accounts { now: Mutex::new(Timestamp::from_millis(0)), renewed: Mutex::new(0) };
    let looker = Looker { inspector: &accounts, clock: &accounts };
    block_on(looker.checkup(question, Timestamp::from_millis(60_000)))
}

#[test]
fn the_hub_and_each_spot_are_answered_with_the_role_that_looked() {
    let hub = Some(HubAsked { bus: "manifold".to_owned(), releases: vec![] });
    let Answer::Inspect(Inspected { role, hub, spots }) =
        ask(Question::Inspect(Inspection { hub, spots: vec![spot(), spot()] })).unwrap()
    else {
        panic!("another answer")
    };
    assert_eq!((role.as_str(), spots.len()), ("ManifoldInspect", 2));
    assert_eq!(hub.unwrap().bus, Tried::Done(BusSeen { policy: Some("manifold".to_owned()) }));
}

#[test]
fn what_there_is_no_time_for_is_unanswered_and_as_long_as_its_question() {
    let inspection = Inspection { hub: None, spots: vec![spot(); 20] };
    let Answer::Inspect(seen) = ask(Question::Inspect(inspection)).unwrap() else { panic!("another answer") };
    assert_eq!(seen.hub, None);
    let (looked, not): (Vec<_>, Vec<_>) = seen.spots.into_iter().partition(|seen| seen.assumed == Tried::Done(()));
    assert_eq!((looked.len(), not.len()), (5, 15));
    assert!(not.iter().all(|seen| matches!(seen.assumed, Tried::Unanswered { .. }) && seen.pipelines.len() == 1));
}

#[test]
fn another_functions_question_is_told_from_its_own() {
    assert_eq!(ask(Question::Access(vec![])), Err(Misunderstood::Misplaced { function: "inspect" }));
}
