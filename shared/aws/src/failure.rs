//! What went wrong in a call to AWS, reduced to what a caller can act on.

use std::error::Error;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use manifold_core::run::{Reason, ReasonSource};

/// A failed call, after the SDK's own retries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// What kind it is.
    pub(crate) kind: Kind,
    /// The service's error code, without a namespace; empty when the service did not answer.
    pub(crate) code: String,
    /// In the service's words. It holds no secret: neither requests nor credentials are part of it.
    pub(crate) message: String,
}

/// What a caller can act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The service asks to slow down; nothing was done.
    Throttled,
    /// It did not answer, or with an error of its own: it is not known whether anything was done.
    Unreached,
    /// It refused this request, for the reason in the code.
    Refused,
}

/// The codes by which services throttle, as the SDK's own retry classifier lists them (`aws-runtime`), less
/// `LimitExceededException`, which in some services means a quota of things rather than of calls.
const THROTTLING: [&str; 14] = [
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottled",
    "RequestThrottledException",
    "TooManyRequestsException",
    "ProvisionedThroughputExceededException",
    "TransactionInProgressException",
    "RequestLimitExceeded",
    "BandwidthLimitExceeded",
    "SlowDown",
    "PriorRequestNotComplete",
    "ThrottlingError",
    "ProvisionedThroughputExceeded",
];

/// Codes that stand for an error of the service whatever the HTTP status is ("Common Errors" of every AWS API
/// reference).
const INTERNAL: [&str; 8] = [
    "InternalError",
    "InternalFailure",
    "InternalServerError",
    "InternalServiceError",
    "RequestTimeout",
    "RequestTimeoutException",
    "ServiceUnavailable",
    "ServiceUnavailableException",
];

/// Whether a code asks to slow down.
pub(crate) fn is_throttling(code: &str) -> bool {
    THROTTLING.contains(&code)
}

impl Failure {
    pub(crate) fn of<E>(error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        match error {
            SdkError::ServiceError(service) => {
                let status = service.raw().status().as_u16();
                let code = service.err().code().unwrap_or_default();
                let message = service.err().message().map_or_else(|| format!("HTTP {status}"), str::to_owned);
                Self { kind: Kind::of(status, code), code: code.to_owned(), message }
            }
            SdkError::ConstructionFailure(_) => Self::silent(Kind::Refused, error),
            // An answer that is none of the service's, such as a proxy's page.
            SdkError::ResponseError(response) => {
                let Self { kind, code, message } = Self::silent(Kind::Unreached, error);
                Self { kind, code, message: format!("HTTP {}: {message}", response.raw().status().as_u16()) }
            }
            SdkError::TimeoutError(_) | SdkError::DispatchFailure(_) => Self::silent(Kind::Unreached, error),
            _ => Self::silent(Kind::Unreached, error),
        }
    }

    /// An answer that lacks what it always has.
    #[cfg(any(feature = "inspect", feature = "engines"))]
    pub(crate) fn empty(message: &str) -> Self {
        Self { kind: Kind::Unreached, code: String::new(), message: message.to_owned() }
    }

    /// A failure without an answer of the service: the SDK's words are all there is.
    fn silent(kind: Kind, error: &(dyn Error + 'static)) -> Self {
        Self { kind, code: String::new(), message: crate::telemetry::chain(error) }
    }

    /// Whether the same call may go through later.
    pub(crate) fn is_passing(&self) -> bool {
        match self.kind {
            Kind::Throttled | Kind::Unreached => true,
            Kind::Refused => self.is_expired(),
        }
    }

    /// Whether the credentials have run out: the same call goes through with new ones.
    pub(crate) fn is_expired(&self) -> bool {
        matches!(self.code.as_str(), "ExpiredToken" | "ExpiredTokenException" | "RequestExpired")
    }

    /// Why an attempt was not started: a cause to group by, and the service's words.
    pub(crate) fn reason(&self, cause: String) -> Reason {
        Reason { cause, detail: Some(self.message.clone()), link: None, source: ReasonSource::Manifold, attempt: 0 }
    }

    /// Code and message in one line.
    pub(crate) fn words(&self) -> String {
        if self.code.is_empty() { self.message.clone() } else { format!("{}: {}", self.code, self.message) }
    }
}

impl Kind {
    fn of(status: u16, code: &str) -> Self {
        if status == 429 || is_throttling(code) {
            Self::Throttled
        } else if status >= 500 || INTERNAL.contains(&code) {
            Self::Unreached
        } else {
            Self::Refused
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_goes_before_the_http_status() {
        let table = [
            (400, "ThrottlingException", Kind::Throttled),
            (503, "SlowDown", Kind::Throttled),
            (429, "", Kind::Throttled),
            (500, "InternalServerError", Kind::Unreached),
            (400, "InternalFailure", Kind::Unreached),
            (502, "", Kind::Unreached),
            (400, "ValidationException", Kind::Refused),
            (403, "AccessDenied", Kind::Refused),
            (400, "LimitExceededException", Kind::Refused),
        ];
        for (status, code, kind) in table {
            assert_eq!(Kind::of(status, code), kind, "{status} {code}");
        }
    }
}
