//! The states that CodePipeline reports, each kept as text so that one that is new to us is shown, not lost.

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
