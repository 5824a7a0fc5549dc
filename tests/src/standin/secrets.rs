//! Secrets Manager and Parameter Store, with the one secret each that the stories use.

use serde_json::{Value, json};

use super::{Answered, BOT_TOKEN, fields, ok, slack, text};

pub(super) fn secrets_manager(operation: &str, body: &Value) -> Answered {
    let body = fields(body, &["SecretId"])?;
    match (operation, text(body, "SecretId")?) {
        // With the line break that an editor leaves.
        ("GetSecretValue", name @ "manifold/slack") => {
            Ok(ok(&json!({"Name": name, "SecretString": format!("{BOT_TOKEN}\n"), "VersionId": "1"})))
        }
        (operation, name) => Err(format!("{operation} of {name}")),
    }
}

pub(super) fn parameter_store(operation: &str, body: &Value, base: &str) -> Answered {
    let body = fields(body, &["Name", "WithDecryption"])?;
    match (operation, text(body, "Name")?, body.get("WithDecryption")) {
        ("GetParameter", name @ "/manifold/webhook", Some(Value::Bool(true))) => Ok(ok(&json!({"Parameter": {
            "Name": name, "Type": "SecureString", "Version": 1, "Value": format!("{base}{}", slack::WEBHOOK),
        }}))),
        (operation, name, _) => Err(format!("{operation} of {name}")),
    }
}
