//! The `sweep` function on Lambda: wiring, and nothing else.

use manifold_aws::clients::Clients;
use manifold_aws::clock::SystemClock;
use manifold_aws::ledger::DynamoLedger;
use manifold_aws::open_runs::DynamoOpenRuns;
use manifold_aws::queues::SqsQueues;
use manifold_aws::{env, lambda};
use manifold_core::message::Queue;
use manifold_sweep::Sweep;
use serde_json::Value;

#[tokio::main]
async fn main() -> Result<(), lambda::Error> {
    lambda::serve(async || {
        let clients = Clients::from_env().await;
        let sweep = Sweep {
            ledger: DynamoLedger::new(clients.dynamodb(), env::TABLE.required()?),
            open_runs: DynamoOpenRuns::new(clients.dynamodb(), env::TABLE.required()?),
            queues: SqsQueues::from_env(clients.sqs(), &Queue::ALL)?,
            clock: SystemClock,
        };
        // What the schedule sends says nothing that the ledger does not.
        Ok(async move |input: Value, deadline| {
            let tick = async |_: &Value| lambda::answer(sweep.tick(deadline).await);
            lambda::either(&input, async |question| sweep.checkup(&question), tick).await
        })
    })
    .await
}
