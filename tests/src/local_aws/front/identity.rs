//! Whose credentials signed a request.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use manifold_aws::clock::SystemClock;
use manifold_core::time::Timestamp;
use manifold_ports::clock::Clock;
use sha2::{Digest, Sha256};

use super::codepipeline::Refusal;
use super::upstream::Upstream;

/// A role session that STS has opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The account that the role is in.
    pub account: String,
    /// The role's ARN, as `AssumeRole` was given it.
    pub role_arn: String,
    /// The session's name.
    pub name: String,
    /// `arn:aws:sts::<account>:assumed-role/<role>/<name>`.
    pub arn: String,
    /// The session policy, if there is one.
    pub policy: Option<String>,
    /// Its access key.
    pub access_key: String,
    /// When it ends.
    pub expires_at: Timestamp,
    token: String,
}

/// A Lambda function with its role.
#[derive(Debug, Clone)]
struct Function {
    account: String,
    role_arn: String,
    arn: String,
    token: String,
}

/// The sessions and functions that are known. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Sessions(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    /// In the order in which they were opened.
    sessions: Vec<Session>,
    functions: BTreeMap<String, Function>,
    /// The accounts of keys that the emulator was asked about.
    accounts: BTreeMap<String, String>,
}

/// Who calls, and by what the call is to be judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Caller {
    pub(super) account: String,
    pub(super) arn: String,
    /// `None` for root, who may do all, and for those whose role nobody told.
    pub(super) role_arn: Option<String>,
    pub(super) session_policy: Option<String>,
}

/// What a key is that nobody knows ("Common Errors", `UnrecognizedClientException`).
pub(super) fn invalid_token() -> Refusal {
    Refusal::new("UnrecognizedClientException", "The security token included in the request is invalid.")
}

fn expired_token() -> Refusal {
    Refusal::new("ExpiredTokenException", "The security token included in the request is expired")
}

impl Sessions {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells of a function that the emulator runs, so that its calls are judged by its role. The emulator (ministack
    /// 1.5.33) derives a function's credentials from both ARNs.
    pub fn know_function(&self, function_arn: &str, role_arn: &str) {
        let digest = hex(&format!("{function_arn}:{role_arn}"));
        let key = format!("ASIA{}", digest.get(..16).unwrap_or_default().to_uppercase());
        let account = role_arn.split(':').nth(4).unwrap_or_default().to_owned();
        let name = function_arn.rsplit(':').next().unwrap_or_default();
        let function = Function {
            arn: session_arn(&account, role_arn, name),
            account,
            role_arn: role_arn.to_owned(),
            token: hex(&format!("token:{digest}")),
        };
        self.lock().functions.insert(key, function);
    }

    /// The sessions that were opened in an account, in order.
    #[must_use]
    pub fn in_account(&self, account: &str) -> Vec<Session> {
        self.lock().sessions.iter().filter(|session| session.account == account).cloned().collect()
    }

    /// Ends all sessions of an account that are open now.
    pub fn expire(&self, account: &str) {
        let now = SystemClock.now();
        for session in self.lock().sessions.iter_mut().filter(|session| session.account == account) {
            session.expires_at = session.expires_at.min(now);
        }
    }

    /// Remembers what `AssumeRole` has answered.
    pub(super) fn opened(&self, request: &BTreeMap<String, String>, answer: &str) {
        let (Some(access_key), Some(token), Some(arn), Some(role_arn)) = (
            element(answer, "AccessKeyId"),
            element(answer, "SessionToken"),
            element(answer, "Arn"),
            request.get("RoleArn").cloned(),
        ) else {
            return;
        };
        let session = Session {
            account: role_arn.split(':').nth(4).unwrap_or_default().to_owned(),
            role_arn,
            name: request.get("RoleSessionName").cloned().unwrap_or_default(),
            arn,
            policy: request.get("Policy").cloned(),
            access_key,
            expires_at: element(answer, "Expiration")
                .and_then(|at| Timestamp::parse_rfc3339(&at))
                .unwrap_or(Timestamp::from_millis(i64::MAX)),
            token,
        };
        self.lock().sessions.push(session);
    }

    /// Whose key this is: a session's, a known function's, an account's root (the emulator's root keys are the
    /// account's id), or else what the emulator says.
    pub(super) async fn caller(&self, upstream: &Upstream, key: &str, token: &str) -> Result<Caller, Refusal> {
        if let Some(known) = self.known(key, token) {
            return known;
        }
        let account = upstream.account_of(key).await.map_err(|why| Refusal::new(super::INTERNAL, &why))?;
        let account = account.ok_or_else(invalid_token)?;
        self.lock().accounts.insert(key.to_owned(), account.clone());
        Ok(nameless(account))
    }

    fn known(&self, key: &str, token: &str) -> Option<Result<Caller, Refusal>> {
        let known = self.lock();
        if let Some(session) = known.sessions.iter().find(|session| session.access_key == key) {
            return Some(if token != session.token {
                Err(invalid_token())
            } else if session.expires_at <= SystemClock.now() {
                Err(expired_token())
            } else {
                Ok(Caller {
                    account: session.account.clone(),
                    arn: session.arn.clone(),
                    role_arn: Some(session.role_arn.clone()),
                    session_policy: session.policy.clone(),
                })
            });
        }
        if let Some(function) = known.functions.get(key) {
            return Some(if token == function.token {
                Ok(Caller {
                    account: function.account.clone(),
                    arn: function.arn.clone(),
                    role_arn: Some(function.role_arn.clone()),
                    session_policy: None,
                })
            } else {
                Err(invalid_token())
            });
        }
        if key.len() == 12 && key.bytes().all(|byte| byte.is_ascii_digit()) {
            let arn = format!("arn:aws:iam::{key}:root");
            return Some(Ok(Caller { account: key.to_owned(), arn, role_arn: None, session_policy: None }));
        }
        known.accounts.get(key).cloned().map(|account| Ok(nameless(account)))
    }
}

/// Somebody of whom only the account is known.
fn nameless(account: String) -> Caller {
    let arn = format!("arn:aws:sts::{account}:assumed-role/unknown/unknown");
    Caller { account, arn, role_arn: None, session_policy: None }
}

fn session_arn(account: &str, role_arn: &str, name: &str) -> String {
    let role = role_arn.rsplit('/').next().unwrap_or_default();
    format!("arn:aws:sts::{account}:assumed-role/{role}/{name}")
}

/// The text of the first element of this name.
fn element(xml: &str, name: &str) -> Option<String> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    Some(text.trim().replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&"))
}

fn hex(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().fold(String::new(), |mut hex, byte| {
        let _infallible = write!(hex, "{byte:02x}");
        hex
    })
}
