//! The emulator: installed into a private environment, started, and ended with the tests.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{Region, SdkConfig};
use aws_credential_types::Credentials;
use manifold_aws::clients;

use super::patience;

/// The emulator's version: what it does not know, this folder's stand-ins supply, and both were tried together.
const MINISTACK: &str = "1.5.33";
/// Names the endpoint of an emulator that runs already.
const ENDPOINT: &str = "MANIFOLD_TEST_ENDPOINT";
/// Names the port of the front, to which that emulator's functions are pointed.
const FRONT: &str = "MANIFOLD_TEST_FRONT_PORT";

/// A local AWS that listens on HTTP.
#[derive(Debug)]
pub struct Server {
    url: String,
    own: Option<Own>,
}

/// An emulator that this process started. Its standard input is held open as long as this lives: when it closes, for
/// whatever reason, the emulator and all functions that it runs end (`serve.py`).
#[derive(Debug)]
struct Own {
    _child: Child,
    log: PathBuf,
}

/// The endpoint of an emulator that somebody else started, if one was named.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "for tests only")]
pub fn given() -> Option<String> {
    std::env::var(ENDPOINT).ok().filter(|url| !url.is_empty()).map(|url| url.trim_end_matches('/').to_owned())
}

/// The port of the front that such an emulator's functions know.
///
/// # Panics
/// It is not named.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "for tests only")]
pub fn given_front() -> u16 {
    let port = std::env::var(FRONT).ok().and_then(|port| port.parse().ok());
    port.unwrap_or_else(|| {
        panic!("{ENDPOINT} is set, so {FRONT} must be the port that the emulator's functions find it at")
    })
}

/// A port that nobody listens on now.
///
/// # Panics
/// There is none.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}

impl Server {
    /// The emulator at an endpoint.
    #[must_use]
    pub fn at(url: &str) -> Self {
        Self { url: url.to_owned(), own: None }
    }

    /// Installs the emulator if it is not there yet, and starts it on a port. Its functions find these services at these
    /// endpoints, and everything else at the emulator's own.
    ///
    /// # Panics
    /// Python is missing, the package index can't be reached, or the emulator does not start: says why.
    #[must_use]
    pub fn start(port: u16, services: &[(&str, &str)]) -> Self {
        let home = directory();
        let python = environment(&home);
        let run = home.join(format!("run-{}", std::process::id()));
        fs::create_dir_all(&run).expect("a directory for the emulator");
        let log = home.join("ministack.log");
        let output = File::create(&log).expect("a log for the emulator");
        let url = format!("http://127.0.0.1:{port}");
        let mut command = Command::new(&python);
        // Functions inherit this environment: nothing of the host's may reach them.
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", &run)
            .env("TMPDIR", &run)
            .env("GATEWAY_PORT", port.to_string())
            .env("AUTH", "true")
            .env("LOG_LEVEL", "INFO")
            .env("AWS_ENDPOINT_URL", &url)
            .envs(services.iter().map(|(service, url)| (format!("AWS_ENDPOINT_URL_{service}"), url)))
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/src/local_aws/serve.py"))
            .arg(&run)
            .current_dir(&run)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(output.try_clone().expect("a second handle of the log"))
            .stderr(output);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("failed to start {}: {error}", python.display()));
        let up = patience::blocking(Duration::from_secs(60), || {
            assert!(child.try_wait().ok().flatten().is_none(), "the emulator ended:\n{}", tail(&log));
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        assert!(up, "the emulator does not listen on port {port} after a minute:\n{}", tail(&log));
        Self { url, own: Some(Own { _child: child, log }) }
    }

    /// Where it listens.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The last lines that it wrote, its functions' logs among them.
    #[must_use]
    pub fn log(&self) -> String {
        self.own.as_ref().map_or_else(|| format!("see the log of {}", self.url), |own| tail(&own.log))
    }

    /// The SDK's configuration of an account's root user in a Region. More patient than functions are: a machine that is
    /// busy with many stories is no failure of any.
    #[must_use]
    pub async fn root(&self, account: &str, region: &str) -> SdkConfig {
        let patient = TimeoutConfig::builder().operation_timeout(Duration::from_secs(300));
        clients::loader()
            .timeout_config(patient.build())
            .endpoint_url(&self.url)
            .region(Region::new(region.to_owned()))
            .credentials_provider(Credentials::new(account, "test", None, None, "root"))
            .load()
            .await
    }
}

/// Where the emulator is installed: in the target directory, which outlives a run of the tests and is not the
/// repository's.
pub(super) fn directory() -> PathBuf {
    let binary = std::env::current_exe().expect("the test's own path");
    // target/debug/deps/end_to_end-0123
    let target = binary.ancestors().nth(3).expect("a target directory");
    let directory = target.join("local-aws");
    fs::create_dir_all(&directory).expect("a directory for the emulator");
    directory
}

/// The Python of the emulator's environment, which is made when it is not there.
fn environment(home: &Path) -> PathBuf {
    let lock =
        OpenOptions::new().create(true).truncate(false).write(true).open(home.join("lock")).expect("a lock file");
    lock.lock().expect("the lock on the emulator's environment");
    let environment = home.join(format!("ministack-{MINISTACK}"));
    let python = environment.join("bin/python");
    let complete = environment.join("complete");
    if !complete.exists() {
        let _ = fs::remove_dir_all(&environment);
        run("python3", &["-m", "venv", &environment.to_string_lossy()]);
        let package = format!("ministack=={MINISTACK}");
        run(&python.to_string_lossy(), &["-m", "pip", "install", "--quiet", "--disable-pip-version-check", &package]);
        File::create(&complete).expect("a mark that the environment is complete");
    }
    python
}

pub(super) fn run(program: &str, arguments: &[&str]) {
    let done = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let done = done.unwrap_or_else(|error| panic!("{program}, which the end-to-end tests need, can't be run: {error}"));
    assert!(
        done.status.success(),
        "{program} {} failed:\n{}{}",
        arguments.join(" "),
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr)
    );
}

fn tail(log: &Path) -> String {
    let mut text = String::new();
    let read = File::open(log).and_then(|mut file| {
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(20_000)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        text = String::from_utf8_lossy(&bytes).into_owned();
        Ok(())
    });
    match read {
        Ok(()) => text,
        Err(error) => format!("{}: {error}", log.display()),
    }
}
