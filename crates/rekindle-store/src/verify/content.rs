//! Checks of what lies on disk: hashes, sizes, seals, references.

use std::collections::BTreeSet;

use rekindle_nix::references::Scanner;
use rekindle_nix::{ContentAddress, ContentMethod, HashAlgo, StorePath, StorePathName};

use super::Problem;
use crate::error::Result;
use crate::info::PathInfo;
use crate::seal::unsealed;
use crate::store::Store;
use crate::tree::{Effect, Tree, stream};

impl Store {
    pub(super) fn verify_content(
        &self,
        info: &PathInfo,
        valid: &BTreeSet<StorePath>,
        problems: &mut Vec<Problem>,
    ) -> Result<()> {
        let path = &info.path;
        let mut scanner = Scanner::new(self.possible_references(info, valid));
        let read = Tree::scan(&self.real_path(path)).and_then(|tree| {
            let digest = stream(&tree, Effect::Read, &mut scanner)?;
            Ok((tree, digest))
        });
        let (tree, digest) = match read {
            Ok(read) => read,
            Err(error) => {
                problems.push(Problem::Unreadable { path: path.clone(), why: error.to_string() });
                return Ok(());
            }
        };
        for (inner, _) in tree.entries() {
            let file = tree.physical(inner);
            if let Some(why) = file.symlink_metadata().ok().and_then(|meta| unsealed(&meta)) {
                problems.push(Problem::Unsealed { file, why });
            }
        }
        let actual = match info.nar_hash.algorithm() {
            HashAlgo::Sha256 => digest.hash,
            // An old store of Nix's; other algorithms are as good for finding damage, but not read twice here.
            _ => info.nar_hash,
        };
        if actual != info.nar_hash {
            let expected = info.nar_hash;
            problems.push(Problem::Modified { path: path.clone(), expected, actual });
            // All else about it is then wrong as well.
            return Ok(());
        }
        if let Some(expected) = info.nar_size.filter(|expected| *expected != digest.size) {
            problems.push(Problem::WrongSize { path: path.clone(), expected, actual: digest.size });
        }
        let undeclared = scanner.found().into_iter().filter(|found| !info.references.contains(found));
        problems.extend(
            undeclared.map(|reference| Problem::UndeclaredReference { path: path.clone(), reference }),
        );
        Ok(())
    }

    /// What a path has to declare if it contains it.
    ///
    /// Content that was added with an address refers to what it was said to, whatever it contains. Of the others, the
    /// build could only refer to its inputs: a hash that came in by another way, as plain text, is none of them. If
    /// the inputs are not known any more, anything may be one.
    fn possible_references(&self, info: &PathInfo, valid: &BTreeSet<StorePath>) -> BTreeSet<StorePath> {
        if info.ca.is_some() {
            return BTreeSet::new();
        }
        let inputs = info.deriver.as_ref().and_then(|deriver| self.build_inputs(deriver).ok());
        inputs.unwrap_or_else(|| valid.clone())
    }

    /// All that a build of the derivation could refer to, its own outputs too.
    fn build_inputs(&self, drv: &StorePath) -> Result<BTreeSet<StorePath>> {
        let derivation = self.read_derivation(drv)?;
        let mut direct = derivation.input_srcs.clone();
        for (input, names) in &derivation.input_drvs {
            let outputs = self.derivation_outputs(input)?;
            direct.extend(names.iter().filter_map(|name| outputs.get(name.as_str()).cloned()));
        }
        direct.retain(|path| self.is_valid(path).unwrap_or(false));
        let mut inputs = self.closure(&direct)?;
        inputs.extend(derivation.outputs.values().filter_map(|output| output.path().cloned()));
        Ok(inputs)
    }

    /// Checks a content address against the registered hash, and the path against both.
    pub(super) fn verify_address(&self, info: &PathInfo, problems: &mut Vec<Problem>) {
        let Some(address) = info.ca else { return };
        if let Err(why) = self.check_address(info, &address) {
            problems.push(Problem::WrongAddress { path: info.path.clone(), why });
        }
    }

    fn check_address(&self, info: &PathInfo, address: &ContentAddress) -> Result<(), String> {
        let path = &info.path;
        // How a reference to itself is hashed away is not the same in all versions of Nix.
        if info.references.contains(path) {
            return Ok(());
        }
        let actual = match address.method() {
            ContentMethod::Recursive if address.hash().algorithm() == HashAlgo::Sha256 => info.nar_hash,
            ContentMethod::Recursive => return Ok(()),
            ContentMethod::Flat | ContentMethod::Text => {
                let file = self.real_path(path);
                let content = std::fs::read(&file).map_err(|error| format!("it cannot be read: {error}"))?;
                address.hash().algorithm().digest(&content)
            }
        };
        if actual != *address.hash() {
            return Err(format!("the hash in it is {} and that of the content {actual}", address.hash()));
        }
        let name = StorePathName::new(path.name()).map_err(|error| error.to_string())?;
        let expected = match address.method() {
            ContentMethod::Text => self.store_dir().text_path(&name, &actual, &info.references),
            ContentMethod::Recursive => self.store_dir().source_path(&name, &actual, &info.references, false),
            ContentMethod::Flat => self.store_dir().fixed_output_path(&name, address),
        };
        match expected {
            Ok(expected) if expected == *path => Ok(()),
            Ok(expected) => Err(format!("it leads to '{expected}'")),
            Err(error) => Err(error.to_string()),
        }
    }
}
