//! Order does not matter (law 4), for any events at all.

use manifold_core::event::PipelineState;
use manifold_core::run::{Event, Observation, Observed, Reason, ReasonSource, Seen, Status, Tally, Verdict};
use manifold_core::time::{Span, Timestamp};
use proptest::prelude::*;

use super::play::{Play, key};

pub(crate) fn states() -> impl Strategy<Value = PipelineState> {
    prop::sample::select(vec![
        PipelineState::Started,
        PipelineState::Resumed,
        PipelineState::Stopping,
        PipelineState::Succeeded,
        PipelineState::Failed,
        PipelineState::Stopped,
        PipelineState::Canceled,
        PipelineState::Superseded,
        PipelineState::Unknown("HIBERNATING".to_owned()),
    ])
}

fn seen() -> impl Strategy<Value = Seen> {
    let parts = (states(), prop::option::of(0_u32..4), 0_i64..4);
    parts.prop_filter_map("it moves nothing", |(state, attempt, at)| {
        Seen::new(state, attempt, Timestamp::from_millis(at))
    })
}

fn reasons() -> impl Strategy<Value = Reason> {
    let text = || prop::option::of(prop::sample::select(vec!["a".to_owned(), "b".to_owned()]));
    let sources = prop::sample::select(vec![ReasonSource::Event, ReasonSource::Engine, ReasonSource::Manifold]);
    (prop::sample::select(vec!["x", "y"]), text(), text(), sources, 0_u32..3).prop_map(
        |(cause, detail, link, source, attempt)| Reason { cause: cause.to_owned(), detail, link, source, attempt },
    )
}

fn merges<T: Clone + PartialEq + std::fmt::Debug>(a: T, b: T, c: T, merge: fn(T, T) -> T) {
    assert_eq!(merge(a.clone(), b.clone()), merge(b.clone(), a.clone()), "commutative");
    let left = merge(merge(a.clone(), b.clone()), c.clone());
    assert_eq!(left, merge(a.clone(), merge(b, c)), "associative");
    assert_eq!(merge(a.clone(), a.clone()), a, "idempotent");
}

/// What is told of a run of three targets whose executions were started: which target, and what.
fn told() -> impl Strategy<Value = (u32, PipelineState, Option<u32>)> {
    (0_u32..3, states(), prop::option::of(1_u32..4))
}

fn outcome_of(order: &[(u32, PipelineState, Option<u32>)], tolerance: u32) -> (Vec<Status>, Tally, Option<Verdict>) {
    let mut play = Play::of(&[(3, 3, tolerance)]);
    (0..3).for_each(|index| drop(play.start(index)));
    for (index, state, attempt) in order {
        play.wait(Span::from_seconds(1));
        play.observe_try(*index, state.clone(), *attempt);
        let reason = Reason {
            cause: format!("{state} in action Deploy"),
            detail: None,
            link: None,
            source: ReasonSource::Event,
            attempt: attempt.unwrap_or(1),
        };
        let observation = play.observation(*index, 1, state.clone(), *attempt);
        play.tell(Event::Observed(Box::new(Observation { what: Observed::ActionFailed { reason }, ..observation })));
    }
    ((0..3).map(|index| play.target(index).status()).collect(), play.head.tally(), play.verdict())
}

proptest! {
    #[test]
    fn observations_of_an_execution_merge_in_any_order_and_number(a in seen(), b in seen(), c in seen()) {
        merges(a, b, c, Seen::merge);
    }

    #[test]
    fn reasons_merge_in_any_order_and_number(a in reasons(), b in reasons(), c in reasons()) {
        merges(a, b, c, Reason::merge);
    }

    #[test]
    fn any_order_and_duplication_of_a_runs_events_gives_the_same_statuses_counts_and_verdict(
        events in prop::collection::vec(told(), 0..12),
        tolerance in 0_u32..3,
        (shuffled, duplicated) in (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
        seed in prop::collection::vec(any::<u32>(), 24),
    ) {
        let expected = outcome_of(&events, tolerance);
        let mut other = events.clone();
        if !events.is_empty() {
            other.extend_from_within(..=duplicated.index(events.len()));
            let turn = shuffled.index(other.len());
            other.rotate_left(turn);
        }
        let mut keyed: Vec<_> = other.into_iter().zip(seed).collect();
        keyed.sort_by_key(|(_, place)| *place);
        let other: Vec<_> = keyed.into_iter().map(|(event, _)| event).collect();
        prop_assert_eq!(outcome_of(&other, tolerance), expected);
    }

    #[test]
    fn early_events_that_name_their_run_give_the_same_result_as_late_ones(
        events in prop::collection::vec((states(), prop::option::of(1_u32..4)), 1..8),
    ) {
        let tell = |worker_first: bool| {
            let mut play = Play::of(&[(1, 1, 0)]);
            play.claim(0);
            if worker_first {
                play.started(0, 1);
            }
            for (state, attempt) in &events {
                let mut observation = play.observation(0, 1, state.clone(), *attempt);
                observation.started_by = Some(play.session());
                play.tell(Event::Observed(Box::new(observation)));
            }
            play.started(0, 1);
            (play.targets[&key(0)].status(), play.head.tally(), play.verdict())
        };
        prop_assert_eq!(tell(true), tell(false));
    }
}
