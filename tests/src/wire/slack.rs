//! A Slack workspace with one app in it: the Web API as far as a bot needs it, and incoming webhooks. It takes what
//! Slack takes, and refuses what Slack refuses with Slack's own codes (docs.slack.dev: the pages of each method,
//! "Sending messages using incoming webhooks", "Blocks", "Rate limits").
//!
//! It has no I/O: who serves it over HTTP hands requests in and answers out.

use std::collections::{BTreeMap, BTreeSet};

use manifold_core::time::Timestamp;
use reqwest::Url;
use serde_json::{Map, Value, json};

/// The longest `text`, in characters ("Truncating really long messages", `chat.postMessage`). 4,000 are recommended.
const MOST_TEXT: usize = 40_000;
/// The longest text of all blocks together, in UTF-16 units. Slack documents no such limit; it refuses with
/// `msg_blocks_too_long` from somewhere between 11,341 and 13,300 on, so that this is the strictest that was seen.
const MOST_BLOCK_TEXT: usize = 11_340;

/// A request, without the part of its path that leads to the workspace.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// `/api/chat.postMessage`, or the path of a webhook.
    pub path: &'a str,
    /// What follows the `?`.
    pub query: &'a str,
    /// The header `Authorization`.
    pub authorization: &'a str,
    /// The header `Content-Type`.
    pub content_type: &'a str,
    /// The body.
    pub body: &'a [u8],
    /// When it arrives.
    pub at: Timestamp,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status: of the Web API 200 also when it refuses.
    pub status: u16,
    /// For how many seconds to wait: the header `Retry-After`.
    pub retry_after: Option<u32>,
    /// JSON of the Web API, plain text of a webhook.
    pub body: String,
    /// Slack's code, if it refused.
    pub refusal: Option<String>,
}

/// A call that was taken.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// `chat.postMessage`, `chat.update` or `webhook`.
    pub method: &'static str,
    /// Its arguments.
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

/// Who posted a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Author {
    /// The bot, with its token.
    Bot,
    /// An incoming webhook.
    Webhook,
}

/// A message in a channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// The channel's id.
    pub channel: String,
    /// Its `ts`.
    pub ts: String,
    /// The `ts` of the message in whose thread it is.
    pub thread_ts: Option<String>,
    /// Who posted it.
    pub author: Author,
    /// As it was posted, and after each edit: never empty, the last is what stands in Slack.
    pub versions: Vec<Value>,
}

impl Message {
    /// What stands in Slack.
    #[must_use]
    pub fn shown(&self) -> &Value {
        self.versions.last().unwrap_or(&Value::Null)
    }
}

/// A channel, as the app sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// Its name, without `#`.
    pub name: String,
    /// Whether the bot was invited.
    pub is_member: bool,
    /// Whether it is archived.
    pub is_archived: bool,
    /// Whether it is private: then it does not exist for those who are not in it.
    pub is_private: bool,
}

/// What the next calls of a method are answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Trouble {
    /// 429.
    TooMany { retry_after: Option<u32> },
    /// An HTTP status, and nothing that could be understood.
    Broken { status: u16 },
    /// A code of the method's own, such as `internal_error`.
    Error { code: String },
}

/// A workspace.
#[derive(Debug, Clone)]
pub struct Workspace {
    token: String,
    is_revoked: bool,
    scopes: BTreeSet<String>,
    channels: BTreeMap<String, Channel>,
    hooks: BTreeMap<String, Hook>,
    troubles: BTreeMap<String, Vec<Trouble>>,
    messages: Vec<Message>,
    calls: Vec<Call>,
}

#[derive(Debug, Clone)]
struct Hook {
    channel: String,
    is_revoked: bool,
}

/// The arguments of a call, or the code of the refusal.
type Arguments = Result<Map<String, Value>, Refusal>;

/// A code, and what else is told with it.
struct Refusal {
    code: String,
    more: Value,
}

impl From<&str> for Refusal {
    fn from(code: &str) -> Self {
        Self { code: code.to_owned(), more: Value::Null }
    }
}

impl Workspace {
    /// An empty workspace, whose bot has this token and may post (`chat:write`) and look at public channels
    /// (`channels:read`).
    #[must_use]
    pub fn new(token: &str) -> Self {
        Self {
            token: token.to_owned(),
            is_revoked: false,
            scopes: ["chat:write", "channels:read"].map(str::to_owned).into(),
            channels: BTreeMap::new(),
            hooks: BTreeMap::new(),
            troubles: BTreeMap::new(),
            messages: Vec::new(),
            calls: Vec::new(),
        }
    }

    /// The bot's token.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Gives the bot another token: the former one is `invalid_auth` from now on.
    pub fn rotate_token(&mut self, token: &str) {
        token.clone_into(&mut self.token);
        self.is_revoked = false;
    }

    /// Revokes the bot's token.
    pub fn revoke_token(&mut self) {
        self.is_revoked = true;
    }

    /// Which scopes the app was granted.
    pub fn grant(&mut self, scopes: &[&str]) {
        self.scopes = scopes.iter().map(|&scope| scope.to_owned()).collect();
    }

    /// Makes a public channel that the bot is in, or returns the one that is there: its fields may be changed.
    pub fn channel(&mut self, id: &str, name: &str) -> &mut Channel {
        self.channels.entry(id.to_owned()).or_insert_with(|| Channel {
            name: name.to_owned(),
            is_member: true,
            is_archived: false,
            is_private: false,
        })
    }

    /// Makes an incoming webhook, for a channel's id. `path` begins with `/services/` and is the secret.
    pub fn hook(&mut self, path: &str, channel: &str) {
        self.hooks.insert(path.to_owned(), Hook { channel: channel.to_owned(), is_revoked: false });
    }

    /// Revokes a webhook: it answers `no_service` from now on.
    pub fn revoke_hook(&mut self, path: &str) {
        if let Some(hook) = self.hooks.get_mut(path) {
            hook.is_revoked = true;
        }
    }

    /// Answers the next `calls` of a method (`webhook` for webhooks) with 429; `retry_after` is in seconds.
    pub fn rate_limit(&mut self, method: &str, calls: usize, retry_after: Option<u32>) {
        self.trouble(method, calls, &Trouble::TooMany { retry_after });
    }

    /// Answers the next `calls` of a method with an HTTP status and a page that is none of Slack's.
    pub fn break_down(&mut self, method: &str, calls: usize, status: u16) {
        self.trouble(method, calls, &Trouble::Broken { status });
    }

    /// Answers the next `calls` of a method with `ok: false` and a code, such as `internal_error`.
    pub fn refuse(&mut self, method: &str, calls: usize, code: &str) {
        self.trouble(method, calls, &Trouble::Error { code: code.to_owned() });
    }

    fn trouble(&mut self, method: &str, calls: usize, trouble: &Trouble) {
        let troubles = self.troubles.entry(method.to_owned()).or_default();
        troubles.extend(std::iter::repeat_n(trouble.clone(), calls));
    }

    /// All messages, those of threads and of webhooks among them, in the order in which they were posted.
    #[must_use]
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// Every call that posted or edited, in order.
    #[must_use]
    pub fn calls(&self) -> &[Call] {
        &self.calls
    }

    /// Answers a request.
    pub fn respond(&mut self, request: &Request<'_>) -> Answer {
        let method = request.path.strip_prefix("/api/");
        let troubles = self.troubles.get_mut(method.unwrap_or("webhook"));
        let trouble = troubles.filter(|troubles| !troubles.is_empty()).map(|troubles| troubles.remove(0));
        let is_hook = method.is_none();
        match trouble {
            Some(Trouble::TooMany { retry_after }) => {
                let body = json!({"ok": false, "error": "ratelimited"}).to_string();
                let body = if is_hook { "rate_limited".to_owned() } else { body };
                return Answer { status: 429, retry_after, body, refusal: Some("ratelimited".to_owned()) };
            }
            Some(Trouble::Broken { status }) => {
                let body = "<html><body>upstream connect error</body></html>".to_owned();
                return Answer { status, retry_after: None, body, refusal: Some(format!("HTTP {status}")) };
            }
            Some(Trouble::Error { code }) if is_hook => return text(500, &code),
            Some(Trouble::Error { code }) => return refused(&code, &Value::Null),
            None => {}
        }
        let Some(method) = method else { return self.webhook(request) };
        match self.web_api(method, request) {
            Ok(mut body) => {
                body["ok"] = Value::Bool(true);
                Answer { status: 200, retry_after: None, body: body.to_string(), refusal: None }
            }
            Err(Refusal { code, more }) => refused(&code, &more),
        }
    }

    fn web_api(&mut self, method: &str, request: &Request<'_>) -> Result<Value, Refusal> {
        let needed = match method {
            "auth.test" => None,
            "chat.postMessage" | "chat.update" => Some("chat:write"),
            "conversations.info" => Some("channels:read"),
            _ => return Err("unknown_method".into()),
        };
        let token = request.authorization.strip_prefix("Bearer ").unwrap_or_default();
        match token {
            "" => return Err("not_authed".into()),
            token if token != self.token => return Err("invalid_auth".into()),
            _ if self.is_revoked => return Err("token_revoked".into()),
            _ => {}
        }
        if let Some(needed) = needed.filter(|needed| !self.scopes.contains(*needed)) {
            let provided = self.scopes.iter().cloned().collect::<Vec<_>>().join(",");
            let more = json!({"needed": needed, "provided": provided});
            return Err(Refusal { code: "missing_scope".to_owned(), more });
        }
        match method {
            "chat.postMessage" => self.post(arguments(request)?, request.at),
            "chat.update" => self.update(arguments(request)?),
            "conversations.info" => self.info(request),
            _ => Ok(json!({
                "url": "https://example.slack.com/", "team": "Example", "user": "manifold", "team_id": "T0123456789",
                "user_id": "U0123456789", "bot_id": "B0123456789", "is_enterprise_install": false,
            })),
        }
    }

    /// The channel of this id or, where `by_name` is allowed, of this name.
    fn find(&self, wanted: &str, by_name: bool) -> Result<(String, &Channel), Refusal> {
        let name = wanted.strip_prefix('#').unwrap_or(wanted);
        let found = self.channels.iter().find(|(id, channel)| *id == wanted || (by_name && channel.name == name));
        let visible = found.filter(|(_, channel)| channel.is_member || !channel.is_private);
        visible.map(|(id, channel)| (id.clone(), channel)).ok_or_else(|| "channel_not_found".into())
    }

    fn post(&mut self, message: Map<String, Value>, at: Timestamp) -> Result<Value, Refusal> {
        let wanted = word(&message, "channel").ok_or("channel_not_found")?;
        let (id, channel) = self.find(wanted, true)?;
        if channel.is_archived {
            return Err("is_archived".into());
        }
        if !channel.is_member && !self.scopes.contains("chat:write.public") {
            return Err("not_in_channel".into());
        }
        check(&message)?;
        let thread = word(&message, "thread_ts").map(str::to_owned);
        if thread.as_deref().is_some_and(|thread| !self.has(&id, thread)) {
            return Err("message_not_found".into());
        }
        let ts = self.keep(Author::Bot, &id, thread, message.clone(), at);
        self.calls.push(Call {
            method: "chat.postMessage",
            body: Value::Object(message.clone()),
            ts: Some(ts.clone()),
        });
        Ok(json!({"channel": id, "ts": ts, "message": message}))
    }

    fn update(&mut self, message: Map<String, Value>) -> Result<Value, Refusal> {
        // Only an id: names are for posting.
        let (id, channel) = self.find(word(&message, "channel").ok_or("channel_not_found")?, false)?;
        if channel.is_archived {
            return Err("is_archived".into());
        }
        check(&message)?;
        let ts = word(&message, "ts").ok_or("message_not_found")?.to_owned();
        let known = self.messages.iter_mut().find(|known| known.channel == id && known.ts == ts);
        let known = known.ok_or("message_not_found")?;
        if known.author != Author::Bot {
            return Err("cant_update_message".into());
        }
        known.versions.push(Value::Object(message.clone()));
        self.calls.push(Call { method: "chat.update", body: Value::Object(message.clone()), ts: Some(ts.clone()) });
        Ok(json!({"channel": id, "ts": ts, "text": message.get("text"), "message": message}))
    }

    /// Methods that read take no JSON ("Using the Slack Web API": JSON is for methods that write).
    fn info(&self, request: &Request<'_>) -> Result<Value, Refusal> {
        let body = String::from_utf8_lossy(request.body);
        let is_form = request.content_type.starts_with("application/x-www-form-urlencoded");
        let mut fields = form(request.query);
        fields.extend(if is_form { form(&body) } else { Map::new() });
        let Some(wanted) = word(&fields, "channel") else {
            let more = json!({"response_metadata": {"messages": ["[ERROR] missing required field: channel"]}});
            return Err(Refusal { code: "invalid_arguments".to_owned(), more });
        };
        let (id, channel) = self.find(wanted, false)?;
        let Channel { name, is_member, is_archived, is_private } = channel;
        Ok(json!({"channel": {
            "id": id, "name": name, "name_normalized": name, "is_channel": !is_private, "is_group": is_private,
            "is_im": false, "is_private": is_private, "is_archived": is_archived, "is_member": is_member,
        }}))
    }

    /// Answers in plain text, and with a status that tells.
    fn webhook(&mut self, request: &Request<'_>) -> Answer {
        let Some(hook) = self.hooks.get(request.path).filter(|hook| !hook.is_revoked) else {
            return text(404, "no_service");
        };
        let channel = hook.channel.clone();
        match self.channels.get(&channel) {
            None => return text(404, "channel_not_found"),
            Some(channel) if channel.is_archived => return text(410, "channel_is_archived"),
            Some(_) => {}
        }
        let Ok(Value::Object(message)) = serde_json::from_slice(request.body) else {
            return text(400, "invalid_payload");
        };
        if let Err(Refusal { code, .. }) = check(&message) {
            return text(400, &code);
        }
        self.keep(Author::Webhook, &channel, None, message.clone(), request.at);
        self.calls.push(Call { method: "webhook", body: Value::Object(message), ts: None });
        text(200, "ok")
    }

    fn has(&self, channel: &str, ts: &str) -> bool {
        self.messages.iter().any(|message| message.channel == channel && message.ts == ts)
    }

    /// Keeps a message and returns its `ts`.
    fn keep(
        &mut self,
        author: Author,
        channel: &str,
        thread_ts: Option<String>,
        body: Map<String, Value>,
        at: Timestamp,
    ) -> String {
        let ts = format!("{}.{:06}", at.as_seconds(), self.messages.len() + 1);
        self.messages.push(Message {
            channel: channel.to_owned(),
            ts: ts.clone(),
            thread_ts,
            author,
            versions: vec![Value::Object(body)],
        });
        ts
    }
}

fn refused(code: &str, more: &Value) -> Answer {
    let mut body = json!({"ok": false, "error": code});
    if let (Some(body), Some(more)) = (body.as_object_mut(), more.as_object()) {
        body.extend(more.clone());
    }
    Answer { status: 200, retry_after: None, body: body.to_string(), refusal: Some(code.to_owned()) }
}

fn text(status: u16, body: &str) -> Answer {
    let refusal = (status != 200).then(|| body.to_owned());
    Answer { status, retry_after: None, body: body.to_owned(), refusal }
}

/// JSON, or a form in which `blocks` is JSON.
fn arguments(request: &Request<'_>) -> Arguments {
    if request.content_type.starts_with("application/json") {
        return match serde_json::from_slice(request.body) {
            Ok(Value::Object(arguments)) => Ok(arguments),
            Ok(_) => Err("json_not_object".into()),
            Err(_) => Err("invalid_json".into()),
        };
    }
    if !request.content_type.starts_with("application/x-www-form-urlencoded") {
        return Err("invalid_post_type".into());
    }
    let mut arguments = form(&String::from_utf8_lossy(request.body));
    if let Some(blocks) = word(&arguments, "blocks") {
        let blocks: Value = serde_json::from_str(blocks).map_err(|_| "invalid_blocks_format")?;
        arguments.insert("blocks".to_owned(), blocks);
    }
    Ok(arguments)
}

/// The fields of a form or of a query.
fn form(text: &str) -> Map<String, Value> {
    let Ok(mut url) = Url::parse("http://localhost/") else { return Map::new() };
    url.set_query(Some(text));
    url.query_pairs().map(|(name, value)| (name.into_owned(), Value::String(value.into_owned()))).collect()
}

fn word<'a>(arguments: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    arguments.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// The limits of a message ("Blocks", "Section block", "Header block", "Context block", "Actions block").
fn check(message: &Map<String, Value>) -> Result<(), Refusal> {
    let text = message.get("text").and_then(Value::as_str).unwrap_or_default();
    if text.chars().count() > MOST_TEXT {
        return Err("msg_too_long".into());
    }
    let blocks = match message.get("blocks") {
        None | Some(Value::Null) => return if text.is_empty() { Err("no_text".into()) } else { Ok(()) },
        Some(Value::Array(blocks)) => blocks,
        Some(_) => return Err("invalid_blocks_format".into()),
    };
    if blocks.is_empty() && text.is_empty() {
        return Err("no_text".into());
    }
    let invalid = |message: String| Refusal {
        code: "invalid_blocks".to_owned(),
        more: json!({"errors": [message], "response_metadata": {"messages": [format!("[ERROR] {message}")]}}),
    };
    if blocks.len() > 50 {
        return Err(invalid("no more than 50 items allowed [json-pointer:/blocks]".to_owned()));
    }
    for (index, block) in blocks.iter().enumerate() {
        fits(block).map_err(|why| invalid(format!("{why} [json-pointer:/blocks/{index}]")))?;
    }
    if blocks.iter().map(length).sum::<usize>() > MOST_BLOCK_TEXT {
        return Err("msg_blocks_too_long".into());
    }
    Ok(())
}

/// UTF-16 units: the largest of the lengths that Slack may mean.
fn units(text: &Value) -> usize {
    text.as_str().map_or(0, |text| text.encode_utf16().count())
}

fn list<'a>(block: &'a Value, name: &str) -> &'a [Value] {
    block.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn fits(block: &Value) -> Result<(), String> {
    let text = units(&block["text"]["text"]);
    let (fields, elements) = (list(block, "fields"), list(block, "elements"));
    let kind = block["type"].as_str().unwrap_or_default();
    let at_most = |most: usize, what: &str, count: usize| match count {
        0 => Err(format!("must be more than 0 {what}")),
        count if count > most => Err(format!("must be less than {} {what}", most + 1)),
        _ => Ok(()),
    };
    if units(&block["block_id"]) > 255 {
        return Err("must be less than 256 characters".to_owned());
    }
    match kind {
        "header" if block["text"]["type"] != "plain_text" => Err("a header is plain_text".to_owned()),
        "header" => at_most(150, "characters", text),
        "section" if fields.is_empty() => at_most(3000, "characters", text),
        "section" => {
            at_most(10, "items", fields.len())?;
            fields.iter().try_for_each(|field| at_most(2000, "characters", units(&field["text"])))?;
            if text > 3000 { Err("must be less than 3001 characters".to_owned()) } else { Ok(()) }
        }
        "context" => at_most(10, "items", elements.len()),
        "actions" => at_most(25, "items", elements.len()),
        "divider" => Ok(()),
        "markdown" => at_most(12_000, "characters", units(&block["text"])),
        other => Err(format!("unsupported type: {other}")),
    }
}

/// The length of all texts of a block.
fn length(value: &Value) -> usize {
    match value {
        Value::Array(values) => values.iter().map(length).sum(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| if name == "text" && value.is_string() { units(value) } else { length(value) })
            .sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}
