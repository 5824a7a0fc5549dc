//! What befalls the calls of a story's functions: drawn from a seed, bounded, and noted.
//!
//! Progress counts here, and not time: a function's n-th call through the front is met by its hazard whenever it is made.
//! Which instance makes it, and for which message, is the machine's choice. Between two calls a function does nothing
//! that anybody else could see, so that a process which is killed in its calls is killed at every moment that matters.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::HeaderMap;
use serde_json::Value;

use super::{dynamodb, text};
use crate::local_aws::chance::draw;
use crate::local_aws::processes::Process;

/// How often the SDK makes a call (`clients::retries`).
const TRIES: u64 = 3;
/// How often the ledger repeats a transaction that was cancelled (`Backoff::default`).
const TRIES_OF_A_TRANSACTION: u64 = 5;
/// Of a hundred commands to the table, so many are struck once or twice, which the SDK gets over.
const STRUCK: u64 = 30;

/// What befalls a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hazard {
    /// DynamoDB throttles it, and does nothing.
    Throttled,
    /// DynamoDB reads half of what it asks for.
    HalfThrottled,
    /// It is carried out, and the connection breaks.
    Unanswered,
    /// The process that makes it is killed, and it is not carried out.
    KilledBefore,
    /// It is carried out, and the process that makes it is killed.
    KilledAfter,
}

/// What one function is to meet.
#[derive(Debug, Clone, Copy)]
pub struct Course {
    /// The function, without its prefix: `deploy`.
    pub function: &'static str,
    /// How many grave hazards: deaths, or as many refusals as make the caller give up.
    pub most: u64,
    /// Each of them comes within so many calls after the last.
    pub within: u64,
}

/// What the functions of a story are to meet.
#[derive(Debug, Clone)]
pub enum Plan {
    /// Processes are killed in their calls to any service that they reach over the front.
    ///
    /// `summarize` is spared from when Slack took the run's first message until its `ts` is in the ledger: the known gap
    /// of law 3, in which no worker's death can be made good.
    Kills {
        /// The workspace of Slack.
        workspace: String,
    },
    /// The table throttles, and loses answers: a share of all calls so that whoever calls gets over it, and the grave ones
    /// for longer than anybody tries. So that nothing is left to chance, each function's first call to each operation is
    /// throttled, and the answer to its second write is lost.
    Throttling,
}

/// A call that was struck.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Struck {
    /// The function, without its prefix.
    pub function: String,
    /// The process that made the call.
    pub process: u32,
    /// Which of the function's calls it was, from 1; the tries of one call count once.
    pub call: u64,
    /// `dynamodb.PutItem`.
    pub operation: String,
    /// What befell it.
    pub hazard: Hazard,
    /// Whether the caller is dead, or was refused as often as it tries.
    pub is_fatal: bool,
}

impl fmt::Display for Struck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { function, process, call, operation, hazard, is_fatal } = self;
        let fatal = if *is_fatal { ", fatal" } else { "" };
        write!(f, "{function} (process {process}), call {call}, {operation}: {hazard:?}{fatal}")
    }
}

/// The hazards of all stories. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Hazards(Arc<Mutex<BTreeMap<String, Story>>>);

#[derive(Debug)]
struct Story {
    seed: u64,
    plan: Plan,
    functions: BTreeMap<&'static str, Function>,
    struck: Vec<Struck>,
    /// The tries of calls that are struck, by what they have in common.
    ongoing: BTreeMap<String, Ongoing>,
    /// How many calls each function has made to each operation.
    known: BTreeMap<(String, String), u64>,
    /// The place of the run's first message in Slack is stored.
    is_recorded: bool,
}

#[derive(Debug)]
struct Function {
    course: Course,
    calls: u64,
    graves: u64,
    /// The call that meets the next grave hazard.
    next: u64,
}

#[derive(Debug, Clone, Copy)]
struct Ongoing {
    call: u64,
    hazard: Hazard,
    left: u64,
    is_grave: bool,
}

/// A call, as far as hazards are about it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Met<'a> {
    pub(super) process: &'a Process,
    pub(super) operation: &'a str,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a [u8],
}

impl Met<'_> {
    /// The prefix of the function's name, and the rest.
    fn function(&self) -> (&str, &str) {
        self.process.function.rsplit_once('-').unwrap_or(("", &self.process.function))
    }

    /// What all tries of one call have in common: the SDK's id of it, and of a transaction the beginning of its token, which the
    /// ledger's own tries share.
    fn identity(&self) -> Option<String> {
        if self.operation == "dynamodb.TransactWriteItems" {
            let body: Value = serde_json::from_slice(self.body).ok()?;
            return Some(body["ClientRequestToken"].as_str()?.split_once('-')?.0.to_owned());
        }
        Some(text(self.headers, "amz-sdk-invocation-id").to_owned()).filter(|id| !id.is_empty())
    }

    fn is_write(&self) -> bool {
        ["dynamodb.PutItem", "dynamodb.TransactWriteItems"].contains(&self.operation)
    }
}

impl Function {
    /// Draws which call meets the next grave hazard.
    fn draw(&mut self, seed: u64) {
        let Course { function, within, .. } = self.course;
        self.next = self.calls + 1 + draw(seed, &format!("grave {} of {function}", self.graves)) % within.max(1);
    }

    fn is_due(&self) -> bool {
        self.graves < self.course.most && self.calls >= self.next
    }
}

impl Hazards {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Story>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on, for functions whose names begin with this prefix and a dash.
    pub fn begin(&self, prefix: &str, seed: u64, plan: Plan, courses: &[Course]) {
        let functions = courses.iter().map(|course| {
            let mut function = Function { course: *course, calls: 0, graves: 0, next: 0 };
            function.draw(seed);
            (course.function, function)
        });
        let story = Story {
            seed,
            plan,
            functions: functions.collect(),
            struck: Vec::new(),
            ongoing: BTreeMap::new(),
            known: BTreeMap::new(),
            is_recorded: false,
        };
        self.lock().insert(prefix.to_owned(), story);
    }

    /// Ends a story's hazards.
    pub fn end(&self, prefix: &str) {
        self.lock().remove(prefix);
    }

    /// What has befallen a story's functions, in order.
    #[must_use]
    pub fn struck(&self, prefix: &str) -> Vec<Struck> {
        self.lock().get(prefix).map(|story| story.struck.clone()).unwrap_or_default()
    }

    pub(super) fn are_there(&self) -> bool {
        !self.lock().is_empty()
    }

    /// What befalls a call. `posted` tells the `ts` of the first message in a workspace.
    pub(super) fn meet(&self, met: Met<'_>, posted: impl Fn(&str) -> Option<String>) -> Option<Hazard> {
        let mut stories = self.lock();
        let (prefix, function) = met.function();
        let story = stories.get_mut(prefix)?;
        match &story.plan {
            Plan::Kills { workspace } => {
                let posted = posted(workspace);
                story.kill(met, function, posted.is_some())
            }
            Plan::Throttling => story.throttle(met, function),
        }
    }

    /// A call was carried out.
    pub(super) fn carried_out(&self, met: Met<'_>, posted: impl Fn(&str) -> Option<String>) {
        let mut stories = self.lock();
        let (prefix, _) = met.function();
        let Some(story) = stories.get_mut(prefix) else { return };
        let Plan::Kills { workspace } = &story.plan else { return };
        // The record of a posted message has its `ts` in it.
        let place = posted(workspace).filter(|_| met.is_write());
        story.is_recorded |= place.is_some_and(|ts| String::from_utf8_lossy(met.body).contains(&ts));
    }

    /// Whether the process whose call was carried out is to die now. If it is spared, its function's next call is its
    /// last.
    pub(super) fn dies(&self, met: Met<'_>, posted: impl Fn(&str) -> Option<String>) -> bool {
        let mut stories = self.lock();
        let (prefix, function) = met.function();
        let Some(story) = stories.get_mut(prefix) else { return false };
        let Plan::Kills { workspace } = &story.plan else { return false };
        let is_posted = posted(workspace).is_some();
        // It may have died in another of its calls meanwhile.
        let is_spared = story.spares(function, is_posted) || story.is_dead(met.process);
        let Some(state) = story.functions.get_mut(function) else { return false };
        if is_spared {
            state.graves -= 1;
            state.next = state.calls;
            return false;
        }
        let call = state.calls;
        story.note(met, function, call, Hazard::KilledAfter, true);
        true
    }
}

impl Story {
    fn note(&mut self, met: Met<'_>, function: &str, call: u64, hazard: Hazard, is_fatal: bool) {
        self.struck.push(Struck {
            function: function.to_owned(),
            process: met.process.id,
            call,
            operation: met.operation.to_owned(),
            hazard,
            is_fatal,
        });
    }

    /// Whether a death now would be in the gap of law 3.
    fn spares(&self, function: &str, is_posted: bool) -> bool {
        function == "summarize" && is_posted && !self.is_recorded
    }

    /// Whether a process was killed; what it had sent before may still arrive.
    fn is_dead(&self, process: &Process) -> bool {
        self.struck.iter().any(|struck| struck.process == process.id)
    }

    fn kill(&mut self, met: Met<'_>, function: &str, is_posted: bool) -> Option<Hazard> {
        let is_spared = self.spares(function, is_posted) || self.is_dead(met.process);
        let state = self.functions.get_mut(function)?;
        state.calls += 1;
        if is_spared || !state.is_due() {
            return None;
        }
        let is_after = draw(self.seed, &format!("when {} of {function} dies", state.graves)).is_multiple_of(2);
        state.graves += 1;
        state.draw(self.seed);
        if is_after {
            return Some(Hazard::KilledAfter);
        }
        let call = state.calls;
        self.note(met, function, call, Hazard::KilledBefore, true);
        Some(Hazard::KilledBefore)
    }

    fn throttle(&mut self, met: Met<'_>, function: &str) -> Option<Hazard> {
        if !met.operation.starts_with("dynamodb.") {
            return None;
        }
        let identity = met.identity()?;
        if !self.ongoing.contains_key(&identity) {
            let drawn = self.draw(met, function)?;
            self.ongoing.insert(identity.clone(), drawn);
        }
        let ongoing = self.ongoing.get_mut(&identity).filter(|ongoing| ongoing.left > 0)?;
        ongoing.left -= 1;
        let Ongoing { call, hazard, left, is_grave } = *ongoing;
        self.note(met, function, call, hazard, is_grave && left == 0);
        Some(hazard)
    }

    /// What befalls a call and its further tries.
    fn draw(&mut self, met: Met<'_>, function: &str) -> Option<Ongoing> {
        let seed = self.seed;
        let calls = self.known.entry((function.to_owned(), met.operation.to_owned())).or_default();
        *calls += 1;
        let (is_first, is_second_write) = (*calls == 1, *calls == 2 && met.is_write());
        let state = self.functions.get_mut(function)?;
        state.calls += 1;
        let call = state.calls;
        let number = draw(seed, &format!("call {call} of {function}"));
        let is_unanswered = met.is_write() && (number / 100).is_multiple_of(3);
        if state.is_due() {
            state.graves += 1;
            state.draw(seed);
            let (hazard, left) = match (is_unanswered, met.operation) {
                (true, _) => (Hazard::Unanswered, TRIES),
                (false, "dynamodb.TransactWriteItems") => (Hazard::Throttled, TRIES_OF_A_TRANSACTION),
                (false, _) => (Hazard::Throttled, TRIES),
            };
            return Some(Ongoing { call, hazard, left, is_grave: true });
        }
        let is_struck = is_first || is_second_write || number % 100 < STRUCK;
        let (hazard, left) = match () {
            () if !is_struck => (Hazard::Throttled, 0),
            () if dynamodb::keys(met.body) > 1 => (Hazard::HalfThrottled, 1),
            () if is_second_write || (is_unanswered && !is_first) => (Hazard::Unanswered, 1),
            () => (Hazard::Throttled, 1 + number / 1000 % 2),
        };
        Some(Ongoing { call, hazard, left, is_grave: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEPLOY: Course = Course { function: "deploy", most: 3, within: 10 };
    const SUMMARIZE: Course = Course { function: "summarize", most: 2, within: 1 };

    /// A call of a process that has made none before.
    fn call(hazards: &Hazards, function: &str, operation: &str, id: &str, body: &str, posted: bool) -> Option<Hazard> {
        let headers = HeaderMap::from_iter([("amz-sdk-invocation-id".parse().unwrap(), id.parse().unwrap())]);
        let id = u32::try_from(hazards.struck("m1").len()).unwrap();
        let process = Process { id, function: format!("m1-{function}") };
        let met = Met { process: &process, operation, headers: &headers, body: body.as_bytes() };
        let posted = |_: &str| posted.then(|| "1766.5".to_owned());
        let hazard = hazards.meet(met, posted);
        if hazard != Some(Hazard::KilledBefore) {
            hazards.carried_out(met, posted);
        }
        match hazard {
            Some(Hazard::KilledAfter) => hazards.dies(met, posted).then_some(Hazard::KilledAfter),
            other => other,
        }
    }

    fn killed(seed: u64) -> Vec<Option<Hazard>> {
        let hazards = Hazards::default();
        hazards.begin("m1", seed, Plan::Kills { workspace: "T1".to_owned() }, &[DEPLOY]);
        assert_eq!(call(&hazards, "collect", "sqs.SendMessage", "0", "", false), None, "it has no course");
        (0..100).map(|_| call(&hazards, "deploy", "sqs.SendMessage", "0", "", false)).collect()
    }

    #[test]
    fn a_seed_kills_the_same_calls_each_time_and_no_more_than_it_may() {
        for seed in 0..20 {
            let once = killed(seed);
            assert_eq!(once, killed(seed));
            let calls: Vec<usize> = (0..100).filter(|at| once[*at].is_some()).collect();
            assert_eq!(calls.len(), 3, "seed {seed}");
            assert!(calls[2] < 30, "each within ten calls after the last: {calls:?}");
        }
        assert_ne!(killed(1), killed(2));
    }

    #[test]
    fn nobody_dies_twice_who_makes_many_calls_at_once() {
        for seed in 0..20 {
            let hazards = Hazards::default();
            hazards.begin("m1", seed, Plan::Kills { workspace: "T1".to_owned() }, &[Course { within: 1, ..DEPLOY }]);
            let process = Process { id: 7, function: "m1-deploy".to_owned() };
            let headers = HeaderMap::new();
            let met = Met { process: &process, operation: "sqs.SendMessage", headers: &headers, body: b"" };
            let drawn: Vec<_> = (0..3).map(|_| hazards.meet(met, |_| None)).collect();
            let after = drawn.iter().filter(|hazard| **hazard == Some(Hazard::KilledAfter));
            let died = after.filter(|_| hazards.dies(met, |_| None)).count();
            let before = drawn.iter().filter(|hazard| **hazard == Some(Hazard::KilledBefore)).count();
            assert_eq!((died + before, hazards.struck("m1").len()), (1, 1), "{drawn:?}");
        }
    }

    #[test]
    fn whoever_has_posted_the_first_message_lives_until_its_place_is_stored() {
        for seed in 0..20 {
            let hazards = Hazards::default();
            hazards.begin("m1", seed, Plan::Kills { workspace: "T1".to_owned() }, &[SUMMARIZE]);
            let put = |body: &str, posted| call(&hazards, "summarize", "dynamodb.PutItem", "0", body, posted);
            assert!(put("lease", false).is_some(), "nothing was posted yet");
            assert_eq!(call(&hazards, "summarize", "slack.chat.postMessage", "0", "", true), None);
            assert_eq!(call(&hazards, "summarize", "dynamodb.GetItem", "0", "1766.5", true), None);
            // The record itself: not before it has landed.
            let killed: Vec<_> = [put("ts 1766.5", true), put("other", true)].into_iter().flatten().collect();
            assert_eq!(killed.len(), 1, "{:?}", hazards.struck("m1"));
        }
    }

    #[test]
    fn all_tries_of_a_call_meet_one_hazard_and_a_grave_one_outlasts_them() {
        let hazards = Hazards::default();
        hazards.begin("m1", 1, Plan::Throttling, &[Course { most: 1, within: 1, ..DEPLOY }]);
        let transact = |try_: u32| {
            let body = format!("{{\"ClientRequestToken\": \"aa-{try_}\", \"TransactItems\": [{{}}, {{}}]}}");
            call(&hazards, "deploy", "dynamodb.TransactWriteItems", &format!("other{try_}"), &body, false)
        };
        let tries: Vec<_> = (1..=6).map(transact).collect();
        let struck = tries.iter().flatten().count();
        assert!(struck == 3 || struck == 5, "{tries:?}");
        assert_eq!(hazards.struck("m1").iter().filter(|struck| struck.is_fatal).count(), 1);
        let get = |id| call(&hazards, "deploy", "dynamodb.GetItem", id, "{}", false);
        assert_eq!(get("first"), Some(Hazard::Throttled), "each operation once");
        let keys = "{\"RequestItems\": {\"t\": {\"Keys\": [{}, {}]}}}";
        let batch = |id| call(&hazards, "deploy", "dynamodb.BatchGetItem", id, keys, false);
        assert_eq!((batch("b"), batch("b")), (Some(Hazard::HalfThrottled), None));
        assert_eq!(call(&hazards, "deploy", "sts.AssumeRole", "s", "", false), None, "the table alone");
    }
}
