//! What lies in the memory of a process that waits in a call.

use rustix::io::Errno;

use super::{Caller, Recorder, unreadable};
use crate::sys;

impl Recorder<'_> {
    /// A path in a process's memory; `None` where the call will fail for it.
    pub(super) fn text(&self, who: Caller, address: u64) -> Result<Option<Vec<u8>>, String> {
        const PAGE: u64 = 4096;
        const LONGEST: usize = libc::PATH_MAX as usize;
        let mut text = Vec::with_capacity(256);
        let mut piece = 256;
        while text.len() < LONGEST {
            // Never across the end of a page: the next one may not be there.
            let at = address.wrapping_add(text.len() as u64);
            let length = piece.min((PAGE - at % PAGE) as usize);
            let start = text.len();
            text.resize(start + length, 0);
            let count = self.read(who, at, &mut text[start..])?;
            if count == 0 {
                return Ok(None);
            }
            if let Some(end) = text[start..start + count].iter().position(|&byte| byte == 0) {
                text.truncate(start + end);
                return Ok(Some(text));
            }
            text.truncate(start + count);
            piece = PAGE as usize;
        }
        Ok(None)
    }

    /// Copies from a process's memory; 0 where there can be none, or no process any more.
    ///
    /// # Errors
    /// If it cannot be looked into. The kernel may do so all the same: it reads what the process may only write to, and what is kept
    /// from everybody else (`memfd_secret`).
    pub(super) fn read(&self, who: Caller, address: u64, to: &mut [u8]) -> Result<usize, String> {
        let refusal = match sys::read_memory(who.tid, address, to) {
            Ok(count) => return Ok(count),
            Err(error) => error.raw_os_error(),
        };
        let is_nowhere = address == 0 || address.cast_signed() < 0;
        match refusal {
            Some(libc::ESRCH | libc::EINVAL) => return Ok(0),
            Some(libc::EFAULT) if is_nowhere => return Ok(0),
            _ => {}
        }
        match self.procs.read_memory(who.tid, address, to) {
            Ok(count) => Ok(count),
            Err(Errno::NOENT | Errno::SRCH) => Ok(0),
            Err(Errno::IO | Errno::FAULT) => match self.procs.is_mapped(who.tid, address) {
                Ok(false) => Ok(0),
                Ok(true) => Err("a process passed something in memory that cannot be looked into".to_owned()),
                Err(errno) => Err(unreadable(errno)),
            },
            Err(errno) => Err(unreadable(errno)),
        }
    }
}
