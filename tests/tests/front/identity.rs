//! Whose credentials a request is signed with, and what they allow.

use manifold_ports::engine::Engine;
use manifold_tests::local_aws::front::NOBODY;
use manifold_tests::local_aws::front::codepipeline::Pipeline;
use serde_json::json;

use crate::stage::{COMMIT, HUB, REGION, ROLE, Stage, TARGET, authorization, order, planned, run, words};

#[tokio::test]
async fn the_engine_assumes_a_role_through_the_front_and_is_known_by_its_session() {
    let stage = Stage::set().await;
    let id = stage.deploy().await.unwrap();
    let execution = stage.execution(&id);
    let session_arn = "arn:aws:sts::444455556666:assumed-role/ManifoldTarget/mf-web-0f3a5b7c9d1e2f40";
    assert_eq!(format!("{:?}", execution.cause), format!("Caller({session_arn:?})"));
    assert_eq!(execution.token.as_deref(), Some("web-0f3a5b7c9d1e2f40-444455556666-eu-west-1-1"));
    assert_eq!(execution.pinned, [("Source".to_owned(), COMMIT.to_owned())].into());
    assert_eq!(execution.variables, [("LOG_LEVEL".to_owned(), "warn".to_owned())].into());
    assert_eq!(execution.start_calls, 1);

    let sessions = stage.front.sessions().in_account(TARGET);
    assert_eq!(sessions.len(), 1);
    assert_eq!((sessions[0].arn.as_str(), sessions[0].role_arn.as_str()), (session_arn, ROLE));
    assert!(sessions[0].policy.as_ref().unwrap().contains("svc-deploy"));
    // Each call is counted for the account that signed it.
    assert_eq!(stage.front.calls(HUB), [("sts.AssumeRole".to_owned(), 1)].into());
    assert_eq!(stage.front.calls(TARGET), [("codepipeline.StartPipelineExecution".to_owned(), 1)].into());
    assert_eq!(stage.front.troubles(), [""; 0]);
}

#[tokio::test]
async fn what_is_not_for_the_front_is_passed_on_byte_for_byte() {
    let stage = Stage::set().await;
    let signed = authorization(HUB, "us-east-1", "dynamodb");
    let host = stage.front.uri().replace("http://", "");
    let response = reqwest::Client::new()
        .put(format!("{}/2015-03-31/a%2Fb?x=1&y=%20", stage.front.uri()))
        .header("authorization", &signed)
        .header("x-amz-date", "20261026T135801Z")
        .body(vec![0, 159, 146, 150])
        .send()
        .await
        .unwrap();
    assert_eq!(response.headers()["x-marked"], "by the emulator");
    assert_eq!(response.text().await.unwrap(), "passed on");
    let arrived = stage.emulator.arrived("dynamodb").remove(0);
    assert_eq!((arrived.method.as_str(), arrived.target.as_str()), ("PUT", "/2015-03-31/a%2Fb?x=1&y=%20"));
    assert_eq!(arrived.body.as_ref(), [0, 159, 146, 150]);
    // The signature covers the host.
    assert_eq!(arrived.header("host"), host);
    assert_eq!(arrived.header("authorization"), signed);
    assert_eq!(arrived.header("x-amz-date"), "20261026T135801Z");
    assert_eq!(stage.front.calls(HUB), [("dynamodb.PUT".to_owned(), 1)].into());
}

#[tokio::test]
async fn a_request_without_a_signature_is_refused() {
    let stage = Stage::set().await;
    for authorization in ["", "AWS4-HMAC-SHA256 Credential=a/b/c", "Bearer token"] {
        let request = reqwest::Client::new().post(stage.front.uri()).header("authorization", authorization);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 403);
        assert!(response.text().await.unwrap().contains("MissingAuthenticationTokenException"), "{authorization}");
    }
}

#[tokio::test]
async fn unknown_keys_wrong_tokens_and_ended_sessions_are_refused() {
    let stage = Stage::set().await;
    stage.deploy().await.unwrap();
    let key = stage.front.sessions().in_account(TARGET).remove(0).access_key;
    let start = json!({"name": "svc-deploy"}).to_string();
    // As AWS does, the emulator reads an account from a key that nobody was given.
    stage.emulator.key("ASIAZZZZZZZZZZ000000", "673894223475");
    for (key, token) in [("ASIANOBODY0000000000", "any"), ("ASIAZZZZZZZZZZ000000", "any"), (key.as_str(), "another")] {
        let answer = stage.call_as((key, token), REGION, "StartPipelineExecution", &start).await;
        assert_eq!((answer.status, answer.code()), (400, "UnrecognizedClientException"), "{key}");
        assert_eq!(answer.message(), "The security token included in the request is invalid.");
    }
    assert_eq!(stage.front.calls(NOBODY), [("codepipeline.StartPipelineExecution".to_owned(), 3)].into());

    stage.front.sessions().expire(TARGET);
    let token = "token/1+=&";
    let answer = stage.call_as((&key, token), REGION, "StartPipelineExecution", &start).await;
    assert_eq!(answer.code(), "ExpiredTokenException");
}

#[tokio::test]
async fn the_engine_assumes_the_role_again_when_its_session_has_ended() {
    let stage = Stage::set().await;
    let engine = stage.engine().await;
    let (run, planned) = (run(), planned());
    let first = engine.start(order(&run, &planned)).await.unwrap();
    stage.front.sessions().expire(TARGET);
    assert_eq!(engine.start(order(&run, &planned)).await.unwrap(), first);
    assert_eq!(stage.front.sessions().in_account(TARGET).len(), 2);
}

#[tokio::test]
async fn a_functions_key_belongs_to_the_account_that_the_emulator_names() {
    let stage = Stage::set().await;
    stage.pipelines().define(Pipeline::new(HUB, REGION, "web-release"));
    stage.emulator.key("ASIA0123456789ABCDEF", HUB);
    for _ in 0..2 {
        let body = json!({"name": "web-release"}).to_string();
        stage.call_as(("ASIA0123456789ABCDEF", "t"), REGION, "GetPipeline", &body).await.ok();
    }
    assert_eq!(stage.emulator.arrived("GetAccessKeyInfo").len(), 1, "a key is asked about once");
    assert_eq!(stage.front.calls(HUB), [("codepipeline.GetPipeline".to_owned(), 2)].into());
}

#[tokio::test]
async fn a_function_that_is_known_is_judged_by_its_role() {
    let stage = Stage::set().await;
    stage.pipelines().define(Pipeline::new(HUB, REGION, "web-release"));
    let (function, role) =
        ("arn:aws:lambda:us-east-1:111122223333:function:dispatch", "arn:aws:iam::111122223333:role/dispatch");
    stage.front.sessions().know_function(function, role);
    // As ministack 1.5.33 derives them: sha256("<function>:<role>") and sha256("token:<that>").
    let key = ("ASIA3D7D6204D92DD915", "30bf1668758b06d9287ff52b5d2d4620133facac33068c543ad724c1a8243319");
    let body = json!({"name": "web-release"}).to_string();
    let refused = stage.call_as(key, REGION, "GetPipeline", &body).await;
    assert_eq!(refused.code(), "AccessDeniedException");
    assert_eq!(
        refused.message(),
        "User: arn:aws:sts::111122223333:assumed-role/dispatch/dispatch is not authorized to perform: \
         codepipeline:GetPipeline on resource: arn:aws:codepipeline:eu-west-1:111122223333:web-release because no \
         identity-based policy allows the codepipeline:GetPipeline action"
    );
    stage.emulator.allow(role, "GetPipeline");
    stage.call_as(key, REGION, "GetPipeline", &body).await.ok();
    let stolen = stage.call_as((key.0, "another"), REGION, "GetPipeline", &body).await;
    assert_eq!(stolen.code(), "UnrecognizedClientException");
}

#[tokio::test]
async fn the_role_and_the_session_policy_must_both_allow_a_call() {
    let stage = Stage::set().await;
    stage.pipelines().define(Pipeline::new(TARGET, REGION, "db-deploy"));
    stage.deploy().await.unwrap();
    let key = stage.front.sessions().in_account(TARGET).remove(0).access_key;
    let session = (key.as_str(), "token/1+=&");
    let get = json!({"name": "svc-deploy"}).to_string();
    let start = json!({"name": "db-deploy"}).to_string();

    // The session's policy is for one pipeline.
    let other = stage.call_as(session, REGION, "StartPipelineExecution", &start).await;
    assert_eq!(
        other.message(),
        "User: arn:aws:sts::444455556666:assumed-role/ManifoldTarget/mf-web-0f3a5b7c9d1e2f40 is not authorized to \
         perform: codepipeline:StartPipelineExecution on resource: \
         arn:aws:codepipeline:eu-west-1:444455556666:db-deploy because no session policy allows the \
         codepipeline:StartPipelineExecution action"
    );
    // The role does not allow it, and neither does the session.
    let neither = stage.call_as(session, REGION, "GetPipeline", &get).await;
    assert!(neither.message().contains("because no identity-based policy allows the codepipeline:GetPipeline action"));
    stage.emulator.deny(ROLE, "StartPipelineExecution");
    let denied = stage.call_as(session, REGION, "StartPipelineExecution", &get).await;
    assert!(denied.message().ends_with("with an explicit deny in an identity-based policy"), "{}", denied.message());
    // The engine sees a refusal for good, and nothing was started.
    let refusal = stage.deploy().await.unwrap_err();
    assert!(words(&refusal).contains("AccessDenied for StartPipelineExecution in role ManifoldTarget"));
    assert_eq!(stage.pipelines().executions(TARGET).len(), 1);
    assert!(stage.front.refusals(TARGET).iter().all(|refusal| refusal.contains("AccessDeniedException")));
}

#[tokio::test]
async fn a_retry_is_authorized_on_its_stage() {
    let stage = Stage::set().await;
    stage.deploy().await.unwrap();
    let key = stage.front.sessions().in_account(TARGET).remove(0).access_key;
    let body = json!({"pipelineName": "svc-deploy", "stageName": "Deploy", "retryMode": "FAILED_ACTIONS",
        "pipelineExecutionId": "3f8c1f0a-7d52-4d5e-9f0b-5a1f7c2b9e01"});
    let answer = stage.call_as((&key, "token/1+=&"), REGION, "RetryStageExecution", &body.to_string()).await;
    assert!(answer.message().contains("on resource: arn:aws:codepipeline:eu-west-1:444455556666:svc-deploy/Deploy"));
}
