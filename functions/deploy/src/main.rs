//! The `deploy` function on Lambda: wiring, and nothing else.

use manifold_aws::clients::Clients;
use manifold_aws::clock::SystemClock;
use manifold_aws::credentials::Assumer;
use manifold_aws::engine::Engines;
use manifold_aws::ledger::DynamoLedger;
use manifold_aws::pace::DynamoPaces;
use manifold_aws::queues::SqsQueues;
use manifold_aws::{env, lambda};
use manifold_core::message::Queue;
use manifold_deploy::Deploy;
use serde_json::Value;

#[tokio::main]
async fn main() -> Result<(), lambda::Error> {
    lambda::serve(async || {
        let clients = Clients::from_env().await;
        let deploy = Deploy {
            ledger: DynamoLedger::new(clients.dynamodb(), env::TABLE.required()?),
            paces: DynamoPaces::new(clients.dynamodb(), env::TABLE.required()?),
            queues: SqsQueues::from_env(clients.sqs(), &[Queue::Deploy, Queue::Collect, Queue::Summarize])?,
            engine: Engines::new(clients.clone(), Assumer::new(clients.sts())),
            clock: SystemClock,
        };
        Ok(async move |input: Value, deadline| {
            let work = async |input: &Value| lambda::answer(deploy.handle(input, deadline).await);
            lambda::either(&input, async |question| deploy.checkup(question, deadline).await, work).await
        })
    })
    .await
}
