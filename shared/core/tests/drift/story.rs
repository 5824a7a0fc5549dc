//! Stories about one app's drift checks, told to the real core: what is there is changed, and checks look at it.

use std::collections::{BTreeMap, BTreeSet};

use manifold_core::checkup::Tried;
use manifold_core::control::{Via, Who};
use manifold_core::drift::check::{Again, Check, Looked, Phase, Read, Told};
use manifold_core::drift::definition::Normal;
use manifold_core::drift::message::{Look, Note, SeenAt, ToInspect};
use manifold_core::drift::settle::{Ending, Facts, Settled, settle, texts_wanted};
use manifold_core::drift::sight::{
    ExecutionSeen, PipelineSeen, PropertyDrift, ResourceDrift, Sight, StackDrift, StackSeen, StackSight, StateSeen,
};
use manifold_core::drift::{
    Accepted, Aspect, Baseline, Cause, Last, Looks, Policy, Quiet, Report, Response, Standing, slot,
};
use manifold_core::ids::{AppName, ExecutionRef, Nonce, RunId, TargetKey};
use manifold_core::known::{Good, Known};
use manifold_core::message::{Outgoing, Payload};
use manifold_core::plan::{Channel, PlannedTarget};
use manifold_core::release::{Release, Revision, Trigger};
use manifold_core::time::{Span, Timestamp};
use serde_json::{Value as Json, json};

/// The revision that every target should have.
pub(crate) const GOOD: &str = "9fceb02d0ae598e95dc970b74767f19372d61af8";
/// Another one.
pub(crate) const OTHER: &str = "0123456789abcdef0123456789abcdef01234567";
/// The distance of the checks.
pub(crate) const EVERY: Span = Span::from_minutes(60);
/// The stack that every target has.
pub(crate) const STACK: &str = "svc-queues";

/// What is there in one target: what a look would see of it.
#[derive(Debug, Clone)]
pub(crate) struct There {
    /// All of it but the pipeline's digest, which follows from `definition`.
    pub(crate) sight: Sight,
    /// The pipeline's definition.
    pub(crate) definition: Json,
}

/// One app, its targets, and the ledger as far as checks know it.
#[derive(Debug, Clone)]
pub(crate) struct Story {
    pub(crate) app: AppName,
    pub(crate) plan: Vec<PlannedTarget>,
    pub(crate) policy: Policy,
    pub(crate) now: Timestamp,
    pub(crate) there: BTreeMap<TargetKey, There>,
    pub(crate) known: BTreeMap<TargetKey, Known>,
    pub(crate) baselines: BTreeMap<TargetKey, Baseline>,
    pub(crate) texts: BTreeMap<String, String>,
    pub(crate) standing: BTreeMap<TargetKey, Standing>,
    pub(crate) last: Option<Last>,
    pub(crate) rollout: Option<RunId>,
    pub(crate) checks: BTreeMap<RunId, Check>,
    pub(crate) looked: BTreeMap<RunId, BTreeMap<u32, Looked>>,
    /// The check that the story is at.
    pub(crate) check: RunId,
}

pub(crate) fn at(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).unwrap()
}

/// Somebody at the command line.
pub(crate) fn jane() -> Who {
    Who { via: Via::Cli, id: "arn:aws:sts::999999999999:assumed-role/Operator/jane".to_owned(), name: None }
}

/// Why nothing could be seen: the role is gone.
pub(crate) fn denied(key: &TargetKey) -> Tried<()> {
    Tried::Refused {
        code: "AccessDenied".to_owned(),
        message: format!(
            "User: arn:aws:sts::999999999999:assumed-role/manifold-inspect/manifold-inspect is not authorized to \
             perform: sts:AssumeRole on resource: arn:aws:iam::{}:role/ManifoldInspect",
            key.account
        ),
    }
}

/// An execution that Manifold started.
pub(crate) fn execution(id: &str, revision: &str, at: Timestamp) -> ExecutionSeen {
    ExecutionSeen {
        id: id.parse().unwrap(),
        status: "Succeeded".to_owned(),
        revisions: BTreeMap::from([("Source".to_owned(), revision.to_owned())]),
        variables: BTreeMap::new(),
        trigger: Some("StartPipelineExecution".to_owned()),
        started_by: Some("arn:aws:sts::444455556666:assumed-role/ManifoldTarget/mf-web-0f3a5b7c9d1e2f40".to_owned()),
        is_rollback: false,
        stopped: None,
        started_at: Some(at),
        updated_at: Some(at.plus(Span::from_minutes(3))),
    }
}

/// The same, started by a person.
pub(crate) fn by_hand(id: &str, revision: &str, at: Timestamp) -> ExecutionSeen {
    let started_by = Some("arn:aws:sts::444455556666:assumed-role/Admin/john.doe@example.com".to_owned());
    ExecutionSeen { started_by, ..execution(id, revision, at) }
}

/// A stack in which everything could be compared, and nothing differs.
pub(crate) fn stack(key: &TargetKey) -> StackDrift {
    StackDrift {
        status: "IN_SYNC".to_owned(),
        failed: None,
        compared: 5,
        drifted: Vec::new(),
        more: 0,
        nested: Vec::new(),
        unsupported: Vec::new(),
        unchecked: Vec::new(),
        arn: Some(format!(
            "arn:aws:cloudformation:{}:{}:stack/{STACK}/5f3c2a10-0000-11ef-8000-0a1b2c3d4e5f",
            key.region, key.account
        )),
    }
}

/// A queue of the stack whose properties differ.
pub(crate) fn queue(properties: &[(&str, Option<&str>, Option<&str>)]) -> ResourceDrift {
    ResourceDrift {
        logical: "Jobs".to_owned(),
        physical: Some("https://sqs.eu-west-1.amazonaws.com/444455556666/jobs".to_owned()),
        kind: "AWS::SQS::Queue".to_owned(),
        is_deleted: false,
        properties: properties
            .iter()
            .map(|(path, expected, actual)| PropertyDrift {
                path: (*path).to_owned(),
                expected: expected.map(str::to_owned),
                actual: actual.map(str::to_owned),
            })
            .collect(),
        more: 0,
    }
}

fn definition(key: &TargetKey) -> Json {
    json!({
        "name": "svc-deploy", "version": 3, "pipelineType": "V2", "executionMode": "QUEUED",
        "roleArn": format!("arn:aws:iam::{}:role/Pipeline", key.account),
        "stages": [
            { "name": "Source", "actions": [{ "name": "Source", "runOrder": 1, "configuration": { "Branch": "main" } }] },
            { "name": "Deploy", "actions": [{ "name": "Deploy", "runOrder": 1, "configuration": {
                "ProjectName": "svc-deploy", "Timeout": "30",
            } }] },
        ],
    })
}

impl There {
    fn new(key: &TargetKey, opened: Timestamp) -> Self {
        let deployed = execution("3f8c1f0a-7d52-4d5e-9f0b-5a1f7c2b9e01", GOOD, opened);
        Self {
            sight: Sight {
                at: opened,
                assumed: Tried::Done(()),
                pipeline: Some(Tried::Done(PipelineSeen {
                    digest: String::new(),
                    version: 3,
                    updated_at: Some(opened),
                    is_parallel: false,
                    deploy_stage: "Deploy".to_owned(),
                    is_released: false,
                })),
                executions: Some(Tried::Done(vec![deployed.clone()])),
                deployed: Some(Tried::Done(vec![deployed])),
                state: Some(Tried::Done(StateSeen::default())),
                stacks: vec![StackSight { name: STACK.to_owned(), seen: Tried::Done(StackSeen::Detected(stack(key))) }],
                trail: None,
            },
            definition: definition(key),
        }
    }

    /// Another execution became the one that was deployed last.
    pub(crate) fn deploys(&mut self, execution: ExecutionSeen) {
        self.runs(execution.clone());
        self.sight.deployed = Some(Tried::Done(vec![execution]));
    }

    /// Another execution became the newest.
    pub(crate) fn runs(&mut self, execution: ExecutionSeen) {
        match &mut self.sight.executions {
            Some(Tried::Done(executions)) => executions.insert(0, execution),
            other => panic!("no executions are seen: {other:?}"),
        }
    }

    pub(crate) fn state(&mut self) -> &mut StateSeen {
        match &mut self.sight.state {
            Some(Tried::Done(state)) => state,
            other => panic!("no state is seen: {other:?}"),
        }
    }

    pub(crate) fn pipeline(&mut self) -> &mut PipelineSeen {
        match &mut self.sight.pipeline {
            Some(Tried::Done(pipeline)) => pipeline,
            other => panic!("no pipeline is seen: {other:?}"),
        }
    }

    /// The stack, detected.
    pub(crate) fn stack(&mut self) -> &mut StackDrift {
        let Tried::Done(StackSeen::Detected(drift)) = &mut self.sight.stacks[0].seen else {
            panic!("no stack is seen")
        };
        drift
    }

    /// The project that the pipeline's deploy action names.
    pub(crate) fn edits(&mut self, project: &str) {
        self.definition["stages"][1]["actions"][0]["configuration"]["ProjectName"] = json!(project);
    }

    /// The stack's queue was changed.
    pub(crate) fn changes_queue(&mut self) {
        let drift = self.stack();
        drift.status = "DRIFTED".to_owned();
        drift.drifted =
            vec![queue(&[("/VisibilityTimeout", Some("30"), Some("60")), ("/KmsMasterKeyId", None, Some("alias/x"))])];
    }
}

impl Story {
    /// Ten targets: five accounts, two Regions each. Every comparison, two looks, a check an hour.
    pub(crate) fn new() -> Self {
        let accounts = [("dev", 1), ("staging", 2), ("prod", 3), ("team-a", 4), ("team-b", 5)];
        let accounts = accounts.map(|(name, n)| (name.to_owned(), format!("{:012}", n * 111_111_111_111_u64)));
        Self::of(&accounts, &["eu-west-1", "us-east-1"])
    }

    pub(crate) fn of(accounts: &[(String, String)], regions: &[&str]) -> Self {
        let app: AppName = "web".parse().unwrap();
        let now = at("2026-11-28T06:00:04Z");
        let deployed = at("2026-11-27T16:00:00Z");
        let mut plan = Vec::new();
        let (mut there, mut known) = (BTreeMap::new(), BTreeMap::new());
        for (name, id) in accounts {
            for region in regions {
                let key = TargetKey { account: id.parse().unwrap(), region: region.parse().unwrap() };
                plan.push(PlannedTarget {
                    index: u32::try_from(plan.len()).unwrap(),
                    wave: 0,
                    key: key.clone(),
                    account_name: name.clone(),
                    role: format!("arn:aws:iam::{id}:role/ManifoldInspect").parse().unwrap(),
                    external_id: None,
                    subject: "svc-deploy".parse().unwrap(),
                    work: None,
                    variables: BTreeMap::new(),
                    source_revision: None,
                    after: Vec::new(),
                    before: Vec::new(),
                    release: None,
                    looks: Some(Box::new(looks())),
                });
                there.insert(key.clone(), There::new(&key, deployed));
                known.insert(key.clone(), Known { target: key.clone(), current: good(GOOD, deployed), previous: None });
            }
        }
        let policy = Policy {
            confirm: Some(Span::from_minutes(2)),
            quiet: Quiet::Silent,
            digest: None,
            response: Response::Report,
            ignore: Vec::new(),
            operators: Vec::new(),
        };
        Self {
            check: RunId::of_check(&app, now),
            app,
            plan,
            policy,
            now,
            there,
            known,
            baselines: BTreeMap::new(),
            texts: BTreeMap::new(),
            standing: BTreeMap::new(),
            last: None,
            rollout: None,
            checks: BTreeMap::new(),
            looked: BTreeMap::new(),
        }
    }

    /// The target of an account, by its name, in a Region.
    pub(crate) fn key(&self, account: &str, region: &str) -> TargetKey {
        let is = |planned: &&PlannedTarget| planned.account_name == account && planned.key.region.as_str() == region;
        self.plan.iter().find(is).unwrap().key.clone()
    }

    /// What is there in a target.
    pub(crate) fn at(&mut self, account: &str, region: &str) -> &mut There {
        let key = self.key(account, region);
        self.there.get_mut(&key).unwrap()
    }

    /// Everything is as it was at first.
    pub(crate) fn repair(&mut self, account: &str, region: &str) {
        let key = self.key(account, region);
        self.there.insert(key.clone(), There::new(&key, at("2026-11-27T16:00:00Z")));
    }

    /// Nobody can assume the role there.
    pub(crate) fn deny(&mut self, account: &str, region: &str) {
        let key = self.key(account, region);
        self.there.get_mut(&key).unwrap().sight = Sight::not_assumed(self.now, denied(&key));
    }

    pub(crate) fn wait(&mut self, span: Span) {
        self.now = self.now.plus(span);
    }

    /// The turn of the next check.
    pub(crate) fn next_turn(&mut self) {
        self.now = slot(self.now, EVERY).plus(EVERY).plus(Span::from_seconds(4));
    }

    /// Opens the check of this slot.
    pub(crate) fn open(&mut self) {
        let slot = slot(self.now, EVERY);
        self.open_for(RunId::of_check(&self.app, slot), Cause::Scheduled { slot, every: EVERY });
    }

    /// Opens a check that somebody asked for.
    pub(crate) fn open_asked(&mut self, why: Option<&str>) {
        let command: Nonce = "c0ffee".parse().unwrap();
        let run = RunId::of_asked_check(&self.app, &command, self.now);
        self.open_for(run, Cause::Asked { by: jane(), why: why.map(str::to_owned) });
    }

    fn open_for(&mut self, run: RunId, cause: Cause) {
        self.check = run.clone();
        let check = Check {
            run: run.clone(),
            app: self.app.clone(),
            cause,
            opened_at: self.now,
            due_at: self.now.plus(Span::from_minutes(30)),
            size: u32::try_from(self.plan.len()).unwrap(),
            is_whole: true,
            policy: self.policy.clone(),
            channel: Channel::Silent,
            looked: 0,
            releases: Default::default(),
            deployed: Default::default(),
            definitions: Default::default(),
            phase: Phase::Looking,
            again: None,
            overdue_at: None,
        };
        self.checks.insert(run.clone(), check);
        self.looked.insert(run, BTreeMap::new());
    }

    /// What a look at a target sees now.
    pub(crate) fn sight(&mut self, key: &TargetKey) -> Sight {
        let there = &self.there[key];
        let mut sight = Sight { at: self.now, ..there.sight.clone() };
        if let Some(Tried::Done(pipeline)) = &mut sight.pipeline {
            let normal = Normal::of(&there.definition, key);
            pipeline.digest = normal.digest.clone();
            self.texts.insert(normal.digest, normal.text);
        }
        sight
    }

    /// Folds a look in, of what is there now.
    pub(crate) fn look(&mut self, look: Look, index: u32) -> Told {
        let key = self.plan[index as usize].key.clone();
        let sight = self.sight(&key);
        self.fold(look, &SeenAt { index, key, sight: Box::new(sight) })
    }

    pub(crate) fn fold(&mut self, look: Look, seen: &SeenAt) -> Told {
        let read = Read {
            looked: self.looked[&self.check].get(&seen.index).cloned(),
            known: self.known.get(&seen.key).cloned(),
            baseline: self.baselines.get(&seen.key).cloned(),
            rollout: self.rollout.clone(),
        };
        let now = self.now;
        let folded = self.checks.get_mut(&self.check).unwrap().fold(look, seen, read, now);
        if let Some(looked) = folded.looked {
            self.looked.get_mut(&self.check).unwrap().insert(seen.index, looked);
        }
        if let Some(baseline) = folded.baseline {
            self.baselines.insert(seen.key.clone(), baseline);
        }
        folded.told
    }

    pub(crate) fn look_all(&mut self) {
        for index in 0..u32::try_from(self.plan.len()).unwrap() {
            self.wait(Span::from_millis(700));
            assert_eq!(self.look(Look::First, index), Told::Changed);
        }
    }

    /// What is to become of the check now; nothing of it is stored.
    pub(crate) fn settled(&self) -> Settled {
        let check = &self.checks[&self.check];
        let looked: Vec<Looked> = self.looked[&self.check].values().cloned().collect();
        let standing: Vec<Standing> = self.standing.values().cloned().collect();
        let wanted = texts_wanted(check, &looked);
        let texts = self.texts.iter().filter(|(digest, _)| wanted.contains(*digest));
        let texts: BTreeMap<String, String> = texts.map(|(digest, text)| (digest.clone(), text.clone())).collect();
        let facts = Facts {
            check,
            plan: &self.plan,
            looked: &looked,
            standing: &standing,
            last: self.last.as_ref(),
            texts: &texts,
        };
        settle(facts, self.now)
    }

    /// Settles the check, and stores what comes of it.
    pub(crate) fn settle(&mut self) -> Settled {
        let settled = self.settled();
        match &settled {
            Settled::Waits(_) | Settled::Ended(_) => {}
            Settled::Confirms { check, .. } | Settled::Overdue { check, .. } => {
                self.checks.insert(check.run.clone(), (**check).clone());
            }
            Settled::Ends(ending) => {
                self.store_targets(ending, usize::MAX);
                self.store_end(ending);
            }
        }
        settled
    }

    /// Stores the conclusions of so many targets, each with what stands of it: a worker may die here.
    pub(crate) fn store_targets(&mut self, ending: &Ending, most: usize) {
        for looked in ending.targets.iter().take(most) {
            self.looked.get_mut(&self.check).unwrap().insert(looked.index, looked.clone());
            let standing = ending.standing.iter().find(|standing| standing.target == looked.key);
            standing.into_iter().for_each(|standing| self.store_standing(standing));
        }
    }

    fn store_standing(&mut self, standing: &Standing) {
        match standing.stands.is_empty() {
            true => self.standing.remove(&standing.target),
            false => self.standing.insert(standing.target.clone(), standing.clone()),
        };
    }

    /// Stores the rest of an end.
    pub(crate) fn store_end(&mut self, ending: &Ending) {
        ending.standing.iter().for_each(|standing| self.store_standing(standing));
        self.checks.insert(ending.check.run.clone(), ending.check.clone());
        self.last = Some(ending.last.clone());
        if let Some(again) = &ending.again {
            let closed = ending.check.closed().unwrap();
            let manifold_core::drift::check::Telling::Again { of } = &closed.telling else { panic!("{closed:?}") };
            let earlier = self.checks.get_mut(of).unwrap();
            let times = earlier.again.as_ref().map_or(0, |again| again.times) + again.times;
            earlier.again = Some(Again { times, ..again.clone() });
        }
    }

    /// The looks that messages ask for.
    pub(crate) fn asked(messages: &[Outgoing], look: Look) -> Vec<ToInspect> {
        let asked = messages.iter().filter_map(|message| {
            let Payload::Drift(Note::Inspect { look: own, targets, .. }) = &message.payload else { return None };
            (*own == look).then(|| targets.clone())
        });
        asked.flatten().collect()
    }

    /// A whole check of what is there now.
    pub(crate) fn run(&mut self) -> Report {
        self.run_with(|_| {})
    }

    /// A whole check; between its two looks something happens.
    pub(crate) fn run_with(&mut self, between: impl FnOnce(&mut Self)) -> Report {
        self.open();
        self.go_on(between);
        self.report()
    }

    /// Looks, looks again at what differs, and ends.
    pub(crate) fn go_on(&mut self, between: impl FnOnce(&mut Self)) {
        self.look_all();
        self.wait(Span::from_seconds(2));
        let mut end = self.settle();
        if let Settled::Confirms { messages, .. } = &end {
            self.wait(Span::from_minutes(2));
            between(self);
            for asked in Self::asked(messages, Look::Second) {
                assert_eq!(self.look(Look::Second, asked.index), Told::Changed);
            }
            self.wait(Span::from_seconds(2));
            end = self.settle();
        }
        assert!(matches!(end, Settled::Ends(_)), "{end:?}");
    }

    /// The report of the check that the story is at.
    pub(crate) fn report(&self) -> Report {
        self.report_of(&self.check)
    }

    pub(crate) fn report_of(&self, check: &RunId) -> Report {
        let looked: Vec<Looked> = self.looked[check].values().cloned().collect();
        Report::of(&self.checks[check], &self.plan, &looked)
    }

    /// How the check ended.
    pub(crate) fn closed(&self) -> &manifold_core::drift::Closed {
        self.checks[&self.check].closed().unwrap()
    }

    /// Somebody accepts what is there.
    pub(crate) fn accept(&mut self, account: &str, region: &str, aspect: Aspect, fingerprint: &str) {
        let key = self.key(account, region);
        let accepted =
            Accepted { fingerprint: fingerprint.to_owned(), by: jane(), at: self.now, why: Some("hotfix".to_owned()) };
        let none = || Baseline { target: key.clone(), accepted: BTreeMap::new() };
        self.baselines.entry(key.clone()).or_insert_with(none).accepted.insert(aspect, accepted);
    }
}

fn looks() -> Looks {
    Looks {
        aspects: BTreeSet::from(Aspect::ALL),
        deploy_stage: None,
        stacks: vec![STACK.to_owned()],
        stuck_after: Span::from_minutes(60 * 24),
        variables: false,
        who: false,
    }
}

/// A release that was rolled out.
pub(crate) fn good(revision: &str, at: Timestamp) -> Good {
    let source = ExecutionRef {
        target: TargetKey { account: "999999999999".parse().unwrap(), region: "eu-west-1".parse().unwrap() },
        id: format!("source-{}", &revision[..8]).parse().unwrap(),
    };
    Good {
        run: RunId::derive(&"web".parse().unwrap(), &source),
        release: Release {
            source,
            pipeline: "web-release".parse().unwrap(),
            revision: Some(Revision {
                id: revision.to_owned(),
                action: "Source".to_owned(),
                message: None,
                url: None,
                author: None,
                repository: None,
                reference: None,
                authored_at: None,
            }),
            trigger: Trigger::default(),
            released_at: at,
            started_at: None,
            stages: Vec::new(),
        },
        fingerprint: revision.to_owned(),
        execution: None,
        pinned: Some(revision.to_owned()),
        at: at.plus(Span::from_minutes(4)),
    }
}
