//! A checkup's judgement: one place where all is well, and then each thing taken away in turn.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::fmt::Write;

use insta::assert_snapshot;
use manifold_core::checkup::{
    AccessSeen, BusSeen, ChannelSeen, Check, Decision, Entry, Expected, ExpectedRule, Finding, HubSeen, HubTrouble,
    PipelineAsked, PipelineSeen, PipelineSpotSeen, Place, Report, RuleSeen, RuleTarget, Sends, SlackSeen,
    SourceActionSeen, SpotSeen, State, Subject, TokenSeen, Tried, VariableSeen, bus_arn, forward_rules, judge_bus,
    judge_channel, judge_fleet_file, judge_function, judge_release, judge_target, rights,
};
use manifold_core::engine::Service;
use manifold_core::plan::{Channel, RevisionKind, SecretRef};
use serde_json::json;

fn refused<T>(code: &str) -> Tried<T> {
    Tried::Refused { code: code.to_owned(), message: format!("{code} in words") }
}

fn unanswered<T>() -> Tried<T> {
    Tried::Unanswered { reason: "ThrottlingException: Rate exceeded".to_owned() }
}

/// A target, and what is seen of it.
#[derive(Clone)]
struct World {
    expected: Expected,
    access: Option<AccessSeen>,
    spot: Option<SpotSeen>,
    bus: Tried<BusSeen>,
}

impl World {
    fn well() -> Self {
        let (hub, region) = ("111122223333".parse().unwrap(), "us-east-1".parse().unwrap());
        let bus = bus_arn(&hub, &region, "manifold");
        let rule = |kind: &str| {
            let pattern = json!({"source": ["aws.codepipeline"], "account": ["444455556666"], "detail-type": [kind],
                "detail": {"pipeline": [{"wildcard": "svc-*"}]}});
            let role = Some("arn:aws:iam::444455556666:role/ManifoldForward".to_owned());
            let targets = vec![RuleTarget { arn: bus.clone(), role }];
            Tried::Done(RuleSeen { state: "ENABLED".to_owned(), pattern: Some(pattern.to_string()), targets })
        };
        let variable = |name: &str, has_default| VariableSeen { name: name.to_owned(), has_default };
        let allowed = |action: &str| Decision {
            action: format!("codepipeline:{action}"),
            decision: "allowed".to_owned(),
            missing: vec![],
            by_organization: Some(true),
            by_boundary: None,
        };
        let pipeline = PipelineSeen {
            pipeline_type: Some("V2".to_owned()),
            execution_mode: Some("QUEUED".to_owned()),
            variables: vec![variable("COMMIT", false), variable("EXTRA", true)],
            sources: vec![SourceActionSeen {
                name: "Source".to_owned(),
                provider: "CodeStarSourceConnection".to_owned(),
                allows_object_key: false,
            }],
        };
        let policy = json!({"Statement": [{"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::444455556666:root"},
            "Action": "events:PutEvents"}]});
        Self {
            expected: Expected {
                place: Place {
                    app: "web".parse().unwrap(),
                    key: manifold_core::ids::TargetKey {
                        account: "444455556666".parse().unwrap(),
                        region: "eu-west-1".parse().unwrap(),
                    },
                    role: "arn:aws:iam::444455556666:role/ManifoldTarget".parse().unwrap(),
                    external_id: Some("rollouts-7f3a".to_owned()),
                    started: "svc-deploy".parse().unwrap(),
                },
                sends: Sends {
                    variables: vec!["COMMIT".to_owned()],
                    source: Some(("Source".to_owned(), RevisionKind::CommitId)),
                },
                hub_account: hub,
                hub_region: region,
                bus_arn: bus.clone(),
                prefix: "manifold".to_owned(),
                rules: forward_rules(Service::CodePipeline)
                    .iter()
                    .zip(0..)
                    .map(|((check, name), at)| ExpectedRule { check: *check, name: format!("manifold-{name}"), at })
                    .collect(),
            },
            access: Some(AccessSeen {
                assumed: Tried::Done(()),
                list_executions: Tried::Done(()),
                list_actions: Tried::Done(()),
            }),
            spot: Some(SpotSeen {
                assumed: Tried::Done(()),
                rules: vec![
                    rule("CodePipeline Pipeline Execution State Change"),
                    rule("CodePipeline Action Execution State Change"),
                ],
                pipelines: vec![PipelineSpotSeen {
                    pipeline: Tried::Done(pipeline),
                    decisions: Tried::Done(
                        ["StartPipelineExecution", "ListPipelineExecutions", "ListActionExecutions"]
                            .map(allowed)
                            .into(),
                    ),
                }],
            }),
            bus: Tried::Done(BusSeen { policy: Some(policy.to_string()) }),
        }
    }

    fn access(&mut self) -> &mut AccessSeen {
        self.access.as_mut().unwrap()
    }

    fn spot(&mut self) -> &mut SpotSeen {
        self.spot.as_mut().unwrap()
    }

    fn pipeline(&mut self) -> &mut PipelineSeen {
        let Tried::Done(pipeline) = &mut self.spot().pipelines[0].pipeline else { panic!("nothing was seen") };
        pipeline
    }

    fn decisions(&mut self) -> &mut Vec<Decision> {
        let Tried::Done(decisions) = &mut self.spot().pipelines[0].decisions else { panic!("nothing was seen") };
        decisions
    }

    fn rule(&mut self) -> &mut RuleSeen {
        let Tried::Done(rule) = &mut self.spot().rules[0] else { panic!("nothing was seen") };
        rule
    }

    fn judge(&self) -> Vec<Finding> {
        let spot = self.spot.as_ref().map(|spot| (spot, &spot.pipelines[0]));
        judge_target(&self.expected, self.access.as_ref(), spot, Some(&self.bus), "ManifoldInspect")
    }
}

/// All that is not well, as a person would read it.
fn told(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings.iter().filter(|finding| finding.state != State::Ok) {
        let check = serde_json::to_value(finding.check).unwrap();
        let state = format!("{:?}", finding.state).to_lowercase();
        let from = finding.follows_from.map(|from| format!(" (from {from:?})")).unwrap_or_default();
        writeln!(text, "{} {state}{from}: {}", check.as_str().unwrap(), finding.cause.as_deref().unwrap_or("-"))
            .unwrap();
        for (name, words) in [("detail", &finding.detail), ("remedy", &finding.remedy)] {
            if let Some(words) = words {
                writeln!(text, "  {name}: {words}").unwrap();
            }
        }
    }
    if text.is_empty() { "all is well\n".to_owned() } else { text }
}

/// Else a cause that is told nowhere would be hidden.
fn whoever_follows_names_what_is_not_well(findings: &[Finding]) {
    for finding in findings {
        let Some(from) = finding.follows_from else { continue };
        let is_told_by_the_hub = [Check::HubFunction, Check::HubBus].contains(&from);
        let is_told_here = findings.iter().any(|other| other.check == from && other.state != State::Ok);
        assert!(finding.state == State::Unknown && (is_told_by_the_hub || is_told_here), "{finding:?}");
    }
}

type Change = (&'static str, fn(&mut World));

fn stories(changes: &[Change]) -> String {
    let mut text = String::new();
    for (name, change) in changes {
        let mut world = World::well();
        change(&mut world);
        let findings = world.judge();
        whoever_follows_names_what_is_not_well(&findings);
        writeln!(text, "== {name}\n{}", told(&findings)).unwrap();
    }
    text
}

#[test]
fn where_all_is_well_every_check_was_made_and_nothing_is_told() {
    let findings = World::well().judge();
    assert_eq!(told(&findings), "all is well\n");
    let checks: Vec<Check> = findings.iter().map(|finding| finding.check).collect();
    let of_a_target = Check::ALL.into_iter().filter(|check| (Check::AssumeRole..=Check::BusPolicy).contains(check));
    assert_eq!(checks, of_a_target.collect::<Vec<_>>(), "each once, in order");
}

#[test]
fn each_thing_that_is_missing_in_an_account_is_told_with_its_remedy() {
    let changes: &[Change] = &[
        ("the role is not there, or does not trust the hub", |world| {
            world.access = Some(AccessSeen::not_assumed(refused("AccessDenied")));
        }),
        ("the hub itself may not assume it", |world| {
            let message = "... because no identity-based policy allows the sts:AssumeRole action".to_owned();
            let refusal = Tried::Refused { code: "AccessDenied".to_owned(), message };
            world.access = Some(AccessSeen::not_assumed(refusal));
        }),
        ("everything is throttled but STS", |world| {
            world.access().list_executions = unanswered();
            world.access().list_actions = unanswered();
            world.spot().pipelines[0] = PipelineSpotSeen { pipeline: unanswered(), decisions: unanswered() };
            world.spot().rules = vec![unanswered(), unanswered()];
            world.bus = unanswered();
        }),
        ("STS is throttled", |world| world.access = Some(AccessSeen::not_assumed(unanswered()))),
        ("the role may not list executions", |world| {
            world.access().list_executions = refused("AccessDeniedException");
        }),
        ("the role may not start", |world| world.decisions()[0].decision = "implicitDeny".to_owned()),
        ("an SCP denies the start", |world| {
            world.decisions()[0].decision = "explicitDeny".to_owned();
            world.decisions()[0].by_organization = Some(false);
        }),
        ("the role's condition asks for what nobody can give", |world| {
            world.decisions()[0].decision = "implicitDeny".to_owned();
            world.decisions()[0].missing = vec!["aws:SourceVpc".to_owned()];
        }),
        ("the Region is not enabled", |world| {
            world.access().list_executions = refused("UnrecognizedClientException");
            world.access().list_actions = refused("UnrecognizedClientException");
            world.spot().pipelines[0].pipeline = refused("UnrecognizedClientException");
            world.spot().rules = vec![refused("UnrecognizedClientException"), refused("UnrecognizedClientException")];
        }),
        ("the read-only role is not there", |world| {
            world.spot = Some(SpotSeen::not_assumed(refused("AccessDenied"), 2, 1));
        }),
        ("the read-only role may not read the pipeline, nor simulate", |world| {
            world.spot().pipelines[0] =
                PipelineSpotSeen { pipeline: refused("AccessDeniedException"), decisions: refused("AccessDenied") };
        }),
        ("the target role is gone", |world| {
            world.access = Some(AccessSeen::not_assumed(refused("AccessDenied")));
            world.spot().pipelines[0].decisions = refused("NoSuchEntity");
        }),
        ("the hub bus does not let the account in", |world| world.bus = Tried::Done(BusSeen { policy: None })),
        ("the functions did not answer", |world| {
            world.access = None;
            world.spot = None;
        }),
    ];
    assert_snapshot!("accounts", stories(changes));
}

#[test]
fn each_way_in_which_a_pipeline_does_not_fit_is_told_with_its_remedy() {
    let changes: &[Change] = &[
        ("it is not there", |world| {
            world.access().list_executions = refused("PipelineNotFoundException");
            world.access().list_actions = refused("PipelineNotFoundException");
            world.spot().pipelines[0].pipeline = refused("PipelineNotFoundException");
        }),
        ("it is of type V1", |world| world.pipeline().pipeline_type = None),
        ("it is of type V1 and is sent nothing", |world| {
            world.pipeline().pipeline_type = Some("V1".to_owned());
            world.pipeline().variables.clear();
            world.expected.sends = Sends::default();
        }),
        ("it lacks a variable, and needs another one", |world| {
            world.pipeline().variables[0].name = "REVISION".to_owned();
        }),
        ("its source action is called otherwise", |world| world.pipeline().sources[0].name = "Git".to_owned()),
        ("its source action is S3", |world| world.pipeline().sources[0].provider = "S3".to_owned()),
        ("its source action is not known here", |world| world.pipeline().sources[0].provider = "Acme".to_owned()),
        ("an object key is not allowed", |world| {
            world.pipeline().sources[0].provider = "S3".to_owned();
            world.expected.sends.source = Some(("Source".to_owned(), RevisionKind::S3ObjectKey));
        }),
    ];
    assert_snapshot!("pipelines", stories(changes));
}

#[test]
fn each_way_in_which_events_would_be_lost_is_told_with_its_remedy() {
    let changes: &[Change] = &[
        ("the rule is not there", |world| world.spot().rules[0] = refused("ResourceNotFoundException")),
        ("the rule may not be read", |world| world.spot().rules[1] = refused("AccessDeniedException")),
        ("EventBridge is throttled", |world| world.spot().rules[0] = unanswered()),
        ("the rule is disabled", |world| world.rule().state = "DISABLED".to_owned()),
        ("it points elsewhere", |world| {
            world.rule().targets[0].arn = "arn:aws:events:us-east-1:999999999999:event-bus/other".to_owned();
        }),
        ("it has no role", |world| world.rule().targets[0].role = None),
        ("its role is another account's", |world| {
            world.rule().targets[0].role = Some("arn:aws:iam::999999999999:role/ManifoldForward".to_owned());
        }),
        ("it lets other pipelines through", |world| {
            let pattern = world.rule().pattern.take().unwrap().replace("svc-", "web-");
            world.rule().pattern = Some(pattern);
        }),
        ("it lets one state through", |world| {
            world.rule().pattern = Some(json!({"detail": {"state": ["SUCCEEDED"]}}).to_string());
        }),
        ("its pattern can't be told", |world| {
            world.rule().pattern = Some(json!({"detail": {"pipeline": [{"cidr": "10.0.0.0/8"}]}}).to_string());
        }),
    ];
    assert_snapshot!("rules", stories(changes));
}

#[test]
fn a_rule_of_the_hubs_own_region_needs_no_role() {
    let mut world = World::well();
    world.expected.hub_account = world.expected.place.key.account.clone();
    world.expected.hub_region = world.expected.place.key.region.clone();
    world.rule().targets[0].role = None;
    assert_eq!(told(&world.judge()), "all is well\n");
}

#[test]
fn what_was_really_tried_goes_before_what_the_simulator_says() {
    let mut world = World::well();
    for decision in world.decisions() {
        decision.decision = "implicitDeny".to_owned();
    }
    let start = world.judge().into_iter().find(|finding| finding.check == Check::StartPermission).unwrap();
    assert_eq!(
        start.cause.unwrap(),
        "Role ManifoldTarget does not allow StartPipelineExecution on pipeline svc-deploy"
    );
    world.access = None;
    let start = world.judge().into_iter().find(|finding| finding.check == Check::StartPermission).unwrap();
    assert!(start.cause.unwrap().contains("ListPipelineExecutions, ListActionExecutions"));
}

#[test]
fn each_thing_that_is_missing_in_the_hub_is_told_with_its_remedy() {
    let message = "in words".to_owned();
    let troubles = [
        HubTrouble::NotFound,
        HubTrouble::Denied { message: message.clone() },
        HubTrouble::Older { message: message.clone() },
        HubTrouble::Failed { message: message.clone() },
        HubTrouble::Unanswered { reason: message },
    ];
    let mut findings: Vec<Finding> =
        troubles.iter().map(|trouble| judge_function("manifold-deploy", Some(trouble))).collect();
    findings.push(judge_function("manifold-deploy", None));
    findings.push(judge_fleet_file("0123456789abcdef", Some("fedcba9876543210")));
    findings.push(judge_fleet_file("0123456789abcdef", None));
    findings.push(judge_fleet_file("0123456789abcdef", Some("0123456789abcdef")));
    for bus in [refused("ResourceNotFoundException"), refused("AccessDeniedException"), unanswered()] {
        findings.push(judge_bus("manifold", Some(&HubSeen { bus, releases: vec![] })));
    }
    findings.push(judge_bus("manifold", None));
    let release = PipelineAsked { region: "us-east-1".parse().unwrap(), name: "web-release".parse().unwrap() };
    for seen in [refused("PipelineNotFoundException"), refused("AccessDeniedException"), unanswered(), Tried::Done(())]
    {
        findings.push(judge_release(&release, Some(&seen)));
    }
    assert_snapshot!("hub", told(&findings));
}

#[test]
fn each_thing_that_keeps_slack_from_taking_a_message_is_told_with_its_remedy() {
    let secret = SecretRef::SecretsManager("manifold/slack".to_owned());
    let bot = Channel::Bot { channel: "C0123456789".to_owned(), token: secret };
    let hook = Channel::Webhook { url: SecretRef::Ssm("/manifold/hook".to_owned()) };
    let scopes = |scopes: &[&str]| Some(scopes.iter().map(|scope| (*scope).to_owned()).collect());
    let token = |scopes| TokenSeen { team: Some("Example".to_owned()), user: Some("manifold".to_owned()), scopes };
    let place =
        ChannelSeen { name: Some("deploys".to_owned()), is_archived: false, is_member: Some(true), is_private: false };
    let seen = |token, channel| SlackSeen { secret: Tried::Done(()), token: Tried::Done(token), channel };
    let nothing = |secret| SlackSeen { secret, token: Tried::NotTried, channel: Tried::NotTried };
    let outside = ChannelSeen { is_member: Some(false), ..place.clone() };
    let archived = ChannelSeen { is_archived: true, ..place.clone() };
    let table = [
        ("all is well", &bot, seen(token(scopes(&["chat:write"])), Tried::Done(place.clone()))),
        ("the secret can't be read", &bot, nothing(refused(""))),
        ("the secret is a URL", &bot, nothing(refused("malformed"))),
        ("the token is revoked", &bot, SlackSeen { token: refused("token_revoked"), ..nothing(Tried::Done(())) }),
        ("the token may not post", &bot, seen(token(scopes(&["channels:read"])), Tried::Done(place.clone()))),
        ("the token may not look", &bot, seen(token(None), refused("missing_scope"))),
        ("the channel is archived", &bot, seen(token(None), Tried::Done(archived))),
        ("the bot is not in it", &bot, seen(token(None), Tried::Done(outside.clone()))),
        ("it may post anywhere", &bot, seen(token(scopes(&["chat:write", "chat:write.public"])), Tried::Done(outside))),
        ("the channel is not known", &bot, seen(token(None), refused("channel_not_found"))),
        ("the channel is given by name", &bot, seen(token(None), refused("not_an_id"))),
        ("a webhook", &hook, nothing(Tried::Done(()))),
        ("a webhook's secret can't be read", &hook, nothing(refused(""))),
    ];
    let mut text = String::new();
    for (name, channel, seen) in &table {
        writeln!(text, "== {name}\n{}", told(&judge_channel(channel, Some(seen)))).unwrap();
    }
    writeln!(text, "== summarize did not answer\n{}", told(&judge_channel(&bot, None))).unwrap();
    assert_snapshot!("slack", text);
    assert_eq!(judge_channel(&Channel::Silent, None), []);
}

fn entry(region: &str, world: &World) -> Entry {
    Entry {
        subject: Subject::Target {
            app: "web".parse().unwrap(),
            account_name: "prod".to_owned(),
            account: "444455556666".parse().unwrap(),
            region: region.parse().unwrap(),
            pipeline: "svc-deploy".parse().unwrap(),
        },
        findings: world.judge(),
    }
}

#[test]
fn ten_targets_with_one_cause_are_one_group_and_what_only_follows_is_none() {
    let mut world = World::well();
    world.access = Some(AccessSeen::not_assumed(refused("AccessDenied")));
    let regions = ["us-east-1", "us-east-2", "us-west-1", "us-west-2", "eu-west-1"];
    let mut report = Report { entries: regions.iter().map(|region| entry(region, &world)).collect() };
    report.entries.push(entry("eu-central-1", &World::well()));
    let groups = report.groups();
    let [group] = groups.as_slice() else { panic!("{groups:#?}") };
    assert_eq!((group.finding.check, group.subjects.len()), (Check::AssumeRole, 5));
    assert_eq!(group.subjects[0].to_string(), "web prod/us-east-1");
    assert_eq!(report.count(Check::AssumeRole, State::Fails), 5);
    assert_eq!(report.count(Check::ListPipelineExecutions, State::Unknown), 5, "nobody could look");
    assert_eq!(report.entries_in(State::Ok, |_| true), 1);
}

#[test]
fn the_worst_counts_and_what_can_not_be_tried_does_not() {
    let report = |findings: Vec<Finding>| {
        let subject = Subject::Hub { part: "x".to_owned() };
        Report { entries: vec![Entry { subject, findings }] }.state()
    };
    let hook = Channel::Webhook { url: SecretRef::Ssm("/hook".to_owned()) };
    let seen = SlackSeen { secret: Tried::Done(()), token: Tried::NotTried, channel: Tried::NotTried };
    let untriable = judge_channel(&hook, Some(&seen));
    assert_eq!(report(untriable.clone()), State::Ok);
    let unknown = judge_fleet_file("a", None);
    assert_eq!(report([untriable, vec![unknown.clone()]].concat()), State::Unknown);
    assert_eq!(report(vec![unknown, judge_fleet_file("a", Some("b"))]), State::Fails);
    assert_eq!(report(vec![]), State::Ok);
}

/// A target that is deployed to by another engine, where all is well.
fn well_by(started: &str) -> World {
    let mut world = World::well();
    let started: manifold_core::engine::Subject = started.parse().unwrap();
    let service = started.service();
    world.expected.rules = forward_rules(service)
        .iter()
        .zip(2..)
        .map(|((check, name), at)| ExpectedRule { check: *check, name: format!("manifold-{name}"), at })
        .collect();
    let patterns = match service {
        Service::CodePipeline => panic!("a pipeline is what all is well with already"),
        Service::CodeBuild => {
            vec![json!({"source": ["aws.codebuild"], "detail-type": ["CodeBuild Build State Change"],
                "detail": {"project-name": [{"wildcard": "web-*"}]}})]
        }
        Service::CloudFormation => {
            let stack = "arn:aws:cloudformation:eu-west-1:444455556666:stack/web/*";
            vec![
                json!({"source": ["aws.cloudformation"], "detail-type": ["CloudFormation Stack Status Change"],
                    "detail": {"stack-id": [{"wildcard": stack}]}}),
                json!({"source": ["aws.cloudformation"], "detail-type": ["CloudFormation Resource Status Change"],
                    "detail": {"status-details": {"status": ["CREATE_FAILED", "UPDATE_FAILED", "DELETE_FAILED"]},
                        "stack-id": [{"wildcard": stack}]}}),
            ]
        }
        Service::CodeDeploy => {
            vec![json!({"source": ["aws.codedeploy"],
                "detail-type": ["CodeDeploy Deployment State-change Notification"],
                "detail": {"application": [{"wildcard": "shop"}], "deploymentGroup": [{"wildcard": "*"}]}})]
        }
    };
    let Tried::Done(rule) = world.spot().rules[0].clone() else { panic!("nothing was seen") };
    let rules = patterns
        .into_iter()
        .map(|pattern| Tried::Done(RuleSeen { pattern: Some(pattern.to_string()), ..rule.clone() }));
    world.spot().rules.extend(rules);
    let allowed = |action: &&str| Decision {
        action: (*action).to_owned(),
        decision: "allowed".to_owned(),
        missing: vec![],
        by_organization: None,
        by_boundary: None,
    };
    world.spot().pipelines[0] = PipelineSpotSeen {
        pipeline: Tried::Done(PipelineSeen::default()),
        decisions: Tried::Done(rights(service).iter().map(allowed).collect()),
    };
    let access = world.access();
    (access.list_executions, access.list_actions) = (Tried::NotTried, Tried::NotTried);
    world.expected.place.started = started;
    world
}

const OTHERS: [&str; 3] = ["codebuild:web-deploy", "cloudformation:web", "codedeploy:shop/live"];

#[test]
fn every_engine_is_looked_at_in_its_own_way() {
    for started in OTHERS {
        let findings = well_by(started).judge();
        assert_eq!(told(&findings), "all is well\n", "{started}");
        let checks: Vec<Check> = findings.iter().map(|finding| finding.check).collect();
        for check in [Check::AssumeRole, Check::StartPermission, Check::Pipeline, Check::ForwardPipeline] {
            assert!(checks.contains(&check), "{started}: {checks:?}");
        }
        assert!(!checks.contains(&Check::Variables), "a pipeline alone declares variables: {started}");
    }
}

#[test]
fn what_is_wrong_with_another_engine_is_told_with_its_own_remedy() {
    let changes: &[Change] = &[
        ("it is not there", |world| {
            let code = match world.expected.place.started.service() {
                Service::CodeDeploy => "DeploymentGroupDoesNotExistException",
                _ => "ResourceNotFoundException",
            };
            world.spot().pipelines[0].pipeline = refused(code);
        }),
        ("it may not be read", |world| world.spot().pipelines[0].pipeline = refused("AccessDeniedException")),
        ("it can't be read", |world| world.spot().pipelines[0].pipeline = refused("InvalidInputException")),
        ("nobody answers", |world| {
            world.spot().pipelines[0] = PipelineSpotSeen { pipeline: unanswered(), decisions: unanswered() };
        }),
        ("the role may not start it", |world| {
            let Tried::Done(decisions) = &mut world.spot().pipelines[0].decisions else { panic!("nothing was seen") };
            decisions[0].decision = "implicitDeny".to_owned();
        }),
        ("its rule lets others through", |world| {
            let Tried::Done(rule) = &mut world.spot().rules[2] else { panic!("nothing was seen") };
            rule.pattern =
                Some(r#"{"detail":{"project-name":["api"],"stack-id":["api"],"application":["api"]}}"#.to_owned());
        }),
        ("its rule is not there", |world| world.spot().rules[2] = refused("ResourceNotFoundException")),
        ("the bus takes no events of its service", |world| {
            let policy = json!({"Statement": [{"Effect": "Allow", "Principal": {"AWS": "444455556666"},
                "Action": "events:PutEvents", "Condition": {"StringEquals": {"events:source": "aws.codepipeline"}}}]});
            world.bus = Tried::Done(BusSeen { policy: Some(policy.to_string()) });
        }),
        ("inspect does not answer", |world| world.spot = None),
        ("the role can't be assumed", |world| world.access = Some(AccessSeen::not_assumed(refused("AccessDenied")))),
    ];
    let mut text = String::new();
    for started in OTHERS {
        for (name, change) in changes {
            let mut world = well_by(started);
            change(&mut world);
            let findings = world.judge();
            whoever_follows_names_what_is_not_well(&findings);
            assert_ne!(told(&findings), "all is well\n", "{started}: {name}");
            writeln!(text, "== {started}: {name}\n{}", told(&findings)).unwrap();
        }
    }
    assert_snapshot!("engines", text);
}
