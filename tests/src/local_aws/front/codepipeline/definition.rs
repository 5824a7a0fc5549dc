//! Pipelines as a test defines them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// Where a pipeline is, and its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PipelineId {
    /// Its account: 12 digits.
    pub account: String,
    /// Its Region.
    pub region: String,
    /// Its name.
    pub name: String,
}

impl PipelineId {
    /// Puts it together.
    #[must_use]
    pub fn new(account: &str, region: &str, name: &str) -> Self {
        Self { account: account.to_owned(), region: region.to_owned(), name: name.to_owned() }
    }

    /// `arn:aws:codepipeline:<region>:<account>:<name>`.
    #[must_use]
    pub fn arn(&self) -> String {
        crate::wire::events::pipeline_arn(&self.account, &self.region, &self.name)
    }
}

/// The type of a pipeline (CodePipeline User Guide, "Pipeline types").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PipelineType {
    /// Knows neither variables nor source revision overrides nor other modes than SUPERSEDED.
    V1,
    /// Knows all.
    V2,
}

/// What happens to executions that run at once (CodePipeline User Guide, "Set or change the pipeline execution mode").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecutionMode {
    /// A newer execution takes the place of one that waits between stages.
    Superseded,
    /// One after the other, stage by stage.
    Queued,
    /// Independent of each other.
    Parallel,
}

impl ExecutionMode {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Superseded => "SUPERSEDED",
            Self::Queued => "QUEUED",
            Self::Parallel => "PARALLEL",
        }
    }
}

/// What a source action finds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Revision {
    /// A commit's id, an image's digest, an object's version or key.
    pub id: String,
    /// A commit's message.
    pub message: Option<String>,
    /// Its page.
    pub url: Option<String>,
    /// The action's output variables, such as `AuthorDisplayName` (CodePipeline User Guide, "Variables available for
    /// pipeline actions").
    pub variables: BTreeMap<String, String>,
}

impl Revision {
    /// A revision of which nothing but the id is known.
    #[must_use]
    pub fn new(id: &str) -> Self {
        Self { id: id.to_owned(), ..Self::default() }
    }
}

/// An action of a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// Its name.
    pub name: String,
    /// `Source`, `Build`, `Deploy`, …
    pub category: String,
    /// `CodeStarSourceConnection`, `CodeDeploy`, …
    pub provider: String,
    /// Actions of one stage with the same number run at once; from 1.
    pub run_order: u32,
    /// Its configuration.
    pub configuration: BTreeMap<String, String>,
    /// The names of the artifacts that it makes.
    pub outputs: Vec<String>,
}

impl Action {
    /// An action without configuration.
    #[must_use]
    pub fn new(name: &str, category: &str, provider: &str) -> Self {
        Self {
            name: name.to_owned(),
            category: category.to_owned(),
            provider: provider.to_owned(),
            run_order: 1,
            configuration: BTreeMap::new(),
            outputs: Vec::new(),
        }
    }

    /// A source action, whose artifact is called `<name>Artifact`.
    #[must_use]
    pub fn source(name: &str, provider: &str) -> Self {
        Self { outputs: vec![format!("{name}Artifact")], ..Self::new(name, "Source", provider) }
    }

    /// With a field of its configuration.
    #[must_use]
    pub fn configured(mut self, name: &str, value: &str) -> Self {
        self.configuration.insert(name.to_owned(), value.to_owned());
        self
    }

    /// With another place in its stage.
    #[must_use]
    pub fn run_order(self, run_order: u32) -> Self {
        Self { run_order, ..self }
    }

    /// Whether it waits until somebody approves ("Add a manual approval action to a stage").
    pub(super) fn is_approval(&self) -> bool {
        self.category == "Approval"
    }

    pub(super) fn is_source(&self) -> bool {
        self.category == "Source"
    }

    /// `actionTypeId` of the API, `type` of events.
    pub(super) fn kind(&self) -> Value {
        json!({"category": self.category, "owner": "AWS", "provider": self.provider, "version": "1"})
    }

    /// The types of revision that may be given for it (`StartPipelineExecution`, `sourceRevisions`; User Guide, "Start
    /// a pipeline with a source revision override").
    pub(super) fn revision_types(&self) -> &'static [&'static str] {
        let allows_keys = self.configuration.get("AllowOverrideForS3ObjectKey").is_some_and(|value| value == "true");
        match self.provider.as_str() {
            "ECR" => &["IMAGE_DIGEST"],
            "S3" if allows_keys => &["S3_OBJECT_VERSION_ID", "S3_OBJECT_KEY"],
            "S3" => &["S3_OBJECT_VERSION_ID"],
            _ => &["COMMIT_ID"],
        }
    }
}

/// A stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// Its name.
    pub name: String,
    /// Its actions; never empty.
    pub actions: Vec<Action>,
}

impl Stage {
    /// Puts it together.
    #[must_use]
    pub fn new(name: &str, actions: Vec<Action>) -> Self {
        Self { name: name.to_owned(), actions }
    }
}

/// Why an action fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// `JobFailed`, `PermissionError`, … (`ErrorDetails`, `code`).
    pub code: String,
    /// In the provider's words; only the API tells them.
    pub message: String,
}

/// What an execution does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Behaviour {
    /// Every action succeeds.
    Succeeds,
    /// The first action of a stage fails.
    Fails {
        /// The stage.
        stage: String,
        /// Why.
        failure: Failure,
        /// In how many attempts: with 1, a retry succeeds.
        attempts: u32,
    },
    /// The actions of a stage never end, until [`super::Pipelines::release`]. An approval never does, whatever this says.
    Hangs {
        /// The stage.
        stage: String,
    },
}

impl Behaviour {
    /// Fails in a stage, whenever it is tried.
    #[must_use]
    pub fn fails(stage: &str, code: &str, message: &str) -> Self {
        Self::fails_at_first(stage, code, message, u32::MAX)
    }

    /// Fails in a stage in the first `attempts` attempts; a retry after them succeeds.
    #[must_use]
    pub fn fails_at_first(stage: &str, code: &str, message: &str, attempts: u32) -> Self {
        let failure = Failure { code: code.to_owned(), message: message.to_owned() };
        Self::Fails { stage: stage.to_owned(), failure, attempts }
    }

    /// Never gets through a stage.
    #[must_use]
    pub fn hangs(stage: &str) -> Self {
        Self::Hangs { stage: stage.to_owned() }
    }
}

/// A pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pipeline {
    /// Where it is, and its name.
    pub id: PipelineId,
    /// Its type.
    pub kind: PipelineType,
    /// Its mode.
    pub mode: ExecutionMode,
    /// Its stages; the first one has the source actions.
    pub stages: Vec<Stage>,
    /// Its variables with their defaults.
    pub variables: BTreeMap<String, Option<String>>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// What each source action finds when nobody says otherwise.
    pub latest: BTreeMap<String, Revision>,
}

impl Pipeline {
    /// Type V2, mode SUPERSEDED as is CodePipeline's default, a stage `Source` with the action `Source` of a connection
    /// to GitHub, and a stage `Deploy` with the action `Deploy` of CodeDeploy.
    #[must_use]
    pub fn new(account: &str, region: &str, name: &str) -> Self {
        let source = Action::source("Source", "CodeStarSourceConnection")
            .configured("FullRepositoryId", "example-org/web")
            .configured("BranchName", "main");
        Self {
            id: PipelineId::new(account, region, name),
            kind: PipelineType::V2,
            mode: ExecutionMode::Superseded,
            stages: vec![
                Stage::new("Source", vec![source]),
                Stage::new("Deploy", vec![Action::new("Deploy", "Deploy", "CodeDeploy")]),
            ],
            variables: BTreeMap::new(),
            tags: BTreeMap::new(),
            latest: [("Source".to_owned(), Revision::new("1a1e57c0de1a1e57c0de1a1e57c0de1a1e57c0de"))].into(),
        }
    }

    /// Of type V1.
    #[must_use]
    pub fn v1(self) -> Self {
        Self { kind: PipelineType::V1, ..self }
    }

    /// In another mode.
    #[must_use]
    pub fn mode(self, mode: ExecutionMode) -> Self {
        Self { mode, ..self }
    }

    /// With other stages.
    #[must_use]
    pub fn stages(self, stages: Vec<Stage>) -> Self {
        Self { stages, ..self }
    }

    /// With a variable.
    #[must_use]
    pub fn variable(mut self, name: &str, default: Option<&str>) -> Self {
        self.variables.insert(name.to_owned(), default.map(str::to_owned));
        self
    }

    /// With a tag.
    #[must_use]
    pub fn tag(mut self, name: &str, value: &str) -> Self {
        self.tags.insert(name.to_owned(), value.to_owned());
        self
    }

    /// With what a source action finds.
    #[must_use]
    pub fn latest(mut self, action: &str, revision: Revision) -> Self {
        self.latest.insert(action.to_owned(), revision);
        self
    }

    pub(super) fn source_actions(&self) -> impl Iterator<Item = &Action> {
        self.stages.iter().flat_map(|stage| &stage.actions).filter(|action| action.is_source())
    }
}

/// A push to a Git repository that starts an execution (CodePipeline User Guide, "Monitoring CodePipeline events": the
/// trigger of SUCCEEDED and FAILED).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    /// `owner/name`.
    pub repository: String,
    /// The branch.
    pub branch: String,
    /// The commit.
    pub commit: String,
    /// Its message.
    pub message: String,
    /// Its author's name.
    pub author: String,
    /// The connection that told of it.
    pub connection_arn: String,
}

/// Who or what starts an execution (`ExecutionTrigger`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// Somebody calls `StartPipelineExecution`: the ARN.
    Caller(String),
    /// A rule of EventBridge: its ARN.
    Rule(String),
    /// A push, told by a connection.
    Push(Push),
}

impl Cause {
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Caller(_) => "StartPipelineExecution",
            Self::Rule(_) => "CloudWatchEvent",
            Self::Push(_) => "WebhookV2",
        }
    }

    /// The trigger's detail: whose call, which rule, or which connection.
    #[must_use]
    pub fn detail(&self) -> &str {
        match self {
            Self::Caller(arn) | Self::Rule(arn) => arn,
            Self::Push(push) => &push.connection_arn,
        }
    }
}
