//! Fills the fuzzers' corpus with what is recorded and documented: `tests/fuzz/corpus/<target>/`.
//!
//! ```sh
//! cargo run -p manifold-tests --no-default-features --example seed_corpus
//! ```

#![allow(clippy::expect_used, reason = "a panic is how it fails")]

use std::fs;
use std::path::Path;

use manifold_tests::fuzzing::{SURFACES, seeds};

fn main() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for (surface, _) in SURFACES {
        let folder = corpus.join(surface);
        fs::create_dir_all(&folder).expect("the folder can be made");
        for (index, seed) in seeds(surface).into_iter().enumerate() {
            fs::write(folder.join(format!("seed-{index:04}")), seed).expect("a file can be written");
        }
    }
}
