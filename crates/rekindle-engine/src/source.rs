//! Sources: from a directory of the user's to a path in the store.
//!
//! A source is *observed* first: which files count, and what path their content has. Nothing is written to the store
//! then, so that a mistake found later leaves it as it was. It is *ingested* when the build is certain to need it.
//!
//! The path is Nix's own for a source, and so needs the hash of an archive of the whole tree. Reading the tree for it
//! is avoided where nothing changed: the scan compares with a stat index, and the hash is remembered by the digest of
//! the manifest.

use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rekindle_layers::{Manifest, ScanOptions, StatIndex, remove_tree, scan};
use rekindle_nix::{Hash, StoreDir, StorePath, StorePathName};
use rekindle_store::{EntryKind, NarDigest, Store, Tree};

use crate::error::Error;

/// How often a tree that changes while it is read is read again.
const TRIES: u32 = 5;

/// Which files of a directory are sources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceRules {
    /// Whether `.gitignore` files count, inside a git work tree.
    pub gitignore: bool,
    /// More patterns to leave out, in the syntax of `.gitignore`.
    pub exclude: Vec<String>,
    /// If there are any, only what matches one of these patterns counts, and of the directories only those that lead
    /// to something that counts. Same syntax.
    pub include: Vec<String>,
}

/// A file that is part of the program, to be put into the store.
#[derive(Debug, Clone, Copy)]
pub struct EmbeddedFile<'a> {
    /// The path below the store path, without directories.
    pub path: &'a str,
    /// The bytes.
    pub contents: &'a [u8],
    /// Whether it may be executed.
    pub executable: bool,
}

/// A source whose store path is known; it need not be in the store yet.
#[derive(Debug)]
pub struct Source {
    /// Where it will be.
    pub path: StorePath,
    /// Links of the tree that lead out of it. Inside a build they lead nowhere, most likely.
    pub escaping_links: Vec<PathBuf>,
    name: StorePathName,
    nar: NarDigest,
    content: Content,
    /// What is in it, if it is a directory of which all counts.
    manifest: Option<Arc<Manifest>>,
}

#[derive(Debug)]
enum Content {
    /// Files on the user's disk.
    OnDisk(Tree),
    /// Files of the program: name, bytes, executable.
    Embedded(Vec<(String, Vec<u8>, bool)>),
}

/// What is remembered about sources between builds.
#[derive(Debug)]
pub(crate) struct SourceMemory {
    dir: PathBuf,
}

impl SourceMemory {
    pub(crate) fn open(dir: PathBuf) -> Result<SourceMemory, Error> {
        for part in ["index", "archive-hashes"] {
            let part = dir.join(part);
            fs::create_dir_all(&part).map_err(|error| Error::io("make the directory", &part, error))?;
        }
        Ok(SourceMemory { dir })
    }

    /// Observes the directory `root`.
    pub(crate) fn observe_tree(
        &self,
        store_dir: &StoreDir,
        name: &str,
        root: &Path,
        rules: &SourceRules,
    ) -> Result<Source, Error> {
        let root = root.canonicalize().map_err(|error| unusable(root, error))?;
        let options = ScanOptions { gitignore: rules.gitignore, exclude: rules.patterns() };
        let index_file = self.index_file(&root, &options);
        let mut index = StatIndex::load(&index_file);
        for _ in 0..TRIES {
            let scanned = scan(&root, &options, &index).map_err(|error| unreadable(&root, error))?;
            if scanned.index_changed {
                scanned.index.save(&index_file)?;
            }
            let prune = !rules.include.is_empty();
            let tree = tree_of(&root, &scanned.manifest, prune)?;
            let kind = if prune { "-pruned" } else { "" };
            let memo = self.dir.join("archive-hashes").join(format!("{}{kind}", scanned.manifest.root()));
            if let Some(nar) = read_memo(&memo) {
                let mut source =
                    Source::new(store_dir, name, nar, Content::OnDisk(tree), scanned.escaping_links)?;
                // What was pruned is in the manifest still.
                source.manifest = (!prune).then(|| Arc::new(scanned.manifest));
                return Ok(source);
            }
            let nar = tree.nar_digest()?;
            // The tree may have changed since the scan. Only a second look that finds nothing new ties the two together.
            let again = scan(&root, &options, &scanned.index).map_err(|error| unreadable(&root, error))?;
            if again.manifest.root() == scanned.manifest.root() {
                write_memo(&memo, &nar)?;
                let mut source =
                    Source::new(store_dir, name, nar, Content::OnDisk(tree), scanned.escaping_links)?;
                // What was pruned is in the manifest still.
                source.manifest = (!prune).then(|| Arc::new(scanned.manifest));
                return Ok(source);
            }
            index = again.index;
        }
        Err(Error::usage(format!(
            "the source {} changes while it is read; wait until whatever writes there is done",
            root.display()
        )))
    }

    fn index_file(&self, root: &Path, options: &ScanOptions) -> PathBuf {
        let mut key = root.as_os_str().as_bytes().to_vec();
        key.extend(format!("\0{}\0{}", options.gitignore, options.exclude.join("\0")).bytes());
        self.dir.join("index").join(&Hash::sha256(&key).to_nix32()[..32])
    }
}

impl SourceRules {
    /// One list of patterns to leave out, in which the last that matches decides.
    fn patterns(&self) -> Vec<String> {
        let mut patterns = Vec::new();
        if !self.include.is_empty() {
            // Everything but directories is left out, and what is asked for comes back, with all below it.
            patterns.extend(["*".to_owned(), "!*/".to_owned()]);
            for pattern in &self.include {
                let pattern = pattern.trim_end_matches('/');
                patterns.extend([format!("!{pattern}"), format!("!{pattern}/**")]);
            }
        }
        patterns.extend(self.exclude.iter().cloned());
        patterns
    }
}

impl Source {
    fn new(
        store_dir: &StoreDir,
        name: &str,
        nar: NarDigest,
        content: Content,
        escaping_links: Vec<PathBuf>,
    ) -> Result<Source, Error> {
        let name = StorePathName::new(name)
            .map_err(|error| Error::usage(format!("\"{name}\" cannot name a source")).caused_by(error))?;
        let path = store_dir
            .source_path(&name, &nar.hash, [], false)
            .map_err(|error| Error::usage(format!("\"{name}\" cannot name a source")).caused_by(error))?;
        Ok(Source { path, escaping_links, name, nar, content, manifest: None })
    }

    pub(crate) fn manifest(&self) -> Option<Arc<Manifest>> {
        self.manifest.clone()
    }

    /// Observes one file or directory as it is: a tarball, a patch.
    pub(crate) fn observe_file(store_dir: &StoreDir, name: &str, file: &Path) -> Result<Source, Error> {
        let tree = Tree::scan(file).map_err(|error| {
            Error::usage(format!("the source {} cannot be used", file.display())).caused_by(error)
        })?;
        let nar = tree.nar_digest().map_err(|error| {
            Error::usage(format!("the source {} cannot be read", file.display())).caused_by(error)
        })?;
        Source::new(store_dir, name, nar, Content::OnDisk(tree), Vec::new())
    }

    /// A directory of files that the program carries.
    pub(crate) fn embed(
        store_dir: &StoreDir,
        name: &str,
        files: &[EmbeddedFile<'_>],
    ) -> Result<Source, Error> {
        let dir = tempfile::tempdir()
            .map_err(|error| Error::environment("no temporary directory").caused_by(error))?;
        let files: Vec<_> = files
            .iter()
            .map(|file| (file.path.to_owned(), file.contents.to_vec(), file.executable))
            .collect();
        let root = write_embedded(dir.path(), &files)?;
        let nar = Tree::scan(&root)?.nar_digest()?;
        Source::new(store_dir, name, nar, Content::Embedded(files), Vec::new())
    }

    /// Puts the source into the store, if it is not there.
    pub(crate) fn ingest(&self, store: &Store) -> Result<(), Error> {
        if store.is_valid(&self.path)? {
            return Ok(());
        }
        match &self.content {
            Content::OnDisk(tree) => {
                store.add_tree_with_digest(&self.name, tree, &self.nar).map(drop).map_err(|error| {
                    Error::usage(format!("cannot take the source {} into the store", tree.root().display()))
                        .caused_by(error)
                })
            }
            Content::Embedded(files) => {
                let staging = store.staging()?;
                let root = write_embedded(staging.path(), files)?;
                store.add_tree_with_digest(&self.name, &Tree::scan(&root)?, &self.nar)?;
                remove_tree(&root)?;
                Ok(())
            }
        }
    }
}

fn unusable(root: &Path, error: std::io::Error) -> Error {
    Error::usage(format!("the source {} cannot be used", root.display())).caused_by(error)
}

fn unreadable(root: &Path, error: rekindle_layers::Error) -> Error {
    Error::usage(format!("the source {} cannot be read", root.display())).caused_by(error)
}

/// The tree of what a manifest lists; with `prune` without directories that lead to nothing.
fn tree_of(root: &Path, manifest: &Manifest, prune: bool) -> Result<Tree, Error> {
    let entries = manifest.entries().filter_map(|entry| {
        let kind = match entry.kind {
            rekindle_layers::EntryKind::File { .. } => EntryKind::File,
            // The tree makes the directories that lead to its files.
            rekindle_layers::EntryKind::Directory { .. } if prune => return None,
            rekindle_layers::EntryKind::Directory { .. } => EntryKind::Directory,
            rekindle_layers::EntryKind::Symlink { .. } => EntryKind::Symlink,
        };
        Some((entry.path, kind))
    });
    Ok(Tree::from_entries(root, entries)?)
}

fn write_embedded(dir: &Path, files: &[(String, Vec<u8>, bool)]) -> Result<PathBuf, Error> {
    let root = dir.join("embedded");
    fs::create_dir(&root).map_err(|error| Error::io("make the directory", &root, error))?;
    for (name, contents, executable) in files {
        let path = root.join(name);
        let write = || {
            fs::write(&path, contents)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(if *executable { 0o755 } else { 0o644 }))
        };
        write().map_err(|error| Error::io("write", &path, error))?;
    }
    Ok(root)
}

/// `<hash in hexadecimal, with its algorithm> <size>`; anything else is as if it were not there.
fn read_memo(file: &Path) -> Option<NarDigest> {
    let text = fs::read_to_string(file).ok()?;
    let (hash, size) = text.trim_end().split_once(' ')?;
    Some(NarDigest { hash: Hash::parse(hash.as_bytes()).ok()?, size: size.parse().ok()? })
}

fn write_memo(file: &Path, nar: &NarDigest) -> Result<(), Error> {
    let write = || {
        let dir = file.parent().expect("a memo lies in a directory");
        let mut temporary = tempfile::NamedTempFile::new_in(dir)?;
        writeln!(temporary, "{} {}", nar.hash.to_prefixed_hex(), nar.size)?;
        temporary.persist(file).map(drop).map_err(|error| error.error)
    };
    write().map_err(|error| Error::io("write", file, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observed(root: &Path, exclude: &[&str], include: &[&str]) -> (String, Vec<PathBuf>) {
        let memory_dir = tempfile::tempdir().expect("a temporary directory");
        let memory = SourceMemory::open(memory_dir.path().to_owned()).expect("our own directory");
        let list = |patterns: &[&str]| patterns.iter().map(ToString::to_string).collect();
        let rules = SourceRules { gitignore: true, exclude: list(exclude), include: list(include) };
        let observe =
            || memory.observe_tree(&StoreDir::default(), "source", root, &rules).expect("a good source");
        let first = observe();
        assert_eq!(first.path, observe().path, "remembered as it was computed");
        let Content::OnDisk(tree) = &first.content else { panic!("a source on disk") };
        let paths =
            tree.entries().map(|(path, _)| path.to_owned()).filter(|path| path != Path::new("")).collect();
        (first.path.to_string(), paths)
    }

    fn project() -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a temporary directory");
        for file in ["src/main.c", "src/deep/a.h", "doc/a.txt", "Makefile"] {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().expect("a directory")).expect("our own directory");
            fs::write(path, file).expect("our own file");
        }
        fs::create_dir(dir.path().join("empty")).expect("our own directory");
        dir
    }

    #[test]
    fn rules_choose_what_counts() {
        let dir = project();
        let check = |exclude: &[&str], include: &[&str], expected: &[&str]| {
            let expected: Vec<PathBuf> = expected.iter().map(PathBuf::from).collect();
            assert_eq!(observed(dir.path(), exclude, include).1, expected, "{exclude:?} {include:?}");
        };
        let all = ["Makefile", "doc", "doc/a.txt", "empty", "src", "src/deep", "src/deep/a.h", "src/main.c"];
        check(&[], &[], &all);
        // A directory of which everything is left out is left out itself; one that was empty is kept.
        check(&["doc", "*.h"], &[], &["Makefile", "empty", "src", "src/main.c"]);
        check(&[], &["src", "Makefile"], &["Makefile", "src", "src/deep", "src/deep/a.h", "src/main.c"]);
        check(&["*.h"], &["src/"], &["src", "src/main.c"]);
        check(&[], &["*.h"], &["src", "src/deep", "src/deep/a.h"]);
    }

    #[test]
    fn what_counts_decides_the_path() {
        let dir = project();
        let (before, _) = observed(dir.path(), &["doc"], &[]);
        fs::write(dir.path().join("doc/a.txt"), "edited").expect("our own file");
        assert_eq!(observed(dir.path(), &["doc"], &[]).0, before);
        fs::write(dir.path().join("src/main.c"), "edited").expect("our own file");
        assert_ne!(observed(dir.path(), &["doc"], &[]).0, before);
    }
}
