//! The `collect` function on Lambda: wiring, and nothing else.

use manifold_aws::clients::Clients;
use manifold_aws::clock::SystemClock;
use manifold_aws::ledger::DynamoLedger;
use manifold_aws::queues::SqsQueues;
use manifold_aws::{env, lambda};
use manifold_collect::Collect;
use manifold_core::message::Queue;
use serde_json::Value;

#[tokio::main]
async fn main() -> Result<(), lambda::Error> {
    lambda::serve(async || {
        let clients = Clients::from_env().await;
        let collect = Collect {
            ledger: DynamoLedger::new(clients.dynamodb(), env::TABLE.required()?),
            queues: SqsQueues::from_env(clients.sqs(), &Queue::ALL)?,
            clock: SystemClock,
        };
        Ok(async move |input: Value, deadline| {
            lambda::answer(collect.handle(&input, deadline).await.map(|(response, _)| response))
        })
    })
    .await
}
