//! The looks of a drift check, with the role of a member account that can only read.
//!
//! The role is the same as that of a checkup ([`crate::inspect`]). A session serves every Region of its account; one whose
//! credentials are called expired is forgotten, and the call made once more with the next one.
//!
//! | asked for | calls |
//! |---|---|
//! | revision | `GetPipeline`, `ListPipelineExecutions` twice, `GetPipelineExecution` where variables count |
//! | definition | `GetPipeline` |
//! | health | `GetPipeline`, `ListPipelineExecutions`, `GetPipelineState` |
//! | revision, definition and health of a project | `BatchGetProjects`, `ListBuildsForProject`, `BatchGetBuilds` |
//! | … of a stack | `GetTemplate`, `DescribeStackEvents` |
//! | … of a deployment group | `GetDeploymentGroup`, `ListDeployments`, `BatchGetDeployments` |
//! | stack | `DetectStackDrift` each; later its status, `DescribeStackResourceDrifts`, `ListStackResources` |
//! | who did it | CloudTrail's `LookupEvents`, at the second look |

mod build;
mod definition;
mod group;
mod operation;
mod pipeline;
mod raw;
mod stack;
mod trail;

use std::future::Future;

use aws_credential_types::Credentials;
use aws_smithy_types::DateTime;
use manifold_core::checkup::Tried;
use manifold_core::drift::definition::Normal;
use manifold_core::drift::message::{Detection, Look};
use manifold_core::drift::sight::{ExecutionSeen, PipelineSeen, StackSight, StateSeen};
use manifold_core::drift::{Aspect, Looks, Sight};
use manifold_core::engine::{GroupName, Subject};
use manifold_core::ids::{PipelineName, ProjectName, Region, StackName};
use manifold_core::plan::PlannedTarget;
use manifold_core::time::Timestamp;
use manifold_ports::clock::Clock;
use manifold_ports::drift::{Asked, Seen, Watch};

use crate::backoff::Backoff;
use crate::clients::Clients;
use crate::clock::SystemClock;
use crate::credentials::{Assumer, Purpose};
use crate::failure::Failure;
use crate::look::{Patience, tried};

/// In a PARALLEL pipeline the execution that was started last need not be the one that deployed last: so many of the
/// newest are looked at.
const PARALLEL_DEPLOYED: i32 = 10;

/// Looks at the targets of drift checks.
#[derive(Debug, Clone)]
pub struct Watcher<C = SystemClock> {
    clients: Clients,
    assumer: Assumer<C>,
    role: String,
    patience: Backoff,
}

impl<C: Clock> Watcher<C> {
    /// With clients for any Region, and the read-only role of the member accounts, as name or path/name.
    #[must_use]
    pub fn new(clients: Clients, assumer: Assumer<C>, role: String) -> Self {
        Self { clients, assumer, role, patience: Backoff::PATIENT }
    }

    /// With another patience for looks that are throttled.
    #[must_use]
    pub fn with_patience(self, patience: Backoff) -> Self {
        Self { patience, ..self }
    }

    /// Assumes the role. What keeps it from that is the answer to everything that was asked.
    async fn enter<'a>(&'a self, planned: &'a PlannedTarget, deadline: Timestamp) -> Result<Spot<'a, C>, Tried<()>> {
        let patience = Patience { clock: self.assumer.clock(), deadline, backoff: self.patience };
        let purpose = Purpose::inspection(&self.role, &planned.key, planned.external_id.as_deref()).map_err(tried)?;
        match patience.look(|| self.assumer.session(&purpose)).await.map(|_| ()) {
            Tried::Done(()) => Ok(Spot { watcher: self, region: &planned.key.region, purpose, patience }),
            not @ (Tried::Refused { .. } | Tried::Unanswered { .. } | Tried::NotTried) => Err(not),
        }
    }
}

/// An account and Region whose role is assumed.
struct Spot<'a, C> {
    watcher: &'a Watcher<C>,
    region: &'a Region,
    purpose: Purpose,
    patience: Patience<'a, C>,
}

impl<C: Clock> Spot<'_, C> {
    /// What a call saw; made once more with new credentials if it calls the old ones expired.
    async fn see<S, T, F, Answer>(&self, client: fn(&Clients, &Region, Credentials) -> S, call: F) -> Tried<T>
    where
        S: Send,
        F: Fn(S) -> Answer + Sync,
        Answer: Future<Output = Result<T, Failure>> + Send,
        T: Send,
    {
        let assumer = &self.watcher.assumer;
        let client = |credentials| client(&self.watcher.clients, self.region, credentials);
        let look = || async {
            let credentials = assumer.session(&self.purpose).await?;
            let seen = call(client(credentials.clone())).await;
            if !seen.as_ref().is_err_and(Failure::is_expired) {
                return seen;
            }
            tracing::warn!("assumed credentials have expired; assuming the role again");
            assumer.forget_expired(&self.purpose, &credentials).await;
            call(client(assumer.session(&self.purpose).await?)).await
        };
        self.patience.look(look).await
    }

    /// The calls about what is started there, one after the other: AWS counts them by account, and other Regions are looked
    /// at meanwhile.
    async fn started(&self, planned: &PlannedTarget, looks: &Looks) -> Looked {
        let has = |aspect| looks.aspects.contains(&aspect);
        if ![Aspect::Revision, Aspect::Definition, Aspect::Health].into_iter().any(has) {
            return Looked::default();
        }
        match &planned.subject {
            Subject::Pipeline(name) => self.pipeline(name, planned, looks).await,
            Subject::Project(name) => self.project(name, planned, looks).await,
            Subject::Stack(name) => self.operations(name, planned, looks).await,
            Subject::Group(name) => self.group(name, planned, looks).await,
        }
    }

    /// A project and its builds.
    async fn project(&self, name: &ProjectName, planned: &PlannedTarget, looks: &Looks) -> Looked {
        let defined = self.see(Clients::codebuild_as, |client| build::read(client, name, &planned.key)).await;
        let executions = match counts_executions(looks) {
            true => {
                let builds = |client| build::executions(client, name, &planned.key, looks.variables);
                Some(self.see(Clients::codebuild_as, builds).await)
            }
            false => None,
        };
        let deployed = executions.clone().map(succeeded_last);
        Looked::whole(looks, defined, executions, deployed)
    }

    /// A stack that is deployed to, and the operations on it.
    async fn operations(&self, name: &StackName, planned: &PlannedTarget, looks: &Looks) -> Looked {
        let defined = self.see(Clients::cloudformation_as, |client| operation::read(client, name, &planned.key)).await;
        let executions = match counts_executions(looks) {
            true => Some(
                self.see(Clients::cloudformation_as, |client| operation::executions(client, name, &planned.key)).await,
            ),
            false => None,
        };
        let deployed = executions.clone().map(succeeded_last);
        Looked::whole(looks, defined, executions, deployed)
    }

    /// A deployment group and its deployments.
    async fn group(&self, name: &GroupName, planned: &PlannedTarget, looks: &Looks) -> Looked {
        let group = self.see(Clients::codedeploy_as, |client| group::read(client, name, &planned.key)).await;
        let last = group.done().and_then(|group| group.deployed.clone());
        let executions = match counts_executions(looks) {
            true => {
                let deployments = |client| group::executions(client, name, &planned.key, last.as_deref());
                Some(self.see(Clients::codedeploy_as, deployments).await)
            }
            false => None,
        };
        // Which one succeeded last only the group tells.
        let deployed = executions.clone().map(|executions| match group.done() {
            Some(_) => executions.map(|all| {
                all.into_iter().filter(|execution| last.as_deref() == Some(execution.id.as_str())).collect()
            }),
            None => Tried::NotTried,
        });
        let defined = group.map(|group| (group.seen, group.normal));
        Looked::whole(looks, defined, executions, deployed)
    }

    /// A pipeline, its executions and its transitions.
    async fn pipeline(&self, name: &PipelineName, planned: &PlannedTarget, looks: &Looks) -> Looked {
        let mut seen = Looked::default();
        let has = |aspect| looks.aspects.contains(&aspect);
        let (revision, health) = (has(Aspect::Revision), has(Aspect::Health));
        let stage = looks.deploy_stage.as_deref();
        let defined =
            self.see(Clients::codepipeline_as, |client| definition::read(client, name, &planned.key, stage)).await;
        seen.definition = defined.done().map(|(_, normal)| normal.clone());
        let defined = defined.map(|(pipeline, _)| pipeline);
        if revision || health {
            let newest = |client| pipeline::executions(client, name, None, pipeline::NEWEST);
            seen.executions = Some(self.see(Clients::codepipeline_as, newest).await);
        }
        if revision {
            seen.deployed = Some(match defined.done() {
                Some(pipeline) => self.deployed(name, looks, pipeline).await,
                // Its stage and its mode are not known: why, is told of the pipeline.
                None => Tried::NotTried,
            });
        }
        if health {
            let is_parallel = defined.done().is_some_and(|pipeline| pipeline.is_parallel);
            seen.state = Some(match is_parallel {
                true => Tried::Done(StateSeen { has_none: true, ..StateSeen::default() }),
                false => self.see(Clients::codepipeline_as, |client| pipeline::state(client, name)).await,
            });
        }
        seen.pipeline = Some(defined);
        seen
    }

    /// The newest executions that succeeded in the deploy stage. Without the variables that were asked for, it could not
    /// be told which release an execution had: then nothing was seen.
    async fn deployed(&self, name: &PipelineName, looks: &Looks, pipeline: &PipelineSeen) -> Tried<Vec<ExecutionSeen>> {
        let stage = Some(pipeline.deploy_stage.as_str());
        let most = if pipeline.is_parallel { PARALLEL_DEPLOYED } else { 1 };
        let listed = self.see(Clients::codepipeline_as, |client| pipeline::executions(client, name, stage, most)).await;
        let Some(last) = listed.done().and_then(|listed| listed.first()).filter(|_| looks.variables) else {
            return listed;
        };
        let id = last.id.clone();
        let variables = self.see(Clients::codepipeline_as, |client| pipeline::variables(client, name, &id)).await;
        let mut listed = listed.done().cloned().unwrap_or_default();
        variables.map(|variables| {
            if let Some(last) = listed.first_mut() {
                last.variables = variables;
            }
            listed
        })
    }

    async fn detect(&self, looks: &Looks) -> Vec<StackSight> {
        let mut stacks = Vec::with_capacity(looks.stacks.len());
        if looks.aspects.contains(&Aspect::Stack) {
            for name in &looks.stacks {
                let since = self.patience.clock.now();
                let seen = self.see(Clients::cloudformation_as, |client| stack::detect(client, name, since)).await;
                stacks.push(StackSight { name: name.clone(), seen });
            }
        }
        stacks
    }
}

/// Whether executions are looked at.
fn counts_executions(looks: &Looks) -> bool {
    [Aspect::Revision, Aspect::Health].iter().any(|aspect| looks.aspects.contains(aspect))
}

/// Of the newest executions the one that succeeded last, if there is one.
fn succeeded_last(executions: Tried<Vec<ExecutionSeen>>) -> Tried<Vec<ExecutionSeen>> {
    executions.map(|all| all.into_iter().filter(|execution| execution.status == "Succeeded").take(1).collect())
}

/// What was seen of what is started in a target.
#[derive(Default)]
struct Looked {
    pipeline: Option<Tried<PipelineSeen>>,
    definition: Option<Normal>,
    executions: Option<Tried<Vec<ExecutionSeen>>>,
    deployed: Option<Tried<Vec<ExecutionSeen>>>,
    state: Option<Tried<StateSeen>>,
}

impl Looked {
    /// Of what has no stages: it succeeds as a whole, and has neither transitions nor approvals.
    fn whole(
        looks: &Looks,
        defined: Tried<(PipelineSeen, Normal)>,
        executions: Option<Tried<Vec<ExecutionSeen>>>,
        deployed: Option<Tried<Vec<ExecutionSeen>>>,
    ) -> Self {
        let has = |aspect| looks.aspects.contains(&aspect);
        Self {
            definition: defined.done().map(|(_, normal)| normal.clone()),
            pipeline: Some(defined.map(|(seen, _)| seen)),
            executions,
            deployed: deployed.filter(|_| has(Aspect::Revision)),
            state: has(Aspect::Health).then(|| Tried::Done(StateSeen::default())),
        }
    }
}

impl<C: Clock> Watch for Watcher<C> {
    async fn look(&self, asked: Asked<'_>, deadline: Timestamp) -> Seen {
        let Asked { planned, looks, look, .. } = asked;
        let at = self.assumer.clock().now();
        let spot = match self.enter(planned, deadline).await {
            Ok(spot) => spot,
            Err(why) => return Seen { sight: Sight::not_assumed(at, why), definition: None },
        };
        let trail = async {
            // Who started an execution, and who disabled a transition, CodePipeline tells by itself.
            let is_asked = looks.who && look == Look::Second && looks.aspects.contains(&Aspect::Definition);
            match is_asked {
                true => {
                    let name = planned.subject.pipeline()?;
                    Some(spot.see(Clients::cloudtrail_as, |client| trail::updates(client, name)).await)
                }
                false => None,
            }
        };
        let (pipeline, stacks, trail) = futures::join!(spot.started(planned, looks), spot.detect(looks), trail);
        let Looked { pipeline, definition, executions, deployed, state } = pipeline;
        let sight = Sight { at, assumed: Tried::Done(()), pipeline, executions, deployed, state, stacks, trail };
        Seen { sight, definition }
    }

    async fn detected(&self, asked: Asked<'_>, detections: &[Detection], deadline: Timestamp) -> Vec<StackSight> {
        let spot = self.enter(asked.planned, deadline).await;
        let mut stacks = Vec::with_capacity(detections.len());
        for detection in detections {
            let seen = match &spot {
                Ok(spot) => spot.see(Clients::cloudformation_as, |client| stack::detected(client, detection)).await,
                Err(why) => why.clone().map(|()| stack::under_way(detection)),
            };
            stacks.push(StackSight { name: detection.stack.clone(), seen });
        }
        stacks
    }
}

/// A time of the SDK's; `None` for one that no timestamp can hold.
fn time(at: Option<DateTime>) -> Option<Timestamp> {
    at.and_then(|at| at.to_millis().ok()).map(Timestamp::from_millis)
}
