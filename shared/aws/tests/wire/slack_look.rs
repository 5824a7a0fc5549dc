//! Looking at a channel without posting to it.

use manifold_aws::secrets::Secrets;
use manifold_aws::slack::SlackClient;
use manifold_core::checkup::{ChannelSeen, SlackSeen, TokenSeen, Tried};
use manifold_core::plan::{Channel, SecretRef};
use manifold_core::time::{Span, Timestamp};
use manifold_ports::checkup::LookAtSlack;
use serde_json::json;
use wiremock::ResponseTemplate;

use crate::samples::{HandClock, at, token};
use crate::stub::Stub;

const NOW: &str = "2026-10-26T13:00:00Z";
const TEST: &str = "/api/auth.test";
const INFO: &str = "/api/conversations.info";

fn in_a_minute() -> Timestamp {
    at(NOW).plus(Span::from_seconds(60))
}

async fn client(stub: &Stub) -> SlackClient<HandClock> {
    let secrets = Secrets::with_clock(&stub.clients().await, HandClock::new(NOW));
    SlackClient::new(&format!("{}/api/", stub.uri()), secrets).unwrap()
}

fn bot(channel: &str) -> Channel {
    Channel::Bot { channel: channel.to_owned(), token: token() }
}

async fn look(stub: &Stub, channel: &str) -> SlackSeen {
    stub.json("GetSecretValue", json!({"SecretString": "xoxb-s3cr3t"}));
    client(stub).await.look(&bot(channel), in_a_minute()).await
}

fn refused<T>(code: &str, message: &str) -> Tried<T> {
    Tried::Refused { code: code.to_owned(), message: message.to_owned() }
}

fn unanswered<T>(reason: &str) -> Tried<T> {
    Tried::Unanswered { reason: reason.to_owned() }
}

#[tokio::test]
async fn the_token_is_tried_and_the_channel_looked_up_by_its_id() {
    let stub = Stub::start().await;
    let whose = json!({"ok": true, "team": "Example", "user": "manifold"});
    let scopes = "chat:write, channels:read";
    stub.then(TEST, ResponseTemplate::new(200).set_body_json(whose).insert_header("x-oauth-scopes", scopes));
    stub.json(INFO, json!({"ok": true, "channel": {"name": "deploys", "is_member": false, "is_archived": true}}));
    let seen = look(&stub, "C0123456789").await;
    assert_eq!(seen.secret, Tried::Done(()));
    assert_eq!(
        seen.token,
        Tried::Done(TokenSeen {
            team: Some("Example".to_owned()),
            user: Some("manifold".to_owned()),
            scopes: Some(vec!["chat:write".to_owned(), "channels:read".to_owned()]),
        })
    );
    let name = Some("deploys".to_owned());
    let place = ChannelSeen { name, is_archived: true, is_member: Some(false), is_private: false };
    assert_eq!(seen.channel, Tried::Done(place));
    let asked = stub.only(INFO);
    assert_eq!(asked.text, "channel=C0123456789");
    assert_eq!(asked.header("content-type"), "application/x-www-form-urlencoded");
    assert_eq!(asked.header("authorization"), "Bearer xoxb-s3cr3t");
}

#[tokio::test]
async fn a_refused_token_is_not_used_to_look_further_and_a_refused_look_names_the_scope() {
    let stub = Stub::start().await;
    stub.json(TEST, json!({"ok": false, "error": "token_revoked"}));
    let seen = look(&stub, "C0123456789").await;
    assert_eq!((seen.token, seen.channel), (refused("token_revoked", ""), Tried::NotTried));

    let stub = Stub::start().await;
    stub.json(TEST, json!({"ok": true}));
    stub.json(
        INFO,
        json!({"ok": false, "error": "missing_scope", "needed": "channels:read", "provided": "chat:write"}),
    );
    assert_eq!(look(&stub, "C0123456789").await.channel, refused("missing_scope", "it needs channels:read"));
}

#[tokio::test]
async fn a_channel_by_name_is_not_looked_up() {
    let stub = Stub::start().await;
    stub.json(TEST, json!({"ok": true}));
    assert_eq!(look(&stub, "#deploys").await.channel, refused("not_an_id", ""));
}

#[tokio::test]
async fn what_slack_does_not_answer_is_not_known_and_no_page_is_quoted() {
    let busy = ResponseTemplate::new(429).insert_header("retry-after", "30");
    let page = ResponseTemplate::new(502).set_body_string("<html>xoxb-s3cr3t</html>");
    let limited = ResponseTemplate::new(200).set_body_json(json!({"ok": false, "error": "ratelimited"}));
    let broken = ResponseTemplate::new(200).set_body_json(json!({"ok": false, "error": "internal_error"}));
    for (reply, reason) in [
        (busy, "Slack asks to wait 30 s"),
        (page, "HTTP 502 without an answer of the Web API"),
        (limited, "ratelimited"),
        (broken, "internal_error"),
    ] {
        let stub = Stub::start().await;
        stub.then(TEST, reply);
        assert_eq!(look(&stub, "C0123456789").await.token, unanswered(reason));
    }
}

#[tokio::test]
async fn a_webhook_is_only_read() {
    let hook = Channel::Webhook { url: SecretRef::Ssm("/manifold/hook".to_owned()) };
    let malformed = refused("malformed", "it is not the URL of a Slack webhook");
    for (value, expected) in [
        ("https://hooks.slack.com/services/T0/B0/s3cr3t", Tried::Done(())),
        ("https://example.com/services/T0/B0/s3cr3t", malformed.clone()),
        ("http://hooks.slack.com/services/T0/B0/s3cr3t", malformed.clone()),
        ("xoxb-s3cr3t", malformed),
    ] {
        let stub = Stub::start().await;
        stub.json("GetParameter", json!({"Parameter": {"Value": value}}));
        let seen = client(&stub).await.look(&hook, in_a_minute()).await;
        assert_eq!(seen, SlackSeen { secret: expected, token: Tried::NotTried, channel: Tried::NotTried }, "{value}");
        assert_eq!(stub.sent().len(), 1, "nothing is posted");
    }
}

#[tokio::test]
async fn a_secret_that_can_not_be_read_or_is_a_url_is_told_and_is_read_anew_each_time() {
    let stub = Stub::start().await;
    stub.error("GetSecretValue", 400, "ResourceNotFoundException");
    let client = client(&stub).await;
    let seen = client.look(&bot("C0123456789"), in_a_minute()).await;
    let message = "ResourceNotFoundException: ResourceNotFoundException in words";
    assert_eq!((seen.secret, seen.token), (refused("", message), Tried::NotTried));
    for _ in 0..2 {
        stub.json("GetSecretValue", json!({"SecretString": "https://hooks.slack.com/services/x"}));
        let seen = client.look(&bot("C0123456789"), in_a_minute()).await;
        assert_eq!(seen.secret, refused("malformed", "it is a URL, and no token"));
    }
}
