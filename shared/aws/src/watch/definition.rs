//! A pipeline's definition as the service answers it: the raw JSON, so that what this version of the SDK does not know is
//! compared, too.

use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_codepipeline::Client;
use aws_sdk_codepipeline::types::ExecutionMode;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::AfterDeserializationInterceptorContextRef;
use aws_smithy_runtime_api::client::interceptors::{Intercept, dyn_dispatch_hint};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use manifold_core::drift::definition::Normal;
use manifold_core::drift::sight::PipelineSeen;
use manifold_core::ids::{PipelineName, TargetKey};
use serde_json::Value;

use super::time;
use crate::failure::Failure;

/// The pipeline, and its definition. `deploy_stage` is the one that is configured; else it is the last.
pub(super) async fn read(
    client: Client,
    name: &PipelineName,
    key: &TargetKey,
    deploy_stage: Option<&str>,
) -> Result<(PipelineSeen, Normal), Failure> {
    let body = Body::default();
    let request = client.get_pipeline().name(name.as_str()).customize().interceptor(body.clone());
    let output = request.send().await.map_err(|error| Failure::of(&error))?;
    let pipeline = output.pipeline.ok_or_else(|| Failure::empty("GetPipeline answered without a pipeline"))?;
    let raw = body.json().ok_or_else(|| Failure::empty("GetPipeline answered without a definition"))?;
    let normal = Normal::of(&raw, key);
    let last = pipeline.stages.last().map(|stage| stage.name.as_str());
    let stage = deploy_stage.or(last).ok_or_else(|| Failure::empty("GetPipeline answered without stages"))?;
    let seen = PipelineSeen {
        digest: normal.digest.clone(),
        version: pipeline.version.and_then(|version| u32::try_from(version).ok()).unwrap_or(0),
        updated_at: time(output.metadata.and_then(|metadata| metadata.updated)),
        is_parallel: pipeline.execution_mode == Some(ExecutionMode::Parallel),
        deploy_stage: stage.to_owned(),
    };
    Ok((seen, normal))
}

/// Keeps the body of the last answer.
#[derive(Debug, Clone, Default)]
struct Body(Arc<Mutex<Vec<u8>>>);

impl Body {
    /// The definition in it.
    fn json(&self) -> Option<Value> {
        let body = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut answer: Value = serde_json::from_slice(&body).ok()?;
        Some(answer.get_mut("pipeline")?.take()).filter(Value::is_object)
    }
}

#[dyn_dispatch_hint]
impl Intercept for Body {
    fn name(&self) -> &'static str {
        "Body"
    }

    // Not before: until then the body is a stream that nobody has read.
    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let body = context.response().body().bytes().map(<[u8]>::to_vec).unwrap_or_default();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = body;
        Ok(())
    }
}
