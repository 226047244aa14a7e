//! A file time, exact to the nanosecond, which may lie before 1970.

use std::fmt;

/// A moment as file systems keep it: seconds since 1970, and nanoseconds after that second.
///
/// The order is that of time, because `nanos` always counts forwards and stays below 1,000,000,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp {
    /// Whole seconds since 1970; negative before.
    pub secs: i64,
    /// Nanoseconds to add, 0 to 999,999,999.
    pub nanos: u32,
}

impl Timestamp {
    /// Reads the clock that the kernel stamps files with: it may lag the precise clock by a tick, never lead it.
    pub(crate) fn file_clock() -> Timestamp {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
        Timestamp { secs: now.tv_sec, nanos: now.tv_nsec as u32 }
    }

    pub(crate) fn modified(stat: &rustix::fs::Stat) -> Timestamp {
        Timestamp { secs: stat.st_mtime, nanos: stat.st_mtime_nsec as u32 }
    }

    pub(crate) fn changed(stat: &rustix::fs::Stat) -> Timestamp {
        Timestamp { secs: stat.st_ctime, nanos: stat.st_ctime_nsec as u32 }
    }

    /// The argument of `utimensat` that sets this mtime and leaves the atime.
    pub(crate) fn as_mtime(self) -> rustix::fs::Timestamps {
        rustix::fs::Timestamps {
            last_access: rustix::fs::Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT },
            last_modification: rustix::fs::Timespec { tv_sec: self.secs, tv_nsec: self.nanos.into() },
        }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{:09}ns", self.secs, self.nanos)
    }
}
