//! Sources: from a directory of the user's to a path in the store.
//!
//! A source is *observed* first: which files count, and what path their content has. Nothing is written to the store
//! then, so that a mistake found later leaves it as it was.
//!
//! A single file, such as a tarball, has Nix's own path for a source, the hash of its archive. A directory has a path
//! that is derived from its manifest: an archive is hashed from its beginning to its end, and so one edited file would
//! cost reading the whole tree. To Nix such a path is an output whose derivation is not known. It is put into the store
//! only where something needs it there; a build finds the directory as layers in its place.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rekindle_layers::{Manifest, Scan, ScanOptions, remove_tree, scan};
use rekindle_nix::{Hash, OutputName, StoreDir, StorePath, StorePathName};
use rekindle_store::{EntryKind, NarDigest, Store, Tree};

use crate::error::Error;
use crate::left_by_builds;
use crate::stat_indexes::StatIndexes;

/// Which files of a directory are sources. What earlier builds left in it is none in any case (see `left_by_builds`).
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
    content: Content,
}

#[derive(Debug)]
enum Content {
    /// A directory of the user's, as far as it counts.
    Directory { directory: Directory, options: ScanOptions, prune: bool },
    /// One file or directory of the user's as it is.
    AsItIs { name: StorePathName, tree: Tree, nar: NarDigest },
    /// Files of the program: name, bytes, executable.
    Embedded { name: StorePathName, files: Vec<(String, Vec<u8>, bool)>, nar: NarDigest },
}

/// A source directory, and what counts in it.
#[derive(Debug, Clone)]
pub(crate) struct Directory {
    pub(crate) root: PathBuf,
    pub(crate) manifest: Arc<Manifest>,
}

/// What is remembered about sources between builds.
#[derive(Debug)]
pub(crate) struct SourceMemory {
    indexes: StatIndexes,
}

impl SourceMemory {
    pub(crate) fn open(dir: &Path) -> Result<SourceMemory, Error> {
        Ok(SourceMemory { indexes: StatIndexes::open(dir)? })
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
        let prune = !rules.include.is_empty();
        let (manifest, escaping_links) = self.find(&root, &options, prune)?;
        let path = directory_path(store_dir, name, &manifest)?;
        let directory = Directory { root, manifest: Arc::new(manifest) };
        Ok(Source { path, escaping_links, content: Content::Directory { directory, options, prune } })
    }

    /// Finds out what is in a directory that lies in the store.
    pub(crate) fn read_stored(&self, root: PathBuf) -> Result<Directory, Error> {
        let options = ScanOptions { gitignore: false, exclude: Vec::new() };
        let scanned = self.scan(&root, &options)?;
        Ok(Directory { root, manifest: Arc::new(scanned.manifest) })
    }

    /// Puts a source into the store, if it is not there.
    pub(crate) fn ingest(&self, source: &Source, store: &Store) -> Result<(), Error> {
        if store.is_valid(&source.path)? {
            return Ok(());
        }
        let refused = |root: &Path, error: rekindle_store::Error| {
            Error::usage(format!("cannot take the source {} into the store", root.display())).caused_by(error)
        };
        match &source.content {
            Content::Directory { directory, options, prune } => {
                let tree = tree_of(directory)?;
                let mut is_steady = || {
                    let again = self.find(&directory.root, options, *prune);
                    again.is_ok_and(|(manifest, _)| manifest.root() == directory.manifest.root())
                };
                let added = store.add_tree_at(&source.path, &tree, &mut is_steady);
                added.map_err(|error| refused(&directory.root, error))
            }
            Content::AsItIs { name, tree, nar } => {
                let added = store.add_tree_with_digest(name, tree, nar);
                added.map(drop).map_err(|error| refused(tree.root(), error))
            }
            Content::Embedded { name, files, nar } => {
                let staging = store.staging()?;
                let root = write_embedded(staging.path(), files)?;
                store.add_tree_with_digest(name, &Tree::scan(&root)?, nar)?;
                remove_tree(&root)?;
                Ok(())
            }
        }
    }

    /// What counts in a directory of the user's, and the links among it that lead out of it.
    fn find(
        &self,
        root: &Path,
        options: &ScanOptions,
        prune: bool,
    ) -> Result<(Manifest, Vec<PathBuf>), Error> {
        let scanned = self.scan(root, options)?;
        let counts = left_by_builds::leave_out(root, scanned.manifest);
        let mut links = scanned.escaping_links;
        links.retain(|link| counts.get(link).is_some());
        Ok((if prune { counts.pruned() } else { counts }, links))
    }

    /// What is in a directory, as far as the options go.
    fn scan(&self, root: &Path, options: &ScanOptions) -> Result<Scan, Error> {
        let scanned = scan(root, options, &self.indexes.load(root, options)).map_err(|error| {
            if error.is_unsteady() {
                Error::usage(format!(
                    "the source {} changes while it is read; wait until whatever writes there is done",
                    root.display()
                ))
            } else {
                unreadable(root, error)
            }
        })?;
        if scanned.index_changed {
            self.indexes.save(root, options, &scanned.index)?;
        }
        Ok(scanned)
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
    /// Observes one file or directory as it is: a tarball, a patch.
    pub(crate) fn observe_file(store_dir: &StoreDir, name: &str, file: &Path) -> Result<Source, Error> {
        let tree = Tree::scan(file).map_err(|error| {
            Error::usage(format!("the source {} cannot be used", file.display())).caused_by(error)
        })?;
        let nar = tree.nar_digest().map_err(|error| {
            Error::usage(format!("the source {} cannot be read", file.display())).caused_by(error)
        })?;
        let (name, path) = archive_path(store_dir, name, &nar)?;
        Ok(Source { path, escaping_links: Vec::new(), content: Content::AsItIs { name, tree, nar } })
    }

    /// A directory of files that the program carries.
    pub(crate) fn embed(
        store_dir: &StoreDir,
        name: &str,
        files: &[EmbeddedFile<'_>],
    ) -> Result<Source, Error> {
        let mut files: Vec<_> = files
            .iter()
            .map(|file| (file.path.to_owned(), file.contents.to_vec(), file.executable))
            .collect();
        files.sort();
        let nar = archive_of(&files).map_err(|error| {
            Error::usage(format!("the files of \"{name}\" cannot be a directory")).caused_by(error)
        })?;
        let (name, path) = archive_path(store_dir, name, &nar)?;
        Ok(Source { path, escaping_links: Vec::new(), content: Content::Embedded { name, files, nar } })
    }

    /// What it is, if it is a directory of which a manifest is known.
    pub(crate) fn directory(&self) -> Option<&Directory> {
        match &self.content {
            Content::Directory { directory, .. } => Some(directory),
            Content::AsItIs { .. } | Content::Embedded { .. } => None,
        }
    }
}

/// The path of a directory with this content.
fn directory_path(store_dir: &StoreDir, name: &str, manifest: &Manifest) -> Result<StorePath, Error> {
    let name = store_name(name)?;
    let text = format!("rekindle source directory 1:{}", manifest.root());
    store_dir
        .output_path(&OutputName::out(), &Hash::sha256(text.as_bytes()), &name)
        .map_err(|error| Error::usage(format!("\"{name}\" cannot name a source")).caused_by(error))
}

/// The path that Nix gives to a source with this archive.
fn archive_path(
    store_dir: &StoreDir,
    name: &str,
    nar: &NarDigest,
) -> Result<(StorePathName, StorePath), Error> {
    let name = store_name(name)?;
    let path = store_dir
        .source_path(&name, &nar.hash, [], false)
        .map_err(|error| Error::usage(format!("\"{name}\" cannot name a source")).caused_by(error))?;
    Ok((name, path))
}

fn store_name(name: &str) -> Result<StorePathName, Error> {
    StorePathName::new(name)
        .map_err(|error| Error::usage(format!("\"{name}\" cannot name a source")).caused_by(error))
}

fn unusable(root: &Path, error: std::io::Error) -> Error {
    Error::usage(format!("the source {} cannot be used", root.display())).caused_by(error)
}

fn unreadable(root: &Path, error: rekindle_layers::Error) -> Error {
    Error::usage(format!("the source {} cannot be read", root.display())).caused_by(error)
}

/// The tree of what counts in a directory.
fn tree_of(directory: &Directory) -> Result<Tree, Error> {
    let entries = directory.manifest.entries().map(|entry| {
        let kind = match entry.kind {
            rekindle_layers::EntryKind::File { .. } => EntryKind::File,
            rekindle_layers::EntryKind::Directory { .. } => EntryKind::Directory,
            rekindle_layers::EntryKind::Symlink { .. } => EntryKind::Symlink,
        };
        (entry.path, kind)
    });
    Ok(Tree::from_entries(&directory.root, entries)?)
}

/// What the archive of a directory with these files, sorted by name, is known by. Nothing need lie on disk for it.
fn archive_of(files: &[(String, Vec<u8>, bool)]) -> Result<NarDigest, rekindle_nix::Error> {
    let mut writer = rekindle_nix::nar::Writer::new(Vec::new());
    writer.directory()?;
    for (name, contents, executable) in files {
        writer.entry(name.as_bytes())?;
        writer.file(*executable, contents)?;
    }
    let archive = writer.finish()?;
    Ok(NarDigest { hash: Hash::sha256(&archive), size: archive.len() as u64 })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn observed(root: &Path, exclude: &[&str], include: &[&str]) -> (String, Vec<PathBuf>) {
        let memory_dir = tempfile::tempdir().expect("a temporary directory");
        let memory = SourceMemory::open(memory_dir.path()).expect("our own directory");
        let list = |patterns: &[&str]| patterns.iter().map(ToString::to_string).collect();
        let rules = SourceRules { gitignore: true, exclude: list(exclude), include: list(include) };
        let observe =
            || memory.observe_tree(&StoreDir::default(), "source", root, &rules).expect("a good source");
        let first = observe();
        assert_eq!(first.path, observe().path, "remembered as it was computed");
        let directory = first.directory().expect("a directory");
        let mut paths: Vec<_> = directory.manifest.entries().map(|entry| entry.path).collect();
        paths.sort();
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
    fn embedded_files_have_the_archive_of_the_directory_that_they_make() {
        let file = |path, contents, executable| EmbeddedFile { path, contents, executable };
        let files =
            [file("b", b"of b\n".as_slice(), false), file("a.sh", b"", true), file("B", b"12345678", true)];
        let embedded = Source::embed(&StoreDir::default(), "setup", &files).expect("good files");
        let dir = tempfile::tempdir().expect("a temporary directory");
        let files = files.map(|file| (file.path.to_owned(), file.contents.to_vec(), file.executable));
        let root = write_embedded(dir.path(), &files).expect("our own directory");
        let observed = Source::observe_file(&StoreDir::default(), "setup", &root).expect("our own directory");
        assert_eq!(embedded.path, observed.path);
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
