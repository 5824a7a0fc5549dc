//! The `inspect` function on Lambda: wiring, and nothing else.

use manifold_aws::clients::Clients;
use manifold_aws::clock::SystemClock;
use manifold_aws::credentials::Assumer;
use manifold_aws::inspect::Inspector;
use manifold_aws::{env, lambda};
use manifold_inspect::Looker;
use serde_json::Value;

#[tokio::main]
async fn main() -> Result<(), lambda::Error> {
    lambda::serve(async || {
        let clients = Clients::from_env().await;
        let assumer = Assumer::new(clients.sts());
        let looker =
            Looker { inspector: Inspector::new(clients, assumer, env::INSPECT_ROLE.required()?), clock: SystemClock };
        Ok(async move |input: Value, deadline| {
            // It reads no queue yet.
            let work = async |_: &Value| Err("inspect takes no messages, only the questions of a checkup".into());
            lambda::either(&input, async |question| looker.checkup(question, deadline).await, work).await
        })
    })
    .await
}
