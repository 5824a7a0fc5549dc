//! The emulator: requests are passed on to it as they are, and it is asked who somebody is and what IAM allows.

use std::time::Duration;

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_sdk_iam::types::PolicyEvaluationDecisionType;
use aws_sdk_sts::error::{DisplayErrorContext, ProvideErrorMetadata};
use axum::body::{Body, Bytes};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, header};
use axum::response::Response;
use manifold_aws::clients;

use crate::wire::engines::Need;

/// Headers that are about one connection only (RFC 9110, "Connection"), or that follow from the body.
const OF_THE_CONNECTION: [HeaderName; 6] = [
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::TE,
    header::TRAILER,
    header::CONTENT_LENGTH,
];

/// How long a connection is kept that nobody uses. The emulator closes one after 75 s (`keep_alive_timeout`), and a request
/// that meets the closing gets no answer: reqwest's own 90 s let that happen.
const IDLE: Duration = Duration::from_secs(20);

/// What IAM says (`EvaluationResult`, `EvalDecision`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    Allowed,
    /// Nothing allows it.
    NotAllowed,
    /// Something denies it.
    Denied,
}

#[derive(Debug)]
pub(super) struct Upstream {
    base: String,
    http: reqwest::Client,
    shared: aws_config::SdkConfig,
}

impl Upstream {
    pub(super) fn new(base: &str) -> Self {
        // Whoever was first wins, and every provider in this workspace is ring.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .pool_idle_timeout(IDLE)
            .build()
            .expect("a client without special wishes");
        let shared = aws_config::SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(clients::http_client())
            .retry_config(clients::retries())
            .timeout_config(clients::timeouts())
            .region(Region::new("us-east-1"))
            .endpoint_url(base)
            .build();
        Self { base: base.trim_end_matches('/').to_owned(), http, shared }
    }

    /// Passes a request on, and returns the answer and its body once more. Everything but the connection stays as it
    /// is: the signature covers the host and the body.
    pub(super) async fn forward(&self, parts: &Parts, body: Bytes) -> Result<(Response, Bytes), String> {
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let request = self
            .http
            .request(parts.method.clone(), format!("{}{path}", self.base))
            .headers(of_the_message(&parts.headers))
            .body(body);
        let failed = |error: reqwest::Error| format!("the emulator did not answer: {error:?}");
        let answer = request.send().await.map_err(failed)?;
        let (status, headers) = (answer.status(), of_the_message(answer.headers()));
        let body = answer.bytes().await.map_err(failed)?;
        let mut response = Response::new(Body::from(body.clone()));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Ok((response, body))
    }

    fn config(&self, key: &str) -> aws_config::SdkConfig {
        let credentials = Credentials::new(key, "test", None, None, "front");
        let provider = aws_credential_types::provider::SharedCredentialsProvider::new(credentials);
        self.shared.clone().into_builder().credentials_provider(provider).build()
    }

    /// The account of an access key (`GetAccessKeyInfo`). `None` for a key that is nobody's.
    pub(super) async fn account_of(&self, key: &str) -> Result<Option<String>, String> {
        let client = aws_sdk_sts::Client::new(&self.config("test"));
        match client.get_access_key_info().access_key_id(key).send().await {
            Ok(info) => Ok(info.account.filter(|account| spelled_in(key).as_ref() != Some(account))),
            Err(error) if error.code() == Some("ValidationError") => Ok(None),
            Err(error) => Err(DisplayErrorContext(&error).to_string()),
        }
    }

    /// Whether the policies of a role allow it (`SimulatePrincipalPolicy`).
    pub(super) async fn role_allows(&self, account: &str, role_arn: &str, need: &Need) -> Result<Decision, String> {
        // The emulator finds a role by its name, and takes a path for a part of it.
        let name = role_arn.rsplit('/').next().unwrap_or_default();
        let simulated = aws_sdk_iam::Client::new(&self.config(account))
            .simulate_principal_policy()
            .policy_source_arn(format!("arn:aws:iam::{account}:role/{name}"))
            .action_names(&need.action)
            .resource_arns(&need.resource)
            .send()
            .await
            .map_err(|error| DisplayErrorContext(&error).to_string())?;
        decision(simulated.evaluation_results())
    }

    /// Whether a policy allows it by itself (`SimulateCustomPolicy`).
    pub(super) async fn policy_allows(&self, account: &str, policy: &str, need: &Need) -> Result<Decision, String> {
        let simulated = aws_sdk_iam::Client::new(&self.config(account))
            .simulate_custom_policy()
            .policy_input_list(policy)
            .action_names(&need.action)
            .resource_arns(&need.resource)
            .send()
            .await
            .map_err(|error| DisplayErrorContext(&error).to_string())?;
        decision(simulated.evaluation_results())
    }
}

/// The account that AWS spells into the ids of its keys: 40 of the bits behind `ASIA`, in base 32. `GetAccessKeyInfo` reads
/// it from any id, whether there is such a key or not. The emulator does not spell its own keys that way, so that an
/// account that it only read is nobody's.
fn spelled_in(key: &str) -> Option<String> {
    let bits = key.get(4..14)?.bytes().fold(0_u64, |bits, byte| {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'2'..=b'7' => byte - b'2' + 26,
            _ => 0,
        };
        bits << 5 | u64::from(digit)
    });
    Some(format!("{:012}", (bits >> 9) & ((1 << 40) - 1)))
}

fn decision(results: &[aws_sdk_iam::types::EvaluationResult]) -> Result<Decision, String> {
    match results.first().map(|result| &result.eval_decision) {
        Some(PolicyEvaluationDecisionType::Allowed) => Ok(Decision::Allowed),
        Some(PolicyEvaluationDecisionType::ImplicitDeny) => Ok(Decision::NotAllowed),
        Some(PolicyEvaluationDecisionType::ExplicitDeny) => Ok(Decision::Denied),
        other => Err(format!("the emulator's IAM decides nothing: {other:?}")),
    }
}

fn of_the_message(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    for name in &OF_THE_CONNECTION {
        headers.remove(name);
    }
    headers
}
