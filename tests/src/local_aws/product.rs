//! The product as a user builds it: `deploy/package` for the functions, the command `manifold`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::server::{directory, run};

/// Adds a file to a zip, in place of the one of that name.
const PUT_INTO_ZIP: &str = "
import shutil, sys, zipfile
package, name, source, out = sys.argv[1:]
with zipfile.ZipFile(package) as old, zipfile.ZipFile(out, 'w', zipfile.ZIP_DEFLATED, compresslevel=1) as new:
    for entry in old.infolist():
        if entry.filename != name:
            new.writestr(entry, old.read(entry))
    new.write(source, name)
";

/// What was built.
#[derive(Debug, Clone)]
pub struct Product {
    packages: PathBuf,
    command: PathBuf,
}

/// How a command ended.
#[derive(Debug, Clone)]
pub struct Done {
    /// Its exit status.
    pub status: Option<i32>,
    /// What it wrote to standard output.
    pub out: String,
    /// What it wrote to standard error.
    pub err: String,
}

impl Done {
    /// Standard output as one JSON document.
    ///
    /// # Panics
    /// It is something else.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("no JSON: {error}\n{}\n{}", self.out, self.err))
    }
}

impl Product {
    /// Builds the functions with the development profile, which shares all dependencies with the tests, packages them as
    /// a user does, and builds the command.
    ///
    /// # Panics
    /// Something does not build.
    #[must_use]
    pub fn build() -> Self {
        let home = directory();
        let target = home.parent().expect("the target directory");
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository");
        let packages = home.join("packages");
        let cargo = |command: &mut Command| {
            // Cargo sets what describes the package under test; a build of another one must not see it.
            let inherited = std::env::vars_os().filter(|(name, _)| {
                let name = name.to_string_lossy();
                name.starts_with("CARGO_PKG") || name.starts_with("CARGO_MANIFEST") || name == "CARGO_PRIMARY_PACKAGE"
            });
            for (name, _) in inherited {
                command.env_remove(name);
            }
            command.env("CARGO_TARGET_DIR", target).current_dir(root);
            let done = command.stdin(Stdio::null()).output().expect("a build starts");
            assert!(done.status.success(), "{command:?} failed:\n{}", String::from_utf8_lossy(&done.stderr));
        };
        let fleet = root.join("deploy/examples/fleet.yaml");
        cargo(Command::new(root.join("deploy/package")).arg(&fleet).arg(&packages).env("PROFILE", "dev"));
        // After the packages, which validate their fleet file with a build that can't talk to AWS; and out of Cargo's way.
        cargo(Command::new(env!("CARGO")).args(["build", "--locked", "--package=manifold", "--features=aws"]));
        let command = home.join("manifold");
        let _ = fs::remove_file(&command);
        fs::copy(target.join("debug/manifold"), &command).expect("a copy of the command");
        Self { packages, command }
    }

    /// The packages with a fleet file of its own, in a directory.
    ///
    /// # Panics
    /// They can't be written.
    pub fn package(&self, fleet: &Path, out: &Path) {
        fs::create_dir_all(out).expect("a directory for the packages");
        for entry in fs::read_dir(&self.packages).expect("packages").flatten() {
            let copy = out.join(entry.file_name());
            if entry.file_name() == "dispatch.zip" {
                let words = [&entry.path(), Path::new("fleet.yaml"), fleet, &copy]
                    .map(|path| path.to_string_lossy().into_owned());
                let mut arguments = vec!["-c", PUT_INTO_ZIP];
                arguments.extend(words.iter().map(String::as_str));
                run("python3", &arguments);
            } else {
                // Nobody writes to them; a link does where the file system has links.
                let _ = fs::remove_file(&copy);
                fs::hard_link(entry.path(), &copy)
                    .or_else(|_| fs::copy(entry.path(), &copy).map(drop))
                    .expect("a copy");
            }
        }
    }

    /// Runs the command as the root user of an account, against an endpoint.
    ///
    /// # Panics
    /// It can't be started.
    pub async fn manifold(&self, endpoint: &str, account: &str, arguments: &[&str]) -> Done {
        let mut command = Command::new(&self.command);
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", "/nonexistent")
            .env("AWS_ENDPOINT_URL", endpoint)
            .env("AWS_ACCESS_KEY_ID", account)
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .args(arguments)
            .stdin(Stdio::null());
        let done = tokio::task::spawn_blocking(move || command.output()).await.expect("a thread");
        let done = done.unwrap_or_else(|error| panic!("{} can't be started: {error}", self.command.display()));
        Done {
            status: done.status.code(),
            out: String::from_utf8_lossy(&done.stdout).into_owned(),
            err: String::from_utf8_lossy(&done.stderr).into_owned(),
        }
    }
}
