//! Bad input, by the thousand, in a few seconds: no panic, errors that are clear and short, and memory that is bounded by
//! what was read. What must hold is in `manifold_tests::fuzzing`; the fuzzers in `tests/fuzz/` search longer.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::panic::catch_unwind;
use std::sync::{Mutex, PoisonError};

use manifold_fleet::Fleet;
use manifold_tests::fuzzing::{SURFACES, Surface, findings, seeds};
use peakmem_alloc::{INSTRUMENTED_SYSTEM, PeakMemAllocTrait};

#[global_allocator]
static MEMORY: &peakmem_alloc::PeakMemAlloc<std::alloc::System> = &INSTRUMENTED_SYSTEM;

/// Memory is counted for the whole process, so that one surface is tried at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// How many inputs are made for a surface. Each of words is two summaries, drawn five ways.
fn inputs(surface: &str) -> usize {
    match surface {
        "words" => 150,
        "fleet" | "item" => 700,
        _ => 1_500,
    }
}

/// How much memory reading may take for each byte of input: a JSON value is some ten times its text, and it is read
/// more than once; a fleet file becomes a tree, then values, then targets.
const MOST_FOR_A_BYTE: usize = 400;
/// And besides, whatever is read: the sample run, a small fleet's templates, two messages to Slack.
const MOST_BESIDES: usize = 3 << 20;

/// What has a meaning somewhere, or makes trouble.
const WORDS: &[&str] = &[
    "null",
    "true",
    "-1",
    "0",
    "1e308",
    "1.5",
    "18446744073709551616",
    "-9223372036854775808",
    "4294967295",
    "\"\"",
    "[]",
    "{}",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "\\u0000",
    "\\ud800",
    "\0",
    "\n",
    "\r",
    "\t",
    "\u{202e}",
    "\u{feff}",
    "é",
    "日本",
    "🚀",
    "<!channel>",
    "<@U1>",
    "<https://evil.example|x>",
    "https://github.com/a|b",
    "&lt;",
    "`",
    "*",
    "|",
    "#",
    "\"schema\":2,",
    "\"type\":\"head\"",
    "\"detail-type\":\"x\"",
    "\"messageId\":null",
    "detail",
    "\"data\":",
    "*a",
    "&a ",
    "<<: *a",
    "- ",
    ": ",
    "{{",
    "}}",
    "{{ region }}",
    "{{ release.url",
    "{% x %}",
    "'",
    "|\n",
    ">\n",
    "\r\n",
    "---\n",
    "...\n",
    "? ",
    "!!str ",
    "!x ",
    "~",
    "\u{85}",
    "\u{2028}",
    "0123",
    "x-a: ",
    "dev",
    "prod",
    "exclude: ",
    "tags: ",
    "accounts: ",
    "waves: ",
    "value: ",
    "eu-west-1",
    "%YAML 1.2\n",
];

/// Damages inputs.
struct Mutator {
    random: fastrand::Rng,
    seeds: Vec<Vec<u8>>,
}

impl Mutator {
    fn any(&mut self) -> Vec<u8> {
        let seeds = &self.seeds;
        seeds[self.random.usize(..seeds.len())].clone()
    }

    fn part(&mut self, of: &[u8], most: usize) -> std::ops::Range<usize> {
        let start = self.random.usize(..=of.len());
        let end = (start + self.random.usize(..=most)).min(of.len());
        start..end
    }

    fn next(&mut self) -> Vec<u8> {
        let mut input = self.any();
        for _ in 0..self.random.usize(1..5) {
            let word = WORDS[self.random.usize(..WORDS.len())].as_bytes();
            match self.random.u8(..9) {
                // A bit, and a byte that is no text.
                0 => {
                    if let Some(at) = (!input.is_empty()).then(|| self.random.usize(..input.len())) {
                        input[at] ^= 1 << self.random.u8(..8);
                    }
                }
                1 => {
                    let at = self.random.usize(..=input.len());
                    input.insert(at, self.random.u8(128..));
                }
                // Less of it.
                2 => {
                    let part = self.part(&input, 60);
                    input.drain(part);
                }
                3 => input.truncate(self.random.usize(..=input.len())),
                // Something else in its place.
                4 | 5 => {
                    let part = self.part(&input, 20);
                    input.splice(part, word.iter().copied());
                }
                // Half of another one.
                6 => {
                    let other = self.any();
                    let tail = self.part(&other, other.len());
                    let head = self.part(&input, 40);
                    input.splice(head, other[tail].iter().copied());
                }
                // Much more of the same.
                7 => {
                    let part = self.part(&input, 200);
                    let again = input[part.clone()].repeat(self.random.usize(2..60));
                    input.splice(part.start..part.start, again);
                }
                // Deeper.
                _ => {
                    let depth = self.random.usize(1..400);
                    let at = self.random.usize(..=input.len());
                    let open = [&b"["[..], b"{\"a\":", b"{{", b"- "][self.random.usize(..4)];
                    input.splice(at..at, open.repeat(depth));
                }
            }
        }
        input
    }
}

fn name(surface: &str, input: &[u8]) -> String {
    format!("{surface}: {} bytes, {:?}", input.len(), String::from_utf8_lossy(&input[..input.len().min(2_000)]))
}

/// Reads one input, and gives how much memory that took at its most.
fn read((surface, holds): Surface, input: &[u8]) -> usize {
    MEMORY.reset_peak_memory();
    let done = catch_unwind(|| holds(input));
    let peak = MEMORY.get_peak_memory();
    assert!(done.is_ok(), "{}", name(surface, input));
    peak
}

fn try_out(surface: Surface) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let seeds = seeds(surface.0);
    // Of many that are much alike, some.
    for seed in seeds.iter().step_by(seeds.len().div_ceil(100)) {
        read(surface, seed);
    }
    let mut mutator = Mutator { random: fastrand::Rng::with_seed(9), seeds };
    for _ in 0..inputs(surface.0) {
        let input = mutator.next();
        let peak = read(surface, &input);
        let most = MOST_BESIDES + MOST_FOR_A_BYTE * input.len();
        assert!(peak <= most, "{peak} bytes of memory, {most} expected: {}", name(surface.0, &input));
    }
}

fn surface(wanted: &str) -> Surface {
    SURFACES.into_iter().find(|(name, _)| *name == wanted).unwrap()
}

macro_rules! surfaces {
    ($($test:ident: $surface:literal,)+) => {
        $(#[test]
        fn $test() {
            try_out(surface($surface));
        })+

        #[test]
        fn every_surface_is_tried_and_has_a_fuzzer() {
            let tried = [$($surface),+];
            assert_eq!(SURFACES.map(|(name, _)| name), tried);
            let manifest = include_str!("../fuzz/Cargo.toml");
            for surface in tried {
                assert!(manifest.contains(&format!("name = \"{surface}\"")), "{surface} has no fuzz target");
            }
        }
    };
}

surfaces! {
    a_damaged_event_is_refused_in_clear_words: "event",
    a_damaged_body_or_record_fails_alone: "batch",
    a_damaged_job_is_refused_and_not_quoted: "job",
    a_damaged_tick_is_refused_in_clear_words: "schedule",
    a_damaged_message_is_refused_in_clear_words: "message",
    a_damaged_item_is_refused_or_does_no_harm: "item",
    a_damaged_question_is_refused_in_clear_words: "question",
    a_damaged_press_is_refused_in_clear_words: "press",
    a_damaged_fleet_file_is_refused_with_places_in_it: "fleet",
    a_damaged_name_is_no_name: "names",
    any_pattern_means_what_it_says: "pattern",
    whatever_words_come_from_outside_slack_takes_them_and_they_speak_to_nobody: "words",
}

#[test]
fn every_beginning_of_a_good_fleet_file_is_read() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let text = include_bytes!("../../shared/fleet/tests/fleets/home.yaml");
    for end in 0..=text.len() {
        read(surface("fleet"), &text[..end]);
    }
}

#[test]
fn what_was_found_once_stays_mended() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for surface in SURFACES {
        for finding in findings(surface.0) {
            let peak = read(surface, &finding);
            assert!(peak <= MOST_BESIDES + MOST_FOR_A_BYTE * finding.len(), "{peak}: {}", name(surface.0, &finding));
        }
    }
}

#[test]
fn a_megabyte_of_anything_is_refused_in_a_few_words_and_a_few_megabytes() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let fill = |template: &str, with: &str| template.replace('@', &with.repeat((1 << 20) / with.len())).into_bytes();
    let templates = [
        "@",
        "\"@\"",
        "{\"@\":1}",
        "{\"type\":\"@\",\"data\":{}}",
        "{\"schema\":1,\"payload\":{\"type\":\"@\"}}",
        "{\"schema\":1,\"payload\":{\"type\":\"activate\",\"data\":{\"run\":\"@\"}}}",
        "{\"type\":\"queue\",\"data\":{\"current\":\"@\",\"next\":null,\"newest\":null}}",
        "{\"slack\":[{\"kind\":\"@\"}]}",
        "{\"source\":\"@\",\"detail-type\":\"x\",\"account\":\"1\"}",
        "version: @",
        "version: 1\n@: 1\n",
        "version: 1\n@: 1\n@@: 1\n",
        "version: 1\nhub: { account: \"@\", region: @ }\n",
    ];
    for surface in SURFACES {
        // To some, all of it is but a text.
        let is_text = ["words", "names", "pattern"].contains(&surface.0);
        for template in templates.into_iter().take(if is_text { 1 } else { usize::MAX }) {
            for with in ["7", "\u{202e}"] {
                let input = fill(template, with);
                let peak = read(surface, &input);
                assert!(peak <= MOST_BESIDES + 40 * input.len(), "{}: {peak} bytes for {template:?}", surface.0);
            }
        }
    }
}

#[test]
fn a_small_fleet_file_can_not_stand_for_a_fleet_without_end() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let problems_of = |text: &str| {
        MEMORY.reset_peak_memory();
        let problems = Fleet::parse("fleet.yaml", text).unwrap_err();
        let peak = MEMORY.get_peak_memory();
        let shown = problems.to_string();
        assert!(peak < 400 << 20, "{peak} bytes for {}", &shown[..shown.len().min(300)]);
        shown
    };
    let file = |accounts: usize, regions: usize, apps: usize, more: &str| {
        let accounts: String = (0..accounts).map(|n| format!("  a{n}: {{ id: \"{:012}\" }}\n", n + 1)).collect();
        let letters = |n: usize| {
            [n / 676 % 26, n / 26 % 26, n % 26].map(|n| char::from(b'a' + n as u8)).iter().collect::<String>()
        };
        let regions: String = (0..regions).map(|n| format!("  eu-{}-1:\n", letters(n))).collect();
        let app = |n: usize| {
            format!(
                "  app{n}:\n    release: {{ pipelines: r }}\n    engine: {{ codepipeline: {{ name: p{n} }} }}\n{more}"
            )
        };
        let apps: String = (0..apps).map(app).collect();
        format!(
            "version: 1\nhub: {{ account: \"111122223333\", region: us-east-1 }}\nregions:\n{regions}accounts:\n{accounts}\
             apps:\n{apps}"
        )
    };
    let shown = problems_of(&file(1_001, 1_000, 1, ""));
    assert!(shown.contains("more than 1000000 combinations of an account and a Region"), "{shown}");
    let shown = problems_of(&file(400, 251, 1, ""));
    assert!(shown.contains("the file has more than 100000 targets"), "{shown}");
    let exclusions = format!("    targets: {{ exclude: [{}] }}\n", "{ regions: eu-aaa-1 }, ".repeat(2_000));
    let shown = problems_of(&file(10, 10, 1, &exclusions));
    assert!(shown.contains("2000 exclusions; at most 1000 are read"), "{shown}");
    // Two hundred problems behind one anchor, used two hundred times; and thousands in one line.
    let many = format!("x-a: &a {{ {} }}\n", (0..200).map(|n| format!("k{n}: 1, ")).collect::<String>());
    let many =
        format!("{many}version: 1\naccounts:\n{}", (0..200).map(|n| format!("  a{n}: *a\n")).collect::<String>());
    let shown = problems_of(&many);
    assert!(shown.contains("more problems are not told"), "{}", &shown[shown.len() - 300..]);
    let line = format!("{{ version: 1, {} }}", (0..30_000).map(|n| format!("k{n}: 1, ")).collect::<String>());
    assert!(problems_of(&line).contains("more problems are not told"));
}
