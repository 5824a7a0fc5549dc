//! Looks without touching: at the hub account with the function's own credentials, at member accounts with a role that
//! can only read.
//!
//! The role has the same name in every account, as the hub's template allows one name only. A session serves every
//! Region and every pipeline of its account.

mod member;

use aws_credential_types::Credentials;
use aws_sdk_codepipeline::Client as CodePipeline;
use aws_sdk_eventbridge::Client as EventBridge;
use manifold_core::checkup::{BusSeen, HubAsked, HubSeen, PipelineSeen, PipelineSpotSeen, Spot, SpotSeen, Tried, arn};
use manifold_core::engine::Subject;
use manifold_core::ids::PipelineName;
use manifold_core::time::Timestamp;
use manifold_ports::checkup::Inspect;
use manifold_ports::clock::Clock;

use crate::backoff::Backoff;
use crate::clients::Clients;
use crate::clock::SystemClock;
use crate::credentials::{Assumer, Purpose};
use crate::failure::Failure;
use crate::look::Patience;

/// Looks at the hub account and at member accounts.
#[derive(Debug, Clone)]
pub struct Inspector<C = SystemClock> {
    clients: Clients,
    assumer: Assumer<C>,
    role: String,
    patience: Backoff,
}

impl<C: Clock> Inspector<C> {
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

    fn purpose(&self, spot: &Spot) -> Result<Purpose, Failure> {
        Purpose::inspection(&self.role, &spot.key, spot.external_id.as_deref())
    }

    fn patience(&self, deadline: Timestamp) -> Patience<'_, C> {
        Patience { clock: self.assumer.clock(), deadline, backoff: self.patience }
    }

    async fn started(
        &self,
        spot: &Spot,
        started: &Subject,
        credentials: &Credentials,
        deadline: Timestamp,
    ) -> PipelineSpotSeen {
        match started {
            Subject::Pipeline(name) => self.pipeline(spot, (name, started), credentials, deadline).await,
            Subject::Project(_) | Subject::Stack(_) | Subject::Group(_) => {
                self.other(spot, started, credentials, deadline).await
            }
        }
    }

    /// Whether a project, a stack or a deployment group is there, and what the target role may do with it.
    async fn other(
        &self,
        spot: &Spot,
        started: &Subject,
        credentials: &Credentials,
        deadline: Timestamp,
    ) -> PipelineSpotSeen {
        let patience = self.patience(deadline);
        let iam = self.clients.iam_as(credentials.clone());
        let (region, arn) = (&spot.key.region, arn(started, &spot.key));
        let simulate = || member::simulate(&iam, &spot.role, started.service(), &arn, &[]);
        let decisions = patience.look(simulate);
        let exists = async {
            match started {
                Subject::Project(name) => {
                    let codebuild = self.clients.codebuild_as(region, credentials.clone());
                    patience.look(|| member::project(&codebuild, name)).await
                }
                Subject::Stack(name) => {
                    let cloudformation = self.clients.cloudformation_as(region, credentials.clone());
                    patience.look(|| member::stack(&cloudformation, name)).await
                }
                Subject::Group(name) => {
                    let codedeploy = self.clients.codedeploy_as(region, credentials.clone());
                    patience.look(|| member::group(&codedeploy, name)).await
                }
                Subject::Pipeline(_) => Tried::NotTried,
            }
        };
        let (exists, decisions) = futures::join!(exists, decisions);
        PipelineSpotSeen { pipeline: exists.map(|()| PipelineSeen::default()), decisions }
    }

    async fn pipeline(
        &self,
        spot: &Spot,
        (name, started): (&PipelineName, &Subject),
        credentials: &Credentials,
        deadline: Timestamp,
    ) -> PipelineSpotSeen {
        let patience = self.patience(deadline);
        let codepipeline = self.clients.codepipeline_as(&spot.key.region, credentials.clone());
        let iam = self.clients.iam_as(credentials.clone());
        let (service, arn) = (started.service(), arn(started, &spot.key));
        let decisions = async {
            let tags = || patience.look(|| member::tags(&codepipeline, &arn));
            let decisions = patience.look(|| member::simulate(&iam, &spot.role, service, &arn, &[])).await;
            let Tried::Done(decisions) = decisions else { return decisions };
            if !member::ask_for_tags(&decisions) {
                return Tried::Done(decisions);
            }
            let Tried::Done(tags) = tags().await else { return Tried::Done(decisions) };
            let again = patience.look(|| member::simulate(&iam, &spot.role, service, &arn, &tags)).await;
            match again {
                Tried::Done(decisions) => Tried::Done(member::without_tags(decisions)),
                Tried::Refused { .. } | Tried::Unanswered { .. } | Tried::NotTried => again,
            }
        };
        let pipeline = patience.look(|| member::pipeline(&codepipeline, name));
        let (pipeline, decisions) = futures::join!(pipeline, decisions);
        PipelineSpotSeen { pipeline, decisions }
    }
}

impl<C: Clock> Inspect for Inspector<C> {
    fn role(&self) -> &str {
        self.role.rsplit('/').next().unwrap_or(&self.role)
    }

    fn renew(&self, spots: &[Spot]) {
        for purpose in spots.iter().filter_map(|spot| self.purpose(spot).ok()) {
            self.assumer.forget_session(&purpose);
        }
    }

    async fn inspect_hub(&self, asked: &HubAsked, deadline: Timestamp) -> HubSeen {
        let patience = self.patience(deadline);
        let events = self.clients.eventbridge();
        let bus = patience.look(|| bus(&events, &asked.bus)).await;
        let mut releases = Vec::with_capacity(asked.releases.len());
        for release in &asked.releases {
            let codepipeline = self.clients.codepipeline(&release.region);
            releases.push(patience.look(|| release_pipeline(&codepipeline, &release.name)).await);
        }
        HubSeen { bus, releases }
    }

    async fn inspect_spot(&self, spot: &Spot, deadline: Timestamp) -> SpotSeen {
        let patience = self.patience(deadline);
        let not_assumed = |why| SpotSeen::not_assumed(why, spot.rules.len(), spot.started.len());
        let purpose = match self.purpose(spot) {
            Ok(purpose) => purpose,
            Err(failure) => return not_assumed(crate::look::tried(failure)),
        };
        let credentials = match patience.look(|| self.assumer.session(&purpose)).await {
            Tried::Done(credentials) => credentials,
            Tried::Refused { code, message } => return not_assumed(Tried::Refused { code, message }),
            Tried::Unanswered { reason } => return not_assumed(Tried::Unanswered { reason }),
            Tried::NotTried => return not_assumed(Tried::NotTried),
        };
        let events = self.clients.eventbridge_as(&spot.key.region, credentials.clone());
        // One after the other: IAM and EventBridge count calls by account, and other Regions are looked at meanwhile.
        let mut rules = Vec::with_capacity(spot.rules.len());
        for name in &spot.rules {
            rules.push(patience.look(|| member::rule(&events, name)).await);
        }
        let mut pipelines = Vec::with_capacity(spot.started.len());
        for started in &spot.started {
            pipelines.push(self.started(spot, started, &credentials, deadline).await);
        }
        SpotSeen { assumed: Tried::Done(()), rules, pipelines }
    }
}

async fn bus(events: &EventBridge, name: &str) -> Result<BusSeen, Failure> {
    let output = events.describe_event_bus().name(name).send().await.map_err(|error| Failure::of(&error))?;
    Ok(BusSeen { policy: output.policy })
}

async fn release_pipeline(codepipeline: &CodePipeline, name: &PipelineName) -> Result<(), Failure> {
    let output = codepipeline.get_pipeline().name(name.as_str()).send().await;
    output.map(|_| ()).map_err(|error| Failure::of(&error))
}
