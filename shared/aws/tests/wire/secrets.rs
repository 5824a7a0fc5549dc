//! Secrets Manager and Parameter Store.

use manifold_aws::secrets::{SecretError, Secrets, SlackSigning};
use manifold_core::plan::SecretRef;
use manifold_core::time::Span;
use manifold_ports::signing::Signing;
use serde_json::json;

use crate::samples::{HandClock, token};
use crate::stub::Stub;

async fn secrets(stub: &Stub) -> (Secrets<HandClock>, HandClock) {
    let clock = HandClock::new("2026-10-26T13:00:00Z");
    (Secrets::with_clock(&stub.clients().await, clock.clone()), clock)
}

#[tokio::test]
async fn a_secret_is_read_from_its_store_and_kept_for_five_minutes() {
    let stub = Stub::start().await;
    stub.json("GetSecretValue", json!({"SecretString": "xoxb-1\n"}));
    stub.json("GetSecretValue", json!({"SecretString": "xoxb-2"}));
    stub.json("GetSecretValue", json!({"SecretString": "xoxb-3"}));
    let (secrets, clock) = secrets(&stub).await;
    let read = async || secrets.get(&token()).await.unwrap().expose().to_owned();
    assert_eq!(read().await, "xoxb-1");
    clock.advance(Span::from_seconds(299));
    assert_eq!(read().await, "xoxb-1");
    clock.advance(Span::from_seconds(1));
    assert_eq!(read().await, "xoxb-2");
    secrets.forget(&token());
    assert_eq!(read().await, "xoxb-3");
    assert_eq!(stub.asked("GetSecretValue")[0].body(), json!({"SecretId": "manifold/slack"}));
}

#[tokio::test]
async fn a_parameter_is_read_decrypted() {
    let stub = Stub::start().await;
    stub.json("GetParameter", json!({"Parameter": {"Name": "/manifold/slack", "Value": "xoxb-1"}}));
    let (secrets, _) = secrets(&stub).await;
    let secret = secrets.get(&SecretRef::Ssm("/manifold/slack".to_owned())).await.unwrap();
    assert_eq!(secret.expose(), "xoxb-1");
    assert_eq!(stub.only("GetParameter").body(), json!({"Name": "/manifold/slack", "WithDecryption": true}));
    assert!(!format!("{secret:?} {secrets:?}").contains("xoxb"));
}

#[tokio::test]
async fn a_secret_that_can_not_be_read_is_unavailable_or_refused() {
    let table = [
        (400, "ResourceNotFoundException", 1, false),
        (400, "AccessDeniedException", 1, false),
        (400, "ThrottlingException", 3, true),
        (500, "InternalServiceError", 3, true),
    ];
    for (status, code, calls, passing) in table {
        let stub = Stub::start().await;
        for _ in 0..calls {
            stub.error("GetSecretValue", status, code);
        }
        let error = secrets(&stub).await.0.get(&token()).await.unwrap_err();
        assert_eq!(matches!(error, SecretError::Unavailable(_)), passing, "{error}");
    }
    for body in [json!({"SecretBinary": "AAAA"}), json!({"SecretString": "  "})] {
        let stub = Stub::start().await;
        stub.json("GetSecretValue", body);
        let error = secrets(&stub).await.0.get(&token()).await.unwrap_err();
        assert!(matches!(error, SecretError::Refused(_)), "{error}");
    }
}

#[tokio::test]
async fn the_signing_secret_is_read_from_the_store_that_its_arn_names() {
    let stub = Stub::start().await;
    stub.json("GetSecretValue", json!({"SecretString": "8f742231\n"}));
    stub.json("GetParameter", json!({"Parameter": {"Name": "/manifold/signing", "Value": "b10e8888"}}));
    let (secrets, _) = secrets(&stub).await;
    let in_secrets_manager = "arn:aws:secretsmanager:us-east-1:111122223333:secret:manifold/signing-a1b2c3";
    let in_parameter_store = "arn:aws:ssm:us-east-1:111122223333:parameter/manifold/signing";
    let read = async |arn: &str| SlackSigning::new(secrets.clone(), arn).secret().await.unwrap().expose().to_owned();
    assert_eq!(read(in_secrets_manager).await, "8f742231");
    assert_eq!(read(in_parameter_store).await, "b10e8888");
    assert_eq!(stub.only("GetSecretValue").body(), json!({"SecretId": in_secrets_manager}));
    assert_eq!(stub.only("GetParameter").body(), json!({"Name": in_parameter_store, "WithDecryption": true}));
    stub.error("GetSecretValue", 400, "AccessDeniedException");
    let refused =
        SlackSigning::new(secrets.clone(), "arn:aws:secretsmanager:us-east-1:111122223333:secret:gone-a1b2c3");
    assert!(refused.secret().await.unwrap_err().to_string().starts_with("the signing secret can't be read: "));
}
