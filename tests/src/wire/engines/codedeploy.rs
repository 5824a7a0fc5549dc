//! CodeDeploy (CodeDeploy API reference and User Guide). `CreateDeployment` has no client token: every call that is not
//! refused is another deployment.

use std::collections::BTreeMap;

use manifold_core::ids::TargetKey;
use manifold_core::time::{Span, Timestamp};
use serde_json::{Map, Value, json};

use super::timeline::Timeline;
use super::{Call, Failure, Fate, Ground, Need, Refusal, checked, text, texts, told};
use crate::wire::epoch;
use crate::wire::shape::{self, Member, Shape, may, must};

/// How many deployments a list names on a page.
const MOST: usize = 100;
/// "The maximum number of deployment IDs you can specify is 25", and of targets.
const BATCH: usize = 25;
/// "Maximum number of characters in a deployment description" (User Guide, "Limits").
const DESCRIPTION: usize = 100;
/// How long it takes from the request to stop until it has stopped.
const STOPPING: Span = Span::from_seconds(2);
/// How long a rollback takes.
const ROLLBACK: Span = Span::from_seconds(60);

const NAME: Shape = shape::text(1, 100);
const S3: Shape = Shape::Members(&[
    must("bucket", shape::text(3, 63)),
    must("key", shape::text(1, 1024)),
    must("bundleType", Shape::OneOf(&["tar", "tgz", "zip", "YAML", "JSON"])),
    may("version", shape::text(1, 1024)),
    may("eTag", shape::text(1, 1024)),
]);
const GITHUB: Shape = Shape::Members(&[must("repository", shape::text(3, 200)), must("commitId", shape::text(1, 40))]);
const CONTENT: Shape =
    Shape::Members(&[must("content", shape::text(1, 256 * 1024)), may("sha256", shape::text(64, 64))]);
const REVISION: Shape = Shape::Members(&[
    must("revisionType", Shape::OneOf(&["S3", "GitHub", "String", "AppSpecContent"])),
    may("s3Location", S3),
    may("gitHubLocation", GITHUB),
    may("string", CONTENT),
    may("appSpecContent", CONTENT),
]);
const ROLLBACKS: Shape =
    Shape::OneOf(&["DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_ALARM", "DEPLOYMENT_STOP_ON_REQUEST"]);
const CREATE: &[Member] = &[
    must("applicationName", NAME),
    must("deploymentGroupName", NAME),
    may("revision", REVISION),
    may("deploymentConfigName", NAME),
    may("description", shape::text(0, 10_000)),
    may(
        "autoRollbackConfiguration",
        Shape::Members(&[may("enabled", Shape::Truth), may("events", Shape::List { min: 0, max: 3, of: &ROLLBACKS })]),
    ),
];
const STATUS: Shape =
    Shape::OneOf(&["Created", "Queued", "InProgress", "Baking", "Succeeded", "Failed", "Stopped", "Ready"]);
const LIST: &[Member] = &[
    must("applicationName", NAME),
    must("deploymentGroupName", NAME),
    may("includeOnlyStatuses", Shape::List { min: 0, max: 8, of: &STATUS }),
    may("createTimeRange", Shape::Members(&[may("start", Shape::Moment), may("end", Shape::Moment)])),
    may("nextToken", shape::text(1, 2048)),
];
const ID: Shape = shape::text(1, 100);
const GET: &[Member] = &[must("deploymentId", ID)];
const GET_MANY: &[Member] = &[must("deploymentIds", Shape::List { min: 1, max: 1000, of: &ID })];
const STOP: &[Member] = &[must("deploymentId", ID), may("autoRollbackEnabled", Shape::Truth)];
const TARGET_STATUS: Shape =
    Shape::OneOf(&["Failed", "InProgress", "Pending", "Ready", "Skipped", "Succeeded", "Unknown"]);
const FILTERS: Shape = Shape::Members(&[
    may("TargetStatus", Shape::List { min: 1, max: 7, of: &TARGET_STATUS }),
    may("ServerInstanceLabel", Shape::List { min: 1, max: 2, of: &Shape::OneOf(&["Blue", "Green"]) }),
]);
const TARGETS: &[Member] =
    &[must("deploymentId", ID), may("nextToken", shape::text(1, 2048)), may("targetFilters", FILTERS)];
const GET_TARGETS: &[Member] =
    &[must("deploymentId", ID), must("targetIds", Shape::List { min: 1, max: 1000, of: &shape::text(1, 1024) })];
const GROUP: &[Member] = &[must("applicationName", NAME), must("deploymentGroupName", NAME)];

/// What a deployment is to (`ComputePlatform`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Platform {
    /// An ECS service, blue/green.
    Ecs,
    /// A Lambda function's alias.
    Lambda,
    /// EC2 instances, in place.
    Server,
}

impl Platform {
    fn name(self) -> &'static str {
        match self {
            Self::Ecs => "ECS",
            Self::Lambda => "Lambda",
            Self::Server => "Server",
        }
    }

    /// The lifecycle events in their order (User Guide, "AppSpec 'hooks' section").
    fn lifecycle(self) -> &'static [&'static str] {
        match self {
            Self::Ecs => &[
                "BeforeInstall",
                "Install",
                "AfterInstall",
                "AllowTestTraffic",
                "AfterAllowTestTraffic",
                "BeforeAllowTraffic",
                "AllowTraffic",
                "AfterAllowTraffic",
            ],
            Self::Lambda => &["BeforeAllowTraffic", "AllowTraffic", "AfterAllowTraffic"],
            Self::Server => &[
                "ApplicationStop",
                "DownloadBundle",
                "BeforeInstall",
                "Install",
                "AfterInstall",
                "ApplicationStart",
                "ValidateService",
            ],
        }
    }
}

/// A deployment group, as a story defines it.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// The application's name.
    pub application: String,
    /// Its name.
    pub name: String,
    /// What is deployed to.
    pub platform: Platform,
    /// The deployment configuration, when a deployment names none.
    pub config: String,
    /// The events that roll back, when a deployment says nothing: `DEPLOYMENT_FAILURE`, `DEPLOYMENT_STOP_ON_ALARM`.
    pub rollbacks: Vec<String>,
    /// `cluster:service`, `function:alias`, or instance ids.
    pub targets: Vec<String>,
    /// The revision that was deployed before the story, as `CreateDeployment` takes it: what is rolled back to. Without
    /// one there is nothing to roll back to.
    pub deployed: Option<Value>,
}

impl Group {
    /// A group with its platform's default configuration, that does not roll back by itself, and that something was
    /// deployed to before.
    #[must_use]
    pub fn new(application: &str, name: &str, platform: Platform) -> Self {
        let (config, targets) = match platform {
            Platform::Ecs => ("CodeDeployDefault.ECSAllAtOnce", vec!["shop:web".to_owned()]),
            Platform::Lambda => ("CodeDeployDefault.LambdaAllAtOnce", vec!["shop:live".to_owned()]),
            Platform::Server => {
                let instance = |last: char| format!("i-0000000aaaaaaaaa{last}");
                ("CodeDeployDefault.OneAtATime", vec![instance('1'), instance('2')])
            }
        };
        let before = json!({"bucket": "before-the-story", "key": "revision", "bundleType": "zip"});
        Self {
            application: application.to_owned(),
            name: name.to_owned(),
            platform,
            config: config.to_owned(),
            rollbacks: Vec::new(),
            targets,
            deployed: Some(json!({"revisionType": "S3", "s3Location": before})),
        }
    }

    /// The same, that rolls back what fails.
    #[must_use]
    pub fn rolls_back(mut self) -> Self {
        self.rollbacks = vec!["DEPLOYMENT_FAILURE".to_owned()];
        self
    }
}

/// A deployment.
#[derive(Debug, Clone)]
pub struct Deployment {
    /// The account and the Region.
    pub place: TargetKey,
    /// The application's name.
    pub application: String,
    /// The group's name.
    pub group: String,
    /// `d-` and nine characters.
    pub id: String,
    /// `Created`, `InProgress`, `Succeeded`, `Failed` or `Stopped`.
    pub status: &'static str,
    /// The description that it was given.
    pub description: Option<String>,
    /// The revision, as it was given.
    pub revision: Value,
    /// The deployment configuration.
    pub config: String,
    /// The events that roll it back.
    pub rollbacks: Vec<String>,
    /// Who made it: `user`, or `codeDeployRollback`.
    pub creator: &'static str,
    /// The caller's ARN. Of a rollback that of whoever made the deployment that is rolled back.
    pub started_by: String,
    /// When it was created.
    pub created_at: Timestamp,
    /// The deployment by which this one was rolled back.
    pub rolled_back_by: Option<String>,
    /// The deployment that this one rolls back.
    pub rolls_back: Option<String>,
    started_at: Option<Timestamp>,
    ended_at: Option<Timestamp>,
    error: Option<(String, String)>,
    rollback_message: Option<String>,
    hooks: Vec<Hook>,
    timeline: Timeline<Step>,
}

/// A lifecycle event.
#[derive(Debug, Clone)]
struct Hook {
    name: &'static str,
    status: &'static str,
    started_at: Option<Timestamp>,
    ended_at: Option<Timestamp>,
    message: Option<String>,
}

#[derive(Debug, Clone)]
enum Step {
    Start,
    /// The next lifecycle event ends.
    HookEnds(Option<Failure>),
    Ends(Option<Failure>),
    Stops {
        rolls_back: bool,
    },
}

/// Groups and deployments, in all accounts and Regions.
#[derive(Debug, Default)]
pub struct CodeDeploy {
    groups: BTreeMap<(TargetKey, String, String), (Group, String)>,
    deployments: Vec<Deployment>,
}

fn arn(place: &TargetKey, resource: &str) -> String {
    format!("arn:aws:codedeploy:{}:{}:{resource}", place.region, place.account)
}

fn is_id(id: &str) -> bool {
    id.strip_prefix("d-").is_some_and(|rest| rest.len() == 9 && rest.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// An id of the service's form, made from a number. Ids are in no order.
fn id_of(number: u64) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    // Multiplied by an odd number: every number has another id.
    let mut bits = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) & ((1 << 45) - 1);
    let mut id = String::from("d-");
    for _ in 0..9 {
        id.push(char::from(DIGITS[usize::try_from(bits & 31).unwrap_or_default()]));
        bits >>= 5;
    }
    id
}

impl CodeDeploy {
    /// Creates an application with a deployment group, or changes it.
    pub fn define(&mut self, place: &TargetKey, group: Group) {
        let id = crate::wire::uuid_of(0xc0de, self.groups.len() as u64 + 1);
        self.groups.insert((place.clone(), group.application.clone(), group.name.clone()), (group, id));
    }

    /// Every deployment, rollbacks included, in the order in which they were created.
    #[must_use]
    pub fn deployments(&self) -> &[Deployment] {
        &self.deployments
    }

    /// What the caller must be allowed to do (Service Authorization Reference; User Guide, "CodeDeploy permissions
    /// reference"): for those that name no resource type, on `*`.
    pub(super) fn needs(&self, call: &Call<'_>, body: &Value) -> Vec<Need> {
        let action = format!("codedeploy:{}", call.operation);
        let group = |application: &str, name: &str| arn(call.place, &format!("deploymentgroup:{application}/{name}"));
        let named = body["applicationName"].as_str().zip(body["deploymentGroupName"].as_str());
        let of = |id: &Value| {
            let found = id.as_str().and_then(|id| self.find(call.place, id).ok());
            // Of what nobody knows, nobody knows the group.
            let resource = found.map_or_else(|| group("*", "*"), |found| group(&found.application, &found.group));
            Need::new(&action, resource)
        };
        match (call.operation, named) {
            ("CreateDeployment", Some((application, name))) => {
                let config = body["deploymentConfigName"].as_str();
                let config = config.map(|config| arn(call.place, &format!("deploymentconfig:{config}")));
                let application_arn = arn(call.place, &format!("application:{application}"));
                let mut needs = vec![
                    Need::new(&action, group(application, name)),
                    Need::new("codedeploy:GetApplicationRevision", application_arn.clone()),
                    Need::new("codedeploy:RegisterApplicationRevision", application_arn),
                ];
                let default = self.group(call.place, application, name).map(|(group, _)| group.config.clone());
                let default = default.map(|config| arn(call.place, &format!("deploymentconfig:{config}")));
                needs.extend(config.or(default.ok()).map(|config| Need::new("codedeploy:GetDeploymentConfig", config)));
                needs
            }
            ("ListDeployments" | "GetDeploymentGroup", Some((application, name))) => {
                vec![Need::new(&action, group(application, name))]
            }
            ("GetDeployment", _) => vec![of(&body["deploymentId"])],
            ("BatchGetDeployments", _) => body["deploymentIds"].as_array().into_iter().flatten().map(of).collect(),
            ("StopDeployment" | "ListDeploymentTargets" | "BatchGetDeploymentTargets", _) => {
                vec![Need::new(&action, "*")]
            }
            _ => Vec::new(),
        }
    }

    pub(super) fn answer(&mut self, ground: &mut Ground, call: &Call<'_>, body: &Value) -> Result<Value, Refusal> {
        match call.operation {
            "CreateDeployment" => self.create(ground, call, checked(CREATE, body)?),
            "ListDeployments" => self.list(ground, call, checked(LIST, body)?),
            "GetDeployment" => {
                let id = text(checked(GET, body)?, "deploymentId").unwrap_or_default();
                let deployment = self.find(call.place, id)?;
                Ok(json!({"deploymentInfo": self.describe(deployment)}))
            }
            "BatchGetDeployments" => {
                let ids = texts(checked(GET_MANY, body)?, "deploymentIds");
                if ids.len() > BATCH {
                    let message = format!("The batch size {} is above the limit of {BATCH}", ids.len());
                    return Err(Refusal::new("BatchLimitExceededException", message));
                }
                let found = ids.iter().filter_map(|id| self.find(call.place, id).ok());
                Ok(json!({"deploymentsInfo": found.map(|found| self.describe(found)).collect::<Vec<_>>()}))
            }
            "StopDeployment" => self.stop(call, checked(STOP, body)?),
            "ListDeploymentTargets" => self.list_targets(ground, call, checked(TARGETS, body)?),
            "BatchGetDeploymentTargets" => self.get_targets(call, checked(GET_TARGETS, body)?),
            "GetDeploymentGroup" => self.get_group(call, checked(GROUP, body)?),
            other => Err(Refusal::violation(format!("no engine calls CodeDeploy's {other}"))),
        }
    }

    fn group(&self, place: &TargetKey, application: &str, name: &str) -> Result<&(Group, String), Refusal> {
        let mut here = self.groups.keys().filter(|(at, _, _)| at == place);
        if !here.any(|(_, known, _)| known == application) {
            let message = format!("No application found for name: {application}");
            return Err(Refusal::new("ApplicationDoesNotExistException", message));
        }
        let missing = || {
            Refusal::new("DeploymentGroupDoesNotExistException", format!("No Deployment Group found for name: {name}"))
        };
        self.groups.get(&(place.clone(), application.to_owned(), name.to_owned())).ok_or_else(missing)
    }

    fn of_group(
        &self,
        place: &TargetKey,
        application: &str,
        name: &str,
    ) -> impl DoubleEndedIterator<Item = &Deployment> {
        self.deployments
            .iter()
            .filter(move |each| each.place == *place && each.application == application && each.group == name)
    }

    fn find(&self, place: &TargetKey, id: &str) -> Result<&Deployment, Refusal> {
        if !is_id(id) {
            let message = format!("Specified DeploymentId is not in the valid format: {id}");
            return Err(Refusal::new("InvalidDeploymentIdException", message));
        }
        let missing =
            || Refusal::new("DeploymentDoesNotExistException", format!("The deployment {id} could not be found"));
        self.deployments.iter().find(|each| each.place == *place && each.id == id).ok_or_else(missing)
    }

    fn create(&mut self, ground: &mut Ground, call: &Call<'_>, body: &Map<String, Value>) -> Result<Value, Refusal> {
        let name = |field: &str| text(body, field).unwrap_or_default().to_owned();
        let (application, group_name) = (name("applicationName"), name("deploymentGroupName"));
        let (group, _) = self.group(call.place, &application, &group_name)?.clone();
        let description = text(body, "description");
        if description.is_some_and(|text| text.chars().count() > DESCRIPTION) {
            return Err(Refusal::new("DescriptionTooLongException", "The description is too long"));
        }
        let revision = body.get("revision").filter(|revision| !revision.is_null());
        let revision =
            revision.ok_or_else(|| Refusal::new("RevisionRequiredException", "A revision must be specified"))?.clone();
        check_revision(group.platform, &revision)?;
        let config = text(body, "deploymentConfigName").unwrap_or(&group.config).to_owned();
        if config != group.config && !config.starts_with("CodeDeployDefault.") {
            let message = format!("No deployment configuration found for name: {config}");
            return Err(Refusal::new("DeploymentConfigDoesNotExistException", message));
        }
        let rollbacks = match body.get("autoRollbackConfiguration") {
            None | Some(Value::Null) => group.rollbacks.clone(),
            Some(asked) => {
                let events = asked.as_object().map(|asked| texts(asked, "events")).unwrap_or_default();
                match asked["enabled"] == true {
                    true if events.is_empty() => {
                        let message = "Auto rollback is enabled without an event that triggers it";
                        return Err(Refusal::new("InvalidAutoRollbackConfigException", message));
                    }
                    true => events,
                    false => Vec::new(),
                }
            }
        };
        let mut of_group = self.of_group(call.place, &application, &group_name);
        let running = of_group.find(|each| each.ended_at.is_none()).map(|each| each.id.clone());
        drop(of_group);
        if let Some(running) = running {
            let message = format!("The Deployment Group '{group_name}' already has an active Deployment '{running}'");
            return Err(Refusal::new("DeploymentLimitExceededException", message));
        }
        let fate = ground.fate(call.place);
        let id = id_of(ground.number());
        self.deployments.push(Deployment {
            place: call.place.clone(),
            application,
            group: group_name,
            id: id.clone(),
            status: "Created",
            description: description.map(str::to_owned),
            revision,
            config,
            rollbacks,
            creator: "user",
            started_by: call.caller.to_owned(),
            created_at: call.now,
            rolled_back_by: None,
            rolls_back: None,
            started_at: None,
            ended_at: None,
            error: None,
            rollback_message: None,
            hooks: hooks(group.platform),
            timeline: timeline(call.now, group.platform, &fate),
        });
        Ok(json!({"deploymentId": id}))
    }

    fn list(&self, ground: &Ground, call: &Call<'_>, body: &Map<String, Value>) -> Result<Value, Refusal> {
        let (application, group) = (text(body, "applicationName"), text(body, "deploymentGroupName"));
        let (application, group) = (application.unwrap_or_default(), group.unwrap_or_default());
        self.group(call.place, application, group)?;
        let statuses = texts(body, "includeOnlyStatuses");
        let limit = |name: &str| body.get("createTimeRange").and_then(|range| range[name].as_f64());
        let (start, end) = (limit("start"), limit("end"));
        if start.zip(end).is_some_and(|(start, end)| start > end) {
            return Err(Refusal::new("InvalidTimeRangeException", "The start of the time range is after its end"));
        }
        let is_meant = |each: &&Deployment| {
            let at = epoch(each.created_at).as_f64().unwrap_or_default();
            (statuses.is_empty() || statuses.iter().any(|status| *status == each.status))
                && start.is_none_or(|start| at >= start)
                && end.is_none_or(|end| at <= end)
        };
        let found = self.of_group(call.place, application, group).filter(is_meant);
        let mut ids: Vec<String> = found.map(|each| each.id.clone()).collect();
        // In no order that is documented.
        ids.sort();
        let page = ground.page(&ids, text(body, "nextToken"), MOST);
        let (ids, next) = page.map_err(|why| Refusal::new("InvalidNextTokenException", why))?;
        Ok(told(json!({"deployments": ids, "nextToken": next})))
    }

    fn stop(&mut self, call: &Call<'_>, body: &Map<String, Value>) -> Result<Value, Refusal> {
        let id = text(body, "deploymentId").unwrap_or_default();
        if self.find(call.place, id)?.ended_at.is_some() {
            let message = format!("The deployment {id} is already complete");
            return Err(Refusal::new("DeploymentAlreadyCompletedException", message));
        }
        let rolls_back = body.get("autoRollbackEnabled").and_then(Value::as_bool).unwrap_or(false);
        for found in self.deployments.iter_mut().filter(|each| each.place == *call.place && each.id == id) {
            found.timeline = Timeline::spread(call.now, STOPPING, vec![Step::Stops { rolls_back }]);
        }
        Ok(json!({"status": "Pending", "statusMessage": "No new lifecycle events will be scheduled"}))
    }

    fn started(&self, place: &TargetKey, id: &str) -> Result<(&Deployment, &Group), Refusal> {
        let found = self.find(place, id)?;
        if found.started_at.is_none() {
            let message = format!("The deployment {id} has not started");
            return Err(Refusal::new("DeploymentNotStartedException", message));
        }
        let (group, _) = self.group(place, &found.application, &found.group)?;
        Ok((found, group))
    }

    fn list_targets(&self, ground: &Ground, call: &Call<'_>, body: &Map<String, Value>) -> Result<Value, Refusal> {
        let (deployment, group) = self.started(call.place, text(body, "deploymentId").unwrap_or_default())?;
        let filters = body.get("targetFilters").and_then(Value::as_object);
        let statuses = filters.map(|filters| texts(filters, "TargetStatus")).unwrap_or_default();
        let is_meant = statuses.is_empty() || statuses.iter().any(|status| status == deployment.status_of_targets());
        let targets = if is_meant { group.targets.as_slice() } else { &[] };
        let page = ground.page(targets, text(body, "nextToken"), MOST);
        let (ids, next) = page.map_err(|why| Refusal::new("InvalidNextTokenException", why))?;
        Ok(told(json!({"targetIds": ids, "nextToken": next})))
    }

    fn get_targets(&self, call: &Call<'_>, body: &Map<String, Value>) -> Result<Value, Refusal> {
        let (deployment, group) = self.started(call.place, text(body, "deploymentId").unwrap_or_default())?;
        let ids = texts(body, "targetIds");
        if ids.len() > BATCH {
            let message = format!("The maximum number of targets is {BATCH}");
            return Err(Refusal::new("DeploymentTargetListSizeExceededException", message));
        }
        if let Some(id) = ids.iter().find(|id| !group.targets.contains(id)) {
            let message = format!("The deployment {} has no target {id}", deployment.id);
            return Err(Refusal::new("DeploymentTargetDoesNotExistException", message));
        }
        let targets: Vec<Value> = ids.iter().map(|id| deployment.target(group.platform, id)).collect();
        Ok(json!({"deploymentTargets": targets}))
    }

    fn get_group(&self, call: &Call<'_>, body: &Map<String, Value>) -> Result<Value, Refusal> {
        let name = |field: &str| text(body, field).unwrap_or_default();
        let (group, id) = self.group(call.place, name("applicationName"), name("deploymentGroupName"))?;
        let of_group = || self.of_group(call.place, &group.application, &group.name).rev();
        let succeeded = of_group().find(|each| each.status == "Succeeded");
        let last = |deployment: &Deployment| {
            told(json!({
                "deploymentId": deployment.id,
                "status": deployment.status,
                "createTime": epoch(deployment.created_at),
                "endTime": deployment.ended_at.map(epoch),
            }))
        };
        let target = succeeded.map(|each| each.revision.clone()).or_else(|| group.deployed.clone());
        let rollback = json!({"enabled": !group.rollbacks.is_empty(), "events": group.rollbacks});
        Ok(json!({"deploymentGroupInfo": told(json!({
            "applicationName": group.application,
            "deploymentGroupId": id,
            "deploymentGroupName": group.name,
            "deploymentConfigName": group.config,
            "serviceRoleArn": format!("arn:aws:iam::{}:role/codedeploy", call.place.account),
            "targetRevision": target,
            "autoRollbackConfiguration": rollback,
            "lastSuccessfulDeployment": succeeded.map(last),
            "lastAttemptedDeployment": of_group().next().map(last),
            "computePlatform": group.platform.name(),
        }))}))
    }

    /// As `GetDeployment` describes it.
    fn describe(&self, deployment: &Deployment) -> Value {
        let group = self.group(&deployment.place, &deployment.application, &deployment.group).ok();
        let platform = group.map(|(group, _)| group.platform.name());
        let error = deployment.error.as_ref().map(|(code, message)| json!({"code": code, "message": message}));
        let rollback = told(json!({
            "rollbackDeploymentId": deployment.rolled_back_by,
            "rollbackTriggeringDeploymentId": deployment.rolls_back,
            "rollbackMessage": deployment.rollback_message,
        }));
        let rollback = rollback.as_object().is_some_and(|rollback| !rollback.is_empty()).then_some(rollback);
        told(json!({
            "applicationName": deployment.application,
            "deploymentGroupName": deployment.group,
            "deploymentConfigName": deployment.config,
            "deploymentId": deployment.id,
            "revision": deployment.revision,
            "status": deployment.status,
            "errorInformation": error,
            "createTime": epoch(deployment.created_at),
            "startTime": deployment.started_at.map(epoch),
            "completeTime": deployment.ended_at.map(epoch),
            "description": deployment.description,
            "creator": deployment.creator,
            "autoRollbackConfiguration":
                {"enabled": !deployment.rollbacks.is_empty(), "events": deployment.rollbacks},
            "rollbackInfo": rollback,
            "computePlatform": platform,
        }))
    }

    pub(super) fn next_at(&self, is_meant: &impl Fn(&TargetKey) -> bool) -> Option<Timestamp> {
        let meant = self.deployments.iter().filter(|each| is_meant(&each.place));
        meant.filter_map(|each| each.timeline.next_at()).min()
    }

    pub(super) fn advance(&mut self, ground: &mut Ground, now: Timestamp) {
        for index in 0..self.deployments.len() {
            while let Some(step) = self.deployments.get_mut(index).and_then(|each| each.timeline.due(now)) {
                self.apply(ground, index, step, now);
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
        for index in 0..self.deployments.len() {
            let meant = self.deployments.get_mut(index).filter(|each| is_meant(&each.place));
            if let Some(step) = meant.and_then(|each| each.timeline.next()) {
                self.apply(ground, index, step, now);
                moved += 1;
            }
        }
        moved
    }

    fn apply(&mut self, ground: &mut Ground, index: usize, step: Step, at: Timestamp) {
        let Some(deployment) = self.deployments.get_mut(index) else { return };
        match step {
            Step::Start => {
                (deployment.status, deployment.started_at) = ("InProgress", Some(at));
                deployment.begin_hook(at);
                self.tell(ground, index, "START", at);
            }
            Step::HookEnds(failure) => {
                deployment.end_hook(at, failure);
                deployment.begin_hook(at);
            }
            Step::Ends(None) => {
                (deployment.status, deployment.ended_at) = ("Succeeded", Some(at));
                self.tell_instances(ground, index, at);
                self.tell(ground, index, "SUCCESS", at);
            }
            Step::Ends(Some(failure)) => {
                (deployment.status, deployment.ended_at) = ("Failed", Some(at));
                deployment.error = Some((failure.code, failure.reason));
                deployment.skip_hooks();
                let rolls_back = deployment.rollbacks.iter().any(|event| event == "DEPLOYMENT_FAILURE");
                self.tell_instances(ground, index, at);
                self.tell(ground, index, "FAILURE", at);
                if rolls_back {
                    self.roll_back(ground, index, at);
                }
            }
            Step::Stops { rolls_back } => {
                (deployment.status, deployment.ended_at) = ("Stopped", Some(at));
                let message = "The deployment was stopped by a user";
                deployment.error = Some(("MANUAL_STOP".to_owned(), message.to_owned()));
                deployment.skip_hooks();
                let asked = deployment.rollbacks.iter().any(|event| event == "DEPLOYMENT_STOP_ON_REQUEST");
                self.tell(ground, index, "STOP", at);
                if rolls_back || asked {
                    self.roll_back(ground, index, at);
                }
            }
        }
    }

    /// "CodeDeploy rolls back deployments by redeploying a previously deployed revision as a new deployment."
    fn roll_back(&mut self, ground: &mut Ground, index: usize, at: Timestamp) {
        let Some(failed) = self.deployments.get(index).cloned() else { return };
        let Ok((group, _)) = self.group(&failed.place, &failed.application, &failed.group).cloned() else { return };
        let before = self.of_group(&failed.place, &failed.application, &failed.group);
        let before = before.rev().find(|each| each.status == "Succeeded").map(|each| each.revision.clone());
        let Some(revision) = before.or_else(|| group.deployed.clone()) else {
            let message = format!("No revision was deployed to {} before {}", group.name, failed.id);
            self.deployments[index].rollback_message = Some(message);
            return;
        };
        let id = id_of(ground.number());
        self.deployments[index].rolled_back_by = Some(id.clone());
        let message = format!("Deployment {} was rolled back by deployment {id}", failed.id);
        self.deployments[index].rollback_message = Some(message.clone());
        self.deployments.push(Deployment {
            id,
            status: "Created",
            description: Some(format!("CodeDeploy automatic rollback of {}", failed.id)),
            revision,
            creator: "codeDeployRollback",
            created_at: at,
            rollbacks: Vec::new(),
            rolled_back_by: None,
            rolls_back: Some(failed.id.clone()),
            started_at: None,
            ended_at: None,
            error: None,
            rollback_message: Some(message),
            hooks: hooks(group.platform),
            timeline: timeline(at, group.platform, &Fate::Succeeds { after: ROLLBACK }),
            ..failed
        });
    }

    fn tell(&self, ground: &mut Ground, index: usize, state: &str, at: Timestamp) {
        let Some((deployment, id, resources)) = self.teller(index) else { return };
        let detail = json!({
            "region": deployment.place.region,
            "deploymentId": deployment.id,
            "instanceGroupId": id,
            "deploymentGroup": deployment.group,
            "state": state,
            "application": deployment.application,
        });
        let kind = ("aws.codedeploy", "CodeDeploy Deployment State-change Notification");
        ground.tell(&deployment.place, at, kind, &resources, detail);
    }

    /// Of each instance, that it has ended.
    fn tell_instances(&self, ground: &mut Ground, index: usize, at: Timestamp) {
        let Some((deployment, id, mut resources)) = self.teller(index) else { return };
        let Ok((group, _)) = self.group(&deployment.place, &deployment.application, &deployment.group) else { return };
        if group.platform != Platform::Server {
            return;
        }
        resources.reverse();
        let state = if deployment.status == "Succeeded" { "SUCCESS" } else { "FAILURE" };
        for target in &group.targets {
            let TargetKey { account, region } = &deployment.place;
            let mut about = vec![format!("arn:aws:ec2:{region}:{account}:instance/{target}")];
            about.extend(resources.clone());
            let detail = json!({
                "instanceId": target,
                "region": region,
                "state": state,
                "application": deployment.application,
                "deploymentId": deployment.id,
                "instanceGroupId": id,
                "deploymentGroup": deployment.group,
            });
            let kind = ("aws.codedeploy", "CodeDeploy Instance State-change Notification");
            ground.tell(&deployment.place, at, kind, &about, detail);
        }
    }

    /// Of which deployment an event is, the id of its group, and the resources.
    fn teller(&self, index: usize) -> Option<(&Deployment, &str, Vec<String>)> {
        let deployment = self.deployments.get(index)?;
        let Deployment { place, application, group, .. } = deployment;
        let (_, id) = self.group(place, application, group).ok()?;
        let resources = vec![
            arn(place, &format!("application:{application}")),
            arn(place, &format!("deploymentgroup:{application}/{group}")),
        ];
        Some((deployment, id, resources))
    }
}

/// A revision has exactly what its type says, and a type that the platform takes.
fn check_revision(platform: Platform, revision: &Value) -> Result<(), Refusal> {
    let kind = revision["revisionType"].as_str().unwrap_or_default();
    let place = match kind {
        "S3" => "s3Location",
        "GitHub" => "gitHubLocation",
        "String" => "string",
        _ => "appSpecContent",
    };
    let members = revision.as_object().into_iter().flat_map(Map::keys).filter(|name| *name != "revisionType");
    let invalid = |message: String| Err(Refusal::new("InvalidRevisionException", message));
    if members.map(String::as_str).ne([place]) {
        return invalid(format!("A revision of type {kind} has {place}, and nothing else"));
    }
    let bundle = revision["s3Location"]["bundleType"].as_str().unwrap_or_default();
    match (platform, kind) {
        (Platform::Server, "S3") if matches!(bundle, "YAML" | "JSON") => {
            invalid(format!("A bundle of type {bundle} is not for EC2/On-Premises"))
        }
        (Platform::Server, "String" | "AppSpecContent") => invalid(format!("{kind} is not for EC2/On-Premises")),
        (Platform::Ecs | Platform::Lambda, "GitHub") => {
            invalid(format!("GitHub is not for the compute platform {}", platform.name()))
        }
        (Platform::Ecs, "String") => invalid("String is not for the compute platform ECS".to_owned()),
        (Platform::Server | Platform::Ecs | Platform::Lambda, _) => Ok(()),
    }
}

fn hooks(platform: Platform) -> Vec<Hook> {
    let hook = |name: &&'static str| Hook { name, status: "Pending", started_at: None, ended_at: None, message: None };
    platform.lifecycle().iter().map(hook).collect()
}

/// It starts, its lifecycle events end one after the other, and then it ends.
fn timeline(start: Timestamp, platform: Platform, fate: &Fate) -> Timeline<Step> {
    let count = platform.lifecycle().len();
    let mut steps = vec![Step::Start];
    let after = match fate {
        Fate::Succeeds { after } => {
            steps.extend((0..count).map(|_| Step::HookEnds(None)));
            steps.push(Step::Ends(None));
            *after
        }
        Fate::Fails { after, failure } => {
            let at = platform.lifecycle().iter().position(|name| *name == failure.place);
            let at = at.unwrap_or_else(|| panic!("{} has no lifecycle event {}", platform.name(), failure.place));
            steps.extend((0..at).map(|_| Step::HookEnds(None)));
            steps.extend([Step::HookEnds(Some(failure.clone())), Step::Ends(Some(failure.clone()))]);
            *after
        }
        Fate::NeverEnds => Span::from_seconds(2),
    };
    Timeline::spread(start, after, steps)
}

impl Deployment {
    fn begin_hook(&mut self, at: Timestamp) {
        if let Some(hook) = self.hooks.iter_mut().find(|hook| hook.status == "Pending") {
            (hook.status, hook.started_at) = ("InProgress", Some(at));
        }
    }

    fn end_hook(&mut self, at: Timestamp, failure: Option<Failure>) {
        if let Some(hook) = self.hooks.iter_mut().find(|hook| hook.status == "InProgress") {
            hook.status = if failure.is_some() { "Failed" } else { "Succeeded" };
            hook.ended_at = Some(at);
            hook.message = failure.map(|failure| failure.reason);
        }
    }

    fn skip_hooks(&mut self) {
        for hook in self.hooks.iter_mut().filter(|hook| hook.ended_at.is_none()) {
            hook.status = "Skipped";
        }
    }

    fn status_of_targets(&self) -> &'static str {
        match self.status {
            "Created" => "Pending",
            "Stopped" => "Skipped",
            other => other,
        }
    }

    fn target(&self, platform: Platform, id: &str) -> Value {
        let TargetKey { account, region } = &self.place;
        let (kind, member, arn) = match platform {
            Platform::Ecs => {
                let path = id.replace(':', "/");
                ("ECSTarget", "ecsTarget", format!("arn:aws:ecs:{region}:{account}:service/{path}"))
            }
            Platform::Lambda => {
                ("LambdaTarget", "lambdaTarget", format!("arn:aws:lambda:{region}:{account}:function:{id}"))
            }
            Platform::Server => {
                ("InstanceTarget", "instanceTarget", format!("arn:aws:ec2:{region}:{account}:instance/{id}"))
            }
        };
        let events: Vec<Value> = self.hooks.iter().map(Hook::describe).collect();
        let status = self.status_of_targets();
        let moments = [self.ended_at, self.started_at, Some(self.created_at)];
        json!({"deploymentTargetType": kind, member: {
            "deploymentId": self.id,
            "targetId": id,
            "targetArn": arn,
            "status": status,
            "lastUpdatedAt": moments.into_iter().flatten().next().map(epoch),
            "lifecycleEvents": events,
        }})
    }
}

impl Hook {
    fn describe(&self) -> Value {
        let diagnostics = self.message.as_ref().map(
            |message| json!({"errorCode": "ScriptFailed", "scriptName": self.name, "message": message, "logTail": ""}),
        );
        told(json!({
            "lifecycleEventName": self.name,
            "status": self.status,
            "startTime": self.started_at.map(epoch),
            "endTime": self.ended_at.map(epoch),
            "diagnostics": diagnostics,
        }))
    }
}
