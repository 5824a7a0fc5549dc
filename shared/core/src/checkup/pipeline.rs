//! Whether a pipeline takes what a rollout would send it.

use super::finding::{Check, Finding};
use super::seen::{PipelineSeen, SourceActionSeen};
use crate::plan::RevisionKind;

/// What a start of a target's pipeline carries, whatever the release.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sends {
    /// The names of pipeline variables.
    pub variables: Vec<String>,
    /// The source action that is pinned to the release's revision, and how.
    pub source: Option<(String, RevisionKind)>,
}

impl Sends {
    fn words(&self) -> String {
        match (self.variables.is_empty(), &self.source) {
            (false, Some(_)) => "variables and a pinned revision",
            (false, None) => "variables",
            (true, Some(_)) => "a pinned revision",
            (true, None) => "nothing",
        }
        .to_owned()
    }
}

/// Type, variables and source action of a pipeline that was seen.
pub(super) fn judge(name: &str, seen: &PipelineSeen, sends: &Sends) -> [Finding; 3] {
    [judge_type(name, seen, sends), judge_variables(name, seen, sends), judge_source(name, seen, sends)]
}

/// "Pipeline-level variables, … source overrides … are V2 only" (CodePipeline User Guide, "What type of pipeline is
/// right for me?"). A pipeline that does not say is V1.
fn judge_type(name: &str, seen: &PipelineSeen, sends: &Sends) -> Finding {
    let kind = seen.pipeline_type.as_deref().unwrap_or("V1");
    if kind == "V1" && !(sends.variables.is_empty() && sends.source.is_none()) {
        return Finding::fails(
            Check::PipelineType,
            format!("Pipeline {name} is of type V1, which does not take {}", sends.words()),
            format!(
                "set pipelineType to V2 where pipeline {name} is defined, or: aws codepipeline get-pipeline --name \
                 {name} --query '{{pipeline: pipeline}}' > p.json; set \"pipelineType\": \"V2\" in it; aws \
                 codepipeline update-pipeline --cli-input-json file://p.json"
            ),
        );
    }
    Finding::ok(Check::PipelineType)
}

/// A start may set declared variables only, and must set those without a default (API reference,
/// `PipelineVariableDeclaration`: without a default value "the value will need to be provided when the pipeline
/// starts").
fn judge_variables(name: &str, seen: &PipelineSeen, sends: &Sends) -> Finding {
    let undeclared: Vec<&str> = sends
        .variables
        .iter()
        .filter(|sent| !seen.variables.iter().any(|declared| declared.name == **sent))
        .map(String::as_str)
        .collect();
    let unset: Vec<&str> = seen
        .variables
        .iter()
        .filter(|declared| !declared.has_default && !sends.variables.contains(&declared.name))
        .map(|declared| declared.name.as_str())
        .collect();
    let mut causes = Vec::new();
    let mut remedies = Vec::new();
    if !undeclared.is_empty() {
        causes.push(format!("Pipeline {name} does not declare {}", undeclared.join(", ")));
        remedies.push(format!(
            "declare {} under variables of pipeline {name}, or drop it from the app's parameters",
            undeclared.join(", ")
        ));
    }
    if !unset.is_empty() {
        causes.push(format!("Pipeline {name} needs {}, which is not sent", unset.join(", ")));
        remedies.push(format!(
            "give {} a defaultValue in pipeline {name}, or add it to the app's parameters",
            unset.join(", ")
        ));
    }
    if causes.is_empty() {
        return Finding::ok(Check::Variables);
    }
    let declared: Vec<&str> = seen.variables.iter().map(|declared| declared.name.as_str()).collect();
    let declares = if declared.is_empty() { "none".to_owned() } else { declared.join(", ") };
    Finding::fails(Check::Variables, causes.join("; "), remedies.join("; "))
        .with_detail(format!("it declares {declares}"))
}

fn judge_source(name: &str, seen: &PipelineSeen, sends: &Sends) -> Finding {
    let Some((action, kind)) = &sends.source else { return Finding::ok(Check::SourceAction) };
    let Some(source) = seen.sources.iter().find(|source| source.name == *action) else {
        let names: Vec<&str> = seen.sources.iter().map(|source| source.name.as_str()).collect();
        let has = if names.is_empty() { "no source action".to_owned() } else { names.join(", ") };
        return Finding::fails(
            Check::SourceAction,
            format!("Pipeline {name} has no source action {action}"),
            format!("set source_action of the app to an action of pipeline {name}, or rename the action there"),
        )
        .with_detail(format!("it has {has}"));
    };
    if *kind == RevisionKind::S3ObjectKey && !source.allows_object_key {
        return Finding::fails(
            Check::SourceAction,
            format!("Source action {action} of pipeline {name} does not allow another object key"),
            format!("set AllowOverrideForS3ObjectKey to true in the configuration of {action} in pipeline {name}"),
        );
    }
    match takes(source, *kind) {
        Some(true) => Finding::ok(Check::SourceAction),
        Some(false) => Finding::fails(
            Check::SourceAction,
            format!("Source action {action} of pipeline {name} is of {}, which has no {}", source.provider, of(*kind)),
            "set the type of source_action in the fleet file to what the action's provider has",
        ),
        None => Finding::unknown(
            Check::SourceAction,
            format!("Whether {} takes {} is not known here", source.provider, of(*kind)),
            format!("look at source action {action} of pipeline {name}"),
        ),
    }
}

/// What providers of source actions call a revision (API reference, `SourceRevisionOverride`).
fn takes(source: &SourceActionSeen, kind: RevisionKind) -> Option<bool> {
    let is_git = match source.provider.as_str() {
        "CodeCommit" | "CodeStarSourceConnection" | "GitHub" => true,
        "ECR" | "S3" => false,
        _ => return None,
    };
    Some(match kind {
        RevisionKind::CommitId => is_git,
        RevisionKind::ImageDigest => source.provider == "ECR",
        RevisionKind::S3ObjectVersionId | RevisionKind::S3ObjectKey => source.provider == "S3",
    })
}

const fn of(kind: RevisionKind) -> &'static str {
    match kind {
        RevisionKind::CommitId => "COMMIT_ID",
        RevisionKind::ImageDigest => "IMAGE_DIGEST",
        RevisionKind::S3ObjectVersionId => "S3_OBJECT_VERSION_ID",
        RevisionKind::S3ObjectKey => "S3_OBJECT_KEY",
    }
}
