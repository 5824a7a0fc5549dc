//! The services that do the work in target accounts.
//!
//! | module | service | its idempotency |
//! |---|---|---|
//! | `codepipeline` | CodePipeline | a token, for a time that AWS does not tell |
//! | `codebuild` | CodeBuild | a token, for five minutes |
//! | `cloudformation` | CloudFormation | the change set's name, and a token |
//! | `codedeploy` | CodeDeploy | none: a call that may have done something is not repeated |
//!
//! An attempt's token (`RunId::attempt_token`) is what each of them is given, so that a repeated start starts nothing more
//! (law 1). What lies beyond is covered by the claim in the ledger and [`Engine::find`].
//!
//! [`Engines`] is the front: it assumes the target's role, calls once more with new credentials when a service calls the
//! old ones expired, and says what a failed call means. A service is one `Dialect` in a file of its own, with what its
//! errors mean; it does not know where its credentials come from.

mod cloudformation;
mod codebuild;
mod codedeploy;
mod codepipeline;
mod revert;

use std::error::Error;
use std::future::Future;

use aws_credential_types::Credentials;
use aws_sdk_cloudwatch::types::{AlarmType, StateValue};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::DateTime;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_smithy_types::error::operation::BuildError;
use futures::future::BoxFuture;
use manifold_core::changes::Previewed;
use manifold_core::checkup::{AccessSeen, Place, Tried};
use manifold_core::engine::{Service, Subject, Verb};
use manifold_core::ids::{ExecutionId, Region, RunId};
use manifold_core::pace::Api;
use manifold_core::plan::PlannedTarget;
use manifold_core::run::{Outcome, Reason, ReasonSource, Refusal, Standing};
use manifold_core::time::Timestamp;
use manifold_ports::checkup::{Access, OUT_OF_TIME, Preview};
use manifold_ports::clock::Clock;
use manifold_ports::engine::{AlarmState, CLOCK_SKEW, Engine, Order, Start};
use tracing::Instrument;

use crate::backoff::Backoff;
use crate::clients::Clients;
use crate::clock::SystemClock;
use crate::credentials::{Assumer, Purpose};
use crate::failure::{Failure, Kind};
use crate::look::Patience;

/// How many pages of a list are read to find one execution.
const MOST_PAGES: usize = 5;
/// How many alarms one call takes and tells at most (CloudWatch API reference, `DescribeAlarms`: `AlarmNames`, `MaxRecords`).
const MOST_ALARMS: i32 = 100;

/// Starts, finds, asks for, explains and stops executions in target accounts, whichever service they are of.
#[derive(Debug, Clone)]
pub struct Engines<C = SystemClock> {
    clients: Clients,
    assumer: Assumer<C>,
    patience: Backoff,
}

/// What a verb of a service comes to.
type Answer<'a, T> = BoxFuture<'a, Result<T, Trouble>>;

/// One service, spoken to with a target's credentials. What each verb promises is written down at
/// [`manifold_ports::engine`].
///
/// `not_before` is the time of the port, less what clocks may disagree by.
trait Dialect: Send + Sync {
    /// [`Engine::start`].
    fn start<'a>(&'a self, order: Order<'a>) -> Answer<'a, Start>;

    /// [`Engine::find`].
    fn find<'a>(
        &'a self,
        order: Order<'a>,
        not_before: Timestamp,
        except: &'a [ExecutionId],
    ) -> Answer<'a, Option<ExecutionId>>;

    /// [`Engine::ask`].
    fn ask<'a>(
        &'a self,
        order: Order<'a>,
        execution: &'a ExecutionId,
        not_before: Timestamp,
    ) -> Answer<'a, Option<Standing>>;

    /// [`Engine::explain`]. The reason's `attempt` is 0: the caller, who knows how far the target has been seen, sets it.
    fn explain<'a>(&'a self, order: Order<'a>, execution: &'a ExecutionId) -> Answer<'a, Reason>;

    /// [`Engine::stop`].
    fn stop<'a>(&'a self, order: Order<'a>, execution: &'a ExecutionId, reason: &'a str) -> Answer<'a, ()>;

    /// [`Preview::preview`]. Only change sets can be looked at before they are carried out.
    fn preview<'a>(&'a self, order: Order<'a>) -> Answer<'a, Previewed> {
        Box::pin(async move { Err(Trouble::unforeseen(order.planned)) })
    }

    /// [`Preview::discard`].
    fn discard<'a>(&'a self, _order: Order<'a>) -> Answer<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    /// A cheap call that reads, as a rollout would make it: whether the role may, and what is started is there.
    fn look<'a>(&'a self, started: &'a Subject) -> BoxFuture<'a, Result<(), Failure>>;

    /// A second one, of the service whose rollout needs it; nothing for the others.
    fn look_at_actions<'a>(&'a self, _started: &'a Subject) -> BoxFuture<'a, Result<Option<()>, Failure>> {
        Box::pin(async { Ok(None) })
    }
}

/// What the front has to know of a service.
struct Spoken {
    /// Speaks to it in a Region.
    with: fn(&Clients, &Region, Credentials) -> Box<dyn Dialect>,
    /// What a failed call means, where the service says it in words of its own.
    meaning: fn(&Call<'_>) -> Option<Refusal>,
}

const fn spoken(service: Service) -> Spoken {
    match service {
        Service::CodePipeline => codepipeline::SPOKEN,
        Service::CodeBuild => codebuild::SPOKEN,
        Service::CloudFormation => cloudformation::SPOKEN,
        Service::CodeDeploy => codedeploy::SPOKEN,
    }
}

/// Why a verb came to nothing.
#[derive(Debug)]
enum Trouble {
    /// A call failed. What that means for the target is looked up.
    Failed {
        /// The operation, as AWS spells it.
        operation: &'static str,
        /// What it said.
        failure: Failure,
    },
    /// It is known what it means.
    Refused(Refusal),
}

/// A call that failed, with all that its meaning depends on.
struct Call<'a> {
    /// The operation that failed.
    operation: &'static str,
    /// The one by which calls of the verb are counted.
    api: Api,
    planned: &'a PlannedTarget,
    failure: &'a Failure,
}

impl Trouble {
    /// A failed call of an operation.
    fn of<E>(operation: &'static str) -> impl Fn(SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        move |error| Self::Failed { operation, failure: Failure::of(&error) }
    }

    /// A request that can't be built from the plan.
    fn unsendable(operation: &'static str) -> impl Fn(BuildError) -> Self {
        move |error| {
            let failure =
                Failure { kind: Kind::Refused, code: "ValidationException".to_owned(), message: error.to_string() };
            Self::Failed { operation, failure }
        }
    }

    /// An answer that lacks what it always has.
    fn empty(operation: &'static str, message: &str) -> Self {
        Self::Failed { operation, failure: Failure::empty(message) }
    }

    /// The target has failed, and trying again would not help.
    fn failed(cause: String, detail: Option<String>, link: Option<String>) -> Self {
        let reason = Reason { cause, detail, link, source: ReasonSource::Manifold, attempt: 0 };
        Self::Refused(Refusal::Permanent { outcome: Outcome::Failed, reason })
    }

    /// The plan lacks what its engine needs. It was written by a version that thought otherwise.
    fn incomplete(planned: &PlannedTarget) -> Self {
        Self::failed(format!("The plan does not say what to start in {}", planned.subject.words()), None, None)
    }

    /// What it would do is known only once it is done.
    fn unforeseen(planned: &PlannedTarget) -> Self {
        Self::failed(format!("Nothing tells beforehand what {} will do", planned.subject.words()), None, None)
    }

    /// The service's code, if a call failed with one of these.
    fn has_code(&self, codes: &[&str]) -> bool {
        match self {
            Self::Failed { failure, .. } => failure.kind == Kind::Refused && codes.contains(&failure.code.as_str()),
            Self::Refused(_) => false,
        }
    }

    /// What it means for the target.
    fn refusal(self, planned: &PlannedTarget, api: Api, meaning: fn(&Call<'_>) -> Option<Refusal>) -> Refusal {
        match self {
            Self::Refused(refusal) => refusal,
            Self::Failed { operation, failure } => {
                let call = Call { operation, api, planned, failure: &failure };
                meaning(&call).unwrap_or_else(|| call.refusal())
            }
        }
    }

    fn is_expired(&self) -> bool {
        match self {
            Self::Failed { failure, .. } => failure.is_expired(),
            Self::Refused(_) => false,
        }
    }
}

impl Call<'_> {
    fn reason(&self, cause: String) -> Reason {
        self.failure.reason(cause)
    }

    fn failed(&self, cause: String) -> Refusal {
        Refusal::Permanent { outcome: Outcome::Failed, reason: self.reason(cause) }
    }

    fn busy(&self, cause: String) -> Refusal {
        Refusal::Busy { reason: self.reason(cause) }
    }

    /// What is started was not found.
    fn not_found(&self) -> Refusal {
        self.failed(format!("{} not found", self.planned.subject.sentence()))
    }

    /// The service does not take the request.
    fn invalid(&self) -> Refusal {
        let Self { operation, planned, failure, .. } = self;
        self.failed(format!("{} for {operation} of {}", failure.code, planned.subject.words()))
    }

    /// What it means for the target (API references: errors of the operations, "Common Errors").
    ///
    /// A cause names nothing of the target but the role's name and that of what is started, so that the same failure in a
    /// hundred accounts is one line of the summary; the engine's own words are in the detail.
    fn refusal(&self) -> Refusal {
        let Self { operation, api, planned, failure } = self;
        let role = planned.role.name();
        match (failure.kind, failure.code.as_str()) {
            (Kind::Throttled, _) => {
                Refusal::Throttled { api: *api, reason: self.reason(format!("Throttled by {}", api.service())) }
            }
            (Kind::Unreached, _) => Refusal::Later { reason: self.reason(format!("{} did not answer", api.service())) },
            (Kind::Refused, "AccessDenied" | "AccessDeniedException") => {
                self.failed(format!("AccessDenied for {operation} in role {role}"))
            }
            // A Region that the account has not enabled does not know the account's credentials.
            (
                Kind::Refused,
                "InvalidClientTokenId"
                | "UnrecognizedClientException"
                | "RegionDisabledException"
                | "OptInRequired"
                | "SubscriptionRequiredException",
            ) => Refusal::Permanent {
                outcome: Outcome::Unreachable,
                reason: self.reason(format!("{} in the target's Region", failure.code)),
            },
            (
                Kind::Refused,
                "ValidationException" | "ValidationError" | "InvalidArnException" | "InvalidParameterException",
            ) => self.invalid(),
            (Kind::Refused, "") => Refusal::Later { reason: self.reason(format!("{operation} was not sent")) },
            (Kind::Refused, code) => Refusal::Later { reason: self.reason(format!("{code} for {operation}")) },
        }
    }
}

impl<C: Clock> Engines<C> {
    /// With clients for any Region, and the roles of the target accounts.
    #[must_use]
    pub fn new(clients: Clients, assumer: Assumer<C>) -> Self {
        Self { clients, assumer, patience: Backoff::PATIENT }
    }

    /// With another patience for looks that are throttled.
    #[must_use]
    pub fn with_patience(self, patience: Backoff) -> Self {
        Self { patience, ..self }
    }

    /// Asks the target's engine for a verb.
    async fn ask_for<T, F, Answer>(&self, order: Order<'_>, verb: Verb, call: F) -> Result<T, Refusal>
    where
        F: Fn(Box<dyn Dialect>) -> Answer,
        Answer: Future<Output = Result<T, Trouble>>,
    {
        let service = order.planned.subject.service();
        let Spoken { with, meaning } = spoken(service);
        let dialect = |credentials| with(&self.clients, &order.planned.key.region, credentials);
        let purpose = Purpose::of(order.run, order.planned);
        self.call(order, &purpose, service.api(verb), dialect, call, meaning).await
    }

    /// Asks for what leaves everything as it is, in a session that can do no more, while there is time to tell it.
    async fn look_ahead<T, F, Answer>(&self, order: Order<'_>, deadline: Timestamp, call: F) -> Result<T, Refusal>
    where
        F: Fn(Box<dyn Dialect>) -> Answer,
        Answer: Future<Output = Result<T, Trouble>>,
    {
        let Spoken { with, meaning } = spoken(order.planned.subject.service());
        let api = order.planned.subject.service().api(Verb::Start);
        let dialect = |credentials| with(&self.clients, &order.planned.key.region, credentials);
        let Some(purpose) = Purpose::preview(order.run, order.planned) else {
            return Err(Trouble::unforeseen(order.planned).refusal(order.planned, api, meaning));
        };
        let patience = Patience { clock: self.assumer.clock(), deadline, backoff: self.patience };
        let called = patience.within(self.call(order, &purpose, api, dialect, call, meaning)).await;
        called.unwrap_or_else(|| {
            let cause = OUT_OF_TIME.to_owned();
            let reason = Reason { cause, detail: None, link: None, source: ReasonSource::Manifold, attempt: 0 };
            Err(Refusal::Later { reason })
        })
    }

    /// Calls with the target's credentials; once more with new ones if they are called expired.
    async fn call<S, T, F, Answer>(
        &self,
        order: Order<'_>,
        purpose: &Purpose,
        api: Api,
        client: impl Fn(Credentials) -> S,
        call: F,
        meaning: fn(&Call<'_>) -> Option<Refusal>,
    ) -> Result<T, Refusal>
    where
        F: Fn(S) -> Answer,
        Answer: Future<Output = Result<T, Trouble>>,
    {
        let Order { run, planned, attempt } = order;
        // Its fields are on every line that is logged within.
        let span = tracing::info_span!(
            "engine",
            operation = %api,
            %run,
            target = %planned.key,
            attempt = attempt.0,
        );
        let called = async {
            let credentials = self.assumer.enter(purpose).await?;
            let mut result = Box::pin(call(client(credentials))).await;
            if result.as_ref().is_err_and(Trouble::is_expired) {
                tracing::warn!(operation = %api, "assumed credentials have expired; assuming the role again");
                self.assumer.forget_session(purpose);
                let credentials = self.assumer.enter(purpose).await?;
                result = Box::pin(call(client(credentials))).await;
            }
            result.map_err(|trouble| trouble.refusal(planned, api, meaning))
        };
        called.instrument(span).await
    }
}

impl<C: Clock> Engine for Engines<C> {
    fn is_entered(&self, order: Order<'_>) -> bool {
        self.assumer.has(order.run, order.planned)
    }

    async fn start(&self, order: Order<'_>) -> Result<Start, Refusal> {
        self.ask_for(order, Verb::Start, |engine| async move { engine.start(order).await }).await
    }

    async fn find(
        &self,
        order: Order<'_>,
        since: Timestamp,
        except: &[ExecutionId],
    ) -> Result<Option<ExecutionId>, Refusal> {
        let not_before = before(since);
        self.ask_for(order, Verb::Find, |engine| async move { engine.find(order, not_before, except).await }).await
    }

    async fn explain(&self, order: Order<'_>, execution: &ExecutionId) -> Result<Reason, Refusal> {
        self.ask_for(order, Verb::Explain, |engine| async move { engine.explain(order, execution).await }).await
    }

    async fn ask(
        &self,
        order: Order<'_>,
        execution: &ExecutionId,
        started_at: Timestamp,
    ) -> Result<Option<Standing>, Refusal> {
        let not_before = before(started_at);
        self.ask_for(order, Verb::Ask, |engine| async move { engine.ask(order, execution, not_before).await }).await
    }

    async fn stop(&self, order: Order<'_>, execution: &ExecutionId, reason: &str) -> Result<(), Refusal> {
        self.ask_for(order, Verb::Stop, |engine| async move { engine.stop(order, execution, reason).await }).await
    }

    /// A bake names at most as many alarms as one call takes and tells.
    async fn alarms(&self, order: Order<'_>, names: &[String]) -> Result<Vec<AlarmState>, Refusal> {
        const API: Api = Api::DescribeAlarms;
        let client = |credentials: Credentials| self.clients.cloudwatch_as(&order.planned.key.region, credentials);
        let look = |client: aws_sdk_cloudwatch::Client| {
            let request = client
                .describe_alarms()
                .set_alarm_names(Some(names.to_vec()))
                .alarm_types(AlarmType::MetricAlarm)
                .alarm_types(AlarmType::CompositeAlarm)
                .max_records(MOST_ALARMS);
            async move {
                let output = request.send().await.map_err(Trouble::of(API.name()))?;
                let metric = output.metric_alarms.unwrap_or_default().into_iter();
                let metric = metric.map(|alarm| (alarm.alarm_name, alarm.state_value));
                let composite = output.composite_alarms.unwrap_or_default().into_iter();
                let composite = composite.map(|alarm| (alarm.alarm_name, alarm.state_value));
                let states = metric.chain(composite).filter_map(|(name, state)| {
                    Some(AlarmState { name: name?, is_firing: state == Some(StateValue::Alarm) })
                });
                Ok(states.collect())
            }
        };
        self.call(order, &Purpose::of(order.run, order.planned), API, client, look, |_| None).await
    }
}

impl<C: Clock> Preview for Engines<C> {
    async fn preview(&self, order: Order<'_>, deadline: Timestamp) -> Previewed {
        let looked = self.look_ahead(order, deadline, |engine| async move { engine.preview(order).await });
        looked.await.unwrap_or_else(Previewed::from)
    }

    async fn discard(&self, order: Order<'_>, deadline: Timestamp) -> Tried<()> {
        match self.look_ahead(order, deadline, |engine| async move { engine.discard(order).await }).await {
            Ok(()) => Tried::Done(()),
            Err(refusal) => Tried::Unanswered { reason: refusal.words() },
        }
    }
}

impl<C: Clock> Access for Engines<C> {
    fn renew(&self, places: &[Place]) {
        for place in places {
            self.assumer.forget_session(&purpose(place));
        }
    }

    async fn try_access(&self, place: &Place, deadline: Timestamp) -> AccessSeen {
        let purpose = purpose(place);
        let patience = Patience { clock: self.assumer.clock(), deadline, backoff: self.patience };
        let credentials = match patience.look(|| self.assumer.session(&purpose)).await {
            Tried::Done(credentials) => credentials,
            Tried::Refused { code, message } => return AccessSeen::not_assumed(Tried::Refused { code, message }),
            Tried::Unanswered { reason } => return AccessSeen::not_assumed(Tried::Unanswered { reason }),
            Tried::NotTried => return AccessSeen::not_assumed(Tried::NotTried),
        };
        let Spoken { with, .. } = spoken(place.started.service());
        let engine = with(&self.clients, &place.key.region, credentials);
        let looked = patience.look(|| engine.look(&place.started));
        let listed = patience.look(|| engine.look_at_actions(&place.started));
        let (list_executions, list_actions) = futures::join!(looked, listed);
        let list_actions = if list_actions == Tried::Done(None) { Tried::NotTried } else { list_actions.map(|_| ()) };
        AccessSeen { assumed: Tried::Done(()), list_executions, list_actions }
    }
}

fn purpose(place: &Place) -> Purpose {
    let Place { app, key: _, role, external_id, started } = place;
    Purpose::rollout(&RunId::of_checkup(app), role, external_id.as_deref(), started, None)
}

/// What clocks may disagree by, before a time.
fn before(time: Timestamp) -> Timestamp {
    Timestamp::from_millis(time.as_millis().saturating_sub(CLOCK_SKEW.as_millis()))
}

/// A time as a service tells it.
fn timestamp(time: DateTime) -> Option<Timestamp> {
    time.to_millis().ok().map(Timestamp::from_millis)
}

/// The id of an execution as a service answered it.
fn execution_id(operation: &'static str, id: Option<&str>) -> Result<ExecutionId, Trouble> {
    let id = id.and_then(|id| id.parse().ok());
    id.ok_or_else(|| Trouble::empty(operation, &format!("{operation} answered without an id of what it started")))
}
