//! CloudFormation: a change set of a stack, made, reviewed and executed.
//!
//! ```text
//!  start ─► change set? ─ none ──► stack? ─► parameters ─► CreateChangeSet ─► come again
//!               │ being made ─────────────────────────────────────────────► come again
//!               │ no changes ─► deleted: the target is current
//!               │ made ─► reviewed ─► ExecuteChangeSet ─► begun
//!               ╰ executed ─────────────────────────────► begun
//! ```
//!
//! A stack has one change set of a name, and the name follows from the attempt's token: whoever comes again finds how far
//! it is. The token itself goes out with the execution, so that it is executed once, and every event of the operation has
//! it: it is the execution's id. The change set is made with another token, as its events are none of the execution.
//!
//! Before a release there is the same to look at, under a name that follows from what would be deployed:
//!
//! ```text
//!  preview ─► change set? ─ none ─► stack? ─ none ─► a new one
//!                 │                   ╰───────────► parameters ─► CreateChangeSet ─► come again
//!                 │ being made ────────────────────────────────────────────────────► come again
//!                 ╰ made, no changes, failed ─► deleted, and told
//! ```

mod parameters;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use aws_sdk_cloudformation::Client;
use aws_sdk_cloudformation::operation::describe_change_set::DescribeChangeSetOutput;
use aws_sdk_cloudformation::types::{
    Capability, Change, ChangeAction, ChangeSetType, Parameter, Replacement, ResourceChange, Stack, StackEvent, Tag,
};
use futures::FutureExt;
use futures::future::BoxFuture;
use manifold_core::changes::{self, Effect, Objection, Previewed};
use manifold_core::console;
use manifold_core::engine::{S3Object, StackWork, Subject, Work};
use manifold_core::event::{PipelineState, StackStatus};
use manifold_core::ids::{ExecutionId, Partition, Region};
use manifold_core::plan::PlannedTarget;
use manifold_core::run::{Reason, ReasonSource, Refusal, Standing, resource_failed};
use manifold_core::time::{Span, Timestamp};
use manifold_ports::engine::{Order, Start};

use self::parameters::File;
use super::{Answer, Call, Dialect, MOST_PAGES, Spoken, Trouble, execution_id, timestamp};
use crate::failure::{Failure, Kind};

const DESCRIBE: &str = "DescribeStacks";
const SUMMARISE: &str = "GetTemplateSummary";
const CREATE: &str = "CreateChangeSet";
const REVIEW: &str = "DescribeChangeSet";
const EXECUTE: &str = "ExecuteChangeSet";
const DELETE: &str = "DeleteChangeSet";
const EVENTS: &str = "DescribeStackEvents";
const CANCEL: &str = "CancelUpdateStack";
const READ: &str = "GetObject";
/// How long a change set takes that is not there at once.
const AGAIN: Span = Span::from_seconds(10);
/// How many pages of events are read for the first failure of an operation: some thousands, as large a stack may have.
const MOST_PAGES_OF_AN_OPERATION: usize = 30;

pub(super) const SPOKEN: Spoken = Spoken {
    with: |clients, region, credentials| {
        let objects = clients.s3_as(region, credentials.clone());
        Box::new(Stacks { client: clients.stacks_as(region, credentials), objects })
    },
    meaning,
};

fn meaning(call: &Call<'_>) -> Option<Refusal> {
    let stack = call.planned.subject.name();
    match (call.operation, call.failure.kind, call.failure.code.as_str()) {
        (READ, Kind::Throttled, _) => {
            Some(Refusal::Throttled { api: call.api, reason: call.reason("Throttled by S3".to_owned()) })
        }
        (READ, Kind::Unreached, _) => Some(Refusal::Later { reason: call.reason("S3 did not answer".to_owned()) }),
        (READ, Kind::Refused, "NoSuchKey" | "NoSuchBucket") => {
            Some(call.failed("The parameters file was not found".to_owned()))
        }
        (READ, Kind::Refused, "PermanentRedirect") => {
            Some(call.failed("The bucket of the parameters file is in another Region".to_owned()))
        }
        (_, Kind::Refused, "ValidationError") if is_busy(&call.failure.message) => {
            Some(call.busy(format!("Stack {stack} is busy")))
        }
        // The latter is a quota, of stacks for example, and not of calls.
        (_, Kind::Refused, "InsufficientCapabilitiesException" | "LimitExceededException") => Some(call.invalid()),
        (_, Kind::Throttled | Kind::Unreached | Kind::Refused, _) => None,
    }
}

/// "Stack:arn:… is in UPDATE_IN_PROGRESS state and can not be updated."
fn is_busy(message: &str) -> bool {
    message.contains("_IN_PROGRESS state")
}

/// "Stack with id web does not exist", "Stack [web] does not exist", "ChangeSet [manifold-…] does not exist".
fn is_absent(failure: &Failure) -> bool {
    failure.kind == Kind::Refused
        && match failure.code.as_str() {
            "ChangeSetNotFound" | "ChangeSetNotFoundException" => true,
            "ValidationError" => failure.message.contains("does not exist"),
            _ => false,
        }
}

/// What a call answered, or nothing if what it asks for is not there.
fn present<T>(answer: Result<T, Trouble>) -> Result<Option<T>, Trouble> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(Trouble::Failed { failure, .. }) if is_absent(&failure) => Ok(None),
        Err(trouble) => Err(trouble),
    }
}

struct Stacks {
    client: Client,
    objects: aws_sdk_s3::Client,
}

/// An attempt, with the names that follow from it.
struct Attempt<'a> {
    planned: &'a PlannedTarget,
    stack: &'a str,
    work: &'a StackWork,
    /// The execution's id, and what it is begun with.
    token: String,
    /// The change set's name, and what it is made with. It begins with a letter, and has at most 128 characters of
    /// `[-a-zA-Z0-9]` (`CreateChangeSet`, `ChangeSetName`).
    change_set: String,
    /// What it says of itself.
    description: &'static str,
}

impl<'a> Attempt<'a> {
    fn of(order: Order<'a>) -> Result<Self, Trouble> {
        let Order { run, planned, attempt } = order;
        let Some(Work::Stack(work)) = &planned.work else { return Err(Trouble::incomplete(planned)) };
        let token = run.attempt_token(&planned.key, attempt);
        let change_set = format!("manifold-{token}");
        let description = "Made by Manifold, and executed by it once it is reviewed.";
        Ok(Self { planned, stack: planned.subject.name(), work, token, change_set, description })
    }

    /// The same to be looked at only. Whoever asks for another release, or with other parameters, has another change set.
    fn to_look_at(order: Order<'a>) -> Result<Self, Trouble> {
        let change_set = format!("manifold-plan-{}", order.planned.fingerprint());
        let description =
            "Made by Manifold to see what a release would do. It is not executed, and deleted once it was seen.";
        Ok(Self { change_set, description, ..Self::of(order)? })
    }

    fn begun(&self, operation: &'static str) -> Result<Start, Trouble> {
        execution_id(operation, Some(&self.token)).map(Start::Begun)
    }

    fn page(&self) -> Option<String> {
        console::of(&self.planned.key, &self.planned.subject, None)
    }

    fn busy(&self, status: &StackStatus) -> Trouble {
        Trouble::Refused(Refusal::Busy {
            reason: Reason {
                cause: format!("Stack {} is busy", self.stack),
                detail: Some(status.to_string()),
                link: self.page(),
                source: ReasonSource::Manifold,
                attempt: 0,
            },
        })
    }

    /// The change set is not there yet.
    fn preparing(&self, status: &str) -> Trouble {
        Trouble::Refused(Refusal::Preparing {
            reason: Reason {
                cause: format!("The change set of stack {} is being made", self.stack),
                detail: Some(status.to_owned()),
                link: self.page(),
                source: ReasonSource::Manifold,
                attempt: 0,
            },
            again: AGAIN,
        })
    }
}

impl Stacks {
    /// The attempt's change set, with all its changes once it is made.
    async fn change_set(&self, attempt: &Attempt<'_>) -> Result<Option<DescribeChangeSetOutput>, Trouble> {
        let request = self.client.describe_change_set().stack_name(attempt.stack).change_set_name(&attempt.change_set);
        let Some(mut seen) = present(request.clone().send().await.map_err(Trouble::of(REVIEW)))? else {
            return Ok(None);
        };
        let mut changes = seen.changes.take().unwrap_or_default();
        let mut next = seen.next_token.take();
        while let Some(token) = next {
            let page = request.clone().next_token(token).send().await.map_err(Trouble::of(REVIEW))?;
            changes.extend(page.changes.unwrap_or_default());
            next = page.next_token;
        }
        seen.changes = Some(changes);
        Ok(Some(seen))
    }

    /// What a change set that is there comes to.
    async fn go_on(&self, attempt: &Attempt<'_>, seen: &DescribeChangeSetOutput) -> Result<Start, Trouble> {
        let status = seen.status.as_ref().map_or("", |status| status.as_str());
        let execution = seen.execution_status.as_ref().map_or("", |status| status.as_str());
        match (status, execution) {
            ("CREATE_COMPLETE", "AVAILABLE") => {
                review(attempt, seen)?;
                self.execute(attempt).await
            }
            // Whoever came before executed it. That it failed, its events tell.
            ("CREATE_COMPLETE", "EXECUTE_IN_PROGRESS" | "EXECUTE_COMPLETE" | "EXECUTE_FAILED") => attempt.begun(REVIEW),
            // The stack was changed since.
            ("CREATE_COMPLETE", "OBSOLETE") => {
                self.delete(attempt).await?;
                Err(attempt.preparing(execution))
            }
            ("FAILED", _) => {
                let reason = seen.status_reason.clone();
                if reason.as_deref().is_some_and(says_no_changes) {
                    self.delete(attempt).await?;
                    return execution_id(REVIEW, Some(&attempt.token)).map(Start::Current);
                }
                Err(Trouble::failed(cannot_be_made(attempt), reason, link(attempt, seen)))
            }
            // It is made, or deleted to be made again.
            (status, _) => Err(attempt.preparing(status)),
        }
    }

    /// What a change set tells that was made to be looked at. It is not needed any more then.
    async fn seen(&self, attempt: &Attempt<'_>, seen: &DescribeChangeSetOutput) -> Result<Previewed, Trouble> {
        let status = seen.status.as_ref().map_or("", |status| status.as_str());
        let execution = seen.execution_status.as_ref().map_or("", |status| status.as_str());
        match (status, execution) {
            ("CREATE_COMPLETE", "OBSOLETE") => {
                self.delete(attempt).await?;
                Err(attempt.preparing(execution))
            }
            ("CREATE_COMPLETE", _) => {
                self.delete(attempt).await?;
                Ok(Previewed::Changes(changes(seen)))
            }
            ("FAILED", _) => {
                self.delete(attempt).await?;
                let reason = seen.status_reason.clone();
                if reason.as_deref().is_some_and(says_no_changes) {
                    return Ok(Previewed::Current);
                }
                Err(Trouble::failed(cannot_be_made(attempt), reason, None))
            }
            (status, _) => Err(attempt.preparing(status)),
        }
    }

    /// The types of the resources that a new stack would have. Its parameters are read, so that it is told if they can't be.
    async fn new_stack(&self, attempt: &Attempt<'_>) -> Result<Vec<String>, Trouble> {
        if let Some(object) = &attempt.work.parameters {
            parameters::read(&self.objects, object).await?;
        }
        let template = url(&attempt.work.template, &attempt.planned.key.region);
        let summary = self.client.get_template_summary().template_url(template).send().await;
        let mut kinds = summary.map_err(Trouble::of(SUMMARISE))?.resource_types.unwrap_or_default();
        kinds.sort_unstable();
        kinds.dedup();
        Ok(kinds)
    }

    async fn execute(&self, attempt: &Attempt<'_>) -> Result<Start, Trouble> {
        let request = self
            .client
            .execute_change_set()
            .stack_name(attempt.stack)
            .change_set_name(&attempt.change_set)
            .client_request_token(&attempt.token);
        match request.send().await.map_err(Trouble::of(EXECUTE)) {
            Ok(_) => attempt.begun(EXECUTE),
            Err(trouble) if trouble.has_code(&["TokenAlreadyExistsException"]) => attempt.begun(EXECUTE),
            Err(trouble) => Err(trouble),
        }
    }

    async fn delete(&self, attempt: &Attempt<'_>) -> Result<(), Trouble> {
        let request = self.client.delete_change_set().stack_name(attempt.stack).change_set_name(&attempt.change_set);
        present(request.send().await.map_err(Trouble::of(DELETE))).map(|_| ())
    }

    async fn stack(&self, name: &str) -> Result<Option<Stack>, Trouble> {
        let described = self.client.describe_stacks().stack_name(name).send().await.map_err(Trouble::of(DESCRIBE));
        Ok(present(described)?.and_then(|output| output.stacks.unwrap_or_default().into_iter().next()))
    }

    /// Has the change set made. One that is there already was asked for by another worker, at the same time.
    async fn create(&self, attempt: &Attempt<'_>, known: Option<Stack>) -> Result<(), Trouble> {
        let Attempt { planned, stack, work, token: _, change_set, description } = attempt;
        let kind = kind(attempt, known.as_ref())?;
        let template = url(&work.template, &planned.key.region);
        let File { mut parameters, tags } = match &work.parameters {
            Some(object) => parameters::read(&self.objects, object).await?,
            None => File::default(),
        };
        // The plan's own go before those of the file.
        parameters.extend(planned.variables.clone());
        let kept = match (&kind, known) {
            (ChangeSetType::Update, Some(known)) => self.kept(&template, known, &parameters).await?,
            _ => Vec::new(),
        };
        let given = parameters
            .into_iter()
            .map(|(key, value)| Parameter::builder().parameter_key(key).parameter_value(value).build());
        let kept = kept.into_iter().map(|key| Parameter::builder().parameter_key(key).use_previous_value(true).build());
        let tags = tags.into_iter().map(|(key, value)| Tag::builder().key(key).value(value).build());
        let request = self
            .client
            .create_change_set()
            .stack_name(*stack)
            .change_set_name(change_set)
            .client_token(change_set)
            .change_set_type(kind)
            .template_url(template)
            .set_parameters(Some(given.chain(kept).collect()))
            .set_capabilities(Some(
                work.capabilities.iter().map(|capability| Capability::from(capability.as_str())).collect(),
            ))
            .set_role_arn(work.role.as_ref().map(ToString::to_string))
            .set_tags(Some(tags.collect()).filter(|tags: &Vec<Tag>| !tags.is_empty()))
            .description(*description);
        match request.send().await.map_err(Trouble::of(CREATE)) {
            Ok(_) => Ok(()),
            Err(trouble) if trouble.has_code(&["AlreadyExistsException"]) => Ok(()),
            Err(trouble) => Err(trouble),
        }
    }

    /// The parameters that keep the value they have in the stack: those that nobody gives, as far as the template still has
    /// them. It is asked only where there are any.
    async fn kept(
        &self,
        template: &str,
        known: Stack,
        given: &BTreeMap<String, String>,
    ) -> Result<Vec<String>, Trouble> {
        let known = known.parameters.unwrap_or_default().into_iter().filter_map(|parameter| parameter.parameter_key);
        let mut kept: Vec<String> = known.filter(|key| !given.contains_key(key)).collect();
        if kept.is_empty() {
            return Ok(kept);
        }
        let summary = self.client.get_template_summary().template_url(template).send().await;
        let declared = summary.map_err(Trouble::of(SUMMARISE))?.parameters.unwrap_or_default();
        let declared: BTreeSet<String> = declared.into_iter().filter_map(|parameter| parameter.parameter_key).collect();
        kept.retain(|key| declared.contains(key));
        Ok(kept)
    }

    /// Looks at the events of a stack, the newest first, until `look` breaks off, those of a page are from before
    /// `not_before`, or so many pages are read. A stack that is not there has none.
    async fn events<T>(
        &self,
        stack: &str,
        not_before: Timestamp,
        most_pages: usize,
        mut look: impl FnMut(&Told<'_>) -> ControlFlow<T>,
    ) -> Result<Option<T>, Trouble> {
        let mut pages = self.client.describe_stack_events().stack_name(stack).into_paginator().send();
        for _ in 0..most_pages {
            let Some(page) = pages.next().await else { break };
            let Some(page) = present(page.map_err(Trouble::of(EVENTS)))? else { break };
            let events: Vec<StackEvent> = page.stack_events.unwrap_or_default();
            let told = events.iter().filter_map(Told::of).collect::<Vec<_>>();
            if let ControlFlow::Break(found) = told.iter().try_for_each(&mut look) {
                return Ok(Some(found));
            }
            if told.last().is_some_and(|event| event.at < not_before) {
                break;
            }
        }
        Ok(None)
    }

    /// How the operation with a token stands: its newest status of the stack, if that is newer than all that is told of
    /// resources, and when something last happened; nothing if no event has the token.
    ///
    /// What takes an operation back may have the token of whoever asked for that, or none. So an event of the stack belongs
    /// to the operation that began last.
    async fn operation(&self, stack: &str, token: &str, not_before: Timestamp) -> Result<Option<Operation>, Trouble> {
        let mut newest: Option<Operation> = None;
        let look = |event: &Told<'_>| {
            let is_ours = event.token == Some(token);
            if event.is_of_stack && event.status.execution().is_some() {
                if event.begins() && !is_ours {
                    // What came after belongs to another operation.
                    newest = None;
                    return ControlFlow::Continue(());
                }
                newest.get_or_insert(Operation { status: Some(event.status.clone()), at: event.at });
            }
            if is_ours && event.status.execution().is_some() {
                let running = Operation { status: None, at: event.at };
                return ControlFlow::Break(newest.take().unwrap_or(running));
            }
            ControlFlow::Continue(())
        };
        self.events(stack, not_before, MOST_PAGES, look).await
    }
}

/// An event of a stack or of one of its resources.
struct Told<'a> {
    status: StackStatus,
    at: Timestamp,
    token: Option<&'a str>,
    is_of_stack: bool,
    event: &'a StackEvent,
}

impl<'a> Told<'a> {
    /// Hooks tell no status.
    fn of(event: &'a StackEvent) -> Option<Self> {
        Some(Self {
            status: StackStatus::from(event.resource_status.as_ref()?.as_str()),
            at: event.timestamp.and_then(timestamp)?,
            token: event.client_request_token.as_deref(),
            // The stack itself; a nested one is a resource of that type, too.
            is_of_stack: event.resource_type.as_deref() == Some("AWS::CloudFormation::Stack")
                && event.physical_resource_id.is_some()
                && event.physical_resource_id == event.stack_id,
            event,
        })
    }

    /// Whether an operation begins with it.
    fn begins(&self) -> bool {
        self.is_of_stack
            && [
                StackStatus::CreateInProgress,
                StackStatus::UpdateInProgress,
                StackStatus::DeleteInProgress,
                StackStatus::ImportInProgress,
            ]
            .contains(&self.status)
    }

    fn reason(&self) -> Option<String> {
        self.event.resource_status_reason.clone().filter(|reason| !reason.is_empty())
    }

    /// Whether a resource could not be changed, and was not given up for another.
    fn is_failure_of_a_resource(&self) -> bool {
        !self.is_of_stack
            && self.status.is_failure_of_a_resource()
            && !self.reason().is_some_and(|reason| StackStatus::is_given_up(&reason))
    }
}

/// How an operation stands.
struct Operation {
    /// The stack's status; nothing while its resources are worked at.
    status: Option<StackStatus>,
    at: Timestamp,
}

impl Dialect for Stacks {
    fn start<'a>(&'a self, order: Order<'a>) -> Answer<'a, Start> {
        async move {
            let attempt = Attempt::of(order)?;
            match self.change_set(&attempt).await? {
                Some(seen) => self.go_on(&attempt, &seen).await,
                None => {
                    let known = self.stack(attempt.stack).await?;
                    self.create(&attempt, known).await?;
                    Err(attempt.preparing("CREATE_PENDING"))
                }
            }
        }
        .boxed()
    }

    fn find<'a>(
        &'a self,
        order: Order<'a>,
        not_before: Timestamp,
        except: &'a [ExecutionId],
    ) -> Answer<'a, Option<ExecutionId>> {
        async move {
            let token = order.run.attempt_token(&order.planned.key, order.attempt);
            let operation = self.operation(order.planned.subject.name(), &token, not_before).await?;
            let found = operation.map(|_| execution_id(EVENTS, Some(&token))).transpose()?;
            Ok(found.filter(|found| !except.contains(found)))
        }
        .boxed()
    }

    fn ask<'a>(
        &'a self,
        order: Order<'a>,
        execution: &'a ExecutionId,
        not_before: Timestamp,
    ) -> Answer<'a, Option<Standing>> {
        async move {
            let stack = order.planned.subject.name();
            let operation = self.operation(stack, execution.as_str(), not_before).await?;
            Ok(operation.map(|Operation { status, at }| Standing {
                state: status.and_then(|status| status.execution()).unwrap_or(PipelineState::Started),
                at,
                comments: None,
            }))
        }
        .boxed()
    }

    /// The first resource that failed by itself; where none is told, the stack's own words.
    fn explain<'a>(&'a self, order: Order<'a>, execution: &'a ExecutionId) -> Answer<'a, Reason> {
        async move {
            let planned = order.planned;
            let (mut earliest, mut of_stack, mut words) = (None, None, None);
            let look = |event: &Told<'_>| {
                let is_ours = event.token == Some(execution.as_str());
                if event.begins() && !is_ours {
                    (earliest, of_stack, words) = (None, None, None);
                } else if event.is_of_stack {
                    if event.status.execution() == Some(PipelineState::Failed) {
                        of_stack.get_or_insert_with(|| event.status.to_string());
                    }
                    if words.is_none() {
                        words = event.reason();
                    }
                } else if event.is_failure_of_a_resource() {
                    let resource = event.event.logical_resource_id.as_deref().unwrap_or("?");
                    let kind = event.event.resource_type.as_deref();
                    earliest = Some((resource_failed(event.status.as_str(), resource, kind), event.reason()));
                }
                if event.begins() && is_ours { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            let long_ago = Timestamp::from_millis(0);
            self.events(planned.subject.name(), long_ago, MOST_PAGES_OF_AN_OPERATION, look).await?;
            let (cause, detail) = earliest
                .unwrap_or_else(|| (of_stack.unwrap_or_else(|| "Failed without a failed resource".to_owned()), words));
            let link = console::of(&planned.key, &planned.subject, Some(execution));
            Ok(Reason { cause, detail, link, source: ReasonSource::Engine, attempt: 0 })
        }
        .boxed()
    }

    /// `CancelUpdateStack` takes back whatever the stack is at, so it is looked first that this is ours. A creation can't be
    /// cancelled, and goes on.
    fn stop<'a>(&'a self, order: Order<'a>, execution: &'a ExecutionId, reason: &'a str) -> Answer<'a, ()> {
        async move {
            let stack = order.planned.subject.name();
            let long_ago = Timestamp::from_millis(0);
            let Some(Operation { status, .. }) = self.operation(stack, execution.as_str(), long_ago).await? else {
                let reason = Reason {
                    cause: format!("Stack {stack} does not tell of the execution"),
                    detail: None,
                    link: None,
                    source: ReasonSource::Manifold,
                    attempt: 0,
                };
                return Err(Trouble::Refused(Refusal::Later { reason }));
            };
            if let Some(status) = status.filter(|status| *status != StackStatus::UpdateInProgress) {
                tracing::info!(%execution, %status, "there is no update to cancel");
                return Ok(());
            }
            tracing::info!(%execution, reason, "cancelling the update");
            let request = self.client.cancel_update_stack().stack_name(stack);
            match request.send().await.map_err(Trouble::of(CANCEL)) {
                Ok(_) => Ok(()),
                Err(Trouble::Failed { failure, .. })
                    if failure.kind == Kind::Refused && failure.code == "ValidationError" =>
                {
                    tracing::info!(%execution, words = failure.message, "there is no update to cancel");
                    Ok(())
                }
                Err(trouble) => Err(trouble),
            }
        }
        .boxed()
    }

    fn preview<'a>(&'a self, order: Order<'a>) -> Answer<'a, Previewed> {
        async move {
            let attempt = Attempt::to_look_at(order)?;
            match self.change_set(&attempt).await? {
                Some(seen) => self.seen(&attempt, &seen).await,
                None => {
                    let known = self.stack(attempt.stack).await?;
                    if kind(&attempt, known.as_ref())? == ChangeSetType::Create {
                        return self.new_stack(&attempt).await.map(Previewed::New);
                    }
                    self.create(&attempt, known).await?;
                    Err(attempt.preparing("CREATE_PENDING"))
                }
            }
        }
        .boxed()
    }

    fn discard<'a>(&'a self, order: Order<'a>) -> Answer<'a, ()> {
        async move { self.delete(&Attempt::to_look_at(order)?).await }.boxed()
    }

    /// A stack that is not there yet is made by the first release.
    fn look<'a>(&'a self, started: &'a Subject) -> BoxFuture<'a, Result<(), Failure>> {
        async move {
            match self.client.describe_stacks().stack_name(started.name()).send().await {
                Ok(_) => Ok(()),
                Err(error) => Some(Failure::of(&error)).filter(|failure| !is_absent(failure)).map_or(Ok(()), Err),
            }
        }
        .boxed()
    }
}

/// Whether the stack is to be made or changed, if it can be.
fn kind(attempt: &Attempt<'_>, known: Option<&Stack>) -> Result<ChangeSetType, Trouble> {
    let Some(known) = known else { return Ok(ChangeSetType::Create) };
    let status = StackStatus::from(known.stack_status.as_ref().map_or("", |status| status.as_str()));
    let broken = |remedy: &str| {
        let words = known.stack_status_reason.as_deref().filter(|words| !words.is_empty());
        let detail = words.map_or_else(|| remedy.to_owned(), |words| format!("{remedy} {words}"));
        let cause = format!("Stack {} is in {status}", attempt.stack);
        Err(Trouble::failed(cause, Some(detail), attempt.page()))
    };
    match &status {
        StackStatus::ReviewInProgress | StackStatus::DeleteComplete => Ok(ChangeSetType::Create),
        StackStatus::CreateComplete
        | StackStatus::UpdateComplete
        | StackStatus::UpdateRollbackComplete
        | StackStatus::ImportComplete
        | StackStatus::ImportRollbackComplete => Ok(ChangeSetType::Update),
        StackStatus::CreateInProgress
        | StackStatus::RollbackInProgress
        | StackStatus::DeleteInProgress
        | StackStatus::UpdateInProgress
        | StackStatus::UpdateCompleteCleanup
        | StackStatus::UpdateRollbackInProgress
        | StackStatus::UpdateRollbackCleanup
        | StackStatus::ImportInProgress
        | StackStatus::ImportRollbackInProgress => Err(attempt.busy(&status)),
        StackStatus::RollbackComplete | StackStatus::RollbackFailed | StackStatus::CreateFailed => {
            broken("It was never made: delete the stack, then retry.")
        }
        StackStatus::DeleteFailed | StackStatus::DeleteSkipped => broken("Finish deleting the stack, then retry."),
        StackStatus::UpdateRollbackFailed | StackStatus::ImportRollbackFailed => {
            broken("Continue the rollback of the stack until it is complete, then retry.")
        }
        StackStatus::UpdateFailed => broken("Roll the stack back, then retry."),
        StackStatus::Unknown(text) if text.ends_with("_IN_PROGRESS") => Err(attempt.busy(&status)),
        StackStatus::Unknown(_) => Ok(ChangeSetType::Update),
    }
}

/// Refuses a change set that may not be executed. It is left for people to look at.
fn review(attempt: &Attempt<'_>, seen: &DescribeChangeSetOutput) -> Result<(), Trouble> {
    match changes::objection(&changes(seen), attempt.work.replacements) {
        None => Ok(()),
        Some(Objection { cause, detail }) => Err(Trouble::failed(cause.to_owned(), Some(detail), link(attempt, seen))),
    }
}

/// What a change set does, resource by resource.
fn changes(seen: &DescribeChangeSetOutput) -> Vec<changes::Change> {
    let changes = seen.changes.as_deref().unwrap_or_default().iter();
    changes.filter_map(|change: &Change| Some(told(change.resource_change.as_ref()?))).collect()
}

fn told(change: &ResourceChange) -> changes::Change {
    let effect = match (change.action.as_ref(), change.replacement.as_ref()) {
        (Some(ChangeAction::Add), _) => Effect::Adds,
        (Some(ChangeAction::Import), _) => Effect::Imports,
        (Some(ChangeAction::Remove), _) => Effect::Removes,
        (Some(ChangeAction::Modify), Some(Replacement::True)) => Effect::Replaces,
        (Some(ChangeAction::Modify), Some(Replacement::Conditional)) => Effect::MayReplace,
        (Some(ChangeAction::Modify), Some(Replacement::False) | None) => Effect::Changes,
        (Some(ChangeAction::Dynamic), _) => Effect::MayReplaceOrRemove,
        (Some(_) | None, _) => Effect::Unknown,
    };
    let resource = change.logical_resource_id.clone().unwrap_or_else(|| "?".to_owned());
    changes::Change { effect, resource, kind: change.resource_type.clone() }
}

fn cannot_be_made(attempt: &Attempt<'_>) -> String {
    format!("The change set of stack {} could not be made", attempt.stack)
}

fn link(attempt: &Attempt<'_>, seen: &DescribeChangeSetOutput) -> Option<String> {
    let (stack, change_set) = (seen.stack_id.as_deref()?, seen.change_set_id.as_deref()?);
    console::change_set(&attempt.planned.key.region, stack, change_set)
}

/// "The submitted information didn't contain changes. Submit different information to create a change set.", and "No updates
/// are to be performed." where a transform is part of the template. AWS does not document the words.
fn says_no_changes(reason: &str) -> bool {
    let reason = reason.to_ascii_lowercase();
    ["didn't contain changes", "no updates are to be performed", "no changes"]
        .iter()
        .any(|words| reason.contains(words))
}

/// Where CloudFormation reads an object: the bucket in the path, as its name may have dots, and the target's Region, in
/// which the bucket has to be.
fn url(object: &S3Object, region: &Region) -> String {
    let suffix = match region.partition() {
        Partition::Aws | Partition::AwsUsGov => "amazonaws.com",
        Partition::AwsCn => "amazonaws.com.cn",
        Partition::AwsEusc => "amazonaws.eu",
        Partition::AwsIso => match region.as_str().split('-').nth(1) {
            Some("isob") => "sc2s.sgov.gov",
            Some("isoe") => "cloud.adc-e.uk",
            Some("isof") => "csp.hci.ic.gov",
            Some(_) | None => "c2s.ic.gov",
        },
    };
    let key = object.key().bytes().fold(String::new(), |mut key, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'.' | b'_' | b'~') {
            key.push(char::from(byte));
        } else {
            key.push_str(&format!("%{byte:02X}"));
        }
        key
    });
    format!("https://s3.{region}.{suffix}/{}/{key}", object.bucket())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_has_an_address_in_every_partition() {
        let object = "s3://artifacts.example/web/a b+c/template.yaml".parse().unwrap();
        let address = |region: &str| url(&object, &region.parse().unwrap());
        assert_eq!(
            address("eu-west-1"),
            "https://s3.eu-west-1.amazonaws.com/artifacts.example/web/a%20b%2Bc/template.yaml"
        );
        for (region, host) in [
            ("us-gov-west-1", "s3.us-gov-west-1.amazonaws.com"),
            ("cn-north-1", "s3.cn-north-1.amazonaws.com.cn"),
            ("eusc-de-east-1", "s3.eusc-de-east-1.amazonaws.eu"),
            ("us-iso-east-1", "s3.us-iso-east-1.c2s.ic.gov"),
            ("us-isob-east-1", "s3.us-isob-east-1.sc2s.sgov.gov"),
            ("eu-isoe-west-1", "s3.eu-isoe-west-1.cloud.adc-e.uk"),
            ("us-isof-south-1", "s3.us-isof-south-1.csp.hci.ic.gov"),
        ] {
            assert_eq!(address(region).split('/').nth(2), Some(host));
        }
    }

    #[test]
    fn no_changes_are_told_by_their_words_and_nothing_else_is() {
        for words in [
            "The submitted information didn't contain changes. Submit different information to create a change set.",
            "No updates are to be performed.",
            "There are no changes",
        ] {
            assert!(says_no_changes(words), "{words}");
        }
        assert!(!says_no_changes("Parameters: [Stage] must have values"));
    }
}
