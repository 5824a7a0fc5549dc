//! `summarize` asked by a checkup, over a stand-in for Slack.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::sync::Mutex;

use futures::executor::block_on;
use manifold_core::checkup::{Answer, Misunderstood, Question, SlackSeen, Tried};
use manifold_core::ids::Nonce;
use manifold_core::plan::Channel;
use manifold_core::time::{Span, Timestamp};
use manifold_ports::checkup::LookAtSlack;
use manifold_ports::clock::Clock;
use manifold_summarize::Summarize;

/// A Slack that takes twenty seconds for each look.
struct Slow(Mutex<Timestamp>);

impl Clock for &Slow {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
    fn nonce(&self) -> Nonce {
        "n".parse().unwrap()
    }
}

impl LookAtSlack for &Slow {
    async fn look(&self, _: &Channel, _: Timestamp) -> SlackSeen {
        let mut now = self.0.lock().unwrap();
        *now = now.plus(Span::from_seconds(20));
        SlackSeen { secret: Tried::Done(()), token: Tried::NotTried, channel: Tried::NotTried }
    }
}

fn ask(question: Question) -> Result<Answer, Misunderstood> {
    let slack = Slow(Mutex::new(Timestamp::from_millis(0)));
    let summarize = Summarize { ledger: (), queues: (), slack: &slack, clock: &slack };
    block_on(summarize.checkup(question, Timestamp::from_millis(60_000)))
}

#[test]
fn channels_are_looked_at_in_order_while_there_is_time() {
    let Answer::Slack(seen) = ask(Question::Slack(vec![Channel::Silent; 5])).unwrap() else { panic!("another answer") };
    let looked: Vec<bool> = seen.iter().map(|seen| seen.secret == Tried::Done(())).collect();
    assert_eq!(looked, [true, true, true, false, false]);
}

#[test]
fn another_functions_question_is_told_from_its_own() {
    assert_eq!(ask(Question::Fleet), Err(Misunderstood::Misplaced { function: "summarize" }));
}
