//! What goes wrong on request, by the account that calls.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use manifold_aws::clock::SystemClock;
use manifold_ports::clock::Clock;
use tokio::sync::watch;

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is refused: `Throttling` of STS and other query services, `ThrottlingException` of JSON services.
    Throttled,
    /// It is carried out, and the answer is lost.
    Lost(Lost),
}

/// How an answer is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// The connection is closed without an answer.
    Connection,
    /// The answer is a 500.
    ToServerError,
}

/// Which calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The next so many.
    Next(u64),
    /// Every n-th, from now on.
    Every(u64),
    /// Those of a second that are more than so many: what a quota does.
    Above {
        /// How many calls a second go through.
        per_second: u64,
    },
}

/// The faults of all accounts. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Faults(Arc<Mutex<Plan>>);

/// A call that is carried out, and whose answer is kept back. When this is dropped, the answer goes on its way.
#[derive(Debug)]
pub struct Held {
    reached: watch::Receiver<bool>,
    let_go: watch::Sender<bool>,
}

impl Held {
    /// Waits until the call has been carried out.
    pub async fn reached(&mut self) {
        // The other end lives in the front, which outlives every test.
        let _ = self.reached.wait_for(|reached| *reached).await;
    }

    /// Sends the answer, if there is still somebody to take it.
    pub fn let_go(self) {
        self.let_go.send_replace(true);
    }
}

/// The front's end of a [`Held`].
#[derive(Debug)]
pub(super) struct Gate {
    operation: String,
    reached: watch::Sender<bool>,
    let_go: watch::Receiver<bool>,
}

impl Gate {
    pub(super) async fn wait(mut self) {
        self.reached.send_replace(true);
        // A test that ended lets everything go.
        let _ = self.let_go.wait_for(|let_go| *let_go).await;
    }
}

#[derive(Debug, Default)]
struct Plan {
    rules: BTreeMap<String, Vec<Rule>>,
    gates: BTreeMap<String, Vec<Gate>>,
    disabled: BTreeSet<(String, String)>,
}

#[derive(Debug)]
struct Rule {
    operation: String,
    fault: Fault,
    which: Which,
    seen: u64,
    /// The second that the calls in `seen` are of.
    second: i64,
}

impl Rule {
    fn is_for(&self, operation: &str) -> bool {
        let service = operation.split_once('.').map_or(operation, |(service, _)| service);
        self.operation == operation || self.operation == service
    }

    /// Counts a call, and says whether the fault is for it.
    fn strikes(&mut self, second: i64) -> bool {
        match self.which {
            Which::Next(calls) => {
                self.seen += 1;
                self.seen <= calls
            }
            Which::Every(nth) => {
                self.seen += 1;
                self.seen.is_multiple_of(nth)
            }
            Which::Above { per_second } => {
                if self.second != second {
                    (self.second, self.seen) = (second, 0);
                }
                self.seen += 1;
                self.seen > per_second
            }
        }
    }
}

impl Faults {
    fn lock(&self) -> MutexGuard<'_, Plan> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets calls fail that are made with an account's credentials. `operation` is `sts.AssumeRole`, or `sts` for all
    /// of a service. Several rules for one operation each count every call; the first that strikes decides.
    pub fn inject(&self, account: &str, operation: &str, fault: Fault, which: Which) {
        let rule = Rule { operation: operation.to_owned(), fault, which, seen: 0, second: 0 };
        self.lock().rules.entry(account.to_owned()).or_default().push(rule);
    }

    /// Keeps back the answer to the next call of `service.operation` with an account's credentials.
    #[must_use]
    pub fn hold(&self, account: &str, operation: &str) -> Held {
        let (reached, seen) = watch::channel(false);
        let (let_go, gone) = watch::channel(false);
        let gate = Gate { operation: operation.to_owned(), reached, let_go: gone };
        self.lock().gates.entry(account.to_owned()).or_default().push(gate);
        Held { reached: seen, let_go }
    }

    /// The gate before which the answer to a call waits.
    pub(super) fn gate(&self, account: &str, operation: &str) -> Option<Gate> {
        let mut plan = self.lock();
        let gates = plan.gates.get_mut(account)?;
        let at = gates.iter().position(|gate| gate.operation == operation)?;
        Some(gates.remove(at))
    }

    /// Ends all faults of an account.
    pub fn clear(&self, account: &str) {
        let mut plan = self.lock();
        plan.rules.remove(account);
        plan.disabled.retain(|(disabled, _)| disabled != account);
    }

    /// A Region that an account has not enabled: nothing there but STS knows the account's credentials (AWS Account Management Reference Guide, "Enable or disable AWS Regions in your account").
    pub fn disable_region(&self, account: &str, region: &str) {
        self.lock().disabled.insert((account.to_owned(), region.to_owned()));
    }

    pub(super) fn is_disabled(&self, account: &str, region: &str) -> bool {
        self.lock().disabled.contains(&(account.to_owned(), region.to_owned()))
    }

    /// What happens to a call of `service.operation`.
    pub(super) fn decide(&self, account: &str, operation: &str) -> Option<Fault> {
        let second = SystemClock.now().as_seconds();
        let mut plan = self.lock();
        let rules = plan.rules.get_mut(account)?.iter_mut().filter(|rule| rule.is_for(operation));
        // Every rule counts the call, also behind one that strikes.
        let struck: Vec<Fault> = rules.filter_map(|rule| rule.strikes(second).then_some(rule.fault)).collect();
        struck.first().copied()
    }
}
