//! What running processes use: a program that was started from a result link that is gone is still needed.
//!
//! A best effort, as in Nix: what `/proc` shows of the processes that we may look at.

use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rekindle_nix::{HASH_PART_LEN, StorePath};

use crate::store::Store;

/// The hash parts of the store paths that running processes have open, mapped, as their directory, or in their
/// environment.
pub(super) fn mentioned(store: &Store) -> HashSet<String> {
    let mut found = HashSet::new();
    let prefixes = [
        format!("{}/", store.store_dir()).into_bytes(),
        [store.physical_store_dir().as_os_str().as_bytes(), b"/"].concat(),
    ];
    let Ok(processes) = std::fs::read_dir("/proc") else { return found };
    for process in processes.flatten() {
        if !process.file_name().as_bytes().iter().all(u8::is_ascii_digit) {
            continue;
        }
        let process = process.path();
        let mut look = |bytes: &[u8]| {
            for prefix in &prefixes {
                find(bytes, prefix, &mut found);
            }
        };
        for link in ["exe", "cwd", "root"] {
            look(&link_target(&process.join(link)));
        }
        for open in std::fs::read_dir(process.join("fd")).into_iter().flatten().flatten() {
            look(&link_target(&open.path()));
        }
        for file in ["maps", "environ"] {
            look(&std::fs::read(process.join(file)).unwrap_or_default());
        }
    }
    found
}

fn link_target(link: &Path) -> Vec<u8> {
    std::fs::read_link(link).map(|target| target.into_os_string().into_encoded_bytes()).unwrap_or_default()
}

/// Adds the hash parts that follow `prefix` in `bytes`.
fn find(bytes: &[u8], prefix: &[u8], found: &mut HashSet<String>) {
    for (at, _) in bytes.windows(prefix.len()).enumerate().filter(|(_, window)| *window == prefix) {
        let rest = &bytes[at + prefix.len()..];
        // With the hyphen and the first character of a name.
        if let Some(Ok(path)) = rest.get(..HASH_PART_LEN + 2).map(StorePath::from_base_name) {
            found.insert(path.hash_part().to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_parts_are_found_anywhere() {
        let check = |text: &str, expect: &[&str]| {
            let mut found = HashSet::new();
            find(text.as_bytes(), b"/s/", &mut found);
            assert_eq!(found, expect.iter().map(|part| (*part).to_owned()).collect());
        };
        let one = "1".repeat(32);
        check("", &[]);
        check(&format!("/s/{one}"), &[]);
        check(&format!("/s/{one}-a"), &[&one]);
        check(&format!("/usr/lib:/s/{one}-a/lib:/s/{}-b", "e".repeat(32)), &[&one]);
        check(&format!("/s/../{one}-a"), &[]);
    }
}
