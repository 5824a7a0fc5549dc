//! What all clients share.

use std::sync::{Arc, Mutex};

use aws_config::Region;
use aws_credential_types::Credentials;
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use manifold_aws::clients::{self, CallCounter, Clients};
use serde_json::json;

use crate::stub::Stub;

/// Notes where requests would have gone.
#[derive(Debug, Clone, Default)]
struct Nowhere(Arc<Mutex<Vec<String>>>);

impl HttpConnector for Nowhere {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        self.0.lock().unwrap().push(request.uri().to_owned());
        HttpConnectorFuture::ready(Err(ConnectorError::user("nowhere".into())))
    }
}

#[tokio::test]
async fn sts_is_called_in_the_hubs_own_region_and_codepipeline_in_the_targets() {
    let nowhere = Nowhere::default();
    let connector = nowhere.clone();
    let config = clients::loader()
        .region(Region::new("eu-central-1"))
        .credentials_provider(Credentials::new("AKIDHUB", "s", None, None, "test"))
        .http_client(http_client_fn(move |_, _| SharedHttpConnector::new(connector.clone())))
        .load()
        .await;
    let clients = Clients::new(config);
    clients.sts().get_caller_identity().send().await.unwrap_err();
    clients.codepipeline(&"ap-southeast-2".parse().unwrap()).get_pipeline().name("p").send().await.unwrap_err();
    let assumed = Credentials::new("ASIA", "s", None, None, "test");
    clients.codepipeline_as(&"cn-north-1".parse().unwrap(), assumed).get_pipeline().name("p").send().await.unwrap_err();
    assert_eq!(
        *nowhere.0.lock().unwrap(),
        [
            "https://sts.eu-central-1.amazonaws.com/",
            "https://codepipeline.ap-southeast-2.amazonaws.com/",
            "https://codepipeline.cn-north-1.amazonaws.com.cn/"
        ]
    );
}

#[test]
fn calls_are_tried_three_times_and_end_within_half_a_minute() {
    assert_eq!(clients::retries().max_attempts(), 3);
    let seconds = |duration: Option<std::time::Duration>| duration.unwrap().as_secs();
    let timeouts = clients::timeouts();
    assert_eq!(
        (
            seconds(timeouts.connect_timeout()),
            seconds(timeouts.operation_attempt_timeout()),
            seconds(timeouts.operation_timeout())
        ),
        (3, 10, 30)
    );
}

#[tokio::test]
async fn operations_are_counted_once_and_requests_with_every_retry() {
    let stub = Stub::start().await;
    stub.error("GetItem", 500, "InternalServerError").json("GetItem", json!({})).json("ListQueues", json!({}));
    let counter = CallCounter::new();
    let clients = stub.clients().await.counting(counter.clone());
    let get = clients.dynamodb().get_item().table_name("t");
    get.key("pk", aws_sdk_dynamodb::types::AttributeValue::S("k".into())).send().await.unwrap();
    clients.sqs().list_queues().send().await.unwrap();
    let counts = |pairs: [(&str, u64); 2]| pairs.map(|(name, count)| (name.to_owned(), count)).into();
    assert_eq!(counter.operations(), counts([("DynamoDB.GetItem", 1), ("SQS.ListQueues", 1)]));
    assert_eq!(counter.requests(), counts([("DynamoDB.GetItem", 2), ("SQS.ListQueues", 1)]));
    counter.reset();
    assert!(counter.operations().is_empty());
}
