//! The runs of one app: one is active, the newest release waits, and the turn is handed over.

use manifold_core::event::PipelineState::{Resumed, Succeeded};
use manifold_core::ids::RunId;
use manifold_core::run::{AppQueue, Closing, Effect, Event, Opened, Phase, Run, Told, Verdict, Wanted};
use manifold_core::time::{Span, Timestamp};

use super::play::{Play, app, plan, release, released_at, run_id, words};

fn minutes(minutes: i64) -> Timestamp {
    released_at().plus(Span::from_minutes(minutes))
}

fn open(source: &str, queue: &AppQueue, released_at: Timestamp) -> Opened {
    let plan = plan(&[(2, 1, 1)], 1);
    Run::open(Wanted::release(run_id(source), app(), release(source, released_at), &plan), queue.clone(), minutes(30))
}

/// A run that is active, and its app's queue.
fn active(source: &str) -> Play {
    Play::open(source, plan(&[(2, 1, 1)], 1), AppQueue::default(), released_at())
}

fn behind(play: &Play, source: &str) -> Play {
    Play::open(source, plan(&[(2, 1, 1)], 1), play.queue.clone(), minutes(1))
}

fn summarize(run: &RunId) -> Effect {
    Effect::Summarize { run: run.clone() }
}

#[test]
fn the_first_release_of_an_app_is_active_at_once() {
    let play = active("a");
    assert_eq!(play.head.phase, Phase::Active { since: play.now });
    assert_eq!((&play.queue.current, &play.queue.next), (&Some(run_id("a")), &None));
    assert_eq!(play.opening, ["start 0", "summarize"]);
}

#[test]
fn a_release_that_arrives_while_another_run_is_active_waits_and_says_behind_which() {
    let first = active("a");
    let second = behind(&first, "b");
    assert_eq!(second.head.phase, Phase::Waiting { behind: run_id("a") });
    assert_eq!((&second.queue.current, &second.queue.next), (&Some(run_id("a")), &Some(run_id("b"))));
    assert_eq!((second.opening, second.head.due_at()), (vec!["summarize".to_owned()], None));
}

#[test]
fn the_turn_is_handed_over_once_and_told_again_by_whatever_comes_late() {
    let mut first = active("a");
    let mut second = behind(&first, "b");
    first.queue = second.queue.clone();
    first.start(0);
    first.observe(0, Succeeded);
    first.start(1);
    let closed = first.observe(1, Succeeded);
    let activate = format!("activate {}", run_id("b"));
    assert_eq!(closed.effects, ["summarize".to_owned(), activate.clone()]);
    assert_eq!((&first.queue.current, &first.queue.next), (&Some(run_id("b")), &None));
    assert!(first.observe(0, Succeeded).effects.contains(&activate), "a duplicate");
    assert!(first.claim(1).effects.contains(&activate), "a message that comes again");
    first.wait(super::play::DEADLINE);
    assert!(first.deadline().effects.contains(&activate), "the deadline");
    assert!(first.run().opened_again().finish().effects.iter().map(words).any(|effect| effect == activate));
    assert_eq!(first.queue.current, Some(run_id("b")), "handed over once");

    second.queue = first.queue.clone();
    second.wait(Span::from_minutes(50));
    let activated = second.tell(Event::Activated);
    assert_eq!(
        (activated.told, activated.effects),
        (Told::Changed, vec!["start 0".to_owned(), "summarize".to_owned()])
    );
    assert_eq!(second.head.active_since(), Some(second.now), "its time begins with its turn");
    let again = second.tell(Event::Activated);
    assert_eq!((again.told, again.effects), (Told::Duplicate, vec!["start 0".to_owned()]));
    for index in [0, 1] {
        second.start(index);
        second.observe(index, Succeeded);
    }
    assert_eq!(second.verdict(), Some(Verdict::Succeeded));
    assert_eq!((&second.queue.current, second.head.handed_to.as_ref()), (&None, None));
    let late = second.tell(Event::Activated);
    assert_eq!((late.told, late.effects), (Told::Duplicate, vec![]));
}

#[test]
fn a_run_that_is_reopened_after_it_handed_over_takes_no_turn_back() {
    let mut first = active("a");
    let second = behind(&first, "b");
    first.queue = second.queue;
    first.start(0);
    first.observe(0, manifold_core::event::PipelineState::Failed);
    first.start(1);
    first.observe(1, Succeeded);
    let reopened = first.observe_try(0, Resumed, Some(2));
    assert_eq!(reopened.step.queue, None);
    first.observe_try(0, Succeeded, Some(2));
    assert_eq!(first.queue.current, Some(run_id("b")));
}

#[test]
fn a_newer_release_takes_the_place_of_the_one_that_waits() {
    let first = active("a");
    let second = behind(&first, "b");
    let third = open("c", &second.queue, minutes(2));
    assert_eq!(third.overtakes, Some(run_id("b")));
    let third = third.run.finish();
    let queue = third.queue.unwrap();
    assert_eq!((queue.current, queue.next), (Some(run_id("a")), Some(run_id("c"))));
    assert_eq!(third.effects, sorted([summarize(&run_id("b")), summarize(&run_id("c"))]));

    let overtaken = second.run().overtake(run_id("c"), second.now).finish();
    let head = overtaken.head.unwrap();
    assert_eq!(head.verdict(), Some(Verdict::Overtaken));
    let Phase::Closed { since: None, because: Closing::Overtaken { by }, .. } = &head.phase else {
        panic!("{:?}", head.phase)
    };
    assert_eq!((by, overtaken.queue), (&run_id("c"), None));
}

#[test]
fn a_release_event_that_comes_again_tells_the_overtaken_run_s_end_again() {
    let second = behind(&active("a"), "b");
    let third = open("c", &second.queue, minutes(2)).run.finish();
    let again = Run::load(third.head.unwrap(), third.queue.unwrap(), []).opened_again().finish();
    assert_eq!(again.effects, sorted([summarize(&run_id("b")), summarize(&run_id("c"))]));
    assert_eq!((again.head, again.queue, again.targets), (None, None, vec![]));
}

#[test]
fn a_run_whose_turn_has_come_can_not_be_overtaken() {
    let first = active("a");
    let step = first.run().overtake(run_id("b"), first.now).finish();
    assert_eq!(step, Default::default());
}

#[test]
fn an_older_release_that_arrives_late_is_closed_at_once_and_leaves_the_queue_alone() {
    let newer = Play::open("b", plan(&[(2, 1, 1)], 1), AppQueue::default(), minutes(5));
    for queue in [newer.queue.clone(), AppQueue { current: None, ..newer.queue.clone() }] {
        let older = open("a", &queue, released_at());
        assert_eq!(older.overtakes, None);
        let step = older.run.finish();
        let head = step.head.unwrap();
        assert_eq!(head.verdict(), Some(Verdict::Overtaken));
        assert_eq!((step.queue, step.effects), (None, vec![summarize(&run_id("a"))]));
    }
}

#[test]
fn of_two_releases_in_the_same_second_the_one_that_arrives_later_follows() {
    let first = active("a");
    let second = open("b", &first.queue, released_at()).run.finish();
    assert_eq!(second.queue.unwrap().next, Some(run_id("b")));
}

#[test]
fn a_release_event_that_comes_again_derives_the_last_starts_again_while_the_run_is_open() {
    let mut play = active("a");
    let again = |play: &Play| play.run().opened_again().finish().effects.iter().map(words).collect::<Vec<_>>();
    assert_eq!(again(&play), ["start 0", "summarize"]);
    play.start(0);
    play.observe(0, Succeeded);
    assert_eq!(again(&play), ["start 1", "summarize"], "claims make them harmless");
    play.start(1);
    play.observe(1, Succeeded);
    assert_eq!(again(&play), ["summarize"]);
    assert_eq!(again(&behind(&active("x"), "b")), ["summarize"], "its turn has not come");
}

fn sorted(effects: [Effect; 2]) -> Vec<Effect> {
    let mut effects = effects.to_vec();
    effects.sort();
    effects
}
