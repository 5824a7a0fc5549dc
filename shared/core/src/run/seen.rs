//! What was observed of one execution, merged without regard to arrival or time stamps (law 4).

use serde::{Deserialize, Serialize};

use super::status::{Outcome, Status};
use crate::event::PipelineState;
use crate::time::Timestamp;

/// The furthest state of one execution that any event has told of.
///
/// Merging is commutative, associative and idempotent, so duplicates and any order give the same result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    state: PipelineState,
    attempt: u32,
    at: Timestamp,
}

impl Seen {
    /// Takes an observed state in, or nothing when the state is not one that this version knows: an unknown
    /// state is shown, but it moves nothing.
    ///
    /// `attempt` is CodePipeline's `pipeline-execution-attempt`, from 1; events from before 2023 have none.
    /// Then a RESUMED execution is taken to be in its second attempt, anything else in its first.
    #[must_use]
    pub fn new(state: PipelineState, attempt: Option<u32>, at: Timestamp) -> Option<Self> {
        let assumed = match &state {
            PipelineState::Unknown(_) => return None,
            PipelineState::Resumed => 2,
            PipelineState::Started
            | PipelineState::Stopping
            | PipelineState::Succeeded
            | PipelineState::Failed
            | PipelineState::Stopped
            | PipelineState::Canceled
            | PipelineState::Superseded => 1,
        };
        Some(Self { state, attempt: attempt.filter(|n| *n > 0).unwrap_or(assumed), at })
    }

    /// The engine's state.
    #[must_use]
    pub fn state(&self) -> &PipelineState {
        &self.state
    }

    /// CodePipeline's attempt within the execution: more than 1 after a retry in the target account.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// When the state was reached, by the event's clock.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// The further of two observations of one execution.
    ///
    /// SUCCEEDED, CANCELED and SUPERSEDED end an execution for good. FAILED and STOPPED end an attempt: a
    /// higher attempt reopens them. Within an attempt a state never moves back.
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        match self.order().cmp(&other.order()) {
            std::cmp::Ordering::Greater => self,
            std::cmp::Ordering::Less => other,
            // The same transition, told twice: the earlier time stamp, whichever came first.
            std::cmp::Ordering::Equal => Self { at: self.at.min(other.at), ..self },
        }
    }

    fn order(&self) -> (bool, u32, u8) {
        let (for_good, rank) = match &self.state {
            PipelineState::Unknown(_) | PipelineState::Started => (false, 0),
            PipelineState::Resumed => (false, 1),
            PipelineState::Stopping => (false, 2),
            PipelineState::Stopped => (false, 3),
            PipelineState::Failed => (false, 4),
            PipelineState::Superseded => (true, 5),
            PipelineState::Canceled => (true, 6),
            PipelineState::Succeeded => (true, 7),
        };
        (for_good, self.attempt, rank)
    }

    /// What the observation means for its target.
    #[must_use]
    pub fn status(&self) -> Status {
        match &self.state {
            PipelineState::Started | PipelineState::Resumed | PipelineState::Unknown(_) => Status::Running,
            PipelineState::Stopping => Status::Stopping,
            PipelineState::Succeeded => Status::Ended(Outcome::Succeeded),
            PipelineState::Failed | PipelineState::Stopped => Status::Ended(Outcome::Failed),
            PipelineState::Canceled => Status::Ended(Outcome::Canceled),
            PipelineState::Superseded => Status::Ended(Outcome::Superseded),
        }
    }
}
