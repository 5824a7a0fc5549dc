//! A pipeline's definition as the service answers it.

use aws_sdk_codepipeline::Client;
use aws_sdk_codepipeline::types::ExecutionMode;
use manifold_core::drift::definition::Normal;
use manifold_core::drift::sight::PipelineSeen;
use manifold_core::ids::{PipelineName, TargetKey};

use super::raw::Body;
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
    let raw = body.object("/pipeline").ok_or_else(|| Failure::empty("GetPipeline answered without a definition"))?;
    let normal = Normal::of(&raw, key);
    let last = pipeline.stages.last().map(|stage| stage.name.as_str());
    let stage = deploy_stage.or(last).ok_or_else(|| Failure::empty("GetPipeline answered without stages"))?;
    let seen = PipelineSeen {
        digest: normal.digest.clone(),
        version: pipeline.version.and_then(|version| u32::try_from(version).ok()).unwrap_or(0),
        updated_at: time(output.metadata.and_then(|metadata| metadata.updated)),
        is_parallel: pipeline.execution_mode == Some(ExecutionMode::Parallel),
        deploy_stage: stage.to_owned(),
        is_released: false,
    };
    Ok((seen, normal))
}
