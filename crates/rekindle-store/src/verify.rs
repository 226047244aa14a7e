//! Checking that a store is what it says.
//!
//! Stricter than `nix-store --verify --check-contents`, which takes wrong references, wrong output paths of derivations,
//! wrong content addresses and unsealed files for good. Nothing is repaired.

mod content;
mod problem;
mod recipe;

use std::collections::BTreeSet;

use rekindle_nix::StorePath;

pub use problem::Problem;

use crate::error::Result;
use crate::info::PathInfo;
use crate::store::Store;

impl Store {
    /// Looks for damage: in the records, and with `check_contents` in the bytes of every valid path too.
    ///
    /// Only what makes looking impossible is an error. What is wrong is in the list, in the order of the paths; a store
    /// is sound if there is nothing in the list but what is [harmless](Problem::is_harmless).
    pub fn verify(&self, check_contents: bool) -> Result<Vec<Problem>> {
        let mut problems = Vec::new();
        if !self.layout.schema().exists() {
            problems.push(Problem::NoSchemaFile { path: self.layout.schema() });
        }
        let mut infos: Vec<PathInfo> = Vec::new();
        for raw in self.all_rows()? {
            match self.complete_row(&raw) {
                Ok(info) => infos.push(info),
                Err(error) => problems.push(Problem::BadRecord { path: raw.path, why: error.to_string() }),
            }
        }
        let valid: BTreeSet<StorePath> = infos.iter().map(|info| info.path.clone()).collect();
        for info in &infos {
            self.verify_path(info, &valid, check_contents, &mut problems)?;
        }
        for referrer in self.dangling_references()? {
            problems.push(Problem::BadRecord {
                path: referrer,
                why: "it refers to a record that is gone".to_owned(),
            });
        }
        self.verify_leftovers(&valid, &mut problems)?;
        Ok(problems)
    }

    fn verify_path(
        &self,
        info: &PathInfo,
        valid: &BTreeSet<StorePath>,
        check_contents: bool,
        problems: &mut Vec<Problem>,
    ) -> Result<()> {
        if self.real_path(&info.path).symlink_metadata().is_err() {
            problems.push(Problem::Missing { path: info.path.clone() });
            return Ok(());
        }
        if info.nar_size.is_none() {
            problems.push(Problem::NoSize { path: info.path.clone() });
        }
        if check_contents {
            self.verify_content(info, valid, problems)?;
        }
        self.verify_address(info, problems);
        if info.path.is_derivation() {
            self.verify_derivation(info, problems)?;
        }
        Ok(())
    }

    /// What lies in the store directory and is not valid.
    fn verify_leftovers(&self, valid: &BTreeSet<StorePath>, problems: &mut Vec<Problem>) -> Result<()> {
        let mut leftovers: Vec<_> = self
            .store_entries()?
            .into_iter()
            .filter_map(|name| StorePath::from_base_name(name.as_encoded_bytes()).ok())
            .filter(|path| !valid.contains(path) && !path.base_name().ends_with(".lock"))
            .collect();
        leftovers.sort();
        problems.extend(leftovers.into_iter().map(|path| Problem::Unregistered { path }));
        Ok(())
    }
}
