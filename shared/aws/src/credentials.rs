//! Credentials of target accounts: a role is assumed once for each run and app, and used in every Region. To look
//! without touching, another role is assumed, which can only read.
//!
//! The session's name carries the run, because CodePipeline and CodeBuild repeat it in their events; its policy narrows
//! the role to the one pipeline, project, stack or deployment group, so that a session is never worth more than what it
//! was opened for.
//!
//! The hub's own credentials come from a role, so that this is role chaining: "your role session is limited to a
//! maximum of one hour", and asking for more fails (IAM User Guide, "Methods to assume a role").

mod rollout;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_sdk_sts::Client;
use manifold_core::engine::{Subject, Work};
use manifold_core::ids::{Region, RoleArn, RunId};
use manifold_core::pace::Api;
use manifold_core::plan::PlannedTarget;
use manifold_core::run::{Outcome, Refusal};
use manifold_core::time::{Span, Timestamp};
use manifold_ports::clock::Clock;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::clock::{SystemClock, timestamp};
use crate::failure::{Failure, Kind};

/// The longest that a chained role session may last, in seconds.
const SESSION_SECONDS: i32 = 3600;
/// A session this close to its end is replaced, so that no call begins with credentials that end during it.
const REFRESH_BEFORE: Span = Span::from_minutes(5);
/// How many sessions are kept. One is a few kilobytes, and a function works on few runs at a time.
const MAX_SESSIONS: usize = 512;

/// What a session is for: callers with the same answer share it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Purpose {
    role: RoleArn,
    external_id: Option<String>,
    /// The session's name.
    session: String,
    /// What a session may do is what the role *and* this allow; at most 2,048 characters (`AssumeRole`, `Policy`).
    policy: Option<String>,
}

impl Purpose {
    /// To carry a target's orders out.
    pub(crate) fn of(run: &RunId, planned: &PlannedTarget) -> Self {
        let work = planned.work.as_ref().map(|work| (work, &planned.key.region));
        Self::rollout(run, &planned.role, planned.external_id.as_deref(), &planned.subject, work)
    }

    /// To start one thing for one run, to follow and to stop it, and to see whether alarms fire: a pipeline, a project, a
    /// stack with what it is made from, or a deployment group. A look names no work, and gets no more than it needs.
    pub(crate) fn rollout(
        run: &RunId,
        role: &RoleArn,
        external_id: Option<&str>,
        subject: &Subject,
        work: Option<(&Work, &Region)>,
    ) -> Self {
        let mut statements = rollout::statements(role, subject, work);
        statements.push(allow(&json!("cloudwatch:DescribeAlarms"), &json!("*")));
        let policy = json!({"Version": "2012-10-17", "Statement": statements});
        Self {
            role: role.clone(),
            external_id: external_id.map(str::to_owned),
            session: run.session_name(),
            policy: Some(policy.to_string()),
        }
    }

    /// To see what a release would do to one stack: as for a rollout, but that no change set may be executed. Nothing to see
    /// is there where no stack is deployed to.
    #[cfg(feature = "engines")]
    pub(crate) fn preview(run: &RunId, planned: &PlannedTarget) -> Option<Self> {
        let statements = rollout::previewing(planned)?;
        let policy = json!({"Version": "2012-10-17", "Statement": statements});
        Some(Self {
            role: planned.role.clone(),
            external_id: planned.external_id.clone(),
            session: run.session_name(),
            policy: Some(policy.to_string()),
        })
    }

    /// To prepare change sets of one stack. CloudFormation reads what is there with the caller's permissions ("Using
    /// drift-aware change sets"), whatever the stack is made of: so that is left to the role, and what the session may do
    /// with CloudFormation is narrowed, and to start anything forbidden.
    #[cfg(feature = "engines")]
    pub(crate) fn revert(check: &RunId, planned: &PlannedTarget, stack: &str) -> Self {
        let key = &planned.key;
        let partition = key.region.partition().as_str();
        let stack = format!("arn:{partition}:cloudformation:{}:{}:stack/{stack}/*", key.region, key.account);
        let change_sets =
            ["cloudformation:CreateChangeSet", "cloudformation:DescribeChangeSet", "cloudformation:DescribeStacks"];
        let policy = json!({
            "Version": "2012-10-17",
            "Statement": [allow(&json!(change_sets), &json!(stack)), everything_else()],
        });
        Self {
            role: planned.role.clone(),
            external_id: planned.external_id.clone(),
            session: check.session_name(),
            policy: Some(policy.to_string()),
        }
    }

    /// To look, with the role of an account that can only read, by its name or path/name: nothing is left to narrow.
    #[cfg(feature = "inspect")]
    pub(crate) fn inspection(
        role: &str,
        key: &manifold_core::ids::TargetKey,
        external_id: Option<&str>,
    ) -> Result<Self, Failure> {
        let arn = format!("arn:{}:iam::{}:role/{role}", key.region.partition().as_str(), key.account);
        let role = arn.parse().map_err(|error| Failure {
            kind: Kind::Refused,
            code: "ValidationError".to_owned(),
            message: format!("{error}"),
        })?;
        let session = manifold_core::checkup::INSPECT_SESSION.to_owned();
        Ok(Self { role, external_id: external_id.map(str::to_owned), session, policy: None })
    }
}

/// A statement of a session policy.
fn allow(actions: &Value, resources: &Value) -> Value {
    json!({"Effect": "Allow", "Action": actions, "Resource": resources})
}

/// Whatever the role may do besides starting something, or becoming somebody else. CloudFormation reads and makes what a
/// stack has, projects and deployment groups among it; pipelines it has to leave to a role of its own.
fn everything_else() -> Value {
    let not = [
        "cloudformation:*",
        "codebuild:Retry*",
        "codebuild:Start*",
        "codedeploy:CreateDeployment",
        "codepipeline:*",
        "sts:*",
    ];
    json!({"Effect": "Allow", "NotAction": not, "Resource": "*"})
}

/// Assumes the roles of target accounts, each once. Clones share their sessions.
#[derive(Clone)]
pub struct Assumer<C = SystemClock> {
    client: Client,
    clock: C,
    slots: Arc<StdMutex<HashMap<Purpose, Arc<Slot>>>>,
}

/// Where callers with the same purpose meet: one of them calls STS, the others wait for its answer.
#[derive(Default)]
struct Slot {
    /// How many calls have been answered.
    answered: AtomicU64,
    latest: Mutex<Option<Result<Session, Failure>>>,
    /// When the session ends; kept beside it so that the oldest is found without waiting for the lock.
    expires_at: AtomicU64,
}

#[derive(Clone)]
struct Session {
    credentials: Credentials,
    expires_at: Timestamp,
}

impl<C> fmt::Debug for Assumer<C> {
    /// Without sessions: no credential is ever printed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Assumer").finish_non_exhaustive()
    }
}

impl Assumer<SystemClock> {
    /// With STS of the hub's Region, and the host's clock.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self::with_clock(client, SystemClock)
    }
}

impl<C: Clock> Assumer<C> {
    /// With another clock.
    #[must_use]
    pub fn with_clock(client: Client, clock: C) -> Self {
        Self { client, clock, slots: Arc::default() }
    }

    /// Credentials for a target of a run, from the cache if it has them.
    ///
    /// # Errors
    /// The role can't be assumed, for now or for good, as the refusal tells.
    pub async fn assume(&self, run: &RunId, planned: &PlannedTarget) -> Result<Credentials, Refusal> {
        self.enter(&Purpose::of(run, planned)).await
    }

    /// Credentials for a purpose, or what it means for the target that there are none.
    pub(crate) async fn enter(&self, purpose: &Purpose) -> Result<Credentials, Refusal> {
        self.session(purpose).await.map_err(|failure| refusal(&failure, &purpose.role))
    }

    /// Whether the cache has credentials for a target of a run, so that nothing is asked of STS.
    #[must_use]
    pub fn has(&self, run: &RunId, planned: &PlannedTarget) -> bool {
        let ends = self.lock().get(&Purpose::of(run, planned)).map(|slot| slot.expires_at.load(Ordering::Acquire));
        let ends = ends.and_then(|millis| i64::try_from(millis).ok()).map(Timestamp::from_millis);
        ends.is_some_and(|ends| self.clock.now().plus(REFRESH_BEFORE) < ends)
    }

    /// Credentials for a purpose, from the cache if it has them.
    pub(crate) async fn session(&self, purpose: &Purpose) -> Result<Credentials, Failure> {
        let slot = self.slot(purpose);
        let answered = slot.answered.load(Ordering::Acquire);
        let mut latest = slot.latest.lock().await;
        let was_answered_meanwhile = slot.answered.load(Ordering::Acquire) != answered;
        match &*latest {
            Some(Ok(session)) if self.is_fresh(session) => return Ok(session.credentials.clone()),
            // Whoever waited for a call gets that call's answer, also when it is a failure.
            Some(Err(failure)) if was_answered_meanwhile => return Err(failure.clone()),
            Some(Ok(_) | Err(_)) | None => {}
        }
        let answer = Box::pin(self.call(purpose)).await;
        let result = answer.as_ref().map(|session| session.credentials.clone()).map_err(Failure::clone);
        let ends = answer.as_ref().map_or(0, |session| session.expires_at.as_millis());
        slot.expires_at.store(u64::try_from(ends).unwrap_or(0), Ordering::Release);
        *latest = Some(answer);
        slot.answered.fetch_add(1, Ordering::Release);
        result
    }

    /// Forgets credentials that the engine called expired.
    pub fn forget(&self, run: &RunId, planned: &PlannedTarget) {
        self.forget_session(&Purpose::of(run, planned));
    }

    /// Forgets the session of a purpose.
    pub(crate) fn forget_session(&self, purpose: &Purpose) {
        self.lock().remove(purpose);
    }

    /// Forgets the session of a purpose if it still is the one with these credentials, which were called expired. Of many
    /// callers that meet the end of a session at once, one opens the next.
    #[cfg(any(feature = "inspect", feature = "engines"))]
    pub(crate) async fn forget_expired(&self, purpose: &Purpose, expired: &Credentials) {
        let slot = self.slot(purpose);
        let mut latest = slot.latest.lock().await;
        if latest.as_ref().is_some_and(|latest| {
            latest.as_ref().is_ok_and(|known| known.credentials.access_key_id() == expired.access_key_id())
        }) {
            *latest = None;
            slot.expires_at.store(0, Ordering::Release);
        }
    }

    #[cfg(any(feature = "inspect", feature = "engines"))]
    pub(crate) fn clock(&self) -> &C {
        &self.clock
    }

    fn is_fresh(&self, session: &Session) -> bool {
        self.clock.now().plus(REFRESH_BEFORE) < session.expires_at
    }

    fn slot(&self, purpose: &Purpose) -> Arc<Slot> {
        let mut slots = self.lock();
        if let Some(slot) = slots.get(purpose) {
            return Arc::clone(slot);
        }
        if slots.len() >= MAX_SESSIONS {
            let soonest = slots.iter().min_by_key(|(_, slot)| slot.expires_at.load(Ordering::Acquire));
            let soonest = soonest.map(|(purpose, _)| purpose.clone());
            if let Some(purpose) = soonest {
                slots.remove(&purpose);
            }
        }
        let slot = Arc::<Slot>::default();
        slots.insert(purpose.clone(), Arc::clone(&slot));
        slot
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Purpose, Arc<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn call(&self, purpose: &Purpose) -> Result<Session, Failure> {
        let output = self
            .client
            .assume_role()
            .role_arn(purpose.role.as_str())
            .role_session_name(&purpose.session)
            .set_external_id(purpose.external_id.clone())
            .duration_seconds(SESSION_SECONDS)
            .set_policy(purpose.policy.clone())
            .send()
            .await
            .map_err(|error| Failure::of(&error))?;
        let credentials = output.credentials.ok_or_else(|| Failure {
            kind: Kind::Unreached,
            code: String::new(),
            message: "AssumeRole answered without credentials".to_owned(),
        })?;
        let seconds = u64::try_from(credentials.expiration.secs()).unwrap_or(0);
        let expiry: SystemTime = UNIX_EPOCH + Duration::from_secs(seconds);
        tracing::debug!(role = %purpose.role, session = purpose.session, "role assumed");
        Ok(Session {
            expires_at: timestamp(expiry),
            credentials: Credentials::new(
                credentials.access_key_id,
                credentials.secret_access_key,
                Some(credentials.session_token),
                Some(expiry),
                "manifold",
            ),
        })
    }
}

/// What a failed AssumeRole means for the target (STS API reference, `AssumeRole`, "Errors").
fn refusal(failure: &Failure, role: &RoleArn) -> Refusal {
    let name = role.name();
    let reason = |cause: String| failure.reason(cause);
    let permanent = |outcome, cause| Refusal::Permanent { outcome, reason: reason(cause) };
    match (failure.kind, failure.code.as_str()) {
        (Kind::Throttled, _) => {
            Refusal::Throttled { api: Api::AssumeRole, reason: reason("Throttled by STS".to_owned()) }
        }
        (Kind::Unreached, _) => Refusal::Later { reason: reason("STS did not answer".to_owned()) },
        // A wrong trust policy, a wrong external id and a role that does not exist look the same from outside.
        (Kind::Refused, "AccessDenied" | "AccessDeniedException") => {
            permanent(Outcome::Unreachable, format!("AccessDenied on role {name}"))
        }
        (Kind::Refused, "RegionDisabledException" | "RegionDisabled") => {
            permanent(Outcome::Unreachable, format!("Region disabled for role {name}"))
        }
        (
            Kind::Refused,
            code @ ("MalformedPolicyDocument"
            | "MalformedPolicyDocumentException"
            | "PackedPolicyTooLarge"
            | "PackedPolicyTooLargeException"
            | "ValidationError"
            | "ValidationException"),
        ) => permanent(Outcome::Failed, format!("{code} for role {name}")),
        // Among them the hub's own credentials, expired: the next invocation has new ones.
        (Kind::Refused, "") => Refusal::Later { reason: reason(format!("Role {name} was not assumed")) },
        (Kind::Refused, code) => Refusal::Later { reason: reason(format!("{code} on role {name}")) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn purpose(partition: &str, run: usize, pipeline: &str) -> Purpose {
        let role = format!("arn:{partition}:iam::444455556666:role/team/ManifoldTarget").parse().unwrap();
        let run = format!("web-{run:016x}").parse().unwrap();
        Purpose::rollout(&run, &role, None, &pipeline.parse().unwrap(), None)
    }

    #[test]
    fn sessions_are_bounded_and_the_one_that_ends_first_goes_first() {
        let config = aws_sdk_sts::Config::builder().behavior_version(aws_sdk_sts::config::BehaviorVersion::latest());
        let assumer = Assumer::new(Client::from_conf(config.build()));
        let numbered = |number: usize| purpose("aws", number, "svc-deploy");
        for number in 0..MAX_SESSIONS {
            let ends = if number == 7 { 1 } else { 1000 };
            assumer.slot(&numbered(number)).expires_at.store(ends, Ordering::Release);
        }
        assumer.slot(&numbered(MAX_SESSIONS));
        let slots = assumer.lock();
        assert_eq!(slots.len(), MAX_SESSIONS);
        assert!(!slots.contains_key(&numbered(7)) && slots.contains_key(&numbered(MAX_SESSIONS)));
    }

    #[test]
    fn the_session_policy_names_one_pipeline_in_the_roles_own_partition_and_fits() {
        let policy = |purpose: Purpose| purpose.policy.unwrap();
        let cn = policy(purpose("aws-cn", 1, "svc-deploy"));
        assert!(cn.contains("\"arn:aws-cn:codepipeline:*:444455556666:svc-deploy\""), "{cn}");
        assert!(policy(purpose("aws-us-gov", 1, &"p".repeat(100))).len() <= 2048);
    }
}
