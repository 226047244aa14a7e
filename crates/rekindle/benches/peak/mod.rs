//! The largest memory that a process has taken, watched from outside while it runs.

use std::fs;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

/// A look at a process now and then.
pub(crate) struct Peak {
    done: Sender<()>,
    sampler: JoinHandle<u64>,
}

impl Peak {
    /// Begins to look at a process, its children not counted.
    pub(crate) fn of(pid: u32) -> Peak {
        let status = format!("/proc/{pid}/status");
        let (done, wait) = mpsc::channel::<()>();
        let sampler = std::thread::spawn(move || {
            let mut peak = 0;
            loop {
                let over = wait.recv_timeout(Duration::from_millis(5)) != Err(RecvTimeoutError::Timeout);
                let text = fs::read_to_string(&status).unwrap_or_default();
                let high = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
                let kilobytes = high.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
                peak = peak.max(kilobytes.unwrap_or(0) * 1024);
                if over {
                    return peak;
                }
            }
        });
        Peak { done, sampler }
    }

    /// The largest resident set that was seen, in bytes.
    pub(crate) fn bytes(self) -> u64 {
        drop(self.done);
        self.sampler.join().expect("the sampler ends")
    }
}
