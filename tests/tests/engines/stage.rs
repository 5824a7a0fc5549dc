//! A target account with a session of its role.

use aws_config::retry::RetryConfig;
use aws_config::{Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};
use manifold_aws::clients;
use manifold_core::ids::TargetKey;
use manifold_core::time::{Span, Timestamp};
use manifold_ports::clock::Clock;
use manifold_tests::standin::{EXTERNAL_ID, Setting, StandIn};
use manifold_tests::wire::engines::Engines;
use serde_json::{Value, json};

pub(crate) const TARGET: &str = "444455556666";
pub(crate) const REGION: &str = "eu-west-1";
pub(crate) const SESSION: &str = "web-0f3a5b7c9d1e2f40";
pub(crate) const COMMIT: &str = "8cf40f2b1c6d4e5f8a9b0c1d2e3f4a5b6c7d8e9f";

pub(crate) struct Stage {
    pub(crate) standin: StandIn,
    config: SdkConfig,
}

pub(crate) fn place() -> TargetKey {
    TargetKey { account: TARGET.parse().unwrap(), region: REGION.parse().unwrap() }
}

/// Everything that the engines do.
pub(crate) fn everything() -> Value {
    let builds = ["StartBuild", "BatchGetBuilds", "ListBuildsForProject", "StopBuild", "BatchGetProjects"];
    let deployments = [
        "CreateDeployment",
        "ListDeployments",
        "GetDeployment",
        "BatchGetDeployments",
        "StopDeployment",
        "ListDeploymentTargets",
        "BatchGetDeploymentTargets",
        "GetDeploymentGroup",
        "GetDeploymentConfig",
        "GetApplicationRevision",
        "RegisterApplicationRevision",
    ];
    let stacks = [
        "CreateChangeSet",
        "DescribeChangeSet",
        "ExecuteChangeSet",
        "DeleteChangeSet",
        "DescribeStacks",
        "DescribeStackEvents",
        "CancelUpdateStack",
        "GetTemplateSummary",
    ];
    let actions = builds.iter().map(|name| format!("codebuild:{name}"));
    let actions = actions.chain(deployments.iter().map(|name| format!("codedeploy:{name}")));
    let actions = actions.chain(stacks.iter().map(|name| format!("cloudformation:{name}")));
    let actions: Vec<String> = actions.chain(["s3:GetObject", "iam:PassRole"].map(str::to_owned)).collect();
    json!([{"Effect": "Allow", "Action": actions, "Resource": "*"}])
}

impl Stage {
    pub(crate) async fn set() -> Self {
        Self::with(Setting::default(), everything()).await
    }

    /// A session with this policy's statements.
    pub(crate) async fn with(setting: Setting, statements: Value) -> Self {
        let standin = StandIn::start(setting).await;
        let policy = json!({"Version": "2012-10-17", "Statement": statements}).to_string();
        let assume = standin.clients().await.sts().assume_role();
        let assume = assume.role_arn(format!("arn:aws:iam::{TARGET}:role/ManifoldTarget")).role_session_name(SESSION);
        let assume = assume.external_id(EXTERNAL_ID).duration_seconds(3600).policy(policy);
        let session = assume.send().await.unwrap().credentials.unwrap();
        let token = Some(session.session_token);
        let credentials = Credentials::new(session.access_key_id, session.secret_access_key, token, None, "test");
        let config = config(&standin.url(), REGION, credentials).await;
        Self { standin, config }
    }

    pub(crate) fn codebuild(&self) -> aws_sdk_codebuild::Client {
        aws_sdk_codebuild::Client::new(&self.config)
    }

    pub(crate) fn codedeploy(&self) -> aws_sdk_codedeploy::Client {
        aws_sdk_codedeploy::Client::new(&self.config)
    }

    pub(crate) fn cloudformation(&self) -> aws_sdk_cloudformation::Client {
        aws_sdk_cloudformation::Client::new(&self.config)
    }

    pub(crate) fn engines<T>(&self, look: impl FnOnce(&mut Engines) -> T) -> T {
        self.standin.engines(look)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.standin.clock().now()
    }

    /// Lets so many seconds pass.
    pub(crate) fn pass(&self, seconds: i64) {
        self.standin.clock().skip_to(self.now().plus(Span::from_seconds(seconds)));
    }

    /// Lets time pass until nothing happens by itself any more, and takes the events of it all.
    pub(crate) fn settle(&self) -> Vec<Value> {
        let mut events = Vec::new();
        loop {
            events.extend(self.standin.take_events());
            let Some(next) = self.standin.next_change() else { return events_of(events) };
            self.standin.clock().skip_to(next);
        }
    }
}

fn events_of(emitted: Vec<manifold_tests::standin::Emitted>) -> Vec<Value> {
    emitted.iter().map(|event| serde_json::from_str(&event.body).unwrap()).collect()
}

/// The SDK as the functions have it, but that nothing is tried again.
pub(crate) async fn config(url: &str, region: &str, credentials: Credentials) -> SdkConfig {
    clients::loader()
        .region(Region::new(region.to_owned()))
        .credentials_provider(credentials)
        .endpoint_url(url)
        .retry_config(RetryConfig::disabled())
        .load()
        .await
}

/// The code and the message of an error.
pub(crate) fn refused<T: std::fmt::Debug, E: ProvideErrorMetadata + std::fmt::Debug, R: std::fmt::Debug>(
    answered: Result<T, SdkError<E, R>>,
) -> (String, String) {
    let error = answered.unwrap_err();
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    (text(error.code()), text(error.message()))
}

/// Its code only.
pub(crate) fn code<T: std::fmt::Debug, E: ProvideErrorMetadata + std::fmt::Debug, R: std::fmt::Debug>(
    answered: Result<T, SdkError<E, R>>,
) -> String {
    refused(answered).0
}
