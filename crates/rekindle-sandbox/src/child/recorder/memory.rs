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

    /// Copies from a process's memory; 0 where there is none, or no process any more.
    pub(super) fn read(&self, who: Caller, address: u64, to: &mut [u8]) -> Result<usize, String> {
        let refusal = match sys::read_memory(who.tid, address, to) {
            Ok(count) => return Ok(count),
            Err(error) => error.raw_os_error(),
        };
        if matches!(refusal, Some(libc::EFAULT | libc::ESRCH | libc::EINVAL)) {
            return Ok(0);
        }
        match self.procs.read_memory(who.tid, address, to) {
            Ok(count) => Ok(count),
            Err(Errno::IO | Errno::FAULT | Errno::NOENT | Errno::SRCH) => Ok(0),
            Err(errno) => Err(unreadable(errno)),
        }
    }
}
