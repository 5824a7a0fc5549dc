//! That CloudFormation's drift detection of a stack goes on, or has ended. What it found is asked for.

use super::error::DecodeError;
use super::fields::Fields;

/// A change of a drift detection ("CloudFormation Drift Detection Status Change").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriftEvent {
    /// CloudFormation's id of the detection.
    pub detection: String,
    /// Whether it goes on: it is told at its beginning, too.
    pub is_under_way: bool,
}

impl DriftEvent {
    pub(super) fn decode(envelope: &Fields<'_>) -> Result<Self, DecodeError> {
        let detail = envelope.object("detail")?;
        let detection = detail.required_text(
            "stack-drift-detection-id",
            64,
            "the id of a drift detection, as DetectStackDrift answers",
        )?;
        let status = detail.object("status-details")?.text("detection-status");
        Ok(Self { detection, is_under_way: status.as_deref() == Some("DETECTION_IN_PROGRESS") })
    }
}
