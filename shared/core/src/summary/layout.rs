//! What every renderer says alike: the headline, the reasons, and the shape of the grid.

use std::collections::BTreeMap;

use super::{AccountColumn, Summary, TargetLine};
use crate::control::Origin;
use crate::ids::{Partition, Region};
use crate::run::{Closing, Outcome, Status, Verdict};

/// The largest run that is shown target by target.
const MAX_CELLS: usize = 60;
/// The most cells in a row: what a narrow screen still shows without losing the order.
const MAX_COLUMNS: usize = 6;

/// What one target's symbol stands for, in the order in which a reader looks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mark {
    Failed,
    Unreachable,
    TimedOut,
    Superseded,
    Canceled,
    /// The engine told of a state that this version does not know. Never green.
    Unknown,
    Stopping,
    Running,
    Starting,
    Waiting,
    Skipped,
    Succeeded,
}

impl Mark {
    pub(crate) fn of(line: &TargetLine) -> Self {
        match line.status {
            Status::Ended(Outcome::Succeeded) => Self::Succeeded,
            Status::Ended(Outcome::Failed) => Self::Failed,
            Status::Ended(Outcome::TimedOut) => Self::TimedOut,
            Status::Ended(Outcome::Superseded) => Self::Superseded,
            Status::Ended(Outcome::Canceled) => Self::Canceled,
            Status::Ended(Outcome::Unreachable) => Self::Unreachable,
            Status::Ended(Outcome::Skipped) => Self::Skipped,
            _ if line.unrecognised.is_some() => Self::Unknown,
            Status::Waiting => Self::Waiting,
            Status::Queued | Status::Starting => Self::Starting,
            Status::Running => Self::Running,
            Status::Stopping => Self::Stopping,
        }
    }

    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Failed => Outcome::Failed.words(),
            Self::Unreachable => Outcome::Unreachable.words(),
            Self::TimedOut => Outcome::TimedOut.words(),
            Self::Superseded => Outcome::Superseded.words(),
            Self::Canceled => Outcome::Canceled.words(),
            Self::Unknown => "in an unknown state",
            Self::Stopping => "stopping",
            Self::Running => "running",
            Self::Starting => "starting",
            Self::Waiting => "waiting",
            Self::Skipped => Outcome::Skipped.words(),
            Self::Succeeded => Outcome::Succeeded.words(),
        }
    }
}

impl From<Outcome> for Mark {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Succeeded => Self::Succeeded,
            Outcome::Failed => Self::Failed,
            Outcome::TimedOut => Self::TimedOut,
            Outcome::Superseded => Self::Superseded,
            Outcome::Canceled => Self::Canceled,
            Outcome::Unreachable => Self::Unreachable,
            Outcome::Skipped => Self::Skipped,
        }
    }
}

/// How many targets have which mark.
pub(crate) type Marks = BTreeMap<Mark, usize>;

pub(crate) fn marks<'a>(lines: impl IntoIterator<Item = &'a TargetLine>) -> Marks {
    lines.into_iter().fold(Marks::new(), |mut marks, line| {
        *marks.entry(Mark::of(line)).or_default() += 1;
        marks
    })
}

/// Where the run as a whole stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Its turn has not come.
    Waiting,
    /// Something is still expected.
    InProgress,
    /// It was closed, and a target was retried in its own account since.
    InProgressAgain,
    /// It has its verdict.
    Ended(Verdict),
}

impl State {
    pub(crate) fn of(summary: &Summary) -> Self {
        match summary.verdict {
            Some(verdict) => Self::Ended(verdict),
            None if summary.closing.is_some() => Self::InProgressAgain,
            None if summary.targets.iter().all(|line| line.status == Status::Waiting) => Self::Waiting,
            None => Self::InProgress,
        }
    }
}

/// `web: failed on 3 of 10 targets`. Nothing in it is untrusted, and it is never longer than 150 characters.
pub(crate) fn headline(summary: &Summary) -> String {
    let app = &summary.app;
    let of = |count: u32| format!("{} of {}", number(count), targets(summary.size));
    let failures = summary.tally.failures();
    let so_far = match failures {
        0 => String::new(),
        failures => format!(", {} failed so far", number(failures)),
    };
    let lacking = || format!("{} without the release", of(summary.tally.without_release()));
    match State::of(summary) {
        _ if summary.asks.is_some() => {
            let wave = summary.asks.as_ref().map(|asks| word(&asks.wave)).unwrap_or_default();
            format!("{app}: waits for approval of {wave}, {} ended{so_far}", of(summary.tally.ended()))
        }
        State::Waiting => format!("{app}: waiting for its turn"),
        State::InProgress => format!("{app}: in progress, {} ended{so_far}", of(summary.tally.ended())),
        State::InProgressAgain => {
            let again = summary.size.saturating_sub(summary.tally.ended());
            format!("{app}: in progress again, {} retried", targets(again))
        }
        State::Ended(Verdict::Succeeded) if summary.size == 0 => {
            format!("{app}: nothing to do, {} have the release", targets(summary.unchanged))
        }
        State::Ended(Verdict::Succeeded) if summary.size == 1 => format!("{app}: succeeded on its target"),
        State::Ended(Verdict::Succeeded) => format!("{app}: succeeded on all {}", targets(summary.size)),
        State::Ended(Verdict::CompletedWithFailures) => {
            format!("{app}: completed with failures on {}", of(failures))
        }
        // An alarm after its wave, and no target failed.
        State::Ended(Verdict::Failed) if failures == 0 => format!("{app}: failed, {}", lacking()),
        State::Ended(Verdict::Failed) => format!("{app}: failed on {}", of(failures)),
        State::Ended(Verdict::Incomplete) if summary.tally.succeeded == summary.size => {
            format!("{app}: incomplete, out on all {} and not proven", targets(summary.size))
        }
        State::Ended(Verdict::Incomplete) => format!("{app}: incomplete, {}", lacking()),
        State::Ended(Verdict::TimedOut) => format!("{app}: timed out, {}", lacking()),
        State::Ended(Verdict::Overtaken) => format!("{app}: overtaken by a newer release"),
        State::Ended(Verdict::Aborted) => format!("{app}: aborted, {}", lacking()),
        State::Ended(Verdict::NotApproved) => format!("{app}: not approved, {}", lacking()),
        State::Ended(Verdict::Refused) => format!("{app}: refused, another run is under way"),
    }
}

/// Why the run ended as it did, where its counts alone do not say it. A wave's name is in it: escape it.
pub(crate) fn why(summary: &Summary) -> Option<String> {
    let skipped = match summary.tally.skipped {
        0 => String::new(),
        1 => "; 1 target was not started".to_owned(),
        skipped => format!("; {} were not started", targets(skipped)),
    };
    match summary.closing.as_ref()? {
        Closing::Halted { .. } if summary.verdict == Some(Verdict::Succeeded) => {
            Some("A wave went over its failure tolerance; all of it was mended since.".to_owned())
        }
        Closing::Halted { wave } => Some(format!("Wave \"{wave}\" went over its failure tolerance{skipped}.")),
        Closing::DeadlinePassed => Some(format!("The deadline passed before every target had answered{skipped}.")),
        Closing::Overtaken { by } => Some(format!("Run {by} has a newer release; nothing of this one was started.")),
        Closing::Superseded { by } => Some(format!("Run {by} has a newer release and took over{skipped}.")),
        Closing::Refused { behind } => Some(format!("Run {behind} was under way; nothing of this one was started.")),
        Closing::Aborted { .. } | Closing::Rejected { .. } => {
            skipped.strip_prefix("; ").map(|skipped| format!("{skipped}."))
        }
        Closing::Lapsed { wave, newer: None } => Some(format!("Nobody approved wave \"{wave}\" in time{skipped}.")),
        Closing::Lapsed { wave, newer: Some(by) } => {
            Some(format!("The request to approve wave \"{wave}\" expired with the newer release of run {by}{skipped}."))
        }
        Closing::Alarm { wave, target, alarm } => {
            Some(format!("Alarm \"{alarm}\" in {target} is in ALARM after wave \"{wave}\"{skipped}."))
        }
        Closing::Unlooked { wave, reason } => {
            Some(format!("The alarms of wave \"{wave}\" could not be seen: {reason}{skipped}."))
        }
        Closing::Complete if summary.verdict == Some(Verdict::Failed) => {
            Some("A wave went over its failure tolerance; the app goes on all the same.".to_owned())
        }
        Closing::Complete if summary.tally.failures() > 0 => {
            Some("Every target had its turn; the failures are within what the waves tolerate.".to_owned())
        }
        Closing::Complete => None,
    }
}

/// How many targets were retried in their own account after the run had closed, in words.
pub(crate) fn reopened(summary: &Summary) -> Option<String> {
    match summary.targets.iter().filter(|line| line.reopened_after_close).count() {
        0 => None,
        1 => Some("1 target was retried in its own account after the run had closed.".to_owned()),
        count => Some(format!("{count} targets were retried in their own accounts after the run had closed.")),
    }
}

/// What the run is for, where that is no release of its own. Names in it are untrusted.
pub(crate) fn origin(summary: &Summary) -> Option<String> {
    match &summary.origin {
        Origin::Release => None,
        Origin::Start { by } => Some(format!("Started by {by}.")),
        Origin::Retry { of, by } => Some(format!("Retry of run {of}, wanted by {by}.")),
        Origin::Rollback { of, by } => {
            Some(format!("Rollback of run {of}, wanted by {by}: each target goes back to its own last good release."))
        }
        Origin::Restore { of, by } => {
            Some(format!("After drift check {of}, wanted by {by}: each target gets its own last good release again."))
        }
    }
}

/// How many targets were left alone, and where the engine had nothing to do, in words.
pub(crate) fn unchanged(summary: &Summary) -> Vec<String> {
    let skipped = match summary.unchanged {
        0 => None,
        1 => Some("1 target has this release already and was skipped.".to_owned()),
        count => Some(format!("{} have this release already and were skipped.", targets(count))),
    };
    let already = match summary.already {
        0 => None,
        1 => Some("1 target had this release already: its change set had no changes.".to_owned()),
        count => Some(format!("{} had this release already: their change sets had no changes.", targets(count))),
    };
    skipped.into_iter().chain(already).collect()
}

/// How many deeds are told before the earlier ones are counted.
const DEEDS: usize = 6;

/// What operators did: how many of the earlier deeds are left out, in words, and the latest ones. Names in them are
/// untrusted.
pub(crate) fn deeds(summary: &Summary) -> (Option<String>, &[String]) {
    let left_out = summary.deeds.len().saturating_sub(DEEDS);
    let latest = summary.deeds.get(left_out..).unwrap_or_default();
    let earlier = (left_out > 0).then(|| format!("Earlier decisions: {}", number(left_out)));
    (earlier, latest)
}

/// A wave's name where nothing can be escaped: what could be read as markup is left out.
pub(crate) fn word(name: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_' | '.');
    name.chars().filter(kept).take(48).collect()
}

/// How many results were asked for, in words.
pub(crate) fn asked_for(summary: &Summary) -> Option<String> {
    match summary.asked_for {
        0 => None,
        1 => Some("1 result was asked for, as its event did not arrive.".to_owned()),
        count => Some(format!("{} results were asked for, as their events did not arrive.", number(count))),
    }
}

/// The states that this version does not know, with how many targets told of each. Untrusted.
pub(crate) fn unrecognised(summary: &Summary) -> BTreeMap<&str, usize> {
    let open = summary.targets.iter().filter(|line| Mark::of(line) == Mark::Unknown);
    open.filter_map(|line| line.unrecognised.as_deref()).fold(BTreeMap::new(), |mut states, state| {
        *states.entry(state).or_default() += 1;
        states
    })
}

/// The shape in which a run's targets are shown.
#[derive(Debug)]
pub(crate) enum Grid<'a> {
    /// Nothing was started: there is nothing to tell apart.
    Nothing,
    /// One row a Region; its cells are [`Summary::accounts`].
    ByRegion(Vec<(&'a Region, Vec<Option<&'a TargetLine>>)>),
    /// One row an account, when there are too many for one line; its cells are [`Summary::regions`].
    ByAccount(Vec<(&'a AccountColumn, Vec<Option<&'a TargetLine>>)>),
    /// Too many targets to look at one by one.
    Counts {
        /// In order.
        waves: Vec<Count>,
        /// In the order of the plan.
        regions: Vec<Count>,
        /// Those with most targets to look at first, then in the order of the plan.
        accounts: Vec<Count>,
    },
}

/// How a part of a large run did.
#[derive(Debug, Clone)]
pub(crate) struct Count {
    /// The name of a wave, a Region or an account; from the fleet file.
    pub(crate) name: String,
    /// The account's id.
    pub(crate) account: Option<String>,
    /// How its targets do.
    pub(crate) marks: Marks,
}

impl Count {
    /// Whether every target in it has the release.
    pub(crate) fn is_green(&self) -> bool {
        self.marks.keys().all(|mark| *mark == Mark::Succeeded)
    }

    fn to_look_at(&self) -> usize {
        let good = |mark: &Mark| matches!(mark, Mark::Succeeded | Mark::Waiting | Mark::Skipped);
        self.marks.iter().filter(|(mark, _)| !good(mark)).map(|(_, count)| count).sum()
    }

    fn failures(&self) -> usize {
        [Mark::Failed, Mark::Unreachable, Mark::TimedOut].iter().filter_map(|mark| self.marks.get(mark)).sum()
    }
}

impl<'a> Grid<'a> {
    pub(crate) fn of(summary: &'a Summary) -> Self {
        match State::of(summary) {
            State::Waiting | State::Ended(Verdict::Overtaken) => return Self::Nothing,
            State::InProgress | State::InProgressAgain | State::Ended(_) => {}
        }
        let (accounts, regions) = (&summary.accounts, &summary.regions);
        let small = summary.targets.len() <= MAX_CELLS;
        let at: BTreeMap<_, &TargetLine> =
            summary.targets.iter().map(|line| ((&line.key.account, &line.key.region), line)).collect();
        let find = |account: &'a AccountColumn, region: &'a Region| at.get(&(&account.id, region)).copied();
        if small && accounts.len() <= MAX_COLUMNS {
            let row = |region| (region, accounts.iter().map(|account| find(account, region)).collect());
            return Self::ByRegion(regions.iter().map(row).collect());
        }
        if small && regions.len() <= MAX_COLUMNS {
            let row = |account| (account, regions.iter().map(|region| find(account, region)).collect());
            return Self::ByAccount(accounts.iter().map(row).collect());
        }
        let mut by_wave: Vec<Marks> = vec![Marks::new(); summary.waves.len()];
        let mut by_region: BTreeMap<&Region, Marks> = BTreeMap::new();
        let mut by_account = BTreeMap::new();
        for line in &summary.targets {
            let mark = Mark::of(line);
            if let Some(wave) = usize::try_from(line.wave).ok().and_then(|wave| by_wave.get_mut(wave)) {
                *wave.entry(mark).or_default() += 1;
            }
            *by_region.entry(&line.key.region).or_default().entry(mark).or_default() += 1;
            *by_account.entry(&line.key.account).or_insert_with(Marks::new).entry(mark).or_default() += 1;
        }
        let waves = summary.waves.iter().zip(by_wave);
        let mut accounts: Vec<Count> = accounts
            .iter()
            .map(|account| Count {
                name: account.name.clone(),
                account: Some(account.id.to_string()),
                marks: by_account.remove(&account.id).unwrap_or_default(),
            })
            .collect();
        // A stable sort: equals stay in the order of the plan.
        accounts.sort_by_key(|count| std::cmp::Reverse((count.failures(), count.to_look_at())));
        Self::Counts {
            waves: waves.map(|(wave, marks)| Count { name: wave.name.clone(), account: None, marks }).collect(),
            regions: regions
                .iter()
                .map(|region| Count {
                    name: region.to_string(),
                    account: None,
                    marks: by_region.remove(region).unwrap_or_default(),
                })
                .collect(),
            accounts,
        }
    }
}

/// What to know before following a link into the consoles of a Region's partition, which is that of the whole run.
pub(crate) fn console_note(region: Option<&Region>) -> &'static str {
    match region.map(Region::partition) {
        Some(Partition::AwsCn) => {
            "Links lead to the AWS China console: sign in there, to the account shown, before following one."
        }
        Some(Partition::AwsUsGov) => {
            "Links lead to the AWS GovCloud (US) console: sign in there, to the account shown, before following one."
        }
        Some(Partition::AwsEusc) => {
            "Links lead to the AWS European Sovereign Cloud console: sign in there, to the account shown, before \
             following one."
        }
        Some(Partition::AwsIso) => "This partition has no public console to link to.",
        Some(Partition::Aws) | None => {
            "A link does not choose an account: sign in to the account shown before following one."
        }
    }
}

/// `1 target`, `10,000 targets`.
pub(crate) fn targets(count: impl TryInto<u64>) -> String {
    match count.try_into() {
        Ok(1) => "1 target".to_owned(),
        Ok(count) => format!("{} targets", number(count)),
        Err(_) => "targets".to_owned(),
    }
}

/// A number as people read it: `10,000`.
pub(crate) fn number(count: impl TryInto<u64>) -> String {
    let digits = count.try_into().unwrap_or(u64::MAX).to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
