//! How a [`Spec`] travels from the caller to the helper: bytes in a memory file.
//!
//! Both ends are the same build of the same program as a rule, so there is one version, named in the first bytes. All
//! integers are little-endian; a string of bytes is its length (8 bytes) and its bytes; a list is its count and its
//! items; an option or a choice is one byte and what belongs to it. Limits do not travel: the caller keeps them.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use crate::spec::{Limits, Mount, Network, Observe, Overlay, Spec, Stack, Tree, TreeBind, TreeRoot, Watch};

/// What such a file begins with.
pub(crate) const MAGIC: &[u8] = b"rekindle-sandbox spec 4\n";

/// What to do in the place of executing the program, for finding out what a machine can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Probe {
    /// Nothing: execute it.
    None,
    /// Exit with code 0 when all is set up.
    Start,
    /// Make a call that can be observed.
    Observe,
    /// Try what the tree at `/tree` must be able to do.
    Tree,
}

pub(crate) fn encode(spec: &Spec, probe: Probe) -> Vec<u8> {
    let mut to = Writer(MAGIC.to_vec());
    to.byte(match probe {
        Probe::None => 0,
        Probe::Start => 1,
        Probe::Tree => 2,
        Probe::Observe => 3,
    });
    to.text(spec.program.as_os_str());
    to.list(spec.argv0.as_slice(), |to, arg| to.text(arg));
    to.list(&spec.args, |to, arg| to.text(arg));
    to.list(&spec.env, |to, (name, value)| {
        to.text(name);
        to.text(value);
    });
    to.text(spec.cwd.as_os_str());
    to.number(spec.uid);
    to.number(spec.gid);
    to.bytes(spec.hostname.as_bytes());
    to.number(spec.umask);
    to.list(spec.tree.as_slice(), |to, tree| {
        match &tree.root {
            TreeRoot::Plain(dir) => {
                to.byte(0);
                to.text(dir.as_os_str());
            }
            TreeRoot::Overlay(Overlay { lowers, upper, work }) => {
                to.byte(1);
                to.list(lowers, |to, dir| to.text(dir.as_os_str()));
                to.text(upper.as_os_str());
                to.text(work.as_os_str());
            }
        }
        to.list(&tree.binds, |to, bind| {
            to.text(bind.dir.as_os_str());
            to.text(bind.target.as_os_str());
        });
    });
    to.list(&spec.stacks, |to, stack| {
        to.list(&stack.layers, |to, dir| to.text(dir.as_os_str()));
        to.text(stack.target.as_os_str());
    });
    to.list(&spec.mounts, |to, mount| {
        to.text(mount.source.as_os_str());
        to.text(mount.target.as_os_str());
        to.flag(mount.read_only);
        to.flag(mount.optional);
    });
    to.list(&spec.files, |to, (path, content)| {
        to.text(path.as_os_str());
        to.bytes(content);
    });
    to.list(&spec.symlinks, |to, (path, target)| {
        to.text(path.as_os_str());
        to.text(target);
    });
    to.list(&spec.dirs, |to, (path, mode)| {
        to.text(path.as_os_str());
        to.number(*mode);
    });
    to.flag(spec.network == Network::Host);
    to.flag(spec.kvm);
    to.list(spec.watch.as_slice(), |to, watch| to.list(&watch.roots, |to, root| to.text(root.as_os_str())));
    to.list(spec.observe.as_slice(), |to, observe| {
        to.list(&observe.roots, |to, root| to.text(root.as_os_str()));
        to.flag(observe.lookups);
        to.0.extend_from_slice(&observe.memory_bytes.to_le_bytes());
    });
    to.0
}

/// `None` if the bytes are not from [`encode`].
pub(crate) fn decode(bytes: &[u8]) -> Option<(Spec, Probe)> {
    let mut from = Reader(bytes.strip_prefix(MAGIC)?);
    let probe = match from.byte()? {
        0 => Probe::None,
        1 => Probe::Start,
        2 => Probe::Tree,
        3 => Probe::Observe,
        _ => return None,
    };
    let spec = Spec {
        program: from.path()?,
        argv0: from.list(Reader::text)?.pop(),
        args: from.list(Reader::text)?,
        env: from.list(|from| Some((from.text()?, from.text()?)))?,
        cwd: from.path()?,
        uid: from.number()?,
        gid: from.number()?,
        hostname: String::from_utf8(from.bytes()?.to_vec()).ok()?,
        umask: from.number()?,
        tree: from.list(Reader::tree)?.pop(),
        stacks: from.list(|from| Some(Stack { layers: from.list(Reader::path)?, target: from.path()? }))?,
        mounts: from.list(|from| {
            Some(Mount {
                source: from.path()?,
                target: from.path()?,
                read_only: from.flag()?,
                optional: from.flag()?,
            })
        })?,
        files: from.list(|from| Some((from.path()?, from.bytes()?.to_vec())))?,
        symlinks: from.list(|from| Some((from.path()?, from.text()?)))?,
        dirs: from.list(|from| Some((from.path()?, from.number()?)))?,
        network: if from.flag()? { Network::Host } else { Network::Loopback },
        kvm: from.flag()?,
        watch: from.list(|from| Some(Watch { roots: from.list(Reader::path)? }))?.pop(),
        observe: from
            .list(|from| {
                Some(Observe {
                    roots: from.list(Reader::path)?,
                    lookups: from.flag()?,
                    memory_bytes: from.array().map(u64::from_le_bytes)?,
                })
            })?
            .pop(),
        limits: Limits::default(),
    };
    from.0.is_empty().then_some((spec, probe))
}

struct Writer(Vec<u8>);

impl Writer {
    fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    fn flag(&mut self, flag: bool) {
        self.byte(flag.into());
    }

    fn number(&mut self, number: u32) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        self.0.extend_from_slice(bytes);
    }

    fn text(&mut self, text: &OsStr) {
        self.bytes(text.as_bytes());
    }

    fn list<T>(&mut self, items: &[T], mut write: impl FnMut(&mut Self, &T)) {
        self.0.extend_from_slice(&(items.len() as u64).to_le_bytes());
        items.iter().for_each(|item| write(self, item));
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (&head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(head)
    }

    fn byte(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    fn flag(&mut self) -> Option<bool> {
        match self.byte()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    fn number(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn length(&mut self) -> Option<usize> {
        usize::try_from(u64::from_le_bytes(self.array()?)).ok()
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.length()?;
        let (head, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(head)
    }

    fn text(&mut self) -> Option<OsString> {
        self.bytes().map(|bytes| OsString::from_vec(bytes.to_vec()))
    }

    fn path(&mut self) -> Option<PathBuf> {
        self.text().map(PathBuf::from)
    }

    fn list<T>(&mut self, mut read: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        (0..self.length()?).map(|_| read(self)).collect()
    }

    fn tree(&mut self) -> Option<Tree> {
        let root = match self.byte()? {
            0 => TreeRoot::Plain(self.path()?),
            1 => TreeRoot::Overlay(Overlay {
                lowers: self.list(Self::path)?,
                upper: self.path()?,
                work: self.path()?,
            }),
            _ => return None,
        };
        let binds = self.list(|from| Some(TreeBind { dir: from.path()?, target: from.path()? }))?;
        Some(Tree { root, binds })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn text() -> impl Strategy<Value = OsString> {
        vec(1..=u8::MAX, 0..40).prop_map(OsString::from_vec)
    }

    fn path() -> impl Strategy<Value = PathBuf> {
        text().prop_map(PathBuf::from)
    }

    fn tree() -> impl Strategy<Value = Tree> {
        let overlay = (vec(path(), 0..5), path(), path())
            .prop_map(|(lowers, upper, work)| TreeRoot::Overlay(Overlay { lowers, upper, work }));
        let bind = (path(), path()).prop_map(|(dir, target)| TreeBind { dir, target });
        (prop_oneof![path().prop_map(TreeRoot::Plain), overlay], vec(bind, 0..3))
            .prop_map(|(root, binds)| Tree { root, binds })
    }

    fn spec() -> impl Strategy<Value = Spec> {
        let mount = (path(), path(), any::<bool>(), any::<bool>())
            .prop_map(|(source, target, read_only, optional)| Mount { source, target, read_only, optional });
        let stack = (vec(path(), 0..4), path()).prop_map(|(layers, target)| Stack { layers, target });
        let command = (path(), proptest::option::of(text()), vec(text(), 0..4), vec((text(), text()), 0..4));
        let identity = (path(), any::<[u32; 3]>(), any::<String>());
        let world = (
            proptest::option::of(tree()),
            (vec(stack, 0..3), vec(mount, 0..4)),
            vec((path(), vec(any::<u8>(), 0..300)), 0..3),
            vec((path(), text()), 0..3),
            vec((path(), any::<u32>()), 0..3),
            (
                proptest::option::of(vec(path(), 0..3).prop_map(|roots| Watch { roots })),
                proptest::option::of(
                    (vec(path(), 0..3), any::<bool>(), any::<u64>())
                        .prop_map(|(roots, lookups, memory_bytes)| Observe { roots, lookups, memory_bytes }),
                ),
            ),
        );
        (command, identity, world, any::<[bool; 2]>()).prop_map(|(command, identity, world, [host, kvm])| {
            let (program, argv0, args, env) = command;
            let (cwd, [uid, gid, umask], hostname) = identity;
            let (tree, (stacks, mounts), files, symlinks, dirs, (watch, observe)) = world;
            let network = if host { Network::Host } else { Network::Loopback };
            let limits = Limits::default();
            Spec {
                program,
                argv0,
                args,
                env,
                cwd,
                uid,
                gid,
                hostname,
                umask,
                tree,
                stacks,
                mounts,
                files,
                symlinks,
                dirs,
                network,
                kvm,
                watch,
                observe,
                limits,
            }
        })
    }

    proptest! {
        #[test]
        fn every_spec_travels(spec in spec()) {
            for probe in [Probe::None, Probe::Start, Probe::Observe, Probe::Tree] {
                let bytes = encode(&spec, probe);
                prop_assert_eq!(decode(&bytes), Some((spec.clone(), probe)));
            }
        }

        #[test]
        fn what_is_cut_short_is_no_spec(spec in spec(), cut in any::<proptest::sample::Index>()) {
            let bytes = encode(&spec, Probe::None);
            prop_assert_eq!(decode(&bytes[..cut.index(bytes.len())]), None);
        }

        #[test]
        fn garbage_does_no_harm(bytes in vec(any::<u8>(), 0..200)) {
            let _ = decode(&[MAGIC, &bytes].concat());
        }
    }
}
