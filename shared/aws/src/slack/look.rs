//! Looking at a channel without posting to it: `auth.test` and `conversations.info`, which change nothing.

use manifold_core::checkup::{ChannelSeen, SlackSeen, TokenSeen, Tried};
use manifold_core::plan::{Channel, SecretRef};
use manifold_core::time::Timestamp;
use manifold_ports::checkup::{LookAtSlack, out_of_time};
use manifold_ports::clock::Clock;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use serde::Deserialize;
use serde_json::Value;

use super::{MAX_CODE, PASSING, SlackClient, WEB_API, retry_after, unreached};
use crate::look::Patience;
use crate::secrets::{Secret, SecretError};
use crate::{Backoff, failure};

/// What may stand in the answer besides what was asked for (Slack API reference, "Errors", "Warnings").
#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    ok: bool,
    error: Option<String>,
    /// The scope that a `missing_scope` asks for.
    needed: Option<String>,
    /// `auth.test`.
    team: Option<String>,
    user: Option<String>,
    /// `conversations.info`.
    channel: Option<Conversation>,
}

#[derive(Deserialize)]
struct Conversation {
    name: Option<String>,
    #[serde(default)]
    is_archived: bool,
    is_member: Option<bool>,
    #[serde(default)]
    is_private: bool,
}

impl<C: Clock> LookAtSlack for SlackClient<C> {
    async fn look(&self, channel: &Channel, deadline: Timestamp) -> SlackSeen {
        let patience =
            Patience { clock: self.secrets.clock(), deadline, backoff: Backoff { tries: 1, ..Backoff::PATIENT } };
        // The time that is left bounds all of it.
        let seen = patience.look(|| async { Ok::<_, failure::Failure>(self.see(channel).await) }).await;
        match seen {
            Tried::Done(seen) => seen,
            Tried::Refused { .. } | Tried::Unanswered { .. } | Tried::NotTried => {
                SlackSeen { secret: out_of_time(), token: Tried::NotTried, channel: Tried::NotTried }
            }
        }
    }
}

impl<C: Clock> SlackClient<C> {
    async fn see(&self, channel: &Channel) -> SlackSeen {
        let nothing = |secret| SlackSeen { secret, token: Tried::NotTried, channel: Tried::NotTried };
        match channel {
            Channel::Silent => nothing(Tried::NotTried),
            Channel::Webhook { url } => nothing(match self.read(url).await {
                Ok(url) if self.is_webhook(&url) => Tried::Done(()),
                Ok(_) => malformed("it is not the URL of a Slack webhook"),
                Err(why) => why,
            }),
            Channel::Bot { channel, token } => match self.read(token).await {
                Ok(token) if token.expose().contains("://") => nothing(malformed("it is a URL, and no token")),
                Ok(token) => {
                    let whose = self.test(&token).await;
                    let place = match whose {
                        Tried::Done(_) => self.place(channel, &token).await,
                        Tried::Refused { .. } | Tried::Unanswered { .. } | Tried::NotTried => Tried::NotTried,
                    };
                    SlackSeen { secret: Tried::Done(()), token: whose, channel: place }
                }
                Err(why) => nothing(why),
            },
        }
    }

    /// Reads a secret anew: what is kept may have been replaced.
    async fn read(&self, reference: &SecretRef) -> Result<Secret, Tried<()>> {
        self.secrets.forget(reference);
        self.secrets.get(reference).await.map_err(|error| match error {
            SecretError::Unavailable(reason) => Tried::Unanswered { reason },
            SecretError::Refused(message) => Tried::Refused { code: String::new(), message },
        })
    }

    /// Webhooks are at `hooks.slack.com`, or at the host that stands for all of Slack in tests.
    fn is_webhook(&self, url: &Secret) -> bool {
        let Ok(url) = reqwest::Url::parse(url.expose()) else { return false };
        let is_slack = url.scheme() == "https"
            && url.host_str().is_some_and(|host| matches!(host, "hooks.slack.com" | "hooks.slack-gov.com"));
        let stands_for_slack =
            self.base != WEB_API && reqwest::Url::parse(&self.base).is_ok_and(|base| base.host_str() == url.host_str());
        is_slack || stands_for_slack
    }

    async fn test(&self, token: &Secret) -> Tried<TokenSeen> {
        match self.ask("auth.test", token, String::new()).await {
            Ok((answer, headers)) => {
                let scopes = headers.get("x-oauth-scopes").and_then(|value| value.to_str().ok());
                let scopes = scopes.map(|scopes| scopes.split(',').map(|scope| scope.trim().to_owned()).collect());
                Tried::Done(TokenSeen { team: answer.team, user: answer.user, scopes })
            }
            Err(why) => why,
        }
    }

    /// The method takes ids only, and no JSON (Slack API reference, `conversations.info`).
    async fn place(&self, channel: &str, token: &Secret) -> Tried<ChannelSeen> {
        let is_id = channel.len() >= 8
            && channel.starts_with(['C', 'G', 'D'])
            && channel.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit());
        if !is_id {
            return Tried::Refused { code: "not_an_id".to_owned(), message: String::new() };
        }
        match self.ask("conversations.info", token, format!("channel={channel}")).await {
            Ok((Answer { channel: Some(seen), .. }, _)) => Tried::Done(ChannelSeen {
                name: seen.name,
                is_archived: seen.is_archived,
                is_member: seen.is_member,
                is_private: seen.is_private,
            }),
            Ok(_) => Tried::Unanswered { reason: "Slack answered without a channel".to_owned() },
            Err(why) => why,
        }
    }

    async fn ask<T>(&self, method: &str, token: &Secret, form: String) -> Result<(Answer, HeaderMap), Tried<T>> {
        let unanswered = |reason: String| Tried::Unanswered { reason };
        let request = self.request(method, token).map_err(|error| unanswered(error.to_string()))?;
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form);
        let response = request.send().await.map_err(|error| unanswered(unreached(error).to_string()))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.map_err(|error| unanswered(unreached(error).to_string()))?;
        if status == StatusCode::TOO_MANY_REQUESTS {
            return Err(unanswered(format!("Slack asks to wait {}", retry_after(&headers))));
        }
        // The text is not quoted: a proxy's page might quote the request.
        let answer: Value = serde_json::from_str(&text).unwrap_or_default();
        let Ok(answer) = serde_json::from_value::<Answer>(answer) else {
            return Err(unanswered(format!("HTTP {} without an answer of the Web API", status.as_u16())));
        };
        match answer.error.as_deref() {
            None if answer.ok => Ok((answer, headers)),
            Some(code @ ("ratelimited" | "rate_limited")) => Err(unanswered(code.to_owned())),
            Some(code) if PASSING.contains(&code) => Err(unanswered(code.to_owned())),
            Some(code) => {
                let is_code = code.len() <= MAX_CODE && code.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
                Err(Tried::Refused {
                    code: if is_code { code.to_owned() } else { "unknown_error".to_owned() },
                    message: answer.needed.map(|needed| format!("it needs {needed}")).unwrap_or_default(),
                })
            }
            None => Err(unanswered(format!("HTTP {} without an answer of the Web API", status.as_u16()))),
        }
    }
}

fn malformed(message: &str) -> Tried<()> {
    Tried::Refused { code: "malformed".to_owned(), message: message.to_owned() }
}
