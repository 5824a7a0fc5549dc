//! What every function's `main.rs` has in common: set up once, then answer event after event.

use std::time::Duration;

use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use manifold_core::checkup::{self, Answer, Misunderstood, Question};
use manifold_core::time::{Span, Timestamp};
use serde_json::Value;
use tracing::Instrument;

use crate::telemetry::{self, chain};

pub use lambda_runtime::Error;

/// The `errorType` of an invocation that failed, for alarms and filters.
pub const ERROR_TYPE: &str = "manifold::InvocationFailed";

/// Sets the log up, calls `init` once at cold start, and answers every event with what it returned: a function of the
/// event and of the time at which Lambda ends the invocation.
///
/// ```no_run
/// # use manifold_aws::{clients::Clients, lambda};
/// #[tokio::main]
/// async fn main() -> Result<(), lambda::Error> {
///     lambda::serve(async || {
///         let clients = Clients::from_env().await;
///         Ok(async move |event: serde_json::Value, _deadline| {
///             let _ = clients.sqs();
///             Ok(event)
///         })
///     })
///     .await
/// }
/// ```
///
/// # Errors
/// The log or the function can't be set up; Lambda then starts another instance. An invocation that fails is logged
/// here, once, with its whole chain, and reported to Lambda as [`ERROR_TYPE`].
pub async fn serve<Init, Handler>(init: Init) -> Result<(), Error>
where
    Init: AsyncFnOnce() -> Result<Handler, Error>,
    Handler: AsyncFn(Value, Timestamp) -> Result<Value, Error>,
{
    telemetry::init()?;
    // Boxed, here and below: the futures of a whole function nest deeper than the compiler computes by default.
    let handler = match Box::pin(init()).await {
        Ok(handler) => handler,
        Err(error) => {
            tracing::error!(error = chain(error.as_ref()), "failed to initialise");
            return Err(error);
        }
    };
    Box::pin(run(handler)).await
}

/// Answers event after event. The part of [`serve`] after its set-up.
///
/// # Errors
/// The Lambda runtime API is not reached.
pub async fn run<Handler>(handler: Handler) -> Result<(), Error>
where
    Handler: AsyncFn(Value, Timestamp) -> Result<Value, Error>,
{
    let handler = &handler;
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Value>| {
        let deadline = Timestamp::from_millis(i64::try_from(event.context.deadline).unwrap_or(i64::MAX));
        let answer = async {
            Box::pin(handler(event.payload, deadline)).await.map_err(|error| {
                let words = chain(error.as_ref());
                tracing::error!(error = words, "the invocation failed");
                Diagnostic { error_type: ERROR_TYPE.to_owned(), error_message: words }
            })
        };
        answer.instrument(tracing::info_span!("invocation", request = %event.context.request_id)).await
    }))
    .await
}

/// Hands the input on: to `look` if it is a checkup's question, else to `work`: a batch of messages, a schedule's tick, or a
/// request to a function URL, whose event has no field that a question has, whatever the request says.
///
/// # Errors
/// `work` failed. A question that is not understood is an answer, too: whoever asks is to see why.
pub async fn either(
    input: &Value,
    look: impl AsyncFnOnce(Question) -> Result<Answer, Misunderstood>,
    work: impl AsyncFnOnce(&Value) -> Result<Value, Error>,
) -> Result<Value, Error> {
    let Some(asked) = checkup::asked(input) else { return work(input).await };
    let done = match asked {
        Ok(question) => look(question).await,
        Err(misunderstood) => Err(misunderstood),
    };
    match &done {
        Ok(_) => tracing::info!("answered a checkup"),
        Err(misunderstood) => tracing::warn!(%misunderstood, "a checkup was not understood"),
    }
    Ok(checkup::to_response(done))
}

/// A handler's answer as Lambda takes it.
///
/// # Errors
/// The handler failed, or its answer can't be written as JSON.
pub fn answer<T, E>(done: Result<T, E>) -> Result<Value, Error>
where
    T: serde::Serialize,
    E: std::error::Error + Send + Sync + 'static,
{
    Ok(serde_json::to_value(done?)?)
}

/// Ends after a while. For work that is answered by then, done or not.
pub async fn after(span: Span) {
    let span = Duration::from_millis(u64::try_from(span.as_millis()).unwrap_or(0));
    let _elapsed = tokio::time::timeout(span, std::future::pending::<()>()).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    async fn route(input: Value) -> Result<Value, Error> {
        let look = async |_| Ok(Answer::Fleet { digest: "d".to_owned() });
        either(&input, look, async |_| Ok(json!("worked"))).await
    }

    #[tokio::test]
    async fn a_question_is_looked_at_and_everything_else_is_work() {
        let asked = route(Question::Fleet.to_request()).await.unwrap();
        assert_eq!(checkup::answer(&asked), Ok(Answer::Fleet { digest: "d".to_owned() }));
        assert_eq!(route(json!({"Records": []})).await.unwrap(), "worked");
        assert_eq!(route(json!({"manifold": "Records"})).await.unwrap()["manifold"]["schema"], 1);
    }

    #[tokio::test]
    async fn a_request_to_a_function_url_is_work_whatever_it_says() {
        let body = Question::Fleet.to_request().to_string();
        let request =
            json!({"version": "2.0", "headers": {"manifold": "fleet"}, "body": body, "isBase64Encoded": false});
        assert_eq!(route(request).await.unwrap(), "worked");
    }

    #[tokio::test]
    async fn after_a_while_it_ends_and_not_before() {
        after(Span::from_millis(0)).await;
        assert!(futures::poll!(Box::pin(after(Span::from_minutes(60)))).is_pending());
    }

    #[tokio::test]
    async fn a_question_that_is_not_understood_is_answered_and_not_worked_on() {
        let answer = route(json!({"manifold": {"schema": 99, "checkup": "fleet"}})).await.unwrap();
        let why = answer["manifold"]["misunderstood"].as_str().unwrap();
        assert!(why.starts_with("questions of schema 99 are not known here"), "{why}");
    }
}
