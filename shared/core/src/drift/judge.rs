//! What was seen of a target, against what should be there.
//!
//! **Two strikes.** What differs at the first look is looked at again; only what both looks found is drift. What one of
//! them found alone is unknown until the next check, and what the second one finds in order is in order.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::check::{Check, Looked};
use super::definition::differences;
use super::sight::{ExecutionSeen, PipelineSeen, ResourceDrift, Sight, StackDrift, StackSeen, StateSeen, Trace};
use super::{Aspect, Ignore, Looks};
use crate::checkup::Tried;
use crate::control::Via;
use crate::ids::{RunId, TargetKey};
use crate::known::Good;
use crate::release::Release;
use crate::time::Timestamp;

/// How many differing paths of a definition are listed.
const MOST_PATHS: usize = 20;
/// The most of a value, in characters.
const MOST_VALUE: usize = 200;
/// The creator of a deployment that takes a failed one back (`DeploymentInfo`, `creator`).
const TAKES_BACK: &str = "codeDeployRollback";

/// How a comparison came out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "value", content = "findings", rename_all = "snake_case")]
pub enum Value {
    /// All of it was seen, and is as it should be.
    InSync,
    /// Something is not as it should be. At least one finding.
    Drifted(Vec<Finding>),
    /// Not all of it could be seen, or not what it should be; and nothing was found to differ. At least one reason.
    Unknown(Vec<Finding>),
}

impl Value {
    /// What was found, or why nothing could be.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        match self {
            Self::InSync => &[],
            Self::Drifted(findings) | Self::Unknown(findings) => findings,
        }
    }
}

/// What one look found in a comparison. Nothing of either: it is in sync.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Found {
    /// What is not as it should be.
    drifted: Vec<Finding>,
    /// Why the rest is not known.
    unseen: Vec<Finding>,
}

impl Found {
    fn drifted(drifted: Vec<Finding>) -> Self {
        Self { drifted, unseen: Vec::new() }
    }

    fn unknown(words: impl Into<String>) -> Self {
        Self { drifted: Vec::new(), unseen: vec![Finding::of(words)] }
    }

    fn is_in_sync(&self) -> bool {
        self.drifted.is_empty() && self.unseen.is_empty()
    }

    fn into_value(self) -> Value {
        match (self.drifted.is_empty(), self.unseen.is_empty()) {
            (true, true) => Value::InSync,
            (true, false) => Value::Unknown(self.unseen),
            (false, _) => {
                let unseen = self.unseen.into_iter().map(|finding| Finding { is_unseen: true, ..finding });
                Value::Drifted(self.drifted.into_iter().chain(unseen).collect())
            }
        }
    }
}

/// Words, path, and what was expected and found.
type Sense<'a> = (&'a str, Option<&'a str>, Option<&'a str>, Option<&'a str>);

/// One thing that is not as it should be, or the reason why that is not known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// In words, without anything specific to the target, so that targets can be grouped by them. Untrusted.
    pub words: String,
    /// Where in the comparison, such as `/transitions/Deploy`; ignore rules name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// What should be there. Untrusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// What is. Untrusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
    /// Who did it. Untrusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// Among the findings of a drift: that it is none, but the reason why something else is not known.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_unseen: bool,
}

impl Finding {
    pub(super) fn of(words: impl Into<String>) -> Self {
        Self { words: words.into(), path: None, expected: None, found: None, by: None, at: None, is_unseen: false }
    }

    fn at_path(path: impl Into<String>, words: impl Into<String>) -> Self {
        Self { path: Some(path.into()), ..Self::of(words) }
    }

    /// What makes it the same finding at another look.
    fn sense(&self) -> Sense<'_> {
        (&self.words, self.path.as_deref(), self.expected.as_deref(), self.found.as_deref())
    }
}

/// A digest of findings, whoever is to blame for them and when, and whatever else could not be seen: the same ones have the
/// same.
#[must_use]
pub fn fingerprint(findings: &[Finding]) -> String {
    let senses: BTreeSet<_> = findings.iter().filter(|finding| !finding.is_unseen).map(Finding::sense).collect();
    let digest = Sha256::digest(format!("{senses:?}").as_bytes());
    digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// A comparison of a target, judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// How it came out, without what rules hide.
    pub value: Value,
    /// What rules hide.
    pub hidden: Vec<Finding>,
    /// What accepting it would store; `None` if there is nothing to accept.
    pub acceptable: Option<String>,
}

/// Judges all comparisons of a target. `texts` are definitions by their digest, as far as they are known; `in_time` is
/// whether a second look is still to come for what needs one.
#[must_use]
pub fn judge(
    check: &Check,
    account_name: &str,
    looks: &Looks,
    looked: &Looked,
    texts: &BTreeMap<String, String>,
    now: Timestamp,
) -> BTreeMap<Aspect, Judged> {
    let judged = looks.aspects.iter().map(|aspect| {
        let one = |sight: &Sight| Judge { check, looks, looked, sight, texts }.aspect(*aspect);
        let (first, second) = (one(&looked.first), looked.second.as_ref().map(one));
        let acceptable = second.as_ref().unwrap_or(&first).1.clone();
        let found = match second {
            Some((second, _)) => confirmed(first.0, second),
            None => first.0,
        };
        let rules: Vec<_> = check.policy.ignore.iter().filter(|rule| rule.covers(account_name, &looked.key)).collect();
        let hides = |rule: &Ignore, finding: &Finding| rule.hides(*aspect, finding.path.as_deref(), now);
        let (mut hidden, drifted): (Vec<Finding>, Vec<Finding>) =
            found.drifted.into_iter().partition(|finding| rules.iter().any(|rule| hides(rule, finding)));
        // What nobody could see is not known and meant, unless the rule names it.
        let (known, unseen): (Vec<Finding>, Vec<Finding>) = found
            .unseen
            .into_iter()
            .partition(|finding| rules.iter().any(|rule| rule.path.is_some() && hides(rule, finding)));
        hidden.extend(known);
        (*aspect, Judged { value: Found { drifted, unseen }.into_value(), hidden, acceptable })
    });
    judged.collect()
}

/// Two looks at the same.
fn confirmed(first: Found, second: Found) -> Found {
    fn senses<'a>(findings: &'a [Finding]) -> BTreeSet<Sense<'a>> {
        findings.iter().map(Finding::sense).collect()
    }
    let unconfirmed = |finding: Finding, words: String| Finding { words, ..finding };
    // What the second one finds in order is in order; so is what the first one did and the second one could not see.
    if second.is_in_sync() || (second.drifted.is_empty() && first.is_in_sync()) {
        return Found::default();
    }
    if second.drifted.is_empty() {
        // Whatever kept the second one from seeing may be what hides the drift: unless the first one saw it all the same.
        if first.drifted.is_empty() || senses(&second.unseen).is_subset(&senses(&first.unseen)) {
            return second;
        }
        let why = second.unseen.first().map(|finding| finding.words.clone()).unwrap_or_default();
        let again = |finding: Finding| {
            let words = format!("{}; it could not be looked at again: {why}", finding.words);
            unconfirmed(finding, words)
        };
        return Found { drifted: Vec::new(), unseen: first.drifted.into_iter().map(again).collect() };
    }
    let before = senses(&first.drifted);
    let (both, once): (Vec<Finding>, Vec<Finding>) =
        second.drifted.into_iter().partition(|finding| before.contains(&finding.sense()));
    if !both.is_empty() {
        return Found { drifted: both, unseen: second.unseen };
    }
    let once = once.into_iter().map(|finding| {
        let words = format!("seen at one of two looks only: {}", finding.words);
        unconfirmed(finding, words)
    });
    Found { drifted: Vec::new(), unseen: once.chain(second.unseen).collect() }
}

/// The revisions of the execution that was deployed last, as one text.
pub(super) fn deployed_revision(sight: &Sight) -> Option<&str> {
    let last = sight.deployed.as_ref()?.done()?.first()?;
    last.revisions.values().next().map(String::as_str)
}

/// Why something was not seen, in words.
fn unseen<T>(tried: &Tried<T>) -> Option<String> {
    match tried {
        Tried::Done(_) => None,
        Tried::Refused { code, message } => Some(format!("{code}: {message}")),
        Tried::Unanswered { reason } => Some(reason.clone()),
        Tried::NotTried => Some("it was not looked at".to_owned()),
    }
}

/// Whether a rollout started an execution, or what CodeDeploy does by itself to take one back.
fn is_ours(execution: &ExecutionSeen, key: &TargetKey) -> bool {
    let is_ours = |by: &str| RunId::from_session_arn(by).is_some() || RunId::from_attempt_token(by, key).is_some();
    let takes_back = execution.is_rollback && execution.trigger.as_deref() == Some(TAKES_BACK);
    takes_back || execution.started_by.as_deref().is_some_and(is_ours)
}

/// Who started an execution, as people call them.
fn starter(execution: &ExecutionSeen) -> Option<String> {
    let by = execution.started_by.as_deref().or(execution.trigger.as_deref())?;
    Some(by.rsplit('/').next().unwrap_or(by).to_owned())
}

fn shortened(value: &str) -> String {
    match value.char_indices().nth(MOST_VALUE) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value.to_owned(),
    }
}

/// A revision as people quote it.
fn short(id: &str) -> &str {
    let hex = id.len() >= 12 && id.chars().all(|c| c.is_ascii_hexdigit());
    if hex { &id[..8] } else { id }
}

fn release_words(release: &Release) -> String {
    match &release.revision {
        Some(revision) => short(&revision.id).to_owned(),
        None => format!("release {}", release.source.id),
    }
}

struct Judge<'a> {
    check: &'a Check,
    looks: &'a Looks,
    looked: &'a Looked,
    sight: &'a Sight,
    texts: &'a BTreeMap<String, String>,
}

impl Judge<'_> {
    fn aspect(&self, aspect: Aspect) -> (Found, Option<String>) {
        if let Some(why) = unseen(&self.sight.assumed) {
            return (Found::unknown(why), None);
        }
        let (found, acceptable) = match aspect {
            Aspect::Revision => self.revision(),
            Aspect::Definition => self.definition(),
            Aspect::Health => self.health(),
            Aspect::Stack => self.stack(),
        };
        let accepted = self.looked.expected.accepted.get(&aspect).filter(|accepted| {
            acceptable.as_ref() == Some(&accepted.fingerprint)
                && accepted.by.via != Via::Manifold
                // A rollout that came after the acceptance goes before it.
                && (aspect != Aspect::Revision || self.good().is_none_or(|good| good.at < accepted.at))
        });
        match accepted {
            // What could not be seen nobody has accepted.
            Some(_) => (Found { drifted: Vec::new(), ..found }, acceptable),
            None => (found, acceptable),
        }
    }

    fn good(&self) -> Option<&Good> {
        self.looked.expected.known.as_ref().map(|known| &known.current)
    }

    fn revision(&self) -> (Found, Option<String>) {
        let (deployed, executions, pipeline) =
            match (&self.sight.deployed, &self.sight.executions, &self.sight.pipeline) {
                (Some(Tried::Done(deployed)), Some(Tried::Done(executions)), Some(Tried::Done(pipeline))) => {
                    (deployed, executions, pipeline)
                }
                (deployed, executions, pipeline) => {
                    let why = [
                        pipeline.as_ref().and_then(unseen),
                        executions.as_ref().and_then(unseen),
                        deployed.as_ref().and_then(unseen),
                    ];
                    let why = why.into_iter().flatten().next();
                    return (Found::unknown(why.unwrap_or_else(|| "it was not looked at".to_owned())), None);
                }
            };
        let stage = &pipeline.deploy_stage;
        let Some(last) = deployed.first() else {
            // "Filter for executions that have succeeded in a stage" has data since 2024-02-01 only (API reference,
            // `SucceededInStageFilter`).
            let where_to = if stage.is_empty() { String::new() } else { format!(" in stage {stage}") };
            return (Found::unknown(format!("no execution is listed that succeeded{where_to}")), None);
        };
        let acceptable = Some(last.id.to_string());
        if let Some(why) = unsettled(last, deployed, executions, pipeline) {
            return (Found { drifted: Vec::new(), unseen: vec![why] }, acceptable);
        }
        let by = |finding: Finding| Finding { by: starter(last), at: last.started_at, ..finding };
        let runs = last.revisions.values().next().map_or_else(|| last.id.to_string(), |id| short(id).to_owned());
        let value = match self.good() {
            None => match (self.check.deployed.common(), deployed_revision(self.sight)) {
                (Some((common, _)), Some(own)) if common == own => Found::default(),
                // How many they are is no part of it: that changes, and the finding would be another one.
                (Some((common, _)), Some(_)) => Found::drifted(vec![by(Finding {
                    expected: Some(shortened(short(common))),
                    found: Some(shortened(&runs)),
                    ..Finding::at_path(
                        "/deployed",
                        format!("runs {runs}, and most of the others run {}", short(common)),
                    )
                })]),
                (None, _) | (_, None) => Found::unknown(
                    "no rollout has reached it yet, and the others have no revision in common to compare it with",
                ),
            },
            Some(good) if carries(last, good) || takes_back(last, good, executions) => {
                match self.check.releases.common() {
                    // What came since the check was opened its siblings, counted before, could not have.
                    Some((common, _))
                        if common != carried(&good.release)
                            && self.looked.expected.rollout.is_none()
                            && good.at < self.check.opened_at =>
                    {
                        let own = release_words(&good.release);
                        let words =
                            format!("has its own last good release {own}, and most of the others have another one");
                        Found::drifted(vec![Finding {
                            expected: Some(short(common.rsplit('/').next().unwrap_or(common)).to_owned()),
                            found: Some(own),
                            ..Finding::at_path("/release", words)
                        }])
                    }
                    Some(_) | None => Found::default(),
                }
            }
            Some(good) => match &self.looked.expected.rollout {
                Some(run) => Found::unknown(format!("rollout {run} is under way")),
                None if !is_comparable(last, good) => {
                    let words = "it is not known which execution brought the last good release, and no revision of it \
                                 is told that could be compared";
                    Found::unknown(words)
                }
                None => {
                    let should = release_words(&good.release);
                    let how = if last.is_rollback { "was rolled back to" } else { "runs" };
                    let words = format!("{how} {runs} instead of {should}, which run {} brought", good.run);
                    Found::drifted(vec![by(Finding {
                        expected: Some(shortened(&should)),
                        found: Some(shortened(&runs)),
                        ..Finding::at_path("/deployed", words)
                    })])
                }
            },
        };
        (value, acceptable)
    }

    fn definition(&self) -> (Found, Option<String>) {
        let pipeline = match &self.sight.pipeline {
            Some(Tried::Done(pipeline)) => pipeline,
            Some(other) => return (Found::unknown(unseen(other).unwrap_or_default()), None),
            None => return (Found::unknown("it was not looked at"), None),
        };
        let digest = &pipeline.digest;
        let acceptable = Some(digest.clone());
        // Between two waves of a rollout some targets have another template than the others.
        let common = self.check.definitions.common().filter(|_| !pipeline.is_released);
        let odd = common.as_ref().filter(|(common, _)| common != digest).copied();
        let value = match (self.looked.expected.accepted.get(&Aspect::Definition), odd) {
            (Some(accepted), _) if accepted.fingerprint != *digest => {
                self.differs(&accepted.fingerprint, "differs from its baseline", pipeline)
            }
            // Somebody said so, for this target.
            (Some(accepted), _) if accepted.by.via != Via::Manifold => Found::default(),
            (_, Some((common, _))) => self.differs(common, "differs from what most of the others have", pipeline),
            (Some(_), None) => Found::default(),
            (None, None) if common.is_some() => Found::default(),
            (None, None) => {
                let words = "its definition is recorded as the baseline from now on; there was none to compare it with";
                Found::unknown(words)
            }
        };
        (value, acceptable)
    }

    /// The findings of a definition that is not as it should be: a place each, as far as the texts are known.
    fn differs(&self, expected: &str, words: &str, pipeline: &PipelineSeen) -> Found {
        let trace = self.trace(|trace| trace.event.ends_with("Pipeline"));
        let blamed = |finding: Finding| Finding {
            by: trace.map(|trace| trace.by.clone()),
            at: trace.map(|trace| trace.at).or(pipeline.updated_at),
            ..finding
        };
        let (should, is) = (self.texts.get(expected), self.texts.get(&pipeline.digest));
        let found = should.zip(is).map(|(should, is)| differences(should, is)).unwrap_or_default();
        let (shown, total) = (found.len().min(MOST_PATHS), found.len());
        let mut findings: Vec<Finding> = found
            .into_iter()
            .take(shown)
            .map(|difference| {
                blamed(Finding {
                    expected: difference.expected.as_deref().map(shortened),
                    found: difference.found.as_deref().map(shortened),
                    ..Finding::at_path(difference.path, words)
                })
            })
            .collect();
        if total > shown {
            findings.push(Finding::at_path("/…", format!("{words}, in {} more places", total - shown)));
        }
        if findings.is_empty() {
            findings.push(blamed(Finding::at_path("/", format!("{words}; the texts are not kept"))));
        }
        Found::drifted(findings)
    }

    fn health(&self) -> (Found, Option<String>) {
        let mut unknown = Vec::new();
        let mut drifted = Vec::new();
        match &self.sight.state {
            Some(Tried::Done(state)) => {
                if state.has_none {
                    let words = "a PARALLEL pipeline has no state: transitions and approvals can't be seen";
                    unknown.push(Finding::at_path("/transitions", words));
                }
                drifted.extend(self.state(state));
            }
            Some(other) => unknown.extend(unseen(other).map(Finding::of)),
            None => unknown.push(Finding::of("it was not looked at")),
        }
        match &self.sight.executions {
            Some(Tried::Done(executions)) => drifted.extend(self.executions(executions)),
            Some(other) => unknown.extend(unseen(other).map(Finding::of)),
            None => unknown.push(Finding::of("it was not looked at")),
        }
        let acceptable = (!drifted.is_empty()).then(|| fingerprint(&drifted));
        (Found { drifted, unseen: unknown }, acceptable)
    }

    fn state(&self, state: &StateSeen) -> Vec<Finding> {
        let disabled = state.disabled.iter().map(|transition| {
            let why = transition.reason.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
            let stage = &transition.stage;
            Finding {
                by: transition.by.as_deref().map(|by| by.rsplit('/').next().unwrap_or(by).to_owned()),
                at: transition.at,
                ..Finding::at_path(
                    format!("/transitions/{stage}"),
                    format!("the transition into stage {stage} is disabled{}", shortened(&why)),
                )
            }
        });
        let is_stuck = |since: Timestamp| self.sight.at.since(since) >= self.looks.stuck_after;
        let stuck = state.approvals.iter().filter(|approval| approval.since.is_none_or(is_stuck)).map(|approval| {
            let (stage, action) = (&approval.stage, &approval.action);
            Finding {
                at: approval.since,
                ..Finding::at_path(
                    format!("/approvals/{stage}/{action}"),
                    format!(
                        "approval {action} in stage {stage} has been waiting for more than {}",
                        self.looks.stuck_after
                    ),
                )
            }
        });
        disabled.chain(stuck).collect()
    }

    fn executions(&self, executions: &[ExecutionSeen]) -> Vec<Finding> {
        let mut findings = Vec::new();
        let counts = |execution: &&ExecutionSeen| !matches!(execution.status.as_str(), "Superseded" | "Cancelled");
        if let Some(last) = executions.iter().find(counts).filter(|last| last.status == "Failed") {
            findings.push(Finding {
                found: Some(last.id.to_string()),
                by: starter(last),
                at: last.started_at,
                ..Finding::at_path("/executions/last", "its last execution failed")
            });
        }
        // Before its first rollout whoever works there works there.
        let Some(good) = self.good() else { return findings };
        let told = self.looks.aspects.contains(&Aspect::Revision) && !self.revision().0.drifted.is_empty();
        let last = self.sight.deployed.as_ref().and_then(Tried::done).and_then(|deployed| deployed.first());
        let foreign = executions.iter().filter(|execution| {
            execution.started_at.is_some_and(|at| at > good.at)
                && !is_ours(execution, &self.looked.key)
                // That it was deployed is told as the revision's drift.
                && !(told && last.is_some_and(|last| last.id == execution.id))
        });
        findings.extend(foreign.map(|execution| Finding {
            found: Some(execution.id.to_string()),
            by: starter(execution),
            at: execution.started_at,
            ..Finding::at_path("/executions/foreign", "an execution was started by somebody else")
        }));
        findings
    }

    fn stack(&self) -> (Found, Option<String>) {
        let (mut drifted, mut unknown) = (Vec::new(), Vec::new());
        for stack in &self.sight.stacks {
            let name = &stack.name;
            match &stack.seen {
                Tried::Done(StackSeen::Detected(found)) => self.detected(name, found, &mut drifted, &mut unknown),
                Tried::Done(StackSeen::Detecting { .. }) => {
                    let words = format!("the drift detection of stack {name} has not ended in time");
                    unknown.push(Finding::at_path(format!("/{name}"), words));
                }
                other @ (Tried::Refused { .. } | Tried::Unanswered { .. } | Tried::NotTried) => unknown.extend(
                    unseen(other).map(|why| Finding::at_path(format!("/{name}"), format!("stack {name}: {why}"))),
                ),
            }
        }
        let unlooked = |name: &&String| !self.sight.stacks.iter().any(|stack| stack.name == **name);
        unknown.extend(
            self.looks
                .stacks
                .iter()
                .filter(unlooked)
                .map(|name| Finding::at_path(format!("/{name}"), format!("stack {name}: it was not looked at"))),
        );
        if self.sight.stacks.is_empty() && unknown.is_empty() {
            unknown.push(Finding::of("no stack was looked at"));
        }
        let acceptable = (!drifted.is_empty()).then(|| fingerprint(&drifted));
        (Found { drifted, unseen: unknown }, acceptable)
    }

    fn detected(&self, name: &str, found: &StackDrift, drifted: &mut Vec<Finding>, unknown: &mut Vec<Finding>) {
        let partly = |what: &str, path: &str, list: &[String]| {
            let words = format!("stack {name} is checked in part: {what} ({})", list.join(", "));
            (!list.is_empty()).then(|| Finding::at_path(format!("/{name}/({path})"), words))
        };
        if let Some(why) = &found.failed {
            unknown.push(Finding::at_path(
                format!("/{name}"),
                format!("the drift detection of stack {name} failed: {why}"),
            ));
        }
        let before = drifted.len();
        drifted.extend(found.drifted.iter().flat_map(|resource| self.resource(name, resource)));
        if found.more > 0 {
            let words = format!("{} more resources of stack {name} differ", found.more);
            drifted.push(Finding::at_path(format!("/{name}/…"), words));
        }
        let listed = drifted.len() > before;
        match found.status.as_str() {
            "IN_SYNC" if found.compared == 0 && found.failed.is_none() => {
                let words = format!("nothing of stack {name} could be compared");
                unknown.push(Finding::at_path(format!("/{name}"), words));
            }
            "IN_SYNC" => {}
            "DRIFTED" if listed => {}
            "DRIFTED" => {
                let words = format!("stack {name} differs from its template");
                drifted.push(Finding::at_path(format!("/{name}"), words));
            }
            _ if found.failed.is_some() => {}
            other => {
                let words = format!("CloudFormation says {other} of stack {name}");
                unknown.push(Finding::at_path(format!("/{name}"), words));
            }
        }
        unknown.extend(partly("nested stacks are left out", "nested", &found.nested));
        unknown.extend(partly("resources of types that can't be", "unsupported", &found.unsupported));
        unknown.extend(partly("resources that were not", "unchecked", &found.unchecked));
    }

    fn resource(&self, stack: &str, resource: &ResourceDrift) -> Vec<Finding> {
        let ResourceDrift { logical, kind, physical, .. } = resource;
        let trace = self.trace(|trace| physical.as_deref().is_some_and(|physical| trace.resource == physical));
        let blamed = |finding: Finding| Finding {
            by: trace.map(|trace| trace.by.clone()),
            at: trace.map(|trace| trace.at),
            ..finding
        };
        let path = format!("/{stack}/{logical}");
        let what = format!("{logical} ({kind}) of stack {stack}");
        if resource.is_deleted {
            return vec![blamed(Finding::at_path(path, format!("{what} was deleted")))];
        }
        let mut findings: Vec<Finding> = resource
            .properties
            .iter()
            .map(|property| {
                blamed(Finding {
                    expected: property.expected.as_deref().map(shortened),
                    found: property.actual.as_deref().map(shortened),
                    ..Finding::at_path(format!("{path}{}", property.path), format!("{what} differs"))
                })
            })
            .collect();
        if resource.more > 0 || findings.is_empty() {
            let words = match resource.more {
                0 => format!("{what} differs"),
                more => format!("{what} differs in {more} more properties"),
            };
            findings.push(blamed(Finding::at_path(path, words)));
        }
        findings
    }

    fn trace(&self, fits: impl Fn(&&Trace) -> bool) -> Option<&Trace> {
        self.sight.trail.as_ref().and_then(Tried::done)?.iter().find(fits)
    }
}

/// What a release carries, so that the same revision is the same whatever execution released it.
pub(super) fn carried(release: &Release) -> String {
    match &release.revision {
        Some(revision) => revision.id.clone(),
        None => release.source.to_string(),
    }
}

/// Whether an execution deployed what the ledger knows.
fn carries(execution: &ExecutionSeen, good: &Good) -> bool {
    let pinned = good.pinned.as_deref();
    let revision = good.release.revision.as_ref().map(|revision| revision.id.as_str());
    let has = |value: &String| Some(value.as_str()) == pinned || Some(value.as_str()) == revision;
    good.execution.as_ref() == Some(&execution.id)
        || execution.revisions.values().any(has)
        || execution.variables.values().any(has)
}

/// Whether an execution is a rollback to what the one that the ledger knows deployed.
fn takes_back(execution: &ExecutionSeen, good: &Good, executions: &[ExecutionSeen]) -> bool {
    let known = executions.iter().find(|other| good.execution.as_ref() == Some(&other.id));
    execution.is_rollback
        && known.is_some_and(|known| {
            !known.revisions.is_empty()
                && known.revisions == execution.revisions
                && known.variables == execution.variables
        })
}

/// Whether it can be told at all that an execution did not deploy what the ledger knows: by the execution that did, by a
/// revision that was pinned, or by variables.
fn is_comparable(execution: &ExecutionSeen, good: &Good) -> bool {
    let pinned = good.pinned.is_some() && !execution.revisions.is_empty();
    good.execution.is_some() || pinned || !execution.variables.is_empty()
}

/// Why it can't be told what was deployed last.
fn unsettled(
    last: &ExecutionSeen,
    deployed: &[ExecutionSeen],
    executions: &[ExecutionSeen],
    pipeline: &PipelineSeen,
) -> Option<Finding> {
    if pipeline.is_parallel {
        // A later start is no later deploy there ("How pipeline executions work", PARALLEL mode).
        let latest = deployed.iter().max_by_key(|execution| execution.updated_at);
        if latest.is_some_and(|latest| latest.id != last.id && latest.revisions != last.revisions) {
            let words = "executions run in PARALLEL: it can't be told which one was deployed last";
            return Some(Finding::of(words));
        }
    }
    let later = executions.iter().filter(|other| other.id != last.id && other.started_at > last.started_at);
    later.into_iter().find_map(|other| {
        let (path, words) = match other.status.as_str() {
            "InProgress" | "Stopping" => ("/executions/running", "another execution is under way".to_owned()),
            // "Abandon" leaves the provider's work running ("Stop a pipeline execution").
            "Stopped" => (
                "/executions/stopped",
                "an execution was stopped later: whether it had deployed anything can't be told".to_owned(),
            ),
            "Succeeded" | "Failed" | "Superseded" | "Cancelled" => return None,
            // `PipelineExecutionStatus` of the CodePipeline API has no others.
            unheard => {
                let words = "a later execution is in a state that this version does not know";
                ("/executions/unheard", format!("{words}: {}", shortened(unheard)))
            }
        };
        Some(Finding { found: Some(other.id.to_string()), ..Finding::at_path(path, words) })
    })
}
