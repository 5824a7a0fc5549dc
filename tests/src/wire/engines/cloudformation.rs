//! CloudFormation: stacks, change sets and what executing one does (CloudFormation API reference and User Guide; the
//! texts of its errors as published reports quote them).

use std::collections::{BTreeMap, BTreeSet};

use manifold_core::ids::TargetKey;
use manifold_core::time::{Span, Timestamp};
use serde_json::{Map, Value, json};

use super::timeline::Timeline;
use super::{Call, Failure, Fate, Ground, Need, Refusal, checked, list, text, texts, told};
use crate::wire::shape::{self, Member, Shape, may, must};
use crate::wire::with_millis;

/// "A maximum of 100 changes" on a page of `DescribeChangeSet`; events and stacks go by 1 MB.
const MOST: usize = 100;
/// How long an update takes to roll back after it was cancelled.
const ROLLING_BACK: Span = Span::from_seconds(30);
/// When the stacks were created that were there before the story: 2026-01-01.
const BEFORE: Timestamp = Timestamp::from_millis(1_767_225_600_000);
/// The type of the resource as which a stack tells its own events.
const STACK: &str = "AWS::CloudFormation::Stack";

/// `[a-zA-Z0-9][-a-zA-Z0-9]*`.
const TOKEN: Shape = Shape::Text { min: 1, max: 128, allowed: |c| c.is_ascii_alphanumeric() || c == '-' };
/// `[a-zA-Z][-a-zA-Z0-9]*`, or an ARN.
const CHANGE_SET: Shape =
    Shape::Text { min: 1, max: 1600, allowed: |c| c.is_ascii_alphanumeric() || "-:/".contains(c) };
const STACK_NAME: Shape =
    Shape::Text { min: 1, max: 1600, allowed: |c| c.is_ascii_alphanumeric() || "-:/".contains(c) };
const TRUTH: Shape = Shape::OneOf(&["true", "false"]);
const PARAMETER: Shape = Shape::Members(&[
    must("ParameterKey", shape::text(1, 255)),
    may("ParameterValue", shape::text(0, 4096)),
    may("UsePreviousValue", TRUTH),
]);
const TAG: Shape = Shape::Members(&[must("Key", shape::text(1, 128)), must("Value", shape::text(1, 256))]);
const CAPABILITY: Shape = Shape::OneOf(&["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]);
const CREATE: &[Member] = &[
    must("StackName", STACK_NAME),
    must("ChangeSetName", Shape::Text { min: 1, max: 128, allowed: |c| c.is_ascii_alphanumeric() || c == '-' }),
    may("ChangeSetType", Shape::OneOf(&["CREATE", "UPDATE"])),
    may("TemplateURL", shape::text(1, 5120)),
    may("Parameters", Shape::List { min: 0, max: 200, of: &PARAMETER }),
    may("Tags", Shape::List { min: 0, max: 50, of: &TAG }),
    may("Capabilities", Shape::List { min: 0, max: 3, of: &CAPABILITY }),
    may("RoleARN", shape::text(20, 2048)),
    may("ClientToken", TOKEN),
    may("Description", shape::text(1, 1024)),
];
const DESCRIBE: &[Member] =
    &[must("ChangeSetName", CHANGE_SET), may("StackName", STACK_NAME), may("NextToken", shape::text(1, 1024))];
const EXECUTE: &[Member] = &[
    must("ChangeSetName", CHANGE_SET),
    may("StackName", STACK_NAME),
    may("ClientRequestToken", TOKEN),
    may("DisableRollback", TRUTH),
];
const DELETE: &[Member] = &[must("ChangeSetName", CHANGE_SET), may("StackName", STACK_NAME)];
const STACKS: &[Member] = &[may("StackName", STACK_NAME), may("NextToken", shape::text(1, 1024))];
const EVENTS: &[Member] = &[must("StackName", STACK_NAME), may("NextToken", shape::text(1, 1024))];
const CANCEL: &[Member] = &[must("StackName", STACK_NAME), may("ClientRequestToken", TOKEN)];
const SUMMARISE: &[Member] = &[must("TemplateURL", shape::text(1, 5120))];

/// What a change set finds of one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// `Add`, `Modify` or `Remove`.
    pub action: String,
    /// The logical id.
    pub resource: String,
    /// The resource's type.
    pub kind: String,
    /// Of a modification: `True`, `False` or `Conditional`.
    pub replacement: Option<String>,
}

impl Change {
    /// A resource is created.
    #[must_use]
    pub fn add(resource: &str, kind: &str) -> Self {
        Self { action: "Add".to_owned(), resource: resource.to_owned(), kind: kind.to_owned(), replacement: None }
    }

    /// A resource is changed in place.
    #[must_use]
    pub fn modify(resource: &str, kind: &str) -> Self {
        Self { action: "Modify".to_owned(), replacement: Some("False".to_owned()), ..Self::add(resource, kind) }
    }

    /// A resource is replaced.
    #[must_use]
    pub fn replace(resource: &str, kind: &str) -> Self {
        Self { replacement: Some("True".to_owned()), ..Self::modify(resource, kind) }
    }

    /// A resource is deleted.
    #[must_use]
    pub fn remove(resource: &str, kind: &str) -> Self {
        Self { action: "Remove".to_owned(), ..Self::add(resource, kind) }
    }
}

/// A stack, and what its templates are like, as a story declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stack {
    /// Its name.
    pub name: String,
    /// Whether it was created before the story.
    pub exists: bool,
    /// The capabilities that its template demands.
    pub capabilities: Vec<String>,
    /// The parameters of its template with their defaults. Any, when not set.
    pub parameters: Option<BTreeMap<String, Option<String>>>,
    /// What a change set finds, if its template, its parameters or its tags are others than the stack's.
    pub changes: Vec<Change>,
    /// Every change set fails for this reason, which is not that there are no changes.
    pub change_set_fails: Option<String>,
    /// The template's URL and the parameters that it was last deployed with.
    pub deployed: Option<(String, BTreeMap<String, String>)>,
}

impl Stack {
    /// A stack that was created before the story, with one function that every release changes, and a table that none
    /// does.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            exists: true,
            capabilities: Vec::new(),
            parameters: None,
            changes: vec![
                Change::modify("Function", "AWS::Lambda::Function"),
                Change::modify("Alias", "AWS::Lambda::Alias"),
            ],
            change_set_fails: None,
            deployed: None,
        }
    }

    /// One that nobody created yet.
    #[must_use]
    pub fn absent(name: &str) -> Self {
        Self {
            exists: false,
            changes: vec![Change::add("Function", "AWS::Lambda::Function"), Change::add("Alias", "AWS::Lambda::Alias")],
            ..Self::new(name)
        }
    }
}

/// What somebody executed or cancelled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Execution {
    /// The account and the Region.
    pub place: TargetKey,
    /// The stack's name.
    pub stack: String,
    /// The change set's name.
    pub change_set: String,
    /// The client request token.
    pub token: Option<String>,
    /// The caller's ARN.
    pub started_by: String,
    /// The template.
    pub template: String,
    /// The parameters, those included that the stack kept.
    pub parameters: BTreeMap<String, String>,
    /// When.
    pub started_at: Timestamp,
}

#[derive(Debug, Clone)]
struct Known {
    place: TargetKey,
    declared: Stack,
    /// None before anybody made a change set that creates it.
    id: Option<String>,
    status: &'static str,
    reason: Option<String>,
    created_at: Timestamp,
    updated_at: Option<Timestamp>,
    template: Option<String>,
    parameters: BTreeMap<String, String>,
    tags: Value,
    role: Option<String>,
    capabilities: Vec<String>,
    events: Vec<Told>,
    tokens: BTreeSet<String>,
    change_sets: Vec<ChangeSet>,
    operation: Option<Operation>,
    timeline: Timeline<Step>,
}

#[derive(Debug, Clone)]
struct ChangeSet {
    name: String,
    id: String,
    creates: bool,
    created_at: Timestamp,
    ready_at: Timestamp,
    template: String,
    parameters: BTreeMap<String, String>,
    tags: Value,
    role: Option<String>,
    capabilities: Vec<String>,
    description: Option<String>,
    request: Value,
    changes: Vec<Change>,
    failure: Option<String>,
    /// The execution status, once it is ready.
    execution: &'static str,
}

/// An execution that goes on.
#[derive(Debug, Clone)]
struct Operation {
    change_set: String,
    token: Option<String>,
    creates: bool,
    changes: Vec<Change>,
    failed: Option<String>,
}

#[derive(Debug, Clone)]
struct Told {
    id: String,
    at: Timestamp,
    resource: String,
    physical: String,
    kind: String,
    status: String,
    reason: Option<String>,
    token: Option<String>,
}

#[derive(Debug, Clone)]
enum Step {
    Begins(usize),
    Ends(usize),
    Fails(usize, Failure),
    CleansUp,
    Completes,
    RollsBack,
    RollbackCleansUp,
    RollbackCompletes,
    /// It stays as it failed: rollback is disabled.
    Stays,
}

/// Stacks and their change sets, in all accounts and Regions.
#[derive(Debug)]
pub struct CloudFormation {
    /// The parameters of templates with their defaults, by bucket and key.
    templates: BTreeMap<(String, String), BTreeMap<String, Option<String>>>,
    /// The types of templates' resources, by bucket and key.
    kinds: BTreeMap<(String, String), Vec<String>>,
    stacks: Vec<Known>,
    executions: Vec<Execution>,
    change_sets_take: Span,
}

impl Default for CloudFormation {
    fn default() -> Self {
        let change_sets_take = Span::from_seconds(3);
        let (templates, kinds) = (BTreeMap::new(), BTreeMap::new());
        Self { templates, kinds, stacks: Vec::new(), executions: Vec::new(), change_sets_take }
    }
}

fn validation(message: impl Into<String>) -> Refusal {
    Refusal::new("ValidationError", message)
}

/// A stack's name, also of its ARN.
fn short(name: &str) -> &str {
    match name.split_once(":stack/") {
        Some((_, rest)) => rest.split('/').next().unwrap_or(rest),
        None => name,
    }
}

/// Bucket and key of a template's URL.
fn object(url: &str) -> Option<(&str, &str)> {
    let (host, path) = url.strip_prefix("https://")?.split_once('/')?;
    let host = host.strip_suffix(".amazonaws.com")?;
    let is_endpoint = |rest: &str| rest == "s3" || rest.starts_with("s3.") || rest.starts_with("s3-");
    if is_endpoint(host) {
        return path.split_once('/').filter(|(bucket, key)| !bucket.is_empty() && !key.is_empty());
    }
    let (bucket, _) = host.match_indices(".s3").map(|(at, _)| host.split_at(at)).next()?;
    (!path.is_empty()).then_some((bucket, path))
}

/// All actions are about stacks; the template is read, and the role is passed, with the caller's permissions.
pub(super) fn needs(call: &Call<'_>, body: &Value) -> Vec<Need> {
    let TargetKey { account, region } = call.place;
    let stack = match (body["StackName"].as_str(), body["ChangeSetName"].as_str()) {
        (Some(name), _) => format!("stack/{}/*", short(name)),
        (None, Some(_)) => "stack/*/*".to_owned(),
        (None, None) => "*".to_owned(),
    };
    let stack = if stack == "*" { stack } else { format!("arn:aws:cloudformation:{region}:{account}:{stack}") };
    let mut needs = vec![Need::new(&format!("cloudformation:{}", call.operation), stack)];
    let template = body["TemplateURL"].as_str().and_then(object);
    needs.extend(template.map(|(bucket, key)| Need::new("s3:GetObject", format!("arn:aws:s3:::{bucket}/{key}"))));
    needs.extend(body["RoleARN"].as_str().map(|role| Need::new("iam:PassRole", role)));
    needs
}

impl CloudFormation {
    /// Creates a stack that was there before the story, or says what one will be like that nobody created yet.
    pub fn declare(&mut self, place: &TargetKey, stack: Stack) {
        self.stacks.retain(|known| known.place != *place || known.declared.name != stack.name);
        let number = self.stacks.len() as u64 + 1;
        let id = stack.exists.then(|| stack_id(place, &stack.name, number));
        let mut known = Known::new(place, stack);
        known.id = id;
        self.stacks.push(known);
    }

    /// Says which parameters a template has, with their defaults. One that nobody speaks of has none, and a stack's change
    /// sets go by what was declared with it.
    pub fn template(&mut self, bucket: &str, key: &str, parameters: BTreeMap<String, Option<String>>) {
        self.templates.insert((bucket.to_owned(), key.to_owned()), parameters);
    }

    /// Says which types of resources a template has.
    pub fn template_makes(&mut self, bucket: &str, key: &str, kinds: &[&str]) {
        let kinds = kinds.iter().map(|kind| (*kind).to_owned()).collect();
        self.kinds.insert((bucket.to_owned(), key.to_owned()), kinds);
    }

    /// How long a change set takes to get ready. Half of it, it is pending.
    pub fn change_sets_take(&mut self, span: Span) {
        self.change_sets_take = span;
    }

    /// Every change set that was executed, in order.
    #[must_use]
    pub fn executions(&self) -> &[Execution] {
        &self.executions
    }

    /// The status of a stack. None, when there is none of that name.
    #[must_use]
    pub fn status(&self, place: &TargetKey, name: &str) -> Option<&'static str> {
        self.stack(place, name).map(|stack| stack.status)
    }

    /// The names of a stack's change sets that nobody deleted.
    #[must_use]
    pub fn change_sets(&self, place: &TargetKey, name: &str) -> Vec<String> {
        let stack = self.stack(place, name);
        stack.into_iter().flat_map(|stack| stack.change_sets.iter().map(|each| each.name.clone())).collect()
    }

    pub(super) fn is_about_one(&self, place: &TargetKey, body: &Value) -> bool {
        let is_it = |known: &&Known| match (body["StackName"].as_str(), body["ChangeSetName"].as_str()) {
            (Some(name), _) => known.declared.name == short(name),
            (None, Some(id)) => known.change_sets.iter().any(|change_set| change_set.id == id),
            (None, None) => false,
        };
        let is_template = |url: &str| self.parameters_of(url).is_some();
        self.stacks.iter().filter(|known| known.place == *place).any(|known| is_it(&known))
            || body["StackName"].is_null() && body["TemplateURL"].as_str().is_some_and(is_template)
    }

    /// The parameters of a template that somebody spoke of.
    fn parameters_of(&self, url: &str) -> Option<&BTreeMap<String, Option<String>>> {
        let (bucket, key) = object(url)?;
        self.templates.get(&(bucket.to_owned(), key.to_owned()))
    }

    /// A stack that exists.
    fn stack(&self, place: &TargetKey, name: &str) -> Option<&Known> {
        self.stacks.iter().find(|known| known.is(place, name) && known.id.is_some())
    }

    fn stack_mut(&mut self, place: &TargetKey, name: &str) -> Result<&mut Known, Refusal> {
        let found = self.stacks.iter_mut().find(|known| known.is(place, name) && known.id.is_some());
        found.ok_or_else(|| validation(format!("Stack [{name}] does not exist")))
    }

    /// The stack and the index of the change set that a request names.
    fn change_set(&mut self, place: &TargetKey, body: &Map<String, Value>) -> Result<(&mut Known, usize), Refusal> {
        let name = text(body, "ChangeSetName").unwrap_or_default();
        let missing = || Refusal::new("ChangeSetNotFound", format!("ChangeSet [{name}] does not exist")).status(404);
        let is_arn = name.starts_with("arn:");
        let stack = match text(body, "StackName") {
            Some(stack) => self.stack_mut(place, stack)?,
            None if is_arn => {
                let mut stacks = self.stacks.iter_mut().filter(|known| known.place == *place);
                stacks.find(|known| known.change_sets.iter().any(|each| each.id == name)).ok_or_else(missing)?
            }
            None => return Err(validation("StackName must be specified if ChangeSetName is not specified as an ARN.")),
        };
        let is_it = |each: &ChangeSet| if is_arn { each.id == name } else { each.name == name };
        let index = stack.change_sets.iter().position(is_it).ok_or_else(missing)?;
        Ok((stack, index))
    }

    pub(super) fn answer(&mut self, ground: &mut Ground, call: &Call<'_>, body: &Value) -> Result<Value, Refusal> {
        // An empty list is written as an empty text.
        let mut body = body.clone();
        for name in ["Parameters", "Tags", "Capabilities"] {
            if body[name] == "" {
                body[name] = json!([]);
            }
        }
        match call.operation {
            "CreateChangeSet" => self.create(ground, call, &body),
            "DescribeChangeSet" => self.describe_change_set(ground, call, checked(DESCRIBE, &body)?),
            "ExecuteChangeSet" => self.execute(ground, call, checked(EXECUTE, &body)?),
            "DeleteChangeSet" => self.delete(call, checked(DELETE, &body)?),
            "DescribeStacks" => self.describe_stacks(ground, call, checked(STACKS, &body)?),
            "DescribeStackEvents" => self.describe_events(ground, call, checked(EVENTS, &body)?),
            "CancelUpdateStack" => self.cancel(call, checked(CANCEL, &body)?),
            "GetTemplateSummary" => self.summarise(checked(SUMMARISE, &body)?),
            other => Err(Refusal::violation(format!("no engine calls CloudFormation's {other}"))),
        }
    }

    fn create(&mut self, ground: &mut Ground, call: &Call<'_>, request: &Value) -> Result<Value, Refusal> {
        let body = checked(CREATE, request)?;
        let name = text(body, "StackName").unwrap_or_default();
        let change_set = text(body, "ChangeSetName").unwrap_or_default();
        let creates = text(body, "ChangeSetType") == Some("CREATE");
        let takes = self.change_sets_take;
        let template = text(body, "TemplateURL").unwrap_or_default();
        let of_template = self.parameters_of(template).cloned();
        if !self.stacks.iter().any(|known| known.is(call.place, name)) {
            self.declare(call.place, Stack::absent(name));
        }
        let found = self.stacks.iter_mut().find(|known| known.is(call.place, name));
        let stack = found.ok_or_else(|| validation(format!("Stack [{name}] does not exist")))?;
        if let Some(known) = stack.change_sets.iter().find(|each| each.name == change_set) {
            if text(body, "ClientToken").is_some() && known.request == *request {
                return Ok(json!({"Id": known.id, "StackId": stack.id}));
            }
            let message = format!("ChangeSet {change_set} cannot be created due to a mismatch with existing attribute");
            return Err(Refusal::new("AlreadyExistsException", message));
        }
        stack.may_change(creates, change_set)?;
        if template.is_empty() {
            return Err(validation("Either Template URL or Template Body must be specified."));
        }
        if object(template).is_none() {
            return Err(validation(format!("S3 error: {template} is not the URL of an object in Amazon S3")));
        }
        let parameters = stack.parameters(list(body, "Parameters"), of_template.as_ref())?;
        let capabilities = texts(body, "Capabilities");
        // A named resource of IAM needs more than an unnamed one.
        let has = |needed: &String| {
            capabilities.contains(needed)
                || (needed == "CAPABILITY_IAM" && capabilities.iter().any(|each| each == "CAPABILITY_NAMED_IAM"))
        };
        let missing: Vec<&str> =
            stack.declared.capabilities.iter().filter(|needed| !has(needed)).map(String::as_str).collect();
        if !missing.is_empty() {
            let message = format!("Requires capabilities : [{}]", missing.join(", "));
            return Err(Refusal::new("InsufficientCapabilitiesException", message));
        }
        let tags = body.get("Tags").cloned().unwrap_or_else(|| json!([]));
        let is_same = !creates
            && stack.template.as_deref() == Some(template)
            && stack.parameters == parameters
            && stack.tags == tags;
        let id = match stack.id.clone() {
            Some(id) => id,
            None => {
                let id = stack_id(call.place, name, ground.number());
                (stack.id, stack.created_at) = (Some(id.clone()), call.now);
                stack.becomes(ground, call.now, "REVIEW_IN_PROGRESS", Some("User Initiated"), None);
                id
            }
        };
        let TargetKey { account, region } = call.place;
        let uuid = ground.uuid();
        let arn = format!("arn:aws:cloudformation:{region}:{account}:changeSet/{change_set}/{uuid}");
        stack.change_sets.push(ChangeSet {
            name: change_set.to_owned(),
            id: arn.clone(),
            creates,
            created_at: call.now,
            ready_at: call.now.plus(takes),
            template: template.to_owned(),
            parameters,
            tags,
            role: text(body, "RoleARN").map(str::to_owned),
            capabilities,
            description: text(body, "Description").map(str::to_owned),
            request: request.clone(),
            changes: if is_same { Vec::new() } else { stack.declared.changes.clone() },
            failure: stack.declared.change_set_fails.clone(),
            execution: "AVAILABLE",
        });
        Ok(json!({"Id": arn, "StackId": id}))
    }

    fn summarise(&self, body: &Map<String, Value>) -> Result<Value, Refusal> {
        let url = text(body, "TemplateURL").unwrap_or_default();
        let Some((bucket, key)) = object(url) else {
            return Err(validation(format!("S3 error: {url} is not the URL of an object in Amazon S3")));
        };
        let kinds = self.kinds.get(&(bucket.to_owned(), key.to_owned())).cloned().unwrap_or_default();
        let parameter = |(key, default): (&String, &Option<String>)| {
            told(json!({"ParameterKey": key, "DefaultValue": default, "ParameterType": "String", "NoEcho": false}))
        };
        let parameters: Vec<Value> = self.parameters_of(url).into_iter().flatten().map(parameter).collect();
        Ok(json!({"Parameters": parameters, "ResourceTypes": kinds}))
    }

    fn describe_change_set(
        &mut self,
        ground: &Ground,
        call: &Call<'_>,
        body: &Map<String, Value>,
    ) -> Result<Value, Refusal> {
        let (stack, index) = self.change_set(call.place, body)?;
        let found = &stack.change_sets[index];
        let (status, reason) = found.status(call.now);
        let is_ready = status == "CREATE_COMPLETE";
        let changes = if is_ready { found.changes.as_slice() } else { &[] };
        let (changes, next) = ground.page(changes, text(body, "NextToken"), MOST).map_err(validation)?;
        let change = |change: &Change| {
            let physical = (change.action != "Add").then(|| stack.physical(&change.resource));
            told(json!({"Type": "Resource", "ResourceChange": told(json!({
                "Action": change.action,
                "LogicalResourceId": change.resource,
                "PhysicalResourceId": physical,
                "ResourceType": change.kind,
                "Replacement": change.replacement,
                "Scope": if change.action == "Modify" { json!(["Properties"]) } else { json!([]) },
                "Details": [],
            }))}))
        };
        Ok(told(json!({
            "ChangeSetName": found.name,
            "ChangeSetId": found.id,
            "StackId": stack.id,
            "StackName": stack.declared.name,
            "Description": found.description,
            "Parameters": parameters(&found.parameters),
            "CreationTime": with_millis(found.created_at),
            "ExecutionStatus": if is_ready { found.execution } else { "UNAVAILABLE" },
            "Status": status,
            "StatusReason": reason,
            "Capabilities": found.capabilities,
            "Tags": found.tags,
            "Changes": changes.iter().map(change).collect::<Vec<_>>(),
            "NextToken": next,
            "IncludeNestedStacks": false,
        })))
    }

    fn execute(&mut self, ground: &mut Ground, call: &Call<'_>, body: &Map<String, Value>) -> Result<Value, Refusal> {
        let (stack, index) = self.change_set(call.place, body)?;
        let token = text(body, "ClientRequestToken").map(str::to_owned);
        stack.use_token(token.as_deref())?;
        let mut found = stack.change_sets[index].clone();
        let (status, _) = found.status(call.now);
        let cannot = |what: &str, status: &str| {
            let message = format!("ChangeSet [{}] cannot be executed in its current {what} of [{status}]", found.id);
            Err(Refusal::new("InvalidChangeSetStatus", message))
        };
        if status != "CREATE_COMPLETE" {
            return cannot("status", status);
        }
        if found.execution != "AVAILABLE" {
            return cannot("execution status", found.execution);
        }
        stack.may_change(found.creates, &found.name)?;
        if let Some(token) = &token {
            stack.tokens.insert(token.clone());
        }
        found.execution = "EXECUTE_IN_PROGRESS";
        let fate = ground.fate(call.place);
        let rolls_back = text(body, "DisableRollback") != Some("true");
        stack.timeline = timeline(call.now, found.creates, rolls_back, &found.changes, &fate);
        stack.operation = Some(Operation {
            change_set: found.name.clone(),
            token: token.clone(),
            creates: found.creates,
            changes: found.changes.clone(),
            failed: None,
        });
        stack.role = found.role.clone().or_else(|| stack.role.clone());
        stack.updated_at = Some(call.now);
        let status = if found.creates { "CREATE_IN_PROGRESS" } else { "UPDATE_IN_PROGRESS" };
        stack.becomes(ground, call.now, status, Some("User Initiated"), token.as_deref());
        let execution = Execution {
            place: call.place.clone(),
            stack: stack.declared.name.clone(),
            change_set: found.name.clone(),
            token,
            started_by: call.caller.to_owned(),
            template: found.template.clone(),
            parameters: found.parameters.clone(),
            started_at: call.now,
        };
        // "CloudFormation deletes all change sets associated with the stack": all but this one.
        stack.change_sets = vec![found];
        self.executions.push(execution);
        Ok(json!({}))
    }

    fn delete(&mut self, call: &Call<'_>, body: &Map<String, Value>) -> Result<Value, Refusal> {
        match self.change_set(call.place, body) {
            // "the change set status might be CREATE_IN_PROGRESS" (`DeleteChangeSet`, `InvalidChangeSetStatus`).
            Ok((stack, index))
                if stack.change_sets[index].execution == "EXECUTE_IN_PROGRESS"
                    || ["CREATE_PENDING", "CREATE_IN_PROGRESS"]
                        .contains(&stack.change_sets[index].status(call.now).0) =>
            {
                let message = "An operation on this ChangeSet is currently in progress.";
                Err(Refusal::new("InvalidChangeSetStatus", message))
            }
            Ok((stack, index)) => {
                stack.change_sets.remove(index);
                Ok(json!({}))
            }
            // It is gone, as was asked.
            Err(refusal) if refusal.code == "ChangeSetNotFound" => Ok(json!({})),
            Err(refusal) => Err(refusal),
        }
    }

    fn describe_stacks(&self, ground: &Ground, call: &Call<'_>, body: &Map<String, Value>) -> Result<Value, Refusal> {
        let name = text(body, "StackName");
        let is_meant = |known: &&Known| match name {
            Some(name) => known.is(call.place, name),
            None => known.place == *call.place,
        };
        let found: Vec<Value> =
            self.stacks.iter().filter(is_meant).filter(|known| known.id.is_some()).map(Known::describe).collect();
        if let Some(name) = name.filter(|_| found.is_empty()) {
            return Err(validation(format!("Stack with id {name} does not exist")));
        }
        let (stacks, next) = ground.page(&found, text(body, "NextToken"), MOST).map_err(validation)?;
        Ok(told(json!({"Stacks": stacks, "NextToken": next})))
    }

    fn describe_events(&self, ground: &Ground, call: &Call<'_>, body: &Map<String, Value>) -> Result<Value, Refusal> {
        let name = text(body, "StackName").unwrap_or_default();
        let found = self.stack(call.place, name);
        let stack = found.ok_or_else(|| validation(format!("Stack [{name}] does not exist")))?;
        // "in reverse chronological order".
        let events: Vec<Value> = stack.events.iter().rev().map(|event| stack.describe_event(event)).collect();
        let (events, next) = ground.page(&events, text(body, "NextToken"), MOST).map_err(validation)?;
        Ok(told(json!({"StackEvents": events, "NextToken": next})))
    }

    fn cancel(&mut self, call: &Call<'_>, body: &Map<String, Value>) -> Result<Value, Refusal> {
        let token = text(body, "ClientRequestToken").map(str::to_owned);
        let stack = self.stack_mut(call.place, text(body, "StackName").unwrap_or_default())?;
        stack.use_token(token.as_deref())?;
        if stack.status != "UPDATE_IN_PROGRESS" {
            return Err(validation("CancelUpdateStack cannot be called from current stack status"));
        }
        stack.tokens.extend(token.clone());
        // "All events triggered by a given stack operation are assigned the same client request token": to cancel is an
        // operation of its own.
        if let Some(operation) = stack.operation.as_mut().filter(|_| token.is_some()) {
            operation.token = token;
        }
        let steps = vec![Step::RollsBack, Step::RollbackCleansUp, Step::RollbackCompletes];
        stack.timeline = Timeline::spread(call.now, ROLLING_BACK, steps);
        Ok(json!({}))
    }

    pub(super) fn next_at(&self, is_meant: &impl Fn(&TargetKey) -> bool) -> Option<Timestamp> {
        let meant = self.stacks.iter().filter(|each| is_meant(&each.place));
        meant.filter_map(|each| each.timeline.next_at()).min()
    }

    pub(super) fn advance(&mut self, ground: &mut Ground, now: Timestamp) {
        for stack in &mut self.stacks {
            while let Some(step) = stack.timeline.due(now) {
                stack.apply(ground, step, now);
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
        for stack in self.stacks.iter_mut().filter(|stack| is_meant(&stack.place)) {
            if let Some(step) = stack.timeline.next() {
                stack.apply(ground, step, now);
                moved += 1;
            }
        }
        moved
    }
}

fn stack_id(place: &TargetKey, name: &str, number: u64) -> String {
    let uuid = crate::wire::uuid_of(0x57ac, number);
    format!("arn:aws:cloudformation:{}:{}:stack/{name}/{uuid}", place.region, place.account)
}

fn parameters(parameters: &BTreeMap<String, String>) -> Value {
    parameters.iter().map(|(key, value)| json!({"ParameterKey": key, "ParameterValue": value})).collect()
}

/// What an execution does: one resource after the other, then the clean-up; or, after the failed resource, back.
fn timeline(start: Timestamp, creates: bool, rolls_back: bool, changes: &[Change], fate: &Fate) -> Timeline<Step> {
    // What is removed, is removed by the clean-up.
    let worked_on: Vec<usize> = (0..changes.len()).filter(|at| changes[*at].action != "Remove").collect();
    let both = |at: &usize| [Step::Begins(*at), Step::Ends(*at)];
    let (after, steps) = match fate {
        Fate::Succeeds { after } => {
            let mut steps: Vec<Step> = worked_on.iter().flat_map(both).collect();
            if !creates {
                steps.push(Step::CleansUp);
            }
            steps.push(Step::Completes);
            (*after, steps)
        }
        Fate::Fails { after, failure } => {
            let failed = worked_on.iter().position(|at| changes[*at].resource == failure.place);
            let failed = failed.unwrap_or_else(|| panic!("the change set changes no resource {}", failure.place));
            let mut steps: Vec<Step> = worked_on.iter().take(failed).flat_map(both).collect();
            // Resources that nothing depends on are worked on at the same time.
            steps.extend(worked_on.iter().skip(failed).map(|at| Step::Begins(*at)));
            steps.push(Step::Fails(worked_on[failed], failure.clone()));
            match (rolls_back, creates) {
                (false, _) => steps.push(Step::Stays),
                (true, true) => steps.extend([Step::RollsBack, Step::RollbackCompletes]),
                (true, false) => steps.extend([Step::RollsBack, Step::RollbackCleansUp, Step::RollbackCompletes]),
            }
            (*after, steps)
        }
        Fate::NeverEnds => (Span::from_seconds(1), worked_on.iter().take(1).map(|at| Step::Begins(*at)).collect()),
    };
    Timeline::spread(start, after, steps)
}

impl ChangeSet {
    /// The status and its reason.
    fn status(&self, now: Timestamp) -> (&'static str, Option<&str>) {
        let half = self.created_at.plus(Span::from_millis(self.ready_at.since(self.created_at).as_millis() / 2));
        if now < half {
            return ("CREATE_PENDING", None);
        }
        if now < self.ready_at {
            return ("CREATE_IN_PROGRESS", None);
        }
        let no_changes = "The submitted information didn't contain changes. \
                          Submit different information to create a change set.";
        match &self.failure {
            Some(why) => ("FAILED", Some(why)),
            None if self.changes.is_empty() => ("FAILED", Some(no_changes)),
            None => ("CREATE_COMPLETE", None),
        }
    }
}

impl Known {
    fn new(place: &TargetKey, declared: Stack) -> Self {
        let (template, parameters) = match &declared.deployed {
            Some((template, parameters)) => (Some(template.clone()), parameters.clone()),
            None => (None, BTreeMap::new()),
        };
        Self {
            place: place.clone(),
            declared,
            id: None,
            status: "CREATE_COMPLETE",
            reason: None,
            created_at: BEFORE,
            updated_at: None,
            template,
            parameters,
            tags: json!([]),
            role: None,
            capabilities: Vec::new(),
            events: Vec::new(),
            tokens: BTreeSet::new(),
            change_sets: Vec::new(),
            operation: None,
            timeline: Timeline::default(),
        }
    }

    fn is(&self, place: &TargetKey, name: &str) -> bool {
        let is_named =
            if name.starts_with("arn:") { self.id.as_deref() == Some(name) } else { self.declared.name == name };
        self.place == *place && is_named
    }

    fn id(&self) -> String {
        self.id.clone().unwrap_or_default()
    }

    fn physical(&self, resource: &str) -> String {
        format!("{}-{resource}-1ABCDEF", self.declared.name)
    }

    /// Whether a change set may be made or executed now.
    fn may_change(&self, creates: bool, change_set: &str) -> Result<(), Refusal> {
        let Self { declared: Stack { name, .. }, status, .. } = self;
        let is_new = self.id.is_none() || *status == "REVIEW_IN_PROGRESS";
        let can_be_updated = matches!(
            *status,
            "CREATE_COMPLETE" | "UPDATE_COMPLETE" | "UPDATE_ROLLBACK_COMPLETE" | "IMPORT_COMPLETE" | "UPDATE_FAILED"
        );
        match (creates, is_new) {
            (true, true) => Ok(()),
            (true, false) => Err(validation(format!(
                "Stack [{name}] already exists and cannot be created again with the changeSet [{change_set}]."
            ))),
            (false, true) => Err(validation(format!("Stack [{name}] does not exist"))),
            (false, false) if can_be_updated => Ok(()),
            (false, false) => {
                Err(validation(format!("Stack:{} is in {status} state and can not be updated.", self.id())))
            }
        }
    }

    /// The values of a change set's parameters, those included that the stack keeps and those that have a default.
    fn parameters(
        &self,
        given: &[Value],
        of_template: Option<&BTreeMap<String, Option<String>>>,
    ) -> Result<BTreeMap<String, String>, Refusal> {
        let mut values = BTreeMap::new();
        for parameter in given {
            let key = parameter["ParameterKey"].as_str().unwrap_or_default().to_owned();
            let value = match (parameter["ParameterValue"].as_str(), parameter["UsePreviousValue"] == "true") {
                (Some(value), false) => value.to_owned(),
                (None, true) => {
                    let kept = self.parameters.get(&key).cloned();
                    kept.ok_or_else(|| {
                        validation(format!(
                            "Invalid input for parameter key {key}. Cannot specify usePreviousValue as true for a \
                             parameter key not in the previous template"
                        ))
                    })?
                }
                (None, false) | (Some(_), true) => {
                    return Err(validation(format!("Parameter {key} has one of a value and a previous value")));
                }
            };
            if values.insert(key.clone(), value).is_some() {
                return Err(validation(format!("Parameter {key} is given twice")));
            }
        }
        let Some(declared) = of_template.or(self.declared.parameters.as_ref()) else { return Ok(values) };
        let unknown: Vec<&str> = values.keys().filter(|key| !declared.contains_key(*key)).map(String::as_str).collect();
        if !unknown.is_empty() {
            return Err(validation(format!("Parameters: [{}] do not exist in the template", unknown.join(", "))));
        }
        let mut missing = Vec::new();
        for (key, default) in declared {
            match default {
                Some(default) => {
                    values.entry(key.clone()).or_insert_with(|| default.clone());
                }
                None if !values.contains_key(key) => missing.push(key.as_str()),
                None => {}
            }
        }
        if missing.is_empty() {
            Ok(values)
        } else {
            Err(validation(format!("Parameters: [{}] must have values", missing.join(", "))))
        }
    }

    fn use_token(&self, token: Option<&str>) -> Result<(), Refusal> {
        match token.filter(|token| self.tokens.contains(*token)) {
            Some(token) => {
                let message = format!("A client request token already exists: {token}");
                Err(Refusal::new("TokenAlreadyExistsException", message))
            }
            None => Ok(()),
        }
    }

    /// The stack's status changes, and that is told.
    fn becomes(
        &mut self,
        ground: &mut Ground,
        at: Timestamp,
        status: &'static str,
        reason: Option<&str>,
        token: Option<&str>,
    ) {
        (self.status, self.reason) = (status, reason.map(str::to_owned));
        let (id, name) = (self.id(), self.declared.name.clone());
        self.note(ground, at, (&name, &id, STACK), (status, reason), token);
        let detail = json!({
            "stack-id": id,
            "status-details": {"status": status, "status-reason": reason.unwrap_or_default()},
            "client-request-token": token.unwrap_or_default(),
        });
        ground.tell(&self.place, at, ("aws.cloudformation", "CloudFormation Stack Status Change"), &[id], detail);
    }

    /// A resource's status changes, and that is told.
    fn resource(&mut self, ground: &mut Ground, at: Timestamp, index: usize, phase: &str, reason: Option<&str>) {
        let Some(operation) = self.operation.clone() else { return };
        let Some(change) = operation.changes.get(index) else { return };
        let verb = match change.action.as_str() {
            "Add" => "CREATE",
            "Remove" => "DELETE",
            _ => "UPDATE",
        };
        let status = if phase.starts_with("DELETE") { phase.to_owned() } else { format!("{verb}_{phase}") };
        let physical = if status == "CREATE_IN_PROGRESS" { String::new() } else { self.physical(&change.resource) };
        let token = operation.token.as_deref();
        self.note(ground, at, (&change.resource, &physical, &change.kind), (&status, reason), token);
        let id = self.id();
        let detail = json!({
            "stack-id": id,
            "logical-resource-id": change.resource,
            "physical-resource-id": physical,
            "status-details": {"status": status, "status-reason": reason.unwrap_or_default()},
            "resource-type": change.kind,
            "client-request-token": token.unwrap_or_default(),
        });
        ground.tell(&self.place, at, ("aws.cloudformation", "CloudFormation Resource Status Change"), &[id], detail);
    }

    fn note(
        &mut self,
        ground: &mut Ground,
        at: Timestamp,
        (resource, physical, kind): (&str, &str, &str),
        (status, reason): (&str, Option<&str>),
        token: Option<&str>,
    ) {
        self.events.push(Told {
            id: ground.uuid(),
            at,
            resource: resource.to_owned(),
            physical: physical.to_owned(),
            kind: kind.to_owned(),
            status: status.to_owned(),
            reason: reason.map(str::to_owned),
            token: token.map(str::to_owned),
        });
    }

    fn apply(&mut self, ground: &mut Ground, step: Step, at: Timestamp) {
        let Some(operation) = self.operation.clone() else { return };
        let token = operation.token.as_deref();
        let creates = operation.creates;
        let failed = operation.failed.as_deref();
        match step {
            Step::Begins(index) => self.resource(ground, at, index, "IN_PROGRESS", None),
            Step::Ends(index) => self.resource(ground, at, index, "COMPLETE", None),
            Step::Fails(index, Failure { place, code, reason }) => {
                let reason = format!(
                    "Resource handler returned message: \"{reason}\" (RequestToken: {}, HandlerErrorCode: {code})",
                    ground.uuid()
                );
                self.resource(ground, at, index, "FAILED", Some(&reason));
                // What was worked on at the same time fails too, and is not the cause.
                for other in index + 1..operation.changes.len() {
                    if operation.changes[other].action != "Remove" {
                        let verb = if creates { "creation" } else { "update" };
                        self.resource(ground, at, other, "FAILED", Some(&format!("Resource {verb} cancelled")));
                    }
                }
                if let Some(operation) = &mut self.operation {
                    operation.failed = Some(place);
                }
            }
            Step::CleansUp => {
                self.becomes(ground, at, "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", None, token);
                for (index, _) in operation.changes.iter().enumerate().filter(|(_, each)| each.action == "Remove") {
                    self.resource(ground, at, index, "IN_PROGRESS", None);
                    self.resource(ground, at, index, "COMPLETE", None);
                }
            }
            Step::Completes => {
                self.becomes(ground, at, if creates { "CREATE_COMPLETE" } else { "UPDATE_COMPLETE" }, None, token);
                if let Some(executed) = self.change_sets.iter().find(|each| each.name == operation.change_set) {
                    self.template = Some(executed.template.clone());
                    self.parameters = executed.parameters.clone();
                    self.tags = executed.tags.clone();
                    self.capabilities = executed.capabilities.clone();
                }
                self.executed("EXECUTE_COMPLETE");
            }
            Step::RollsBack => {
                let reason = match failed {
                    Some(failed) if creates => {
                        format!("The following resource(s) failed to create: [{failed}]. Rollback requested by user.")
                    }
                    Some(failed) => format!("The following resource(s) failed to update: [{failed}]. "),
                    None => "User Initiated".to_owned(),
                };
                let status = if creates { "ROLLBACK_IN_PROGRESS" } else { "UPDATE_ROLLBACK_IN_PROGRESS" };
                self.becomes(ground, at, status, Some(&reason), token);
            }
            Step::RollbackCleansUp => {
                for (index, _) in operation.changes.iter().enumerate().filter(|(_, each)| each.action == "Modify") {
                    self.resource(ground, at, index, "COMPLETE", None);
                }
                self.becomes(ground, at, "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS", None, token);
            }
            Step::RollbackCompletes => {
                for (index, _) in operation.changes.iter().enumerate().filter(|_| creates) {
                    self.resource(ground, at, index, "DELETE_COMPLETE", None);
                }
                let status = if creates { "ROLLBACK_COMPLETE" } else { "UPDATE_ROLLBACK_COMPLETE" };
                self.becomes(ground, at, status, None, token);
                self.executed("EXECUTE_FAILED");
            }
            Step::Stays => {
                let verb = if creates { "create" } else { "update" };
                let reason = format!("The following resource(s) failed to {verb}: [{}]. ", failed.unwrap_or_default());
                let status = if creates { "CREATE_FAILED" } else { "UPDATE_FAILED" };
                self.becomes(ground, at, status, Some(&reason), token);
                self.executed("EXECUTE_FAILED");
            }
        }
    }

    fn executed(&mut self, status: &'static str) {
        if let Some(operation) = self.operation.take() {
            for each in self.change_sets.iter_mut().filter(|each| each.name == operation.change_set) {
                each.execution = status;
            }
        }
    }

    fn describe(&self) -> Value {
        told(json!({
            "StackId": self.id,
            "StackName": self.declared.name,
            "CreationTime": with_millis(self.created_at),
            "LastUpdatedTime": self.updated_at.map(with_millis),
            "StackStatus": self.status,
            "StackStatusReason": self.reason,
            "Parameters": parameters(&self.parameters),
            "Capabilities": self.capabilities,
            "RoleARN": self.role,
            "Tags": self.tags,
            "DisableRollback": false,
            "RollbackConfiguration": {},
            "NotificationARNs": [],
            "Outputs": [],
            "EnableTerminationProtection": false,
            "DriftInformation": {"StackDriftStatus": "NOT_CHECKED"},
        }))
    }

    fn describe_event(&self, event: &Told) -> Value {
        told(json!({
            "StackId": self.id,
            "EventId": event.id,
            "StackName": self.declared.name,
            "LogicalResourceId": event.resource,
            "PhysicalResourceId": event.physical,
            "ResourceType": event.kind,
            "Timestamp": with_millis(event.at),
            "ResourceStatus": event.status,
            "ResourceStatusReason": event.reason,
            "ClientRequestToken": event.token,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_an_object_in_amazon_s3() {
        let table = [
            ("https://artifacts.s3.eu-west-1.amazonaws.com/web/a.yaml", Some(("artifacts", "web/a.yaml"))),
            ("https://artifacts.s3.amazonaws.com/a.yaml", Some(("artifacts", "a.yaml"))),
            ("https://s3.eu-west-1.amazonaws.com/artifacts/web/a.yaml", Some(("artifacts", "web/a.yaml"))),
            ("s3://artifacts/a.yaml", None),
            ("https://example.com/artifacts/a.yaml", None),
            ("https://artifacts.s3.amazonaws.com/", None),
        ];
        for (url, expected) in table {
            assert_eq!(object(url), expected, "{url}");
        }
    }
}
