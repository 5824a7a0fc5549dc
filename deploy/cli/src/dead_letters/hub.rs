//! Where everything is: the hub's queues and ledger by its stack's outputs, the members' queues by their names.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, anyhow};
use futures::stream::{self, StreamExt};
use manifold_aws::clients::Clients;
use manifold_aws::ledger::DynamoLedger;
use manifold_core::deadletter::{Inbox, Place};
use manifold_core::ids::TargetKey;
use manifold_fleet::Fleet;

use super::options::DeadLetters;
use super::shelf::Shelf;
use crate::aws::{Refusal, Session};
use crate::input::advise;
use crate::install::stack;

/// How many queues in member accounts are opened at once.
const AT_ONCE: usize = 12;

/// A hub's queues and ledger.
pub(crate) struct Hub {
    /// In the order of a run.
    pub(crate) shelves: Vec<Shelf>,
    /// The functions' own queues.
    pub(crate) inboxes: BTreeMap<Inbox, String>,
    /// SQS in the hub.
    pub(crate) sqs: aws_sdk_sqs::Client,
    /// The ledger.
    pub(crate) ledger: DynamoLedger,
    /// The queues that could not be opened, and why.
    pub(crate) troubles: Vec<(String, String)>,
}

impl Hub {
    /// Finds the hub.
    ///
    /// # Errors
    /// It is not installed, is older, or its stack can't be read.
    pub(crate) async fn open(session: &Session, prefix: &str) -> Result<Self> {
        let name = format!("{prefix}-hub");
        let stacks = aws_sdk_cloudformation::Client::new(&session.config);
        let found = Box::pin(stack::describe(&stacks, &name)).await;
        let found = found.map_err(|refusal| anyhow!("failed to look at the stack {name}: {refusal}"))?;
        let found = found.ok_or_else(|| {
            advise(
                format!("there is no stack {name}"),
                "package and install the hub: manifold install; if it is there with a Prefix of its own, give --prefix",
            )
        })?;
        let mut outputs = stack::outputs(&found);
        let mut output = |output: String| {
            let missing =
                || advise(format!("the stack {name} has no output {output}"), "update the hub: manifold install");
            outputs.remove(&output).ok_or_else(missing)
        };
        let clients = Clients::new(session.config.clone());
        let ledger = DynamoLedger::new(clients.dynamodb(), output("LedgerName".to_owned())?);
        // The command's own patience, and not that of a function.
        let sqs = aws_sdk_sqs::Client::new(&session.config);
        let (mut shelves, mut inboxes) = (Vec::new(), BTreeMap::new());
        for inbox in Inbox::ALL {
            let function = capitalised(inbox.name());
            inboxes.insert(inbox, output(format!("{function}QueueUrl"))?);
            let url = output(format!("{function}DeadQueueUrl"))?;
            shelves.push(Shelf::new(Place::Dead(inbox), format!("{prefix}-{inbox}-dead"), sqs.clone(), url));
        }
        let url = output("UndeliveredQueueUrl".to_owned())?;
        shelves.push(Shelf::new(Place::Undelivered, format!("{prefix}-undelivered"), sqs.clone(), url));
        Ok(Self { shelves, inboxes, sqs, ledger, troubles: Vec::new() })
    }

    /// Adds the queues of what the members could not forward, in all accounts and Regions that have a target.
    pub(crate) async fn add_members(&mut self, session: &Session, fleet: &Fleet, options: &DeadLetters) {
        let places: BTreeSet<&TargetKey> = fleet.apps().flat_map(|app| app.targets()).map(|t| t.key()).collect();
        let is_chosen = |region: &str| options.regions.is_empty() || options.regions.iter().any(|name| name == region);
        let name_of = |key: &TargetKey| {
            let account = fleet.accounts().iter().find(|account| *account.id() == key.account);
            account.map_or_else(|| key.account.to_string(), |account| account.name().to_owned())
        };
        let prefix = options.rule_prefix.as_deref().unwrap_or(&options.prefix);
        let queue = format!("{prefix}-forward-undelivered");
        let mut regions: BTreeMap<_, Vec<&TargetKey>> = BTreeMap::new();
        for place in places.into_iter().filter(|place| is_chosen(place.region.as_str())) {
            regions.entry(&place.account).or_default().push(place);
        }
        let opened = regions.into_values().map(|places| {
            let (queue, name_of) = (&queue, &name_of);
            async move {
                let mut found = Vec::new();
                let Some(first) = places.first() else { return found };
                let name = name_of(first);
                let (role, profiles) = (&options.member_role, &options.member_profiles);
                let member =
                    Box::pin(session.of_member(&first.account, &name, role, profiles, fleet.hub().region())).await;
                for key in places {
                    let label = format!("{queue} {name}/{}", key.region);
                    let opened = match &member {
                        Ok(member) => {
                            Box::pin(open(&member.in_region(&key.region), queue, label.clone(), key.clone())).await
                        }
                        Err(error) => Err(format!("{error:#}")),
                    };
                    found.push(opened.map_err(|reason| (label, reason)));
                }
                found
            }
        });
        for opened in stream::iter(opened).buffered(AT_ONCE).collect::<Vec<_>>().await.into_iter().flatten() {
            match opened {
                Ok(shelf) => self.shelves.push(shelf),
                Err(trouble) => self.troubles.push(trouble),
            }
        }
    }

    /// Leaves only the queues of these names, with or without the prefix.
    ///
    /// # Errors
    /// There is no queue of a name.
    pub(crate) fn keep_only(&mut self, names: &[String], prefix: &str) -> Result<()> {
        let fits = |shelf: &Shelf, name: &str| {
            let own = shelf.name.split(' ').next().unwrap_or_default();
            shelf.name == name
                || own == name
                || own.strip_prefix(prefix).and_then(|own| own.strip_prefix('-')) == Some(name)
        };
        if let Some(name) = names.iter().find(|name| !self.shelves.iter().any(|shelf| fits(shelf, name))) {
            let known: Vec<&str> = self.shelves.iter().map(|shelf| shelf.name.as_str()).collect();
            return Err(advise(
                format!("--queue {name} is no queue of dead letters"),
                format!("there are {}", known.join(", ")),
            ));
        }
        if !names.is_empty() {
            self.shelves.retain(|shelf| names.iter().any(|name| fits(shelf, name)));
        }
        Ok(())
    }
}

async fn open(member: &Session, queue: &str, label: String, key: TargetKey) -> Result<Shelf, String> {
    let client = aws_sdk_sqs::Client::new(&member.config);
    let url = client.get_queue_url().queue_name(queue).send().await;
    let url = url.map_err(|error| Refusal::of(&error).to_string())?.queue_url;
    let url = url.ok_or_else(|| "SQS names no URL of it".to_owned())?;
    Ok(Shelf::new(Place::Forward(key), label, client, url))
}

/// As the stack's outputs spell it.
fn capitalised(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}
