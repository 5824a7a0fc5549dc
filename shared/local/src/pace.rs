//! The paces, in the world's ledger.

use manifold_core::ids::Nonce;
use manifold_core::ledger::{Item, Key};
use manifold_core::pace::{Change, Lane, Pace};
use manifold_core::time::Timestamp;
use manifold_ports::ledger::LedgerError;
use manifold_ports::pace::{Changed, Paces};

use crate::world::World;

impl Paces for World {
    async fn change(&self, lane: &Lane, change: &Change, nonce: &Nonce, _: Timestamp) -> Result<Changed, LedgerError> {
        self.count("paces.change");
        self.ask("paces.change/before", 4, 10).await?;
        let (stored, is_done) = self
            .edit(&Key::Pace(lane.clone()), nonce, |stored| change.apply(stored.and_then(Item::get)).map(Item::Pace));
        self.ask("paces.change/after", 1, 6).await?;
        Ok(match (stored.as_ref().and_then(Item::get::<Pace>).cloned(), is_done) {
            (Some(pace), true) => Changed::Done(pace),
            (stored, _) => Changed::Missed(stored),
        })
    }
}
