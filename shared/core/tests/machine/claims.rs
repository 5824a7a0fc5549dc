//! A worker wants to start an attempt: the claim comes before the call (law 1).

use manifold_core::event::PipelineState;
use manifold_core::ids::Attempt;
use manifold_core::run::{Event, Outcome, Status, Told, Verdict};
use manifold_core::time::Span;

use super::play::{DEADLINE, LEASE, Play, key, later};

const FRESH: Told = Told::Claimed { look_first: false, may_start: true };

impl Play {
    fn not_found(&mut self, index: u32) -> super::play::Answer {
        self.tell(Event::NotFound { target: key(index), attempt: Attempt(1) })
    }
}

#[test]
fn a_fresh_claim_is_the_workers_until_its_lease_ends() {
    let mut play = Play::of(&[(1, 1, 0)]);
    let claimed = play.claim_as(0, 1, "a");
    assert_eq!(claimed.told, FRESH);
    assert_eq!(claimed.effects, [""; 0], "nothing to tell before something is started");
    assert_eq!(claimed.step.head, None, "a claim counts nothing: the head is not contended");
    assert_eq!(play.status(0), Status::Starting);
    let until = play.now.plus(LEASE);
    assert_eq!(play.target(0).claim.as_ref().unwrap().lease_until, until);
    assert_eq!(play.target(0).first_claimed_at, Some(play.now));
}

#[test]
fn a_worker_whose_claim_had_landed_unnoticed_finds_it_its_own() {
    let mut play = Play::of(&[(1, 1, 0)]);
    play.claim_as(0, 1, "a");
    let again = play.claim_as(0, 1, "a");
    assert_eq!(again.told, FRESH);
    assert_eq!(again.step, Default::default());
}

#[test]
fn another_worker_is_kept_away_until_the_lease_ends_and_then_looks_for_what_the_first_one_started() {
    let mut play = Play::of(&[(1, 1, 0)]);
    play.claim_as(0, 1, "a");
    let (first, until) = (play.now, play.now.plus(LEASE));
    play.wait(Span::from_millis(LEASE.as_millis() - 1));
    assert_eq!(play.claim_as(0, 1, "b").told, Told::Held { until });
    play.wait(Span::from_millis(1));
    let takeover = Told::Claimed { look_first: true, may_start: true };
    assert_eq!(play.claim_as(0, 1, "b").told, takeover);
    assert_eq!(play.claim_as(0, 1, "b").told, takeover, "told again, it still has to look");
    assert_eq!(play.target(0).first_claimed_at, Some(first), "from there on the execution is looked for");
    assert_eq!(play.claim_as(0, 1, "a").told, Told::Held { until: play.now.plus(LEASE) });
}

#[test]
fn what_a_dead_worker_may_have_started_is_looked_for_even_after_the_deadline_gave_it_up() {
    let mut play = Play::of(&[(1, 1, 0)]);
    play.wait(Span::from_millis(DEADLINE.as_millis() - 1));
    play.claim_as(0, 1, "a");
    play.wait(Span::from_millis(1));
    play.deadline();
    assert_eq!((play.status(0), play.verdict()), (Status::Ended(Outcome::TimedOut), Some(Verdict::TimedOut)));
    assert!(matches!(play.claim_as(0, 1, "b").told, Told::Held { .. }), "the first worker may be at it");
    play.wait(LEASE);
    assert_eq!(play.claim_as(0, 1, "b").told, Told::Claimed { look_first: true, may_start: false });
    play.started(0, 1);
    play.observe(0, PipelineState::Succeeded);
    assert_eq!(play.verdict(), Some(Verdict::Succeeded), "it had been started, and its answer counts");
}

#[test]
fn what_is_not_found_after_the_deadline_is_not_looked_for_again() {
    let mut play = Play::of(&[(1, 1, 0)]);
    play.claim_as(0, 1, "a");
    play.wait(DEADLINE);
    play.deadline();
    assert_eq!(play.claim_as(0, 1, "b").told, Told::Claimed { look_first: true, may_start: false });
    play.not_found(0);
    assert_eq!(play.status(0), Status::Ended(Outcome::TimedOut));
    assert_eq!(play.claim_as(0, 1, "c").told, Told::TooLate);
}

#[test]
fn what_a_call_that_seemed_to_fail_may_have_started_is_looked_for_after_the_deadline_too() {
    let mut play = Play::of(&[(1, 1, 0)]);
    play.claim_as(0, 1, "a");
    play.refused(0, 1, later());
    play.wait(DEADLINE);
    play.deadline();
    assert_eq!(play.claim_as(0, 1, "b").told, Told::Claimed { look_first: true, may_start: false });
    play.not_found(0);
    assert_eq!(play.claim_as(0, 1, "c").told, Told::TooLate);
}

#[test]
fn an_attempt_that_was_put_back_may_have_been_started_by_a_call_that_seemed_to_fail() {
    let mut play = Play::of(&[(1, 1, 0)]);
    play.claim_as(0, 1, "a");
    play.refused(0, 1, later());
    assert_eq!(play.claim_as(0, 1, "b").told, Told::Claimed { look_first: true, may_start: true });
}

#[test]
fn what_runs_or_has_ended_is_too_late_to_claim() {
    let mut play = Play::of(&[(1, 1, 0)]);
    play.start(0);
    assert_eq!(play.claim(0).told, Told::TooLate);
    play.observe(0, PipelineState::Stopping);
    assert_eq!(play.claim(0).told, Told::TooLate);
    play.observe(0, PipelineState::Succeeded);
    let late = play.claim(0);
    assert_eq!((late.told, late.step.targets, late.step.head), (Told::TooLate, vec![], None));
}

#[test]
fn a_message_of_another_attempt_is_too_late() {
    let mut play = Play::with_attempts(&[(1, 1, 0)], 2);
    assert_eq!(play.claim_as(0, 2, "a").told, Told::TooLate, "the second attempt is not due");
    play.start(0);
    play.observe(0, PipelineState::Failed);
    assert_eq!(play.claim_as(0, 1, "a").told, Told::TooLate);
    assert_eq!(play.claim_as(0, 2, "a").told, FRESH);
}

#[test]
fn a_target_whose_turn_has_not_come_is_a_stray() {
    let mut play = Play::of(&[(2, 1, 0), (1, 1, 0)]);
    assert_eq!(play.claim(1).told, Told::Stray("its turn has not come"));
    assert_eq!(play.claim(2).told, Told::Stray("its turn has not come"));
    assert!(play.targets.is_empty());
}

// What must not be started any more.

#[test]
fn once_a_wave_is_over_its_tolerance_what_was_not_claimed_is_skipped() {
    let mut play = Play::of(&[(3, 3, 0), (1, 1, 0)]);
    play.start(0);
    play.claim_as(1, 1, "a");
    play.observe(0, PipelineState::Failed);
    let skipped = play.claim(2);
    assert_eq!((skipped.told, skipped.effects), (Told::TooLate, vec!["summarize".to_owned()]));
    assert_eq!(play.status(2), Status::Ended(Outcome::Skipped));
    let again = play.claim(2);
    assert_eq!((again.told, again.effects, again.step.head), (Told::TooLate, vec!["summarize".to_owned()], None));
    assert_eq!(play.verdict(), None, "target 1 is being started");
    play.started(1, 1);
    play.observe(1, PipelineState::Succeeded);
    assert_eq!(play.verdict(), Some(Verdict::Failed));
    assert_eq!(play.status(3), Status::Waiting);
}

#[test]
fn a_takeover_in_a_halted_run_only_looks_and_skips_what_it_does_not_find() {
    let mut play = Play::of(&[(2, 2, 0)]);
    play.start(0);
    play.claim_as(1, 1, "a");
    play.observe(0, PipelineState::Failed);
    play.wait(LEASE);
    assert_eq!(play.claim_as(1, 1, "b").told, Told::Claimed { look_first: true, may_start: false });
    assert_eq!(play.not_found(1).told, Told::Changed);
    assert_eq!(play.status(1), Status::Ended(Outcome::Skipped));
    assert_eq!(play.verdict(), Some(Verdict::Failed));
    assert_eq!(play.not_found(1).told, Told::TooLate);
}

#[test]
fn a_takeover_in_a_halted_run_follows_what_it_finds() {
    let mut play = Play::of(&[(2, 2, 0)]);
    play.start(0);
    play.claim_as(1, 1, "a");
    play.observe(0, PipelineState::Failed);
    play.wait(LEASE);
    play.claim_as(1, 1, "b");
    play.started(1, 1);
    assert_eq!(play.not_found(1).told, Told::TooLate);
    play.observe(1, PipelineState::Succeeded);
    assert_eq!(play.status(1), Status::Ended(Outcome::Succeeded));
}

#[test]
fn what_was_put_back_in_a_halted_run_is_looked_for_and_not_started() {
    let mut play = Play::of(&[(2, 2, 0)]);
    play.start(0);
    play.claim_as(1, 1, "a");
    play.refused(1, 1, later());
    play.observe(0, PipelineState::Failed);
    assert_eq!(play.claim_as(1, 1, "b").told, Told::Claimed { look_first: true, may_start: false });
}

#[test]
fn past_the_deadline_a_queued_target_times_out_whether_its_worker_or_the_deadline_comes_first() {
    let mut worker_first = Play::of(&[(1, 1, 0)]);
    worker_first.wait(DEADLINE);
    assert_eq!(worker_first.claim(0).told, Told::TooLate);
    let mut deadline_first = Play::of(&[(1, 1, 0)]);
    deadline_first.wait(DEADLINE);
    deadline_first.deadline();
    assert_eq!(deadline_first.claim(0).told, Told::TooLate);
    for play in [worker_first, deadline_first] {
        assert_eq!(play.status(0), Status::Ended(Outcome::TimedOut));
        assert_eq!(play.target(0).reason.as_ref().unwrap().cause, "No answer before the deadline of 2 h");
        assert_eq!(play.verdict(), Some(Verdict::TimedOut));
    }
}

#[test]
fn a_closed_run_starts_nothing_that_it_had_not_begun() {
    let mut play = Play::of(&[(1, 1, 0)]);
    play.start(0);
    play.observe(0, PipelineState::Succeeded);
    assert!(play.head.is_closed());
    let claim = play.claim(0);
    assert_eq!((claim.told, claim.effects), (Told::TooLate, vec!["summarize".to_owned()]));
}

#[test]
fn what_failed_and_can_not_be_tried_again_has_failed_and_is_not_skipped() {
    let mut play = Play::with_attempts(&[(2, 2, 0)], 2);
    play.start(0);
    play.observe(0, PipelineState::Failed);
    assert_eq!(play.status(0), Status::Queued);
    play.start(1);
    play.observe(1, PipelineState::Superseded);
    assert_eq!(play.claim_as(0, 2, "b").told, Told::TooLate, "the wave is over its tolerance");
    assert_eq!(play.status(0), Status::Ended(Outcome::Failed));
}
