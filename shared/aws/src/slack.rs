//! Slack over HTTP: a bot token posts and edits, an incoming webhook only posts.
//!
//! **Invariant:** neither a token nor a webhook's URL reaches an error or the log. The URL of a webhook *is* its
//! secret, so that errors of the HTTP client are stripped of it.

use std::time::Duration;

use manifold_core::plan::{Channel, SecretRef};
use manifold_core::summary::Payload;
use manifold_core::time::Span;
use manifold_ports::clock::Clock;
use manifold_ports::slack::{MessageRef, Slack, SlackError};
use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{RequestBuilder, StatusCode, redirect};
use serde::Deserialize;
use serde_json::Value;

use crate::clock::SystemClock;
use crate::env::{self, EnvError};
use crate::secrets::{Secret, Secrets};
use crate::telemetry::chain;

/// Slack's Web API.
pub const WEB_API: &str = "https://slack.com/api";
/// How long to wait when Slack asks to wait and does not say how long.
const DEFAULT_WAIT: Span = Span::from_seconds(30);
/// The longest text that is taken for one of Slack's codes.
const MAX_CODE: usize = 64;

mod look;

/// Errors of the Web API that pass ("Errors" of `chat.postMessage`): everything else needs a human.
const PASSING: [&str; 5] =
    ["internal_error", "fatal_error", "service_unavailable", "request_timeout", "team_added_to_org"];
/// Errors that a new token or a new webhook would end.
const ABOUT_THE_SECRET: [&str; 10] = [
    "invalid_auth",
    "not_authed",
    "token_revoked",
    "token_expired",
    "account_inactive",
    "invalid_token",
    "no_service",
    "no_service_id",
    "no_active_hooks",
    "no_team",
];

/// Talks to Slack.
#[derive(Debug, Clone)]
pub struct SlackClient<C = SystemClock> {
    http: reqwest::Client,
    base: String,
    secrets: Secrets<C>,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum SlackSetupError {
    /// The HTTP client could not be built: usually, the host has no certificate authorities.
    #[error("failed to build the HTTP client for Slack")]
    Http(#[source] reqwest::Error),
    /// [`env::SLACK_URL`] is not usable.
    #[error(transparent)]
    Env(#[from] EnvError),
}

impl<C: Clock> SlackClient<C> {
    /// With another base than [`WEB_API`].
    ///
    /// # Errors
    /// The HTTP client can't be built.
    pub fn new(base: &str, secrets: Secrets<C>) -> Result<Self, SlackSetupError> {
        // Whoever was first wins, and every provider in this workspace is ring.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(3))
            .timeout(Duration::from_secs(10))
            // Slack's API does not redirect; a token must not follow wherever somebody else's does.
            .redirect(redirect::Policy::none())
            .user_agent(concat!("manifold/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(SlackSetupError::Http)?;
        Ok(Self { http, base: base.trim_end_matches('/').to_owned(), secrets })
    }

    /// With the base from [`env::SLACK_URL`].
    ///
    /// # Errors
    /// The HTTP client can't be built, or the variable is not text.
    pub fn from_env(secrets: Secrets<C>) -> Result<Self, SlackSetupError> {
        let base = env::SLACK_URL.optional()?;
        Self::new(base.as_deref().unwrap_or(WEB_API), secrets)
    }

    /// Calls with a secret; if Slack refuses the secret and its store has another one by now, once more with that.
    /// A refusal is for good, so that a token rotated a minute ago must not cost a run its summary.
    async fn with_secret<T, F, Answer>(&self, reference: &SecretRef, call: F) -> Result<T, SlackError>
    where
        F: Fn(Secret) -> Answer,
        Answer: Future<Output = Result<T, SlackError>>,
    {
        let secret = self.secret(reference).await?;
        let result = call(secret.clone()).await;
        let Err(SlackError::Refused { code }) = &result else { return result };
        if !ABOUT_THE_SECRET.contains(&code.as_str()) {
            return result;
        }
        self.secrets.forget(reference);
        let fresh = self.secret(reference).await?;
        if fresh == secret {
            self.secrets.forget(reference);
            return result;
        }
        call(fresh).await
    }

    async fn secret(&self, reference: &SecretRef) -> Result<Secret, SlackError> {
        self.secrets.get(reference).await.map_err(|error| SlackError::Unavailable { reason: error.to_string() })
    }

    /// A call of a method of the Web API, without its body.
    fn request(&self, method: &str, token: &Secret) -> Result<RequestBuilder, SlackError> {
        let mut bearer = HeaderValue::from_str(&format!("Bearer {}", token.expose()))
            .map_err(|_| SlackError::Unavailable { reason: "the secret is not a token".to_owned() })?;
        bearer.set_sensitive(true);
        Ok(self.http.post(format!("{}/{method}", self.base)).header("authorization", bearer))
    }

    /// Calls a method of the Web API.
    async fn call(&self, method: &str, token: &Secret, body: &Value) -> Result<Answer, SlackError> {
        let request = self.request(method, token)?.json(body);
        let response = request.send().await.map_err(unreached)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.map_err(unreached)?;
        if status == StatusCode::TOO_MANY_REQUESTS {
            return Err(SlackError::RateLimited { retry_after: retry_after(&headers) });
        }
        if status.is_server_error() {
            return Err(SlackError::Unavailable { reason: format!("HTTP {}", status.as_u16()) });
        }
        let Ok(answer) = serde_json::from_str::<Answer>(&text) else {
            let code = format!("HTTP {} without an answer of the Web API", status.as_u16());
            return Err(if status.is_success() {
                SlackError::Unavailable { reason: code }
            } else {
                SlackError::Refused { code }
            });
        };
        match answer.error.as_deref() {
            None if answer.ok => Ok(answer),
            Some("ratelimited" | "rate_limited") => Err(SlackError::RateLimited { retry_after: retry_after(&headers) }),
            Some(error) if PASSING.contains(&error) => Err(SlackError::Unavailable { reason: error.to_owned() }),
            Some(error) => Err(SlackError::Refused { code: code(error, status) }),
            None => Err(SlackError::Refused { code: "unknown_error".to_owned() }),
        }
    }

    /// Posts to a webhook, which answers in plain text.
    async fn hook(&self, url: &Secret, body: &Value) -> Result<(), SlackError> {
        let url = reqwest::Url::parse(url.expose())
            .map_err(|_| SlackError::Unavailable { reason: "the secret is not a URL".to_owned() })?;
        let response = self.http.post(url).json(body).send().await.map_err(unreached)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.map_err(unreached)?;
        if status == StatusCode::TOO_MANY_REQUESTS {
            Err(SlackError::RateLimited { retry_after: retry_after(&headers) })
        } else if status.is_server_error() {
            Err(SlackError::Unavailable { reason: format!("HTTP {}", status.as_u16()) })
        } else if status.is_success() && text.trim() == "ok" {
            Ok(())
        } else {
            Err(SlackError::Refused { code: code(&text, status) })
        }
    }
}

impl<C: Clock> Slack for SlackClient<C> {
    async fn post(
        &self,
        channel: &Channel,
        thread: Option<&MessageRef>,
        payload: &Payload,
    ) -> Result<MessageRef, SlackError> {
        match channel {
            Channel::Bot { channel, token } => {
                // Where the first message went: the channel may have been given by name.
                let known = thread.and_then(|message| message.channel.as_ref());
                let thread_ts = thread.and_then(|message| message.ts.as_deref());
                let body = payload.post_body(known.unwrap_or(channel), thread_ts);
                let answer = self.with_secret(token, |token| {
                    let body = &body;
                    async move { self.call("chat.postMessage", &token, body).await }
                });
                let answer = answer.await?;
                Ok(MessageRef { channel: answer.channel, ts: answer.ts })
            }
            Channel::Webhook { url } => {
                let body = payload.webhook_body();
                let posted = self.with_secret(url, |url| {
                    let body = &body;
                    async move { self.hook(&url, body).await }
                });
                posted.await?;
                Ok(MessageRef::default())
            }
            Channel::Silent => Ok(MessageRef::default()),
        }
    }

    async fn edit(&self, channel: &Channel, message: &MessageRef, payload: &Payload) -> Result<(), SlackError> {
        match channel {
            Channel::Bot { channel, token } => {
                let Some(ts) = message.ts.as_deref() else {
                    return Err(SlackError::Refused { code: "the message has no ts".to_owned() });
                };
                let body = payload.update_body(message.channel.as_ref().unwrap_or(channel), ts);
                let answer = self.with_secret(token, |token| {
                    let body = &body;
                    async move { self.call("chat.update", &token, body).await }
                });
                answer.await.map(|_| ())
            }
            Channel::Webhook { .. } => Err(SlackError::Refused { code: "an incoming webhook can't edit".to_owned() }),
            Channel::Silent => Ok(()),
        }
    }
}

/// What the Web API answers, with HTTP 200 also when it refuses.
#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    ok: bool,
    error: Option<String>,
    channel: Option<String>,
    ts: Option<String>,
}

fn unreached(error: reqwest::Error) -> SlackError {
    SlackError::Unavailable { reason: chain(&error.without_url()) }
}

fn retry_after(headers: &HeaderMap) -> Span {
    let seconds = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok());
    seconds.map_or(DEFAULT_WAIT, Span::from_seconds)
}

/// Slack's code, if the text is one: a word such as `channel_is_archived`. Anything else, such as a proxy's page, might
/// quote the request, and with it the secret.
fn code(text: &str, status: StatusCode) -> String {
    let text = text.trim();
    let is_word = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if is_word && (1..=MAX_CODE).contains(&text.len()) { text.to_owned() } else { format!("HTTP {}", status.as_u16()) }
}
