//! The states that the engines report, each kept as text so that one that is new to us is shown, not lost.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Declares an open set of states: the known ones by name, any other as it was spelled.
macro_rules! states {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        ///
        /// It is stored and shown as the text that the event carries; a text that is not known survives unchanged.
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(from = "String", into = "String")]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
            /// A state that this version does not know, as the event spells it. Read states with `From`, so that a
            /// known one never ends here.
            Unknown(String),
        }

        impl $name {
            /// The event's spelling.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)+
                    Self::Unknown(text) => text,
                }
            }
        }

        impl From<&str> for $name {
            /// Reads the event's spelling, and `CANCELLED` as well as `CANCELED`: AWS writes both.
            fn from(text: &str) -> Self {
                match if text == "CANCELLED" { "CANCELED" } else { text } {
                    $($text => Self::$variant,)+
                    other => Self::Unknown(other.to_owned()),
                }
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self::from(text.as_str())
            }
        }

        impl From<$name> for String {
            fn from(state: $name) -> Self {
                state.as_str().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

states! {
    /// The state of a pipeline execution (CodePipeline User Guide, "Monitoring CodePipeline events").
    PipelineState {
        /// It runs.
        Started = "STARTED",
        /// A failed stage is being retried, in the same execution with a higher attempt.
        Resumed = "RESUMED",
        /// A stop was requested; what runs is waited for or abandoned.
        Stopping = "STOPPING",
        /// It completed.
        Succeeded = "SUCCEEDED",
        /// It did not complete. A retry of the stage resumes it.
        Failed = "FAILED",
        /// The stop is complete. A retry of the stage resumes it.
        Stopped = "STOPPED",
        /// The pipeline was changed while it ran.
        Canceled = "CANCELED",
        /// A newer execution overtook it.
        Superseded = "SUPERSEDED",
    }
}

states! {
    /// The state of a stage of an execution (CodePipeline User Guide, "Monitoring CodePipeline events").
    StageState {
        /// It runs.
        Started = "STARTED",
        /// It is being retried.
        Resumed = "RESUMED",
        /// A stop was requested.
        Stopping = "STOPPING",
        /// It completed.
        Succeeded = "SUCCEEDED",
        /// It did not complete.
        Failed = "FAILED",
        /// The stop is complete.
        Stopped = "STOPPED",
        /// The pipeline was changed while it ran.
        Canceled = "CANCELED",
    }
}

states! {
    /// The state of an action of a stage (CodePipeline User Guide, "Monitoring CodePipeline events").
    ActionState {
        /// It runs; an approval waits.
        Started = "STARTED",
        /// It completed.
        Succeeded = "SUCCEEDED",
        /// It did not complete. Of an approval: it was rejected, or it is misconfigured.
        Failed = "FAILED",
        /// The pipeline was changed while it ran.
        Canceled = "CANCELED",
        /// The execution was stopped without waiting for it.
        Abandoned = "ABANDONED",
    }
}

states! {
    /// The state of a build (CodeBuild API Reference, `StatusType`; events are documented with the first four).
    BuildState {
        /// It runs.
        InProgress = "IN_PROGRESS",
        /// It completed.
        Succeeded = "SUCCEEDED",
        /// One of its phases failed.
        Failed = "FAILED",
        /// Somebody stopped it.
        Stopped = "STOPPED",
        /// CodeBuild itself failed.
        Fault = "FAULT",
        /// It took too long.
        TimedOut = "TIMED_OUT",
    }
}

states! {
    /// The status of a stack or of a resource in it (CloudFormation API Reference, `StackStatus`, `ResourceStatus`). That it
    /// ends in `_COMPLETE` does not make it a success.
    StackStatus {
        /// It is created.
        CreateInProgress = "CREATE_IN_PROGRESS",
        /// It could not be created.
        CreateFailed = "CREATE_FAILED",
        /// It was created.
        CreateComplete = "CREATE_COMPLETE",
        /// What was created is taken away again.
        RollbackInProgress = "ROLLBACK_IN_PROGRESS",
        /// Not all that was created could be taken away.
        RollbackFailed = "ROLLBACK_FAILED",
        /// It could not be created, and nothing is left of it.
        RollbackComplete = "ROLLBACK_COMPLETE",
        /// It is deleted.
        DeleteInProgress = "DELETE_IN_PROGRESS",
        /// It could not be deleted.
        DeleteFailed = "DELETE_FAILED",
        /// It was deleted.
        DeleteComplete = "DELETE_COMPLETE",
        /// It was left there.
        DeleteSkipped = "DELETE_SKIPPED",
        /// It is updated.
        UpdateInProgress = "UPDATE_IN_PROGRESS",
        /// It was updated; what the update replaced is taken away.
        UpdateCompleteCleanup = "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
        /// It was updated.
        UpdateComplete = "UPDATE_COMPLETE",
        /// It could not be updated.
        UpdateFailed = "UPDATE_FAILED",
        /// The update failed and is taken back.
        UpdateRollbackInProgress = "UPDATE_ROLLBACK_IN_PROGRESS",
        /// The update failed and could not be taken back.
        UpdateRollbackFailed = "UPDATE_ROLLBACK_FAILED",
        /// The update was taken back; what it had made is taken away.
        UpdateRollbackCleanup = "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS",
        /// The update failed and was taken back.
        UpdateRollbackComplete = "UPDATE_ROLLBACK_COMPLETE",
        /// A stack is there by name only: its first change set is being prepared.
        ReviewInProgress = "REVIEW_IN_PROGRESS",
        /// Resources are imported.
        ImportInProgress = "IMPORT_IN_PROGRESS",
        /// Resources were imported.
        ImportComplete = "IMPORT_COMPLETE",
        /// The import is taken back.
        ImportRollbackInProgress = "IMPORT_ROLLBACK_IN_PROGRESS",
        /// The import could not be taken back.
        ImportRollbackFailed = "IMPORT_ROLLBACK_FAILED",
        /// The import was taken back.
        ImportRollbackComplete = "IMPORT_ROLLBACK_COMPLETE",
    }
}

states! {
    /// The state of a deployment (CodeDeploy User Guide, "Monitoring deployments with Amazon CloudWatch Events").
    DeploymentState {
        /// It runs.
        Start = "START",
        /// It waits for another one of its group.
        Queued = "QUEUED",
        /// The new instances or tasks are ready, and traffic waits to be shifted.
        Ready = "READY",
        /// It completed.
        Success = "SUCCESS",
        /// It failed; it may have been rolled back by another deployment.
        Failure = "FAILURE",
        /// Somebody, or an alarm, stopped it.
        Stop = "STOP",
    }
}

states! {
    /// The state of a deployment to one instance (CodeDeploy User Guide, "Monitoring deployments with Amazon CloudWatch
    /// Events").
    InstanceState {
        /// It runs.
        Start = "START",
        /// It is ready.
        Ready = "READY",
        /// It completed.
        Success = "SUCCESS",
        /// It failed.
        Failure = "FAILURE",
    }
}

impl BuildState {
    /// What it means for the execution. A build that ended stays ended: a retry is another build.
    #[must_use]
    pub fn execution(&self) -> PipelineState {
        match self {
            Self::InProgress => PipelineState::Started,
            Self::Succeeded => PipelineState::Succeeded,
            Self::Failed | Self::Fault | Self::TimedOut => PipelineState::Failed,
            Self::Stopped => PipelineState::Stopped,
            Self::Unknown(text) => PipelineState::Unknown(text.clone()),
        }
    }
}

impl StackStatus {
    /// What it means, as the status of a stack, for the execution; nothing where no execution is under way.
    ///
    /// What is taken back has failed, and ends when that is done. What was updated and is being cleaned up is not over:
    /// the next update has to wait.
    #[must_use]
    pub fn execution(&self) -> Option<PipelineState> {
        Some(match self {
            Self::ReviewInProgress | Self::DeleteSkipped => return None,
            Self::CreateInProgress
            | Self::UpdateInProgress
            | Self::ImportInProgress
            | Self::UpdateCompleteCleanup
            | Self::RollbackInProgress
            | Self::UpdateRollbackInProgress
            | Self::UpdateRollbackCleanup
            | Self::ImportRollbackInProgress
            | Self::DeleteInProgress => PipelineState::Started,
            Self::CreateComplete | Self::UpdateComplete | Self::ImportComplete => PipelineState::Succeeded,
            Self::CreateFailed
            | Self::UpdateFailed
            | Self::RollbackComplete
            | Self::RollbackFailed
            | Self::UpdateRollbackComplete
            | Self::UpdateRollbackFailed
            | Self::ImportRollbackComplete
            | Self::ImportRollbackFailed
            | Self::DeleteComplete
            | Self::DeleteFailed => PipelineState::Failed,
            Self::Unknown(text) => PipelineState::Unknown(text.clone()),
        })
    }

    /// Whether a resource in this status could not be changed.
    #[must_use]
    pub fn is_failure_of_a_resource(&self) -> bool {
        match self {
            Self::CreateFailed | Self::UpdateFailed | Self::DeleteFailed => true,
            Self::CreateInProgress
            | Self::CreateComplete
            | Self::RollbackInProgress
            | Self::RollbackFailed
            | Self::RollbackComplete
            | Self::DeleteInProgress
            | Self::DeleteComplete
            | Self::DeleteSkipped
            | Self::UpdateInProgress
            | Self::UpdateCompleteCleanup
            | Self::UpdateComplete
            | Self::UpdateRollbackInProgress
            | Self::UpdateRollbackFailed
            | Self::UpdateRollbackCleanup
            | Self::UpdateRollbackComplete
            | Self::ReviewInProgress
            | Self::ImportInProgress
            | Self::ImportComplete
            | Self::ImportRollbackInProgress
            | Self::ImportRollbackFailed
            | Self::ImportRollbackComplete
            | Self::Unknown(_) => false,
        }
    }

    /// Whether a reason says that a resource was given up because another one failed: "Resource creation cancelled",
    /// "Resource update cancelled".
    #[must_use]
    pub fn is_given_up(reason: &str) -> bool {
        let reason = reason.to_ascii_lowercase();
        reason.starts_with("resource ") && (reason.contains("cancelled") || reason.contains("canceled"))
    }
}

impl DeploymentState {
    /// What it means for the execution. A deployment that ended stays ended: taking it back is another deployment.
    #[must_use]
    pub fn execution(&self) -> PipelineState {
        match self {
            Self::Start | Self::Queued | Self::Ready => PipelineState::Started,
            Self::Success => PipelineState::Succeeded,
            Self::Failure => PipelineState::Failed,
            Self::Stop => PipelineState::Stopped,
            Self::Unknown(text) => PipelineState::Unknown(text.clone()),
        }
    }

    /// Reads the API's spelling (CodeDeploy API Reference, `DeploymentStatus`), which differs from the event's.
    #[must_use]
    pub fn from_api(text: &str) -> Self {
        match text {
            "Created" | "InProgress" | "Baking" => Self::Start,
            "Queued" => Self::Queued,
            "Ready" => Self::Ready,
            "Succeeded" => Self::Success,
            "Failed" => Self::Failure,
            "Stopped" => Self::Stop,
            other => Self::from(other),
        }
    }
}

impl PipelineState {
    /// Reads the API's spelling (CodePipeline API Reference, `PipelineExecutionStatus`), which differs from the
    /// event's: `InProgress` for STARTED and RESUMED alike, and `Cancelled` with two l.
    #[must_use]
    pub fn from_api(text: &str) -> Self {
        match text {
            "InProgress" => Self::Started,
            "Cancelled" => Self::Canceled,
            "Stopping" => Self::Stopping,
            "Stopped" => Self::Stopped,
            "Succeeded" => Self::Succeeded,
            "Superseded" => Self::Superseded,
            "Failed" => Self::Failed,
            other => Self::from(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_survives_storage_as_its_event_spelling_known_or_not() {
        let spelled = [
            "STARTED",
            "RESUMED",
            "STOPPING",
            "SUCCEEDED",
            "FAILED",
            "STOPPED",
            "CANCELED",
            "SUPERSEDED",
            "ABANDONED",
            "PAUSED_BY_POLICY",
            "",
        ];
        for text in spelled {
            let state = PipelineState::from(text);
            assert_eq!(state.to_string(), text);
            let stored = serde_json::to_string(&state).unwrap();
            assert_eq!(stored, format!("{text:?}"));
            assert_eq!(serde_json::from_str::<PipelineState>(&stored).unwrap(), state);
            assert_eq!(StageState::from(text).to_string(), text);
            assert_eq!(ActionState::from(text).to_string(), text);
        }
        assert_eq!(PipelineState::from("ABANDONED"), PipelineState::Unknown("ABANDONED".to_owned()));
        assert_eq!(ActionState::from("SUPERSEDED"), ActionState::Unknown("SUPERSEDED".to_owned()));
    }

    #[test]
    fn both_spellings_of_canceled_mean_the_same() {
        assert_eq!(PipelineState::from("CANCELLED"), PipelineState::Canceled);
        assert_eq!(StageState::from("CANCELLED"), StageState::Canceled);
        assert_eq!(ActionState::from("CANCELLED"), ActionState::Canceled);
    }

    #[test]
    fn the_api_spelling_is_read_and_an_unknown_one_is_kept() {
        let shown: Vec<String> =
            ["InProgress", "Cancelled", "Stopping", "Stopped", "Succeeded", "Superseded", "Failed", "Paused"]
                .map(|text| PipelineState::from_api(text).to_string())
                .into();
        assert_eq!(
            shown,
            ["STARTED", "CANCELED", "STOPPING", "STOPPED", "SUCCEEDED", "SUPERSEDED", "FAILED", "Paused"]
        );
    }
}
