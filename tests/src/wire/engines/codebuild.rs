//! CodeBuild (CodeBuild API reference; User Guide, "Build notifications input format reference").

use std::collections::BTreeMap;

use manifold_core::ids::TargetKey;
use manifold_core::time::{Span, Timestamp};
use serde_json::{Map, Value, json};

use super::timeline::Timeline;
use super::{Call, Failure, Fate, Ground, Need, Refusal, checked, list, session_of, text, texts, told};
use crate::wire::epoch;
use crate::wire::shape::{self, Member, Shape, may, must};

/// "The token is included in the StartBuild request and is valid for 5 minutes."
const TOKEN_LASTS: Span = Span::from_minutes(5);
/// The phases in their order (`BuildPhaseType`), without `COMPLETED`.
const PHASES: [&str; 10] = [
    "SUBMITTED",
    "QUEUED",
    "PROVISIONING",
    "DOWNLOAD_SOURCE",
    "INSTALL",
    "PRE_BUILD",
    "BUILD",
    "POST_BUILD",
    "UPLOAD_ARTIFACTS",
    "FINALIZING",
];
/// How many builds a list names on a page, and how many are described at once.
const MOST: usize = 100;

const VARIABLE: Shape = Shape::Members(&[
    must("name", shape::text(1, 256)),
    must("value", shape::text(0, 131_072)),
    may("type", Shape::OneOf(&["PLAINTEXT", "PARAMETER_STORE", "SECRETS_MANAGER"])),
]);
const START: &[Member] = &[
    must("projectName", shape::text(1, 150)),
    may("sourceVersion", shape::text(1, 1024)),
    may("environmentVariablesOverride", Shape::List { min: 0, max: 1000, of: &VARIABLE }),
    may("idempotencyToken", shape::text(1, 64)),
];
const GET: &[Member] = &[must("ids", Shape::List { min: 1, max: MOST, of: &shape::text(1, 2048) })];
const LIST: &[Member] = &[
    must("projectName", shape::text(1, 150)),
    may("sortOrder", Shape::OneOf(&["ASCENDING", "DESCENDING"])),
    may("nextToken", shape::text(1, 2048)),
];
const STOP: &[Member] = &[must("id", shape::text(1, 2048))];
const PROJECTS: &[Member] = &[must("names", Shape::List { min: 1, max: MOST, of: &shape::text(1, 150) })];

/// A build project, as a story defines it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// Its name.
    pub name: String,
    /// The type of its source: `GITHUB`.
    pub source_type: String,
    /// Where its source is.
    pub source_location: String,
    /// The commit at the head of the branch that is built when nobody names a version.
    pub head: String,
    /// The version that it builds when a build names none.
    pub source_version: Option<String>,
    /// Its image.
    pub image: String,
    /// Its environment variables.
    pub variables: BTreeMap<String, String>,
    /// Its service role's ARN.
    pub service_role: String,
}

impl Project {
    /// A project on GitHub.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            source_type: "GITHUB".to_owned(),
            source_location: "https://github.com/example-org/web".to_owned(),
            head: "0d1e2f3a4b5c6d7e8f9a0b1c2d3e4f5a6b7c8d9e".to_owned(),
            source_version: None,
            image: "aws/codebuild/standard:7.0".to_owned(),
            variables: BTreeMap::new(),
            service_role: format!("arn:aws:iam::111122223333:role/{name}-build"),
        }
    }
}

/// A build.
#[derive(Debug, Clone)]
pub struct Build {
    /// The account and the Region.
    pub place: TargetKey,
    /// The project's name.
    pub project: String,
    /// `project:uuid`.
    pub id: String,
    /// `IN_PROGRESS`, `SUCCEEDED`, `FAILED`, `FAULT`, `TIMED_OUT` or `STOPPED`.
    pub status: &'static str,
    /// The caller's ARN.
    pub started_by: String,
    /// The environment variables that were asked for.
    pub overrides: BTreeMap<String, String>,
    /// The source version that was asked for, or else the project's.
    pub source_version: Option<String>,
    /// How often it was asked for with its token.
    pub requests: u32,
    /// When it was asked for first.
    pub started_at: Timestamp,
    number: u64,
    defined: Project,
    request: Value,
    phases: Vec<Phase>,
    ended_at: Option<Timestamp>,
    timeline: Timeline<Step>,
}

#[derive(Debug, Clone)]
struct Phase {
    kind: &'static str,
    status: Option<&'static str>,
    started_at: Timestamp,
    ended_at: Option<Timestamp>,
    context: Option<(String, String)>,
}

/// A phase ends, and the next one begins.
#[derive(Debug, Clone)]
struct Step {
    failure: Option<Failure>,
    /// The phase that begins. None after the last.
    next: Option<&'static str>,
}

/// Projects and builds, in all accounts and Regions.
#[derive(Debug, Default)]
pub struct CodeBuild {
    projects: BTreeMap<(TargetKey, String), Project>,
    builds: Vec<Build>,
}

fn arn(place: &TargetKey, resource: &str) -> String {
    format!("arn:aws:codebuild:{}:{}:{resource}", place.region, place.account)
}

/// A build's short id, also of its ARN.
fn short(id: &str) -> &str {
    id.rsplit_once(":build/").map_or(id, |(_, short)| short)
}

/// All actions are about projects (Service Authorization Reference).
pub(super) fn needs(call: &Call<'_>, body: &Value) -> Vec<Need> {
    let names: Vec<&str> = match call.operation {
        "StartBuild" | "ListBuildsForProject" => body["projectName"].as_str().into_iter().collect(),
        "BatchGetBuilds" => body["ids"].as_array().into_iter().flatten().filter_map(Value::as_str).collect(),
        "StopBuild" => body["id"].as_str().into_iter().collect(),
        "BatchGetProjects" => body["names"].as_array().into_iter().flatten().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let action = format!("codebuild:{}", call.operation);
    let project = |name: &str| short(name).split(':').next().unwrap_or_default().to_owned();
    names.into_iter().map(|name| Need::new(&action, arn(call.place, &format!("project/{}", project(name))))).collect()
}

impl CodeBuild {
    /// Creates a project, or changes it.
    pub fn define(&mut self, place: &TargetKey, project: Project) {
        self.projects.insert((place.clone(), project.name.clone()), project);
    }

    /// Every build, in the order in which they were started.
    #[must_use]
    pub fn builds(&self) -> &[Build] {
        &self.builds
    }

    pub(super) fn answer(&mut self, ground: &mut Ground, call: &Call<'_>, body: &Value) -> Result<Value, Refusal> {
        match call.operation {
            "StartBuild" => self.start(ground, call, body),
            "BatchGetBuilds" => self.get(call, checked(GET, body)?),
            "ListBuildsForProject" => self.list(ground, call, checked(LIST, body)?),
            "StopBuild" => self.stop(ground, call, checked(STOP, body)?),
            "BatchGetProjects" => self.get_projects(call, checked(PROJECTS, body)?),
            other => Err(Refusal::violation(format!("no engine calls CodeBuild's {other}"))),
        }
    }

    fn project(&self, place: &TargetKey, name: &str) -> Result<&Project, Refusal> {
        let missing = || {
            let arn = arn(place, &format!("project/{name}"));
            Refusal::new("ResourceNotFoundException", format!("Project cannot be found: {arn}"))
        };
        self.projects.get(&(place.clone(), name.to_owned())).ok_or_else(missing)
    }

    fn start(&mut self, ground: &mut Ground, call: &Call<'_>, request: &Value) -> Result<Value, Refusal> {
        let body = checked(START, request)?;
        let name = text(body, "projectName").unwrap_or_default();
        let project = self.project(call.place, name)?.clone();
        let token = text(body, "idempotencyToken");
        let known = self.builds.iter_mut().rfind(|build| {
            build.place == *call.place
                && token.is_some()
                && build.request["idempotencyToken"].as_str() == token
                && call.now < build.started_at.plus(TOKEN_LASTS)
        });
        if let Some(known) = known {
            if known.request != *request {
                let message = "The idempotency token was used before, with other parameters";
                return Err(Refusal::new("InvalidInputException", message));
            }
            known.requests += 1;
            return Ok(json!({"build": known.describe()}));
        }
        let word = |variable: &Value, name: &str| variable[name].as_str().unwrap_or_default().to_owned();
        let variables = list(body, "environmentVariablesOverride").iter();
        let overrides: BTreeMap<String, String> =
            variables.map(|variable| (word(variable, "name"), word(variable, "value"))).collect();
        let number = self.builds.iter().filter(|build| build.place == *call.place && build.project == name).count();
        let fate = ground.fate(call.place);
        let first = Phase { kind: "SUBMITTED", status: None, started_at: call.now, ended_at: None, context: None };
        let build = Build {
            place: call.place.clone(),
            project: name.to_owned(),
            id: format!("{name}:{}", ground.uuid()),
            status: "IN_PROGRESS",
            started_by: call.caller.to_owned(),
            overrides,
            source_version: text(body, "sourceVersion").map(str::to_owned).or_else(|| project.source_version.clone()),
            requests: 1,
            started_at: call.now,
            number: number as u64 + 1,
            defined: project,
            request: request.clone(),
            phases: vec![first],
            ended_at: None,
            timeline: timeline(call.now, &fate),
        };
        build.tell_state(ground, call.now);
        let answer = json!({"build": build.describe()});
        self.builds.push(build);
        Ok(answer)
    }

    fn find(&self, place: &TargetKey, id: &str) -> Option<&Build> {
        self.builds.iter().find(|build| build.place == *place && build.id == short(id))
    }

    fn get(&self, call: &Call<'_>, body: &Map<String, Value>) -> Result<Value, Refusal> {
        let ids = texts(body, "ids");
        if let Some(id) = ids.iter().find(|id| !short(id).contains(':')) {
            return Err(Refusal::new("InvalidInputException", format!("Invalid build ID provided: {id}")));
        }
        let (found, missing): (Vec<_>, Vec<_>) = ids.into_iter().partition(|id| self.find(call.place, id).is_some());
        let builds: Vec<Value> = found.iter().filter_map(|id| self.find(call.place, id)).map(Build::describe).collect();
        Ok(json!({"builds": builds, "buildsNotFound": missing}))
    }

    fn list(&self, ground: &Ground, call: &Call<'_>, body: &Map<String, Value>) -> Result<Value, Refusal> {
        let name = text(body, "projectName").unwrap_or_default();
        self.project(call.place, name)?;
        let builds = self.builds.iter().filter(|build| build.place == *call.place && build.project == name);
        let mut ids: Vec<String> = builds.map(|build| build.id.clone()).collect();
        // "DESCENDING: List the build identifiers in descending order, by build number", and the default.
        if text(body, "sortOrder") != Some("ASCENDING") {
            ids.reverse();
        }
        let page = ground.page(&ids, text(body, "nextToken"), MOST);
        let (ids, next) = page.map_err(|why| Refusal::new("InvalidInputException", why))?;
        Ok(told(json!({"ids": ids, "nextToken": next})))
    }

    fn stop(&mut self, ground: &mut Ground, call: &Call<'_>, body: &Map<String, Value>) -> Result<Value, Refusal> {
        let id = short(text(body, "id").unwrap_or_default());
        let found = self.builds.iter_mut().find(|build| build.place == *call.place && build.id == id);
        let build =
            found.ok_or_else(|| Refusal::new("ResourceNotFoundException", format!("Build {id} cannot be found")))?;
        if build.status == "IN_PROGRESS" {
            build.timeline = Timeline::default();
            build.end_phase(ground, call.now, "STOPPED", None);
            build.complete(ground, call.now, "STOPPED");
        }
        Ok(json!({"build": build.describe()}))
    }

    fn get_projects(&self, call: &Call<'_>, body: &Map<String, Value>) -> Result<Value, Refusal> {
        let names = texts(body, "names");
        let (found, missing): (Vec<_>, Vec<_>) =
            names.into_iter().partition(|name| self.project(call.place, name).is_ok());
        let projects: Vec<Value> = found
            .iter()
            .filter_map(|name| self.project(call.place, name).ok())
            .map(|project| {
                told(json!({
                    "name": project.name,
                    "arn": arn(call.place, &format!("project/{}", project.name)),
                    "source": {"type": project.source_type, "location": project.source_location},
                    "sourceVersion": project.source_version,
                    "environment": environment(project, &project.variables),
                    "serviceRole": project.service_role,
                    "timeoutInMinutes": 60,
                    "queuedTimeoutInMinutes": 480,
                    "artifacts": {"type": "NO_ARTIFACTS"},
                }))
            })
            .collect();
        Ok(json!({"projects": projects, "projectsNotFound": missing}))
    }

    pub(super) fn next_at(&self, is_meant: &impl Fn(&TargetKey) -> bool) -> Option<Timestamp> {
        let meant = self.builds.iter().filter(|each| is_meant(&each.place));
        meant.filter_map(|each| each.timeline.next_at()).min()
    }

    pub(super) fn advance(&mut self, ground: &mut Ground, now: Timestamp) {
        for build in &mut self.builds {
            while let Some(step) = build.timeline.due(now) {
                build.apply(ground, step, now);
            }
        }
    }

    pub(super) fn step(
        &mut self,
        ground: &mut Ground,
        is_meant: &impl Fn(&TargetKey) -> bool,
        now: Timestamp,
    ) -> usize {
        let mut moved = 0;
        for build in self.builds.iter_mut().filter(|build| is_meant(&build.place)) {
            if let Some(step) = build.timeline.next() {
                build.apply(ground, step, now);
                moved += 1;
            }
        }
        moved
    }
}

/// One step for each phase. After a failed `BUILD` the phases behind it run, after any other failure only `FINALIZING`
/// does (User Guide, "Build phase transitions").
fn timeline(start: Timestamp, fate: &Fate) -> Timeline<Step> {
    let (after, failure) = match fate {
        Fate::Succeeds { after } => (*after, None),
        Fate::Fails { after, failure } => (*after, Some(failure)),
        // It gets as far as its commands.
        Fate::NeverEnds => {
            let steps = PHASES.iter().skip(1).take(6).map(|next| Step { failure: None, next: Some(*next) }).collect();
            return Timeline::spread(start, Span::from_seconds(6), steps);
        }
    };
    let failed = failure.map(|failure| {
        let at = PHASES.iter().position(|phase| *phase == failure.place);
        at.unwrap_or_else(|| panic!("a build has no phase {}", failure.place))
    });
    let runs = |at: &usize| match failed {
        Some(failed) if PHASES.get(failed) != Some(&"BUILD") => *at <= failed || *at == PHASES.len() - 1,
        Some(_) | None => true,
    };
    let phases: Vec<usize> = (0..PHASES.len()).filter(runs).collect();
    let steps = phases.iter().enumerate().map(|(index, at)| Step {
        failure: failure.filter(|_| failed == Some(*at)).cloned(),
        next: phases.get(index + 1).and_then(|next| PHASES.get(*next)).copied(),
    });
    Timeline::spread(start, after, steps.collect())
}

fn environment(project: &Project, variables: &BTreeMap<String, String>) -> Value {
    let variables = variables.iter().map(|(name, value)| json!({"name": name, "value": value, "type": "PLAINTEXT"}));
    json!({
        "type": "LINUX_CONTAINER",
        "image": project.image,
        "computeType": "BUILD_GENERAL1_SMALL",
        "privilegedMode": false,
        "imagePullCredentialsType": "CODEBUILD",
        "environmentVariables": variables.collect::<Vec<_>>(),
    })
}

/// The phase's status by the code of its failure, and the build's (`StatusType`).
fn failed_as(code: &str) -> &'static str {
    match code {
        "BUILD_TIMED_OUT" => "TIMED_OUT",
        "INTERNAL_SERVICE_ERROR" => "FAULT",
        _ => "FAILED",
    }
}

impl Build {
    /// Its ARN.
    #[must_use]
    pub fn arn(&self) -> String {
        arn(&self.place, &format!("build/{}", self.id))
    }

    /// The phase that it is in, `COMPLETED` when it has ended.
    #[must_use]
    pub fn phase(&self) -> &'static str {
        self.phases.last().map_or("SUBMITTED", |phase| phase.kind)
    }

    fn uuid(&self) -> &str {
        self.id.rsplit(':').next().unwrap_or_default()
    }

    fn log_group(&self) -> String {
        format!("/aws/codebuild/{}", self.project)
    }

    /// Where the log is, as CodeBuild links it.
    #[must_use]
    pub fn deep_link(&self) -> String {
        format!(
            "https://console.aws.amazon.com/cloudwatch/home?region={}#logEvent:group={};stream={}",
            self.place.region,
            self.log_group(),
            self.uuid()
        )
    }

    /// The variables that it runs with.
    fn variables(&self) -> BTreeMap<String, String> {
        let mut variables = self.defined.variables.clone();
        variables.extend(self.overrides.clone());
        variables
    }

    /// The commit, as soon as the source was downloaded.
    fn resolved(&self) -> Option<String> {
        let is_downloaded =
            self.phases.iter().any(|phase| phase.kind == "DOWNLOAD_SOURCE" && phase.status == Some("SUCCEEDED"));
        let version = self
            .source_version
            .as_deref()
            .filter(|version| version.len() == 40 && version.bytes().all(|byte| byte.is_ascii_hexdigit()));
        is_downloaded.then(|| version.unwrap_or(&self.defined.head).to_owned())
    }

    fn apply(&mut self, ground: &mut Ground, step: Step, at: Timestamp) {
        let failure = step.failure.map(|failure| (failure.code, failure.reason));
        let status = failure.as_ref().map_or("SUCCEEDED", |(code, _)| failed_as(code));
        self.end_phase(ground, at, status, failure);
        match step.next {
            Some(next) => {
                let phase = Phase { kind: next, status: None, started_at: at, ended_at: None, context: None };
                self.phases.push(phase);
            }
            None => {
                let failed = self.phases.iter().filter_map(|phase| phase.status).find(|status| *status != "SUCCEEDED");
                self.complete(ground, at, failed.unwrap_or("SUCCEEDED"));
            }
        }
    }

    fn end_phase(
        &mut self,
        ground: &mut Ground,
        at: Timestamp,
        status: &'static str,
        context: Option<(String, String)>,
    ) {
        let Some(phase) = self.phases.last_mut() else { return };
        (phase.status, phase.ended_at, phase.context) = (Some(status), Some(at), context);
        let phase = phase.clone();
        let detail = json!({
            "completed-phase": phase.kind,
            "project-name": self.project,
            "build-id": self.arn(),
            "completed-phase-context": format!("[{}]", phase.contexts().join(", ")),
            "additional-information": self.information(),
            "completed-phase-status": status,
            "completed-phase-duration-seconds": phase.seconds(),
            "version": "1",
            "completed-phase-start": spelled(phase.started_at),
            "completed-phase-end": spelled(at),
        });
        ground.tell(&self.place, at, ("aws.codebuild", "CodeBuild Build Phase Change"), &[self.arn()], detail);
    }

    fn complete(&mut self, ground: &mut Ground, at: Timestamp, status: &'static str) {
        let phase = Phase { kind: "COMPLETED", status: None, started_at: at, ended_at: None, context: None };
        self.phases.push(phase);
        (self.status, self.ended_at) = (status, Some(at));
        self.tell_state(ground, at);
    }

    fn tell_state(&self, ground: &mut Ground, at: Timestamp) {
        let detail = json!({
            "build-status": self.status,
            "project-name": self.project,
            "build-id": self.arn(),
            "additional-information": self.information(),
            "current-phase": self.phase(),
            "current-phase-context": "[]",
            "version": "1",
        });
        ground.tell(&self.place, at, ("aws.codebuild", "CodeBuild Build State Change"), &[self.arn()], detail);
    }

    fn information(&self) -> Value {
        let variables = self.variables();
        let variables =
            variables.iter().map(|(name, value)| json!({"name": name, "type": "PLAINTEXT", "value": value}));
        told(json!({
            "cache": {"type": "NO_CACHE"},
            "build-number": float(self.number),
            "timeout-in-minutes": 60.0,
            "build-complete": self.ended_at.is_some(),
            "initiator": session_of(&self.started_by),
            "build-start-time": spelled(self.started_at),
            "source": {"location": self.defined.source_location, "type": self.defined.source_type},
            "source-version": self.source_version,
            "artifact": {"location": ""},
            "environment": {
                "image": self.defined.image,
                "privileged-mode": false,
                "image-pull-credentials-type": "CODEBUILD",
                "compute-type": "BUILD_GENERAL1_SMALL",
                "type": "LINUX_CONTAINER",
                "environment-variables": variables.collect::<Vec<_>>(),
            },
            "logs": {
                "group-name": self.log_group(),
                "stream-name": self.uuid(),
                "deep-link": self.deep_link(),
            },
            "phases": self.phases.iter().map(Phase::tell).collect::<Vec<_>>(),
            "queued-timeout-in-minutes": 480.0,
        }))
    }

    /// As `BatchGetBuilds` describes it.
    fn describe(&self) -> Value {
        told(json!({
            "id": self.id,
            "arn": self.arn(),
            "buildNumber": self.number,
            "startTime": epoch(self.started_at),
            "endTime": self.ended_at.map(epoch),
            "currentPhase": self.phase(),
            "buildStatus": self.status,
            "sourceVersion": self.source_version,
            "resolvedSourceVersion": self.resolved(),
            "projectName": self.project,
            "phases": self.phases.iter().map(Phase::describe).collect::<Vec<_>>(),
            "source": {"type": self.defined.source_type, "location": self.defined.source_location},
            "environment": environment(&self.defined, &self.variables()),
            "serviceRole": self.defined.service_role,
            "logs": {
                "groupName": self.log_group(),
                "streamName": self.uuid(),
                "deepLink": self.deep_link(),
            },
            "timeoutInMinutes": 60,
            "queuedTimeoutInMinutes": 480,
            "buildComplete": self.ended_at.is_some(),
            "initiator": session_of(&self.started_by),
        }))
    }
}

impl Phase {
    fn seconds(&self) -> Value {
        let seconds = self.ended_at.map(|end| end.since(self.started_at).as_millis() / 1000);
        seconds.and_then(|seconds| u64::try_from(seconds).ok()).map_or(Value::Null, float)
    }

    fn contexts(&self) -> Vec<String> {
        self.context.iter().map(|(code, message)| format!("{code}: {message}")).collect()
    }

    /// As events tell it.
    fn tell(&self) -> Value {
        told(json!({
            "phase-context": self.ended_at.map(|_| self.contexts()),
            "start-time": spelled(self.started_at),
            "end-time": self.ended_at.map(spelled),
            "duration-in-seconds": self.seconds(),
            "phase-type": self.kind,
            "phase-status": self.status,
        }))
    }

    fn describe(&self) -> Value {
        let context = |(code, message): &(String, String)| json!({"statusCode": code, "message": message});
        let seconds = self.ended_at.map(|end| end.since(self.started_at).as_millis() / 1000);
        told(json!({
            "phaseType": self.kind,
            "phaseStatus": self.status,
            "startTime": epoch(self.started_at),
            "endTime": self.ended_at.map(epoch),
            "durationInSeconds": seconds,
            "contexts": self.context.iter().map(context).collect::<Vec<_>>(),
        }))
    }
}

/// Numbers of events are floats.
fn float(number: u64) -> Value {
    serde_json::from_str(&format!("{number}.0")).unwrap_or(Value::Null)
}

/// `Oct 26, 2026 1:12:29 PM`, in UTC.
fn spelled(at: Timestamp) -> String {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let text = at.to_string();
    let number = |from: usize, to: usize| text.get(from..to).and_then(|part| part.parse::<usize>().ok()).unwrap_or(0);
    let (year, month, day, hour) = (number(0, 4), number(5, 7), number(8, 10), number(11, 13));
    let month = MONTHS.get(month.saturating_sub(1)).copied().unwrap_or_default();
    let half = if hour < 12 { "AM" } else { "PM" };
    let twelve = if hour % 12 == 0 { 12 } else { hour % 12 };
    format!("{month} {day}, {year} {twelve}:{:02}:{:02} {half}", number(14, 16), number(17, 19))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_spelled_as_in_the_documented_events() {
        let table = [
            ("2026-10-26T13:12:29Z", "Oct 26, 2026 1:12:29 PM"),
            ("2026-01-01T00:00:05Z", "Jan 1, 2026 12:00:05 AM"),
            ("2026-12-09T12:30:00Z", "Dec 9, 2026 12:30:00 PM"),
        ];
        for (at, expected) in table {
            assert_eq!(Timestamp::parse_rfc3339(at).map(spelled).as_deref(), Some(expected));
        }
    }
}
