//! The system calls that an observer wants to know of, by architecture, and the filter that picks them.
//!
//! The filter is one of its own beside [`crate::filter`]: the kernel runs both, and a denial goes before a
//! notification. The kernel remembers per number which calls are let through whatever their arguments, so all others
//! cost nothing.

mod tables;

use crate::bpf::{Action, Field, Program};
use tables::{AARCH64, ARM, COMMON, COMMON_LOOKS, I386, OLD_LOOKS, X86_64};

/// What a call does, and which of its arguments (counted from 0) say to what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// Executes a program.
    Exec(Place),
    /// Opens; the flags (`O_*`) are in this argument.
    Open(Place, usize),
    /// Opens; a `struct open_how` is at this argument.
    OpenHow(Place, usize),
    /// `creat`: opens with flags that need no telling.
    Creat(Place),
    /// Opens by a handle.
    OpenHandle,
    /// Changes the length of a file.
    Truncate(Place),
    /// Makes something that must not be there yet.
    Make(Place),
    /// Binds a socket, maybe to a path: the address and its length.
    Bind(usize, usize),
    /// Removes a name.
    Remove(Place),
    /// Moves from one place to another; with flags in this argument.
    Rename(Place, Place, Option<usize>),
    /// Makes another name.
    Link(Place, Place),
    /// Gives another mode, owner or attribute.
    Mode(Place),
    /// Gives other times.
    Times(Place),
    /// Changes the working directory; `None` for one that is open.
    ChangeDir(Option<Place>),
    /// Changes the view of the file system, if the process may.
    ChangeView,
    /// Makes a thread, or a process that shares more than memory. Flags are in the first argument.
    Clone,
    /// The same; the first argument points to a `struct clone_args`.
    Clone3,
    /// Receives what may be descriptors: a `struct msghdr` is at the second argument.
    Receive,
    /// Receives what may be descriptors, or takes some out of another process.
    Take,
    /// Ends the process, with the code in the first argument.
    Exit,
    /// Looks without opening.
    Look(Place),
    /// Reads where a symbolic link leads.
    ReadLink(Place),
    /// i386's collection of calls for sockets.
    Sockets,
}

/// Where a path is to be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The argument that has the descriptor to begin at; `None` for the working directory.
    pub(crate) dir: Option<usize>,
    /// The argument that points to the path; `None` where the descriptor itself is meant.
    pub(crate) path: Option<usize>,
    /// What a symbolic link at the end of the path means.
    pub(crate) last: Last,
}

/// Whether a symbolic link at the end of a path is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Last {
    Follow,
    Keep,
    /// It is, unless `AT_SYMLINK_NOFOLLOW` is in this argument.
    FollowUnless(usize),
    /// It is not, unless `AT_SYMLINK_FOLLOW` is in this argument.
    KeepUnless(usize),
}

/// At the working directory.
const fn at(path: usize, last: Last) -> Place {
    Place { dir: None, path: Some(path), last }
}

/// At a descriptor.
const fn from(dir: usize, path: usize, last: Last) -> Place {
    Place { dir: Some(dir), path: Some(path), last }
}

const fn fd(fd: usize) -> Place {
    Place { dir: Some(fd), path: None, last: Last::Keep }
}

/// The calls of one architecture.
pub(crate) struct Arch {
    /// Its `AUDIT_ARCH_*`.
    pub(crate) id: u32,
    /// Whether its structures have 64-bit pointers.
    pub(crate) wide: bool,
    calls: &'static [(u32, Call)],
    looks: &'static [(u32, Call)],
}

/// The architectures whose calls a process can make here.
fn archs() -> [&'static Arch; 2] {
    if cfg!(target_arch = "aarch64") { [&AARCH64, &ARM] } else { [&X86_64, &I386] }
}

/// The call of this number.
pub(crate) fn find(arch: u32, number: u32) -> Option<(&'static Arch, Call)> {
    let arch = archs().into_iter().find(|known| known.id == arch)?;
    let old = if arch.wide { &[][..] } else { OLD_LOOKS };
    let lists = [arch.calls, COMMON, arch.looks, COMMON_LOOKS, old];
    let call = lists.into_iter().flatten().find(|(known, _)| *known == number)?.1;
    Some((arch, call))
}

/// The filter that has an observer notified.
pub(crate) fn filter(lookups: bool) -> Program {
    assemble(&archs(), lookups)
}

const O_PATH: u32 = 0o1000_0000;
const OPEN_TREE_CLONE: u32 = 1;
const AT_EMPTY_PATH: u32 = 0x1000;
const AT_FDCWD: u32 = libc::AT_FDCWD.cast_unsigned();

fn assemble(archs: &[&Arch], lookups: bool) -> Program {
    let mut program = Program::default();
    program.load(Field::Arch);
    for arch in archs {
        program.when_equal(arch.id, |program| arch.assemble(lookups, program));
    }
    program.finish(Action::Allow);
    program
}

impl Arch {
    fn assemble(&self, lookups: bool, program: &mut Program) {
        program.load(Field::Number);
        for &(number, call) in self.calls.iter().chain(COMMON) {
            program.when_equal(number, |body| match call {
                Call::Open(_, flags) if !lookups => unless(body, flags, O_PATH),
                Call::Clone => {
                    let shares = libc::CLONE_THREAD | libc::CLONE_FS | libc::CLONE_FILES;
                    body.load(Field::Argument(0));
                    body.when_any_bit(shares.cast_unsigned(), |body| body.finish(Action::Notify));
                    body.finish(Action::Allow);
                }
                Call::ChangeView if number == 428 || number == 467 => {
                    body.load(Field::Argument(2));
                    body.when_any_bit(OPEN_TREE_CLONE, |body| body.finish(Action::Notify));
                    body.finish(Action::Allow);
                }
                _ => body.finish(Action::Notify),
            });
        }
        if lookups {
            let old = if self.wide { &[][..] } else { OLD_LOOKS };
            for &(number, call) in self.looks.iter().chain(old).chain(COMMON_LOOKS) {
                program.when_equal(number, |body| match call {
                    // The way in which C libraries make `fstat`, which looks for nothing. Without a descriptor it is none.
                    Call::Look(Place { dir: Some(dir), last: Last::FollowUnless(flags), .. }) => {
                        body.load(Field::Argument(dir));
                        body.when_equal(AT_FDCWD, |body| body.finish(Action::Notify));
                        unless(body, flags, AT_EMPTY_PATH);
                    }
                    _ => body.finish(Action::Notify),
                });
            }
        }
        program.finish(Action::Allow);
    }
}

/// Notifies unless this bit is in the flags.
fn unless(body: &mut Program, flags: usize, bit: u32) {
    body.load(Field::Argument(flags));
    body.when_any_bit(bit, |body| body.finish(Action::Allow));
    body.finish(Action::Notify);
}

#[cfg(test)]
mod tests {
    use super::Last::{Follow, FollowUnless, Keep, KeepUnless};
    use super::*;
    use crate::bpf::interpret;

    const ALL: [&Arch; 4] = [&X86_64, &I386, &AARCH64, &ARM];

    #[test]
    fn every_call_of_the_tables_is_notified_and_nothing_else() {
        for lookups in [false, true] {
            let program = assemble(&ALL, lookups);
            for arch in ALL {
                let listed = |number: u32| {
                    let old = if arch.wide { &[][..] } else { OLD_LOOKS };
                    let looks = [arch.looks, old, COMMON_LOOKS].concat();
                    arch.calls.iter().chain(COMMON).any(|(known, _)| *known == number)
                        || (lookups && looks.iter().any(|(known, _)| *known == number))
                };
                for number in 0..600 {
                    // All clone flags, and the bit of `open_tree`, without those that stand for mere looking.
                    let args = [0xffff, 1, 1, 1, 0, 0];
                    let expect = if listed(number) { Action::Notify } else { Action::Allow };
                    assert_eq!(interpret(&program, arch.id, number, args), expect, "{:x} {number}", arch.id);
                }
            }
        }
    }

    #[test]
    fn no_number_is_there_twice() {
        for arch in ALL {
            let old = if arch.wide { &[][..] } else { OLD_LOOKS };
            let mut numbers: Vec<u32> = [arch.calls, COMMON, arch.looks, old, COMMON_LOOKS]
                .concat()
                .iter()
                .map(|(number, _)| *number)
                .collect();
            numbers.sort_unstable();
            let count = numbers.len();
            numbers.dedup();
            assert_eq!(numbers.len(), count, "{:x}", arch.id);
        }
    }

    #[test]
    fn looking_is_left_alone() {
        let run = |lookups, number, args| interpret(&assemble(&ALL, lookups), X86_64.id, number, args);
        let path = u64::from(O_PATH);
        assert_eq!(run(false, 257, [0, 0, path, 0, 0, 0]), Action::Allow);
        assert_eq!(run(true, 257, [0, 0, path, 0, 0, 0]), Action::Notify);
        assert_eq!(run(true, 262, [0, 0, 0, AT_EMPTY_PATH.into(), 0, 0]), Action::Allow);
        assert_eq!(run(true, 262, [0; 6]), Action::Notify);
        assert_eq!(run(false, 56, [libc::CLONE_VM as u64, 0, 0, 0, 0, 0]), Action::Allow);
        assert_eq!(run(false, 56, [libc::CLONE_THREAD as u64, 0, 0, 0, 0, 0]), Action::Notify);
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn numbers_are_the_kernels() {
        for (number, call) in [
            (libc::SYS_open, Call::Open(at(0, Follow), 1)),
            (libc::SYS_openat, Call::Open(from(0, 1, Follow), 2)),
            (libc::SYS_openat2, Call::OpenHow(from(0, 1, Follow), 2)),
            (libc::SYS_creat, Call::Creat(at(0, Follow))),
            (libc::SYS_open_by_handle_at, Call::OpenHandle),
            (libc::SYS_execve, Call::Exec(at(0, Follow))),
            (libc::SYS_execveat, Call::Exec(from(0, 1, FollowUnless(4)))),
            (libc::SYS_truncate, Call::Truncate(at(0, Follow))),
            (libc::SYS_mkdir, Call::Make(at(0, Keep))),
            (libc::SYS_mkdirat, Call::Make(from(0, 1, Keep))),
            (libc::SYS_mknod, Call::Make(at(0, Keep))),
            (libc::SYS_mknodat, Call::Make(from(0, 1, Keep))),
            (libc::SYS_symlink, Call::Make(at(1, Keep))),
            (libc::SYS_symlinkat, Call::Make(from(1, 2, Keep))),
            (libc::SYS_rmdir, Call::Remove(at(0, Keep))),
            (libc::SYS_unlink, Call::Remove(at(0, Keep))),
            (libc::SYS_unlinkat, Call::Remove(from(0, 1, Keep))),
            (libc::SYS_rename, Call::Rename(at(0, Keep), at(1, Keep), None)),
            (libc::SYS_renameat, Call::Rename(from(0, 1, Keep), from(2, 3, Keep), None)),
            (libc::SYS_renameat2, Call::Rename(from(0, 1, Keep), from(2, 3, Keep), Some(4))),
            (libc::SYS_link, Call::Link(at(0, Keep), at(1, Keep))),
            (libc::SYS_linkat, Call::Link(from(0, 1, KeepUnless(4)), from(2, 3, Keep))),
            (libc::SYS_chmod, Call::Mode(at(0, Follow))),
            (libc::SYS_fchmod, Call::Mode(fd(0))),
            (libc::SYS_fchmodat, Call::Mode(from(0, 1, Follow))),
            (libc::SYS_fchmodat2, Call::Mode(from(0, 1, FollowUnless(3)))),
            (libc::SYS_chown, Call::Mode(at(0, Follow))),
            (libc::SYS_fchown, Call::Mode(fd(0))),
            (libc::SYS_lchown, Call::Mode(at(0, Keep))),
            (libc::SYS_fchownat, Call::Mode(from(0, 1, FollowUnless(4)))),
            (libc::SYS_removexattr, Call::Mode(at(0, Follow))),
            (libc::SYS_lremovexattr, Call::Mode(at(0, Keep))),
            (libc::SYS_fremovexattr, Call::Mode(fd(0))),
            (libc::SYS_utime, Call::Times(at(0, Follow))),
            (libc::SYS_utimes, Call::Times(at(0, Follow))),
            (libc::SYS_futimesat, Call::Times(from(0, 1, Follow))),
            (libc::SYS_utimensat, Call::Times(from(0, 1, FollowUnless(3)))),
            (libc::SYS_chdir, Call::ChangeDir(Some(at(0, Follow)))),
            (libc::SYS_fchdir, Call::ChangeDir(None)),
            (libc::SYS_chroot, Call::ChangeView),
            (libc::SYS_pivot_root, Call::ChangeView),
            (libc::SYS_mount, Call::ChangeView),
            (libc::SYS_umount2, Call::ChangeView),
            (libc::SYS_move_mount, Call::ChangeView),
            (libc::SYS_open_tree, Call::ChangeView),
            (libc::SYS_fsmount, Call::ChangeView),
            (libc::SYS_clone, Call::Clone),
            (libc::SYS_clone3, Call::Clone3),
            (libc::SYS_recvmsg, Call::Receive),
            (libc::SYS_recvmmsg, Call::Take),
            (libc::SYS_pidfd_getfd, Call::Take),
            (libc::SYS_bind, Call::Bind(1, 2)),
            (libc::SYS_exit_group, Call::Exit),
            (libc::SYS_stat, Call::Look(at(0, Follow))),
            (libc::SYS_lstat, Call::Look(at(0, Keep))),
            (libc::SYS_newfstatat, Call::Look(from(0, 1, FollowUnless(3)))),
            (libc::SYS_statx, Call::Look(from(0, 1, FollowUnless(2)))),
            (libc::SYS_access, Call::Look(at(0, Follow))),
            (libc::SYS_faccessat, Call::Look(from(0, 1, Follow))),
            (libc::SYS_faccessat2, Call::Look(from(0, 1, FollowUnless(3)))),
            (libc::SYS_readlink, Call::ReadLink(at(0, Keep))),
            (libc::SYS_readlinkat, Call::ReadLink(from(0, 1, Keep))),
            (libc::SYS_statfs, Call::Look(at(0, Follow))),
            (libc::SYS_getxattr, Call::Look(at(0, Follow))),
            (libc::SYS_lgetxattr, Call::Look(at(0, Keep))),
            (libc::SYS_listxattr, Call::Look(at(0, Follow))),
            (libc::SYS_llistxattr, Call::Look(at(0, Keep))),
            (libc::SYS_inotify_add_watch, Call::Look(at(1, Follow))),
        ] {
            let number = u32::try_from(number).expect("numbers are small");
            assert_eq!(find(X86_64.id, number).map(|(_, call)| call), Some(call), "{number}");
        }
    }
}
