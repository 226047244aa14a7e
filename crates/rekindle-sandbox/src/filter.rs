//! The system calls that a command in the sandbox may not make, as seccomp filter.
//!
//! What is denied, and why:
//! - setting the set-user-id and set-group-id bits: outside, the file would have them (EPERM, as Nix);
//! - setting extended attributes: archives cannot carry them, so a build must not come to rely on them (ENOTSUP, as Nix);
//! - io_uring: it opens files out of sight of any filter (ENOSYS, so that programs fall back);
//! - kernel keyrings: they are not namespaced, so one run could leave something to the next (EPERM);
//! - vsock sockets, unless the host's network is wanted: they pass by network namespaces (EAFNOSUPPORT).
//!
//! On x86-64 a process may make i386 calls, on aarch64 arm calls, by other numbers; each table is a [`Arch`]. The x32
//! numbers of x86-64 do not exist here (ENOSYS). Creating a file with such bits (`open`, `mknod`) is let through, as in
//! Nix: `openat2` hides its mode from filters anyway.

use crate::bpf::{Action, Field, Program};
use crate::spec::Network;

/// The calls of one architecture, by number.
struct Arch {
    /// Its `AUDIT_ARCH_*`.
    id: u32,
    /// Calls that set a file's mode, and the argument that has it.
    set_mode: &'static [(u32, usize)],
    set_xattr: &'static [u32],
    keyring: &'static [u32],
    socket: u32,
    /// A bit that marks numbers of an unwanted second set.
    foreign_bit: Option<u32>,
}

const X86_64: Arch = Arch {
    id: 0xc000_003e,
    set_mode: &[(90, 1), (91, 1), (268, 2), (FCHMODAT2, 2)],
    set_xattr: &[188, 189, 190, SETXATTRAT],
    keyring: &[248, 249, 250],
    socket: 41,
    foreign_bit: Some(0x4000_0000),
};

const I386: Arch = Arch {
    id: 0x4000_0003,
    set_mode: &[(15, 1), (94, 1), (306, 2), (FCHMODAT2, 2)],
    set_xattr: &[226, 227, 228, SETXATTRAT],
    keyring: &[286, 287, 288],
    socket: 359,
    foreign_bit: None,
};

const AARCH64: Arch = Arch {
    id: 0xc000_00b7,
    set_mode: &[(52, 1), (53, 2), (FCHMODAT2, 2)],
    set_xattr: &[5, 6, 7, SETXATTRAT],
    keyring: &[217, 218, 219],
    socket: 198,
    foreign_bit: None,
};

const ARM: Arch = Arch {
    id: 0x4000_0028,
    set_mode: &[(15, 1), (94, 1), (333, 2), (FCHMODAT2, 2)],
    set_xattr: &[226, 227, 228, SETXATTRAT],
    keyring: &[309, 310, 311],
    socket: 281,
    foreign_bit: None,
};

// Calls that are younger than 2019 have the same number everywhere.
const FCHMODAT2: u32 = 452;
const SETXATTRAT: u32 = 463;
const IO_URING: [u32; 3] = [425, 426, 427];

/// The filter for a command in the sandbox, for the architecture that this program is built for.
pub(crate) fn filter(network: Network) -> Program {
    let archs = if cfg!(target_arch = "x86_64") {
        [X86_64, I386]
    } else if cfg!(target_arch = "aarch64") {
        [AARCH64, ARM]
    } else {
        const { assert!(cfg!(any(target_arch = "x86_64", target_arch = "aarch64")), "no table of calls") };
        [X86_64, I386]
    };
    assemble(&archs, network)
}

fn assemble(archs: &[Arch], network: Network) -> Program {
    let mut program = Program::default();
    program.load(Field::Arch);
    for arch in archs {
        program.when_equal(arch.id, |program| arch.assemble(network, program));
    }
    program.finish(Action::Fail(libc::ENOSYS));
    program
}

impl Arch {
    fn assemble(&self, network: Network, program: &mut Program) {
        program.load(Field::Number);
        if let Some(bit) = self.foreign_bit {
            program.when_any_bit(bit, |body| body.finish(Action::Fail(libc::ENOSYS)));
        }
        for &(call, argument) in self.set_mode {
            program.when_equal(call, |body| {
                body.load(Field::Argument(argument));
                body.when_any_bit(libc::S_ISUID | libc::S_ISGID, |body| {
                    body.finish(Action::Fail(libc::EPERM));
                });
                body.finish(Action::Allow);
            });
        }
        let denied =
            [(self.set_xattr, libc::ENOTSUP), (&IO_URING, libc::ENOSYS), (self.keyring, libc::EPERM)];
        for (calls, errno) in denied {
            for &call in calls {
                program.when_equal(call, |body| body.finish(Action::Fail(errno)));
            }
        }
        if network == Network::Loopback {
            program.when_equal(self.socket, |body| {
                body.load(Field::Argument(0));
                body.when_equal(libc::AF_VSOCK.unsigned_abs(), |body| {
                    body.finish(Action::Fail(libc::EAFNOSUPPORT));
                });
                body.finish(Action::Allow);
            });
        }
        program.finish(Action::Allow);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bpf::interpret;

    const ALL: [Arch; 4] = [X86_64, I386, AARCH64, ARM];

    #[test]
    fn denies_what_it_says_on_every_architecture() {
        let program = assemble(&ALL, Network::Loopback);
        for arch in &ALL {
            let run = |call, args| interpret(&program, arch.id, call, args);
            for &(call, argument) in arch.set_mode {
                for (mode, expect) in [
                    (0o755, Action::Allow),
                    (0o1777, Action::Allow),
                    (0o4755, Action::Fail(libc::EPERM)),
                    (0o2755, Action::Fail(libc::EPERM)),
                    (0xffff_ffff_0000_0000 | 0o6000, Action::Fail(libc::EPERM)),
                ] {
                    let mut args = [u64::MAX; 6];
                    args[argument] = mode;
                    assert_eq!(run(call, args), expect, "{:x} {call} {mode:o}", arch.id);
                }
            }
            arch.set_xattr
                .iter()
                .for_each(|&call| assert_eq!(run(call, [0; 6]), Action::Fail(libc::ENOTSUP)));
            IO_URING.iter().for_each(|&call| assert_eq!(run(call, [0; 6]), Action::Fail(libc::ENOSYS)));
            arch.keyring.iter().for_each(|&call| assert_eq!(run(call, [0; 6]), Action::Fail(libc::EPERM)));
            let socket = |family: i32| run(arch.socket, [family.unsigned_abs().into(), 0, 0, 0, 0, 0]);
            assert_eq!(socket(libc::AF_VSOCK), Action::Fail(libc::EAFNOSUPPORT));
            assert_eq!(socket(libc::AF_INET), Action::Allow);
            assert_eq!(run(1_000, [u64::MAX; 6]), Action::Allow);
        }
        assert_eq!(interpret(&program, X86_64.id, 0x4000_0000, [0; 6]), Action::Fail(libc::ENOSYS));
        assert_eq!(interpret(&program, 0x1234, 0, [0; 6]), Action::Fail(libc::ENOSYS));
    }

    #[test]
    fn lets_vsock_through_with_the_host_network() {
        let program = assemble(&ALL, Network::Host);
        let vsock = [libc::AF_VSOCK.unsigned_abs().into(), 0, 0, 0, 0, 0];
        assert_eq!(interpret(&program, X86_64.id, X86_64.socket, vsock), Action::Allow);
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn numbers_are_the_kernels() {
        let numbers = |calls: &[libc::c_long]| {
            calls.iter().map(|&call| u32::try_from(call).expect("numbers are small")).collect::<Vec<_>>()
        };
        let set_mode: Vec<u32> = X86_64.set_mode.iter().map(|&(call, _)| call).collect();
        assert_eq!(
            set_mode,
            numbers(&[libc::SYS_chmod, libc::SYS_fchmod, libc::SYS_fchmodat, libc::SYS_fchmodat2])
        );
        assert_eq!(
            X86_64.set_xattr[..3],
            numbers(&[libc::SYS_setxattr, libc::SYS_lsetxattr, libc::SYS_fsetxattr])
        );
        assert_eq!(X86_64.keyring, numbers(&[libc::SYS_add_key, libc::SYS_request_key, libc::SYS_keyctl]));
        assert_eq!(
            IO_URING[..],
            numbers(&[libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register])
        );
        assert_eq!(numbers(&[libc::SYS_socket]), [X86_64.socket]);
    }
}
