//! Permission to read what a build locked against its own user.
//!
//! A build may leave files that nobody may read. Real Nix gives itself permission when it seals an output; root needs
//! none. So that an ordinary user gets the same outputs as root, what the owner lacks is added before a tree is read:
//! reading for files, all of it for directories. It does not show in an output, whose modes are canonical in the end.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Makes everything at and below `root` readable for its owner, who is the caller. Nothing at `root` is fine.
pub(crate) fn unlock(root: &Path) -> io::Result<()> {
    let mut pending: Vec<PathBuf> = vec![root.to_owned()];
    while let Some(path) = pending.pop() {
        let metadata = match fs::symlink_metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(at(&path, &error)),
        };
        let needed = match metadata.file_type() {
            kind if kind.is_dir() => 0o700,
            kind if kind.is_file() => 0o400,
            _ => continue,
        };
        let mode = metadata.mode() & 0o7777;
        if mode & needed != needed {
            let permissions = fs::Permissions::from_mode(mode | needed);
            fs::set_permissions(&path, permissions).map_err(|error| at(&path, &error))?;
        }
        if metadata.is_dir() {
            for entry in fs::read_dir(&path).map_err(|error| at(&path, &error))? {
                pending.push(entry.map_err(|error| at(&path, &error))?.path());
            }
        }
    }
    Ok(())
}

fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_is_locked_becomes_readable_and_all_else_stays() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = |name: &str| dir.path().join(name);
        let set = |name: &str, mode| {
            fs::set_permissions(path(name), fs::Permissions::from_mode(mode)).expect("our own file");
        };
        fs::create_dir(path("locked")).expect("made");
        fs::write(path("locked/secret"), "x").expect("made");
        fs::write(path("plain"), "x").expect("made");
        fs::write(path("outside"), "x").expect("made");
        symlink(path("nowhere"), path("locked/link")).expect("made");
        for (name, mode) in [("locked/secret", 0o010), ("plain", 0o754), ("locked", 0)] {
            set(name, mode);
        }
        unlock(&path("locked")).expect("unlocked");
        unlock(&path("plain")).expect("unlocked");
        unlock(&path("nothing")).expect("nothing to unlock");
        let mode = |name: &str| fs::symlink_metadata(path(name)).expect("there").mode() & 0o7777;
        assert_eq!((mode("locked"), mode("locked/secret"), mode("plain")), (0o700, 0o410, 0o754));
    }
}
