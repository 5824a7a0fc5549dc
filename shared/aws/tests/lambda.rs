//! A function as Lambda runs it: a process of its own, that asks the runtime API for events.
//!
//! The process is this test, started again: a function reads its environment, which a test can't change for itself.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "what tests share fails by panicking, and a process of its own is waited for"
)]

use std::process::{Command, Stdio};
use std::time::Duration;

use manifold_aws::clients::Clients;
use manifold_aws::ledger::DynamoLedger;
use manifold_aws::{env, lambda};
use manifold_core::ledger::Key;
use manifold_core::time::Timestamp;
use manifold_ports::ledger::Ledger;
use serde_json::{Value, json};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

const API: &str = "/2018-06-01/runtime/invocation";
const DEADLINE: &str = "1793022579123";

/// Not a test by itself: the function that the tests below start.
#[tokio::test]
#[ignore = "is started by the other tests"]
async fn function() {
    let served = lambda::serve(async || {
        let greeting = std::env::var("GREETING").map_err(|_| "there is no greeting")?;
        let ledger = DynamoLedger::new(Clients::from_env().await.dynamodb(), env::TABLE.required()?);
        Ok(async move |event: Value, deadline: Timestamp| {
            if event["read"] == true {
                return Ok(json!(ledger.get(&[Key::Queue("web".parse()?)]).await?.len()));
            }
            if event["fail"] == true {
                return Err(std::io::Error::other("it failed, as it was told").into());
            }
            Ok(json!({"said": greeting, "to": event["name"], "deadline": deadline.as_millis()}))
        })
    });
    served.await.unwrap();
}

struct Function {
    runtime_api: MockServer,
    process: std::process::Child,
}

impl Function {
    /// Starts the function; it gets these events, one after the other, and then none for a long time.
    async fn start(events: &[Value], greeting: Option<&str>) -> Self {
        let runtime_api = MockServer::start().await;
        for (index, event) in events.iter().enumerate() {
            let next = ResponseTemplate::new(200)
                .insert_header("lambda-runtime-aws-request-id", format!("request-{index}"))
                .insert_header("lambda-runtime-deadline-ms", DEADLINE)
                .insert_header(
                    "lambda-runtime-invoked-function-arn",
                    "arn:aws:lambda:eu-west-1:111122223333:function:f",
                )
                .set_body_json(event);
            let next = Mock::given(method("GET")).and(path(format!("{API}/next"))).respond_with(next);
            next.up_to_n_times(1).mount(&runtime_api).await;
        }
        let silence = ResponseTemplate::new(200).set_delay(Duration::from_secs(600));
        Mock::given(method("GET")).respond_with(silence).mount(&runtime_api).await;
        // The same server is also the AWS that `AWS_ENDPOINT_URL` names.
        let nothing = ResponseTemplate::new(200).set_body_json(json!({}));
        Mock::given(method("POST")).and(path("/")).respond_with(nothing).mount(&runtime_api).await;
        Mock::given(method("POST")).respond_with(ResponseTemplate::new(202)).mount(&runtime_api).await;
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "function", "--ignored", "--nocapture"])
            .env("AWS_LAMBDA_RUNTIME_API", runtime_api.uri().replace("http://", ""))
            .env("AWS_LAMBDA_FUNCTION_NAME", "f")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "1")
            .env("AWS_ENDPOINT_URL", runtime_api.uri())
            .env("AWS_REGION", "eu-west-1")
            .env("AWS_ACCESS_KEY_ID", "AKIDHUB")
            .env("AWS_SECRET_ACCESS_KEY", "hub-secret")
            .env("AWS_SESSION_TOKEN", "hub-token")
            .env("MANIFOLD_TABLE", "manifold")
            .env_remove("GREETING")
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        if let Some(greeting) = greeting {
            command.env("GREETING", greeting);
        }
        Self { process: command.spawn().unwrap(), runtime_api }
    }

    /// What the function posted, once it has posted that often.
    async fn posted(&self, times: usize) -> Vec<(String, Value)> {
        for _ in 0..1000 {
            let requests = self.runtime_api.received_requests().await.unwrap();
            let posts: Vec<_> = requests.iter().filter(|request| request.url.path().starts_with(API)).collect();
            let posts: Vec<_> = posts.into_iter().filter(|request| request.method == "POST").collect();
            if posts.len() >= times {
                return posts
                    .iter()
                    .map(|post| (post.url.path().to_owned(), serde_json::from_slice(&post.body).unwrap()))
                    .collect();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the function did not answer");
    }

    /// Everything it logged until it was ended.
    fn end(mut self) -> Vec<Value> {
        let _ = self.process.kill();
        let output = self.process.wait_with_output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

#[tokio::test]
async fn a_function_is_set_up_once_and_answers_every_event_with_its_deadline_in_hand() {
    let function = Function::start(&[json!({"name": "a"}), json!({"name": "b"})], Some("hello")).await;
    let posted = function.posted(2).await;
    let deadline = DEADLINE.parse::<i64>().unwrap();
    let answer = |name| json!({"said": "hello", "to": name, "deadline": deadline});
    assert_eq!(
        posted,
        [(format!("{API}/request-0/response"), answer("a")), (format!("{API}/request-1/response"), answer("b"))]
    );
    function.end();
}

#[tokio::test]
async fn clients_take_endpoint_region_and_credentials_from_the_environment() {
    let function = Function::start(&[json!({"read": true})], Some("hello")).await;
    assert_eq!(function.posted(1).await, [(format!("{API}/request-0/response"), json!(1))]);
    let requests = function.runtime_api.received_requests().await.unwrap();
    let call = requests.iter().find(|request| request.url.path() == "/").unwrap();
    let header = |name: &str| call.headers[name].to_str().unwrap().to_owned();
    assert_eq!(header("x-amz-target"), "DynamoDB_20120810.GetItem");
    assert_eq!(header("x-amz-security-token"), "hub-token");
    let authorization = header("authorization");
    assert!(authorization.contains("Credential=AKIDHUB/") && authorization.contains("/eu-west-1/dynamodb/"));
    assert_eq!(call.body_json::<Value>().unwrap()["TableName"], "manifold");
    function.end();
}

#[tokio::test]
async fn an_event_that_fails_is_reported_and_logged_once_and_the_next_one_is_answered() {
    let function = Function::start(&[json!({"fail": true}), json!({"name": "b"})], Some("hello")).await;
    let posted = function.posted(2).await;
    assert_eq!(posted[0].0, format!("{API}/request-0/error"));
    assert_eq!(posted[0].1["errorType"], lambda::ERROR_TYPE);
    assert_eq!(posted[0].1["errorMessage"], "it failed, as it was told");
    assert_eq!(posted[1].0, format!("{API}/request-1/response"));
    let log = function.end();
    let errors: Vec<_> = log.iter().filter(|line| line["level"] == "ERROR").collect();
    let [error] = errors.as_slice() else { panic!("{log:?}") };
    assert_eq!((&error["error"], &error["request"]), (&json!("it failed, as it was told"), &json!("request-0")));
}

#[tokio::test]
async fn a_function_that_can_not_be_set_up_says_why_and_ends() {
    let mut function = Function::start(&[], None).await;
    assert!(!function.process.wait().unwrap().success());
    let log = function.end();
    assert!(log.iter().any(|line| line["error"] == "there is no greeting" && line["level"] == "ERROR"), "{log:?}");
}
