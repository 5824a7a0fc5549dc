//! What an operator's decision about a check comes to: who may, what is accepted, and what is refused.

use std::collections::BTreeMap;

use super::check::{Check, Looked};
use super::judge::{Value, judge};
use super::{Accepted, Aspect, Baseline, Ignore, Note, Order};
use crate::control::{Command, may_operate};
use crate::ids::TargetKey;
use crate::plan::PlannedTarget;
use crate::time::Timestamp;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Carried {
    /// This is accepted of these targets from now on; at least one.
    Accept(Vec<Baseline>),
    /// This rule holds.
    Ignore(Ignore),
    /// This is to be sent.
    Send(Note),
}

/// Carries a decision out. `looked` has what is accepted of each target by now among what it is compared with.
///
/// # Errors
/// It is refused; why, in words.
pub fn carry_out(
    check: &Check,
    plan: &[PlannedTarget],
    looked: &[Looked],
    command: &Command<Order>,
    now: Timestamp,
) -> Result<Carried, String> {
    may_operate(&check.policy.operators, &command.who)?;
    match &command.what {
        Order::Accept { targets, aspects } => {
            let is_meant = |looked: &&Looked| targets.is_empty() || targets.contains(&looked.key);
            let baselines: Vec<Baseline> = (looked.iter().filter(is_meant))
                .filter_map(|looked| baseline(check, plan, looked, aspects, command, now))
                .collect();
            match baselines.is_empty() {
                true => Err("nothing was found there that could be accepted".to_owned()),
                false => Ok(Carried::Accept(baselines)),
            }
        }
        Order::Ignore { rule } if rule.until <= now => Err(format!("{} has passed already", rule.until)),
        Order::Ignore { rule } => match plan.iter().any(|planned| rule.covers(&planned.account_name, &planned.key)) {
            true => Ok(Carried::Ignore(rule.clone())),
            false => Err(format!("{} fits no target of {}", rule.target, check.app)),
        },
        Order::Revert { target, stack } => revert(check, plan, target, stack, command).map(Carried::Send),
    }
}

fn revert(
    check: &Check,
    plan: &[PlannedTarget],
    target: &TargetKey,
    stack: &str,
    command: &Command<Order>,
) -> Result<Note, String> {
    let Some(planned) = plan.iter().find(|planned| planned.key == *target) else {
        return Err(format!("{target} is no target of check {}", check.run));
    };
    if !planned.looks.as_deref().is_some_and(|looks| looks.stacks.iter().any(|known| known == stack)) {
        return Err(format!("stack {stack} is not looked at in {target}"));
    }
    Ok(Note::Revert {
        check: check.run.clone(),
        index: planned.index,
        stack: stack.to_owned(),
        command: command.id.clone(),
        at: command.at,
    })
}

/// What is accepted of a target, with what drifted there and is meant; `None` if nothing is.
fn baseline(
    check: &Check,
    plan: &[PlannedTarget],
    looked: &Looked,
    aspects: &[Aspect],
    command: &Command<Order>,
    now: Timestamp,
) -> Option<Baseline> {
    let planned = plan.iter().find(|planned| planned.index == looked.index)?;
    let looks = planned.looks.as_deref()?;
    // Where a definition differs makes no difference to what is accepted.
    let judged = judge(check, &planned.account_name, looks, looked, &BTreeMap::new(), now);
    let is_meant = |aspect: &Aspect| aspects.is_empty() || aspects.contains(aspect);
    let accepted: BTreeMap<Aspect, Accepted> = judged
        .into_iter()
        .filter(|(aspect, judged)| is_meant(aspect) && matches!(judged.value, Value::Drifted(_)))
        .filter_map(|(aspect, judged)| {
            let (by, at, why) = (command.who.clone(), command.at, command.why.clone());
            Some((aspect, Accepted { fingerprint: judged.acceptable?, by, at, why }))
        })
        .collect();
    if accepted.is_empty() {
        return None;
    }
    let mut all = looked.expected.accepted.clone();
    all.extend(accepted);
    Some(Baseline { target: looked.key.clone(), accepted: all })
}
