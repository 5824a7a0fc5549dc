//! What the looks at a Slack channel mean.

use super::finding::{Check, Finding};
use super::seen::{ChannelSeen, SlackSeen, TokenSeen, Tried};
use super::target::no_function;
use crate::plan::{Channel, SecretRef};

/// What a channel's looks mean: nothing for a silent one. `None` when summarize did not answer.
#[must_use]
pub fn judge_channel(channel: &Channel, seen: Option<&SlackSeen>) -> Vec<Finding> {
    let checks: &[Check] = match channel {
        Channel::Silent => return Vec::new(),
        Channel::Bot { .. } | Channel::Webhook { .. } => &[Check::SlackSecret, Check::SlackToken, Check::SlackChannel],
    };
    let Some(seen) = seen else { return checks.iter().map(|check| no_function(*check, "summarize")).collect() };
    match channel {
        Channel::Silent => Vec::new(),
        Channel::Webhook { url } => {
            let why = "A webhook can't be tried without posting";
            vec![
                judge_secret(url, &seen.secret),
                Finding::untriable(Check::SlackToken, why),
                Finding::untriable(Check::SlackChannel, why),
            ]
        }
        Channel::Bot { channel, token } => vec![
            judge_secret(token, &seen.secret),
            judge_token(&seen.token),
            judge_place(channel, &seen.channel, seen.token.done()),
        ],
    }
}

fn judge_secret(secret: &SecretRef, seen: &Tried<()>) -> Finding {
    const CHECK: Check = Check::SlackSecret;
    let (store, name, parameter) = match secret {
        SecretRef::SecretsManager(name) => ("Secrets Manager", name, "SlackSecretArns"),
        SecretRef::Ssm(name) => ("Parameter Store", name, "SlackParameterArns"),
    };
    match seen {
        Tried::Done(()) => Finding::ok(CHECK),
        Tried::Refused { code, message } if code == "malformed" => Finding::fails(
            CHECK,
            format!("Secret {name} is not what fleet.yaml says"),
            format!("store a bot token (xoxb-…) or a webhook's URL, as fleet.yaml says, in {store}: {name}"),
        )
        .with_detail(message),
        Tried::Refused { message, .. } => Finding::fails(
            CHECK,
            format!("Secret {name} can't be read"),
            format!(
                "create {name} in {store}, and update the hub's stack with {parameter} naming its ARN (and \
                 SlackKeyArns its key, if that is your own)"
            ),
        )
        .with_detail(message),
        Tried::Unanswered { reason } => Finding::unanswered(CHECK, store, reason),
        Tried::NotTried => no_function(CHECK, "summarize"),
    }
}

/// "`auth.test`: Checks authentication & identity" (Slack API reference).
fn judge_token(seen: &Tried<TokenSeen>) -> Finding {
    const CHECK: Check = Check::SlackToken;
    match seen {
        Tried::Done(token) => match &token.scopes {
            Some(scopes) if !scopes.iter().any(|scope| scope == "chat:write") => Finding::fails(
                CHECK,
                "The token lacks the scope chat:write",
                "add the bot scope chat:write under OAuth & Permissions of the Slack app, and reinstall the app",
            )
            .with_detail(format!("it has {}", scopes.join(", "))),
            Some(_) | None => Finding::ok(CHECK),
        },
        Tried::Refused { code, .. } => Finding::fails(
            CHECK,
            format!("Slack refuses the token: {code}"),
            "store a valid bot token: Slack app, OAuth & Permissions, Bot User OAuth Token",
        ),
        Tried::Unanswered { reason } => Finding::unanswered(CHECK, "Slack", reason),
        Tried::NotTried => Finding::follows(CHECK, Check::SlackSecret, "there is no token to try"),
    }
}

fn judge_place(channel: &str, seen: &Tried<ChannelSeen>, token: Option<&TokenSeen>) -> Finding {
    const CHECK: Check = Check::SlackChannel;
    match seen {
        Tried::Done(seen) => {
            let called = seen.name.as_ref().map_or_else(|| channel.to_owned(), |name| format!("#{name} ({channel})"));
            if seen.is_archived {
                return Finding::fails(
                    CHECK,
                    format!("Channel {called} is archived"),
                    "unarchive it, or name another one in fleet.yaml",
                );
            }
            let may_post_anywhere = token
                .and_then(|token| token.scopes.as_ref())
                .is_some_and(|scopes| scopes.iter().any(|scope| scope == "chat:write.public"));
            if seen.is_member == Some(false) && (seen.is_private || !may_post_anywhere) {
                let bot = token.and_then(|token| token.user.as_deref()).unwrap_or("the app");
                return Finding::fails(
                    CHECK,
                    format!("The bot is not in channel {called}"),
                    format!("in the channel: /invite @{bot}"),
                );
            }
            Finding::ok(CHECK)
        }
        Tried::Refused { code, message } if code == "missing_scope" => Finding::unknown(
            CHECK,
            "The token may not look at channels",
            "add the bot scopes channels:read (public channels) and groups:read (private ones) under OAuth & \
             Permissions of the Slack app, and reinstall the app; posting does not need them",
        )
        .with_detail(message),
        Tried::Refused { code, .. } if code == "not_an_id" => Finding::unknown(
            CHECK,
            format!("Channel {channel} is given by name, and Slack looks up ids only"),
            "give the channel's id (C…, at the end of the channel's details in Slack) in fleet.yaml",
        ),
        // A private channel that the bot is not in looks like one that does not exist.
        Tried::Refused { code, .. } if code == "channel_not_found" => Finding::fails(
            CHECK,
            format!("Slack does not know channel {channel}, or it is private and the bot is not in it"),
            "correct the channel in fleet.yaml; in a private channel: /invite the app",
        ),
        Tried::Refused { code, message } => {
            Finding::unknown(CHECK, format!("Channel {channel} can't be looked at: {code}"), "see Slack's words above")
                .with_detail(message)
        }
        Tried::Unanswered { reason } => Finding::unanswered(CHECK, "Slack", reason),
        Tried::NotTried => Finding::follows(CHECK, Check::SlackToken, "there is no token to look with"),
    }
}
