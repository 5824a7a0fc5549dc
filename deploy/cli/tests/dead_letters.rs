//! `manifold dead-letters` as its users meet it: the real binary, on a stand-in for SQS, the ledger, CloudFormation and STS
//! over HTTP. The stand-in's queues hide what is received, as SQS does: a letter that is left hidden fails the test.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic is how a test fails")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use insta::assert_snapshot;
use manifold_aws::clock::SystemClock;
use manifold_core::event::decode_event;
use manifold_core::ids::{Attempt, ExecutionRef, RunId, TargetKey};
use manifold_core::ledger::{Item, Key, Link, LinkOwner, PlanChunk};
use manifold_core::message::{Message, Payload};
use manifold_core::plan::Plan;
use manifold_core::release::{Release, Trigger};
use manifold_core::run::{AppQueue, Event, Run, Wanted};
use manifold_core::time::{Span, Timestamp};
use manifold_fleet::Fleet;
use manifold_ports::clock::Clock;
use serde_json::{Value, json};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

const FLEET: &str = "deploy/examples/fleet.yaml";
const EVENT: &str = "deploy/examples/release-event.json";
const HUB: &str = "111122223333";
const PROD: &str = "777788889999";
const POISON: &str = "{ this is not what it should be";
/// When every letter was sent, before now: 3 h 4 min, and not about to be 3 h 5 min.
const AGE: Span = Span::from_seconds(3 * 3600 + 4 * 60 + 10);

fn root() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

#[derive(Debug, Clone)]
struct Letter {
    id: String,
    body: String,
    attributes: Value,
    received: u32,
    hidden: bool,
}

/// A run of the release in deploy/examples, opened five minutes ago; `dev/us-east-1` is claimed and started.
struct Example {
    run: RunId,
    plan: Plan,
    items: BTreeMap<(String, String), Value>,
    event: String,
}

impl Example {
    fn new() -> Self {
        let text = std::fs::read_to_string(root().join(FLEET)).unwrap();
        let fleet = Fleet::parse(FLEET, &text).unwrap();
        let event = std::fs::read_to_string(root().join(EVENT)).unwrap();
        let envelope = decode_event(&event).unwrap();
        let manifold_core::event::Event::Pipeline(told) = &envelope.event else { panic!("a release event") };
        let app = fleet.app("web").unwrap();
        let key = TargetKey { account: envelope.account.clone(), region: envelope.region.clone() };
        let run = RunId::derive(app.name(), &ExecutionRef { target: key, id: told.execution.clone() });
        let release = Release::announced(&envelope, told, Vec::new(), Trigger::default());
        let plan = app.plan(&run, &release).unwrap();
        let opened_at = ago(Span::from_minutes(5));
        let opened =
            Run::open(Wanted::release(run.clone(), app.name().clone(), release, &plan), AppQueue::default(), opened_at);
        let opened = opened.run.finish();
        let (head, queue) = (opened.head.unwrap(), opened.queue.unwrap());
        let first = plan.targets[0].clone();
        let started = Event::Started {
            target: first.key.clone(),
            attempt: Attempt::FIRST,
            execution: "01234567-0123-0123-0123-012345678901".parse().unwrap(),
        };
        let claim = Event::Claim {
            planned: Box::new(first),
            attempt: Attempt::FIRST,
            nonce: "worker".parse().unwrap(),
            lease: Span::from_seconds(120),
        };
        let (claimed, _) = Run::load(head.clone(), queue.clone(), []).step(claim, opened_at);
        let step = claimed.step(started, opened_at).0.finish();
        let mut example = Self { run: run.clone(), plan, items: BTreeMap::new(), event };
        example.store(&Key::Head(run.clone()), Item::Head(Box::new(step.head.unwrap_or(head))));
        example.store(&Key::Queue(run.app()), Item::Queue(queue));
        example.store(&Key::Plan(run.clone(), 0), Item::Plan(PlanChunk { targets: example.plan.targets.clone() }));
        for target in step.targets {
            let owner = Some(LinkOwner { run: run.clone(), attempt: target.attempt });
            let link = Key::Link(target.execution_ref().unwrap());
            example.store(&link, Item::Link(Link { owner, early: Vec::new() }));
            example.store(&Key::Target(run.clone(), target.key.clone()), Item::Target(Box::new(target)));
        }
        example
    }

    /// As the ledger's table has it.
    fn store(&mut self, key: &Key, item: Item) {
        let place = (key.partition(), key.sort());
        let stored = json!({
            "pk": {"S": place.0}, "sk": {"S": place.1}, "schema": {"N": "1"}, "version": {"N": "3"},
            "nonce": {"S": "worker"}, "item": attribute(&serde_json::to_value(item).unwrap()),
        });
        self.items.insert(place, stored);
    }

    fn start(&self, index: u32) -> String {
        let run = self.run.clone();
        Message::new(Payload::Start { run, index, attempt: Attempt::FIRST }).encode().unwrap()
    }

    fn summarize(&self) -> String {
        Message::new(Payload::Summarize { run: self.run.clone() }).encode().unwrap()
    }
}

fn ago(span: Span) -> Timestamp {
    Timestamp::from_millis(SystemClock.now().as_millis() - span.as_millis())
}

/// JSON as DynamoDB writes it.
fn attribute(value: &Value) -> Value {
    match value {
        Value::Null => json!({"NULL": true}),
        Value::Bool(flag) => json!({"BOOL": flag}),
        Value::Number(number) => json!({"N": number.to_string()}),
        Value::String(text) => json!({"S": text}),
        Value::Array(items) => json!({"L": items.iter().map(attribute).collect::<Vec<_>>()}),
        Value::Object(fields) => {
            json!({"M": fields.iter().map(|(name, value)| (name.clone(), attribute(value))).collect::<BTreeMap<_, _>>()})
        }
    }
}

/// A state change of the target `dev/us-east-1`.
fn state_change(example: &Example, state: &str) -> String {
    let key = &example.plan.targets[0].key;
    json!({
        "version": "0", "id": "3dafeae8", "source": "aws.codepipeline", "time": "2026-10-26T13:58:01Z",
        "detail-type": "CodePipeline Pipeline Execution State Change", "account": key.account, "region": key.region,
        "detail": {"pipeline": "svc-deploy", "execution-id": "01234567-0123-0123-0123-012345678901", "state": state},
    })
    .to_string()
}

/// What EventBridge notes with an event that it could not deliver.
fn noted(target: &str) -> Value {
    let text = |text: &str| json!({"DataType": "String", "StringValue": text});
    json!({
        "RULE_ARN": text(&format!("arn:aws:events:us-east-1:{HUB}:rule/manifold/manifold-pipeline")),
        "TARGET_ARN": text(target),
        "ERROR_CODE": text("NO_PERMISSIONS"),
        "ERROR_MESSAGE": text("Lack of permissions to invoke cross account target."),
    })
}

/// A hub with its queues, until a test takes something away.
#[derive(Clone)]
struct World {
    account: &'static str,
    is_installed: bool,
    queues: BTreeMap<String, Vec<Letter>>,
    items: BTreeMap<(String, String), Value>,
    /// The ledger is refused.
    ledger_denied: bool,
    /// Queues that take no message.
    closed: Vec<&'static str>,
    sent: u32,
}

impl World {
    fn new(example: &Example) -> Self {
        let mut queues = BTreeMap::new();
        for function in ["dispatch", "deploy", "collect", "summarize", "inspect"] {
            queues.insert(format!("manifold-{function}"), Vec::new());
            queues.insert(format!("manifold-{function}-dead"), Vec::new());
        }
        queues.insert("manifold-undelivered".to_owned(), Vec::new());
        Self {
            account: HUB,
            is_installed: true,
            queues,
            items: example.items.clone(),
            ledger_denied: false,
            closed: Vec::new(),
            sent: 0,
        }
    }

    fn put(mut self, queue: &str, body: &str) -> Self {
        self.put_noted(queue, body, Value::Null);
        self
    }

    fn put_noted(&mut self, queue: &str, body: &str, attributes: Value) {
        self.sent += 1;
        let id = format!("{:08x}-e455-f946-43e4-e2926a15d894", self.sent);
        let letter = Letter { id, body: body.to_owned(), attributes, received: 5, hidden: false };
        self.queues.entry(format!("manifold-{queue}")).or_default().push(letter);
    }

    /// The bodies in a queue. Nothing may be left hidden.
    fn bodies(&self, queue: &str) -> Vec<&str> {
        assert!(self.queues.values().flatten().all(|letter| !letter.hidden), "left hidden: {:?}", self.queues);
        self.queues[&format!("manifold-{queue}")].iter().map(|letter| letter.body.as_str()).collect()
    }

    fn sqs(&mut self, operation: &str, body: &Value) -> Result<Value, &'static str> {
        let name = body["QueueUrl"].as_str().unwrap_or_default().rsplit('/').next().unwrap().to_owned();
        if operation == "GetQueueUrl" {
            let name = body["QueueName"].as_str().unwrap();
            let is_there = self.queues.contains_key(name);
            return is_there
                .then(|| json!({"QueueUrl": format!("http://sqs/{HUB}/{name}")}))
                .ok_or("QueueDoesNotExist");
        }
        if operation == "SendMessage" && self.closed.iter().any(|closed| format!("manifold-{closed}") == name) {
            return Err("AccessDenied");
        }
        let queue = self.queues.get_mut(&name).unwrap_or_else(|| panic!("no queue {name}"));
        let place = |queue: &[Letter], receipt: &Value| {
            let id = receipt.as_str().unwrap().split('#').next().unwrap().to_owned();
            queue.iter().position(|letter| letter.id == id)
        };
        Ok(match operation {
            "GetQueueAttributes" => {
                let hidden = queue.iter().filter(|letter| letter.hidden).count();
                json!({"Attributes": {
                    "ApproximateNumberOfMessages": (queue.len() - hidden).to_string(),
                    "ApproximateNumberOfMessagesNotVisible": hidden.to_string(),
                }})
            }
            "ReceiveMessage" => {
                assert!(body["VisibilityTimeout"].as_u64().unwrap() >= 30, "{body}");
                let most = usize::try_from(body["MaxNumberOfMessages"].as_u64().unwrap()).unwrap();
                assert!((1..=10).contains(&most), "{body}");
                let sent = ago(AGE).as_millis().to_string();
                let received = queue.iter_mut().filter(|letter| !letter.hidden).take(most).map(|letter| {
                    letter.hidden = true;
                    letter.received += 1;
                    json!({
                        "MessageId": letter.id, "Body": letter.body,
                        "ReceiptHandle": format!("{}#{}", letter.id, letter.received),
                        "Attributes": {
                            "SentTimestamp": sent, "ApproximateReceiveCount": letter.received.to_string(),
                        },
                        "MessageAttributes": letter.attributes,
                    })
                });
                json!({"Messages": received.collect::<Vec<_>>()})
            }
            "ChangeMessageVisibilityBatch" => {
                let entries = body["Entries"].as_array().unwrap();
                assert!((1..=10).contains(&entries.len()), "{body}");
                for entry in entries {
                    assert_eq!(entry["VisibilityTimeout"], 0);
                    let index = place(queue, &entry["ReceiptHandle"]).unwrap();
                    queue[index].hidden = false;
                }
                json!({"Successful": [], "Failed": []})
            }
            "SendMessage" => {
                let letter = Letter {
                    id: "new".to_owned(),
                    body: body["MessageBody"].as_str().unwrap().to_owned(),
                    attributes: body["MessageAttributes"].clone(),
                    received: 0,
                    hidden: false,
                };
                queue.push(letter);
                json!({"MessageId": "new", "MD5OfMessageBody": "0".repeat(32)})
            }
            "DeleteMessage" => {
                let index = place(queue, &body["ReceiptHandle"]).unwrap();
                queue.remove(index);
                json!({})
            }
            other => panic!("nobody expected {other}"),
        })
    }

    fn dynamodb(&self, operation: &str, body: &Value) -> Value {
        let of = |key: &Value| {
            let part = |name: &str| key[name]["S"].as_str().unwrap().to_owned();
            self.items.get(&(part("pk"), part("sk"))).cloned()
        };
        match operation {
            "GetItem" => {
                assert_eq!(body["TableName"], "manifold-ledger");
                of(&body["Key"]).map_or_else(|| json!({}), |item| json!({"Item": item}))
            }
            "BatchGetItem" => {
                let keys = body["RequestItems"]["manifold-ledger"]["Keys"].as_array().unwrap();
                let found: Vec<Value> = keys.iter().filter_map(of).collect();
                json!({"Responses": {"manifold-ledger": found}, "UnprocessedKeys": {}})
            }
            other => panic!("the ledger is only read, and not asked for {other}"),
        }
    }

    fn query(&self, form: &str) -> ResponseTemplate {
        if form.contains("Action=DescribeStacks") {
            if !self.is_installed {
                let error = "<ErrorResponse><Error><Type>Sender</Type><Code>ValidationError</Code><Message>Stack with id \
                             manifold-hub does not exist</Message></Error></ErrorResponse>";
                return ResponseTemplate::new(400).set_body_string(error);
            }
            let output = |key: &str, value: &str| {
                format!("<member><OutputKey>{key}</OutputKey><OutputValue>{value}</OutputValue></member>")
            };
            let mut outputs = output("LedgerName", "manifold-ledger");
            for (name, queue) in [
                ("Dispatch", "dispatch"),
                ("Deploy", "deploy"),
                ("Collect", "collect"),
                ("Summarize", "summarize"),
                ("Inspect", "inspect"),
            ] {
                outputs += &output(&format!("{name}QueueUrl"), &format!("http://sqs/{HUB}/manifold-{queue}"));
                outputs += &output(&format!("{name}DeadQueueUrl"), &format!("http://sqs/{HUB}/manifold-{queue}-dead"));
            }
            outputs += &output("UndeliveredQueueUrl", &format!("http://sqs/{HUB}/manifold-undelivered"));
            return ResponseTemplate::new(200).set_body_string(format!(
                "<DescribeStacksResponse xmlns=\"http://cloudformation.amazonaws.com/doc/2010-05-15/\"><DescribeStacksResult>\
                 <Stacks><member><StackName>manifold-hub</StackName><StackStatus>CREATE_COMPLETE</StackStatus>\
                 <CreationTime>2026-10-26T13:58:01Z</CreationTime><Outputs>{outputs}</Outputs></member></Stacks>\
                 </DescribeStacksResult></DescribeStacksResponse>"
            ));
        }
        if form.contains("Action=AssumeRole") {
            let error = "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>\
                         <Code>AccessDenied</Code><Message>not you</Message></Error></ErrorResponse>";
            return ResponseTemplate::new(403).set_body_string(error);
        }
        assert!(form.contains("Action=GetCallerIdentity"), "nobody expected {form}");
        let account = self.account;
        ResponseTemplate::new(200).set_body_string(format!(
            "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
             <Arn>arn:aws:iam::{account}:user/jane</Arn><UserId>AIDA</UserId><Account>{account}</Account>\
             </GetCallerIdentityResult></GetCallerIdentityResponse>"
        ))
    }
}

struct Stage(Arc<Mutex<World>>);

impl Respond for Stage {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let mut world = self.0.lock().unwrap();
        let target = request.headers.get("x-amz-target").map(|target| target.to_str().unwrap().to_owned());
        let Some(target) = target else { return world.query(&String::from_utf8_lossy(&request.body)) };
        let body = serde_json::from_slice(&request.body).unwrap();
        let refused = |code: &str| {
            ResponseTemplate::new(400).set_body_json(json!({"__type": code, "message": format!("{code} by the test")}))
        };
        match target.split_once('.').unwrap() {
            ("AmazonSQS", operation) => match world.sqs(operation, &body) {
                Ok(answer) => ResponseTemplate::new(200).set_body_json(answer),
                Err(code) => refused(code),
            },
            (_, _) if world.ledger_denied => refused("AccessDeniedException"),
            (_, operation) => ResponseTemplate::new(200).set_body_json(world.dynamodb(operation, &body)),
        }
    }
}

/// Runs the command in a world. Returns what it printed, and what became of the world.
fn run(world: World, args: &[&str]) -> (Output, World) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let world = Arc::new(Mutex::new(world));
    let server = runtime.block_on(async {
        let server = MockServer::start().await;
        Mock::given(any()).respond_with(Stage(Arc::clone(&world))).mount(&server).await;
        server
    });
    let output = Command::new(env!("CARGO_BIN_EXE_manifold"))
        .arg("dead-letters")
        .args(args)
        .current_dir(root())
        .env_clear()
        .env("AWS_ENDPOINT_URL", server.uri())
        .env("AWS_ACCESS_KEY_ID", "AKIDOPERATOR")
        .env("AWS_SECRET_ACCESS_KEY", "secret")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    let world = world.lock().unwrap().clone();
    (output, world)
}

fn transcript(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    format!("{}{}--- exit status {}\n", text(&output.stdout), text(&output.stderr), output.status.code().unwrap())
}

fn document(output: &Output) -> Value {
    let mut document: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", transcript(output)));
    for letter in document["letters"].as_array_mut().unwrap() {
        let age = letter["age_seconds"].as_i64().unwrap();
        assert!((11_050..11_110).contains(&age), "{letter}");
        assert!(Timestamp::parse_rfc3339(letter["sent_at"].as_str().unwrap()).is_some(), "{letter}");
        letter["age_seconds"] = "about 11050".into();
        letter["sent_at"] = "3 h 4 min ago".into();
    }
    document
}

const LIST: [&str; 2] = ["--fleet", FLEET];

fn redrive<'a>(options: &[&'a str]) -> Vec<&'a str> {
    [&["redrive", "--fleet", FLEET][..], options].concat()
}

/// One letter of each kind that operators meet, and many of one.
fn ailing(example: &Example) -> World {
    let forgotten = example.start(0).replace(example.run.as_str(), "web-0123456789abcdef");
    let mut world = World::new(example)
        .put("dispatch-dead", &example.event)
        .put("deploy-dead", &example.start(1))
        .put("deploy-dead", &example.start(0))
        .put("deploy-dead", &forgotten)
        .put("collect-dead", POISON)
        .put("summarize-dead", &example.summarize().replace("\"schema\":1", "\"schema\":2"));
    for _ in 0..12 {
        world = world.put("summarize-dead", &example.summarize());
    }
    let target = format!("arn:aws:sqs:us-east-1:{HUB}:manifold-collect");
    world.put_noted("undelivered", &state_change(example, "SUCCEEDED"), noted(&target));
    world
}

#[test]
fn where_there_is_nothing_it_says_so() {
    let (output, _) = run(World::new(&Example::new()), &LIST);
    assert_snapshot!("nothing", transcript(&output));
}

#[test]
fn every_letter_is_explained_once_for_its_kind_and_looking_changes_nothing() {
    let example = Example::new();
    let world = ailing(&example);
    let before = world.queues.clone();
    let (output, after) = run(world, &LIST);
    assert_snapshot!("list", transcript(&output));
    for (queue, letters) in &before {
        let now = &after.queues[queue];
        let all = |letters: &[Letter]| {
            letters.iter().map(|letter| (letter.id.clone(), letter.body.clone())).collect::<Vec<_>>()
        };
        assert_eq!(all(now), all(letters), "{queue}");
        assert!(now.iter().all(|letter| !letter.hidden && letter.received == 6), "{now:?}");
    }
}

#[test]
fn a_script_gets_every_letter() {
    let example = Example::new();
    let world = World::new(&example).put("deploy-dead", &example.start(1)).put("collect-dead", POISON);
    let (output, _) = run(world, &[&LIST[..], &["--output", "json"]].concat());
    assert_eq!(output.status.code(), Some(1));
    assert_snapshot!("document", format!("{:#}", document(&output)));
}

#[test]
fn what_can_be_helped_is_redriven_and_poison_stays_until_it_is_dropped() {
    let example = Example::new();
    let (output, world) = run(ailing(&example), &redrive(&["--all", "--yes"]));
    assert_snapshot!("redriven", transcript(&output));
    assert_eq!(world.bodies("dispatch"), [example.event.as_str()]);
    assert_eq!(world.bodies("deploy").len(), 3);
    assert_eq!(world.bodies("collect"), [state_change(&example, "SUCCEEDED")]);
    assert!(world.queues["manifold-collect"][0].attributes.is_null(), "what EventBridge noted is over");
    assert_eq!(world.bodies("summarize").len(), 12);
    assert_eq!(world.bodies("collect-dead"), [POISON]);
    for queue in ["dispatch-dead", "deploy-dead", "undelivered"] {
        assert!(world.bodies(queue).is_empty(), "{queue}");
    }

    let poison = world.queues["manifold-collect-dead"][0].id.clone();
    let (output, world) = run(world, &["drop", "--fleet", FLEET, "--id", &poison, "--yes"]);
    assert_snapshot!("dropped", transcript(&output));
    assert!(world.bodies("collect-dead").is_empty());
    assert_eq!(world.bodies("summarize-dead").len(), 1, "nobody asked for it");
}

#[test]
fn without_a_terminal_nobody_agrees_and_nothing_is_done() {
    let example = Example::new();
    let world = World::new(&example).put("deploy-dead", &example.start(1));
    let (output, world) = run(world, &redrive(&["--queue", "deploy-dead"]));
    assert_snapshot!("declined", transcript(&output));
    assert_eq!(world.bodies("deploy-dead"), [example.start(1)]);
    let id = world.queues["manifold-deploy-dead"][0].id.clone();
    let (output, world) = run(world, &["drop", "--fleet", FLEET, "--id", &id, "--output", "json"]);
    assert_eq!((output.status.code(), &document(&output)["agreed"]), (Some(3), &json!(false)));
    assert_eq!(world.bodies("deploy-dead").len(), 1);
}

#[test]
fn only_what_was_chosen_is_redriven() {
    let example = Example::new();
    let world = World::new(&example)
        .put("deploy-dead", &example.start(1))
        .put("deploy-dead", &example.start(2))
        .put("summarize-dead", &example.summarize());
    let second = world.queues["manifold-deploy-dead"][1].id.clone();
    let chosen = redrive(&["--id", &second, "--id", "elsewhere", "--yes", "--output", "json"]);
    let (output, world) = run(world, &chosen);
    let told = document(&output);
    assert_eq!(output.status.code(), Some(1), "{told:#}");
    assert_eq!((&told["missing"], &told["letters"][0]["outcome"]), (&json!(["elsewhere"]), &json!("redriven")));
    assert_eq!(
        (world.bodies("deploy"), world.bodies("deploy-dead")),
        (vec![&*example.start(2)], vec![&*example.start(1)])
    );
    let (output, world) = run(world, &redrive(&["--queue", "manifold-summarize-dead", "--yes"]));
    assert_eq!(output.status.code(), Some(0), "{}", transcript(&output));
    assert_eq!((world.bodies("summarize").len(), world.bodies("deploy-dead").len()), (1, 1));
}

#[test]
fn a_letter_that_is_not_taken_stays_and_poison_goes_by_force_alone() {
    let example = Example::new();
    let mut world = World { closed: vec!["deploy"], ..World::new(&example) }.put("deploy-dead", &example.start(1));
    world.put_noted("undelivered", &state_change(&example, "SUCCEEDED"), noted("arn:aws:sqs:us-east-1:1:other"));
    let world = world.put("collect-dead", POISON);
    let (output, world) = run(world, &redrive(&["--all", "--force", "--yes"]));
    assert_snapshot!("failed", transcript(&output));
    assert_eq!((world.bodies("deploy").len(), world.bodies("deploy-dead").len()), (0, 1));
    assert_eq!((world.bodies("collect"), world.bodies("collect-dead").len()), (vec![POISON], 0));
    assert_eq!(world.bodies("undelivered").len(), 1, "nothing says where to");
}

#[test]
fn of_many_letters_some_are_shown_and_the_rest_is_counted() {
    let example = Example::new();
    let mut world = World::new(&example);
    for _ in 0..250 {
        world = world.put("summarize-dead", &example.summarize());
    }
    let (output, world) = run(world, &[&LIST[..], &["--most", "25"]].concat());
    assert_snapshot!("many", transcript(&output));
    assert_eq!(world.bodies("summarize-dead").len(), 250);
    let (output, world) = run(world, &redrive(&["--all", "--yes", "--output", "json"]));
    assert_eq!(output.status.code(), Some(0), "{}", transcript(&output));
    assert_eq!((world.bodies("summarize").len(), world.bodies("summarize-dead").len()), (250, 0));
}

#[test]
fn a_letter_that_somebody_else_looks_at_is_counted() {
    let example = Example::new();
    let mut world = World::new(&example).put("deploy-dead", &example.start(1));
    world.queues.get_mut("manifold-deploy-dead").unwrap()[0].hidden = true;
    let (output, _) = run(world, &[&LIST[..], &["--output", "json"]].concat());
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(document(&output)["queues"][1]["hidden"], 1);
}

#[test]
fn without_the_ledger_the_letters_are_there_and_nothing_is_known_of_their_runs() {
    let example = Example::new();
    let world = World { ledger_denied: true, ..World::new(&example) };
    let world = world.put("deploy-dead", &example.start(1)).put("collect-dead", POISON);
    let (output, _) = run(world, &[&LIST[..], &["--output", "json"]].concat());
    let told = document(&output);
    assert_eq!((&told["letters"][0]["kind"], &told["letters"][1]["kind"]), (&json!("unknown"), &json!("unreadable")));
    assert!(told["letters"][0]["why"].as_str().unwrap().contains("AccessDeniedException"), "{told:#}");
}

#[test]
fn members_that_can_not_be_looked_into_are_named() {
    let (output, _) = run(World::new(&Example::new()), &[&LIST[..], &["--members", "--region", "eu-west-1"]].concat());
    assert_snapshot!("members_denied", transcript(&output));
}

#[test]
fn what_can_not_be_looked_at_at_all_is_a_usage_error() {
    let example = Example::new();
    let told = |world: World, args: &[&str]| transcript(&run(world, args).0);
    let told = [
        told(World::new(&example), &[]),
        told(World::new(&example), &redrive(&[])),
        told(World::new(&example), &[&LIST[..], &["--queue", "deploy"]].concat()),
        told(World::new(&example), &[&LIST[..], &["--region", "eu-west-1"]].concat()),
        told(World { account: PROD, ..World::new(&example) }, &LIST),
        told(World { is_installed: false, ..World::new(&example) }, &LIST),
    ];
    assert_snapshot!("usage", told.join("\n"));
}
