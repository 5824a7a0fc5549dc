//! The engines. A fifth one is a row more.

use std::collections::BTreeMap;

use manifold_core::engine::{
    Capability, DeploymentRevision, DeploymentWork, OnStop, Replacements, Service, StackWork, Verb, Work,
};
use manifold_core::event::PipelineState;
use manifold_tests::standin::StandIn;
use manifold_tests::standin::codepipeline::PIPELINE;
use manifold_tests::wire::engines::Fate;
use manifold_tests::wire::engines::cloudformation::Stack;
use manifold_tests::wire::engines::codebuild::Project;
use manifold_tests::wire::engines::codedeploy::{Group, Platform};
use serde_json::json;

use crate::stage::place;

/// An engine.
pub(crate) struct Row {
    /// Which.
    pub(crate) service: Service,
    /// What is started, as text.
    pub(crate) subject: &'static str,
    /// With what.
    pub(crate) work: fn() -> Option<Work>,
    /// Puts what is started, and all that it needs, into the target.
    pub(crate) set: fn(&StandIn),
    /// The calls of each verb, those left out that only some answers ask for.
    pub(crate) calls: &'static [(Verb, &'static [&'static str])],
    /// The one that begins the execution.
    pub(crate) begins: &'static str,
    /// Whether a service remembers what it was asked to begin.
    pub(crate) has_token: bool,
    /// How many may run at once.
    pub(crate) limit: Limit,
    /// How it fails.
    pub(crate) failures: &'static [Failure],
    /// Part of the link to a failure.
    pub(crate) link: &'static str,
    /// Calls that a failure is explained without, if the role may not make them.
    pub(crate) spares: &'static [&'static str],
    /// How it ends when it is stopped.
    pub(crate) stopped: PipelineState,
    /// Whether events tell the run.
    pub(crate) tells_the_run: bool,
    /// Whether events tell why it failed.
    pub(crate) tells_why: bool,
    /// What is not there, and how that is told.
    pub(crate) missing: &'static [(&'static str, &'static str)],
}

/// How many executions may run at once.
pub(crate) enum Limit {
    /// One of each thing that is started.
    One,
    /// As many as the account may have. The code by which one more is refused.
    Account(&'static str),
}

/// A failure, in the words of the service.
#[derive(Clone, Copy)]
pub(crate) struct Failure {
    pub(crate) place: &'static str,
    pub(crate) code: &'static str,
    pub(crate) why: &'static str,
    /// What it is grouped by.
    pub(crate) cause: &'static str,
}

impl Failure {
    pub(crate) fn fate(self) -> Fate {
        Fate::fails(120, self.place, self.code, self.why)
    }
}

pub(crate) const BUCKET: &str = "artifacts-eu-west-1";
pub(crate) const TEMPLATE: &str = "web/8cf40f2b/template.yaml";
pub(crate) const PARAMETERS: &str = "web/8cf40f2b/parameters.json";

static ALL: [Row; 4] = [
    Row {
        service: Service::CodePipeline,
        subject: PIPELINE,
        work: || None,
        set: |_| {},
        calls: &[
            (Verb::Start, &["StartPipelineExecution"]),
            (Verb::Find, &["ListPipelineExecutions"]),
            (Verb::Ask, &["ListPipelineExecutions"]),
            (Verb::Explain, &["ListActionExecutions"]),
            (Verb::Stop, &["StopPipelineExecution"]),
        ],
        begins: "StartPipelineExecution",
        has_token: true,
        limit: Limit::Account("ConcurrentPipelineExecutionsLimitExceededException"),
        failures: &[Failure {
            place: "Deploy",
            code: "JobFailed",
            why: "The health checks of 3 of 4 instances failed",
            cause: "JobFailed in action Deploy",
        }],
        link: "/deployments/d-ABC123DEF",
        spares: &[],
        stopped: PipelineState::Stopped,
        tells_the_run: true,
        tells_why: true,
        missing: &[("other", "Pipeline other not found")],
    },
    Row {
        service: Service::CodeBuild,
        subject: "codebuild:web-deploy",
        work: || Some(Work::Build { source_version: Some("8cf40f2b1c6d4e5f8a9b0c1d2e3f4a5b6c7d8e9f".to_owned()) }),
        set: |standin| standin.engines(|engines| engines.codebuild.define(&place(), Project::new("web-deploy"))),
        calls: &[
            (Verb::Start, &["StartBuild"]),
            (Verb::Find, &["ListBuildsForProject", "BatchGetBuilds"]),
            (Verb::Ask, &["BatchGetBuilds"]),
            (Verb::Explain, &["BatchGetBuilds"]),
            (Verb::Stop, &["StopBuild"]),
        ],
        begins: "StartBuild",
        has_token: true,
        limit: Limit::Account("AccountLimitExceededException"),
        failures: &[
            Failure {
                place: "BUILD",
                code: "COMMAND_EXECUTION_ERROR",
                why: "Error while executing command: ansible-playbook site.yml. Reason: exit status 2",
                cause: "FAILED in phase BUILD",
            },
            Failure {
                place: "DOWNLOAD_SOURCE",
                code: "CLIENT_ERROR",
                why: "reference not found for primary source",
                cause: "FAILED in phase DOWNLOAD_SOURCE",
            },
            Failure {
                place: "BUILD",
                code: "BUILD_TIMED_OUT",
                why: "Build has timed out.",
                cause: "TIMED_OUT in phase BUILD",
            },
            Failure {
                place: "PROVISIONING",
                code: "INTERNAL_SERVICE_ERROR",
                why: "CodeBuild is experiencing issues",
                cause: "FAULT in phase PROVISIONING",
            },
        ],
        link: "#logEvent:group=/aws/codebuild/web-deploy;stream=",
        spares: &[],
        stopped: PipelineState::Stopped,
        tells_the_run: true,
        tells_why: true,
        missing: &[("codebuild:other", "Project other not found")],
    },
    Row {
        service: Service::CloudFormation,
        subject: "cloudformation:web",
        work: || Some(Work::Stack(Box::new(stack()))),
        set: set_stack,
        calls: &[
            (
                Verb::Start,
                &[
                    "DescribeChangeSet",
                    "DescribeStacks",
                    "GetObject",
                    "GetTemplateSummary",
                    "CreateChangeSet",
                    "ExecuteChangeSet",
                ],
            ),
            (Verb::Find, &["DescribeStackEvents"]),
            (Verb::Ask, &["DescribeStackEvents"]),
            (Verb::Explain, &["DescribeStackEvents"]),
            (Verb::Stop, &["DescribeStackEvents", "CancelUpdateStack"]),
        ],
        begins: "ExecuteChangeSet",
        has_token: true,
        limit: Limit::One,
        failures: &[Failure {
            place: "Function",
            code: "AccessDenied",
            why: "User is not authorized to perform: lambda:UpdateFunctionCode",
            cause: "UPDATE_FAILED of Function (AWS::Lambda::Function)",
        }],
        link: "#/stacks?filteringText=web",
        spares: &[],
        // An update that is cancelled is taken back.
        stopped: PipelineState::Failed,
        tells_the_run: true,
        tells_why: true,
        // A stack that is not there is created.
        missing: &[],
    },
    Row {
        service: Service::CodeDeploy,
        subject: "codedeploy:shop/shop-blue-green",
        work: || Some(Work::Deployment(Box::new(deployment()))),
        set: |standin| {
            standin.engines(|engines| engines.codedeploy.define(&place(), group(Platform::Ecs)));
        },
        calls: &[
            (Verb::Start, &["CreateDeployment"]),
            (Verb::Find, &["ListDeployments", "BatchGetDeployments"]),
            (Verb::Ask, &["GetDeployment"]),
            (Verb::Explain, &["GetDeployment", "ListDeploymentTargets", "BatchGetDeploymentTargets"]),
            (Verb::Stop, &["StopDeployment"]),
        ],
        begins: "CreateDeployment",
        has_token: false,
        limit: Limit::One,
        failures: &[Failure {
            place: "AfterAllowTestTraffic",
            code: "HOOK_EXECUTION_FAILURE",
            why: "The Lambda function smoke-test reported a failure",
            cause: "HOOK_EXECUTION_FAILURE in lifecycle event AfterAllowTestTraffic",
        }],
        link: "/codesuite/codedeploy/deployments/d-",
        spares: &["ListDeploymentTargets", "BatchGetDeploymentTargets"],
        stopped: PipelineState::Stopped,
        // Its events carry nothing of whoever started it.
        tells_the_run: false,
        tells_why: false,
        missing: &[
            ("codedeploy:shop/other", "Deployment group shop/other not found"),
            ("codedeploy:other/shop-blue-green", "Application other not found"),
        ],
    },
];

/// The row of an engine.
pub(crate) fn row(service: Service) -> &'static Row {
    ALL.iter().find(|row| row.service == service).unwrap()
}

pub(crate) fn stack() -> StackWork {
    StackWork {
        template: format!("s3://{BUCKET}/{TEMPLATE}").parse().unwrap(),
        parameters: Some(format!("s3://{BUCKET}/{PARAMETERS}").parse().unwrap()),
        capabilities: vec![Capability::NamedIam],
        role: Some("arn:aws:iam::444455556666:role/web-stack".parse().unwrap()),
        replacements: Replacements::Refuse,
    }
}

/// A stack with a parameter that nobody gives, so that it keeps its value.
fn set_stack(standin: &StandIn) {
    let file = json!({"Parameters": {"Stage": "of the file", "Loud": true}, "Tags": {"team": "web"}});
    standin.put_object(BUCKET, PARAMETERS, &file.to_string());
    let mut web = Stack::new("web");
    let before = [("Version", "1.2.2"), ("Stage", "prod"), ("Loud", "false"), ("Table", "web-7"), ("Gone", "1")];
    let before = before.map(|(name, value)| (name.to_owned(), value.to_owned()));
    web.deployed = Some((format!("https://{BUCKET}.s3.eu-west-1.amazonaws.com/web/before.yaml"), before.into()));
    let text = |text: &str| Some(text.to_owned());
    let parameters = [("Version", None), ("Stage", None), ("Loud", text("false")), ("Table", None)];
    let parameters: BTreeMap<_, _> = parameters.map(|(name, default)| (name.to_owned(), default)).into();
    standin.engines(|engines| {
        engines.cloudformation.declare(&place(), web);
        engines.cloudformation.template(BUCKET, TEMPLATE, parameters);
    });
}

pub(crate) fn deployment() -> DeploymentWork {
    DeploymentWork {
        revision: DeploymentRevision::AppSpec("version: 0.0".to_owned()),
        config: Some("CodeDeployDefault.ECSCanary10Percent5Minutes".to_owned()),
        auto_rollback: Some(false),
        on_stop: OnStop::Leave,
    }
}

pub(crate) fn group(platform: Platform) -> Group {
    Group::new("shop", "shop-blue-green", platform)
}
