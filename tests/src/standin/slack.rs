//! Slack: `chat.postMessage`, `chat.update` and one incoming webhook, with the limits of "Block Kit" and the two ways
//! in which they refuse to be hurried.

use serde_json::{Map, Value, json};
use wiremock::{Request, ResponseTemplate};

use super::{Answered, BOT_TOKEN, State, fields, header, ok, text};

/// The path of the Web API.
pub(crate) const WEB_API: &str = "/slack/api";
/// The path of the webhook: on Slack it is the secret.
pub(crate) const WEBHOOK: &str = "/services/T0000/B0000/hookhookhook";
/// The only channel, by its id.
const CHANNEL: &str = "C0123456789";

/// A call that was taken.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// `chat.postMessage`, `chat.update` or `webhook`.
    pub method: &'static str,
    /// Its body.
    pub body: Value,
    /// The `ts` of the message that it made or changed; a webhook does not tell.
    pub ts: Option<String>,
}

impl Call {
    /// The `ts` of the message in whose thread it is.
    #[must_use]
    pub fn thread(&self) -> Option<&str> {
        self.body.get("thread_ts").and_then(Value::as_str)
    }
}

#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) calls: Vec<Call>,
    throttles: u32,
}

impl Workspace {
    pub(crate) fn new(throttles: u32) -> Self {
        Self { calls: Vec::new(), throttles }
    }

    fn has(&self, ts: &str) -> bool {
        self.calls.iter().any(|call| call.ts.as_deref() == Some(ts))
    }
}

impl State {
    pub(super) fn slack(&mut self, request: &Request) -> Answered {
        let method = match (request.url.path().strip_prefix(WEB_API), request.url.path()) {
            (Some("/chat.postMessage"), _) => "chat.postMessage",
            (Some("/chat.update"), _) => "chat.update",
            (_, WEBHOOK) => "webhook",
            (_, other) => return Err(format!("nothing is at {other}")),
        };
        if !header(request, "content-type").starts_with("application/json") {
            return Err("the body is not said to be JSON".to_owned());
        }
        let authorization = header(request, "authorization");
        let expected = if method == "webhook" { String::new() } else { format!("Bearer {BOT_TOKEN}") };
        if authorization != expected {
            return Err("the token is not the bot's".to_owned());
        }
        if self.slack.throttles > 0 {
            self.slack.throttles -= 1;
            return Ok(ResponseTemplate::new(429).insert_header("retry-after", "7"));
        }
        let body: Value = serde_json::from_slice(&request.body).map_err(|error| error.to_string())?;
        let message = match method {
            "chat.update" => fields(&body, &["channel", "ts", "text", "blocks"])?,
            "chat.postMessage" => {
                fields(&body, &["channel", "thread_ts", "text", "blocks", "unfurl_links", "unfurl_media"])?
            }
            _ => fields(&body, &["text", "blocks", "unfurl_links", "unfurl_media"])?,
        };
        check(message)?;
        if method != "webhook" && text(message, "channel")? != CHANNEL {
            return Err(format!("channel_not_found: {}", text(message, "channel")?));
        }
        for name in ["ts", "thread_ts"] {
            if let Some(ts) = message.get(name).and_then(Value::as_str).filter(|ts| !self.slack.has(ts)) {
                return Err(format!("message_not_found: {ts}"));
            }
        }
        let ts = match method {
            "chat.postMessage" => Some(format!("1792000000.{:06}", self.slack.calls.len() + 1)),
            "chat.update" => Some(text(message, "ts")?.to_owned()),
            _ => None,
        };
        self.slack.calls.push(Call { method, body: body.clone(), ts: ts.clone() });
        Ok(match ts {
            Some(ts) => ok(&json!({"ok": true, "channel": CHANNEL, "ts": ts})),
            None => ResponseTemplate::new(200).set_body_string("ok"),
        })
    }
}

/// The limits that Slack states for a message ("Blocks", "Section block", "Header block", `chat.postMessage`).
fn check(message: &Map<String, Value>) -> Result<(), String> {
    if text(message, "text")?.chars().count() > 4000 {
        return Err("the text is longer than 4,000 characters".to_owned());
    }
    let blocks = message.get("blocks").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if blocks.is_empty() || blocks.len() > 50 {
        return Err(format!("invalid_blocks: {} blocks", blocks.len()));
    }
    for block in blocks {
        let units = |text: &Value| text.as_str().map_or(0, |text| text.encode_utf16().count());
        let elements = |name: &str| block.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let fits = match block["type"].as_str() {
            Some("header") => (1..=150).contains(&units(&block["text"]["text"])),
            Some("section") => {
                let long = elements("fields").iter().any(|field| units(&field["text"]) > 2000);
                units(&block["text"]["text"]) <= 3000 && elements("fields").len() <= 10 && !long
            }
            Some("context") => (1..=10).contains(&elements("elements").len()),
            Some("actions") => (1..=25).contains(&elements("elements").len()),
            Some("divider") => true,
            _ => false,
        };
        if !fits {
            return Err(format!("invalid_blocks: {block}"));
        }
    }
    Ok(())
}
