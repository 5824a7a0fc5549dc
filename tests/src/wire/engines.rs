//! CodeBuild, CodeDeploy and CloudFormation, each as a machine of state that no clock, no socket and no chance moves:
//! what is asked and when is an argument, and what EventBridge is told is a result. The strict stand-in of the stories
//! and the front of the local AWS both answer by it.
//!
//! A story says beforehand what will happen at a target ([`Fate`]), and what goes wrong with single calls
//! ([`Mishap`]). Every request is checked against the shape of its operation, with no member more than the engines of
//! Manifold use: what is not served is answered with a loud 400 ([`Reply::is_violation`]).
//!
//! | module | holds |
//! |---|---|
//! | [`codebuild`] | projects and builds |
//! | [`codedeploy`] | deployment groups, deployments and their rollbacks |
//! | [`cloudformation`] | stacks, change sets and what executing one does |
//! | `query` | the AWS Query protocol: forms in, XML out |
//! | `timeline` | what will happen to a build, a deployment or a stack, in order |

pub mod cloudformation;
pub mod codebuild;
pub mod codedeploy;
mod query;
mod timeline;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use manifold_core::ids::TargetKey;
use manifold_core::time::{Span, Timestamp};
use serde_json::{Map, Value, json};

use self::cloudformation::CloudFormation;
use self::codebuild::CodeBuild;
use self::codedeploy::CodeDeploy;
use super::shape::{Member, problems};
use super::{json_error, uuid_of};

/// How long what is started takes, when nobody says.
pub const USUALLY: Span = Span::from_seconds(120);

/// What comes of what is started at a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It succeeds.
    Succeeds {
        /// So long after its start.
        after: Span,
    },
    /// It fails.
    Fails {
        /// The engine has said its last word so long after the start.
        after: Span,
        /// Where and why.
        failure: Failure,
    },
    /// It begins, and nothing more happens until somebody stops it.
    NeverEnds,
}

/// A failure, in the words of the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The phase of a build (`BUILD`), the lifecycle event of a deployment (`AfterAllowTestTraffic`), the logical id of a
    /// stack's resource (`Function`).
    pub place: String,
    /// The status code of a phase (`COMMAND_EXECUTION_ERROR`; `BUILD_TIMED_OUT` makes the build `TIMED_OUT`, and
    /// `INTERNAL_SERVICE_ERROR` makes it `FAULT`), the error code of a deployment (`HEALTH_CONSTRAINTS`), the error code
    /// of a resource's handler (`AccessDenied`).
    pub code: String,
    /// The message.
    pub reason: String,
}

impl Fate {
    /// It succeeds after so many seconds.
    #[must_use]
    pub const fn succeeds(seconds: i64) -> Self {
        Self::Succeeds { after: Span::from_seconds(seconds) }
    }

    /// It fails after so many seconds: where, by which code, and why.
    #[must_use]
    pub fn fails(seconds: i64, place: &str, code: &str, reason: &str) -> Self {
        let failure = Failure { place: place.to_owned(), code: code.to_owned(), reason: reason.to_owned() };
        Self::Fails { after: Span::from_seconds(seconds), failure }
    }
}

/// What goes wrong with one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mishap {
    /// It is refused by this error, whatever it asks for: `AccountLimitExceededException`.
    Refused {
        /// The error's code.
        code: String,
        /// The error's message.
        message: String,
    },
    /// It is refused with the service's own throttling error.
    Throttled,
    /// It is carried out, or refused, and the answer is lost ([`Reply::is_lost`]).
    Unanswered,
}

/// A call of an operation, by somebody who may make it.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The account and the Region that it is made in.
    pub place: &'a TargetKey,
    /// The caller's ARN: `arn:aws:sts::<account>:assumed-role/<role>/<session>`.
    pub caller: &'a str,
    /// The signing name of the service: `codebuild`.
    pub service: &'a str,
    /// The operation: `StartBuild`.
    pub operation: &'a str,
    /// The body as it came.
    pub body: &'a [u8],
    /// When it is made.
    pub now: Timestamp,
}

/// What a caller must be allowed to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// `codebuild:StartBuild`.
    pub action: String,
    /// The ARN, or `*` where the service supports none.
    pub resource: String,
}

impl Need {
    fn new(action: &str, resource: impl Into<String>) -> Self {
        Self { action: action.to_owned(), resource: resource.into() }
    }
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The content type.
    pub content_type: &'static str,
    /// The body.
    pub body: String,
    /// The error's code and message, for one that is refused.
    pub error: Option<(String, String)>,
    /// Nobody should ask this: the operation, or a member of its body, is not served.
    pub is_violation: bool,
    /// The answer is to be lost on its way.
    pub is_lost: bool,
}

/// Why a call is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    status: u16,
    code: String,
    message: String,
    is_violation: bool,
}

impl Refusal {
    /// As the service refuses it.
    fn new(code: &str, message: impl Into<String>) -> Self {
        Self { status: 400, code: code.to_owned(), message: message.into(), is_violation: false }
    }

    fn status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    /// It is not understood.
    fn violation(message: impl Into<String>) -> Self {
        let code = "NotUnderstoodByTheStandIn".to_owned();
        Self { status: 400, code, message: message.into(), is_violation: true }
    }
}

/// The three services, in all accounts and Regions.
#[derive(Debug, Default)]
pub struct Engines {
    /// CodeBuild.
    pub codebuild: CodeBuild,
    /// CodeDeploy.
    pub codedeploy: CodeDeploy,
    /// CloudFormation.
    pub cloudformation: CloudFormation,
    ground: Ground,
}

/// What the services share.
#[derive(Debug, Default)]
struct Ground {
    fates: BTreeMap<TargetKey, Fate>,
    next_fates: BTreeMap<TargetKey, VecDeque<Fate>>,
    mishaps: BTreeMap<(TargetKey, String), VecDeque<Mishap>>,
    silent: BTreeSet<TargetKey>,
    calls: BTreeMap<TargetKey, BTreeMap<String, u64>>,
    events: Vec<Value>,
    drawn: u64,
    page: Option<usize>,
}

impl Ground {
    /// What comes of what is started now.
    fn fate(&mut self, place: &TargetKey) -> Fate {
        self.said(place).unwrap_or(Fate::Succeeds { after: USUALLY })
    }

    fn said(&mut self, place: &TargetKey) -> Option<Fate> {
        let next = self.next_fates.get_mut(place).and_then(VecDeque::pop_front);
        next.or_else(|| self.fates.get(place).cloned())
    }

    fn number(&mut self) -> u64 {
        self.drawn += 1;
        self.drawn
    }

    fn uuid(&mut self) -> String {
        let number = self.number();
        uuid_of(0xe1e1, number)
    }

    /// A page of `items` after what `token` says, and the token of the next.
    fn page<T: Clone>(
        &self,
        items: &[T],
        token: Option<&str>,
        most: usize,
    ) -> Result<(Vec<T>, Option<String>), String> {
        let start = match token {
            None => 0,
            Some(token) => token
                .strip_prefix("from-")
                .and_then(|at| at.parse().ok())
                .filter(|at| *at < items.len())
                .ok_or_else(|| format!("nobody was given the token {token}"))?,
        };
        let end = start.saturating_add(self.page.unwrap_or(most).min(most)).min(items.len());
        let next = (end < items.len()).then(|| format!("from-{end}"));
        Ok((items.get(start..end).unwrap_or_default().to_vec(), next))
    }

    /// Tells EventBridge.
    fn tell(
        &mut self,
        place: &TargetKey,
        at: Timestamp,
        (source, kind): (&str, &str),
        resources: &[String],
        detail: Value,
    ) {
        let id = self.uuid();
        if self.silent.contains(place) {
            return;
        }
        self.events.push(json!({
            "version": "0",
            "id": id,
            "detail-type": kind,
            "source": source,
            "account": place.account,
            // Whole seconds.
            "time": at.to_string(),
            "region": place.region,
            "resources": resources,
            "detail": detail,
        }));
    }
}

impl Engines {
    /// Whether this is one of the services, by its signing name.
    #[must_use]
    pub fn serves(service: &str) -> bool {
        matches!(service, "codebuild" | "codedeploy" | "cloudformation")
    }

    /// What comes of everything that is started at a target from here on. Without, it succeeds after [`USUALLY`].
    pub fn behave(&mut self, place: &TargetKey, fate: Fate) {
        self.ground.fates.insert(place.clone(), fate);
    }

    /// What comes of one of the next starts at a target. May be called repeatedly: the first call is for the first start.
    pub fn behave_next(&mut self, place: &TargetKey, fate: Fate) {
        self.ground.next_fates.entry(place.clone()).or_default().push_back(fate);
    }

    /// What goes wrong with the next call of an operation at a target. May be called repeatedly, once for each call.
    pub fn befall(&mut self, place: &TargetKey, operation: &str, mishap: Mishap) {
        self.ground.mishaps.entry((place.clone(), operation.to_owned())).or_default().push_back(mishap);
    }

    /// Whether the events of a target are lost.
    pub fn lose_events(&mut self, place: &TargetKey, lose: bool) {
        if lose {
            self.ground.silent.insert(place.clone());
        } else {
            self.ground.silent.remove(place);
        }
    }

    /// Somebody calls an operation of a service that is played elsewhere, and this goes wrong with the call.
    pub(crate) fn called(&mut self, place: &TargetKey, operation: &str) -> Option<Mishap> {
        let calls = self.ground.calls.entry(place.clone()).or_default();
        *calls.entry(operation.to_owned()).or_default() += 1;
        let mishaps = self.ground.mishaps.get_mut(&(place.clone(), operation.to_owned()));
        mishaps.and_then(VecDeque::pop_front)
    }

    /// What comes of what is started now in a service that is played elsewhere, if a story says so.
    pub(crate) fn fate(&mut self, place: &TargetKey) -> Option<Fate> {
        self.ground.said(place)
    }

    /// Whether the events of a target are lost.
    pub(crate) fn are_events_lost(&self, place: &TargetKey) -> bool {
        self.ground.silent.contains(place)
    }

    /// Ends every page after this many items, where the services would go on to their own limits.
    pub fn page_size(&mut self, items: usize) {
        self.ground.page = Some(items.max(1));
    }

    /// How often each operation was called at a target, refused and unanswered calls included.
    #[must_use]
    pub fn calls(&self, place: &TargetKey) -> BTreeMap<String, u64> {
        self.ground.calls.get(place).cloned().unwrap_or_default()
    }

    /// What the caller needs permission for: all of it. Nothing, when the request is so wrong that nobody can tell.
    #[must_use]
    pub fn needs(&self, call: &Call<'_>) -> Vec<Need> {
        match call.service {
            "codebuild" => json_body(call).map(|body| codebuild::needs(call, &body)).unwrap_or_default(),
            "codedeploy" => json_body(call).map(|body| self.codedeploy.needs(call, &body)).unwrap_or_default(),
            "cloudformation" => {
                query::body(call.body).map(|body| cloudformation::needs(call, &body)).unwrap_or_default()
            }
            _ => Vec::new(),
        }
    }

    /// Whether a call of CloudFormation is about a stack that a story declared, or that was made here.
    #[must_use]
    pub fn has_stack(&self, call: &Call<'_>) -> bool {
        call.service == "cloudformation"
            && query::body(call.body).is_ok_and(|body| self.cloudformation.is_about_one(call.place, &body))
    }

    /// Carries out a call of somebody who may make it, or refuses it. What became due until now is not done by it: see
    /// [`Self::advance`]. Change sets are the exception, they get ready by the time of whoever asks.
    pub fn answer(&mut self, call: &Call<'_>) -> Reply {
        let is_query = call.service == "cloudformation";
        let mut is_lost = false;
        let answered = match self.called(call.place, call.operation) {
            Some(Mishap::Refused { code, message }) => Err(Refusal::new(&code, message)),
            // "Common Errors" of each.
            Some(Mishap::Throttled) if is_query => Err(Refusal::new("Throttling", "Rate exceeded")),
            Some(Mishap::Throttled) => Err(Refusal::new("ThrottlingException", "Rate exceeded")),
            Some(Mishap::Unanswered) => {
                is_lost = true;
                self.carry_out(call)
            }
            None => self.carry_out(call),
        };
        let content_type = if is_query { "text/xml" } else { "application/x-amz-json-1.1" };
        match answered {
            Ok(body) => Reply { status: 200, content_type, body, error: None, is_violation: false, is_lost },
            Err(Refusal { status, code, message, is_violation }) => {
                let body =
                    if is_query { query::error(&code, &message) } else { json_error(&code, &message).to_string() };
                let is_lost = is_lost && !is_violation;
                Reply { status, content_type, body, error: Some((code, message)), is_violation, is_lost }
            }
        }
    }

    /// Calls CodeBuild or CodeDeploy as somebody does by hand in the target account, with root's credentials.
    ///
    /// # Panics
    /// It is refused.
    pub fn by_hand(
        &mut self,
        place: &TargetKey,
        (service, operation): (&str, &str),
        body: &Value,
        now: Timestamp,
    ) -> Value {
        let caller = format!("arn:aws:iam::{}:root", place.account);
        let body = body.to_string();
        let call = Call { place, caller: &caller, service, operation, body: body.as_bytes(), now };
        match self.carry_out(&call) {
            Ok(answer) => serde_json::from_str(&answer).unwrap_or(Value::Null),
            Err(Refusal { code, message, .. }) => panic!("{operation} at {place}: {code}: {message}"),
        }
    }

    fn carry_out(&mut self, call: &Call<'_>) -> Result<String, Refusal> {
        match call.service {
            "codebuild" => {
                let body = json_body(call)?;
                self.codebuild.answer(&mut self.ground, call, &body).map(|answer| answer.to_string())
            }
            "codedeploy" => {
                let body = json_body(call)?;
                self.codedeploy.answer(&mut self.ground, call, &body).map(|answer| answer.to_string())
            }
            "cloudformation" => {
                let body = query::body(call.body).map_err(Refusal::violation)?;
                let result = self.cloudformation.answer(&mut self.ground, call, &body)?;
                Ok(query::answer(call.operation, &result))
            }
            other => Err(Refusal::violation(format!("{other} is not served here"))),
        }
    }

    /// When the next thing happens by itself, if anything does.
    #[must_use]
    pub fn next_at(&self) -> Option<Timestamp> {
        self.next_of(&|_| true)
    }

    /// Whether anything goes on in these accounts that will end by itself.
    #[must_use]
    pub fn are_busy(&self, accounts: &[&str]) -> bool {
        self.next_of(&|place| accounts.contains(&place.account.as_str())).is_some()
    }

    fn next_of(&self, is_meant: &impl Fn(&TargetKey) -> bool) -> Option<Timestamp> {
        let next = [
            self.codebuild.next_at(is_meant),
            self.codedeploy.next_at(is_meant),
            self.cloudformation.next_at(is_meant),
        ];
        next.into_iter().flatten().min()
    }

    /// Does all that became due until now, each at its own time, and takes the events that were told since the last
    /// time, in order.
    #[must_use]
    pub fn advance(&mut self, now: Timestamp) -> Vec<Value> {
        while let Some(at) = self.next_at().filter(|at| *at <= now) {
            self.codebuild.advance(&mut self.ground, at);
            self.codedeploy.advance(&mut self.ground, at);
            self.cloudformation.advance(&mut self.ground, at);
        }
        self.take_events(|_| true)
    }

    /// Does the next thing of every build, deployment and stack in these accounts now, whenever it would be due. Says how
    /// many moved.
    pub fn step(&mut self, accounts: &[&str], now: Timestamp) -> usize {
        let is_meant = |place: &TargetKey| accounts.contains(&place.account.as_str());
        self.codebuild.step(&mut self.ground, &is_meant, now)
            + self.codedeploy.step(&mut self.ground, &is_meant, now)
            + self.cloudformation.step(&mut self.ground, &is_meant, now)
    }

    /// Takes the events told in an account since the last time, in order.
    #[must_use]
    pub fn take_events_of(&mut self, account: &str) -> Vec<Value> {
        self.take_events(|event| event["account"] == account)
    }

    fn take_events(&mut self, is_wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
        let (taken, left) = std::mem::take(&mut self.ground.events).into_iter().partition(is_wanted);
        self.ground.events = left;
        taken
    }
}

fn json_body(call: &Call<'_>) -> Result<Value, Refusal> {
    serde_json::from_slice(call.body).map_err(|error| Refusal::violation(format!("the body is not JSON: {error}")))
}

/// The body of a request, if it is one of the operation's.
fn checked<'a>(members: &'static [Member], body: &'a Value) -> Result<&'a Map<String, Value>, Refusal> {
    match (problems(members, body), body.as_object()) {
        (None, Some(body)) => Ok(body),
        (problems, _) => Err(Refusal::violation(problems.unwrap_or_default())),
    }
}

fn text<'a>(body: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    body.get(name).and_then(Value::as_str)
}

fn list<'a>(body: &'a Map<String, Value>, name: &str) -> &'a [Value] {
    body.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn texts(body: &Map<String, Value>, name: &str) -> Vec<String> {
    list(body, name).iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// An object without its members that are `null`.
pub(crate) fn told(mut object: Value) -> Value {
    if let Some(members) = object.as_object_mut() {
        members.retain(|_, value| !value.is_null());
    }
    object
}

/// The session as CodeBuild names who started a build: `role/session`, and the last part of any other ARN.
fn session_of(caller: &str) -> &str {
    match caller.split_once(":assumed-role/") {
        Some((_, session)) => session,
        None => caller.rsplit([':', '/']).next().unwrap_or(caller),
    }
}
