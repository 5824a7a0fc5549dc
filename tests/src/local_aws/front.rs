//! What stands before the emulator of the local AWS: one HTTP server, to which `AWS_ENDPOINT_URL_CODEPIPELINE`, those of
//! the other engines, `AWS_ENDPOINT_URL_STS` and the base URL of Slack point.
//!
//! It plays CodePipeline, CodeBuild and CodeDeploy, which the emulator lacks, the stacks of CloudFormation that a story
//! declares, because the emulator tells no events of its own, and Slack. Everything else is passed on as it is, and what
//! STS answers is remembered: whoever calls what is played later is known by the session, and may do what the emulator's
//! IAM says that the role *and* the session policy allow.
//!
//! One front serves many tests at once. All state, faults and counts belong to an account, or to a workspace of Slack,
//! and no two tests share one.
//!
//! | module | holds |
//! |---|---|
//! | [`codepipeline`] | CodePipeline: pipelines that a test defines, and moves |
//! | `dynamodb` | how DynamoDB throttles |
//! | [`hazards`] | what befalls the calls of a story's functions, drawn from a seed: throttling, lost answers, death |
//! | [`faults`] | throttling, answers that are lost or kept back, Regions that are not enabled |
//! | [`identity`] | whose credentials signed a request |
//! | `upstream` | the emulator: forwarding, and what it is asked itself |

pub mod codepipeline;
mod dynamodb;
pub mod faults;
pub mod hazards;
pub mod identity;
mod upstream;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use manifold_aws::clock::SystemClock;
use manifold_core::ids::TargetKey;
use manifold_ports::clock::Clock;
use reqwest::Url;
use serde_json::Value;
use tokio::sync::oneshot;

use self::codepipeline::{Call, Pipelines, Refusal};
use self::faults::{Fault, Faults, Lost};
use self::hazards::{Hazard, Hazards, Met};
use self::identity::{Caller, Sessions};
use self::upstream::{Decision, Upstream};
use crate::local_aws::processes::{self, Process};
use crate::wire::engines::{self, Engines, Need};
use crate::wire::signature::{Scope, scope};
use crate::wire::{json_error, slack, uuid};

/// The account under which calls are counted whose caller nobody knows.
pub const NOBODY: &str = "unknown";

/// The server. It runs on a thread of its own for as long as this lives.
#[derive(Debug)]
pub struct Front {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    address: SocketAddr,
    upstream: Upstream,
    pipelines: Pipelines,
    engines: Mutex<Engines>,
    faults: Faults,
    hazards: Hazards,
    sessions: Sessions,
    workspaces: Mutex<BTreeMap<String, slack::Workspace>>,
    calls: Mutex<BTreeMap<String, BTreeMap<String, u64>>>,
    refusals: Mutex<BTreeMap<String, Vec<String>>>,
    troubles: Mutex<Vec<String>>,
    /// The policies of buses, by the bus's ARN.
    policies: Mutex<BTreeMap<String, Value>>,
}

/// A workspace of Slack. Clones mean the same one.
#[derive(Debug, Clone)]
pub struct Slack {
    shared: Arc<Shared>,
    name: String,
    base: String,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Front {
    /// Starts a server on a free port of the loop-back interface, before an emulator at this URL, such as
    /// `http://127.0.0.1:4566`.
    ///
    /// # Panics
    /// There is no port or no thread.
    #[must_use]
    pub fn start(aws_url: &str) -> Self {
        Self::start_on(aws_url, 0)
    }

    /// The same on a port of choice, for an emulator that must know it beforehand.
    ///
    /// # Panics
    /// The port is taken.
    #[must_use]
    pub fn start_on(aws_url: &str, port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("the front's port is free");
        listener.set_nonblocking(true).expect("a socket that does not block");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            address,
            upstream: Upstream::new(aws_url),
            pipelines: Pipelines::default(),
            engines: Mutex::default(),
            faults: Faults::default(),
            hazards: Hazards::default(),
            sessions: Sessions::default(),
            workspaces: Mutex::default(),
            calls: Mutex::default(),
            refusals: Mutex::default(),
            troubles: Mutex::default(),
            policies: Mutex::default(),
        });
        let (stop, stopped) = oneshot::channel::<()>();
        let state = Arc::clone(&shared);
        let serve = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                let app = Router::new().fallback(respond).with_state(state);
                let app = app.into_make_service_with_connect_info::<SocketAddr>();
                tokio::select! {
                    served = axum::serve(listener, app) => served.expect("a server that serves"),
                    // Stopped, or dropped: the same.
                    _ = stopped => {}
                }
            });
        };
        let thread = std::thread::Builder::new().name("front".to_owned()).spawn(serve).expect("a thread");
        Self { address, shared, stop: Some(stop), thread: Some(thread) }
    }

    /// Its URL, without a slash at the end.
    #[must_use]
    pub fn uri(&self) -> String {
        format!("http://{}", self.address)
    }

    /// CodePipeline.
    #[must_use]
    pub fn pipelines(&self) -> &Pipelines {
        &self.shared.pipelines
    }

    /// CodeBuild, CodeDeploy, and the stacks of CloudFormation that a story declares. Looks at them, or changes them.
    pub fn engines<T>(&self, look: impl FnOnce(&mut Engines) -> T) -> T {
        look(&mut lock(&self.shared.engines))
    }

    /// Moves every build, deployment and stack in these accounts by one step, as [`Pipelines::advance`] does. Says how
    /// many moved.
    pub fn advance_engines(&self, accounts: &[&str]) -> usize {
        let step =
            |account: &&str| self.engines(|engines| engines.step(&[*account], self.shared.pipelines.now(account)));
        accounts.iter().map(step).sum()
    }

    /// What goes wrong on request.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// What befalls the calls of a story's functions.
    #[must_use]
    pub fn hazards(&self) -> &Hazards {
        &self.shared.hazards
    }

    /// Lets a bus tell its policy: the emulator takes one from a template and forgets it.
    pub fn tell_bus_policy(&self, bus_arn: &str, policy: &Value) {
        lock(&self.shared.policies).insert(bus_arn.to_owned(), policy.clone());
    }

    /// The role sessions that STS has opened through this front, and the functions that it knows.
    #[must_use]
    pub fn sessions(&self) -> &Sessions {
        &self.shared.sessions
    }

    /// A workspace of Slack, made when it is first asked for. `name` becomes part of a path: letters, digits and
    /// dashes.
    #[must_use]
    pub fn slack(&self, name: &str) -> Slack {
        let base = format!("{}/slack/{name}", self.uri());
        let slack = Slack { shared: Arc::clone(&self.shared), name: name.to_owned(), base };
        let token = format!("xoxb-{name}");
        lock(&slack.shared.workspaces).entry(name.to_owned()).or_insert_with(|| slack::Workspace::new(&token));
        slack
    }

    /// How often each operation was called with credentials of an account, by `service.operation`; what was throttled
    /// and refused is counted too.
    #[must_use]
    pub fn calls(&self, account: &str) -> BTreeMap<String, u64> {
        lock(&self.shared.calls).get(account).cloned().unwrap_or_default()
    }

    /// What CodePipeline and the engines have refused to callers of an account, in order: `service.operation: code: message`. Faults on
    /// request are not among them.
    #[must_use]
    pub fn refusals(&self, account: &str) -> Vec<String> {
        lock(&self.shared.refusals).get(account).cloned().unwrap_or_default()
    }

    /// What went wrong with the front itself: an emulator that did not answer. A test that sees any proves nothing.
    #[must_use]
    pub fn troubles(&self) -> Vec<String> {
        lock(&self.shared.troubles).clone()
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // The receiver is gone if the server has ended by itself, and the join below tells.
            let _gone = stop.send(());
        }
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(!matches!(ended, Some(Err(_))) || std::thread::panicking(), "the front's server has panicked");
    }
}

impl Slack {
    /// The base of the Web API: `MANIFOLD_SLACK_URL`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}/api", self.base)
    }

    /// Makes an incoming webhook for a channel's id, and returns its URL. `secret` is the last part of the path.
    #[must_use]
    pub fn hook(&self, secret: &str, channel: &str) -> String {
        let path = Self::hook_path(secret);
        self.with(|workspace| workspace.hook(&path, channel));
        format!("{}{path}", self.base)
    }

    /// Revokes a webhook.
    pub fn revoke_hook(&self, secret: &str) {
        self.with(|workspace| workspace.revoke_hook(&Self::hook_path(secret)));
    }

    fn hook_path(secret: &str) -> String {
        format!("/services/T0123456789/B0123456789/{secret}")
    }

    /// Looks at the workspace, or changes it.
    pub fn with<T>(&self, look: impl FnOnce(&mut slack::Workspace) -> T) -> T {
        let mut workspaces = lock(&self.shared.workspaces);
        look(workspaces.get_mut(&self.name).expect("a workspace that was asked for stays"))
    }

    /// All messages, in the order in which they were posted, with their edits.
    #[must_use]
    pub fn messages(&self) -> Vec<slack::Message> {
        self.with(|workspace| workspace.messages().to_vec())
    }
}

/// A request as it came.
struct Asked {
    parts: Parts,
    body: Bytes,
}

async fn respond(
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let asked = match to_bytes(body, usize::MAX).await {
        Ok(body) => Asked { parts, body },
        // Whoever hangs up in the middle gets no answer.
        Err(_) => return connection_closed(),
    };
    let caller = shared.hazards.are_there().then(|| processes::at(peer, shared.address)).flatten();
    match caller {
        Some(process) => shared.answer_in_danger(asked, &process).await,
        None => shared.answer(asked).await,
    }
}

impl Shared {
    async fn answer(&self, asked: Asked) -> Response {
        if let Some(path) = asked.parts.uri.path().strip_prefix("/slack/") {
            return self.slack(&asked, path);
        }
        match scope(text(&asked.parts.headers, header::AUTHORIZATION.as_str())) {
            Ok(scope) => self.aws(asked, scope).await,
            Err(why) => {
                let message = format!("Missing Authentication Token: {why}");
                asked.error(StatusCode::FORBIDDEN, "MissingAuthenticationTokenException", &message)
            }
        }
    }

    /// Answers a function whose story has hazards.
    async fn answer_in_danger(&self, asked: Asked, process: &Process) -> Response {
        let (operation, headers, body) = (asked.name(), asked.parts.headers.clone(), asked.body.clone());
        let met = Met { process, operation: &operation, headers: &headers, body: &body };
        let posted = |workspace: &str| self.first_message(workspace);
        let hazard = self.hazards.meet(met, posted);
        match hazard {
            Some(Hazard::KilledBefore) => {
                process.kill();
                return connection_closed();
            }
            Some(Hazard::Throttled) => return dynamodb::throttled(&operation, &body),
            Some(Hazard::HalfThrottled | Hazard::Unanswered | Hazard::KilledAfter) | None => {}
        }
        let response = self.answer(asked).await;
        if response.status().is_success() {
            self.hazards.carried_out(met, posted);
        }
        match hazard {
            Some(Hazard::HalfThrottled) if response.status().is_success() => {
                match to_bytes(response.into_body(), usize::MAX).await {
                    Ok(answer) => dynamodb::half_processed(&body, &answer),
                    Err(_) => connection_closed(),
                }
            }
            Some(Hazard::Unanswered) => connection_closed(),
            Some(Hazard::KilledAfter) if self.hazards.dies(met, posted) => {
                process.kill();
                connection_closed()
            }
            Some(Hazard::HalfThrottled | Hazard::Throttled | Hazard::KilledBefore | Hazard::KilledAfter) | None => {
                response
            }
        }
    }

    /// The `ts` of the first message in a workspace.
    fn first_message(&self, workspace: &str) -> Option<String> {
        let workspaces = lock(&self.workspaces);
        Some(workspaces.get(workspace)?.messages().first()?.ts.clone())
    }

    fn slack(&self, asked: &Asked, path: &str) -> Response {
        let (name, path) = path.find('/').map_or((path, ""), |at| path.split_at(at));
        let mut workspaces = lock(&self.workspaces);
        let Some(workspace) = workspaces.get_mut(name) else {
            return plain(StatusCode::NOT_FOUND, "text/plain", "no_team".to_owned());
        };
        let headers = &asked.parts.headers;
        let answer = workspace.respond(&slack::Request {
            path,
            query: asked.parts.uri.query().unwrap_or_default(),
            authorization: text(headers, header::AUTHORIZATION.as_str()),
            content_type: text(headers, header::CONTENT_TYPE.as_str()),
            body: &asked.body,
            at: SystemClock.now(),
        });
        let kind = if path.starts_with("/api/") { "application/json; charset=utf-8" } else { "text/plain" };
        let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = plain(status, kind, answer.body);
        if let Some(seconds) = answer.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }

    async fn aws(&self, asked: Asked, scope: Scope) -> Response {
        let operation = asked.operation();
        let name = format!("{}.{operation}", scope.service);
        let token = text(&asked.parts.headers, "x-amz-security-token");
        let caller = self.sessions.caller(&self.upstream, &scope.access_key, token).await;
        let account = caller.as_ref().map_or(NOBODY, |caller| caller.account.as_str()).to_owned();
        *lock(&self.calls).entry(account.clone()).or_default().entry(name.clone()).or_default() += 1;
        let fault = self.faults.decide(&account, &name);
        let held_for = account.clone();
        let lost = match fault {
            Some(Fault::Throttled) => return asked.throttled(),
            Some(Fault::Lost(lost)) => Some(lost),
            None => None,
        };
        let response = if scope.service == "codepipeline" {
            let answered = match caller {
                Ok(_) if self.faults.is_disabled(&account, &scope.region) => Err(identity::invalid_token()),
                Ok(caller) => self.codepipeline(&caller, &scope, &operation, &asked.body).await,
                Err(refusal) => Err(refusal),
            };
            match answered {
                Ok(body) => plain(StatusCode::OK, "application/x-amz-json-1.1", body.to_string()),
                Err(Refusal { code, message }) => {
                    let refusal = format!("{name}: {code}: {message}");
                    if code == INTERNAL {
                        lock(&self.troubles).push(refusal);
                        asked.error(StatusCode::INTERNAL_SERVER_ERROR, &code, &message)
                    } else {
                        lock(&self.refusals).entry(account).or_default().push(refusal);
                        asked.error(StatusCode::BAD_REQUEST, &code, &message)
                    }
                }
            }
        } else if self.plays(&account, &scope, &operation, &asked) {
            let answered = match caller {
                Ok(_) if self.faults.is_disabled(&account, &scope.region) => Err(identity::invalid_token()),
                Ok(caller) => self.engine(&caller, &scope, &operation, &asked.body).await,
                Err(refusal) => Err(refusal),
            };
            let reply = match answered {
                Ok(reply) if reply.is_lost => return connection_closed(),
                Ok(reply) => reply,
                Err(Refusal { code, message }) => {
                    lock(&self.refusals).entry(account).or_default().push(format!("{name}: {code}: {message}"));
                    // Query services call it by its short name.
                    let code = if asked.is_form() { code.trim_end_matches("Exception") } else { &code };
                    return asked.error(StatusCode::BAD_REQUEST, code, &message);
                }
            };
            if let Some((code, message)) = &reply.error {
                let refusal = format!("{name}: {code}: {message}");
                if reply.is_violation {
                    lock(&self.troubles).push(refusal.clone());
                }
                lock(&self.refusals).entry(account).or_default().push(refusal);
            }
            let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            plain(status, reply.content_type, reply.body)
        } else if scope.service != "sts" && self.faults.is_disabled(&account, &scope.region) {
            let Refusal { code, message } = identity::invalid_token();
            asked.error(StatusCode::BAD_REQUEST, &code, &message)
        } else {
            match self.upstream.forward(&asked.parts, asked.body.clone()).await {
                Ok((response, body)) => {
                    if name == "sts.AssumeRole" && response.status().is_success() {
                        self.sessions.opened(&form(&asked.body), &String::from_utf8_lossy(&body));
                    }
                    match self.with_policy(&name, &body) {
                        Some(told) => plain(StatusCode::OK, "application/x-amz-json-1.1", told),
                        None => response,
                    }
                }
                Err(why) => {
                    lock(&self.troubles).push(format!("{name}: {why}"));
                    asked.error(StatusCode::BAD_GATEWAY, INTERNAL, &why)
                }
            }
        };
        if let Some(gate) = self.faults.gate(&held_for, &name) {
            gate.wait().await;
        }
        match lost {
            None => response,
            Some(Lost::Connection) => connection_closed(),
            Some(Lost::ToServerError) => {
                asked.error(StatusCode::INTERNAL_SERVER_ERROR, INTERNAL, "The request processing has failed.")
            }
        }
    }

    /// A described bus with the policy that the emulator forgot.
    fn with_policy(&self, operation: &str, body: &[u8]) -> Option<String> {
        let mut bus: Value = serde_json::from_slice(body).ok().filter(|_| operation == "events.DescribeEventBus")?;
        let policy = lock(&self.policies).get(bus["Arn"].as_str()?)?.to_string();
        bus["Policy"] = Value::String(policy);
        Some(bus.to_string())
    }

    async fn codepipeline(
        &self,
        caller: &Caller,
        scope: &Scope,
        operation: &str,
        body: &Bytes,
    ) -> Result<Value, Refusal> {
        let body: Value = serde_json::from_slice(body)
            .map_err(|error| Refusal::new("SerializationException", &format!("the body is not JSON: {error}")))?;
        let call =
            Call { account: &caller.account, region: &scope.region, operation, caller: &caller.arn, body: &body };
        let Some(need) = Pipelines::need(&call) else {
            return Err(Pipelines::check(&call)
                .err()
                .unwrap_or_else(|| Refusal::new("ValidationException", "the request does not name what it is about")));
        };
        self.authorize(caller, &need).await?;
        self.pipelines.call(&call)
    }

    /// Whether a call is of an engine that is played here: of CloudFormation only what is about a declared stack.
    fn plays(&self, account: &str, scope: &Scope, operation: &str, asked: &Asked) -> bool {
        if !Engines::serves(&scope.service) {
            return false;
        }
        let Some(place) = place(account, &scope.region) else { return scope.service != "cloudformation" };
        let call = engines::Call {
            place: &place,
            caller: "",
            service: &scope.service,
            operation,
            body: &asked.body,
            now: self.pipelines.now(account),
        };
        scope.service != "cloudformation" || lock(&self.engines).has_stack(&call)
    }

    async fn engine(
        &self,
        caller: &Caller,
        scope: &Scope,
        operation: &str,
        body: &Bytes,
    ) -> Result<engines::Reply, Refusal> {
        let place = place(&caller.account, &scope.region).ok_or_else(identity::invalid_token)?;
        let now = self.pipelines.now(&caller.account);
        let call = engines::Call { place: &place, caller: &caller.arn, service: &scope.service, operation, body, now };
        let needs = lock(&self.engines).needs(&call);
        for need in &needs {
            self.authorize(caller, need).await?;
        }
        Ok(lock(&self.engines).answer(&call))
    }

    /// The role and the session's policy must both allow it (IAM User Guide, "Policy evaluation logic").
    async fn authorize(&self, caller: &Caller, need: &Need) -> Result<(), Refusal> {
        let internal = |why: String| Refusal::new(INTERNAL, &why);
        let mut decisions = Vec::new();
        if let Some(role) = &caller.role_arn {
            let decision = self.upstream.role_allows(&caller.account, role, need).await.map_err(internal)?;
            decisions.push(("identity-based", decision));
        }
        if let Some(policy) = &caller.session_policy {
            let decision = self.upstream.policy_allows(&caller.account, policy, need).await.map_err(internal)?;
            decisions.push(("session", decision));
        }
        let Need { action, resource } = need;
        let user = format!("User: {} is not authorized to perform: {action} on resource: {resource}", caller.arn);
        let explicit = decisions.iter().find(|(_, decision)| *decision == Decision::Denied);
        let implicit = decisions.iter().find(|(_, decision)| *decision == Decision::NotAllowed);
        let message = match (explicit, implicit) {
            (None, None) => return Ok(()),
            (Some((kind, _)), _) => format!("{user} with an explicit deny in {} {kind} policy", article(kind)),
            (None, Some((kind, _))) => format!("{user} because no {kind} policy allows the {action} action"),
        };
        Err(Refusal::new("AccessDeniedException", &message))
    }
}

/// The code of what is the front's own fault.
const INTERNAL: &str = "InternalFailure";

fn place(account: &str, region: &str) -> Option<TargetKey> {
    Some(TargetKey { account: account.parse().ok()?, region: region.parse().ok()? })
}

fn article(word: &str) -> &'static str {
    if word.starts_with('i') { "an" } else { "a" }
}

impl Asked {
    fn is_form(&self) -> bool {
        text(&self.parts.headers, header::CONTENT_TYPE.as_str()).starts_with("application/x-www-form-urlencoded")
    }

    /// `service.operation`: `dynamodb.PutItem`, `slack.chat.postMessage`.
    fn name(&self) -> String {
        let path = self.parts.uri.path();
        if path.starts_with("/slack/") {
            return format!("slack.{}", path.rsplit('/').next().unwrap_or_default());
        }
        let scope = scope(text(&self.parts.headers, header::AUTHORIZATION.as_str()));
        format!("{}.{}", scope.map_or_else(|_| NOBODY.to_owned(), |scope| scope.service), self.operation())
    }

    /// The operation: as the target says, as `Action` says, or, of a REST API, the method.
    fn operation(&self) -> String {
        let target = text(&self.parts.headers, "x-amz-target");
        if let Some((_, operation)) = target.rsplit_once('.') {
            return operation.to_owned();
        }
        let mut fields = if self.is_form() { form(&self.body) } else { BTreeMap::new() };
        fields.extend(form(self.parts.uri.query().unwrap_or_default().as_bytes()));
        fields.remove("Action").unwrap_or_else(|| self.parts.method.to_string())
    }

    /// Query services call it `Throttling`, JSON services `ThrottlingException` ("Common Errors" of each).
    fn throttled(&self) -> Response {
        let code = if self.is_form() { "Throttling" } else { "ThrottlingException" };
        self.error(StatusCode::BAD_REQUEST, code, "Rate exceeded")
    }

    /// An error in the protocol of the request.
    fn error(&self, status: StatusCode, code: &str, message: &str) -> Response {
        let id = uuid(&SystemClock.nonce());
        let mut response = if self.is_form() {
            let escaped = message.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            let kind = if status.is_server_error() { "Receiver" } else { "Sender" };
            let body = format!(
                "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>{kind}</Type>\
                 <Code>{code}</Code><Message>{escaped}</Message></Error><RequestId>{id}</RequestId></ErrorResponse>"
            );
            plain(status, "text/xml", body)
        } else {
            let kind = text(&self.parts.headers, header::CONTENT_TYPE.as_str());
            let kind = if kind.is_empty() { "application/x-amz-json-1.1" } else { kind };
            plain(status, kind, json_error(code, message).to_string())
        };
        if let Ok(id) = id.parse() {
            response.headers_mut().insert("x-amzn-requestid", id);
        }
        response
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// The fields of a form.
fn form(text: &[u8]) -> BTreeMap<String, String> {
    let Ok(mut url) = Url::parse("http://localhost/") else { return BTreeMap::new() };
    url.set_query(Some(&String::from_utf8_lossy(text)));
    url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}

fn plain(status: StatusCode, kind: &str, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    if let Ok(kind) = kind.parse() {
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    response
}

/// An answer that never arrives: a body that fails before its first byte makes the server hang up.
fn connection_closed() -> Response {
    let fails = futures::stream::once(async { Err::<Bytes, _>(std::io::Error::other("the answer is lost")) });
    Response::new(Body::from_stream(fails))
}
