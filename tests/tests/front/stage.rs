//! A front before an emulator, and those who call it.

use aws_config::Region;
use aws_credential_types::Credentials;
use manifold_aws::clients::{self, Clients};
use manifold_aws::credentials::Assumer;
use manifold_aws::engine::Engines;
use manifold_core::ids::{Attempt, RunId};
use manifold_core::plan::{PlannedTarget, RevisionKind, SourceRevision};
use manifold_core::run::Refusal;
use manifold_ports::engine::{Engine, Order, Start};
use manifold_tests::local_aws::front::Front;
use manifold_tests::local_aws::front::codepipeline::{Execution, Pipeline, PipelineId, Pipelines};
use serde_json::{Value, json};

use crate::emulator::Emulator;

pub(crate) const HUB: &str = "111122223333";
pub(crate) const TARGET: &str = "444455556666";
pub(crate) const REGION: &str = "eu-west-1";
/// The read-only role in the target.
pub(crate) const INSPECT_ROLE: &str = "arn:aws:iam::444455556666:role/ManifoldInspect";
pub(crate) const ROLE: &str = "arn:aws:iam::444455556666:role/ManifoldTarget";
pub(crate) const COMMIT: &str = "8cf40f2b1c6d4e5f8a9b0c1d2e3f4a5b6c7d8e9f";

pub(crate) struct Stage {
    pub(crate) front: Front,
    pub(crate) emulator: Emulator,
    http: reqwest::Client,
}

/// What was answered to a bare request.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Answer {
    /// The error's code.
    pub(crate) fn code(&self) -> &str {
        assert!(self.status >= 400, "{self:?}");
        self.body["__type"].as_str().unwrap()
    }

    pub(crate) fn message(&self) -> &str {
        self.body["message"].as_str().unwrap()
    }

    /// What it answers if it is no error.
    pub(crate) fn ok(self) -> Value {
        assert_eq!(self.status, 200, "{:?}", self.body);
        self.body
    }
}

/// The pipeline of the target.
pub(crate) fn svc() -> PipelineId {
    PipelineId::new(TARGET, REGION, "svc-deploy")
}

/// As the target has it, of the variable that the engine's order gives.
pub(crate) fn svc_deploy() -> Pipeline {
    Pipeline::new(TARGET, REGION, "svc-deploy").variable("LOG_LEVEL", Some("info"))
}

/// A signature of the right form, which nobody verifies.
pub(crate) fn authorization(key: &str, region: &str, service: &str) -> String {
    let signature = "0f".repeat(32);
    format!(
        "AWS4-HMAC-SHA256 Credential={key}/20261026/{region}/{service}/aws4_request, \
         SignedHeaders=host;x-amz-date, Signature={signature}"
    )
}

pub(crate) fn run() -> RunId {
    "web-0f3a5b7c9d1e2f40".parse().unwrap()
}

pub(crate) fn planned() -> PlannedTarget {
    PlannedTarget {
        index: 0,
        wave: 0,
        key: manifold_core::ids::TargetKey { account: TARGET.parse().unwrap(), region: REGION.parse().unwrap() },
        account_name: "prod".to_owned(),
        role: ROLE.parse().unwrap(),
        external_id: Some("rollouts-7f3a".to_owned()),
        subject: "svc-deploy".parse().unwrap(),
        work: None,
        variables: [("LOG_LEVEL".to_owned(), "warn".to_owned())].into(),
        source_revision: Some(SourceRevision {
            action: "Source".to_owned(),
            kind: RevisionKind::CommitId,
            value: COMMIT.to_owned(),
        }),
        after: Vec::new(),
        before: Vec::new(),
        release: None,
        looks: None,
    }
}

pub(crate) fn order<'a>(run: &'a RunId, planned: &'a PlannedTarget) -> Order<'a> {
    Order { run, planned, attempt: Attempt(1) }
}

/// The words of a refusal.
pub(crate) fn words(refusal: &Refusal) -> String {
    format!("{refusal:?}")
}

impl Stage {
    /// A front, an emulator whose role in the target may do what the engine does, and the target's pipeline.
    pub(crate) async fn set() -> Self {
        let emulator = Emulator::start().await;
        for action in
            ["StartPipelineExecution", "StopPipelineExecution", "ListPipelineExecutions", "ListActionExecutions"]
        {
            emulator.allow(ROLE, action);
        }
        for action in ["GetPipeline", "GetPipelineState", "GetPipelineExecution", "ListPipelineExecutions"] {
            emulator.allow(INSPECT_ROLE, action);
        }
        let front = Front::start(&emulator.uri());
        front.pipelines().define(svc_deploy());
        // After the front, which has chosen the provider of TLS.
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { front, emulator, http }
    }

    pub(crate) fn pipelines(&self) -> &Pipelines {
        self.front.pipelines()
    }

    /// The clients of a function in the hub, whose key is the account's root.
    pub(crate) async fn clients(&self) -> Clients {
        let config = clients::loader()
            .region(Region::new(REGION))
            .credentials_provider(Credentials::new(HUB, "test", None, None, "test"))
            .endpoint_url(self.front.uri())
            .retry_config(clients::retries().with_initial_backoff(std::time::Duration::from_millis(1)))
            .load()
            .await;
        Clients::new(config)
    }

    /// The engine as the deploy function has it.
    pub(crate) async fn engine(&self) -> Engines {
        let clients = self.clients().await;
        let assumer = Assumer::new(clients.sts());
        Engines::new(clients, assumer)
    }

    /// Starts the target's pipeline as the deploy function does.
    pub(crate) async fn deploy(&self) -> Result<String, Refusal> {
        let started = self.engine().await.start(order(&run(), &planned())).await;
        started.map(|start| match start {
            Start::Begun(execution) | Start::Current(execution) => execution.to_string(),
        })
    }

    /// A bare request to CodePipeline, signed by a key with a session token.
    pub(crate) async fn call_as(
        &self,
        (key, token): (&str, &str),
        region: &str,
        operation: &str,
        body: &str,
    ) -> Answer {
        let response = self
            .http
            .post(self.front.uri())
            .header("authorization", authorization(key, region, "codepipeline"))
            .header("x-amz-security-token", token)
            .header("x-amz-target", format!("CodePipeline_20150709.{operation}"))
            .header("content-type", "application/x-amz-json-1.1")
            .body(body.to_owned())
            .send()
            .await
            .unwrap();
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        Answer { status, body: serde_json::from_str(&text).unwrap() }
    }

    /// As the target's root.
    pub(crate) async fn call(&self, operation: &str, body: Value) -> Answer {
        self.call_as((TARGET, ""), REGION, operation, &body.to_string()).await
    }

    /// Starts the target's pipeline without anything special.
    pub(crate) async fn start(&self) -> String {
        let answer = self.call("StartPipelineExecution", json!({"name": "svc-deploy"})).await.ok();
        answer["pipelineExecutionId"].as_str().unwrap().to_owned()
    }

    /// The execution of this id in the target.
    pub(crate) fn execution(&self, id: &str) -> Execution {
        let executions = self.pipelines().executions(TARGET);
        executions.into_iter().find(|execution| execution.id == id).unwrap()
    }

    /// The status of each execution in the target, in the order in which they were started.
    pub(crate) fn statuses(&self) -> Vec<&'static str> {
        self.pipelines().executions(TARGET).iter().map(|execution| execution.status.name()).collect()
    }

    /// Takes the events of the target, each as `pipeline STARTED`, `stage Deploy FAILED`, `action Deploy/Deploy FAILED`.
    pub(crate) fn told(&self) -> Vec<String> {
        self.pipelines().take_events(TARGET).iter().map(line).collect()
    }
}

/// One event in a line.
pub(crate) fn line(event: &Value) -> String {
    let detail = &event["detail"];
    let word = |name: &str| detail[name].as_str().unwrap_or_default();
    match event["detail-type"].as_str().unwrap() {
        "CodePipeline Pipeline Execution State Change" => format!("pipeline {}", word("state")),
        "CodePipeline Stage Execution State Change" => format!("stage {} {}", word("stage"), word("state")),
        "CodePipeline Action Execution State Change" => {
            format!("action {}/{} {}", word("stage"), word("action"), word("state"))
        }
        other => panic!("{other}"),
    }
}
