//! How DynamoDB throttles (Amazon DynamoDB Developer Guide, "Error handling with DynamoDB"; API reference of
//! `TransactWriteItems` and `BatchGetItem`).

use axum::body::Bytes;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::plain;

const KIND: &str = "application/x-amz-json-1.0";
const EXCEEDED: &str = "The level of configured provisioned throughput for the table was exceeded. Consider increasing \
                        your provisioning level with the UpdateTable API.";
const BEYOND_CAPACITY: &str = "Throughput exceeds the current capacity of your table or index. DynamoDB is automatically \
                               scaling your table or index so please try again shortly.";

/// The answer to a call that is throttled: a transaction is cancelled. Of the two codes that there are, one for each table's
/// kind of capacity, a put has one and reads have the other, so that both are met.
pub(super) fn throttled(operation: &str, body: &[u8]) -> Response {
    let answer = if operation == "dynamodb.TransactWriteItems" {
        let request: Value = serde_json::from_slice(body).unwrap_or_default();
        let items = request["TransactItems"].as_array().map_or(0, Vec::len);
        let mut reasons = vec![json!({"Code": "ThrottlingError", "Message": BEYOND_CAPACITY})];
        reasons.resize(items.max(1), json!({"Code": "None"}));
        let codes: Vec<&str> = reasons.iter().filter_map(|reason| reason["Code"].as_str()).collect();
        json!({
            "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
            "Message": format!("Transaction cancelled, please refer cancellation reasons for specific reasons [{}]", codes.join(", ")),
            "CancellationReasons": reasons,
        })
    } else if operation != "dynamodb.PutItem" {
        json!({"__type": "com.amazon.coral.availability#ThrottlingException", "message": BEYOND_CAPACITY})
    } else {
        let code = "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException";
        json!({"__type": code, "message": EXCEEDED})
    };
    plain(StatusCode::BAD_REQUEST, KIND, answer.to_string())
}

/// How many keys a `BatchGetItem` asks for.
pub(super) fn keys(body: &[u8]) -> usize {
    let request: Value = serde_json::from_slice(body).unwrap_or_default();
    let tables = request["RequestItems"].as_object().into_iter().flat_map(serde_json::Map::values);
    tables.filter_map(|table| table["Keys"].as_array()).map(Vec::len).sum()
}

/// The answer to a `BatchGetItem` of which DynamoDB leaves the second half of each table's keys unprocessed.
pub(super) fn half_processed(body: &[u8], answer: &Bytes) -> Response {
    let request: Value = serde_json::from_slice(body).unwrap_or_default();
    let mut answer: Value = serde_json::from_slice(answer).unwrap_or_default();
    for (table, asked) in request["RequestItems"].as_object().into_iter().flatten() {
        let keys = asked["Keys"].as_array().cloned().unwrap_or_default();
        let left: Vec<Value> = keys.iter().skip(keys.len().div_ceil(2)).cloned().collect();
        if let Some(items) = answer["Responses"][table].as_array_mut() {
            items.retain(|item| !left.iter().any(|key| key["pk"] == item["pk"] && key["sk"] == item["sk"]));
        }
        let mut unprocessed = asked.clone();
        unprocessed["Keys"] = Value::Array(left);
        answer["UnprocessedKeys"][table] = unprocessed;
    }
    plain(StatusCode::OK, KIND, answer.to_string())
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;

    async fn body(response: Response) -> Value {
        serde_json::from_slice(&to_bytes(response.into_body(), usize::MAX).await.unwrap()).unwrap()
    }

    #[tokio::test]
    async fn a_transaction_is_cancelled_with_a_reason_for_each_item() {
        let request = json!({"TransactItems": [{}, {}]}).to_string();
        let told = body(throttled("dynamodb.TransactWriteItems", request.as_bytes())).await;
        assert_eq!(told["CancellationReasons"][0]["Code"], "ThrottlingError");
        assert_eq!(told["CancellationReasons"][1], json!({"Code": "None"}));
    }

    #[tokio::test]
    async fn what_is_left_unprocessed_is_in_no_answer() {
        let key = |name: &str| json!({"pk": {"S": name}, "sk": {"S": "head"}});
        let request =
            json!({"RequestItems": {"ledger": {"Keys": [key("a"), key("b"), key("c")], "ConsistentRead": true}}});
        let item = |name: &str| json!({"pk": {"S": name}, "sk": {"S": "head"}, "version": {"N": "1"}});
        let answer = json!({"Responses": {"ledger": [item("c"), item("a")]}, "UnprocessedKeys": {}});
        let (request, answer) = (request.to_string(), Bytes::from(answer.to_string()));
        assert_eq!(keys(request.as_bytes()), 3);
        let told = body(half_processed(request.as_bytes(), &answer)).await;
        assert_eq!(told["Responses"]["ledger"], json!([item("a")]));
        assert_eq!(told["UnprocessedKeys"]["ledger"], json!({"Keys": [key("c")], "ConsistentRead": true}));
    }
}
