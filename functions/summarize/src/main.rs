//! The `summarize` function on Lambda: wiring, and nothing else.

use manifold_aws::clients::Clients;
use manifold_aws::clock::SystemClock;
use manifold_aws::ledger::DynamoLedger;
use manifold_aws::queues::SqsQueues;
use manifold_aws::secrets::Secrets;
use manifold_aws::slack::SlackClient;
use manifold_aws::{env, lambda};
use manifold_core::message::Queue;
use manifold_summarize::Summarize;
use serde_json::Value;

#[tokio::main]
async fn main() -> Result<(), lambda::Error> {
    lambda::serve(async || {
        let clients = Clients::from_env().await;
        let summarize = Summarize {
            ledger: DynamoLedger::new(clients.dynamodb(), env::TABLE.required()?),
            queues: SqsQueues::from_env(clients.sqs(), &[Queue::Summarize])?,
            slack: SlackClient::from_env(Secrets::new(&clients))?,
            clock: SystemClock,
        };
        Ok(async move |input: Value, deadline| {
            let work = async |input: &Value| lambda::answer(summarize.handle(input, deadline).await);
            lambda::either(&input, async |question| summarize.checkup(question, deadline).await, work).await
        })
    })
    .await
}
