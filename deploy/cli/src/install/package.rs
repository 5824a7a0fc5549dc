//! What `deploy/package` made: one zip for each function, read and checked before anything is deployed.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use sha2::{Digest, Sha256};
use zip::ZipArchive;
use zip::result::ZipError;

use super::options::Architecture;
use crate::input::advise;

/// What Lambda starts (Lambda Developer Guide, "Building a custom runtime").
const BOOTSTRAP: &str = "bootstrap";
/// Where the function that reads the fleet file finds it.
const FLEET: &str = "fleet.yaml";
/// The function that reads the fleet file.
const READS_FLEET: &str = "dispatch";
/// As many bytes of the hash as keep keys apart and readable.
const HASH_BYTES: usize = 10;

/// The zips of all functions.
#[derive(Debug)]
pub(crate) struct Package {
    /// By function.
    pub(crate) zips: BTreeMap<String, Zip>,
    /// What all of them were built for.
    pub(crate) architecture: Architecture,
}

/// One function's zip.
#[derive(Debug)]
pub(crate) struct Zip {
    /// The file.
    pub(crate) path: PathBuf,
    /// Its content.
    pub(crate) bytes: Vec<u8>,
    /// A hash of its content, in hexadecimal.
    pub(crate) hash: String,
}

impl Package {
    /// Reads the zips of these functions, and checks that they belong together: one processor, and the same fleet file.
    ///
    /// # Errors
    /// A zip is missing, is none, is for another processor than the others or than `wanted`, or has another fleet file.
    pub(crate) fn read(
        directory: &Path,
        functions: &[String],
        wanted: Option<Architecture>,
        fleet: &str,
    ) -> Result<Self> {
        let again = format!("make the zips of this fleet file: deploy/package FLEET.yaml {}", directory.display());
        let mut zips = BTreeMap::new();
        let mut built: Option<(Architecture, PathBuf)> = None;
        for function in functions {
            let path = directory.join(format!("{function}.zip"));
            let bytes = fs::read(&path)
                .map_err(|error| advise(format!("failed to read the package {}: {error}", path.display()), &again))?;
            let mut archive = ZipArchive::new(Cursor::new(&bytes))
                .map_err(|error| advise(format!("{} is not a zip: {error}", path.display()), &again))?;
            let architecture = architecture(&mut archive, &path).map_err(|error| advise(error, &again))?;
            if let Some((other, first)) = built.as_ref().filter(|(other, _)| *other != architecture) {
                let (one, two) = (path.display(), first.display());
                return Err(advise(format!("{one} was built for {architecture}, and {two} for {other}"), &again));
            }
            if let Some(wanted) = wanted.filter(|wanted| *wanted != architecture) {
                return Err(advise(
                    format!("{} was built for {architecture}, not for {wanted}", path.display()),
                    format!(
                        "leave out --architecture, or build for {wanted}: TARGET={} deploy/package",
                        triple(wanted)
                    ),
                ));
            }
            let known =
                text(&mut archive, FLEET).with_context(|| format!("failed to read {FLEET} in {}", path.display()))?;
            match known {
                Some(known) if known != fleet => {
                    return Err(advise(format!("{} was made of another fleet file", path.display()), &again));
                }
                None if function == READS_FLEET => {
                    return Err(advise(format!("{} holds no {FLEET}", path.display()), &again));
                }
                Some(_) | None => {}
            }
            built.get_or_insert((architecture, path.clone()));
            let hash = hash(&bytes);
            zips.insert(function.clone(), Zip { path, bytes, hash });
        }
        let (architecture, _) = built.ok_or_else(|| anyhow!("the hub's template asks for no function"))?;
        Ok(Self { zips, architecture })
    }

    /// The S3 key of each function's zip: a changed zip has a new one, which is what makes CloudFormation update it.
    pub(crate) fn keys(&self, prefix: &str) -> BTreeMap<String, String> {
        let key = |(name, zip): (&String, &Zip)| (name.clone(), format!("{prefix}/{name}-{}.zip", zip.hash));
        self.zips.iter().map(key).collect()
    }
}

/// A hash of some content, in hexadecimal, for a key in S3.
pub(crate) fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(HASH_BYTES).map(|byte| format!("{byte:02x}")).collect()
}

fn triple(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::Arm64 => "aarch64-unknown-linux-gnu",
        Architecture::X86 => "x86_64-unknown-linux-gnu",
    }
}

/// The whole text of an entry, if there is one.
fn text(archive: &mut ZipArchive<Cursor<&Vec<u8>>>, name: &str) -> Result<Option<String>> {
    let mut entry = match archive.by_name(name) {
        Ok(entry) => entry,
        Err(ZipError::FileNotFound) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut text = String::new();
    entry.read_to_string(&mut text)?;
    Ok(Some(text))
}

/// What `bootstrap` was built for, by the head of the ELF file: four magic bytes, then, among others, whether it is of 64
/// bits (byte 4), the order of bytes (5), and the machine (18 and 19).
fn architecture(archive: &mut ZipArchive<Cursor<&Vec<u8>>>, path: &Path) -> Result<Architecture> {
    let mut head = [0; 20];
    let mut entry = match archive.by_name(BOOTSTRAP) {
        Ok(entry) => entry,
        Err(ZipError::FileNotFound) => return Err(anyhow!("{} holds no {BOOTSTRAP}", path.display())),
        Err(error) => return Err(anyhow!("failed to read {BOOTSTRAP} in {}: {error}", path.display())),
    };
    match entry.read_exact(&mut head) {
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
            return Err(anyhow!("failed to read {BOOTSTRAP} in {}: {error}", path.display()));
        }
        Ok(()) | Err(_) => {}
    }
    match (&head[..6], u16::from_le_bytes([head[18], head[19]])) {
        (b"\x7fELF\x02\x01", 62) => Ok(Architecture::X86),
        (b"\x7fELF\x02\x01", 183) => Ok(Architecture::Arm64),
        (b"\x7fELF\x02\x01", machine) => {
            Err(anyhow!("{BOOTSTRAP} in {} is for ELF machine {machine}, which Lambda does not have", path.display()))
        }
        _ => Err(anyhow!("{BOOTSTRAP} in {} is no program for 64-bit Linux", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;

    /// A directory of its own, gone with the test.
    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("manifold-package-{}-{name}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn zip(&self, function: &str, entries: &[(&str, &[u8])]) {
            let mut writer = ZipWriter::new(fs::File::create(self.0.join(format!("{function}.zip"))).unwrap());
            for (name, bytes) in entries {
                writer.start_file(*name, SimpleFileOptions::default()).unwrap();
                writer.write_all(bytes).unwrap();
            }
            writer.finish().unwrap();
        }

        fn read(&self, wanted: Option<Architecture>) -> Result<Package> {
            Package::read(&self.0, &["collect".to_owned(), "dispatch".to_owned()], wanted, "version: 1\n")
        }

        /// What is refused, without the path of the directory.
        fn refusal(&self, wanted: Option<Architecture>) -> String {
            self.read(wanted).unwrap_err().to_string().replace(&self.0.display().to_string(), "DIR")
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn elf(machine: u8) -> Vec<u8> {
        let mut bytes = b"\x7fELF\x02\x01".to_vec();
        bytes.resize(4096, 0);
        bytes[18] = machine;
        bytes
    }

    #[test]
    fn a_zip_has_a_new_key_when_its_content_changes() {
        let directory = Directory::new("keys");
        directory.zip("collect", &[("bootstrap", &elf(62))]);
        directory.zip("dispatch", &[("bootstrap", &elf(62)), ("fleet.yaml", b"version: 1\n")]);
        let first = directory.read(None).unwrap();
        assert_eq!(first.architecture, Architecture::X86);
        let keys = first.keys("manifold");
        assert!(keys["collect"].starts_with("manifold/collect-") && keys["collect"].ends_with(".zip"), "{keys:?}");
        directory.zip("collect", &[("bootstrap", &[elf(62), vec![1]].concat())]);
        let changed = directory.read(Some(Architecture::X86)).unwrap().keys("manifold");
        assert_ne!(changed["collect"], keys["collect"]);
        assert_eq!(changed["dispatch"], keys["dispatch"]);
    }

    #[test]
    fn what_does_not_belong_together_is_refused() {
        let directory = Directory::new("refused");
        let mut told = vec![directory.refusal(None)];
        fs::write(directory.0.join("collect.zip"), "no zip").unwrap();
        told.push(directory.refusal(None));
        directory.zip("collect", &[("bootstrap", &elf(183))]);
        told.push(directory.refusal(Some(Architecture::X86)));
        directory.zip("dispatch", &[("bootstrap", &elf(183))]);
        told.push(directory.refusal(None));
        directory.zip("dispatch", &[("bootstrap", &elf(183)), ("fleet.yaml", b"version: 2\n")]);
        told.push(directory.refusal(None));
        directory.zip("dispatch", &[("bootstrap", &elf(62)), ("fleet.yaml", b"version: 1\n")]);
        told.push(directory.refusal(None));
        directory.zip("dispatch", &[("bootstrap", b"#!/bin/sh\n"), ("fleet.yaml", b"version: 1\n")]);
        told.push(directory.refusal(None));
        directory.zip("dispatch", &[("fleet.yaml", b"version: 1\n")]);
        told.push(directory.refusal(None));
        insta::assert_snapshot!(told.join("\n\n"));
    }
}
