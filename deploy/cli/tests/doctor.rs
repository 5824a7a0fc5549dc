//! `manifold doctor` as its users meet it: the real binary, asking a stand-in for a hub's functions over HTTP.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic is how a test fails")]

use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use insta::assert_snapshot;
use manifold_core::checkup::{
    AccessSeen, Answer, BusSeen, ChannelSeen, Decision, HubSeen, Inspected, PipelineSeen, PipelineSpotSeen, Place,
    Question, RuleSeen, RuleTarget, SlackSeen, SourceActionSeen, Spot, SpotSeen, TokenSeen, Tried, VariableSeen, asked,
    digest, to_response,
};
use serde_json::{Value, json};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

const FLEET: &str = "deploy/examples/fleet.yaml";
const HUB: &str = "111122223333";
const PROD: &str = "777788889999";

fn root() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// A hub and its accounts, in which all is well until a test takes something away.
#[derive(Clone)]
struct World {
    /// Whose credentials the operator has.
    account: &'static str,
    digest: String,
    /// The functions that are installed.
    functions: Vec<&'static str>,
    /// Functions that take a question for messages, as those of an older hub do.
    older: Vec<&'static str>,
    /// Functions that Lambda ends.
    dying: Vec<&'static str>,
    access: fn(&Place, &mut AccessSeen),
    spot: fn(&Spot, &mut SpotSeen),
    slack: fn(&mut SlackSeen),
    hub: fn(&mut HubSeen),
}

impl World {
    fn well() -> Self {
        Self {
            account: HUB,
            digest: digest(&std::fs::read_to_string(root().join(FLEET)).unwrap()),
            functions: vec!["dispatch", "deploy", "collect", "summarize", "sweep", "inspect"],
            older: vec![],
            dying: vec![],
            access: |_, _| {},
            spot: |_, _| {},
            slack: |_| {},
            hub: |_| {},
        }
    }

    fn answer(&self, question: Question) -> Answer {
        match question {
            Question::Fleet => Answer::Fleet { digest: self.digest.clone() },
            Question::Access(places) => Answer::Access(places.iter().map(|place| self.seen_by_deploy(place)).collect()),
            Question::Preview(_) | Question::Discard(_) => panic!("a checkup has nothing made"),
            Question::Inspect(asked) => Answer::Inspect(Inspected {
                role: "ManifoldInspect".to_owned(),
                hub: asked.hub.map(|asked| {
                    let members = json!({"AWS": ["444455556666", PROD]});
                    let policy = json!({"Statement": [{"Effect": "Allow", "Principal": members,
                        "Action": "events:PutEvents"}]});
                    let mut hub = HubSeen {
                        bus: Tried::Done(BusSeen { policy: Some(policy.to_string()) }),
                        releases: vec![Tried::Done(()); asked.releases.len()],
                    };
                    (self.hub)(&mut hub);
                    hub
                }),
                spots: asked.spots.iter().map(|spot| self.seen_by_inspect(spot)).collect(),
            }),
            Question::Slack(channels) => {
                let token = TokenSeen {
                    team: Some("Example".to_owned()),
                    user: Some("manifold".to_owned()),
                    scopes: Some(vec!["chat:write".to_owned(), "channels:read".to_owned()]),
                };
                let channel = ChannelSeen {
                    name: Some("deploys".to_owned()),
                    is_archived: false,
                    is_member: Some(true),
                    is_private: false,
                };
                let mut seen =
                    SlackSeen { secret: Tried::Done(()), token: Tried::Done(token), channel: Tried::Done(channel) };
                (self.slack)(&mut seen);
                Answer::Slack(vec![seen; channels.len()])
            }
        }
    }

    fn seen_by_deploy(&self, place: &Place) -> AccessSeen {
        let done = Tried::Done(());
        let mut seen = AccessSeen { assumed: done.clone(), list_executions: done.clone(), list_actions: done };
        (self.access)(place, &mut seen);
        seen
    }

    fn seen_by_inspect(&self, spot: &Spot) -> SpotSeen {
        let rule = |(name, kind): (&String, &str)| {
            let role = Some(format!("arn:aws:iam::{}:role/ManifoldForward", spot.key.account));
            let arn = format!("arn:aws:events:us-east-1:{HUB}:event-bus/manifold");
            let pattern = json!({"source": ["aws.codepipeline"], "detail-type": [kind],
                "detail": {"pipeline": [{"wildcard": "svc-*"}]}});
            assert!(name.starts_with("manifold-forward-"), "{name}");
            Tried::Done(RuleSeen {
                state: "ENABLED".to_owned(),
                pattern: Some(pattern.to_string()),
                targets: vec![RuleTarget { arn, role }],
            })
        };
        let kinds = ["CodePipeline Pipeline Execution State Change", "CodePipeline Action Execution State Change"];
        let variable = |name: &str| VariableSeen { name: name.to_owned(), has_default: true };
        let pipeline = PipelineSeen {
            pipeline_type: Some("V2".to_owned()),
            execution_mode: Some("QUEUED".to_owned()),
            variables: ["LOG_LEVEL", "COMMIT", "STAGE", "ARTIFACTS"].map(variable).into(),
            sources: vec![SourceActionSeen {
                name: "Source".to_owned(),
                provider: "CodeStarSourceConnection".to_owned(),
                allows_object_key: false,
            }],
        };
        let allowed = |action: &str| Decision {
            action: format!("codepipeline:{action}"),
            decision: "allowed".to_owned(),
            missing: vec![],
            by_organization: None,
            by_boundary: None,
        };
        let actions = ["StartPipelineExecution", "ListPipelineExecutions", "ListActionExecutions"];
        let looked =
            PipelineSpotSeen { pipeline: Tried::Done(pipeline), decisions: Tried::Done(actions.map(allowed).into()) };
        let mut seen = SpotSeen {
            assumed: Tried::Done(()),
            rules: spot.rules.iter().zip(kinds).map(rule).collect(),
            pipelines: vec![looked; spot.started.len()],
        };
        (self.spot)(spot, &mut seen);
        seen
    }

    fn invoked(&self, function: &str, request: &Request) -> ResponseTemplate {
        let header = |name: &str| request.headers.get(name).and_then(|value| value.to_str().ok());
        if !self.functions.contains(&function) {
            let body = json!({"Message": format!("Function not found: manifold-{function}"), "Type": "User"});
            let reply = ResponseTemplate::new(404).set_body_json(body);
            return reply.insert_header("x-amzn-errortype", "ResourceNotFoundException");
        }
        if header("x-amz-invocation-type") == Some("DryRun") {
            return ResponseTemplate::new(204);
        }
        let broken = |body: Value| {
            ResponseTemplate::new(200).set_body_json(body).insert_header("x-amz-function-error", "Unhandled")
        };
        if self.older.contains(&function) {
            return broken(json!({"errorType": "manifold::InvocationFailed", "errorMessage": "this is no SQS batch"}));
        }
        if self.dying.contains(&function) {
            return broken(json!({"errorMessage": "Task timed out after 60.00 seconds"}));
        }
        let question = asked(&serde_json::from_slice(&request.body).unwrap()).unwrap();
        ResponseTemplate::new(200).set_body_json(to_response(question.map(|question| self.answer(question))))
    }
}

struct Stage {
    world: World,
    invoked: Arc<Mutex<Vec<String>>>,
}

impl Respond for Stage {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let path = request.url.path();
        if let Some(function) = path.strip_prefix("/2015-03-31/functions/manifold-") {
            let function = function.trim_end_matches("/invocations");
            self.invoked.lock().unwrap().push(function.to_owned());
            return self.world.invoked(function, request);
        }
        let body = String::from_utf8_lossy(&request.body).into_owned();
        assert!(body.contains("Action=GetCallerIdentity"), "nobody expected {path} {body}");
        let account = self.world.account;
        ResponseTemplate::new(200).set_body_string(format!(
            "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
             <Arn>arn:aws:iam::{account}:user/jane</Arn><UserId>AIDA</UserId><Account>{account}</Account>\
             </GetCallerIdentityResult></GetCallerIdentityResponse>"
        ))
    }
}

/// Runs the command in a world. Returns what it printed, and which functions it invoked.
fn run_with(world: World, fleet: &str, args: &[&str]) -> (Output, Vec<String>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let invoked = Arc::<Mutex<Vec<String>>>::default();
    let server = runtime.block_on(async {
        let server = MockServer::start().await;
        let stage = Stage { world, invoked: Arc::clone(&invoked) };
        Mock::given(any()).respond_with(stage).mount(&server).await;
        server
    });
    let output = Command::new(env!("CARGO_BIN_EXE_manifold"))
        .args(["doctor", "--fleet", fleet])
        .args(args)
        .current_dir(root())
        .env_clear()
        .env("AWS_ENDPOINT_URL", server.uri())
        .env("AWS_ACCESS_KEY_ID", "AKIDOPERATOR")
        .env("AWS_SECRET_ACCESS_KEY", "secret")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .output()
        .unwrap();
    let invoked = invoked.lock().unwrap().clone();
    (output, invoked)
}

fn run(world: World, args: &[&str]) -> Output {
    run_with(world, FLEET, args).0
}

fn transcript(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let errors = text(&output.stderr);
    format!("{}{errors}--- exit status {}\n", text(&output.stdout), output.status.code().unwrap())
}

fn document(world: World, args: &[&str]) -> (Value, i32) {
    let output = run(world, &[&["--output", "json"], args].concat());
    let document = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", transcript(&output)));
    (document, output.status.code().unwrap())
}

fn refused<T>(code: &str, message: &str) -> Tried<T> {
    Tried::Refused { code: code.to_owned(), message: message.to_owned() }
}

#[test]
fn where_all_is_well_it_says_so() {
    assert_snapshot!("well", transcript(&run(World::well(), &[])));
}

/// Several things are wrong at once, each in more than one place.
fn ailing() -> World {
    World {
        digest: digest("another file"),
        access: |place, seen| {
            if place.key.account.as_str() == PROD && place.key.region.as_str() != "eu-west-1" {
                let message = "User: arn:aws:sts::111122223333:assumed-role/manifold-deploy/manifold-deploy is not \
                               authorized to perform: sts:AssumeRole on resource: \
                               arn:aws:iam::777788889999:role/ManifoldTarget";
                *seen = AccessSeen::not_assumed(refused("AccessDenied", message));
            }
        },
        spot: |spot, seen| {
            if spot.key.region.as_str() == "eu-central-1" {
                let message = "Rule manifold-forward-pipeline does not exist on EventBus default.";
                seen.rules[0] = refused("ResourceNotFoundException", message);
            }
            if let ("444455556666", Tried::Done(pipeline)) =
                (spot.key.account.as_str(), &mut seen.pipelines[0].pipeline)
            {
                pipeline.variables.retain(|variable| variable.name != "ARTIFACTS");
            }
        },
        slack: |seen| seen.channel = refused("missing_scope", "it needs channels:read"),
        ..World::well()
    }
}

#[test]
fn what_is_wrong_is_told_by_cause_with_its_remedy() {
    assert_snapshot!("ailing", transcript(&run(ailing(), &[])));
}

#[test]
fn a_script_gets_every_finding_of_the_chosen_targets() {
    let chosen = ["--account", "prod", "--region", "eu-central-1"];
    let (document, status) = document(ailing(), &chosen);
    assert_eq!(status, 1);
    assert_snapshot!("document", format!("{document:#}"));
}

#[test]
fn a_hub_that_is_not_installed_is_one_cause_and_each_function_is_asked_once() {
    let world = World { functions: vec![], ..World::well() };
    let (output, mut invoked) = run_with(world, FLEET, &[]);
    invoked.sort();
    assert_eq!(invoked, ["collect", "deploy", "dispatch", "inspect", "summarize", "sweep"]);
    assert_snapshot!("not_installed", transcript(&output));
}

#[test]
fn an_older_hub_is_told_to_be_updated() {
    let world = World {
        functions: vec!["dispatch", "deploy", "collect", "summarize"],
        older: vec!["dispatch", "deploy", "summarize"],
        ..World::well()
    };
    assert_snapshot!("older", transcript(&run(world, &[])));
}

#[test]
fn what_could_not_be_looked_at_is_not_well_and_has_an_exit_status_of_its_own() {
    let throttled = World {
        access: |_, seen| seen.list_actions = Tried::Unanswered { reason: "ThrottlingException: slow down".to_owned() },
        ..World::well()
    };
    let (report, status) = document(throttled, &[]);
    assert_eq!((report["state"].as_str(), status), (Some("unknown"), 3));
    assert_eq!(report["causes"].as_array().unwrap().len(), 1);
    assert_eq!(report["causes"][0]["subjects"].as_array().unwrap().len(), 10);
    let dying = World { dying: vec!["inspect"], ..World::well() };
    let (report, status) = document(dying, &[]);
    assert_eq!((report["state"].as_str(), status), (Some("unknown"), 3));
    assert_eq!(report["causes"][0]["cause"], "Function manifold-inspect failed");
    let gone = World { hub: |hub| hub.bus = refused("ResourceNotFoundException", "no bus"), ..World::well() };
    assert_eq!(document(gone, &[]).1, 1);
}

#[test]
fn what_can_not_be_looked_at_at_all_is_a_usage_error() {
    let elsewhere = World { account: PROD, ..World::well() };
    let other = |args: &[&str]| transcript(&run(World::well(), args));
    let told = [
        transcript(&run(elsewhere, &[])),
        other(&["--app", "wep"]),
        other(&["--account", "staging"]),
        transcript(&run_with(World::well(), "nowhere.yaml", &[]).0),
    ];
    assert_snapshot!("usage", told.join("\n"));
}

#[test]
fn a_large_fleet_is_asked_for_in_chunks_and_told_in_order() {
    let mut fleet = "version: 1\nhub: { account: \"111122223333\", region: us-east-1 }\n\
                     defaults: { role: ManifoldTarget, slack: silent }\n\
                     regions: { us-east-1: {}, eu-west-1: {} }\naccounts:\n"
        .to_owned();
    for account in 0..60 {
        fleet += &format!("  a{account:02}: {{ id: \"4444555566{account:02}\" }}\n");
    }
    fleet += "apps:\n  web:\n    release: { pipelines: web-release }\n    \
              engine: { codepipeline: { name: svc-deploy, source_action: Source } }\n";
    let directory = tempfile();
    let path = directory.join("fleet.yaml");
    std::fs::write(&path, &fleet).unwrap();
    let world = World { digest: digest(&fleet), ..World::well() };
    let (output, invoked) = run_with(world, path.to_str().unwrap(), &["--output", "json"]);
    std::fs::remove_dir_all(directory).unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", transcript(&output)));
    for function in ["deploy", "inspect"] {
        // 120 targets in chunks of 48, and the question that comes first.
        assert_eq!(invoked.iter().filter(|name| *name == function).count(), 4, "{function}");
    }
    let entries = report["entries"].as_array().unwrap();
    let targets: Vec<&Value> = entries.iter().filter(|entry| entry["subject"]["kind"] == "target").collect();
    assert_eq!(targets.len(), 120);
    assert_eq!(
        (&targets[0]["subject"]["account_name"], &targets[119]["subject"]["account_name"]),
        (&json!("a00"), &json!("a59"))
    );
    // The stand-in's bus lets two accounts in, and these are others: each is told, as one cause.
    assert_eq!(report["causes"][0]["check"], "bus_policy");
    assert_eq!(report["causes"][0]["subjects"].as_array().unwrap().len(), 120);
}

fn tempfile() -> std::path::PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("doctor");
    std::fs::create_dir_all(&directory).unwrap();
    directory
}
