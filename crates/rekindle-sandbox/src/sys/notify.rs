//! Seccomp's user notifications, and ways to look into another process.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// Installs a seccomp filter for this process and all that it starts, and gives the descriptor that hears of the calls
/// which it picks. Tells the kernel not to let signals interrupt a call that has been heard of, where it can do that.
pub(crate) fn install_listener(program: &[libc::sock_filter]) -> io::Result<OwnedFd> {
    let len = program.len().try_into().map_err(|_| io::ErrorKind::InvalidInput)?;
    let program = libc::sock_fprog { len, filter: program.as_ptr().cast_mut() };
    let flags = libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW | libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    let mut refusal = io::Error::from_raw_os_error(libc::EINVAL);
    for flags in [flags | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, flags] {
        // SAFETY: `program` points to `len` instructions, which the kernel only reads.
        let fd = unsafe {
            libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program)
        };
        if let Ok(fd @ 0..) = i32::try_from(fd) {
            // SAFETY: `fd` is a descriptor that was just made and has no other owner.
            return Ok(unsafe { OwnedFd::from_raw_fd(fd) });
        }
        refusal = io::Error::last_os_error();
        if refusal.raw_os_error() != Some(libc::EINVAL) {
            break;
        }
    }
    Err(refusal)
}

/// Whether whoever makes a call hands its processor to who answers, and gets it back with the answer; otherwise the
/// kernel looks for a place for each. `false` where the kernel (before 6.6) cannot.
pub(crate) fn set_sync_wake_up(listener: BorrowedFd<'_>, sync: bool) -> bool {
    const SYNC_WAKE_UP: u64 = 1;
    let flags = if sync { SYNC_WAKE_UP } else { 0 };
    // SAFETY: the operation takes a number, no pointer.
    unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SET_FLAGS as _, flags) == 0 }
}

/// Asks for turns of so many nanoseconds on the processor for this thread, which come the earlier the shorter they are. Does
/// nothing where it is not scheduled as is usual, or where the kernel (before 6.12) does not know of this.
pub(crate) fn ask_for_turns_of(nanoseconds: u64) -> io::Result<()> {
    const SIZE: usize = size_of::<libc::sched_attr>();
    // SAFETY: the structure is integers, for which zero is a value.
    let mut wanted: libc::sched_attr = unsafe { std::mem::zeroed() };
    // SAFETY: `wanted` is as large as is said, and only written to. 0 is this thread.
    if unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut wanted, SIZE, 0) } != 0 {
        return Err(io::Error::last_os_error());
    }
    if wanted.sched_policy != libc::SCHED_OTHER.cast_unsigned() {
        return Ok(());
    }
    wanted.sched_runtime = nanoseconds;
    // SAFETY: `wanted` is as large as it says, and only read.
    match unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const wanted, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Signals that interrupt this process in system calls that wait, and do nothing else, until this is dropped: when a
/// child dies, and at intervals.
pub(crate) struct Interruptions(());

impl Interruptions {
    pub(crate) fn every(interval: Duration) -> Self {
        extern "C" fn nothing(_: libc::c_int) {}
        // SAFETY: a `sigaction` is integers and a function's address, for which zero is a value.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        let handler: extern "C" fn(libc::c_int) = nothing;
        action.sa_sigaction = handler as libc::sighandler_t;
        // SAFETY: a signal set is integers, for which zero is a value.
        let mut signals: libc::sigset_t = unsafe { std::mem::zeroed() };
        for signal in [libc::SIGCHLD, libc::SIGALRM] {
            // SAFETY: `action` is a live structure whose handler does nothing, `signals` a live set; the old
            // disposition is not asked for.
            unsafe {
                libc::sigaction(signal, &raw const action, std::ptr::null_mut());
                libc::sigaddset(&mut signals, signal);
            }
        }
        // Whoever started this process may have blocked them.
        // SAFETY: `signals` is a live signal set; the old one is not asked for.
        unsafe { libc::sigprocmask(libc::SIG_UNBLOCK, &signals, std::ptr::null_mut()) };
        set_timer(interval);
        Interruptions(())
    }
}

impl Drop for Interruptions {
    fn drop(&mut self) {
        set_timer(Duration::ZERO);
    }
}

/// Has SIGALRM sent at intervals, shorter than a second; zero for never.
fn set_timer(interval: Duration) {
    let interval = libc::timeval { tv_sec: 0, tv_usec: interval.subsec_micros().into() };
    let timer = libc::itimerval { it_interval: interval, it_value: interval };
    // SAFETY: `timer` is a live structure; the old one is not asked for.
    unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) };
}

/// A call that waits for an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Notice {
    /// Names it in the answer.
    pub(crate) id: u64,
    /// The thread that makes it, as this process sees it; 0 if it does not.
    pub(crate) tid: u32,
    pub(crate) arch: u32,
    pub(crate) number: u32,
    pub(crate) args: [u64; 6],
}

/// A place for the kernel to write notices to.
pub(crate) struct NoticeBuffer(Box<[u64; 128]>);

impl NoticeBuffer {
    pub(crate) fn new() -> Self {
        // Several times what the kernel writes today: its structure may grow.
        NoticeBuffer(Box::new([0; 128]))
    }

    /// The next call that waits. An error of `ENOENT` means that the call has been given up meanwhile.
    pub(crate) fn receive(&mut self, listener: BorrowedFd<'_>) -> io::Result<Notice> {
        self.0.fill(0);
        let place: *mut libc::seccomp_notif = self.0.as_mut_ptr().cast();
        // SAFETY: `place` is aligned, zeroed as the kernel wants it, and larger than what any kernel writes.
        super::check(unsafe {
            libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV as _, place)
        })?;
        // SAFETY: the structure is integers, for which any bytes are a value.
        let notice = unsafe { place.read() };
        Ok(Notice {
            id: notice.id,
            tid: notice.pid,
            arch: notice.data.arch,
            number: notice.data.nr.cast_unsigned(),
            args: notice.data.args,
        })
    }
}

/// Lets a call go on. If nobody waits any more, that is just as well.
pub(crate) fn let_go_on(listener: BorrowedFd<'_>, id: u64) {
    let flags = libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32;
    let answer = libc::seccomp_notif_resp { id, val: 0, error: 0, flags };
    loop {
        // SAFETY: the operation reads a `seccomp_notif_resp`.
        let done = unsafe {
            libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND as _, &raw const answer)
        };
        // Interrupted, it has not answered, and the call would wait for ever.
        if done == 0 || io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return;
        }
    }
}

/// Whether the call still waits, so that its thread's number means that thread.
pub(crate) fn still_waits(listener: BorrowedFd<'_>, id: u64) -> bool {
    // SAFETY: the operation reads a `u64`.
    let done =
        unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_ID_VALID as _, &raw const id) };
    done == 0 || io::Error::last_os_error().kind() == io::ErrorKind::Interrupted
}

/// Copies from the memory of a process. It may be less than asked for, at the end of what is there.
pub(crate) fn read_memory(tid: u32, address: u64, to: &mut [u8]) -> io::Result<usize> {
    let local = libc::iovec { iov_base: to.as_mut_ptr().cast(), iov_len: to.len() };
    let start = usize::try_from(address).map_err(|_| io::ErrorKind::InvalidInput)?;
    let remote = libc::iovec { iov_base: start as *mut libc::c_void, iov_len: to.len() };
    // SAFETY: `local` is `to`, which is writable; `remote` is an address in the other process, which the kernel checks.
    let count =
        unsafe { libc::process_vm_readv(tid.cast_signed(), &raw const local, 1, &raw const remote, 1, 0) };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

/// Whether this thread is one of that process, and both live.
pub(crate) fn is_thread_of(tid: u32, process: u32) -> bool {
    // SAFETY: no pointers; signal 0 is sent to nobody.
    let done = unsafe { libc::syscall(libc::SYS_tgkill, process, tid, 0) };
    done == 0 || io::Error::last_os_error().raw_os_error() != Some(libc::ESRCH)
}

/// What a pid descriptor tells.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PidInfo {
    /// Its parent; 0 if it is out of sight.
    pub(crate) parent: u32,
    /// As `wait` gives it, of one that has ended, where the kernel tells.
    pub(crate) status: Option<i32>,
}

/// Asks a pid descriptor. `None` where the kernel (before 6.13) cannot, or where nothing is left of the process.
pub(crate) fn pid_info(process: BorrowedFd<'_>) -> Option<PidInfo> {
    #[repr(C)]
    struct PidfdInfo {
        mask: u64,
        cgroup: u64,
        pid: u32,
        tgid: u32,
        ppid: u32,
        ids: [u32; 8],
        exit_code: i32,
    }
    const PID: u64 = 1;
    const EXIT: u64 = 1 << 3;
    /// `_IOWR(0xFF, 11, struct pidfd_info)`.
    const PIDFD_GET_INFO: u32 = 0xc000_0000 | (size_of::<PidfdInfo>() as u32) << 16 | 0xff << 8 | 11;
    let mut info =
        PidfdInfo { mask: PID | EXIT, cgroup: 0, pid: 0, tgid: 0, ppid: 0, ids: [0; 8], exit_code: 0 };
    // SAFETY: `info` is laid out as the kernel's structure, whose size is part of the operation's number.
    if unsafe { libc::ioctl(process.as_raw_fd(), PIDFD_GET_INFO as _, &raw mut info) } < 0 {
        return None;
    }
    let status = (info.mask & EXIT != 0).then_some(info.exit_code);
    (info.mask & (PID | EXIT) != 0).then_some(PidInfo { parent: info.ppid, status })
}
