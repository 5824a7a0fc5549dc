//! The calls that are made with the read-only role of a member account.

use aws_sdk_cloudformation::Client as CloudFormation;
use aws_sdk_codebuild::Client as CodeBuild;
use aws_sdk_codedeploy::Client as CodeDeploy;
use aws_sdk_codepipeline::Client as CodePipeline;
use aws_sdk_codepipeline::types::{ActionCategory, PipelineDeclaration};
use aws_sdk_eventbridge::Client as EventBridge;
use aws_sdk_iam::Client as Iam;
use aws_sdk_iam::types::{ContextEntry, ContextKeyTypeEnum, EvaluationResult};
use manifold_core::checkup::{Decision, PipelineSeen, RuleSeen, RuleTarget, SourceActionSeen, VariableSeen, rights};
use manifold_core::engine::{GroupName, Service};
use manifold_core::ids::{PipelineName, ProjectName, RoleArn, StackName};

use crate::failure::{Failure, Kind};

/// The context key of a resource's tag begins with this (IAM User Guide, "AWS global condition context keys").
const TAG_KEY: &str = "aws:ResourceTag/";

pub(super) async fn pipeline(codepipeline: &CodePipeline, name: &PipelineName) -> Result<PipelineSeen, Failure> {
    let output = codepipeline.get_pipeline().name(name.as_str()).send().await.map_err(|error| Failure::of(&error))?;
    output.pipeline.as_ref().map(seen).ok_or_else(|| Failure::empty("GetPipeline answered without a pipeline"))
}

fn seen(pipeline: &PipelineDeclaration) -> PipelineSeen {
    let actions = pipeline.stages().iter().flat_map(|stage| stage.actions());
    let sources = actions.filter_map(|action| {
        let kind = action.action_type_id.as_ref().filter(|kind| kind.category == ActionCategory::Source)?;
        let configuration = action.configuration.as_ref();
        let allows = configuration.and_then(|values| values.get("AllowOverrideForS3ObjectKey"));
        Some(SourceActionSeen {
            name: action.name.clone(),
            provider: kind.provider.clone(),
            allows_object_key: allows.is_some_and(|value| value.eq_ignore_ascii_case("true")),
        })
    });
    PipelineSeen {
        pipeline_type: pipeline.pipeline_type.as_ref().map(|kind| kind.as_str().to_owned()),
        execution_mode: pipeline.execution_mode.as_ref().map(|mode| mode.as_str().to_owned()),
        variables: pipeline
            .variables()
            .iter()
            .map(|variable| VariableSeen { name: variable.name.clone(), has_default: variable.default_value.is_some() })
            .collect(),
        sources: sources.collect(),
    }
}

/// A rule of the Region's default bus, with its targets.
pub(super) async fn rule(events: &EventBridge, name: &str) -> Result<RuleSeen, Failure> {
    let rule = events.describe_rule().name(name).send().await.map_err(|error| Failure::of(&error))?;
    let targets = events.list_targets_by_rule().rule(name).send().await.map_err(|error| Failure::of(&error))?;
    Ok(RuleSeen {
        state: rule.state.as_ref().map_or("UNKNOWN", |state| state.as_str()).to_owned(),
        pattern: rule.event_pattern,
        targets: targets
            .targets()
            .iter()
            .map(|target| RuleTarget { arn: target.arn.clone(), role: target.role_arn.clone() })
            .collect(),
    })
}

/// Whether a project is there: one that is not is no error.
pub(super) async fn project(codebuild: &CodeBuild, name: &ProjectName) -> Result<(), Failure> {
    let output =
        codebuild.batch_get_projects().names(name.as_str()).send().await.map_err(|error| Failure::of(&error))?;
    match output.projects().is_empty() {
        false => Ok(()),
        true => Err(Failure {
            kind: Kind::Refused,
            code: "ResourceNotFoundException".to_owned(),
            message: format!("there is no project {name}"),
        }),
    }
}

/// Whether a stack may be looked at: one that is not there is made by the first change set.
pub(super) async fn stack(cloudformation: &CloudFormation, name: &StackName) -> Result<(), Failure> {
    let output = cloudformation.describe_stacks().stack_name(name.as_str()).send().await;
    match output.map_err(|error| Failure::of(&error)) {
        Ok(_) => Ok(()),
        Err(failure) if failure.message.contains("does not exist") => Ok(()),
        Err(failure) => Err(failure),
    }
}

/// Whether a deployment group is there.
pub(super) async fn group(codedeploy: &CodeDeploy, name: &GroupName) -> Result<(), Failure> {
    let request = codedeploy.get_deployment_group().application_name(name.application());
    let output = request.deployment_group_name(name.group()).send().await;
    output.map(|_| ()).map_err(|error| Failure::of(&error))
}

/// Asks IAM what a role may do with what is started. The policies of the role, its boundary and the organisation's count; a
/// session policy does not.
pub(super) async fn simulate(
    iam: &Iam,
    role: &RoleArn,
    service: Service,
    started: &str,
    tags: &[(String, String)],
) -> Result<Vec<Decision>, Failure> {
    let context = tags.iter().map(|(key, value)| {
        ContextEntry::builder()
            .context_key_name(format!("{TAG_KEY}{key}"))
            .context_key_type(ContextKeyTypeEnum::String)
            .context_key_values(value)
            .build()
    });
    let request = iam
        .simulate_principal_policy()
        .policy_source_arn(role.as_str())
        .set_action_names(Some(rights(service).iter().map(ToString::to_string).collect()))
        .resource_arns(started)
        .set_context_entries((!tags.is_empty()).then(|| context.collect()));
    let output = request.send().await.map_err(|error| Failure::of(&error))?;
    Ok(output.evaluation_results().iter().map(decision).collect())
}

fn decision(result: &EvaluationResult) -> Decision {
    let organization = result.organizations_decision_detail.as_ref();
    let boundary = result.permissions_boundary_decision_detail.as_ref();
    Decision {
        action: result.eval_action_name.clone(),
        decision: result.eval_decision.as_str().to_owned(),
        missing: result.missing_context_values().to_vec(),
        by_organization: organization.map(|detail| detail.allowed_by_organizations),
        by_boundary: boundary.map(|detail| detail.allowed_by_permissions_boundary),
    }
}

/// Whether a policy asks for tags of the pipeline.
pub(super) fn ask_for_tags(decisions: &[Decision]) -> bool {
    decisions.iter().flat_map(|decision| &decision.missing).any(|key| is_tag(key))
}

/// After the pipeline's tags were given: a tag that is still missing is one that the pipeline does not have.
pub(super) fn without_tags(mut decisions: Vec<Decision>) -> Vec<Decision> {
    for decision in &mut decisions {
        decision.missing.retain(|key| !is_tag(key));
    }
    decisions
}

/// Context keys know no case.
fn is_tag(key: &str) -> bool {
    key.get(..TAG_KEY.len()).is_some_and(|start| start.eq_ignore_ascii_case(TAG_KEY))
}

pub(super) async fn tags(codepipeline: &CodePipeline, arn: &str) -> Result<Vec<(String, String)>, Failure> {
    let mut pages = codepipeline.list_tags_for_resource().resource_arn(arn).into_paginator().send();
    let mut tags = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| Failure::of(&error))?;
        tags.extend(page.tags().iter().map(|tag| (tag.key.clone(), tag.value.clone())));
    }
    Ok(tags)
}
