//! The SDK's clients: one configuration, made once at cold start.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_config::{BehaviorVersion, ConfigLoader, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_codepipeline::config::IdentityCache;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::interceptors::context::InterceptorContext;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeSerializationInterceptorContextRef, BeforeTransmitInterceptorContextRef,
};
use aws_smithy_runtime_api::client::interceptors::{Intercept, dyn_dispatch_hint};
use aws_smithy_runtime_api::client::orchestrator::Metadata;
use aws_smithy_runtime_api::client::retries::classifiers::{ClassifyRetry, RetryAction};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use manifold_core::ids::Region;

use crate::failure::is_throttling;

/// Makes clients that share connections, retries, time-outs and the hub's credentials.
#[derive(Debug, Clone)]
pub struct Clients {
    shared: SdkConfig,
    calls: Option<CallCounter>,
}

/// The SDK's own retries: three attempts, doubling, for time-outs, 5xx and, but for calls that have a pace, throttling. The
/// SDK never retries what is
/// worth an answer of its own, such as a failed condition.
#[must_use]
pub fn retries() -> RetryConfig {
    RetryConfig::standard().with_max_attempts(3)
}

/// How long a call may take: well below the shortest time-out of a function, so that a call that hangs is reported by
/// the function rather than by its killer.
#[must_use]
pub fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(3))
        .operation_attempt_timeout(Duration::from_secs(10))
        .operation_timeout(Duration::from_secs(30))
        .build()
}

/// HTTPS by rustls on ring: no C library but ring's own, which keeps the function's package and cold start small.
#[must_use]
pub fn http_client() -> SharedHttpClient {
    aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https()
}

/// The configuration of every client before the environment is read: a test sets Region, credentials and endpoint on
/// it, and everything else is as in production.
#[must_use]
pub fn loader() -> ConfigLoader {
    aws_config::defaults(BehaviorVersion::latest())
        .http_client(http_client())
        .retry_config(retries())
        .timeout_config(timeouts())
}

/// `Builder::from(&SdkConfig)` with the counter, for one of the services.
macro_rules! config {
    ($self:ident, $service:ident) => {{
        let mut builder = $service::config::Builder::from(&$self.shared);
        if let Some(calls) = &$self.calls {
            builder = builder.interceptor(calls.clone());
        }
        builder
    }};
}

/// The same for a service in a Region, with assumed credentials; see [`Clients::codepipeline_as`].
macro_rules! assumed {
    ($self:ident, $service:ident, $region:ident, $credentials:ident) => {
        config!($self, $service)
            .region(aws_config::Region::new($region.as_str().to_owned()))
            .credentials_provider(SharedCredentialsProvider::new($credentials))
            .identity_cache(IdentityCache::no_cache())
    };
}

impl Clients {
    /// Region, credentials and endpoint from the environment, as Lambda sets it.
    pub async fn from_env() -> Self {
        Self::new(loader().load().await)
    }

    /// With a configuration that was made elsewhere, usually from [`loader`].
    #[must_use]
    pub fn new(shared: SdkConfig) -> Self {
        Self { shared, calls: None }
    }

    /// Counts the calls of every client that is made from here on.
    #[must_use]
    pub fn counting(self, calls: CallCounter) -> Self {
        Self { calls: Some(calls), ..self }
    }

    /// DynamoDB in the hub's Region.
    #[must_use]
    pub fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        aws_sdk_dynamodb::Client::from_conf(config!(self, aws_sdk_dynamodb).build())
    }

    /// SQS in the hub's Region.
    #[must_use]
    pub fn sqs(&self) -> aws_sdk_sqs::Client {
        aws_sdk_sqs::Client::from_conf(config!(self, aws_sdk_sqs).build())
    }

    /// STS in the hub's Region. Its endpoint is regional, as is the SDK's default: what a regional endpoint issues is
    /// valid in every Region that the target account has enabled, opt-in Regions included (IAM User Guide, "Manage
    /// AWS STS in an AWS Region").
    #[must_use]
    pub fn sts(&self) -> aws_sdk_sts::Client {
        let told = Told::<aws_sdk_sts::operation::assume_role::AssumeRoleError>::default();
        aws_sdk_sts::Client::from_conf(config!(self, aws_sdk_sts).retry_classifier(told).build())
    }

    /// Secrets Manager in the hub's Region.
    #[must_use]
    pub fn secrets_manager(&self) -> aws_sdk_secretsmanager::Client {
        aws_sdk_secretsmanager::Client::from_conf(config!(self, aws_sdk_secretsmanager).build())
    }

    /// Systems Manager in the hub's Region.
    #[must_use]
    pub fn ssm(&self) -> aws_sdk_ssm::Client {
        aws_sdk_ssm::Client::from_conf(config!(self, aws_sdk_ssm).build())
    }

    /// CodePipeline in a Region, with the hub's own credentials.
    #[must_use]
    pub fn codepipeline(&self, region: &Region) -> aws_sdk_codepipeline::Client {
        aws_sdk_codepipeline::Client::from_conf(
            config!(self, aws_sdk_codepipeline).region(aws_config::Region::new(region.as_str().to_owned())).build(),
        )
    }

    /// CodePipeline in the function's own Region, with the hub's own credentials.
    #[must_use]
    pub fn codepipeline_here(&self) -> aws_sdk_codepipeline::Client {
        aws_sdk_codepipeline::Client::from_conf(config!(self, aws_sdk_codepipeline).build())
    }

    /// EventBridge in the hub's Region.
    #[cfg(feature = "inspect")]
    #[must_use]
    pub fn eventbridge(&self) -> aws_sdk_eventbridge::Client {
        aws_sdk_eventbridge::Client::from_conf(config!(self, aws_sdk_eventbridge).build())
    }

    /// EventBridge in a Region, with assumed credentials; see [`Clients::codepipeline_as`].
    #[cfg(feature = "inspect")]
    #[must_use]
    pub fn eventbridge_as(&self, region: &Region, credentials: Credentials) -> aws_sdk_eventbridge::Client {
        aws_sdk_eventbridge::Client::from_conf(assumed!(self, aws_sdk_eventbridge, region, credentials).build())
    }

    /// IAM, with assumed credentials; see [`Clients::codepipeline_as`]. It knows no Region but its partition's, which
    /// the hub's Region tells.
    #[cfg(feature = "inspect")]
    #[must_use]
    pub fn iam_as(&self, credentials: Credentials) -> aws_sdk_iam::Client {
        aws_sdk_iam::Client::from_conf(
            config!(self, aws_sdk_iam)
                .credentials_provider(SharedCredentialsProvider::new(credentials))
                .identity_cache(IdentityCache::no_cache())
                .build(),
        )
    }

    /// CloudFormation in a Region, with assumed credentials; see [`Clients::codepipeline_as`].
    #[cfg(any(feature = "inspect", feature = "engines"))]
    #[must_use]
    pub fn cloudformation_as(&self, region: &Region, credentials: Credentials) -> aws_sdk_cloudformation::Client {
        aws_sdk_cloudformation::Client::from_conf(assumed!(self, aws_sdk_cloudformation, region, credentials).build())
    }

    /// CloudTrail in a Region, with assumed credentials; see [`Clients::codepipeline_as`].
    #[cfg(feature = "inspect")]
    #[must_use]
    pub fn cloudtrail_as(&self, region: &Region, credentials: Credentials) -> aws_sdk_cloudtrail::Client {
        aws_sdk_cloudtrail::Client::from_conf(assumed!(self, aws_sdk_cloudtrail, region, credentials).build())
    }

    /// CodePipeline in a Region, with assumed credentials. It shares the connections of all other clients, so that
    /// making one costs no handshake. It does not share their cache of identities, which never forgets one: sessions
    /// are kept, and replaced, by [`crate::credentials::Assumer`].
    #[must_use]
    pub fn codepipeline_as(&self, region: &Region, credentials: Credentials) -> aws_sdk_codepipeline::Client {
        use aws_sdk_codepipeline::operation::{
            list_action_executions::ListActionExecutionsError, list_pipeline_executions::ListPipelineExecutionsError,
            start_pipeline_execution::StartPipelineExecutionError, stop_pipeline_execution::StopPipelineExecutionError,
        };
        aws_sdk_codepipeline::Client::from_conf(
            assumed!(self, aws_sdk_codepipeline, region, credentials)
                .retry_classifier(Told::<StartPipelineExecutionError>::default())
                .retry_classifier(Told::<ListPipelineExecutionsError>::default())
                .retry_classifier(Told::<ListActionExecutionsError>::default())
                .retry_classifier(Told::<StopPipelineExecutionError>::default())
                .build(),
        )
    }

    /// CodeBuild in a Region, with assumed credentials; see [`Clients::codepipeline_as`].
    #[cfg(any(feature = "inspect", feature = "engines"))]
    #[must_use]
    pub fn codebuild_as(&self, region: &Region, credentials: Credentials) -> aws_sdk_codebuild::Client {
        use aws_sdk_codebuild::operation::{
            batch_get_builds::BatchGetBuildsError, list_builds_for_project::ListBuildsForProjectError,
            start_build::StartBuildError, stop_build::StopBuildError,
        };
        aws_sdk_codebuild::Client::from_conf(
            assumed!(self, aws_sdk_codebuild, region, credentials)
                .retry_classifier(Told::<StartBuildError>::default())
                .retry_classifier(Told::<ListBuildsForProjectError>::default())
                .retry_classifier(Told::<BatchGetBuildsError>::default())
                .retry_classifier(Told::<StopBuildError>::default())
                .build(),
        )
    }

    /// CloudFormation in a Region, with assumed credentials, for the calls of an engine, which have a pace; see
    /// [`Clients::codepipeline_as`].
    #[cfg(feature = "engines")]
    #[must_use]
    pub fn stacks_as(&self, region: &Region, credentials: Credentials) -> aws_sdk_cloudformation::Client {
        use aws_sdk_cloudformation::operation::{
            cancel_update_stack::CancelUpdateStackError, create_change_set::CreateChangeSetError,
            delete_change_set::DeleteChangeSetError, describe_change_set::DescribeChangeSetError,
            describe_stack_events::DescribeStackEventsError, describe_stacks::DescribeStacksError,
            execute_change_set::ExecuteChangeSetError, get_template_summary::GetTemplateSummaryError,
        };
        aws_sdk_cloudformation::Client::from_conf(
            assumed!(self, aws_sdk_cloudformation, region, credentials)
                .retry_classifier(Told::<CancelUpdateStackError>::default())
                .retry_classifier(Told::<CreateChangeSetError>::default())
                .retry_classifier(Told::<DeleteChangeSetError>::default())
                .retry_classifier(Told::<DescribeChangeSetError>::default())
                .retry_classifier(Told::<DescribeStackEventsError>::default())
                .retry_classifier(Told::<DescribeStacksError>::default())
                .retry_classifier(Told::<ExecuteChangeSetError>::default())
                .retry_classifier(Told::<GetTemplateSummaryError>::default())
                .build(),
        )
    }

    /// CodeDeploy in a Region, with assumed credentials; see [`Clients::codepipeline_as`].
    #[cfg(any(feature = "inspect", feature = "engines"))]
    #[must_use]
    pub fn codedeploy_as(&self, region: &Region, credentials: Credentials) -> aws_sdk_codedeploy::Client {
        use aws_sdk_codedeploy::operation::{
            batch_get_deployment_targets::BatchGetDeploymentTargetsError,
            batch_get_deployments::BatchGetDeploymentsError, create_deployment::CreateDeploymentError,
            get_deployment::GetDeploymentError, list_deployment_targets::ListDeploymentTargetsError,
            list_deployments::ListDeploymentsError, stop_deployment::StopDeploymentError,
        };
        aws_sdk_codedeploy::Client::from_conf(
            assumed!(self, aws_sdk_codedeploy, region, credentials)
                .retry_classifier(Told::<BatchGetDeploymentTargetsError>::default())
                .retry_classifier(Told::<BatchGetDeploymentsError>::default())
                .retry_classifier(Told::<CreateDeploymentError>::default())
                .retry_classifier(Told::<GetDeploymentError>::default())
                .retry_classifier(Told::<ListDeploymentTargetsError>::default())
                .retry_classifier(Told::<ListDeploymentsError>::default())
                .retry_classifier(Told::<StopDeploymentError>::default())
                .build(),
        )
    }

    /// S3 in a Region, with assumed credentials; see [`Clients::codepipeline_as`]. A bucket is named in the path, as a
    /// bucket's name may have dots, which no certificate covers.
    #[cfg(feature = "engines")]
    #[must_use]
    pub fn s3_as(&self, region: &Region, credentials: Credentials) -> aws_sdk_s3::Client {
        use aws_sdk_s3::operation::get_object::GetObjectError;
        aws_sdk_s3::Client::from_conf(
            assumed!(self, aws_sdk_s3, region, credentials)
                .retry_classifier(Told::<GetObjectError>::default())
                .force_path_style(true)
                .build(),
        )
    }

    /// CloudWatch in a Region, with assumed credentials; see [`Clients::codepipeline_as`].
    #[cfg(feature = "engines")]
    #[must_use]
    pub fn cloudwatch_as(&self, region: &Region, credentials: Credentials) -> aws_sdk_cloudwatch::Client {
        use aws_sdk_cloudwatch::operation::describe_alarms::DescribeAlarmsError;
        aws_sdk_cloudwatch::Client::from_conf(
            assumed!(self, aws_sdk_cloudwatch, region, credentials)
                .retry_classifier(Told::<DescribeAlarmsError>::default())
                .build(),
        )
    }
}

/// Has the SDK tell a throttled call instead of repeating it: the repetition would be one more call that is throttled, and
/// the account's pace is to know of each (`manifold_core::pace`).
struct Told<E>(PhantomData<fn() -> E>);

impl<E> Default for Told<E> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<E> fmt::Debug for Told<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Told")
    }
}

impl<E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static> ClassifyRetry for Told<E> {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let error = context.output_or_error().and_then(Result::err).and_then(|error| error.as_operation_error());
        match error.and_then(|error| error.downcast_ref::<E>()).and_then(ProvideErrorMetadata::code) {
            Some(code) if is_throttling(code) => RetryAction::RetryForbidden,
            Some(_) | None => RetryAction::NoActionIndicated,
        }
    }

    fn name(&self) -> &'static str {
        "Told"
    }
}

/// Counts calls by `service.operation`, such as `DynamoDB.PutItem`. Clones share their counts.
#[derive(Debug, Clone, Default)]
pub struct CallCounter(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    operations: BTreeMap<String, u64>,
    requests: BTreeMap<String, u64>,
}

impl CallCounter {
    /// A counter at zero.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How often each operation was called, retries not counted.
    #[must_use]
    pub fn operations(&self) -> BTreeMap<String, u64> {
        self.lock().operations.clone()
    }

    /// How many requests were sent for each operation, the SDK's retries included: this is what AWS bills and
    /// throttles.
    #[must_use]
    pub fn requests(&self) -> BTreeMap<String, u64> {
        self.lock().requests.clone()
    }

    /// Forgets all counts.
    pub fn reset(&self) {
        *self.lock() = Counts::default();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn operation(config: &ConfigBag) -> String {
    config
        .load::<Metadata>()
        .map_or_else(|| "unknown".to_owned(), |metadata| format!("{}.{}", metadata.service(), metadata.name()))
}

#[dyn_dispatch_hint]
impl Intercept for CallCounter {
    fn name(&self) -> &'static str {
        "CallCounter"
    }

    // Not `read_before_execution`: there, the operation's own configuration, and with it its name, is not there yet.
    fn read_before_serialization(
        &self,
        _context: &BeforeSerializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        *self.lock().operations.entry(operation(config)).or_default() += 1;
        Ok(())
    }

    fn read_before_transmit(
        &self,
        _context: &BeforeTransmitInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        *self.lock().requests.entry(operation(config)).or_default() += 1;
        Ok(())
    }
}
