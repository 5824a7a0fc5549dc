//! One stack on AWS: planned by a change set, then deployed or left as it was.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, anyhow};
use aws_sdk_cloudformation::Client;
use aws_sdk_cloudformation::types::{
    Capability, ChangeSetStatus, ChangeSetType, OnStackFailure, Parameter, Stack as Description, StackEvent,
};

use super::changes::{Change, says_no_changes};
use super::desired::Desired;
use super::options::Kind;
use super::status::{Approach, approach, is_over, is_success};
use super::template::Template;
use crate::aws::{Refusal, Session};
use crate::input::advise;

/// The change set's name. One name, so that what an interrupted run left is found and replaced.
const CHANGE_SET: &str = "manifold-install";
/// How long a change set is waited for; CloudFormation needs seconds.
const LONGEST_PLAN: Duration = Duration::from_secs(15 * 60);
/// How long an operation on a stack is waited for; the hub needs a few minutes.
const LONGEST_OPERATION: Duration = Duration::from_secs(90 * 60);

/// For how long a role that was just made may be unknown to IAM elsewhere: changes take "seconds" to be seen everywhere (IAM
/// User Guide, "Changes that I make are not always immediately visible"). Pauses of 2, 4, 8, 16 and 32 s.
const ROLE_PAUSES: u32 = 5;

/// Where CloudFormation finds a template.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// In the call.
    Body(String),
    /// In S3.
    Url(String),
}

/// A stack as it should be, and the client for where it is.
#[derive(Debug)]
pub(crate) struct Stack<'a> {
    /// As it should be.
    pub(crate) desired: &'a Desired,
    client: Client,
    source: Source,
}

/// A change set that was just made.
struct ChangeSet {
    id: String,
    stack_id: String,
    /// Whether it took the place of one that an earlier run left.
    replaces: bool,
}

/// What would happen to a stack.
#[derive(Debug, Clone)]
pub(crate) struct Planned {
    /// In one word.
    pub(crate) verdict: Verdict,
    /// The changes of its resources.
    pub(crate) changes: Vec<Change>,
    /// Its id. A stack that was deleted is known by it alone.
    pub(crate) stack_id: String,
    /// Its outputs as they are now.
    pub(crate) outputs: BTreeMap<String, String>,
    /// Its parameters as they are now.
    pub(crate) parameters: BTreeMap<String, String>,
    /// The change set's ARN, if there is something to do.
    change_set: Option<String>,
    /// Whether the plan, or that of a run which was killed, made the stack, which then has no resources and goes with the plan.
    made_stack: bool,
}

/// What a plan comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is not there yet.
    New,
    /// It differs.
    Changes,
    /// It is as it should be.
    Nothing,
}

impl Verdict {
    /// For people and for scripts.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Changes => "changes",
            Self::Nothing => "nothing to do",
        }
    }
}

/// A resource that could not be made or changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FailedResource {
    /// Its name in the template.
    pub(crate) resource: String,
    /// Such as `AWS::IAM::Role`.
    pub(crate) resource_type: String,
    /// In CloudFormation's words.
    pub(crate) reason: String,
}

/// How the operation on a stack ended.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    /// It is as it should be.
    Deployed {
        /// CloudFormation's status.
        status: String,
        /// Its outputs.
        outputs: BTreeMap<String, String>,
    },
    /// It was not done, or was taken back.
    Failed {
        /// CloudFormation's status, or nothing when it did not begin.
        status: String,
        /// Why.
        reason: String,
        /// The resources that it failed on.
        resources: Vec<FailedResource>,
    },
    /// It was not tried.
    Skipped {
        /// Why.
        why: String,
    },
}

/// Polls with growing pauses until time is up.
struct Patience {
    next: Duration,
    left: Duration,
}

impl Patience {
    fn new(longest: Duration) -> Self {
        Self { next: Duration::from_millis(250), left: longest }
    }

    /// Waits; tells whether there is time for another look.
    #[expect(clippy::disallowed_methods, reason = "the one place where the installer waits for CloudFormation")]
    async fn wait(&mut self) -> bool {
        if self.left.is_zero() {
            return false;
        }
        let pause = self.next.min(self.left);
        self.left -= pause;
        self.next = (self.next * 3 / 2).min(Duration::from_secs(5));
        tokio::time::sleep(pause).await;
        true
    }
}

impl<'a> Stack<'a> {
    pub(crate) fn new(desired: &'a Desired, session: &Session, source: Source) -> Self {
        Self { desired, client: Client::new(&session.in_region(&desired.region).config), source }
    }

    /// Asks CloudFormation what it would do, through a change set.
    ///
    /// # Errors
    /// It can't be changed as it is, or CloudFormation refuses; with what to do about it.
    pub(crate) async fn plan(&self) -> Result<Planned> {
        let now = self.describe(&self.desired.name).await?;
        let status = now.as_ref().and_then(|stack| stack.stack_status()).map(|status| status.as_str());
        let (set_type, is_there) = match approach(self.desired, status) {
            Approach::Create => (ChangeSetType::Create, false),
            Approach::CreateInReview => (ChangeSetType::Create, true),
            Approach::Update => (ChangeSetType::Update, true),
            Approach::Blocked { why, help } => return Err(advise(why, help)),
        };
        let verdict = if set_type == ChangeSetType::Create { Verdict::New } else { Verdict::Changes };
        let parameters = now.as_ref().map(parameters).unwrap_or_default();
        let is_new = set_type == ChangeSetType::Create;
        let ChangeSet { id: set, stack_id, replaces } = self.create_change_set(set_type, &parameters).await?;
        let mut planned = Planned {
            verdict,
            changes: Vec::new(),
            stack_id,
            outputs: now.as_ref().map(outputs).unwrap_or_default(),
            parameters,
            change_set: Some(set.clone()),
            // An empty stack that holds an older plan of ours was made by a run that was killed.
            made_stack: is_new && (!is_there || replaces),
        };
        match self.read_change_set(&set).await {
            Ok(Some(changes)) => planned.changes = changes,
            Ok(None) => {
                self.discard(&planned).await?;
                planned.verdict = Verdict::Nothing;
                planned.change_set = None;
            }
            Err(error) => {
                // What went wrong first is what is told; what is left is replaced by the next run.
                return Err(match self.discard(&planned).await {
                    Ok(()) => error,
                    Err(left) => error.context(format!("(its change set {set} could not be deleted: {left})")),
                });
            }
        }
        Ok(planned)
    }

    /// Takes a plan away again, and the stack that it made.
    ///
    /// # Errors
    /// CloudFormation refuses.
    pub(crate) async fn discard(&self, planned: &Planned) -> Result<()> {
        let Some(set) = &planned.change_set else { return Ok(()) };
        let deleted = self.client.delete_change_set().change_set_name(set).stack_name(&planned.stack_id).send().await;
        deleted.map_err(|error| self.refused("delete the change set", &Refusal::of(&error)))?;
        if !planned.made_stack {
            return Ok(());
        }
        let mut patience = Patience::new(LONGEST_PLAN);
        let mut asked = false;
        loop {
            let stack = self.describe(&planned.stack_id).await?;
            match stack.as_ref().and_then(|stack| stack.stack_status()).map(|status| status.as_str()) {
                None | Some("DELETE_COMPLETE") => return Ok(()),
                // Only as long as it has no resources: somebody else may have used it meanwhile.
                Some("REVIEW_IN_PROGRESS") if !asked => {
                    let deleted = self.client.delete_stack().stack_name(&planned.stack_id).send().await;
                    deleted.map_err(|error| self.refused("delete the empty stack", &Refusal::of(&error)))?;
                    asked = true;
                    continue;
                }
                Some("REVIEW_IN_PROGRESS" | "DELETE_IN_PROGRESS") => {}
                Some(_) => return Ok(()),
            }
            if !patience.wait().await {
                return Err(anyhow!("the empty stack {} is still being deleted", planned.stack_id));
            }
        }
    }

    /// Does what was planned, and tells how far it is after every look. What failed only because a role that it trusts was
    /// not known everywhere yet is planned again, and done if that comes to the same.
    pub(crate) async fn deploy(&self, planned: &Planned, watch: impl Fn(&str, usize)) -> Outcome {
        let mut outcome = Box::pin(self.carry_out(planned, &watch)).await;
        for pause in 1..=ROLE_PAUSES {
            if !trusts_too_early(&outcome) {
                break;
            }
            watch(WAITS_FOR_ROLE, 0);
            Patience { next: Duration::from_secs(2_u64.pow(pause)), left: Duration::MAX }.wait().await;
            // What can't be planned any more has been told already, as why it failed.
            let Ok(again) = Box::pin(self.plan()).await else { break };
            if again.verdict != planned.verdict || again.changes != planned.changes {
                // Nobody agreed to that. What is left is replaced by the next run.
                if let Err(left) = Box::pin(self.discard(&again)).await {
                    outcome = with_note(outcome, &format!("its new plan is left behind: {left}"));
                }
                break;
            }
            outcome = Box::pin(self.carry_out(&again, &watch)).await;
        }
        outcome
    }

    async fn carry_out(&self, planned: &Planned, watch: impl Fn(&str, usize)) -> Outcome {
        let failed = |reason: String| Outcome::Failed { status: String::new(), reason, resources: Vec::new() };
        let Some(set) = &planned.change_set else { return failed("there is no change set".to_owned()) };
        let before = match self.events(&planned.stack_id, None).await {
            Ok(events) => events.first().and_then(StackEvent::event_id).map(str::to_owned),
            Err(error) => return failed(error.to_string()),
        };
        let begun = self.client.execute_change_set().change_set_name(set).stack_name(&planned.stack_id).send().await;
        if let Err(error) = begun {
            return failed(self.refused("execute the change set", &Refusal::of(&error)).to_string());
        }
        match self.follow(planned, before, watch).await {
            Ok(outcome) => outcome,
            // With a status, as CloudFormation is at it: what was begun is not taken back like a plan.
            Err(error) => Outcome::Failed {
                status: match planned.verdict {
                    Verdict::New => "CREATE_IN_PROGRESS".to_owned(),
                    Verdict::Changes | Verdict::Nothing => "UPDATE_IN_PROGRESS".to_owned(),
                },
                reason: format!("it was begun, and could not be followed: {error}"),
                resources: Vec::new(),
            },
        }
    }

    async fn follow(&self, planned: &Planned, before: Option<String>, watch: impl Fn(&str, usize)) -> Result<Outcome> {
        let mut patience = Patience::new(LONGEST_OPERATION);
        let mut latest = before;
        let mut events: Vec<StackEvent> = Vec::new();
        loop {
            let mut news = self.events(&planned.stack_id, latest.as_deref()).await?;
            if let Some(id) = news.first().and_then(StackEvent::event_id) {
                latest = Some(id.to_owned());
            }
            news.reverse();
            events.append(&mut news);
            let stack = self.describe(&planned.stack_id).await?;
            let gone = Description::builder().build();
            let stack = stack.as_ref().unwrap_or(&gone);
            let status = stack.stack_status().map_or("DELETE_COMPLETE", |status| status.as_str());
            watch(status, done(&events, &planned.stack_id));
            // The two answers may be of different ages: only together they are the end of this operation, and not of the last.
            let told = events.iter().rev().find(|event| of_stack(event, &planned.stack_id)).map(self::status);
            if is_over(status) && (told.is_some_and(is_over) || status == "DELETE_COMPLETE") {
                return Ok(match is_success(status) {
                    true => Outcome::Deployed { status: status.to_owned(), outputs: outputs(stack) },
                    false => Outcome::Failed {
                        status: status.to_owned(),
                        reason: why(stack, &events, &planned.stack_id),
                        resources: failures(&events, &planned.stack_id),
                    },
                });
            }
            if !patience.wait().await {
                return Err(anyhow!("it is still in {status} after {} minutes", LONGEST_OPERATION.as_secs() / 60));
            }
        }
    }

    /// The stack by its name or id; `None` when there is none.
    pub(crate) async fn describe(&self, name: &str) -> Result<Option<Description>> {
        describe(&self.client, name).await.map_err(|refusal| self.refused("look at the stack", &refusal))
    }

    async fn create_change_set(
        &self,
        set_type: ChangeSetType,
        previous: &BTreeMap<String, String>,
    ) -> Result<ChangeSet> {
        let is_new = set_type == ChangeSetType::Create;
        let mut replaces = false;
        let mut patience = Patience::new(Duration::from_secs(30));
        loop {
            let call = self
                .client
                .create_change_set()
                .stack_name(&self.desired.name)
                .change_set_name(CHANGE_SET)
                .change_set_type(set_type.clone())
                .description("manifold install")
                .set_parameters(Some(self.parameters(previous)))
                // A stack that could not be made goes again, so that the command can just be repeated.
                .set_on_stack_failure(is_new.then_some(OnStackFailure::Delete))
                .set_capabilities((self.desired.kind != Kind::Region).then(|| vec![Capability::CapabilityNamedIam]));
            let call = match &self.source {
                Source::Body(body) => call.template_body(body),
                Source::Url(url) => call.template_url(url),
            };
            match call.send().await {
                Ok(output) => {
                    return Ok(ChangeSet {
                        id: output.id.unwrap_or_default(),
                        stack_id: output.stack_id.unwrap_or_default(),
                        replaces,
                    });
                }
                Err(error) => {
                    let refusal = Refusal::of(&error);
                    // Left by a run that was interrupted. Its deletion may take a moment.
                    if refusal.code.starts_with("AlreadyExists") && patience.wait().await {
                        let left = self.client.delete_change_set().stack_name(&self.desired.name);
                        let deleted = left.change_set_name(CHANGE_SET).send().await;
                        deleted.map_err(|error| self.refused("delete the old change set", &Refusal::of(&error)))?;
                        replaces = true;
                        continue;
                    }
                    return Err(self.refused("plan the stack", &refusal));
                }
            }
        }
    }

    /// Everything that is given, and for the rest what the stack has.
    fn parameters(&self, previous: &BTreeMap<String, String>) -> Vec<Parameter> {
        let given =
            |name: &String, value: &String| Parameter::builder().parameter_key(name).parameter_value(value).build();
        let mut parameters: Vec<Parameter> =
            self.desired.parameters.iter().map(|(name, value)| given(name, value)).collect();
        let template = Template::of(self.desired.kind);
        let rest = template.parameters.iter().filter(|parameter| {
            previous.contains_key(&parameter.name) && !self.desired.parameters.contains_key(&parameter.name)
        });
        parameters.extend(
            rest.map(|parameter| Parameter::builder().parameter_key(&parameter.name).use_previous_value(true).build()),
        );
        parameters
    }

    /// The changes of a change set when it is there; `None` when there is nothing to do.
    async fn read_change_set(&self, set: &str) -> Result<Option<Vec<Change>>> {
        let mut patience = Patience::new(LONGEST_PLAN);
        let mut changes = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let call =
                self.client.describe_change_set().change_set_name(set).set_next_token(token.clone()).send().await;
            let page = call.map_err(|error| self.refused("read the plan", &Refusal::of(&error)))?;
            let reason = page.status_reason.as_deref().unwrap_or_default();
            match page.status() {
                Some(ChangeSetStatus::CreateComplete) => {
                    let resources = page.changes().iter().filter_map(|change| change.resource_change());
                    changes.extend(resources.map(Change::of));
                    token = page.next_token().map(str::to_owned);
                    if token.is_none() {
                        return Ok(Some(changes));
                    }
                }
                Some(ChangeSetStatus::Failed) if says_no_changes(reason) => return Ok(None),
                Some(ChangeSetStatus::Failed) => return Err(anyhow!("CloudFormation can't plan it: {reason}")),
                status => {
                    if !patience.wait().await {
                        let status = status.map_or("no state", |status| status.as_str());
                        return Err(anyhow!("its change set is still in {status}"));
                    }
                }
            }
        }
    }

    /// Events newer than `since`, the newest first.
    async fn events(&self, stack_id: &str, since: Option<&str>) -> Result<Vec<StackEvent>> {
        let mut events = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let call = self.client.describe_stack_events().stack_name(stack_id).set_next_token(token).send().await;
            let page = call.map_err(|error| self.refused("read the stack's events", &Refusal::of(&error)))?;
            token = page.next_token().map(str::to_owned);
            for event in page.stack_events.unwrap_or_default() {
                if since.is_some() && event.event_id() == since {
                    return Ok(events);
                }
                events.push(event);
            }
            // Without a mark to stop at, the newest are enough.
            if token.is_none() || since.is_none() {
                return Ok(events);
            }
        }
    }

    fn refused(&self, what: &str, refusal: &Refusal) -> anyhow::Error {
        let Desired { account, account_name, region, .. } = self.desired;
        let problem = format!("failed to {what}: {refusal}");
        let invalid = ["UnrecognizedClientException", "InvalidClientTokenId", "OptInRequired"];
        if invalid.contains(&refusal.code.as_str()) {
            return advise(
                problem,
                format!(
                    "{region} may not be enabled in account {account} ({account_name}): aws account enable-region \
                     --region-name {region}"
                ),
            );
        }
        if refusal.is_denied() {
            return advise(
                problem,
                format!("the credentials for account {account} ({account_name}) lack this permission in {region}"),
            );
        }
        anyhow!(problem)
    }
}

/// What is shown while a role is waited for; begins as CloudFormation's own states do.
const WAITS_FOR_ROLE: &str = "REVIEW_IN_PROGRESS";

/// Whether a policy names a role that IAM does not know: after the hub's deployment it is there, and not yet seen everywhere.
fn trusts_too_early(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Failed { resources, .. } => {
            resources.iter().any(|failed| failed.reason.to_lowercase().contains("invalid principal in policy"))
        }
        Outcome::Deployed { .. } | Outcome::Skipped { .. } => false,
    }
}

fn with_note(outcome: Outcome, note: &str) -> Outcome {
    match outcome {
        Outcome::Failed { status, reason, resources } => {
            Outcome::Failed { status, reason: format!("{reason}\n{note}"), resources }
        }
        other @ (Outcome::Deployed { .. } | Outcome::Skipped { .. }) => other,
    }
}

/// A stack by its name or id; `None` when there is none.
pub(crate) async fn describe(client: &Client, name: &str) -> Result<Option<Description>, Refusal> {
    match client.describe_stacks().stack_name(name).send().await {
        Ok(output) => Ok(output.stacks.unwrap_or_default().into_iter().next()),
        Err(error) => match Refusal::of(&error) {
            refusal if refusal.message.contains("does not exist") => Ok(None),
            refusal => Err(refusal),
        },
    }
}

/// A stack's outputs by name.
pub(crate) fn outputs(stack: &Description) -> BTreeMap<String, String> {
    let outputs = stack.outputs().iter();
    outputs.filter_map(|output| Some((output.output_key()?.to_owned(), output.output_value()?.to_owned()))).collect()
}

/// A stack's parameters by name.
pub(crate) fn parameters(stack: &Description) -> BTreeMap<String, String> {
    let parameters = stack.parameters().iter();
    parameters
        .filter_map(|parameter| Some((parameter.parameter_key()?.to_owned(), parameter.parameter_value()?.to_owned())))
        .collect()
}

fn of_stack(event: &StackEvent, stack_id: &str) -> bool {
    event.physical_resource_id() == Some(stack_id)
}

fn status(event: &StackEvent) -> &str {
    event.resource_status().map_or("", |status| status.as_str())
}

/// How many resources are done.
fn done(events: &[StackEvent], stack_id: &str) -> usize {
    let complete = |event: &&StackEvent| !of_stack(event, stack_id) && status(event).ends_with("_COMPLETE");
    let mut resources: Vec<_> = events.iter().filter(complete).map(StackEvent::logical_resource_id).collect();
    resources.sort_unstable();
    resources.dedup();
    resources.len()
}

/// The resources that failed by themselves, and not because others did.
fn failures(events: &[StackEvent], stack_id: &str) -> Vec<FailedResource> {
    let by_itself = |event: &&StackEvent| {
        let reason = event.resource_status_reason().unwrap_or_default().to_lowercase();
        status(event).ends_with("_FAILED") && !of_stack(event, stack_id) && !reason.contains("cancelled")
    };
    let failed = events.iter().filter(by_itself).map(|event| FailedResource {
        resource: event.logical_resource_id().unwrap_or_default().to_owned(),
        resource_type: event.resource_type().unwrap_or_default().to_owned(),
        reason: event.resource_status_reason().unwrap_or("no reason given").to_owned(),
    });
    failed.collect()
}

/// Why the stack failed as a whole: the first reason of this operation, else the stack's own.
fn why(stack: &Description, events: &[StackEvent], stack_id: &str) -> String {
    let own = events.iter().filter(|event| of_stack(event, stack_id));
    let bad = |event: &&StackEvent| {
        let status = status(event);
        status.contains("ROLLBACK") || status.contains("FAILED") || status.starts_with("DELETE")
    };
    let reasons = own.filter(bad).filter_map(StackEvent::resource_status_reason);
    let mut reasons = reasons.chain(stack.stack_status_reason()).filter(|reason| !reason.is_empty());
    reasons.next().unwrap_or("CloudFormation gives no reason").to_owned()
}

#[cfg(test)]
mod tests {
    use aws_sdk_cloudformation::types::ResourceStatus;

    use super::*;

    const STACK: &str = "arn:aws:cloudformation:us-east-1:111122223333:stack/manifold-hub/1";

    fn event(resource: &str, status: ResourceStatus, reason: &str) -> StackEvent {
        let physical = if resource == "manifold-hub" { STACK } else { "something" };
        StackEvent::builder()
            .stack_id(STACK)
            .event_id(format!("{resource}-{}", status.as_str()))
            .stack_name("manifold-hub")
            .logical_resource_id(resource)
            .physical_resource_id(physical)
            .resource_type("AWS::X::Y")
            .resource_status(status)
            .resource_status_reason(reason)
            .timestamp(aws_sdk_cloudformation::primitives::DateTime::from_secs(0))
            .build()
    }

    #[test]
    fn a_failure_names_what_failed_first_and_not_what_was_cancelled_with_it() {
        let events = [
            event("manifold-hub", ResourceStatus::CreateInProgress, "User Initiated"),
            event("Ledger", ResourceStatus::CreateComplete, ""),
            event("DeployRole", ResourceStatus::CreateFailed, "Role with name manifold-deploy already exists."),
            event("CollectRole", ResourceStatus::CreateFailed, "Resource creation cancelled"),
            event(
                "manifold-hub",
                ResourceStatus::RollbackInProgress,
                "The following resource(s) failed to create: [DeployRole].",
            ),
            event("Ledger", ResourceStatus::DeleteComplete, ""),
        ];
        let failed = failures(&events, STACK);
        assert_eq!(failed.len(), 1);
        assert_eq!(failed[0].reason, "Role with name manifold-deploy already exists.");
        assert_eq!(
            why(&Description::builder().build(), &events, STACK),
            "The following resource(s) failed to create: [DeployRole]."
        );
        assert_eq!(done(&events, STACK), 1);
    }
}
