//! Finding a run, and reading all that the ledger has of it.

use std::collections::BTreeSet;

use anyhow::{Result, anyhow};
use manifold_core::control::Decision;
use manifold_core::ids::{AppName, RunId, TargetKey};
use manifold_core::ledger::{Content, Key, Listing, Opening, PlanChunk};
use manifold_core::plan::{PlannedTarget, chunk_of};
use manifold_core::run::{Head, Target};
use manifold_core::summary::Summary;

use super::site::Site;
use crate::input::advise;

/// How many of an app's newest runs the beginning of an id is looked up among.
const MOST_LOOKED_UP: u32 = 1000;
/// How many candidates an error names.
const MOST_NAMED: usize = 6;
/// How many items are read at once.
const KEYS_AT_ONCE: usize = 100;

/// All that is known of a run.
pub(crate) struct Facts {
    /// The run as a whole.
    pub(crate) head: Head,
    /// Its plan, in order, without what was left alone.
    pub(crate) plan: Vec<PlannedTarget>,
    /// The targets that were ever claimed.
    pub(crate) targets: Vec<Target>,
}

impl Facts {
    /// What a person must know of it.
    pub(crate) fn summary(&self) -> Summary {
        Summary::of(&self.head, &self.plan, &self.targets)
    }

    /// The target that is meant by `ACCOUNT/REGION`.
    ///
    /// # Errors
    /// The run has none such.
    pub(crate) fn target(&self, named: &str) -> Result<&PlannedTarget> {
        target(&self.plan, &self.head.run, named)
    }

    /// The keys of the targets that are meant.
    ///
    /// # Errors
    /// The run has no such target.
    pub(crate) fn keys(&self, named: &[String]) -> Result<Vec<TargetKey>> {
        named.iter().map(|named| self.target(named).map(|planned| planned.key.clone())).collect()
    }
}

/// The target of a plan that is meant by `ACCOUNT/REGION`.
///
/// # Errors
/// There is none such.
pub(crate) fn target<'a>(plan: &'a [PlannedTarget], run: &RunId, named: &str) -> Result<&'a PlannedTarget> {
    let (account, region) = named.split_once('/').unwrap_or((named, ""));
    let is_meant = |planned: &&PlannedTarget| {
        planned.key.region.as_str() == region
            && (planned.account_name == account || planned.key.account.as_str() == account)
    };
    plan.iter()
        .find(is_meant)
        .ok_or_else(|| advise(format!("{named} is no target of {run}"), format!("it has {}", some_of(plan))))
}

/// A plan's targets by name, as far as an error names them.
pub(crate) fn some_of(plan: &[PlannedTarget]) -> String {
    let names: BTreeSet<String> =
        plan.iter().map(|planned| format!("{}/{}", planned.account_name, planned.key.region)).collect();
    let more = names.len().saturating_sub(MOST_NAMED);
    let mut known = names.into_iter().take(MOST_NAMED).collect::<Vec<_>>().join(", ");
    if more > 0 {
        known.push_str(&format!(" and {more} more"));
    }
    known
}

/// A run's head, if there is one.
pub(crate) async fn head<S: Site>(site: &S, run: &RunId) -> Result<Option<Head>> {
    item(site, Key::Head(run.clone())).await
}

/// The plan of a run, or of a drift check, of so many targets.
pub(crate) async fn plan<S: Site>(site: &S, run: &RunId, size: u32) -> Result<Vec<PlannedTarget>> {
    let Some(last) = size.checked_sub(1) else { return Ok(Vec::new()) };
    let keys: Vec<Key> = (0..=chunk_of(last)).map(|chunk| Key::Plan(run.clone(), chunk)).collect();
    let chunks: Vec<Option<PlanChunk>> = items(site, &keys).await?;
    let mut plan: Vec<PlannedTarget> = chunks.into_iter().flatten().flat_map(|chunk| chunk.targets).collect();
    plan.retain(|planned| planned.index < size);
    match plan.len() == size as usize {
        true => Ok(plan),
        false => Err(anyhow!("the ledger has {} of the {size} planned targets of {run}", plan.len())),
    }
}

/// What is stored under keys of one kind, in their order.
pub(crate) async fn items<S: Site, T: Content>(site: &S, keys: &[Key]) -> Result<Vec<Option<T>>> {
    let mut items = Vec::with_capacity(keys.len());
    for keys in keys.chunks(KEYS_AT_ONCE) {
        items.extend(site.get(keys).await?.into_iter().map(|record| record.and_then(|record| record.item.take())));
    }
    Ok(items)
}

/// What is stored under a key.
pub(crate) async fn item<S: Site, T: Content>(site: &S, key: Key) -> Result<Option<T>> {
    Ok(items(site, &[key]).await?.pop().flatten())
}

/// The items of a listing.
pub(crate) async fn listed<S: Site, T: Content>(site: &S, listing: Listing) -> Result<Vec<T>> {
    Ok(site.list(&listing).await?.into_iter().filter_map(|record| record.item.take()).collect())
}

/// All that is known of a run.
///
/// # Errors
/// There is no such run, or a part of it is missing.
pub(crate) async fn facts<S: Site>(site: &S, run: &RunId) -> Result<Facts> {
    let head = head(site, run).await?.ok_or_else(|| anyhow!("there is no run {run}"))?;
    let plan = plan(site, &head.run, head.size()).await?;
    let targets = site.targets(run).await?;
    Ok(Facts { head, plan, targets })
}

/// The decisions about a run, oldest first.
pub(crate) async fn decisions<S: Site>(site: &S, run: &RunId) -> Result<Vec<Decision>> {
    listed(site, Listing::Decisions(run.clone())).await
}

/// An app's newest runs, newest first.
pub(crate) async fn newest<S: Site>(site: &S, app: &AppName, most: u32) -> Result<Vec<Opening>> {
    listed(site, Listing::Openings(app.clone(), most)).await
}

/// The run that is meant: by its id, by the beginning of it, or by an app's name.
///
/// # Errors
/// There is none, or there are several.
pub(crate) async fn run<S: Site>(site: &S, named: &str) -> Result<RunId> {
    if let Ok(run) = named.parse::<RunId>()
        && head(site, &run).await?.is_some()
    {
        return Ok(run);
    }
    if let Ok(app) = named.parse::<AppName>()
        && let Some(newest) = newest(site, &app, 1).await?.into_iter().next()
    {
        return Ok(newest.run);
    }
    match by_beginning(site, named, Listing::Openings).await? {
        Some(run) => Ok(run),
        None => Err(advise(
            format!("there is no run {named}, and no app of this name has one"),
            "list the open runs with \"manifold status\", or an app's with \"manifold history APP\"",
        )),
    }
}

/// The run, or the drift check, whose id begins so, among an app's newest ones.
///
/// # Errors
/// There are several.
pub(crate) async fn by_beginning<S: Site>(
    site: &S,
    named: &str,
    newest: fn(AppName, u32) -> Listing,
) -> Result<Option<RunId>> {
    let mut found = Vec::new();
    for (at, _) in named.match_indices('-') {
        // An app's name may have hyphens, too.
        let Ok(app) = named[..at].parse::<AppName>() else { continue };
        let runs: Vec<Opening> = listed(site, newest(app, MOST_LOOKED_UP)).await?;
        found.extend(runs.into_iter().map(|opening| opening.run).filter(|run| run.as_str().starts_with(named)));
    }
    match found.as_slice() {
        [] => Ok(None),
        [run] => Ok(Some(run.clone())),
        several => {
            let names: Vec<&str> = several.iter().map(RunId::as_str).take(MOST_NAMED).collect();
            let more = several.len() - names.len();
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            Err(advise(
                format!("{named} is the beginning of {} runs", several.len()),
                format!("give more of the id: {}{more}", names.join(", ")),
            ))
        }
    }
}
