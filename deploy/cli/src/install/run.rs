//! The whole installation: who may do what where, and in which order.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use futures::stream::{self, StreamExt};
use indicatif::{ProgressBar, ProgressStyle};
use manifold_core::ids::AccountId;
use manifold_fleet::Fleet;

use super::code::Bucket;
use super::desired::{self, Code, Desired};
use super::options::{Install, Kind};
use super::package::Package;
use super::report::{self, End, Entry};
use super::secrets;
use super::stack::{self, Outcome, Planned, Source, Stack};
use super::template::{MOST_INLINE, Template};
use super::watch::{Watch, label};
use crate::args::Output;
use crate::aws::Session;
use crate::input::advise;
use crate::interrupt::Interrupt;
use crate::words::counted;
use crate::{confirm, print, say};

/// How many stacks are worked on at once: what CloudFormation takes without throttling every caller.
const AT_ONCE: usize = 12;
/// Why a stack was not begun.
const INTERRUPTED: &str = "interrupted";
/// How many packages go up at once.
const UPLOADS_AT_ONCE: usize = 3;

/// Everything that is decided before AWS is asked.
pub(crate) struct Run<'a> {
    pub(crate) fleet: Fleet,
    pub(crate) options: &'a Install,
    pub(crate) package: Package,
    pub(crate) code: Code,
}

/// The credentials for each account, or why there are none.
type Sessions = BTreeMap<AccountId, Result<Session, String>>;

/// The hub's template where CloudFormation finds it, and what had to be made for that.
struct Staged {
    source: Source,
    object: Option<String>,
    made_bucket: bool,
}

impl Run<'_> {
    /// Plans, asks, deploys, tells.
    ///
    /// # Errors
    /// What stops it before anything is planned.
    pub(crate) async fn go(self, mut wanted: Vec<Desired>) -> Result<ExitCode> {
        let (hub, options) = (self.fleet.hub(), self.options);
        let interrupt = Interrupt::listen()?;
        let session = Session::load(options.profile.as_deref(), hub.region()).await?;
        session.expect_account(hub.account(), "the hub of the fleet file")?;
        if wanted.iter().any(|stack| stack.kind == Kind::Hub) {
            let keys_are_given = options.settings(Kind::Hub).contains_key(secrets::KEYS);
            let arns = Box::pin(secrets::resolve(&self.fleet, options, &session, keys_are_given)).await?;
            desired::give_secrets(&mut wanted, &arns);
        } else {
            Box::pin(self.hub_is_there(&session, &wanted)).await?;
        }
        let sessions = Box::pin(self.sessions(&session, &wanted)).await;
        let bucket = Bucket::new(&session, hub.region(), &self.code.bucket, options.bucket.is_none());
        let staged = Box::pin(self.stage(&bucket, &wanted)).await?;
        let stacks: Vec<Result<Stack<'_>, String>> =
            wanted.iter().map(|desired| open(desired, &sessions, &staged)).collect();
        let mut entries = Box::pin(plan(&wanted, &stacks, &interrupt)).await;

        let end = match Box::pin(self.settle(&entries, &interrupt)).await {
            Some(end) => end,
            None => {
                Box::pin(self.deploy(&mut entries, &stacks, &bucket, &interrupt)).await;
                match entries.iter().any(Entry::has_failed) {
                    true if interrupt.is_asked() => End::Interrupted,
                    true => End::Failed,
                    false => End::Deployed,
                }
            }
        };
        Box::pin(tidy(&entries, &stacks)).await;
        if entries.iter().all(|entry| entry.outcome.is_none()) {
            Box::pin(unstage(&staged, &bucket)).await;
        }
        self.tell(&entries, end)?;
        Ok(ExitCode::from(end.exit_status()))
    }

    /// Without the hub's own stack among the wanted: it must be there already, know the accounts, and be called as planned.
    async fn hub_is_there(&self, session: &Session, wanted: &[Desired]) -> Result<()> {
        let name = format!("{}-hub", self.options.prefix);
        let hub = Desired {
            kind: Kind::Hub,
            name: name.clone(),
            account: self.fleet.hub().account().clone(),
            account_name: "hub".to_owned(),
            region: self.fleet.hub().region().clone(),
            parameters: BTreeMap::new(),
            needs_member: false,
        };
        let there = Stack::new(&hub, session, Source::Body(String::new())).describe(&name).await?;
        let first = "deploy the hub too: --only hub, or leave out --only";
        let there = there.ok_or_else(|| advise(format!("there is no stack {name} in {} yet", hub.region), first))?;
        self.check_outputs(&stack::outputs(&there)).map_err(|problem| advise(problem, first))?;
        let members = stack::parameters(&there).remove("MemberAccounts").unwrap_or_default();
        let known: BTreeSet<&str> = members.split(',').collect();
        match wanted.iter().find(|stack| !known.contains(stack.account.as_str())) {
            Some(stack) => Err(advise(
                format!("the hub takes no events from {} ({}) yet", stack.account_name, stack.account),
                first,
            )),
            None => Ok(()),
        }
    }

    /// The members were planned with what the hub's outputs should be.
    fn check_outputs(&self, outputs: &BTreeMap<String, String>) -> Result<(), String> {
        for (name, expected) in desired::hub_outputs(&self.fleet, &self.options.prefix) {
            match outputs.get(&name) {
                Some(found) if *found == expected => {}
                Some(found) => {
                    return Err(format!(
                        "the hub's output {name} is {found}, and the members were planned with {expected}"
                    ));
                }
                None => return Err(format!("the hub's stack has no output {name}; the members need {expected}")),
            }
        }
        Ok(())
    }

    async fn sessions(&self, hub: &Session, wanted: &[Desired]) -> Sessions {
        let accounts: BTreeSet<(&AccountId, &str)> =
            wanted.iter().map(|stack| (&stack.account, stack.account_name.as_str())).collect();
        let asked = accounts.into_iter().map(|(account, name)| async move {
            let session = Box::pin(self.session(hub, account, name)).await;
            (account.clone(), session.map_err(|error| format!("{error:#}")))
        });
        stream::iter(asked).buffer_unordered(AT_ONCE).collect().await
    }

    async fn session(&self, hub: &Session, account: &AccountId, name: &str) -> Result<Session> {
        let Install { member_role: role, member_profiles: profiles, .. } = self.options;
        hub.of_member(account, name, role, profiles, self.fleet.hub().region()).await
    }

    /// Puts the hub's template where CloudFormation can read it: into the call, or if it is too large for that, into S3.
    async fn stage(&self, bucket: &Bucket, wanted: &[Desired]) -> Result<Staged> {
        let body = Template::of(Kind::Hub).body;
        let has_hub = wanted.iter().any(|stack| stack.kind == Kind::Hub);
        if !has_hub || body.len() <= MOST_INLINE {
            return Ok(Staged { source: Source::Body(body), object: None, made_bucket: false });
        }
        let made_bucket = !bucket.exists().await?;
        if made_bucket {
            bucket.make().await?;
        }
        let key = format!("{}/hub-{}.yaml", self.options.prefix, super::package::hash(body.as_bytes()));
        let mut staged = Staged { source: Source::Url(String::new()), object: None, made_bucket };
        let placed = async {
            staged.object = bucket.put(&key, body.into_bytes()).await?.then(|| key.clone());
            bucket.url(&key).await
        };
        match Box::pin(placed).await {
            Ok(url) => Ok(Staged { source: Source::Url(url), ..staged }),
            Err(error) => {
                Box::pin(unstage(&staged, bucket)).await;
                Err(error)
            }
        }
    }

    /// Shows the plan and asks; `None` when it is to be deployed.
    async fn settle(&self, entries: &[Entry], interrupt: &Interrupt) -> Option<End> {
        if interrupt.is_asked() {
            return Some(End::Interrupted);
        }
        let failed = entries.iter().any(|entry| entry.plan.is_err());
        let changes = entries.iter().filter(|entry| entry.has_changes()).count();
        let asks = !self.options.plan && !self.options.yes && std::io::stdin().is_terminal();
        let heading = format!(
            "Plan for {} in {} and its members: {}, {changes} to deploy",
            self.options.prefix,
            self.fleet.hub().account(),
            counted(entries.len(), "stack"),
        );
        let left = report::left_behind(entries);
        let show = |out: &mut dyn Write| {
            writeln!(out, "{heading}\n")?;
            report::plan(out, entries)?;
            match left.is_empty() {
                true => Ok(()),
                false => writeln!(
                    out,
                    "\nNo longer in the fleet file, and shut out by the hub: {}. The stacks there stay until you delete them.",
                    left.join(", ")
                ),
            }
        };
        let shown = match self.options.output {
            Output::Text => print(show),
            Output::Json if asks => show(&mut std::io::stderr().lock()).map_err(Into::into),
            Output::Json => Ok(()),
        };
        // A plan that nobody saw is not agreed to.
        if let Err(error) = shown {
            say(&format!("failed to show the plan: {error:#}"));
            return Some(End::Failed);
        }
        if entries
            .iter()
            .filter_map(|entry| entry.plan.as_ref().ok())
            .any(|plan| plan.changes.iter().any(|c| c.loses_ledger()))
        {
            say("The ledger would or might be replaced or removed. Manifold never does that: nothing was deployed.");
            return Some(End::Failed);
        }
        let hub_failed = entries.iter().any(|entry| entry.desired.kind == Kind::Hub && entry.plan.is_err());
        if changes == 0 || hub_failed {
            return Some(if failed { End::Failed } else { End::NothingToDo });
        }
        let agreed = self.options.yes
            || asks && confirm::ask(&format!("Deploy {}?", counted(changes, "stack")), interrupt.asked()).await;
        if interrupt.is_asked() {
            return Some(End::Interrupted);
        }
        match (agreed, failed) {
            (true, _) => None,
            (false, true) => Some(End::Failed),
            (false, false) => Some(End::NotDeployed),
        }
    }

    /// The hub, then the accounts, then their Regions.
    async fn deploy(
        &self,
        entries: &mut [Entry],
        stacks: &[Result<Stack<'_>, String>],
        bucket: &Bucket,
        interrupt: &Interrupt,
    ) {
        let todo: Vec<usize> = (0..entries.len()).filter(|index| entries[*index].has_changes()).collect();
        let shown: Vec<Desired> = todo.iter().map(|index| entries[*index].desired.clone()).collect();
        // Before the rows are drawn: it tells what it does line by line.
        let has_hub = todo.iter().any(|index| shown_kind(stacks, *index) == Some(Kind::Hub));
        let uploaded = if has_hub { Box::pin(self.upload(bucket)).await } else { Ok(()) };
        let watch = Watch::new(&shown.iter().collect::<Vec<_>>(), "deploying");
        let mut outcomes: BTreeMap<usize, Outcome> = BTreeMap::new();
        let of = |kind: Kind| todo.iter().copied().filter(move |index| shown_kind(stacks, *index) == Some(kind));
        let row = |index: usize| todo.iter().position(|known| *known == index).unwrap_or_default();
        let one = async |index: usize| -> (usize, Outcome) {
            let outcome = match (stacks.get(index), entries[index].plan.as_ref()) {
                _ if interrupt.is_asked() => Outcome::Skipped { why: INTERRUPTED.to_owned() },
                (Some(Ok(stack)), Ok(plan)) => {
                    Box::pin(stack.deploy(plan, |status, done| watch.doing(row(index), status, done))).await
                }
                _ => Outcome::Skipped { why: "it could not be planned".to_owned() },
            };
            watch.ended(row(index), &outcome);
            (index, outcome)
        };

        let mut stopped: Option<String> = None;
        for index in of(Kind::Hub) {
            let outcome = match &uploaded {
                Ok(()) => one(index).await.1,
                Err(error) => {
                    let reason = format!("{error:#}");
                    let outcome = Outcome::Failed { status: String::new(), reason, resources: Vec::new() };
                    watch.ended(row(index), &outcome);
                    outcome
                }
            };
            if !matches!(outcome, Outcome::Deployed { .. }) {
                stopped = Some("the hub was not deployed".to_owned());
            }
            outcomes.insert(index, outcome);
        }
        if stopped.is_none() {
            stopped = self.hub_outputs(entries, &outcomes).and_then(|outputs| self.check_outputs(&outputs).err());
        }
        for kind in [Kind::Member, Kind::Region] {
            let (blocked, free): (Vec<(usize, Option<String>)>, Vec<_>) = of(kind)
                .map(|index| (index, stopped.clone().or_else(|| member_missing(entries, &outcomes, index))))
                .partition(|(_, why)| why.is_some());
            for (index, why) in blocked {
                let outcome = Outcome::Skipped { why: why.unwrap_or_default() };
                watch.ended(row(index), &outcome);
                outcomes.insert(index, outcome);
            }
            let done: Vec<_> =
                stream::iter(free).map(|(index, _)| one(index)).buffer_unordered(AT_ONCE).collect().await;
            outcomes.extend(done);
        }
        watch.close();
        for (index, outcome) in outcomes {
            if let Some(entry) = entries.get_mut(index) {
                entry.outcome = Some(outcome);
            }
        }
    }

    /// The hub's outputs as they are now; `None` when its stack was not among the wanted, and was looked at before.
    fn hub_outputs(&self, entries: &[Entry], outcomes: &BTreeMap<usize, Outcome>) -> Option<BTreeMap<String, String>> {
        let index = entries.iter().position(|entry| entry.desired.kind == Kind::Hub)?;
        match outcomes.get(&index) {
            Some(Outcome::Deployed { outputs, .. }) => Some(outputs.clone()),
            Some(Outcome::Failed { .. } | Outcome::Skipped { .. }) | None => {
                entries[index].plan.as_ref().ok().map(|plan| plan.outputs.clone())
            }
        }
    }

    /// The packages, to where Lambda reads them; those that are there already are left alone.
    async fn upload(&self, bucket: &Bucket) -> Result<()> {
        if !bucket.exists().await? {
            bucket.make().await?;
            say(&format!("made the bucket {}", bucket.name));
        }
        let zips = self.package.zips.iter().filter_map(|(name, zip)| Some((zip, self.code.keys.get(name)?)));
        let puts = zips.map(|(zip, key)| async move {
            let put = bucket
                .put(key, zip.bytes.clone())
                .await
                .map_err(|error| error.context(zip.path.display().to_string()))?;
            if put {
                say(&format!("uploaded {} to s3://{}/{key}", zip.path.display(), bucket.name));
            }
            Ok::<(), anyhow::Error>(())
        });
        let puts: Vec<Result<()>> = stream::iter(puts).buffer_unordered(UPLOADS_AT_ONCE).collect().await;
        puts.into_iter().collect()
    }

    fn tell(&self, entries: &[Entry], end: End) -> Result<()> {
        let tried = entries.iter().filter(|entry| entry.outcome.is_some()).count();
        let failed = entries.iter().filter(|entry| entry.has_failed()).count();
        let words = match end {
            End::NothingToDo => "Nothing to do: every stack is as the fleet file and the packages want it.".to_owned(),
            End::NotDeployed if self.options.plan => "Only planned, as asked: nothing was deployed.".to_owned(),
            End::NotDeployed => {
                format!("Nothing was deployed. To deploy without being asked: {} --yes", confirm::repeat())
            }
            End::Deployed => format!("Deployed {}.", counted(tried, "stack")),
            End::Interrupted if tried == 0 => "Interrupted: nothing was deployed.".to_owned(),
            End::Interrupted => format!(
                "Interrupted: {failed} of {} failed or were not begun. To carry on: {}",
                counted(entries.len(), "stack"),
                confirm::repeat()
            ),
            End::Failed if failed == 0 => "Nothing was deployed.".to_owned(),
            End::Failed if tried == 0 => format!(
                "{failed} of {} could not be planned; nothing was deployed. When the cause is mended, repeat: {}",
                counted(entries.len(), "stack"),
                confirm::repeat()
            ),
            End::Failed => format!(
                "{failed} of {} failed or had to wait; CloudFormation takes back what fails. When the cause is mended, \
                 repeat: {}",
                counted(entries.len(), "stack"),
                confirm::repeat()
            ),
        };
        match self.options.output {
            Output::Text => print(|out| {
                writeln!(out)?;
                if tried > 0 {
                    report::outcomes(out, entries)?;
                    writeln!(out)?;
                }
                writeln!(out, "{words}")?;
                report::buttons(out, entries)
            }),
            Output::Json => {
                let error = matches!(end, End::Failed | End::Interrupted).then_some(words.as_str());
                let document = report::document(entries, &self.options.prefix, end, error);
                print(|out| writeln!(out, "{document:#}"))
            }
        }
    }
}

fn shown_kind(stacks: &[Result<Stack<'_>, String>], index: usize) -> Option<Kind> {
    stacks.get(index).and_then(|stack| stack.as_ref().ok()).map(|stack| stack.desired.kind)
}

fn open<'s>(desired: &'s Desired, sessions: &Sessions, staged: &Staged) -> Result<Stack<'s>, String> {
    let session = match sessions.get(&desired.account) {
        Some(Ok(session)) => session,
        Some(Err(why)) => return Err(why.clone()),
        None => return Err(format!("there are no credentials for account {}", desired.account)),
    };
    let source = match desired.kind {
        Kind::Hub => staged.source.clone(),
        Kind::Member | Kind::Region => Source::Body(Template::of(desired.kind).body),
    };
    Ok(Stack::new(desired, session, source))
}

async fn plan(wanted: &[Desired], stacks: &[Result<Stack<'_>, String>], interrupt: &Interrupt) -> Vec<Entry> {
    let bar = match std::io::stderr().is_terminal() && !console::is_dumb() {
        true => ProgressBar::new(stacks.len() as u64),
        false => {
            say(&format!("planning {}", counted(stacks.len(), "stack")));
            ProgressBar::hidden()
        }
    };
    // The template is a constant of ours; were it wrong, a plain bar does.
    if let Ok(template) = ProgressStyle::with_template("{spinner:.cyan} planning  {pos} of {len} stacks  {elapsed}") {
        bar.set_style(template);
    }
    bar.enable_steady_tick(Duration::from_millis(80));
    let plans = stacks.iter().map(|stack| async {
        let planned: Result<Planned, String> = match stack {
            // What is being planned is planned to its end, as only then is it known what to take back.
            Ok(_) if interrupt.is_asked() => Err(INTERRUPTED.to_owned()),
            Ok(stack) => Box::pin(stack.plan()).await.map_err(|error| format!("{error:#}")),
            Err(why) => Err(why.clone()),
        };
        bar.inc(1);
        planned
    });
    let plans: Vec<_> = stream::iter(plans).buffered(AT_ONCE).collect().await;
    bar.finish_and_clear();
    let entries = wanted.iter().zip(plans);
    entries.map(|(desired, plan)| Entry { desired: desired.clone(), plan, outcome: None }).collect()
}

/// Why a Region has to wait for its account's roles, if so.
fn member_missing(entries: &[Entry], outcomes: &BTreeMap<usize, Outcome>, index: usize) -> Option<String> {
    let region = &entries.get(index)?.desired;
    if !region.needs_member {
        return None;
    }
    let is_member = |entry: &Entry| entry.desired.kind == Kind::Member && entry.desired.account == region.account;
    let member = entries.iter().position(is_member)?;
    let failed = match outcomes.get(&member) {
        Some(Outcome::Failed { .. } | Outcome::Skipped { .. }) => true,
        Some(Outcome::Deployed { .. }) => false,
        None => entries[member].plan.is_err(),
    };
    failed.then(|| format!("{} was not deployed", label(&entries[member].desired)))
}

/// Takes away what was planned and not begun.
async fn tidy(entries: &[Entry], stacks: &[Result<Stack<'_>, String>]) {
    let left = entries.iter().zip(stacks).filter_map(|(entry, stack)| {
        let not_begun = match &entry.outcome {
            None | Some(Outcome::Skipped { .. }) => true,
            Some(Outcome::Failed { status, .. }) => status.is_empty(),
            Some(Outcome::Deployed { .. }) => false,
        };
        Some((stack.as_ref().ok()?, entry.plan.as_ref().ok()?)).filter(|_| not_begun)
    });
    let discards = left.map(|(stack, plan)| async move {
        if let Err(error) = Box::pin(stack.discard(plan)).await {
            say(&format!("warning: the plan of {} is left behind: {error:#}", label(stack.desired)));
        }
    });
    stream::iter(discards).buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
}

async fn unstage(staged: &Staged, bucket: &Bucket) {
    let left = async {
        if let Some(key) = &staged.object {
            bucket.delete_object(key).await?;
        }
        if staged.made_bucket { bucket.delete().await } else { Ok(()) }
    };
    if let Err(error) = Box::pin(left).await {
        say(&format!("warning: what the plan put into {} is left behind: {error:#}", bucket.name));
    }
}
