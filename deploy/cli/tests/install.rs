//! `manifold install` as its users meet it: the real binary, on a stand-in for CloudFormation over HTTP. The hub is there
//! already; the member stacks are made.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic is how a test fails")]

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use serde_json::Value;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

const HUB: &str = "111122223333";
const DEV: &str = "444455556666";
const FUNCTIONS: [&str; 7] = ["dispatch", "deploy", "collect", "summarize", "sweep", "inspect", "respond"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// A stack without an id of its own: there is one of a name in a Region.
#[derive(Debug, Default, Clone)]
struct Stack {
    status: &'static str,
    events: Vec<(String, &'static str, String)>,
    has_change_set: bool,
}

#[derive(Debug, Default)]
struct Aws {
    stacks: BTreeMap<String, Stack>,
    calls: Vec<String>,
    /// Of each stack that was planned.
    parameters: BTreeMap<String, BTreeMap<String, String>>,
    /// How often IAM does not know the hub's role yet.
    unknown_role: usize,
    /// Change sets are never done until one of them is deleted.
    plans_take_long: bool,
    /// Stacks can't be looked at any more once they were begun.
    goes_blind: bool,
}

impl Aws {
    /// The resources of the stack, as its name has them.
    fn resources(name: &str) -> &'static [&'static str] {
        if name.ends_with("member") { &["TargetRole", "InspectRole"] } else { &["PipelineRule"] }
    }

    fn describe(&self, place: &str, id: &str) -> Result<String, String> {
        let name = id.rsplit('/').next().unwrap();
        if name == "manifold-hub" {
            return Ok(format!(
                "<member><StackName>{name}</StackName><StackStatus>CREATE_COMPLETE</StackStatus><Parameters><member>\
                 <ParameterKey>MemberAccounts</ParameterKey><ParameterValue>{DEV},777788889999</ParameterValue></member>\
                 </Parameters><Outputs>{}{}{}</Outputs></member>",
                output("HubBusArn", &format!("arn:aws:events:us-east-1:{HUB}:event-bus/manifold")),
                output("DeployRoleArn", &format!("arn:aws:iam::{HUB}:role/manifold-deploy")),
                output("InspectRoleArn", &format!("arn:aws:iam::{HUB}:role/manifold-inspect")),
            ));
        }
        match self.stacks.get(place) {
            Some(stack) => Ok(format!(
                "<member><StackName>{name}</StackName><StackId>{id}</StackId><StackStatus>{}</StackStatus></member>",
                stack.status
            )),
            None => Err(format!("Stack with id {name} does not exist")),
        }
    }

    fn execute(&mut self, place: &str, name: &str) {
        let refuses = name.ends_with("member") && self.unknown_role > 0;
        let own = |status, reason: &str| (name.to_owned(), status, reason.to_owned());
        let Some(stack) = self.stacks.get_mut(place) else { return };
        stack.has_change_set = false;
        if refuses {
            self.unknown_role -= 1;
            stack.status = "DELETE_COMPLETE";
            let why = "Invalid principal in policy: \"AWS\":\"arn:aws:iam::111122223333:role/manifold-deploy\" (Service: Iam, \
                       Status Code: 400)";
            stack.events.push(("TargetRole".to_owned(), "CREATE_FAILED", why.to_owned()));
            stack.events.push(own("DELETE_COMPLETE", "The following resource(s) failed to create: [TargetRole]."));
            return;
        }
        stack.status = "CREATE_COMPLETE";
        let made =
            Self::resources(name).iter().map(|resource| ((*resource).to_owned(), "CREATE_COMPLETE", String::new()));
        stack.events.extend(made);
        stack.events.push(own("CREATE_COMPLETE", ""));
    }
}

fn output(key: &str, value: &str) -> String {
    format!("<member><OutputKey>{key}</OutputKey><OutputValue>{value}</OutputValue></member>")
}

/// AWS, and a bell that rings at every call.
#[derive(Default)]
struct Cloud {
    aws: Mutex<Aws>,
    called: Condvar,
}

impl Cloud {
    /// Waits for the nth call of an operation.
    fn wait_for(&self, operation: &str, count: usize) {
        let mut aws = self.aws.lock().unwrap();
        while aws.calls.iter().filter(|call| call.starts_with(operation)).count() < count {
            let (guard, waited) = self.called.wait_timeout(aws, Duration::from_secs(30)).unwrap();
            assert!(!waited.timed_out(), "{operation} was not called {count} times: {:#?}", guard.calls);
            aws = guard;
        }
    }

    fn calls(&self, operation: &str) -> usize {
        self.aws.lock().unwrap().calls.iter().filter(|call| call.starts_with(operation)).count()
    }

    /// What is left of stacks that have no resources, and of change sets.
    fn litter(&self) -> Vec<String> {
        let aws = self.aws.lock().unwrap();
        let left = aws.stacks.iter().filter(|(_, stack)| stack.has_change_set || stack.status == "REVIEW_IN_PROGRESS");
        left.map(|(place, _)| place.clone()).collect()
    }
}

struct Stage(Arc<Cloud>);

impl Respond for Stage {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        // A form is written as a URL's query is.
        let mut url = request.url.clone();
        url.set_query(Some(&String::from_utf8_lossy(&request.body)));
        let form: BTreeMap<String, String> =
            url.query_pairs().map(|(key, value)| (key.into_owned(), value.into_owned())).collect();
        let get = |key: &str| form.get(key).map_or("", String::as_str);
        let action = get("Action");
        let scope = request.headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
        // Credential=KEY/DATE/REGION/SERVICE/aws4_request
        let region = scope.split('/').nth(2).unwrap_or_default().to_owned();
        let owner = if scope.contains("AKIDMEMBER") { DEV } else { HUB };
        let id = get("StackName");
        let name = id.rsplit('/').next().unwrap_or_default().to_owned();
        let place = format!("{region} {name}");
        let mut aws = self.0.aws.lock().unwrap();
        aws.calls.push(format!("{action} {place}"));
        self.0.called.notify_all();
        let done = |result: String| {
            ResponseTemplate::new(200).set_body_string(format!(
                "<{action}Response><{action}Result>{result}</{action}Result></{action}Response>"
            ))
        };
        let refused = |code: &str, message: &str| {
            ResponseTemplate::new(400).set_body_string(format!(
                "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
            ))
        };
        let stack_id = format!("arn:aws:cloudformation:{region}:{DEV}:stack/{name}");
        match action {
            "GetCallerIdentity" => {
                done(format!("<Arn>arn:aws:iam::{owner}:user/jane</Arn><UserId>A</UserId><Account>{owner}</Account>"))
            }
            "AssumeRole" => done(
                "<Credentials><AccessKeyId>AKIDMEMBER</AccessKeyId><SecretAccessKey>s</SecretAccessKey>\
                 <SessionToken>t</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>"
                    .to_owned(),
            ),
            "DescribeStacks" => match aws.describe(&place, id) {
                Ok(stack) => done(format!("<Stacks>{stack}</Stacks>")),
                Err(words) => refused("ValidationError", &words),
            },
            "CreateChangeSet" if aws.stacks.get(&place).is_some_and(|stack| stack.has_change_set) => {
                refused("AlreadyExistsException", "ChangeSet manifold-install already exists")
            }
            "CreateChangeSet" => {
                let given = (1..).map(|index| format!("Parameters.member.{index}.Parameter"));
                let given =
                    given.map_while(|at| Some((form.get(&format!("{at}Key"))?, form.get(&format!("{at}Value")))));
                let given = given.map(|(name, value)| (name.clone(), value.cloned().unwrap_or_default())).collect();
                aws.parameters.insert(place.clone(), given);
                aws.stacks
                    .insert(place, Stack { status: "REVIEW_IN_PROGRESS", has_change_set: true, ..Stack::default() });
                done(format!(
                    "<Id>arn:aws:cloudformation:{region}:{DEV}:changeSet/{name}</Id><StackId>{stack_id}</StackId>"
                ))
            }
            "DescribeChangeSet" => {
                let name = get("ChangeSetName").rsplit('/').next().unwrap_or_default();
                let status = if aws.plans_take_long { "CREATE_IN_PROGRESS" } else { "CREATE_COMPLETE" };
                let changes = Aws::resources(name).iter().map(|resource| {
                    format!(
                        "<member><Type>Resource</Type><ResourceChange><Action>Add</Action><LogicalResourceId>{resource}\
                         </LogicalResourceId><ResourceType>AWS::X::Y</ResourceType></ResourceChange></member>"
                    )
                });
                done(format!("<Status>{status}</Status><Changes>{}</Changes>", changes.collect::<String>()))
            }
            "DeleteChangeSet" => {
                if let Some(stack) = aws.stacks.get_mut(&place) {
                    stack.has_change_set = false;
                }
                done(String::new())
            }
            "DeleteStack" => {
                aws.stacks.remove(&place);
                done(String::new())
            }
            "DescribeStackEvents" => {
                let begun = aws.calls.iter().any(|call| *call == format!("ExecuteChangeSet {place}"));
                if aws.goes_blind && begun {
                    return refused("AccessDenied", "not any more");
                }
                let events = aws.stacks.get(&place).map(|stack| stack.events.clone()).unwrap_or_default();
                let events = events.iter().enumerate().rev().map(|(index, (resource, status, reason))| {
                    let physical = if *resource == name { stack_id.as_str() } else { "x" };
                    format!(
                        "<member><StackId>{stack_id}</StackId><EventId>{index}</EventId><StackName>{name}</StackName>\
                         <Timestamp>2026-01-01T00:00:00Z</Timestamp><LogicalResourceId>{resource}</LogicalResourceId>\
                         <PhysicalResourceId>{physical}</PhysicalResourceId><ResourceType>AWS::IAM::Role</ResourceType>\
                         <ResourceStatus>{status}</ResourceStatus><ResourceStatusReason>{reason}</ResourceStatusReason></member>"
                    )
                });
                done(format!("<StackEvents>{}</StackEvents>", events.collect::<String>()))
            }
            "ExecuteChangeSet" => {
                aws.execute(&place, &name);
                // A stack that is gone is known by its id for a while.
                done(String::new())
            }
            unexpected => refused("InvalidAction", unexpected),
        }
    }
}

/// The demo's fleet file.
fn fleet() -> String {
    std::fs::read_to_string(root().join("deploy/examples/fleet.yaml")).unwrap()
}

/// A fleet file, and the zips of all functions as `deploy/package` makes them of it.
fn package(name: &str, fleet: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("install").join(name);
    std::fs::create_dir_all(&directory).unwrap();
    let mut program = b"\x7fELF\x02\x01".to_vec();
    program.resize(64, 0);
    program[18] = 62;
    for function in FUNCTIONS {
        let mut zip = ZipWriter::new(std::fs::File::create(directory.join(format!("{function}.zip"))).unwrap());
        zip.start_file("bootstrap", SimpleFileOptions::default()).unwrap();
        zip.write_all(&program).unwrap();
        if function == "dispatch" {
            zip.start_file("fleet.yaml", SimpleFileOptions::default()).unwrap();
            zip.write_all(fleet.as_bytes()).unwrap();
        }
        zip.finish().unwrap();
    }
    std::fs::write(directory.join("fleet.yaml"), fleet).unwrap();
    directory
}

struct Story {
    cloud: Arc<Cloud>,
    package: PathBuf,
    server: MockServer,
    /// Serves, as long as the story is told.
    _runtime: tokio::runtime::Runtime,
}

impl Story {
    fn of(name: &str, aws: Aws) -> Self {
        Self::of_fleet(name, aws, &fleet())
    }

    fn of_fleet(name: &str, aws: Aws, fleet: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let cloud = Arc::new(Cloud { aws: Mutex::new(aws), called: Condvar::new() });
        let server = runtime.block_on(async {
            let server = MockServer::start().await;
            Mock::given(any()).respond_with(Stage(Arc::clone(&cloud))).mount(&server).await;
            server
        });
        Self { cloud, package: package(name, fleet), server, _runtime: runtime }
    }

    fn start(&self, args: &[&str]) -> Child {
        Command::new(env!("CARGO_BIN_EXE_manifold"))
            .args(["install", "--only", "dev", "--fleet"])
            .arg(self.package.join("fleet.yaml"))
            .arg("--package")
            .arg(&self.package)
            .args(args)
            .current_dir(root())
            .env_clear()
            .env("AWS_ENDPOINT_URL", self.server.uri())
            .env("AWS_ACCESS_KEY_ID", "AKIDOPERATOR")
            .env("AWS_SECRET_ACCESS_KEY", "secret")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    fn run(&self, args: &[&str]) -> Output {
        self.start(args).wait_with_output().unwrap()
    }
}

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn document(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", told(output)))
}

#[test]
fn ctrl_c_takes_the_plan_back() {
    let story = Story::of("interrupted", Aws { plans_take_long: true, ..Aws::default() });
    let child = story.start(&["--yes"]);
    story.cloud.wait_for("CreateChangeSet", 6);
    let pressed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(pressed.success());
    story.cloud.aws.lock().unwrap().plans_take_long = false;
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", told(&output));
    assert_eq!(story.cloud.calls("ExecuteChangeSet"), 0);
    assert_eq!(story.cloud.litter(), [""; 0], "{}", told(&output));
    assert!(told(&output).contains("Interrupted: nothing was deployed."), "{}", told(&output));
}

#[test]
fn what_a_killed_run_left_goes_with_the_next_plan() {
    let left = Stack { status: "REVIEW_IN_PROGRESS", has_change_set: true, ..Stack::default() };
    let places = ["us-east-1 manifold-member", "eu-west-1 manifold-region"].map(str::to_owned);
    let stacks = places.map(|place| (place, left.clone())).into();
    let story = Story::of("killed", Aws { stacks, ..Aws::default() });
    let output = story.run(&["--plan"]);
    assert_eq!(output.status.code(), Some(3), "{}", told(&output));
    assert_eq!(story.cloud.litter(), [""; 0], "{}", told(&output));
}

#[test]
fn a_role_that_iam_does_not_know_everywhere_yet_is_waited_for() {
    let story = Story::of("early", Aws { unknown_role: 1, ..Aws::default() });
    let output = story.run(&["--yes", "--output", "json"]);
    let document = document(&output);
    assert_eq!((output.status.code(), document["result"].as_str()), (Some(0), Some("deployed")), "{document:#}");
    assert_eq!(story.cloud.calls("ExecuteChangeSet us-east-1 manifold-member"), 2);
    assert_eq!(story.cloud.litter(), [""; 0]);
}

#[test]
fn what_was_begun_and_can_not_be_followed_is_left_to_cloudformation() {
    let story = Story::of("blind", Aws { goes_blind: true, ..Aws::default() });
    let output = story.run(&["--yes", "--output", "json"]);
    let document = document(&output);
    assert_eq!((output.status.code(), &document["result"]), (Some(1), &Value::from("failed")), "{document:#}");
    assert_eq!(document["stacks"][0]["status"], "CREATE_IN_PROGRESS");
    assert_eq!(story.cloud.calls("DeleteChangeSet us-east-1 manifold-member"), 0);
    assert_eq!(story.cloud.calls("DeleteStack us-east-1 manifold-member"), 0);
    // Its Regions were not begun, and their plans go.
    assert_eq!(story.cloud.litter(), [""; 0]);
}

/// What drift checks look at follows from the fleet file; what reads it, and what may be prepared, from options.
#[test]
fn what_drift_checks_may_do_reaches_the_accounts_and_regions_that_have_stacks() {
    let stacks = "      every: 1h\n      stacks: web\n      who: true\n";
    let story = Story::of_fleet("drift", Aws::default(), &fleet().replacen("      every: 1h\n", stacks, 1));
    let policy = "arn:aws:iam::{account}:policy/reads";
    let output = story.run(&["--plan", "--drift-read-policies", policy, "--drift-revert", "true"]);
    assert_eq!(output.status.code(), Some(3), "{}", told(&output));
    let parameters = story.cloud.aws.lock().unwrap().parameters.clone();
    let drift = |place: &str| -> Vec<String> {
        let own = parameters[place].iter().filter(|(name, _)| name.starts_with("Drift"));
        own.map(|(name, value)| format!("{name}={value}")).collect()
    };
    let read = format!("DriftReadPolicyArns=arn:aws:iam::{DEV}:policy/reads");
    let member = ["DriftCloudTrail=true", read.as_str(), "DriftRevert=true", "DriftStacks=web"];
    assert_eq!(drift("us-east-1 manifold-member"), member);
    assert_eq!(drift("eu-west-1 manifold-region"), ["DriftStacks=web"]);
    assert!(told(&output).contains("may prepare, not execute, change sets of: web"), "{}", told(&output));
}

#[test]
fn rights_for_stacks_that_nobody_looks_at_are_not_given() {
    let story = Story::of("no-stacks", Aws::default());
    let output = story.run(&["--plan", "--drift-revert", "true"]);
    assert_eq!(output.status.code(), Some(2), "{}", told(&output));
    assert!(told(&output).contains("--drift-revert: the fleet file names no stacks"), "{}", told(&output));
    assert_eq!(story.cloud.calls("CreateChangeSet"), 0);
}
