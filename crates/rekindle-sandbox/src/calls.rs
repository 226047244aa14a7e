//! The system calls that an observer wants to know of, by architecture, and the filter that picks them.
//!
//! The filter is one of its own beside [`crate::filter`]: the kernel runs both, and a denial goes before a
//! notification. The kernel remembers per number which calls are let through whatever their arguments, so all others
//! cost nothing.

use crate::bpf::{Action, Field, Program};

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
    /// Changes the working directory.
    ChangeDir,
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

use Last::{Follow, FollowUnless, Keep, KeepUnless};

/// The calls of one architecture.
pub(crate) struct Arch {
    /// Its `AUDIT_ARCH_*`.
    pub(crate) id: u32,
    /// Whether its structures have 64-bit pointers.
    pub(crate) wide: bool,
    calls: &'static [(u32, Call)],
    looks: &'static [(u32, Call)],
}

/// Younger than 2019, with the same number everywhere.
const COMMON: &[(u32, Call)] = &[
    (428, Call::ChangeView), // open_tree
    (429, Call::ChangeView), // move_mount
    (432, Call::ChangeView), // fsmount
    (435, Call::Clone3),
    (437, Call::OpenHow(from(0, 1, Follow), 2)),
    (438, Call::Take),                              // pidfd_getfd
    (452, Call::Mode(from(0, 1, FollowUnless(3)))), // fchmodat2
    (466, Call::Mode(from(0, 1, FollowUnless(2)))), // removexattrat
    (467, Call::ChangeView),                        // open_tree_attr
    (469, Call::Mode(from(0, 1, FollowUnless(4)))), // file_setattr
];

const COMMON_LOOKS: &[(u32, Call)] = &[
    (439, Call::Look(from(0, 1, FollowUnless(3)))), // faccessat2
    (464, Call::Look(from(0, 1, FollowUnless(2)))), // getxattrat
    (465, Call::Look(from(0, 1, FollowUnless(2)))), // listxattrat
    (468, Call::Look(from(0, 1, FollowUnless(4)))), // file_getattr
];

const X86_64: Arch = Arch {
    id: 0xc000_003e,
    wide: true,
    calls: &[
        (2, Call::Open(at(0, Follow), 1)),
        (47, Call::Receive),
        (49, Call::Bind(1, 2)),
        (56, Call::Clone),
        (59, Call::Exec(at(0, Follow))),
        (76, Call::Truncate(at(0, Follow))),
        (80, Call::ChangeDir),
        (81, Call::ChangeDir),
        (82, Call::Rename(at(0, Keep), at(1, Keep), None)),
        (83, Call::Make(at(0, Keep))),
        (84, Call::Remove(at(0, Keep))),
        (85, Call::Creat(at(0, Follow))),
        (86, Call::Link(at(0, Keep), at(1, Keep))),
        (87, Call::Remove(at(0, Keep))),
        (88, Call::Make(at(1, Keep))),
        (90, Call::Mode(at(0, Follow))),
        (91, Call::Mode(fd(0))),
        (92, Call::Mode(at(0, Follow))),
        (93, Call::Mode(fd(0))),
        (94, Call::Mode(at(0, Keep))),
        (132, Call::Times(at(0, Follow))),
        (133, Call::Make(at(0, Keep))),
        (155, Call::ChangeView),
        (161, Call::ChangeView),
        (165, Call::ChangeView),
        (166, Call::ChangeView),
        (197, Call::Mode(at(0, Follow))),
        (198, Call::Mode(at(0, Keep))),
        (199, Call::Mode(fd(0))),
        (231, Call::Exit),
        (235, Call::Times(at(0, Follow))),
        (257, Call::Open(from(0, 1, Follow), 2)),
        (258, Call::Make(from(0, 1, Keep))),
        (259, Call::Make(from(0, 1, Keep))),
        (260, Call::Mode(from(0, 1, FollowUnless(4)))),
        (261, Call::Times(from(0, 1, Follow))),
        (263, Call::Remove(from(0, 1, Keep))),
        (264, Call::Rename(from(0, 1, Keep), from(2, 3, Keep), None)),
        (265, Call::Link(from(0, 1, KeepUnless(4)), from(2, 3, Keep))),
        (266, Call::Make(from(1, 2, Keep))),
        (268, Call::Mode(from(0, 1, Follow))),
        (280, Call::Times(from(0, 1, FollowUnless(3)))),
        (299, Call::Take),
        (304, Call::OpenHandle),
        (316, Call::Rename(from(0, 1, Keep), from(2, 3, Keep), Some(4))),
        (322, Call::Exec(from(0, 1, FollowUnless(4)))),
    ],
    looks: &[
        (4, Call::Look(at(0, Follow))),
        (6, Call::Look(at(0, Keep))),
        (21, Call::Look(at(0, Follow))),
        (89, Call::Look(at(0, Keep))),
        (137, Call::Look(at(0, Follow))),
        (191, Call::Look(at(0, Follow))),
        (192, Call::Look(at(0, Keep))),
        (194, Call::Look(at(0, Follow))),
        (195, Call::Look(at(0, Keep))),
        (254, Call::Look(at(1, Follow))),
        (262, Call::Look(from(0, 1, FollowUnless(3)))),
        (267, Call::Look(from(0, 1, Keep))),
        (269, Call::Look(from(0, 1, Follow))),
        (332, Call::Look(from(0, 1, FollowUnless(2)))),
    ],
};

/// What i386 and arm have in common: all that is older than 2002.
macro_rules! old_calls {
    ($($more:tt)*) => {
        &[
            (5, Call::Open(at(0, Follow), 1)),
            (8, Call::Creat(at(0, Follow))),
            (9, Call::Link(at(0, Keep), at(1, Keep))),
            (10, Call::Remove(at(0, Keep))),
            (11, Call::Exec(at(0, Follow))),
            (12, Call::ChangeDir),
            (14, Call::Make(at(0, Keep))),
            (15, Call::Mode(at(0, Follow))),
            (16, Call::Mode(at(0, Keep))),
            (21, Call::ChangeView),
            (30, Call::Times(at(0, Follow))),
            (38, Call::Rename(at(0, Keep), at(1, Keep), None)),
            (39, Call::Make(at(0, Keep))),
            (40, Call::Remove(at(0, Keep))),
            (52, Call::ChangeView),
            (61, Call::ChangeView),
            (83, Call::Make(at(1, Keep))),
            (92, Call::Truncate(at(0, Follow))),
            (94, Call::Mode(fd(0))),
            (95, Call::Mode(fd(0))),
            (120, Call::Clone),
            (133, Call::ChangeDir),
            (182, Call::Mode(at(0, Follow))),
            (193, Call::Truncate(at(0, Follow))),
            (198, Call::Mode(at(0, Keep))),
            (207, Call::Mode(fd(0))),
            (212, Call::Mode(at(0, Follow))),
            (235, Call::Mode(at(0, Follow))),
            (236, Call::Mode(at(0, Keep))),
            (237, Call::Mode(fd(0))),
            (412, Call::Times(from(0, 1, FollowUnless(3)))),
            (417, Call::Take),
            $($more)*
        ]
    };
}

const OLD_LOOKS: &[(u32, Call)] = &[
    (33, Call::Look(at(0, Follow))),
    (85, Call::Look(at(0, Keep))),
    (99, Call::Look(at(0, Follow))),
    (106, Call::Look(at(0, Follow))),
    (107, Call::Look(at(0, Keep))),
    (195, Call::Look(at(0, Follow))),
    (196, Call::Look(at(0, Keep))),
    (229, Call::Look(at(0, Follow))),
    (230, Call::Look(at(0, Keep))),
    (232, Call::Look(at(0, Follow))),
    (233, Call::Look(at(0, Keep))),
];

const I386: Arch = Arch {
    id: 0x4000_0003,
    wide: false,
    calls: old_calls![
        (102, Call::Sockets),
        (217, Call::ChangeView),
        (252, Call::Exit),
        (271, Call::Times(at(0, Follow))),
        (295, Call::Open(from(0, 1, Follow), 2)),
        (296, Call::Make(from(0, 1, Keep))),
        (297, Call::Make(from(0, 1, Keep))),
        (298, Call::Mode(from(0, 1, FollowUnless(4)))),
        (299, Call::Times(from(0, 1, Follow))),
        (301, Call::Remove(from(0, 1, Keep))),
        (302, Call::Rename(from(0, 1, Keep), from(2, 3, Keep), None)),
        (303, Call::Link(from(0, 1, KeepUnless(4)), from(2, 3, Keep))),
        (304, Call::Make(from(1, 2, Keep))),
        (306, Call::Mode(from(0, 1, Follow))),
        (320, Call::Times(from(0, 1, FollowUnless(3)))),
        (337, Call::Take),
        (342, Call::OpenHandle),
        (353, Call::Rename(from(0, 1, Keep), from(2, 3, Keep), Some(4))),
        (358, Call::Exec(from(0, 1, FollowUnless(4)))),
        (361, Call::Bind(1, 2)),
        (372, Call::Receive),
    ],
    looks: &[
        (18, Call::Look(at(0, Follow))),
        (84, Call::Look(at(0, Keep))),
        (268, Call::Look(at(0, Follow))),
        (292, Call::Look(at(1, Follow))),
        (300, Call::Look(from(0, 1, FollowUnless(3)))),
        (305, Call::Look(from(0, 1, Keep))),
        (307, Call::Look(from(0, 1, Follow))),
        (383, Call::Look(from(0, 1, FollowUnless(2)))),
    ],
};

const AARCH64: Arch = Arch {
    id: 0xc000_00b7,
    wide: true,
    calls: &[
        (14, Call::Mode(at(0, Follow))),
        (15, Call::Mode(at(0, Keep))),
        (16, Call::Mode(fd(0))),
        (33, Call::Make(from(0, 1, Keep))),
        (34, Call::Make(from(0, 1, Keep))),
        (35, Call::Remove(from(0, 1, Keep))),
        (36, Call::Make(from(1, 2, Keep))),
        (37, Call::Link(from(0, 1, KeepUnless(4)), from(2, 3, Keep))),
        (38, Call::Rename(from(0, 1, Keep), from(2, 3, Keep), None)),
        (39, Call::ChangeView),
        (40, Call::ChangeView),
        (41, Call::ChangeView),
        (45, Call::Truncate(at(0, Follow))),
        (49, Call::ChangeDir),
        (50, Call::ChangeDir),
        (51, Call::ChangeView),
        (52, Call::Mode(fd(0))),
        (53, Call::Mode(from(0, 1, Follow))),
        (54, Call::Mode(from(0, 1, FollowUnless(4)))),
        (55, Call::Mode(fd(0))),
        (56, Call::Open(from(0, 1, Follow), 2)),
        (88, Call::Times(from(0, 1, FollowUnless(3)))),
        (94, Call::Exit),
        (200, Call::Bind(1, 2)),
        (212, Call::Receive),
        (220, Call::Clone),
        (221, Call::Exec(at(0, Follow))),
        (243, Call::Take),
        (265, Call::OpenHandle),
        (276, Call::Rename(from(0, 1, Keep), from(2, 3, Keep), Some(4))),
        (281, Call::Exec(from(0, 1, FollowUnless(4)))),
    ],
    looks: &[
        (8, Call::Look(at(0, Follow))),
        (9, Call::Look(at(0, Keep))),
        (11, Call::Look(at(0, Follow))),
        (12, Call::Look(at(0, Keep))),
        (27, Call::Look(at(1, Follow))),
        (43, Call::Look(at(0, Follow))),
        (48, Call::Look(from(0, 1, Follow))),
        (78, Call::Look(from(0, 1, Keep))),
        (79, Call::Look(from(0, 1, FollowUnless(3)))),
        (291, Call::Look(from(0, 1, FollowUnless(2)))),
    ],
};

const ARM: Arch = Arch {
    id: 0x4000_0028,
    wide: false,
    calls: old_calls![
        (218, Call::ChangeView),
        (248, Call::Exit),
        (269, Call::Times(at(0, Follow))),
        (282, Call::Bind(1, 2)),
        (297, Call::Receive),
        (322, Call::Open(from(0, 1, Follow), 2)),
        (323, Call::Make(from(0, 1, Keep))),
        (324, Call::Make(from(0, 1, Keep))),
        (325, Call::Mode(from(0, 1, FollowUnless(4)))),
        (326, Call::Times(from(0, 1, Follow))),
        (328, Call::Remove(from(0, 1, Keep))),
        (329, Call::Rename(from(0, 1, Keep), from(2, 3, Keep), None)),
        (330, Call::Link(from(0, 1, KeepUnless(4)), from(2, 3, Keep))),
        (331, Call::Make(from(1, 2, Keep))),
        (333, Call::Mode(from(0, 1, Follow))),
        (348, Call::Times(from(0, 1, FollowUnless(3)))),
        (365, Call::Take),
        (371, Call::OpenHandle),
        (382, Call::Rename(from(0, 1, Keep), from(2, 3, Keep), Some(4))),
        (387, Call::Exec(from(0, 1, FollowUnless(4)))),
    ],
    looks: &[
        (266, Call::Look(at(0, Follow))),
        (317, Call::Look(at(1, Follow))),
        (327, Call::Look(from(0, 1, FollowUnless(3)))),
        (332, Call::Look(from(0, 1, Keep))),
        (334, Call::Look(from(0, 1, Follow))),
        (397, Call::Look(from(0, 1, FollowUnless(2)))),
    ],
};

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
                    // The way in which C libraries make `fstat`, which looks for nothing.
                    Call::Look(Place { last: FollowUnless(flags), .. }) => unless(body, flags, AT_EMPTY_PATH),
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
            (libc::SYS_chdir, Call::ChangeDir),
            (libc::SYS_fchdir, Call::ChangeDir),
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
            (libc::SYS_readlink, Call::Look(at(0, Keep))),
            (libc::SYS_readlinkat, Call::Look(from(0, 1, Keep))),
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
