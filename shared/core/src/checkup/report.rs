//! All findings of a checkup, and the same grouped by cause.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::finding::{Check, Finding, State};
use crate::ids::{AccountId, AppName, Region};

/// What was looked at: the hub, a target, or a Slack channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Subject {
    /// The hub.
    Hub {
        /// A function, the bus, a release pipeline.
        part: String,
    },
    /// A target.
    Target {
        /// Its app.
        app: AppName,
        /// The account's name in the fleet file.
        account_name: String,
        /// The account.
        account: AccountId,
        /// The Region.
        region: Region,
        /// What is started there.
        pipeline: crate::engine::Subject,
    },
    /// A Slack channel, or a webhook.
    Slack {
        /// The channel, or the name of the webhook's secret.
        channel: String,
        /// The apps that it is for.
        apps: Vec<AppName>,
    },
}

impl fmt::Display for Subject {
    /// Such as `web prod/eu-west-1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hub { part } => f.write_str(part),
            Self::Target { app, account_name, region, .. } => write!(f, "{app} {account_name}/{region}"),
            Self::Slack { channel, .. } => f.write_str(channel),
        }
    }
}

/// One subject with its findings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What was looked at.
    pub subject: Subject,
    /// What was found, in the order of [`Check::ALL`].
    pub findings: Vec<Finding>,
}

impl Entry {
    /// The worst of its findings.
    #[must_use]
    pub fn state(&self) -> State {
        worst(&self.findings)
    }
}

/// Everything that a checkup found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Report {
    /// The hub first, then targets in the order of the fleet file, then channels.
    pub entries: Vec<Entry>,
}

/// What has the same cause and the same remedy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group<'a> {
    /// The first such finding.
    pub finding: &'a Finding,
    /// Where it was found, in order.
    pub subjects: Vec<&'a Subject>,
}

impl Report {
    /// The worst of all findings; [`State::Ok`] when there are none but untriable ones.
    #[must_use]
    pub fn state(&self) -> State {
        match worst(self.entries.iter().flat_map(|entry| &entry.findings)) {
            State::Untriable => State::Ok,
            state @ (State::Ok | State::Unknown | State::Fails) => state,
        }
    }

    /// How many findings of a check are in a state.
    #[must_use]
    pub fn count(&self, check: Check, state: State) -> usize {
        let findings = self.entries.iter().flat_map(|entry| &entry.findings);
        findings.filter(|finding| finding.check == check && finding.state == state).count()
    }

    /// How many entries of subjects that `of` takes have this as their worst state.
    pub fn entries_in(&self, state: State, of: impl Fn(&Subject) -> bool) -> usize {
        self.entries.iter().filter(|entry| of(&entry.subject) && entry.state() == state).count()
    }

    /// What is not well, by cause: failures first, then by check. What only follows from another finding is left out.
    #[must_use]
    pub fn groups(&self) -> Vec<Group<'_>> {
        let mut groups: Vec<Group<'_>> = Vec::new();
        for entry in &self.entries {
            for finding in entry.findings.iter().filter(|finding| is_own(finding)) {
                let same = groups.iter_mut().find(|group| {
                    let known = group.finding;
                    (known.check, known.state, &known.cause, &known.remedy)
                        == (finding.check, finding.state, &finding.cause, &finding.remedy)
                });
                match same {
                    Some(group) => group.subjects.push(&entry.subject),
                    None => groups.push(Group { finding, subjects: vec![&entry.subject] }),
                }
            }
        }
        groups.sort_by_key(|group| (std::cmp::Reverse(group.finding.state), group.finding.check));
        groups
    }
}

fn is_own(finding: &Finding) -> bool {
    match finding.state {
        State::Ok => false,
        State::Untriable | State::Unknown | State::Fails => finding.follows_from.is_none(),
    }
}

fn worst<'a>(findings: impl IntoIterator<Item = &'a Finding>) -> State {
    findings.into_iter().map(|finding| finding.state).max().unwrap_or(State::Ok)
}
