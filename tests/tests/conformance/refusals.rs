//! What goes wrong with each call of each verb, and what it means.

use manifold_core::engine::{Service, Verb};
use manifold_core::ids::ExecutionId;
use manifold_core::run::{Outcome, Refusal};
use manifold_core::time::Span;
use manifold_tests::standin::Setting;
use manifold_tests::wire::engines::{Fate, Mishap};

use crate::stage::{Stage, ours, theirs};
use crate::table::{Limit, Row, row};

/// A stage on which a verb is about to be asked for.
async fn before(row: &'static Row, verb: Verb) -> (Stage, ExecutionId) {
    let mut stage = Stage::set(row).await;
    stage.behave(match verb {
        Verb::Explain => row.failures[0].fate(),
        Verb::Start | Verb::Find | Verb::Ask | Verb::Stop => Fate::succeeds(600),
    });
    if verb == Verb::Start {
        return (stage, "none".parse().unwrap());
    }
    let execution = stage.begin(&ours()).await;
    match verb {
        Verb::Explain => stage.settle(),
        Verb::Start | Verb::Find | Verb::Ask | Verb::Stop => stage.pass(Span::from_seconds(90)),
    }
    (stage, execution)
}

/// Every call of every verb of every engine: the mishaps befall it, and what comes of the verb is looked at.
async fn each_call(mishaps: impl Fn(&str) -> Vec<Mishap>, look: impl Fn(&Call<'_>, Result<(), Refusal>)) {
    for row in Service::ALL.into_iter().map(row) {
        for (verb, operations) in row.calls {
            for operation in *operations {
                let (stage, execution) = before(row, *verb).await;
                let sessions = stage.standin.sessions().len();
                let calls = stage.calls(operation);
                for mishap in mishaps(operation) {
                    stage.befall(operation, mishap);
                }
                let result = stage.verb(*verb, &execution).await;
                // The first one is every target's own.
                let sessions = stage.standin.sessions().len() - sessions.max(1);
                let calls = stage.calls(operation) - calls;
                let call = Call { row, verb: *verb, operation, calls, sessions, started: stage.started().len() };
                assert!(call.calls > 0, "{call}: it was not made");
                look(&call, result);
            }
        }
    }
}

/// A call, and what it cost.
struct Call<'a> {
    row: &'static Row,
    verb: Verb,
    operation: &'a str,
    /// How often it was made.
    calls: u64,
    /// How many sessions were opened besides the first.
    sessions: usize,
    /// How many executions there are.
    started: usize,
}

impl std::fmt::Display for Call<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} of {}, {}", self.verb, self.row.service, self.operation)
    }
}

fn refused(code: &str) -> Mishap {
    Mishap::Refused { code: code.to_owned(), message: "so it is".to_owned() }
}

/// Whether a call speaks JSON. The others speak XML, and have other codes.
fn speaks_json(operation: &str) -> bool {
    operation != "GetObject" && !row(Service::CloudFormation).calls.iter().any(|(_, calls)| calls.contains(&operation))
}

#[tokio::test]
async fn a_throttled_call_is_told_by_the_verbs_own_api_and_not_repeated() {
    each_call(
        |_| vec![Mishap::Throttled],
        |call, result| {
            let Err(Refusal::Throttled { api, reason }) = result else { panic!("{call}: {result:?}") };
            assert_eq!(api, call.row.service.api(call.verb), "{call}");
            assert_eq!(call.calls, 1, "{call}: each is one more that is throttled");
            let by = if call.operation == "GetObject" { "S3" } else { call.row.service.name() };
            assert_eq!(reason.cause, format!("Throttled by {by}"), "{call}");
            assert_eq!(call.started, usize::from(call.verb != Verb::Start), "{call}");
        },
    )
    .await;
}

#[tokio::test]
async fn a_call_that_is_denied_is_for_good_and_names_the_role() {
    each_call(
        |operation| vec![refused(if speaks_json(operation) { "AccessDeniedException" } else { "AccessDenied" })],
        |call, result| match result {
            Err(Refusal::Permanent { outcome: Outcome::Failed, reason }) => {
                let expected = format!("AccessDenied for {} in role ManifoldTarget", call.operation);
                assert_eq!(reason.cause, expected, "{call}");
                assert!(!call.row.spares.contains(&call.operation), "{call}");
            }
            Ok(()) => assert!(call.row.spares.contains(&call.operation), "{call}: nobody was told"),
            Err(other) => panic!("{call}: {other:?}"),
        },
    )
    .await;
}

#[tokio::test]
async fn expired_credentials_are_replaced_once() {
    let expired =
        |operation: &str| refused(if speaks_json(operation) { "ExpiredTokenException" } else { "ExpiredToken" });
    each_call(
        |operation| vec![expired(operation)],
        |call, result| {
            result.unwrap_or_else(|refusal| panic!("{call}: {refusal:?}"));
            assert_eq!(call.sessions, 1, "{call}");
            assert_eq!(call.started, 1, "{call}");
        },
    )
    .await;
    each_call(
        |operation| vec![expired(operation), expired(operation)],
        |call, result| {
            assert!(matches!(result, Err(Refusal::Later { .. })), "{call}: {result:?}");
            assert_eq!((call.sessions, call.calls), (1, 2), "{call}: two sessions can't both have expired");
        },
    )
    .await;
}

#[tokio::test]
async fn an_answer_that_is_lost_is_asked_for_again_but_where_that_could_start_more() {
    each_call(
        |_| vec![Mishap::Unanswered],
        |call, result| {
            assert_eq!(call.started, 1, "{call}");
            if call.operation == call.row.begins && !call.row.has_token {
                assert!(matches!(result, Err(Refusal::Later { .. })), "{call}: {result:?}");
                assert_eq!(call.calls, 1, "{call}");
            } else {
                result.unwrap_or_else(|refusal| panic!("{call}: {refusal:?}"));
                assert!(call.calls >= 2, "{call}");
            }
        },
    )
    .await;
}

#[tokio::test]
async fn a_service_that_does_not_answer_is_asked_later() {
    each_call(
        |_| vec![Mishap::Unanswered; 3],
        |call, result| {
            let Err(Refusal::Later { reason }) = result else { panic!("{call}: {result:?}") };
            let who = if call.operation == "GetObject" { "S3" } else { call.row.service.name() };
            assert_eq!(reason.cause, format!("{who} did not answer"), "{call}");
            assert!(call.started <= 1, "{call}");
        },
    )
    .await;
}

#[tokio::test]
async fn a_region_that_does_not_know_the_credentials_is_unreachable() {
    each_call(
        |operation| {
            vec![refused(if speaks_json(operation) { "UnrecognizedClientException" } else { "InvalidClientTokenId" })]
        },
        |call, result| match result {
            Err(Refusal::Permanent { outcome, reason }) => {
                assert_eq!(outcome, Outcome::Unreachable, "{call}");
                assert!(reason.cause.ends_with("in the target's Region"), "{call}: {}", reason.cause);
            }
            Ok(()) => assert!(call.row.spares.contains(&call.operation), "{call}: nobody was told"),
            Err(other) => panic!("{call}: {other:?}"),
        },
    )
    .await;
}

#[tokio::test]
async fn a_role_that_can_not_be_assumed_makes_the_target_unreachable() {
    for row in Service::ALL.into_iter().map(row) {
        let setting = Setting { denied: ["444455556666".to_owned()].into(), ..Setting::default() };
        let stage = Stage::with(row, setting).await;
        let refusal = stage.start(&ours()).await.unwrap_err();
        let Refusal::Permanent { outcome, reason } = refusal else { panic!("{}: {refusal:?}", row.service) };
        assert_eq!(outcome, Outcome::Unreachable, "{}", row.service);
        assert_eq!(reason.cause, "AccessDenied on role ManifoldTarget", "{}", row.service);
        assert!(!stage.is_entered(), "{}", row.service);
    }
}

#[tokio::test]
async fn what_is_not_there_fails_for_good() {
    let mut told = 0;
    for row in Service::ALL.into_iter().map(row) {
        for (subject, cause) in row.missing {
            let mut stage = Stage::set(row).await;
            stage.planned.subject = subject.parse().unwrap();
            let refusal = stage.try_begin(&ours()).await.unwrap_err();
            let Refusal::Permanent { outcome: Outcome::Failed, reason } = refusal else { panic!("{refusal:?}") };
            assert_eq!(reason.cause, *cause);
            assert!(reason.detail.is_some_and(|detail| !detail.is_empty()), "{cause}: not in the service's words");
            assert!(stage.started().is_empty());
            told += 1;
        }
    }
    assert!(told >= 4, "{told}");
}

#[tokio::test]
async fn an_engine_at_its_limit_is_waited_for() {
    for row in Service::ALL.into_iter().map(row) {
        let service = row.service;
        let mut stage = Stage::set(row).await;
        match row.limit {
            Limit::One => drop(stage.begin(&theirs()).await),
            Limit::Account(code) => stage.befall(row.begins, refused(code)),
        }
        let refusal = stage.try_begin(&ours()).await.unwrap_err();
        assert!(matches!(refusal, Refusal::Busy { .. }), "{service}: {refusal:?}");
        stage.settle();
        let execution = stage.begin(&ours()).await;
        stage.settle();
        assert_eq!(stage.told_state(&execution).unwrap().0.to_string(), "SUCCEEDED", "{service}");
    }
}
