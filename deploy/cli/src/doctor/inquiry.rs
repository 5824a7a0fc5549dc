//! What is to be asked, derived from the fleet file.

use std::collections::BTreeMap;

use anyhow::Result;
use manifold_core::checkup::{
    Expected, ExpectedRule, HubAsked, PipelineAsked, Place, Sends, Spot, Subject, bus_arn, forward_rules,
};
use manifold_core::ids::AppName;
use manifold_core::plan::Channel;
use manifold_fleet::{Account, App, Fleet, Target};

use super::options::Doctor;
use crate::input::advise;

/// All questions of one checkup.
#[derive(Debug)]
pub(crate) struct Inquiry {
    /// What the hub is asked of itself.
    pub(crate) hub: HubAsked,
    /// The targets, in the order of the fleet file.
    pub(crate) targets: Vec<TargetAsked>,
    /// Each account and Region once.
    pub(crate) spots: Vec<Spot>,
    /// Each channel once.
    pub(crate) channels: Vec<(Channel, Vec<AppName>)>,
}

/// One target.
#[derive(Debug)]
pub(crate) struct TargetAsked {
    /// What it is called.
    pub(crate) subject: Subject,
    /// How it should be.
    pub(crate) expected: Expected,
    /// Its spot, and what is started there.
    pub(crate) at: (usize, usize),
}

impl Inquiry {
    /// Asks for everything that the options leave in.
    ///
    /// # Errors
    /// An option names what the fleet file does not have, or nothing is left.
    pub(crate) fn new(fleet: &Fleet, options: &Doctor) -> Result<Self> {
        check_names(fleet, options)?;
        let mut inquiry = Self {
            hub: HubAsked { bus: options.prefix.clone(), releases: Vec::new() },
            targets: Vec::new(),
            spots: Vec::new(),
            channels: Vec::new(),
        };
        let apps = fleet
            .apps()
            .filter(|app| options.apps.is_empty() || options.apps.iter().any(|name| name == app.name().as_str()));
        // Fleets have ten thousand targets: what is known of a place is found, not searched.
        let mut known = BTreeMap::new();
        for app in apps {
            for target in app.targets().iter().filter(|target| is_chosen(target, options)) {
                inquiry.add_target(fleet, app, target, options, &mut known);
            }
            for release in app.releases() {
                let asked = PipelineAsked { region: release.region().clone(), name: release.name().clone() };
                if !inquiry.hub.releases.contains(&asked) {
                    inquiry.hub.releases.push(asked);
                }
            }
            inquiry.add_channel(app);
        }
        if inquiry.targets.is_empty() {
            return Err(advise("no target is in all of --app, --account and --region", "leave one of them out"));
        }
        Ok(inquiry)
    }

    fn add_target(
        &mut self,
        fleet: &Fleet,
        app: &App,
        target: &Target,
        options: &Doctor,
        known: &mut BTreeMap<manifold_core::ids::TargetKey, usize>,
    ) {
        // A target's account is one of the fleet's.
        let Some(account) = account_of(fleet, target) else { return };
        let key = target.key();
        let spot = *known.entry(key.clone()).or_insert_with(|| {
            self.spots.push(Spot {
                key: key.clone(),
                external_id: account.external_id().map(str::to_owned),
                role: account.role().clone(),
                rules: Vec::new(),
                started: Vec::new(),
            });
            self.spots.len() - 1
        });
        let rules = rules(target, options, &mut self.spots[spot].rules);
        let all = &mut self.spots[spot].started;
        let started = target.subject();
        let at = all.iter().position(|known| known == started).unwrap_or_else(|| {
            all.push(started.clone());
            all.len() - 1
        });
        let hub = fleet.hub();
        self.targets.push(TargetAsked {
            subject: Subject::Target {
                app: app.name().clone(),
                account_name: target.account_name().to_owned(),
                account: key.account.clone(),
                region: key.region.clone(),
                pipeline: started.clone(),
            },
            expected: Expected {
                place: Place {
                    app: app.name().clone(),
                    key: key.clone(),
                    role: account.role().clone(),
                    external_id: account.external_id().map(str::to_owned),
                    started: target.subject().clone(),
                },
                sends: Sends {
                    variables: app.parameters().map(str::to_owned).collect(),
                    source: app.source(target).map(|(action, kind)| (action.to_owned(), kind)),
                },
                hub_account: hub.account().clone(),
                hub_region: hub.region().clone(),
                bus_arn: bus_arn(hub.account(), hub.region(), &options.prefix),
                prefix: options.prefix.clone(),
                rules,
            },
            at: (spot, at),
        });
    }

    fn add_channel(&mut self, app: &App) {
        match self.channels.iter_mut().find(|(channel, _)| channel == app.channel()) {
            Some((_, apps)) => apps.push(app.name().clone()),
            None if *app.channel() == Channel::Silent => {}
            None => self.channels.push((app.channel().clone(), vec![app.name().clone()])),
        }
    }
}

/// The rules of a target's service, each with its place among those that its spot is asked for.
fn rules(target: &Target, options: &Doctor, asked: &mut Vec<String>) -> Vec<ExpectedRule> {
    let prefix = options.rule_prefix.as_ref().unwrap_or(&options.prefix);
    let rules = forward_rules(target.subject().service()).iter().map(|(check, rule)| {
        let name = format!("{prefix}-{rule}");
        let at = asked.iter().position(|known| *known == name).unwrap_or_else(|| {
            asked.push(name.clone());
            asked.len() - 1
        });
        ExpectedRule { check: *check, name, at }
    });
    rules.collect()
}

fn account_of<'a>(fleet: &'a Fleet, target: &Target) -> Option<&'a Account> {
    fleet.accounts().iter().find(|account| account.name() == target.account_name())
}

fn is_chosen(target: &Target, options: &Doctor) -> bool {
    let has = |chosen: &[String], names: &[&str]| {
        chosen.is_empty() || chosen.iter().any(|chosen| names.contains(&chosen.as_str()))
    };
    has(&options.accounts, &[target.account_name(), target.key().account.as_str()])
        && has(&options.regions, &[target.key().region.as_str()])
}

/// A name that is nowhere in the fleet file would quietly leave nothing.
fn check_names(fleet: &Fleet, options: &Doctor) -> Result<()> {
    let apps: Vec<&str> = fleet.apps().map(|app| app.name().as_str()).collect();
    let accounts: Vec<&str> =
        fleet.accounts().iter().flat_map(|account| [account.name(), account.id().as_str()]).collect();
    let regions: Vec<&str> = fleet.regions().iter().map(|region| region.as_str()).collect();
    for (option, given, known) in [
        ("--app", &options.apps, apps),
        ("--account", &options.accounts, accounts),
        ("--region", &options.regions, regions),
    ] {
        if let Some(stranger) = given.iter().find(|name| !known.contains(&name.as_str())) {
            let near = known.iter().map(|name| (strsim::damerau_levenshtein(stranger, name), *name)).min();
            let help = match near.filter(|(distance, _)| *distance <= 2) {
                Some((_, name)) => format!("did you mean {name}?"),
                None => format!("it has {}", known.join(", ")),
            };
            return Err(advise(format!("{option} {stranger} is not in the fleet file"), help));
        }
    }
    Ok(())
}
