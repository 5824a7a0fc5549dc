//! From an app and a release to the plan of a run.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use manifold_core::ids::{RunId, TargetKey};
use manifold_core::plan::{MAX_VARIABLES_BYTES, Plan, PlannedTarget, SourceRevision};
use manifold_core::release::Release;

use crate::model::{App, Target, Variable};
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
    /// Decides everything about a run: renders the release into every target.
    ///
    /// Targets are ordered by wave, within a wave by Region and within a Region by account, each in the order
    /// of the file.
    ///
    /// # Errors
    /// When the release has no revision to pin, lacks a part that a parameter uses, or makes a value that
    /// CodePipeline does not take. The first such target is named.
    pub fn plan(&self, run: &RunId, release: &Release) -> Result<Plan, PlanError> {
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
        let mut targets = Vec::with_capacity(self.targets.len());
        for (index, target) in (0_u32..).zip(&self.targets) {
            let account = &self.shared.accounts[target.account];
            targets.push(PlannedTarget {
                index,
                wave: target.wave,
                key: target.key.clone(),
                account_name: target.account_name.to_string(),
                role: account.role.clone(),
                external_id: account.external_id.clone(),
                pipeline: target.pipeline.clone(),
                variables: self.variables(target, &names, &mut rendered)?,
                source_revision: source_revision.clone(),
                after: Vec::new(),
                before: Vec::new(),
                release: None,
            });
        }
        Ok(Plan {
            waves: self.waves.clone(),
            targets,
            max_attempts: self.max_attempts,
            deadline: self.deadline,
            channel: self.channel.clone(),
            policy: manifold_core::plan::Policy::default(),
            unchanged: Vec::new(),
        })
    }

    fn variables<'a>(
        &'a self,
        target: &'a Target,
        names: &BTreeMap<&'static str, minijinja::Value>,
        rendered: &mut Rendered<'a>,
    ) -> Result<BTreeMap<String, String>, PlanError> {
        let mut variables = BTreeMap::new();
        let (mut bytes, mut largest) = (0, (0, ""));
        for (parameter, variable) in self.parameters.iter().zip(&target.variables) {
            let value = match variable {
                Variable::Text(text) => Arc::clone(text),
                Variable::Template(template) => {
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
