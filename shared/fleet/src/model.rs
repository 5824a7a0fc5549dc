//! A fleet that has passed every check.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use manifold_core::drift::{self, Aspect, Looks};
use manifold_core::engine::{Capability, OnStop, Replacements, Subject};
use manifold_core::ids::{AccountId, AppName, PipelineName, Region, RoleArn, TargetKey};
use manifold_core::plan::{Channel, PlannedWave, Policy, RevisionKind};
use manifold_core::time::Span;
use minijinja::value::Value;

use crate::layout::{Rule, Spot};
use crate::template::{Template, Templates};

/// Everything Manifold may touch: accounts, Regions and apps, checked as a whole.
///
/// It can only be had from [`Fleet::parse`], so whoever holds one has nothing left to check: every name that
/// refers to something refers to something, every template is known to render, and every target of every app
/// is in exactly one wave.
#[derive(Debug, Clone)]
pub struct Fleet {
    pub(crate) shared: Arc<Shared>,
    pub(crate) apps: Vec<App>,
    pub(crate) digest: String,
}

/// What all apps have in common.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    pub(crate) hub: Hub,
    pub(crate) accounts: Vec<Account>,
    /// What templates see of each account.
    pub(crate) account_names: Vec<Value>,
    pub(crate) regions: Vec<Region>,
    pub(crate) region_names: Vec<Option<String>>,
    pub(crate) templates: Templates,
}

/// The account and Region that Manifold and the release pipelines are in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hub {
    pub(crate) account: AccountId,
    pub(crate) region: Region,
}

/// An account that is deployed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub(crate) name: Arc<str>,
    pub(crate) id: AccountId,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) role: RoleArn,
    pub(crate) external_id: Option<String>,
}

/// One thing that is deployed.
#[derive(Debug, Clone)]
pub struct App {
    pub(crate) shared: Arc<Shared>,
    pub(crate) name: AppName,
    pub(crate) description: Option<String>,
    pub(crate) releases: Vec<ReleasePipeline>,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) targets: Vec<Target>,
    pub(crate) rules: Vec<Rule>,
    pub(crate) waves: Vec<PlannedWave>,
    pub(crate) policy: Policy,
    pub(crate) changed_only: bool,
    /// The app's own engine, then those of its exceptions.
    pub(crate) engines: Vec<Engine>,
    pub(crate) max_attempts: u32,
    pub(crate) deadline: Span,
    pub(crate) channel: Channel,
    pub(crate) drift: Drift,
    /// What is looked at in each target, but for its stacks and what its engine says.
    pub(crate) looks: Looks,
}

/// How an app is checked for drift.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    /// The distance of its checks, from 5 minutes to 7 days; `None` if there is one only when somebody asks for it.
    pub every: Option<Span>,
    /// The time a check may take: longer than [`drift::Policy::confirm`], and at most 6 hours.
    pub deadline: Span,
    /// How it is judged and told, and who may decide about it: those who may about the app's runs.
    pub policy: drift::Policy,
    /// Where it is told.
    pub channel: Channel,
}

/// A parameter of an app: a variable of a pipeline, of a build's environment, or of a stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    pub(crate) name: Box<str>,
    pub(crate) description: Option<String>,
    pub(crate) choices: Vec<String>,
    pub(crate) fixed: bool,
}

/// A pipeline in the hub account whose success is a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleasePipeline {
    pub(crate) region: Region,
    pub(crate) name: PipelineName,
}

/// One place an app is deployed to, with everything that does not depend on the release.
#[derive(Debug, Clone)]
pub struct Target {
    pub(crate) key: TargetKey,
    pub(crate) account_name: Arc<str>,
    pub(crate) account: usize,
    pub(crate) region: usize,
    /// The position of its rule.
    pub(crate) rule: usize,
    /// Where it stands before limits by account and Region change the order.
    pub(crate) rank: usize,
    pub(crate) wave: u32,
    pub(crate) subject: Subject,
    /// The position of its engine.
    pub(crate) engine: usize,
    /// One for each of the app's parameters, in their order.
    pub(crate) variables: Box<[Variable]>,
    /// The names of the CloudFormation stacks that are checked for drift.
    pub(crate) stacks: Box<[Arc<str>]>,
}

/// What does the work in some of an app's targets, with what does not depend on the target.
#[derive(Debug, Clone)]
pub(crate) enum Engine {
    Pipeline { source: Option<(String, RevisionKind)> },
    Build { source_version: Option<Template> },
    Stack(Box<StackEngine>),
    Deployment(Box<DeploymentEngine>),
}

/// What makes a change set.
#[derive(Debug, Clone)]
pub(crate) struct StackEngine {
    pub(crate) template: Template,
    pub(crate) parameters: Option<Template>,
    pub(crate) capabilities: Vec<Capability>,
    pub(crate) role: Option<String>,
    pub(crate) replacements: Replacements,
}

/// What makes a deployment.
#[derive(Debug, Clone)]
pub(crate) struct DeploymentEngine {
    pub(crate) revision: Bundle,
    pub(crate) config: Option<String>,
    pub(crate) auto_rollback: Option<bool>,
    pub(crate) on_stop: OnStop,
}

/// What is deployed.
#[derive(Debug, Clone)]
pub(crate) enum Bundle {
    S3(Template),
    AppSpec(Template),
    GitHub(String),
}

impl Engine {
    /// Whether it pins its targets to the release's revision by itself.
    pub(crate) fn pins(&self) -> bool {
        match self {
            Self::Pipeline { source } => source.is_some(),
            Self::Build { source_version } => source_version.as_ref().is_some_and(|template| template.uses().revision),
            Self::Stack(stack) => {
                stack.template.uses().revision
                    || stack.parameters.as_ref().is_some_and(|template| template.uses().revision)
            }
            Self::Deployment(deployment) => match &deployment.revision {
                Bundle::S3(template) | Bundle::AppSpec(template) => template.uses().revision,
                Bundle::GitHub(_) => true,
            },
        }
    }

    /// Whether what it starts is given the value of a parameter.
    pub(crate) fn takes(&self, parameter: &str) -> bool {
        match self {
            Self::Pipeline { .. } | Self::Build { .. } | Self::Stack(_) => true,
            Self::Deployment(deployment) => match &deployment.revision {
                Bundle::AppSpec(template) => template.parameters().any(|name| name == parameter),
                Bundle::S3(_) | Bundle::GitHub(_) => false,
            },
        }
    }
}

/// The value of a parameter for one target.
#[derive(Debug, Clone)]
pub(crate) enum Variable {
    /// Decided by the fleet file.
    Text(Arc<str>),
    /// Waits for the release.
    Template(Arc<Template>),
}

impl Fleet {
    /// The account and Region that Manifold is in.
    #[must_use]
    pub fn hub(&self) -> &Hub {
        &self.shared.hub
    }

    /// The digest of the file's text ([`manifold_core::checkup::digest`]): whether two have the same file.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The apps, in the order of the file.
    pub fn apps(&self) -> impl Iterator<Item = &App> {
        self.apps.iter()
    }

    /// The app of that name.
    #[must_use]
    pub fn app(&self, name: &str) -> Option<&App> {
        self.apps.iter().find(|app| app.name.as_str() == name)
    }

    /// The apps that a success of this pipeline releases; none when it is not in the hub account.
    #[must_use]
    pub fn released_by(&self, account: &AccountId, region: &Region, pipeline: &PipelineName) -> Vec<&App> {
        let releases =
            |app: &&App| app.releases.iter().any(|release| release.region == *region && release.name == *pipeline);
        if *account == self.shared.hub.account { self.apps.iter().filter(releases).collect() } else { Vec::new() }
    }

    /// What people call a Region, when the file says so.
    #[must_use]
    pub fn region_name(&self, region: &Region) -> Option<&str> {
        let at = self.shared.regions.iter().position(|known| known == region)?;
        self.shared.region_names[at].as_deref()
    }

    /// The Regions that are deployed to, in the order of the file.
    #[must_use]
    pub fn regions(&self) -> &[Region] {
        &self.shared.regions
    }

    /// The accounts that are deployed to, in the order of the file.
    #[must_use]
    pub fn accounts(&self) -> &[Account] {
        &self.shared.accounts
    }
}

impl Hub {
    /// The hub account.
    #[must_use]
    pub fn account(&self) -> &AccountId {
        &self.account
    }

    /// The hub's Region.
    #[must_use]
    pub fn region(&self) -> &Region {
        &self.region
    }
}

impl Account {
    /// Its name in the fleet file.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &AccountId {
        &self.id
    }

    /// Its tags.
    #[must_use]
    pub fn tags(&self) -> &BTreeMap<String, String> {
        &self.tags
    }

    /// The role that Manifold assumes in it.
    #[must_use]
    pub fn role(&self) -> &RoleArn {
        &self.role
    }

    /// The external id that the role's trust policy demands. Not a secret.
    #[must_use]
    pub fn external_id(&self) -> Option<&str> {
        self.external_id.as_deref()
    }
}

impl App {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &AppName {
        &self.name
    }

    /// What it is, when the file says so.
    #[must_use]
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }

    /// The pipelines in the hub account whose success releases it; at least one.
    #[must_use]
    pub fn releases(&self) -> &[ReleasePipeline] {
        &self.releases
    }

    /// Its targets, at least one, in the order of [`App::plan`].
    #[must_use]
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// The target in an account and Region, if the app is deployed there.
    #[must_use]
    pub fn target(&self, key: &TargetKey) -> Option<&Target> {
        self.targets.iter().find(|target| target.key == *key)
    }

    /// Its waves in order, at least one; together they cover the targets without a gap. A run for some of the targets has
    /// other ones.
    #[must_use]
    pub fn waves(&self) -> &[PlannedWave] {
        &self.waves
    }

    /// The names of its parameters, which are those of the pipeline variables, in the order of the file.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        self.parameters.iter().map(Parameter::name)
    }

    /// Its parameters with what may be chosen for them, in the order of the file.
    #[must_use]
    pub fn parameter_choices(&self) -> &[Parameter] {
        &self.parameters
    }

    /// How its runs are controlled.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Whether a target that has a release already is left alone ([`crate::Selection::known`]).
    #[must_use]
    pub fn changed_only(&self) -> bool {
        self.changed_only
    }

    /// The source action of a target's pipeline that is pinned to the release's revision, and how; nothing where another
    /// engine does the work.
    #[must_use]
    pub fn source(&self, target: &Target) -> Option<(&str, RevisionKind)> {
        match self.engine(target)? {
            Engine::Pipeline { source } => source.as_ref().map(|(action, kind)| (action.as_str(), *kind)),
            Engine::Build { .. } | Engine::Stack(_) | Engine::Deployment(_) => None,
        }
    }

    /// What does the work in a target.
    pub(crate) fn engine(&self, target: &Target) -> Option<&Engine> {
        self.engines.get(target.engine)
    }

    /// Where its summaries go.
    #[must_use]
    pub fn channel(&self) -> &Channel {
        &self.channel
    }

    /// How it is checked for drift; when the file says nothing, whenever somebody asks for it.
    #[must_use]
    pub fn drift(&self) -> &Drift {
        &self.drift
    }

    /// What of its targets is compared when it is checked for drift; at least one.
    #[must_use]
    pub fn aspects(&self) -> &BTreeSet<Aspect> {
        &self.looks.aspects
    }
}

impl Parameter {
    /// Its name, which is the pipeline variable's.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is for, when the file says so.
    #[must_use]
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }

    /// The only values allowed, in the order of the file; none when every value is.
    #[must_use]
    pub fn choices(&self) -> &[String] {
        &self.choices
    }

    /// Whether the file fixes its value, so that it can't be set for a run.
    #[must_use]
    pub fn is_fixed(&self) -> bool {
        self.fixed
    }
}

impl ReleasePipeline {
    /// The Region it is in.
    #[must_use]
    pub fn region(&self) -> &Region {
        &self.region
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &PipelineName {
        &self.name
    }
}

impl Target {
    /// Account and Region.
    #[must_use]
    pub fn key(&self) -> &TargetKey {
        &self.key
    }

    /// The account's name in the fleet file.
    #[must_use]
    pub fn account_name(&self) -> &str {
        &self.account_name
    }

    /// What is started there.
    #[must_use]
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// What a plan's layout knows of it.
    pub(crate) fn spot(&self) -> Spot {
        Spot { rule: self.rule, account: self.account, region: self.region }
    }

    /// The position of its wave.
    #[must_use]
    pub fn wave(&self) -> u32 {
        self.wave
    }
}
