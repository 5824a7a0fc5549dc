//! Plays as many seeds as are asked for, and says which fault met which state.
//!
//! ```sh
//! cargo run --profile simulation -p manifold-tests --no-default-features --bin simulation -- --seeds 100000
//! cargo run --profile simulation -p manifold-tests --no-default-features --bin simulation -- --seed 427
//! ```

#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "a tool that measures and prints")]

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use clap::Parser;
use manifold_tests::simulation::scenario::Scenario;
use manifold_tests::simulation::{Failure, Search, play, play_seed};

/// Plays seeds, each a story of its own, and checks every law after every step.
#[derive(Debug, Parser)]
struct Options {
    /// How many seeds.
    #[arg(long, default_value_t = 100_000)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Tell one seed's story in full, as it is, whether it breaks a law or not.
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// Stories of drift checks instead of rollouts.
    #[arg(long)]
    drift: bool,
    /// How many at once; as many as there are cores if it is not told.
    #[arg(long)]
    threads: Option<usize>,
}

fn main() -> ExitCode {
    let options = Options::parse();
    if options.drift {
        return drift(options.seed.map_or(options.from, |seed| seed), options.seed.map_or(options.seeds, |_| 1));
    }
    if let Some(seed) = options.seed {
        return tell(seed);
    }
    let threads =
        options.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get));
    let began = Instant::now();
    let (next, stop) = (AtomicU64::new(options.from), AtomicBool::new(false));
    let end = options.from.saturating_add(options.seeds);
    let parts: Vec<Search> = std::thread::scope(|scope| {
        let part = || {
            let mut part = Search::default();
            while !stop.load(Ordering::Relaxed) {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= end {
                    break;
                }
                part.seeds += 1;
                match play_seed(seed, &mut part.coverage) {
                    Ok(points) => part.points += points,
                    Err(failure) => {
                        stop.store(true, Ordering::Relaxed);
                        part.failure = Some(failure);
                    }
                }
            }
            part
        };
        let parts: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(part)).collect();
        parts.into_iter().filter_map(|part| part.join().ok()).collect()
    });
    let mut whole = Search::default();
    for part in parts {
        whole.seeds += part.seeds;
        whole.points += part.points;
        whole.coverage.merge(part.coverage);
        whole.failure = whole.failure.or(part.failure);
    }
    let took = began.elapsed();
    println!("{}", whole.coverage);
    let empty = whole.coverage.empty();
    println!("{} of {} cells are empty", empty.len(), manifold_tests::simulation::coverage::Coverage::cells());
    for cell in &empty {
        println!("  {cell}");
    }
    let per_second = whole.seeds as f64 / took.as_secs_f64();
    println!(
        "\n{} seeds from {}, {} points passed, {:.0} s, {per_second:.0} seeds a second",
        whole.seeds,
        options.from,
        whole.points,
        took.as_secs_f64()
    );
    match whole.failure {
        None => {
            println!("every law held after every step");
            ExitCode::SUCCESS
        }
        Some(failure) => {
            println!("\n{failure}");
            ExitCode::FAILURE
        }
    }
}

fn tell(seed: u64) -> ExitCode {
    let scenario = Scenario::of(seed);
    let played = play(&scenario, true);
    match played.broken {
        None => {
            println!("{}", manifold_tests::simulation::Tale(&played.tale));
            println!("every law held after every step of\n\n{scenario}");
            ExitCode::SUCCESS
        }
        Some(first) => {
            println!("{}", Failure::of(seed, first));
            ExitCode::FAILURE
        }
    }
}

/// Plays stories of drift checks, on all cores.
fn drift(from: u64, seeds: u64) -> ExitCode {
    let began = Instant::now();
    let (next, points) = (AtomicU64::new(from), AtomicU64::new(0));
    let end = from.saturating_add(seeds);
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let failed: Vec<(u64, String)> = std::thread::scope(|scope| {
        let part = || {
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= end {
                    return None;
                }
                match manifold_tests::simulation::drift::play(seed) {
                    Ok(passed) => points.fetch_add(passed, Ordering::Relaxed),
                    Err(broken) => return Some((seed, broken)),
                };
            }
        };
        let parts: Vec<_> = (0..cores).map(|_| scope.spawn(part)).collect();
        parts.into_iter().filter_map(|part| part.join().ok().flatten()).collect()
    });
    for (seed, broken) in &failed {
        println!("seed {seed}: {broken}");
    }
    println!(
        "{} stories of drift checks, {} points passed, in {:.1?}",
        next.load(Ordering::Relaxed).min(end) - from,
        points.load(Ordering::Relaxed),
        began.elapsed()
    );
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
