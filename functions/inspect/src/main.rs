//! The `inspect` function on Lambda: wiring, and nothing else.

use manifold_aws::clients::Clients;
use manifold_aws::clock::SystemClock;
use manifold_aws::credentials::Assumer;
use manifold_aws::inspect::Inspector;
use manifold_aws::ledger::DynamoLedger;
use manifold_aws::queues::SqsQueues;
use manifold_aws::watch::Watcher;
use manifold_aws::{env, lambda};
use manifold_core::message::Queue;
use manifold_inspect::{Drift, Looker};
use serde_json::Value;

#[tokio::main]
async fn main() -> Result<(), lambda::Error> {
    lambda::serve(async || {
        let clients = Clients::from_env().await;
        let (assumer, role) = (Assumer::new(clients.sts()), env::INSPECT_ROLE.required()?);
        let looker =
            Looker { inspector: Inspector::new(clients.clone(), assumer.clone(), role.clone()), clock: SystemClock };
        let drift = Drift {
            ledger: DynamoLedger::new(clients.dynamodb(), env::TABLE.required()?),
            queues: SqsQueues::from_env(clients.sqs(), &[Queue::Collect])?,
            watch: Watcher::new(clients, assumer, role),
            clock: SystemClock,
        };
        Ok(async move |input: Value, deadline| {
            let work = async |input: &Value| lambda::answer(drift.handle(input, deadline).await);
            lambda::either(&input, async |question| looker.checkup(question, deadline).await, work).await
        })
    })
    .await
}
