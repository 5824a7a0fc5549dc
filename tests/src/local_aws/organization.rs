//! One organisation on the local AWS: a hub, two member accounts, five Regions, ten target pipelines, a Slack
//! workspace. Every story has its own, with accounts that no other has, so that stories run side by side.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use aws_sdk_lambda::types::{Environment, LastUpdateStatus};
use aws_sdk_sqs::types::QueueAttributeName;
use manifold_aws::clients::Clients;
use manifold_aws::clock::SystemClock;
use manifold_aws::ledger::DynamoLedger;
use manifold_core::drift::{Check, Last, Looked};
use manifold_core::ids::{ExecutionRef, RunId, TargetKey};
use manifold_core::ledger::{Item, Key, Listing};
use manifold_core::plan::PlannedTarget;
use manifold_core::summary::{Summary, text};
use manifold_ports::clock::Clock;
use manifold_ports::ledger::{Ledger, Listings};
use manifold_ports::runs;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::chance::draw;
use super::front::codepipeline::{Cause, Pipeline, PipelineId, Push, Status};
use super::front::hazards::{Course, Plan, Struck};
use super::front::{Front, Slack};
use super::patience;
use super::product::{Done, Product};
use super::router::{self, Delivery, Router};
use super::server::{self, Server};
use crate::FLEET;

/// The hub's Region.
pub const HUB_REGION: &str = "us-east-1";
/// The fleet's Regions.
pub const REGIONS: [&str; 5] = ["us-east-1", "ca-central-1", "ap-southeast-2", "eu-central-1", "eu-west-1"];
/// The channel of the summary.
pub const CHANNEL: &str = "C0123456789";
/// The target pipeline, in every account and Region.
pub const PIPELINE: &str = "svc-deploy";
/// The release pipeline, in the hub.
pub const RELEASE_PIPELINE: &str = "web-release";
/// The Slack app's signing secret, and its name in Secrets Manager.
pub const SIGNING_SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
const SIGNING: &str = "manifold/signing";
/// The functions of a run.
const FUNCTIONS: [&str; 5] = ["dispatch", "deploy", "collect", "summarize", "sweep"];
/// The role with which the operator installs in the member accounts.
const OPERATOR_ROLE: &str = "OrganizationAccountAccessRole";

/// The services that the front answers for, or changes the answers of.
const FRONTED: [&str; 6] = ["CODEPIPELINE", "CODEBUILD", "CODEDEPLOY", "CLOUDFORMATION", "STS", "EVENTBRIDGE"];

/// To install is the hardest work that the emulator has: with more at once, the command's calls would time out.
static INSTALLATIONS: Semaphore = Semaphore::const_new(2);

/// What all stories of a test binary share.
struct LocalAws {
    server: Server,
    front: Front,
}

fn local_aws() -> &'static LocalAws {
    static LOCAL: OnceLock<LocalAws> = OnceLock::new();
    LOCAL.get_or_init(|| match server::given() {
        Some(url) => {
            let front = Front::start_on(&url, server::given_front());
            LocalAws { server: Server::at(&url), front }
        }
        None => {
            let port = server::free_port();
            let front = Front::start(&format!("http://127.0.0.1:{port}"));
            let uri = front.uri();
            let server = Server::start(port, &FRONTED.map(|service| (service, uri.as_str())));
            LocalAws { server, front }
        }
    })
}

/// Built once, when a story needs it.
fn product() -> &'static Product {
    static PRODUCT: OnceLock<Product> = OnceLock::new();
    PRODUCT.get_or_init(Product::build)
}

/// What EventBridge does with the events of a story on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Weather {
    /// Each event arrives once, in order.
    #[default]
    Fair,
    /// Each arrives twice.
    Doubled,
    /// Events wait until every execution has ended. Then each execution's last one arrives, and is taken in before the
    /// last but one is sent, and so on.
    Reversed,
    /// None arrives.
    Lost,
    /// Of a hundred, so many do not arrive: which ones follows from the seed and from what they tell.
    LostInPart {
        /// The seed.
        seed: u64,
        /// How many of a hundred.
        of_hundred: u64,
    },
}

/// A state change of a target pipeline that the hub's rules are about: of the pipeline, or the failure of an action.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct StateChange {
    /// `dev/eu-west-1`. A target has one execution.
    pub target: String,
    /// `SUCCEEDED 2`: the state, and in which attempt; `action FAILED 1`.
    pub what: String,
}

/// The state changes of a story.
#[derive(Debug, Clone, Default)]
pub struct Told {
    /// As they happened.
    pub happened: Vec<StateChange>,
    /// As they were delivered.
    pub delivered: Vec<StateChange>,
}

impl Told {
    /// What was told of each target, in order.
    #[must_use]
    pub fn by_target(changes: &[StateChange]) -> BTreeMap<&str, Vec<&str>> {
        let mut told: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for StateChange { target, what } in changes {
            told.entry(target).or_default().push(what);
        }
        told
    }
}

/// A hub and its members.
pub struct Organization {
    aws: &'static LocalAws,
    /// The hub's account.
    pub hub: String,
    /// The account `dev`.
    pub dev: String,
    /// The account `prod`.
    pub prod: String,
    directory: PathBuf,
    router: Router,
    weather: Weather,
    retries: bool,
    held: Mutex<Vec<Value>>,
    told: Mutex<Told>,
    refused: Mutex<Vec<Delivery>>,
}

impl Organization {
    /// Accounts with ten target pipelines, the release pipeline, a Slack workspace with a bot, and the operator's roles;
    /// Manifold itself is not installed yet.
    ///
    /// # Panics
    /// The local AWS does not do it.
    pub async fn new() -> Self {
        tokio::task::spawn_blocking(product).await.expect("the product");
        let organization = Self::empty().await;
        organization.write_fleet(&organization.fleet());
        organization.prepare().await;
        organization
    }

    /// Accounts with nothing in them, for what needs neither Manifold nor its pipelines.
    ///
    /// # Panics
    /// The local AWS does not start.
    pub async fn empty() -> Self {
        let aws = tokio::task::spawn_blocking(local_aws).await.expect("a local AWS");
        static NEXT: AtomicU64 = AtomicU64::new(0);
        // An emulator that runs already may know the accounts of an earlier run.
        let first =
            100_000_000_000 + u64::try_from(SystemClock.now().as_millis()).unwrap_or_default() % 800_000_000 * 1_000;
        let first = first + NEXT.fetch_add(10, Ordering::Relaxed);
        let [hub, dev, prod] = [first, first + 1, first + 2].map(|id| format!("{id:012}"));
        let directory = server::directory().join(format!("organization-{hub}"));
        fs::create_dir_all(&directory).expect("a directory for the story");
        Self {
            aws,
            hub,
            dev,
            prod,
            directory,
            router: Router::default(),
            weather: Weather::Fair,
            retries: false,
            held: Mutex::default(),
            told: Mutex::default(),
            refused: Mutex::default(),
        }
    }

    /// With Manifold installed by `manifold install`.
    ///
    /// # Panics
    /// It is not installed.
    pub async fn installed() -> Self {
        let organization = Self::new().await;
        organization.install().await;
        organization
    }

    /// With Manifold installed for a changed fleet file, and with buttons in Slack: the Slack app has [`SIGNING_SECRET`].
    ///
    /// # Panics
    /// It is not installed.
    pub async fn controlled(change: impl FnOnce(String) -> String) -> Self {
        let organization = Self::new().await;
        organization.write_fleet(&change(organization.fleet()));
        let secrets = Clients::new(organization.server().root(&organization.hub, HUB_REGION).await).secrets_manager();
        let created = secrets.create_secret().name(SIGNING).secret_string(SIGNING_SECRET).send().await;
        created.expect("a secret");
        let options = ["--yes", "--output", "json", "--slack-signing-secret", SIGNING];
        let done = organization.install_with(&options).await;
        assert_eq!(done.status, Some(0), "manifold install failed\n{}\n{}", done.out, done.err);
        organization.suit_the_emulator().await;
        organization
    }

    /// The home fleet in these accounts.
    #[must_use]
    pub fn fleet(&self) -> String {
        FLEET.replace("111122223333", &self.hub).replace("444455556666", &self.dev).replace("777788889999", &self.prod)
    }

    /// The same under other weather.
    #[must_use]
    pub fn weather(mut self, weather: Weather) -> Self {
        self.weather = weather;
        self
    }

    /// The same with somebody in the target accounts who retries the stage `Deploy` of an execution as soon as its first
    /// attempt has failed.
    #[must_use]
    pub fn retrying(mut self) -> Self {
        self.retries = true;
        self
    }

    /// The emulator.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.aws.server
    }

    /// What stands before it.
    #[must_use]
    pub fn front(&self) -> &Front {
        &self.aws.front
    }

    /// The hub's Slack workspace.
    #[must_use]
    pub fn slack(&self) -> Slack {
        self.aws.front.slack(&format!("T{}", self.hub))
    }

    /// The name of something that Manifold's stacks have made. The prefix is not the default one: the emulator mixes up
    /// instances of functions of one name in different accounts.
    #[must_use]
    pub fn name(&self, what: &str) -> String {
        format!("{}-{what}", self.prefix())
    }

    fn prefix(&self) -> String {
        format!("m{}", self.hub)
    }

    /// The ARN of the hub's bus.
    #[must_use]
    pub fn bus(&self) -> String {
        format!("arn:aws:events:{HUB_REGION}:{0}:event-bus/m{0}", self.hub)
    }

    fn members(&self) -> [&str; 2] {
        [&self.dev, &self.prod]
    }

    /// Replaces the fleet file. It reaches the hub with the next installation.
    ///
    /// # Panics
    /// It can't be written.
    pub fn write_fleet(&self, yaml: &str) {
        fs::write(self.fleet_path(), yaml).expect("a fleet file");
        product().package(&self.fleet_path(), &self.packages());
    }

    fn fleet_path(&self) -> PathBuf {
        self.directory.join("fleet.yaml")
    }

    fn packages(&self) -> PathBuf {
        self.directory.join("packages")
    }

    /// Runs `manifold` with credentials of the hub account.
    pub async fn manifold(&self, arguments: &[&str]) -> Done {
        product().manifold(self.aws.server.url(), &self.hub, arguments).await
    }

    /// `manifold install --yes`, and what the emulator needs beyond it.
    ///
    /// # Panics
    /// It fails.
    pub async fn install(&self) -> Done {
        let done = self.install_with(&["--yes", "--output", "json"]).await;
        assert_eq!(done.status, Some(0), "manifold install failed\n{}\n{}", done.out, done.err);
        self.suit_the_emulator().await;
        done
    }

    /// `manifold doctor` with more options.
    pub async fn doctor(&self, options: &[&str]) -> Done {
        self.manifold_of_the_fleet("doctor", options).await
    }

    /// `manifold dead-letters` with more options.
    pub async fn dead_letters(&self, options: &[&str]) -> Done {
        self.manifold_of_the_fleet("dead-letters", options).await
    }

    /// A command that controls rollouts, such as `manifold retry`, with its arguments.
    pub async fn control(&self, command: &str, arguments: &[&str]) -> Done {
        self.manifold_of_the_fleet(command, arguments).await
    }

    async fn manifold_of_the_fleet(&self, command: &str, options: &[&str]) -> Done {
        let fleet = self.fleet_path();
        let prefix = self.prefix();
        let mut arguments = vec![command, "--fleet", fleet.to_str().expect("a path"), "--prefix", &prefix];
        arguments.extend_from_slice(options);
        self.manifold(&arguments).await
    }

    /// `manifold install` with more options.
    pub async fn install_with(&self, options: &[&str]) -> Done {
        let (fleet, packages) = (self.fleet_path(), self.packages());
        let slack = self.slack().url();
        let mut arguments = vec!["install", "--fleet", fleet.to_str().expect("a path"), "--package"];
        let prefix = self.prefix();
        arguments.extend([packages.to_str().expect("a path"), "--slack-url", &slack, "--prefix", &prefix]);
        arguments.extend_from_slice(options);
        let _turn = INSTALLATIONS.acquire().await.expect("nobody closes it");
        self.manifold(&arguments).await
    }
}

/// The commit that stories release.
pub const COMMIT: &str = "8cf40f2b1c6d4e5f8a9b0c1d2e3f4a5b6c7d8e9f";
/// What the emulator asks for where AWS asks for the first: an action that IAM does not have, and actions whose resources it
/// does not make out, so that it asks for them on all (Service Authorization Reference, "Actions, resources, and
/// condition keys" of SQS, EventBridge and IAM).
const EMULATOR_ASKS: [(&str, &str); 5] = [
    ("sqs:SendMessage", "sqs:SendMessageBatch"),
    ("events:DescribeEventBus", "events:DescribeEventBus"),
    ("events:DescribeRule", "events:DescribeRule"),
    ("events:ListTargetsByRule", "events:ListTargetsByRule"),
    ("iam:SimulatePrincipalPolicy", "iam:SimulatePrincipalPolicy"),
];
/// A message in a queue's attributes is one of these.
const DEPTHS: [QueueAttributeName; 3] = [
    QueueAttributeName::ApproximateNumberOfMessages,
    QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
    QueueAttributeName::ApproximateNumberOfMessagesDelayed,
];

impl Organization {
    /// What is there before Manifold: pipelines, the Slack token, and the roles that an organisation's accounts have.
    async fn prepare(&self) {
        let pipelines = self.front().pipelines();
        pipelines.define(Pipeline::new(&self.hub, HUB_REGION, RELEASE_PIPELINE));
        for account in self.members() {
            for region in REGIONS {
                let pipeline = ["LOG_LEVEL", "COMMIT", "STAGE", "ARTIFACTS"]
                    .into_iter()
                    .fold(Pipeline::new(account, region, PIPELINE), |pipeline, name| {
                        pipeline.variable(name, Some("none"))
                    });
                pipelines.define(pipeline);
            }
        }
        let token = self.slack().with(|workspace| {
            workspace.channel(CHANNEL, "releases");
            workspace.token().to_owned()
        });
        let secrets = Clients::new(self.server().root(&self.hub, HUB_REGION).await).secrets_manager();
        let created = secrets.create_secret().name("manifold/slack").secret_string(token).send().await;
        created.expect("a secret");
        for account in self.members() {
            let iam = self.iam(account).await;
            let everybody = json!({"AWS": format!("arn:aws:iam::{}:root", self.hub)});
            let trust = statement(json!({"Principal": everybody, "Action": "sts:AssumeRole"}));
            let role = iam.create_role().role_name(OPERATOR_ROLE).assume_role_policy_document(trust);
            role.send().await.expect("the operator's role");
            let everything = statement(json!({"Action": "*", "Resource": "*"}));
            let policy = iam.put_role_policy().role_name(OPERATOR_ROLE).policy_name("all").policy_document(everything);
            policy.send().await.expect("the operator's rights");
        }
    }

    /// A target pipeline as the fleet file expects it.
    #[must_use]
    pub fn target_pipeline(&self, id: &PipelineId) -> Pipeline {
        let pipeline = Pipeline::new(&id.account, &id.region, &id.name);
        let variables = ["LOG_LEVEL", "COMMIT", "STAGE", "ARTIFACTS"];
        variables.into_iter().fold(pipeline, |pipeline, name| pipeline.variable(name, Some("none")))
    }

    /// Gives roles what the emulator asks for and AWS does not, if they may do what AWS asks for. And the front learns whose
    /// credentials the functions have.
    ///
    /// # Panics
    /// Manifold is not installed.
    pub async fn suit_the_emulator(&self) {
        let bus = self.bus();
        let policy = router::bus_policy(&self.server().root(&self.hub, HUB_REGION).await, &bus).await;
        self.front().tell_bus_policy(&bus, &policy);
        for account in [&self.hub, &self.dev, &self.prod] {
            let iam = self.iam(account).await;
            for role in iam.list_roles().send().await.expect("roles").roles() {
                let name = role.role_name();
                let mut allowed = String::new();
                for policy in iam.list_role_policies().role_name(name).send().await.expect("policies").policy_names() {
                    let found =
                        iam.get_role_policy().role_name(name).policy_name(policy).send().await.expect("a policy");
                    allowed
                        .push_str(&percent_encoding::percent_decode_str(found.policy_document()).decode_utf8_lossy());
                }
                let more: Vec<&str> = EMULATOR_ASKS
                    .into_iter()
                    .filter(|(aws_asks, _)| allowed.contains(&format!("\"{aws_asks}\"")))
                    .map(|(_, emulator_asks)| emulator_asks)
                    .collect();
                if name != OPERATOR_ROLE && !more.is_empty() {
                    let policy = statement(json!({"Action": more, "Resource": "*"}));
                    let put = iam.put_role_policy().role_name(name).policy_name("emulator").policy_document(policy);
                    put.send().await.expect("the emulator's policy");
                }
                if let Some(function) = name.strip_prefix(&self.name("")) {
                    let arn = format!("arn:aws:lambda:{HUB_REGION}:{}:function:{}", self.hub, self.name(function));
                    self.front().sessions().know_function(&arn, role.arn());
                }
            }
        }
    }

    /// IAM as an account's root user.
    pub async fn iam(&self, account: &str) -> aws_sdk_iam::Client {
        aws_sdk_iam::Client::new(&self.server().root(account, HUB_REGION).await)
    }

    /// The stacks that there are in an account and Region.
    ///
    /// # Panics
    /// CloudFormation does not answer.
    pub async fn stacks(&self, account: &str, region: &str) -> Vec<String> {
        let stacks = aws_sdk_cloudformation::Client::new(&self.server().root(account, region).await);
        let described = stacks.describe_stacks().send().await.expect("stacks");
        described.stacks().iter().filter_map(|stack| stack.stack_name().map(str::to_owned)).collect()
    }

    /// SQS as the hub's root user.
    pub async fn sqs(&self) -> aws_sdk_sqs::Client {
        aws_sdk_sqs::Client::new(&self.server().root(&self.hub, HUB_REGION).await)
    }

    /// The URL of one of the hub's queues: `collect`, `collect-dead`.
    ///
    /// # Panics
    /// There is no such queue.
    pub async fn queue(&self, name: &str) -> String {
        let url = self.sqs().await.get_queue_url().queue_name(self.name(name)).send().await;
        url.expect("a queue").queue_url.expect("a URL")
    }

    /// How long a queue hides a message that was received. Shorter than installed, when a story waits for a message to
    /// come again.
    ///
    /// # Panics
    /// There is no such queue.
    pub async fn hide_for(&self, name: &str, seconds: u32) {
        let set = self.sqs().await.set_queue_attributes().queue_url(self.queue(name).await);
        let set = set.attributes(QueueAttributeName::VisibilityTimeout, seconds.to_string());
        set.send().await.expect("the queue's attributes are set");
    }

    /// The hub's queues that are not empty, with how many messages are visible, in flight and delayed.
    ///
    /// # Panics
    /// SQS does not answer.
    pub async fn queues(&self) -> BTreeMap<String, [u32; 3]> {
        let sqs = self.sqs().await;
        let listed = sqs.list_queues().queue_name_prefix(self.name("")).send().await.expect("queues");
        let mut depths = BTreeMap::new();
        for url in listed.queue_urls() {
            let asked =
                sqs.get_queue_attributes().queue_url(url).set_attribute_names(Some(DEPTHS.to_vec())).send().await;
            let asked = asked.expect("a queue's attributes");
            let depth = DEPTHS.map(|name| {
                let found = asked.attributes().and_then(|all| all.get(&name));
                found.and_then(|text| text.parse::<u32>().ok()).expect("a number of messages")
            });
            let name = url.rsplit('/').next().unwrap_or_default().trim_start_matches(&self.name(""));
            if depth != [0; 3] {
                depths.insert(name.to_owned(), depth);
            }
        }
        depths
    }

    /// The bodies of the messages in a queue, which stay there.
    ///
    /// # Panics
    /// SQS does not answer.
    pub async fn messages(&self, name: &str) -> Vec<String> {
        let sqs = self.sqs().await;
        let asked =
            sqs.receive_message().queue_url(self.queue(name).await).max_number_of_messages(10).visibility_timeout(0);
        let received = asked.send().await.expect("messages");
        received.messages().iter().filter_map(|message| message.body().map(str::to_owned)).collect()
    }

    /// The release pipeline succeeds with [`COMMIT`]. Returns its SUCCEEDED event, which nobody has delivered yet.
    ///
    /// # Panics
    /// The pipeline does not succeed.
    #[must_use]
    pub fn release(&self) -> Value {
        self.release_of(COMMIT)
    }

    /// The same with another commit.
    ///
    /// # Panics
    /// The pipeline does not succeed.
    #[must_use]
    pub fn release_of(&self, commit: &str) -> Value {
        let pipelines = self.front().pipelines();
        let push = Push {
            repository: "example-org/web".to_owned(),
            branch: "main".to_owned(),
            commit: commit.to_owned(),
            message: "Fix <b>&</b> “smart” quotes in the basket 🚀".to_owned(),
            author: "Mary Major".to_owned(),
            connection_arn: format!("arn:aws:codeconnections:{HUB_REGION}:{}:connection/0c4ff8ee", self.hub),
        };
        let id = PipelineId::new(&self.hub, HUB_REGION, RELEASE_PIPELINE);
        let _ = pipelines.start(&id, Cause::Push(push));
        pipelines.settle(&[&self.hub]);
        let events = pipelines.take_events(&self.hub);
        let of_pipeline = |event: &&Value| event["detail-type"] == "CodePipeline Pipeline Execution State Change";
        let last = events.iter().rfind(of_pipeline).expect("the release pipeline's events").clone();
        assert_eq!(last["detail"]["state"], "SUCCEEDED");
        last
    }

    /// Puts an event on the default bus where it happened, and follows it.
    pub async fn put(&self, event: &Value) -> Vec<Delivery> {
        let deliveries = self.router.route(self.server(), event).await;
        let refused = deliveries.iter().filter(|delivery| matches!(delivery, Delivery::Refused { .. })).cloned();
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).extend(refused);
        deliveries
    }

    /// Invokes a function of the hub as CodePipeline does: without waiting for its answer.
    ///
    /// # Panics
    /// There is no such function.
    pub async fn invoke(&self, function: &str, event: &Value) {
        let payload = aws_sdk_lambda::primitives::Blob::new(event.to_string());
        let invoke = self.lambda().await.invoke().function_name(self.name(function)).payload(payload);
        let invoke = invoke.invocation_type(aws_sdk_lambda::types::InvocationType::Event);
        invoke.send().await.expect("the function is invoked");
    }

    /// What EventBridge did not deliver.
    #[must_use]
    pub fn refused(&self) -> Vec<Delivery> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The state changes so far.
    #[must_use]
    pub fn told(&self) -> Told {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Moves every execution by one step and delivers what is told of it, as the weather lets. Returns how many moved.
    pub async fn advance(&self) -> usize {
        let pipelines = self.front().pipelines();
        let mut moved = pipelines.advance(&self.members()) + self.front().advance_engines(&self.members());
        if self.retries {
            let executions = self.members().into_iter().flat_map(|account| pipelines.executions(account));
            for failed in executions.filter(|each| each.status == Status::Failed && each.attempt == 1) {
                pipelines.retry(&failed.pipeline, &failed.id, "Deploy");
                moved += 1;
            }
        }
        let take_events = |account: &&str| {
            let mut events = pipelines.take_events(account);
            events.extend(self.front().engines(|engines| engines.take_events_of(account)));
            events
        };
        let events: Vec<Value> = self.members().iter().flat_map(take_events).collect();
        self.note(&events, |told| &mut told.happened);
        let mut count = events.len();
        // An execution that was started since the events were taken is not over either.
        let mut executions = self.members().into_iter().flat_map(|account| pipelines.executions(account));
        let are_over = executions.all(|each| !matches!(each.status, Status::InProgress | Status::Stopping))
            && !self.front().engines(|engines| engines.are_busy(&self.members()));
        match self.weather {
            Weather::Fair => self.deliver(&events).await,
            Weather::Doubled => {
                for event in &events {
                    self.deliver(&[event.clone(), event.clone()]).await;
                }
            }
            Weather::Lost => count = 0,
            Weather::LostInPart { seed, of_hundred } => {
                let arrives = |event: &&Value| match self.state_change(event) {
                    Some(StateChange { target, what }) => draw(seed, &format!("{target} {what}")) % 100 >= of_hundred,
                    None => true,
                };
                let events: Vec<Value> = events.iter().filter(arrives).cloned().collect();
                count = events.len();
                self.deliver(&events).await;
            }
            Weather::Reversed => {
                let held = {
                    let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
                    held.extend(events);
                    if are_over { std::mem::take(&mut *held) } else { Vec::new() }
                };
                count = held.len();
                self.deliver_backwards(held).await;
            }
        }
        moved + count
    }

    async fn deliver(&self, events: &[Value]) {
        for event in events {
            self.put(event).await;
        }
        self.note(events, |told| &mut told.delivered);
    }

    /// Of each execution the last event first. What was sent is taken in before what comes before it is.
    async fn deliver_backwards(&self, events: Vec<Value>) {
        let mut left: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for event in events {
            let subject = ["execution-id", "build-id", "deploymentId", "stack-id"].map(|id| &event["detail"][id]);
            left.entry(format!("{subject:?}")).or_default().push(event);
        }
        loop {
            let last: Vec<Value> = left.values_mut().filter_map(Vec::pop).collect();
            if last.is_empty() {
                return;
            }
            self.deliver(&last).await;
            patience::until("collect to take the events in", Duration::from_secs(300), async || {
                let queues = self.queues().await;
                if queues.contains_key("collect") { Err(format!("{queues:?}")) } else { Ok(()) }
            })
            .await;
        }
    }

    fn note(&self, events: &[Value], which: impl Fn(&mut Told) -> &mut Vec<StateChange>) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        which(&mut told).extend(events.iter().filter_map(|event| self.state_change(event)));
    }

    /// What an event tells, if the hub's rules are about it.
    fn state_change(&self, event: &Value) -> Option<StateChange> {
        let detail = &event["detail"];
        let is_of_pipeline = event["detail-type"] == "CodePipeline Pipeline Execution State Change";
        let is_failed_action =
            event["detail-type"] == "CodePipeline Action Execution State Change" && detail["state"] == "FAILED";
        if !is_of_pipeline && !is_failed_action {
            return None;
        }
        let account = if event["account"] == self.dev.as_str() { "dev" } else { "prod" };
        let kind = if is_of_pipeline { "" } else { "action " };
        let (state, attempt) = (detail["state"].as_str()?, detail["pipeline-execution-attempt"].as_f64()?);
        Some(StateChange {
            target: format!("{account}/{}", event["region"].as_str()?),
            what: format!("{kind}{state} {attempt}"),
        })
    }

    /// Points the functions to the front for more services: `DYNAMODB`, `SQS`.
    ///
    /// # Panics
    /// Manifold is not installed, or the emulator does not do it.
    pub async fn over_the_front(&self, services: &[&str]) {
        let lambda = self.lambda().await;
        for function in FUNCTIONS {
            let name = self.name(function);
            let found = lambda.get_function_configuration().function_name(&name).send().await.expect("a function");
            let variables = found.environment.and_then(|environment| environment.variables).unwrap_or_default();
            let more = services.iter().map(|service| (format!("AWS_ENDPOINT_URL_{service}"), self.front().uri()));
            let environment = Environment::builder().set_variables(Some(variables.into_iter().chain(more).collect()));
            let update = lambda.update_function_configuration().function_name(&name).environment(environment.build());
            update.send().await.expect("another environment");
            patience::until("the function's other environment", Duration::from_secs(60), async || {
                let found = lambda.get_function_configuration().function_name(&name).send().await.expect("a function");
                let status = found.last_update_status;
                if status == Some(LastUpdateStatus::Successful) { Ok(()) } else { Err(format!("{status:?}")) }
            })
            .await;
        }
    }

    /// Stops Lambda from receiving from a queue, or lets it go on.
    ///
    /// # Panics
    /// The queue is no function's.
    pub async fn receive(&self, queue: &str, receives: bool) {
        let lambda = self.lambda().await;
        let listed = lambda.list_event_source_mappings().function_name(self.name(queue)).send().await;
        let mappings = listed.expect("mappings").event_source_mappings.unwrap_or_default();
        let [mapping] = mappings.as_slice() else { panic!("one mapping: {mappings:?}") };
        let update = lambda.update_event_source_mapping().set_uuid(mapping.uuid.clone()).enabled(receives);
        update.send().await.expect("the mapping is changed");
    }

    async fn lambda(&self) -> aws_sdk_lambda::Client {
        aws_sdk_lambda::Client::new(&self.server().root(&self.hub, HUB_REGION).await)
    }

    /// Lets hazards befall the functions from now on.
    pub fn endanger(&self, seed: u64, plan: Plan, courses: &[Course]) {
        self.front().hazards().begin(&self.prefix(), seed, plan, courses);
    }

    /// What has befallen the functions.
    #[must_use]
    pub fn struck(&self) -> Vec<Struck> {
        self.front().hazards().struck(&self.prefix())
    }

    /// The run of the release with this event.
    ///
    /// # Panics
    /// It is no event of a release.
    #[must_use]
    pub fn run_of(&self, event: &Value) -> RunId {
        let part = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let target = TargetKey {
            account: part(&event["account"]).parse().expect("an account"),
            region: part(&event["region"]).parse().expect("a Region"),
        };
        let id = part(&event["detail"]["execution-id"]).parse().expect("an execution");
        RunId::derive(&"web".parse().expect("a name"), &ExecutionRef { target, id })
    }

    async fn ledger(&self) -> DynamoLedger {
        let config = self.server().root(&self.hub, HUB_REGION).await;
        DynamoLedger::new(Clients::new(config).dynamodb(), self.table().await)
    }

    /// The name of the ledger's table.
    async fn table(&self) -> String {
        let stacks = aws_sdk_cloudformation::Client::new(&self.server().root(&self.hub, HUB_REGION).await);
        let table =
            stacks.describe_stack_resource().stack_name(self.name("hub")).logical_resource_id("Ledger").send().await;
        let table = table.expect("the ledger's table").stack_resource_detail;
        table.and_then(|detail| detail.physical_resource_id).expect("the table's name")
    }

    /// A run's summary, derived from the ledger; none before the run is opened.
    ///
    /// # Panics
    /// The ledger does not answer.
    pub async fn summary(&self, run: &RunId) -> Option<Summary> {
        let ledger = self.ledger().await;
        let record = ledger.get(&[Key::Head(run.clone())]).await.expect("the ledger answers").pop().flatten()?;
        let Item::Head(head) = record.item else { panic!("not a head: {record:?}") };
        let plan = runs::plan(&ledger, run, head.size()).await.expect("a plan");
        let targets = ledger.targets(run).await.expect("targets");
        Some(Summary::of(&head, &plan, &targets))
    }

    /// The app's last drift check that has ended, with its plan and what was seen; none before the first one has.
    ///
    /// # Panics
    /// The ledger does not answer.
    pub async fn last_check(&self) -> Option<(Check, Vec<PlannedTarget>, Vec<Looked>)> {
        let ledger = self.ledger().await;
        let key = Key::LastCheck("web".parse().expect("a name"));
        let last = ledger.get(&[key]).await.expect("the ledger answers").pop().flatten()?;
        let run = last.item.take::<Last>().expect("the last check").check;
        let check = ledger.get(&[Key::Check(run.clone())]).await.expect("the ledger answers").pop().flatten();
        let check = check.and_then(|record| record.item.take::<Check>()).expect("a check");
        let plan = runs::plan(&ledger, &run, check.size).await.expect("a plan");
        let looked = ledger.list(&Listing::Looked(run)).await.expect("the ledger answers");
        Some((check, plan, looked.into_iter().filter_map(|record| record.item.take()).collect()))
    }

    /// Tells of the drift detections that were started, and not told of before, that they have ended: the emulator does not.
    ///
    /// # Panics
    /// The ledger does not answer.
    pub async fn end_detections(&self, told: &mut BTreeSet<String>) {
        let clients = Clients::new(self.server().root(&self.hub, HUB_REGION).await);
        let found = clients.dynamodb().scan().table_name(self.table().await).into_paginator().items().send();
        let found = found.try_collect().await.expect("the ledger answers");
        for item in found {
            let Some(key) = item.get("pk").and_then(|key| key.as_s().ok()) else { continue };
            let Some([account, region, id]) = key.strip_prefix("detection#").map(|rest| {
                let mut parts = rest.splitn(3, '#').map(str::to_owned);
                [(); 3].map(|()| parts.next().unwrap_or_default())
            }) else {
                continue;
            };
            if !told.insert(key.clone()) {
                continue;
            }
            let stack = format!("arn:aws:cloudformation:{region}:{account}:stack/svc/0");
            self.put(&json!({
                "version": "0", "id": key, "detail-type": "CloudFormation Drift Detection Status Change",
                "source": "aws.cloudformation", "account": account, "region": region,
                "time": SystemClock.now().to_string(), "resources": [stack],
                "detail": {
                    "stack-id": stack, "stack-drift-detection-id": id,
                    "status-details": { "stack-drift-status": "IN_SYNC", "detection-status": "DETECTION_COMPLETE" },
                    "drift-detection-details": { "drifted-stack-resource-count": 0 },
                },
            }))
            .await;
        }
    }

    /// Moves executions and delivers events until the run has its verdict, Slack shows it, and no queue holds a
    /// message but dead letters.
    ///
    /// # Panics
    /// Time is up: says what was waited for.
    pub async fn settle(&self, run: &RunId, limit: Duration) -> Summary {
        let settled = patience::until("the verdict", limit, async || {
            let moved = self.advance().await;
            let summary = self.summary(run).await;
            let queues = self.queues().await;
            let busy = queues
                .iter()
                .any(|(name, [visible, flying, delayed])| !name.ends_with("dead") && visible + flying + delayed > 0);
            match summary {
                Some(summary) if summary.verdict.is_some() && !busy && moved == 0 => Ok(summary),
                summary => Err(self.seen(moved, summary.as_ref(), &queues)),
            }
        });
        settled.await
    }

    /// Waits until no queue holds anything, dead letters included. The sweep's last look at what Slack shows may be under
    /// way when a run has settled.
    ///
    /// # Panics
    /// Time is up: says what is left.
    pub async fn emptied(&self, limit: Duration) {
        patience::until("every queue to be empty", limit, async || match self.queues().await {
            queues if queues.is_empty() => Ok(()),
            queues => Err(format!("{queues:?}")),
        })
        .await;
    }

    fn seen(&self, moved: usize, summary: Option<&Summary>, queues: &BTreeMap<String, [u32; 3]>) -> String {
        let executions: Vec<String> = self
            .members()
            .iter()
            .flat_map(|account| self.front().pipelines().executions(account))
            .map(|execution| format!("{} {:?}", execution.pipeline.arn(), execution.status))
            .collect();
        format!(
            "{moved} executions or events moved; queues (visible, in flight, delayed): {queues:?}; refused events: {:?}\n\
             executions: {executions:#?}\nhazards: {:#?}\nrun: {}\nSlack: {:#?}\nemulator: {}",
            self.refused(),
            self.struck(),
            summary.map_or_else(|| "not opened".to_owned(), text::render),
            self.slack().messages(),
            self.server().log(),
        )
    }
}

/// Nothing of a story outlives it: functions that tick and poll would slow all others down, and an emulator that runs
/// already is somebody's.
impl Drop for Organization {
    fn drop(&mut self) {
        self.front().hazards().end(&self.prefix());
        let places = self.members().into_iter().flat_map(|account| REGIONS.map(|region| (account, region, "region")));
        let members = self.members().map(|account| (account, HUB_REGION, "member"));
        let places: Vec<_> = places.chain(members).chain([(self.hub.as_str(), HUB_REGION, "hub")]).collect();
        let removed = std::thread::scope(|scope| {
            let remove = || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                runtime.block_on(async {
                    for (account, region, stack) in places {
                        let stacks = aws_sdk_cloudformation::Client::new(&self.server().root(account, region).await);
                        let deleted = stacks.delete_stack().stack_name(self.name(stack)).send().await;
                        deleted.map_err(std::io::Error::other)?;
                    }
                    fs::remove_dir_all(&self.directory)
                })
            };
            scope.spawn(remove).join()
        });
        // A second panic would hide the first.
        if !std::thread::panicking() {
            removed.expect("no panic").expect("the story's accounts are tidied up");
        }
    }
}

/// A policy of one statement that allows something.
fn statement(mut statement: Value) -> String {
    statement["Effect"] = json!("Allow");
    json!({"Version": "2012-10-17", "Statement": [statement]}).to_string()
}
