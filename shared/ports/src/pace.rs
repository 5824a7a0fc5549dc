//! Calls in their turn: what all workers know of how fast an API may be called, and the one way to call it.
//!
//! ```text
//! turn held, or taken ──► it is now: call ──► throttled: cut the pace, take another turn ─┐
//!        │                                                                                ▼
//!        └ it lies ahead ───────────────────────────────────────────────────────► Refusal::Wait
//! ```
//!
//! Nobody waits here. Whoever has to, puts its work back into a queue until its turn.

use std::future::Future;

use manifold_core::engine::{Service, Verb};
use manifold_core::ids::{Nonce, TargetKey};
use manifold_core::ledger::{Key, PACE_RETENTION, Record};
use manifold_core::pace::{Api, Ask, Change, Lane, Pace, Turn};
use manifold_core::run::Refusal;
use manifold_core::time::Timestamp;

use crate::clock::Clock;
use crate::ledger::{Ledger, LedgerError};

/// How often a change is tried again on what another worker left. Turns are counted whoever else counts, so that only
/// another cut, or another first call after a rest, gets in the way.
const TRIES: u32 = 20;

/// What came of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// This is stored now. Told again when the answer to an earlier try was lost; a turn may then have been counted
    /// twice, which costs its time and nothing else.
    Done(Pace),
    /// Its condition did not hold: this is stored.
    Missed(Option<Pace>),
}

/// The paces that all workers share.
pub trait Paces: Send + Sync {
    /// Carries out one change, as one conditional write.
    fn change(
        &self,
        lane: &Lane,
        change: &Change,
        nonce: &Nonce,
        expires_at: Timestamp,
    ) -> impl Future<Output = Result<Changed, LedgerError>> + Send;
}

impl<T: Paces> Paces for &T {
    fn change(
        &self,
        lane: &Lane,
        change: &Change,
        nonce: &Nonce,
        expires_at: Timestamp,
    ) -> impl Future<Output = Result<Changed, LedgerError>> + Send {
        (**self).change(lane, change, nonce, expires_at)
    }
}

/// The APIs that are called about a target whose engine is this one, each with its pace.
fn apis(engine: Service) -> Vec<Api> {
    let verbs = [Verb::Start, Verb::Find, Verb::Explain, Verb::Ask, Verb::Stop];
    let mut apis: Vec<Api> = Vec::with_capacity(verbs.len() + 2);
    for api in verbs.map(|verb| engine.api(verb)).into_iter().chain([Api::DescribeAlarms, Api::AssumeRole]) {
        if !apis.contains(&api) {
            apis.push(api);
        }
    }
    apis
}

/// Where the paces are that concern a target whose engine is this one.
#[must_use]
pub fn keys(target: &TargetKey, engine: Service) -> Vec<Key> {
    apis(engine).into_iter().map(|api| Key::Pace(api.lane(target))).collect()
}

/// What was known of a target's paces when a piece of work was begun.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Known(Vec<(Api, Pace)>);

impl Known {
    /// From the records under [`keys`], in their order.
    #[must_use]
    pub fn of(engine: Service, records: impl IntoIterator<Item = Option<Record>>) -> Self {
        // The key of a pace holds nothing else; were it so, the first write would be refused with what is there.
        let known = apis(engine).into_iter().zip(records);
        Self(known.filter_map(|(api, record)| Some((api, record?.item.take()?))).collect())
    }

    /// Reads them.
    ///
    /// # Errors
    /// The ledger did not answer.
    pub async fn read(ledger: &impl Ledger, target: &TargetKey, engine: Service) -> Result<Self, LedgerError> {
        Ok(Self::of(engine, ledger.get(&keys(target, engine)).await?))
    }

    fn pace(&self, api: Api) -> Option<&Pace> {
        self.0.iter().find(|(known, _)| *known == api).map(|(_, pace)| pace)
    }
}

/// Makes calls about one target in their turn.
#[derive(Debug)]
pub struct Paced<'a, P, C> {
    /// The paces.
    pub paces: &'a P,
    /// Time, nonces, and what randomness they hold.
    pub clock: &'a C,
    /// The target.
    pub target: &'a TargetKey,
    /// What is known of its paces.
    pub known: &'a Known,
    /// The turn that was waited for.
    pub held: Option<Turn>,
}

impl<P: Paces, C: Clock> Paced<'_, P, C> {
    /// Makes a call if its turn is now. `entered` tells whether the role is assumed already, as that is a call, too.
    ///
    /// # Errors
    /// The ledger could not be asked for a turn; no call was made then.
    pub async fn call<T>(
        &self,
        api: Api,
        entered: bool,
        call: impl Future<Output = Result<T, Refusal>>,
    ) -> Result<Result<T, Refusal>, LedgerError> {
        let held = self.held(api);
        // Whoever waited for the call has waited for the role before, perhaps in another worker: two lines in turn would
        // never be both at their ends.
        if held.is_none() && !entered {
            let turn = self.turn(Api::AssumeRole).await?;
            if self.lies_ahead(turn) {
                return Ok(Err(Refusal::Wait { turn, throttled: None }));
            }
        }
        let turn = self.turn(api).await?;
        if self.lies_ahead(turn) {
            return Ok(Err(Refusal::Wait { turn, throttled: None }));
        }
        match call.await {
            Err(Refusal::Throttled { api: throttled, reason }) => {
                let cuts = match throttled == api {
                    true => turn.cuts,
                    false => self.known.pace(throttled).map_or(0, |pace| pace.cuts),
                };
                let known = self.cut(throttled, cuts).await?;
                let turn = self.take(throttled, known).await?;
                tracing::warn!(lane = %throttled.lane(self.target), at = %turn.at, cuts = turn.cuts, "throttled");
                Ok(Err(Refusal::Wait { turn, throttled: Some(reason) }))
            }
            answer => Ok(answer),
        }
    }

    fn lies_ahead(&self, turn: Turn) -> bool {
        turn.at > self.clock.now()
    }

    /// The turn that was waited for, unless the pace was cut meanwhile.
    fn held(&self, api: Api) -> Option<Turn> {
        self.held.filter(|turn| turn.api == api && Pace::holds(self.known.pace(api), *turn))
    }

    async fn turn(&self, api: Api) -> Result<Turn, LedgerError> {
        match self.held(api) {
            Some(turn) => Ok(turn),
            None => self.take(api, self.known.pace(api).cloned()).await,
        }
    }

    async fn take(&self, api: Api, mut known: Option<Pace>) -> Result<Turn, LedgerError> {
        let lane = api.lane(self.target);
        for _ in 0..TRIES {
            let change = match Pace::ask(api, known.as_ref(), self.clock.now()) {
                Ask::Free(turn) => return Ok(turn),
                Ask::Take(change) => change,
            };
            match self.change(&lane, &change).await? {
                Changed::Done(pace) => return Ok(pace.turn(api)),
                Changed::Missed(stored) => known = stored,
            }
        }
        Err(contended(&lane))
    }

    /// Cuts a pace, unless somebody has since those turns were given. Returns what is stored.
    async fn cut(&self, api: Api, cuts: u32) -> Result<Option<Pace>, LedgerError> {
        let lane = api.lane(self.target);
        let mut known = self.known.pace(api).cloned();
        for _ in 0..TRIES {
            let (now, random) = (self.clock.now(), random(&self.clock.nonce()));
            let Some(change) = Pace::throttled(api, cuts, known.as_ref(), now, random) else { return Ok(known) };
            match self.change(&lane, &change).await? {
                Changed::Done(pace) => return Ok(Some(pace)),
                Changed::Missed(stored) => known = stored,
            }
        }
        Err(contended(&lane))
    }

    async fn change(&self, lane: &Lane, change: &Change) -> Result<Changed, LedgerError> {
        let expires_at = self.clock.now().plus(PACE_RETENTION);
        self.paces.change(lane, change, &self.clock.nonce(), expires_at).await
    }
}

fn contended(lane: &Lane) -> LedgerError {
    LedgerError::Unavailable(format!("the pace of {lane} is contended: gave up after {TRIES} tries"))
}

/// A nonce is random; this is a number made of it.
fn random(nonce: &Nonce) -> u64 {
    nonce.as_str().bytes().fold(0, |number: u64, byte| number.wrapping_mul(31).wrapping_add(u64::from(byte)))
}
