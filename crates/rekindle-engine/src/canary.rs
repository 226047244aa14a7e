//! The file time that marks changed sources, and the search for it in outputs.
//!
//! In a clean build every source has the same mtime. After a merge a changed one is newer than all else, or no build
//! tool would see it, so whatever a step writes of a mtime would not be what a clean build writes. The time is
//! therefore a *canary*: exact to a nanosecond that occurs nowhere else. Where it turns up in an output, in one of the
//! forms in which programs write times, the output is not taken.

use rekindle_layers::Timestamp;

/// How far the clock that the kernel stamps files with may be behind the one that is read here.
const TICK_NANOS: i128 = 20_000_000;
const SECOND: i128 = 1_000_000_000;

/// A time for changed sources: newer than `newest`, and older than whatever is written from now on. `None` if there is
/// none, because the clock is behind what lies in the checkpoint.
pub(crate) fn choose(newest: Timestamp, now: Timestamp) -> Option<Timestamp> {
    let nanos = |time: Timestamp| i128::from(time.secs) * SECOND + i128::from(time.nanos);
    let chosen = nanos(now) - TICK_NANOS;
    if chosen <= nanos(newest) {
        return None;
    }
    let (secs, rest) = (chosen.div_euclid(SECOND), chosen.rem_euclid(SECOND));
    Some(Timestamp { secs: i64::try_from(secs).ok()?, nanos: rest as u32 })
}

/// The time now.
#[expect(clippy::disallowed_methods, reason = "changed files must be older than what is made of them")]
pub(crate) fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp { secs: since.as_secs() as i64, nanos: since.subsec_nanos() }
}

/// What is looked for in outputs: all forms of the times.
pub(crate) fn needles(canaries: &[Timestamp]) -> Vec<Vec<u8>> {
    canaries.iter().flat_map(|canary| forms(*canary)).collect()
}

/// How programs write a time. Four bytes alone would be found everywhere, so those forms have what stands beside them.
fn forms(time: Timestamp) -> Vec<Vec<u8>> {
    let (secs, nanos) = (time.secs, time.nanos);
    let low = secs as u32;
    let with = |before: &[u8], after: &[u8]| [before, after].concat();
    let mut forms = vec![
        // date +%s, ar, a tar's extended header.
        secs.to_string().into_bytes(),
        // tar.
        format!("{secs:011o}").into_bytes(),
        // cpio.
        format!("{secs:08x}").into_bytes(),
        format!("{secs:08X}").into_bytes(),
        format!(".{nanos:09}").into_bytes(),
        secs.to_le_bytes().to_vec(),
        secs.to_be_bytes().to_vec(),
        with(&low.to_le_bytes(), &nanos.to_le_bytes()),
        with(&low.to_be_bytes(), &nanos.to_be_bytes()),
        // zip's extra field.
        with(b"UT\x09\0\x03", &low.to_le_bytes()),
        with(b"UT\x05\0\x01", &low.to_le_bytes()),
        with(b"UT\x05\0\x03", &low.to_le_bytes()),
        // Python's bytecode.
        with(b"\r\n\0\0\0\0", &low.to_le_bytes()),
        // gzip, without and with a file name.
        with(b"\x1f\x8b\x08\0", &low.to_le_bytes()),
        with(b"\x1f\x8b\x08\x08", &low.to_le_bytes()),
    ];
    if let Some(whole) = secs.checked_mul(1_000_000_000).and_then(|whole| whole.checked_add(nanos.into())) {
        forms.extend([
            whole.to_le_bytes().to_vec(),
            whole.to_be_bytes().to_vec(),
            whole.to_string().into_bytes(),
        ]);
    }
    forms
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hidden::find_hidden;

    const fn at(secs: i64, nanos: u32) -> Timestamp {
        Timestamp { secs, nanos }
    }

    #[test]
    fn the_time_lies_between_the_checkpoint_and_now() {
        let check = |newest, now, expect| assert_eq!(choose(newest, now), expect);
        check(at(5, 0), at(9, 30_000_001), Some(at(9, 10_000_001)));
        check(at(5, 0), at(9, 1), Some(at(8, 980_000_001)));
        check(at(9, 0), at(9, 20_000_000), None);
        check(at(99, 0), at(9, 0), None);
    }

    #[test]
    fn it_is_found_as_programs_write_it() {
        let canary = at(1_795_246_210, 123_456_789);
        let check = |bytes: &[u8], expect: bool| {
            let dir = tempfile::tempdir().expect("a temporary directory");
            std::fs::write(dir.path().join("file"), bytes).expect("our own file");
            let needles = needles(&[at(1_600_000_007, 1), canary]);
            let found = find_hidden(dir.path(), &needles).expect("readable");
            assert_eq!(found.is_some(), expect, "{bytes:?}");
        };
        check(b"built at 1795246210", true);
        check(b"built at 1795246211", false);
        check(format!("ustar {:011o} ", canary.secs).as_bytes(), true);
        check(&[b"\xf3\r\r\n\0\0\0\0".as_slice(), &1_795_246_210u32.to_le_bytes()].concat(), true);
        check(&[b"abc".as_slice(), &1_795_246_210u32.to_le_bytes(), b"abc"].concat(), false);
        check(b"12:10.123456789 +0000", true);
    }
}
