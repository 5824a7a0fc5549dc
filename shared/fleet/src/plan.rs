//! From an app and a release to the plan of a run.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use manifold_core::ids::{ExecutionRef, RunId, TargetKey};
use manifold_core::known::{Good, Known};
use manifold_core::plan::{MAX_VARIABLES_BYTES, Plan, PlannedTarget, PlannedWave, SourceRevision};
use manifold_core::release::Release;

use crate::model::{App, Settable, Target, Variable, WaveRule};
use crate::problem::listed;
use crate::template::{self, RenderError, Scope, value_fault};

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
    /// A parameter is set when a run is started, and can't be, or not to this value.
    #[error("parameter {parameter} can't be set: {reason}")]
    NotSettable {
        /// The parameter.
        parameter: String,
        /// Why.
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
}

/// Rendered values by their template and the account and Region that it depends on.
type Rendered<'a> = HashMap<(&'a str, Option<usize>, Option<usize>), Arc<str>>;

impl App {
    /// Decides everything about a run of all targets: renders the release into every one.
    ///
    /// Targets are ordered by wave, within a wave by Region and within a Region by account, each in the order
    /// of the file; where a wave limits how many of an account or a Region run at once, those that wait for others of
    /// theirs come after them.
    ///
    /// # Errors
    /// When the release has no revision to pin, lacks a part that a parameter uses, or makes a value that
    /// CodePipeline does not take. The first such target is named.
    pub fn plan(&self, run: &RunId, release: &Release) -> Result<Plan, PlanError> {
        self.plan_for(run, release, &Selection::default())
    }

    /// The same for some of the targets, for other values, or for what has changed only. Waves in which nothing is left are
    /// left out; percentages are of what is left.
    ///
    /// # Errors
    /// As [`App::plan`]; or a value is set that can't be.
    pub fn plan_for(&self, run: &RunId, release: &Release, selection: &Selection<'_>) -> Result<Plan, PlanError> {
        let set = self.settings(selection.set)?;
        let mut planned = Vec::new();
        self.render(run, release, &set, &mut planned, |key| selection.only.is_none_or(|only| only.contains(key)))?;
        let has_it = |target: &PlannedTarget| {
            let known = selection.known.and_then(|known| known.get(&target.key));
            known.is_some_and(|known| known.current.fingerprint == target.fingerprint())
        };
        let (unchanged, planned) = planned.into_iter().partition(has_it);
        Ok(self.assembled(&self.rules, planned, unchanged))
    }

    /// The way back: each of some targets gets a release of its own, what it had before run `of`, in the app's waves, yet
    /// without approval and bake.
    ///
    /// # Errors
    /// As [`App::plan`].
    pub fn plan_back(&self, run: &RunId, goods: &[(TargetKey, Good)]) -> Result<WayBack, PlanError> {
        let mut by_release: BTreeMap<&ExecutionRef, (&Release, BTreeSet<&TargetKey>)> = BTreeMap::new();
        for (key, good) in goods {
            let entry = by_release.entry(&good.release.source).or_insert_with(|| (&good.release, BTreeSet::new()));
            entry.1.insert(key);
        }
        let mut planned = Vec::new();
        for (release, keys) in by_release.into_values() {
            let from = planned.len();
            self.render(run, release, &HashMap::new(), &mut planned, |key| keys.contains(key))?;
            for target in &mut planned[from..] {
                target.release = Some(Box::new(shortened(release)));
            }
        }
        let gone = (goods.iter().map(|(key, _)| key))
            .filter(|key| !planned.iter().any(|target| target.key == **key))
            .cloned()
            .collect();
        let order: HashMap<&TargetKey, usize> =
            self.targets.iter().enumerate().map(|(at, target)| (&target.key, at)).collect();
        planned.sort_by_key(|target| order.get(&target.key).copied());
        let plainly = |rule: &WaveRule| WaveRule { bake: None, approval: None, ..rule.clone() };
        let rules: Vec<WaveRule> = self.rules.iter().map(plainly).collect();
        Ok(WayBack { plan: self.assembled(&rules, planned, Vec::new()), gone })
    }

    /// Renders a release into some of the targets. Their indexes are not right yet.
    fn render(
        &self,
        run: &RunId,
        release: &Release,
        set: &HashMap<usize, Arc<str>>,
        into: &mut Vec<PlannedTarget>,
        wanted: impl Fn(&TargetKey) -> bool,
    ) -> Result<(), PlanError> {
        if run.app() != self.name {
            return Err(PlanError::OtherApp { run: run.clone(), app: self.name.to_string() });
        }
        let Some(revision) = release.revision.as_ref().filter(|revision| !revision.id.is_empty()) else {
            return Err(PlanError::NoRevision {
                app: self.name.to_string(),
                pipeline: release.pipeline.to_string(),
                execution: release.source.id.to_string(),
            });
        };
        let source_revision = self.source.as_ref().map(|(action, kind)| SourceRevision {
            action: action.clone(),
            kind: *kind,
            value: revision.id.clone(),
        });
        let mut names = template::base(self.name.as_str(), &self.shared.hub);
        names.extend(template::run(run, release));
        let mut rendered = Rendered::new();
        for target in self.targets.iter().filter(|target| wanted(&target.key)) {
            let account = &self.shared.accounts[target.account];
            into.push(PlannedTarget {
                index: 0,
                wave: target.wave,
                key: target.key.clone(),
                account_name: target.account_name.to_string(),
                role: account.role.clone(),
                external_id: account.external_id.clone(),
                pipeline: target.pipeline.clone(),
                variables: self.variables(target, set, &names, &mut rendered)?,
                source_revision: source_revision.clone(),
                after: Vec::new(),
                before: Vec::new(),
                release: None,
            });
        }
        Ok(())
    }

    /// Puts targets, ordered by their wave, into the waves that have any.
    fn assembled(&self, rules: &[WaveRule], planned: Vec<PlannedTarget>, unchanged: Vec<PlannedTarget>) -> Plan {
        let (mut waves, mut targets) = (Vec::new(), Vec::with_capacity(planned.len()));
        let mut planned = planned.into_iter().peekable();
        for (position, rule) in (0_u32..).zip(rules) {
            let mut group = Vec::new();
            while let Some(target) = planned.next_if(|target| target.wave == position) {
                group.push(target);
            }
            if group.is_empty() {
                continue;
            }
            let (first, size) = (number(targets.len()), number(group.len()));
            let wave = number(waves.len());
            waves.push(rule.planned(first, size));
            let group = in_turn(group, rule.max_per_account, rule.max_per_region, first);
            targets.extend(group.into_iter().map(|target| PlannedTarget { wave, ..target }));
        }
        let left = number(targets.len());
        for (index, target) in (0_u32..).zip(&mut targets) {
            target.index = index;
        }
        let mut unchanged = unchanged;
        for (index, target) in (left..).zip(&mut unchanged) {
            // They are in no wave; shown with the first.
            (target.index, target.wave) = (index, 0);
        }
        Plan {
            waves,
            targets,
            max_attempts: self.max_attempts,
            deadline: self.deadline,
            channel: self.channel.clone(),
            policy: self.policy.clone(),
            unchanged,
        }
    }

    /// The values that are set, by the parameter's position.
    fn settings(&self, set: &[(String, String)]) -> Result<HashMap<usize, Arc<str>>, PlanError> {
        let mut settings = HashMap::new();
        for (name, value) in set {
            let refused = |reason: String| PlanError::NotSettable { parameter: name.clone(), reason };
            let Some(at) = self.parameters.iter().position(|parameter| **parameter == **name) else {
                let known = listed(self.parameters.iter().map(|parameter| &**parameter));
                return Err(refused(format!("app {} has no such parameter; it has {known}", self.name)));
            };
            match self.choices.get(at) {
                Some(Settable::Fixed) => {
                    return Err(refused("its value is fixed in the fleet file".to_owned()));
                }
                Some(Settable::Among(choices)) if !choices.iter().any(|choice| **choice == **value) => {
                    let allowed = listed(choices.iter().map(|choice| &**choice));
                    return Err(refused(format!("{value:?} is none of its choices: {allowed}")));
                }
                Some(Settable::Among(_) | Settable::Freely) | None => {}
            }
            if let Some(reason) = value_fault(value) {
                return Err(refused(reason));
            }
            settings.insert(at, Arc::from(value.as_str()));
        }
        Ok(settings)
    }

    fn variables<'a>(
        &'a self,
        target: &'a Target,
        set: &HashMap<usize, Arc<str>>,
        names: &BTreeMap<&'static str, minijinja::Value>,
        rendered: &mut Rendered<'a>,
    ) -> Result<BTreeMap<String, String>, PlanError> {
        let mut variables = BTreeMap::new();
        let (mut bytes, mut largest) = (0, (0, ""));
        for (at, (parameter, variable)) in self.parameters.iter().zip(&target.variables).enumerate() {
            let value = match (set.get(&at), variable) {
                (Some(text), _) | (None, Variable::Text(text)) => Arc::clone(text),
                (None, Variable::Template(template)) => {
                    let uses = template.uses();
                    let key = (
                        template.source().as_ref(),
                        uses.account.then_some(target.account),
                        uses.region.then_some(target.region),
                    );
                    if let Some(value) = rendered.get(&key) {
                        Arc::clone(value)
                    } else {
                        let scope = Scope {
                            base: names,
                            account: Some(&self.shared.account_names[target.account]),
                            region: Some(&target.key.region),
                        };
                        let value = self.shared.templates.render(template, &scope);
                        let value = value.map_err(|error| not_rendered(target, parameter, error))?;
                        if let Some(reason) = value_fault(&value) {
                            return Err(bad_value(target, parameter, reason));
                        }
                        rendered.insert(key, Arc::clone(&value));
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

/// What of an app's targets a run is for, and with which values.
#[derive(Debug, Default, Clone, Copy)]
pub struct Selection<'a> {
    /// Only these targets.
    pub only: Option<&'a BTreeSet<TargetKey>>,
    /// Not those that have the same already, by what is known of each.
    pub known: Option<&'a BTreeMap<TargetKey, Known>>,
    /// Values of parameters, in every target.
    pub set: &'a [(String, String)],
}

/// A plan of the way back.
#[derive(Debug)]
pub struct WayBack {
    /// The plan.
    pub plan: Plan,
    /// Targets that should go back and that the fleet file does not have any more.
    pub gone: Vec<TargetKey>,
}

/// The most of a commit message that is kept with each target on the way back, in characters.
const SHORTENED: usize = 500;

fn shortened(release: &Release) -> Release {
    let mut release = release.clone();
    if let Some(message) = release.revision.as_mut().and_then(|revision| revision.message.as_mut()) {
        *message = message.chars().take(SHORTENED).collect();
    }
    release
}

/// The waves of so many targets in each, without the empty ones.
pub(crate) fn waves(rules: &[WaveRule], wave_of: impl Iterator<Item = u32>) -> Vec<PlannedWave> {
    let mut sizes = vec![0_u32; rules.len()];
    for wave in wave_of {
        if let Some(size) = usize::try_from(wave).ok().and_then(|wave| sizes.get_mut(wave)) {
            *size += 1;
        }
    }
    let mut first = 0;
    let planned = rules.iter().zip(sizes).filter(|(_, size)| *size > 0).map(|(rule, size)| {
        let wave = rule.planned(first, size);
        first += size;
        wave
    });
    planned.collect()
}

/// Has each target of a wave wait for others of its account, or its Region, so that at most so many of them run at once:
/// they form so many chains. Those that wait longest come last, so that nobody who waits holds a place of the wave that
/// another could have.
fn in_turn(
    group: Vec<PlannedTarget>,
    per_account: Option<u32>,
    per_region: Option<u32>,
    first: u32,
) -> Vec<PlannedTarget> {
    if per_account.is_none() && per_region.is_none() {
        return group;
    }
    let size = |limit: u32| usize::try_from(limit).unwrap_or(usize::MAX);
    let (mut of_account, mut of_region) = (HashMap::new(), HashMap::new());
    let (mut links, mut depths): (Vec<Vec<usize>>, Vec<u32>) = (Vec::new(), Vec::new());
    for (at, target) in group.iter().enumerate() {
        let account: &mut Vec<usize> = of_account.entry(&target.key.account).or_default();
        let region: &mut Vec<usize> = of_region.entry(&target.key.region).or_default();
        let before =
            |line: &[usize], limit: Option<u32>| line.len().checked_sub(size(limit?)).map(|before| line[before]);
        let mut after: Vec<usize> =
            before(account, per_account).into_iter().chain(before(region, per_region)).collect();
        after.dedup();
        depths.push(after.iter().map(|at| depths[*at] + 1).max().unwrap_or(0));
        links.push(after);
        account.push(at);
        region.push(at);
    }
    let mut order: Vec<usize> = (0..group.len()).collect();
    order.sort_by_key(|at| depths[*at]);
    let mut place = vec![0_usize; order.len()];
    for (to, at) in order.iter().enumerate() {
        place[*at] = to;
    }
    let keys: Vec<TargetKey> = group.iter().map(|target| target.key.clone()).collect();
    let mut followers: Vec<Vec<u32>> = vec![Vec::new(); group.len()];
    for (at, after) in links.iter().enumerate() {
        after.iter().for_each(|before| followers[*before].push(first + number(place[at])));
    }
    let mut placed: Vec<(usize, PlannedTarget)> = group
        .into_iter()
        .enumerate()
        .map(|(at, target)| {
            let after = links[at].iter().map(|before| keys[*before].clone()).collect();
            let mut before = std::mem::take(&mut followers[at]);
            before.sort_unstable();
            (place[at], PlannedTarget { after, before, ..target })
        })
        .collect();
    placed.sort_by_key(|(to, _)| *to);
    placed.into_iter().map(|(_, target)| target).collect()
}

fn number(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
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
