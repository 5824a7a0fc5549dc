//! `inspect`: looks at accounts and Regions, and changes nothing.
//!
//! Its own role may only read: release pipelines and the bus in the hub account, and in member accounts what the
//! read-only role there lets it see. So whoever may invoke it can start nothing.

mod drift;

pub use drift::Drift;

use futures::{StreamExt, stream};
use manifold_core::checkup::{Answer, Inspected, Misunderstood, Question, SpotSeen};
use manifold_core::time::Timestamp;
use manifold_ports::batch;
use manifold_ports::checkup::{AT_ONCE, Inspect, out_of_time};
use manifold_ports::clock::Clock;

/// The function's handler over its ports.
#[derive(Debug)]
pub struct Looker<I, C> {
    /// What sees.
    pub inspector: I,
    /// Time.
    pub clock: C,
}

impl<I: Inspect, C: Clock> Looker<I, C> {
    /// Answers a checkup: what is there? What `deadline` leaves no time for is unanswered.
    ///
    /// # Errors
    /// The question is another function's.
    pub async fn checkup(&self, question: Question, deadline: Timestamp) -> Result<Answer, Misunderstood> {
        let inspection = match question {
            Question::Inspect(inspection) => inspection,
            Question::Fleet
            | Question::Access(_)
            | Question::Preview(_)
            | Question::Discard(_)
            | Question::Slack(_) => {
                return Err(Misunderstood::Misplaced { function: "inspect" });
            }
        };
        self.inspector.renew(&inspection.spots);
        let hub = async {
            match &inspection.hub {
                Some(asked) => Some(self.inspector.inspect_hub(asked, deadline).await),
                None => None,
            }
        };
        let spots = inspection.spots.iter().map(|spot| async move {
            match batch::has_time(&self.clock, deadline) {
                true => self.inspector.inspect_spot(spot, deadline).await,
                false => SpotSeen::not_assumed(out_of_time(), spot.rules.len(), spot.started.len()),
            }
        });
        let (hub, spots) = futures::join!(hub, stream::iter(spots).buffered(AT_ONCE).collect());
        Ok(Answer::Inspect(Inspected { role: self.inspector.role().to_owned(), hub, spots }))
    }
}
