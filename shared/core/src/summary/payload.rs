//! A message as the requests of Slack's API carry it, and the limits that Slack puts on it.

use serde_json::{Value, json};

use super::Payload;

/// The most blocks of a message (Slack, "Blocks").
pub const MOST_BLOCKS: usize = 50;
/// The most text of a section, in UTF-16 units (Slack, "Section block").
pub const MOST_SECTION_TEXT: usize = 3_000;
/// The most text of a header, in UTF-16 units (Slack, "Header block").
pub const MOST_HEADER_TEXT: usize = 150;
/// The most buttons of an actions block (Slack, "Actions block").
pub const MOST_BUTTONS: usize = 25;
/// The most text of a button, in UTF-16 units (Slack, "Button element").
pub const MOST_BUTTON_TEXT: usize = 75;
/// The most text over all blocks, in UTF-16 units. Slack documents none, and refuses somewhere above 11,000
/// characters with `msg_blocks_too_long` (slackapi/bolt-js issues 2509 and 2867).
pub const MOST_TEXT: usize = 10_000;

impl Payload {
    /// The body of `chat.postMessage`.
    #[must_use]
    pub fn post_body(&self, channel: &str, thread_ts: Option<&str>) -> Value {
        let mut body = self.webhook_body();
        body["channel"] = json!(channel);
        if let Some(ts) = thread_ts {
            body["thread_ts"] = json!(ts);
        }
        body
    }

    /// The body of `chat.update`.
    #[must_use]
    pub fn update_body(&self, channel: &str, ts: &str) -> Value {
        json!({"channel": channel, "ts": ts, "text": self.text, "blocks": self.blocks})
    }

    /// The body of an incoming webhook's request.
    #[must_use]
    pub fn webhook_body(&self) -> Value {
        json!({"text": self.text, "blocks": self.blocks, "unfurl_links": false, "unfurl_media": false})
    }

    /// Whether Slack would take the message.
    ///
    /// # Errors
    /// The code that Slack would answer with.
    pub fn check_limits(&self) -> Result<(), String> {
        let units = |text: &str| text.encode_utf16().count();
        if self.blocks.len() > MOST_BLOCKS {
            return Err("invalid_blocks".to_owned());
        }
        for block in &self.blocks {
            let text = block.pointer("/text/text").and_then(Value::as_str).map_or(0, units);
            let most = match block.get("type").and_then(Value::as_str) {
                Some("header") => MOST_HEADER_TEXT,
                _ => MOST_SECTION_TEXT,
            };
            if text > most || !buttons_are_good(block) {
                return Err("invalid_blocks".to_owned());
            }
        }
        if self.blocks.iter().map(all_text).sum::<usize>() > MOST_TEXT {
            return Err("msg_blocks_too_long".to_owned());
        }
        if self.text.is_empty() && self.blocks.is_empty() {
            return Err("no_text".to_owned());
        }
        Ok(())
    }
}

/// Whether a block's buttons are ones that Slack takes, each with an id of its own (Slack, "Button element" and
/// "Confirmation dialog object").
fn buttons_are_good(block: &Value) -> bool {
    if block.get("type").and_then(Value::as_str) != Some("actions") {
        return true;
    }
    let buttons = block.get("elements").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let within = |button: &Value, pointer: &str, most: usize| {
        let text = button.pointer(pointer).and_then(Value::as_str);
        text.is_none_or(|text| (1..=most).contains(&text.encode_utf16().count()))
    };
    let limits = [
        ("/text/text", MOST_BUTTON_TEXT),
        ("/action_id", 255),
        ("/value", crate::press::MOST_VALUE),
        ("/confirm/title/text", 100),
        ("/confirm/text/text", 300),
        ("/confirm/confirm/text", 30),
        ("/confirm/deny/text", 30),
    ];
    let ids: std::collections::BTreeSet<_> =
        buttons.iter().filter_map(|button| button.get("action_id")?.as_str()).collect();
    (1..=MOST_BUTTONS).contains(&buttons.len())
        && ids.len() == buttons.len()
        && buttons.iter().all(|button| limits.iter().all(|(pointer, most)| within(button, pointer, *most)))
}

/// The length of every `text` in a block, in UTF-16 units.
fn all_text(block: &Value) -> usize {
    match block {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| match value {
                Value::String(text) if name == "text" => text.encode_utf16().count(),
                Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::String(_)
                | Value::Array(_)
                | Value::Object(_) => all_text(value),
            })
            .sum(),
        Value::Array(items) => items.iter().map(all_text).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}
