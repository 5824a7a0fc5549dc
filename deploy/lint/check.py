#!/usr/bin/env python3
"""Checks the CloudFormation templates in deploy/, against themselves and against the code that they install; and the examples.

    python3 -m venv venv && venv/bin/pip install -r deploy/lint/requirements.txt
    venv/bin/python deploy/lint/check.py               # everything
    venv/bin/python deploy/lint/check.py --self-test   # breaks a copy of the templates, once for every check

cfn-lint knows CloudFormation. The rest is what only this project knows: which actions the code calls, which variables
it reads, what a rule must pin, which timings belong together. Every template is rendered twice, with all its conditions
true and with all of them false, and must hold both times.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import yaml

TEMPLATES = ("hub.yaml", "member-account.yaml", "member-region.yaml")

# Statements that may name every resource, or every account, and why: (template, role or policy, Sid) -> reason.
# An entry that is not needed is an error too.
ANY_RESOURCE: dict[tuple[str, str, str], str] = {
    ("hub.yaml", "DispatchRole", "AnswerJobs"): "a job has no ARN",
    ("member-account.yaml", "TargetRole", "SeeAlarms"): "DescribeAlarms tells composite alarms only to whoever may see all",
    ("member-account.yaml", "TargetRole", "StackRoles"): "Fn::Join takes no function as separator; a role is passed within its account only",
    ("member-account.yaml", "TargetRole", "Artifacts"): "Fn::Join takes no function as separator; a bucket has no account in its ARN",
    ("member-account.yaml", "TargetRole", "Summaries"): "GetTemplateSummary of a template takes no resource",
    ("member-account.yaml", "TargetRole", "ArtifactKeys"): "whose key it is the bucket says; only for what S3 decrypts",
    ("member-account.yaml", "TargetRole", "DeploymentTargets"): "these actions take no resource",
    ("member-account.yaml", "TargetRole", "PrepareToRevert"): "Fn::Join takes no function as separator; the account is in the condition",
    ("member-account.yaml", "InspectRole", "Stacks"): "Fn::Join takes no function as separator; the account is in the condition",
    ("member-account.yaml", "InspectRole", "Detections"): "neither a detection nor a type's configuration is a stack's",
    ("member-account.yaml", "InspectRole", "WhoDidIt"): "LookupEvents takes no resource",
}

# The same for deploy/examples: (template, role, policy or bucket, Sid) -> reason.
EXAMPLES_ANY_RESOURCE: dict[tuple[str, str, str], str] = {
    ("artifacts.yaml", "Key", "ThisAccount"): "a key's policy is about that key",
    ("artifacts.yaml", "Key", "TargetsRead"): "a key's policy is about that key",
    ("ansible-ec2/target.yaml", "BuildRole", "Login"): "GetAuthorizationToken takes no resource",
    ("ansible-ec2/target.yaml", "BuildRole", "SeeNetworkAndHosts"): "EC2's Describe calls take no resource",
    ("serverless/target.yaml", "StackRole", "SeeLogGroups"): "DescribeLogGroups takes no resource",
    ("container/release.yaml", "ImageRole", "Login"): "GetAuthorizationToken takes no resource",
    ("container/release.yaml", "ScanRole", "EnhancedFindings"): "ListCoverage and ListFindings take no resource",
    ("container/target.yaml", "ExecutionRole", "Login"): "GetAuthorizationToken takes no resource",
    ("container/target.yaml", "DeployRole", "NewTasks"): "CreateTaskSet takes no resource; the service is in the condition",
    ("container/target.yaml", "DeployRole", "SeeLoadBalancer"): "Elastic Load Balancing's Describe calls take no resource",
}
# The statements of deploy/examples that allow all actions of a service, and why.
EXAMPLES_ANY_ACTION: dict[tuple[str, str, str], str] = {
    ("artifacts.yaml", "Key", "ThisAccount"): "without it nobody could change the key any more",
}

# What no role may do, whatever the code calls: to carry out what was only prepared, and to hand a role on.
NEVER = {
    "cloudformation:ExecuteChangeSet",
    "cloudformation:CreateStack",
    "cloudformation:UpdateStack",
    "cloudformation:RollbackStack",
    "cloudformation:DeleteStack",
    "iam:PassRole",
}
# But what the engine of CloudFormation is for, in one statement each: (template, role, Sid) -> the action, its condition.
UNLESS = {
    ("member-account.yaml", "TargetRole", "ChangeSets"): ("cloudformation:ExecuteChangeSet", None),
    ("member-account.yaml", "TargetRole", "StackRoles"): (
        "iam:PassRole",
        {"StringEquals": {"iam:PassedToService": "cloudformation.amazonaws.com"}},
    ),
}

# What AWS demands of the calls that the adapters make: file in shared/aws/src -> method of the SDK -> actions.
CALLS = {
    "ledger.rs": {
        "get_item": {"dynamodb:GetItem"},
        "batch_get_item": {"dynamodb:BatchGetItem"},
        "put_item": {"dynamodb:PutItem"},
        # Not an action of its own; Manifold's transactions hold puts only.
        "transact_write_items": {"dynamodb:PutItem"},
        "query": {"dynamodb:Query"},
    },
    "open_runs.rs": {
        "query": {"dynamodb:Query"},
        "delete_item": {"dynamodb:DeleteItem"},
    },
    "pace.rs": {"update_item": {"dynamodb:UpdateItem"}},
    # "Setting permissions for SendMessage sets permissions for the corresponding batch version" (SQS, batch actions).
    "queues.rs": {"send_message_batch": {"sqs:SendMessage"}},
    "credentials.rs": {"assume_role": {"sts:AssumeRole"}},
    "releases.rs": {
        "get_pipeline_execution": {"codepipeline:GetPipelineExecution"},
        "list_action_executions": {"codepipeline:ListActionExecutions"},
    },
    "jobs.rs": {
        "put_job_success_result": {"codepipeline:PutJobSuccessResult"},
        "put_job_failure_result": {"codepipeline:PutJobFailureResult"},
    },
    "secrets.rs": {
        "get_secret_value": {"secretsmanager:GetSecretValue", "kms:Decrypt"},
        "get_parameter": {"ssm:GetParameter", "kms:Decrypt"},
    },
    # With the credentials of a target's role.
    "engine.rs": {"describe_alarms": {"cloudwatch:DescribeAlarms"}},
    "engine/codepipeline.rs": {
        "start_pipeline_execution": {"codepipeline:StartPipelineExecution"},
        "stop_pipeline_execution": {"codepipeline:StopPipelineExecution"},
        "list_pipeline_executions": {"codepipeline:ListPipelineExecutions"},
        "list_action_executions": {"codepipeline:ListActionExecutions"},
    },
    # With the same role, where DriftRevert lets it.
    "engine/revert.rs": {
        "describe_stacks": {"cloudformation:DescribeStacks"},
        "create_change_set": {"cloudformation:CreateChangeSet"},
        "describe_change_set": {"cloudformation:DescribeChangeSet"},
    },
    "inspect.rs": {
        "describe_event_bus": {"events:DescribeEventBus"},
        "get_pipeline": {"codepipeline:GetPipeline"},
    },
    # With the credentials of a member account's read-only role.
    "inspect/member.rs": {
        "get_pipeline": {"codepipeline:GetPipeline"},
        "batch_get_projects": {"codebuild:BatchGetProjects"},
        "describe_stacks": {"cloudformation:DescribeStacks"},
        "get_deployment_group": {"codedeploy:GetDeploymentGroup"},
        "list_tags_for_resource": {"codepipeline:ListTagsForResource"},
        "describe_rule": {"events:DescribeRule"},
        "list_targets_by_rule": {"events:ListTargetsByRule"},
        "simulate_principal_policy": {"iam:SimulatePrincipalPolicy"},
    },
    # With the same role, in drift checks.
    "watch/definition.rs": {"get_pipeline": {"codepipeline:GetPipeline"}},
    "watch/pipeline.rs": {
        "get_pipeline_state": {"codepipeline:GetPipelineState"},
        "get_pipeline_execution": {"codepipeline:GetPipelineExecution"},
        "list_pipeline_executions": {"codepipeline:ListPipelineExecutions"},
    },
    "watch/build.rs": {
        "batch_get_projects": {"codebuild:BatchGetProjects"},
        "list_builds_for_project": {"codebuild:ListBuildsForProject"},
        "batch_get_builds": {"codebuild:BatchGetBuilds"},
    },
    "watch/operation.rs": {
        "get_template": {"cloudformation:GetTemplate"},
        "describe_stack_events": {"cloudformation:DescribeStackEvents"},
    },
    "watch/group.rs": {
        "get_deployment_group": {"codedeploy:GetDeploymentGroup"},
        "list_deployments": {"codedeploy:ListDeployments"},
        "batch_get_deployments": {"codedeploy:BatchGetDeployments"},
    },
    # A detection is done with the rights of whoever starts it ("Detect unmanaged configuration changes to stacks and
    # resources", CloudFormation User Guide).
    "watch/stack.rs": {
        "detect_stack_drift": {
            "cloudformation:DetectStackDrift",
            "cloudformation:DetectStackResourceDrift",
            "cloudformation:BatchDescribeTypeConfigurations",
        },
        "describe_stack_drift_detection_status": {"cloudformation:DescribeStackDriftDetectionStatus"},
        "describe_stack_resource_drifts": {"cloudformation:DescribeStackResourceDrifts"},
        "list_stack_resources": {"cloudformation:ListStackResources"},
    },
    "watch/trail.rs": {"lookup_events": {"cloudtrail:LookupEvents"}},
}
# What the engines call besides, in whichever file under engine/, with the credentials of a target's role: the service, and
# the parameter that names what is started -> method of the SDK -> actions.
ENGINES = {
    ("codebuild", "TargetProjects"): {
        "start_build": {"codebuild:StartBuild"},
        "stop_build": {"codebuild:StopBuild"},
        "batch_get_builds": {"codebuild:BatchGetBuilds"},
        "list_builds_for_project": {"codebuild:ListBuildsForProject"},
    },
    ("cloudformation", "TargetStacks"): {
        # The template is fetched, and the role is passed, with the rights of whoever makes the change set.
        "create_change_set": {"cloudformation:CreateChangeSet", "s3:GetObject", "iam:PassRole"},
        "describe_change_set": {"cloudformation:DescribeChangeSet"},
        "delete_change_set": {"cloudformation:DeleteChangeSet"},
        "execute_change_set": {"cloudformation:ExecuteChangeSet"},
        "describe_stacks": {"cloudformation:DescribeStacks"},
        "describe_stack_events": {"cloudformation:DescribeStackEvents"},
        "cancel_update_stack": {"cloudformation:CancelUpdateStack"},
        "get_template_summary": {"cloudformation:GetTemplateSummary"},
        # And the key that the object is encrypted with, where it is the bucket owner's own.
        "get_object": {"s3:GetObject", "kms:Decrypt"},
    },
    ("codedeploy", "TargetDeploymentGroups"): {
        # "CodeDeploy permissions reference" (CodeDeploy User Guide).
        "create_deployment": {
            "codedeploy:CreateDeployment",
            "codedeploy:GetDeploymentConfig",
            "codedeploy:GetApplicationRevision",
            "codedeploy:RegisterApplicationRevision",
        },
        "list_deployments": {"codedeploy:ListDeployments"},
        "get_deployment": {"codedeploy:GetDeployment"},
        "batch_get_deployments": {"codedeploy:BatchGetDeployments"},
        "stop_deployment": {"codedeploy:StopDeployment"},
        "list_deployment_targets": {"codedeploy:ListDeploymentTargets"},
        "batch_get_deployment_targets": {"codedeploy:BatchGetDeploymentTargets"},
    },
}
# The resource that the statements of an engine are about: (role, Sid) -> ARN, after partition, service, Region and account.
# A parameter that has no default stands for any name.
SUBJECTS = {
    ("TargetRole", "StartAndFollow"): "<TargetPipelines>",
    ("TargetRole", "Builds"): "project/<TargetProjects>",
    ("TargetRole", "ChangeSets"): "stack/<TargetStacks>/*",
    ("TargetRole", "Deployments"): "deploymentgroup:<TargetDeploymentGroups>",
    ("TargetRole", "DeploymentConfigs"): "deploymentconfig:*",
    ("TargetRole", "Revisions"): "application:<TargetDeploymentGroups>",
    ("TargetRole", "StackRoles"): "role/<StackRoles>",
    ("TargetRole", "Artifacts"): "<ArtifactBuckets>/*",
    ("InspectRole", "Pipelines"): "<TargetPipelines>",
    ("InspectRole", "Projects"): "project/<TargetProjects>",
    ("InspectRole", "TargetStacks"): "stack/<TargetStacks>/*",
    ("InspectRole", "DeploymentGroups"): "deploymentgroup:<TargetDeploymentGroups>",
}
SUBJECTS_OF = {role: {sid for each, sid in SUBJECTS if each == role} for role, _ in SUBJECTS}
# The files of the looks that the read-only role always allows, and those that are asked for: with TargetPipelines,
# TargetProjects, TargetStacks, TargetDeploymentGroups, with DriftStacks, and with DriftCloudTrail.
LOOKS = ("inspect/member.rs",)
ENGINE_LOOKS = ("watch/definition.rs", "watch/pipeline.rs", "watch/build.rs", "watch/operation.rs", "watch/group.rs")
STACK_LOOKS, TRAIL_LOOKS = "watch/stack.rs", "watch/trail.rs"
# What looks although its name does not begin like it: nothing of the stack is changed.
HARMLESS = {
    "cloudformation:DetectStackDrift",
    "cloudformation:DetectStackResourceDrift",
    "cloudformation:BatchDescribeTypeConfigurations",
}
# Who may write what of the ledger, where it is not all: role -> the operator and the keys of its condition. A key is a word
# of the code, found by this pattern in ledger.rs, and what follows it.
PARTITIONS = {
    "SweepRole": ("StringEquals", r'pub const OPEN: &str = "(\w+)"', ""),
    "InspectFunctionRole": ("StringLike", r'Self::Definition\(\w+, _\) => format!\("(\w+#)\{', "*"),
}

# The services whose events are taken in. Nobody but AWS can put an event whose source begins with `aws.`.
SOURCES = {"aws.codepipeline", "aws.codebuild", "aws.cloudformation", "aws.codedeploy"}
# The rule and the recorded events that it must match, and those that it must not: names in shared/core/tests/events.
# A rule with the prefix `forward-` is the same one in a member's Region.
EVENTS = {
    "pipeline": (
        ["codepipeline/pipeline_started_api", "codepipeline/pipeline_failed", "codepipeline/pipeline_unknown_future_state"],
        ["codepipeline/stage_failed", "codepipeline/action_failed_codedeploy", "cloudformation/drift_complete_drifted"],
    ),
    "failed-action": (
        ["codepipeline/action_failed_codedeploy", "codepipeline/action_failed_commands_no_url"],
        ["codepipeline/action_started", "codepipeline/pipeline_failed"],
    ),
    "build": (
        [
            "codebuild/build_state_in_progress",
            "codebuild/build_state_succeeded",
            "codebuild/build_state_failed",
            "codebuild/build_state_stopped",
        ],
        ["codebuild/build_phase_change_build_failed", "codepipeline/pipeline_failed"],
    ),
    "stack": (
        [
            "cloudformation/stack_create_complete",
            "cloudformation/stack_update_in_progress",
            "cloudformation/stack_update_complete_cleanup",
            "cloudformation/stack_update_rollback_complete",
        ],
        ["cloudformation/resource_update_failed", "cloudformation/stackset_status_active", "cloudformation/drift_complete_drifted"],
    ),
    "failed-resource": (
        ["cloudformation/resource_update_failed"],
        ["cloudformation/stack_update_rollback_complete", "cloudformation/stackset_operation_failed"],
    ),
    "deployment": (
        [
            "codedeploy/deployment_start",
            "codedeploy/deployment_queued",
            "codedeploy/deployment_success",
            "codedeploy/deployment_failure",
            "codedeploy/deployment_stop",
        ],
        ["codedeploy/instance_success", "codebuild/build_state_failed"],
    ),
    "drift": (
        [
            "cloudformation/drift_complete_drifted",
            "cloudformation/drift_complete_in_sync",
            "cloudformation/drift_failed_unknown",
        ],
        ["cloudformation/drift_in_progress", "codepipeline/pipeline_failed"],
    ),
    "release": (["codepipeline/pipeline_succeeded"], ["codepipeline/pipeline_failed", "codepipeline/pipeline_started_api"]),
    "release-elsewhere": (["codepipeline/pipeline_succeeded"], ["codepipeline/pipeline_failed"]),
}
# What Scheduler puts in for the keys of a tick ("Adding context attributes", EventBridge Scheduler User Guide).
TICK = {
    "scheduleArn": "<aws.scheduler.schedule-arn>",
    "scheduledTime": "<aws.scheduler.scheduled-time>",
    "executionId": "<aws.scheduler.execution-id>",
    "attempt": "<aws.scheduler.attempt-number>",
}
# What a function's main.rs names -> the adapter that it stands for.
ADAPTERS = {
    "DynamoLedger": "ledger.rs",
    "DynamoOpenRuns": "open_runs.rs",
    "DynamoPaces": "pace.rs",
    "SqsQueues": "queues.rs",
    "Assumer": "credentials.rs",
    "CodePipelineReleases": "releases.rs",
    "Secrets": "secrets.rs",
    "Inspector": "inspect.rs",
}
# What an adapter does besides, in a file of its own -> its calls.
EXTENDED = {"CodePipelineReleases": CALLS["jobs.rs"]}
# What Lambda itself does in the function's name: the runtime logs, and the mapping receives, where there is one.
LOGS = {"logs:CreateLogStream", "logs:PutLogEvents"}
RECEIVES = {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"}

# The functions that a schedule invokes, and no queue; and those that one sends to.
SCHEDULED = {"sweep"}
TICKED = {"dispatch"}

# What CloudFormation takes in a request, which is how members install theirs by hand or by StackSet, and what it takes
# from S3 (1 MB; some of it is left free), where the hub's goes.
MAX_TEMPLATE = {"hub.yaml": 1_000_000}
MAX_INLINE = 51_200


# == Reading and rendering ==


class Loader(yaml.SafeLoader):
    """YAML with CloudFormation's tags, in their long form."""


def _tag(loader, suffix, node):
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    if suffix in ("Ref", "Condition"):
        return {suffix: value}
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {f"Fn::{suffix}": value}


Loader.add_multi_constructor("!", _tag)

GONE = object()  # AWS::NoValue
PSEUDO = {
    "AWS::Partition": "aws-x",
    "AWS::Region": "xx-test-1",
    "AWS::AccountId": "111122223333",
    "AWS::URLSuffix": "amazonaws.test",
    "AWS::StackName": "stack",
    "AWS::NoValue": GONE,
}


class Template:
    """One template, rendered with all conditions true, or all false. `@Queue.Arn` stands for a resource's attribute."""

    def __init__(self, path: Path, conditions: bool):
        self.name = str(path).rpartition("deploy/examples/")[2] if "deploy/examples/" in str(path) else path.name
        self.path = path
        self.text = path.read_text()
        self.body = yaml.load(self.text, Loader)
        self.parameters = self.body.get("Parameters", {})
        self._conditions = conditions
        self.resources = {}
        for logical, resource in self.body["Resources"].items():
            if "Condition" not in resource or conditions:
                self.resources[logical] = self._render(resource)

    def _parameter(self, name):
        spec = self.parameters[name]
        default = spec.get("Default")
        value = str(default) if default not in (None, "") else f"<{name}>"
        if spec["Type"] == "CommaDelimitedList":
            return value.split(",")
        return int(value) if spec["Type"] == "Number" else value

    def _ref(self, name):
        if name in PSEUDO:
            return PSEUDO[name]
        return self._parameter(name) if name in self.parameters else f"@{name}"

    def _sub(self, text):
        def value(match):
            name = match.group(1)
            return f"@{name}" if "." in name else str(self._ref(name))

        return re.sub(r"\$\{([A-Za-z0-9:.]+)\}", value, text)

    def _render(self, node):
        if isinstance(node, list):
            return [done for done in map(self._render, node) if done is not GONE]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            (key, value), = node.items()
            if key == "Ref":
                return self._ref(value)
            if key == "Fn::GetAtt":
                return "@" + ".".join(value)
            if key == "Fn::Sub":
                text, given = value if isinstance(value, list) else (value, {})
                for name, part in given.items():
                    text = text.replace(f"${{{name}}}", str(self._render(part)))
                return self._sub(text)
            if key == "Fn::Join":
                return value[0].join(self._render(value[1]))
            if key == "Fn::Split":
                return self._render(value[1]).split(value[0])
            if key == "Fn::Select":
                # A parameter without a default stands for all of its parts.
                parts = self._render(value[1])
                return parts[min(int(value[0]), len(parts) - 1)]
            if key == "Fn::If":
                return self._render(value[1] if self._conditions else value[2])
            if key.startswith("Fn::"):
                raise SystemExit(f"{self.name}: {key} is not known to this check")
        done = {key: self._render(value) for key, value in node.items()}
        return {key: value for key, value in done.items() if value is not GONE}

    def of(self, kind):
        """The resources of a type: logical id and properties."""
        for logical, resource in self.resources.items():
            if resource["Type"] == kind:
                yield logical, resource["Properties"]

    def statements(self):
        """All IAM statements: where, whether it is the trust policy of a role, and the statement."""

        def find(node, path):
            if isinstance(node, dict):
                if "Statement" in node:
                    for statement in node["Statement"]:
                        yield path, statement
                for key, value in node.items():
                    yield from find(value, (*path, key))
            elif isinstance(node, list):
                for value in node:
                    yield from find(value, path)

        for logical, resource in self.resources.items():
            for path, statement in find(resource["Properties"], ()):
                yield logical, "AssumeRolePolicyDocument" in path, statement


def listed(value):
    return value if isinstance(value, list) else [] if value is None else [value]


def condition_keys(statement):
    return {key for block in statement.get("Condition", {}).values() for key in block}


# == The code ==


def rust(path: Path):
    """A source file without its tests and comments."""
    text = path.read_text().split("#[cfg(test)]")[0]
    return re.sub(r"^\s*//.*$", "", text, flags=re.M)


class Code:
    """What the code reads and calls, from its sources."""

    def __init__(self, root: Path):
        self.root = root
        self.aws = root / "shared/aws/src"
        env = rust(self.aws / "env.rs")
        found = re.findall(r'const (\w+): Variable\s*=\s*Variable\s*\{\s*name: "(\w+)",\s*holds:\s*"([^"]*)"', env)
        self.variables = {const: name for const, name, holds in found if "set by Lambda" not in holds}
        if len(found) != int(re.search(r"const ALL: \[Variable; (\d+)\]", env).group(1)):
            raise SystemExit("env.rs: not all variables were understood")
        self.messages = rust(root / "shared/core/src/message.rs")
        self.functions = {path.parent.parent.name: rust(path) for path in root.glob("functions/*/src/main.rs")}

    def calls(self, adapter):
        """The SDK's methods that an adapter calls."""
        text = rust(self.aws / adapter)
        clients = "client|secrets_manager|ssm|s3|codepipeline|codebuild|codedeploy|events|iam|cloudformation|cloudtrail"
        found = set(re.findall(rf"\b(?:{clients}|self\s*\.\s*0)\s*\.\s*([a-z_]+)\(\)", text))
        # A list of events is called like the client.
        return found - {"clone", "iter", "lock", "unwrap_or_default"}

    def unlisted(self):
        """The files that call AWS and are not in the list above, with what they call."""
        for path in sorted(self.aws.glob("**/*.rs")):
            adapter = str(path.relative_to(self.aws))
            if adapter not in CALLS and self.calls(adapter):
                yield adapter, self.calls(adapter) - self.engine_calls(adapter)

    def engine_calls(self, adapter):
        """What a file that belongs to an engine may call."""
        return set().union(*ENGINES.values()) if adapter.startswith("engine/") else set()

    def session(self, file):
        """The actions in the session policies of a file."""
        services = "codepipeline|codebuild|codedeploy|cloudwatch|cloudformation|s3|iam|kms"
        # What is left out of all else is not allowed.
        text = re.sub(r"let not = \[.*?\]", "", rust(self.aws / file), flags=re.S)
        # These two are keys of conditions.
        return set(re.findall(rf'"((?:{services}):[A-Z]\w+)"', text)) - {"iam:PassedToService", "kms:ViaService"}

    def handler(self, function):
        """What a function does: its sources without the wiring."""
        files = sorted((self.root / f"functions/{function}/src").glob("*.rs"))
        return "\n".join(rust(path) for path in files if path.name != "main.rs")

    def reads_queue(self, function):
        """Whether a function takes batches of messages."""
        return "decode_batch" in self.handler(function)

    def queues(self, function):
        """The queues that a function sends to."""
        wired = re.search(r"SqsQueues::from_env\((.*?)\)\?", self.functions[function], re.S)
        named = re.findall(r"Queue::(\w+)", wired.group(1)) if wired else []
        if named == ["ALL"]:
            named = re.findall(r"Self::(\w+)", re.search(r"const ALL: \[Self; \d+\] = \[(.*?)\]", self.messages, re.S)[1])
        return {name.lower() for name in named}

    def environment(self, function):
        """The variables that a function reads."""
        text = self.functions[function]
        used = {const for const in re.findall(r"env::([A-Z_]+)\b", text)}
        used |= {f"{queue.upper()}_QUEUE_URL" for queue in self.queues(function)}
        used |= {"FLEET"} if "env::fleet_path" in text else set()
        used |= {"SLACK_URL"} if "SlackClient::from_env" in text else set()
        used |= {"LOG"} if "lambda::serve" in text else set()
        return {self.variables[const] for const in used}

    def actions(self, function):
        """The actions that a function's role needs."""
        text = self.functions[function]
        handler = self.handler(function)
        needed = LOGS | RECEIVES if self.reads_queue(function) else set(LOGS)
        for name, adapter in ADAPTERS.items():
            if re.search(rf"\b{name}::", text):
                for method, actions in (CALLS[adapter] | EXTENDED.get(name, {})).items():
                    # The one read that not every function with a ledger makes.
                    if (adapter, method) != ("ledger.rs", "query") or re.search(r"\.(?:targets|list)\(", handler):
                        needed |= actions
        return needed

    def metrics(self):
        """The names of the metrics that the code writes: the functions' own counters, and the figures of apps."""
        counters = {name for name in self.functions for name in re.findall(r'metric\("\w+", "(\w+)"', self.handler(name))}
        measures = rust(self.root / "shared/core/src/figures.rs")
        names = set(re.findall(r'Self::\w+ => "(\w+)"', re.search(r"impl Measure \{(.*?)^\}", measures, re.S | re.M)[1]))
        if len(names) != int(re.search(r"const ALL: \[Self; (\d+)\]", measures)[1]):
            raise SystemExit("figures.rs: not all measures were understood")
        return counters, names

    def number(self, path, pattern):
        found = re.search(pattern, rust(self.root / path))
        if not found:
            raise SystemExit(f"{path}: {pattern} is not found")
        return int(found.group(1))


# == The checks ==


@dataclass
class Context:
    root: Path
    code: Code
    templates: list
    examples: list
    allowed: set = field(default_factory=set)

    def hub(self):
        return [template for template in self.templates if template.name == "hub.yaml"]

    def all(self):
        return self.templates + self.examples

    def files(self):
        """The examples' templates, by the paths in deploy/examples."""
        return sorted({template.name for template in self.examples})


CHECKS = []


def check(function):
    CHECKS.append(function)
    return function


@check
def cfn_lint(context):
    """CloudFormation would take the templates."""
    run = "import sys; from cfnlint.runner import main; sys.exit(main())"
    files = [str(context.root / "deploy" / name) for name in TEMPLATES]
    files += [str(context.root / "deploy/examples" / name) for name in context.files()]
    done = subprocess.run([sys.executable, "-c", run, "--", *files], capture_output=True, text=True, check=False)
    if done.returncode:
        yield done.stdout.strip() or done.stderr.strip()


@check
def installable(context):
    """Every template goes in as it is: small, without macros and imports, in any partition."""
    for template in context.all():
        most = MAX_TEMPLATE.get(template.name, MAX_INLINE)
        if len(template.text.encode()) > most:
            yield f"{template.name} has more than {most} bytes, which CloudFormation does not take"
        if "Transform" in template.body:
            yield f"{template.name} uses a macro, which service-managed StackSets refuse"
        if "Fn::ImportValue" in str(template.body) or "'Export'" in str(template.body):
            yield f"{template.name} imports or exports values, which do not cross accounts"
        for line, text in enumerate(template.text.splitlines(), 1):
            if re.search(r"arn:aws[:-]", text.split("#")[0]):
                yield f"{template.name}:{line} names a partition: use AWS::Partition"


@check
def parameters(context):
    """Every parameter is explained and has its place in the console."""
    for template in context.all():
        groups = template.body["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
        shown = [name for group in groups for name in group["Parameters"]]
        for name, spec in template.parameters.items():
            if not spec.get("Description", "").strip():
                yield f"{template.name}: parameter {name} has no description"
            if shown.count(name) != 1:
                yield f"{template.name}: parameter {name} is in {shown.count(name)} groups of the interface, not in one"
        for name in set(shown) - set(template.parameters):
            yield f"{template.name}: the interface shows {name}, which is no parameter"


@check
def iam_actions(context):
    """Every action is spelled out."""
    for template in context.templates:
        for logical, _, statement in template.statements():
            where = f"{template.name}: {logical} ({statement.get('Sid', 'no Sid')})"
            exempt = UNLESS.get((template.name, logical, statement.get("Sid", "")))
            for action in listed(statement.get("Action")):
                never = action in NEVER and (action, statement.get("Condition")) != exempt
                if "*" in action or "?" in action or never:
                    yield f"{where} allows {action}"
            for key in ("NotAction", "NotResource", "NotPrincipal"):
                if key in statement:
                    yield f"{where} uses {key}, which allows what it does not name"
        for logical, role in template.of("AWS::IAM::Role"):
            # What reads the resources of stacks is for the operator to say, and nobody is given it otherwise.
            given = role.get("ManagedPolicyArns", [])
            asked = template.name == "member-account.yaml" and given == template._ref("DriftReadPolicyArns")
            if given and not asked or (given and not template._conditions):
                yield f"{template.name}: {logical} takes policies that are written elsewhere"


@check
def iam_resources(context):
    """Every statement names its resources; other accounts' only when a condition names the accounts."""
    for template in context.templates:
        for logical, is_trust, statement in template.statements():
            if is_trust:
                continue
            place = (template.name, logical, statement.get("Sid", ""))
            for resource in listed(statement.get("Resource")):
                parts = resource.split(":", 5)
                is_any = resource == "*" or (len(parts) == 6 and (parts[5] == "*" or "*" in (parts[1], parts[2])))
                is_foreign = len(parts) == 6 and parts[4] == "*" and "aws:ResourceAccount" not in condition_keys(statement)
                if not (is_any or is_foreign):
                    continue
                if place in ANY_RESOURCE:
                    context.allowed.add(place)
                else:
                    yield f"{template.name}: {logical} ({place[2] or 'no Sid'}) allows {resource}"
    for place in set(ANY_RESOURCE) - context.allowed:
        yield f"the allow-list names {place}, which does not need it"


@check
def iam_principals(context):
    """Nobody is let in without being named, and no service on behalf of somebody else."""
    for template in context.all():
        for logical, _, statement in template.statements():
            if statement["Effect"] == "Deny":
                continue
            where = f"{template.name}: {logical} ({statement.get('Sid', 'no Sid')})"
            principal = statement.get("Principal")
            if principal == "*" or (isinstance(principal, dict) and "*" in sum(map(listed, principal.values()), [])):
                yield f"{where} lets anybody in"
            services = listed(principal.get("Service")) if isinstance(principal, dict) else []
            # Lambda assumes a function's role for that function only: whoever set it up had to pass the role. So it is with
            # CloudFormation and a stack's role.
            for service in set(services) - {"lambda.amazonaws.com", "cloudformation.amazonaws.com"}:
                if not condition_keys(statement) & {"aws:SourceArn", "aws:SourceAccount"}:
                    yield f"{where} trusts {service} without saying on whose behalf"
        for logical, role in template.of("AWS::IAM::Role"):
            for statement in role["AssumeRolePolicyDocument"]["Statement"]:
                if "AWS" not in statement["Principal"]:
                    continue
                for key in {"sts:ExternalId", "sts:RoleSessionName"} - condition_keys(statement):
                    yield f"{template.name}: {logical} is assumed from another account without a condition on {key}"


@check
def adapters(context):
    """The list of calls above is what the adapters call."""
    for adapter, known in CALLS.items():
        called = context.code.calls(adapter)
        for method in called - set(known):
            yield f"{adapter} calls {method}: which actions does that need?"
        for method in set(known) - called:
            yield f"{adapter} does not call {method} any more"
    for adapter, called in context.code.unlisted():
        for method in called:
            yield f"{adapter} calls {method}: which actions does that need?"


@check
def function_roles(context):
    """Every function has a role of its own, which allows what its code calls and nothing else."""
    for template in context.hub():
        roles = dict(template.of("AWS::IAM::Role"))
        owners = {}
        for logical, function in template.of("AWS::Lambda::Function"):
            name = directory(template, function)
            role = function["Role"].removeprefix("@").removesuffix(".Arn")
            if role in owners:
                yield f"{logical} shares {role} with {owners[role]}"
            owners[role] = logical
            if role not in roles or name not in context.code.functions:
                yield f"{logical}: its role or its code is not found"
                continue
            statements = [each for policy in roles[role]["Policies"] for each in policy["PolicyDocument"]["Statement"]]
            allowed = {action for each in statements for action in listed(each["Action"])}
            needed = context.code.actions(name)
            if template._conditions:
                for action in needed - allowed:
                    yield f"{role} lacks {action}, which {name} calls"
            for action in allowed - needed:
                yield f"{role} allows {action}, which {name} does not call"
            sends, receives = (
                {
                    resource
                    for each in statements
                    if action in listed(each["Action"])
                    for resource in listed(each["Resource"])
                }
                for action in ("sqs:SendMessage", "sqs:ReceiveMessage")
            )
            own = {f"@{queues_by_function(template)[name]}.Arn"} if name in queues_by_function(template) else set()
            if receives != own:
                yield f"{role} may receive from {sorted(receives)}, and {name} reads {sorted(own)}"
            expected = {f"@{queue}.Arn" for queue in map(queues_by_function(template).get, context.code.queues(name))}
            if sends != expected:
                yield f"{role} may send to {sorted(sends)}, and {name} sends to {sorted(expected)}"
        installed = {directory(template, each) for _, each in template.of("AWS::Lambda::Function")}
        # respond is only there with a signing secret.
        for name in set(context.code.functions) - installed if template._conditions else ():
            yield f"functions/{name} is not installed"


@check
def ledger_writes(context):
    """The sweep and inspect decide nothing: of the ledger each writes a partition of its own, and only the sweep deletes."""
    text = rust(context.code.root / "shared/core/src/ledger.rs")
    expected = {}
    for role, (operator, pattern, rest) in PARTITIONS.items():
        found = re.search(pattern, text)
        if not found:
            yield f"the partition that {role} may write is not found in ledger.rs"
            return
        expected[role] = {f"ForAllValues:{operator}": {"dynamodb:LeadingKeys": [found[1] + rest]}}
    writes = {"dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"}
    for template in context.hub():
        for logical, role in template.of("AWS::IAM::Role"):
            statements = [each for policy in role["Policies"] for each in policy["PolicyDocument"]["Statement"]]
            for each in statements:
                bounded = writes if logical in PARTITIONS else {"dynamodb:DeleteItem"}
                found = bounded & set(listed(each["Action"]))
                if found and each.get("Condition") != expected.get(logical, expected["SweepRole"]):
                    yield f"{logical} may {sorted(found)} more of the ledger than is its own"


@check
def target_role(context):
    """The target role allows what the engines call, each where its targets are named, and with DriftRevert also what prepares change sets; sessions allow no more."""
    always = CALLS["engine.rs"]["describe_alarms"]
    pipelines = set().union(*CALLS["engine/codepipeline.rs"].values())
    engines = always | pipelines | {action for calls in ENGINES.values() for actions in calls.values() for action in actions}
    reverts = set().union(*CALLS["engine/revert.rs"].values())
    for file, needed in (("credentials.rs", always | reverts), ("credentials/rollout.rs", engines - always)):
        session = context.code.session(file)
        for action in session - needed:
            yield f"a session policy in {file} allows {action}, which is not called"
        for action in needed - session:
            yield f"a session policy in {file} lacks {action}"
    for template in context.templates:
        if template.name == "member-account.yaml":
            allowed = allows(template, "TargetRole")
            expected = engines | reverts if template._conditions else always
            if allowed != expected:
                yield f"TargetRole allows {sorted(allowed)}, and needs {sorted(expected)}"
            yield from stacks_only(template, "TargetRole", reverts, "PrepareToRevert")
            yield from subjects_only(template, "TargetRole")


@check
def read_only_role(context):
    """The read-only role allows what is looked at, can change nothing, and trusts the function that looks."""
    looks = set().union(*(actions for looks in LOOKS for actions in CALLS[looks].values()))
    engines = set().union(*(actions for looks in ENGINE_LOOKS for actions in CALLS[looks].values()))
    # What is said of pipelines, projects, stacks and groups themselves is allowed where there are some.
    always = {action for action in looks if action.split(":")[0] in ("events", "iam")}
    stacks = set().union(*CALLS[STACK_LOOKS].values())
    asked = stacks.union(*CALLS[TRAIL_LOOKS].values())
    for template in context.templates:
        if template.name != "member-account.yaml":
            continue
        allowed = allows(template, "InspectRole")
        expected = looks | engines | asked if template._conditions else always
        if allowed != expected:
            yield f"InspectRole allows {sorted(allowed)}, and looks need {sorted(expected)}"
        for action in allowed - HARMLESS:
            if not re.match(r"\w+:(Get|List|Describe|Simulate|Lookup|BatchGet)", action):
                yield f"InspectRole allows {action}, which is no look"
        yield from stacks_only(template, "InspectRole", stacks, "Stacks")
        yield from subjects_only(template, "InspectRole")
        role = dict(template.of("AWS::IAM::Role"))["InspectRole"]
        trusted = [each["Principal"].get("AWS") for each in role["AssumeRolePolicyDocument"]["Statement"]]
        if trusted != ["<HubInspectRoleArn>"]:
            yield f"InspectRole trusts {trusted}"


def allows(template, role):
    """The actions that a role allows."""
    policies = dict(template.of("AWS::IAM::Role"))[role]["Policies"]
    return {
        action
        for policy in policies
        for each in policy["PolicyDocument"]["Statement"]
        for action in listed(each["Action"])
    }


def policies_of(template, role):
    """The statements of a role's policies."""
    for policy in dict(template.of("AWS::IAM::Role"))[role]["Policies"]:
        yield from policy["PolicyDocument"]["Statement"]


def stacks_only(template, role, actions, sid):
    """What is about stacks that are checked is about those that DriftStacks names, of this account; but for what takes no resource."""
    free = {"cloudformation:DescribeStackDriftDetectionStatus", "cloudformation:BatchDescribeTypeConfigurations"}
    expected = [f"arn:*:cloudformation:*:*:stack/{name}/*" for name in template._ref("DriftStacks")]
    account = {"StringEqualsIfExists": {"aws:ResourceAccount": PSEUDO["AWS::AccountId"]}}
    for each in policies_of(template, role):
        if (role, each["Sid"]) in SUBJECTS or each["Sid"] == "Transforms":
            continue
        about = (set(listed(each["Action"])) & actions) - free
        if each["Sid"] == sid and set(listed(each["Action"])) - actions:
            yield f"{role} may do more with stacks that are checked than is called: {each['Action']}"
        if about and (each["Sid"] != sid or listed(each["Resource"]) != expected or each.get("Condition") != account):
            yield f"{role} may {sorted(about)} on other stacks than those in DriftStacks"


def subjects_only(template, role):
    """What is about pipelines, projects, stacks and deployment groups is about those that the parameters name, of this account."""
    services = ("codepipeline:", "codebuild:", "cloudformation:", "codedeploy:", "iam:Pass", "s3:")
    transforms = f"arn:{PSEUDO['AWS::Partition']}:cloudformation:*:aws:transform/*"
    for each in policies_of(template, role):
        sid, resources = each["Sid"], listed(each["Resource"])
        if sid in ("PrepareToRevert", "Stacks", "Detections"):
            continue
        if sid == "Transforms":
            if (resources, listed(each["Action"])) != ([transforms], ["cloudformation:CreateChangeSet"]):
                yield f"{role} may use other macros than those of AWS"
        elif sid in SUBJECTS_OF[role]:
            services_of = {action.split(":")[0] for action in listed(each["Action"])}
            account = PSEUDO["AWS::AccountId"]
            arns = {f"arn:{PSEUDO['AWS::Partition']}:{service}:*:{account}:{SUBJECTS[role, sid]}" for service in services_of}
            # Those of lists.
            arns |= {f"arn:*:iam::*:{SUBJECTS[role, sid]}", f"arn:*:s3:::{SUBJECTS[role, sid]}"}
            if len(services_of) != 1 or len(resources) != 1 or not set(resources) <= arns:
                yield f"{role} ({sid}) is about {resources}"
        elif any(action.startswith(services) for action in listed(each["Action"])) and (template.name, role, sid) not in ANY_RESOURCE:
            yield f"{role} ({sid}) allows {each['Action']}: on what?"


@check
def forwarding_rules(context):
    """The rules that checkups look for are those that are installed."""
    text = rust(context.root / "shared/core/src/checkup.rs")
    known = set(re.findall(r'"(forward-[a-z-]+)"', text))
    for template in context.templates:
        if template.name != "member-region.yaml":
            continue
        prefix = template._parameter("Prefix") + "-"
        installed = {rule["Name"].removeprefix(prefix) for _, rule in template.of("AWS::Events::Rule")}
        # Not looked for: it is there only where stacks are checked, whose looks say what is wrong themselves. All are there
        # only where something is to be forwarded.
        expected = known | {"forward-drift"} if template._conditions else set()
        if installed != expected:
            yield f"the rules are {sorted(installed)}, and checkups look for {sorted(expected)}"


@check
def events(context):
    """Every rule matches the recorded events that it is for, and no others; what is forwarded is taken in."""
    events = context.root / "shared/core/tests/events"
    for template in context.templates:
        prefix = template._parameter("Prefix") if "Prefix" in template.parameters else ""
        for logical, rule in template.of("AWS::Events::Rule"):
            name = rule["Name"].removeprefix(f"{prefix}-").removeprefix("forward-")
            if name not in EVENTS:
                yield f"{template.name}: for which events is {logical}?"
                continue
            for wanted, names in zip((True, False), EVENTS[name]):
                for event in names:
                    recorded = json.loads((events / f"{event}.json").read_text())
                    # Whose it is, is up to the parameters.
                    recorded["account"] = rule["EventPattern"].get("account", [None])[0]
                    if matches(rule["EventPattern"], recorded) != wanted:
                        yield f"{template.name}: {logical} {'does not match' if wanted else 'matches'} {event}"
    taken = {True: set(), False: set()}
    for template in context.hub():
        for _, rule in template.of("AWS::Events::Rule"):
            if "EventBusName" in rule:
                pattern = rule["EventPattern"]
                taken[template._conditions].add((str(pattern["source"]), str(pattern["detail-type"])))
    for template in context.templates:
        for logical, rule in template.of("AWS::Events::Rule") if template.name == "member-region.yaml" else ():
            pattern = rule["EventPattern"]
            if (str(pattern["source"]), str(pattern["detail-type"])) not in taken[False]:
                yield f"what {logical} forwards is taken in by no rule of the hub"
    # What a resource's failure is, is the code's word.
    state = rust(context.root / "shared/core/src/event/state.rs")
    names = dict(re.findall(r'(\w+) = "(\w+)"', re.search(r"\n    StackStatus \{(.*?)\n    \}", state, re.S)[1]))
    failed = re.search(r"fn is_failure_of_a_resource.*?match self \{(.*?)=> true", state, re.S)[1]
    failures = {names[each] for each in re.findall(r"Self::(\w+)", failed)}
    for template in context.templates:
        for logical, rule in template.of("AWS::Events::Rule"):
            if rule["EventPattern"]["detail-type"] == ["CloudFormation Resource Status Change"]:
                given = set(rule["EventPattern"]["detail"]["status-details"]["status"])
                if given != failures:
                    yield f"{template.name}: {logical} takes {sorted(given)}, and failures of resources are {sorted(failures)}"
    # The bus lets in what its rules are for.
    for template in context.hub():
        for logical, bus in template.of("AWS::Events::EventBus"):
            expected = {
                source
                for _, rule in template.of("AWS::Events::Rule")
                if rule.get("EventBusName") == f"@{logical}"
                for source in rule["EventPattern"]["source"]
            }
            for statement in bus["Policy"]["Statement"]:
                given = statement["Condition"].get("ForAllValues:StringEquals", {}).get("events:source")
                if set(listed(given)) != expected:
                    yield f"{logical} lets in events of {given}, and its rules are for {sorted(expected)}"


def matches(pattern, event):
    """Whether an event pattern matches, as EventBridge would say of what is used here."""
    if isinstance(pattern, dict):
        return isinstance(event, dict) and all(key in event and matches(value, event[key]) for key, value in pattern.items())
    return any(one(condition, event) for condition in pattern)


def one(condition, value):
    """Whether one condition of a pattern holds."""
    if not isinstance(condition, dict):
        return condition == value
    (kind, wanted), = condition.items()
    if kind == "anything-but":
        return value not in listed(wanted)
    if kind == "wildcard":
        # A parameter that has no default stands for any name, and so does where the stack would be.
        places = "|".join(PSEUDO[name] for name in ("AWS::Partition", "AWS::Region", "AWS::AccountId"))
        text = re.sub(rf"<\w+>|{places}", "*", wanted)
        return re.fullmatch(".*".join(map(re.escape, text.split("*"))), value) is not None
    raise SystemExit(f"{kind} in an event pattern is not known to this check")


@check
def environment(context):
    """Every function gets the variables that its code reads, each with the right queue, and no others."""
    for template in context.hub():
        by_function = queues_by_function(template)
        for logical, function in template.of("AWS::Lambda::Function"):
            name = directory(template, function)
            if name not in context.code.functions:
                continue
            given = function.get("Environment", {}).get("Variables", {})
            needed = context.code.environment(name)
            for variable in needed - set(given):
                yield f"{logical} lacks {variable}"
            for variable in set(given) - needed:
                yield f"{logical} is given {variable}, which {name} does not read"
            for variable, value in given.items():
                queue = re.fullmatch(r"MANIFOLD_(\w+)_QUEUE_URL", variable)
                if queue and value != f"@{by_function.get(queue.group(1).lower())}":
                    yield f"{logical}: {variable} is {value}"


@check
def queues(context):
    """Every queue is encrypted and has a dead-letter queue that keeps messages longer."""
    for template in context.templates:
        all_queues = dict(template.of("AWS::SQS::Queue"))
        dead = dead_letter_queues(template)
        for logical, queue in all_queues.items():
            if queue.get("SqsManagedSseEnabled") is not True:
                yield f"{template.name}: {logical} is not encrypted"
            if logical in dead:
                if queue.get("MessageRetentionPeriod") != 1_209_600:
                    yield f"{template.name}: {logical} does not keep dead letters for 14 days"
                continue
            redrive = queue.get("RedrivePolicy", {})
            target = str(redrive.get("deadLetterTargetArn", "")).removeprefix("@").removesuffix(".Arn")
            if target not in all_queues:
                yield f"{template.name}: {logical} has no dead-letter queue"
                continue
            if redrive.get("maxReceiveCount", 0) < 5:
                count = redrive.get("maxReceiveCount")
                yield f"{template.name}: {logical} gives up after {count} receives: 5 at least, as throttling counts"
            if queue.get("MessageRetentionPeriod", 345_600) >= all_queues[target].get("MessageRetentionPeriod", 345_600):
                yield f"{template.name}: {target} does not keep messages longer than {logical}"


@check
def mappings(context):
    """Timeout, lease, visibility, batch and concurrency fit together."""
    lease = context.code.number("functions/deploy/src/lib.rs", r"LEASE: Span = Span::from_seconds\((\d+)\)")
    writes = context.code.number("shared/core/src/ledger.rs", r"MAX_WRITES: usize = (\d+)")
    for template in context.hub():
        functions = dict(template.of("AWS::Lambda::Function"))
        all_queues = dict(template.of("AWS::SQS::Queue"))
        mapped = set()
        for logical, mapping in template.of("AWS::Lambda::EventSourceMapping"):
            function = functions[mapping["FunctionName"].removeprefix("@")]
            queue = all_queues[mapping["EventSourceArn"].removeprefix("@").removesuffix(".Arn")]
            mapped.add(mapping["FunctionName"].removeprefix("@"))
            window = mapping.get("MaximumBatchingWindowInSeconds", 0)
            timeout, visibility = function.get("Timeout", 3), queue.get("VisibilityTimeout", 30)
            if visibility < 6 * timeout + window:
                yield f"{logical}: visibility {visibility} s is less than 6 x timeout {timeout} s + window {window} s"
            if not timeout < lease < visibility:
                yield f"{logical}: the lease ({lease} s) is not between timeout ({timeout} s) and visibility ({visibility} s)"
            if mapping.get("FunctionResponseTypes") != ["ReportBatchItemFailures"]:
                yield f"{logical}: one bad message fails its whole batch: ReportBatchItemFailures is missing"
            if mapping.get("BatchSize", 10) > 10 and window < 1:
                yield f"{logical}: Lambda takes batches of more than 10 only with a window"
            if not 2 <= mapping.get("ScalingConfig", {}).get("MaximumConcurrency", 0) <= 1000:
                yield f"{logical} has no maximum concurrency"
            # Each event of a batch may write its target and its link; head, queue and the mark of an open run come on top.
            if directory(template, function) == "collect" and 2 * mapping.get("BatchSize", 10) + 3 > writes:
                yield f"{logical}: {mapping['BatchSize']} events may need more than the {writes} writes of one commit"
        for logical in set(functions) - mapped:
            name = directory(template, functions[logical])
            if name not in context.code.functions or context.code.reads_queue(name):
                yield f"{logical} has no queue"


@check
def schedules(context):
    """Every function without a queue ticks; each schedule's role may do nothing else, and a tick that fails is not piled up."""
    for template in context.hub():
        functions = dict(template.of("AWS::Lambda::Function"))
        roles = dict(template.of("AWS::IAM::Role"))
        invoking = {each["FunctionName"]: each for _, each in template.of("AWS::Lambda::EventInvokeConfig")}
        readers = {queue: name for name, queue in queues_by_function(template).items()}
        ticking = set()
        for logical, schedule in template.of("AWS::Scheduler::Schedule"):
            target = schedule["Target"]
            name = target["Arn"].removeprefix("@").removesuffix(".Arn")
            role = target["RoleArn"].removeprefix("@").removesuffix(".Arn")
            if (name not in functions and name not in readers) or role not in roles:
                yield f"{logical} invokes nothing of this stack"
                continue
            statements = [each for policy in roles[role]["Policies"] for each in policy["PolicyDocument"]["Statement"]]
            allowed = [(listed(each["Action"]), listed(each["Resource"])) for each in statements]
            keeper = target.get("DeadLetterConfig", {}).get("Arn")
            if schedule.get("State", "ENABLED") != "ENABLED":
                yield f"{logical} does not tick"
            # Scheduler invokes without waiting, so that both it and Lambda may try again.
            if target.get("RetryPolicy", {}).get("MaximumRetryAttempts", 185) > 2:
                yield f"{logical}: Scheduler tries a lost tick up to 185 times"
            if name in functions:
                ticking.add(directory(template, functions[name]))
                if allowed != [(["lambda:InvokeFunction"], [target["Arn"]])]:
                    yield f"{logical}: its role {role} allows {allowed}"
                if invoking.get(f"@{name}", {}).get("MaximumRetryAttempts", 2) > 0:
                    yield f"{logical}: Lambda repeats a tick that failed"
                continue
            ticking.add(readers[name])
            # The role writes to both, the queue that keeps what was not delivered included.
            if allowed != [(["sqs:SendMessage"], [target["Arn"], keeper])]:
                yield f"{logical}: its role {role} allows {allowed}, or a tick that is lost leaves no trace"
            yield from tick(context, logical, target.get("Input", "{}"))
        for name in (SCHEDULED | TICKED) - ticking:
            yield f"{name} has no schedule"


def tick(context, logical, text):
    """What a schedule sends to a queue is what the code reads, key by key."""
    given = json.loads(text)
    read = set(re.findall(r'input\.\w+\("(\w+)"\)', rust(context.root / "shared/core/src/event/schedule.rs")))
    for key in read ^ set(given):
        yield f"{logical}: {key} is " + ("not sent" if key in read else "not read")
    for key, value in TICK.items():
        if given.get(key) != value:
            yield f"{logical} sends {given.get(key)} as {key}, and not {value}"
    fixture = "shared/core/tests/events/schedule/scheduler_custom_input_with_context.json"
    if given.get("kind") != json.loads((context.root / fixture).read_text())["kind"]:
        yield f"{logical}: nothing is known of the kind {given.get('kind')}"


@check
def function_urls(context):
    """A URL that anybody can call is bounded, belongs to a function that verifies what calls it, and opens no other way in."""
    slack_waits = 3_000
    # What AWS demands for AuthType NONE. Each holds for calls of the URL only.
    demanded = {("lambda:InvokeFunctionUrl", "NONE", None), ("lambda:InvokeFunction", None, True)}
    for template in context.hub():
        functions = dict(template.of("AWS::Lambda::Function"))
        permissions = {}
        for logical, each in template.of("AWS::Lambda::Permission"):
            key = (each["Action"], each.get("FunctionUrlAuthType"), each.get("InvokedViaFunctionUrl"))
            permissions.setdefault(each["FunctionName"].removeprefix("@").removesuffix(".Arn"), set()).add(key)
            if each.get("Principal") == "*" and key not in demanded:
                yield f"{logical} lets anybody invoke the function itself"
        for logical, url in template.of("AWS::Lambda::Url"):
            function = url["TargetFunctionArn"].removeprefix("@").removesuffix(".Arn")
            name = directory(template, functions[function])
            if url.get("AuthType") != "NONE" or url.get("InvokeMode", "BUFFERED") != "BUFFERED":
                yield f"{logical}: Slack can't call it, or not read its answer"
            if permissions.pop(function, set()) != demanded:
                yield f"{logical}: an open URL needs the permissions {sorted(map(str, demanded))} and no others"
            if not re.search(r"press::verify\(", context.code.handler(name)):
                yield f"{logical}: {name} believes whoever calls"
                continue
            if template._conditions and not functions[function].get("ReservedConcurrentExecutions"):
                yield f"{function}: whoever floods {logical} takes the concurrency that the other functions need"
            within = context.code.number(f"functions/{name}/src/lib.rs", r"WITHIN: Span = Span::from_millis\(([\d_]+)\)")
            if not within < slack_waits or not within < functions[function].get("Timeout", 3) * 1_000:
                yield f"{function} takes up to {within} ms: Slack waits {slack_waits} ms, and its own timeout must be longer"
        for function in permissions:
            yield f"{function} may be invoked from outside, and has no URL"


@check
def rules(context):
    """Every rule pins source and account, keeps what it can't deliver, and may deliver it."""
    for template in context.templates:
        policies = {}
        for _, policy in template.of("AWS::SQS::QueuePolicy"):
            for queue in policy["Queues"]:
                for statement in policy["PolicyDocument"]["Statement"]:
                    sources = listed(statement.get("Condition", {}).get("ArnEquals", {}).get("aws:SourceArn"))
                    policies.setdefault(queue.removeprefix("@"), set()).update(sources)
        for logical, rule in template.of("AWS::Events::Rule"):
            where = f"{template.name}: {logical}"
            pattern = rule.get("EventPattern", {})
            if len(pattern.get("source", [])) != 1 or not set(pattern["source"]) <= SOURCES:
                yield f"{where} does not pin the source to one of {sorted(SOURCES)}, which nobody but AWS can put"
            accounts = pattern.get("account")
            if not accounts or not all(isinstance(account, str) and "*" not in account for account in accounts):
                yield f"{where} does not pin the account"
            if not pattern.get("detail-type"):
                yield f"{where} does not pin the detail type"
            for target in rule["Targets"]:
                keeper = target.get("DeadLetterConfig", {}).get("Arn", "")
                if not keeper:
                    yield f"{where} drops what it can't deliver"
                receivers = [keeper] if keeper else []
                if target["Arn"].startswith("@"):
                    receivers.append(target["Arn"])
                elif "RoleArn" not in target:
                    yield f"{where} has no role for the bus of another account"
                for queue in (each.removeprefix("@").removesuffix(".Arn") for each in receivers):
                    if f"@{logical}.Arn" not in policies.get(queue, set()):
                        yield f"{where} may not write to {queue}"


@check
def logs(context):
    """Every function logs into a group of its own, which ends some day, and may write nowhere else."""
    for template in context.hub():
        groups = dict(template.of("AWS::Logs::LogGroup"))
        roles = dict(template.of("AWS::IAM::Role"))
        used = set()
        for logical, function in template.of("AWS::Lambda::Function"):
            group = str(function.get("LoggingConfig", {}).get("LogGroup", "")).removeprefix("@")
            if group not in groups or group in used:
                yield f"{logical} has no log group of its own"
                continue
            used.add(group)
            role = roles[function["Role"].removeprefix("@").removesuffix(".Arn")]
            for policy in role["Policies"]:
                for statement in policy["PolicyDocument"]["Statement"]:
                    if any(action.startswith("logs:") for action in listed(statement["Action"])):
                        if listed(statement["Resource"]) != [f"@{group}.Arn"]:
                            yield f"{logical} may log to {statement['Resource']}"
        for logical, group in groups.items():
            if not group.get("RetentionInDays"):
                yield f"{logical} keeps its logs for ever"


@check
def runtimes(context):
    """The functions run as they are built."""
    for template in context.hub():
        for logical, function in template.of("AWS::Lambda::Function"):
            if (function.get("Runtime"), function.get("Handler")) != ("provided.al2023", "bootstrap"):
                yield f"{logical} does not run a bootstrap on provided.al2023"
            if not function.get("Architectures"):
                yield f"{logical} does not say for which processor it was built"


@check
def alarms(context):
    """Dead letters, late queues, failing or throttled functions and rules that can't deliver raise an alarm."""
    for template in context.templates:
        watched = set()
        for logical, alarm in template.of("AWS::CloudWatch::Alarm"):
            watched.add((alarm["MetricName"], frozenset((each["Name"], each["Value"]) for each in alarm["Dimensions"])))
            if template._conditions and alarm.get("AlarmActions") != [template._parameter("AlarmTopicArn")]:
                yield f"{template.name}: {logical} tells nobody"
            told = set(refs(template.body["Resources"][logical]["Properties"].get("AlarmActions")))
            for topic in {logical for logical, _ in template.of("AWS::SNS::Topic")} - told:
                yield f"{template.name}: {logical} does not tell {topic}"
        dead = dead_letter_queues(template)
        wanted = []
        for logical, _ in template.of("AWS::SQS::Queue"):
            metric = "ApproximateNumberOfMessagesVisible" if logical in dead else "ApproximateAgeOfOldestMessage"
            wanted.append((logical, metric, {("QueueName", f"@{logical}.QueueName")}))
        for logical, function in template.of("AWS::Lambda::Function"):
            if directory(template, function) in SCHEDULED:
                wanted.append((logical, "Invocations", {("FunctionName", f"@{logical}")}))
            wanted += [(logical, metric, {("FunctionName", f"@{logical}")}) for metric in ("Errors", "Throttles")]
        for _, url in template.of("AWS::Lambda::Url"):
            # An answer with an error is no error of the function.
            logical = url["TargetFunctionArn"].removeprefix("@").removesuffix(".Arn")
            wanted.append((logical, "Url5xxCount", {("FunctionName", f"@{logical}")}))
        for logical, rule in template.of("AWS::Events::Rule"):
            names = {rule["Name"], f"@{logical}"}
            bus = {("EventBusName", rule["EventBusName"])} if "EventBusName" in rule else set()
            if not any(("FailedInvocations", frozenset(bus | {("RuleName", name)})) in watched for name in names):
                yield f"{template.name}: no alarm on FailedInvocations of {logical}"
        for logical, metric, dimensions in wanted:
            if (metric, frozenset(dimensions)) not in watched:
                yield f"{template.name}: no alarm on {metric} of {logical}"


@check
def figures(context):
    """What the dashboard and the alarms show of Manifold's own metrics is what the code writes, and all of it is shown."""
    by_function, by_app = context.code.metrics()
    # As telemetry.rs embeds them.
    written = {(name, ("Hub", "App", "Stage")) for name in by_app if name.startswith("Stage")}
    written |= {(name, dims) for name in by_app if not name.startswith("Stage") for dims in (("Hub",), ("Hub", "App"))}
    written |= {(name, ("function",)) for name in by_function}
    for template in context.hub():
        shown = set()
        for logical, dashboard in template.of("AWS::CloudWatch::Dashboard"):
            for widget in json.loads(dashboard["DashboardBody"])["widgets"]:
                shown |= set(own_metrics(widget["properties"].get("metrics", [])))
                # What a query of the log asks for is a metric's name in its line.
                for name in re.findall(r"ispresent\((\w+)\)", widget["properties"].get("query", "")):
                    if name not in by_app:
                        yield f"{logical} asks the log for {name}, which no code writes"
        for logical, alarm in template.of("AWS::CloudWatch::Alarm"):
            if alarm["Namespace"] == "Manifold":
                shown.add((alarm["MetricName"], tuple(each["Name"] for each in alarm["Dimensions"])))
        for name, dimensions in sorted(shown - written):
            yield f"{name} by {', '.join(dimensions)} is shown, and no code writes it"
        for name in sorted({name for name, _ in written} - {name for name, _ in shown}):
            yield f"{name} is written, and shown nowhere"


def own_metrics(metrics):
    """Manifold's metrics among those of a widget: name and dimensions."""
    for metric in metrics:
        if isinstance(metric[0], dict):
            search = re.search(r'SEARCH\(\'\{Manifold,([\w,]+)\} MetricName="(\w+)"', metric[0]["expression"])
            if search:
                yield search[2], tuple(search[1].split(","))
        elif metric[0] == "Manifold":
            yield metric[1], tuple(part for part in metric[2:] if isinstance(part, str))[::2]


def refs(node):
    """What a part of a template refers to."""
    if isinstance(node, dict):
        yield from [node["Ref"]] if set(node) == {"Ref"} else refs(list(node.values()))
    elif isinstance(node, list):
        for each in node:
            yield from refs(each)


@check
def ledger(context):
    """The table is what the code expects, and is not lost by accident."""
    text = rust(context.code.aws / "ledger.rs")
    names = {const: re.search(rf'const {const}: &str = "(\w+)"', text).group(1) for const in ("PK", "SK", "EXPIRES_AT")}
    for template in context.hub():
        for logical, table in template.of("AWS::DynamoDB::Table"):
            keys = {each["KeyType"]: each["AttributeName"] for each in table["KeySchema"]}
            if keys != {"HASH": names["PK"], "RANGE": names["SK"]}:
                yield f"{logical} has other keys than the code: {keys}"
            if table.get("TimeToLiveSpecification") != {"AttributeName": names["EXPIRES_AT"], "Enabled": True}:
                yield f"{logical} forgets nothing: its time to live is not {names['EXPIRES_AT']}"
            if table.get("BillingMode") != "PAY_PER_REQUEST":
                yield f"{logical} is not on demand"
            if not table.get("PointInTimeRecoverySpecification", {}).get("PointInTimeRecoveryEnabled"):
                yield f"{logical} has no point-in-time recovery"
            if not table.get("SSESpecification", {}).get("SSEEnabled"):
                yield f"{logical} is not encrypted with a key that can be audited"
            whole = template.resources[logical]
            if (whole.get("DeletionPolicy"), whole.get("UpdateReplacePolicy")) != ("Retain", "Retain"):
                yield f"{logical} is deleted with its stack"


@check
def example_actions(context):
    """The examples' statements spell their actions out, and pass roles only to the service that they are for."""
    used = set()
    for template in context.examples:
        for logical, _, statement in template.statements():
            if statement["Effect"] == "Deny":
                continue
            place = (template.name, logical, statement.get("Sid", ""))
            where = f"{template.name}: {logical} ({place[2] or 'no Sid'})"
            for action in listed(statement.get("Action")):
                if "*" in action or "?" in action:
                    used.add(place)
                    if place not in EXAMPLES_ANY_ACTION:
                        yield f"{where} allows {action}"
                if action == "iam:PassRole" and "iam:PassedToService" not in condition_keys(statement):
                    yield f"{where} passes roles to any service"
                if action == "iam:CreateRole" and "iam:PermissionsBoundary" not in condition_keys(statement):
                    yield f"{where} makes roles that may do anything"
                if action in NEVER - {"iam:PassRole"}:
                    yield f"{where} allows {action}"
            for key in ("NotAction", "NotResource", "NotPrincipal"):
                if key in statement:
                    yield f"{where} uses {key}, which allows what it does not name"
        for logical, role in template.of("AWS::IAM::Role"):
            if role.get("ManagedPolicyArns"):
                yield f"{template.name}: {logical} takes policies that are written elsewhere"
    for place in set(EXAMPLES_ANY_ACTION) - used:
        yield f"the allow-list names {place}, which does not need it"


@check
def example_resources(context):
    """The examples' statements name their resources, accounts included."""
    used = set()
    for template in context.examples:
        for logical, is_trust, statement in template.statements():
            if is_trust or statement["Effect"] == "Deny":
                continue
            place = (template.name, logical, statement.get("Sid", ""))
            for resource in listed(statement.get("Resource")):
                parts = resource.split(":", 5)
                is_any = resource == "*" or (len(parts) == 6 and (parts[5] == "*" or "*" in (parts[1], parts[2])))
                is_foreign = len(parts) == 6 and parts[4] == "*" and "aws:ResourceAccount" not in condition_keys(statement)
                # A key that is not named by its id is by its alias.
                keys = {"kms:ResourceAliases", "kms:ViaService"}
                is_any_key = ":key/*" in resource and not keys <= condition_keys(statement)
                if not (is_any or is_foreign or is_any_key):
                    continue
                used.add(place)
                if place not in EXAMPLES_ANY_RESOURCE:
                    yield f"{template.name}: {logical} ({place[2] or 'no Sid'}) allows {resource}"
    for place in set(EXAMPLES_ANY_RESOURCE) - used:
        yield f"the allow-list names {place}, which does not need it"


@check
def buckets(context):
    """Every bucket is encrypted, closed to the public, answers TLS only, and forgets some day what nobody needs."""
    for template in context.all():
        policies = {each["Bucket"].removeprefix("@"): each for _, each in template.of("AWS::S3::BucketPolicy")}
        for logical, bucket in template.of("AWS::S3::Bucket"):
            where = f"{template.name}: {logical}"
            if not bucket.get("BucketEncryption", {}).get("ServerSideEncryptionConfiguration"):
                yield f"{where} is not encrypted"
            blocks = bucket.get("PublicAccessBlockConfiguration", {})
            if len(blocks) != 4 or not all(value is True for value in blocks.values()):
                yield f"{where} could be opened to the public"
            if not bucket.get("LifecycleConfiguration", {}).get("Rules"):
                yield f"{where} keeps everything for ever"
            demanded = {f"@{logical}.Arn", f"@{logical}.Arn/*"}
            statements = policies.get(logical, {}).get("PolicyDocument", {}).get("Statement", [])
            if not any(
                each["Effect"] == "Deny"
                and each.get("Principal") == "*"
                and each.get("Action") == "s3:*"
                and set(listed(each.get("Resource"))) == demanded
                and each.get("Condition") == {"Bool": {"aws:SecureTransport": "false"}}
                for each in statements
            ):
                yield f"{where} can be read without TLS"


@check
def example_logs(context):
    """What runs in the examples logs into a group of its template, which ends some day."""
    for template in context.examples:
        groups = dict(template.of("AWS::Logs::LogGroup"))
        used = []
        for logical, project in template.of("AWS::CodeBuild::Project"):
            used.append((logical, project.get("LogsConfig", {}).get("CloudWatchLogs", {}).get("GroupName")))
        for logical, function in template.of("AWS::Lambda::Function"):
            used.append((logical, function.get("LoggingConfig", {}).get("LogGroup")))
        for logical, tasks in template.of("AWS::ECS::TaskDefinition"):
            for container in tasks["ContainerDefinitions"]:
                used.append((logical, container.get("LogConfiguration", {}).get("Options", {}).get("awslogs-group")))
        for logical, group in used:
            if str(group).removeprefix("@") not in groups:
                yield f"{template.name}: {logical} has no log group that this template makes"
        for logical, group in groups.items():
            if not group.get("RetentionInDays"):
                yield f"{template.name}: {logical} keeps its logs for ever"


@check
def example_fleets(context):
    """Each example's fleet file names what its templates make."""
    templates = {template.name: template for template in context.examples if template._conditions}
    for path in sorted((context.root / "deploy/examples").glob("*/fleet.yaml")):
        example = path.parent.name
        fleet = yaml.safe_load(path.read_text())
        release, target = templates[f"{example}/release.yaml"], templates[f"{example}/target.yaml"]
        application = templates.get(f"{example}/template.yaml")
        made = {each.get("AlarmName", "") for one in (target, application) if one for _, each in one.of("AWS::CloudWatch::Alarm")}
        for name, app in fleet["apps"].items():
            where = f"{example}/fleet.yaml: {name}"
            if name != release._parameter("Name") or name != target._parameter("Name"):
                yield f"{where} is not what its templates call it by default"
            for pipeline in listed(app["release"]["pipelines"]):
                if pipeline not in {each["Name"] for _, each in release.of("AWS::CodePipeline::Pipeline")}:
                    yield f"{where}: no template makes the release pipeline {pipeline}"
            alarms = {alarm.replace(f"{PSEUDO['AWS::StackName']}-", f"{name}-") for alarm in made}
            bakes = [each.get("bake") for each in (*app.get("waves", []), app.get("canary", {}))]
            for alarm in {alarm for bake in bakes if isinstance(bake, dict) for alarm in listed(bake.get("alarms"))} - alarms:
                yield f"{where}: no template makes the alarm {alarm}"
            for engine in [app["engine"], *(each["engine"] for each in app.get("engines", []))]:
                (kind, values), = engine.items()
                given = set(app.get("parameters", {}))
                if kind == "codepipeline":
                    known = {
                        variable["Name"]
                        for _, each in target.of("AWS::CodePipeline::Pipeline")
                        if each["Name"] == values["name"].replace("{{ app }}", name)
                        for variable in each.get("Variables", [])
                    }
                elif kind == "codebuild":
                    known = {
                        variable["Name"]
                        for _, each in target.of("AWS::CodeBuild::Project")
                        if each["Name"] == values["project"].replace("{{ app }}", name)
                        for variable in each["Environment"]["EnvironmentVariables"]
                    }
                elif kind == "cloudformation":
                    known = set(application.parameters)
                    for missing in {each for each, spec in application.parameters.items() if "Default" not in spec} - given:
                        yield f"{where} does not give {missing}, which the stack needs"
                    roles = {each["RoleName"] for _, each in target.of("AWS::IAM::Role")}
                    if values["role"].replace("{{ app }}", name) not in roles:
                        yield f"{where}: no template makes the role {values['role']}"
                else:
                    known = given
                    groups = {(each["ApplicationName"], each["DeploymentGroupName"]) for _, each in target.of("AWS::CodeDeploy::DeploymentGroup")}
                    if {group for _, group in groups} != {values["group"].replace("{{ app }}", name)}:
                        yield f"{where}: no template makes the deployment group {values['group']}"
                for unknown in given - known:
                    yield f"{where} gives {unknown}, which its {kind} does not take"


@check
def example_events(context):
    """The recorded events are of targets in the fleet file, and the release's of a pipeline that it names."""
    for folder in sorted((context.root / "deploy/examples").glob("*/events")):
        fleet = yaml.safe_load((folder.parent / "fleet.yaml").read_text())
        accounts = {each["id"] for each in fleet["accounts"].values()}
        pipelines = {name for app in fleet["apps"].values() for name in listed(app["release"]["pipelines"])}
        for path in sorted(folder.glob("*.json")):
            where = f"{folder.parent.name}/events/{path.name}"
            recorded = json.loads(path.read_text())
            if isinstance(recorded, dict):
                if recorded["account"] != fleet["hub"]["account"] or recorded["detail"].get("pipeline") not in pipelines:
                    yield f"{where} is of no release pipeline of the fleet file"
                continue
            ids = [event["id"] for event in recorded]
            if len(set(ids)) != len(ids):
                yield f"{where} has two events of one id"
            for event in recorded:
                if event["account"] not in accounts or event["region"] not in fleet["regions"]:
                    yield f"{where}: {event['id']} is of {event['account']}/{event['region']}, which is no target"
                if not all(f":{event['region']}:{event['account']}:" in arn for arn in event["resources"]):
                    yield f"{where}: {event['id']} is about another account or Region than its own"


def directory(template, function):
    """The folder of a function's code: its name without the prefix."""
    return function["FunctionName"].removeprefix(template._parameter("Prefix") + "-")


def queues_by_function(template):
    """The queue that each function reads."""
    functions = dict(template.of("AWS::Lambda::Function"))
    return {
        directory(template, functions[mapping["FunctionName"].removeprefix("@")]):
            mapping["EventSourceArn"].removeprefix("@").removesuffix(".Arn")
        for _, mapping in template.of("AWS::Lambda::EventSourceMapping")
    }


def dead_letter_queues(template):
    """The queues that take what another queue, a rule or a schedule could not get rid of, if all of them are there."""
    template = template if template._conditions else Template(template.path, True)
    arns = {queue.get("RedrivePolicy", {}).get("deadLetterTargetArn") for _, queue in template.of("AWS::SQS::Queue")}
    for _, rule in template.of("AWS::Events::Rule"):
        arns |= {target.get("DeadLetterConfig", {}).get("Arn") for target in rule["Targets"]}
    for _, schedule in template.of("AWS::Scheduler::Schedule"):
        arns.add(schedule["Target"].get("DeadLetterConfig", {}).get("Arn"))
    return {arn.removeprefix("@").removesuffix(".Arn") for arn in arns if arn}


def problems(root: Path, only=None, without=()):
    """What is wrong: the check's name and its words."""
    templates = [Template(root / "deploy" / name, on) for name in TEMPLATES for on in (True, False)]
    paths = sorted((root / "deploy/examples").glob("**/*.yaml"))
    examples = [Template(path, on) for path in paths if "AWSTemplateFormatVersion" in path.read_text() for on in (True, False)]
    context = Context(root, Code(root), templates, examples)
    found = {}
    for each in CHECKS:
        if each.__name__ in without or (only and each.__name__ != only):
            continue
        for words in each(context):
            found[(each.__name__, words)] = None
    return list(found)


# == The checks, checked ==

HUB, ACCOUNT, REGION = (f"deploy/{name}" for name in TEMPLATES)
ANSIBLE, SERVERLESS, CONTAINER = (f"deploy/examples/{name}/target.yaml" for name in ("ansible-ec2", "serverless", "container"))
ARTIFACTS = "deploy/examples/artifacts.yaml"

# Check, file, what stands there, what it becomes. The first occurrence is replaced; each must be noticed by that check.
MUTATIONS = [
    ("cfn_lint", HUB, "BillingMode: PAY_PER_REQUEST", "BillingMode: PAY_PER_REQEST"),
    ("installable", HUB, "Resources:\n", "Resources:\n" + "  # " + "padding " * 125_000 + "\n"),
    ("installable", ACCOUNT, "Resources:\n", "Resources:\n" + "  # padding\n" * 4_000),
    ("installable", ACCOUNT, "Resources:\n", "Transform: AWS::LanguageExtensions\nResources:\n"),
    ("installable", REGION, "arn:${AWS::Partition}:iam", "arn:aws:iam"),
    ("installable", REGION, "Value: !Ref UndeliveredQueue", "Value: !Ref UndeliveredQueue\n    Export: { Name: x }"),
    ("parameters", HUB, "Description: The key of deploy.zip.", ""),
    ("parameters", HUB, "LogRetentionDays\n          - ", ""),
    ("iam_actions", HUB, "Action: sqs:SendMessage", 'Action: "sqs:*"'),
    ("iam_actions", ACCOUNT, "codepipeline:ListActionExecutions", "codepipeline:List*"),
    ("iam_actions", ACCOUNT, "                  Action:\n                    - codep", "                  NotAction:\n                    - codep"),
    ("iam_resources", HUB, "Resource: !GetAtt Ledger.Arn", 'Resource: "*"'),
    ("iam_resources", HUB, '"aws:ResourceAccount": !Ref MemberAccounts', '"aws:RequestedRegion": !Ref AWS::Region'),
    ("iam_resources", ACCOUNT, ":${TargetPipelines}", ":*"),
    ("iam_principals", HUB, "Principal: { AWS: !Ref MemberAccounts }", 'Principal: "*"'),
    ("iam_principals", HUB, 'ArnEquals:\n                "aws:SourceArn":\n', 'ArnEquals:\n                "aws:PrincipalArn":\n'),
    ("iam_principals", ACCOUNT, '"sts:ExternalId": !Ref ExternalId', '"aws:PrincipalType": AssumedRole'),
    ("iam_principals", ACCOUNT, 'StringLike: { "sts:RoleSessionName": "mf-*" }', ""),
    ("adapters", "shared/aws/src/queues.rs", ".send_message_batch()", ".send_message()"),
    ("function_roles", HUB, "Role: !GetAtt CollectRole.Arn", "Role: !GetAtt DeployRole.Arn"),
    ("function_roles", HUB, "dynamodb:PutItem]", "dynamodb:PutItem, dynamodb:DeleteItem]"),
    ("function_roles", HUB, "dynamodb:Query, ", ""),
    ("function_roles", HUB, "Action: dynamodb:UpdateItem", "Action: dynamodb:DeleteItem"),
    ("function_roles", HUB, "                Resource: !GetAtt SummarizeQueue.Arn\n              - Sid: Ledger", "                Resource: [!GetAtt SummarizeQueue.Arn, !GetAtt DeployQueue.Arn]\n              - Sid: Ledger"),
    ("target_role", ACCOUNT, "codepipeline:StartPipelineExecution", "codepipeline:RetryStageExecution"),
    ("target_role", ACCOUNT, "                    - codepipeline:StopPipelineExecution\n", ""),
    ("target_role", ACCOUNT, "                    - codebuild:StopBuild\n", "                    - codebuild:RetryBuild\n"),
    ("target_role", ACCOUNT, ":project/${TargetProjects}", ":project/*"),
    ("target_role", ACCOUNT, "              - !If\n                - HasProjects\n                - Sid: Builds\n", "              - !If\n                - HasPipelines\n                - Sid: Build\n"),
    ("target_role", ACCOUNT, "                    - cloudformation:CancelUpdateStack\n", ""),
    ("target_role", ACCOUNT, ":stack/${TargetStacks}/*", ":stack/*"),
    ("target_role", ACCOUNT, ":aws:transform/*", ":${AWS::AccountId}:transform/*"),
    ("target_role", ACCOUNT, '!Join [",arn:*:iam::*:role/", !Ref StackRoles]', '!Join [",arn:*:iam::*:role/", ["*"]]'),
    ("target_role", ACCOUNT, '!Join ["/*,arn:*:s3:::", !Ref ArtifactBuckets]', '!Join ["/*,arn:*:s3:::", ["*"]]'),
    ("target_role", ACCOUNT, "Action: s3:GetObject", "Action: s3:PutObject"),
    ("target_role", ACCOUNT, ":deploymentgroup:${TargetDeploymentGroups}", ":deploymentgroup:*"),
    ("target_role", ACCOUNT, '!Select [0, !Split ["/", !Ref TargetDeploymentGroups]]', '"*"'),
    ("target_role", ACCOUNT, "                    - codedeploy:StopDeployment\n", "                    - codedeploy:ContinueDeployment\n"),
    ("iam_actions", ACCOUNT, 'StringEquals: { "iam:PassedToService": cloudformation.amazonaws.com }', 'StringEquals: { "iam:PassedToService": lambda.amazonaws.com }'),
    ("iam_actions", ACCOUNT, "- Sid: ChangeSets\n", "- Sid: Changes\n"),
    ("iam_actions", ACCOUNT, "cloudformation:DeleteChangeSet", "cloudformation:DeleteStack"),
    ("adapters", "shared/aws/src/engine/revert.rs", "use ", "fn x() { client.delete_project() }\nuse "),
    ("target_role", ACCOUNT, "Action: cloudwatch:DescribeAlarms", "Action: cloudwatch:DescribeAlarmHistory"),
    ("target_role", "shared/aws/src/credentials.rs", '"cloudwatch:DescribeAlarms"', '"cloudwatch:DescribeAlarmHistory"'),
    ("target_role", "shared/aws/src/credentials/rollout.rs", '"codepipeline:ListActionExecutions",', ""),
    ("read_only_role", ACCOUNT, "iam:SimulatePrincipalPolicy", "iam:SimulateCustomPolicy"),
    ("read_only_role", ACCOUNT, "                    - codepipeline:ListTagsForResource\n", ""),
    ("read_only_role", ACCOUNT, "codepipeline:GetPipelineState", "codepipeline:StopPipelineExecution"),
    ("read_only_role", ACCOUNT, "codebuild:BatchGetProjects, ", "codebuild:StartBuild, "),
    ("read_only_role", ACCOUNT, ", cloudformation:GetTemplate]", "]"),
    ("read_only_role", ACCOUNT, "codedeploy:GetDeploymentGroup, codedeploy:ListDeployments, codedeploy:BatchGetDeployments]\n                  Resource: !Sub \"arn:${AWS::Partition}:codedeploy:*:${AWS::AccountId}:deploymentgroup:${TargetDeploymentGroups}\"", "codedeploy:GetDeploymentGroup, codedeploy:ListDeployments, codedeploy:BatchGetDeployments]\n                  Resource: !Sub \"arn:${AWS::Partition}:codedeploy:*:${AWS::AccountId}:deploymentgroup:*\""),
    ("read_only_role", ACCOUNT, "Principal: { AWS: !Ref HubInspectRoleArn }", "Principal: { AWS: !Ref HubDeployRoleArn }"),
    ("forwarding_rules", REGION, "${Prefix}-forward-pipeline", "${Prefix}-forward-pipelines"),
    ("forwarding_rules", REGION, "${Prefix}-forward-deployment", "${Prefix}-forward-deployments"),
    ("forwarding_rules", REGION, "    Condition: HasProjects\n    Properties:\n      Name", "    Properties:\n      Name"),
    ("forwarding_rules", "shared/core/src/checkup.rs", '"forward-failed-resource"', '"forward-resource"'),
    ("events", REGION, "detail-type: [CodeBuild Build State Change]", "detail-type: [CodeBuild Build Phase Change]"),
    ("events", REGION, "          project-name: [", "          project: ["),
    ("events", REGION, ":stack/${TargetStacks}/*", ":stacks/${TargetStacks}/*"),
    ("events", REGION, "status: [CREATE_FAILED, UPDATE_FAILED, DELETE_FAILED]", "status: [CREATE_FAILED, UPDATE_FAILED]"),
    ("events", HUB, "status: [CREATE_FAILED, UPDATE_FAILED, DELETE_FAILED]", "status: [CREATE_FAILED, UPDATE_FAILED, ROLLBACK_FAILED]"),
    ("events", REGION, "          deploymentGroup: [", "          group: ["),
    ("events", HUB, "detail-type: [CodeDeploy Deployment State-change Notification]", "detail-type: [CodeDeploy Instance State-change Notification]"),
    ("events", HUB, "aws.cloudformation, aws.codedeploy] }", "aws.cloudformation] }"),
    ("rules", REGION, "                  - !If [HasProjects, !GetAtt BuildRule.Arn, !Ref AWS::NoValue]\n", ""),
    ("rules", HUB, "                  - !GetAtt DeploymentRule.Arn\n", ""),
    ("alarms", REGION, "Dimensions: [{ Name: RuleName, Value: !Ref StackRule }]", "Dimensions: [{ Name: RuleName, Value: !Ref BuildRule }]"),
    ("function_roles", HUB, "                Action: events:DescribeEventBus\n", "                Action: events:PutRule\n"),
    ("function_roles", HUB, "Resource: !GetAtt InspectLogs.Arn", "Resource: !GetAtt InspectLogs.Arn\n              - { Sid: Receive, Effect: Allow, Action: sqs:ReceiveMessage, Resource: !GetAtt DeployQueue.Arn }"),
    ("mappings", HUB, "      EventSourceArn: !GetAtt InspectQueue.Arn\n      BatchSize: 2\n      FunctionResponseTypes: [ReportBatchItemFailures]\n", "      EventSourceArn: !GetAtt InspectQueue.Arn\n      BatchSize: 2\n"),
    ("mappings", HUB, "ScalingConfig: { MaximumConcurrency: 10 }", ""),
    ("mappings", HUB, "    Type: AWS::Lambda::EventSourceMapping\n    Properties:\n      FunctionName: !Ref InspectFunction\n      EventSourceArn: !GetAtt InspectQueue.Arn", "    Type: AWS::Lambda::EventSourceMapping\n    Properties:\n      FunctionName: !Ref DeployFunction\n      EventSourceArn: !GetAtt InspectQueue.Arn"),
    ("queues", HUB, "        deadLetterTargetArn: !GetAtt InspectDeadQueue.Arn\n", ""),
    ("alarms", HUB, "Value: !GetAtt InspectDeadQueue.QueueName", "Value: !GetAtt DeployDeadQueue.QueueName"),
    ("alarms", HUB, "Value: !GetAtt InspectQueue.QueueName", "Value: !GetAtt DeployQueue.QueueName"),
    ("alarms", HUB, '        - { Name: RuleName, Value: !Sub "${Prefix}-drift" }\n', '        - { Name: RuleName, Value: !Sub "${Prefix}-pipeline" }\n'),
    ("alarms", REGION, "Dimensions: [{ Name: RuleName, Value: !Ref DriftRule }]", "Dimensions: [{ Name: RuleName, Value: !Ref PipelineRule }]"),
    ("function_roles", HUB, "Resource: [!GetAtt DeployQueue.Arn, !GetAtt CollectQueue.Arn, !GetAtt SummarizeQueue.Arn, !GetAtt InspectQueue.Arn]", "Resource: [!GetAtt DeployQueue.Arn, !GetAtt CollectQueue.Arn, !GetAtt SummarizeQueue.Arn]"),
    ("function_roles", HUB, "                  - !GetAtt SummarizeQueue.Arn\n                  - !GetAtt InspectQueue.Arn\n", "                  - !GetAtt SummarizeQueue.Arn\n"),
    ("function_roles", HUB, "                Resource: !GetAtt InspectQueue.Arn\n", "                Resource: !GetAtt DeployQueue.Arn\n"),
    ("function_roles", HUB, "                Action: [dynamodb:GetItem, dynamodb:BatchGetItem]\n", "                Action: [dynamodb:GetItem, dynamodb:BatchGetItem, dynamodb:Scan]\n"),
    ("function_roles", "functions/dispatch/src/main.rs", "Queue::Summarize, Queue::Inspect", "Queue::Summarize"),
    ("environment", HUB, "          MANIFOLD_INSPECT_QUEUE_URL: !Ref InspectQueue\n", ""),
    ("environment", HUB, "MANIFOLD_INSPECT_QUEUE_URL: !Ref InspectQueue", "MANIFOLD_INSPECT_QUEUE_URL: !Ref DeployQueue"),
    ("environment", "shared/aws/src/env.rs", '"MANIFOLD_INSPECT_QUEUE_URL"', '"MANIFOLD_LOOK_QUEUE_URL"'),
    ("environment", "functions/inspect/src/main.rs", "&[Queue::Collect]", "&[Queue::Collect, Queue::Summarize]"),
    ("function_roles", "functions/inspect/src/main.rs", "DynamoLedger::new(", "OtherLedger::new("),
    ("environment", HUB, "          MANIFOLD_TABLE: !Ref Ledger\n          MANIFOLD_COLLECT_QUEUE_URL", "          MANIFOLD_COLLECT_QUEUE_URL"),
    ("adapters", "shared/aws/src/watch/stack.rs", "client.detect_stack_drift()", "client.delete_stack()"),
    ("adapters", "shared/aws/src/watch/trail.rs", "client.lookup_events()", "client.stop_logging()"),
    ("adapters", "shared/aws/src/look.rs", "use ", "fn x() { client.execute_change_set() }\nuse "),
    ("ledger_writes", HUB, '                Condition:\n                  "ForAllValues:StringLike": { "dynamodb:LeadingKeys": ["definition#*"] }\n', ""),
    ("ledger_writes", HUB, '"dynamodb:LeadingKeys": ["definition#*"]', '"dynamodb:LeadingKeys": ["definition#*", "head#*"]'),
    ("ledger_writes", "shared/core/src/ledger.rs", 'format!("definition#{', 'format!("structure#{'),
    ("ledger_writes", HUB, "Action: [dynamodb:GetItem, dynamodb:BatchGetItem]", "Action: [dynamodb:GetItem, dynamodb:BatchGetItem, dynamodb:PutItem]"),
    ("schedules", HUB, "Resource: [!GetAtt DispatchQueue.Arn, !GetAtt UndeliveredQueue.Arn]", "Resource: [!GetAtt DispatchQueue.Arn, !GetAtt CollectQueue.Arn]"),
    ("schedules", HUB, "        RetryPolicy: { MaximumRetryAttempts: 2,", "        RetryPolicy: { MaximumRetryAttempts: 185,"),
    ("schedules", HUB, "MaximumEventAgeInSeconds: 300 }\n        DeadLetterConfig: { Arn: !GetAtt UndeliveredQueue.Arn }\n", "MaximumEventAgeInSeconds: 300 }\n"),
    ("schedules", HUB, '"kind":"drift-check"', '"kind":"drift"'),
    ("schedules", HUB, '"attempt":"<aws.scheduler.attempt-number>"', '"try":"<aws.scheduler.attempt-number>"'),
    ("schedules", HUB, "<aws.scheduler.scheduled-time>", "<aws.scheduler.execution-id>"),
    ("schedules", HUB, "        Arn: !GetAtt DispatchQueue.Arn\n        RoleArn", "        Arn: !GetAtt UndeliveredQueue.Arn\n        RoleArn"),
    ("schedules", "shared/core/src/event/schedule.rs", 'input.text("executionId")', 'input.text("execution")'),
    ("schedules", HUB, "    Default: ENABLED\n", "    Default: DISABLED\n"),
    ("events", HUB, "CloudFormation Drift Detection Status Change", "CloudFormation Stack Status Change"),
    ("events", HUB, "anything-but: [DETECTION_IN_PROGRESS]", "anything-but: [DETECTION_FAILED]"),
    ("events", REGION, "detection-status: [{ anything-but: [DETECTION_IN_PROGRESS] }]", "detection-status: [DETECTION_COMPLETE]"),
    ("events", REGION, "          status-details:\n            detection-status", "          details:\n            detection-status"),
    ("events", REGION, "        detail:\n          state: [FAILED]\n", "        detail:\n"),
    ("events", HUB, '"events:source": [aws.codepipeline, ', '"events:source": ['),
    ("events", HUB, 'Name: !Sub "${Prefix}-drift"\n      EventBusName: !Ref HubBus\n', 'Name: !Sub "${Prefix}-drift"\n'),
    ("events", HUB, 'Name: !Sub "${Prefix}-drift"\n      EventBusName', 'Name: !Sub "${Prefix}-detections"\n      EventBusName'),
    ("rules", HUB, "                  - !GetAtt DeploymentRule.Arn\n                  - !GetAtt DriftRule.Arn\n", "                  - !GetAtt DeploymentRule.Arn\n"),
    ("rules", HUB, "                  - !GetAtt DriftRule.Arn\n", ""),
    ("rules", HUB, "source: [aws.cloudformation]", "source: [my.cloudformation]"),
    ("rules", REGION, "                  - !If [HasDriftStacks, !GetAtt DriftRule.Arn, !Ref AWS::NoValue]\n", ""),
    ("iam_actions", ACCOUNT, "cloudformation:DescribeChangeSet,", "cloudformation:ExecuteChangeSet,"),
    ("iam_actions", ACCOUNT, "!If [HasDriftReadPolicies, !Ref DriftReadPolicyArns, !Ref AWS::NoValue]", "!Ref DriftReadPolicyArns"),
    ("iam_actions", ACCOUNT, "!If [HasDriftRevertPolicies, !Ref DriftReadPolicyArns,", '!If [HasDriftRevertPolicies, ["arn:${AWS::Partition}:iam::aws:policy/AdministratorAccess"],'),
    ("target_role", ACCOUNT, "Action: [cloudformation:CreateChangeSet, ", "Action: [cloudformation:ExecuteChangeSet, cloudformation:CreateChangeSet, "),
    ("target_role", ACCOUNT, "              - !If\n                - HasDriftRevert\n                - Sid: PrepareToRevert\n", "              - !If\n                - HasDriftRevert\n                - Sid: Revert\n                  Effect: Allow\n                  Action: cloudformation:CreateChangeSet\n                  Resource: !Sub \"arn:${AWS::Partition}:cloudformation:*:${AWS::AccountId}:stack/*\"\n                - !Ref AWS::NoValue\n              - !If\n                - HasDriftRevert\n                - Sid: PrepareToRevert\n"),
    ("target_role", "shared/aws/src/credentials.rs", '"cloudformation:DescribeChangeSet",', ""),
    ("adapters", "shared/aws/src/engine/revert.rs", ".describe_change_set()", ".execute_change_set()"),
    ("target_role", "shared/aws/src/credentials.rs", '"cloudwatch:DescribeAlarms"', '["cloudwatch:DescribeAlarms", "cloudformation:ExecuteChangeSet"]'),
    ("read_only_role", ACCOUNT, "                    - cloudformation:DetectStackDrift\n", "                    - cloudformation:DetectStackDrift\n                    - cloudformation:UpdateStack\n"),
    ("read_only_role", ACCOUNT, "                    - cloudformation:ListStackResources\n", ""),
    ("read_only_role", ACCOUNT, "Action: cloudtrail:LookupEvents", "Action: cloudtrail:StopLogging"),
    ("read_only_role", ACCOUNT, "              - !If\n                - HasDriftCloudTrail\n                - Sid: WhoDidIt\n                  Effect: Allow\n                  Action: cloudtrail:LookupEvents\n                  Resource: \"*\"\n                - !Ref AWS::NoValue\n", "              - { Sid: WhoDidIt, Effect: Allow, Action: cloudtrail:LookupEvents, Resource: \"*\" }\n"),
    ("target_role", ACCOUNT, '!Join ["/*,arn:*:cloudformation:*:*:stack/", !Ref DriftStacks]', '!Join ["/*,arn:*:cloudformation:*:*:stack/", ["*"]]'),
    ("target_role", ACCOUNT, '                  Condition:\n                    StringEqualsIfExists: { "aws:ResourceAccount": !Ref AWS::AccountId }\n', ""),
    ("read_only_role", ACCOUNT, "                    - cloudformation:DescribeStackResourceDrifts\n                  Resource: !Split\n                    - \",\"\n", "                    - cloudformation:DescribeStackResourceDrifts\n                  Resource: !Split\n                    - \":\"\n"),
    ("forwarding_rules", REGION, "    Condition: HasDriftStacks\n    Properties:\n      Name: !Sub \"${Prefix}-forward-drift\"\n", "    Properties:\n      Name: !Sub \"${Prefix}-forward-drift\"\n"),
    ("environment", HUB, "MANIFOLD_INSPECT_ROLE: !Ref InspectRole", ""),
    ("adapters", "shared/aws/src/inspect/member.rs", ".describe_rule()", ".delete_rule()"),
    ("environment", HUB, "MANIFOLD_FLEET: fleet.yaml", ""),
    ("environment", HUB, "MANIFOLD_TABLE:", "MANIFOLD_TABEL:"),
    ("environment", HUB, "MANIFOLD_DEPLOY_QUEUE_URL: !Ref DeployQueue", "MANIFOLD_DEPLOY_QUEUE_URL: !Ref CollectQueue"),
    ("environment", "shared/aws/src/env.rs", '"MANIFOLD_SLACK_URL"', '"MANIFOLD_SLACK_BASE"'),
    ("queues", HUB, "        deadLetterTargetArn: !GetAtt DeployDeadQueue.Arn\n", ""),
    ("queues", HUB, "maxReceiveCount: 5", "maxReceiveCount: 4"),
    ("queues", HUB, "MessageRetentionPeriod: 1209600", "MessageRetentionPeriod: 345600"),
    ("queues", REGION, "SqsManagedSseEnabled: true", "SqsManagedSseEnabled: false"),
    ("mappings", HUB, "VisibilityTimeout: 361", "VisibilityTimeout: 360"),
    ("mappings", HUB, "Timeout: 60", "Timeout: 120"),
    ("mappings", HUB, "FunctionResponseTypes: [ReportBatchItemFailures]", ""),
    ("mappings", HUB, "BatchSize: 40", "BatchSize: 50"),
    ("mappings", HUB, "ScalingConfig: { MaximumConcurrency: 2 }", ""),
    ("mappings", "functions/deploy/src/lib.rs", "Span::from_seconds(120)", "Span::from_seconds(50)"),
    ("function_roles", HUB, "dynamodb:PutItem, dynamodb:DeleteItem]", "dynamodb:PutItem, dynamodb:DeleteItem, dynamodb:UpdateItem]"),
    ("ledger_writes", HUB, '                Condition:\n                  "ForAllValues:StringEquals": { "dynamodb:LeadingKeys": [open] }\n', ""),
    ("ledger_writes", HUB, "dynamodb:Query]\n", "dynamodb:Query, dynamodb:PutItem]\n"),
    ("ledger_writes", "shared/core/src/ledger.rs", 'OPEN: &str = "open"', 'OPEN: &str = "opened"'),
    ("schedules", HUB, "    Type: AWS::Scheduler::Schedule", "    Type: AWS::Scheduler::ScheduleGroup"),
    ("schedules", HUB, "  SweepTicks:\n    Type: AWS::Scheduler::Schedule", "  SweepTicks:\n    Type: AWS::Scheduler::ScheduleGroup"),
    ("schedules", HUB, "                Action: lambda:InvokeFunction\n                Resource: !GetAtt SweepFunction.Arn", "                Action: lambda:InvokeFunction\n                Resource: !GetAtt DeployFunction.Arn"),
    ("schedules", HUB, "RetryPolicy: { MaximumRetryAttempts: 0,", "RetryPolicy: { MaximumRetryAttempts: 185,"),
    ("schedules", HUB, "      MaximumRetryAttempts: 0\n", ""),
    ("schedules", HUB, "      FlexibleTimeWindow:", "      State: DISABLED\n      FlexibleTimeWindow:"),
    ("alarms", HUB, "MetricName: Invocations", "MetricName: Duration"),
    ("alarms", HUB, "MetricName: Url5xxCount", "MetricName: Url4xxCount"),
    ("environment", HUB, "MANIFOLD_SIGNING_SECRET:", "MANIFOLD_SIGNING_SECERT:"),
    ("environment", HUB, "MANIFOLD_DISPATCH_QUEUE_URL: !Ref DispatchQueue", "MANIFOLD_DISPATCH_QUEUE_URL: !Ref CollectQueue"),
    ("environment", "functions/sweep/src/main.rs", "&Queue::ALL", "&[Queue::Deploy, Queue::Collect, Queue::Summarize, Queue::Inspect]"),
    ("function_roles", "functions/collect/src/main.rs", "&Queue::ALL", "&[Queue::Deploy, Queue::Collect, Queue::Summarize, Queue::Inspect]"),
    ("function_roles", "shared/core/src/message.rs", "Self::Summarize, Self::Inspect]", "Self::Summarize]"),
    ("function_roles", HUB, "[!GetAtt DispatchQueue.Arn, !GetAtt CollectQueue.Arn]", "[!GetAtt DispatchQueue.Arn, !GetAtt DeployQueue.Arn]"),
    ("function_roles", HUB, "                  Action: secretsmanager:GetSecretValue\n                  Resource: !Ref SlackSigningSecretArn", "                  Action: secretsmanager:PutSecretValue\n                  Resource: !Ref SlackSigningSecretArn"),
    ("function_roles", "functions/respond/src/main.rs", "queues: SqsQueues", "ledger: DynamoLedger::new(clients.dynamodb(), table),\n            queues: SqsQueues"),
    ("function_urls", HUB, "      FunctionUrlAuthType: NONE\n", ""),
    ("function_urls", HUB, "      InvokedViaFunctionUrl: true\n", ""),
    ("function_urls", HUB, "      AuthType: NONE\n", "      AuthType: AWS_IAM\n"),
    ("function_urls", HUB, "InvokeMode: BUFFERED", "InvokeMode: RESPONSE_STREAM"),
    ("function_urls", HUB, "      TargetFunctionArn: !GetAtt RespondFunction.Arn", "      TargetFunctionArn: !GetAtt InspectFunction.Arn"),
    ("function_urls", HUB, "      FunctionName: !GetAtt RespondFunction.Arn\n      Action: lambda:InvokeFunction\n", "      FunctionName: !GetAtt DeployFunction.Arn\n      Action: lambda:InvokeFunction\n"),
    ("function_urls", HUB, "      ReservedConcurrentExecutions: !If [HasRespondConcurrency, !Ref RespondConcurrency, !Ref AWS::NoValue]\n", ""),
    ("function_urls", "functions/respond/src/lib.rs", "press::verify(", "press::believe("),
    ("function_urls", "functions/respond/src/lib.rs", "from_millis(2_500)", "from_millis(3_500)"),
    ("iam_principals", HUB, '"aws:SourceAccount": !Ref AWS::AccountId\n                "aws:SourceArn": !Sub "arn:${AWS::Partition}:scheduler', '"aws:PrincipalAccount": !Ref AWS::AccountId\n                "aws:PrincipalArn": !Sub "arn:${AWS::Partition}:scheduler'),
    ("rules", HUB, "account: !Ref MemberAccounts\n", "resources: !Ref MemberAccounts\n"),
    ("rules", HUB, "account: [!Ref AWS::AccountId]", "account: [{ exists: true }]"),
    ("rules", REGION, "source: [aws.codepipeline]", "source: [aws.codepipeline, my.app]"),
    ("rules", REGION, "          DeadLetterConfig: { Arn: !GetAtt UndeliveredQueue.Arn }\n", ""),
    ("rules", REGION, "                  - !If [HasPipelines, !GetAtt FailedActionRule.Arn, !Ref AWS::NoValue]\n", ""),
    ("rules", REGION, '          RoleArn: !Sub "arn:${AWS::Partition}:iam::${AWS::AccountId}:role/${ForwardRoleName}"\n', ""),
    ("logs", HUB, "      RetentionInDays: !Ref LogRetentionDays\n", ""),
    ("logs", HUB, "Resource: !GetAtt DeployLogs.Arn", "Resource: !GetAtt CollectLogs.Arn"),
    ("logs", HUB, "      LoggingConfig: { LogGroup: !Ref DeployLogs }\n", ""),
    ("runtimes", HUB, "Runtime: provided.al2023", "Runtime: provided.al2"),
    ("alarms", HUB, "Value: !GetAtt DeployDeadQueue.QueueName", "Value: !GetAtt CollectDeadQueue.QueueName"),
    ("alarms", HUB, "MetricName: ApproximateAgeOfOldestMessage", "MetricName: NumberOfMessagesSent"),
    ("alarms", HUB, "MetricName: Errors", "MetricName: Invocations"),
    ("alarms", HUB, "        - { Name: EventBusName, Value: !Ref HubBus }\n", ""),
    ("alarms", REGION, "AlarmActions: !If [HasAlarmTopic, [!Ref AlarmTopicArn], []]", "AlarmActions: []"),
    ("cfn_lint", ANSIBLE, "ExecutionMode: QUEUED", "ExecutionMode: QUEUE"),
    ("installable", CONTAINER, "arn:${AWS::Partition}:ecs", "arn:aws:ecs"),
    ("parameters", SERVERLESS, "Parameters: [PermissionsBoundaryArn]", "Parameters: []"),
    ("iam_principals", ANSIBLE, 'Condition: { StringEquals: { "aws:SourceAccount": !Ref AWS::AccountId } }', ""),
    ("iam_principals", CONTAINER, '                "sts:ExternalId": !Ref ExternalId\n', ""),
    ("example_actions", ANSIBLE, "Action: ssm:GetParameter", 'Action: "ssm:Get*"'),
    ("example_actions", CONTAINER, 'Condition: { StringEquals: { "iam:PassedToService": ecs-tasks.amazonaws.com } }', ""),
    ("example_actions", SERVERLESS, '                  StringEquals: { "iam:PermissionsBoundary"', '                  StringEquals: { "iam:ResourceTag/x"'),
    ("example_actions", SERVERLESS, "- lambda:AddPermission", "- cloudformation:ExecuteChangeSet"),
    ("example_actions", ANSIBLE, "                Action: ssm:StartSession", "                NotAction: ssm:StartSession"),
    ("example_actions", SERVERLESS, "      RoleName: !Sub", '      ManagedPolicyArns: ["arn:x:iam::aws:policy/PowerUserAccess"]\n      RoleName: !Sub'),
    ("example_actions", ARTIFACTS, '            Action: "kms:*"', "            Action: kms:PutKeyPolicy"),
    ("example_resources", ANSIBLE, "                Resource: !Ref ImageRepositoryArn", '                Resource: "*"'),
    ("example_resources", CONTAINER, "ecr:${HubRegion}:${HubAccount}:", "ecr:${HubRegion}:*:"),
    ("example_resources", "deploy/examples/container/release.yaml", '"aws:ResourceAccount": !Ref TargetAccounts', '"aws:RequestedRegion": !Ref AWS::Region'),
    ("example_resources", ANSIBLE, '"kms:ResourceAliases"', '"kms:RequestAlias"'),
    ("example_resources", CONTAINER, '                Action: ecr:GetAuthorizationToken\n                Resource: "*"', "                Action: ecr:GetAuthorizationToken\n                Resource: !GetAtt Cluster.Arn"),
    ("buckets", ARTIFACTS, "      BucketEncryption:", "      AnalyticsConfigurations:"),
    ("buckets", ARTIFACTS, "BlockPublicPolicy: true", "BlockPublicPolicy: false"),
    ("buckets", ANSIBLE, '"aws:SecureTransport": "false"', '"aws:SecureTransport": "true"'),
    ("buckets", CONTAINER, "      LifecycleConfiguration:\n        Rules:\n          - { Id: old, Status: Enabled, ExpirationInDays: !Ref AccessLogDays }\n", ""),
    ("buckets", "deploy/examples/serverless/release.yaml", '            Resource: [!GetAtt PipelineBucket.Arn, !Sub "${PipelineBucket.Arn}/*"]', "            Resource: [!GetAtt PipelineBucket.Arn]"),
    ("example_logs", ANSIBLE, "GroupName: !Ref Logs", "GroupName: builds"),
    ("example_logs", CONTAINER, "              awslogs-group: !Ref Logs", "              awslogs-group: /ecs/other"),
    ("example_logs", "deploy/examples/serverless/template.yaml", "      RetentionInDays: !Ref LogRetentionDays\n", ""),
    ("example_logs", "deploy/examples/serverless/template.yaml", ", LogGroup: !Ref Logs", ""),
    ("example_fleets", "deploy/examples/serverless/fleet.yaml", "      CodeKey:", "      CodeKeys:"),
    ("example_fleets", "deploy/examples/serverless/fleet.yaml", "role: orders-stack", "role: order-stack"),
    ("example_fleets", "deploy/examples/ansible-ec2/fleet.yaml", "pipelines: site-release", "pipelines: site"),
    ("example_fleets", ANSIBLE, "{ Name: HOSTS, DefaultValue", "{ Name: GROUP, DefaultValue"),
    ("example_fleets", ANSIBLE, '{ Name: PLAYBOOK, Value: "-" }', '{ Name: BOOK, Value: "-" }'),
    ("example_fleets", CONTAINER, 'AlarmName: !Sub "${Name}-errors"', 'AlarmName: !Sub "${Name}-5xx"'),
    ("example_fleets", CONTAINER, "DeploymentGroupName: !Ref Name", 'DeploymentGroupName: !Sub "${Name}-group"'),
    ("example_fleets", CONTAINER, "    Default: shop\n", "    Default: store\n"),
    ("example_events", "deploy/examples/container/events/failure.json", '"region": "eu-west-1"', '"region": "eu-west-2"'),
    ("example_events", "deploy/examples/serverless/events/success.json", '"account": "444455556666"', '"account": "444455556667"'),
    ("example_events", "deploy/examples/ansible-ec2/events/release.json", '"pipeline": "site-release"', '"pipeline": "web-release"'),
    ("alarms", HUB, "!If [HasOwnTopic, [!Ref AlarmTopic], []]", "[]"),
    ("figures", HUB, 'MetricName=\\"LeadTime\\"', 'MetricName=\\"LeedTime\\"'),
    ("figures", HUB, '{Manifold,Hub,App,Stage}', '{Manifold,Hub,Stage}'),
    ("figures", HUB, "MetricName: FailedRuns", "MetricName: FailedRollouts"),
    ("figures", HUB, "ispresent(TargetDuration)", "ispresent(Duration)"),
    ("figures", "shared/core/src/figures.rs", '"TimeToRestore"', '"TimeToRepair"'),
    ("figures", "functions/deploy/src/lib.rs", '"EventsRecovered"', '"EventsFound"'),
    ("iam_principals", HUB, '"aws:SourceAccount": !Ref AWS::AccountId }\n              ArnLike: { "aws:SourceArn": !Sub "arn:${AWS::Partition}:cloudwatch', '"aws:PrincipalAccount": !Ref AWS::AccountId }\n              ArnLike: { "aws:PrincipalArn": !Sub "arn:${AWS::Partition}:cloudwatch'),
    ("ledger", HUB, "AttributeName: expires_at", "AttributeName: ttl"),
    ("ledger", HUB, "UpdateReplacePolicy: Retain", "UpdateReplacePolicy: Delete"),
]


def self_test(root: Path):
    """Breaks a copy, once for each mutation. Returns what was not noticed."""
    missed = []
    untested = {each.__name__ for each in CHECKS} - {name for name, *_ in MUTATIONS}
    missed += [f"{name} has no mutation" for name in sorted(untested)]
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place)
        sources = ("deploy/*.yaml", "deploy/examples/**/*.yaml", "deploy/examples/*/events/*.json", "shared/aws/src/**/*.rs", "shared/core/src/*.rs", "functions/*/src/*.rs")
        for pattern in (*sources, "shared/core/src/event/s*.rs", "shared/core/tests/events/c*/*.json", "shared/core/tests/events/schedule/*.json"):
            for path in root.glob(pattern):
                (copy / path.relative_to(root)).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, copy / path.relative_to(root))
        for name, file, old, new in MUTATIONS:
            path = copy / file
            intact = path.read_text()
            if old not in intact:
                missed.append(f"{name}: {file} does not contain {old!r} any more")
                continue
            path.write_text(intact.replace(old, new, 1))
            found = problems(copy, only=name)
            path.write_text(intact)
            before, after = (" ".join(text.split())[:60] for text in (old, new))
            line = f"{name}: {file}: {before!r} -> {after!r}"
            if found:
                print(f"  noticed  {line}\n           {found[0][1].splitlines()[0]}")
            else:
                missed.append(f"{line} was not noticed")
        # The allow-list: silences what it names, and nothing that it need not name.
        path, place = copy / HUB, ("hub.yaml", "DispatchRole", "Ledger")
        ANY_RESOURCE[place] = "for this test"
        if not problems(copy, only="iam_resources"):
            missed.append("iam_resources: an entry of the allow-list that is not needed was not noticed")
        path.write_text(path.read_text().replace("Resource: !GetAtt Ledger.Arn", 'Resource: "*"', 1))
        if problems(copy, only="iam_resources"):
            missed.append("iam_resources: the allow-list does not silence what it names")
        del ANY_RESOURCE[place]
    return missed


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--self-test", action="store_true", help="break a copy of the templates, once for every check")
    arguments = arguments.parse_args()
    root = Path(__file__).resolve().parents[2]
    if arguments.self_test:
        missed = self_test(root)
        for words in missed:
            print(f"MISSED: {words}")
        print(f"{len(MUTATIONS)} mutations, {len(missed)} missed")
        return 1 if missed else 0
    found = problems(root)
    for name, words in found:
        print(f"{name}: {words}")
    examples = [path for path in (root / "deploy/examples").glob("**/*.yaml") if "AWSTemplateFormatVersion" in path.read_text()]
    print(f"{len(CHECKS)} checks of {len(TEMPLATES)} templates and {len(examples)} of examples, {len(found)} problems")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
