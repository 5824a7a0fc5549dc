//! What became of a release pipeline's job, told to CodePipeline in the Region of the function ("call the API in the Lambda's
//! Region": CodePipeline User Guide, "Invoke an AWS Lambda function in a pipeline").

use aws_sdk_codepipeline::types::{ExecutionDetails, FailureDetails, FailureType};
use manifold_core::invoke::{Progress, Told};
use manifold_ports::jobs::Jobs;
use manifold_ports::releases::ReleaseError;

use crate::failure::Failure;
use crate::releases::{CodePipelineReleases, failed};

/// The job ended, or an earlier answer has landed.
const OVER: [&str; 2] = ["InvalidJobStateException", "JobNotFoundException"];

impl Jobs for CodePipelineReleases {
    async fn tell(&self, job: &str, told: &Told) -> Result<(), ReleaseError> {
        let client = self.clients.codepipeline_here();
        let answered = match told {
            Told::GoesOn { token, progress } => {
                let success = client.put_job_success_result().job_id(job).continuation_token(token);
                let sent = success.execution_details(details(progress)).send();
                Box::pin(sent).await.map(|_| ()).map_err(|error| Failure::of(&error))
            }
            Told::Succeeded { progress } => {
                let sent = client.put_job_success_result().job_id(job).execution_details(details(progress)).send();
                Box::pin(sent).await.map(|_| ()).map_err(|error| Failure::of(&error))
            }
            Told::Failed { message, run, is_misconfigured } => {
                let kind = if *is_misconfigured { FailureType::ConfigurationError } else { FailureType::JobFailed };
                let details = FailureDetails::builder()
                    .r#type(kind)
                    .message(message)
                    .set_external_execution_id(run.as_ref().map(ToString::to_string))
                    .build()
                    .map_err(|error| ReleaseError::Refused(error.to_string()))?;
                let sent = client.put_job_failure_result().job_id(job).failure_details(details).send();
                Box::pin(sent).await.map(|_| ()).map_err(|error| Failure::of(&error))
            }
        };
        match answered {
            Err(failure) if OVER.contains(&failure.code.as_str()) => {
                tracing::info!(job, code = failure.code, "the job was told of already");
                Ok(())
            }
            answered => answered.map_err(|failure| failed(&failure)),
        }
    }
}

fn details(progress: &Progress) -> ExecutionDetails {
    ExecutionDetails::builder()
        .summary(&progress.summary)
        .set_external_execution_id(progress.run.as_ref().map(ToString::to_string))
        .percent_complete(i32::from(progress.percent))
        .build()
}
