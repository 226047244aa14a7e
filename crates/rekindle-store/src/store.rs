//! Opening a store, and asking it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rekindle_nix::{Derivation, ModuloMemo, StoreDir, StorePath};

use crate::db::{Db, RawInfo, SCHEMA_VERSION};
use crate::error::{At, Cause, Error, Result};
use crate::flock::{self, Shared};
use crate::info::{PathInfo, Registration};
use crate::layout::{Layout, STORE_DIR};
use crate::staging::{Area, Staging};
use crate::temp_roots::TempRoots;
use crate::tree::Tree;

/// Size of the file that is given up when garbage is collected on a full disk. As Nix has it.
const RESERVED_SIZE: u64 = 8 << 20;

/// What a store is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// For queries. Nothing is created, and files that may not be written do not matter.
    ReadOnly,
    /// For everything. A store that does not exist is made.
    ReadWrite,
}

/// An open store. Shared between threads by reference.
#[derive(Debug)]
pub struct Store {
    pub(crate) layout: Layout,
    pub(crate) temp_roots: Mutex<Option<TempRoots>>,
    /// The hashes of derivations that others depend on, as far as they were needed.
    pub(crate) modulo: Mutex<ModuloMemo>,
    area: Mutex<Option<Arc<Area>>>,
    dir: StoreDir,
    mode: Mode,
    db: Mutex<Db>,
    // Held shared as long as the store is open, so that no program changes its schema meanwhile.
    _big_lock: Option<File>,
}

impl Store {
    /// Opens the store below `root`.
    ///
    /// # Errors
    /// [`UnknownSchema`](crate::ErrorKind::UnknownSchema) if a program that this one does not know made it: then
    /// nothing was touched. [`NoStore`](crate::ErrorKind::NoStore) if there is none and it is opened for reading.
    pub fn open(root: &Path, mode: Mode) -> Result<Self> {
        let root = std::path::absolute(root).at("make absolute the path", root)?;
        let layout = Layout::new(&root);
        let complete = schema_is_known(&layout)?;
        let (db, big_lock) = match mode {
            Mode::ReadOnly => {
                if !layout.database().exists() {
                    return Err(Cause::NoStore { root }.into());
                }
                (Db::open_read_only(&layout.database())?, None)
            }
            Mode::ReadWrite => {
                if !complete {
                    create_directories(&layout)?;
                }
                let big_lock = flock::open(&layout.big_lock())?;
                flock::lock(&big_lock, Shared::Yes, &layout.big_lock(), &mut || {})?;
                let db = if complete { Db::open(&layout.database())? } else { create(&layout)? };
                (db, Some(big_lock))
            }
        };
        let dir = StoreDir::new(STORE_DIR.as_bytes()).expect("a constant that is a valid directory");
        Ok(Self {
            layout,
            temp_roots: Mutex::new(None),
            modulo: Mutex::default(),
            area: Mutex::new(None),
            dir,
            mode,
            db: Mutex::new(db),
            _big_lock: big_lock,
        })
    }

    /// Looks whether this user could change the store, however it was opened. Nothing is changed.
    ///
    /// # Errors
    /// [`Denied`](crate::ErrorKind::Denied) if not, because of permissions or a file system that is for reading only.
    pub fn check_writable(&self) -> Result<()> {
        let access = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
        for dir in directories(&self.layout) {
            match rustix::fs::access(&dir, access) {
                // It is made when it is needed.
                Err(rustix::io::Errno::NOENT) => {}
                checked => checked.at("write to the directory", &dir)?,
            }
        }
        Ok(())
    }

    /// The root directory: absolute.
    pub fn root(&self) -> &Path {
        self.layout.root()
    }

    /// The logical store directory.
    pub fn store_dir(&self) -> &StoreDir {
        &self.dir
    }

    /// The physical directory in which store paths lie.
    pub fn physical_store_dir(&self) -> &Path {
        self.layout.store()
    }

    /// Where a store path lies: its physical path.
    pub fn real_path(&self, path: &StorePath) -> PathBuf {
        self.layout.store().join(path.base_name())
    }

    /// Whether the path is registered.
    ///
    /// A path that must stay so needs a [temporary root](Store::add_temp_root) first.
    pub fn is_valid(&self, path: &StorePath) -> Result<bool> {
        self.db().is_valid(&self.dir.display(path))
    }

    /// What is known about a path; `None` if it is not valid.
    pub fn path_info(&self, path: &StorePath) -> Result<Option<PathInfo>> {
        self.db().path_info(&self.dir, &self.dir.display(path))
    }

    /// As [`Store::path_info`], but a path that is not valid is an error.
    pub fn require(&self, path: &StorePath) -> Result<PathInfo> {
        self.path_info(path)?.ok_or_else(|| Cause::NotValid { path: self.dir.display(path) }.into())
    }

    /// All valid paths.
    pub fn all_valid(&self) -> Result<BTreeSet<StorePath>> {
        self.db().all_valid(&self.dir)
    }

    /// The valid paths that refer to this one, itself perhaps among them.
    pub fn referrers(&self, path: &StorePath) -> Result<BTreeSet<StorePath>> {
        self.db().referrers(&self.dir, &self.dir.display(path))
    }

    /// The valid derivations that have the path as an output.
    pub fn valid_derivers(&self, path: &StorePath) -> Result<BTreeSet<StorePath>> {
        self.db().valid_derivers(&self.dir, &self.dir.display(path))
    }

    /// The paths, and all that they refer to, directly or not.
    ///
    /// # Errors
    /// [`NotValid`](crate::ErrorKind::NotValid) if one of them is not.
    pub fn closure<'a>(&self, paths: impl IntoIterator<Item = &'a StorePath>) -> Result<BTreeSet<StorePath>> {
        let db = self.db();
        let mut closure = BTreeSet::new();
        let mut todo = Vec::new();
        for path in paths {
            if !db.is_valid(&self.dir.display(path))? {
                return Err(Cause::NotValid { path: self.dir.display(path) }.into());
            }
            todo.push(path.clone());
        }
        while let Some(path) = todo.pop() {
            if closure.contains(&path) {
                continue;
            }
            todo.extend(db.references_of(&self.dir, &self.dir.display(&path))?);
            closure.insert(path);
        }
        Ok(closure)
    }

    /// The outputs that are recorded for a valid derivation, by name. Empty if it is not valid.
    pub fn derivation_outputs(&self, drv: &StorePath) -> Result<BTreeMap<String, StorePath>> {
        let recorded = self.db().derivation_outputs(&self.dir.display(drv))?;
        recorded
            .into_iter()
            .map(|(name, path)| match self.dir.parse(path.as_bytes()) {
                Ok(path) => Ok((name, path)),
                Err(error) => {
                    Err(Cause::BadRecord { path: self.dir.display(drv), why: error.to_string() }.into())
                }
            })
            .collect()
    }

    /// Reads a valid derivation.
    pub fn read_derivation(&self, drv: &StorePath) -> Result<Derivation> {
        if !self.is_valid(drv)? {
            return Err(Cause::NotValid { path: self.dir.display(drv) }.into());
        }
        self.parse_derivation(drv)
    }

    /// Reads the derivation that lies at a store path, valid or not.
    pub(crate) fn parse_derivation(&self, drv: &StorePath) -> Result<Derivation> {
        let path = self.real_path(drv);
        let text = std::fs::read(&path).at("read", &path)?;
        self.parse_derivation_text(drv, &text)
    }

    /// All rows of the database, for callers that must not trip over a damaged one.
    pub(crate) fn all_rows(&self) -> Result<Vec<RawInfo>> {
        self.db().all_raw()
    }

    pub(crate) fn complete_row(&self, row: &RawInfo) -> Result<PathInfo> {
        self.db().complete(&self.dir, row)
    }

    pub(crate) fn dangling_references(&self) -> Result<Vec<String>> {
        self.db().dangling_references()
    }

    /// The names in the physical store directory, in no order.
    pub(crate) fn store_entries(&self) -> Result<Vec<OsString>> {
        let store = self.layout.store();
        match std::fs::read_dir(store) {
            Ok(entries) => {
                entries.map(|entry| entry.map(|entry| entry.file_name()).at("list", store)).collect()
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error).at("list", store),
        }
    }

    /// Writes the archive of a valid path.
    pub fn write_nar(&self, path: &StorePath, sink: &mut dyn Write) -> Result<()> {
        self.require(path)?;
        let tree = Tree::scan(&self.real_path(path))?;
        crate::tree::stream(&tree, crate::tree::Effect::Read, sink).map(|_| ())
    }

    /// Makes the paths valid, all or none, in one transaction: the commit point.
    ///
    /// Their files lie in place already ([`Store::install_output`]). They may refer to each other and to themselves, but
    /// not in a cycle; whatever else they refer to is valid. Derivations among them are checked as
    /// [`Store::add_derivation`] does, and their outputs recorded too.
    /// A path that is valid already keeps its record.
    pub fn register(&self, registrations: Vec<Registration>) -> Result<()> {
        self.require_writable()?;
        check_acyclic(&self.dir, &registrations)?;
        let mut rows = Vec::with_capacity(registrations.len());
        for registration in registrations {
            let outputs = if registration.path.is_derivation() {
                let derivation = self.parse_derivation(&registration.path)?;
                self.check_derivation(&registration.path, &derivation, &registration.references)?;
                self.recorded_outputs(&registration.path, &derivation)?
            } else {
                Vec::new()
            };
            rows.push((registration, outputs));
        }
        self.db().register(&self.dir, &rows)
    }

    /// A directory on the file system of the store, for what is to be installed.
    pub fn staging(&self) -> Result<Staging> {
        let place = self.area()?.place();
        std::fs::create_dir(place.path()).at("create the directory", place.path())?;
        Ok(place)
    }

    pub(crate) fn area(&self) -> Result<Arc<Area>> {
        self.require_writable()?;
        let mut area = self.area.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(area) = &*area {
            return Ok(Arc::clone(area));
        }
        let new = Area::create(&self.layout.staging())?;
        Ok(Arc::clone(area.insert(new)))
    }

    pub(crate) fn db(&self) -> MutexGuard<'_, Db> {
        // A panic elsewhere cannot leave half a change: transactions roll back.
        self.db.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn require_writable(&self) -> Result<()> {
        match self.mode {
            Mode::ReadWrite => Ok(()),
            Mode::ReadOnly => Err(Cause::ReadOnly { root: self.root().to_owned() }.into()),
        }
    }
}

/// Whether the store is complete and of the known schema; an error if it is of another.
fn schema_is_known(layout: &Layout) -> Result<bool> {
    match std::fs::read(layout.schema()) {
        Ok(found) if found.trim_ascii() == SCHEMA_VERSION.as_bytes() => {
            // A new database in its place would turn all paths into garbage.
            layout.database().metadata().at("find the store database", &layout.database()).map(|_| true)
        }
        Ok(found) => Err(Cause::UnknownSchema {
            root: layout.root().to_owned(),
            found: String::from_utf8_lossy(found.trim_ascii()).chars().take(40).collect(),
            known: SCHEMA_VERSION,
        }
        .into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::io("read", layout.schema(), error)),
    }
}

/// The directories that a complete store has.
fn directories(layout: &Layout) -> [PathBuf; 6] {
    [
        layout.store().to_owned(),
        layout.db_dir(),
        layout.temp_roots(),
        layout.gc_roots(),
        layout.profiles(),
        layout.logs(),
    ]
}

fn create_directories(layout: &Layout) -> Result<()> {
    for dir in directories(layout) {
        std::fs::create_dir_all(&dir).at("create the directory", &dir)?;
    }
    Ok(())
}

/// Makes the database, then the file that says that it is there. Idempotent, and safe beside others that do the same.
fn create(layout: &Layout) -> Result<Db> {
    // The turn to a write-ahead log does not wait for others, so one process at a time. Not by the big lock: others
    // hold that one as long as they have the store open.
    let dir = layout.db_dir();
    let turn = File::open(&dir).at("open the directory", &dir)?;
    flock::lock(&turn, Shared::No, &dir, &mut || {})?;
    if schema_is_known(layout)? {
        return Db::open(&layout.database());
    }
    let db = Db::create(&layout.database())?;
    reserve(layout);
    let schema = layout.schema();
    let temporary = dir.join(format!("schema.{}", std::process::id()));
    std::fs::write(&temporary, SCHEMA_VERSION).at("write", &temporary)?;
    std::fs::rename(&temporary, &schema).at("rename to", &schema)?;
    Ok(db)
}

/// Sets space aside that a collection of garbage can give up. Without it that is merely less sure to succeed.
pub(crate) fn reserve(layout: &Layout) {
    let path = layout.reserved();
    let Ok(file) = flock::open(&path) else { return };
    let flags = rustix::fs::FallocateFlags::empty();
    if file.metadata().is_ok_and(|meta| meta.len() != RESERVED_SIZE)
        && rustix::fs::fallocate(&file, flags, 0, RESERVED_SIZE).is_err()
    {
        let _ = file.set_len(0);
    }
}

fn check_acyclic(dir: &StoreDir, registrations: &[Registration]) -> Result<()> {
    let by_path: HashMap<&StorePath, &Registration> =
        registrations.iter().map(|registration| (&registration.path, registration)).collect();
    // Peels off what refers to nothing that is left. What cannot be peeled off is on a cycle or refers to one.
    let mut left: BTreeSet<&StorePath> = by_path.keys().copied().collect();
    loop {
        let peeled: Vec<&StorePath> = left
            .iter()
            .filter(|path| by_path[**path].references.iter().all(|to| to == **path || !left.contains(to)))
            .copied()
            .collect();
        if peeled.is_empty() {
            break;
        }
        for path in peeled {
            left.remove(path);
        }
    }
    if left.is_empty() {
        return Ok(());
    }
    Err(Cause::Cycle { paths: left.into_iter().map(|path| dir.display(path)).collect() }.into())
}
