//! Requests to the function URL, as Slack and others send them.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::future::{Future, pending, ready};
use std::sync::Mutex;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::executor::block_on;
use hmac::{Hmac, KeyInit, Mac};
use manifold_core::checkup::{Misunderstood, Question};
use manifold_core::control::{Command, Order, Request, Via, Which};
use manifold_core::ids::{Nonce, RunId};
use manifold_core::message::{Outgoing, Payload, Queue};
use manifold_core::press;
use manifold_core::summary::Action;
use manifold_core::time::Timestamp;
use manifold_ports::clock::Clock;
use manifold_ports::queues::{Queues, SendError};
use manifold_ports::signing::{Signing, SigningError, SigningSecret};
use manifold_respond::{Respond, Response};
use serde_json::{Value, json};
use sha2::Sha256;

const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
/// When the press happens.
const NOW: i64 = 1_548_426_418;

/// Queues, secret and clock in one.
#[derive(Default)]
struct World {
    sent: Mutex<Vec<Outgoing>>,
    queue_is: Answers,
    secret_is: Answers,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Answers {
    #[default]
    Well,
    Never,
    Badly,
}

impl Queues for World {
    async fn send(&self, messages: Vec<Outgoing>) -> Result<(), SendError> {
        match self.queue_is {
            Answers::Well => {
                self.sent.lock().unwrap().extend(messages);
                Ok(())
            }
            Answers::Never => pending().await,
            Answers::Badly => Err(SendError { unsent: 1, total: messages.len(), reason: "no queue".to_owned() }),
        }
    }
}

impl Signing for World {
    async fn secret(&self) -> Result<SigningSecret, SigningError> {
        match self.secret_is {
            Answers::Well => Ok(SigningSecret::new(SECRET)),
            Answers::Never => pending().await,
            Answers::Badly => Err(SigningError("AccessDeniedException".to_owned())),
        }
    }
}

impl Clock for World {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(NOW * 1_000)
    }
    fn nonce(&self) -> Nonce {
        unreachable!("a press brings its own")
    }
}

fn run() -> RunId {
    "web-0f3a5b7c9d1e2f40".parse().unwrap()
}

fn approve() -> Action {
    Action::Approve { wave: "prod".to_owned() }
}

/// The body that Slack sends when somebody presses the button of an action.
fn body(action: &Action, action_ts: &str) -> String {
    let payload = json!({
        "type": "block_actions",
        "user": { "id": "U0123456789", "name": "jane.doe" },
        "container": { "type": "message", "message_ts": "1548261231.000200" },
        "response_url": "https://hooks.slack.com/actions/A/B/C",
        "actions": [{
            "type": "button", "action_id": press::action_id(action),
            "value": press::value(&run(), action), "action_ts": action_ts,
        }],
    });
    form_urlencoded::Serializer::new(String::new()).append_pair("payload", &payload.to_string()).finish()
}

fn signed(secret: &str, seconds: i64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("v0:{seconds}:{body}").as_bytes());
    let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("v0={hex}")
}

/// The event of a request to a function URL.
fn request(seconds: i64, body: &str) -> Value {
    json!({
        "version": "2.0", "routeKey": "$default", "rawPath": "/", "rawQueryString": "",
        "headers": {
            "content-type": "application/x-www-form-urlencoded",
            "x-slack-request-timestamp": seconds.to_string(),
            "x-slack-signature": signed(SECRET, seconds, body),
        },
        "requestContext": { "accountId": "anonymous", "http": { "method": "POST", "path": "/", "sourceIp": "203.0.113.1" } },
        "body": body, "isBase64Encoded": false,
    })
}

fn answer(world: &World, event: &Value, out_of_time: impl Future<Output = ()>) -> Response {
    block_on(Respond { queues: world, signing: world, clock: world }.handle(event, out_of_time)).unwrap()
}

/// The status that a request is answered with. Only a press that is taken in is sent on.
fn status(event: &Value) -> u16 {
    let world = World::default();
    let Response { status_code, body, .. } = answer(&world, event, pending());
    assert_eq!(world.sent.lock().unwrap().len(), usize::from(status_code == 200), "{status_code} {body}");
    status_code
}

fn sent(events: &[Value]) -> Vec<Outgoing> {
    let world = World::default();
    for event in events {
        let response = answer(&world, event, pending());
        assert_eq!((response.status_code, response.body), (200, ""));
    }
    world.sent.into_inner().unwrap()
}

fn command(message: &Outgoing) -> Command<Order> {
    let Payload::Command { run: of, command } = &message.payload else { panic!("{message:?}") };
    assert_eq!((message.queue, of), (Queue::Collect, &run()));
    (**command).clone()
}

#[test]
fn a_press_becomes_a_message_and_an_empty_answer() {
    let [message] = &sent(&[request(NOW, &body(&approve(), "1548426417.840180"))])[..] else { panic!("one message") };
    let command = command(message);
    assert_eq!(command.what, Order::Approve { wave: "prod".to_owned() });
    assert_eq!(command.at, Timestamp::from_millis(1_548_426_417_840));
    assert_eq!((command.who.via, &*command.who.id), (Via::Slack, "U0123456789"));
    assert_eq!(command.who.name.as_deref(), Some("jane.doe"));
}

#[test]
fn every_button_goes_to_whoever_carries_it_out() {
    let press = |action: &Action| sent(&[request(NOW, &body(action, "1548426417.840180"))]).remove(0);
    assert_eq!(command(&press(&Action::Reject { wave: "prod".to_owned() })).what.verb(), "reject");
    assert_eq!(command(&press(&Action::Abort)).what, Order::Abort { stop: false });
    let message = press(&Action::RetryFailed);
    assert_eq!(message.queue, Queue::Dispatch);
    let Payload::Open { request } = message.payload else { panic!("no request") };
    assert_eq!(request.what, Request::Retry { of: run(), which: Which::Failed });
}

#[test]
fn the_same_press_twice_is_one_command_and_a_double_press_is_two() {
    let first = request(NOW, &body(&approve(), "1548426417.840180"));
    let again = request(NOW + 2, &body(&approve(), "1548426417.840180"));
    let second = request(NOW, &body(&approve(), "1548426418.100200"));
    let ids: Vec<Nonce> = sent(&[first, again, second]).iter().map(|message| command(message).id).collect();
    assert_eq!(ids[0], ids[1]);
    assert_ne!(ids[0], ids[2]);
}

#[test]
fn a_body_in_base64_is_verified_and_read_as_what_it_was() {
    let body = body(&approve(), "1548426417.840180");
    let mut event = request(NOW, &body);
    event["body"] = json!(STANDARD.encode(&body));
    assert_eq!(status(&event), 401, "it is not said to be base64");
    event["isBase64Encoded"] = json!(true);
    assert_eq!(status(&event), 200);
    event["body"] = json!("%");
    assert_eq!(status(&event), 401);
}

#[test]
fn what_is_not_signed_by_slack_now_is_refused_without_a_word() {
    let body = body(&approve(), "1548426417.840180");
    let changed = |change: fn(&mut Value)| {
        let mut event = request(NOW, &body);
        change(&mut event);
        event
    };
    let requests = [
        request(NOW - 301, &body),
        request(NOW + 301, &body),
        changed(|event| event["headers"]["x-slack-signature"] = json!(signed("another", NOW, ""))),
        changed(|event| event["headers"]["x-slack-request-timestamp"] = json!((NOW - 1).to_string())),
        changed(|event| event["headers"] = json!({})),
        changed(|event| event["body"] = json!(null)),
        changed(|event| event["body"] = json!("payload=%7B%7D")),
    ];
    for event in requests {
        let response = answer(&World::default(), &event, pending());
        assert_eq!((response.status_code, response.body), (401, ""), "{event}");
    }
}

#[test]
fn other_methods_and_what_is_no_press_of_ours_are_refused() {
    let mut event = request(NOW, &body(&approve(), "1548426417.840180"));
    event["requestContext"]["http"]["method"] = json!("GET");
    let response = answer(&World::default(), &event, pending());
    assert_eq!((response.status_code, response.headers["allow"]), (405, "POST"));
    let unknown = body(&approve(), "1548426417.840180").replace("manifold.approve", "manifold.celebrate");
    for body in ["", "ssl_check=1", "payload=%7B%22type%22%3A%22shortcut%22%7D", "payload=%FF", &unknown] {
        assert_eq!(status(&request(NOW, body)), 400, "{body}");
    }
}

#[test]
fn what_could_not_be_sent_in_time_is_an_error_that_the_user_sees() {
    let event = request(NOW, &body(&approve(), "1548426417.840180"));
    let with = |queue_is, secret_is| World { queue_is, secret_is, ..World::default() };
    for world in [with(Answers::Badly, Answers::Well), with(Answers::Well, Answers::Badly)] {
        assert_eq!(answer(&world, &event, pending()).status_code, 503);
    }
    for world in [with(Answers::Never, Answers::Well), with(Answers::Well, Answers::Never)] {
        assert_eq!(answer(&world, &event, ready(())).status_code, 503);
    }
    // Who is not Slack learns nothing of it, however slow it is.
    let response = answer(&with(Answers::Never, Answers::Well), &request(NOW - 301, ""), ready(()));
    assert_eq!(response.status_code, 401);
}

#[test]
fn the_answer_is_as_a_function_url_takes_it() {
    let response = answer(&World::default(), &request(NOW, "payload=%7B%7D"), pending());
    let expected = json!({
        "statusCode": 400,
        "headers": { "cache-control": "no-store", "content-type": "text/plain; charset=utf-8" },
        "body": "not a button of this version",
    });
    assert_eq!(serde_json::to_value(response).unwrap(), expected);
}

#[test]
fn what_is_no_request_fails_and_a_checkups_question_is_another_functions() {
    let world = World::default();
    let respond = Respond { queues: &world, signing: &world, clock: &world };
    let error = block_on(respond.handle(&json!({ "Records": [] }), pending())).unwrap_err();
    assert!(error.to_string().starts_with("not a request to a function URL: missing field"), "{error}");
    assert_eq!(respond.checkup(&Question::Fleet), Err(Misunderstood::Misplaced { function: "respond" }));
}
