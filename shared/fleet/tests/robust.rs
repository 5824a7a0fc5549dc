//! Whatever the text is, reading it ends, and every problem is somewhere in it.

mod support;

use manifold_fleet::Fleet;
use proptest::prelude::*;
use support::HOME;

fn holds(text: &str) -> Result<(), TestCaseError> {
    let Err(problems) = Fleet::parse("fleet.yaml", text) else { return Ok(()) };
    prop_assert!(problems.len() > 0);
    let lines = text.split('\n').flat_map(|line| line.split('\r')).count();
    let mut last = (0, 0);
    for problem in &problems {
        let range = problem.range();
        prop_assert!(range.start <= range.end && range.end <= text.len(), "{problem}: {range:?}");
        prop_assert!(text.is_char_boundary(range.start) && text.is_char_boundary(range.end), "{problem}: {range:?}");
        prop_assert!(!text[range].contains(['\n', '\r']), "{problem}");
        prop_assert!(
            problem.line() >= 1 && usize::try_from(problem.line()).is_ok_and(|line| line <= lines),
            "{problem}"
        );
        prop_assert!(problem.column() >= 1, "{problem}");
        prop_assert!((problem.line(), problem.column()) >= last, "{problem} is out of order");
        prop_assert!(!problem.to_string().contains(['\n', '\r']), "{problem}");
        last = (problem.line(), problem.column());
    }
    Ok(())
}

/// Words that mean something to a reader of fleet files, and some that mean trouble.
const WORDS: &[&str] = &[
    "*a",
    "&a ",
    "<<: *a",
    "- ",
    ": ",
    "{",
    "}",
    "[",
    "]",
    "{{",
    "}}",
    "{{ region }}",
    "{{ release.url",
    "{% x %}",
    "\"",
    "'",
    "|\n",
    ">\n",
    "\n",
    "\r\n",
    "\r",
    "\t",
    "#",
    "---\n",
    "...\n",
    "? ",
    "!!str ",
    "!x ",
    "~",
    "null",
    "é",
    "日本",
    "\u{feff}",
    "\u{85}",
    "\u{2028}",
    "\0",
    "0123",
    "true",
    "x-a: ",
    "dev",
    "prod",
    "exclude: ",
    "tags: ",
    "accounts: ",
    "waves: ",
    "value: ",
    "eu-west-1",
    "\\u",
    "%YAML 1.2\n",
];

fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[test]
fn every_prefix_of_a_good_file_is_read_without_panic() {
    for end in 0..=HOME.len() {
        holds(&HOME[..floor(HOME, end)]).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_mutated_file_is_read_without_panic(
        edits in prop::collection::vec((0..HOME.len(), 0..40_usize, prop::sample::select(WORDS)), 1..6),
    ) {
        let mut text = HOME.to_owned();
        for (at, length, word) in edits {
            let from = floor(&text, at);
            let to = floor(&text, from + length).max(from);
            text.replace_range(from..to, word);
        }
        holds(&text)?;
    }

    #[test]
    fn any_text_is_read_without_panic(words in prop::collection::vec(prop::sample::select(WORDS), 0..30)) {
        holds(&words.concat())?;
    }
}
