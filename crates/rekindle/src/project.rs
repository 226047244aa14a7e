//! The packages that are to be built and all that they need, as their manifests say.
//!
//! A manifest may name packages in other directories, and those further ones; all of them are read before anything
//! else is done, so that a mistake in any costs nothing. A directory without a manifest is recognised by its build
//! system.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rekindle_units::cargo::Lock;
use rekindle_units::infer::{Inferred, Listing, infer, wants_content};
use rekindle_units::lower::order;
use rekindle_units::manifest::{BuildSystem, FILE_NAME, InputFrom, Manifest, Package, PackageName, Source};
use rustix::fs::{Mode, OFlags};

use crate::cli_error::CliError;

/// What is larger is no text that somebody wrote to say what to build, nor a tool for that.
const LARGEST: u64 = 16 << 20;

/// Packages, each after those that it uses.
#[derive(Debug)]
pub(crate) struct Project {
    /// The packages.
    pub(crate) members: Vec<Member>,
    /// Those that were asked for, by their place among the members, in the order in which they were named.
    pub(crate) goals: Vec<usize>,
}

/// One package of a project.
#[derive(Debug)]
pub(crate) struct Member {
    /// The directory of its manifest: absolute, without links.
    pub(crate) dir: PathBuf,
    /// What the manifest says. The build system is known.
    pub(crate) package: Package,
    /// For each of its inputs the member that it is, if it is one.
    pub(crate) uses: Vec<Option<usize>>,
    /// The `Cargo.lock` of a Cargo project that lies in a directory.
    pub(crate) lock: Option<Lock>,
}

/// A package by directory and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Id {
    dir: PathBuf,
    name: PackageName,
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.dir.display())
    }
}

impl Project {
    /// Reads the packages of directories, and what they need. `wanted` are names of packages; if there are none, all
    /// packages of the directories are asked for.
    pub(crate) fn load(dirs: &[PathBuf], wanted: &[String]) -> Result<Project, CliError> {
        let mut reader = Reader::default();
        let mut goals = Vec::new();
        let mut unknown: BTreeSet<&str> = wanted.iter().map(String::as_str).collect();
        let mut known = Vec::new();
        for dir in dirs {
            let dir = directory(dir)?;
            for name in reader.manifest(&dir)?.packages().keys() {
                unknown.remove(name.as_str());
                known.push(name.to_string());
                let id = Id { dir: dir.clone(), name: name.clone() };
                if (wanted.is_empty() || wanted.iter().any(|wanted| wanted == name.as_str()))
                    && !goals.contains(&id)
                {
                    goals.push(id);
                }
            }
        }
        if let Some(name) = unknown.first() {
            let known = known.join(", ");
            return Err(CliError::user(format!("there is no package {name:?}; there is {known}")));
        }
        reader.into_project(&goals)
    }
}

/// Everything that was read so far.
#[derive(Debug, Default)]
struct Reader {
    manifests: BTreeMap<PathBuf, Manifest>,
}

impl Reader {
    /// The manifest of a directory, written or inferred.
    fn manifest(&mut self, dir: &Path) -> Result<&Manifest, CliError> {
        if !self.manifests.contains_key(dir) {
            let manifest = read_manifest(dir)?;
            self.manifests.insert(dir.to_owned(), manifest);
        }
        Ok(&self.manifests[dir])
    }

    fn into_project(mut self, goals: &[Id]) -> Result<Project, CliError> {
        let mut found: BTreeMap<Id, Vec<Option<Id>>> = BTreeMap::new();
        let mut pending = goals.to_vec();
        while let Some(id) = pending.pop() {
            if found.contains_key(&id) {
                continue;
            }
            let uses = self.uses(&id)?;
            pending.extend(uses.iter().flatten().cloned());
            found.insert(id, uses);
        }
        let sorted = order(found.iter().map(|(id, uses)| (id, uses.iter().flatten().collect())))?;
        let place =
            |id: &Id| sorted.iter().position(|sorted| *sorted == id).expect("all that is used was found");
        let member = |id: &&Id| {
            let package = self.manifests[&id.dir].packages()[&id.name].clone();
            let uses = found[*id].iter().map(|used| used.as_ref().map(place)).collect();
            Member::complete(id.dir.clone(), package, uses)
        };
        let members = sorted.iter().map(member).collect::<Result<_, _>>()?;
        Ok(Project { members, goals: goals.iter().map(place).collect() })
    }

    /// The packages that a package uses, input by input.
    fn uses(&mut self, id: &Id) -> Result<Vec<Option<Id>>, CliError> {
        let inputs = self.manifests[&id.dir].packages()[&id.name].inputs.clone();
        let mut uses = Vec::with_capacity(inputs.len());
        for input in inputs {
            uses.push(match input.from {
                InputFrom::Store(_) | InputFrom::Fetch(_) => None,
                InputFrom::Package(name) => {
                    if !self.manifests[&id.dir].packages().contains_key(&name) {
                        return Err(CliError::user(format!(
                            "{id} uses the package {name}, which is not in its manifest"
                        )));
                    }
                    Some(Id { dir: id.dir.clone(), name })
                }
                InputFrom::Directory(path, name) => Some(self.in_directory(id, &path, name)?),
            });
        }
        Ok(uses)
    }

    fn in_directory(&mut self, user: &Id, path: &Path, name: Option<PackageName>) -> Result<Id, CliError> {
        let place = user.dir.join(path);
        let dir = fs::canonicalize(&place).map_err(|error| {
            CliError::user(format!("{user} uses the directory {}: {error}", place.display()))
        })?;
        let manifest = self.manifest(&dir)?;
        let name = match (name, manifest.only()) {
            (Some(name), _) if manifest.packages().contains_key(&name) => name,
            (Some(name), _) => {
                let message = format!("{user} uses the package {name}, which is not in {}", dir.display());
                return Err(CliError::user(message));
            }
            (None, Some(only)) => only.name.clone(),
            (None, None) => {
                let names: Vec<_> = manifest.packages().keys().map(ToString::to_string).collect();
                let message = format!(
                    "{user} uses {}, which has several packages; say which, as in {{ path = {path:?}, package = {:?} }}",
                    dir.display(),
                    names[0],
                );
                return Err(CliError::user(message).hint(format!("they are {}", names.join(", "))));
            }
        };
        Ok(Id { dir, name })
    }
}

impl Member {
    /// Finds out what the manifest leaves to the source tree.
    fn complete(dir: PathBuf, mut package: Package, uses: Vec<Option<usize>>) -> Result<Member, CliError> {
        let source = match &package.source {
            Source::Path(path) => Some(dir.join(path)),
            Source::Fetch(_) | Source::None => None,
        };
        if let Some(source) = &source {
            // Here the message can name the package.
            fs::metadata(source).map_err(|error| {
                CliError::user(format!("the source {} of {}: {error}", source.display(), package.name))
            })?;
        }
        let source_dir = source.filter(|source| source.is_dir());
        if package.build_system.is_none() {
            package.build_system = Some(match &source_dir {
                _ if package.phases.command.is_some() || package.source == Source::None => {
                    BuildSystem::Custom
                }
                Some(source) => {
                    let inferred = recognise(source)?.package;
                    package.phases.autoreconf |= inferred.phases.autoreconf;
                    if package.flags.make.is_empty() {
                        package.flags.make = inferred.flags.make;
                    }
                    inferred.build_system.unwrap_or(BuildSystem::Custom)
                }
                None => {
                    return Err(CliError::user(format!(
                        "the build system of {} cannot be seen from outside of its tarball",
                        package.name
                    ))
                    .hint(format!(
                        "say it in {}: build-system = \"autotools\"",
                        dir.join(FILE_NAME).display()
                    )));
                }
            });
        }
        let lock = match (package.build_system, &source_dir) {
            (Some(BuildSystem::Cargo), Some(source)) => Some(read_lock(&source.join("Cargo.lock"))?),
            _ => None,
        };
        Ok(Member { dir, package, uses, lock })
    }
}

/// Recognises the source tree of a directory.
pub(crate) fn recognise(dir: &Path) -> Result<Inferred, CliError> {
    let mut listing = Listing {
        directory: dir.file_name().unwrap_or(OsStr::new("package")).to_owned(),
        has_ninja: ["/usr/local/bin/ninja", "/usr/bin/ninja", "/bin/ninja"]
            .iter()
            .any(|path| Path::new(path).exists()),
        ..Listing::default()
    };
    let entries = fs::read_dir(dir).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    for entry in entries.map_err(|error| CliError::io("read", dir, &error))? {
        let (name, path) = (entry.file_name(), entry.path());
        let content = if wants_content(&name) && path.is_file() {
            Some(read_start(&path).map_err(|error| CliError::io("read", &path, &error))?)
        } else {
            None
        };
        listing.entries.insert(name, content);
    }
    infer(&listing).map_err(|error| {
        let hint = "`rekindle init --help` and docs/manifest.md say what a manifest looks like";
        CliError::from(error).hint(hint)
    })
}

/// The directory that the user named, absolute and without links.
pub(crate) fn directory(dir: &Path) -> Result<PathBuf, CliError> {
    fs::canonicalize(dir).map_err(|error| CliError::io("use the directory", dir, &error))
}

fn read_manifest(dir: &Path) -> Result<Manifest, CliError> {
    let path = dir.join(FILE_NAME);
    match read_text(&path)? {
        Some(text) => Ok(Manifest::parse(&path, &text)?),
        None => Ok(Manifest::single(recognise(dir)?.package)),
    }
}

fn read_lock(path: &Path) -> Result<Lock, CliError> {
    match read_text(path)? {
        Some(text) => Ok(Lock::parse(path, &text)?),
        None => {
            Err(CliError::user(format!("there is no {}, which says which crates are meant", path.display()))
                .hint("make it with `cargo generate-lockfile`, and keep it with the sources"))
        }
    }
}

/// The text of a file that says what to build; nothing if there is none.
fn read_text(path: &Path) -> Result<Option<String>, CliError> {
    let failed = |error| CliError::io("read", path, &error);
    let file = match open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(CliError::user(format!("cannot read {}: it is no regular file", path.display()))
            .hint("remove it, or put a file in its place"));
    }
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > LARGEST {
        let message = format!("cannot read {}: it is larger than {} MiB", path.display(), LARGEST >> 20);
        return Err(CliError::user(message).hint("is it the right file? Remove it, or make it shorter"));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let line = error.as_bytes()[..error.utf8_error().valid_up_to()].split(|byte| *byte == b'\n').count();
        CliError::user(format!("{}:{line}: the text is not UTF-8", path.display()))
    })?;
    Ok(Some(text))
}

fn read_start(path: &Path) -> io::Result<Vec<u8>> {
    let mut start = Vec::new();
    open(path)?.take(1 << 20).read_to_end(&mut start)?;
    Ok(start)
}

/// Opens a file to read it. Nobody is waited for at a pipe.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::open(path, flags, Mode::empty())?))
}

#[cfg(test)]
mod tests;
