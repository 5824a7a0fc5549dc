//! What a change set would do, in words; and which of it an operator must not overlook.

use std::collections::BTreeMap;

use aws_sdk_cloudformation::types::{ChangeAction, PolicyAction, Replacement, ResourceChange};

/// A change of one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    /// What happens to it.
    pub(crate) action: Action,
    /// Its name in the template.
    pub(crate) resource: String,
    /// Such as `AWS::SQS::Queue`.
    pub(crate) resource_type: String,
    /// The properties that change, sorted, as far as CloudFormation names them.
    pub(crate) properties: Vec<String>,
    /// Whether CloudFormation leaves it where it is when the stack lets it go.
    pub(crate) is_kept: bool,
}

/// What happens to a resource. What is worst comes last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Action {
    /// It is made.
    Added,
    /// It is changed in place.
    Modified,
    /// CloudFormation only knows when it does it.
    MayBeReplaced,
    /// A new one is made, and the old one deleted.
    Replaced,
    /// It is deleted, or no longer the stack's.
    Removed,
}

impl Action {
    /// For people and for scripts.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Modified => "modified",
            Self::MayBeReplaced => "may be replaced",
            Self::Replaced => "replaced",
            Self::Removed => "removed",
        }
    }
}

/// What is lost with a resource of such a type.
fn loss(resource_type: &str) -> Option<&'static str> {
    Some(match resource_type {
        "AWS::SQS::Queue" => "the messages in the queue are lost",
        "AWS::DynamoDB::Table" => "what is under way is forgotten: a new ledger starts empty",
        "AWS::Events::EventBus" => "events that members send meanwhile are lost",
        "AWS::IAM::Role" => "roles that trust it by its ARN stop doing so until they are given another ExternalId",
        _ => return None,
    })
}

impl Change {
    /// As CloudFormation tells it. An action that this version does not know is shown as a modification.
    pub(crate) fn of(change: &ResourceChange) -> Self {
        let action = match (change.action(), change.replacement()) {
            (Some(ChangeAction::Add | ChangeAction::Import), _) => Action::Added,
            (Some(ChangeAction::Remove), _) => Action::Removed,
            (_, Some(Replacement::True)) => Action::Replaced,
            (_, Some(Replacement::Conditional)) => Action::MayBeReplaced,
            _ => Action::Modified,
        };
        let target = |name: Option<&str>| name.filter(|name| !name.is_empty()).map(str::to_owned);
        let details = change.details().iter().filter_map(|detail| detail.target());
        let mut properties: Vec<String> = details.filter_map(|at| target(at.name())).collect();
        properties.sort_unstable();
        properties.dedup();
        let kept = [PolicyAction::Retain, PolicyAction::ReplaceAndRetain];
        Self {
            action,
            resource: change.logical_resource_id().unwrap_or_default().to_owned(),
            resource_type: change.resource_type().unwrap_or_default().to_owned(),
            properties,
            is_kept: change.policy_action().is_some_and(|action| kept.contains(action)),
        }
    }

    /// Why it must not be overlooked, if so.
    pub(crate) fn warning(&self) -> Option<&'static str> {
        match self.action {
            Action::Added | Action::Modified => None,
            Action::MayBeReplaced | Action::Replaced | Action::Removed => loss(&self.resource_type),
        }
    }

    /// Whether the ledger would, or might, be left behind for a new one, or for none. That is never done here.
    pub(crate) fn loses_ledger(&self) -> bool {
        let gone = match self.action {
            Action::MayBeReplaced | Action::Replaced | Action::Removed => true,
            Action::Added | Action::Modified => false,
        };
        gone && self.resource_type == "AWS::DynamoDB::Table"
    }
}

/// How many resources are added, modified and so on, in words.
pub(crate) fn counted(changes: &[Change]) -> String {
    let mut counts: BTreeMap<Action, usize> = BTreeMap::new();
    for change in changes {
        *counts.entry(change.action).or_default() += 1;
    }
    match counts.is_empty() {
        true => "no resource: only outputs, parameters or tags".to_owned(),
        false => {
            counts.iter().map(|(action, count)| format!("{count} {}", action.words())).collect::<Vec<_>>().join(", ")
        }
    }
}

/// Whether a change set failed only because there is nothing to do. CloudFormation has several wordings and no code.
pub(crate) fn says_no_changes(reason: &str) -> bool {
    let reason = reason.to_lowercase();
    ["didn't contain changes", "did not contain changes", "no updates are to be performed", "no changes"]
        .iter()
        .any(|words| reason.contains(words))
}

#[cfg(test)]
mod tests {
    use aws_sdk_cloudformation::types::{ResourceChangeDetail, ResourceTargetDefinition};

    use super::*;

    fn change(action: ChangeAction, replacement: Option<Replacement>, id: &str, of: &str, property: &str) -> Change {
        let target = ResourceTargetDefinition::builder().name(property).build();
        let change = ResourceChange::builder()
            .action(action)
            .set_replacement(replacement)
            .logical_resource_id(id)
            .resource_type(of)
            .details(ResourceChangeDetail::builder().target(target.clone()).build())
            .details(ResourceChangeDetail::builder().target(target).build());
        Change::of(&change.build())
    }

    #[test]
    fn what_is_lost_stands_out() {
        let changes = [
            change(ChangeAction::Add, None, "InspectQueue", "AWS::SQS::Queue", ""),
            change(ChangeAction::Modify, Some(Replacement::False), "Dispatch", "AWS::Lambda::Function", "Code"),
            change(ChangeAction::Modify, Some(Replacement::True), "CollectQueue", "AWS::SQS::Queue", "QueueName"),
            change(ChangeAction::Modify, Some(Replacement::Conditional), "HubBus", "AWS::Events::EventBus", "Name"),
            change(ChangeAction::Remove, None, "DeployRole", "AWS::IAM::Role", ""),
            change(ChangeAction::Remove, None, "Alarm", "AWS::CloudWatch::Alarm", ""),
            change(ChangeAction::Modify, Some(Replacement::True), "Ledger", "AWS::DynamoDB::Table", "KeySchema"),
            change(ChangeAction::Modify, Some(Replacement::Conditional), "Ledger", "AWS::DynamoDB::Table", "KeySchema"),
            change(ChangeAction::Modify, Some(Replacement::False), "Ledger", "AWS::DynamoDB::Table", "Tags"),
        ];
        let table: Vec<String> = changes
            .iter()
            .map(|change| {
                let properties = change.properties.join(", ");
                let warning = change.warning().map_or_else(String::new, |words| format!("! {words}"));
                let ledger = if change.loses_ledger() { " REFUSED" } else { "" };
                format!("{} {} {properties} {warning}{ledger}", change.resource, change.action.words())
            })
            .collect();
        insta::assert_snapshot!(format!("{}\n{}", counted(&changes), table.join("\n")));
        assert!(changes[0].properties.is_empty());
    }

    #[test]
    fn nothing_to_do_is_told_in_several_ways() {
        assert!(says_no_changes(
            "The submitted information didn't contain changes. Submit different information to create a change set."
        ));
        assert!(says_no_changes("No updates are to be performed."));
        assert!(!says_no_changes("Transform AWS::Serverless failed with: Invalid"));
        assert!(!says_no_changes(""));
    }
}
