//! What is told of a plan and of what became of it: as text, and as one JSON document.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use console::{Style, measure_text_width};
use serde_json::{Value, json};

use super::changes::{Action, Change, counted};
use super::desired::Desired;
use super::options::Kind;
use super::stack::{Outcome, Planned, Verdict};

/// The hub's output with the URL of `respond`.
const RESPOND_URL: &str = "RespondUrl";

/// One stack from plan to end.
#[derive(Debug)]
pub(crate) struct Entry {
    /// As it should be.
    pub(crate) desired: Desired,
    /// What would happen, or why that is not known.
    pub(crate) plan: Result<Planned, String>,
    /// What happened, if it was to.
    pub(crate) outcome: Option<Outcome>,
}

/// How the command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// All is as it should be.
    NothingToDo,
    /// There are changes, and nobody said yes.
    NotDeployed,
    /// Everything that was to be done was.
    Deployed,
    /// Not everything could be planned or deployed.
    Failed,
    /// The operator stopped it before everything was begun.
    Interrupted,
}

impl End {
    /// For scripts.
    const fn name(self) -> &'static str {
        match self {
            Self::NothingToDo => "nothing_to_do",
            Self::NotDeployed => "not_deployed",
            Self::Deployed => "deployed",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
        }
    }

    /// The exit status, as the command's help gives it.
    pub(crate) const fn exit_status(self) -> u8 {
        match self {
            Self::NothingToDo | Self::Deployed => 0,
            Self::Failed => 1,
            Self::NotDeployed => 3,
            Self::Interrupted => crate::interrupt::EXIT_STATUS,
        }
    }
}

impl Outcome {
    /// In a word.
    pub(crate) const fn words(&self) -> &'static str {
        match self {
            Self::Deployed { .. } => "deployed",
            Self::Failed { .. } => "failed",
            Self::Skipped { .. } => "skipped",
        }
    }
}

impl Entry {
    /// Whether there is something to do.
    pub(crate) fn has_changes(&self) -> bool {
        self.plan.as_ref().is_ok_and(|plan| plan.verdict != Verdict::Nothing)
    }

    /// Whether it could not be planned, was not deployed though it was to be, or failed.
    pub(crate) fn has_failed(&self) -> bool {
        match (&self.plan, &self.outcome) {
            (Err(_), _) | (_, Some(Outcome::Failed { .. } | Outcome::Skipped { .. })) => true,
            (Ok(_), Some(Outcome::Deployed { .. }) | None) => false,
        }
    }

    fn place(&self) -> [String; 4] {
        let Desired { name, account, account_name, region, .. } = &self.desired;
        [name.clone(), account_name.clone(), account.to_string(), region.to_string()]
    }
}

/// The plan as text.
pub(crate) fn plan(out: &mut dyn Write, entries: &[Entry]) -> io::Result<()> {
    let lines: Vec<(&str, Style, String)> = entries
        .iter()
        .map(|entry| match &entry.plan {
            Err(_) => ("✖", Style::new().red(), "can't be planned".to_owned()),
            Ok(plan) => match plan.verdict {
                Verdict::New => (
                    "+",
                    Style::new().green(),
                    format!("new, {}", crate::words::counted(plan.changes.len(), "resource")),
                ),
                Verdict::Changes => ("~", Style::new().yellow(), counted(&plan.changes)),
                Verdict::Nothing => ("=", Style::new().dim(), plan.verdict.words().to_owned()),
            },
        })
        .collect();
    // What keeps a whole account away is told once.
    let told: RefCell<BTreeSet<&str>> = RefCell::default();
    table(out, entries, &lines, |out, entry| match &entry.plan {
        Err(why) if told.borrow_mut().insert(why) => indented(out, why),
        Err(_) => indented(out, "for the same reason"),
        Ok(plan) => {
            if plan.verdict != Verdict::Nothing {
                powers(out, &entry.desired)?;
            }
            let told = if plan.verdict == Verdict::Changes { plan.changes.as_slice() } else { &[] };
            told.iter().try_for_each(|change| line(out, change))
        }
    })
}

/// The pipelines that a stack lets Manifold start, or listens to, and what drift checks may do: whoever says yes says it to
/// these.
fn powers(out: &mut dyn Write, desired: &Desired) -> io::Result<()> {
    let given = |name: &str| desired.parameters.get(name).map(String::as_str).filter(|value| !value.is_empty());
    let is_on = |name: &str| given(name) == Some("true");
    let mut powers = Vec::new();
    match desired.kind {
        Kind::Hub => powers.push(("releases of", given("ReleasePipelines"))),
        Kind::Member => {
            let stacks = given("DriftStacks");
            let whole = Some("all management events of the account, in CloudTrail");
            powers.push(("may start", given("TargetPipelines")));
            powers.push(("may detect drift of", stacks));
            powers.push(("may read, to do so", stacks.and(given("DriftReadPolicyArns"))));
            powers.push(("may prepare, not execute, change sets of", stacks.filter(|_| is_on("DriftRevert"))));
            powers.push(("may look up", whole.filter(|_| is_on("DriftCloudTrail"))));
        }
        Kind::Region => {}
    }
    powers.into_iter().try_for_each(|(words, what)| match what {
        Some(what) => writeln!(out, "      {words}: {what}"),
        None => Ok(()),
    })
}

/// The accounts that the hub knows and the fleet file no longer names.
pub(crate) fn left_behind(entries: &[Entry]) -> Vec<String> {
    let accounts = |parameters: &BTreeMap<String, String>| -> BTreeSet<String> {
        let members = parameters.get("MemberAccounts").map_or("", String::as_str).split(',');
        members.filter(|account| !account.is_empty()).map(str::to_owned).collect()
    };
    let hub = entries.iter().find(|entry| entry.desired.kind == Kind::Hub);
    let before = hub.and_then(|hub| hub.plan.as_ref().ok()).map(|plan| accounts(&plan.parameters)).unwrap_or_default();
    let after = hub.map(|hub| accounts(&hub.desired.parameters)).unwrap_or_default();
    before.difference(&after).cloned().collect()
}

/// What a failed operation left, in words.
fn failed(status: &str) -> String {
    match status {
        "" => "failed".to_owned(),
        "DELETE_COMPLETE" => "failed, and deleted again".to_owned(),
        "UPDATE_ROLLBACK_COMPLETE" => "failed, and rolled back to what it was".to_owned(),
        status => format!("failed: {status}"),
    }
}

/// What became of the stacks that were to be deployed, as text.
pub(crate) fn outcomes(out: &mut dyn Write, entries: &[Entry]) -> io::Result<()> {
    let entries: Vec<&Entry> = entries.iter().filter(|entry| entry.outcome.is_some() || entry.plan.is_err()).collect();
    let lines: Vec<(&str, Style, String)> = entries
        .iter()
        .map(|entry| match (&entry.plan, &entry.outcome) {
            (Ok(_), Some(Outcome::Deployed { .. })) => ("✔", Style::new().green(), "deployed".to_owned()),
            (Ok(_), Some(Outcome::Failed { status, .. })) => ("✖", Style::new().red(), failed(status)),
            (Ok(_), Some(Outcome::Skipped { why })) => ("–", Style::new().yellow(), format!("skipped: {why}")),
            (Err(_), _) => ("✖", Style::new().red(), "could not be planned".to_owned()),
            (Ok(_), None) => ("=", Style::new().dim(), Verdict::Nothing.words().to_owned()),
        })
        .collect();
    table(out, entries.iter().copied(), &lines, |out, entry| match (&entry.plan, &entry.outcome) {
        (Ok(_), Some(Outcome::Failed { reason, resources, .. })) => {
            indented(out, reason)?;
            for failed in resources {
                indented(out, &format!("{} {}: {}", failed.resource_type, failed.resource, failed.reason))?;
            }
            Ok(())
        }
        // Why a stack can't be planned is told with the plan.
        (Err(_), _) | (Ok(_), Some(Outcome::Deployed { .. } | Outcome::Skipped { .. }) | None) => Ok(()),
    })
}

/// Where Slack is to send what is pressed, once there is somebody who takes it in.
pub(crate) fn buttons(out: &mut dyn Write, entries: &[Entry]) -> io::Result<()> {
    let outputs = entries.iter().filter_map(|entry| match (&entry.outcome, &entry.plan) {
        (Some(Outcome::Deployed { outputs, .. }), _) => Some(outputs),
        (None, Ok(plan)) if plan.verdict == Verdict::Nothing => Some(&plan.outputs),
        (Some(Outcome::Failed { .. } | Outcome::Skipped { .. }) | None, _) => None,
    });
    match outputs.filter_map(|outputs| outputs.get(RESPOND_URL)).next() {
        Some(url) => writeln!(
            out,
            "\nButtons in Slack: in the app's settings, under Interactivity & Shortcuts, the Request URL is\n  {url}"
        ),
        None => Ok(()),
    }
}

fn table<'e>(
    out: &mut dyn Write,
    entries: impl IntoIterator<Item = &'e Entry> + Clone,
    lines: &[(&str, Style, String)],
    below: impl Fn(&mut dyn Write, &'e Entry) -> io::Result<()>,
) -> io::Result<()> {
    let mut widths = [0; 4];
    for entry in entries.clone() {
        for (width, cell) in widths.iter_mut().zip(entry.place()) {
            *width = (*width).max(measure_text_width(&cell));
        }
    }
    for (entry, (mark, style, words)) in entries.into_iter().zip(lines) {
        let cells = entry.place();
        let cells: Vec<String> = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        writeln!(out, "  {} {}  {}", style.apply_to(mark), cells.join("  "), style.apply_to(words))?;
        below(out, entry)?;
    }
    Ok(())
}

fn line(out: &mut dyn Write, change: &Change) -> io::Result<()> {
    let style = match (change.warning(), change.action) {
        (Some(_), _) => Style::new().red().bold(),
        (None, Action::Added) => Style::new().green(),
        (None, Action::Modified) => Style::new(),
        (None, Action::MayBeReplaced | Action::Replaced | Action::Removed) => Style::new().yellow(),
    };
    let kept = if change.is_kept { ", kept outside the stack" } else { "" };
    let properties = match change.properties.as_slice() {
        [] => String::new(),
        properties => format!(" ({})", properties.join(", ")),
    };
    let Change { action, resource, resource_type, .. } = change;
    let words = format!("{}{kept}: {resource_type} {resource}{properties}", action.words());
    writeln!(out, "      {}", style.apply_to(words))?;
    match change.warning() {
        Some(warning) => writeln!(out, "        {}", style.apply_to(format!("! {warning}"))),
        None => Ok(()),
    }
}

fn indented(out: &mut dyn Write, text: &str) -> io::Result<()> {
    text.lines().try_for_each(|line| writeln!(out, "      {}", line.trim_end()))
}

/// All of it as one document.
pub(crate) fn document(entries: &[Entry], prefix: &str, end: End, error: Option<&str>) -> Value {
    let stacks: Vec<Value> = entries.iter().map(stack).collect();
    json!({ "prefix": prefix, "result": end.name(), "error": error, "left_behind": left_behind(entries), "stacks": stacks })
}

fn stack(entry: &Entry) -> Value {
    let Desired { kind, name, account, account_name, region, parameters, .. } = &entry.desired;
    let plan = entry.plan.as_ref().ok();
    let changes: Vec<Value> = plan.iter().flat_map(|plan| &plan.changes).map(change).collect();
    let (status, outputs, failed, why) = match &entry.outcome {
        Some(Outcome::Deployed { status, outputs }) => (Some(status), Some(outputs), None, None),
        Some(Outcome::Failed { status, reason, resources }) => {
            (Some(status).filter(|status| !status.is_empty()), None, Some(resources), Some(reason))
        }
        Some(Outcome::Skipped { why }) => (None, None, None, Some(why)),
        None => (None, plan.map(|plan| &plan.outputs), None, entry.plan.as_ref().err()),
    };
    let failed: Vec<Value> = failed
        .into_iter()
        .flatten()
        .map(|failed| json!({"resource": failed.resource, "type": failed.resource_type, "reason": failed.reason}))
        .collect();
    json!({
        "kind": kind.as_str(),
        "name": name,
        "id": plan.map(|plan| plan.stack_id.as_str()).filter(|id| !id.is_empty()),
        "account": account.as_str(),
        "account_name": account_name,
        "region": region.as_str(),
        "plan": plan.map(|plan| plan.verdict.words()),
        "outcome": entry.outcome.as_ref().map(Outcome::words),
        "status": status,
        "error": why,
        "failed_resources": failed,
        "parameters": parameters,
        "changes": changes,
        "outputs": outputs,
    })
}

fn change(change: &Change) -> Value {
    json!({
        "action": change.action.words(),
        "resource": change.resource,
        "type": change.resource_type,
        "properties": change.properties,
        "kept": change.is_kept,
        "warning": change.warning(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(outcome: Option<Outcome>) -> Entry {
        let desired = Desired {
            kind: Kind::Hub,
            name: "manifold-hub".to_owned(),
            account: "111122223333".parse().unwrap(),
            account_name: "hub".to_owned(),
            region: "us-east-1".parse().unwrap(),
            parameters: BTreeMap::new(),
            needs_member: false,
        };
        Entry { desired, plan: Err("it was not planned".to_owned()), outcome }
    }

    fn told(outcome: Option<Outcome>) -> String {
        let mut out = Vec::new();
        buttons(&mut out, &[entry(outcome)]).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_drift_checks_may_do_is_told_before_anybody_says_yes() {
        let powers = |parameters: &[(&str, &str)]| {
            let parameters = parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            let mut out = Vec::new();
            powers(&mut out, &Desired { kind: Kind::Member, parameters, ..entry(None).desired }).unwrap();
            String::from_utf8(out).unwrap()
        };
        let start = ("TargetPipelines", "svc-*");
        let none = [start, ("DriftStacks", ""), ("DriftRevert", "true"), ("DriftReadPolicyArns", "arn:x")];
        assert_eq!(powers(&none), "      may start: svc-*\n");
        let all = [start, ("DriftStacks", "web"), ("DriftRevert", "true"), ("DriftReadPolicyArns", "arn:x")];
        let told = powers(&[all.as_slice(), &[("DriftCloudTrail", "true")]].concat());
        insta::assert_snapshot!(told, @r"
              may start: svc-*
              may detect drift of: web
              may read, to do so: arn:x
              may prepare, not execute, change sets of: web
              may look up: all management events of the account, in CloudTrail
        ");
    }

    #[test]
    fn the_url_for_slack_is_told_where_there_is_one() {
        let deployed = |outputs: &[(&str, &str)]| {
            let outputs = outputs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            told(Some(Outcome::Deployed { status: "UPDATE_COMPLETE".to_owned(), outputs: outputs.collect() }))
        };
        let url = "https://abcdefghij.lambda-url.us-east-1.on.aws/";
        assert!(deployed(&[("HubBusName", "manifold"), (RESPOND_URL, url)]).ends_with(&format!("{url}\n")));
        assert_eq!(deployed(&[("HubBusName", "manifold")]), "");
        assert_eq!(told(None), "", "a hub that could not be planned");
    }

    #[test]
    fn the_url_is_an_output_of_the_hub() {
        let hub = include_str!("../../../hub.yaml");
        assert!(hub.contains(&format!("\n  {RESPOND_URL}:\n    Condition: HasRespond\n")));
    }
}
