//! What does the work in a target: which service, what is started there, and with what.
//!
//! A fifth engine is a variant of [`Service`] and [`Subject`], what it needs ([`Work`]), its events
//! ([`Observation::of`](crate::run::Observation::of)) and one adapter.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ids::{InvalidId, PipelineName, ProjectName, RoleArn, StackName};
use crate::pace::Api;

/// An AWS service that deploys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// A pipeline execution. Its client token holds for a time that AWS does not tell.
    CodePipeline,
    /// A build. Its idempotency token holds for 5 minutes (`StartBuild`).
    CodeBuild,
    /// A change set, executed. Its name and the client request token are idempotency keys.
    CloudFormation,
    /// A deployment. There is no token: whoever comes after another worker looks first.
    CodeDeploy,
}

/// What Manifold asks of an engine, each with a pace of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// Start an execution.
    Start,
    /// Find what an earlier worker may have started.
    Find,
    /// Ask how an execution stands.
    Ask,
    /// Ask why it failed.
    Explain,
    /// Stop it.
    Stop,
}

impl Service {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::CodePipeline, Self::CodeBuild, Self::CloudFormation, Self::CodeDeploy];

    /// As AWS spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CodePipeline => "CodePipeline",
            Self::CodeBuild => "CodeBuild",
            Self::CloudFormation => "CloudFormation",
            Self::CodeDeploy => "CodeDeploy",
        }
    }

    /// What it starts, as a noun for people.
    #[must_use]
    pub const fn noun(self) -> &'static str {
        match self {
            Self::CodePipeline => "pipeline",
            Self::CodeBuild => "project",
            Self::CloudFormation => "stack",
            Self::CodeDeploy => "deployment group",
        }
    }

    /// Where its events come from, and what begins the names of its actions in IAM.
    #[must_use]
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::CodePipeline => "codepipeline",
            Self::CodeBuild => "codebuild",
            Self::CloudFormation => "cloudformation",
            Self::CodeDeploy => "codedeploy",
        }
    }

    /// The operation by which the calls of a verb are counted: where an engine makes more than one, the one that is
    /// throttled first.
    #[must_use]
    pub const fn api(self, verb: Verb) -> Api {
        match (self, verb) {
            (Self::CodePipeline, Verb::Start) => Api::StartPipelineExecution,
            (Self::CodePipeline, Verb::Find | Verb::Ask) => Api::ListPipelineExecutions,
            (Self::CodePipeline, Verb::Explain) => Api::ListActionExecutions,
            (Self::CodePipeline, Verb::Stop) => Api::StopPipelineExecution,
            (Self::CodeBuild, Verb::Start) => Api::StartBuild,
            (Self::CodeBuild, Verb::Find) => Api::ListBuildsForProject,
            (Self::CodeBuild, Verb::Ask | Verb::Explain) => Api::BatchGetBuilds,
            (Self::CodeBuild, Verb::Stop) => Api::StopBuild,
            (Self::CloudFormation, Verb::Start) => Api::CreateChangeSet,
            (Self::CloudFormation, Verb::Find | Verb::Ask | Verb::Explain) => Api::DescribeStackEvents,
            (Self::CloudFormation, Verb::Stop) => Api::CancelUpdateStack,
            (Self::CodeDeploy, Verb::Start) => Api::CreateDeployment,
            (Self::CodeDeploy, Verb::Find) => Api::ListDeployments,
            (Self::CodeDeploy, Verb::Ask | Verb::Explain) => Api::GetDeployment,
            (Self::CodeDeploy, Verb::Stop) => Api::StopDeployment,
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What is started in a target.
///
/// As text it is its name, with its service before it unless that is CodePipeline: `svc-deploy`, `codebuild:svc-deploy`,
/// `cloudformation:web`, `codedeploy:shop/blue-green`. No pipeline's name has a colon. It is stored like that, where
/// versions that knew pipelines only stored the pipeline's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Subject {
    /// A pipeline.
    Pipeline(PipelineName),
    /// A build project.
    Project(ProjectName),
    /// A stack.
    Stack(StackName),
    /// A deployment group of an application.
    Group(GroupName),
}

/// A deployment group, with its application: 1–100 each of `A-Za-z0-9 . _ + = , @ -` (CodeDeploy User Guide, "CodeDeploy
/// quotas").
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupName {
    /// Both, with a slash between: neither may have one.
    text: String,
    slash: usize,
}

impl GroupName {
    /// What a valid one looks like.
    pub const EXPECTED: &'static str = "an application and its deployment group such as shop/blue-green, each of 1-100 of A-Z, a-z, 0-9 and . _ + = , @ -";

    /// The application.
    #[must_use]
    pub fn application(&self) -> &str {
        &self.text[..self.slash]
    }

    /// The group in it.
    #[must_use]
    pub fn group(&self) -> &str {
        &self.text[self.slash + 1..]
    }

    /// Both, with a slash between.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for GroupName {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let is_name = |name: &str| {
            (1..=100).contains(&name.len())
                && name
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '+' | '=' | ',' | '@' | '-'))
        };
        match text.split_once('/') {
            Some((application, group)) if is_name(application) && is_name(group) => {
                Ok(Self { text: text.to_owned(), slash: application.len() })
            }
            Some(_) | None => Err(InvalidId::new(text, Self::EXPECTED)),
        }
    }
}

impl Subject {
    /// What is accepted as its text.
    pub const EXPECTED: &'static str =
        "the name of a pipeline, codebuild:PROJECT, cloudformation:STACK or codedeploy:APPLICATION/GROUP";

    /// The service that it belongs to.
    #[must_use]
    pub const fn service(&self) -> Service {
        match self {
            Self::Pipeline(_) => Service::CodePipeline,
            Self::Project(_) => Service::CodeBuild,
            Self::Stack(_) => Service::CloudFormation,
            Self::Group(_) => Service::CodeDeploy,
        }
    }

    /// Its name there, such as `svc-deploy` or `shop/blue-green`.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Pipeline(name) => name.as_str(),
            Self::Project(name) => name.as_str(),
            Self::Stack(name) => name.as_str(),
            Self::Group(name) => name.as_str(),
        }
    }

    /// The pipeline, if it is one.
    #[must_use]
    pub const fn pipeline(&self) -> Option<&PipelineName> {
        match self {
            Self::Pipeline(name) => Some(name),
            Self::Project(_) | Self::Stack(_) | Self::Group(_) => None,
        }
    }

    /// What it is and its name: `pipeline svc-deploy`.
    #[must_use]
    pub fn words(&self) -> String {
        format!("{} {}", self.service().noun(), self.name())
    }

    /// As [`Subject::words`], as the beginning of a sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        let words = self.words();
        let mut chars = words.chars();
        chars.next().map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + chars.as_str())
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pipeline(name) => name.fmt(f),
            Self::Project(_) | Self::Stack(_) | Self::Group(_) => {
                write!(f, "{}:{}", self.service().prefix(), self.name())
            }
        }
    }
}

impl FromStr for Subject {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        match text.split_once(':') {
            None => text.parse().map(Self::Pipeline),
            Some(("codebuild", name)) => name.parse().map(Self::Project),
            Some(("cloudformation", name)) => name.parse().map(Self::Stack),
            Some(("codedeploy", name)) => name.parse().map(Self::Group),
            Some(_) => Err(InvalidId::new(text, Self::EXPECTED)),
        }
    }
}

impl TryFrom<String> for Subject {
    type Error = InvalidId;
    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<Subject> for String {
    fn from(subject: Subject) -> String {
        subject.to_string()
    }
}

impl From<PipelineName> for Subject {
    fn from(name: PipelineName) -> Self {
        Self::Pipeline(name)
    }
}

/// What an engine needs besides the values of the parameters, rendered. A pipeline has its source revision in the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "engine", rename_all = "snake_case")]
pub enum Work {
    /// Of a build.
    Build {
        /// The source version: a commit, a branch, an object version or a pull request, as the project's source takes it
        /// (`StartBuild`, `sourceVersion`).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        source_version: Option<String>,
    },
    /// Of a change set.
    Stack(Box<StackWork>),
    /// Of a deployment.
    Deployment(Box<DeploymentWork>),
}

/// What a change set is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StackWork {
    /// The template.
    pub template: S3Object,
    /// A template configuration file as CodePipeline reads it: `{"Parameters": {…}, "Tags": {…}}` (CodePipeline User Guide,
    /// "CloudFormation artifacts"). The plan's own values go before its parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<S3Object>,
    /// Capabilities that are granted, such as `CAPABILITY_NAMED_IAM`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub capabilities: Vec<Capability>,
    /// The role that CloudFormation works with; without one, that which the stack already has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<RoleArn>,
    /// What becomes of a change set that would replace or remove resources.
    #[serde(default)]
    pub replacements: Replacements,
}

/// What CloudFormation may do only when it is told so (`CreateChangeSet`, `Capabilities`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Capability {
    /// Make IAM resources.
    #[serde(rename = "CAPABILITY_IAM")]
    Iam,
    /// Make IAM resources with names of their own.
    #[serde(rename = "CAPABILITY_NAMED_IAM")]
    NamedIam,
    /// Expand macros, such as the serverless transform.
    #[serde(rename = "CAPABILITY_AUTO_EXPAND")]
    AutoExpand,
}

impl Capability {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Iam, Self::NamedIam, Self::AutoExpand];

    /// As the API spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Iam => "CAPABILITY_IAM",
            Self::NamedIam => "CAPABILITY_NAMED_IAM",
            Self::AutoExpand => "CAPABILITY_AUTO_EXPAND",
        }
    }
}

/// What becomes of a change set that would replace or remove resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Replacements {
    /// It is not executed, and the target fails with their names.
    #[default]
    Refuse,
    /// It is executed.
    Allow,
}

/// What is deployed, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentWork {
    /// What.
    pub revision: DeploymentRevision,
    /// The deployment configuration instead of the group's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<String>,
    /// Whether a deployment that fails, or is stopped by an alarm, is rolled back; as the group says if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_rollback: Option<bool>,
    /// What stopping it does with what it changed.
    #[serde(default)]
    pub on_stop: OnStop,
}

/// The revision of a deployment (`RevisionLocation`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeploymentRevision {
    /// A bundle in S3, or an AppSpec file; how it is packed follows from the key's ending.
    S3(S3Object),
    /// The text of an AppSpec, for ECS and Lambda.
    AppSpec(String),
    /// A commit of a repository on GitHub, for EC2.
    GitHub {
        /// `owner/name`.
        repository: String,
        /// The commit.
        commit: String,
    },
}

impl DeploymentRevision {
    /// How a bundle of this key is packed (`S3Location`, `bundleType`), told by its ending; nothing if by no known one.
    #[must_use]
    pub fn bundle(object: &S3Object) -> Option<&'static str> {
        let key = object.key().to_ascii_lowercase();
        let endings = [
            (".zip", "zip"),
            (".tar", "tar"),
            (".tgz", "tgz"),
            (".tar.gz", "tgz"),
            (".yaml", "YAML"),
            (".yml", "YAML"),
            (".json", "JSON"),
        ];
        endings.into_iter().find(|(ending, _)| key.ends_with(ending)).map(|(_, kind)| kind)
    }
}

/// What stopping a deployment does with what it changed (`StopDeployment`, `autoRollbackEnabled`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnStop {
    /// It stays.
    #[default]
    Leave,
    /// The last good revision is deployed again.
    RollBack,
}

/// An object in S3, as text `s3://bucket/key`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct S3Object {
    bucket: String,
    key: String,
}

impl S3Object {
    /// What is accepted as its text.
    pub const EXPECTED: &'static str = "an object in S3 such as s3://bucket/key: a bucket's name of 3-63 of a-z, 0-9, '.' and '-', and a key of at most 1024 bytes";

    /// The bucket.
    #[must_use]
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The key, without a slash before it.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }
}

impl FromStr for S3Object {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let is_bucket = |name: &str| {
            (3..=63).contains(&name.len())
                && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-'))
        };
        let is_key = |key: &str| (1..=1024).contains(&key.len()) && !key.chars().any(char::is_control);
        match text.strip_prefix("s3://").and_then(|rest| rest.split_once('/')) {
            Some((bucket, key)) if is_bucket(bucket) && is_key(key) => {
                Ok(Self { bucket: bucket.to_owned(), key: key.to_owned() })
            }
            Some(_) | None => Err(InvalidId::new(text, Self::EXPECTED)),
        }
    }
}

impl fmt::Display for S3Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.key)
    }
}

impl TryFrom<String> for S3Object {
    type Error = InvalidId;
    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<S3Object> for String {
    fn from(object: S3Object) -> String {
        object.to_string()
    }
}

impl Work {
    /// The revision that it is pinned to by itself, if it is.
    #[must_use]
    pub fn pinned(&self) -> Option<&str> {
        match self {
            Self::Build { source_version } => source_version.as_deref(),
            Self::Stack(_) => None,
            Self::Deployment(work) => match &work.revision {
                DeploymentRevision::GitHub { commit, .. } => Some(commit),
                DeploymentRevision::S3(_) | DeploymentRevision::AppSpec(_) => None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_read_back_from_its_text_and_a_pipelines_is_its_name_alone() {
        for (text, service, name) in [
            ("svc-deploy", Service::CodePipeline, "svc-deploy"),
            ("codebuild:svc-deploy", Service::CodeBuild, "svc-deploy"),
            ("cloudformation:web", Service::CloudFormation, "web"),
            ("codedeploy:shop/blue-green", Service::CodeDeploy, "shop/blue-green"),
        ] {
            let subject: Subject = text.parse().unwrap();
            assert_eq!((subject.service(), subject.name()), (service, name));
            assert_eq!(subject.to_string(), text);
            let stored = serde_json::to_string(&subject).unwrap();
            assert_eq!(stored, format!("{text:?}"));
            assert_eq!(serde_json::from_str::<Subject>(&stored).unwrap(), subject);
        }
        for text in [
            "",
            "lambda:x",
            "codebuild:",
            "codebuild:a b",
            "cloudformation:1web",
            "codedeploy:shop",
            "codedeploy:a/b/c",
        ] {
            assert!(text.parse::<Subject>().is_err(), "{text}");
        }
    }

    #[test]
    fn each_verb_of_each_service_is_counted_by_an_operation_of_that_service() {
        for service in Service::ALL {
            for verb in [Verb::Start, Verb::Find, Verb::Ask, Verb::Explain, Verb::Stop] {
                assert_eq!(service.api(verb).service(), service.name());
            }
        }
    }

    #[test]
    fn an_object_has_a_bucket_and_a_key() {
        let object: S3Object = "s3://artifacts-eu-west-1/web/0a1b/template.yaml".parse().unwrap();
        assert_eq!((object.bucket(), object.key()), ("artifacts-eu-west-1", "web/0a1b/template.yaml"));
        for text in ["artifacts/key", "s3://artifacts", "s3://artifacts/", "s3://A/key", "https://artifacts/key"] {
            assert!(text.parse::<S3Object>().is_err(), "{text}");
        }
    }
}
