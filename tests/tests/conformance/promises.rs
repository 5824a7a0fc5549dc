//! What every engine promises.

use std::collections::BTreeSet;

use manifold_core::console::is_console_link;
use manifold_core::engine::{Service, Verb};
use manifold_core::event::PipelineState;
use manifold_core::ids::Attempt;
use manifold_core::run::{ReasonSource, Refusal};
use manifold_core::time::Span;
use manifold_tests::wire::engines::{Fate, Mishap};

use crate::stage::{Stage, Try, ours, ours_again, place, theirs};
use crate::table::{Row, row};

fn rows() -> impl Iterator<Item = &'static Row> {
    Service::ALL.into_iter().map(row)
}

#[tokio::test]
async fn started_twice_it_runs_once() {
    for row in rows() {
        let service = row.service;
        let mut stage = Stage::set(row).await;
        let execution = stage.begin(&ours()).await;
        if row.has_token {
            assert_eq!(stage.begin(&ours()).await, execution, "{service}");
            // Another worker, after it has ended.
            stage.settle();
            stage.another_worker().await;
            assert_eq!(stage.begin(&ours()).await, execution, "{service}");
        } else {
            // There is no second call before a look.
            stage.another_worker().await;
            assert_eq!(stage.find(&ours(), &[]).await, Ok(Some(execution.clone())), "{service}");
            stage.settle();
            assert_eq!(stage.find(&ours(), &[]).await, Ok(Some(execution.clone())), "{service}");
        }
        let started = stage.started();
        assert_eq!(started.len(), 1, "{service}: {started:#?}");
        assert_eq!((started[0].service, started[0].id.as_str()), (service, execution.as_str()));
        assert_eq!(started[0].target, place());
    }
}

#[tokio::test]
async fn an_answer_that_is_lost_starts_nothing_more() {
    for row in rows() {
        let service = row.service;
        let stage = Stage::set(row).await;
        stage.befall(row.begins, Mishap::Unanswered);
        let begun = stage.try_begin(&ours()).await;
        let calls = stage.calls(row.begins);
        match begun {
            Ok(execution) if row.has_token => {
                assert_eq!(calls, 2, "{service}: the SDK asks again with the same token");
                assert_eq!(stage.find(&ours(), &[]).await, Ok(Some(execution)), "{service}");
            }
            Err(Refusal::Later { .. }) if !row.has_token => {
                assert_eq!(calls, 1, "{service}: nobody knows what came of it, and it is not repeated");
                let found = stage.find(&ours(), &[]).await.unwrap();
                assert_eq!(found.map(|found| found.to_string()), Some(stage.started()[0].id.clone()), "{service}");
            }
            other => panic!("{service}: {other:?}"),
        }
        assert_eq!(stage.started().len(), 1, "{service}");
    }
}

#[tokio::test]
async fn two_workers_at_once_start_one() {
    for row in rows().filter(|row| row.has_token) {
        let stage = Stage::set(row).await;
        let (ours, again) = (ours(), ours());
        let (one, two) = tokio::join!(stage.try_begin(&ours), stage.try_begin(&again));
        assert_eq!(one.unwrap(), two.unwrap(), "{}", row.service);
        assert_eq!(stage.started().len(), 1, "{}", row.service);
    }
}

#[tokio::test]
async fn what_a_worker_started_and_did_not_record_is_found_and_nothing_else_is() {
    for row in rows() {
        let service = row.service;
        let mut stage = Stage::set(row).await;
        assert_eq!(stage.find(&ours(), &[]).await, Ok(None), "{service}: nothing was started at all");
        let other = stage.begin(&theirs()).await;
        stage.settle();
        assert_eq!(stage.find(&ours(), &[]).await, Ok(None), "{service}: another run's is none of ours");
        let execution = stage.begin(&ours()).await;
        stage.another_worker().await;
        // As long as it runs, and when it has ended.
        for _ in 0..2 {
            assert_eq!(stage.find(&ours(), &[]).await, Ok(Some(execution.clone())), "{service}");
            assert_eq!(stage.find(&ours(), std::slice::from_ref(&execution)).await, Ok(None), "{service}");
            assert_eq!(stage.find(&theirs(), &[]).await, Ok(Some(other.clone())), "{service}");
            stage.settle();
        }
    }
}

#[tokio::test]
async fn it_is_found_among_many_page_by_page() {
    for row in rows().filter(|row| row.service != Service::CodePipeline) {
        let mut stage = Stage::set(row).await;
        let execution = stage.begin(&ours()).await;
        stage.settle();
        for attempt in 1..=3 {
            let theirs = Try { attempt: Attempt(attempt), version: format!("1.3.{attempt}"), ..theirs() };
            stage.begin(&theirs).await;
            stage.settle();
        }
        // An update of a stack tells eight or so events.
        let page = if row.service == Service::CloudFormation { 10 } else { 2 };
        stage.standin.engines(|engines| engines.page_size(page));
        assert_eq!(stage.find(&ours(), &[]).await, Ok(Some(execution)), "{}", row.service);
    }
}

#[tokio::test]
async fn the_next_attempt_is_another_execution() {
    for row in rows() {
        let service = row.service;
        let mut stage = Stage::set(row).await;
        stage.standin.engines(|engines| engines.behave_next(&place(), row.failures[0].fate()));
        let first = stage.begin(&ours()).await;
        stage.settle();
        assert_eq!(stage.state(&first).await, PipelineState::Failed, "{service}");
        let past = [first.clone()];
        assert_eq!(stage.find(&ours_again(), &past).await, Ok(None), "{service}");
        let second = stage.begin(&ours_again()).await;
        assert_ne!(second, first, "{service}");
        assert_eq!(stage.find(&ours_again(), &past).await, Ok(Some(second.clone())), "{service}");
        stage.settle();
        assert_eq!(stage.state(&second).await, PipelineState::Succeeded, "{service}");
        assert_eq!(stage.state(&first).await, PipelineState::Failed, "{service}: what was, stays");
    }
}

#[tokio::test]
async fn events_carry_the_id_that_start_returned_in_the_targets_own_place() {
    for row in rows() {
        let service = row.service;
        let mut stage = Stage::set(row).await;
        let execution = stage.begin(&ours()).await;
        stage.settle();
        let states: Vec<_> = stage.told.iter().filter_map(|told| told.state().cloned()).collect();
        assert_eq!(states.first(), Some(&PipelineState::Started), "{service}: {:#?}", stage.told);
        assert_eq!(states.last(), Some(&PipelineState::Succeeded), "{service}");
        for told in &stage.told {
            assert_eq!((&told.execution, &told.target), (&execution, &place()), "{service}: {told:#?}");
            assert_eq!(told.subject, stage.planned.subject, "{service}");
        }
        let runs: BTreeSet<_> = stage.told.iter().filter_map(|told| told.session_run()).collect();
        let expected: BTreeSet<_> = row.tells_the_run.then(|| ours().run).into_iter().collect();
        assert_eq!(runs, expected, "{service}");
    }
}

/// After everything that happens, asking tells what events told: no more, and no less.
#[tokio::test]
async fn asking_tells_what_events_would_have_told() {
    for row in rows() {
        let service = row.service;
        let ends = [
            (Fate::succeeds(120), false, PipelineState::Succeeded),
            (row.failures[0].fate(), false, PipelineState::Failed),
            (Fate::NeverEnds, true, row.stopped.clone()),
        ];
        for (fate, is_stopped, end) in ends {
            let mut stage = Stage::set(row).await;
            stage.behave(fate);
            let execution = stage.begin(&ours()).await;
            assert_eq!(stage.state(&execution).await, PipelineState::Started, "{service}");
            if is_stopped {
                while stage.next() {}
                stage.stop(&execution).await.unwrap();
            }
            while stage.next() {
                let asked = stage.ask(&execution).await.unwrap().unwrap();
                let told = stage.told_state(&execution);
                let known = told.as_ref().map_or(&PipelineState::Started, |(state, _)| state);
                assert_eq!(&asked.state, known, "{service}, on its way to {end}");
                if let Some((_, at)) = told.filter(|(state, _)| *state == end) {
                    assert!(asked.at.since(at) < Span::from_seconds(2), "{service}: {} is not {at}", asked.at);
                    assert!(at.since(asked.at) < Span::from_seconds(2), "{service}: {} is not {at}", asked.at);
                }
            }
            assert_eq!(stage.told_state(&execution).map(|(state, _)| state), Some(end.clone()), "{service}");
            assert_eq!(stage.state(&execution).await, end, "{service}");
        }
    }
}

#[tokio::test]
async fn when_every_event_is_lost_asking_tells_the_end_and_why() {
    for row in rows() {
        let service = row.service;
        let mut stage = Stage::set(row).await;
        stage.standin.engines(|engines| engines.lose_events(&place(), true));
        stage.standin.engines(|engines| engines.behave_next(&place(), row.failures[0].fate()));
        let failed = stage.begin(&ours()).await;
        stage.settle();
        let succeeded = stage.begin(&ours_again()).await;
        stage.settle();
        assert!(stage.told.is_empty(), "{service}: {:#?}", stage.told);
        assert_eq!(stage.state(&failed).await, PipelineState::Failed, "{service}");
        assert_eq!(stage.state(&succeeded).await, PipelineState::Succeeded, "{service}");
        assert_eq!(stage.explain(&failed).await.unwrap().cause, row.failures[0].cause, "{service}");
    }
}

#[tokio::test]
async fn a_failure_is_explained_and_grouped_with_what_its_events_tell() {
    for row in rows() {
        for failure in row.failures {
            let mut stage = Stage::set(row).await;
            stage.behave(failure.fate());
            let execution = stage.begin(&ours()).await;
            stage.settle();
            let reason = stage.explain(&execution).await.unwrap();
            assert_eq!(reason.cause, failure.cause);
            let detail = reason.detail.unwrap();
            assert!(detail.contains(failure.why), "{}: {detail}", failure.cause);
            let link = reason.link.unwrap();
            assert!(is_console_link(&link) && link.contains(row.link), "{}: {link}", failure.cause);
            assert_eq!((reason.source, reason.attempt), (ReasonSource::Engine, 0));
            let told = stage.told_reason(&execution);
            let causes = told.iter().map(|told| told.cause.as_str()).collect::<Vec<_>>();
            let expected: Vec<_> = row.tells_why.then_some(failure.cause).into_iter().collect();
            assert_eq!(causes, expected);
            assert!(told.iter().filter_map(|told| told.link.as_deref()).all(is_console_link), "{told:?}");
        }
    }
}

#[tokio::test]
async fn it_is_stopped_while_it_runs_and_to_stop_it_again_is_no_error() {
    for row in rows() {
        let service = row.service;
        let mut stage = Stage::set(row).await;
        stage.behave(Fate::succeeds(600));
        let execution = stage.begin(&ours()).await;
        stage.pass(Span::from_seconds(90));
        stage.stop(&execution).await.unwrap();
        stage.stop(&execution).await.unwrap_or_else(|refusal| panic!("{service}, being stopped: {refusal:?}"));
        stage.settle();
        assert_eq!(stage.state(&execution).await, row.stopped, "{service}");
        let told = stage.told_state(&execution).map(|(state, _)| state);
        assert_eq!(told.as_ref(), Some(&row.stopped), "{service}");
        stage.stop(&execution).await.unwrap_or_else(|refusal| panic!("{service}, stopped: {refusal:?}"));
        stage.settle();
        assert_eq!(stage.state(&execution).await, row.stopped, "{service}");
        assert_eq!(stage.find(&ours(), &[]).await, Ok(Some(execution)), "{service}");
        assert_eq!(stage.started().len(), 1, "{service}");
    }
}

#[tokio::test]
async fn what_has_ended_is_left_as_it_is_and_so_is_what_runs_now() {
    for row in rows() {
        let service = row.service;
        let mut stage = Stage::set(row).await;
        let execution = stage.begin(&ours()).await;
        stage.settle();
        stage.stop(&execution).await.unwrap_or_else(|refusal| panic!("{service}: {refusal:?}"));
        let other = stage.begin(&theirs()).await;
        stage.pass(Span::from_seconds(60));
        stage.stop(&execution).await.unwrap_or_else(|refusal| panic!("{service}: {refusal:?}"));
        stage.settle();
        assert_eq!(stage.state(&execution).await, PipelineState::Succeeded, "{service}");
        assert_eq!(stage.state(&other).await, PipelineState::Succeeded, "{service}");
    }
}

#[tokio::test]
async fn a_target_is_entered_once_for_all_that_is_asked_of_it() {
    for row in rows() {
        let service = row.service;
        let mut stage = Stage::set(row).await;
        assert!(!stage.is_entered(), "{service}");
        stage.behave(row.failures[0].fate());
        let execution = stage.begin(&ours()).await;
        assert!(stage.is_entered(), "{service}");
        for verb in [Verb::Find, Verb::Ask, Verb::Stop] {
            stage.verb(verb, &execution).await.unwrap();
        }
        stage.settle();
        stage.begin(&theirs()).await;
        stage.settle();
        assert_eq!(stage.standin.sessions().len(), 2, "{service}: one for each run");
        stage.explain(&execution).await.unwrap();
        assert_eq!(stage.standin.sessions().len(), 2, "{service}");
        let name = stage.standin.sessions()[0].name.clone();
        assert_eq!(name, ours().run.session_name(), "{service}");
    }
}

#[tokio::test]
async fn the_table_names_every_call() {
    for row in rows() {
        let mut stage = Stage::set(row).await;
        stage.behave(Fate::succeeds(600));
        let execution = stage.begin(&ours()).await;
        stage.find(&ours(), &[]).await.unwrap();
        stage.ask(&execution).await.unwrap();
        stage.pass(Span::from_seconds(90));
        stage.stop(&execution).await.unwrap();
        stage.settle();
        stage.behave(row.failures[0].fate());
        let failed = stage.begin(&ours_again()).await;
        stage.settle();
        stage.explain(&failed).await.unwrap();
        let made: BTreeSet<String> = stage.standin.engines(|engines| engines.calls(&place()).into_keys().collect());
        let named: BTreeSet<String> =
            row.calls.iter().flat_map(|(_, calls)| calls.iter().map(|call| (*call).to_owned())).collect();
        assert_eq!(made, named, "{}", row.service);
    }
}
