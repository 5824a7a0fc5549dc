//! What can be done to a stack in the state that it is found in.

use super::desired::Desired;

/// How a stack is brought to where it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Approach {
    /// It is made.
    Create,
    /// There is one without resources, left by a change set that was not executed: it is used.
    CreateInReview,
    /// It is updated.
    Update,
    /// It can't be changed as it is.
    Blocked {
        /// Why.
        why: String,
        /// What to do.
        help: String,
    },
}

/// The approach to a stack with this status, or with none ("Stack status codes" in the CloudFormation User Guide).
pub(crate) fn approach(stack: &Desired, status: Option<&str>) -> Approach {
    let command =
        |what: &str| format!("aws cloudformation {what} --stack-name {} --region {}", stack.name, stack.region);
    let place = format!("in account {}", stack.account);
    let blocked = |why: &str, help: String| Approach::Blocked { why: why.to_owned(), help };
    let Some(status) = status else { return Approach::Create };
    match status {
        "DELETE_COMPLETE" => Approach::Create,
        "REVIEW_IN_PROGRESS" => Approach::CreateInReview,
        "CREATE_COMPLETE"
        | "UPDATE_COMPLETE"
        | "UPDATE_FAILED"
        | "UPDATE_ROLLBACK_COMPLETE"
        | "IMPORT_COMPLETE"
        | "IMPORT_ROLLBACK_COMPLETE" => Approach::Update,
        "ROLLBACK_COMPLETE" | "ROLLBACK_FAILED" | "CREATE_FAILED" | "DELETE_FAILED" => blocked(
            &format!("it is in {status}, which CloudFormation does not update"),
            format!(
                "delete what is left of it {place} and repeat: {} (the ledger's table stays, as ever)",
                command("delete-stack")
            ),
        ),
        "IMPORT_ROLLBACK_FAILED" => blocked(
            "it is in IMPORT_ROLLBACK_FAILED: resources were to be imported, and that could not be taken back",
            format!("mend what its events name {place}: {}", command("describe-stack-events")),
        ),
        "UPDATE_ROLLBACK_FAILED" => blocked(
            "it is in UPDATE_ROLLBACK_FAILED: an update failed, and so did taking it back",
            format!("mend what its events name, then {place}: {}", command("continue-update-rollback")),
        ),
        busy if busy.ends_with("_IN_PROGRESS") => blocked(
            &format!("it is in {busy}: something is changing it right now"),
            format!("wait until that is over {place}, then repeat; see {}", command("describe-stack-events")),
        ),
        unknown => blocked(
            &format!("it is in {unknown}, a state that this version does not know"),
            format!("look at it {place}: {}", command("describe-stacks")),
        ),
    }
}

/// Whether an operation is over.
pub(crate) fn is_over(status: &str) -> bool {
    !status.ends_with("_IN_PROGRESS")
}

/// Whether it did what it was to do.
pub(crate) fn is_success(status: &str) -> bool {
    matches!(status, "CREATE_COMPLETE" | "UPDATE_COMPLETE")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use aws_sdk_cloudformation::types::StackStatus;

    use super::super::options::Kind;
    use super::*;

    #[test]
    fn every_state_is_handled_or_explained() {
        let stack = Desired {
            kind: Kind::Hub,
            name: "manifold-hub".to_owned(),
            account: "111122223333".parse().unwrap(),
            account_name: "hub".to_owned(),
            region: "us-east-1".parse().unwrap(),
            parameters: BTreeMap::new(),
            needs_member: false,
        };
        let states = StackStatus::values().iter().copied().chain(["SOMETHING_NEW"]);
        let table: Vec<String> = states
            .map(|status| match approach(&stack, Some(status)) {
                Approach::Blocked { why, help } => format!("{status}: {why}\n  {help}"),
                can @ (Approach::Create | Approach::CreateInReview | Approach::Update) => format!("{status}: {can:?}"),
            })
            .collect();
        insta::assert_snapshot!(table.join("\n"));
        assert_eq!(approach(&stack, None), Approach::Create);
    }

    #[test]
    fn a_rollback_is_no_success() {
        for status in ["ROLLBACK_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "DELETE_COMPLETE", "CREATE_FAILED"] {
            assert!(is_over(status) && !is_success(status), "{status}");
        }
        assert!(!is_over("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"));
        assert!(is_success("UPDATE_COMPLETE"));
    }
}
