//! Slack: a [`Workspace`] with one channel and one incoming webhook. Here, what it refuses is a violation, and so is what
//! the adapters have no business to send.

use wiremock::{Request, ResponseTemplate};

use manifold_core::time::Timestamp;

use super::{Answered, BOT_TOKEN, State, fields, header, text};
pub use crate::wire::slack::Call;
use crate::wire::slack::{self, Workspace};

/// The path of the Web API.
pub(crate) const WEB_API: &str = "/slack/api";
/// The path of the webhook: on Slack it is the secret.
pub(crate) const WEBHOOK: &str = "/services/T0000/B0000/hookhookhook";
/// The only channel, by its id.
const CHANNEL: &str = "C0123456789";
/// When every message was posted: its `ts` differs by its number.
const POSTED: Timestamp = Timestamp::from_millis(1_792_000_000_000);
/// The longest text that Slack leaves in one piece ("Truncating really long messages": 4,000 are recommended).
const LONGEST_TEXT: usize = 4000;

/// A workspace that answers its first posts with 429.
pub(crate) fn workspace(throttles: u32) -> Workspace {
    let mut workspace = Workspace::new(BOT_TOKEN);
    workspace.channel(CHANNEL, "deploys");
    workspace.hook(WEBHOOK, CHANNEL);
    workspace.rate_limit("chat.postMessage", throttles as usize, Some(7));
    workspace
}

impl State {
    pub(super) fn slack(&mut self, request: &Request) -> Answered {
        let path = request.url.path();
        let path = path.strip_prefix("/slack").unwrap_or(path);
        let known: &[&str] = match path {
            "/api/chat.update" => &["channel", "ts", "text", "blocks"],
            "/api/chat.postMessage" => &["channel", "thread_ts", "text", "blocks", "unfurl_links", "unfurl_media"],
            WEBHOOK => &["text", "blocks", "unfurl_links", "unfurl_media"],
            other => return Err(format!("nothing is at {other}")),
        };
        let authorization = header(request, "authorization");
        if path == WEBHOOK && !authorization.is_empty() {
            return Err("a webhook is given a token".to_owned());
        }
        let body = serde_json::from_slice(&request.body).map_err(|error| error.to_string())?;
        let message = fields(&body, known)?;
        if text(message, "text")?.chars().count() > LONGEST_TEXT {
            return Err(format!("the text is longer than {LONGEST_TEXT} characters"));
        }
        if !message.contains_key("blocks") {
            return Err("the message has no blocks".to_owned());
        }
        let answer = self.slack.respond(&slack::Request {
            path,
            query: "",
            authorization,
            content_type: header(request, "content-type"),
            body: &request.body,
            at: POSTED,
        });
        let mut response = ResponseTemplate::new(answer.status);
        match (answer.refusal, answer.retry_after) {
            (Some(_), Some(seconds)) => response = response.insert_header("retry-after", seconds.to_string().as_str()),
            (Some(code), None) => return Err(format!("Slack refuses it with {code}: {}", answer.body)),
            (None, _) => {}
        }
        let kind = if path == WEBHOOK { "text/plain" } else { "application/json; charset=utf-8" };
        Ok(response.set_body_raw(answer.body, kind))
    }
}
