//! The engine told something, in any order and any number of times.

use manifold_core::event::PipelineState::{
    self, Canceled, Failed, Resumed, Started, Stopped, Stopping, Succeeded, Superseded, Unknown,
};
use manifold_core::run::{
    Event, Heard, HeardOf, Learnt, Observation, Observed, Outcome, Reason, ReasonSource, Status, Told, Verdict,
};
use manifold_core::time::Span;

use super::play::{Answer, DEADLINE, Play, execution, key, run_id};

fn running() -> Play {
    let mut play = Play::of(&[(1, 1, 0)]);
    play.start(0);
    play
}

fn ended(outcome: Outcome) -> Status {
    Status::Ended(outcome)
}

impl Play {
    fn told(&mut self, observation: Observation) -> Answer {
        self.tell(Event::Observed(Box::new(observation)))
    }

    fn action_failed(&mut self, cause: &str, attempt: u32) -> Answer {
        let observation = self.observation(0, 1, Failed, None);
        let reason = Reason { cause: cause.to_owned(), detail: None, link: None, source: ReasonSource::Event, attempt };
        self.told(Observation { what: Observed::ActionFailed { reason }, ..observation })
    }

    fn stop(&mut self, state: PipelineState, comments: Option<&str>) -> Answer {
        let observation = self.observation(0, 1, Failed, None);
        let what = Observed::State { state, attempt: Some(1), comments: comments.map(str::to_owned), reason: None };
        self.told(Observation { what, ..observation })
    }

    fn explained(&mut self, cause: &str, attempt: u32) -> Answer {
        let reason =
            Reason { cause: cause.to_owned(), detail: None, link: None, source: ReasonSource::Engine, attempt };
        self.tell(Event::Explained { target: key(0), execution: execution(0, 1), reason })
    }
}

#[test]
fn every_state_that_codepipeline_reports_means_one_status() {
    let table: [(PipelineState, Status, Option<Verdict>); 8] = [
        (Started, Status::Running, None),
        (Resumed, Status::Running, None),
        (Stopping, Status::Stopping, None),
        (Succeeded, ended(Outcome::Succeeded), Some(Verdict::Succeeded)),
        (Failed, ended(Outcome::Failed), Some(Verdict::Failed)),
        (Stopped, ended(Outcome::Failed), Some(Verdict::Failed)),
        (Canceled, ended(Outcome::Canceled), Some(Verdict::Incomplete)),
        (Superseded, ended(Outcome::Superseded), Some(Verdict::Incomplete)),
    ];
    for (state, status, verdict) in table {
        let mut play = running();
        assert_eq!(play.observe(0, state.clone()).told, Told::Changed, "{state}");
        assert_eq!((play.status(0), play.verdict()), (status, verdict), "{state}");
        assert_eq!(play.observe(0, state.clone()).told, Told::Duplicate, "{state}");
    }
}

#[test]
fn a_state_that_nobody_knows_is_kept_to_be_shown_and_moves_nothing() {
    let mut play = running();
    play.observe(0, Unknown("HIBERNATING".to_owned()));
    assert_eq!(play.status(0), Status::Running);
    assert_eq!(play.target(0).unrecognised.as_deref(), Some("HIBERNATING"));
    play.observe(0, Succeeded);
    assert_eq!(play.verdict(), Some(Verdict::Succeeded));
}

#[test]
fn within_a_try_a_state_never_moves_back() {
    let mut play = running();
    play.observe(0, Failed);
    for late in [Started, Stopping, Stopped] {
        play.observe(0, late);
        assert_eq!(play.status(0), ended(Outcome::Failed));
    }
}

#[test]
fn a_stage_that_is_retried_in_the_account_reopens_a_failure_and_a_success_is_final() {
    let mut play = running();
    play.observe(0, Failed);
    play.observe_try(0, Resumed, Some(2));
    assert_eq!((play.status(0), play.verdict()), (Status::Running, None));
    play.observe_try(0, Failed, Some(1));
    assert_eq!(play.status(0), Status::Running, "the first try's failure, told late");
    play.observe_try(0, Succeeded, Some(2));
    play.observe_try(0, Failed, Some(3));
    assert_eq!(play.verdict(), Some(Verdict::Succeeded));
}

#[test]
fn events_without_an_attempt_count_as_the_first_try_and_resumed_as_the_second() {
    let mut play = running();
    play.observe_try(0, Failed, None);
    play.observe_try(0, Resumed, None);
    assert_eq!(play.status(0), Status::Running);
    play.observe_try(0, Failed, None);
    assert_eq!(play.status(0), Status::Running, "it can't be told from the first failure, told twice");
    play.observe_try(0, Succeeded, None);
    assert_eq!(play.status(0), ended(Outcome::Succeeded));
    let mut play = running();
    play.observe_try(0, Started, Some(0));
    assert_eq!(play.target(0).seen.as_ref().unwrap().attempt(), 1, "attempts count from 1, whatever the event says");
}

// Before and after the end.

#[test]
fn a_retry_before_the_run_closed_takes_its_place_again_and_holds_the_next_wave_back() {
    let mut play = Play::of(&[(2, 2, 1), (2, 1, 0)]);
    play.start(0);
    play.start(1);
    play.observe(0, Failed);
    assert_eq!(play.observe(1, Succeeded).effects, ["start 2", "summarize"]);
    let resumed = play.observe_try(0, Resumed, Some(2));
    assert_eq!((resumed.told, play.head.reopened, play.head.in_flight()), (Told::Changed, 0, 2));
    play.start(2);
    assert_eq!(play.observe(2, Succeeded).effects, ["summarize"], "target 0 of the first wave is on its way again");
    assert_eq!(play.observe_try(0, Succeeded, Some(2)).effects, ["start 3", "summarize"]);
    play.start(3);
    play.observe(3, Succeeded);
    assert_eq!(play.verdict(), Some(Verdict::Succeeded));
    assert!(!play.target(0).reopened_after_close);
}

#[test]
fn a_retry_after_the_run_closed_takes_its_verdict_back_until_it_has_ended_again() {
    let mut play = running();
    play.observe(0, Failed);
    assert_eq!(play.verdict(), Some(Verdict::Failed));
    play.observe_try(0, Resumed, Some(2));
    assert_eq!((play.verdict(), play.head.reopened), (None, 1));
    assert!(play.target(0).reopened_after_close);
    assert_eq!(play.observe_try(0, Succeeded, Some(2)).effects, ["summarize"]);
    assert_eq!(play.verdict(), Some(Verdict::Succeeded));
}

#[test]
fn a_late_answer_mends_what_timed_out_yet_the_deadline_did_pass() {
    let mut play = Play::of(&[(2, 2, 0)]);
    play.start(0);
    play.start(1);
    play.wait(DEADLINE);
    play.deadline();
    assert_eq!(play.verdict(), Some(Verdict::TimedOut));
    play.observe(0, Succeeded);
    assert_eq!(play.verdict(), Some(Verdict::TimedOut));
    play.observe(1, Succeeded);
    assert_eq!(play.verdict(), Some(Verdict::Succeeded), "every target has the release");
}

#[test]
fn the_deadline_ends_what_did_not_answer_and_says_so_once() {
    let mut play = Play::of(&[(3, 2, 0)]);
    play.start(0);
    play.wait(Span::from_millis(DEADLINE.as_millis() - 1));
    let early = play.deadline();
    assert_eq!((early.told, early.effects), (Told::Duplicate, Vec::<String>::new()));
    play.wait(Span::from_millis(1));
    let passed = play.deadline();
    assert_eq!((passed.told, passed.effects), (Told::Changed, vec!["summarize".to_owned()]));
    assert_eq!(
        [0, 1, 2].map(|i| play.status(i)),
        [ended(Outcome::TimedOut), ended(Outcome::TimedOut), Status::Waiting]
    );
    assert_eq!(play.target(0).reason.as_ref().unwrap().cause, "No answer before the deadline of 2 h");
    assert_eq!(play.verdict(), Some(Verdict::TimedOut));
    let again = play.deadline();
    assert_eq!((again.told, again.effects), (Told::Duplicate, vec!["summarize".to_owned()]));
}

#[test]
fn the_deadline_ends_a_retry_that_began_after_the_run_had_closed() {
    let mut play = running();
    play.observe(0, Failed);
    play.observe_try(0, Resumed, Some(2));
    assert_eq!(play.verdict(), None);
    play.wait(DEADLINE);
    assert_eq!(play.deadline().told, Told::Changed);
    assert_eq!((play.status(0), play.verdict()), (ended(Outcome::TimedOut), Some(Verdict::Failed)));
    play.observe_try(0, Succeeded, Some(2));
    assert_eq!(play.verdict(), Some(Verdict::Succeeded));
}

// Whose event it is.

#[test]
fn a_started_event_that_names_the_run_is_faster_than_the_worker_that_started_it() {
    let mut play = Play::of(&[(1, 1, 0)]);
    play.claim(0);
    let mut early = play.observation(0, 1, Started, Some(1));
    early.started_by = Some(play.session());
    assert_eq!(play.told(early.clone()).told, Told::Changed);
    assert_eq!(play.target(0).execution, Some(execution(0, 1)));
    assert_eq!(play.target(0).started_at, Some(early.at));
    assert_eq!(play.started(0, 1).told, Told::Duplicate);
    let other = Observation { execution: execution(7, 7), ..early };
    assert_eq!(play.told(other).told, Told::Stray("an execution that this run did not start"));
}

#[test]
fn an_event_is_ours_only_if_it_names_our_run_and_a_worker_had_claimed_its_target() {
    let not_ours = Told::Stray("an execution that this run did not start");
    let mut play = Play::of(&[(1, 1, 0)]);
    play.claim(0);
    let unnamed = play.observation(0, 1, Started, Some(1));
    assert_eq!(play.told(unnamed.clone()).told, not_ours);
    let another = format!("arn:aws:sts::444455556666:assumed-role/ManifoldTarget/{}", run_id("another").session_name());
    assert_eq!(play.told(Observation { started_by: Some(another), ..unnamed.clone() }).told, not_ours);
    let named = Observation { started_by: Some(play.session()), ..unnamed };
    let elsewhere = Observation { subject: "another".parse().unwrap(), ..named.clone() };
    assert_eq!(play.told(elsewhere).told, Told::Stray("something else in the account"));
    let nowhere = Observation { target: key(5), ..named.clone() };
    assert_eq!(play.told(nowhere).told, Told::Stray("no such target in this run"));
    // Second attempt, not claimed yet: whatever was started, this run's workers did not.
    let mut play = Play::with_attempts(&[(1, 1, 0)], 2);
    play.start(0);
    play.observe(0, Failed);
    let unclaimed = Observation { execution: execution(0, 2), ..named };
    assert_eq!(play.told(unclaimed).told, not_ours);
}

// Why it failed.

#[test]
fn a_failure_is_explained_once_by_its_event_or_by_asking() {
    let mut play = running();
    assert_eq!(play.observe(0, Failed).effects, ["explain 0", "summarize"]);
    assert_eq!(play.observe(0, Failed).effects, ["explain 0", "summarize"], "asking again does no harm");
    let explained = play.explained("JobFailed in action Deploy", 1);
    assert_eq!((explained.told, explained.effects), (Told::Changed, vec!["summarize".to_owned()]));
    assert_eq!(play.explained("JobFailed in action Deploy", 1).told, Told::Duplicate);
    assert_eq!(play.observe(0, Failed).effects, ["summarize"]);
    let mut play = running();
    play.action_failed("JobFailed in action Deploy", 1);
    assert_eq!(play.status(0), Status::Running, "an action's failure does not end the execution");
    assert_eq!(play.observe(0, Failed).effects, ["summarize"], "the action's event came first");
}

#[test]
fn the_reason_of_an_earlier_try_does_not_explain_a_later_one() {
    let mut play = running();
    play.action_failed("JobFailed in action Test", 1);
    play.observe_try(0, Failed, Some(2));
    assert_eq!(play.observe_try(0, Failed, Some(2)).effects, ["explain 0", "summarize"]);
    play.explained("JobFailed in action Deploy", 2);
    play.action_failed("JobFailed in action Test", 1);
    assert_eq!(play.target(0).reason.as_ref().unwrap().cause, "JobFailed in action Deploy");
}

#[test]
fn an_explanation_of_another_execution_is_too_late() {
    let mut play = Play::of(&[(1, 1, 0)]);
    assert_eq!(play.explained("JobFailed", 1).told, Told::Stray("no such target"));
    play.claim(0);
    assert_eq!(play.explained("JobFailed", 1).told, Told::TooLate);
}

#[test]
fn what_delayed_the_start_does_not_explain_what_came_after_it() {
    let mut play = Play::of(&[(1, 1, 0)]);
    play.claim(0);
    play.refused(0, 1, super::play::later());
    play.start(0);
    assert_eq!(play.observe(0, Failed).effects, ["explain 0", "summarize"]);
    play.action_failed("JobFailed in action Deploy", 1);
    assert_eq!(play.target(0).reason.as_ref().unwrap().cause, "JobFailed in action Deploy");
}

#[test]
fn the_words_of_whoever_stopped_it_are_kept_in_any_order() {
    let told = [(Stopping, Some("Wrong release, see INC-7")), (Stopped, None)];
    for order in [[0, 1], [1, 0]] {
        let mut play = running();
        for at in order {
            let (state, comments) = told[at].clone();
            play.stop(state, comments);
        }
        let reason = play.target(0).reason.as_ref().unwrap();
        assert_eq!(reason.cause, "Stopped in the target account");
        assert_eq!(reason.detail.as_deref(), Some("Wrong release, see INC-7"));
        assert_eq!(play.status(0), ended(Outcome::Failed));
    }
}

#[test]
fn a_target_that_is_retried_after_the_verdict_has_as_long_as_a_run_may_take() {
    let mut play = Play::of(&[(1, 1, 0)]);
    play.start(0);
    play.observe(0, Failed);
    assert_eq!(play.verdict(), Some(Verdict::Failed));
    play.wait(DEADLINE);
    play.wait(DEADLINE);
    let reopened = play.observe_try(0, Resumed, Some(2));
    assert!(reopened.step.watch, "it is looked after again: {reopened:?}");
    assert_eq!(play.deadline().told, Told::Duplicate, "its own deadline has not passed");
    assert_eq!((play.status(0), play.verdict()), (Status::Running, None));
    play.wait(DEADLINE);
    assert_eq!(play.deadline().told, Told::Changed);
    assert_eq!((play.status(0), play.verdict()), (ended(Outcome::TimedOut), Some(Verdict::Failed)));
}

#[test]
fn a_target_remembers_what_was_heard_of_it_and_when_and_how() {
    let mut play = running();
    let started = play.observation(0, 1, Started, Some(1));
    play.wait(Span::from_seconds(5));
    play.told(started.clone());
    let received = play.now;
    assert_eq!(play.told(started.clone()).told, Told::Duplicate);
    play.wait(Span::from_seconds(60));
    play.action_failed("JobFailed in action Deploy", 1);
    let asked = Observation { learnt: Learnt::ByAsking, ..play.observation(0, 1, Failed, Some(1)) };
    play.told(asked.clone());

    let heard = &play.target(0).heard;
    assert_eq!(heard.len(), 3, "a duplicate changes nothing: {heard:#?}");
    assert_eq!(heard[0], Heard::of(&started, received));
    assert!(heard[0].at < heard[0].received, "{:?}", heard[0]);
    assert_eq!(heard[1].what, HeardOf::ActionFailed { cause: "JobFailed in action Deploy".to_owned(), attempt: 1 });
    assert_eq!(heard[2], Heard::of(&asked, play.now));
    assert_eq!((heard[0].learnt, heard[2].learnt), (Learnt::ByEvent, Learnt::ByAsking));
}

#[test]
fn what_was_heard_of_a_failed_attempt_is_remembered_in_the_next_one() {
    let mut play = Play::with_attempts(&[(1, 1, 0)], 2);
    play.start(0);
    play.observe(0, Failed);
    play.claim_as(0, 2, "worker-2");
    play.started(0, 2);
    let succeeded = play.observation(0, 2, Succeeded, None);
    play.told(succeeded);
    let executions: Vec<_> = play.target(0).heard.iter().map(|heard| heard.execution.clone()).collect();
    assert_eq!(executions, [execution(0, 1), execution(0, 2)]);
}

#[test]
fn what_is_remembered_is_bounded_and_keeps_its_beginning_and_its_end() {
    let mut play = running();
    play.observe_try(0, Started, Some(1));
    for attempt in 2..100 {
        play.wait(Span::from_seconds(1));
        play.observe_try(0, Resumed, Some(attempt));
    }
    let heard = &play.target(0).heard;
    assert_eq!(heard.len(), Heard::MAX);
    let first = HeardOf::State { state: Started, attempt: Some(1) };
    let last = HeardOf::State { state: Resumed, attempt: Some(99) };
    assert_eq!((&heard[0].what, &heard[Heard::MAX - 1].what), (&first, &last));
    assert!(heard.is_sorted_by_key(|heard| heard.received));
}

#[test]
fn two_orders_of_arrival_differ_in_nothing_but_what_was_heard() {
    let of = |order: [(PipelineState, u32); 3]| {
        let mut play = running();
        let told = order.map(|(state, attempt)| play.observation(0, 1, state, Some(attempt)));
        for observation in told {
            play.told(observation);
        }
        play.target(0).clone()
    };
    let [one, other] =
        [[(Started, 1), (Resumed, 2), (Succeeded, 2)], [(Succeeded, 2), (Resumed, 2), (Started, 1)]].map(of);
    assert_eq!((one.heard.len(), other.heard.len()), (3, 1));
    assert_eq!(one.without_heard(), other.without_heard());
}
