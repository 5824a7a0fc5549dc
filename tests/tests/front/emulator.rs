//! What stands behind the front here: as much of STS and IAM as the front asks for, and a record of what was passed on.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use manifold_aws::clock::SystemClock;
use manifold_core::time::Span;
use manifold_ports::clock::Clock;
use reqwest::Url;
use serde_json::Value;

/// A request that arrived.
#[derive(Debug, Clone)]
pub(crate) struct Arrived {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Arrived {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn form(&self) -> BTreeMap<String, String> {
        let mut url = Url::parse("http://localhost/").unwrap();
        url.set_query(Some(std::str::from_utf8(&self.body).unwrap_or_default()));
        url.query_pairs().into_owned().collect()
    }
}

#[derive(Debug, Default)]
struct Known {
    arrived: Vec<Arrived>,
    /// Accounts by access key.
    keys: BTreeMap<String, String>,
    /// Role ARN and action.
    allowed: BTreeSet<(String, String)>,
    denied: BTreeSet<(String, String)>,
}

/// The emulator. Its server ends with the runtime of the test.
#[derive(Debug, Clone)]
pub(crate) struct Emulator {
    address: SocketAddr,
    known: Arc<Mutex<Known>>,
}

impl Emulator {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let emulator = Self { address: listener.local_addr().unwrap(), known: Arc::default() };
        let app = Router::new().fallback(answer).with_state(emulator.clone());
        tokio::spawn(async { axum::serve(listener, app).await.unwrap() });
        emulator
    }

    pub(crate) fn uri(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The role's policies allow it on every pipeline.
    pub(crate) fn allow(&self, role: &str, action: &str) {
        self.allow_action(role, &format!("codepipeline:{action}"));
    }

    /// The role's policies allow it on everything: an action with its service.
    pub(crate) fn allow_action(&self, role: &str, action: &str) {
        self.known.lock().unwrap().allowed.insert((role.to_owned(), action.to_owned()));
    }

    /// The role's policies deny it.
    pub(crate) fn deny(&self, role: &str, action: &str) {
        self.known.lock().unwrap().denied.insert((role.to_owned(), format!("codepipeline:{action}")));
    }

    /// Somebody has this access key.
    pub(crate) fn key(&self, key: &str, account: &str) {
        self.known.lock().unwrap().keys.insert(key.to_owned(), account.to_owned());
    }

    /// What arrived of an operation of a query service, or of a service.
    pub(crate) fn arrived(&self, what: &str) -> Vec<Arrived> {
        let known = self.known.lock().unwrap();
        let is_it = |arrived: &&Arrived| {
            arrived.form().get("Action").is_some_and(|action| action == what)
                || arrived.header("authorization").contains(&format!("/{what}/aws4_request"))
        };
        known.arrived.iter().filter(is_it).cloned().collect()
    }
}

async fn answer(State(emulator): State<Emulator>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let arrived = Arrived {
        method: parts.method.to_string(),
        target: parts.uri.to_string(),
        headers: parts.headers,
        body: to_bytes(body, usize::MAX).await.unwrap(),
    };
    let form = arrived.form();
    let mut known = emulator.known.lock().unwrap();
    known.arrived.push(arrived);
    let field = |name: &str| form.get(name).cloned().unwrap_or_default();
    let xml = |operation: &str, result: &str| {
        let body = format!(
            "<{operation}Response><{operation}Result>{result}</{operation}Result>\
             <ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></{operation}Response>"
        );
        ([("content-type", "text/xml"), ("x-marked", "by the emulator")], body).into_response()
    };
    let evaluated = |operation: &str, decision: &str| {
        let (action, resource) = (field("ActionNames.member.1"), field("ResourceArns.member.1"));
        let result = format!(
            "<EvaluationResults><member><EvalActionName>{action}</EvalActionName>\
             <EvalResourceName>{resource}</EvalResourceName><EvalDecision>{decision}</EvalDecision></member>\
             </EvaluationResults><IsTruncated>false</IsTruncated>"
        );
        xml(operation, &result)
    };
    match field("Action").as_str() {
        "AssumeRole" => {
            let (role, name) = (field("RoleArn"), field("RoleSessionName"));
            let account = role.split(':').nth(4).unwrap().to_owned();
            let short = role.rsplit('/').next().unwrap();
            let number = known.arrived.len();
            let ends = SystemClock.now().plus(Span::from_seconds(field("DurationSeconds").parse().unwrap_or(3600)));
            let result = format!(
                "<AssumedRoleUser><Arn>arn:aws:sts::{account}:assumed-role/{short}/{name}</Arn>\
                 <AssumedRoleId>AROA:{name}</AssumedRoleId></AssumedRoleUser><Credentials>\
                 <AccessKeyId>ASIASESSION{number:09}</AccessKeyId><SecretAccessKey>secret</SecretAccessKey>\
                 <SessionToken>token/{number}+=&amp;</SessionToken><Expiration>{ends}</Expiration></Credentials>"
            );
            xml("AssumeRole", &result)
        }
        "GetAccessKeyInfo" => match known.keys.get(&field("AccessKeyId")) {
            Some(account) => xml("GetAccessKeyInfo", &format!("<Account>{account}</Account>")),
            None => {
                let body = "<ErrorResponse><Error><Type>Sender</Type><Code>ValidationError</Code>\
                            <Message>Access key ID is not valid.</Message></Error></ErrorResponse>";
                (StatusCode::BAD_REQUEST, body).into_response()
            }
        },
        "SimulatePrincipalPolicy" => {
            let asked = (field("PolicySourceArn"), field("ActionNames.member.1"));
            let decision = match (known.denied.contains(&asked), known.allowed.contains(&asked)) {
                (true, _) => "explicitDeny",
                (false, true) => "allowed",
                (false, false) => "implicitDeny",
            };
            evaluated("SimulatePrincipalPolicy", decision)
        }
        "SimulateCustomPolicy" => {
            let policy: Value = serde_json::from_str(&field("PolicyInputList.member.1")).unwrap();
            let statement = &policy["Statement"][0];
            let action = field("ActionNames.member.1");
            let is_listed = statement["Action"].as_array().unwrap().iter().any(|listed| *listed == action);
            let resource = field("ResourceArns.member.1");
            let pattern = statement["Resource"].as_str().unwrap();
            let (before, after) = pattern.split_once('*').unwrap_or((pattern, ""));
            let fits = resource.starts_with(before) && resource.ends_with(after);
            evaluated("SimulateCustomPolicy", if is_listed && fits { "allowed" } else { "implicitDeny" })
        }
        _ => (StatusCode::OK, [("x-marked", "by the emulator")], "passed on").into_response(),
    }
}
