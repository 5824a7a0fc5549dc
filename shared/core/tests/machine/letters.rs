//! Dead letters: what each is, how things stand with it, and what a redrive would do.

use std::fs;
use std::path::Path;

use manifold_core::deadletter::{
    Fact, Hub, Inbox, Judgement, Kind, Known, Letter, Place, Planning, Redrive, Releases, Undelivered,
};
use manifold_core::event::{PipelineState, decode_batch};
use manifold_core::ids::{Attempt, TargetKey};
use manifold_core::ledger::{Item, Key, Link, LinkOwner, PlanChunk, Record};
use manifold_core::message::{Message, Payload};
use manifold_core::plan::{Channel, SecretRef};
use manifold_core::run::posting::Posting;
use manifold_core::run::{AppQueue, Verdict};
use manifold_core::time::Span;
use serde_json::json;

use super::play::{DEADLINE, Play, app, execution, key, plan, released_at, run_id};

const HUB: &str = "111122223333";

fn hub() -> TargetKey {
    TargetKey { account: HUB.parse().unwrap(), region: "us-east-1".parse().unwrap() }
}

/// The ledger of one run.
struct Table<'a> {
    play: &'a Play,
    posting: Option<Posting>,
    /// Every key is answered with this reason.
    broken: Option<&'static str>,
}

impl<'a> Table<'a> {
    fn of(play: &'a Play) -> Self {
        Self { play, posting: None, broken: None }
    }

    fn read(&self, key: &Key) -> Fact {
        if let Some(reason) = self.broken {
            return Fact::Unread(reason.to_owned());
        }
        let Play { head, queue, plan, targets, .. } = self.play;
        let item = match key {
            Key::Head(run) => (*run == head.run).then(|| Item::Head(Box::new(head.clone()))),
            Key::Queue(name) => (*name == app()).then(|| Item::Queue(queue.clone())),
            Key::Plan(run, 0) if *run == head.run => Some(Item::Plan(PlanChunk { targets: plan.targets.clone() })),
            Key::Target(run, key) if *run == head.run => {
                targets.get(key).map(|target| Item::Target(Box::new(target.clone())))
            }
            Key::Summary(_) => self.posting.clone().map(Item::Summary),
            Key::Link(execution) => {
                let owned = targets.values().find(|target| target.execution_ref().as_ref() == Some(execution));
                let owner = owned.map(|target| LinkOwner { run: head.run.clone(), attempt: target.attempt });
                owner.map(|owner| Item::Link(Link { owner: Some(owner), early: Vec::new() }))
            }
            Key::Plan(..)
            | Key::Target(..)
            | Key::Decision(..)
            | Key::Notice(_)
            | Key::Known(..)
            | Key::Opening(..)
            | Key::Open(_)
            | Key::Check(_)
            | Key::Looked(..)
            | Key::Detection(..)
            | Key::Baseline(..)
            | Key::Standing(..)
            | Key::Ignore(..)
            | Key::Checked(..)
            | Key::LastCheck(_)
            | Key::Definition(..)
            | Key::OpenCheck(_)
            | Key::Pace(_) => None,
        };
        let nonce = "somebody".parse().unwrap();
        item.map_or(Fact::Absent, |item| Fact::Stored(Box::new(Record { version: 7, nonce, item })))
    }

    fn judge(&self, place: &Place, body: &str) -> Judgement {
        self.judge_with(place, body, None, &[])
    }

    fn judge_with(&self, place: &Place, body: &str, noted: Option<Undelivered>, releases: &[Releases]) -> Judgement {
        let hub = hub();
        let letter = Letter::read(place, Hub { key: &hub, prefix: "manifold" }, body, noted);
        let mut known = Known::new();
        for round in 0.. {
            let wanted = letter.wants(releases, &known);
            if wanted.is_empty() {
                break;
            }
            assert!(round < 4, "it never knows enough: {wanted:?}");
            known.extend(wanted.into_iter().map(|key| (key.clone(), self.read(&key))));
        }
        letter.judge(releases, &known, self.play.now, &"nobody".parse().unwrap())
    }

    /// A message of ours in the dead-letter queue where it belongs.
    fn message(&self, payload: Payload) -> Judgement {
        let inbox = match &payload {
            Payload::Open { .. } => Inbox::Dispatch,
            Payload::Start { .. }
            | Payload::Explain { .. }
            | Payload::Ask { .. }
            | Payload::Stop { .. }
            | Payload::Alarms { .. } => Inbox::Deploy,
            Payload::Drift(note) => Inbox::from(note.queue()),
            Payload::Summarize { .. } | Payload::Notify { .. } => Inbox::Summarize,
            Payload::Activate { .. } | Payload::Advance { .. } | Payload::Command { .. } | Payload::Deadline { .. } => {
                Inbox::Collect
            }
        };
        self.judge(&Place::Dead(inbox), &Message::new(payload).encode().unwrap())
    }

    fn start(&self, index: u32, attempt: u32) -> Judgement {
        self.message(Payload::Start { run: self.play.head.run.clone(), index, attempt: Attempt(attempt) })
    }

    fn event(&self, index: u32, nth: u32, state: &str) -> Judgement {
        self.judge(&Place::Dead(Inbox::Collect), &state_change(index, nth, state))
    }
}

fn state_change(index: u32, nth: u32, state: &str) -> String {
    let TargetKey { account, region } = key(index);
    json!({
        "version": "0", "id": "3dafeae8", "source": "aws.codepipeline", "time": "2026-10-26T13:58:01Z",
        "detail-type": "CodePipeline Pipeline Execution State Change", "account": account, "region": region,
        "detail": {"pipeline": "svc-deploy", "execution-id": execution(index, nth), "state": state,
                   "pipeline-execution-attempt": 1.0},
    })
    .to_string()
}

fn release_event() -> String {
    let TargetKey { account, region } = key(0);
    json!({
        "version": "0", "id": "3dafeae8", "source": "aws.codepipeline", "time": "2026-10-26T13:49:12Z",
        "detail-type": "CodePipeline Pipeline Execution State Change", "account": account, "region": region,
        "detail": {"pipeline": "web-release", "execution-id": "this", "state": "SUCCEEDED"},
    })
    .to_string()
}

#[track_caller]
fn check(told: &Judgement, kind: Kind, redrive: Redrive, why: &str) {
    assert_eq!((told.kind, told.redrive, told.why.as_str()), (kind, redrive, why), "{told:#?}");
}

#[test]
fn a_start_helps_as_long_as_its_target_waits_for_it() {
    let mut play = Play::of(&[(2, 1, 0)]);
    let told = Table::of(&play).start(0, 1);
    check(&told, Kind::Pending, Redrive::Helps, "its target waits to be started");
    assert_eq!(told.what, format!("start web dev/eu-west-1, attempt 1, of run {}", play.head.run));
    check(&Table::of(&play).start(1, 1), Kind::Done, Redrive::ChangesNothing, "its turn has not come");
    check(&Table::of(&play).start(9, 1), Kind::Done, Redrive::ChangesNothing, "its run's plan has no such target");

    play.claim(0);
    let held = "another worker is starting its target just now";
    check(&Table::of(&play).start(0, 1), Kind::Pending, Redrive::Helps, held);
    play.wait(Span::from_seconds(121));
    check(&Table::of(&play).start(0, 1), Kind::Pending, Redrive::Helps, "its target waits to be started");

    play.started(0, 1);
    check(&Table::of(&play).start(0, 1), Kind::Done, Redrive::ChangesNothing, "its target is running");
    check(&Table::of(&play).start(0, 2), Kind::Done, Redrive::ChangesNothing, "its target is at attempt 1");
    play.observe(0, PipelineState::Succeeded);
    check(&Table::of(&play).start(0, 1), Kind::Done, Redrive::ChangesNothing, "its target has ended: succeeded");

    play.start(1);
    play.observe(1, PipelineState::Succeeded);
    assert_eq!(play.verdict(), Some(Verdict::Succeeded));
    let over = "its run has its verdict: succeeded";
    check(&Table::of(&play).start(1, 1), Kind::RunOver, Redrive::ChangesNothing, over);
}

#[test]
fn a_start_that_comes_too_late_still_ends_its_target() {
    let mut play = Play::of(&[(1, 1, 0)]);
    play.wait(DEADLINE);
    let told = Table::of(&play).start(0, 1);
    let why = "its target was not started and must not be any more: it is to end as timed out";
    check(&told, Kind::Pending, Redrive::Helps, why);
    let told = Table::of(&play).message(Payload::Deadline { run: run_id("other") });
    let why = "the ledger has no such run: it was forgotten, or is another hub's";
    check(&told, Kind::NoRun, Redrive::ChangesNothing, why);
    let told = Table::of(&play).message(Payload::Deadline { run: play.head.run.clone() });
    check(&told, Kind::Pending, Redrive::Helps, "the deadline has passed, and its run has no verdict");
}

#[test]
fn an_event_helps_as_long_as_it_is_news() {
    let mut play = Play::of(&[(2, 2, 0)]);
    let nobody = "no run is known to have started its execution";
    check(&Table::of(&play).event(0, 1, "SUCCEEDED"), Kind::NotOurs, Redrive::ChangesNothing, nobody);
    play.start(0);
    let told = Table::of(&play).event(0, 1, "SUCCEEDED");
    check(&told, Kind::Pending, Redrive::Helps, "it is news to the ledger, for which its target is running");
    assert_eq!(told.what, format!("SUCCEEDED of svc-deploy in {}, execution {}", key(0), execution(0, 1)));
    assert_eq!(told.run.as_ref(), Some(&play.head.run));
    play.observe(0, PipelineState::Succeeded);
    let known = "the ledger knows what it tells: its target has ended: succeeded";
    check(&Table::of(&play).event(0, 1, "SUCCEEDED"), Kind::Done, Redrive::ChangesNothing, known);
    check(&Table::of(&play).event(0, 1, "STARTED"), Kind::Done, Redrive::ChangesNothing, known);
}

#[test]
fn what_nobody_else_would_ask_or_tell_again_helps() {
    let mut play = Play::of(&[(1, 1, 0)]);
    let run = play.head.run.clone();
    play.start(0);
    let explain = Payload::Explain { run: run.clone(), target: key(0), execution: execution(0, 1), turn: None };
    let known = "why its target failed is known, or it did not fail";
    check(&Table::of(&play).message(explain.clone()), Kind::Done, Redrive::ChangesNothing, known);
    let ask = Payload::Ask { run: run.clone(), targets: vec![key(0)], turn: None };
    let open = "its targets have not ended, as far as is known";
    check(&Table::of(&play).message(ask.clone()), Kind::Pending, Redrive::Helps, open);
    play.observe(0, PipelineState::Failed);
    // After the verdict, too.
    assert_eq!(play.verdict(), Some(Verdict::Failed));
    let unexplained = "why its target failed is still not known; nobody else asks";
    check(&Table::of(&play).message(explain), Kind::Pending, Redrive::Helps, unexplained);
    let over = "its run has its verdict: failed";
    check(&Table::of(&play).message(ask), Kind::RunOver, Redrive::ChangesNothing, over);
    check(&Table::of(&play).message(Payload::Activate { run }), Kind::RunOver, Redrive::ChangesNothing, over);
}

#[test]
fn a_summary_is_judged_by_what_slack_shows() {
    let token = SecretRef::SecretsManager("manifold/slack".to_owned());
    let mut plan = plan(&[(1, 1, 0)], 1);
    plan.channel = Channel::Bot { channel: "C0123456789".to_owned(), token };
    let play = Play::open("this", plan, AppQueue::default(), released_at());
    let summarize = || Payload::Summarize { run: play.head.run.clone() };
    let with = |posting: Posting| Table { posting: Some(posting), ..Table::of(&play) }.message(summarize());
    let behind = "Slack does not show how its run stands";
    check(&Table::of(&play).message(summarize()), Kind::Pending, Redrive::Helps, behind);
    check(&with(Posting { shown: Some(6), ..Posting::default() }), Kind::Pending, Redrive::Helps, behind);
    let told = with(Posting { shown: Some(7), ..Posting::default() });
    check(&told, Kind::Done, Redrive::ChangesNothing, "Slack shows all that is to be told");
    let told = with(Posting { refused: Some("channel_is_archived".to_owned()), ..Posting::default() });
    let refused = "Slack refused the run's summary for good: channel_is_archived";
    check(&told, Kind::Done, Redrive::ChangesNothing, refused);
}

#[test]
fn a_release_is_judged_by_its_run_and_by_what_can_be_planned() {
    let play = Play::of(&[(1, 1, 0)]);
    let dead = Place::Dead(Inbox::Dispatch);
    let of = |name: &str, plan: Planning| Releases { app: name.parse().unwrap(), plan };
    let judge = |releases: &[Releases]| Table::of(&play).judge_with(&dead, &release_event(), None, releases);
    let told = judge(&[of("web", Planning::Fits)]);
    check(&told, Kind::Done, Redrive::ChangesNothing, "its run is open");
    assert_eq!(told.what, format!("release event of web-release in {}, execution this", key(0)));
    // Of several apps the one for which most is left to do.
    let told = judge(&[of("web", Planning::Fits), of("api", Planning::Fits)]);
    check(&told, Kind::Pending, Redrive::Helps, "its run was not opened");
    let told = judge(&[of("api", Planning::Fails("parameter STAGE cannot be used".to_owned()))]);
    let why = "its run can't be planned with this fleet file: parameter STAGE cannot be used";
    check(&told, Kind::Unplannable, Redrive::ComesBack, why);
    let told = judge(&[of("api", Planning::Unsure("there is no revision".to_owned()))]);
    let why = "its run was not opened; with what the event tells, there is no revision";
    check(&told, Kind::Pending, Redrive::Unknown, why);
    let nobodys = "no app of this fleet file is released by its pipeline";
    check(&judge(&[]), Kind::NotOurs, Redrive::ChangesNothing, nobodys);

    let newer =
        Play::open("newer", plan(&[(1, 1, 0)], 1), AppQueue::default(), released_at().plus(Span::from_minutes(1)));
    let told = Table::of(&newer).judge_with(&dead, &release_event(), None, &[of("web", Planning::Fits)]);
    check(&told, Kind::Overtaken, Redrive::ChangesNothing, "a newer release was taken in since");
}

#[test]
fn an_undelivered_event_goes_to_the_queue_of_its_rule_and_to_no_other() {
    let mut play = Play::of(&[(1, 1, 0)]);
    play.start(0);
    let noted = |target: &str| {
        Some(Undelivered {
            rule: Some(format!("arn:aws:events:us-east-1:{HUB}:rule/manifold/manifold-pipeline")),
            target: Some(target.to_owned()),
            code: Some("NO_PERMISSIONS".to_owned()),
            message: Some("not\u{1b}[2J allowed\nat all".to_owned()),
            exhausted: None,
        })
    };
    let body = state_change(0, 1, "SUCCEEDED");
    let judge = |target: &str| Table::of(&play).judge_with(&Place::Undelivered, &body, noted(target), &[]);
    let told = judge(&format!("arn:aws:sqs:us-east-1:{HUB}:manifold-collect"));
    check(&told, Kind::Pending, Redrive::Helps, "it is news to the ledger, for which its target is running");
    let cause =
        "EventBridge could not deliver this event of rule manifold-pipeline: NO_PERMISSIONS: not[2J allowed at all";
    assert_eq!(told.cause.as_deref(), Some(cause));
    for elsewhere in [
        "arn:aws:sqs:us-east-1:111122223333:other-collect",
        "arn:aws:sqs:us-east-1:999999999999:manifold-collect",
        "arn:aws:sqs:eu-west-1:111122223333:manifold-collect",
        "arn:aws:sqs:us-east-1:111122223333:manifold-collect-dead",
        "arn:aws:sqs:us-east-1:111122223333:manifold-deploy",
        "",
    ] {
        let why = "its attribute TARGET_ARN names none of the hub's queues";
        check(&judge(elsewhere), Kind::Undirected, Redrive::ComesBack, why);
    }
}

#[test]
fn a_member_can_speak_for_no_other_account_or_region() {
    let mut play = Play::of(&[(2, 2, 0)]);
    play.start(0);
    let body = state_change(0, 1, "SUCCEEDED");
    let told = Table::of(&play).judge(&Place::Forward(key(0)), &body);
    check(&told, Kind::Pending, Redrive::Helps, "it is news to the ledger, for which its target is running");
    let told = Table::of(&play).judge(&Place::Forward(key(1)), &body);
    check(&told, Kind::Unreadable, Redrive::ComesBack, "its body can't be read");
    assert_eq!(told.what, format!("it says that it is from {}, and lies in {}", key(0), key(1)));
}

#[test]
fn what_no_function_would_take_comes_back() {
    let play = Play::of(&[(1, 1, 0)]);
    let judge = |inbox, body: &str| Table::of(&play).judge(&Place::Dead(inbox), body);
    let told = judge(Inbox::Deploy, "{ this");
    check(&told, Kind::Unreadable, Redrive::ComesBack, "its body can't be read");
    assert_eq!(told.what, "not a message of ours: key must be a string at line 1 column 3");
    let told = judge(Inbox::Dispatch, "{ this");
    assert_eq!(told.what, "not an event: not json at line 1, column 3: key must be a string");
    let newer = r#"{"schema":9,"payload":{"type":"later","data":{}}}"#;
    for inbox in [Inbox::Deploy, Inbox::Collect, Inbox::Summarize] {
        let why = "its schema 9 is newer than 1, the newest that this version reads";
        check(&judge(inbox, newer), Kind::TooNew, Redrive::ComesBack, why);
    }
    let activate = Message::new(Payload::Activate { run: play.head.run.clone() }).encode().unwrap();
    check(
        &judge(Inbox::Deploy, &activate),
        Kind::Misplaced,
        Redrive::ComesBack,
        "another function reads such messages",
    );
    check(&judge(Inbox::Collect, &activate), Kind::Done, Redrive::ChangesNothing, "its run has begun");
}

#[test]
fn a_ledger_that_can_not_be_read_makes_nothing_done() {
    let play = Play::of(&[(1, 1, 0)]);
    let table = Table { broken: Some("AccessDeniedException: no"), ..Table::of(&play) };
    let why = "the ledger could not be read: AccessDeniedException: no";
    check(&table.start(0, 1), Kind::Unknown, Redrive::Unknown, why);
    check(&table.event(0, 1, "SUCCEEDED"), Kind::Unknown, Redrive::Unknown, why);
    // Whatever the ledger says, this one can't be read.
    let told = table.judge(&Place::Dead(Inbox::Deploy), "");
    assert_eq!(told.kind, Kind::Unreadable);
}

/// Every recorded body in every queue: judged in words, on one line, without a panic.
#[test]
fn every_recorded_message_and_event_is_judged_in_every_queue() {
    let play = Play::of(&[(1, 1, 0)]);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/events");
    let files = ["codepipeline", "schedule", "sqs"]
        .iter()
        .flat_map(|part| fs::read_dir(folder.join(part)).unwrap())
        .map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap());
    let (mut bodies, mut events) = (Vec::new(), 0);
    for text in files {
        let value = serde_json::from_str(&text).unwrap();
        match decode_batch(&value) {
            Ok(batch) => bodies.extend(batch.records.into_iter().map(|record| record.body)),
            Err(_) => bodies.push(text),
        }
    }
    let places = Inbox::ALL.into_iter().map(Place::Dead).chain([Place::Undelivered, Place::Forward(key(0))]);
    for place in places {
        for body in &bodies {
            let told = Table::of(&play).judge(&place, body);
            assert!(!told.what.is_empty() && !told.what.contains('\n'), "{told:?}");
            events += u32::from(told.kind == Kind::NotOurs);
            assert_ne!(told.redrive, Redrive::Helps, "nothing of this run is recorded: {told:?}");
        }
    }
    assert!(bodies.len() > 30 && events > 30, "{} bodies, {events} events", bodies.len());
}

#[test]
fn an_execution_of_another_account_or_region_is_nobodys() {
    let mut play = Play::of(&[(2, 2, 0)]);
    play.start(0);
    let elsewhere = state_change(0, 1, "SUCCEEDED").replace("eu-west-1", "eu-west-2");
    let told = Table::of(&play).judge(&Place::Dead(Inbox::Collect), &elsewhere);
    assert_eq!(told.kind, Kind::NotOurs);
}
