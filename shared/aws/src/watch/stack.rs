//! CloudFormation's drift detection: started by one look, and read by a later one.

use std::collections::BTreeSet;

use aws_sdk_cloudformation::Client;
use aws_sdk_cloudformation::types::{
    PropertyDifference, ResourceStatus, StackDriftDetectionStatus, StackResourceDrift, StackResourceDriftStatus,
    StackResourceSummary,
};
use manifold_core::drift::definition::{LEFT_OUT, is_secret};
use manifold_core::drift::message::Detection;
use manifold_core::drift::sight::{PropertyDrift, ResourceDrift, StackDrift, StackSeen};
use manifold_core::time::Timestamp;
use manifold_ports::engine::CLOCK_SKEW;

use super::time;
use crate::failure::{Failure, Kind};

/// Pages of 100 resources each; a stack has 500 at most ("CloudFormation quotas").
const MOST_PAGES: usize = 10;
/// "1–100" (`DescribeStackResourceDrifts`, `MaxResults`).
const PAGE: i32 = 100;
/// A stack within a stack, of which "CloudFormation doesn't detect drift" with the outer one (`DetectStackDrift`).
const NESTED: &str = "AWS::CloudFormation::Stack";
/// What the CDK notes about itself in a template. There is nothing behind it that could differ.
const NOTHING: &str = "AWS::CDK::Metadata";

/// Starts a drift detection, without waiting for it. There is no client token: one that is under way already, be it ours
/// whose answer was lost, refuses another, and that passes.
pub(super) async fn detect(client: Client, stack: &str, since: Timestamp) -> Result<StackSeen, Failure> {
    let output = client.detect_stack_drift().stack_name(stack).send().await.map_err(|error| {
        let failure = Failure::of(&error);
        match failure.message.contains("in progress") {
            true => Failure { kind: Kind::Unreached, ..failure },
            false => failure,
        }
    })?;
    let id = output.stack_drift_detection_id;
    let id = id.ok_or_else(|| Failure::empty("DetectStackDrift answered without an id"))?;
    Ok(StackSeen::Detecting { id, since })
}

/// A detection of which nothing new is known.
pub(super) fn under_way(detection: &Detection) -> StackSeen {
    StackSeen::Detecting { id: detection.id.clone(), since: detection.since }
}

/// What became of a detection. One that failed may have compared some resources: they are told with the reason.
pub(super) async fn detected(client: Client, detection: &Detection) -> Result<StackSeen, Failure> {
    let request = client.describe_stack_drift_detection_status().stack_drift_detection_id(&detection.id);
    let output = request.send().await.map_err(|error| Failure::of(&error))?;
    let failed = match &output.detection_status {
        Some(StackDriftDetectionStatus::DetectionInProgress) => return Ok(under_way(detection)),
        Some(StackDriftDetectionStatus::DetectionComplete) => None,
        other => {
            let status = other.as_ref().map_or("without a status", StackDriftDetectionStatus::as_str);
            Some(output.detection_status_reason.unwrap_or_else(|| status.to_owned()))
        }
    };
    let stack = output.stack_id.as_deref().unwrap_or(&detection.stack);
    let drifts = drifts(&client, stack).await?;
    let resources = resources(&client, stack).await?;
    let status = output.stack_drift_status.as_ref().map_or("UNKNOWN", |status| status.as_str()).to_owned();
    let mut seen = StackDrift {
        status,
        failed,
        compared: 0,
        drifted: Vec::new(),
        more: 0,
        nested: Vec::new(),
        unsupported: Vec::new(),
        unchecked: Vec::new(),
        arn: output.stack_id.clone(),
    };
    for drift in &drifts {
        take(&mut seen, drift, detection.since);
    }
    let told: BTreeSet<&str> = drifts.iter().filter_map(StackResourceDrift::logical_resource_id).collect();
    for resource in &resources {
        take_untold(&mut seen, resource, &told);
    }
    Ok(StackSeen::Detected(seen))
}

async fn drifts(client: &Client, stack: &str) -> Result<Vec<StackResourceDrift>, Failure> {
    let request = client.describe_stack_resource_drifts().stack_name(stack).max_results(PAGE);
    let mut pages = request.into_paginator().send();
    let mut found = Vec::new();
    for _ in 0..MOST_PAGES {
        let Some(page) = pages.next().await else { return Ok(found) };
        found.extend(page.map_err(|error| Failure::of(&error))?.stack_resource_drifts.unwrap_or_default());
    }
    end(pages.next().await.is_none(), found)
}

async fn resources(client: &Client, stack: &str) -> Result<Vec<StackResourceSummary>, Failure> {
    let mut pages = client.list_stack_resources().stack_name(stack).into_paginator().send();
    let mut found = Vec::new();
    for _ in 0..MOST_PAGES {
        let Some(page) = pages.next().await else { return Ok(found) };
        found.extend(page.map_err(|error| Failure::of(&error))?.stack_resource_summaries.unwrap_or_default());
    }
    end(pages.next().await.is_none(), found)
}

/// A list whose end was not reached is none: what it lacks might differ.
fn end<T>(is_whole: bool, found: T) -> Result<T, Failure> {
    match is_whole {
        true => Ok(found),
        false => Err(Failure::empty("CloudFormation lists more resources than a stack may have")),
    }
}

/// Takes in what the detection says of a resource.
fn take(seen: &mut StackDrift, drift: &StackResourceDrift, since: Timestamp) {
    let logical = drift.logical_resource_id.clone().unwrap_or_default();
    let kind = drift.resource_type.clone().unwrap_or_default();
    if kind == NOTHING {
        return;
    }
    // Results stay until the next detection that gets so far: those of an earlier one say nothing of now.
    if let Some(at) = time(drift.timestamp).filter(|at| at.plus(CLOCK_SKEW) < since) {
        seen.unchecked.push(format!("{logical} ({kind}): checked last at {at}"));
        return;
    }
    match &drift.stack_resource_drift_status {
        Some(StackResourceDriftStatus::InSync) => seen.compared += 1,
        Some(status @ (StackResourceDriftStatus::Modified | StackResourceDriftStatus::Deleted)) => {
            seen.compared += 1;
            seen.drifted.push(ResourceDrift {
                logical,
                physical: drift.physical_resource_id.clone(),
                kind,
                is_deleted: *status == StackResourceDriftStatus::Deleted,
                properties: drift.property_differences().iter().map(property).collect(),
                more: 0,
            });
        }
        Some(StackResourceDriftStatus::Unsupported | StackResourceDriftStatus::NotChecked) => {
            seen.unsupported.push(format!("{logical} ({kind})"));
        }
        other => {
            let status = other.as_ref().map_or("no status", StackResourceDriftStatus::as_str);
            let why = drift.drift_status_reason.as_deref().unwrap_or(status);
            seen.unchecked.push(format!("{logical} ({kind}): {why}"));
        }
    }
}

/// Takes in a resource of which the detection may have said nothing: "Resources that don't currently support drift detection
/// aren't checked, and so not included" (`DescribeStackResourceDrifts`).
fn take_untold(seen: &mut StackDrift, resource: &StackResourceSummary, told: &BTreeSet<&str>) {
    let logical = resource.logical_resource_id.as_deref().unwrap_or_default();
    let kind = resource.resource_type.as_deref().unwrap_or_default();
    if kind == NOTHING || resource.resource_status == Some(ResourceStatus::DeleteComplete) {
        return;
    }
    if kind == NESTED {
        seen.nested.push(logical.to_owned());
    } else if !told.contains(logical) {
        let status = resource.drift_information.as_ref().and_then(|drift| drift.stack_resource_drift_status.as_ref());
        let is_unsupported =
            matches!(status, None | Some(StackResourceDriftStatus::NotChecked | StackResourceDriftStatus::Unsupported));
        // A detection that failed may not have come to it.
        match is_unsupported && seen.failed.is_none() {
            true => seen.unsupported.push(format!("{logical} ({kind})")),
            false => seen.unchecked.push(format!("{logical} ({kind}): not compared")),
        }
    }
}

fn property(difference: &PropertyDifference) -> PropertyDrift {
    let path = difference.property_path.clone().unwrap_or_default();
    let told = |value: Option<&String>| match is_secret(&path) {
        true => value.map(|_| LEFT_OUT.to_owned()),
        false => value.cloned(),
    };
    let (expected, actual) = (told(difference.expected_value.as_ref()), told(difference.actual_value.as_ref()));
    PropertyDrift { path, expected, actual }
}
