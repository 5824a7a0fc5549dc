//! What EventBridge Scheduler invokes a function with: no envelope, just the input that the schedule is configured
//! with, or `{}` (EventBridge Scheduler User Guide, "Adding context attributes").

use super::error::DecodeError;
use super::fields::Fields;
use crate::time::Timestamp;

/// The keys that tell a schedule's tick from other objects.
const KEYS: [&str; 4] = ["kind", "scheduleArn", "scheduledTime", "executionId"];

/// One tick of a schedule. A schedule without an input sends `{}`, and then nothing is known but that it ticked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ScheduleTick {
    /// What is to be done, such as `drift-check`.
    pub kind: Option<String>,
    /// The schedule.
    pub schedule_arn: Option<String>,
    /// When the tick was due: the same for every delivery of the same tick, so it is what makes it happen once.
    pub scheduled_time: Option<Timestamp>,
    /// What Scheduler calls this delivery.
    pub execution_id: Option<String>,
    /// Which try of the delivery this is.
    pub attempt: Option<u32>,
}

impl ScheduleTick {
    /// Whether an object is a tick: `{}`, or one with a key that only a tick has.
    pub(super) fn is_shaped_like(input: &Fields<'_>) -> bool {
        input.names().next().is_none() || KEYS.iter().any(|key| input.get(key).is_some())
    }

    pub(super) fn decode(input: &Fields<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            kind: input.text("kind"),
            schedule_arn: input.text("scheduleArn"),
            scheduled_time: input.strict_time("scheduledTime")?,
            execution_id: input.text("executionId"),
            attempt: input.count("attempt"),
        })
    }
}

/// The name of the rule in the first rule ARN among an event's resources, on the default or any other bus.
pub(super) fn rule(envelope: &Fields<'_>) -> Option<String> {
    let arns = envelope.elements("resources").iter().filter_map(|resource| resource.as_str());
    let name = arns.filter_map(|arn| arn.split_once(":rule/")).next()?.1.rsplit('/').next()?;
    (!name.is_empty()).then(|| name.to_owned())
}
