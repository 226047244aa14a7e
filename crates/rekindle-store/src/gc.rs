//! The collection of garbage, safe beside running builds of ours and of real Nix.
//!
//! Kept is what roots, temporary roots and running processes need: the closure of references, and the derivations that
//! made what is kept (Nix's defaults: `keep-derivations`, not `keep-outputs`). All else goes, referrers before what they
//! refer to; for each path first the record, then the files, so that a crash leaves garbage but never a valid path
//! without files. Then go the leftovers that no record knows and that no living process locks.
//!
//! While it works, processes that need new temporary roots are served over a socket: see [`server`].

mod runtime;
mod server;

use std::collections::HashSet;
use std::path::PathBuf;

use rekindle_nix::{HASH_PART_LEN, StorePath};

use crate::error::{ErrorKind, Result};
use crate::flock::{self, Shared};
use crate::remove::{disk_usage, remove_all};
use crate::store::{Store, reserve};
use crate::{staging, temp_roots};
use server::Server;

/// How much is collected.
#[derive(Debug, Clone, Copy)]
pub struct GcOptions {
    /// Only say what would go.
    pub dry_run: bool,
    /// Stop when this many bytes of disk are free again.
    pub max_freed: Option<u64>,
}

/// What was collected, or would be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GcReport {
    /// The paths that are not valid any more, in the order in which they went.
    pub deleted: Vec<StorePath>,
    /// Files of the physical store that were never registered, by killed builds for instance.
    pub leftovers: Vec<PathBuf>,
    /// Bytes of disk that this freed.
    pub bytes: u64,
}

impl GcReport {
    fn reached(&self, options: GcOptions) -> bool {
        options.max_freed.is_some_and(|limit| self.bytes >= limit)
    }
}

impl Store {
    /// Deletes what nobody needs. `waiting` is called if another collection has to end first.
    ///
    /// A dry run needs no permission to write, and does not wait.
    pub fn gc(&self, options: GcOptions, waiting: &mut dyn FnMut()) -> Result<GcReport> {
        if options.dry_run {
            return self.collect(options, None);
        }
        self.require_writable()?;
        let lock_path = self.layout.gc_lock();
        let lock = flock::open(&lock_path)?;
        flock::lock(&lock, Shared::No, &lock_path, waiting)?;
        let server = Server::start(&self.layout.gc_socket())?;
        // On a full disk not even the database can change before something is given up.
        let _ = std::fs::remove_file(self.layout.reserved());
        let report = self.collect(options, Some(&server));
        reserve(&self.layout);
        drop(server);
        flock::unlock(&lock);
        report
    }

    fn collect(&self, options: GcOptions, server: Option<&Server>) -> Result<GcReport> {
        let mut report = GcReport::default();
        let found = self.find_roots()?;
        if !options.dry_run {
            for link in found.stale {
                let _ = std::fs::remove_file(link);
            }
        }
        let graph = self.db().graph(self.store_dir())?;
        let roots: HashSet<StorePath> = found.roots.into_iter().map(|root| root.target).collect();
        let mut needed = runtime::mentioned(self);
        for root in temp_roots::read_all(&self.layout, !options.dry_run)? {
            if let Some(part) =
                hash_part(root.strip_prefix(&format!("{}/", self.store_dir())).unwrap_or(&root))
            {
                needed.insert(part.to_owned());
            }
        }
        let is_needed =
            |part: &str| needed.contains(part) || server.is_some_and(|server| server.is_root(part));

        let mut live = vec![false; graph.paths.len()];
        let places = graph.paths.iter().enumerate();
        let first = places.filter(|(_, path)| roots.contains(*path) || is_needed(path.hash_part()));
        graph.reach(first.map(|(place, _)| place).collect(), &mut live);

        for place in graph.unreached(&live) {
            if report.reached(options) {
                return Ok(report);
            }
            let path = &graph.paths[place];
            // What was needed by a path that turned out to be a root meanwhile.
            if live[place] {
                continue;
            }
            let physical = self.real_path(path);
            match server {
                None => report.bytes += disk_usage(&physical),
                Some(server) => {
                    let Some(_pending) = server.begin_deleting(path.hash_part()) else {
                        graph.reach(vec![place], &mut live);
                        continue;
                    };
                    match self.db().invalidate(&self.store_dir().display(path)) {
                        Ok(()) => {}
                        // Somebody who did not ask registered a path that needs it.
                        Err(error) if error.is_still_referenced() => {
                            graph.reach(vec![place], &mut live);
                            continue;
                        }
                        Err(error) => return Err(error),
                    }
                    report.bytes += remove_all(&physical)?;
                }
            }
            report.deleted.push(path.clone());
        }
        self.collect_leftovers(options, server, &is_needed, &mut report)?;
        Ok(report)
    }

    /// Removes what lies in the store but was never registered.
    fn collect_leftovers(
        &self,
        options: GcOptions,
        server: Option<&Server>,
        is_needed: &dyn Fn(&str) -> bool,
        report: &mut GcReport,
    ) -> Result<()> {
        let store = self.layout.store();
        for name in self.store_entries()? {
            // Anything else was put here by somebody who had a reason that we do not know, `.links` by Nix.
            let Ok(path) = StorePath::from_base_name(name.as_encoded_bytes()) else { continue };
            let physical = store.join(&name);
            if report.reached(options) {
                break;
            }
            if let Some(locked) = path.base_name().strip_suffix(".lock") {
                if !is_needed(path.hash_part()) && !self.is_locked(locked)? {
                    if !options.dry_run
                        && let Some(mut file) = flock::open_existing(&physical)?
                    {
                        flock::discard(&mut file, &physical);
                    }
                    report.leftovers.push(physical);
                }
                continue;
            }
            if is_needed(path.hash_part()) || self.is_locked(path.base_name())? || self.is_valid(&path)? {
                continue;
            }
            match server {
                None => report.bytes += disk_usage(&physical),
                Some(server) => {
                    let Some(_pending) = server.begin_deleting(path.hash_part()) else { continue };
                    report.bytes += remove_all(&physical)?;
                }
            }
            report.leftovers.push(physical);
        }
        let staging = self.layout.staging();
        report.bytes += staging::sweep(&staging, options.dry_run)?;
        Ok(())
    }

    /// Whether somebody holds the lock on the path with this base name.
    fn is_locked(&self, base_name: &str) -> Result<bool> {
        let path = self.layout.store().join(format!("{base_name}.lock"));
        match flock::open_existing(&path) {
            Ok(None) => Ok(false),
            Ok(Some(file)) => Ok(!flock::try_lock(&file, Shared::No, &path)?),
            // A lock of another user. Whether it is held cannot be told.
            Err(error) if error.kind() == ErrorKind::Denied => Ok(true),
            Err(error) => Err(error),
        }
    }
}

fn hash_part(base_name: &str) -> Option<&str> {
    base_name.get(..HASH_PART_LEN)
}
