//! Slack.

use manifold_aws::secrets::Secrets;
use manifold_aws::slack::SlackClient;
use manifold_core::plan::{Channel, SecretRef};
use manifold_core::summary::Payload;
use manifold_core::time::Span;
use manifold_ports::slack::{MessageRef, Slack, SlackError};
use serde_json::{Value, json};
use wiremock::ResponseTemplate;

use crate::samples::bot;
use crate::stub::Stub;

const POST: &str = "/api/chat.postMessage";
const UPDATE: &str = "/api/chat.update";
const HOOK: &str = "/services/T0/B0/hook-s3cr3t";

async fn client(stub: &Stub) -> SlackClient {
    SlackClient::new(&format!("{}/api/", stub.uri()), Secrets::new(&stub.clients().await)).unwrap()
}

/// A client whose bot token can be read.
async fn authorised(stub: &Stub) -> SlackClient {
    stub.json("GetSecretValue", json!({"SecretString": "xoxb-s3cr3t"}));
    client(stub).await
}

fn hook() -> Channel {
    Channel::Webhook { url: SecretRef::Ssm("/manifold/hook".to_owned()) }
}

/// A client whose webhook can be read.
async fn hooked(stub: &Stub) -> SlackClient {
    stub.json("GetParameter", json!({"Parameter": {"Value": format!("{}{HOOK}\n", stub.uri())}}));
    client(stub).await
}

fn payload() -> Payload {
    Payload { text: "web 4f3c2b1a: rolling out".to_owned(), blocks: vec![json!({"type": "divider"})] }
}

fn message() -> MessageRef {
    MessageRef { channel: Some("C0123456789".to_owned()), ts: Some("1730.000100".to_owned()) }
}

fn refused(code: &str) -> SlackError {
    SlackError::Refused { code: code.to_owned() }
}

fn limited(seconds: i64) -> SlackError {
    SlackError::RateLimited { retry_after: Span::from_seconds(seconds) }
}

fn unavailable(reason: &str) -> SlackError {
    SlackError::Unavailable { reason: reason.to_owned() }
}

#[tokio::test]
async fn a_bot_posts_and_slack_tells_where() {
    let stub = Stub::start().await;
    stub.json(POST, json!({"ok": true, "channel": "C0123456789", "ts": "1730.000100"}));
    let posted = authorised(&stub).await.post(&bot(), None, &payload()).await.unwrap();
    assert_eq!(posted, message());
    let sent = stub.only(POST);
    assert_eq!(sent.header("authorization"), "Bearer xoxb-s3cr3t");
    assert!(sent.header("content-type").starts_with("application/json"));
    assert_eq!(
        sent.body(),
        json!({"channel": "#deploys", "text": "web 4f3c2b1a: rolling out", "blocks": [{"type": "divider"}],
            "unfurl_links": false, "unfurl_media": false})
    );
}

#[tokio::test]
async fn a_thread_is_posted_where_its_message_is_and_an_edit_names_the_message() {
    let stub = Stub::start().await;
    stub.json(POST, json!({"ok": true, "channel": "C0123456789", "ts": "1730.000200"}));
    stub.json(UPDATE, json!({"ok": true, "channel": "C0123456789", "ts": "1730.000100"}));
    let slack = authorised(&stub).await;
    slack.post(&bot(), Some(&message()), &payload()).await.unwrap();
    slack.edit(&bot(), &message(), &payload()).await.unwrap();
    let posted = stub.only(POST).body();
    assert_eq!((&posted["channel"], &posted["thread_ts"]), (&json!("C0123456789"), &json!("1730.000100")));
    assert_eq!(
        stub.only(UPDATE).body(),
        json!({"channel": "C0123456789", "ts": "1730.000100", "text": "web 4f3c2b1a: rolling out",
            "blocks": [{"type": "divider"}]})
    );
}

#[tokio::test]
async fn a_webhook_posts_without_a_channel_and_can_not_edit() {
    let stub = Stub::start().await;
    stub.then(HOOK, ResponseTemplate::new(200).set_body_string("ok"));
    let slack = hooked(&stub).await;
    assert_eq!(slack.post(&hook(), None, &payload()).await.unwrap(), MessageRef::default());
    let sent = stub.only(HOOK);
    assert_eq!(sent.header("authorization"), "");
    assert_eq!(
        sent.body(),
        json!({"text": "web 4f3c2b1a: rolling out", "blocks": [{"type": "divider"}], "unfurl_links": false,
            "unfurl_media": false})
    );
    let error = slack.edit(&hook(), &message(), &payload()).await.unwrap_err();
    assert_eq!(error, refused("an incoming webhook can't edit"));
}

#[tokio::test]
async fn a_silent_channel_asks_nobody() {
    let stub = Stub::start().await;
    let slack = client(&stub).await;
    assert_eq!(slack.post(&Channel::Silent, None, &payload()).await.unwrap(), MessageRef::default());
    slack.edit(&Channel::Silent, &message(), &payload()).await.unwrap();
    assert!(stub.sent().is_empty());
}

#[tokio::test]
async fn every_answer_of_the_web_api_is_passing_or_for_good() {
    let no = |error: &str| ResponseTemplate::new(200).set_body_json(json!({"ok": false, "error": error}));
    let table = [
        (no("channel_not_found"), refused("channel_not_found")),
        (no("is_archived"), refused("is_archived")),
        (no("msg_blocks_too_long"), refused("msg_blocks_too_long")),
        (no("something_new"), refused("something_new")),
        (no("something else"), refused("HTTP 200")),
        (no("internal_error"), unavailable("internal_error")),
        (no("fatal_error"), unavailable("fatal_error")),
        (no("service_unavailable"), unavailable("service_unavailable")),
        (no("request_timeout"), unavailable("request_timeout")),
        (no("team_added_to_org"), unavailable("team_added_to_org")),
        (no("ratelimited").insert_header("retry-after", "7"), limited(7)),
        (no("ratelimited"), limited(30)),
        (ResponseTemplate::new(429).insert_header("retry-after", "12"), limited(12)),
        (ResponseTemplate::new(429).insert_header("retry-after", "soon"), limited(30)),
        (ResponseTemplate::new(429), limited(30)),
        (ResponseTemplate::new(502).set_body_string("<html>"), unavailable("HTTP 502")),
        (
            ResponseTemplate::new(200).set_body_string("<html>"),
            unavailable("HTTP 200 without an answer of the Web API"),
        ),
        (ResponseTemplate::new(404).set_body_string("<html>"), refused("HTTP 404 without an answer of the Web API")),
        (ResponseTemplate::new(200).set_body_json(json!({})), refused("unknown_error")),
    ];
    for (reply, expected) in table {
        let stub = Stub::start().await;
        stub.then(POST, reply.clone()).then(UPDATE, reply);
        let slack = authorised(&stub).await;
        assert_eq!(slack.post(&bot(), None, &payload()).await.unwrap_err(), expected);
        assert_eq!(slack.edit(&bot(), &message(), &payload()).await.unwrap_err(), expected);
    }
}

#[tokio::test]
async fn every_answer_of_a_webhook_is_passing_or_for_good() {
    let text = |status: u16, body: &str| ResponseTemplate::new(status).set_body_string(body);
    let table = [
        (text(400, "invalid_payload"), refused("invalid_payload")),
        (text(403, "action_prohibited\n"), refused("action_prohibited")),
        (text(404, "channel_not_found"), refused("channel_not_found")),
        (text(410, "channel_is_archived"), refused("channel_is_archived")),
        (text(200, "not ok"), refused("HTTP 200")),
        (text(407, "Proxy: /services/T0/B0/hook-s3cr3t needs a password"), refused("HTTP 407")),
        (text(404, ""), refused("HTTP 404")),
        (text(302, ""), refused("HTTP 302")),
        (text(400, &"x".repeat(5_000)), refused("HTTP 400")),
        (text(500, "rollup_error"), unavailable("HTTP 500")),
        (text(429, "").insert_header("retry-after", "3"), limited(3)),
    ];
    for (reply, expected) in table {
        let stub = Stub::start().await;
        stub.then(HOOK, reply);
        assert_eq!(hooked(&stub).await.post(&hook(), None, &payload()).await.unwrap_err(), expected);
    }
}

#[tokio::test]
async fn a_token_that_was_rotated_is_read_again_before_slacks_refusal_is_believed() {
    for code in ["invalid_auth", "token_revoked", "account_inactive", "token_expired", "not_authed"] {
        let stub = Stub::start().await;
        stub.json(POST, json!({"ok": false, "error": code}));
        stub.json(POST, json!({"ok": true, "channel": "C0123456789", "ts": "1"}));
        let slack = authorised(&stub).await;
        stub.json("GetSecretValue", json!({"SecretString": "xoxb-new"}));
        slack.post(&bot(), None, &payload()).await.unwrap();
        let bearers: Vec<_> = stub.asked(POST).iter().map(|sent| sent.header("authorization").to_owned()).collect();
        assert_eq!(bearers, ["Bearer xoxb-s3cr3t", "Bearer xoxb-new"]);
    }
}

#[tokio::test]
async fn a_revoked_secret_is_refused_for_good_and_never_kept() {
    let stub = Stub::start().await;
    let slack = hooked(&stub).await;
    let url = json!({"Parameter": {"Value": format!("{}{HOOK}", stub.uri())}});
    // It is read again before Slack is believed, and, because it was refused, again for the next message.
    stub.json("GetParameter", url.clone()).json("GetParameter", url);
    stub.then(HOOK, ResponseTemplate::new(404).set_body_string("no_service"));
    stub.then(HOOK, ResponseTemplate::new(200).set_body_string("ok"));
    assert_eq!(slack.post(&hook(), None, &payload()).await.unwrap_err(), refused("no_service"));
    slack.post(&hook(), None, &payload()).await.unwrap();
}

#[tokio::test]
async fn a_secret_that_can_not_be_read_is_tried_again() {
    let stub = Stub::start().await;
    stub.error("GetSecretValue", 400, "AccessDeniedException");
    let error = client(&stub).await.post(&bot(), None, &payload()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "slack is not available: the secret can't be read: AccessDeniedException: AccessDeniedException in words"
    );
}

#[tokio::test]
async fn no_error_shows_a_token_or_a_webhooks_url() {
    let values: [(&str, Value, Channel); 4] = [
        // Nobody listens there.
        ("GetParameter", json!({"Parameter": {"Value": "http://127.0.0.1:9/services/T0/B0/s3cr3t"}}), hook()),
        ("GetParameter", json!({"Parameter": {"Value": "https://no-such-host.invalid/services/s3cr3t"}}), hook()),
        ("GetParameter", json!({"Parameter": {"Value": "s3cr3t but no URL"}}), hook()),
        ("GetSecretValue", json!({"SecretString": "s3cr3t\nbut no token"}), bot()),
    ];
    for (operation, value, channel) in values {
        let stub = Stub::start().await;
        stub.json(operation, value);
        let slack = client(&stub).await;
        let error = slack.post(&channel, None, &payload()).await.unwrap_err();
        assert!(matches!(error, SlackError::Unavailable { .. }), "{error}");
        let printed = format!("{error} {error:?} {slack:?}");
        assert!(!printed.contains("s3cr3t") && !printed.contains("services"), "{printed}");
    }
}
