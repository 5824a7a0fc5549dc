//! stub
use serde::{Deserialize, Serialize};
/// State.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[allow(missing_docs)]
pub enum PipelineState {
    Started,
    Resumed,
    Stopping,
    Succeeded,
    Failed,
    Stopped,
    Canceled,
    Superseded,
    Unknown(String),
}
impl From<String> for PipelineState {
    fn from(s: String) -> Self {
        match s.as_str() {
            "STARTED" => Self::Started,
            "RESUMED" => Self::Resumed,
            "STOPPING" => Self::Stopping,
            "SUCCEEDED" => Self::Succeeded,
            "FAILED" => Self::Failed,
            "STOPPED" => Self::Stopped,
            "CANCELED" => Self::Canceled,
            "SUPERSEDED" => Self::Superseded,
            _ => Self::Unknown(s),
        }
    }
}
impl From<PipelineState> for String {
    fn from(s: PipelineState) -> String {
        s.to_string()
    }
}
impl std::fmt::Display for PipelineState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Started => "STARTED",
            Self::Resumed => "RESUMED",
            Self::Stopping => "STOPPING",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::Stopped => "STOPPED",
            Self::Canceled => "CANCELED",
            Self::Superseded => "SUPERSEDED",
            Self::Unknown(s) => s,
        })
    }
}
