//! What is stored of drift checks: one of each kind, with every field.

use manifold_core::checkup::Tried;
use manifold_core::control::{Operator, Via, Who};
use manifold_core::drift::check::{
    Again, Change, Check, Closed, Concluded, Counts, Expected, Looked, News, Phase, Tally, Telling,
};
use manifold_core::drift::judge::{Finding, Value};
use manifold_core::drift::message::{Detection, Look};
use manifold_core::drift::sight::{
    DisabledTransition, ExecutionSeen, PendingApproval, PipelineSeen, PropertyDrift, ResourceDrift, Sight, StackDrift,
    StackSeen, StackSight, StateSeen, Trace,
};
use manifold_core::drift::{
    Accepted, Aspect, Baseline, Cause, Definition, Ignore, Last, OpenCheck, Policy, Quiet, Response, Stand, Standing,
    Turn,
};
use manifold_core::ids::{AppName, TargetKey};
use manifold_core::ledger::{DetectionOf, Item, Key, Listing, Opening};
use manifold_core::time::{Span, Timestamp};

use crate::samples::{EXECUTION, at, bot, key, planned, run};

fn app() -> AppName {
    "web".parse().unwrap()
}

fn now() -> Timestamp {
    at("2026-10-26T13:49:41.123Z")
}

fn other() -> TargetKey {
    key("444455556666", "us-west-2")
}

fn rule() -> Ignore {
    Ignore {
        target: "prod/*".to_owned(),
        aspect: Some(Aspect::Stack),
        path: Some("/svc-infra/*".to_owned()),
        owner: "jane".to_owned(),
        reason: "a test of load".to_owned(),
        until: at("2026-11-01T00:00:00Z"),
    }
}

fn check() -> Check {
    let tally = |what: &str| Tally([(what.to_owned(), 4), ("another".to_owned(), 1)].into());
    Check {
        run: run(),
        app: app(),
        cause: Cause::Scheduled { slot: at("2026-10-26T13:00:00Z"), every: Span::from_minutes(60) },
        opened_at: now(),
        due_at: at("2026-10-26T14:49:41Z"),
        size: 5,
        is_whole: true,
        policy: Policy {
            confirm: Some(Span::from_minutes(5)),
            quiet: Quiet::Edit,
            digest: Some(Span::from_minutes(60 * 24)),
            response: Response::Redeploy,
            ignore: vec![rule()],
            operators: vec![Operator {
                name: "jane".to_owned(),
                slack: vec!["U0123456789".to_owned()],
                iam: vec!["*/jane".to_owned()],
            }],
        },
        channel: bot(),
        looked: 5,
        releases: tally("111122223333/eu-west-1/1"),
        deployed: tally("abc123"),
        definitions: tally("0f"),
        phase: Phase::Closed(Box::new(Closed {
            at: now(),
            out_of_time: true,
            counts: Counts { in_sync: 3, drifted: 1, unknown: 1 },
            news: News { new: 1, persisting: 2, resolved: 3 },
            telling: Telling::Again { of: run() },
            is_digest: true,
            gone: vec!["prod/us-east-2".to_owned()],
            redeploys: vec![other()],
            before: Some(run()),
        })),
        again: Some(Again { times: 2, check: run(), at: now() }),
        overdue_at: Some(now()),
    }
}

fn sight() -> Sight {
    let text = |words: &str| Some(words.to_owned());
    let execution = ExecutionSeen {
        id: EXECUTION.parse().unwrap(),
        status: "Stopped".to_owned(),
        revisions: [("Source".to_owned(), "abc123".to_owned())].into(),
        variables: [("VERSION".to_owned(), String::new())].into(),
        trigger: text("StartPipelineExecution"),
        started_by: text("arn:aws:sts::444455556666:assumed-role/Admin/jane"),
        is_rollback: true,
        stopped: text("wrong one"),
        started_at: Some(now()),
        updated_at: Some(now()),
    };
    let property = PropertyDrift { path: "/VisibilityTimeout".to_owned(), expected: text("30"), actual: text("5") };
    let drift = StackDrift {
        status: "DRIFTED".to_owned(),
        failed: text("it was not allowed"),
        compared: 3,
        drifted: vec![ResourceDrift {
            logical: "Jobs".to_owned(),
            physical: text("jobs"),
            kind: "AWS::SQS::Queue".to_owned(),
            is_deleted: true,
            properties: vec![property],
            more: 1,
        }],
        more: 2,
        nested: vec!["Inner".to_owned()],
        unsupported: vec!["Odd (Custom::Odd)".to_owned()],
        unchecked: vec!["Key (AWS::KMS::Key)".to_owned()],
        arn: text("arn:aws:cloudformation:us-east-1:444455556666:stack/svc-infra/1"),
    };
    let stack = |name: &str, seen| StackSight { name: name.to_owned(), seen };
    Sight {
        at: now(),
        assumed: Tried::Done(()),
        pipeline: Some(Tried::Done(PipelineSeen {
            digest: "0f".to_owned(),
            version: 7,
            updated_at: Some(now()),
            is_parallel: true,
            deploy_stage: "Deploy".to_owned(),
            is_released: false,
        })),
        executions: Some(Tried::Done(vec![execution])),
        deployed: Some(Tried::Unanswered { reason: "ThrottlingException".to_owned() }),
        state: Some(Tried::Done(StateSeen {
            disabled: vec![DisabledTransition {
                stage: "Deploy".to_owned(),
                reason: text("a freeze"),
                by: text("jane"),
                at: Some(now()),
            }],
            approvals: vec![PendingApproval {
                stage: "Deploy".to_owned(),
                action: "Ask".to_owned(),
                since: Some(now()),
            }],
            has_none: true,
        })),
        stacks: vec![
            stack("svc-infra", Tried::Done(StackSeen::Detected(drift))),
            stack("svc-data", Tried::Done(StackSeen::Detecting { id: "d-1".to_owned(), since: now() })),
            stack("svc-logs", Tried::NotTried),
        ],
        trail: Some(Tried::Done(vec![Trace {
            event: "UpdatePipeline".to_owned(),
            by: "jane".to_owned(),
            at: now(),
            resource: "svc-deploy".to_owned(),
        }])),
    }
}

fn finding() -> Finding {
    let text = |words: &str| Some(words.to_owned());
    Finding {
        words: "differs from its baseline".to_owned(),
        path: text("/stages/Deploy"),
        expected: text("svc"),
        found: text(""),
        by: text("jane"),
        at: Some(now()),
        is_unseen: false,
    }
}

fn accepted() -> Accepted {
    let by = Who { via: Via::Cli, id: "arn:aws:iam::111122223333:user/jane".to_owned(), name: Some("Jane".to_owned()) };
    Accepted { fingerprint: "0f".to_owned(), by, at: now(), why: Some("as it should be".to_owned()) }
}

fn looked(key: TargetKey) -> Looked {
    let refused = Tried::Refused { code: "AccessDenied".to_owned(), message: "in words".to_owned() };
    let concluded = |value, change| Concluded { value, change };
    let was = || "differed".to_owned();
    Looked {
        key,
        index: 3,
        first: sight(),
        second: Some(Sight::not_assumed(now(), refused)),
        expected: Expected { known: None, accepted: [(Aspect::Definition, accepted())].into(), rollout: Some(run()) },
        concluded: [
            (Aspect::Revision, concluded(Value::InSync, Change::Resolved { since: now(), was: was() })),
            (Aspect::Definition, concluded(Value::Drifted(vec![finding()]), Change::New)),
            (Aspect::Health, concluded(Value::Unknown(vec![finding()]), Change::Persisting { since: now() })),
            (Aspect::Stack, concluded(Value::Drifted(vec![finding()]), Change::Other { since: now(), was: was() })),
        ]
        .into(),
    }
}

fn baseline(target: TargetKey) -> Baseline {
    Baseline { target, accepted: [(Aspect::Definition, accepted()), (Aspect::Stack, accepted())].into() }
}

fn standing(target: TargetKey) -> Standing {
    let stand = Stand {
        drifted: true,
        fingerprint: "0f".to_owned(),
        check: run(),
        since: now(),
        unseen_since: Some(now()),
        words: "differs".to_owned(),
    };
    Standing { target, account_name: "prod".to_owned(), as_of: now(), stands: [(Aspect::Revision, stand)].into() }
}

fn opened(at: Timestamp) -> (Key, Item) {
    (Key::Checked(app(), at, run()), Item::Opening(Opening { run: run(), at }))
}

/// One of each kind.
pub(crate) fn one_of_each() -> Vec<(Key, Item)> {
    let here = planned().key;
    let detection = Detection { stack: "svc-infra".to_owned(), id: "d-1".to_owned(), since: now() };
    let detection = DetectionOf { check: run(), index: 3, look: Look::Second, detection };
    let last = Last {
        check: run(),
        opened_at: now(),
        posted: Some(run()),
        digest_at: Some(now()),
        turn: Some(Turn { check: run(), slot: now() }),
    };
    let open = OpenCheck { check: run(), asleep_until: now(), pause: Span::from_minutes(2) };
    vec![
        (Key::Check(run()), Item::Check(Box::new(check()))),
        (Key::Looked(run(), here.clone()), Item::Looked(Box::new(looked(here.clone())))),
        (Key::Detection(here.clone(), "d-1".to_owned()), Item::Detection(detection)),
        (Key::Baseline(app(), here.clone()), Item::Baseline(baseline(here.clone()))),
        (Key::Standing(app(), here.clone()), Item::Standing(standing(here))),
        (Key::Ignore(app(), now(), "n".to_owned()), Item::Ignore(rule())),
        opened(now()),
        (Key::LastCheck(app()), Item::LastCheck(last)),
        (Key::Definition(app(), "0f".to_owned()), Item::Definition(Definition { text: "{}".to_owned() })),
        (Key::OpenCheck(run()), Item::OpenCheck(open)),
    ]
}

/// A listing, two of what is listed in the order of their keys, and partition key and prefix.
pub(crate) type Listed = (Listing, [(Key, Item); 2], [&'static str; 2]);

/// Of each kind that is listed whole.
pub(crate) fn listings() -> Vec<Listed> {
    let (here, there) = (planned().key, other());
    let later = at("2026-10-26T14:00:00Z");
    vec![
        (
            Listing::Looked(run()),
            [here.clone(), there.clone()]
                .map(|key| (Key::Looked(run(), key.clone()), Item::Looked(Box::new(looked(key))))),
            ["run#web-0f3a5b7c9d1e2f40", "looked#"],
        ),
        (
            Listing::Baselines(app()),
            [here.clone(), there.clone()].map(|key| (Key::Baseline(app(), key.clone()), Item::Baseline(baseline(key)))),
            ["app#web", "baseline#"],
        ),
        (
            Listing::Standing(app()),
            [here, there].map(|key| (Key::Standing(app(), key.clone()), Item::Standing(standing(key)))),
            ["app#web", "standing#"],
        ),
        (
            Listing::Ignores(app()),
            [now(), later].map(|at| (Key::Ignore(app(), at, "n".to_owned()), Item::Ignore(rule()))),
            ["app#web", "ignore#"],
        ),
    ]
}

/// That a check was opened.
pub(crate) fn a_checking() -> (Key, Item) {
    opened(now())
}
