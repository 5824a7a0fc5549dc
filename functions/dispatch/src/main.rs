//! The `dispatch` function on Lambda: wiring, and nothing else.

use manifold_aws::clients::Clients;
use manifold_aws::clock::SystemClock;
use manifold_aws::ledger::DynamoLedger;
use manifold_aws::queues::SqsQueues;
use manifold_aws::releases::CodePipelineReleases;
use manifold_aws::{env, lambda};
use manifold_core::message::Queue;
use manifold_dispatch::Dispatch;
use manifold_fleet::Fleet;
use serde_json::Value;

#[tokio::main]
async fn main() -> Result<(), lambda::Error> {
    lambda::serve(async || {
        let clients = Clients::from_env().await;
        let path = env::fleet_path()?;
        let text =
            std::fs::read_to_string(&path).map_err(|error| format!("failed to read {}: {error}", path.display()))?;
        let dispatch = Dispatch {
            fleet: Fleet::parse(&path.display().to_string(), &text)?,
            ledger: DynamoLedger::new(clients.dynamodb(), env::TABLE.required()?),
            queues: SqsQueues::from_env(
                clients.sqs(),
                &[Queue::Deploy, Queue::Collect, Queue::Summarize, Queue::Inspect],
            )?,
            releases: CodePipelineReleases::new(clients.clone()),
            clock: SystemClock,
        };
        Ok(async move |input: Value, deadline| {
            let work = async |input: &Value| lambda::answer(dispatch.handle(input, deadline).await);
            lambda::either(&input, async |question| dispatch.checkup(&question), work).await
        })
    })
    .await
}
