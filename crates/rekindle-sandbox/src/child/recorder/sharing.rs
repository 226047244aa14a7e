//! What processes share, and what takes them out of the view that the observer has of them.

use rustix::io::Errno;

use super::{Caller, Recorder};
use crate::calls::Arch;

impl Recorder<'_> {
    /// Mounts and roots of one's own are beyond what can be followed. In the sandbox's own user namespace nobody has
    /// the right to any.
    pub(super) fn change_view(&mut self, who: Caller) -> Result<(), String> {
        match self.has_other_rights(who) {
            false => Ok(()),
            true => {
                Err("a process mounted file systems, or changed its root, in a namespace of its own"
                    .to_owned())
            }
        }
    }

    /// Whether a process is in a user namespace of its own, where it may do more than this one.
    pub(super) fn has_other_rights(&self, who: Caller) -> bool {
        match self.procs.link(who.tid, "ns/user") {
            Ok(namespace) => namespace != self.namespace,
            // It has ended.
            Err(Errno::NOENT | Errno::SRCH) => false,
            Err(_) => true,
        }
    }

    /// A thread or process that shares something comes into being.
    pub(super) fn share(&mut self, who: Caller, flags: u64) -> Result<(), String> {
        let has = |flag: i32| flags & u64::from(flag.cast_unsigned()) != 0;
        let task = self.tasks.get(who.process);
        let record = task.record;
        if has(libc::CLONE_THREAD) {
            task.threads = true;
            task.forget_cwd();
        } else {
            if has(libc::CLONE_FS) {
                task.cwd_shared = true;
                task.forget_cwd();
                self.tasks.cwds_are_shared = true;
            }
            if has(libc::CLONE_FILES) {
                self.tasks.get(who.process).descriptors_shared = true;
                self.tasks.descriptors_are_shared = true;
                self.ledger()?.process(record).shares = true;
            }
        }
        Ok(())
    }

    /// Descriptors may come in from another process.
    pub(super) fn take(&mut self, who: Caller) -> Result<(), String> {
        let task = self.tasks.get(who.process);
        task.scan = true;
        let record = task.record;
        self.ledger()?.process(record).shares = true;
        Ok(())
    }

    pub(super) fn socket_call(&mut self, who: Caller, arch: &Arch, args: &[u64; 6]) -> Result<(), String> {
        const BIND: u64 = 2;
        const RECVMSG: u64 = 17;
        const RECVMMSG: u64 = 19;
        debug_assert!(!arch.wide, "there is no such call");
        let mut inner = [0; 12];
        match args[0] {
            RECVMSG | RECVMMSG => self.take(who),
            BIND if self.read(who, args[1], &mut inner)? == 12 => {
                let [_, address, length] = [0, 4, 8].map(|at| {
                    u64::from(u32::from_le_bytes(inner[at..at + 4].try_into().expect("four bytes are four")))
                });
                self.bind(who, address, length)
            }
            _ => Ok(()),
        }
    }
}
