//! `deploy/package` as its users run it, but for the building: a stand-in for Cargo, and programs that are there already.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic is how a test fails")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A directory with a fleet file, built programs, and a Cargo that has nothing to do.
struct Workshop(PathBuf);

impl Workshop {
    fn new(name: &str) -> Self {
        let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("package").join(name);
        let _ = fs::remove_dir_all(&place);
        fs::create_dir_all(place.join("target/debug")).unwrap();
        fs::create_dir_all(place.join("bin")).unwrap();
        fs::write(place.join("bin/cargo"), "#!/bin/sh\n").unwrap();
        fs::set_permissions(place.join("bin/cargo"), fs::Permissions::from_mode(0o755)).unwrap();
        for function in fs::read_dir(root().join("functions")).unwrap() {
            let program = place.join("target/debug").join(function.unwrap().file_name());
            fs::copy("/bin/true", program).unwrap();
        }
        fs::write(place.join("fleet.yaml"), "version: 1\n").unwrap();
        Self(place)
    }

    #[expect(clippy::disallowed_methods, reason = "the stand-in goes before what is there already")]
    fn package(&self, fleet: &str, directory: &str) -> Output {
        let path = format!("{}:{}", self.0.join("bin").display(), std::env::var("PATH").unwrap());
        Command::new(root().join("deploy/package"))
            .args([fleet, directory])
            .current_dir(&self.0)
            .env("PATH", path)
            .env("CARGO_TARGET_DIR", self.0.join("target"))
            .env("PROFILE", "dev")
            .env("MEASURE", "no")
            .output()
            .unwrap()
    }

    fn has(&self, path: &str) -> bool {
        self.0.join(path).exists()
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
#[ignore = "needs Python and binutils; .ci/run has them"]
fn only_packages_of_an_earlier_version_are_taken_away() {
    let workshop = Workshop::new("others");
    let first = workshop.package("fleet.yaml", "out");
    assert!(first.status.success(), "{}", told(&first));
    fs::rename(workshop.0.join("out/sweep.zip"), workshop.0.join("out/retired.zip")).unwrap();
    fs::write(workshop.0.join("out/holiday.zip"), "somebody's photographs").unwrap();
    let again = workshop.package("fleet.yaml", "out");
    assert!(again.status.success(), "{}", told(&again));
    assert!(workshop.has("out/sweep.zip") && workshop.has("out/holiday.zip") && !workshop.has("out/retired.zip"));
}

#[test]
#[ignore = "needs Python and binutils; .ci/run has them"]
fn packages_are_made_again_of_the_copy_beside_them() {
    let workshop = Workshop::new("again");
    assert!(workshop.package("fleet.yaml", "v41").status.success());
    let again = workshop.package("v41/fleet.yaml", "v41");
    assert!(again.status.success(), "{}", told(&again));
    assert_eq!(fs::read_to_string(workshop.0.join("v41/fleet.yaml")).unwrap(), "version: 1\n");
}

#[test]
#[ignore = "needs Python and binutils; .ci/run has them"]
fn a_fleet_file_that_somebody_wrote_is_not_overwritten() {
    let workshop = Workshop::new("overwritten");
    fs::write(workshop.0.join("other.yaml"), "version: 1 # another\n").unwrap();
    let refused = workshop.package("other.yaml", ".");
    assert!(!refused.status.success(), "{}", told(&refused));
    assert!(told(&refused).contains("would be overwritten"), "{}", told(&refused));
    assert_eq!(fs::read_to_string(workshop.0.join("fleet.yaml")).unwrap(), "version: 1\n");
    // The copy of an earlier version gives way.
    assert!(workshop.package("fleet.yaml", "out").status.success());
    assert!(workshop.package("other.yaml", "out").status.success());
    assert_eq!(fs::read_to_string(workshop.0.join("out/fleet.yaml")).unwrap(), "version: 1 # another\n");
}

#[test]
#[ignore = "needs Python and binutils; .ci/run has them"]
fn a_program_with_a_c_library_of_its_own_is_packaged() {
    let workshop = Workshop::new("static");
    // The head of an ELF file that needs nothing: 64 bits, little-endian, a program for x86-64, without any section.
    let mut program = b"\x7fELF\x02\x01\x01".to_vec();
    program.resize(64, 0);
    (program[16], program[18], program[20], program[52]) = (2, 62, 1, 64);
    for function in fs::read_dir(workshop.0.join("target/debug")).unwrap() {
        fs::write(function.unwrap().path(), &program).unwrap();
    }
    // As it is, without symbols to strip.
    fs::write(workshop.0.join("bin/strip"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(workshop.0.join("bin/strip"), fs::Permissions::from_mode(0o755)).unwrap();
    let done = workshop.package("fleet.yaml", "out");
    assert!(done.status.success(), "{}", told(&done));
    assert!(workshop.has("out/dispatch.zip"));
}
