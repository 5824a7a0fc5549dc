//! `deploy` asked by a checkup, over a stand-in for target accounts.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::BTreeMap;
use std::sync::Mutex;

use futures::executor::block_on;
use manifold_core::changes::{Previewed, ToPreview};
use manifold_core::checkup::{AccessSeen, Answer, Misunderstood, Place, Question, Tried, asked};
use manifold_core::ids::{Nonce, TargetKey};
use manifold_core::plan::PlannedTarget;
use manifold_core::time::{Span, Timestamp};
use manifold_deploy::Deploy;
use manifold_ports::checkup::{Access, Preview};
use manifold_ports::clock::Clock;
use manifold_ports::engine::Order;

/// Accounts that let everybody in but in one Region. A look takes time, so that time runs out.
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

impl Access for &Accounts {
    fn renew(&self, places: &[Place]) {
        *self.renewed.lock().unwrap() += places.len();
    }

    async fn try_access(&self, place: &Place, _: Timestamp) -> AccessSeen {
        let mut now = self.now.lock().unwrap();
        *now = now.plus(Span::from_seconds(10));
        if place.key.region.as_str() == "eu-west-1" {
            return AccessSeen::not_assumed(Tried::Refused { code: "AccessDenied".to_owned(), message: String::new() });
        }
        AccessSeen { assumed: Tried::Done(()), list_executions: Tried::Done(()), list_actions: Tried::Done(()) }
    }
}

/// Each call takes its time, as above; the change set in one Region is never ready.
impl Preview for &Accounts {
    async fn preview(&self, order: Order<'_>, _: Timestamp) -> Previewed {
        let mut now = self.now.lock().unwrap();
        *now = now.plus(Span::from_seconds(10));
        match order.planned.key.region.as_str() {
            "eu-west-1" => Previewed::Pending("it is being made".to_owned()),
            _ => Previewed::New(vec![format!("of {} {}", order.run, order.attempt)]),
        }
    }

    async fn discard(&self, order: Order<'_>, _: Timestamp) -> Tried<()> {
        let mut now = self.now.lock().unwrap();
        *now = now.plus(Span::from_seconds(10));
        match order.planned.key.region.as_str() {
            "eu-west-1" => Tried::Unanswered { reason: "throttled".to_owned() },
            _ => Tried::Done(()),
        }
    }
}

fn to_preview(regions: &[&str]) -> Box<ToPreview> {
    let target = |region: &&str| {
        let Place { key, role, external_id, started, .. } = place(region);
        PlannedTarget {
            index: 0,
            wave: 0,
            key,
            account_name: "prod".to_owned(),
            role,
            external_id,
            subject: started,
            variables: BTreeMap::new(),
            source_revision: None,
            after: Vec::new(),
            before: Vec::new(),
            release: None,
            work: None,
            looks: None,
        }
    };
    let run = "web-0f3a5b7c9d1e2f40".parse().unwrap();
    Box::new(ToPreview { run, targets: regions.iter().map(target).collect() })
}

fn place(region: &str) -> Place {
    Place {
        app: "web".parse().unwrap(),
        key: TargetKey { account: "444455556666".parse().unwrap(), region: region.parse().unwrap() },
        role: "arn:aws:iam::444455556666:role/ManifoldTarget".parse().unwrap(),
        external_id: None,
        started: "svc-deploy".parse().unwrap(),
    }
}

fn ask(question: Question) -> (Result<Answer, Misunderstood>, usize) {
    let accounts = Accounts { now: Mutex::new(Timestamp::from_millis(0)), renewed: Mutex::new(0) };
    let deploy = Deploy { ledger: (), paces: (), queues: (), engine: &accounts, clock: &accounts };
    let done = block_on(deploy.checkup(question, Timestamp::from_millis(60_000)));
    let renewed = *accounts.renewed.lock().unwrap();
    (done, renewed)
}

#[test]
fn places_are_answered_in_order_with_what_was_seen_and_nothing_kept_is_used() {
    let (done, renewed) = ask(Question::Access(vec![place("us-east-1"), place("eu-west-1"), place("us-west-2")]));
    let Answer::Access(seen) = done.unwrap() else { panic!("another answer") };
    let assumed: Vec<bool> = seen.iter().map(|seen| seen.assumed.done().is_some()).collect();
    assert_eq!((assumed, renewed), (vec![true, false, true], 3));
}

#[test]
fn what_there_is_no_time_for_is_unanswered_and_never_well() {
    let (done, _) = ask(Question::Access(vec![place("us-east-1"); 20]));
    let Answer::Access(seen) = done.unwrap() else { panic!("another answer") };
    // Ten seconds each, and nothing is begun in the last fifteen.
    let (looked, not): (Vec<_>, Vec<_>) = seen.into_iter().partition(|seen| seen.assumed == Tried::Done(()));
    assert_eq!((looked.len(), not.len()), (5, 15));
    assert!(not.iter().all(|seen| matches!(seen.assumed, Tried::Unanswered { .. })), "{not:?}");
}

#[test]
fn what_change_sets_would_do_is_told_in_order_as_of_the_first_attempt() {
    let question = Question::Preview(to_preview(&["us-east-1", "eu-west-1", "us-west-2"]));
    // As it comes from the command.
    let question = asked(&question.to_request()).unwrap().unwrap();
    let first = Previewed::New(vec!["of web-0f3a5b7c9d1e2f40 1".to_owned()]);
    let pending = Previewed::Pending("it is being made".to_owned());
    assert_eq!(ask(question).0, Ok(Answer::Preview(vec![first.clone(), pending, first])));
    let question = Question::Discard(to_preview(&["us-east-1", "eu-west-1"]));
    let left = Tried::Unanswered { reason: "throttled".to_owned() };
    assert_eq!(ask(question).0, Ok(Answer::Discarded(vec![Tried::Done(()), left])));
}

#[test]
fn what_there_is_no_time_for_is_asked_again_and_never_taken_for_gone() {
    let Answer::Preview(told) = ask(Question::Preview(to_preview(&["us-east-1"; 20]))).0.unwrap() else {
        panic!("another answer")
    };
    let pending = told.iter().filter(|told| matches!(told, Previewed::Pending(_))).count();
    assert_eq!((told.len(), pending), (20, 15));
    let Answer::Discarded(told) = ask(Question::Discard(to_preview(&["us-east-1"; 20]))).0.unwrap() else {
        panic!("another answer")
    };
    assert_eq!(told.iter().filter(|told| **told == Tried::Done(())).count(), 5);
}

#[test]
fn another_functions_question_is_told_from_its_own() {
    assert_eq!(ask(Question::Fleet).0, Err(Misunderstood::Misplaced { function: "deploy" }));
}
