//! What goes wrong on request.

use manifold_core::run::Refusal;
use manifold_ports::engine::Engine;
use manifold_tests::local_aws::front::faults::{Fault, Lost, Which};
use serde_json::json;

use crate::stage::{HUB, REGION, Stage, TARGET, authorization, order, planned, run, words};

#[tokio::test]
async fn sts_is_throttled_in_its_own_words_and_for_one_account() {
    let stage = Stage::set().await;
    stage.front.faults().inject(HUB, "sts.AssumeRole", Fault::Throttled, Which::Next(1));
    let ask = |key: &'static str| {
        reqwest::Client::new()
            .post(stage.front.uri())
            .header("authorization", authorization(key, "us-east-1", "sts"))
            .header("content-type", "application/x-www-form-urlencoded")
            .body("Action=AssumeRole&RoleArn=arn:aws:iam::444455556666:role/R&RoleSessionName=s")
            .send()
    };
    // Another account does not notice.
    assert_eq!(ask("777788889999").await.unwrap().status(), 200);
    let throttled = ask(HUB).await.unwrap();
    assert_eq!(
        (throttled.status().as_u16(), &throttled.headers()["content-type"]),
        (400, &"text/xml".parse().unwrap())
    );
    let body = throttled.text().await.unwrap();
    assert!(body.contains("<Code>Throttling</Code><Message>Rate exceeded</Message>"), "{body}");
    assert_eq!(ask(HUB).await.unwrap().status(), 200);
    assert_eq!(stage.emulator.arrived("AssumeRole").len(), 2, "a call that is throttled goes nowhere");
    assert_eq!(stage.front.calls(HUB), [("sts.AssumeRole".to_owned(), 2)].into());
}

#[tokio::test]
async fn a_throttled_start_is_told_at_once_and_not_repeated_by_the_sdk() {
    let stage = Stage::set().await;
    stage.deploy().await.unwrap();
    stage.front.faults().inject(TARGET, "codepipeline", Fault::Throttled, Which::Next(1));
    let refusal = stage.deploy().await.unwrap_err();
    assert!(matches!(refusal, Refusal::Throttled { .. }), "{refusal:?}");
    assert!(words(&refusal).contains("Throttled by CodePipeline"), "{refusal:?}");
    assert_eq!(stage.front.calls(TARGET)["codepipeline.StartPipelineExecution"], 2);
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_and_starts_nothing_more() {
    for lost in [Lost::Connection, Lost::ToServerError] {
        let stage = Stage::set().await;
        let operation = "codepipeline.StartPipelineExecution";
        stage.front.faults().inject(TARGET, operation, Fault::Lost(lost), Which::Next(1));
        let id = stage.deploy().await.unwrap();
        let executions = stage.pipelines().executions(TARGET);
        assert_eq!(executions.len(), 1, "{lost:?}");
        assert_eq!((executions[0].id.as_str(), executions[0].start_calls), (id.as_str(), 2), "{lost:?}");
    }
}

#[tokio::test]
async fn a_session_whose_answer_was_lost_is_open_all_the_same() {
    let stage = Stage::set().await;
    stage.front.faults().inject(HUB, "sts.AssumeRole", Fault::Lost(Lost::Connection), Which::Next(1));
    stage.deploy().await.unwrap();
    assert_eq!(stage.front.sessions().in_account(TARGET).len(), 2);
}

#[tokio::test]
async fn every_nth_call_and_what_is_above_a_rate_is_throttled() {
    let stage = Stage::set().await;
    let faults = stage.front.faults();
    let get = async |_: usize| {
        let answer = stage.call("GetPipeline", json!({"name": "svc-deploy"})).await;
        if answer.status == 200 { "200" } else { "throttled" }
    };
    faults.inject(TARGET, "codepipeline.GetPipeline", Fault::Throttled, Which::Every(3));
    let mut answers = Vec::new();
    for number in 0..6 {
        answers.push(get(number).await);
    }
    assert_eq!(answers, ["200", "200", "throttled", "200", "200", "throttled"]);

    faults.clear(TARGET);
    faults.inject(TARGET, "codepipeline.GetPipeline", Fault::Throttled, Which::Above { per_second: 0 });
    assert_eq!(get(0).await, "throttled");
    faults.clear(TARGET);
    faults.inject(TARGET, "codepipeline.GetPipeline", Fault::Throttled, Which::Above { per_second: 1_000 });
    assert_eq!(get(0).await, "200");
}

#[tokio::test]
async fn a_region_that_is_not_enabled_knows_no_credentials_of_the_account() {
    let stage = Stage::set().await;
    stage.front.faults().disable_region(TARGET, REGION);
    let refusal = stage.deploy().await.unwrap_err();
    assert!(words(&refusal).contains("UnrecognizedClientException in the target's Region"), "{refusal:?}");
    let start = json!({"name": "svc-deploy"}).to_string();
    let elsewhere = stage.call_as((TARGET, ""), "us-east-1", "GetPipeline", &start).await;
    assert_eq!(elsewhere.code(), "PipelineNotFoundException", "another Region is not the same");
    stage.front.faults().clear(TARGET);
    stage.engine().await.start(order(&run(), &planned())).await.unwrap();
}

#[tokio::test]
async fn an_emulator_that_does_not_answer_is_a_trouble_of_its_own() {
    let front = manifold_tests::local_aws::front::Front::start("http://127.0.0.1:9");
    let request = reqwest::Client::new()
        .post(front.uri())
        .header("authorization", authorization(HUB, "us-east-1", "sqs"))
        .header("x-amz-target", "AmazonSQS.SendMessage");
    assert_eq!(request.send().await.unwrap().status(), 502);
    let troubles = front.troubles();
    assert!(troubles[0].starts_with("sqs.SendMessage: the emulator did not answer"), "{troubles:?}");
}
