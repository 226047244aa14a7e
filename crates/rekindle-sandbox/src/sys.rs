//! The system calls that rustix does not offer in a safe form. All `unsafe` of the project is here.
//!
//! Each function is safe to call with any arguments; what it needs beyond its arguments is a value that proves it
//! ([`SingleThreaded`]).

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use rustix::thread::UnshareFlags;

mod notify;

pub(crate) use notify::{
    Interruptions, Notice, NoticeBuffer, ask_for_turns_of, install_listener, is_thread_of, let_go_on,
    pid_info, read_memory, set_sync_wake_up, still_waits,
};

/// Proof that this process has one thread only.
#[derive(Debug)]
pub(crate) struct SingleThreaded(());

/// Moves this process to new namespaces, a user namespace among them.
///
/// The kernel refuses that to a process with several threads, so success proves that there is one.
pub(crate) fn unshare_with_user(flags: UnshareFlags) -> io::Result<SingleThreaded> {
    // SAFETY: file descriptors stay shared as they are (no `FILES`), and there is no other thread to be surprised.
    unsafe { rustix::thread::unshare_unsafe(flags | UnshareFlags::NEWUSER) }?;
    Ok(SingleThreaded(()))
}

/// Forks. `None` in the child.
pub(crate) fn fork(_alone: &SingleThreaded) -> io::Result<Option<Pid>> {
    // SAFETY: with a single thread no lock can be held by a thread that the child lacks.
    let pid = unsafe { libc::fork() };
    if pid < 0 { Err(io::Error::last_os_error()) } else { Ok(Pid::from_raw(pid)) }
}

/// Ends this process at once, without running exit handlers.
pub(crate) fn exit(code: i32) -> ! {
    // SAFETY: always sound; nothing runs after it.
    unsafe { libc::_exit(code) }
}

/// Processor time and memory of a child and all its reaped descendants.
pub(crate) struct Resources {
    pub(crate) user: Duration,
    pub(crate) system: Duration,
    pub(crate) peak_rss_bytes: u64,
}

/// Waits for a child to end.
pub(crate) fn wait(pid: Pid) -> io::Result<Resources> {
    let mut status = 0;
    // SAFETY: `rusage` is plain integers, for which zero is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to live, writable values of the right types.
    while unsafe { libc::wait4(pid.as_raw_nonzero().get(), &mut status, 0, &mut usage) } < 0 {
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    let duration = |time: libc::timeval| {
        Duration::from_secs(time.tv_sec.try_into().unwrap_or(0))
            + Duration::from_micros(time.tv_usec.try_into().unwrap_or(0))
    };
    Ok(Resources {
        user: duration(usage.ru_utime),
        system: duration(usage.ru_stime),
        peak_rss_bytes: u64::try_from(usage.ru_maxrss).unwrap_or(0) * 1024,
    })
}

/// Closes every file descriptor but standard input, output and error.
///
/// Only for a process that has just begun and owns no descriptor yet.
pub(crate) fn close_inherited() {
    // SAFETY: it takes no pointers. The descriptors are ones that nothing in this process has a value for.
    let done = unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) };
    debug_assert_eq!(done, 0, "the arguments are valid");
}

/// Makes standard input (0), output (1) or error (2) another name of `fd`.
pub(crate) fn replace_stdio(number: i32, fd: BorrowedFd<'_>) -> io::Result<()> {
    assert!((0..=2).contains(&number), "only standard descriptors may be replaced under their owner");
    // SAFETY: nobody owns 0 to 2 in the sense of `OwnedFd`, so none is closed behind an owner's back.
    check(unsafe { libc::dup2(fd.as_raw_fd(), number) })
}

/// Sets attributes (`MOUNT_ATTR_*`) of a mount, and of all mounts below it if `recursive`. It clears none.
pub(crate) fn add_mount_attributes(mount: impl AsFd, recursive: bool, attributes: u32) -> io::Result<()> {
    #[repr(C)]
    struct MountAttr {
        attr_set: u64,
        attr_clr: u64,
        propagation: u64,
        userns_fd: u64,
    }
    let attr = MountAttr { attr_set: attributes.into(), attr_clr: 0, propagation: 0, userns_fd: 0 };
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a C string, and `attr` is laid out as the kernel's `struct mount_attr`, with its size.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attr,
            size_of::<MountAttr>(),
        )
    };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Gives up all supplementary groups.
pub(crate) fn drop_groups() -> io::Result<()> {
    // SAFETY: a count of 0 means that the pointer is not read.
    check(unsafe { libc::setgroups(0, std::ptr::null()) })
}

/// Sets the host name and the NIS domain name of this uts namespace.
pub(crate) fn set_names(host: &[u8], domain: &[u8]) -> io::Result<()> {
    // SAFETY: pointer and length are of the same slice.
    check(unsafe { libc::sethostname(host.as_ptr().cast(), host.len()) })?;
    // SAFETY: as above.
    check(unsafe { libc::setdomainname(domain.as_ptr().cast(), domain.len()) })
}

/// Brings the loopback interface of this network namespace up.
pub(crate) fn loopback_up() -> io::Result<()> {
    // SAFETY: no pointers.
    let socket = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    check(socket)?;
    // SAFETY: `socket` is a descriptor that was just made and has no other owner.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    // SAFETY: `ifreq` is integers, byte arrays and a union of such, for which zero is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = from.cast_signed() as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads a `struct ifreq`, which `request` is.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw mut request) })
}

/// Gives every signal its default disposition.
pub(crate) fn reset_signals() {
    // The kernel's own call, as the C library refuses to touch the signals that it uses itself, and its `posix_spawn`
    // leaves just those ignored. All zeroes is the kernel's structure for the default disposition.
    let default = [0u64; 4];
    for signal in 1..=64 {
        // Some cannot be set (SIGKILL, SIGSTOP); they are as they should be.
        // SAFETY: the structure is at most as large as `default`; a default disposition runs no code of ours; the
        // old disposition is not asked for; a signal set has 8 bytes.
        unsafe {
            libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), std::ptr::null_mut::<u64>(), 8);
        }
    }
}

/// Blocks these signals, and no others, for this process and those that it starts.
pub(crate) fn block_signals(signals: &[libc::c_int]) {
    let set = signal_set(signals);
    // SAFETY: `set` is a live signal set; the old one is not asked for.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut()) };
}

/// What asks an init to interrupt all others.
pub(crate) const ASKS_TO_INTERRUPT: libc::c_int = libc::SIGTERM;

/// What an init waits for besides its work.
pub(crate) struct Signals(OwnedFd);

impl Signals {
    /// Blocks the signal for a child's death and [`ASKS_TO_INTERRUPT`], to be read here instead. Processes that are started from then on
    /// inherit the blocked signals.
    ///
    /// An init never hears of a signal that it neither handles nor blocks, so the latter has to be blocked from before it is forked.
    pub(crate) fn block() -> io::Result<Self> {
        let set = signal_set(&[libc::SIGCHLD, ASKS_TO_INTERRUPT]);
        // SAFETY: `set` is a live signal set; the old one is not asked for.
        check(unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut()) })?;
        // SAFETY: as above; -1 asks for a new descriptor.
        let fd = unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        check(fd)?;
        // SAFETY: `fd` is a descriptor that was just made and has no other owner.
        Ok(Signals(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Takes all that have come. Returns whether [`ASKS_TO_INTERRUPT`] is one of them, and nobody of this pid namespace has sent it. That
    /// a child has died is for `wait` to tell: of several that is said only once.
    pub(crate) fn take(&self) -> bool {
        // Where a `signalfd_siginfo` has its number, code and sender.
        const SIZE: usize = size_of::<libc::signalfd_siginfo>();
        let mut is_asked = false;
        let mut buffer = [0; SIZE];
        while rustix::io::read(&self.0, &mut buffer) == Ok(SIZE) {
            let word = |at: usize| i32::from_ne_bytes(buffer[at..at + 4].try_into().expect("four bytes"));
            let [number, code, sender] = [
                std::mem::offset_of!(libc::signalfd_siginfo, ssi_signo),
                std::mem::offset_of!(libc::signalfd_siginfo, ssi_code),
                std::mem::offset_of!(libc::signalfd_siginfo, ssi_pid),
            ]
            .map(word);
            // Who is out of sight has no number, and nobody can send this code with a number that is not its own.
            is_asked |= (number, code, sender) == (ASKS_TO_INTERRUPT, libc::SI_USER, 0);
        }
        is_asked
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn signal_set(signals: &[libc::c_int]) -> libc::sigset_t {
    // SAFETY: a signal set is integers, for which zero is a value.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    for signal in signals {
        // SAFETY: `set` is a live signal set. What is no signal is refused.
        unsafe { libc::sigaddset(&raw mut set, *signal) };
    }
    set
}

/// Sends a signal to every process of this pid namespace but this one, if this one is its init. Otherwise it does nothing.
pub(crate) fn signal_all(signal: Signal) {
    if std::process::id() == 1 {
        // SAFETY: no pointers.
        unsafe { libc::kill(-1, signal.as_raw()) };
    }
}

/// Makes programs that this process executes see the ordinary Linux personality, at addresses that do not vary.
pub(crate) fn set_plain_personality() -> io::Result<()> {
    // SAFETY: no pointers; it concerns programs executed later.
    check(unsafe { libc::personality(libc::ADDR_NO_RANDOMIZE as _) })
}

/// Takes a capability out of the bounding set; `false` when the kernel knows none of that number.
pub(crate) fn drop_bounding(capability: u32) -> io::Result<bool> {
    // SAFETY: no pointers.
    match check(unsafe { libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(capability), 0, 0, 0) }) {
        Ok(()) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Installs a seccomp filter for this process and all that it starts.
pub(crate) fn install_filter(program: &[libc::sock_filter]) -> io::Result<()> {
    let len = program.len().try_into().map_err(|_| io::ErrorKind::InvalidInput)?;
    let program = libc::sock_fprog { len, filter: program.as_ptr().cast_mut() };
    // Kernels before 5.16 otherwise slow every filtered process down against an attack that does not concern it.
    let flags = libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW;
    // SAFETY: `program` points to `len` instructions, which the kernel only reads.
    let done =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Whether the kernel has seccomp filters that can make a call fail.
pub(crate) fn has_filters() -> io::Result<()> {
    let action = libc::SECCOMP_RET_ERRNO;
    // SAFETY: the operation reads one `u32`.
    let done =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_ACTION_AVAIL, 0, &raw const action) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Executes a program in place of this one; returns only if that fails.
pub(crate) fn execute(program: &CStr, args: &[CString], env: &[CString]) -> io::Error {
    let pointers = |strings: &[CString]| {
        strings.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect::<Vec<_>>()
    };
    let (args, env) = (pointers(args), pointers(env));
    // SAFETY: both arrays end with null and point to C strings that outlive the call.
    unsafe { libc::execve(program.as_ptr(), args.as_ptr(), env.as_ptr()) };
    io::Error::last_os_error()
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
