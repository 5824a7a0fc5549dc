//! Slack: what it takes, and what it refuses with which code.

use manifold_tests::local_aws::front::{Front, Slack};
use manifold_tests::wire::slack::Author;
use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};

const CHANNEL: &str = "C0123456789";

/// A front without an emulator, and a workspace with one channel.
fn workspace() -> (Front, Slack) {
    let front = Front::start("http://127.0.0.1:9");
    let slack = front.slack("hub-1");
    slack.with(|workspace| {
        workspace.channel(CHANNEL, "deploys");
    });
    (front, slack)
}

fn post(slack: &Slack, method: &str) -> RequestBuilder {
    reqwest::Client::new().post(format!("{}/{method}", slack.url())).header("authorization", "Bearer xoxb-hub-1")
}

async fn told(request: RequestBuilder) -> Value {
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200, "the Web API answers 200 also when it refuses");
    serde_json::from_str(&response.text().await.unwrap()).unwrap()
}

async fn call(slack: &Slack, method: &str, body: &Value) -> Value {
    told(post(slack, method).json(body)).await
}

#[tokio::test]
async fn a_message_is_posted_edited_and_answered_in_its_thread() {
    let (_front, slack) = workspace();
    let posted = call(&slack, "chat.postMessage", &json!({"channel": "#deploys", "text": "0 of 10"})).await;
    assert_eq!((&posted["ok"], &posted["channel"]), (&json!(true), &json!(CHANNEL)), "the answer has the id");
    let ts = posted["ts"].as_str().unwrap();
    let edit = json!({"channel": CHANNEL, "ts": ts, "text": "10 of 10"});
    assert_eq!(call(&slack, "chat.update", &edit).await["ok"], true);
    let reply = json!({"channel": CHANNEL, "thread_ts": ts, "text": "details"});
    let reply = call(&slack, "chat.postMessage", &reply).await;
    assert_ne!(reply["ts"], posted["ts"]);

    let messages = slack.messages();
    assert_eq!(messages.len(), 2);
    assert_eq!((messages[0].ts.as_str(), messages[0].author, messages[0].versions.len()), (ts, Author::Bot, 2));
    assert_eq!(messages[0].shown()["text"], "10 of 10");
    assert_eq!(messages[1].thread_ts.as_deref(), Some(ts));
    assert_eq!(call(&slack, "auth.test", &json!({})).await["ok"], true);
}

#[tokio::test]
async fn what_slack_refuses_is_refused_with_its_code() {
    let (_front, slack) = workspace();
    slack.with(|workspace| {
        workspace.channel("C1", "old").is_archived = true;
        workspace.channel("C2", "others").is_member = false;
        let secret = workspace.channel("C3", "secret");
        (secret.is_private, secret.is_member) = (true, false);
    });
    let section = |text: &str| json!({"type": "section", "text": {"type": "mrkdwn", "text": text}});
    let header = |text: &str| json!({"type": "header", "text": {"type": "plain_text", "text": text}});
    let with = |blocks: Vec<Value>| json!({"channel": CHANNEL, "text": "t", "blocks": blocks});
    let elements = |kind: &str, count: usize| json!({"type": kind, "elements": vec![json!({"type": "mrkdwn", "text": "x"}); count]});
    let fields = |count: usize, length: usize| json!({"type": "section", "fields": vec![json!({"type": "mrkdwn", "text": "x".repeat(length)}); count]});
    let table = [
        ("chat.postMessage", json!({"channel": "C9", "text": "t"}), "channel_not_found"),
        ("chat.postMessage", json!({"text": "t"}), "channel_not_found"),
        ("chat.postMessage", json!({"channel": "C1", "text": "t"}), "is_archived"),
        ("chat.postMessage", json!({"channel": "C2", "text": "t"}), "not_in_channel"),
        ("chat.postMessage", json!({"channel": "C3", "text": "t"}), "channel_not_found"),
        ("chat.postMessage", json!({"channel": CHANNEL}), "no_text"),
        ("chat.postMessage", json!({"channel": CHANNEL, "text": "x".repeat(40_001)}), "msg_too_long"),
        ("chat.postMessage", json!({"channel": CHANNEL, "text": "t", "thread_ts": "1.000001"}), "message_not_found"),
        ("chat.postMessage", json!({"channel": CHANNEL, "text": "t", "blocks": "[]"}), "invalid_blocks_format"),
        ("chat.postMessage", with(vec![json!({"type": "divider"}); 51]), "invalid_blocks"),
        ("chat.postMessage", with(vec![section(&"x".repeat(3001))]), "invalid_blocks"),
        ("chat.postMessage", with(vec![section("")]), "invalid_blocks"),
        ("chat.postMessage", with(vec![header(&"x".repeat(151))]), "invalid_blocks"),
        ("chat.postMessage", with(vec![elements("context", 11)]), "invalid_blocks"),
        ("chat.postMessage", with(vec![elements("actions", 26)]), "invalid_blocks"),
        ("chat.postMessage", with(vec![fields(11, 1)]), "invalid_blocks"),
        ("chat.postMessage", with(vec![fields(1, 2001)]), "invalid_blocks"),
        ("chat.postMessage", with(vec![json!({"type": "table"})]), "invalid_blocks"),
        ("chat.postMessage", with(vec![section(&"x".repeat(2900)); 4]), "msg_blocks_too_long"),
        ("chat.update", json!({"channel": CHANNEL, "ts": "1.000001", "text": "t"}), "message_not_found"),
        ("chat.update", json!({"channel": "#deploys", "ts": "1.000001", "text": "t"}), "channel_not_found"),
        ("chat.delete", json!({}), "unknown_method"),
    ];
    for (method, body, code) in table {
        let answer = call(&slack, method, &body).await;
        assert_eq!((&answer["ok"], &answer["error"]), (&json!(false), &json!(code)), "{method} {body:.200}");
    }
    let garbled = post(&slack, "chat.postMessage").header("content-type", "application/json").body("{");
    assert_eq!(told(garbled).await["error"], "invalid_json");
    assert!(slack.messages().is_empty());
    let limits =
        with(vec![header(&"x".repeat(150)), section(&"x".repeat(3000)), elements("context", 10), fields(10, 700)]);
    assert_eq!(call(&slack, "chat.postMessage", &limits).await["ok"], true, "what is at its limit is taken");
}

#[tokio::test]
async fn a_token_may_be_missing_wrong_revoked_or_too_weak() {
    let (_front, slack) = workspace();
    let message = json!({"channel": CHANNEL, "text": "t"});
    let with = async |authorization: Option<&str>| {
        let mut request = reqwest::Client::new().post(format!("{}/chat.postMessage", slack.url())).json(&message);
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        told(request).await
    };
    assert_eq!(with(None).await["error"], "not_authed");
    assert_eq!(with(Some("Bearer xoxb-other")).await["error"], "invalid_auth");
    slack.with(|workspace| workspace.grant(&["channels:read"]));
    let weak = with(Some("Bearer xoxb-hub-1")).await;
    assert_eq!(
        (&weak["error"], &weak["needed"], &weak["provided"]),
        (&json!("missing_scope"), &json!("chat:write"), &json!("channels:read"))
    );
    slack.with(|workspace| workspace.grant(&["chat:write"]));
    assert_eq!(with(Some("Bearer xoxb-hub-1")).await["ok"], true);
    slack.with(manifold_tests::wire::slack::Workspace::revoke_token);
    assert_eq!(with(Some("Bearer xoxb-hub-1")).await["error"], "token_revoked");
    slack.with(|workspace| workspace.rotate_token("xoxb-new"));
    assert_eq!(with(Some("Bearer xoxb-hub-1")).await["error"], "invalid_auth");
    assert_eq!(with(Some("Bearer xoxb-new")).await["ok"], true);
}

#[tokio::test]
async fn a_channel_is_looked_at_by_a_form_and_not_by_json() {
    let (_front, slack) = workspace();
    let as_json = call(&slack, "conversations.info", &json!({"channel": CHANNEL})).await;
    assert_eq!(as_json["error"], "invalid_arguments");
    let form = post(&slack, "conversations.info")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(format!("channel={CHANNEL}"));
    let info = told(form).await;
    let channel = &info["channel"];
    assert_eq!(
        (&channel["name"], &channel["is_member"], &channel["is_archived"]),
        (&json!("deploys"), &json!(true), &json!(false))
    );
    slack.with(|workspace| workspace.channel(CHANNEL, "deploys").is_archived = true);
    let get = reqwest::Client::new()
        .get(format!("{}/conversations.info?channel={CHANNEL}", slack.url()))
        .header("authorization", "Bearer xoxb-hub-1");
    assert_eq!(told(get).await["channel"]["is_archived"], true);
    slack.with(|workspace| workspace.grant(&["chat:write"]));
    let weak = told(post(&slack, "conversations.info")).await;
    assert_eq!((&weak["error"], &weak["needed"]), (&json!("missing_scope"), &json!("channels:read")));
}

#[tokio::test]
async fn trouble_on_request_is_over_after_so_many_calls() {
    let (_front, slack) = workspace();
    let send = async || {
        let message = json!({"channel": CHANNEL, "text": "t"});
        post(&slack, "chat.postMessage").json(&message).send().await.unwrap()
    };
    let seconds =
        |response: &Response| response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
    slack.with(|workspace| {
        workspace.rate_limit("chat.postMessage", 1, Some(7));
        workspace.break_down("chat.postMessage", 1, 503);
        workspace.refuse("chat.postMessage", 1, "internal_error");
    });
    assert_eq!(call(&slack, "auth.test", &json!({})).await["ok"], true, "limits are a method's own");
    let limited = send().await;
    assert_eq!((limited.status().as_u16(), seconds(&limited).as_deref()), (429, Some("7")));
    assert_eq!(send().await.status(), 503);
    assert!(send().await.text().await.unwrap().contains("internal_error"));
    assert!(slack.messages().is_empty());
    assert!(send().await.text().await.unwrap().contains("\"ok\":true"));
}

#[tokio::test]
async fn a_webhook_answers_in_plain_text_and_with_a_status() {
    let (front, slack) = workspace();
    let url = slack.hook("hookhookhook", CHANNEL);
    let send = async |url: &str, body: &str| {
        let request = reqwest::Client::new().post(url).header("content-type", "application/json").body(body.to_owned());
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    let is = |status: u16, body: &str| (status, body.to_owned());
    assert_eq!(send(&url, r#"{"text":"done"}"#).await, is(200, "ok"));
    assert_eq!(slack.messages()[0].author, Author::Webhook);
    let edit = json!({"channel": CHANNEL, "ts": slack.messages()[0].ts, "text": "t"});
    assert_eq!(call(&slack, "chat.update", &edit).await["error"], "cant_update_message");
    assert_eq!(send(&url, "{}").await, is(400, "no_text"));
    assert_eq!(send(&url, "nothing").await, is(400, "invalid_payload"));
    assert_eq!(send(&url, r#"{"text":"t","blocks":[{"type":"nothing"}]}"#).await, is(400, "invalid_blocks"));
    assert_eq!(send(&url.replace("hookhook", "other"), r#"{"text":"t"}"#).await, is(404, "no_service"));
    slack.with(|workspace| workspace.rate_limit("webhook", 1, Some(3)));
    assert_eq!(send(&url, r#"{"text":"t"}"#).await, is(429, "rate_limited"));
    slack.with(|workspace| workspace.channel(CHANNEL, "deploys").is_archived = true);
    assert_eq!(send(&url, r#"{"text":"t"}"#).await, is(410, "channel_is_archived"));
    slack.revoke_hook("hookhookhook");
    assert_eq!(send(&url, r#"{"text":"t"}"#).await, is(404, "no_service"));
    assert_eq!(send(&format!("{}/slack/nobody/services/x", front.uri()), "{}").await, is(404, "no_team"));
}

#[tokio::test]
async fn workspaces_know_nothing_of_each_other() {
    let (front, slack) = workspace();
    let other = front.slack("hub-2");
    call(&slack, "chat.postMessage", &json!({"channel": CHANNEL, "text": "t"})).await;
    assert!(other.messages().is_empty());
    assert_eq!(call(&other, "auth.test", &json!({})).await["error"], "invalid_auth");
}
