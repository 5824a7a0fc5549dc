//! Buttons in Slack, and what Slack sends to the app's Request URL when somebody presses one (Slack, "`block_actions`
//! payload" and "Verifying requests from Slack").

use hmac::{Hmac, KeyInit, Mac};
use manifold_aws::clock::SystemClock;
use manifold_ports::clock::Clock;
use reqwest::Url;
use serde_json::{Value, json};
use sha2::Sha256;

use super::organization::{HUB_REGION, Organization};

/// A button that stands in a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Button {
    /// Its `action_id`.
    pub id: String,
    value: String,
    channel: String,
    message_ts: String,
}

/// A request as Slack sends it.
#[derive(Debug, Clone)]
pub struct Press {
    timestamp: String,
    body: String,
}

impl Button {
    /// What Slack sends when a user presses it now.
    ///
    /// # Panics
    /// It has no address to be sent to, which can't be.
    #[must_use]
    pub fn pressed_by(&self, user: &str, name: &str) -> Press {
        let now = SystemClock.now();
        let payload = json!({
            "type": "block_actions",
            "user": {"id": user, "username": name, "name": name, "team_id": "T0123456789"},
            "api_app_id": "A0123456789",
            "container": {"type": "message", "message_ts": self.message_ts, "channel_id": self.channel, "is_ephemeral": false},
            "trigger_id": "12466734323.1395872398",
            "team": {"id": "T0123456789", "domain": "example"},
            "channel": {"id": self.channel, "name": "releases"},
            "actions": [{
                "type": "button", "block_id": "actions", "action_id": self.id, "value": self.value,
                "text": {"type": "plain_text", "text": self.id},
                "action_ts": format!("{}.{:03}000", now.as_seconds(), now.as_millis().rem_euclid(1_000)),
            }],
        });
        let mut form = Url::parse("https://form/").expect("a URL");
        form.query_pairs_mut().append_pair("payload", &payload.to_string());
        Press { timestamp: now.as_seconds().to_string(), body: form.query().unwrap_or_default().to_owned() }
    }
}

impl Press {
    /// `v0=` and the HMAC-SHA256 of `v0:{timestamp}:{body}`.
    fn signature(&self, secret: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any key will do");
        mac.update(format!("v0:{}:{}", self.timestamp, self.body).as_bytes());
        let digest: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        format!("v0={digest}")
    }
}

impl Organization {
    /// The buttons that stand in the workspace now.
    #[must_use]
    pub fn buttons(&self) -> Vec<Button> {
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut buttons = Vec::new();
        for message in self.slack().messages() {
            let blocks = message.shown()["blocks"].as_array().cloned().unwrap_or_default();
            let elements = blocks.iter().filter(|block| block["type"] == "actions");
            let elements = elements.flat_map(|block| block["elements"].as_array().cloned().unwrap_or_default());
            buttons.extend(elements.map(|element| Button {
                id: word(&element["action_id"]),
                value: word(&element["value"]),
                channel: message.channel.clone(),
                message_ts: message.ts.clone(),
            }));
        }
        buttons
    }

    /// Sends a press, signed with a secret, to the Request URL that the hub's stack tells, and returns the HTTP status.
    /// The emulator serves the URL by a path of its own, as nobody resolves its host here.
    ///
    /// # Panics
    /// There is no such URL, or nobody answers.
    pub async fn press(&self, press: &Press, secret: &str) -> u16 {
        let stacks = aws_sdk_cloudformation::Client::new(&self.server().root(&self.hub, HUB_REGION).await);
        let described = stacks.describe_stacks().stack_name(self.name("hub")).send().await.expect("the hub's stack");
        let outputs = described.stacks().first().expect("the hub's stack").outputs();
        let url = outputs.iter().find(|output| output.output_key() == Some("RespondUrl"));
        let url = url.and_then(|output| output.output_value()).expect("the hub's output RespondUrl");
        let url = Url::parse(url).expect("a URL");
        let id = url.host_str().and_then(|host| host.split('.').next()).expect("a host");
        let sent = reqwest::Client::builder()
            .build()
            .expect("a client")
            .post(format!("{}/_aws/lambda-url/{id}/", self.server().url()))
            .header("content-type", "application/x-www-form-urlencoded")
            .header("x-slack-request-timestamp", &press.timestamp)
            .header("x-slack-signature", press.signature(secret))
            .body(press.body.clone())
            .send()
            .await;
        sent.expect("the URL answers").status().as_u16()
    }
}
