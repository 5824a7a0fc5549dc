//! Change sets that take a stack back to its template. They are created, and never executed.

use std::future::Future;

use aws_sdk_cloudformation::Client;
use aws_sdk_cloudformation::types::{DeploymentMode, Parameter};
use manifold_core::checkup::Tried;
use manifold_core::console;
use manifold_ports::clock::Clock;
use manifold_ports::drift::{Prepared, Revert, ToRevert};
use tracing::Instrument;

use super::Engines;
use crate::credentials::Purpose;
use crate::failure::Failure;
use crate::look::tried;

/// The ARNs of a change set and of its stack.
struct Created {
    change_set: String,
    stack: String,
}

impl<C: Clock> Revert for Engines<C> {
    async fn prepare(&self, revert: ToRevert<'_>) -> Tried<Prepared> {
        let ToRevert { check, planned, stack, .. } = revert;
        let span = tracing::info_span!("revert", %check, target = %planned.key, stack);
        let name = revert.name();
        let created = self.created(revert, |client| create(client, stack, &name)).instrument(span).await;
        match created {
            Ok(Created { change_set, stack }) => {
                let link = console::change_set(&planned.key.region, &stack, &change_set);
                Tried::Done(Prepared { name, link })
            }
            Err(failure) => tried(failure),
        }
    }
}

impl<C: Clock> Engines<C> {
    /// Calls with the target's role; once more with new credentials if it calls the old ones expired.
    async fn created<F, Answer>(&self, revert: ToRevert<'_>, call: F) -> Result<Created, Failure>
    where
        F: Fn(Client) -> Answer,
        Answer: Future<Output = Result<Created, Failure>>,
    {
        let ToRevert { check, planned, stack, .. } = revert;
        let purpose = Purpose::revert(check, planned, stack);
        let client = |credentials| self.clients.cloudformation_as(&planned.key.region, credentials);
        let credentials = self.assumer.session(&purpose).await?;
        let created = Box::pin(call(client(credentials.clone()))).await;
        if !created.as_ref().is_err_and(Failure::is_expired) {
            return created;
        }
        tracing::warn!("assumed credentials have expired; assuming the role again");
        self.assumer.forget_expired(&purpose, &credentials).await;
        Box::pin(call(client(self.assumer.session(&purpose).await?))).await
    }
}

/// The name is the idempotency key: a stack has one change set of a name (`CreateChangeSet`, `ChangeSetName`).
async fn create(client: Client, stack: &str, name: &str) -> Result<Created, Failure> {
    let output = client.describe_stacks().stack_name(stack).send().await.map_err(|error| Failure::of(&error))?;
    let found = output.stacks.unwrap_or_default().into_iter().next();
    let found = found.ok_or_else(|| Failure::empty("DescribeStacks answered without a stack"))?;
    // What is not named gets its default, not the value that it has (`Parameter`, `UsePreviousValue`).
    let parameters = found.parameters.unwrap_or_default().into_iter().filter_map(|parameter| parameter.parameter_key);
    let parameters =
        parameters.map(|key| Parameter::builder().parameter_key(key).use_previous_value(true).build()).collect();
    let request = client
        .create_change_set()
        .stack_name(stack)
        .change_set_name(name)
        .deployment_mode(DeploymentMode::RevertDrift)
        .use_previous_template(true)
        .set_parameters(Some(parameters))
        .set_capabilities(found.capabilities)
        .description(
            "Takes the stack back to its template. Prepared by Manifold on request, for you to execute or not.",
        );
    let (change_set, stack) = match request.send().await {
        Ok(output) => (output.id, output.stack_id),
        Err(error) => {
            let failure = Failure::of(&error);
            if !error.into_service_error().is_already_exists_exception() {
                return Err(failure);
            }
            let request = client.describe_change_set().stack_name(stack).change_set_name(name);
            let known = request.send().await.map_err(|error| Failure::of(&error))?;
            (known.change_set_id, known.stack_id)
        }
    };
    match (change_set, stack) {
        (Some(change_set), Some(stack)) => Ok(Created { change_set, stack }),
        (_, _) => Err(Failure::empty("CloudFormation answered without a change set")),
    }
}
