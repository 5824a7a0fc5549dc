//! What a drift check sees of simulated targets: their executions, definitions, transitions and stacks, and what somebody
//! did to them by hand.

use std::collections::{BTreeMap, BTreeSet};

use manifold_core::checkup::Tried;
use manifold_core::console;
use manifold_core::drift::definition::Normal;
use manifold_core::drift::message::Detection;
use manifold_core::drift::sight::{
    DisabledTransition, ExecutionSeen, PipelineSeen, PropertyDrift, ResourceDrift, Sight, StackDrift, StackSeen,
    StackSight, StateSeen, Trace,
};
use manifold_core::drift::{Aspect, Looks};
use manifold_core::engine::{Service, Subject};
use manifold_core::event::PipelineState;
use manifold_core::ids::TargetKey;
use manifold_core::time::{Span, Timestamp};
use manifold_ports::drift::{Asked, Prepared, Revert, Seen, ToRevert, Watch};
use serde_json::{Value, json};

use super::{Inbox, Inner, Unwilling, World};
use crate::behaviour::Behaviour;

/// How long a drift detection takes.
const DETECTION: Span = Span::from_seconds(38);
/// When its event arrives: messages of one second are handed over together, the earliest one's time.
const TOLD: Span = Span::from_seconds(40);
/// Who does by hand what is done by hand.
const SOMEBODY: &str = "arn:aws:sts::000000000000:assumed-role/Admin/jane";

/// Something that somebody does to a target by hand.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tampering {
    /// Starts the pipeline with another revision, and it succeeds.
    Start {
        /// The revision.
        revision: String,
    },
    /// Edits the pipeline: the deploy action's project has another name.
    Edit {
        /// The name.
        project: String,
    },
    /// Disables the transition into a stage.
    Disable {
        /// The stage.
        stage: String,
    },
    /// Changes a resource of a stack.
    Change {
        /// The stack.
        stack: String,
    },
    /// Takes the read-only role away.
    RemoveRole,
    /// Undoes all of the above but what was started.
    Repair,
}

/// What was done to targets by hand.
#[derive(Debug, Clone, Default)]
pub(super) struct ByHand {
    started: BTreeMap<TargetKey, Vec<(Timestamp, String)>>,
    projects: BTreeMap<TargetKey, (Timestamp, String)>,
    disabled: BTreeMap<TargetKey, Vec<(Timestamp, String)>>,
    changed: BTreeSet<(TargetKey, String)>,
    no_role: BTreeSet<TargetKey>,
    /// The drift detections that were started: the stack, and when each ends.
    detections: BTreeMap<String, (TargetKey, String, Timestamp)>,
}

impl World {
    /// Has somebody do something to a target by hand, now.
    pub fn tamper(&self, target: &TargetKey, what: &Tampering) {
        let mut inner = self.lock();
        let now = inner.now;
        inner.tell(|| format!("somebody does {what:?} in {target}"));
        let by_hand = &mut inner.by_hand;
        match what.clone() {
            Tampering::Start { revision } => {
                by_hand.started.entry(target.clone()).or_default().push((now, revision));
            }
            Tampering::Edit { project } => {
                by_hand.projects.insert(target.clone(), (now, project));
            }
            Tampering::Disable { stage } => {
                by_hand.disabled.entry(target.clone()).or_default().push((now, stage));
            }
            Tampering::Change { stack } => {
                by_hand.changed.insert((target.clone(), stack));
            }
            Tampering::RemoveRole => {
                by_hand.no_role.insert(target.clone());
            }
            Tampering::Repair => {
                by_hand.projects.remove(target);
                by_hand.disabled.remove(target);
                by_hand.changed.retain(|(changed, _)| changed != target);
                by_hand.no_role.remove(target);
            }
        }
    }
}

impl Inner {
    /// The executions of a target that the simulation knows, newest first.
    fn executions_of(&self, target: &TargetKey, subject: &Subject) -> Vec<ExecutionSeen> {
        // What the service tells of the revision, and of what started it.
        let (source, trigger) = match subject.service() {
            Service::CodePipeline => (Some("Source"), Some("StartPipelineExecution")),
            Service::CodeBuild => (Some("source"), None),
            Service::CloudFormation => (None, None),
            Service::CodeDeploy => (Some("revision"), Some("user")),
        };
        let revisions = |revision: &String| source.map(|source| (source.to_owned(), revision.clone()));
        let ours = self.executions.iter().filter(|execution| execution.target == *target).map(|execution| {
            let state = execution.states.iter().rfind(|(at, _)| *at <= self.now);
            ExecutionSeen {
                id: execution.id.clone(),
                status: state.map_or("InProgress", |(_, state)| status(state)).to_owned(),
                revisions: execution.revision.iter().filter_map(revisions).collect(),
                variables: execution.variables.clone(),
                trigger: trigger.map(str::to_owned),
                started_by: Some(format!(
                    "arn:aws:sts::{}:assumed-role/ManifoldTarget/{}",
                    target.account,
                    execution.run.session_name()
                )),
                is_rollback: false,
                stopped: None,
                started_at: Some(execution.started_at),
                updated_at: state.map(|(at, _)| *at),
            }
        });
        let by_hand = self.by_hand.started.get(target).into_iter().flatten().enumerate();
        let by_hand = by_hand.filter_map(|(number, (at, revision))| {
            Some(ExecutionSeen {
                id: format!("by-hand-{number}-{}", target.region).parse().ok()?,
                status: "Succeeded".to_owned(),
                revisions: revisions(revision).into_iter().collect(),
                variables: BTreeMap::new(),
                trigger: trigger.map(str::to_owned),
                started_by: Some(SOMEBODY.to_owned()),
                is_rollback: false,
                stopped: None,
                started_at: Some(*at),
                updated_at: Some(*at),
            })
        });
        let mut all: Vec<ExecutionSeen> = ours.chain(by_hand).collect();
        all.sort_by_key(|execution| std::cmp::Reverse(execution.started_at));
        all
    }

    fn definition(&self, target: &TargetKey, subject: &Subject) -> Value {
        let project = self.by_hand.projects.get(target).map_or("svc-deploy", |(_, project)| project.as_str());
        json!({
            "name": subject.name(),
            "roleArn": format!("arn:aws:iam::{}:role/Pipeline", target.account),
            "stages": [
                { "name": "Source", "actions": [{ "name": "Source", "runOrder": 1 }] },
                { "name": "Deploy", "actions": [
                    { "name": "Deploy", "runOrder": 1, "region": target.region.as_str(), "configuration": { "ProjectName": project } },
                ] },
            ],
        })
    }

    fn detect(&mut self, target: &TargetKey, stack: &str) -> StackSeen {
        let (id, since) = (self.uuid(), self.now);
        let until = since.plus(DETECTION);
        self.by_hand.detections.insert(id.clone(), (target.clone(), stack.to_owned(), until));
        let event = json!({
            "version": "0", "id": self.uuid(), "detail-type": "CloudFormation Drift Detection Status Change",
            "source": "aws.cloudformation", "account": target.account.as_str(), "region": target.region.as_str(),
            "time": until.to_string(), "resources": [],
            "detail": {
                "stack-id": format!("arn:aws:cloudformation:{}:{}:stack/{stack}/1", target.region, target.account),
                "stack-drift-detection-id": id,
                "status-details": { "stack-drift-status": "IN_SYNC", "detection-status": "DETECTION_COMPLETE" },
                "drift-detection-details": { "drifted-stack-resource-count": 0 },
            },
        });
        self.deliver(Inbox::Collect, event.to_string(), TOLD, None);
        StackSeen::Detecting { id, since }
    }

    fn drift_of(&self, target: &TargetKey, stack: &str) -> StackDrift {
        let is_changed = self.by_hand.changed.contains(&(target.clone(), stack.to_owned()));
        let changed = ResourceDrift {
            logical: "Jobs".to_owned(),
            physical: Some("jobs".to_owned()),
            kind: "AWS::SQS::Queue".to_owned(),
            is_deleted: false,
            properties: vec![PropertyDrift {
                path: "/VisibilityTimeout".to_owned(),
                expected: Some("30".to_owned()),
                actual: Some("5".to_owned()),
            }],
            more: 0,
        };
        StackDrift {
            status: if is_changed { "DRIFTED" } else { "IN_SYNC" }.to_owned(),
            failed: None,
            compared: 3,
            drifted: if is_changed { vec![changed] } else { Vec::new() },
            more: 0,
            nested: Vec::new(),
            unsupported: Vec::new(),
            unchecked: Vec::new(),
            arn: Some(format!("arn:aws:cloudformation:{}:{}:stack/{stack}/1", target.region, target.account)),
        }
    }
}

const fn status(state: &PipelineState) -> &'static str {
    match state {
        PipelineState::Started | PipelineState::Resumed | PipelineState::Unknown(_) => "InProgress",
        PipelineState::Stopping => "Stopping",
        PipelineState::Succeeded => "Succeeded",
        PipelineState::Failed => "Failed",
        PipelineState::Stopped => "Stopped",
        PipelineState::Canceled => "Cancelled",
        PipelineState::Superseded => "Superseded",
    }
}

impl World {
    /// Assumes the read-only role.
    async fn enter_to_look(&self, asked: Asked<'_>) -> Tried<()> {
        self.count("sts.assume_role");
        if let Err(Unwilling) = self.ask("watch.assume", 60, 140).await {
            return Tried::Unanswered { reason: "simulated: the credentials had expired".to_owned() };
        }
        let inner = self.lock();
        let key = &asked.planned.key;
        match inner.by_hand.no_role.contains(key) || inner.behaviours.of(key) == Behaviour::AccessDenied {
            true => Tried::Refused {
                code: "AccessDenied".to_owned(),
                message: "the hub may not assume role ManifoldInspect".to_owned(),
            },
            false => Tried::Done(()),
        }
    }

    async fn watched<T>(&self, call: &'static str, see: impl FnOnce(&mut Inner) -> T) -> Tried<T> {
        self.count(call);
        match self.ask(call, 80, 200).await {
            Ok(()) => Tried::Done(see(&mut self.lock())),
            Err(Unwilling) => Tried::Unanswered { reason: super::UNWILLING.to_owned() },
        }
    }
}

impl Watch for World {
    async fn look(&self, asked: Asked<'_>, _: Timestamp) -> Seen {
        let (planned, looks) = (asked.planned, asked.looks);
        let key = &planned.key;
        let began = self.lock().now;
        let mut sight = Sight::not_assumed(began, self.enter_to_look(asked).await);
        if sight.assumed != Tried::Done(()) {
            return Seen { sight, definition: None };
        }
        let has = |aspects: &[Aspect]| aspects.iter().any(|aspect| looks.aspects.contains(aspect));
        let mut definition = None;
        if has(&[Aspect::Revision, Aspect::Definition, Aspect::Health]) {
            let normal =
                self.watched("watch.pipeline", |inner| Normal::of(&inner.definition(key, &planned.subject), key)).await;
            definition = normal.done().cloned();
            let updated_at = self.lock().by_hand.projects.get(key).map(|(at, _)| *at);
            sight.pipeline = Some(normal.map(|normal| PipelineSeen {
                digest: normal.digest,
                version: if updated_at.is_some() { 2 } else { 1 },
                updated_at,
                is_parallel: false,
                deploy_stage: match planned.subject.service() {
                    Service::CodePipeline => looks.deploy_stage.clone().unwrap_or_else(|| "Deploy".to_owned()),
                    Service::CodeBuild | Service::CloudFormation | Service::CodeDeploy => String::new(),
                },
                is_released: planned.subject.service() == Service::CloudFormation,
            }));
        }
        if has(&[Aspect::Revision, Aspect::Health]) {
            sight.executions =
                Some(self.watched("watch.executions", |inner| inner.executions_of(key, &planned.subject)).await);
        }
        if has(&[Aspect::Revision]) {
            let succeeded = |inner: &mut Inner| {
                let all = inner.executions_of(key, &planned.subject).into_iter();
                all.filter(|execution| execution.status == "Succeeded").take(1).collect()
            };
            sight.deployed = Some(self.watched("watch.deployed", succeeded).await);
        }
        if has(&[Aspect::Health]) {
            let is_pipeline = planned.subject.service() == Service::CodePipeline;
            let state = |inner: &mut Inner| StateSeen {
                disabled: inner
                    .by_hand
                    .disabled
                    .get(key)
                    .into_iter()
                    .flatten()
                    .filter(|_| is_pipeline)
                    .map(disabled)
                    .collect(),
                ..StateSeen::default()
            };
            sight.state = Some(self.watched("watch.state", state).await);
        }
        if has(&[Aspect::Stack]) {
            sight.stacks = self.detect_all(key, looks).await;
        }
        let is_second = asked.look == manifold_core::drift::message::Look::Second;
        if looks.who && is_second && planned.subject.service() == Service::CodePipeline {
            let trail = |inner: &mut Inner| {
                let edited = inner.by_hand.projects.get(key).map(|(at, _)| Trace {
                    event: "UpdatePipeline".to_owned(),
                    by: "jane".to_owned(),
                    at: *at,
                    resource: planned.subject.name().to_owned(),
                });
                edited.into_iter().collect()
            };
            sight.trail = Some(self.watched("watch.trail", trail).await);
        }
        Seen { sight, definition }
    }

    async fn detected(&self, asked: Asked<'_>, detections: &[Detection], _: Timestamp) -> Vec<StackSight> {
        let entered = self.enter_to_look(asked).await;
        let mut stacks = Vec::with_capacity(detections.len());
        for detection in detections {
            let Detection { stack, id, since } = detection;
            let seen = match &entered {
                Tried::Done(()) => {
                    self.watched("watch.detected", |inner| match inner.by_hand.detections.get(id) {
                        Some((_, _, until)) if *until > inner.now => {
                            StackSeen::Detecting { id: id.clone(), since: *since }
                        }
                        Some((target, stack, _)) => StackSeen::Detected(inner.drift_of(target, stack)),
                        None => StackSeen::Detected(StackDrift {
                            status: "UNKNOWN".to_owned(),
                            failed: Some("there is no such detection".to_owned()),
                            ..inner.drift_of(&asked.planned.key, stack)
                        }),
                    })
                    .await
                }
                refused @ (Tried::Refused { .. } | Tried::Unanswered { .. } | Tried::NotTried) => {
                    refused.clone().map(|()| StackSeen::Detecting { id: id.clone(), since: *since })
                }
            };
            stacks.push(StackSight { name: stack.clone(), seen });
        }
        stacks
    }
}

impl World {
    async fn detect_all(&self, key: &TargetKey, looks: &Looks) -> Vec<StackSight> {
        let mut stacks = Vec::with_capacity(looks.stacks.len());
        for stack in &looks.stacks {
            let seen = self.watched("watch.detect", |inner| inner.detect(key, stack)).await;
            stacks.push(StackSight { name: stack.clone(), seen });
        }
        stacks
    }
}

impl Revert for World {
    async fn prepare(&self, revert: ToRevert<'_>) -> Tried<Prepared> {
        let (key, stack, name) = (&revert.planned.key, revert.stack, revert.name());
        self.watched("engine.revert", |inner| {
            inner.tell(|| format!("change set {name} is prepared for stack {stack} in {key}"));
            let arn = |kind: &str, name: &str| {
                format!("arn:aws:cloudformation:{}:{}:{kind}/{name}/1", key.region, key.account)
            };
            let link = console::change_set(&key.region, &arn("stack", stack), &arn("changeSet", &name));
            Prepared { name: name.clone(), link }
        })
        .await
    }
}

fn disabled((at, stage): &(Timestamp, String)) -> DisabledTransition {
    DisabledTransition {
        stage: stage.clone(),
        reason: Some("a freeze".to_owned()),
        by: Some(SOMEBODY.to_owned()),
        at: Some(*at),
    }
}
