//! How a command ended, what it used, what it was seen to do.

use std::time::Duration;

use crate::observed::Observed;
use crate::records::Records;

/// How a command ended, and what it used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// How it ended.
    pub status: Status,
    /// What it used, processes that it left behind included.
    pub usage: Usage,
    /// When its processes were interrupted to end themselves ([`Limits::grace`](crate::Limits::grace)), by the clock of
    /// [`Records::began`]: who had ended by then was not.
    pub interrupted: Option<Duration>,
    /// What was seen of its dealings with files: there if [`Spec::watch`](crate::Spec::watch) asked for it.
    pub observed: Option<Observed>,
    /// What each of its processes did: there if [`Spec::observe`](crate::Spec::observe) asked for it.
    pub records: Option<Records>,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It exited with this code.
    Code(i32),
    /// It died of this signal.
    Signal(i32),
    /// It ran longer than [`Limits::time`](crate::Limits::time), and was ended.
    TimedOut,
    /// It wrote nothing for [`Limits::idle`](crate::Limits::idle), and was ended.
    Silent,
    /// It was ended because of [`Cancel::cancel`](crate::Cancel::cancel).
    Cancelled,
}

impl Status {
    /// Whether it exited with code 0.
    pub fn success(self) -> bool {
        self == Status::Code(0)
    }
}

/// What a command and its descendants used. Setting up the sandbox is part of it, about 2 ms and 3 MB; so is what
/// [`Spec::watch`](crate::Spec::watch) takes, but not what [`Spec::observe`](crate::Spec::observe) does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Processor time in user mode.
    pub user: Duration,
    /// Processor time in the kernel.
    pub system: Duration,
    /// From the call of `run` to the end of the command.
    pub wall: Duration,
    /// Peak resident memory of the largest process, in bytes.
    pub peak_rss_bytes: u64,
}
