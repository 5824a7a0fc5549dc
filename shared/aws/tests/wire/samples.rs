//! Things to send.

use std::sync::{Arc, Mutex};

use manifold_core::engine::Work;
use manifold_core::ids::{Attempt, ExecutionRef, Nonce, RunId, TargetKey};
use manifold_core::plan::{Channel, Plan, PlannedTarget, PlannedWave, Policy, RevisionKind, SecretRef, SourceRevision};
use manifold_core::release::{Release, Revision, Trigger};
use manifold_core::time::{Span, Timestamp};
use manifold_ports::clock::Clock;
use manifold_ports::engine::Order;
use serde_json::{Value, json};
use wiremock::ResponseTemplate;

pub(crate) const EXECUTION: &str = "3f8c1f0a-7d52-4d5e-9f0b-5a1f7c2b9e01";

pub(crate) fn at(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).unwrap()
}

pub(crate) fn run() -> RunId {
    "web-0f3a5b7c9d1e2f40".parse().unwrap()
}

pub(crate) fn key(account: &str, region: &str) -> TargetKey {
    TargetKey { account: account.parse().unwrap(), region: region.parse().unwrap() }
}

pub(crate) fn planned_in(region: &str) -> PlannedTarget {
    PlannedTarget {
        index: 0,
        wave: 0,
        key: key("444455556666", region),
        account_name: "prod".to_owned(),
        role: "arn:aws:iam::444455556666:role/ManifoldTarget".parse().unwrap(),
        external_id: Some("rollouts-7f3a".to_owned()),
        subject: "svc-deploy".parse().unwrap(),
        variables: [("VERSION".to_owned(), "1.2.3".to_owned())].into(),
        source_revision: Some(SourceRevision {
            action: "Source".to_owned(),
            kind: RevisionKind::CommitId,
            value: "abc123".to_owned(),
        }),
        after: Vec::new(),
        before: Vec::new(),
        release: None,
        work: None,
        looks: None,
    }
}

pub(crate) fn planned() -> PlannedTarget {
    planned_in("us-east-1")
}

/// A target of another engine than CodePipeline.
pub(crate) fn planned_of(subject: &str, work: Work) -> PlannedTarget {
    PlannedTarget { subject: subject.parse().unwrap(), source_revision: None, work: Some(work), ..planned() }
}

/// The token of the attempt of [`order`] on [`planned`].
pub(crate) const TOKEN: &str = "web-0f3a5b7c9d1e2f40-444455556666-us-east-1-2";

pub(crate) fn order<'a>(run: &'a RunId, planned: &'a PlannedTarget) -> Order<'a> {
    Order { run, planned, attempt: Attempt(2) }
}

pub(crate) fn release() -> Release {
    Release {
        source: ExecutionRef { target: key("111122223333", "eu-west-1"), id: EXECUTION.parse().unwrap() },
        pipeline: "web-release".parse().unwrap(),
        revision: Some(Revision {
            id: "abc123".to_owned(),
            action: "Source".to_owned(),
            message: Some("Fix it\n\nAll of it.".to_owned()),
            url: None,
            author: None,
            repository: Some(String::new()),
            reference: None,
            authored_at: None,
        }),
        trigger: Trigger { kind: Some("Webhook".to_owned()), detail: None },
        released_at: at("2026-10-26T13:49:39Z"),
        started_at: None,
        stages: Vec::new(),
    }
}

pub(crate) fn plan() -> Plan {
    Plan {
        waves: vec![PlannedWave::plain("canary".to_owned(), 0, 1, 1, 0)],
        targets: vec![planned()],
        max_attempts: 1,
        deadline: Span::from_minutes(60),
        channel: bot(),
        policy: Policy::default(),
        unchanged: Vec::new(),
    }
}

pub(crate) fn token() -> SecretRef {
    SecretRef::SecretsManager("manifold/slack".to_owned())
}

pub(crate) fn bot() -> Channel {
    Channel::Bot { channel: "#deploys".to_owned(), token: token() }
}

pub(crate) fn nonce(text: &str) -> Nonce {
    text.parse().unwrap()
}

/// AssumeRole's answer, in its query protocol.
pub(crate) fn assumed(access_key: &str, expiration: &str) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_string(format!(
        "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult><Credentials>\
         <AccessKeyId>{access_key}</AccessKeyId><SecretAccessKey>s3cr3t-{access_key}</SecretAccessKey>\
         <SessionToken>t0k3n-{access_key}</SessionToken><Expiration>{expiration}</Expiration>\
         </Credentials></AssumeRoleResult></AssumeRoleResponse>"
    ))
}

/// An error of STS, in its query protocol.
pub(crate) fn sts_error(status: u16, code: &str) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_string(format!(
        "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>\
         <Code>{code}</Code><Message>{code} in words</Message></Error><RequestId>r</RequestId></ErrorResponse>"
    ))
}

/// Seconds since the epoch, as AWS's JSON protocols write time.
pub(crate) fn epoch(text: &str) -> Value {
    json!(at(text).as_seconds())
}

/// A clock that is set by hand. Clones show the same time.
#[derive(Clone)]
pub(crate) struct HandClock(Arc<Mutex<Timestamp>>);

impl HandClock {
    pub(crate) fn new(text: &str) -> Self {
        Self(Arc::new(Mutex::new(at(text))))
    }

    pub(crate) fn advance(&self, span: Span) {
        let mut now = self.0.lock().unwrap();
        *now = now.plus(span);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
    fn nonce(&self) -> Nonce {
        nonce("by-hand")
    }
}
