//! What a letter is in words, why it is probably there, and whether putting it back would help.

use serde::Serialize;

use super::{
    Content, Fact, Facts, Inbox, Known, Letter, Planning, Releases, Undelivered, belongs, run_named, run_of, words,
};
use crate::control::Request;
use crate::drift::Note;
use crate::event::{Envelope, Event as Happened, PipelineEvent};
use crate::ids::{Attempt, ExecutionRef, Nonce, RunId, TargetKey};
use crate::ledger::Key;
use crate::message::{Payload, SCHEMA};
use crate::run::sweep::Telling;
use crate::run::{Event, Head, Observation, Run, Status, Target, Told, Verdict};
use crate::time::{Span, Timestamp};

/// What a letter's case is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// What it asks for is still to be done.
    Pending,
    /// A release that can't be planned with this fleet file.
    Unplannable,
    /// The body is neither a message of ours nor an event.
    Unreadable,
    /// A newer version wrote it.
    TooNew,
    /// A message of ours that another function reads.
    Misplaced,
    /// An undelivered event that does not say to which of the hub's queues it was to go.
    Undirected,
    /// What it asks for was done already.
    Done,
    /// Its run has its verdict.
    RunOver,
    /// A release that is older than one that was taken in.
    Overtaken,
    /// The ledger has no such run.
    NoRun,
    /// It concerns no run: another execution's, another pipeline's, another kind of event.
    NotOurs,
    /// The ledger could not be read.
    Unknown,
}

/// What a redrive would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Redrive {
    /// Something is left to do, and it would be done, if the cause has gone.
    Helps,
    /// Not known.
    Unknown,
    /// It would be refused again, and come back here.
    ComesBack,
    /// Nothing is left to do: it would be taken in, and change nothing that counts.
    ChangesNothing,
}

/// What is to be told of a letter. Equal cases have equal words, so that they can be told once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Judgement {
    /// What it is: `start web dev/us-east-1, attempt 1, of run web-0f3a5b7c9d1e2f40`.
    pub what: String,
    /// The run that it concerns, if that is known.
    pub run: Option<RunId>,
    /// The case.
    pub kind: Kind,
    /// Why EventBridge could not deliver it, in its own words.
    pub cause: Option<String>,
    /// How things stand.
    pub why: String,
    /// What a redrive would do.
    pub redrive: Redrive,
    /// What to do.
    pub advice: &'static str,
}

/// How things stand with what a letter asks for.
struct Case {
    kind: Kind,
    why: String,
    redrive: Redrive,
    advice: &'static str,
}

const DROP: &str = "drop it; redriven, it is taken in and changes nothing";
const DROP_POISON: &str = "drop it; redriven, it would come back here";
const DROP_STRAY: &str = "drop it: nothing says where it could be redriven to";
const MEND: &str = "mend the cause, then redrive it";
const MEND_OR_WAIT: &str = "mend the cause, then redrive it; the sweep sends the same again meanwhile";
const UPDATE: &str = "update the hub with manifold install, then redrive it; this version would refuse it again";

impl Case {
    fn pending(why: impl Into<String>, advice: &'static str) -> Self {
        Self { kind: Kind::Pending, why: why.into(), redrive: Redrive::Helps, advice }
    }

    fn done(why: impl Into<String>) -> Self {
        Self { kind: Kind::Done, why: why.into(), redrive: Redrive::ChangesNothing, advice: DROP }
    }

    fn no_run() -> Self {
        let why = "the ledger has no such run: it was forgotten, or is another hub's";
        Self { kind: Kind::NoRun, ..Self::done(why) }
    }

    fn not_ours(why: impl Into<String>) -> Self {
        Self { kind: Kind::NotOurs, ..Self::done(why) }
    }

    fn over(verdict: Verdict) -> Self {
        Self { kind: Kind::RunOver, ..Self::done(format!("its run has its verdict: {}", verdict.words())) }
    }

    fn poison(kind: Kind, why: impl Into<String>, advice: &'static str) -> Self {
        Self { kind, why: why.into(), redrive: Redrive::ComesBack, advice }
    }
}

impl Letter {
    /// Judges a letter by what is known, now. `nonce` is the mark of a worker that is none: nothing is written with it.
    #[must_use]
    pub fn judge(&self, releases: &[Releases], known: &Known, now: Timestamp, nonce: &Nonce) -> Judgement {
        let unread = self.keys(releases, known).iter().find_map(|key| match known.get(key) {
            Some(Fact::Unread(reason)) => Some(words(reason)),
            Some(Fact::Absent | Fact::Stored(_)) | None => None,
        });
        let case = match (&self.content, unread) {
            (Content::Unreadable(_), _) => Case::poison(Kind::Unreadable, "its body can't be read", DROP_POISON),
            (Content::TooNew(found), _) => {
                let why = format!("its schema {found} is newer than {SCHEMA}, the newest that this version reads");
                Case::poison(Kind::TooNew, why, UPDATE)
            }
            (Content::Event(_), _) if self.inbox.is_none() => {
                let why = "its attribute TARGET_ARN names none of the hub's queues";
                Case::poison(Kind::Undirected, why, DROP_STRAY)
            }
            (Content::Message(payload), _) if !belongs(payload, self.inbox) => {
                Case::poison(Kind::Misplaced, "another function reads such messages", DROP_POISON)
            }
            (_, Some(reason)) => Case {
                kind: Kind::Unknown,
                why: format!("the ledger could not be read: {reason}"),
                redrive: Redrive::Unknown,
                advice: "look again when the ledger can be read; a redrive does no harm",
            },
            (Content::Message(payload), None) => Look { known, now, nonce }.message(payload),
            (Content::Event(envelope), None) => match (self.release(), self.inbox) {
                (Some((envelope, told)), _) => release(releases, known, envelope, told),
                (None, Some(Inbox::Collect)) => Look { known, now, nonce }.event(envelope),
                (None, Some(Inbox::Dispatch | Inbox::Deploy | Inbox::Summarize | Inbox::Inspect) | None) => {
                    Case::not_ours("it announces no release")
                }
            },
        };
        let Case { kind, why, redrive, advice } = case;
        let cause = self.undelivered.as_ref().map(Undelivered::words);
        Judgement { what: self.what(known), run: self.run(releases, known), kind, cause, why, redrive, advice }
    }

    /// The run that it concerns; of a release that several apps share, the first one's.
    fn run(&self, releases: &[Releases], known: &Known) -> Option<RunId> {
        match &self.content {
            Content::Message(payload) => Some(run_named(payload)),
            Content::Event(envelope) => match self.release() {
                Some((envelope, told)) => releases.first().map(|app| run_of(&app.app, envelope, told)),
                None => Observation::of(envelope).and_then(|observation| known.owner(&observation)),
            },
            Content::TooNew(_) | Content::Unreadable(_) => None,
        }
    }

    fn what(&self, known: &Known) -> String {
        match &self.content {
            Content::Unreadable(reason) => reason.clone(),
            Content::TooNew(found) => format!("a message of schema {found}"),
            Content::Message(payload) => message_in_words(payload, known),
            Content::Event(envelope) => match self.release() {
                Some((envelope, told)) => {
                    let Envelope { account, region, .. } = envelope;
                    format!("release event of {} in {account}/{region}, execution {}", told.pipeline, told.execution)
                }
                None => event_in_words(envelope),
            },
        }
    }
}

impl Undelivered {
    fn words(&self) -> String {
        let code = self.code.as_deref().map_or_else(|| "no reason given".to_owned(), words);
        let message = self.message.as_deref().map(|text| format!(": {}", words(text))).unwrap_or_default();
        let exhausted = self.exhausted.as_deref().map(|text| format!(" ({})", words(text))).unwrap_or_default();
        // A rule's name is the last part of its ARN, on any bus.
        let rule = self.rule.as_deref().and_then(|arn| arn.rsplit('/').next()).map(words);
        let rule = rule.map(|rule| format!(" of rule {rule}")).unwrap_or_default();
        format!("EventBridge could not deliver this event{rule}: {code}{message}{exhausted}")
    }
}

fn message_in_words(payload: &Payload, known: &Known) -> String {
    match payload {
        Payload::Start { run, index, attempt } => match known.planned(run, *index) {
            Some(planned) => format!(
                "start {} {}/{}, attempt {attempt}, of run {run}",
                run.app(),
                planned.account_name,
                planned.key.region
            ),
            None => format!("start target {index} of run {run}, attempt {attempt}"),
        },
        Payload::Explain { run, target, execution, .. } => {
            format!("ask why execution {execution} in {target} failed, for run {run}")
        }
        Payload::Ask { run, targets, .. } => match targets.as_slice() {
            [one] => format!("ask how {one} stands, for run {run}"),
            many => format!("ask how {} targets stand, for run {run}", many.len()),
        },
        Payload::Summarize { run } => format!("bring the summary of run {run} up to date"),
        Payload::Activate { run } => format!("begin run {run}"),
        Payload::Notify { notice } => format!("tell of {} in {}", notice.pipeline, notice.source.target),
        Payload::Advance { run } => format!("see whether what run {run} holds for is over"),
        Payload::Command { run, command } => {
            format!("{} run {run}, as {} wants", command.what.verb(), words(&command.who.to_string()))
        }
        Payload::Open { request } => {
            let what = match &request.what {
                Request::Start { app, source, .. } => format!("start {app} with release {}", source.id),
                Request::Retry { of, .. } => format!("retry run {of}"),
                Request::Rollback { of, .. } => format!("roll run {of} back"),
                Request::Restore { of, .. } => format!("bring back what drift check {of} found changed"),
            };
            format!("{what}, as {} wants", words(&request.who.to_string()))
        }
        Payload::Stop { run, .. } => format!("stop what runs of run {run}"),
        Payload::Alarms { run, wave, .. } => format!("look at the alarms of wave {} of run {run}", wave + 1),
        Payload::Drift(note) => match note {
            Note::Open { request } => {
                format!("check {} for drift, as {} wants", request.what.app, words(&request.who.to_string()))
            }
            Note::Inspect { check, targets, .. } => {
                format!("look at {} targets for drift check {check}", targets.len())
            }
            Note::Looked { check, seen, .. } => {
                format!("what was seen of {} targets for drift check {check}", seen.len())
            }
            Note::Settle { check } => format!("judge drift check {check}"),
            Note::Order { check, command } => {
                let who = words(&command.who.to_string());
                format!("{} after drift check {check}, as {who} wants", words(&command.what.words()))
            }
            Note::Tell { check } => format!("bring the message of drift check {check} up to date"),
            Note::Revert { check, stack, .. } => {
                format!("prepare to revert stack {}, after drift check {check}", words(stack))
            }
        },
        Payload::Deadline { run } => format!("give up what is silent in run {run}, as its deadline has passed"),
    }
}

fn event_in_words(envelope: &Envelope) -> String {
    let place = format!("{}/{}", envelope.account, envelope.region);
    match &envelope.event {
        Happened::Pipeline(told) => {
            let state = words(told.state.as_str());
            format!("{state} of {} in {place}, execution {}", told.pipeline, told.execution)
        }
        Happened::Stage(told) => {
            let (stage, state) = (words(&told.stage), words(told.state.as_str()));
            format!("{state} of stage {stage} of {} in {place}, execution {}", told.pipeline, told.execution)
        }
        Happened::Action(told) => {
            let (action, state) = (words(&told.action), words(told.state.as_str()));
            format!("{state} of action {action} of {} in {place}, execution {}", told.pipeline, told.execution)
        }
        Happened::Build(told) => {
            let state = words(told.state.as_str());
            format!("{state} of build {} in {place}", told.build)
        }
        Happened::Phase(told) => format!("end of phase {} of build {} in {place}", words(&told.phase), told.build),
        Happened::Stack(told) => format!("{} of stack {} in {place}", words(told.status.as_str()), told.stack),
        Happened::Resource(told) => {
            let (status, resource) = (words(told.status.as_str()), words(&told.resource));
            format!("{status} of resource {resource} of stack {} in {place}", told.stack)
        }
        Happened::StackSet(told) => format!("{} of stack set {}", words(&told.status), words(&told.stack_set)),
        Happened::Deployment(told) => {
            let state = words(told.state.as_str());
            format!("{state} of deployment {} of {} in {place}", told.deployment, told.group.as_str())
        }
        Happened::Instance(told) => {
            let state = words(told.state.as_str());
            format!("{state} of an instance in deployment {} of {} in {place}", told.deployment, told.group.as_str())
        }
        Happened::Drift(told) => format!("drift detection {} in {place}", words(&told.detection)),
        Happened::Scheduled { .. } => format!("tick of a schedule in {place}"),
        Happened::Other { source, detail_type } => format!("{} of {} in {place}", words(detail_type), words(source)),
    }
}

/// A look at runs as the ledger has them.
struct Look<'a> {
    known: &'a Known,
    now: Timestamp,
    nonce: &'a Nonce,
}

impl Look<'_> {
    fn message(&self, payload: &Payload) -> Case {
        let run = &run_named(payload);
        if let Payload::Drift(note) = payload {
            return self.note(note);
        }
        let Some((head, version)) = self.known.head(run) else {
            return match payload {
                Payload::Open { .. } => Case::pending("the run that it wants was not opened", MEND),
                Payload::Notify { .. } => Case::pending("Slack may not have been told of it", MEND_OR_WAIT),
                Payload::Start { .. }
                | Payload::Explain { .. }
                | Payload::Ask { .. }
                | Payload::Summarize { .. }
                | Payload::Activate { .. }
                | Payload::Advance { .. }
                | Payload::Command { .. }
                | Payload::Stop { .. }
                | Payload::Alarms { .. }
                | Payload::Drift(_)
                | Payload::Deadline { .. } => Case::no_run(),
            };
        };
        match payload {
            Payload::Start { run, index, attempt } => self.start(head, run, *index, *attempt),
            Payload::Explain { run, target, execution, .. } => {
                let execution = ExecutionRef { target: target.clone(), id: execution.clone() };
                self.explain(run, &execution)
            }
            Payload::Ask { run, targets, .. } => self.ask(head, run, targets),
            Payload::Summarize { run } => {
                let posting = self.known.posting(run);
                match (Telling::of(head, version, posting), posting.and_then(|posting| posting.refused.as_deref())) {
                    (_, Some(code)) => Case::done(format!("Slack refused the run's summary for good: {}", words(code))),
                    (Telling::Behind, None) => Case::pending("Slack does not show how its run stands", MEND_OR_WAIT),
                    (Telling::Told | Telling::Current, None) => Case::done("Slack shows all that is to be told"),
                }
            }
            Payload::Activate { .. } => match self.step(head, None, Event::Activated) {
                (Told::Changed, _) => Case::pending("its run's turn has come, and it has not begun", MEND_OR_WAIT),
                (
                    Told::Duplicate
                    | Told::Claimed { .. }
                    | Told::Held { .. }
                    | Told::Early { .. }
                    | Told::Behind { .. }
                    | Told::Decided(_)
                    | Told::TooLate
                    | Told::Stray(_),
                    _,
                ) => over_or(head, "its run has begun"),
            },
            Payload::Open { .. } => Case::done("the run that it wants was opened"),
            Payload::Notify { .. } => Case::pending("Slack may not have been told of it", MEND_OR_WAIT),
            Payload::Advance { .. } => match self.step(head, None, Event::Advanced).0 {
                Told::Changed => Case::pending("what its run held for is over, and it has not gone on", MEND_OR_WAIT),
                Told::Duplicate
                | Told::Claimed { .. }
                | Told::Held { .. }
                | Told::Early { .. }
                | Told::Behind { .. }
                | Told::Decided(_)
                | Told::TooLate
                | Told::Stray(_) => over_or(head, "what its run holds for is not over; then this message is sent anew"),
            },
            Payload::Command { command, .. } => {
                let key = Key::Decision(run.clone(), command.at, command.id.to_string());
                match self.known.record(&key) {
                    Some(_) => Case::done("it was decided, and is recorded with the run"),
                    None => Case::pending("nobody has acted on it", MEND),
                }
            }
            Payload::Drift(note) => self.note(note),
            Payload::Stop { .. } => match head.verdict() {
                Some(verdict) => Case::over(verdict),
                None => Case::pending("something may still run that is to be stopped", MEND_OR_WAIT),
            },
            Payload::Alarms { wave, .. } => match head.baking() {
                Some((baking, _)) if baking == *wave => Case::pending("its wave still bakes", MEND_OR_WAIT),
                Some(_) | None => over_or(head, "its wave does not bake any more"),
            },
            Payload::Deadline { .. } => match (head.verdict(), head.due_at()) {
                (Some(verdict), _) => Case::over(verdict),
                (None, Some(due)) if due <= self.now => {
                    Case::pending("the deadline has passed, and its run has no verdict", MEND_OR_WAIT)
                }
                (None, _) => Case::done("the deadline has not passed; when it does, this message is sent anew"),
            },
        }
    }

    /// What is asked for a drift check. What it still needs it is asked for again by the sweep.
    fn note(&self, note: &Note) -> Case {
        let check = self.known.check(&note.check());
        match (note, check) {
            (Note::Open { .. }, None) => Case::pending("the check that it wants was not opened", MEND),
            (Note::Open { .. }, Some(_)) => Case::done("its check was opened"),
            (_, None) => Case::no_run(),
            (Note::Order { .. } | Note::Revert { .. }, Some(_)) => {
                Case::pending("an operator's decision may not have been carried out", MEND)
            }
            (Note::Tell { .. }, Some(_)) => Case::pending("Slack may not show how the check stands", MEND_OR_WAIT),
            (Note::Inspect { .. } | Note::Looked { .. } | Note::Settle { .. }, Some(check)) => match check.closed() {
                Some(_) => Case::done("its check has ended"),
                None => Case::pending("its check goes on", MEND_OR_WAIT),
            },
        }
    }

    /// Steps an event into a copy of the run that is thrown away. Says what became of it, and whether facts changed.
    fn step(&self, head: &Head, target: Option<&TargetKey>, event: Event) -> (Told, Vec<Target>) {
        let queue = self.known.queue(&head.app).cloned().unwrap_or_default();
        let target = target.and_then(|key| self.known.target(&head.run, key)).cloned();
        let (run, told) = Run::load(head.clone(), queue, target).step(event, self.now);
        (told, run.finish().targets)
    }

    fn start(&self, head: &Head, run: &RunId, index: u32, attempt: Attempt) -> Case {
        let Some(planned) = self.known.planned(run, index).cloned() else {
            return Case::done("its run's plan has no such target");
        };
        let key = planned.key.clone();
        let lease = Span::from_millis(0);
        let claim = Event::Claim { planned: Box::new(planned), attempt, nonce: self.nonce.clone(), lease };
        let (told, changed) = self.step(head, Some(&key), claim);
        match (told, changed.first().map(Target::status)) {
            (Told::Claimed { .. }, _) => Case::pending("its target waits to be started", MEND_OR_WAIT),
            (Told::Held { .. }, _) => Case::pending("another worker is starting its target just now", MEND_OR_WAIT),
            (Told::Early { .. }, _) => Case::pending("its target waits for its turn", MEND_OR_WAIT),
            (Told::Behind { target }, _) => {
                Case::done(format!("its target waits for {target} to end; then this message is sent anew"))
            }
            // A target whose turn came and that must not be started any more ends with this message.
            (Told::TooLate, Some(Status::Ended(outcome))) => Case::pending(
                format!("its target was not started and must not be any more: it is to end as {}", outcome.words()),
                MEND_OR_WAIT,
            ),
            (Told::Stray(why), _) => Case::done(why),
            (Told::TooLate | Told::Changed | Told::Duplicate | Told::Decided(_), _) => {
                let now_at = self.known.target(run, &key).filter(|target| target.attempt != attempt);
                match now_at {
                    Some(target) => over_or(head, &format!("its target is at attempt {}", target.attempt)),
                    None => over_or(head, &format!("its target {}", self.stands(run, &key))),
                }
            }
        }
    }

    fn explain(&self, run: &RunId, execution: &ExecutionRef) -> Case {
        match self.known.target(run, &execution.target) {
            Some(target) if target.execution.as_ref() == Some(&execution.id) => match target.is_unexplained() {
                true => Case::pending("why its target failed is still not known; nobody else asks", MEND),
                false => Case::done("why its target failed is known, or it did not fail"),
            },
            Some(_) | None => Case::done("its target is at another execution"),
        }
    }

    fn ask(&self, head: &Head, run: &RunId, targets: &[TargetKey]) -> Case {
        let is_open = |key: &&TargetKey| {
            let target = self.known.target(run, key);
            target.is_some_and(|target| target.execution.is_some() && target.status().outcome().is_none())
        };
        match targets.iter().any(|key| is_open(&key)) {
            true => Case::pending("its targets have not ended, as far as is known", MEND_OR_WAIT),
            false => over_or(head, "its targets have ended"),
        }
    }

    fn event(&self, envelope: &Envelope) -> Case {
        let Some(observation) = Observation::of(envelope) else {
            return Case::not_ours("such events move no run");
        };
        let Some(run) = self.known.owner(&observation) else {
            return Case::not_ours("no run is known to have started its execution");
        };
        let Some((head, _)) = self.known.head(&run) else { return Case::no_run() };
        let key = observation.target.clone();
        match self.step(head, Some(&key), Event::Observed(Box::new(observation))) {
            (Told::Changed, _) => {
                let why = format!("it is news to the ledger, for which its target {}", self.stands(&run, &key));
                Case::pending(why, MEND)
            }
            (Told::Stray(why), _) => Case::not_ours(why),
            (
                Told::Duplicate
                | Told::Claimed { .. }
                | Told::Held { .. }
                | Told::Early { .. }
                | Told::Behind { .. }
                | Told::Decided(_)
                | Told::TooLate,
                _,
            ) => over_or(head, &format!("the ledger knows what it tells: its target {}", self.stands(&run, &key))),
        }
    }

    /// How a target stands, after "its target".
    fn stands(&self, run: &RunId, key: &TargetKey) -> String {
        let status = self.known.target(run, key).map_or(Status::Waiting, Target::status);
        match status {
            Status::Waiting | Status::Queued => "waits to be started".to_owned(),
            Status::Starting => "is being started".to_owned(),
            Status::Running => "is running".to_owned(),
            Status::Stopping => "is stopping".to_owned(),
            Status::Ended(outcome) => format!("has ended: {}", outcome.words()),
        }
    }
}

/// The verdict, if there is one, says more than how one target stands.
fn over_or(head: &Head, why: &str) -> Case {
    head.verdict().map_or_else(|| Case::done(why), Case::over)
}

/// The case of the app for which most is left to do.
fn release(releases: &[Releases], known: &Known, envelope: &Envelope, told: &PipelineEvent) -> Case {
    let of_app = |app: &Releases| {
        let run = run_of(&app.app, envelope, told);
        if let Some((head, _)) = known.head(&run) {
            return over_or(head, "its run is open");
        }
        let newest = known.queue(&app.app).and_then(|queue| queue.newest.as_ref());
        if newest.is_some_and(|newest| newest.released_at > envelope.at) {
            return Case {
                kind: Kind::Overtaken,
                why: "a newer release was taken in since".to_owned(),
                redrive: Redrive::ChangesNothing,
                advice: "drop it; redriven, its run is opened and closed at once, as overtaken",
            };
        }
        match &app.plan {
            Planning::Fits => Case::pending("its run was not opened", MEND),
            Planning::Unsure(reason) => Case {
                kind: Kind::Pending,
                why: format!("its run was not opened; with what the event tells, {}", words(reason)),
                redrive: Redrive::Unknown,
                advice: MEND,
            },
            Planning::Fails(reason) => Case::poison(
                Kind::Unplannable,
                format!("its run can't be planned with this fleet file: {}", words(reason)),
                "mend the fleet file, package and install it, then redrive it; until then it comes back here",
            ),
        }
    };
    let cases = releases.iter().map(of_app).min_by_key(|case| case.redrive);
    cases.unwrap_or_else(|| Case {
        advice: "drop it; or, if an app should be, package and install the fleet file that says so, then redrive it",
        ..Case::not_ours("no app of this fleet file is released by its pipeline")
    })
}
