//! The `setup` script that our derivations run: our own small `stdenv`.
//!
//! nixpkgs' phase protocol (`source $stdenv/setup; genericBuild`) is the only one that Rekindle knows, so its own
//! packages speak it too, and real Nix can build them with nothing but bash and the tools of the host. The
//! script is text in this program; whoever builds adds the files below to the store as one directory, and that
//! directory is `$stdenv`. `docs/setup.md` is its documentation.

/// One file of the directory.
#[derive(Clone, Copy, Debug)]
pub struct SetupFile {
    /// Its name in the directory.
    pub name: &'static str,
    /// What is in it.
    pub content: &'static [u8],
}

/// The name of the directory in the store.
pub const STORE_NAME: &str = "rekindle-stdenv";

/// The script that a derivation's builder runs, relative to the directory.
pub const DEFAULT_BUILDER: &str = "default-builder.sh";

/// The files of the directory, sorted by name. None is executable, there are no directories among them.
pub const FILES: [SetupFile; 6] = [
    SetupFile { name: DEFAULT_BUILDER, content: include_bytes!("../stdenv/default-builder.sh") },
    SetupFile { name: "fixup.sh", content: include_bytes!("../stdenv/fixup.sh") },
    SetupFile { name: "inputs.sh", content: include_bytes!("../stdenv/inputs.sh") },
    SetupFile { name: "phases.sh", content: include_bytes!("../stdenv/phases.sh") },
    SetupFile { name: "setup", content: include_bytes!("../stdenv/setup") },
    SetupFile { name: "systems.sh", content: include_bytes!("../stdenv/systems.sh") },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_sorted_text_and_all_there() {
        assert!(FILES.is_sorted_by_key(|file| file.name));
        for file in FILES {
            assert!(file.content.is_ascii() && file.content.ends_with(b"\n"), "{}", file.name);
        }
        let setup = String::from_utf8_lossy(FILES[4].content);
        for file in ["fixup.sh", "inputs.sh", "phases.sh", "systems.sh"] {
            assert!(setup.contains(file), "setup does not source {file}");
        }
    }
}
