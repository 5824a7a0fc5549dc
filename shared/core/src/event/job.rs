//! A CodePipeline action that invokes a Lambda function (CodePipeline User Guide, "Invoke an AWS Lambda function in
//! a pipeline").
//!
//! **Invariant:** a job's event carries live credentials. They are never read, so no value here can leak them, and an
//! error about a job quotes nothing of it.

use std::fmt;

use serde_json::Value;

use super::error::DecodeError;
use super::fields::Fields;
use crate::ids::AccountId;

/// The only key of a job's event.
pub(super) const JOB_KEY: &str = "CodePipeline.job";

/// A job that CodePipeline waits for until its success or failure is put. The event does not say which pipeline or
/// execution it belongs to; the action's user parameters have to.
#[derive(Clone, PartialEq, Eq)]
pub struct Job {
    /// What the result is put under.
    pub id: String,
    /// The pipeline's account.
    pub account: AccountId,
    /// The action's `UserParameters`, as configured, with variables replaced.
    pub user_parameters: Option<String>,
    /// What the previous invocation for the same action handed over.
    pub continuation_token: Option<String>,
}

impl fmt::Debug for Job {
    /// Shows which job it is. What the user configured may hold a secret, so only its length is shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = |text: &Option<String>| text.as_ref().map(String::len);
        f.debug_struct("Job")
            .field("id", &self.id)
            .field("account", &self.account)
            .field("user_parameters_bytes", &length(&self.user_parameters))
            .field("continuation_token_bytes", &length(&self.continuation_token))
            .finish()
    }
}

impl Job {
    pub(super) fn decode(input: &Fields<'_>) -> Result<Self, DecodeError> {
        Self::decode_quoting(input).map_err(DecodeError::without_value)
    }

    fn decode_quoting(input: &Fields<'_>) -> Result<Self, DecodeError> {
        let job = input.object(JOB_KEY)?;
        let data = job.object_opt("data");
        let configured = data
            .as_ref()
            .and_then(|data| data.object_opt("actionConfiguration"))
            .and_then(|action| action.object_opt("configuration"));
        Ok(Self {
            id: job.required_text("id", 128, "a job id of at most 128 characters")?,
            account: job.id("accountId", AccountId::EXPECTED)?,
            user_parameters: configured.and_then(|configured| whole_text(configured.get("UserParameters")?)),
            continuation_token: data.and_then(|data| whole_text(data.get("continuationToken")?)),
        })
    }
}

/// A text as it is. Anything else becomes its JSON, because people who invoke the function by hand forget the quotes.
fn whole_text(value: &Value) -> Option<String> {
    Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn decode(value: &Value) -> Result<Job, DecodeError> {
        Job::decode(&Fields::of(value, String::new()).unwrap())
    }

    #[test]
    fn a_broken_job_says_which_field_and_quotes_nothing() {
        let error = decode(&json!({ "CodePipeline.job": { "id": "1", "accountId": "hunter2" } })).unwrap_err();
        assert_eq!(
            error.to_string(),
            "CodePipeline.job.accountId is unusable (its value is withheld), expected a 12-digit AWS account id"
        );
        let error = decode(&json!({ "CodePipeline.job": { "accountId": "111122223333" } })).unwrap_err();
        assert_eq!(error.to_string(), "CodePipeline.job.id is missing, expected a job id of at most 128 characters");
    }

    #[test]
    fn user_parameters_without_their_quotes_are_kept_as_json() {
        let job = decode(&json!({ "CodePipeline.job": { "id": "1", "accountId": "111122223333", "data": {
            "actionConfiguration": { "configuration": { "UserParameters": { "wave": 1 } } } } } }));
        assert_eq!(job.unwrap().user_parameters.as_deref(), Some("{\"wave\":1}"));
    }
}
