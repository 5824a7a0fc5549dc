//! A fleet of all four engines: each Region is deployed to by another one, and the rest by pipelines.

use manifold_core::ids::{AccountId, Region, TargetKey};
use serde_json::json;

use crate::wire::engines::Engines;
use crate::wire::engines::cloudformation::Stack;
use crate::wire::engines::codebuild::Project;
use crate::wire::engines::codedeploy::{Group, Platform};

/// The Region whose targets are builds.
pub const OF_BUILDS: &str = "eu-west-1";
/// The Region whose targets are stacks.
pub const OF_STACKS: &str = "eu-central-1";
/// The Region whose targets are deployments.
pub const OF_DEPLOYMENTS: &str = "ca-central-1";
/// The project.
pub const PROJECT: &str = "web-deploy";
/// The stack.
pub const STACK: &str = "web-stack";
/// The application, and its deployment group.
pub const GROUP: (&str, &str) = ("web-shop", "blue-green");
/// The role that CloudFormation works with.
pub const STACK_ROLE: &str = "web-stack-role";

/// The exceptions of an app from its pipelines.
const ENGINES: &str = r##"    engines:
      - select: { regions: eu-west-1 }
        engine: { codebuild: { project: "{{ app }}-deploy", source_version: "{{ release.revision }}" } }
      - select: { regions: eu-central-1 }
        engine:
          cloudformation:
            stack: "{{ app }}-stack"
            template: "s3://web-artifacts-{{ account.id }}-{{ region }}/{{ release.revision }}/template.yaml"
            parameters_file: "s3://web-artifacts-{{ account.id }}-{{ region }}/{{ release.revision }}/parameters.json"
            capabilities: [CAPABILITY_IAM]
            role: web-stack-role
      - select: { regions: ca-central-1 }
        engine:
          codedeploy:
            application: "{{ app }}-shop"
            group: blue-green
            appspec: "# {{ parameters.COMMIT }} for {{ parameters.STAGE }}"
"##;

/// A fleet file of pipelines, with builds, stacks and deployments instead of some. A name of a parameter that no stack
/// takes is another one, and all targets may fail.
///
/// # Panics
/// It is another file than those of this folder.
#[must_use]
pub fn fleet(pipelines: &str) -> String {
    let source = "source_action: Source\n";
    let tolerance = "failure_tolerance: 1\n";
    assert!(pipelines.contains(source) && pipelines.contains(tolerance), "a fleet file of pipelines");
    pipelines
        .replace("LOG_LEVEL", "LogLevel")
        .replacen(source, &format!("{source}{ENGINES}"), 1)
        .replace(tolerance, "failure_tolerance: 5\n")
}

/// The parameters file of an account's stack, for the commit that is released: bucket, key and text.
#[must_use]
pub fn parameters_file(account: &str, commit: &str) -> (String, String, String) {
    let text = json!({"Parameters": {"Table": "web-7"}}).to_string();
    (format!("web-artifacts-{account}-{OF_STACKS}"), format!("{commit}/parameters.json"), text)
}

/// Where an account's targets are in a Region.
///
/// # Panics
/// There is no such account or Region.
#[must_use]
pub fn place(account: &str, region: &str) -> TargetKey {
    let account: AccountId = account.parse().expect("an account");
    let region: Region = region.parse().expect("a Region");
    TargetKey { account, region }
}

/// Makes what the targets of an account start.
pub fn set(engines: &mut Engines, account: &str) {
    let project = Project::new(PROJECT);
    engines.codebuild.define(&place(account, OF_BUILDS), project);
    let group = Group::new(GROUP.0, GROUP.1, Platform::Ecs);
    engines.codedeploy.define(&place(account, OF_DEPLOYMENTS), group);
    engines.cloudformation.declare(&place(account, OF_STACKS), Stack::new(STACK));
}
