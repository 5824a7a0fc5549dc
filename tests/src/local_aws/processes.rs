//! The processes of functions, if the emulator runs on this machine.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

/// An instance of a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its process id.
    pub id: u32,
    /// The function's name.
    pub function: String,
}

impl Process {
    /// Kills it with SIGKILL, unless it has ended by itself.
    ///
    /// # Panics
    /// It can't be killed.
    pub fn kill(&self) {
        let id = self.id.to_string();
        let killed = Command::new("kill").args(["-KILL", &id]).output().expect("kill can be run");
        assert!(killed.status.success() || !Path::new("/proc").join(&id).exists(), "process {id} can't be killed");
    }
}

/// The processes of all functions.
fn all() -> impl Iterator<Item = Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| {
        let id = entry.file_name().to_str()?.parse().ok()?;
        let environment = fs::read(entry.path().join("environ")).ok()?;
        let mut variables = environment.split(|byte| *byte == 0).map(String::from_utf8_lossy);
        let function = variables.find_map(|pair| Some(pair.strip_prefix("AWS_LAMBDA_FUNCTION_NAME=")?.to_owned()))?;
        Some(Process { id, function })
    })
}

/// Kills every instance of a function with SIGKILL, and says how many there were.
///
/// # Panics
/// An instance can't be killed.
pub fn kill(function: &str) -> usize {
    let instances: Vec<Process> = all().filter(|process| process.function == function).collect();
    instances.iter().for_each(Process::kill);
    instances.len()
}

/// The function's process at the other end of a connection over the loop-back interface, as Linux tells: `peer` is that
/// end, `here` is this one.
#[must_use]
pub fn at(peer: SocketAddr, here: SocketAddr) -> Option<Process> {
    let sockets = fs::read_to_string("/proc/net/tcp").ok()?;
    let (peer, here) = (as_the_kernel_writes(peer)?, as_the_kernel_writes(here)?);
    let socket = sockets.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let is_it = fields.get(1) == Some(&peer.as_str()) && fields.get(2) == Some(&here.as_str());
        is_it.then(|| fields.get(9).map(|inode| format!("socket:[{inode}]"))).flatten()
    })?;
    all().find(|process| {
        let files = fs::read_dir(format!("/proc/{}/fd", process.id)).into_iter().flatten().flatten();
        files.filter_map(|file| fs::read_link(file.path()).ok()).any(|target| target == Path::new(&socket))
    })
}

/// An address as in `/proc/net/tcp`: the bytes of IPv4 as a number of this machine.
fn as_the_kernel_writes(address: SocketAddr) -> Option<String> {
    match address {
        SocketAddr::V4(address) => {
            Some(format!("{:08X}:{:04X}", u32::from_ne_bytes(address.ip().octets()), address.port()))
        }
        SocketAddr::V6(_) => None,
    }
}
