//! How fast an API may be called, learnt from its throttling, and shared by all workers through one item of the ledger.
//!
//! AWS limits calls per account, Region and API, does not publish CodePipeline's limits, and changes them. So each such
//! *lane* has a pace of its own: it rises while it is used, and is halved when a call is throttled (additive increase,
//! multiplicative decrease). Who wants to call takes a *turn*: a number, whose time follows from the pace. A turn that
//! lies ahead is waited for in a queue, never in a worker.
//!
//! ```text
//!  rate │        ╱│      ╱│            a turn is one more call: the area under the line
//!       │      ╱  │    ╱  │    ╱
//!       │    ╱    │  ╱    │  ╱         cut: halved, and all turns given before it are void
//!       │  ╱      ╰╱      ╰╱
//!       └──────────────────────► time in which the lane is used
//! ```
//!
//! | stored | derived |
//! |---|---|
//! | the rate when it was set, and when that was | the rate at any later time ([`Pace::rate_at`]) |
//! | how many turns were given since | the time of the next one ([`Pace::turn`]) |
//! | how often it was cut | whether a turn still holds ([`Pace::holds`]), and whether a throttled call is news ([`Pace::throttled`]) |
//!
//! **Invariant:** success writes nothing. Taking a turn counts one up, whoever else does so at the same instant; only a
//! cut, or the first call after a rest, sets the pace anew.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::engine::Service;
use crate::ids::TargetKey;
use crate::time::{Span, Timestamp};

/// The rate, in thousandths of a call a second, of a lane of CodePipeline that nothing is known of. AWS publishes no
/// limit; two a second is careful, and the growth that follows finds out within seconds what is allowed.
const FIRST_RATE: u32 = 2_000;
/// The same for STS, which takes hundreds of calls a second by default.
const FIRST_RATE_OF_STS: u32 = 20_000;
/// So many calls may be made at once after a rest. A fleet with a handful of apps has all its calls of an account and
/// Region within it, and never waits.
const ALLOWANCE: u32 = 5;
/// How much the rate rises in each second of use as long as it was never cut, in thousandths of a call a second: a
/// thousand starts that nobody limits take a minute.
const GROWTH_UNTIL_CUT: u32 = 500;
/// How much it rises once a limit was met. From half of five calls a second back to five takes some 50 s and 190 calls,
/// of which the few that are under way when the limit is met again are throttled: two or three in a hundred.
const GROWTH: u32 = 50;
/// The highest rate: more calls than 50 instances of `deploy` make.
const HIGHEST_RATE: u32 = 50_000;
/// The lowest rate. With the growth it means a call every five seconds, so that an account that answers again is noticed.
const LOWEST_RATE: u32 = 50;
/// For how long an API whose calls take no turns until they are throttled goes on taking them afterwards.
const WARY_FOR: Span = Span::from_minutes(60);

/// An operation of AWS whose calls are paced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Api {
    /// CodePipeline in a target account. The only one of which a release makes as many calls as it has targets, in the
    /// same second: every call takes a turn.
    StartPipelineExecution,
    /// CodePipeline in a target account; free until it is throttled.
    ListPipelineExecutions,
    /// CodePipeline in a target account; free until it is throttled.
    ListActionExecutions,
    /// CodePipeline in a target account; free until it is throttled.
    StopPipelineExecution,
    /// CodeBuild in a target account: every call takes a turn, as with the other services' starts.
    StartBuild,
    /// CodeBuild in a target account; free until it is throttled, as are the others that do not start anything.
    ListBuildsForProject,
    /// CodeBuild in a target account.
    BatchGetBuilds,
    /// CodeBuild in a target account.
    StopBuild,
    /// CloudFormation in a target account, and what follows it until the change set is executed: every call takes a turn.
    CreateChangeSet,
    /// CloudFormation in a target account.
    DescribeStackEvents,
    /// CloudFormation in a target account.
    CancelUpdateStack,
    /// CodeDeploy in a target account: every call takes a turn.
    CreateDeployment,
    /// CodeDeploy in a target account.
    ListDeployments,
    /// CodeDeploy in a target account.
    GetDeployment,
    /// CodeDeploy in a target account.
    StopDeployment,
    /// CloudWatch in a target account; free until it is throttled.
    DescribeAlarms,
    /// STS, charged to the account that calls, the hub's; free until it is throttled.
    AssumeRole,
}

impl Api {
    /// As AWS spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::StartPipelineExecution => "StartPipelineExecution",
            Self::ListPipelineExecutions => "ListPipelineExecutions",
            Self::ListActionExecutions => "ListActionExecutions",
            Self::StopPipelineExecution => "StopPipelineExecution",
            Self::StartBuild => "StartBuild",
            Self::ListBuildsForProject => "ListBuildsForProject",
            Self::BatchGetBuilds => "BatchGetBuilds",
            Self::StopBuild => "StopBuild",
            Self::CreateChangeSet => "CreateChangeSet",
            Self::DescribeStackEvents => "DescribeStackEvents",
            Self::CancelUpdateStack => "CancelUpdateStack",
            Self::CreateDeployment => "CreateDeployment",
            Self::ListDeployments => "ListDeployments",
            Self::GetDeployment => "GetDeployment",
            Self::StopDeployment => "StopDeployment",
            Self::DescribeAlarms => "DescribeAlarms",
            Self::AssumeRole => "AssumeRole",
        }
    }

    /// The engine that it belongs to, if it does.
    #[must_use]
    pub const fn engine(self) -> Option<Service> {
        match self {
            Self::StartPipelineExecution
            | Self::ListPipelineExecutions
            | Self::ListActionExecutions
            | Self::StopPipelineExecution => Some(Service::CodePipeline),
            Self::StartBuild | Self::ListBuildsForProject | Self::BatchGetBuilds | Self::StopBuild => {
                Some(Service::CodeBuild)
            }
            Self::CreateChangeSet | Self::DescribeStackEvents | Self::CancelUpdateStack => {
                Some(Service::CloudFormation)
            }
            Self::CreateDeployment | Self::ListDeployments | Self::GetDeployment | Self::StopDeployment => {
                Some(Service::CodeDeploy)
            }
            Self::DescribeAlarms | Self::AssumeRole => None,
        }
    }

    /// The service that it belongs to.
    #[must_use]
    pub const fn service(self) -> &'static str {
        match (self.engine(), self) {
            (Some(engine), _) => engine.name(),
            (None, Self::AssumeRole) => "STS",
            (None, _) => "CloudWatch",
        }
    }

    /// Where calls about a target are counted by AWS.
    #[must_use]
    pub fn lane(self, target: &TargetKey) -> Lane {
        Lane { place: (!matches!(self, Self::AssumeRole)).then(|| target.clone()), api: self }
    }

    const fn first_rate(self) -> u32 {
        if matches!(self, Self::AssumeRole) { FIRST_RATE_OF_STS } else { FIRST_RATE }
    }

    /// Whether its calls start executions. A release makes as many of them as it has targets, in the same second: they take
    /// turns although nobody was throttled.
    #[must_use]
    pub const fn is_start(self) -> bool {
        matches!(self, Self::StartPipelineExecution | Self::StartBuild | Self::CreateChangeSet | Self::CreateDeployment)
    }
}

impl fmt::Display for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One API of one account and Region.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane {
    place: Option<TargetKey>,
    api: Api,
}

impl Lane {
    /// Account and Region; `None` for the hub's own, in which the ledger is.
    #[must_use]
    pub fn place(&self) -> Option<&TargetKey> {
        self.place.as_ref()
    }

    /// The API.
    #[must_use]
    pub fn api(&self) -> Api {
        self.api
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{} in {place}", self.api),
            None => write!(f, "{} in the hub", self.api),
        }
    }
}

/// How fast a lane may be used: facts only. Stored, see [`Key::Pace`](crate::ledger::Key::Pace).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pace {
    /// How often it was cut.
    pub cuts: u32,
    /// The rate at `since`, in thousandths of a call a second.
    pub rate: u32,
    /// When it was set: by a cut, or by the first call after a rest.
    pub since: Timestamp,
    /// How many turns were given since. A cut begins with the allowance used up.
    pub given: u32,
}

/// A permission to call once, at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Turn {
    /// To call what.
    pub api: Api,
    /// When, not before.
    pub at: Timestamp,
    /// How often the pace had been cut when it was given.
    pub cuts: u32,
}

/// How to come by a turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// Nobody limits this lane: it is given without a write.
    Free(Turn),
    /// By this change of the pace.
    Take(Change),
}

/// One conditional write of a pace: what an adapter carries out, as one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Counts one more turn, if the pace still is the one that was set with so many cuts at that time, and this many
    /// turns or more were given.
    Count {
        /// [`Pace::cuts`].
        cuts: u32,
        /// [`Pace::since`].
        since: Timestamp,
        /// With fewer the lane has rested, and the pace is to be set anew.
        at_least: u32,
    },
    /// Sets the pace.
    Set {
        /// To this.
        pace: Pace,
        /// Instead of what.
        over: Over,
    },
}

/// What must be stored for a pace to be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// Nothing.
    Nothing,
    /// A pace that was cut so often.
    Cuts(u32),
    /// A pace that was cut so often and set at that time, with fewer turns given than this.
    Rested {
        /// [`Pace::cuts`].
        cuts: u32,
        /// [`Pace::since`].
        since: Timestamp,
        /// With as many or more the lane is in use.
        below: u32,
    },
}

impl Change {
    /// What is stored afterwards; `None` if its condition does not hold. An adapter whose store can't run this says the
    /// same in its own words.
    #[must_use]
    pub fn apply(&self, stored: Option<&Pace>) -> Option<Pace> {
        match self {
            Self::Count { cuts, since, at_least } => stored
                .filter(|pace| pace.cuts == *cuts && pace.since == *since && pace.given >= *at_least)
                .map(|pace| Pace { given: pace.given.saturating_add(1), ..pace.clone() }),
            Self::Set { pace, over } => {
                let holds = match (over, stored) {
                    (Over::Nothing, stored) => stored.is_none(),
                    (Over::Cuts(cuts), Some(stored)) => stored.cuts == *cuts,
                    (Over::Rested { cuts, since, below }, Some(stored)) => {
                        stored.cuts == *cuts && stored.since == *since && stored.given < *below
                    }
                    (Over::Cuts(_) | Over::Rested { .. }, None) => false,
                };
                holds.then(|| pace.clone())
            }
        }
    }
}

impl Pace {
    /// How to come by a turn, from what is known of the pace. When the change is refused, ask again with what is stored.
    #[must_use]
    pub fn ask(api: Api, known: Option<&Self>, now: Timestamp) -> Ask {
        match known {
            _ if !api.is_start() && known.is_none_or(|pace| pace.is_forgotten(now)) => {
                Ask::Free(Turn { api, at: now, cuts: known.map_or(0, |pace| pace.cuts) })
            }
            None => Ask::Take(Change::Set {
                pace: Self { cuts: 0, rate: api.first_rate(), since: now, given: 1 },
                over: Over::Nothing,
            }),
            Some(pace) => Ask::Take(pace.next(now)),
        }
    }

    fn next(&self, now: Timestamp) -> Change {
        let Self { cuts, since, .. } = *self;
        let used = self.calls_by(now);
        if self.given >= used {
            return Change::Count { cuts, since, at_least: used };
        }
        // The lane has rested. Its rate stays where those that waited had brought it: what was not tried is not learnt.
        let rate = self.rate_at(self.after(self.given.saturating_sub(ALLOWANCE)));
        let pace = Self { cuts, rate, since: now, given: 1 };
        Change::Set { pace, over: Over::Rested { cuts, since, below: used } }
    }

    /// The turn that was given last.
    #[must_use]
    pub fn turn(&self, api: Api) -> Turn {
        Turn { api, at: self.after(self.given.saturating_sub(ALLOWANCE)), cuts: self.cuts }
    }

    /// Whether a turn may still be used: the pace was not cut since it was given.
    #[must_use]
    pub fn holds(known: Option<&Self>, turn: Turn) -> bool {
        known.is_none_or(|pace| pace.cuts == turn.cuts)
    }

    /// What a throttled call changes, that was made in a turn given after so many `cuts`: nothing, if the pace was cut
    /// since, so that a burst of throttled calls is one cut. `random` moves the next turn within its interval, so that
    /// lanes that are cut in the same second don't go on in step.
    #[must_use]
    pub fn throttled(api: Api, cuts: u32, known: Option<&Self>, now: Timestamp, random: u64) -> Option<Change> {
        let over = known.map_or(Over::Nothing, |pace| Over::Cuts(pace.cuts));
        let current = known.map_or(0, |pace| pace.cuts);
        if current > cuts {
            return None;
        }
        let known = known.filter(|pace| api.is_start() || !pace.is_forgotten(now));
        let rate = known.map_or(api.first_rate(), |pace| (pace.rate_at(now) / 2).max(LOWEST_RATE));
        let interval = u64::from(1_000_000 / rate.max(1)).max(1);
        let jitter = i64::try_from(random % interval).unwrap_or(0);
        let since = now.plus(Span::from_millis(jitter));
        let pace = Self { cuts: current.saturating_add(1), rate, since, given: ALLOWANCE };
        Some(Change::Set { pace, over })
    }

    /// The rate at a time, in thousandths of a call a second. It rises only while the lane is used, that is until the
    /// last turn that was given.
    #[must_use]
    pub fn rate_at(&self, at: Timestamp) -> u32 {
        let used = at.min(self.after(self.given)).since(self.since).as_millis();
        let risen = i64::from(self.growth()).saturating_mul(used) / 1000;
        u32::try_from(i64::from(self.rate).saturating_add(risen)).unwrap_or(HIGHEST_RATE).min(HIGHEST_RATE)
    }

    fn growth(&self) -> u32 {
        if self.cuts == 0 { GROWTH_UNTIL_CUT } else { GROWTH }
    }

    /// Whether its throttling lies so far back that calls are free again.
    fn is_forgotten(&self, now: Timestamp) -> bool {
        now.since(self.after(self.given)) >= WARY_FOR
    }

    /// How many calls the pace has allowed by a time, without the allowance; begun ones count.
    fn calls_by(&self, at: Timestamp) -> u32 {
        u32::try_from((self.millionths(at.since(self.since).as_millis()) + 999_999) / 1_000_000).unwrap_or(u32::MAX)
    }

    /// When the pace will have allowed so many calls, without the allowance.
    fn after(&self, calls: u32) -> Timestamp {
        let wanted = i128::from(calls) * 1_000_000;
        // It never is slower than it was when it was set.
        let (mut low, mut high) = (0, i64::from(calls).saturating_mul(1_000_000) / i64::from(self.rate.max(1)) + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.millionths(middle) >= wanted { high = middle } else { low = middle + 1 }
        }
        self.since.plus(Span::from_millis(low))
    }

    /// Millionths of a call that the pace allows within so many milliseconds: the area under its rate.
    fn millionths(&self, millis: i64) -> i128 {
        let (rate, growth) = (i128::from(self.rate), i128::from(self.growth()));
        let highest = i128::from(HIGHEST_RATE);
        let millis = i128::from(millis);
        let rising = ((highest - rate).max(0) * 1000 / growth).min(millis);
        rate.min(highest) * rising + growth * rising * rising / 2000 + highest * (millis - rising)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Api::{ListPipelineExecutions, StartPipelineExecution};

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(1_000_000_000).plus(Span::from_millis(millis))
    }

    /// Takes a turn, as a worker alone does.
    fn take(stored: &mut Option<Pace>, now: Timestamp) -> Turn {
        let Ask::Take(change) = Pace::ask(StartPipelineExecution, stored.as_ref(), now) else { panic!("it is free") };
        *stored = Some(change.apply(stored.as_ref()).unwrap());
        stored.as_ref().unwrap().turn(StartPipelineExecution)
    }

    fn cut(stored: &mut Option<Pace>, turn: Turn, now: Timestamp) -> bool {
        let change = Pace::throttled(StartPipelineExecution, turn.cuts, stored.as_ref(), now, 0);
        if let Some(change) = &change {
            *stored = Some(change.apply(stored.as_ref()).unwrap());
        }
        change.is_some()
    }

    fn waits(stored: &mut Option<Pace>, now: Timestamp, turns: usize) -> Vec<i64> {
        (0..turns).map(|_| take(stored, now).at.since(now).as_millis()).collect()
    }

    #[test]
    fn the_first_calls_go_at_once_and_the_others_ever_faster() {
        let mut pace = None;
        assert_eq!(waits(&mut pace, at(0), 9), [0, 0, 0, 0, 0, 473, 899, 1292, 1657]);
        let last = waits(&mut pace, at(0), 991).pop().unwrap();
        assert!((58_000..62_000).contains(&last), "{last}");
    }

    #[test]
    fn calls_that_are_made_more_slowly_than_they_might_be_never_wait_and_never_speed_it_up() {
        let mut pace = None;
        for second in 0..600 {
            assert_eq!(take(&mut pace, at(second * 1000)).at, at(second * 1000));
        }
        assert_eq!(pace.unwrap().rate, FIRST_RATE);
    }

    #[test]
    fn after_a_rest_it_goes_on_at_the_rate_that_it_had_reached() {
        let mut pace = None;
        let last = waits(&mut pace, at(0), 200).pop().unwrap();
        let rate = pace.as_ref().unwrap().rate_at(at(last));
        let day = at(24 * 3_600_000);
        assert_eq!(waits(&mut pace, day, 5), [0; 5]);
        let resumed = pace.unwrap().rate;
        assert_eq!(resumed, rate);
        assert!(rate > 10_000, "{rate}");
    }

    #[test]
    fn a_burst_of_throttled_calls_is_one_cut_and_voids_the_turns_before_it() {
        let mut pace = None;
        let turns: Vec<Turn> = (0..40).map(|_| take(&mut pace, at(0))).collect();
        let before = pace.as_ref().unwrap().rate_at(at(2000));
        assert!(cut(&mut pace, turns[0], at(2000)));
        assert_eq!(pace.as_ref().unwrap().rate, before / 2);
        assert!(!cut(&mut pace, turns[1], at(2001)) && !cut(&mut pace, turns[39], at(9000)), "it is no news");
        assert!(!Pace::holds(pace.as_ref(), turns[39]));
        let next = take(&mut pace, at(2001));
        assert!(next.at > at(2001), "nothing goes at once after a cut");
        assert!(Pace::holds(pace.as_ref(), next));
        assert!(cut(&mut pace, next, at(4000)));
    }

    #[test]
    fn a_lane_that_answers_nothing_but_throttling_is_tried_every_few_seconds() {
        let (mut pace, mut now) = (None, at(0));
        let mut calls = 0;
        while now < at(600_000) {
            let turn = take(&mut pace, now);
            now = now.max(turn.at).plus(Span::from_millis(300));
            cut(&mut pace, turn, now);
            calls += 1;
        }
        assert!((60..200).contains(&calls), "{calls}");
        assert!(pace.unwrap().rate >= LOWEST_RATE);
    }

    #[test]
    fn other_calls_are_free_until_they_are_throttled_and_again_an_hour_later() {
        let free = Ask::Free(Turn { api: ListPipelineExecutions, at: at(0), cuts: 0 });
        assert_eq!(Pace::ask(ListPipelineExecutions, None, at(0)), free);
        let change = Pace::throttled(ListPipelineExecutions, 0, None, at(0), 7).unwrap();
        let pace = change.apply(None).unwrap();
        assert!(matches!(Pace::ask(ListPipelineExecutions, Some(&pace), at(1000)), Ask::Take(_)));
        let Ask::Free(turn) = Pace::ask(ListPipelineExecutions, Some(&pace), at(3_700_000)) else { panic!("{pace:?}") };
        let again = Pace::throttled(ListPipelineExecutions, turn.cuts, Some(&pace), at(3_700_000), 7).unwrap();
        assert_eq!(again.apply(Some(&pace)).unwrap().cuts, 2);
    }

    #[test]
    fn workers_that_know_an_old_pace_are_told_the_new_one() {
        let mut pace = None;
        let Ask::Take(change) = Pace::ask(StartPipelineExecution, None, at(0)) else { panic!("it is free") };
        take(&mut pace, at(0));
        assert_eq!(change.apply(pace.as_ref()), None, "somebody was first");
        let old = pace.clone().unwrap();
        let turn = take(&mut pace, at(1));
        // Counting does not mind who counted besides; a cut does mind.
        let Ask::Take(count) = Pace::ask(StartPipelineExecution, Some(&old), at(2)) else { panic!("it is free") };
        assert_eq!(count.apply(pace.as_ref()).unwrap().given, 3);
        cut(&mut pace, turn, at(3));
        assert_eq!(count.apply(pace.as_ref()), None);
    }

    proptest::proptest! {
        /// Whoever takes turns, whenever, with whatever old knowledge, and whoever is throttled meanwhile.
        #[test]
        fn turns_are_in_order_and_never_denser_than_the_highest_pace_and_the_allowance(
            steps in proptest::collection::vec((0_i64..3000, 0_usize..3, proptest::bool::weighted(0.05)), 1..300),
        ) {
            let (mut stored, mut now) = (None::<Pace>, at(0));
            let mut history: Vec<Option<Pace>> = vec![None];
            let mut given: Vec<Turn> = Vec::new();
            for (wait, behind, throttled) in steps {
                now = now.plus(Span::from_millis(wait / 10));
                let mut known = history[history.len().saturating_sub(1 + behind)].clone();
                if let (true, Some(turn)) = (throttled, given.last()) {
                    let before = stored.as_ref().map_or(0, |pace| pace.cuts);
                    let is_news = cut(&mut stored, *turn, now);
                    proptest::prop_assert_eq!(is_news, before == turn.cuts);
                } else {
                    let mut tries = 0;
                    let turn = loop {
                        tries += 1;
                        let Ask::Take(change) = Pace::ask(StartPipelineExecution, known.as_ref(), now) else {
                            panic!("a start is never free");
                        };
                        match change.apply(stored.as_ref()) {
                            Some(pace) => { stored = Some(pace); break stored.as_ref().unwrap().turn(StartPipelineExecution) }
                            None => known = stored.clone(),
                        }
                    };
                    // Alone, it takes two: what was known, and what is.
                    proptest::prop_assert!(tries <= 2);
                    given.push(turn);
                }
                history.push(stored.clone());
            }
            for pair in given.windows(2).filter(|pair| pair[0].cuts == pair[1].cuts) {
                proptest::prop_assert!(pair[0].at <= pair[1].at, "{:?}", pair);
            }
            // However it went: in any stretch of time no more than the highest rate and the allowance.
            for (first, turn) in given.iter().enumerate() {
                let until = turn.at.plus(Span::from_seconds(2));
                let near = given[first..].iter().filter(|other| other.cuts == turn.cuts && other.at < until).count();
                let most = usize::try_from(ALLOWANCE + 1 + 2 * HIGHEST_RATE / 1000).unwrap();
                proptest::prop_assert!(near <= most, "{} turns within 2 s", near);
            }
        }

        #[test]
        fn the_time_of_a_turn_is_where_the_pace_has_allowed_it(
            rate in LOWEST_RATE..=HIGHEST_RATE, cuts in 0_u32..2, calls in 0_u32..20_000,
        ) {
            let pace = Pace { cuts, rate, since: at(0), given: calls };
            let after = pace.after(calls);
            proptest::prop_assert!(pace.calls_by(after) >= calls);
            let before = Timestamp::from_millis(after.as_millis() - 1);
            proptest::prop_assert!(after == at(0) || pace.millionths(before.since(at(0)).as_millis()) < i128::from(calls) * 1_000_000);
            proptest::prop_assert!(pace.rate_at(after) <= HIGHEST_RATE && pace.rate_at(after) >= rate);
        }
    }
}
