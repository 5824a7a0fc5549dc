//! Records what this version leaves behind in the middle of its runs, for the versions that follow:
//!
//! ```sh
//! cargo run -p manifold-tests --no-default-features --example record_stored -- tests/stored/schema-1-what-is-new
//! ```

#![allow(clippy::expect_used, reason = "a panic is how a recording fails")]

use std::path::PathBuf;

use manifold_tests::stored::record;

fn main() {
    let folder: PathBuf =
        std::env::args_os().nth(1).expect("the folder to write, such as tests/stored/schema-1-x").into();
    std::fs::create_dir_all(&folder).expect("the folder can be made");
    let (fixtures, _) = record("new");
    for fixture in fixtures {
        std::fs::write(folder.join(&fixture.step).with_extension("json"), fixture.text())
            .expect("a file can be written");
    }
}
