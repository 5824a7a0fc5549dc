//! STS: `AssumeRole`, with everything that a trust policy and the service check.

use std::collections::BTreeMap;

use manifold_core::time::{Span, Timestamp};
use manifold_core::wildcard;
use manifold_ports::clock::Clock;
use serde_json::Value;
use wiremock::{Request, ResponseTemplate};

use super::{Answered, Caller, EXTERNAL_ID, HUB_REGION, ROLE, State};

/// A role session.
#[derive(Debug, Clone)]
pub struct Session {
    /// The account that the role is in.
    pub account: String,
    /// The session's name.
    pub name: String,
    /// Its access key: it names the account and the session's number.
    pub access_key: String,
    /// What the session policy leaves of the role.
    pub policy: Value,
    /// When it ends.
    pub expires_at: Timestamp,
}

#[derive(Debug, Default)]
pub(crate) struct Sessions {
    pub(crate) opened: Vec<Session>,
    pub(crate) asked: BTreeMap<(String, String), u64>,
}

impl Sessions {
    pub(crate) fn of(&self, key: &str, token: &str, now: Timestamp) -> Result<Session, String> {
        let session = self.opened.iter().find(|session| session.access_key == key);
        let session = session.ok_or_else(|| format!("nobody was given the key {key}"))?;
        if token != session_token(key) {
            return Err(format!("the key {key} comes with another session token"));
        }
        if session.expires_at <= now {
            return Err(format!("the session of {key} has ended"));
        }
        Ok(session.clone())
    }
}

impl Session {
    /// As CodePipeline tells who started an execution.
    #[must_use]
    pub fn arn(&self) -> String {
        format!("arn:aws:sts::{}:assumed-role/{ROLE}/{}", self.account, self.name)
    }

    /// Whether the session policy allows this.
    #[must_use]
    pub fn allows(&self, action: &str, resource: &str) -> bool {
        let statements = self.policy["Statement"].as_array().map(Vec::as_slice).unwrap_or_default();
        statements.iter().any(|statement| {
            statement["Effect"] == "Allow"
                && each(&statement["Action"]).any(|allowed| allowed == action)
                && each(&statement["Resource"]).any(|pattern| wildcard::fits(pattern, resource))
        })
    }
}

/// What a policy spells as one text or as a list of them.
fn each(value: &Value) -> impl Iterator<Item = &str> {
    let list = value.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(Value::as_str).chain(value.as_str())
}

fn session_token(key: &str) -> String {
    format!("token-of-{key}")
}

/// The fields of a form.
pub(crate) fn form(request: &Request) -> BTreeMap<String, String> {
    let mut url = request.url.clone();
    url.set_query(Some(&String::from_utf8_lossy(&request.body)));
    url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}

impl State {
    pub(super) fn sts(&mut self, operation: &str, caller: &Caller, request: &Request) -> Answered {
        if operation != "AssumeRole" {
            return Err(format!("STS is not asked for {operation}"));
        }
        // The hub's own Region: a regional endpoint's sessions are valid in every Region.
        if caller.session.is_some() || caller.region != HUB_REGION {
            return Err(format!("a role was to be assumed in {} by {}", caller.region, caller.account));
        }
        let form = form(request);
        let known = ["Action", "Version", "RoleArn", "RoleSessionName", "ExternalId", "DurationSeconds", "Policy"];
        if let Some(unknown) = form.keys().find(|name| !known.contains(&name.as_str())) {
            return Err(format!("field {unknown} is not used by the adapters"));
        }
        let field = |name: &str| form.get(name).cloned().ok_or_else(|| format!("{name} is missing"));
        let (role, name, policy) = (field("RoleArn")?, field("RoleSessionName")?, field("Policy")?);
        let account = role.split(':').nth(4).unwrap_or_default().to_owned();
        if role != format!("arn:aws:iam::{account}:role/{ROLE}") {
            return Err(format!("there is no role {role}"));
        }
        if field("ExternalId")? != EXTERNAL_ID {
            return Err("the external id is not the one in the trust policy".to_owned());
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || "+=,.@-_".contains(c);
        if !(2..=64).contains(&name.len()) || !name.chars().all(allowed) {
            return Err(format!("{name} is no session name"));
        }
        let duration: i64 = field("DurationSeconds")?.parse().map_err(|_| "the duration is no number".to_owned())?;
        // A role that is assumed with a role's credentials: at most one hour.
        if !(900..=3600).contains(&duration) {
            return Err(format!("a chained session can't last {duration} s"));
        }
        if policy.len() > 2048 {
            return Err(format!("the session policy has {} characters", policy.len()));
        }
        let policy: Value = serde_json::from_str(&policy).map_err(|error| format!("the session policy: {error}"))?;
        if policy["Version"] != "2012-10-17" || !policy["Statement"].is_array() {
            return Err(format!("not a policy: {policy}"));
        }
        *self.sessions.asked.entry((account.clone(), name.clone())).or_default() += 1;
        if self.setting.denied.contains(&account) {
            return Ok(denied(&account, &name));
        }
        let access_key = format!("ASIA{account}{:04}", self.sessions.opened.len());
        let expires_at = self.clock.now().plus(Span::from_seconds(duration));
        let answer = xml(
            200,
            &format!(
                "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult>\
                 <AssumedRoleUser><Arn>arn:aws:sts::{account}:assumed-role/{ROLE}/{name}</Arn>\
                 <AssumedRoleId>AROA{account}:{name}</AssumedRoleId></AssumedRoleUser>\
                 <Credentials><AccessKeyId>{access_key}</AccessKeyId><SecretAccessKey>secret</SecretAccessKey>\
                 <SessionToken>{}</SessionToken><Expiration>{expires_at}</Expiration></Credentials>\
                 <PackedPolicySize>12</PackedPolicySize></AssumeRoleResult>\
                 <ResponseMetadata><RequestId>0</RequestId></ResponseMetadata></AssumeRoleResponse>",
                session_token(&access_key)
            ),
        );
        self.sessions.opened.push(Session { account, name, access_key, policy, expires_at });
        Ok(answer)
    }
}

fn xml(status: u16, body: &str) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_raw(body, "text/xml")
}

fn denied(account: &str, name: &str) -> ResponseTemplate {
    let message = format!(
        "User: arn:aws:sts::{}:assumed-role/manifold-deploy/manifold-deploy is not authorized to perform: \
         sts:AssumeRole on resource: arn:aws:iam::{account}:role/{ROLE} ({name})",
        super::HUB_ACCOUNT
    );
    xml(
        403,
        &format!(
            "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>\
             <Code>AccessDenied</Code><Message>{message}</Message></Error><RequestId>0</RequestId></ErrorResponse>"
        ),
    )
}
