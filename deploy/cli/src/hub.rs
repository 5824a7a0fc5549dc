//! The hub's functions, asked directly.

use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_sdk_lambda::Client;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::InvocationType;
use manifold_aws::lambda::ERROR_TYPE;
use manifold_core::checkup::{Answer, HubTrouble, NoAnswer, Question, answer};
use serde_json::Value;

use crate::aws::{Refusal, Session};

/// Longer than a function may run, so that it is Lambda that says what became of it.
const LONGEST_ANSWER: Duration = Duration::from_secs(90);

/// The functions of one hub.
#[derive(Debug, Clone)]
pub(crate) struct Hub {
    client: Client,
    prefix: String,
}

impl Hub {
    pub(crate) fn new(session: &Session, prefix: &str) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(10))
            .operation_attempt_timeout(LONGEST_ANSWER)
            .build();
        let config = aws_sdk_lambda::config::Builder::from(&session.config).timeout_config(timeouts).build();
        Self { client: Client::from_conf(config), prefix: prefix.to_owned() }
    }

    /// The name of a function.
    pub(crate) fn name(&self, function: &str) -> String {
        format!("{}-{function}", self.prefix)
    }

    /// Asks a function.
    ///
    /// # Errors
    /// It is not there, may not be asked, or does not answer.
    pub(crate) async fn ask(&self, function: &str, question: &Question) -> Result<Answer, HubTrouble> {
        let request = self
            .client
            .invoke()
            .function_name(self.name(function))
            .invocation_type(InvocationType::RequestResponse)
            .payload(Blob::new(question.to_request().to_string()));
        let output = request.send().await.map_err(|error| trouble(&Refusal::of(&error)))?;
        let payload = output.payload.map(Blob::into_inner).unwrap_or_default();
        let response: Value = serde_json::from_slice(&payload).unwrap_or_default();
        if let Some(error) = output.function_error {
            return Err(failed(&error, &response));
        }
        answer(&response).map_err(|error| match error {
            NoAnswer::Misunderstood(message) => HubTrouble::Older { message },
            NoAnswer::Unreadable(message) => HubTrouble::Older { message },
        })
    }

    /// Looks whether a function is there and may be invoked, without invoking it ("DryRun: Validate parameter values and
    /// verify that the user or role has permission to invoke the function", Lambda API reference, `Invoke`).
    ///
    /// # Errors
    /// It is not there, or may not be invoked.
    pub(crate) async fn knock(&self, function: &str) -> Result<(), HubTrouble> {
        let request = self.client.invoke().function_name(self.name(function)).invocation_type(InvocationType::DryRun);
        request.send().await.map(|_| ()).map_err(|error| trouble(&Refusal::of(&error)))
    }
}

fn trouble(refusal: &Refusal) -> HubTrouble {
    match refusal.code.as_str() {
        "ResourceNotFoundException" => HubTrouble::NotFound,
        _ if refusal.is_denied() => HubTrouble::Denied { message: refusal.message.clone() },
        _ => HubTrouble::Unanswered { reason: refusal.to_string() },
    }
}

/// A function of this version answers every question, if only to say that it does not understand. An older one takes the
/// question for messages, and refuses.
fn failed(error: &str, response: &Value) -> HubTrouble {
    let text = |key: &str| response.get(key).and_then(Value::as_str).unwrap_or_default();
    let (kind, message) = (text("errorType"), text("errorMessage"));
    if kind == ERROR_TYPE {
        return HubTrouble::Older { message: message.to_owned() };
    }
    HubTrouble::Failed {
        message: [error, kind, message].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_older_function_is_told_from_one_that_died() {
        let refused = json!({"errorType": "manifold::InvocationFailed", "errorMessage": "there is no Records"});
        assert_eq!(failed("Unhandled", &refused), HubTrouble::Older { message: "there is no Records".to_owned() });
        let killed = json!({"errorMessage": "Task timed out after 60.00 seconds"});
        let message = "Unhandled: Task timed out after 60.00 seconds".to_owned();
        assert_eq!(failed("Unhandled", &killed), HubTrouble::Failed { message });
    }
}
