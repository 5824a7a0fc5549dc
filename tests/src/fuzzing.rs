//! What must hold of any input, however bad: one function for each way in. The fuzzers of `tests/fuzz/` search for
//! inputs that break it; `tests/tests/robust.rs` tries some thousand in a few seconds.
//!
//! Of each: no panic, and an error that is clear and short, whatever it was that could not be read. Memory is measured by
//! the tests, and bounded by the fuzzers' own limit.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Debug, Display};
use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::OnceLock;

use manifold_core::brief::brief;
use manifold_core::checkup::{self, Question};
use manifold_core::control::{Command, Order, Via, Who};
use manifold_core::drift::check::Tally;
use manifold_core::drift::definition::differences;
use manifold_core::drift::report::{self, Report};
use manifold_core::drift::settle::Facts;
use manifold_core::drift::{
    Aspect, Cause, Check, Looked, Looks, Phase, Policy, Quiet, Response, Settled, Standing, settle,
};
use manifold_core::event::{self, DecodeError, Input, decode_event, decode_input, decode_input_str};
use manifold_core::ids::{AccountId, AppName, ExecutionId, InvalidId, Nonce, PipelineName, Region, RoleArn, RunId};
use manifold_core::ledger::Item;
use manifold_core::message::{Message, SCHEMA};
use manifold_core::pace::{Api, Pace};
use manifold_core::plan::{Channel, PlannedTarget};
use manifold_core::press;
use manifold_core::release::Revision;
use manifold_core::run::machine::AppQueue;
use manifold_core::run::sweep::{Look, OpenRun, View};
use manifold_core::run::{AlarmsSeen, Event, Head, Observation, Run, Target};
use manifold_core::summary::{Action, Payload, Summary, slack, text};
use manifold_core::time::{Span, Timestamp};
use manifold_core::wildcard;
use manifold_fleet::Fleet;
use serde_json::{Value, json};

use crate::EVENT;

/// A way in: its name, which is its fuzz target's, and what must hold.
pub type Surface = (&'static str, fn(&[u8]));

/// Every way in.
pub const SURFACES: [Surface; 12] = [
    ("event", event),
    ("batch", batch),
    ("job", job),
    ("schedule", schedule),
    ("message", message),
    ("item", item),
    ("question", question),
    ("press", press),
    ("fleet", fleet),
    ("names", names),
    ("pattern", pattern),
    ("words", words),
];

/// The longest error, in bytes. The longest names of fields and of what was expected fit, and a cut value.
const MOST_OF_AN_ERROR: usize = 2_000;

/// An error is one line that says something, however much there was to say.
fn is_clear(error: &impl Display) {
    let text = error.to_string();
    assert!(!text.trim().is_empty(), "an error without words");
    assert!(text.len() <= MOST_OF_AN_ERROR, "an error of {} bytes: {}", text.len(), brief(&text));
    assert!(!text.contains(['\n', '\r']), "an error of more than one line: {text:?}");
}

fn lossy(data: &[u8]) -> String {
    String::from_utf8_lossy(data).into_owned()
}

/// An EventBridge event.
pub fn event(data: &[u8]) {
    match decode_event(&lossy(data)) {
        Ok(envelope) => {
            let observation = Observation::of(&envelope);
            if let Some(observation) = &observation {
                assert_eq!(Some(observation.execution_ref()), envelope.execution());
                let stored = serde_json::to_string(observation).expect("an observation can be stored");
                assert_eq!(serde_json::from_str::<Observation>(&stored).as_ref().ok(), Some(observation));
            }
        }
        Err(error) => is_clear(&error),
    }
}

/// A batch of messages, and whatever else a function is invoked with. A body among sound ones fails alone.
pub fn batch(data: &[u8]) {
    let body = lossy(data);
    if let Err(error) = decode_input_str(&body) {
        is_clear(&error);
    }
    let records = json!({ "Records": [
        { "messageId": "before", "body": EVENT },
        { "messageId": "bad", "body": body },
        { "messageId": "after", "body": EVENT },
    ]});
    let batch = event::decode_batch(&records).expect("a bad body does not cost the batch");
    let ids: Vec<&str> = batch.records.iter().map(|record| record.message_id.as_str()).collect();
    assert_eq!(ids, ["before", "bad", "after"]);
    assert!(batch.records[0].event().is_ok() && batch.records[2].event().is_ok());
    let Ok(value) = serde_json::from_str::<Value>(&body) else { return };
    // A record of any shape, as long as it can be named.
    let mut record = value.clone();
    if let Some(fields) = record.as_object_mut() {
        fields.insert("messageId".to_owned(), json!("bad"));
        let records = json!({ "Records": [{ "messageId": "good", "body": EVENT }, record] });
        let batch = event::decode_batch(&records).expect("a bad record does not cost the batch");
        assert!(batch.records[0].event().is_ok());
        if let Err(error) = batch.records[1].event() {
            is_clear(&error);
        }
    }
}

/// A CodePipeline job. It carries credentials, so that its error may quote nothing.
pub fn job(data: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(data) else { return };
    let inside = json!({ "CodePipeline.job": value });
    for (input, is_job) in [(&value, false), (&inside, true)] {
        match decode_input(input) {
            Ok(Input::Job(job)) => {
                if let Some(secret) = job.user_parameters.as_deref().filter(|secret| secret.len() > 12) {
                    assert!(!format!("{job:?}").contains(secret), "a job's debug form shows its parameters");
                }
            }
            Ok(Input::Batch(_) | Input::Event(_) | Input::Schedule(_) | Input::Hook(_)) => {}
            Err(error) => {
                is_clear(&error);
                // Of an object that is nothing, which a blank job is too, the keys are named.
                let names_keys = matches!(error, DecodeError::UnknownInput { .. });
                assert!(
                    !is_job || names_keys || !error.to_string().contains('"'),
                    "an error about a job quotes it: {error}"
                );
            }
        }
    }
}

/// A tick of a schedule.
pub fn schedule(data: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(data) else { return };
    for input in [value.clone(), json!({ "kind": value.clone() }), json!({ "scheduledTime": value })] {
        match decode_input(&input) {
            Ok(_) => {}
            Err(error) => is_clear(&error),
        }
    }
}

/// A message between functions.
pub fn message(data: &[u8]) {
    let body = lossy(data);
    let is_ours = Message::is_ours(&body);
    match Message::decode(&body) {
        Ok(message) => {
            assert!(message.schema <= SCHEMA);
            let again = message.encode().expect("a message can be written");
            assert_eq!(Message::decode(&again).as_ref(), Ok(&message));
            assert!(Message::is_ours(&again));
            assert!(is_ours || body.contains("detail-type"), "a message that nobody takes for one");
        }
        Err(error) => is_clear(&error),
    }
}

/// A stored item. What can be read is looked at in every way in which the functions look at it.
pub fn item(data: &[u8]) {
    let item: Item = match serde_json::from_slice(data) {
        Ok(item) => item,
        Err(error) => return is_clear(&brief(&error.to_string())),
    };
    let again = serde_json::to_string(&item).expect("an item can be written");
    assert_eq!(serde_json::from_str::<Item>(&again).as_ref().ok(), Some(&item));
    let (sample, now) = (sample(), sample().head.opened_at);
    match item {
        Item::Head(head) => {
            black_box((head.latest_unlocked(), head.is_released(7), head.wave_over_tolerance()));
            black_box((head.hold(now), head.baking().is_some(), head.wants_rollback()));
            let newer = head.run.clone();
            let commands =
                [Order::Pause, Order::Resume, Order::Abort { stop: true }, Order::Approve { wave: "all".into() }];
            let commands = commands.map(|what| {
                let id = "fuzz".parse().expect("a nonce");
                let who = Who { via: Via::Cli, id: "fuzz".to_owned(), name: None };
                Event::Commanded(Box::new(Command { id, at: now, who, why: None, what }))
            });
            let events = [Event::Activated, Event::DeadlinePassed { silent: sample.plan.clone() }, Event::Advanced];
            let alarms = Event::Alarms { wave: 0, began: now, seen: AlarmsSeen::Clear };
            for event in events.into_iter().chain(commands).chain([Event::Newer { run: newer }, alarms]) {
                step(*head.clone(), sample.targets.clone(), event, now);
            }
            shown(&Summary::of(&head, &sample.plan, &sample.targets));
            look_after(&head, AppQueue::default(), &sample.plan, &sample.targets);
        }
        Item::Target(target) => {
            black_box((
                target.ended_at(),
                target.execution_ref(),
                target.is_unexplained(),
                Observation::again(&target),
            ));
            let silent = sample.plan.iter().filter(|planned| planned.key == target.key).cloned().collect();
            step(sample.head.clone(), vec![*target.clone()], Event::DeadlinePassed { silent }, now);
            shown(&Summary::of(&sample.head, &sample.plan, std::slice::from_ref(&target)));
            look_after(&sample.head, AppQueue::default(), &sample.plan, std::slice::from_ref(&target));
        }
        Item::Plan(chunk) => {
            shown(&Summary::of(&sample.head, &chunk.targets, &sample.targets));
            look_after(&sample.head, AppQueue::default(), &chunk.targets, &sample.targets);
        }
        Item::Link(link) => {
            for early in link.early.into_iter().take(10) {
                let event = Event::Observed(Box::new(early));
                step(sample.head.clone(), sample.targets.clone(), event, now);
            }
        }
        Item::Queue(queue) => look_after(&sample.head, queue, &sample.plan, &sample.targets),
        Item::Open(open) => look(open, &sample.head, &AppQueue::default(), &sample.plan, &sample.targets),
        Item::Pace(pace) => {
            for api in [Api::StartPipelineExecution, Api::AssumeRole] {
                black_box((pace.turn(api), Pace::ask(api, Some(&pace), now)));
            }
        }
        Item::Known(known) => {
            black_box((known.before(&sample.head.run, now).is_some(), known.current.fingerprint.len()));
        }
        Item::Check(check) => settled(&check, &[], None, &sample.plan, now),
        Item::Looked(looked) => {
            settled(&checked(sample, now), std::slice::from_ref(&looked), None, &sample.plan, now);
        }
        Item::Standing(standing) => settled(&checked(sample, now), &[], Some(&standing), &sample.plan, now),
        Item::OpenCheck(open) => {
            let _ = black_box(open.look(&checked(sample, now), 1, None, None, now));
        }
        Item::Ignore(rule) => {
            let key = &sample.plan[0].key;
            black_box((rule.covers("prod", key), rule.hides(Aspect::Stack, Some("/svc/Jobs"), now)));
        }
        Item::Definition(definition) => {
            black_box(differences(&definition.text, r#"{"stages":{}}"#).len());
        }
        Item::Summary(_)
        | Item::Decision(_)
        | Item::Opening(_)
        | Item::Detection(_)
        | Item::Baseline(_)
        | Item::LastCheck(_) => {}
    }
}

/// A check of the sample's plan.
fn checked(sample: &Sample, now: Timestamp) -> Check {
    Check {
        run: sample.head.run.clone(),
        app: sample.head.app.clone(),
        cause: Cause::Scheduled { slot: now, every: Span::from_minutes(60) },
        opened_at: now,
        due_at: now,
        size: u32::try_from(sample.plan.len()).unwrap_or(0),
        is_whole: true,
        policy: Policy {
            confirm: None,
            quiet: Quiet::Edit,
            digest: Some(Span::from_minutes(60)),
            response: Response::Redeploy,
            ignore: Vec::new(),
            operators: Vec::new(),
        },
        channel: Channel::Silent,
        looked: 0,
        releases: Tally::default(),
        deployed: Tally::default(),
        definitions: Tally::default(),
        phase: Phase::Looking,
        again: None,
        overdue_at: None,
    }
}

/// Settles a check in every way, and shows it.
fn settled(check: &Check, looked: &[Looked], standing: Option<&Standing>, plan: &[PlannedTarget], now: Timestamp) {
    let looks = Looks {
        aspects: Aspect::ALL.into_iter().collect(),
        deploy_stage: None,
        stacks: vec!["svc".to_owned()],
        stuck_after: Span::from_minutes(60),
        variables: false,
        who: true,
    };
    let looked_at = |planned: &PlannedTarget| PlannedTarget { looks: Some(Box::new(looks.clone())), ..planned.clone() };
    let plan: Vec<PlannedTarget> = plan.iter().map(looked_at).collect();
    let standing: Vec<Standing> = standing.into_iter().cloned().collect();
    let texts = BTreeMap::new();
    let facts = Facts { check, plan: &plan, looked, standing: &standing, last: None, texts: &texts };
    for now in [now, check.due_at] {
        if let Settled::Ends(ending) = settle(facts, now) {
            let report = Report::of(&ending.check, &plan, &ending.targets);
            black_box((report::text::render(&report), report::slack::message(&report), report::slack::thread(&report)));
        }
    }
}

fn step(head: Head, targets: Vec<Target>, event: Event, now: Timestamp) {
    let run = Run::load(head, AppQueue::default(), targets);
    let (run, _) = run.step(event, now);
    let _ = black_box(run.finish());
}

fn look_after(head: &Head, queue: AppQueue, plan: &[PlannedTarget], targets: &[Target]) {
    let open = OpenRun::new(head.run.clone());
    look(open, head, &queue, plan, targets);
}

fn look(open: OpenRun, head: &Head, queue: &AppQueue, plan: &[PlannedTarget], targets: &[Target]) {
    let view = View { head, version: 1, queue, posting: None };
    let Look::Open { mut open, .. } = open.look(view, head.opened_at) else { return };
    if let Some((_, end)) = open.next_page(head) {
        black_box(open.look_at(head, end, plan, targets));
    }
    black_box(open.looked(head));
}

/// A checkup's question, and its answer.
pub fn question(data: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(data) else { return };
    for input in [&value, &json!({ "manifold": { "schema": checkup::SCHEMA, "checkup": value } })] {
        match checkup::asked(input) {
            None => {}
            Some(Ok(question)) => {
                let again: Option<Result<Question, _>> = checkup::asked(&question.to_request());
                assert_eq!(again, Some(Ok(question)));
            }
            Some(Err(error)) => is_clear(&error),
        }
    }
    for response in [&value, &json!({ "manifold": { "schema": checkup::SCHEMA, "answer": value } })] {
        if let Err(error) = checkup::answer(response) {
            is_clear(&error);
        }
    }
}

/// The body of an interaction in Slack, whoever signed it. What is taken for a press is a message that can be read back.
pub fn press(data: &[u8]) {
    let now = Timestamp::from_millis(1_548_426_418_000);
    for signature in ["v0=", &format!("v0={:064x}", 7)] {
        let unsigned = press::verify("8f742231b10e8888abcd99yyyzzz85a5", "1548426418", signature, data, now);
        is_clear(&unsigned.expect_err("nobody signed it"));
    }
    // The headers are as little to be trusted as the body.
    let text = lossy(data);
    is_clear(&press::verify("secret", &text, &text, data, now).expect_err("nobody signed it"));
    for body in [data.to_vec(), press_body(&text)] {
        match press::decode(&body) {
            Ok(pressed) => {
                assert_eq!(press::decode(&body).as_ref(), Ok(&pressed), "the same request is the same press");
                let payload = pressed.payload();
                let message = Message::new(payload.clone()).encode().expect("a press can be sent");
                assert_eq!(Message::decode(&message).map(|message| message.payload), Ok(payload));
            }
            Err(error) => is_clear(&error),
        }
    }
}

/// The form that Slack sends a payload in.
fn press_body(payload: &str) -> Vec<u8> {
    let mut body = b"payload=".to_vec();
    for byte in payload.bytes() {
        body.extend(format!("%{byte:02X}").into_bytes());
    }
    body
}

/// A fleet file: it is refused with problems that each have a place in it, or it has nothing left to check.
pub fn fleet(data: &[u8]) {
    let text = lossy(data);
    let problems = match Fleet::parse("fleet.yaml", &text) {
        Ok(fleet) => {
            for app in fleet.apps() {
                assert!(!app.targets().is_empty(), "an app without targets");
            }
            return;
        }
        Err(problems) => problems,
    };
    assert!(problems.len() > 0);
    assert_eq!(problems.file(), "fleet.yaml");
    let lines = text.split('\n').flat_map(|line| line.split('\r')).count();
    let mut last = (0, 0);
    for problem in &problems {
        is_clear(problem);
        assert!(!problem.message().trim().is_empty(), "a problem without words");
        let range = problem.range();
        assert!(range.start <= range.end && range.end <= text.len(), "{problem}: {range:?}");
        assert!(text.is_char_boundary(range.start) && text.is_char_boundary(range.end), "{problem}: {range:?}");
        assert!(!text[range].contains(['\n', '\r']), "{problem}");
        assert!(problem.line() >= 1 && usize::try_from(problem.line()).is_ok_and(|line| line <= lines), "{problem}");
        assert!(problem.column() >= 1, "{problem}");
        assert!((problem.line(), problem.column()) >= last, "{problem} is out of order");
        last = (problem.line(), problem.column());
    }
}

/// Names of every kind.
pub fn names(data: &[u8]) {
    fn name<T: FromStr<Err = InvalidId> + Display + Debug + PartialEq>(text: &str) {
        match text.parse::<T>() {
            Ok(name) => {
                assert_eq!(name.to_string(), text);
                assert!(text.is_ascii() && text.len() <= 700 && !text.chars().any(char::is_control), "{name:?}");
            }
            Err(error) => is_clear(&error),
        }
    }
    let text = lossy(data);
    name::<AccountId>(&text);
    name::<Region>(&text);
    name::<AppName>(&text);
    name::<RunId>(&text);
    name::<PipelineName>(&text);
    name::<ExecutionId>(&text);
    name::<RoleArn>(&text);
    name::<Nonce>(&text);
    if let Ok(role) = text.parse::<RoleArn>() {
        assert!(role.account().parse::<AccountId>().is_ok() && !role.account().is_empty(), "{role}");
    }
    if let Some(run) = RunId::from_session_arn(&text) {
        assert!(text.ends_with(&run.session_name()), "{run} is not in {text:?}");
    }
    if let Ok(run) = text.parse::<RunId>() {
        let arn = format!("arn:aws:sts::444455556666:assumed-role/ManifoldTarget/{}", run.session_name());
        assert_eq!(RunId::from_session_arn(&arn).as_ref(), Some(&run));
        assert!(run.to_string().starts_with(run.app().as_str()));
    }
}

/// A pattern of names in the first line, a name in the rest.
pub fn pattern(data: &[u8]) {
    let text = lossy(data);
    let (pattern, name) = text.split_once('\n').unwrap_or((&text, ""));
    let fits = wildcard::fits(pattern, name);
    if pattern.len() * name.len() < 100_000 {
        assert_eq!(fits, fits_slowly(pattern, name), "{pattern:?} {name:?}");
    }
    assert!(wildcard::fits("*", name) && (pattern.contains('*') || fits == (pattern == name)));
}

/// What a pattern means, one character at a time.
fn fits_slowly(pattern: &str, name: &str) -> bool {
    let name: Vec<char> = name.chars().collect();
    let mut ends: Vec<bool> = std::iter::once(true).chain(name.iter().map(|_| false)).collect();
    for wanted in pattern.chars() {
        let before = ends.clone();
        for at in 0..=name.len() {
            ends[at] = match wanted {
                '*' => before[at] || (at > 0 && ends[at - 1]),
                wanted => at > 0 && before[at - 1] && name[at - 1] == wanted,
            };
        }
    }
    ends.last().copied().unwrap_or_default()
}

/// Words from outside on their way to Slack and to a terminal: commit messages, authors, addresses, reasons, names.
pub fn words(data: &[u8]) {
    let all = lossy(data);
    let sample = sample();
    // All of it in each place, and a line of it in each.
    let mut lines = all.lines().cycle();
    for by_line in [false, true] {
        let mut next = || if by_line { lines.next().unwrap_or_default().to_owned() } else { all.clone() };
        let mut head = sample.head.clone();
        head.release.revision = Some(Revision {
            id: next(),
            action: next(),
            message: Some(next()),
            url: Some(next()),
            author: Some(next()),
            repository: Some(next()),
            reference: Some(next()),
            authored_at: None,
        });
        head.release.trigger.kind = Some(next());
        head.release.trigger.detail = Some(next());
        let mut targets = sample.targets.clone();
        for target in &mut targets {
            if let Some(reason) = &mut target.reason {
                (reason.cause, reason.detail, reason.link) = (next(), Some(next()), Some(next()));
            }
            target.unrecognised = Some(next());
        }
        shown(&Summary::of(&head, &sample.plan, &targets));
    }
}

/// A summary can be shown: Slack takes its messages, nothing in them speaks Slack's markup but what is ours, and nothing
/// in the text moves a terminal's cursor.
fn shown(summary: &Summary) {
    let address = summary.release.revision.as_ref().and_then(|revision| revision.url.clone()).unwrap_or_default();
    let payloads = [Some(slack::message(summary)), slack::thread(summary), Some(slack::thread_cleared(summary))];
    for payload in payloads.into_iter().flatten() {
        assert_eq!(payload.check_limits(), Ok(()), "{payload:?}");
        for text in texts(&payload) {
            is_harmless(&text, &address);
        }
    }
    let text = text::render(summary);
    let moves = |c: char| c.is_control() && c != '\n' || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    assert!(!text.contains(moves), "{text:?} moves the cursor");
}

fn texts(payload: &Payload) -> Vec<String> {
    fn collect(value: &Value, into: &mut Vec<String>) {
        match value {
            Value::Object(fields) if fields.get("type") == Some(&json!("mrkdwn")) => {
                into.extend(fields.get("text").and_then(Value::as_str).map(str::to_owned));
            }
            Value::Object(fields) => fields.values().for_each(|value| collect(value, into)),
            Value::Array(values) => values.iter().for_each(|value| collect(value, into)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let mut found = Vec::new();
    payload.blocks.iter().for_each(|block| collect(block, &mut found));
    found
}

/// Every `<` is the beginning of a date of ours, of a link into a console, or of the revision's own link.
fn is_harmless(text: &str, address: &str) {
    for (at, _) in text.match_indices('<') {
        let inside = text[at + 1..].split('>').next().unwrap_or_default();
        let target = inside.split('|').next().unwrap_or_default().replace("&amp;", "&");
        let is_date = inside.strip_prefix("!date^").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        let is_link = target == address || manifold_core::console::is_console_link(&target);
        assert!(is_date || is_link, "<{inside}> speaks mrkdwn in {text:?}");
    }
}

/// A run that has everything that can be shown.
struct Sample {
    head: Head,
    plan: Vec<PlannedTarget>,
    targets: Vec<Target>,
}

fn sample() -> &'static Sample {
    static SAMPLE: OnceLock<Sample> = OnceLock::new();
    SAMPLE.get_or_init(|| {
        let left: Value = serde_json::from_str(include_str!("../stored/schema-1-sweep/closed.json")).expect("JSON");
        let records = left["records"].as_array().cloned().unwrap_or_default();
        let (mut head, mut plan, mut targets) = (None, Vec::new(), Vec::new());
        for record in records {
            let item: Item = serde_json::from_value(record["item"].clone()).expect("an item");
            if let Item::Head(found) = item {
                head = Some(*found);
            } else if let Item::Plan(chunk) = item {
                plan.extend(chunk.targets);
            } else if let Item::Target(target) = item {
                targets.push(*target);
            }
        }
        Sample { head: head.expect("a head"), plan, targets }
    })
}

/// What fuzzers and mutators begin with: the recorded and documented inputs of a surface, and what was found before.
#[must_use]
pub fn seeds(surface: &str) -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let files = |folders: &[&str]| -> Vec<Vec<u8>> {
        let folders = folders.iter().map(|folder| root.join(folder));
        folders.flat_map(|folder| under(&folder)).map(|path| fs::read(path).expect("a file")).collect()
    };
    let events = "shared/core/tests/events";
    let of_letters = |wanted: fn(&str) -> bool| -> BTreeSet<String> {
        let letters = crate::stored::recorded().into_iter();
        let letters = letters.flat_map(|fixture| fixture.left["letters"].as_array().cloned().unwrap_or_default());
        let bodies = letters.filter_map(|letter| letter["letter"]["body"].as_str().map(str::to_owned));
        bodies.filter(|body| wanted(body)).collect()
    };
    let bytes = |texts: BTreeSet<String>| texts.into_iter().map(String::into_bytes).collect::<Vec<_>>();
    let mut seeds = match surface {
        "event" => files(&["shared/core/tests/events/codepipeline", "shared/core/tests/events/schedule"]),
        "batch" => files(&["shared/core/tests/events/sqs", "shared/core/tests/events/codepipeline"]),
        "job" => files(&["shared/core/tests/events/codepipeline_job"]),
        "schedule" => files(&["shared/core/tests/events/schedule"]),
        "message" => bytes(of_letters(Message::is_ours)),
        "item" => bytes(
            crate::stored::recorded()
                .iter()
                .flat_map(|fixture| fixture.left["records"].as_array().cloned().unwrap_or_default())
                .map(|record| record["item"].to_string())
                .collect(),
        ),
        "question" => questions(),
        "press" => presses(),
        "fleet" => files(&["shared/fleet/tests/fleets", "deploy/examples", "tests/stored/fleet.yaml"]),
        "names" => [
            "444455556666", "eu-west-1", "us-gov-west-1", "web", "web-0f3a5b7c9d1e2f40", "svc-deploy",
            "3f8c1f0a-7d52-4d5e-9f0b-5a1f7c2b9e01", "arn:aws:iam::444455556666:role/path/ManifoldTarget",
            "arn:aws:sts::444455556666:assumed-role/ManifoldTarget/mf-web-0f3a5b7c9d1e2f40",
        ]
        .map(|text| text.as_bytes().to_vec())
        .into(),
        "pattern" => ["svc-*\nsvc-deploy", "a*b*c\na-b-b-c", "*\n", "arn:aws:codepipeline:*:4:svc\narn:aws:codepipeline:eu-west-1:4:svc"]
            .map(|text| text.as_bytes().to_vec())
            .into(),
        "words" => [
            "Fix <b>&</b> “smart” quotes in the basket 🚀\n\nThey came out as entities.",
            "<!channel> <@U012AB3CD> *URGENT* <https://evil.example|sign in> :white_check_mark:\nhttps://github.com/o/r/commit/1?a=1&b=2",
            "\u{202e}gnp.exe & `rm -rf` _now_ \u{1b}[2J\n<!here>\n<#C024BE7LR>\nhttps://github.com@evil.example/|<!here>",
            "https://eu-west-1.console.aws.amazon.com/codesuite/codepipeline/pipelines/x/view?region=eu-west-1",
        ]
        .map(|text| text.as_bytes().to_vec())
        .into(),
        unknown => panic!("there is no surface {unknown}"),
    };
    assert!(!seeds.is_empty(), "{surface} has no seeds, {events} may have moved");
    seeds.extend(findings(surface));
    seeds
}

/// The inputs that once broke something.
#[must_use]
pub fn findings(surface: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/findings").join(surface);
    if !folder.exists() {
        return Vec::new();
    }
    under(&folder).into_iter().map(|path| fs::read(path).expect("a file")).collect()
}

fn questions() -> Vec<Vec<u8>> {
    let place = json!({
        "app": "web", "key": { "account": "444455556666", "region": "eu-west-1" },
        "role": "arn:aws:iam::444455556666:role/ManifoldTarget", "external_id": "rollouts-7f3a", "pipeline": "svc-deploy",
    });
    let asked = json!({ "region": "us-east-1", "pipeline": "web-release" });
    let spot = json!({
        "key": place["key"], "external_id": null, "role": place["role"], "rules": ["manifold-forward-pipeline"],
        "pipelines": ["svc-deploy"],
    });
    [
        json!("fleet"),
        json!({ "access": [place] }),
        json!({ "inspect": { "hub": { "bus": "manifold", "releases": [asked] }, "spots": [spot] } }),
        json!({ "slack": [{ "kind": "bot", "channel": "C1", "token": { "store": "ssm", "name": "/a" } }, { "kind": "silent" }] }),
    ]
    .map(|question| question.to_string().into_bytes())
    .into()
}

/// What Slack sends when a button is pressed, for each of them: the payload alone, and as the form that it comes in.
fn presses() -> Vec<Vec<u8>> {
    let run: RunId = "web-0f3a5b7c9d1e2f40".parse().expect("a run's id");
    let wave = || "prod".to_owned();
    let actions =
        [Action::Approve { wave: wave() }, Action::Reject { wave: wave() }, Action::Abort, Action::RetryFailed];
    let payload = |action: &Action| {
        json!({
            "type": "block_actions",
            "user": { "id": "U0123456789", "username": "jane", "name": "jane.doe", "team_id": "T0123456789" },
            "container": { "type": "message", "message_ts": "1548261231.000200", "channel_id": "C0123456789" },
            "message": { "type": "message", "ts": "1548261231.000200", "blocks": [] },
            "response_url": "https://hooks.slack.com/actions/A/B/C",
            "actions": [{
                "type": "button", "block_id": "x", "action_id": press::action_id(action),
                "value": press::value(&run, action), "action_ts": "1548426417.840180",
            }],
        })
        .to_string()
    };
    let payloads = actions.iter().map(payload);
    payloads.flat_map(|payload| [press_body(&payload), payload.into_bytes()]).collect()
}

/// The files of a folder and of those in it, or the one file.
fn under(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let entries = fs::read_dir(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut found: Vec<PathBuf> = entries.flat_map(|entry| under(&entry.expect("an entry").path())).collect();
    found.sort();
    found
}
