//! Removal of trees that nobody can be trusted to have left removable: read-only or unreadable directories, any depth.
//!
//! Nothing outside the tree is touched: symbolic links are removed, never followed.

use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use crate::error::{At, Result};

/// Removes what is at `path`, if anything, and returns the bytes of disk that this freed.
///
/// Of a file with other hard links nothing is freed, and nothing counted.
pub(crate) fn remove_all(path: &Path) -> Result<u64> {
    let meta = match path.symlink_metadata() {
        Ok(meta) => meta,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error).at("look at", path),
    };
    if !meta.is_dir() {
        std::fs::remove_file(path).at("remove", path)?;
        return Ok(if meta.nlink() <= 1 { meta.blocks() * 512 } else { 0 });
    }
    if meta.mode() & 0o700 != 0o700 {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))
            .at("make writable the directory", path)?;
    }
    let mut freed = meta.blocks() * 512;
    for entry in std::fs::read_dir(path).at("list", path)? {
        let entry = entry.at("list", path)?;
        freed += remove_all(&entry.path())?;
    }
    std::fs::remove_dir(path).at("remove the directory", path)?;
    Ok(freed)
}

/// The bytes of disk that [`remove_all`] would free. What cannot be read counts as nothing.
pub(crate) fn disk_usage(path: &Path) -> u64 {
    let Ok(meta) = path.symlink_metadata() else { return 0 };
    if !meta.is_dir() {
        return if meta.nlink() <= 1 { meta.blocks() * 512 } else { 0 };
    }
    let below: u64 = std::fs::read_dir(path)
        .map_or(0, |entries| entries.flatten().map(|entry| disk_usage(&entry.path())).sum());
    meta.blocks() * 512 + below
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn removes_what_resists() {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("tree");
        fs::create_dir_all(tree.join("a/b")).unwrap();
        fs::write(tree.join("a/b/file"), b"x").unwrap();
        fs::write(dir.path().join("kept"), b"x").unwrap();
        std::os::unix::fs::symlink("../kept", tree.join("a/link")).unwrap();
        fs::hard_link(dir.path().join("kept"), tree.join("a/hard")).unwrap();
        for read_only in ["a/b", "a", ""] {
            fs::set_permissions(tree.join(read_only), fs::Permissions::from_mode(0o000)).unwrap();
        }
        assert!(remove_all(&tree).unwrap() > 0);
        assert!(!tree.exists());
        assert_eq!(fs::read(dir.path().join("kept")).unwrap(), b"x");
        assert_eq!(remove_all(&tree).unwrap(), 0);
    }
}
