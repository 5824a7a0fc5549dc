//! Buttons in Slack: what one carries, what Slack sends when somebody presses it, and whether it was Slack.
//!
//! A button names its run, and with it the exact revision and plan, and its wave. What a press wants goes to whoever
//! carries it out; who may is judged there, where the run's own policy is known.
//!
//! ```text
//!  Action ──► button (action_id, value) ──► Slack ──► verify(signature) ──► decode(body) ──► Press ──► Payload
//! ```

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::brief::brief;
use crate::control::{Command, Order, Request, Via, Which, Who};
use crate::ids::{Nonce, RunId};
use crate::message::Payload;
use crate::summary::Action;
use crate::time::{Span, Timestamp};

/// The schema of the values that this version's buttons carry. It reads every earlier one (law 9): a message in Slack may
/// be older than the version that is asked.
pub const SCHEMA: u32 = 1;

/// How far the time of a request may be from now, both ways: "If it differs from local time by more than five minutes, it
/// could be a replay attack, so ignore it" (Slack, "Verifying requests from Slack").
pub const MOST_APART: Span = Span::from_minutes(5);

/// The most text of a button's value, in characters (Slack, "Button element").
pub const MOST_VALUE: usize = 2_000;

/// The longest name of a user that is kept, in characters; Slack has 80 for a display name.
const LONGEST_NAME: usize = 80;
/// The longest id of a user that is read. Slack's have about eleven characters.
const LONGEST_USER: usize = 32;
/// The last second that [`Timestamp`] writes with a year of four digits.
const LAST_SECOND: i64 = 253_402_300_799;

/// What a button carries.
#[derive(Debug, Serialize, Deserialize)]
struct Carried {
    schema: u32,
    run: RunId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    wave: Option<String>,
}

/// The button's `action_id`.
#[must_use]
pub const fn action_id(action: &Action) -> &'static str {
    match action {
        Action::Approve { .. } => "manifold.approve",
        Action::Reject { .. } => "manifold.reject",
        Action::Abort => "manifold.abort",
        Action::RetryFailed => "manifold.retry_failed",
    }
}

/// The button's `value`; `None` if Slack would not take it, which no name that a fleet file may have comes to.
#[must_use]
pub fn value(run: &RunId, action: &Action) -> Option<String> {
    let wave = match action {
        Action::Approve { wave } | Action::Reject { wave } => Some(wave.clone()),
        Action::Abort | Action::RetryFailed => None,
    };
    let value = serde_json::to_string(&Carried { schema: SCHEMA, run: run.clone(), wave }).ok()?;
    (value.encode_utf16().count() <= MOST_VALUE).then_some(value)
}

/// Somebody pressed a button.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Press {
    /// What the button is for.
    pub action: Action,
    /// The run that it names.
    pub run: RunId,
    /// Who pressed it.
    pub who: Who,
    /// When (`action_ts`), to the millisecond.
    pub at: Timestamp,
    /// Names the press: the same request, sent again, has the same; a second press has another.
    pub id: Nonce,
}

impl Press {
    /// What the press wants, for whoever carries it out: [`Payload::Command`] or [`Payload::Open`].
    #[must_use]
    pub fn payload(self) -> Payload {
        let Self { action, run, who, at, id } = self;
        let order = match action {
            Action::Approve { wave } => Order::Approve { wave },
            Action::Reject { wave } => Order::Reject { wave },
            Action::Abort => Order::Abort { stop: false },
            Action::RetryFailed => {
                let what = Request::Retry { of: run, which: Which::Failed };
                return Payload::Open { request: Box::new(Command { id, at, who, why: None, what }) };
            }
        };
        Payload::Command { run, command: Box::new(Command { id, at, who, why: None, what: order }) }
    }
}

/// Why a request is not a press of one of our buttons. Nothing of it is secret: what is repeated is cut to a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PressError {
    /// The body has no field `payload`.
    #[error("not an interaction: the form has no field payload")]
    NoPayload,
    /// Not JSON, or a field is missing or of another kind.
    #[error("not an interaction that can be read: {0}")]
    Malformed(String),
    /// A shortcut, a dialog, or what Slack will think of.
    #[error("an interaction of type {0}, and only block_actions is expected")]
    Kind(String),
    /// Not one action.
    #[error("{0} actions at once, and one is expected")]
    Actions(usize),
    /// Another app's button, or one that this version does not know.
    #[error("no button of this version: {0}")]
    Unknown(String),
    /// A button of a newer version.
    #[error("a button of schema {found}, newer than {SCHEMA}, the newest that this version reads")]
    TooNew {
        /// The schema that was found.
        found: u32,
    },
    /// A field does not hold what it should.
    #[error("{field} is {found}")]
    Field {
        /// Its name.
        field: &'static str,
        /// What it holds.
        found: String,
    },
}

/// Reads the body of an interaction: a form (`application/x-www-form-urlencoded`) whose field `payload` is JSON of type
/// `block_actions` (Slack, "Handling user interaction" and "`block_actions` payload"). [`verify`] it first.
///
/// # Errors
/// It is no press of one of our buttons.
pub fn decode(body: &[u8]) -> Result<Press, PressError> {
    #[derive(Deserialize)]
    struct Kind {
        #[serde(rename = "type")]
        kind: String,
    }
    let malformed = |error: serde_json::Error| PressError::Malformed(brief(&error.to_string()));
    let payload = form_urlencoded::parse(body).find(|(name, _)| name == "payload").ok_or(PressError::NoPayload)?.1;
    let Kind { kind } = serde_json::from_str(&payload).map_err(malformed)?;
    if kind != "block_actions" {
        return Err(PressError::Kind(brief(&kind)));
    }
    let interaction: Interaction = serde_json::from_str(&payload).map_err(malformed)?;
    let [pressed] = interaction.actions.as_slice() else {
        return Err(PressError::Actions(interaction.actions.len()));
    };
    let (run, action) = read_button(pressed)?;
    let at = time_of("action_ts", &pressed.action_ts)?;
    let message = interaction.container.message_ts;
    time_of("message_ts", &message)?;
    let user = interaction.user;
    let is_id = (1..=LONGEST_USER).contains(&user.id.len()) && user.id.chars().all(|c| c.is_ascii_alphanumeric());
    if !is_id {
        return Err(PressError::Field { field: "the user's id", found: brief(&user.id) });
    }
    let name = user.name.or(user.username).filter(|name| !name.trim().is_empty());
    let name = name.map(|name| name.trim().chars().take(LONGEST_NAME).collect());
    let id = press_id(&[run.as_str(), &message, &pressed.action_id, &pressed.action_ts, &user.id])?;
    Ok(Press { action, run, who: Who { via: Via::Slack, id: user.id, name }, at, id })
}

/// As much of the payload as a press needs. `response_url` would answer in Slack, which is the summary's to do.
#[derive(Deserialize)]
struct Interaction {
    user: User,
    actions: Vec<Pressed>,
    container: Container,
}

#[derive(Deserialize)]
struct User {
    id: String,
    name: Option<String>,
    username: Option<String>,
}

#[derive(Deserialize)]
struct Pressed {
    action_id: String,
    value: Option<String>,
    action_ts: String,
}

#[derive(Deserialize)]
struct Container {
    message_ts: String,
}

fn read_button(pressed: &Pressed) -> Result<(RunId, Action), PressError> {
    #[derive(Deserialize)]
    struct Versioned {
        schema: u32,
    }
    // Before its value: another app's button may carry anything.
    let action: fn(String) -> Action = match pressed.action_id.as_str() {
        "manifold.approve" => |wave| Action::Approve { wave },
        "manifold.reject" => |wave| Action::Reject { wave },
        "manifold.abort" => |_| Action::Abort,
        "manifold.retry_failed" => |_| Action::RetryFailed,
        unknown => return Err(PressError::Unknown(brief(unknown))),
    };
    let malformed = |error: serde_json::Error| PressError::Malformed(brief(&format!("the button's value: {error}")));
    let value = pressed.value.as_deref().unwrap_or_default();
    let Versioned { schema } = serde_json::from_str(value).map_err(malformed)?;
    if schema > SCHEMA {
        return Err(PressError::TooNew { found: schema });
    }
    let Carried { run, wave, .. } = serde_json::from_str(value).map_err(malformed)?;
    match (action(wave.clone().unwrap_or_default()), wave) {
        (Action::Approve { .. } | Action::Reject { .. }, None) => {
            Err(PressError::Field { field: "the button's wave", found: "missing".to_owned() })
        }
        (action @ (Action::Approve { .. } | Action::Reject { .. }), Some(_))
        | (action @ (Action::Abort | Action::RetryFailed), _) => Ok((run, action)),
    }
}

/// A time as Slack writes it: seconds, a point, and a fraction that makes it unique.
fn time_of(field: &'static str, text: &str) -> Result<Timestamp, PressError> {
    let wrong = || PressError::Field { field, found: brief(text) };
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| (1..=12).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(seconds) || !digits(fraction) {
        return Err(wrong());
    }
    let seconds: i64 = seconds.parse().ok().filter(|seconds| *seconds <= LAST_SECOND).ok_or_else(wrong)?;
    let millis: i64 = format!("{fraction:0<3}").get(..3).and_then(|millis| millis.parse().ok()).ok_or_else(wrong)?;
    Ok(Timestamp::from_millis(seconds * 1_000 + millis))
}

fn press_id(parts: &[&str]) -> Result<Nonce, PressError> {
    let digest = Sha256::digest(parts.join("\n").as_bytes());
    let hash: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let id = format!("slack-{hash}");
    id.parse().map_err(|_| PressError::Field { field: "the press's id", found: id })
}

/// Why a request is not known to be Slack's. For the log: whoever sent it is told nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unsigned {
    /// A header is missing, or not of the documented form.
    #[error("the signature's headers are missing or malformed")]
    Malformed,
    /// It was signed long ago, or will be: a replay, or a clock that is wrong.
    #[error("it was signed more than {MOST_APART} away from now")]
    Stale,
    /// Another secret, another body, or another time.
    #[error("the signature is not that of the signing secret")]
    Wrong,
}

/// Whether a request is Slack's: `v0=` and the HMAC-SHA256 of `v0:{timestamp}:{body}` under the app's signing secret, in
/// hexadecimal (Slack, "Verifying requests from Slack"). `timestamp` is the header `X-Slack-Request-Timestamp`,
/// `signature` is `X-Slack-Signature`, and the body is what was sent, byte by byte. Compares in constant time.
///
/// # Errors
/// It is not, or not known to be.
pub fn verify(secret: &str, timestamp: &str, signature: &str, body: &[u8], now: Timestamp) -> Result<(), Unsigned> {
    let is_time = (1..=12).contains(&timestamp.len()) && timestamp.bytes().all(|byte| byte.is_ascii_digit());
    let seconds: i64 = timestamp.parse().ok().filter(|_| is_time).ok_or(Unsigned::Malformed)?;
    let expected = signature.strip_prefix("v0=").and_then(from_hex).ok_or(Unsigned::Malformed)?;
    if now.as_millis().abs_diff(seconds * 1_000) > MOST_APART.as_millis().unsigned_abs() {
        return Err(Unsigned::Stale);
    }
    // Whoever knows that there is none could sign with none.
    if secret.is_empty() {
        return Err(Unsigned::Wrong);
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).map_err(|_| Unsigned::Wrong)?;
    mac.update(b"v0:");
    mac.update(timestamp.as_bytes());
    mac.update(b":");
    mac.update(body);
    mac.verify_slice(&expected).map_err(|_| Unsigned::Wrong)
}

/// The 32 bytes of a hexadecimal digest.
fn from_hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, at) in bytes.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn run() -> RunId {
        "web-0f3a5b7c9d1e2f40".parse().unwrap()
    }

    fn approve() -> Action {
        Action::Approve { wave: "prod & more".to_owned() }
    }

    /// As Slack documents it, shortened: much is ignored.
    fn interaction(action: &Action) -> Value {
        json!({
            "type": "block_actions",
            "user": { "id": "U0123456789", "username": "jane", "name": "jane.doe", "team_id": "T0123456789" },
            "api_app_id": "A02",
            "token": "Shh_its_a_seekrit",
            "container": { "type": "message", "message_ts": "1548261231.000200", "channel_id": "CBR2V3XEX", "is_ephemeral": false },
            "trigger_id": "12466734323.1395872398",
            "team": { "id": "T0123456789", "domain": "acme" },
            "response_url": "https://hooks.slack.com/actions/AABA1ABCD/1232321423432/D09sSasdasdAS9091209",
            "actions": [{
                "type": "button", "block_id": "manifold", "action_id": action_id(action),
                "text": { "type": "plain_text", "text": "Approve" },
                "value": value(&run(), action).unwrap(), "action_ts": "1548426417.840180",
            }],
        })
    }

    fn body(payload: &Value) -> Vec<u8> {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("payload", &payload.to_string());
        form.finish().into_bytes()
    }

    fn changed(pointer: &str, value: Value) -> Result<Press, PressError> {
        let mut payload = interaction(&approve());
        *payload.pointer_mut(pointer).unwrap() = value;
        decode(&body(&payload))
    }

    #[test]
    fn a_press_names_run_wave_user_and_time() {
        let press = decode(&body(&interaction(&approve()))).unwrap();
        assert_eq!((&press.action, &press.run), (&approve(), &run()));
        assert_eq!(press.at, Timestamp::from_millis(1_548_426_417_840));
        assert_eq!((press.who.via, &*press.who.id), (Via::Slack, "U0123456789"));
        assert_eq!(press.who.name.as_deref(), Some("jane.doe"));
    }

    #[test]
    fn a_press_becomes_a_command_or_a_request() {
        let payload = |action: Action| decode(&body(&interaction(&action))).unwrap().payload();
        let orders = [
            (approve(), Order::Approve { wave: "prod & more".to_owned() }),
            (Action::Reject { wave: "prod".to_owned() }, Order::Reject { wave: "prod".to_owned() }),
            (Action::Abort, Order::Abort { stop: false }),
        ];
        for (action, expected) in orders {
            let Payload::Command { run: of, command } = payload(action) else { panic!("no command") };
            assert_eq!((of, command.what, command.why), (run(), expected, None));
        }
        let Payload::Open { request } = payload(Action::RetryFailed) else { panic!("no request") };
        assert_eq!(request.what, Request::Retry { of: run(), which: Which::Failed });
    }

    #[test]
    fn the_same_press_is_the_same_command_and_another_press_is_another() {
        let first = decode(&body(&interaction(&approve()))).unwrap();
        assert_eq!(decode(&body(&interaction(&approve()))).unwrap(), first);
        let others = [
            changed("/actions/0/action_ts", json!("1548426417.840181")),
            changed("/user/id", json!("U9")),
            changed("/container/message_ts", json!("1548261231.000201")),
            changed("/actions/0/action_id", json!("manifold.reject")),
        ];
        for other in others {
            assert_ne!(other.unwrap().id, first.id);
        }
    }

    #[test]
    fn what_is_no_press_of_ours_is_told_apart() {
        let shown = |error: Result<Press, PressError>| error.unwrap_err().to_string();
        assert_eq!(decode(b""), Err(PressError::NoPayload));
        assert_eq!(decode(b"ssl_check=1&token=x"), Err(PressError::NoPayload));
        assert!(matches!(decode(b"payload=%7B"), Err(PressError::Malformed(_))));
        assert!(shown(changed("/type", json!("view_submission"))).contains("type view_submission"));
        assert_eq!(changed("/actions", json!([])), Err(PressError::Actions(0)));
        assert_eq!(shown(changed("/actions/0/action_id", json!("other"))), "no button of this version: other");
        assert!(matches!(changed("/actions/0/value", json!(null)), Err(PressError::Malformed(_))));
        let newer = json!("{\"schema\":2,\"ran\":[]}");
        assert_eq!(changed("/actions/0/value", newer), Err(PressError::TooNew { found: 2 }));
        let no_wave = json!("{\"schema\":1,\"run\":\"web-0f3a5b7c9d1e2f40\"}");
        assert_eq!(shown(changed("/actions/0/value", no_wave)), "the button's wave is missing");
        assert_eq!(shown(changed("/user/id", json!("U1 <@U2>"))), "the user's id is U1 <@U2>");
        for time in ["", "yesterday", "-1.0", "1.", ".5", "999999999999.0", "1548426417.8401801234567"] {
            assert!(shown(changed("/actions/0/action_ts", json!(time))).starts_with("action_ts is"), "{time}");
        }
        let long = changed("/user/name", json!("x".repeat(1_000))).unwrap();
        assert_eq!(long.who.name.unwrap().len(), LONGEST_NAME);
    }

    #[test]
    fn a_value_that_slack_would_not_take_is_no_value() {
        assert_eq!(value(&run(), &Action::Approve { wave: "x".repeat(MOST_VALUE) }), None);
        assert_eq!(value(&run(), &Action::Abort).unwrap(), r#"{"schema":1,"run":"web-0f3a5b7c9d1e2f40"}"#);
    }

    /// The example of "Verifying requests from Slack".
    mod documented {
        pub(super) const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
        pub(super) const TIME: &str = "1531420618";
        pub(super) const SIGNATURE: &str = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";
        pub(super) const BODY: &[u8] = b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow\
            &channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect\
            &text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN\
            &trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
    }

    #[test]
    fn slacks_own_example_is_signed() {
        use documented::*;
        let at = |seconds: i64| Timestamp::from_millis(seconds * 1_000);
        let now = at(1_531_420_618);
        assert_eq!(verify(SECRET, TIME, SIGNATURE, BODY, now), Ok(()));
        for (apart, expected) in
            [(300, Ok(())), (-300, Ok(())), (301, Err(Unsigned::Stale)), (-301, Err(Unsigned::Stale))]
        {
            assert_eq!(verify(SECRET, TIME, SIGNATURE, BODY, at(1_531_420_618 + apart)), expected, "{apart} s");
        }
        let wrong = Err(Unsigned::Wrong);
        assert_eq!(verify("another", TIME, SIGNATURE, BODY, now), wrong);
        assert_eq!(verify("", TIME, SIGNATURE, BODY, now), wrong);
        assert_eq!(verify(SECRET, "1531420619", SIGNATURE, BODY, now), wrong);
        assert_eq!(verify(SECRET, TIME, SIGNATURE, &BODY[1..], now), wrong);
        assert_eq!(verify(SECRET, TIME, &SIGNATURE.replace('a', "b"), BODY, now), wrong);
        let cut = &SIGNATURE[..SIGNATURE.len() - 2];
        for bad in ["", "v0=", "v1=00", cut, &SIGNATURE.replace("v0", "v1"), &SIGNATURE.replace('a', "é")] {
            assert_eq!(verify(SECRET, TIME, bad, BODY, now), Err(Unsigned::Malformed), "{bad}");
        }
        for bad in ["", "now", "-1531420618", "+1531420618", "1531420618 ", "99999999999999999999"] {
            assert_eq!(verify(SECRET, bad, SIGNATURE, BODY, now), Err(Unsigned::Malformed), "{bad}");
        }
    }

    #[test]
    fn nobody_can_sign_without_a_secret() {
        let mut mac = Hmac::<Sha256>::new_from_slice(b"").unwrap();
        mac.update(b"v0:0:");
        let signature: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let now = Timestamp::from_millis(0);
        assert_eq!(verify("", "0", &format!("v0={signature}"), b"", now), Err(Unsigned::Wrong));
    }
}
