//! The last steps of PID 2 before it is the command: descriptors, limits, filter, exec.

use std::convert::Infallible;
use std::ffi::{CString, OsStr};
use std::fs;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::fcntl_dupfd_cloexec;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, chdir, getrlimit, set_dumpable_behavior, setrlimit, setsid, umask,
};

use crate::calls;
use crate::channel::{Report, send};
use crate::error::{Error, ErrorKind};
use crate::filter::filter;
use crate::spec::{Observe, Spec};
use crate::sys;
use crate::wire::Probe;

/// Soft limits that a command sees, whatever the caller's are: those of a freshly booted Linux.
const STACK: u64 = 8 << 20;
const DESCRIPTORS: u64 = 1024;

/// `post` is where to send the listener to, for the supervisor to observe by.
pub(super) fn main(spec: &Spec, probe: Probe, post: Option<OwnedFd>) -> ! {
    let caller = match fcntl_dupfd_cloexec(std::io::stderr(), 3) {
        Ok(caller) => caller,
        Err(_) => sys::exit(127),
    };
    let Err(error) = become_command(spec, probe, post);
    send(caller.as_fd(), &Report::Failed(error), None);
    sys::exit(127)
}

fn become_command(spec: &Spec, probe: Probe, post: Option<OwnedFd>) -> Result<Infallible, Error> {
    let failed = |what: &'static str| move |cause: io::Error| Error::failed(what, cause);
    // Init reads its signals instead of being interrupted by them.
    sys::block_signals(&[]);
    setsid().map_err(|errno| Error::failed("cannot start a session", errno))?;
    set_limits().map_err(failed("cannot set resource limits"))?;
    sys::set_plain_personality().map_err(failed("cannot set the personality"))?;
    chdir(&spec.cwd).map_err(|errno| {
        Error::failed(
            format!("cannot enter the working directory {} in the sandbox", spec.cwd.display()),
            errno,
        )
    })?;
    umask(Mode::from_raw_mode(spec.umask));
    replace_stdio().map_err(failed("cannot connect the command's output"))?;
    sys::install_filter(filter(spec.network).instructions())
        .map_err(failed("cannot install the seccomp filter; the kernel needs CONFIG_SECCOMP_FILTER"))?;
    if let (Some(observe), Some(post)) = (&spec.observe, post) {
        begin_to_observe(observe, &post);
    }
    match probe {
        Probe::None => Err(execute(spec)),
        Probe::Start => sys::exit(0),
        Probe::Observe => {
            try_observe().map_err(failed("cannot be observed"))?;
            sys::exit(0)
        }
        Probe::Tree => {
            try_tree().map_err(failed("cannot change a mounted overlay"))?;
            sys::exit(0)
        }
    }
}

/// Has the supervisor hear of calls from now on. Where that cannot be, it hears why.
fn begin_to_observe(observe: &Observe, post: &OwnedFd) {
    let listener = sys::install_listener(calls::filter(observe.lookups).instructions());
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = listener.as_ref().map(|listener| [listener.as_fd()]);
    let text = match &fds {
        Ok(fds) => {
            control.push(SendAncillaryMessage::ScmRights(fds));
            "+".to_owned()
        }
        Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
            "somebody else observes this program's calls already (seccomp has room for one listener); run it \
             outside of the container or tracer that does"
                .to_owned()
        }
        Err(error) => format!("the kernel cannot tell of calls: {error}; use Linux 5.10 or newer"),
    };
    // If the supervisor is gone, so is this process, in a moment.
    let _ = sendmsg(post, &[IoSlice::new(text.as_bytes())], &mut control, SendFlags::NOSIGNAL);
}

/// Null as input, the pipe that is standard output already as error too. Opened anew, so that it has a name inside.
fn replace_stdio() -> io::Result<()> {
    let null: OwnedFd = rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    sys::replace_stdio(0, null.as_fd())?;
    sys::replace_stdio(2, std::io::stdout().as_fd())
}

fn set_limits() -> io::Result<()> {
    let soft = |resource, current: u64| {
        let maximum = getrlimit(resource).maximum;
        let current = Some(maximum.map_or(current, |maximum| maximum.min(current)));
        setrlimit(resource, Rlimit { current, maximum })
    };
    soft(Resource::Stack, STACK)?;
    soft(Resource::Nofile, DESCRIPTORS)?;
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    Ok(())
}

fn execute(spec: &Spec) -> Error {
    let argv0 = spec.argv0.as_deref().unwrap_or(spec.program.as_os_str());
    let args = std::iter::once(argv0).chain(spec.args.iter().map(AsRef::as_ref));
    let env = spec.env.iter().map(|(name, value)| {
        let mut line = name.clone();
        line.push("=");
        line.push(value);
        line
    });
    let strings = (
        c_string(spec.program.as_os_str()),
        args.map(c_string).collect::<Option<Vec<_>>>(),
        env.map(|line| c_string(&line)).collect::<Option<Vec<_>>>(),
    );
    let (Some(program), Some(args), Some(env)) = strings else {
        return Error::new(ErrorKind::Failed, "an argument or variable has a NUL byte");
    };
    not_executable(&spec.program, sys::execute(&program, &args, &env))
}

fn not_executable(program: &Path, cause: io::Error) -> Error {
    let hint = match (cause.raw_os_error(), program.exists()) {
        (Some(libc::ENOENT), true) => "it is there, but the loader or interpreter that it names is not",
        (Some(libc::ENOENT), false) => "it is not there; is the mount missing that should bring it?",
        (Some(libc::ENOEXEC), _) => "it is neither a program for this machine nor a script with `#!`",
        (Some(libc::E2BIG), _) => "arguments and environment together are too large",
        _ => "is it an executable file?",
    };
    let what = format!("cannot execute {} in the sandbox", program.display());
    Error::new(ErrorKind::NotExecutable, what).hint(hint).because(cause)
}

fn c_string(text: &OsStr) -> Option<CString> {
    CString::new(text.as_bytes()).ok()
}

/// What goes wrong on an overlay without `userxattr`: to replace a directory of a lower layer. See `support`.
fn try_tree() -> io::Result<()> {
    let dir = Path::new("/tree/dir");
    fs::remove_dir_all(dir)?;
    fs::create_dir(dir)?;
    if fs::read_dir(dir)?.next().is_some() {
        return Err(io::Error::other("the directory that was made again is not empty"));
    }
    fs::write(dir.join("file"), "x")
}

/// What `support` looks for in the records.
fn try_observe() -> io::Result<()> {
    // As any program is that was executed; this one was not.
    set_dumpable_behavior(DumpableBehavior::Dumpable)?;
    match fs::File::open(MISSING) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
    }
}

/// What is not in the sandbox of a probe.
pub(crate) const MISSING: &str = "/rekindle-sandbox-probe";
