//! What drift checks cost: a check in which all is in sync, counted in the embedded run, and priced.
//!
//! ```sh
//! cargo run -p manifold-tests --no-default-features --example drift_cost
//! ```
//!
//! Counted are calls, messages, DynamoDB's units by the weight of each item, invocations and their (simulated) time. Prices
//! are the public ones of us-east-1, on demand, without any free tier; calls of CodePipeline, CloudFormation and STS are free.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a tool that measures and prints")]

use std::collections::BTreeMap;

use manifold_local::simulation::Simulation;
use manifold_ports::clock::Clock;
use manifold_tests::simulation::drift::{check, fleet};
use manifold_tests::story::Story;

/// Lambda, arm64: a GB-second, and a request ("AWS Lambda Pricing").
const GB_SECOND: f64 = 0.000_013_333_4;
const REQUEST: f64 = 0.20 / 1e6;
/// What a function has ("MemorySize" in `deploy/hub.yaml`).
const GB: f64 = 0.25;
/// SQS, standard queues ("Amazon SQS pricing"): a request of up to 64 KB. Each message is received and deleted, too.
const SQS: f64 = 0.40 / 1e6;
/// DynamoDB, on demand ("Pricing for on-demand capacity").
const WRITE: f64 = 0.625 / 1e6;
const READ: f64 = 0.125 / 1e6;
/// EventBridge: an event that is forwarded to another account, one for each drift detection ("Amazon EventBridge pricing").
const EVENT: f64 = 1.00 / 1e6;

/// The calls of other services that a look makes, by what the embedded run calls them.
const CALLS: [(&str, &str); 7] = [
    ("sts.assume_role", "STS AssumeRole (one an account in a while on AWS)"),
    ("watch.pipeline", "CodePipeline GetPipeline"),
    ("watch.executions", "CodePipeline ListPipelineExecutions"),
    ("watch.deployed", "CodePipeline ListPipelineExecutions, by stage"),
    ("watch.state", "CodePipeline GetPipelineState"),
    ("watch.detect", "CloudFormation DetectStackDrift"),
    ("watch.detected", "CloudFormation DescribeStackDriftDetectionStatus, and what drifted"),
];

/// How often what was done.
type Counts = BTreeMap<&'static str, u64>;
/// What a part of a check costs, in dollars.
type Price = fn(&Counts) -> f64;

fn main() {
    println!("{:<72}{:>12}{:>16}", "", "10 targets", "10,000 targets");
    let (small, large) = (count(small()), count(large()));
    let row = |name: &str, of: &dyn Fn(&Counts, f64) -> f64| {
        println!("{name:<72}{:>12.2}{:>16.2}", of(&small, 10.0), of(&large, 10_000.0));
    };
    println!("calls per target and check");
    for (call, name) in CALLS {
        row(&format!("  {name}"), &|counts, targets| get(counts, call) / targets);
    }
    row("  messages between functions", &|counts, targets| get(counts, "sqs.messages") / targets);
    row("  invocations", &|counts, targets| get(counts, "lambda.invocations") / targets);
    row("  units read", &|counts, targets| get(counts, "units.read") / targets);
    row("  units written", &|counts, targets| get(counts, "units.write") / targets);
    let (hourly, daily) = (24.0 * 30.0, 30.0);
    println!("dollars a month                                                          hourly            daily");
    let parts: [(&str, Price); 4] =
        [("Lambda", lambda), ("SQS", sqs), ("DynamoDB", dynamodb), ("EventBridge", eventbridge)];
    for (name, part) in parts {
        println!("{:<72}{:>12.2}{:>16.2}", format!("  {name}"), part(&small) * hourly, part(&large) * daily);
    }
    let all = |counts| parts.iter().map(|(_, part)| part(counts)).sum::<f64>();
    println!("{:<72}{:>12.2}{:>16.2}", "  all", all(&small) * hourly, all(&large) * daily);
}

fn get(counts: &Counts, what: &str) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "counts of a tool that prints two decimals")]
    let count = counts.get(what).copied().unwrap_or(0) as f64;
    count
}

fn lambda(counts: &Counts) -> f64 {
    get(counts, "lambda.millis") / 1000.0 * GB * GB_SECOND + get(counts, "lambda.invocations") * REQUEST
}

fn sqs(counts: &Counts) -> f64 {
    // Sent in batches; received and deleted with each invocation.
    (get(counts, "sqs.requests") + 2.0 * get(counts, "lambda.invocations")) * SQS
}

fn dynamodb(counts: &Counts) -> f64 {
    get(counts, "units.read") * READ + get(counts, "units.write") * WRITE
}

fn eventbridge(counts: &Counts) -> f64 {
    get(counts, "watch.detect") * EVENT
}

/// The second check of a fleet, for the first one records definitions; without the sweep's ticks at rest.
fn count(mut simulation: Simulation) -> Counts {
    simulation.run().unwrap();
    check(&mut simulation).unwrap();
    simulation.world().weigh();
    let before = simulation.world().calls();
    let began = simulation.world().now();
    check(&mut simulation).unwrap();
    let mut counts = simulation.world().calls();
    counts.iter_mut().for_each(|(call, count)| *count -= before.get(call).copied().unwrap_or(0));
    // A tick a minute, from one check to the next, is what the sweep costs anyway.
    let ticks = u64::try_from(simulation.world().now().since(began).as_seconds_ceil() / 60).unwrap_or(0);
    for (what, each) in [("lambda.invocations", 1), ("units.read", 1)] {
        counts.entry(what).and_modify(|count| *count = count.saturating_sub(ticks * each));
    }
    counts
}

fn small() -> Simulation {
    Story::new().fleet(fleet("")).begin()
}

/// 1,000 accounts in ten Regions.
fn large() -> Simulation {
    use std::fmt::Write;
    let mut yaml = fleet("");
    let (head, rest) = yaml.split_once("\nregions:\n").unwrap();
    let (_, apps) = rest.split_once("\napps:\n").unwrap();
    let mut text = format!("{head}\nregions:\n");
    for region in [
        "us-east-1",
        "us-east-2",
        "us-west-1",
        "us-west-2",
        "ca-central-1",
        "eu-west-1",
        "eu-west-2",
        "eu-central-1",
        "ap-southeast-2",
        "ap-northeast-1",
    ] {
        writeln!(text, "  {region}:").unwrap();
    }
    text.push_str("accounts:\n");
    for account in 0..1_000 {
        let stage = if account == 0 { "dev" } else { "prod" };
        let name = if account == 0 { "dev".to_owned() } else { format!("prod-{account}") };
        writeln!(text, "  {name}: {{ id: \"{:012}\", tags: {{ stage: {stage} }} }}", 400_000_000_000_u64 + account)
            .unwrap();
    }
    text.push_str("\napps:\n");
    text.push_str(apps);
    yaml = text.replace("max_concurrent: 2", "max_concurrent: 500").replace("deadline: 2h", "deadline: 10h");
    Story::new().fleet(yaml).begin()
}
