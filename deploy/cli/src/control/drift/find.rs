//! Finding a drift check, and reading all that the ledger has of it.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow};
use manifold_core::drift::report::Report;
use manifold_core::drift::settle::texts_wanted;
use manifold_core::drift::{Check, Definition, Last, Looked};
use manifold_core::ids::{AppName, RunId};
use manifold_core::ledger::{Key, Listing, Opening};
use manifold_core::plan::PlannedTarget;

use super::super::find::{by_beginning, item, items, listed, plan, some_of, target as by_name};
use super::super::requests;
use super::super::site::Site;
use super::Desk;
use crate::input::advise;

/// All that is known of a check.
pub(super) struct Facts {
    /// The check as a whole.
    pub(super) check: Check,
    /// Its plan, in order.
    pub(super) plan: Vec<PlannedTarget>,
    /// What was seen of its targets.
    pub(super) looked: Vec<Looked>,
}

impl Facts {
    /// What a person must know of it.
    pub(super) fn report(&self) -> Report {
        Report::of(&self.check, &self.plan, &self.looked)
    }
}

/// The target of a check that is meant by `ACCOUNT/REGION`.
///
/// # Errors
/// The check has none such; how to have it looked at, if it is a check of some targets only.
pub(super) fn target<'a>(facts: &'a Facts, named: &str) -> Result<&'a PlannedTarget> {
    let Facts { check, plan, .. } = facts;
    match (by_name(plan, &check.run, named), named.split_once('/')) {
        (Err(_), Some((account, region))) if !check.is_whole => Err(advise(
            format!("{named} is no target of {}, which was of some targets only; it has {}", check.run, some_of(plan)),
            format!("look at it first: manifold drift --app {} --account {account} --region {region}", check.app),
        )),
        (found, _) => found,
    }
}

/// A check, if there is one.
pub(super) async fn check<S: Site>(site: &S, check: &RunId) -> Result<Option<Check>> {
    item(site, Key::Check(check.clone())).await
}

/// All that is known of a check.
///
/// # Errors
/// A part of it is missing.
pub(super) async fn facts<S: Site>(site: &S, check: Check) -> Result<Facts> {
    let plan = plan(site, &check.run, check.size).await?;
    let looked = listed(site, Listing::Looked(check.run.clone())).await?;
    Ok(Facts { check, plan, looked })
}

/// The newest checks of an app, newest first. What the table has forgotten is left out.
pub(super) async fn newest<S: Site>(site: &S, app: &AppName, most: u32) -> Result<Vec<Check>> {
    let opened: Vec<Opening> = listed(site, Listing::Checks(app.clone(), most)).await?;
    let keys: Vec<Key> = opened.into_iter().map(|opening| Key::Check(opening.run)).collect();
    Ok(items(site, &keys).await?.into_iter().flatten().collect())
}

/// The texts of the definitions that a target of a check is compared with, and its own, by their digest.
pub(super) async fn texts<S: Site>(site: &S, check: &Check, looked: &Looked) -> Result<BTreeMap<String, String>> {
    let digests: Vec<String> = texts_wanted(check, std::slice::from_ref(looked)).into_iter().collect();
    let keys: Vec<Key> = digests.iter().map(|digest| Key::Definition(check.app.clone(), digest.clone())).collect();
    let texts: Vec<Option<Definition>> = items(site, &keys).await?;
    Ok(digests.into_iter().zip(texts).filter_map(|(digest, text)| Some((digest, text?.text))).collect())
}

/// The app that is meant: the named one, or the only one of the fleet file.
///
/// # Errors
/// None is named, and the fleet file has several, or there is none.
pub(super) fn app<S: Site>(desk: &Desk<'_, S>, named: Option<&str>) -> Result<AppName> {
    if let Some(named) = named {
        return match desk.fleet {
            Some(fleet) => requests::app(fleet, named).map(|app| app.name().clone()),
            None => Ok(named.parse()?),
        };
    }
    let fleet = desk.fleet.ok_or_else(|| advise("no app is named", "name it: --app APP"))?;
    let apps: Vec<&AppName> = fleet.apps().map(manifold_fleet::App::name).collect();
    match apps.as_slice() {
        [only] => Ok((*only).clone()),
        several => {
            let names: Vec<&str> = several.iter().map(|app| app.as_str()).collect();
            Err(advise("the fleet file has several apps", format!("choose one with --app: {}", names.join(", "))))
        }
    }
}

/// The last check of an app that has ended, else its newest one.
///
/// # Errors
/// The app was never checked.
pub(super) async fn last<S: Site>(site: &S, app: &AppName) -> Result<Check> {
    let last: Option<Last> = item(site, Key::LastCheck(app.clone())).await?;
    let ended = match last {
        Some(last) => check(site, &last.check).await?,
        None => None,
    };
    let last = match ended {
        Some(ended) => Some(ended),
        None => newest(site, app, 1).await?.pop(),
    };
    last.ok_or_else(|| advise(format!("{app} has no drift check"), format!("check it now: manifold drift --app {app}")))
}

/// The check that is meant: by its id, by the beginning of it, or by an app's name.
///
/// # Errors
/// There is none, or there are several.
pub(super) async fn named<S: Site>(site: &S, named: &str) -> Result<Check> {
    if let Ok(run) = named.parse::<RunId>()
        && let Some(check) = check(site, &run).await?
    {
        return Ok(check);
    }
    if let Ok(app) = named.parse::<AppName>()
        && let Ok(last) = last(site, &app).await
    {
        return Ok(last);
    }
    let run = by_beginning(site, named, Listing::Checks).await?.ok_or_else(|| {
        advise(
            format!("there is no drift check {named}, and no app of this name has one"),
            "list an app's checks with \"manifold drift list --app APP\"",
        )
    })?;
    check(site, &run).await?.ok_or_else(|| anyhow!("{run} is not stored any more"))
}
