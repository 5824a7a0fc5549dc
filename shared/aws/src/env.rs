//! Every environment variable that the functions read, in one place.
//!
//! Nothing is read before it is asked for, and a missing one is an error that says what it is for. The SDK reads its
//! own: `AWS_REGION` and the credentials, which Lambda sets, and `AWS_ENDPOINT_URL`, which sends every call to a
//! local AWS.

use std::ffi::OsString;
use std::path::PathBuf;

use manifold_core::message::Queue;

/// An environment variable: its name, and what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// What it holds, as a noun phrase.
    pub holds: &'static str,
}

/// The ledger's table.
pub const TABLE: Variable = Variable { name: "MANIFOLD_TABLE", holds: "the name of the ledger's DynamoDB table" };
/// The queue that `dispatch` reads.
pub const DISPATCH_QUEUE_URL: Variable = Variable {
    name: "MANIFOLD_DISPATCH_QUEUE_URL",
    holds: "the URL of the SQS queue that the dispatch function reads",
};
/// The queue that `deploy` reads.
pub const DEPLOY_QUEUE_URL: Variable =
    Variable { name: "MANIFOLD_DEPLOY_QUEUE_URL", holds: "the URL of the SQS queue that the deploy function reads" };
/// The queue that `collect` reads.
pub const COLLECT_QUEUE_URL: Variable =
    Variable { name: "MANIFOLD_COLLECT_QUEUE_URL", holds: "the URL of the SQS queue that the collect function reads" };
/// The queue that `summarize` reads.
pub const SUMMARIZE_QUEUE_URL: Variable = Variable {
    name: "MANIFOLD_SUMMARIZE_QUEUE_URL",
    holds: "the URL of the SQS queue that the summarize function reads",
};
/// The queue that `inspect` reads.
pub const INSPECT_QUEUE_URL: Variable =
    Variable { name: "MANIFOLD_INSPECT_QUEUE_URL", holds: "the URL of the SQS queue that the inspect function reads" };
/// The fleet file; `fleet.yaml` beside the function when it is not set.
pub const FLEET: Variable =
    Variable { name: "MANIFOLD_FLEET", holds: "the path of the fleet file, relative to the function's package" };
/// The role that `inspect` assumes in member accounts.
pub const INSPECT_ROLE: Variable =
    Variable { name: "MANIFOLD_INSPECT_ROLE", holds: "the read-only role in member accounts, as name or path/name" };
/// Slack's signing secret.
pub const SIGNING_SECRET: Variable = Variable {
    name: "MANIFOLD_SIGNING_SECRET",
    holds: "the ARN of the secret or parameter that holds the Slack app's signing secret",
};
/// The log level; `info` when it is not set.
pub const LOG: Variable = Variable { name: "MANIFOLD_LOG", holds: "the log level: error, warn, info, debug or trace" };
/// Slack's Web API; [`crate::slack::WEB_API`] when it is not set.
pub const SLACK_URL: Variable =
    Variable { name: "MANIFOLD_SLACK_URL", holds: "the base URL of Slack's Web API, for tests" };
/// Where Lambda unpacks the function's package. Lambda sets it.
pub const PACKAGE: Variable =
    Variable { name: "LAMBDA_TASK_ROOT", holds: "the directory of the function's package, set by Lambda" };
/// The function's own name. Lambda sets it.
pub const FUNCTION: Variable =
    Variable { name: "AWS_LAMBDA_FUNCTION_NAME", holds: "the function's name, set by Lambda" };

/// All of them.
pub const ALL: [Variable; 13] = [
    TABLE,
    DISPATCH_QUEUE_URL,
    DEPLOY_QUEUE_URL,
    COLLECT_QUEUE_URL,
    SUMMARIZE_QUEUE_URL,
    INSPECT_QUEUE_URL,
    FLEET,
    INSPECT_ROLE,
    SIGNING_SECRET,
    LOG,
    SLACK_URL,
    PACKAGE,
    FUNCTION,
];

/// Why a variable could not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvError {
    /// It is not set, or empty.
    #[error("environment variable {name} is not set: it holds {holds}")]
    Missing {
        /// Its name.
        name: &'static str,
        /// What it holds.
        holds: &'static str,
    },
    /// It is set to what can't be one.
    #[error("environment variable {name} is not {holds}")]
    Invalid {
        /// Its name.
        name: &'static str,
        /// What it holds.
        holds: &'static str,
    },
}

impl Variable {
    /// The value, if there is one. Empty counts as not set: that is what a template's empty parameter leaves.
    ///
    /// # Errors
    /// It is not Unicode.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    pub fn optional(self) -> Result<Option<String>, EnvError> {
        self.check(std::env::var_os(self.name))
    }

    /// The value.
    ///
    /// # Errors
    /// It is not set, empty, or not Unicode.
    pub fn required(self) -> Result<String, EnvError> {
        self.optional()?.ok_or(EnvError::Missing { name: self.name, holds: self.holds })
    }

    /// The error of a value that is not what the variable holds.
    #[must_use]
    pub const fn invalid(self) -> EnvError {
        EnvError::Invalid { name: self.name, holds: self.holds }
    }

    fn check(self, value: Option<OsString>) -> Result<Option<String>, EnvError> {
        match value {
            None => Ok(None),
            Some(value) if value.is_empty() => Ok(None),
            Some(value) => value.into_string().map(Some).map_err(|_| self.invalid()),
        }
    }
}

/// The variable that holds a queue's URL.
#[must_use]
pub const fn queue_url(queue: Queue) -> Variable {
    match queue {
        Queue::Dispatch => DISPATCH_QUEUE_URL,
        Queue::Deploy => DEPLOY_QUEUE_URL,
        Queue::Collect => COLLECT_QUEUE_URL,
        Queue::Summarize => SUMMARIZE_QUEUE_URL,
        Queue::Inspect => INSPECT_QUEUE_URL,
    }
}

/// Where the fleet file is: [`FLEET`], or `fleet.yaml`, in the function's package or else beside the binary.
///
/// # Errors
/// A variable is not Unicode, or the binary's own path is not known.
pub fn fleet_path() -> Result<PathBuf, EnvError> {
    let file = PathBuf::from(FLEET.optional()?.unwrap_or_else(|| "fleet.yaml".to_owned()));
    if file.is_absolute() {
        return Ok(file);
    }
    let package = match PACKAGE.optional()? {
        Some(package) => PathBuf::from(package),
        None => std::env::current_exe()
            .ok()
            .and_then(|binary| binary.parent().map(PathBuf::from))
            .ok_or_else(|| PACKAGE.invalid())?,
    };
    Ok(package.join(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_variable_is_named_with_what_it_is_for() {
        let missing = Variable { name: "MANIFOLD_NOBODY_SETS_THIS", ..TABLE };
        assert_eq!(
            missing.required().unwrap_err().to_string(),
            "environment variable MANIFOLD_NOBODY_SETS_THIS is not set: it holds the name of the ledger's DynamoDB table"
        );
        assert_eq!(missing.optional(), Ok(None));
    }

    #[test]
    fn an_empty_variable_counts_as_not_set() {
        assert_eq!(TABLE.check(Some(OsString::new())), Ok(None));
        assert_eq!(TABLE.check(Some("manifold".into())), Ok(Some("manifold".to_owned())));
    }

    #[test]
    fn every_queue_has_its_own_variable_and_no_name_is_used_twice() {
        let names: std::collections::BTreeSet<_> = ALL.iter().map(|variable| variable.name).collect();
        assert_eq!(names.len(), ALL.len());
        for queue in Queue::ALL {
            assert!(names.contains(queue_url(queue).name));
        }
    }

    #[test]
    fn the_fleet_file_is_looked_for_beside_the_binary_when_there_is_no_package() {
        let path = fleet_path().unwrap();
        assert!(path.is_absolute() && path.ends_with("fleet.yaml"), "{}", path.display());
    }
}
