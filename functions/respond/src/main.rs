//! The `respond` function on Lambda: wiring, and nothing else.

use manifold_aws::clients::Clients;
use manifold_aws::clock::SystemClock;
use manifold_aws::queues::SqsQueues;
use manifold_aws::secrets::{Secrets, SlackSigning};
use manifold_aws::{env, lambda};
use manifold_core::message::Queue;
use manifold_respond::{Respond, WITHIN};
use serde_json::Value;

#[tokio::main]
async fn main() -> Result<(), lambda::Error> {
    lambda::serve(async || {
        let clients = Clients::from_env().await;
        let respond = Respond {
            queues: SqsQueues::from_env(clients.sqs(), &[Queue::Dispatch, Queue::Collect])?,
            signing: SlackSigning::new(Secrets::new(&clients), &env::SIGNING_SECRET.required()?),
            clock: SystemClock,
        };
        Ok(async move |input: Value, _| {
            let press = async |input: &Value| lambda::answer(respond.handle(input, lambda::after(WITHIN)).await);
            lambda::either(&input, async |question| respond.checkup(&question), press).await
        })
    })
    .await
}
