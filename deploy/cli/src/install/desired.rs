//! Which stacks a fleet file needs, and with what parameters. No I/O: text and choices in, stacks out.

use std::collections::{BTreeMap, BTreeSet};

use manifold_core::engine::Service;
use manifold_core::ids::{AccountId, Region, TargetKey};
use manifold_core::plan::{Channel, SecretRef};
use manifold_core::wildcard::fits;
use manifold_fleet::{Account, Fleet};

use super::options::{Architecture, Install, Kind};
use super::pattern::{covering, covering_groups};
use super::template::{Template, kebab};

/// One stack as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Desired {
    /// Its template.
    pub(crate) kind: Kind,
    /// Its name in CloudFormation.
    pub(crate) name: String,
    /// The account that it is in.
    pub(crate) account: AccountId,
    /// What the fleet file calls that account.
    pub(crate) account_name: String,
    /// The Region that it is in.
    pub(crate) region: Region,
    /// Its parameters. Those that are left out keep their value, or get the template's default in a new stack.
    pub(crate) parameters: BTreeMap<String, String>,
    /// Whether it uses a role of its account's member stack.
    pub(crate) needs_member: bool,
}

/// Where the functions' packages will lie.
#[derive(Debug, Clone)]
pub(crate) struct Code {
    /// The bucket.
    pub(crate) bucket: String,
    /// The key of each function's zip.
    pub(crate) keys: BTreeMap<String, String>,
    /// The processor that they are for.
    pub(crate) architecture: Architecture,
}

/// What drift checks look at in one place, as the fleet file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Watched {
    /// The names of CloudFormation stacks.
    stacks: BTreeSet<String>,
    /// Whether CloudTrail is asked who did it.
    who: bool,
}

/// What is deployed to in one account.
#[derive(Default)]
struct Deployed<'f> {
    /// The services that do the work in each Region.
    regions: BTreeMap<&'f Region, BTreeSet<Service>>,
    /// The names of what is started, by service.
    names: BTreeMap<Service, BTreeSet<&'f str>>,
    /// The service roles of the stacks.
    roles: BTreeSet<String>,
    /// The buckets of their templates.
    buckets: BTreeSet<String>,
}

/// How the parameter of a service's names is called, and an option in its place.
struct Names {
    parameter: &'static str,
    option: &'static str,
    /// A pattern that would be one.
    example: &'static str,
}

/// What may be started of a service in a member account.
const fn names(service: Service) -> Names {
    let (parameter, option, example) = match service {
        Service::CodePipeline => ("TargetPipelines", "target-pipelines", "svc-*"),
        Service::CodeBuild => ("TargetProjects", "target-projects", "svc-*"),
        Service::CloudFormation => ("TargetStacks", "target-stacks", "svc-*"),
        Service::CodeDeploy => ("TargetDeploymentGroups", "target-deployment-groups", "shop/*"),
    };
    Names { parameter, option, example }
}

/// So many names fit into a role's policy, and into a parameter, as they are (IAM: 10,240 characters for all inline policies
/// of a role; CloudFormation: 4,096 bytes for a parameter). An ARN of one has up to 170 characters.
const MOST_STACK_NAMES: usize = 24;

/// What the fleet file's secrets are called in policies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SecretArns {
    /// Full ARNs in Secrets Manager.
    pub(crate) secrets: BTreeSet<String>,
    /// ARNs in Parameter Store.
    pub(crate) parameters: BTreeSet<String>,
    /// The ARNs of the customer managed keys that encrypt them.
    pub(crate) keys: BTreeSet<String>,
    /// The signing secret of the Slack app, if the operator named one, or took it away.
    pub(crate) signing: Option<SigningArns>,
}

/// What the signing secret is called in the policy of the one function that reads it. What is empty is taken away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SigningArns {
    /// The full ARN in Secrets Manager.
    pub(crate) secret: String,
    /// The ARN in Parameter Store.
    pub(crate) parameter: String,
    /// The ARN of the customer managed key that encrypts it; `None` where only the operator can know.
    pub(crate) key: Option<String>,
}

/// The bucket for the packages: the operator's, or one of our own. Bucket names are unique in the world, hence the account
/// and the Region in it; at most 63 characters, of which the last is no hyphen (S3 User Guide, "Bucket naming rules").
pub(crate) fn bucket(fleet: &Fleet, options: &Install) -> String {
    let hub = fleet.hub();
    options.bucket.clone().unwrap_or_else(|| {
        let name: String =
            format!("{}-code-{}-{}", options.prefix, hub.account(), hub.region()).chars().take(63).collect();
        name.trim_end_matches('-').to_owned()
    })
}

/// The secrets that the apps of a fleet name.
pub(crate) fn secrets(fleet: &Fleet) -> BTreeSet<SecretRef> {
    let named = fleet.apps().filter_map(|app| match app.channel() {
        Channel::Bot { token, .. } => Some(token.clone()),
        Channel::Webhook { url } => Some(url.clone()),
        Channel::Silent => None,
    });
    named.collect()
}

/// All stacks of a fleet in the order in which they are deployed: hub, accounts, Regions.
///
/// # Errors
/// Everything that can't be derived from the fleet file and the options, each with its remedy.
pub(crate) fn stacks(fleet: &Fleet, options: &Install, code: &Code) -> Result<Vec<Desired>, Vec<String>> {
    let mut plan = Plan { fleet, options, problems: Vec::new(), stacks: Vec::new() };
    plan.settings();
    plan.hub(code);
    plan.members();
    plan.only();
    if plan.problems.is_empty() { Ok(plan.stacks) } else { Err(plan.problems) }
}

/// Gives the hub the ARNs of its secrets, but where the operator has set them.
pub(crate) fn give_secrets(stacks: &mut [Desired], arns: &SecretArns) {
    for hub in stacks.iter_mut().filter(|stack| stack.kind == Kind::Hub) {
        let given = [
            ("SlackSecretArns", &arns.secrets),
            ("SlackParameterArns", &arns.parameters),
            ("SlackKeyArns", &arns.keys),
        ];
        for (name, arns) in given {
            hub.parameters.entry(name.to_owned()).or_insert_with(|| joined(arns));
        }
        if let Some(SigningArns { secret, parameter, key }) = &arns.signing {
            let given = [
                ("SlackSigningSecretArn", Some(secret)),
                ("SlackSigningParameterArn", Some(parameter)),
                ("SlackSigningKeyArn", key.as_ref()),
            ];
            for (name, arn) in given {
                let arn = arn.map(|arn| (name.to_owned(), arn.clone()));
                arn.map(|(name, arn)| hub.parameters.entry(name).or_insert(arn));
            }
        }
    }
}

/// What the members take from the hub's stack, by the name of its output. It follows from prefix and account, so that
/// members can be planned before there is a hub.
pub(crate) fn hub_outputs(fleet: &Fleet, prefix: &str) -> BTreeMap<String, String> {
    let mut outputs = BTreeMap::from([("HubBusArn".to_owned(), bus_arn(fleet, prefix))]);
    for name in hub_roles() {
        if let Some(output) = name.strip_prefix("Hub") {
            outputs.insert(output.to_owned(), hub_role_arn(fleet, prefix, &name));
        }
    }
    outputs
}

/// The parameters of the members' template that take the ARN of a role in the hub.
fn hub_roles() -> Vec<String> {
    let member = Template::of(Kind::Member);
    let names = member.parameters.into_iter().map(|parameter| parameter.name);
    names.filter(|name| name.starts_with("Hub") && name.ends_with("RoleArn")).collect()
}

/// `HubDeployRoleArn` is the ARN of the role `<prefix>-deploy`.
fn hub_role_arn(fleet: &Fleet, prefix: &str, parameter: &str) -> String {
    let role = parameter.trim_start_matches("Hub").trim_end_matches("RoleArn");
    let hub = fleet.hub();
    format!("arn:{}:iam::{}:role/{prefix}-{}", hub.region().partition().as_str(), hub.account(), kebab(role))
}

fn bus_arn(fleet: &Fleet, prefix: &str) -> String {
    let hub = fleet.hub();
    let partition = hub.region().partition().as_str();
    format!("arn:{partition}:events:{}:{}:event-bus/{prefix}", hub.region(), hub.account())
}

struct Plan<'a> {
    fleet: &'a Fleet,
    options: &'a Install,
    problems: Vec<String>,
    stacks: Vec<Desired>,
}

type Parameters = BTreeMap<String, String>;

impl Plan<'_> {
    /// Told once, however many stacks have it.
    fn problem(&mut self, problem: &str, help: &str) {
        let problem = format!("{problem}\n  help: {help}");
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// Names that no template has.
    fn settings(&mut self) {
        for kind in [Kind::Hub, Kind::Member, Kind::Region] {
            let template = Template::of(kind);
            for name in self.options.settings(kind).keys().filter(|name| !template.declares(name)) {
                let names = template.parameters.iter().map(|parameter| parameter.name.as_str());
                let near = names.map(|known| (strsim::damerau_levenshtein(known, name), known)).min();
                let help = match near.filter(|(distance, _)| *distance <= name.len() / 3) {
                    Some((_, known)) => format!("did you mean {known}?"),
                    None => format!("its parameters are in deploy/{}", kind.file()),
                };
                self.problem(&format!("--set {kind}:{name}: the {kind} template has no such parameter"), &help);
            }
        }
    }

    fn hub(&mut self, code: &Code) {
        let (fleet, options) = (self.fleet, self.options);
        let accounts: Vec<&str> = fleet.accounts().iter().map(|account| account.id().as_str()).collect();
        let releases: Vec<_> = fleet.apps().flat_map(|app| app.releases()).collect();
        let elsewhere: BTreeSet<&Region> =
            releases.iter().map(|release| release.region()).filter(|region| *region != fleet.hub().region()).collect();
        let names: Vec<&str> = releases.iter().map(|release| release.name().as_str()).collect();
        let pattern = self.pattern(
            Service::CodePipeline,
            ("release-pipelines", "*-release"),
            options.release_pipelines.as_deref(),
            &names,
        );
        let mut parameters = Parameters::from([
            ("Prefix".to_owned(), options.prefix.clone()),
            ("MemberAccounts".to_owned(), accounts.join(",")),
            ("TargetRole".to_owned(), self.target_role()),
            ("ReleasePipelines".to_owned(), pattern.clone()),
            ("ReleasesElsewhere".to_owned(), (!elsewhere.is_empty()).to_string()),
            ("DriftTickState".to_owned(), drift_tick_state(fleet).to_owned()),
            ("CodeBucket".to_owned(), code.bucket.clone()),
            ("Architecture".to_owned(), code.architecture.to_string()),
        ]);
        for (parameter, function) in Template::of(Kind::Hub).functions() {
            if let Some(key) = code.keys.get(&function) {
                parameters.insert(parameter.to_owned(), key.clone());
            }
        }
        let chosen = [
            ("OrganizationId", &options.organization),
            ("AlarmTopicArn", &options.alarm_topic),
            ("SlackUrl", &options.slack_url),
        ];
        for (name, value) in chosen {
            parameters.extend(value.as_ref().map(|value| (name.to_owned(), value.clone())));
        }
        let hub = fleet.hub();
        let known = fleet.accounts().iter().find(|account| account.id() == hub.account()).map(Account::name);
        let account_name = known.unwrap_or("hub").to_owned();
        self.stack(Kind::Hub, "hub", (hub.account(), &account_name), hub.region(), parameters);
        // Releases of other Regions take the way of a member's events, under names of their own: the hub account may be
        // a member too.
        let prefix = format!("{}-releases", options.prefix);
        for region in elsewhere {
            let parameters = Parameters::from([
                ("HubBusArn".to_owned(), bus_arn(fleet, &options.prefix)),
                ("TargetPipelines".to_owned(), pattern.clone()),
                ("ForwardRoleName".to_owned(), format!("{}-forward-releases", options.prefix)),
                ("Prefix".to_owned(), prefix.clone()),
            ]);
            self.stack(Kind::Region, "releases", (hub.account(), &account_name), region, parameters);
        }
    }

    fn members(&mut self) {
        let (fleet, options) = (self.fleet, self.options);
        let places = deployed(fleet);
        let forward_role = match options.prefix.as_str() {
            // The templates' own default.
            "manifold" => "ManifoldForward".to_owned(),
            prefix => format!("{prefix}-forward"),
        };
        let bus = bus_arn(fleet, &options.prefix);
        let watched = drift_stacks(fleet);
        self.unused_drift_options(&watched);
        let mut regional = Vec::new();
        for account in fleet.accounts() {
            let Some(deployed) = places.get(account.id()) else { continue };
            let patterns = self.patterns(deployed);
            let place = (account.id(), account.name());
            let mut parameters = Parameters::from([
                ("HubBusArn".to_owned(), bus.clone()),
                ("StackRoles".to_owned(), joined(&deployed.roles)),
                ("ArtifactBuckets".to_owned(), joined(&deployed.buckets)),
                ("TargetRoleName".to_owned(), account.role().name().to_owned()),
                ("TargetRolePath".to_owned(), role_path(account)),
                ("ForwardRoleName".to_owned(), forward_role.clone()),
                ("ForwardRulePrefix".to_owned(), options.prefix.clone()),
            ]);
            parameters.extend(patterns.iter().map(|(service, pattern)| given(*service, pattern)));
            for name in hub_roles() {
                parameters.insert(name.clone(), hub_role_arn(fleet, &options.prefix, &name));
            }
            parameters.extend(options.organization.as_ref().map(|id| ("OrganizationId".to_owned(), id.clone())));
            let here = |key: &TargetKey| key.account == *account.id();
            let looks = || watched.iter().filter(|(key, _)| here(key)).map(|(_, looks)| looks);
            let names: BTreeSet<&str> = looks().flat_map(|looks| looks.stacks.iter().map(String::as_str)).collect();
            let stacks = self.stack_patterns(account.name(), &names);
            parameters.insert("DriftStacks".to_owned(), stacks.clone());
            parameters.insert("DriftCloudTrail".to_owned(), looks().any(|looks| looks.who).to_string());
            let policies = options.drift_read_policies.as_ref();
            let policies = policies.map(|arns| arns.replace("{account}", account.id().as_str()));
            parameters.extend(policies.map(|arns| ("DriftReadPolicyArns".to_owned(), arns)));
            let reverts = options.drift_revert.map(|reverts| reverts.to_string());
            parameters.extend(reverts.map(|reverts| ("DriftRevert".to_owned(), reverts)));
            match account.external_id() {
                Some(id) => drop(parameters.insert("ExternalId".to_owned(), id.to_owned())),
                None => self.problem(
                    &format!(
                        "account {} has no external_id, and the role that is installed there demands one",
                        account.name()
                    ),
                    "set defaults.external_id in the fleet file, or external_id of that account",
                ),
            }
            self.stack(Kind::Member, "member", place, fleet.hub().region(), parameters);
            for region in fleet.regions() {
                let Some(services) = deployed.regions.get(region) else { continue };
                let is_watched =
                    watched.iter().any(|(key, looks)| here(key) && key.region == *region && !looks.stacks.is_empty());
                let stacks = if is_watched { stacks.clone() } else { String::new() };
                let mut parameters = Parameters::from([
                    ("HubBusArn".to_owned(), bus.clone()),
                    ("DriftStacks".to_owned(), stacks),
                    ("ForwardRoleName".to_owned(), forward_role.clone()),
                    ("Prefix".to_owned(), options.prefix.clone()),
                ]);
                parameters.extend(patterns.iter().map(|(service, pattern)| match services.contains(service) {
                    true => given(*service, pattern),
                    false => given(*service, ""),
                }));
                regional.push((place, region, parameters));
            }
        }
        for (place, region, parameters) in regional {
            self.stack(Kind::Region, "region", place, region, parameters);
        }
    }

    /// Adds a stack, with what the operator set.
    fn stack(
        &mut self,
        kind: Kind,
        suffix: &str,
        account: (&AccountId, &str),
        region: &Region,
        mut parameters: Parameters,
    ) {
        let template = Template::of(kind);
        for (name, value) in self.options.settings(kind) {
            if parameters.contains_key(name) {
                self.problem(
                    &format!("--set {kind}:{name}: install gives this parameter its value"),
                    "it follows from the fleet file or has an option of its own; see --help",
                );
                continue;
            }
            let value = value.replace("{account}", account.0.as_str()).replace("{region}", region.as_str());
            parameters.insert(name.to_owned(), value);
        }
        for parameter in template.parameters.iter().filter(|parameter| !parameter.has_default) {
            let told = |problem: &String| problem.contains("external_id");
            if !parameters.contains_key(&parameter.name) && !self.problems.iter().any(told) {
                self.problem(
                    &format!("the {kind} template's parameter {} has no value", parameter.name),
                    &format!("give it one with --set {kind}:{}=VALUE", parameter.name),
                );
            }
        }
        self.stacks.push(Desired {
            kind,
            name: format!("{}-{suffix}", self.options.prefix),
            account: account.0.clone(),
            account_name: account.1.to_owned(),
            region: region.clone(),
            parameters,
            needs_member: suffix == "region",
        });
    }

    /// What may be started in an account, by service; empty for a service that does no work there.
    fn patterns(&mut self, deployed: &Deployed<'_>) -> BTreeMap<Service, String> {
        let options = self.options;
        let mut patterns = BTreeMap::new();
        for service in Service::ALL {
            let given = match service {
                Service::CodePipeline => &options.target_pipelines,
                Service::CodeBuild => &options.target_projects,
                Service::CloudFormation => &options.target_stacks,
                Service::CodeDeploy => &options.target_deployment_groups,
            };
            let started: Vec<&str> = deployed.names.get(&service).into_iter().flatten().copied().collect();
            let Names { option, example, .. } = names(service);
            let pattern = match started.is_empty() {
                true => String::new(),
                false => self.pattern(service, (option, example), given.as_deref(), &started),
            };
            patterns.insert(service, pattern);
        }
        patterns
    }

    /// What was given if it fits all names, else the narrowest that does.
    fn pattern(
        &mut self,
        service: Service,
        (option, example): (&str, &str),
        given: Option<&str>,
        names: &[&str],
    ) -> String {
        let noun = service.noun();
        let is_group = service == Service::CodeDeploy;
        // Application and group are matched each by itself.
        let takes = |pattern: &str, name: &str| match (pattern.split_once('/'), name.split_once('/')) {
            (Some((application, group)), Some((own, name))) if is_group => fits(application, own) && fits(group, name),
            (_, _) => fits(pattern, name),
        };
        if let Some(pattern) = given {
            if let Some(name) = names.iter().find(|name| !takes(pattern, name)) {
                self.problem(
                    &format!("--{option} '{pattern}' does not fit the {noun} {name} of the fleet file"),
                    "widen the pattern, or leave the option out",
                );
            }
            return pattern.to_owned();
        }
        let names: BTreeSet<&str> = names.iter().copied().collect();
        let narrowest = if is_group { covering_groups(names.iter().copied()) } else { covering(names.iter().copied()) };
        narrowest.unwrap_or_else(|| {
            let names: Vec<&str> = names.into_iter().collect();
            let what = if is_group { "applications of the deployment groups".to_owned() } else { format!("{noun}s") };
            let problem = format!("the {what} {} have neither beginning nor end in common", names.join(", "));
            // The member template takes `*` only together with a tag.
            let tag = match option {
                "target-pipelines" => " ('*' also needs --set member:TargetPipelineTag=VALUE)",
                _ => "",
            };
            let help = format!(
                "\"*\" alone would let Manifold at every {noun}: name them alike, such as '{example}', or accept a wider \
                 pattern with --{option}{tag}"
            );
            self.problem(&problem, &help);
            "*".to_owned()
        })
    }

    /// What the role may look at in an account, whose targets name these stacks: what was given if it fits all of them, else
    /// the names themselves, or the narrowest pattern if they are too many.
    fn stack_patterns(&mut self, account: &str, names: &BTreeSet<&str>) -> String {
        let given = &self.options.drift_stacks;
        if names.is_empty() {
            return String::new();
        }
        if !given.is_empty() {
            if let Some(name) = names.iter().find(|name| !given.iter().any(|pattern| fits(pattern, name))) {
                self.problem(
                    &format!("--drift-stacks '{}' does not fit the stack {name} of the fleet file", given.join(",")),
                    "give a pattern for it too, or leave the option out",
                );
            }
            return given.join(",");
        }
        if names.len() <= MOST_STACK_NAMES {
            return names.iter().copied().collect::<Vec<_>>().join(",");
        }
        covering(names.iter().copied()).unwrap_or_else(|| {
            self.problem(
                &format!(
                    "account {account} has {} stacks to look at, and their names have neither beginning nor end in common",
                    names.len()
                ),
                &format!(
                    "a role's policy has room for {MOST_STACK_NAMES} names: name them alike, or give patterns that fit all of \
                     them, such as --drift-stacks 'svc-*' --drift-stacks 'data-*'"
                ),
            );
            String::new()
        })
    }

    /// What is given for stacks while the fleet file names none.
    fn unused_drift_options(&mut self, watched: &BTreeMap<TargetKey, Watched>) {
        if watched.values().any(|looks| !looks.stacks.is_empty()) {
            return;
        }
        let reads = self.options.drift_read_policies.as_ref().is_some_and(|arns| !arns.is_empty());
        let given = [
            ("--drift-stacks", !self.options.drift_stacks.is_empty()),
            ("--drift-read-policies", reads),
            ("--drift-revert", self.options.drift_revert == Some(true)),
        ];
        for (option, _) in given.into_iter().filter(|(_, is_given)| *is_given) {
            self.problem(
                &format!("{option}: the fleet file names no stacks"),
                "name them under drift.stacks of an app, or leave the option out",
            );
        }
    }

    /// One name for all accounts, path included: the hub's policy has one.
    fn target_role(&mut self) -> String {
        let mut accounts: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for account in self.fleet.accounts() {
            accounts.entry(role(account)).or_default().push(account.name());
        }
        if accounts.len() > 1 {
            let roles: Vec<String> =
                accounts.iter().map(|(role, names)| format!("{role} in {}", names.join(", "))).collect();
            self.problem(
                &format!("the accounts do not share one role: {}", roles.join("; ")),
                "the hub may assume one role name in all accounts: give all of them the same, best as defaults.role",
            );
        }
        accounts.into_keys().next().unwrap_or_default()
    }

    /// Leaves what was not asked for.
    fn only(&mut self) {
        let fleet = self.fleet;
        let names =
            |name: &str| fleet.accounts().iter().any(|account| account.name() == name || account.id().as_str() == name);
        for name in self.options.only.iter().filter(|name| *name != "hub" && !names(name)) {
            let known: Vec<&str> = fleet.accounts().iter().map(Account::name).collect();
            self.problem(
                &format!("--only {name}: the fleet file has no such account"),
                &format!("it knows hub, {}", known.join(", ")),
            );
        }
        for (name, _) in self.options.member_profiles.iter().filter(|(name, _)| !names(name)) {
            self.problem(
                &format!("--member-profile {name}: the fleet file has no such account"),
                "name an account of the fleet file, or its id",
            );
        }
        let only = &self.options.only;
        let wanted = |stack: &Desired| {
            only.is_empty()
                || only.iter().any(|name| match stack.kind {
                    Kind::Hub => name == "hub",
                    Kind::Region if !stack.needs_member => name == "hub",
                    Kind::Member | Kind::Region => *name == stack.account_name || name == stack.account.as_str(),
                })
        };
        self.stacks.retain(wanted);
    }
}

/// What is deployed to, by account.
fn deployed(fleet: &Fleet) -> BTreeMap<&AccountId, Deployed<'_>> {
    let mut places: BTreeMap<&AccountId, Deployed<'_>> = BTreeMap::new();
    for (app, target) in fleet.apps().flat_map(|app| app.targets().iter().map(move |target| (app, target))) {
        let (key, subject) = (target.key(), target.subject());
        let place = places.entry(&key.account).or_default();
        place.regions.entry(&key.region).or_default().insert(subject.service());
        place.names.entry(subject.service()).or_default().insert(subject.name());
        if let Some(needs) = app.stack_needs(target) {
            place.roles.extend(needs.role);
            place.buckets.extend(needs.buckets);
        }
    }
    places
}

fn given(service: Service, pattern: &str) -> (String, String) {
    (names(service).parameter.to_owned(), pattern.to_owned())
}

fn joined(names: &BTreeSet<String>) -> String {
    names.iter().map(String::as_str).collect::<Vec<_>>().join(",")
}

/// What drift checks look at, by account and Region.
fn drift_stacks(fleet: &Fleet) -> BTreeMap<TargetKey, Watched> {
    let mut watched: BTreeMap<TargetKey, Watched> = BTreeMap::new();
    for planned in fleet.apps().flat_map(|app| app.plan_check(None)) {
        if let Some(looks) = planned.looks {
            let place = watched.entry(planned.key).or_default();
            place.stacks.extend(looks.stacks);
            place.who |= looks.who;
        }
    }
    watched
}

/// Whether the hub's clock of drift checks ticks: only when an app is checked by itself.
fn drift_tick_state(fleet: &Fleet) -> &'static str {
    match fleet.apps().any(|app| app.drift().every.is_some()) {
        true => "ENABLED",
        false => "DISABLED",
    }
}

/// A role's name with its path, without a leading slash.
fn role(account: &Account) -> String {
    account.role().as_str().split_once(":role/").map_or_else(String::new, |(_, role)| role.to_owned())
}

/// A role's path, which begins and ends with a slash.
fn role_path(account: &Account) -> String {
    match role(account).rsplit_once('/') {
        Some((path, _)) => format!("/{path}/"),
        None => "/".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, FromArgMatches as _};
    use insta::assert_snapshot;

    use super::*;

    const FLEET: &str = include_str!("../../../examples/fleet.yaml");

    fn options(args: &[&str]) -> Install {
        let command = Install::augment_args(clap::Command::new("install"));
        let all = ["install", "--fleet", "fleet.yaml", "--package", "package"];
        Install::from_arg_matches(&command.try_get_matches_from(all.iter().chain(args)).unwrap()).unwrap()
    }

    fn told(text: &str, args: &[&str]) -> String {
        let fleet = Fleet::parse("fleet.yaml", text).unwrap();
        let options = options(args);
        let functions = Template::of(Kind::Hub).functions().map(|(_, function)| function).collect::<Vec<_>>();
        let code = Code {
            bucket: bucket(&fleet, &options),
            keys: functions.iter().map(|name| (name.clone(), format!("manifold/{name}-0123.zip"))).collect(),
            architecture: Architecture::Arm64,
        };
        match stacks(&fleet, &options, &code) {
            Ok(stacks) => stacks.iter().map(shown).collect::<Vec<_>>().join("\n"),
            Err(problems) => problems.join("\n"),
        }
    }

    fn shown(stack: &Desired) -> String {
        let mut text = format!("{} in {} ({}) {}\n", stack.name, stack.account_name, stack.account, stack.region);
        // One for each function, which come and go.
        for (name, value) in stack.parameters.iter().filter(|(name, _)| !name.ends_with("CodeKey")) {
            text.push_str(&format!("  {name}={value}\n"));
        }
        text
    }

    #[test]
    fn a_fleet_file_says_all_that_the_stacks_need() {
        assert_snapshot!(told(FLEET, &[]));
    }

    #[test]
    fn options_and_settings_reach_the_stacks_they_are_for() {
        let args = [
            "--prefix",
            "mf",
            "--organization",
            "o-exampleorg1",
            "--target-pipelines",
            "svc-*",
            "--only",
            "hub",
            "--only",
            "dev",
            "--set",
            "hub:LogLevel=debug",
            "--set",
            "region:AlarmTopicArn=arn:aws:sns:{region}:{account}:alarms",
        ];
        assert_snapshot!(told(FLEET, &args));
    }

    #[test]
    fn what_can_not_be_derived_is_told_with_its_remedy() {
        let text = FLEET
            .replace("  external_id: rollouts-7f3a\n", "")
            .replace("    id: \"777788889999\"\n", "    id: \"777788889999\"\n    role: deploy/Other\n")
            .replace("pipelines: web-release", "pipelines: [web, api-release]");
        let args =
            ["--only", "prdo", "--set", "hub:LogLevl=debug", "--set", "hub:Prefix=x", "--target-pipelines", "app-*"];
        assert_snapshot!(told(&text, &args));
    }

    #[test]
    fn pipelines_that_are_not_named_alike_are_told_what_a_wider_pattern_takes() {
        let text = FLEET.replace("name: svc-deploy", "name: \"{{ region }}\"");
        assert_snapshot!(told(&text, &["--set", "hub:Colour=red"]));
    }

    #[test]
    fn releases_of_another_region_are_forwarded_to_the_hub() {
        let text = FLEET.replace("pipelines: web-release", "pipelines: web-release\n      region: eu-west-1");
        let told = told(&text, &["--only", "hub"]);
        assert!(told.contains("ReleasesElsewhere=true"), "{told}");
        assert!(told.contains("manifold-releases in hub (111122223333) eu-west-1"), "{told}");
        assert!(told.contains("ForwardRoleName=manifold-forward-releases"), "{told}");
    }

    /// The fleet file whose app is deployed by another engine, with one exception.
    fn engine(engine: &str, exception: &str) -> String {
        let own = "    engine:\n      codepipeline:\n        name: svc-deploy\n        source_action: Source\n";
        assert!(FLEET.contains(own));
        FLEET
            .replace(own, &format!("    engine: {engine}\n    engines: [{exception}]\n"))
            .replace("LOG_LEVEL", "LOGLEVEL")
    }

    /// An engine whose AppSpec takes all parameters of the app.
    fn group(application: &str) -> String {
        let parameters =
            ["LOGLEVEL", "COMMIT", "STAGE", "ARTIFACTS"].map(|name| format!("{{{{ parameters.{name} }}}}"));
        let appspec = format!("{{{{ release.revision }}}} {}", parameters.join(" "));
        format!("{{ codedeploy: {{ application: \"{application}\", group: live, appspec: \"{appspec}\" }} }}")
    }

    #[test]
    fn each_engine_has_parameters_of_its_own_where_it_does_the_work() {
        let stack = "{ cloudformation: { stack: \"{{ app }}-{{ region }}\", \
                     template: \"s3://artifacts-{{ region }}/web/{{ release.revision }}.yaml\", \
                     parameters_file: \"s3://web-{{ release.revision }}/parameters.json\", role: deploy/web-stack } }";
        let build = "{ select: { accounts: dev, regions: eu-west-1 }, engine: { codebuild: { project: web-deploy } } }";
        assert_snapshot!(told(&engine(stack, build), &["--only", "dev"]));
        let told = told(
            &engine(&group("shop-{{ region }}"), build),
            &["--only", "prod", "--target-deployment-groups", "shop-*/*"],
        );
        assert!(told.contains("TargetDeploymentGroups=shop-*/*\n") && told.contains("TargetPipelines=\n"), "{told}");
    }

    #[test]
    fn names_that_no_narrow_pattern_fits_are_told_for_each_engine() {
        let build = "{ select: { accounts: dev }, engine: { codebuild: { project: \"{{ region }}\" } } }";
        assert_snapshot!(told(&engine(&group("{{ region }}"), build), &["--target-projects", "svc-*"]));
    }

    /// The fleet file with stacks to look at: `web-` everywhere, and another one of its Region's in each.
    fn watching() -> String {
        FLEET.replace(
            "      every: 1h\n",
            "      checks: [revision, stack]\n      stacks: [web, \"web-data-{{ region }}\"]\n      who: true\n",
        )
    }

    #[test]
    fn stacks_of_the_fleet_file_are_what_may_be_looked_at() {
        let args =
            ["--only", "dev", "--drift-read-policies", "arn:aws:iam::{account}:policy/reads", "--drift-revert", "true"];
        assert_snapshot!(told(&watching(), &args));
    }

    #[test]
    fn the_clock_ticks_only_for_apps_that_are_checked_by_themselves() {
        let hub = |text: &str| told(text, &["--only", "hub"]);
        assert!(hub(FLEET).contains("DriftTickState=ENABLED"));
        assert!(hub(&watching()).contains("DriftTickState=DISABLED"));
    }

    #[test]
    fn patterns_for_stacks_fit_all_of_them_and_many_stacks_need_one() {
        let many: Vec<String> = (0..9).map(|index| format!("\"web-{index}-{{{{ region }}}}\"")).collect();
        let many = watching().replace("web, \"web-data-{{ region }}\"", &many.join(", "));
        assert!(
            told(&many, &["--only", "prod"]).contains("DriftStacks=web-*\n"),
            "{}",
            told(&many, &["--only", "prod"])
        );
        let odd = many.replace("web-0", "{{ region }}");
        let given = told(&watching(), &["--only", "prod", "--drift-stacks", "web", "--drift-stacks", "web-*"]);
        assert!(given.contains("DriftStacks=web,web-*\n"), "{given}");
        let problems = [
            told(&watching(), &["--drift-stacks", "web-*"]),
            told(&odd, &[]),
            told(FLEET, &["--drift-stacks", "web-*", "--drift-read-policies", "arn", "--drift-revert", "true"]),
        ];
        assert_snapshot!(problems.join("\n\n"));
        let nothing = told(FLEET, &["--drift-read-policies", "", "--drift-revert", "false"]);
        assert!(nothing.contains("DriftRevert=false") && nothing.contains("DriftReadPolicyArns=\n"), "{nothing}");
    }

    #[test]
    fn members_are_planned_with_the_outputs_that_the_hub_will_have() {
        let fleet = Fleet::parse("fleet.yaml", FLEET).unwrap();
        let outputs = hub_outputs(&fleet, "manifold");
        assert_eq!(outputs["HubBusArn"], "arn:aws:events:us-east-1:111122223333:event-bus/manifold");
        assert_eq!(outputs["DeployRoleArn"], "arn:aws:iam::111122223333:role/manifold-deploy");
    }

    #[test]
    fn the_buckets_name_is_one_that_s3_takes() {
        let text = FLEET.replace("\n  region: us-east-1\n", "\n  region: ap-northeast-1\n");
        let text = text.replace("\nregions:\n", "\nregions:\n  ap-northeast-1: {}\n");
        let fleet = Fleet::parse("fleet.yaml", &text).unwrap();
        let name = |args: &[&str]| bucket(&fleet, &options(args));
        assert_eq!(name(&[]), "manifold-code-111122223333-ap-northeast-1");
        let longest = name(&["--prefix", "abcdefghijklmnopqrstuvwxyz01234"]);
        assert!(longest.len() <= 63 && longest.ends_with(|c: char| c.is_ascii_alphanumeric()), "{longest}");
        assert_eq!(name(&["--bucket", "ours"]), "ours");
    }

    #[test]
    fn the_operators_word_on_secrets_counts() {
        let fleet = Fleet::parse("fleet.yaml", FLEET).unwrap();
        let options = options(&["--set", "hub:SlackKeyArns=arn:aws:kms:us-east-1:111122223333:key/1"]);
        let code = Code { bucket: "b".to_owned(), keys: BTreeMap::new(), architecture: Architecture::X86 };
        let problems = stacks(&fleet, &options, &code).unwrap_err();
        assert!(problems[0].contains("parameter DispatchCodeKey has no value"), "{problems:?}");
        let keys = Template::of(Kind::Hub).functions().map(|(_, name)| (name.clone(), name)).collect();
        let mut stacks = stacks(&fleet, &options, &Code { keys, ..code }).unwrap();
        let arns = SecretArns { secrets: ["a", "b"].map(str::to_owned).into(), ..SecretArns::default() };
        give_secrets(&mut stacks, &arns);
        assert_eq!(stacks[0].parameters["SlackSecretArns"], "a,b");
        assert_eq!(stacks[0].parameters["SlackParameterArns"], "");
        assert_eq!(stacks[0].parameters["SlackKeyArns"], "arn:aws:kms:us-east-1:111122223333:key/1");
        assert!(!stacks[0].parameters.contains_key("SlackSigningSecretArn"), "what is not named stays as it is");
    }

    #[test]
    fn the_signing_secret_takes_the_place_of_another_and_goes_when_it_is_empty() {
        let hub = |signing| {
            let fleet = Fleet::parse("fleet.yaml", FLEET).unwrap();
            let keys = Template::of(Kind::Hub).functions().map(|(_, name)| (name.clone(), name)).collect();
            let code = Code { bucket: "b".to_owned(), keys, architecture: Architecture::X86 };
            let mut stacks = stacks(&fleet, &options(&[]), &code).unwrap();
            give_secrets(&mut stacks, &SecretArns { signing: Some(signing), ..SecretArns::default() });
            let names = ["SlackSigningSecretArn", "SlackSigningParameterArn", "SlackSigningKeyArn"];
            names.map(|name| stacks[0].parameters.get(name).cloned())
        };
        let text = |text: &str| Some(text.to_owned());
        let secret = SigningArns { secret: "s".to_owned(), key: text("k"), ..SigningArns::default() };
        assert_eq!(hub(secret), [text("s"), text(""), text("k")]);
        let parameter = SigningArns { parameter: "p".to_owned(), ..SigningArns::default() };
        assert_eq!(hub(parameter), [text(""), text("p"), None]);
    }
}
