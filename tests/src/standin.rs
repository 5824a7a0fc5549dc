//! AWS and Slack over HTTP, as far as the adapters use them, and not a step further.
//!
//! One server answers for every service, account and Region. It keeps state, so that what was written is read back and
//! what was started ends. It is strict: a request that it does not understand, down to an unknown field of a body, is
//! answered with a loud 400 and remembered as a violation, over which the story fails.
//!
//! | module | answers as | by |
//! |---|---|---|
//! | `dynamodb` | DynamoDB, one table | DynamoDB API reference |
//! | `sqs` | SQS, four queues | SQS API reference |
//! | `sts` | STS `AssumeRole` | STS API reference |
//! | `codepipeline` | CodePipeline in the hub and in every target | CodePipeline API reference and User Guide |
//! | `engines` | CodeBuild, CodeDeploy and CloudFormation in every target | see [`crate::wire::engines`] |
//! | `objects` | S3, one object at a time | S3 API reference, `GetObject` |
//! | `secrets` | Secrets Manager and Parameter Store | their API references |
//! | `slack` | Slack's Web API and incoming webhooks | docs.slack.dev |

pub mod codepipeline;
pub(crate) mod dynamodb;
mod engines;
mod events;
mod objects;
mod secrets;
pub mod slack;
mod sqs;
pub mod sts;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_config::Region;
use aws_credential_types::Credentials;
use manifold_aws::clients::{self, Clients};
use manifold_aws::clock::SystemClock;
use manifold_core::engine::Service;
use manifold_core::ids::{Nonce, TargetKey};
use manifold_core::message::Queue;
use manifold_core::time::{Span, Timestamp};
use manifold_local::behaviour::Behaviours;
use manifold_ports::clock::Clock;
use serde_json::{Map, Value, json};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

use crate::wire::engines::Engines;
use crate::wire::signature::{self, Scope};
use crate::wire::slack::Workspace;
use crate::wire::{json_error, uuid_of as uuid};

/// The account that Manifold runs in.
pub const HUB_ACCOUNT: &str = "111122223333";
/// The Region that Manifold runs in.
pub const HUB_REGION: &str = "us-east-1";
/// The ledger's table.
pub const TABLE: &str = "manifold-ledger";
/// The external id that every target role demands.
pub const EXTERNAL_ID: &str = "rollouts-7f3a";
/// The role in every target account.
pub const ROLE: &str = "ManifoldTarget";
/// Slack's bot token, as Secrets Manager holds it: with the line break that an editor leaves.
pub(crate) const BOT_TOKEN: &str = "xoxb-0123-4567-abcdef";

/// A story of the home fleet takes some hundred requests; more than this are a loop.
const MOST_REQUESTS: u64 = 5_000;

const HUB_KEY: &str = "ASIAHUB0000000000000";
const HUB_TOKEN: &str = "hub-session-token";

/// The host's clock, moved on by hand: a wait of ten minutes takes no time, and whoever looks at the clock afterwards
/// sees that it has passed. Clones show the same time.
#[derive(Debug, Clone, Default)]
pub struct SkippingClock(Arc<AtomicI64>);

impl SkippingClock {
    /// Skips what is left until `at`.
    pub fn skip_to(&self, at: Timestamp) {
        let left = at.since(self.now()).as_millis().max(0);
        self.0.fetch_add(left, Ordering::SeqCst);
    }
}

impl Clock for SkippingClock {
    fn now(&self) -> Timestamp {
        SystemClock.now().plus(Span::from_millis(self.0.load(Ordering::SeqCst)))
    }
    fn nonce(&self) -> Nonce {
        SystemClock.nonce()
    }
}

/// What the world is like, before anything happens in it.
#[derive(Debug, Clone, Default)]
pub struct Setting {
    /// What each target's pipeline does.
    pub behaviours: Behaviours,
    /// Accounts whose role nobody may assume.
    pub denied: BTreeSet<String>,
    /// A failing action's own event never arrives: EventBridge gets these events by best effort.
    pub no_action_events: bool,
    /// No event of a target arrives, whatever its engine: most are best effort.
    pub no_events: bool,
    /// The answer to every n-th call that changes something is lost, although the call was carried out.
    pub lose_answers: Option<u64>,
    /// Slack answers this many posts with 429 first.
    pub slack_throttles: u32,
    /// DynamoDB ends a page of a query after this many items; at 1 MiB when not set.
    pub page: Option<usize>,
}

/// A message that was accepted by a queue.
#[derive(Debug, Clone)]
pub struct Mail {
    /// The queue.
    pub queue: Queue,
    /// Its id.
    pub id: String,
    /// What it says.
    pub body: String,
    /// Not to be delivered before.
    pub due: Timestamp,
}

/// An event on its way to the hub.
#[derive(Debug, Clone)]
pub struct Emitted {
    /// As EventBridge hands it over.
    pub body: String,
    /// When it arrives.
    pub due: Timestamp,
}

/// Something that somebody started in a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    /// With what.
    pub service: Service,
    /// Where.
    pub target: TargetKey,
    /// The execution's id, as its events tell it.
    pub id: String,
    /// The caller's ARN.
    pub started_by: String,
}

/// What is answered, or why the request was not understood.
type Answered = Result<ResponseTemplate, String>;

pub(crate) struct State {
    pub(crate) setting: Setting,
    pub(crate) clock: SkippingClock,
    pub(crate) table: dynamodb::Table,
    pub(crate) queues: sqs::Mailboxes,
    pub(crate) sessions: sts::Sessions,
    pub(crate) pipelines: codepipeline::Pipelines,
    pub(crate) engines: Engines,
    pub(crate) objects: objects::Objects,
    pub(crate) slack: Workspace,
    uri: String,
    changes: u64,
    lost: BTreeMap<String, u64>,
    requests: BTreeMap<String, u64>,
    violations: Vec<String>,
}

/// Who calls, as the credential scope of the signature tells.
pub(crate) struct Caller {
    account: String,
    region: String,
    service: String,
    /// The role session, for credentials that were assumed.
    session: Option<sts::Session>,
}

/// The server. It lives as long as this does.
pub struct StandIn {
    server: MockServer,
    state: Arc<Mutex<State>>,
    clock: SkippingClock,
}

impl std::fmt::Debug for StandIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StandIn").field("uri", &self.server.uri()).finish_non_exhaustive()
    }
}

struct Front(Arc<Mutex<State>>);

impl Respond for Front {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        lock(&self.0).respond(request)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl StandIn {
    /// Starts a server of its own.
    pub async fn start(setting: Setting) -> Self {
        // The requests are not recorded: what matters of them is in the state.
        let server = MockServer::builder().disable_request_recording().start().await;
        let clock = SkippingClock::default();
        let state = Arc::new(Mutex::new(State {
            slack: slack::workspace(setting.slack_throttles),
            setting,
            clock: clock.clone(),
            table: dynamodb::Table::default(),
            queues: sqs::Mailboxes::default(),
            sessions: sts::Sessions::default(),
            pipelines: codepipeline::Pipelines::default(),
            engines: Engines::default(),
            objects: objects::Objects::default(),
            uri: server.uri(),
            changes: 0,
            lost: BTreeMap::new(),
            requests: BTreeMap::new(),
            violations: Vec::new(),
        }));
        Mock::given(any()).respond_with(Front(Arc::clone(&state))).mount(&server).await;
        Self { server, state, clock }
    }

    /// The clock that it goes by.
    #[must_use]
    pub fn clock(&self) -> SkippingClock {
        self.clock.clone()
    }

    /// The SDK with the hub's credentials and Region, configured as in production but for the waits between retries.
    pub async fn clients(&self) -> Clients {
        let config = clients::loader()
            .region(Region::new(HUB_REGION))
            .credentials_provider(Credentials::new(HUB_KEY, "hub-secret", Some(HUB_TOKEN.to_owned()), None, "stand-in"))
            .endpoint_url(self.server.uri())
            .retry_config(clients::retries().with_initial_backoff(std::time::Duration::from_millis(1)))
            .load()
            .await;
        Clients::new(config)
    }

    /// Its URL, without a slash at the end: the endpoint of every service.
    #[must_use]
    pub fn url(&self) -> String {
        self.server.uri()
    }

    /// The base of Slack's Web API.
    #[must_use]
    pub fn slack_url(&self) -> String {
        format!("{}{}", self.server.uri(), slack::WEB_API)
    }

    /// The URL of a queue.
    #[must_use]
    pub fn queue_url(&self, queue: Queue) -> String {
        sqs::url(&self.server.uri(), queue)
    }

    /// Takes what was sent to the queues since the last time.
    #[must_use]
    pub fn take_mail(&self) -> Vec<Mail> {
        std::mem::take(&mut lock(&self.state).queues.mail)
    }

    /// Takes the events of all that happened until now and was not taken yet.
    #[must_use]
    pub fn take_events(&self) -> Vec<Emitted> {
        let mut state = lock(&self.state);
        let now = state.clock.now();
        let mut events = state.pipelines.told_until(now);
        events.extend(state.advance_engines());
        events
    }

    /// Looks at CodeBuild, CodeDeploy and CloudFormation, or says what will happen there.
    pub fn engines<T>(&self, look: impl FnOnce(&mut Engines) -> T) -> T {
        look(&mut lock(&self.state).engines)
    }

    /// When the next thing happens by itself in a target.
    #[must_use]
    pub fn next_change(&self) -> Option<Timestamp> {
        let state = lock(&self.state);
        state.engines.next_at().into_iter().chain(state.pipelines.next_at(state.clock.now())).min()
    }

    /// Puts an object into S3.
    pub fn put_object(&self, bucket: &str, key: &str, body: &str) {
        lock(&self.state).objects.put(bucket, key, body);
    }

    /// All that was started in targets by somebody who called, whatever it was started with, in no order.
    #[must_use]
    pub fn started(&self) -> Vec<Started> {
        let state = lock(&self.state);
        let pipelines = state.pipelines.executions.iter().map(|each| Started {
            service: Service::CodePipeline,
            target: each.target.clone(),
            id: each.id.clone(),
            started_by: each.started_by.clone(),
        });
        let builds = state.engines.codebuild.builds().iter().map(|each| Started {
            service: Service::CodeBuild,
            target: each.place.clone(),
            id: each.id.clone(),
            started_by: each.started_by.clone(),
        });
        let stacks = state.engines.cloudformation.executions().iter().map(|each| Started {
            service: Service::CloudFormation,
            target: each.place.clone(),
            id: each.token.clone().unwrap_or_default(),
            started_by: each.started_by.clone(),
        });
        let deployments = state.engines.codedeploy.deployments().iter().filter(|each| each.rolls_back.is_none());
        let deployments = deployments.map(|each| Started {
            service: Service::CodeDeploy,
            target: each.place.clone(),
            id: each.id.clone(),
            started_by: each.started_by.clone(),
        });
        pipelines.chain(builds).chain(stacks).chain(deployments).collect()
    }

    /// What was asked that nobody should ask.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        lock(&self.state).violations.clone()
    }

    /// Every request by service and operation, the SDK's retries and Slack's included.
    #[must_use]
    pub fn requests(&self) -> BTreeMap<String, u64> {
        lock(&self.state).requests.clone()
    }

    /// How many answers were lost, by service and operation.
    #[must_use]
    pub fn lost(&self) -> BTreeMap<String, u64> {
        lock(&self.state).lost.clone()
    }

    /// Every execution that was started in a target, in order.
    #[must_use]
    pub fn executions(&self) -> Vec<codepipeline::Execution> {
        lock(&self.state).pipelines.executions.clone()
    }

    /// Every role session that was opened, in order.
    #[must_use]
    pub fn sessions(&self) -> Vec<sts::Session> {
        lock(&self.state).sessions.opened.clone()
    }

    /// How often a session was asked for, by account and session name, the refused ones included.
    #[must_use]
    pub fn assumed(&self) -> BTreeMap<(String, String), u64> {
        lock(&self.state).sessions.asked.clone()
    }

    /// Every call of Slack that was taken, in order.
    #[must_use]
    pub fn slack_calls(&self) -> Vec<slack::Call> {
        lock(&self.state).slack.calls().to_vec()
    }

    /// Every expression that DynamoDB was given.
    #[must_use]
    pub fn expressions(&self) -> BTreeSet<String> {
        lock(&self.state).table.expressions.clone()
    }

    /// How many runs are still looked after.
    #[must_use]
    pub fn open_runs(&self) -> usize {
        lock(&self.state).table.open_runs()
    }

    /// The ids of the runs in the table.
    #[must_use]
    pub fn runs(&self) -> Vec<String> {
        lock(&self.state).table.runs()
    }
}

impl State {
    fn respond(&mut self, request: &Request) -> ResponseTemplate {
        let operation = operation(request);
        *self.requests.entry(operation.clone()).or_default() += 1;
        let answered = match self.requests.values().sum::<u64>() {
            0..=MOST_REQUESTS => self.answer(&operation, request),
            _ => Err("somebody asks without end".to_owned()),
        };
        match answered {
            Ok(answer) if self.is_lost(&operation) => {
                drop(answer);
                *self.lost.entry(operation).or_default() += 1;
                ResponseTemplate::new(500)
            }
            Ok(answer) => answer,
            Err(why) => {
                self.violations.push(format!("{operation}: {why}"));
                let body = json!({"__type": "NotUnderstoodByTheStandIn", "message": why, "ok": false, "error": why});
                ResponseTemplate::new(400).set_body_json(body)
            }
        }
    }

    fn answer(&mut self, operation: &str, request: &Request) -> Answered {
        if operation == "s3.GetObject" {
            let caller = self.caller(request)?;
            return self.object(&caller, request);
        }
        if request.method.as_str() != "POST" {
            return Err(format!("nothing is asked by {}", request.method));
        }
        if request.url.path() != "/" {
            return self.slack(request);
        }
        let caller = self.caller(request)?;
        let Some((service, operation)) = operation.split_once('.') else {
            return Err("it names no service and operation".to_owned());
        };
        if caller.service != service {
            return Err(format!("it is signed for {}", caller.service));
        }
        if service == "sts" {
            return self.sts(operation, &caller, request);
        }
        if Engines::serves(service) {
            return self.engine(service, operation, &caller, request);
        }
        let version = match service {
            "dynamodb" | "sqs" => "application/x-amz-json-1.0",
            _ => "application/x-amz-json-1.1",
        };
        if header(request, "content-type") != version {
            return Err(format!("its content type is {}", header(request, "content-type")));
        }
        let body: Value = serde_json::from_slice(&request.body).map_err(|error| error.to_string())?;
        if service != "codepipeline" && (caller.session.is_some() || caller.region != HUB_REGION) {
            return Err(format!("it was called in {} with credentials of {}", caller.region, caller.account));
        }
        match service {
            "dynamodb" => self.dynamodb(operation, &body),
            "sqs" => self.sqs(operation, &body),
            "codepipeline" => self.codepipeline(operation, &caller, &body),
            "secretsmanager" => secrets::secrets_manager(operation, &body),
            "ssm" => secrets::parameter_store(operation, &body, &self.uri),
            other => Err(format!("the adapters do not use {other}")),
        }
    }

    /// The signature itself is not checked: the secrets are not worth keeping.
    fn caller(&self, request: &Request) -> Result<Caller, String> {
        let Scope { access_key, region, service } = signature::scope(header(request, "authorization"))?;
        let token = header(request, "x-amz-security-token");
        let (account, session) = if access_key == HUB_KEY {
            if token != HUB_TOKEN {
                return Err("the hub's key comes with another session token".to_owned());
            }
            (HUB_ACCOUNT.to_owned(), None)
        } else {
            let session = self.sessions.of(&access_key, token, self.clock.now())?;
            (session.account.clone(), Some(session))
        };
        Ok(Caller { account, region, service, session })
    }

    /// Whether this answer is to be lost: the caller sees an error of the service, and what it asked for was done.
    fn is_lost(&mut self, operation: &str) -> bool {
        let changes = matches!(
            operation,
            "dynamodb.PutItem"
                | "dynamodb.UpdateItem"
                | "dynamodb.TransactWriteItems"
                | "sqs.SendMessageBatch"
                | "codepipeline.StartPipelineExecution"
                | "codepipeline.StopPipelineExecution"
                | "codebuild.StartBuild"
                | "codebuild.StopBuild"
                | "codedeploy.CreateDeployment"
                | "codedeploy.StopDeployment"
                | "cloudformation.CreateChangeSet"
                | "cloudformation.ExecuteChangeSet"
                | "cloudformation.DeleteChangeSet"
                | "cloudformation.CancelUpdateStack"
        );
        let Some(every) = self.setting.lose_answers.filter(|_| changes) else { return false };
        self.changes += 1;
        self.changes.is_multiple_of(every)
    }
}

fn header<'a>(request: &'a Request, name: &str) -> &'a str {
    request.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// `dynamodb.PutItem`, `sts.AssumeRole`, `slack.chat.update`.
fn operation(request: &Request) -> String {
    if signature::scope(header(request, "authorization")).is_ok_and(|scope| scope.service == "s3") {
        let is_read = request.method.as_str() == "GET" && request.url.query() == Some("x-id=GetObject");
        return if is_read { "s3.GetObject".to_owned() } else { format!("s3.{}", request.method) };
    }
    if request.url.path() != "/" {
        let path = request.url.path();
        return match path.strip_prefix(slack::WEB_API) {
            Some(method) => format!("slack.{}", method.trim_start_matches('/')),
            None => "slack.webhook".to_owned(),
        };
    }
    let target = header(request, "x-amz-target");
    let Some((service, operation)) = target.split_once('.') else {
        let scope = signature::scope(header(request, "authorization"));
        let service = scope.map_or_else(|_| "sts".to_owned(), |scope| scope.service);
        return format!("{service}.{}", sts::form(request).get("Action").map_or("none", String::as_str));
    };
    let service = match service {
        "DynamoDB_20120810" => "dynamodb",
        "AmazonSQS" => "sqs",
        "CodePipeline_20150709" => "codepipeline",
        "CodeBuild_20161006" => "codebuild",
        "CodeDeploy_20141006" => "codedeploy",
        "secretsmanager" => "secretsmanager",
        "AmazonSSM" => "ssm",
        other => other,
    };
    format!("{service}.{operation}")
}

/// A JSON object with no other fields than these.
fn fields<'a>(value: &'a Value, allowed: &[&str]) -> Result<&'a Map<String, Value>, String> {
    let object = value.as_object().ok_or_else(|| format!("expected an object: {value}"))?;
    match object.keys().find(|name| !allowed.contains(&name.as_str())) {
        Some(unknown) => Err(format!("field {unknown} is not used by the adapters: {value}")),
        None => Ok(object),
    }
}

fn text<'a>(object: &'a Map<String, Value>, name: &str) -> Result<&'a str, String> {
    let value = object.get(name).and_then(Value::as_str);
    value.filter(|text| !text.is_empty()).ok_or_else(|| format!("{name} is missing or empty"))
}

fn list<'a>(object: &'a Map<String, Value>, name: &str) -> Result<&'a [Value], String> {
    object.get(name).and_then(Value::as_array).map(Vec::as_slice).ok_or_else(|| format!("{name} is no list"))
}

fn ok(body: &Value) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(body)
}

/// An error that the service itself would answer with.
fn error(status: u16, code: &str, message: &str, more: &Value) -> ResponseTemplate {
    let mut body = json_error(code, message);
    if let (Some(body), Some(more)) = (body.as_object_mut(), more.as_object()) {
        body.extend(more.clone());
    }
    ResponseTemplate::new(status).set_body_json(body)
}
