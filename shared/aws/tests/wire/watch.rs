//! The looks of a drift check.

mod engines;

use std::collections::BTreeSet;

use manifold_aws::credentials::Assumer;
use manifold_aws::watch::Watcher;
use manifold_core::checkup::Tried;
use manifold_core::drift::definition::Normal;
use manifold_core::drift::message::{Detection, Look};
use manifold_core::drift::sight::{
    DisabledTransition, ExecutionSeen, PendingApproval, PipelineSeen, PropertyDrift, ResourceDrift, Sight, StackDrift,
    StackSeen, StackSight, StateSeen, Trace,
};
use manifold_core::drift::{Aspect, Looks};
use manifold_core::ids::RunId;
use manifold_core::plan::PlannedTarget;
use manifold_core::time::{Span, Timestamp};
use manifold_ports::clock::Clock;
use manifold_ports::drift::{Asked, Seen, Watch};
use serde_json::{Value, json};
use wiremock::ResponseTemplate;

use crate::samples::{EXECUTION, HandClock, assumed, at, epoch, key, planned_in, run, sts_error};
use crate::stub::{AT_ONCE, Stub};

const NOW: &str = "2026-10-26T13:00:00Z";
const IN_AN_HOUR: &str = "2026-10-26T14:00:00Z";
const REGION: &str = "eu-central-1";
const STACK_ID: &str = "arn:aws:cloudformation:eu-central-1:444455556666:stack/svc-infra/1f2e3d4c";
const DETECTION: &str = "b78ac9b0-dec1-11e7-a451-503a3example";
const SOMEBODY: &str = "arn:aws:sts::444455556666:assumed-role/Admin/jane";

fn looks(aspects: &[Aspect]) -> Looks {
    Looks {
        aspects: aspects.iter().copied().collect(),
        deploy_stage: None,
        stacks: vec!["svc-infra".to_owned()],
        stuck_after: Span::from_minutes(60),
        variables: false,
        who: false,
    }
}

fn everything() -> Looks {
    Looks { variables: true, who: true, ..looks(&Aspect::ALL) }
}

/// A watcher, and whom it asks for.
struct Watching {
    watcher: Watcher<HandClock>,
    clock: HandClock,
    run: RunId,
    planned: PlannedTarget,
}

impl Watching {
    async fn of(stub: &Stub) -> Self {
        let (clients, clock) = (stub.clients().await, HandClock::new(NOW));
        let assumer = Assumer::with_clock(clients.sts(), clock.clone());
        let watcher = Watcher::new(clients, assumer, "deploy/ManifoldInspect".to_owned()).with_patience(AT_ONCE);
        Self { watcher, clock, run: run(), planned: planned_in(REGION) }
    }

    /// With the role assumed.
    async fn entered(stub: &Stub) -> Self {
        stub.then("AssumeRole", assumed("ASIALOOK", IN_AN_HOUR));
        Self::of(stub).await
    }

    fn deadline(&self) -> Timestamp {
        self.clock.now().plus(Span::from_seconds(60))
    }

    async fn look_at(&self, planned: &PlannedTarget, looks: &Looks, look: Look) -> Seen {
        let asked = Asked { check: &self.run, planned, looks, look };
        self.watcher.look(asked, self.deadline()).await
    }

    async fn look(&self, looks: &Looks) -> Seen {
        self.look_at(&self.planned, looks, Look::First).await
    }

    /// What became of the one detection.
    async fn detected(&self) -> Tried<StackSeen> {
        let looks = looks(&[Aspect::Stack]);
        let asked = Asked { check: &self.run, planned: &self.planned, looks: &looks, look: Look::First };
        let mut stacks = self.watcher.detected(asked, &[detection()], self.deadline()).await;
        assert_eq!(stacks.len(), 1);
        let StackSight { name, seen } = stacks.remove(0);
        assert_eq!(name, "svc-infra");
        seen
    }
}

fn detection() -> Detection {
    Detection { stack: "svc-infra".to_owned(), id: DETECTION.to_owned(), since: at("2026-10-26T12:58:00Z") }
}

fn under_way(since: &str) -> Tried<StackSeen> {
    Tried::Done(StackSeen::Detecting { id: DETECTION.to_owned(), since: at(since) })
}

fn refused<T>(code: &str) -> Tried<T> {
    Tried::Refused { code: code.to_owned(), message: format!("{code} in words") }
}

fn unanswered<T>(code: &str) -> Tried<T> {
    Tried::Unanswered { reason: format!("{code}: {code} in words") }
}

/// With a field that no SDK knows.
fn structure() -> Value {
    let kind = |category: &str| json!({"category": category, "owner": "AWS", "provider": "P", "version": "1"});
    json!({
        "name": "svc-deploy", "roleArn": "arn:aws:iam::444455556666:role/p", "pipelineType": "V2",
        "executionMode": "QUEUED", "version": 7,
        "stages": [
            {"name": "Source", "actions": [{"name": "Source", "actionTypeId": kind("Source")}]},
            {"name": "Deploy", "actions": [{"name": "Deploy", "actionTypeId": kind("Deploy")}], "onTuesdays": "rest"},
        ],
    })
}

fn pipeline(stub: &Stub) -> &Stub {
    let metadata = json!({"created": epoch("2026-01-01T00:00:00Z"), "updated": epoch("2026-10-01T09:30:00Z")});
    stub.json("GetPipeline", json!({"pipeline": structure(), "metadata": metadata}))
}

fn digest() -> String {
    Normal::of(&structure(), &key("444455556666", REGION)).digest
}

fn pipeline_seen() -> PipelineSeen {
    PipelineSeen {
        digest: digest(),
        version: 7,
        updated_at: Some(at("2026-10-01T09:30:00Z")),
        is_parallel: false,
        deploy_stage: "Deploy".to_owned(),
        is_released: false,
    }
}

fn summary(id: &str, status: &str) -> Value {
    json!({"pipelineExecutionId": id, "status": status,
        "startTime": epoch("2026-10-26T12:00:00Z"), "lastUpdateTime": epoch("2026-10-26T12:10:00Z"),
        "sourceRevisions": [{"actionName": "Source", "revisionId": "abc123"}, {"actionName": "Untold"}],
        "trigger": {"triggerType": "StartPipelineExecution", "triggerDetail": SOMEBODY},
        "executionType": "STANDARD"})
}

fn execution(id: &str, status: &str) -> ExecutionSeen {
    ExecutionSeen {
        id: id.parse().unwrap(),
        status: status.to_owned(),
        revisions: [("Source".to_owned(), "abc123".to_owned())].into(),
        variables: [].into(),
        trigger: Some("StartPipelineExecution".to_owned()),
        started_by: Some(SOMEBODY.to_owned()),
        is_rollback: false,
        stopped: None,
        started_at: Some(at("2026-10-26T12:00:00Z")),
        updated_at: Some(at("2026-10-26T12:10:00Z")),
    }
}

fn listed(stub: &Stub, summaries: Value) -> &Stub {
    stub.json("ListPipelineExecutions", json!({ "pipelineExecutionSummaries": summaries }))
}

/// An answer of CloudFormation, in its query protocol.
fn answer(operation: &str, inner: &str) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_string(format!(
        "<{operation}Response xmlns=\"http://cloudformation.amazonaws.com/doc/2010-05-15/\">\
         <{operation}Result>{inner}</{operation}Result></{operation}Response>"
    ))
}

fn cloudformation<'a>(stub: &'a Stub, operation: &str, inner: &str) -> &'a Stub {
    stub.then(operation, answer(operation, inner))
}

fn started(stub: &Stub) -> &Stub {
    cloudformation(stub, "DetectStackDrift", &format!("<StackDriftDetectionId>{DETECTION}</StackDriftDetectionId>"))
}

fn ended<'a>(stub: &'a Stub, status: &str, drift: &str, reason: Option<&str>) -> &'a Stub {
    let reason = reason.map(|reason| format!("<DetectionStatusReason>{reason}</DetectionStatusReason>"));
    cloudformation(
        stub,
        "DescribeStackDriftDetectionStatus",
        &format!(
            "<StackId>{STACK_ID}</StackId><StackDriftDetectionId>{DETECTION}</StackDriftDetectionId>\
             <DetectionStatus>{status}</DetectionStatus><StackDriftStatus>{drift}</StackDriftStatus>{}\
             <Timestamp>2026-10-26T12:58:30Z</Timestamp>",
            reason.unwrap_or_default()
        ),
    )
}

fn resource_drift(logical: &str, kind: &str, status: &str, checked_at: &str, more: &str) -> String {
    format!(
        "<member><StackId>{STACK_ID}</StackId><LogicalResourceId>{logical}</LogicalResourceId>\
         <PhysicalResourceId>{}</PhysicalResourceId><ResourceType>{kind}</ResourceType>\
         <StackResourceDriftStatus>{status}</StackResourceDriftStatus><Timestamp>{checked_at}</Timestamp>{more}</member>",
        logical.to_lowercase()
    )
}

fn drifts<'a>(stub: &'a Stub, members: &[String], next: &str) -> &'a Stub {
    let inner = format!("<StackResourceDrifts>{}</StackResourceDrifts>{next}", members.concat());
    cloudformation(stub, "DescribeStackResourceDrifts", &inner)
}

fn resources<'a>(stub: &'a Stub, members: &[(&str, &str, &str)], next: &str) -> &'a Stub {
    let member = |(logical, kind, status): &(&str, &str, &str)| {
        format!(
            "<member><LogicalResourceId>{logical}</LogicalResourceId><ResourceType>{kind}</ResourceType>\
             <LastUpdatedTimestamp>2026-10-01T00:00:00Z</LastUpdatedTimestamp>\
             <ResourceStatus>CREATE_COMPLETE</ResourceStatus><DriftInformation>\
             <StackResourceDriftStatus>{status}</StackResourceDriftStatus></DriftInformation></member>"
        )
    };
    let members: String = members.iter().map(member).collect();
    let inner = format!("<StackResourceSummaries>{members}</StackResourceSummaries>{next}");
    cloudformation(stub, "ListStackResources", &inner)
}

#[tokio::test]
async fn everything_that_is_compared_is_seen_with_the_read_only_role_in_the_targets_region() {
    let stub = Stub::start().await;
    let watching = Watching::entered(&stub).await;
    let mut rolled_back = summary(EXECUTION, "Succeeded");
    rolled_back["executionType"] = json!("ROLLBACK");
    rolled_back["trigger"] = json!({"triggerType": "ManualRollback"});
    let mut stopped = summary("0a1b2c3d-0000-4000-8000-000000000001", "Stopped");
    stopped["stopTrigger"] = json!({"reason": "wrong one"});
    listed(listed(pipeline(&stub), json!([stopped, rolled_back])), json!([rolled_back]));
    let variables = json!([{"name": "VERSION", "resolvedValue": "1.2.3"}]);
    stub.json("GetPipelineExecution", json!({"pipelineExecution": {"variables": variables}}));
    stub.json(
        "GetPipelineState",
        json!({"pipelineName": "svc-deploy", "stageStates": [
            {"stageName": "Source", "inboundTransitionState": {"enabled": true}, "actionStates": [
                // A token is what only approvals have; this one runs, and that is all.
                {"actionName": "Source", "latestExecution": {"status": "InProgress"}}]},
            {"stageName": "Deploy", "inboundTransitionState": {"enabled": false, "disabledReason": "a freeze",
                "lastChangedBy": SOMEBODY, "lastChangedAt": epoch("2026-10-26T08:00:00Z")},
             "actionStates": [
                {"actionName": "Ask", "latestExecution": {"status": "InProgress", "token": "t",
                    "lastStatusChange": epoch("2026-10-26T09:00:00Z")}},
                {"actionName": "Asked", "latestExecution": {"status": "Succeeded", "token": "t"}},
                {"actionName": "Never"}]},
        ]}),
    );
    started(&stub);
    let Seen { sight, definition } = watching.look(&everything()).await;
    let back = ExecutionSeen {
        is_rollback: true,
        trigger: Some("ManualRollback".to_owned()),
        started_by: None,
        ..execution(EXECUTION, "Succeeded")
    };
    let stopped = ExecutionSeen {
        stopped: Some("wrong one".to_owned()),
        ..execution("0a1b2c3d-0000-4000-8000-000000000001", "Stopped")
    };
    let deployed = ExecutionSeen { variables: [("VERSION".to_owned(), "1.2.3".to_owned())].into(), ..back.clone() };
    let state = StateSeen {
        disabled: vec![DisabledTransition {
            stage: "Deploy".to_owned(),
            reason: Some("a freeze".to_owned()),
            by: Some(SOMEBODY.to_owned()),
            at: Some(at("2026-10-26T08:00:00Z")),
        }],
        approvals: vec![PendingApproval {
            stage: "Deploy".to_owned(),
            action: "Ask".to_owned(),
            since: Some(at("2026-10-26T09:00:00Z")),
        }],
        has_none: false,
    };
    let expected = Sight {
        at: at(NOW),
        assumed: Tried::Done(()),
        pipeline: Some(Tried::Done(pipeline_seen())),
        executions: Some(Tried::Done(vec![stopped, back])),
        deployed: Some(Tried::Done(vec![deployed])),
        state: Some(Tried::Done(state)),
        stacks: vec![StackSight { name: "svc-infra".to_owned(), seen: under_way(NOW) }],
        trail: None,
    };
    assert_eq!(sight, expected);
    let definition = definition.unwrap();
    assert_eq!(definition.digest, digest());
    assert!(definition.text.contains("onTuesdays"), "what the SDK does not know counts, too: {}", definition.text);

    let role = stub.only("AssumeRole");
    assert_eq!(role.form("RoleArn").unwrap(), "arn:aws:iam::444455556666:role/deploy/ManifoldInspect");
    assert_eq!(role.form("RoleSessionName").unwrap(), "mf-inspect");
    assert_eq!(role.form("ExternalId").unwrap(), "rollouts-7f3a");
    assert_eq!(role.form("Policy"), None, "there is nothing to narrow");
    for (operation, service) in
        [("GetPipeline", "codepipeline"), ("GetPipelineState", "codepipeline"), ("DetectStackDrift", "cloudformation")]
    {
        let authorization = stub.only(operation).header("authorization").to_owned();
        let place = format!("/{REGION}/{service}/");
        assert!(authorization.contains("=ASIALOOK/") && authorization.contains(&place), "{authorization}");
    }
    let lists = stub.asked("ListPipelineExecutions");
    assert_eq!(lists[0].body(), json!({"pipelineName": "svc-deploy", "maxResults": 20}));
    assert_eq!(
        lists[1].body(),
        json!({"pipelineName": "svc-deploy", "maxResults": 1, "filter": {"succeededInStage": {"stageName": "Deploy"}}})
    );
    let asked = stub.only("GetPipelineExecution").body();
    assert_eq!(asked, json!({"pipelineName": "svc-deploy", "pipelineExecutionId": EXECUTION}));
    assert_eq!(stub.only("DetectStackDrift").form("StackName").unwrap(), "svc-infra");
}

#[tokio::test]
async fn what_is_asked_for_follows_from_what_is_compared() {
    const LIST: &str = "ListPipelineExecutions";
    let table: [(&[Aspect], &[&str]); 5] = [
        (&[Aspect::Revision], &["GetPipeline", LIST, LIST]),
        (&[Aspect::Definition], &["GetPipeline"]),
        (&[Aspect::Health], &["GetPipeline", LIST, "GetPipelineState"]),
        (&[Aspect::Stack], &["DetectStackDrift"]),
        (&[Aspect::Definition, Aspect::Stack], &["GetPipeline", "DetectStackDrift"]),
    ];
    for (aspects, calls) in table {
        let stub = Stub::start().await;
        let watching = Watching::entered(&stub).await;
        for call in calls {
            match *call {
                "GetPipeline" => pipeline(&stub),
                LIST => listed(&stub, json!([])),
                "DetectStackDrift" => started(&stub),
                _ => stub.json(call, json!({"stageStates": [{"stageName": "Source"}]})),
            };
        }
        let sight = watching.look(&looks(aspects)).await.sight;
        let asked: BTreeSet<String> = stub.sent().into_iter().map(|sent| sent.operation).collect();
        let expected: BTreeSet<String> = calls.iter().chain(&["AssumeRole"]).map(|call| (*call).to_owned()).collect();
        assert_eq!(asked, expected, "{aspects:?}");
        assert_eq!(stub.sent().len(), calls.len() + 1, "{aspects:?}");
        let has = |aspect| aspects.contains(&aspect);
        assert_eq!(sight.deployed.is_some(), has(Aspect::Revision));
        assert_eq!(sight.executions.is_some(), has(Aspect::Revision) || has(Aspect::Health));
        assert_eq!(sight.state.is_some(), has(Aspect::Health));
        assert_eq!(sight.stacks.len(), usize::from(has(Aspect::Stack)));
    }
}

#[tokio::test]
async fn the_deploy_stage_is_the_one_that_is_configured_before_the_last_one() {
    let stub = Stub::start().await;
    let watching = Watching::entered(&stub).await;
    listed(listed(pipeline(&stub), json!([])), json!([]));
    let asked = Looks { deploy_stage: Some("Prod".to_owned()), ..looks(&[Aspect::Revision]) };
    let sight = watching.look(&asked).await.sight;
    assert_eq!(sight.pipeline.unwrap().done().unwrap().deploy_stage, "Prod");
    assert_eq!(sight.deployed, Some(Tried::Done(Vec::new())));
    let body = stub.asked("ListPipelineExecutions")[1].body();
    assert_eq!(body["filter"]["succeededInStage"]["stageName"], "Prod");
}

#[tokio::test]
async fn a_parallel_pipeline_has_no_state_and_a_few_that_may_be_deployed() {
    let stub = Stub::start().await;
    let watching = Watching::entered(&stub).await;
    let mut parallel = structure();
    parallel["executionMode"] = json!("PARALLEL");
    stub.json("GetPipeline", json!({ "pipeline": parallel }));
    listed(listed(&stub, json!([])), json!([summary(EXECUTION, "Succeeded")]));
    let sight = watching.look(&looks(&[Aspect::Revision, Aspect::Health])).await.sight;
    let pipeline = sight.pipeline.unwrap();
    assert!(pipeline.done().unwrap().is_parallel);
    assert_eq!(sight.state, Some(Tried::Done(StateSeen { has_none: true, ..StateSeen::default() })));
    assert_eq!(sight.deployed, Some(Tried::Done(vec![execution(EXECUTION, "Succeeded")])));
    assert_eq!(stub.asked("ListPipelineExecutions")[1].body()["maxResults"], 10);
}

#[tokio::test]
async fn a_pipeline_without_stage_states_has_no_state() {
    let stub = Stub::start().await;
    let watching = Watching::entered(&stub).await;
    listed(pipeline(&stub), json!([])).json("GetPipelineState", json!({"stageStates": []}));
    let sight = watching.look(&looks(&[Aspect::Health])).await.sight;
    assert_eq!(sight.state, Some(Tried::Done(StateSeen { has_none: true, ..StateSeen::default() })));
}

#[tokio::test]
async fn each_look_fails_alone() {
    let stub = Stub::start().await;
    let watching = Watching::entered(&stub).await;
    listed(stub.error("GetPipeline", 400, "AccessDeniedException"), json!([summary(EXECUTION, "Failed")]));
    // Once by the SDK for each of the five tries of a look, with its own three.
    for _ in 0..15 {
        stub.error("GetPipelineState", 400, "ThrottlingException");
    }
    stub.then("DetectStackDrift", sts_error(400, "ValidationError"));
    let Seen { sight, definition } = watching.look(&looks(&Aspect::ALL)).await;
    assert_eq!((sight.pipeline, definition), (Some(refused("AccessDeniedException")), None));
    assert_eq!(sight.executions, Some(Tried::Done(vec![execution(EXECUTION, "Failed")])));
    assert_eq!(sight.deployed, Some(Tried::NotTried), "its stage is not known");
    assert_eq!(sight.state, Some(unanswered("ThrottlingException")));
    assert_eq!(sight.stacks[0].seen, refused("ValidationError"));
}

#[tokio::test]
async fn a_look_that_is_throttled_for_a_while_is_made_again() {
    let stub = Stub::start().await;
    let watching = Watching::entered(&stub).await;
    for _ in 0..4 {
        stub.error("GetPipeline", 400, "ThrottlingException");
    }
    pipeline(&stub);
    let sight = watching.look(&looks(&[Aspect::Definition])).await.sight;
    assert_eq!(sight.pipeline, Some(Tried::Done(pipeline_seen())));
}

#[tokio::test]
async fn without_the_variables_that_count_nothing_is_known_to_be_deployed() {
    let stub = Stub::start().await;
    let watching = Watching::entered(&stub).await;
    listed(listed(pipeline(&stub), json!([])), json!([summary(EXECUTION, "Succeeded")]));
    stub.error("GetPipelineExecution", 400, "AccessDeniedException");
    let asked = Looks { variables: true, ..looks(&[Aspect::Revision]) };
    assert_eq!(watching.look(&asked).await.sight.deployed, Some(refused("AccessDeniedException")));
}

#[tokio::test]
async fn an_answer_without_a_pipeline_is_none() {
    let stub = Stub::start().await;
    let watching = Watching::entered(&stub).await;
    stub.json("GetPipeline", json!({}));
    let Seen { sight, definition } = watching.look(&looks(&[Aspect::Definition])).await;
    let reason = "GetPipeline answered without a pipeline".to_owned();
    assert_eq!((sight.pipeline, definition), (Some(Tried::Unanswered { reason }), None));
}

#[tokio::test]
async fn a_role_that_can_not_be_assumed_is_the_whole_answer() {
    for (reply, times, expected) in [
        (sts_error(403, "AccessDenied"), 1, refused("AccessDenied")),
        (sts_error(403, "RegionDisabledException"), 1, refused("RegionDisabledException")),
        (sts_error(400, "Throttling"), 5, unanswered("Throttling")),
    ] {
        let stub = Stub::start().await;
        for _ in 0..2 * times {
            stub.then("AssumeRole", reply.clone());
        }
        let watching = Watching::of(&stub).await;
        let seen = watching.look(&everything()).await;
        assert_eq!(seen, Seen { sight: Sight::not_assumed(at(NOW), expected.clone()), definition: None });
        assert_eq!(watching.detected().await, expected.map(|()| unreachable!("it is no answer")));
    }
}

#[tokio::test]
async fn a_region_that_the_account_has_not_enabled_refuses_what_it_is_asked() {
    let stub = Stub::start().await;
    let watching = Watching::entered(&stub).await;
    stub.error("GetPipeline", 403, "UnrecognizedClientException");
    stub.then("DetectStackDrift", sts_error(403, "InvalidClientTokenId"));
    let sight = watching.look(&looks(&[Aspect::Definition, Aspect::Stack])).await.sight;
    assert_eq!(sight.assumed, Tried::Done(()));
    assert_eq!(sight.pipeline, Some(refused("UnrecognizedClientException")));
    assert_eq!(sight.stacks[0].seen, refused("InvalidClientTokenId"));
}

#[tokio::test]
async fn a_session_serves_all_regions_of_its_account_and_one_that_has_expired_is_replaced_once() {
    let stub = Stub::start().await;
    let watching = Watching::entered(&stub).await;
    stub.then("AssumeRole", assumed("ASIANEXT", IN_AN_HOUR));
    let (ours, theirs) = (planned_in(REGION), planned_in("us-east-1"));
    for _ in 0..2 {
        stub.error("GetPipeline", 400, "ExpiredTokenException");
    }
    pipeline(pipeline(&stub));
    let looks = looks(&[Aspect::Definition]);
    let both =
        futures::join!(watching.look_at(&ours, &looks, Look::First), watching.look_at(&theirs, &looks, Look::First));
    for seen in [both.0, both.1] {
        assert!(matches!(seen.sight.pipeline, Some(Tried::Done(_))), "{seen:?}");
    }
    assert_eq!(stub.asked("AssumeRole").len(), 2);
    let signed: Vec<bool> =
        stub.asked("GetPipeline").iter().map(|sent| sent.header("authorization").contains("=ASIANEXT/")).collect();
    assert_eq!(signed, [false, false, true, true]);
}

#[tokio::test]
async fn credentials_that_are_expired_again_at_once_are_refused() {
    let stub = Stub::start().await;
    let watching = Watching::entered(&stub).await;
    stub.then("AssumeRole", assumed("ASIANEXT", IN_AN_HOUR));
    for _ in 0..2 {
        stub.error("GetPipeline", 400, "ExpiredTokenException");
    }
    let sight = watching.look(&looks(&[Aspect::Definition])).await.sight;
    assert_eq!(sight.pipeline, Some(refused("ExpiredTokenException")));
}

#[tokio::test]
async fn a_detection_that_is_under_way_already_passes() {
    let stub = Stub::start().await;
    let watching = Watching::entered(&stub).await;
    let body = format!(
        "<ErrorResponse><Error><Type>Sender</Type><Code>ValidationError</Code>\
         <Message>Drift detection is already in progress for stack {STACK_ID}</Message></Error></ErrorResponse>"
    );
    stub.then("DetectStackDrift", ResponseTemplate::new(400).set_body_string(body));
    let sight = watching.look(&looks(&[Aspect::Stack])).await.sight;
    let reason = format!("ValidationError: Drift detection is already in progress for stack {STACK_ID}");
    assert_eq!(sight.stacks[0].seen, Tried::Unanswered { reason });
}

#[tokio::test]
async fn a_detection_that_has_not_ended_is_still_under_way() {
    let stub = Stub::start().await;
    let watching = Watching::entered(&stub).await;
    ended(&stub, "DETECTION_IN_PROGRESS", "NOT_CHECKED", None);
    assert_eq!(watching.detected().await, under_way("2026-10-26T12:58:00Z"));
    let asked = stub.only("DescribeStackDriftDetectionStatus");
    assert_eq!(asked.form("StackDriftDetectionId").unwrap(), DETECTION);
}

#[tokio::test]
async fn a_detection_tells_what_differs_what_was_compared_and_what_was_not() {
    const CHECKED: &str = "2026-10-26T12:58:20Z";
    let stub = Stub::start().await;
    let watching = Watching::entered(&stub).await;
    ended(&stub, "DETECTION_COMPLETE", "DRIFTED", None);
    let differences = "<PropertyDifferences>\
        <member><PropertyPath>/VisibilityTimeout</PropertyPath><ExpectedValue>30</ExpectedValue>\
        <ActualValue>5</ActualValue><DifferenceType>NOT_EQUAL</DifferenceType></member>\
        <member><PropertyPath>/Environment/Variables/DB_PASSWORD</PropertyPath><ExpectedValue>old</ExpectedValue>\
        <ActualValue>new</ActualValue><DifferenceType>NOT_EQUAL</DifferenceType></member></PropertyDifferences>";
    let unknown = "<DriftStatusReason>not allowed to read it</DriftStatusReason>";
    let next = "<NextToken>more</NextToken>";
    let queue = "AWS::SQS::Queue";
    drifts(&stub, &[resource_drift("Jobs", queue, "MODIFIED", CHECKED, differences)], next);
    let page = [
        resource_drift("Mail", queue, "IN_SYNC", CHECKED, ""),
        resource_drift("Gone", queue, "DELETED", CHECKED, ""),
        resource_drift("Key", "AWS::KMS::Key", "UNKNOWN", CHECKED, unknown),
        resource_drift("Odd", "Custom::Odd", "UNSUPPORTED", CHECKED, ""),
        // Somebody checked it an hour ago, and the detection did not come to it.
        resource_drift("Late", queue, "IN_SYNC", "2026-10-26T11:58:00Z", ""),
    ];
    drifts(&stub, &page, "");
    resources(&stub, &[("Jobs", queue, "MODIFIED"), ("Mail", queue, "IN_SYNC"), ("Gone", queue, "DELETED")], next);
    resources(
        &stub,
        &[
            ("Key", "AWS::KMS::Key", "UNKNOWN"),
            ("Odd", "Custom::Odd", "UNSUPPORTED"),
            ("Late", queue, "IN_SYNC"),
            ("Inner", "AWS::CloudFormation::Stack", "NOT_CHECKED"),
            ("Task", "AWS::Foo::Bar", "NOT_CHECKED"),
            ("CDKMetadata", "AWS::CDK::Metadata", "NOT_CHECKED"),
        ],
        "",
    );
    let property = |path: &str, expected: &str, actual: &str| PropertyDrift {
        path: path.to_owned(),
        expected: Some(expected.to_owned()),
        actual: Some(actual.to_owned()),
    };
    let resource = |logical: &str, is_deleted, properties| ResourceDrift {
        logical: logical.to_owned(),
        physical: Some(logical.to_lowercase()),
        kind: queue.to_owned(),
        is_deleted,
        properties,
        more: 0,
    };
    let differs = vec![
        property("/VisibilityTimeout", "30", "5"),
        property("/Environment/Variables/DB_PASSWORD", "(left out)", "(left out)"),
    ];
    let expected = StackDrift {
        status: "DRIFTED".to_owned(),
        failed: None,
        compared: 3,
        drifted: vec![resource("Jobs", false, differs), resource("Gone", true, Vec::new())],
        more: 0,
        nested: vec!["Inner".to_owned()],
        unsupported: vec!["Odd (Custom::Odd)".to_owned(), "Task (AWS::Foo::Bar)".to_owned()],
        unchecked: vec![
            "Key (AWS::KMS::Key): not allowed to read it".to_owned(),
            "Late (AWS::SQS::Queue): checked last at 2026-10-26T11:58:00Z".to_owned(),
        ],
        arn: Some(STACK_ID.to_owned()),
    };
    assert_eq!(watching.detected().await, Tried::Done(StackSeen::Detected(expected)));
    let asked = stub.asked("DescribeStackResourceDrifts");
    assert_eq!(asked[0].form("StackName").unwrap(), STACK_ID);
    assert_eq!(asked[0].form("MaxResults").unwrap(), "100");
    assert_eq!(asked[1].form("NextToken").unwrap(), "more");
}

#[tokio::test]
async fn a_detection_that_failed_tells_why_and_what_it_came_to() {
    const CHECKED: &str = "2026-10-26T12:58:20Z";
    let stub = Stub::start().await;
    let watching = Watching::entered(&stub).await;
    ended(&stub, "DETECTION_FAILED", "UNKNOWN", Some("Failed to detect drift on resource [Key]"));
    let queue = "AWS::SQS::Queue";
    drifts(&stub, &[resource_drift("Gone", queue, "DELETED", CHECKED, "")], "");
    resources(&stub, &[("Gone", queue, "DELETED"), ("Key", "AWS::KMS::Key", "NOT_CHECKED")], "");
    let Tried::Done(StackSeen::Detected(seen)) = watching.detected().await else { panic!("it has ended") };
    assert_eq!(seen.failed.as_deref(), Some("Failed to detect drift on resource [Key]"));
    assert_eq!((seen.compared, seen.drifted.len()), (1, 1));
    assert_eq!(seen.unchecked, ["Key (AWS::KMS::Key): not compared"]);
    assert_eq!(seen.unsupported, Vec::<String>::new());
}

#[tokio::test]
async fn a_detection_that_nobody_knows_any_more_and_a_list_without_an_end_are_no_answer() {
    let stub = Stub::start().await;
    let watching = Watching::entered(&stub).await;
    stub.then("DescribeStackDriftDetectionStatus", sts_error(400, "ValidationError"));
    assert_eq!(watching.detected().await, refused("ValidationError"));

    ended(&stub, "DETECTION_COMPLETE", "IN_SYNC", None);
    for page in 0..=10 {
        drifts(&stub, &[], &format!("<NextToken>{page}</NextToken>"));
    }
    let reason = "CloudFormation lists more resources than a stack may have".to_owned();
    assert_eq!(watching.detected().await, Tried::Unanswered { reason });
}

fn update(pipeline: &str, at: &str, more: Value) -> Value {
    let mut record = json!({"requestParameters": {"pipeline": {"name": pipeline}},
        "userIdentity": {"type": "AssumedRole", "arn": SOMEBODY}});
    record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"EventName": "UpdatePipeline", "EventSource": "codepipeline.amazonaws.com", "EventTime": epoch(at),
        "CloudTrailEvent": record.to_string()})
}

#[tokio::test]
async fn who_edited_the_pipeline_is_looked_up_at_the_second_look_if_it_is_wanted() {
    let stub = Stub::start().await;
    let watching = Watching::entered(&stub).await;
    let asked = Looks { who: true, ..looks(&[Aspect::Definition]) };
    pipeline(&stub);
    assert_eq!(watching.look(&asked).await.sight.trail, None);

    let mut named = update("svc-deploy", "2026-10-26T12:00:00Z", json!({}));
    named["Username"] = json!("jane.doe");
    let mut elsewhere = update("svc-deploy", "2026-10-26T11:00:00Z", json!({}));
    elsewhere["EventSource"] = json!("sagemaker.amazonaws.com");
    let events = json!([
        named,
        update("other", "2026-10-26T11:30:00Z", json!({})),
        elsewhere,
        update("svc-deploy", "2026-10-26T10:30:00Z", json!({"errorCode": "AccessDenied"})),
    ]);
    pipeline(&stub).json("LookupEvents", json!({"Events": events, "NextToken": "more"}));
    let older = update("svc-deploy", "2026-10-26T10:00:00Z", json!({}));
    stub.json("LookupEvents", json!({ "Events": [older] }));
    let sight = watching.look_at(&watching.planned, &asked, Look::Second).await.sight;
    let trace = |by: &str, when: &str| Trace {
        event: "UpdatePipeline".to_owned(),
        by: by.to_owned(),
        at: at(when),
        resource: "svc-deploy".to_owned(),
    };
    let expected = vec![trace("jane.doe", "2026-10-26T12:00:00Z"), trace("jane", "2026-10-26T10:00:00Z")];
    assert_eq!(sight.trail, Some(Tried::Done(expected)));
    let looked_up = &stub.asked("LookupEvents")[0];
    let attributes = json!([{"AttributeKey": "EventName", "AttributeValue": "UpdatePipeline"}]);
    assert_eq!(looked_up.body(), json!({"LookupAttributes": attributes, "MaxResults": 50}));
    assert!(looked_up.header("authorization").contains(&format!("/{REGION}/cloudtrail/")));
}

#[tokio::test]
async fn without_its_permission_the_trail_alone_is_refused() {
    let stub = Stub::start().await;
    let watching = Watching::entered(&stub).await;
    let asked = Looks { who: true, ..looks(&[Aspect::Definition]) };
    pipeline(&stub).error("LookupEvents", 400, "AccessDeniedException");
    let sight = watching.look_at(&watching.planned, &asked, Look::Second).await.sight;
    assert_eq!(sight.trail, Some(refused("AccessDeniedException")));
    assert_eq!(sight.pipeline, Some(Tried::Done(pipeline_seen())));
}

#[tokio::test]
async fn what_there_is_no_time_for_is_unanswered() {
    let stub = Stub::start().await;
    let watching = Watching::of(&stub).await;
    let looks = everything();
    let asked = Asked { check: &watching.run, planned: &watching.planned, looks: &looks, look: Look::First };
    let seen = watching.watcher.look(asked, watching.clock.now()).await;
    let reason = "the function's time was up".to_owned();
    assert_eq!(seen.sight, Sight::not_assumed(at(NOW), Tried::Unanswered { reason }));
}
