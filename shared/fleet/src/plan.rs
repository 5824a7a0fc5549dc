//! From an app and a release to the plan of a run: for all of the app's targets, for some, or the way back. And the plan of
//! a drift check, which needs no release.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use manifold_core::drift::{Aspect, Looks, MOST_STACKS};
use manifold_core::engine::{DeploymentRevision, DeploymentWork, S3Object, StackWork, Subject, Work};
use manifold_core::ids::{ExecutionRef, InvalidId, RoleArn, RunId, TargetKey};
use manifold_core::known::{Good, Known};
use manifold_core::plan::{MAX_VARIABLES_BYTES, Plan, PlannedTarget, SourceRevision};
use manifold_core::release::Release;

use crate::check::engine::fault;
use crate::layout::{Layout, number};
use crate::model::{App, Bundle, DeploymentEngine, Engine, Parameter, StackEngine, Target, Variable};
use crate::problem::{closest, listed, quoted, some_of};
use crate::template::{self, RenderError, Scope, Template, value_fault};

/// Why a release cannot be planned. Everything that the fleet file alone decides was checked when it was read;
/// what is left depends on the release.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The run was derived for another app.
    #[error("run {run} is not a run of app {app}")]
    OtherApp {
        /// The run.
        run: RunId,
        /// The app that was asked for a plan.
        app: String,
    },
    /// The release has no revision, so no target could be pinned to it.
    #[error(
        "cannot pin the targets of app {app}: release {execution} of pipeline {pipeline} reports no source revision"
    )]
    NoRevision {
        /// The app.
        app: String,
        /// The release pipeline.
        pipeline: String,
        /// Its execution.
        execution: String,
    },
    /// A parameter uses a part that the release does not have.
    #[error(
        "parameter {parameter} for {account_name} ({target}) uses release.{part}, which this release does not report; add a default to the template, as in {{{{ release.{part} | default(\"unknown\") }}}}"
    )]
    NotReported {
        /// The target.
        target: TargetKey,
        /// The name of its account.
        account_name: String,
        /// The parameter.
        parameter: String,
        /// The missing part, such as `author`.
        part: String,
    },
    /// A rendered value is not one that CodePipeline takes.
    #[error("parameter {parameter} for {account_name} ({target}) cannot be used: {reason}")]
    BadValue {
        /// The target.
        target: TargetKey,
        /// The name of its account.
        account_name: String,
        /// The parameter.
        parameter: String,
        /// What is wrong with the value.
        reason: String,
    },
    /// All variables of a target together are too large.
    #[error(
        "the variables for {account_name} ({target}) have {bytes} bytes, names and values together; at most {MAX_VARIABLES_BYTES} are allowed, and {parameter} is the largest"
    )]
    TooLarge {
        /// The target.
        target: TargetKey,
        /// The name of its account.
        account_name: String,
        /// The largest of its parameters.
        parameter: String,
        /// The size of all.
        bytes: usize,
    },
    /// A value is set for a parameter that the app does not have.
    #[error("app {app} has no parameter {}; {help}", quoted(.parameter))]
    UnknownParameter {
        /// The app.
        app: String,
        /// The parameter.
        parameter: String,
        /// Those that it has, and the one that was probably meant.
        help: String,
    },
    /// A value is set for a parameter that the fleet file fixes.
    #[error(
        "parameter {parameter} of app {app} is fixed by the fleet file; set another one, or replace its \"value\" there by \"default\""
    )]
    FixedParameter {
        /// The app.
        app: String,
        /// The parameter.
        parameter: String,
    },
    /// Two values are set for one parameter.
    #[error("parameter {parameter} of app {app} is set twice; set it once")]
    SetTwice {
        /// The app.
        app: String,
        /// The parameter.
        parameter: String,
    },
    /// A value that is set is none of the parameter's choices, or none that CodePipeline takes.
    #[error("{} cannot be set for parameter {parameter} of app {app}: {reason}", quoted(.value))]
    BadSetting {
        /// The app.
        app: String,
        /// The parameter.
        parameter: String,
        /// The value.
        value: String,
        /// What is wrong with it, and what is expected.
        reason: String,
    },
    /// The values that are set take the place of the one that pinned a target.
    #[error(
        "with these values nothing pins {account_name} ({target}) to the release's revision: {} used release.revision; leave it as it is, or set source_action in the fleet file",
        listed(.parameters.iter().map(String::as_str))
    )]
    Unpinned {
        /// The target.
        target: TargetKey,
        /// The name of its account.
        account_name: String,
        /// The parameters that pinned it; at least one.
        parameters: Vec<String>,
    },
    /// Targets are asked for that the app does not have, or no longer.
    #[error(
        "app {app} is not deployed to {}; leave them out, or give them back to the app in the fleet file",
        some_of(&.targets.iter().map(ToString::to_string).collect::<Vec<_>>())
    )]
    NotTargets {
        /// The app.
        app: String,
        /// The targets; at least one.
        targets: Vec<TargetKey>,
    },
    /// No target of a run is left that could go back.
    #[error(
        "no target of app {app} is left to go back from run {of}: none that it has now has an earlier good release"
    )]
    NothingToGoBack {
        /// The app.
        app: String,
        /// The run.
        of: RunId,
    },
}

/// What a run is for, if not for the whole app.
#[derive(Debug, Clone, Copy, Default)]
pub struct Selection<'a> {
    /// Values for parameters, by name, in every target. They go before all of the fleet file's but a fixed one.
    pub set: &'a [(String, String)],
    /// Only these targets; all when `None`.
    pub only: Option<&'a BTreeSet<TargetKey>>,
    /// What is known to be deployed. Looked at only if the app says `changed_only`: a target whose last good release is to
    /// the letter what this run would do is left alone. Nothing is when `None`.
    pub known: Option<&'a BTreeMap<TargetKey, Known>>,
}

/// The plan of the way back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Back {
    /// The plan, with at least one target.
    pub plan: Plan,
    /// Those that the fleet file no longer has, so that nothing can be done there.
    pub gone: Vec<TargetKey>,
}

/// What a stack that is deployed to needs of its account and of S3, whatever is released.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StackNeeds {
    /// The service role that it is given, by its name or path/name in the target's account.
    pub role: Option<String>,
    /// The buckets of its template and of its parameters; `*` stands in a name for what a release decides.
    pub buckets: BTreeSet<String>,
}

/// How many characters of a commit message each target of the way back carries.
const LONGEST_MESSAGE: usize = 500;

/// A template, and the account and Region that its value depends on.
type Rendered<'a> = (&'a str, Option<usize>, Option<usize>);

/// What one release makes of an app's templates.
struct Rendering<'a> {
    /// What the templates' names stand for.
    names: BTreeMap<&'static str, minijinja::Value>,
    /// The values so far.
    values: HashMap<Rendered<'a>, Arc<str>>,
    /// What every target is pinned to.
    revision: String,
}

impl App {
    /// Decides everything about a run: renders the release into every target.
    ///
    /// Targets are ordered by wave, within a wave by Region (in the file's order, or the wave's own) and within a Region by
    /// account, in the order of the file. Limits by account and Region put those first that wait for no other.
    ///
    /// # Errors
    /// When the release has no revision to pin, lacks a part that a parameter uses, or makes a value that
    /// CodePipeline does not take. The first such target is named.
    pub fn plan(&self, run: &RunId, release: &Release) -> Result<Plan, PlanError> {
        self.plan_for(run, release, &Selection::default())
    }

    /// Decides everything about a run that is not for the whole app, or sets parameters.
    ///
    /// Waves without a target are left out, and what the file says by per cent is counted from what is left. A plan in which
    /// all targets are left alone, or none was selected, has neither waves nor targets.
    ///
    /// # Errors
    /// As [`App::plan`]; and when a value is set for an unknown or fixed parameter, is none of its choices, or takes the
    /// place of the one that pinned a target; and when a target is selected that the app does not have.
    pub fn plan_for(&self, run: &RunId, release: &Release, selection: &Selection<'_>) -> Result<Plan, PlanError> {
        self.owns(run)?;
        let set = self.settings(selection.set)?;
        if let Some(only) = selection.only {
            let all: HashSet<&TargetKey> = self.targets.iter().map(|target| &target.key).collect();
            let targets: Vec<TargetKey> = only.iter().filter(|key| !all.contains(key)).cloned().collect();
            if !targets.is_empty() {
                return Err(PlanError::NotTargets { app: self.name.to_string(), targets });
            }
        }
        let mut rendering = self.rendering(run, release)?;
        let known = selection.known.filter(|_| self.changed_only);
        let (mut changed, mut unchanged) = (Vec::new(), Vec::new());
        for target in self.ranked(|key| selection.only.is_none_or(|only| only.contains(key))) {
            self.pinned(target, &set)?;
            let planned = self.planned(target, &set, &mut rendering)?;
            let current = known.and_then(|known| known.get(&target.key)).map(|known| &known.current.fingerprint);
            match current.is_some_and(|current| *current == planned.fingerprint()) {
                true => unchanged.push(planned),
                false => changed.push((target, planned)),
            }
        }
        Ok(self.laid_out(changed, unchanged))
    }

    /// Decides everything about the way back from run `of`: each target with its own good release, rendered as the fleet
    /// file says now. In the app's waves and with their limits, but without approvals, bakes and values that were set. Of a
    /// target that is given twice the first release counts.
    ///
    /// # Errors
    /// As [`App::plan`]; and when the app has none of the targets.
    pub fn plan_back(&self, run: &RunId, of: &RunId, targets: &[(TargetKey, Good)]) -> Result<Back, PlanError> {
        self.owns(run)?;
        let mut wanted: HashMap<&TargetKey, &Release> = HashMap::new();
        for (key, good) in targets {
            wanted.entry(key).or_insert(&good.release);
        }
        let set = self.settings(&[])?;
        let mut renderings: HashMap<&ExecutionRef, Rendering<'_>> = HashMap::new();
        let (mut back, mut found) = (Vec::new(), HashSet::new());
        for target in self.ranked(|key| wanted.contains_key(key)) {
            let Some(release) = wanted.get(&target.key) else { continue };
            let rendering = match renderings.entry(&release.source) {
                std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
                std::collections::hash_map::Entry::Vacant(entry) => entry.insert(self.rendering(run, release)?),
            };
            let planned = self.planned(target, &set, rendering)?;
            back.push((target, PlannedTarget { release: Some(Box::new(cut(release))), ..planned }));
            found.insert(&target.key);
        }
        if back.is_empty() {
            return Err(PlanError::NothingToGoBack { app: self.name.to_string(), of: of.clone() });
        }
        let mut plan = self.laid_out(back, Vec::new());
        for wave in &mut plan.waves {
            (wave.approval, wave.bake) = (None, None);
        }
        let gone = targets.iter().map(|(key, _)| key).filter(|key| !found.contains(key)).cloned().collect();
        Ok(Back { plan, gone })
    }

    /// Decides what a drift check looks at: all of the app's targets, or those in `only`, in the app's order. What it does not
    /// have is left out, so that there may be none.
    #[must_use]
    pub fn plan_check(&self, only: Option<&BTreeSet<TargetKey>>) -> Vec<PlannedTarget> {
        let targets = self.targets.iter().filter(|target| only.is_none_or(|only| only.contains(&target.key)));
        let planned = targets.zip(0..).map(|(target, index)| {
            let stacks = self.stacks_of(target);
            let mut aspects = self.looks.aspects.clone();
            // Of an app that deploys stacks in some of its targets only, the others have none.
            if stacks.is_empty() && aspects.len() > 1 {
                aspects.remove(&Aspect::Stack);
            }
            // Nothing but its variables tells what a pipeline or a build deployed whose source is not pinned.
            let variables = match self.engine(target) {
                Some(Engine::Pipeline { source }) => source.is_none(),
                Some(Engine::Build { source_version }) => source_version.is_none(),
                Some(Engine::Stack(_) | Engine::Deployment(_)) | None => false,
            };
            let looks = Some(Box::new(Looks { aspects, stacks, variables, ..self.looks.clone() }));
            PlannedTarget { index, looks, ..self.bare(target) }
        });
        planned.collect()
    }

    /// What the change sets of a target need; nothing where another engine does the work.
    #[must_use]
    pub fn stack_needs(&self, target: &Target) -> Option<StackNeeds> {
        let Some(Engine::Stack(stack)) = self.engine(target) else { return None };
        let mut names = template::base(self.name.as_str(), &self.shared.hub);
        names.extend(template::sample_run(self.name.as_str()));
        let scope = self.scope(target, &names);
        // Each was tried with this invented run when the file was read.
        let files = std::iter::once(&stack.template).chain(&stack.parameters);
        let objects =
            files.filter_map(|file| self.shared.templates.render(file, &scope).ok()?.parse::<S3Object>().ok());
        let buckets = objects.map(|object| template::sample_pattern(object.bucket())).collect();
        Some(StackNeeds { role: stack.role.clone(), buckets })
    }

    fn owns(&self, run: &RunId) -> Result<(), PlanError> {
        match run.app() == self.name {
            true => Ok(()),
            false => Err(PlanError::OtherApp { run: run.clone(), app: self.name.to_string() }),
        }
    }

    /// The stacks of a target that are checked for drift: those that are named, and the one that is deployed to.
    fn stacks_of(&self, target: &Target) -> Vec<String> {
        let mut stacks: Vec<String> = target.stacks.iter().map(ToString::to_string).collect();
        if let Subject::Stack(own) = &target.subject
            && self.looks.aspects.contains(&Aspect::Stack)
            && stacks.len() < MOST_STACKS
            && !stacks.iter().any(|stack| stack == own.as_str())
        {
            stacks.insert(0, own.to_string());
        }
        stacks
    }

    /// Some of its targets, in the order in which they are laid out.
    fn ranked(&self, selects: impl Fn(&TargetKey) -> bool) -> Vec<&Target> {
        let mut targets: Vec<&Target> = self.targets.iter().filter(|target| selects(&target.key)).collect();
        targets.sort_by_key(|target| target.rank);
        targets
    }

    /// For each parameter the value that is set, if one is.
    fn settings(&self, set: &[(String, String)]) -> Result<Vec<Option<Arc<str>>>, PlanError> {
        let mut settings = vec![None; self.parameters.len()];
        for (name, value) in set {
            let (app, parameter) = (self.name.to_string(), name.clone());
            let Some(at) = self.parameters.iter().position(|known| *known.name == **name) else {
                let names = || self.parameters.iter().filter(|known| !known.fixed).map(Parameter::name);
                let help = format!("it has {}{}", listed(names()), meant(name, names()));
                return Err(PlanError::UnknownParameter { app, parameter, help });
            };
            let Parameter { choices, fixed, .. } = &self.parameters[at];
            if *fixed {
                return Err(PlanError::FixedParameter { app, parameter });
            }
            let all = || choices.iter().map(String::as_str);
            let reason = match choices.is_empty() || choices.contains(value) {
                true => value_fault(value),
                false => Some(format!("expected {}{}", listed(all()), meant(value, all()))),
            };
            if let Some(reason) = reason {
                return Err(PlanError::BadSetting { app, parameter, value: value.clone(), reason });
            }
            if settings[at].replace(Arc::from(value.as_str())).is_some() {
                return Err(PlanError::SetTwice { app, parameter });
            }
        }
        Ok(settings)
    }

    /// Whether a target is still pinned to the release's revision, whatever is set.
    fn pinned(&self, target: &Target, set: &[Option<Arc<str>>]) -> Result<(), PlanError> {
        let Some(engine) = self.engine(target).filter(|engine| !engine.pins()) else { return Ok(()) };
        let pins = |variable: &Variable| match variable {
            Variable::Text(_) => false,
            Variable::Template(template) => template.uses().revision,
        };
        let pinning = self.parameters.iter().zip(&target.variables).zip(set);
        let pinning = pinning.filter(|((parameter, variable), _)| pins(variable) && engine.takes(&parameter.name));
        let pinning: Vec<_> = pinning.collect();
        if pinning.iter().any(|(_, set)| set.is_none()) {
            return Ok(());
        }
        Err(PlanError::Unpinned {
            target: target.key.clone(),
            account_name: target.account_name.to_string(),
            parameters: pinning.iter().map(|((parameter, _), _)| parameter.name.to_string()).collect(),
        })
    }

    fn rendering(&self, run: &RunId, release: &Release) -> Result<Rendering<'_>, PlanError> {
        let Some(revision) = release.revision.as_ref().filter(|revision| !revision.id.is_empty()) else {
            return Err(PlanError::NoRevision {
                app: self.name.to_string(),
                pipeline: release.pipeline.to_string(),
                execution: release.source.id.to_string(),
            });
        };
        let mut names = template::base(self.name.as_str(), &self.shared.hub);
        names.extend(template::run(run, release));
        Ok(Rendering { names, values: HashMap::new(), revision: revision.id.clone() })
    }

    /// A target with all but its place in the plan.
    fn planned<'a>(
        &'a self,
        target: &'a Target,
        set: &[Option<Arc<str>>],
        rendering: &mut Rendering<'a>,
    ) -> Result<PlannedTarget, PlanError> {
        let variables = self.variables(target, set, rendering)?;
        let source_revision = self.source(target).map(|(action, kind)| SourceRevision {
            action: action.to_owned(),
            kind,
            value: rendering.revision.clone(),
        });
        let work = self.work(target, &variables, rendering)?;
        Ok(PlannedTarget { variables, source_revision, work, ..self.bare(target) })
    }

    /// A target with what neither a release nor a check decides.
    fn bare(&self, target: &Target) -> PlannedTarget {
        let account = &self.shared.accounts[target.account];
        PlannedTarget {
            index: 0,
            wave: 0,
            key: target.key.clone(),
            account_name: target.account_name.to_string(),
            role: account.role.clone(),
            external_id: account.external_id.clone(),
            subject: target.subject.clone(),
            variables: BTreeMap::new(),
            source_revision: None,
            after: Vec::new(),
            before: Vec::new(),
            release: None,
            work: None,
            looks: None,
        }
    }

    /// Gives the targets of a plan their places, and those that are left alone the indexes that follow.
    fn laid_out(&self, changed: Vec<(&Target, PlannedTarget)>, unchanged: Vec<PlannedTarget>) -> Plan {
        let spots: Vec<_> = changed.iter().map(|(target, _)| target.spot()).collect();
        let layout = Layout::of(&self.rules, &spots);
        let mut changed: Vec<Option<PlannedTarget>> = changed.into_iter().map(|(_, planned)| Some(planned)).collect();
        let mut targets: Vec<PlannedTarget> = Vec::with_capacity(changed.len());
        for seat in layout.seats {
            let Some(planned) = changed.get_mut(seat.spot).and_then(Option::take) else { continue };
            // What it waits for has its place already.
            let after = seat.after.iter().map(|place| targets[*place].key.clone()).collect();
            let index = number(targets.len());
            targets.push(PlannedTarget { index, wave: seat.wave, after, before: seat.before, ..planned });
        }
        let wave = number(layout.waves.len());
        let follow = (number(targets.len())..).zip(unchanged);
        Plan {
            waves: layout.waves,
            unchanged: follow.map(|(index, planned)| PlannedTarget { index, wave, ..planned }).collect(),
            targets,
            max_attempts: self.max_attempts,
            deadline: self.deadline,
            channel: self.channel.clone(),
            policy: self.policy.clone(),
        }
    }

    /// What the target's engine needs besides.
    fn work<'a>(
        &'a self,
        target: &'a Target,
        variables: &BTreeMap<String, String>,
        rendering: &mut Rendering<'a>,
    ) -> Result<Option<Work>, PlanError> {
        let mut text = |field: &'static str, template: &'a Template| self.text(target, field, template, rendering);
        Ok(Some(match self.engine(target) {
            None | Some(Engine::Pipeline { .. }) => return Ok(None),
            Some(Engine::Build { source_version }) => {
                let version = source_version.as_ref().map(|template| text("source_version", template)).transpose()?;
                Work::Build { source_version: version.map(|version| version.to_string()) }
            }
            Some(Engine::Stack(stack)) => {
                let StackEngine { template, parameters, capabilities, role, replacements } = stack.as_ref();
                let template = object(target, "template", &text("template", template)?)?;
                let parameters = parameters.as_ref().map(|template| text("parameters_file", template)).transpose()?;
                let parameters = parameters.map(|text| object(target, "parameters_file", &text)).transpose()?;
                let role = role.as_ref().map(|role| role_in(target, role)).transpose()?;
                let (capabilities, replacements) = (capabilities.clone(), *replacements);
                Work::Stack(Box::new(StackWork { template, parameters, capabilities, role, replacements }))
            }
            Some(Engine::Deployment(deployment)) => {
                let DeploymentEngine { revision, config, auto_rollback, on_stop } = deployment.as_ref();
                let revision = match revision {
                    Bundle::S3(template) => {
                        DeploymentRevision::S3(object(target, "revision", &text("revision", template)?)?)
                    }
                    Bundle::AppSpec(template) => {
                        DeploymentRevision::AppSpec(self.document(target, template, variables, rendering)?)
                    }
                    Bundle::GitHub(repository) => DeploymentRevision::GitHub {
                        repository: repository.clone(),
                        commit: rendering.revision.clone(),
                    },
                };
                let (config, auto_rollback, on_stop) = (config.clone(), *auto_rollback, *on_stop);
                Work::Deployment(Box::new(DeploymentWork { revision, config, auto_rollback, on_stop }))
            }
        }))
    }

    /// A text of an engine, rendered for a target, that its field takes.
    fn text<'a>(
        &'a self,
        target: &'a Target,
        field: &'static str,
        template: &'a Template,
        rendering: &mut Rendering<'a>,
    ) -> Result<Arc<str>, PlanError> {
        let uses = template.uses();
        let key =
            (template.source().as_ref(), uses.account.then_some(target.account), uses.region.then_some(target.region));
        if let Some(text) = rendering.values.get(&key) {
            return Ok(Arc::clone(text));
        }
        let scope = self.scope(target, &rendering.names);
        let text = self.shared.templates.render(template, &scope);
        let text = text.map_err(|error| not_rendered(target, field, error))?;
        if let Some(reason) = fault(field, &text) {
            return Err(bad_value(target, field, reason));
        }
        rendering.values.insert(key, Arc::clone(&text));
        Ok(text)
    }

    /// The AppSpec of a target, with the values of its parameters.
    fn document(
        &self,
        target: &Target,
        template: &Template,
        variables: &BTreeMap<String, String>,
        rendering: &Rendering<'_>,
    ) -> Result<String, PlanError> {
        let mut names = rendering.names.clone();
        names.insert("parameters", minijinja::Value::from(variables.clone()));
        let text = self.shared.templates.render(template, &self.scope(target, &names));
        let text = text.map_err(|error| not_rendered(target, "appspec", error))?;
        match fault("appspec", &text) {
            Some(reason) => Err(bad_value(target, "appspec", reason)),
            None => Ok(text.to_string()),
        }
    }

    fn scope<'a>(&'a self, target: &'a Target, base: &'a BTreeMap<&'static str, minijinja::Value>) -> Scope<'a> {
        Scope { base, account: Some(&self.shared.account_names[target.account]), region: Some(&target.key.region) }
    }

    fn variables<'a>(
        &'a self,
        target: &'a Target,
        set: &[Option<Arc<str>>],
        rendering: &mut Rendering<'a>,
    ) -> Result<BTreeMap<String, String>, PlanError> {
        let mut variables = BTreeMap::new();
        let (mut bytes, mut largest) = (0, (0, ""));
        for ((parameter, variable), set) in self.parameters.iter().zip(&target.variables).zip(set) {
            let parameter = parameter.name();
            let value = match (set, variable) {
                (Some(text), _) | (None, Variable::Text(text)) => Arc::clone(text),
                (None, Variable::Template(template)) => {
                    let uses = template.uses();
                    let key = (
                        template.source().as_ref(),
                        uses.account.then_some(target.account),
                        uses.region.then_some(target.region),
                    );
                    if let Some(value) = rendering.values.get(&key) {
                        Arc::clone(value)
                    } else {
                        let scope = self.scope(target, &rendering.names);
                        let value = self.shared.templates.render(template, &scope);
                        let value = value.map_err(|error| not_rendered(target, parameter, error))?;
                        if let Some(reason) = value_fault(&value) {
                            return Err(bad_value(target, parameter, reason));
                        }
                        rendering.values.insert(key, Arc::clone(&value));
                        value
                    }
                }
            };
            let size = parameter.len() + value.len();
            bytes += size;
            largest = largest.max((size, parameter));
            variables.insert(parameter.to_string(), value.to_string());
        }
        if bytes > MAX_VARIABLES_BYTES {
            return Err(PlanError::TooLarge {
                target: target.key.clone(),
                account_name: target.account_name.to_string(),
                parameter: largest.1.to_owned(),
                bytes,
            });
        }
        Ok(variables)
    }
}

/// A release without what no summary shows of it.
fn cut(release: &Release) -> Release {
    let mut release = release.clone();
    if let Some(message) = release.revision.as_mut().and_then(|revision| revision.message.as_mut())
        && let Some((end, _)) = message.char_indices().nth(LONGEST_MESSAGE)
    {
        message.truncate(end);
    }
    release
}

/// `; did you mean "…"?`, if something close is among the names.
fn meant<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    closest(name, names).map_or_else(String::new, |name| format!("; did you mean {name:?}?"))
}

/// An object in S3, by a text that its field takes.
fn object(target: &Target, field: &'static str, text: &str) -> Result<S3Object, PlanError> {
    text.parse().map_err(|error: InvalidId| bad_value(target, field, error.to_string()))
}

/// A role of the target's account, by its name or path/name.
fn role_in(target: &Target, role: &str) -> Result<RoleArn, PlanError> {
    let TargetKey { account, region } = &target.key;
    let arn = format!("arn:{}:iam::{account}:role/{role}", region.partition().as_str());
    arn.parse().map_err(|error: InvalidId| bad_value(target, "role", error.to_string()))
}

fn not_rendered(target: &Target, parameter: &str, error: RenderError) -> PlanError {
    match error {
        RenderError::Absent(part) => PlanError::NotReported {
            target: target.key.clone(),
            account_name: target.account_name.to_string(),
            parameter: parameter.to_owned(),
            part,
        },
        RenderError::Failed(reason) => bad_value(target, parameter, reason),
    }
}

fn bad_value(target: &Target, parameter: &str, reason: String) -> PlanError {
    PlanError::BadValue {
        target: target.key.clone(),
        account_name: target.account_name.to_string(),
        parameter: parameter.to_owned(),
        reason,
    }
}
