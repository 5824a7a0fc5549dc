//! Whose turn it is: waves, slots and tolerance, and how a run ends.

use manifold_core::event::PipelineState::{self, Failed, Resumed, Succeeded, Superseded};
use manifold_core::run::{Closing, Outcome, Phase, Status, Told, Verdict};

use super::play::{DEADLINE, Play, permanent};

impl Play {
    fn ends(&mut self, index: u32, state: PipelineState) -> Vec<String> {
        self.start(index);
        self.observe(index, state).effects
    }

    fn closing(&self) -> Option<&Closing> {
        match &self.head.phase {
            Phase::Closed { because, .. } => Some(because),
            Phase::Waiting { .. } | Phase::Active { .. } => None,
        }
    }
}

#[test]
fn opening_gives_as_many_targets_their_turn_as_may_run_at_once() {
    assert_eq!(Play::of(&[(5, 2, 0), (1, 1, 0)]).opening, ["start 0", "start 1", "summarize"]);
    assert_eq!(Play::of(&[(2, 10, 0), (1, 1, 0)]).opening, ["start 0", "start 1", "summarize"]);
}

#[test]
fn an_ended_target_gives_its_slot_to_the_next_and_a_duplicate_says_so_again() {
    let mut play = Play::of(&[(4, 2, 0)]);
    play.start(1);
    assert_eq!(play.ends(0, Succeeded), ["start 2", "summarize"]);
    assert_eq!(play.observe(0, Succeeded).effects, ["start 2", "summarize"]);
    assert_eq!(play.claim(0).effects, ["start 2", "summarize"], "so does the message that started it");
    assert_eq!(play.observe(1, Succeeded).effects, ["start 3", "summarize"]);
    assert_eq!(play.status(3), Status::Queued);
}

#[test]
fn a_target_that_ended_twice_says_again_whose_turn_came_either_time() {
    let mut play = Play::of(&[(3, 1, 2)]);
    assert_eq!(play.ends(0, Failed), ["start 1", "explain 0", "summarize"]);
    play.observe_try(0, Resumed, Some(2));
    assert_eq!(play.ends(1, Succeeded), ["summarize"], "target 0 has its slot again");
    assert_eq!(play.observe_try(0, Succeeded, Some(2)).effects, ["start 1", "start 2", "summarize"]);
    assert_eq!(play.observe(0, Failed).effects, ["start 1", "start 2", "summarize"]);
}

#[test]
fn a_wave_begins_when_every_target_of_the_one_before_has_ended() {
    let mut play = Play::of(&[(2, 2, 1), (3, 2, 0)]);
    assert_eq!(play.ends(1, Succeeded), ["summarize"]);
    assert_eq!(play.status(2), Status::Waiting);
    assert_eq!(play.ends(0, Failed), ["start 2", "start 3", "explain 0", "summarize"]);
    assert_eq!(play.status(4), Status::Waiting);
}

#[test]
fn a_run_whose_every_target_succeeded_is_complete() {
    let mut play = Play::of(&[(1, 1, 0), (1, 1, 0)]);
    assert_eq!(play.ends(0, Succeeded), ["start 1", "summarize"]);
    assert_eq!(play.verdict(), None);
    assert_eq!(play.ends(1, Succeeded), ["summarize"]);
    assert_eq!((play.verdict(), play.closing()), (Some(Verdict::Succeeded), Some(&Closing::Complete)));
}

#[test]
fn what_a_wave_tolerates_is_counted_per_wave_and_is_not_green() {
    let mut play = Play::of(&[(2, 2, 1), (2, 2, 1)]);
    for (index, state) in [(0, Failed), (1, Succeeded), (2, Succeeded), (3, Failed)] {
        play.ends(index, state);
    }
    assert_eq!(play.closing(), Some(&Closing::Complete));
    assert_eq!(play.verdict(), Some(Verdict::CompletedWithFailures));
}

#[test]
fn over_its_tolerance_a_wave_starts_nothing_more_and_what_runs_may_end() {
    let mut play = Play::of(&[(4, 2, 0), (1, 1, 0)]);
    play.start(1);
    assert_eq!(play.ends(0, Failed), ["explain 0", "summarize"]);
    assert_eq!((play.verdict(), play.closing()), (None, None), "target 1 runs");
    assert_eq!(play.observe(1, Succeeded).effects, ["summarize"]);
    assert_eq!(play.verdict(), Some(Verdict::Failed));
    assert_eq!(play.closing(), Some(&Closing::Halted { wave: "wave 0".to_owned() }));
    assert_eq!(play.head.released(), 2);
}

#[test]
fn superseded_counts_against_the_tolerance_and_is_no_failure() {
    let mut play = Play::of(&[(2, 1, 0)]);
    play.ends(0, Superseded);
    assert_eq!(play.verdict(), Some(Verdict::Incomplete));
    let mut play = Play::of(&[(2, 1, 1)]);
    assert_eq!(play.ends(0, Superseded), ["start 1", "summarize"]);
    play.ends(1, Succeeded);
    assert_eq!(play.verdict(), Some(Verdict::Incomplete), "not green: a target does not have the release");
}

#[test]
fn each_outcome_without_the_release_counts_against_the_tolerance() {
    for outcome in [Outcome::Failed, Outcome::Unreachable] {
        let mut play = Play::of(&[(2, 1, 0)]);
        play.claim(0);
        assert_eq!(play.refused(0, 1, permanent(outcome)).effects, ["summarize"]);
        assert_eq!(play.verdict(), Some(Verdict::Failed));
    }
}

#[test]
fn a_failure_that_is_mended_in_its_account_brings_a_halted_run_back_within_its_tolerance() {
    // Every target had its turn, so what counts is how they ended, not which event came first.
    let mended_last = [(0, Failed, 1), (1, Failed, 1), (0, Resumed, 2), (0, Succeeded, 2)];
    let mended_first = [(0, Failed, 1), (0, Resumed, 2), (0, Succeeded, 2), (1, Failed, 1)];
    for order in [mended_last, mended_first] {
        let mut play = Play::of(&[(2, 2, 1)]);
        play.start(0);
        play.start(1);
        for (index, state, attempt) in order {
            play.observe_try(index, state, Some(attempt));
        }
        assert_eq!(play.verdict(), Some(Verdict::CompletedWithFailures));
    }
}

#[test]
fn a_halted_run_with_targets_that_never_had_their_turn_stays_failed_until_nothing_has_failed() {
    let mut play = Play::of(&[(2, 2, 1), (1, 1, 0)]);
    play.start(0);
    play.start(1);
    play.observe(0, Failed);
    play.observe(1, Failed);
    assert_eq!(play.verdict(), Some(Verdict::Failed));
    play.observe_try(0, Succeeded, Some(2));
    assert_eq!(play.verdict(), Some(Verdict::Failed));
    play.observe_try(1, Succeeded, Some(2));
    assert_eq!(play.verdict(), Some(Verdict::Incomplete), "the second wave does not have the release");
    assert_eq!(play.status(2), Status::Waiting, "a closed run starts nothing, even then");
}

#[test]
fn a_wave_that_only_the_deadline_brought_over_its_tolerance_timed_out() {
    let mut play = Play::of(&[(3, 3, 1), (1, 1, 0)]);
    play.ends(0, Failed);
    play.start(1);
    play.wait(DEADLINE);
    play.deadline();
    assert_eq!((play.verdict(), play.closing()), (Some(Verdict::TimedOut), Some(&Closing::DeadlinePassed)));
}

#[test]
fn a_wave_that_was_over_its_tolerance_before_the_deadline_failed() {
    let mut play = Play::of(&[(3, 3, 0), (1, 1, 0)]);
    play.ends(0, Failed);
    play.start(1);
    play.start(2);
    play.wait(DEADLINE);
    play.deadline();
    assert_eq!(play.verdict(), Some(Verdict::Failed), "one did not answer, and that is not why");
}

#[test]
fn past_its_deadline_a_run_gives_no_target_its_turn() {
    let mut play = Play::of(&[(3, 1, 0)]);
    play.start(0);
    play.wait(DEADLINE);
    assert_eq!(play.observe(0, Succeeded).effects, ["summarize"]);
    assert_eq!(play.verdict(), Some(Verdict::TimedOut));
    assert_eq!(play.claim(1).told, Told::Stray("its turn has not come"));
}
