//! The file time that marks changed sources, and the search for it in outputs.
//!
//! In a clean build every source has the same mtime. After a merge a changed one is newer than all else, or no build
//! tool would see it, so whatever a step writes of a mtime would not be what a clean build writes. The time is
//! therefore a *canary*: exact to a nanosecond that occurs nowhere else. Where it turns up in an output, in one of the
//! forms in which programs write times, the output is not taken.

use std::collections::BTreeSet;

use rekindle_layers::Timestamp;
use time::OffsetDateTime;

/// How far the clock that the kernel stamps files with may be behind the one that is read here.
const TICK_NANOS: i128 = 20_000_000;
const SECOND: i128 = 1_000_000_000;

/// So much older than what is made from now on, if there is room: programs write times in whole seconds, and zip in two of them.
const APART_NANOS: i128 = 5 * SECOND;

/// A time for changed sources: newer than `newest`, and older than whatever is written from now on. `None` if there is
/// none, because the clock is behind what lies in the checkpoint.
pub(crate) fn choose(newest: Timestamp, now: Timestamp) -> Option<Timestamp> {
    let nanos = |time: Timestamp| i128::from(time.secs) * SECOND + i128::from(time.nanos);
    let latest = nanos(now) - TICK_NANOS;
    let room = latest - nanos(newest);
    if room <= 0 {
        return None;
    }
    // Then it is in another second than all that is older, too.
    let chosen = if room > APART_NANOS + SECOND { latest - APART_NANOS } else { latest };
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
        // Python's marshal, and pickle.
        with(b"i", &low.to_le_bytes()),
        with(b"\xe9", &low.to_le_bytes()),
        with(b"J", &low.to_le_bytes()),
    ];
    forms.extend(words(secs));
    forms.extend(zip_forms(secs));
    forms.extend(float_forms(time));
    if let Some(whole) = secs.checked_mul(1_000_000_000).and_then(|whole| whole.checked_add(nanos.into())) {
        forms.extend([
            whole.to_le_bytes().to_vec(),
            whole.to_be_bytes().to_vec(),
            whole.to_string().into_bytes(),
        ]);
    }
    forms
}

/// The DOS time in the headers of a zip's members, with the flags and the method before it: stored or deflated. It counts two seconds, of
/// which some programs take the last and some the next one, and is local time, which is UTC in the sandbox.
fn zip_forms(secs: i64) -> Vec<Vec<u8>> {
    let mut forms = Vec::new();
    for even in BTreeSet::from([secs & !1, (secs + 1) & !1]) {
        let Some(dos) = dos_time(even) else { continue };
        for (flags, method) in [(0, 0), (8, 0), (0, 8), (8, 8)] {
            // The flags begin with a byte that says how well it is deflated. This is the other one: what names are written in.
            forms.push([&[flags, method, 0], &dos[..]].concat());
        }
    }
    forms
}

/// The time and then the date, as DOS counts them.
fn dos_time(secs: i64) -> Option<[u8; 4]> {
    let at = OffsetDateTime::from_unix_timestamp(secs).ok()?;
    let [hour, minute, second] = [at.hour(), at.minute(), at.second()].map(u16::from);
    let [month, day] = [u8::from(at.month()), at.day()].map(u16::from);
    let years = u16::try_from(at.year() - 1980).ok()?;
    let clock = (hour << 11) | (minute << 5) | (second / 2);
    let date = (years << 9) | (month << 5) | day;
    let ([a, b], [c, d]) = (clock.to_le_bytes(), date.to_le_bytes());
    Some([a, b, c, d])
}

/// The time as people read it, in the sandbox's language and zone, to the second: as `date`, C's `ctime`, the compiler's `__TIMESTAMP__`,
/// mails and ISO 8601 have it.
fn words(secs: i64) -> Vec<Vec<u8>> {
    let Ok(at) = OffsetDateTime::from_unix_timestamp(secs) else { return Vec::new() };
    let (year, number, day) = (at.year(), u8::from(at.month()), at.day());
    let name = at.month().to_string();
    let month = &name[..3];
    let clock = format!("{:02}:{:02}:{:02}", at.hour(), at.minute(), at.second());
    let words = [
        format!("{month} {day:2} {clock}"),
        format!("{day:02} {month} {year} {clock}"),
        format!("{year:04}-{number:02}-{day:02} {clock}"),
        format!("{year:04}-{number:02}-{day:02}T{clock}"),
    ];
    words.map(String::into_bytes).into()
}

/// Seconds as a float, as Python counts them, with whatever the last bit was rounded to.
fn float_forms(time: Timestamp) -> impl Iterator<Item = Vec<u8>> {
    let exact = (time.secs as f64 + f64::from(time.nanos) / 1e9).to_bits();
    let bits = [(time.secs as f64).to_bits(), exact.wrapping_sub(1), exact, exact.wrapping_add(1)];
    bits.into_iter().flat_map(|bits| [bits.to_le_bytes().to_vec(), bits.to_be_bytes().to_vec()])
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
        check(at(5, 0), at(99, 30_000_001), Some(at(94, 10_000_001)));
        check(at(5, 0), at(11, 20_000_001), Some(at(6, 1)));
        check(at(5, 0), at(11, 20_000_000), Some(at(11, 0)));
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
        // What `date -d @1795246210` says, in some forms.
        check(b"Sat Nov 21 07:30:10 2026", true);
        check(b"Sat Nov 21 07:30:10 UTC 2026", true);
        check(b"Sat, 21 Nov 2026 07:30:10 +0000", true);
        check(b"2026-11-21 07:30:10.123456780 +0000", true);
        check(b"2026-11-21T07:30:10Z", true);
        check(b"Sat Nov 21 07:30:11 2026", false);
        check(format!("ustar {:011o} ", canary.secs).as_bytes(), true);
        check(&[b"\xf3\r\r\n\0\0\0\0".as_slice(), &1_795_246_210u32.to_le_bytes()].concat(), true);
        check(&[b"abc".as_slice(), &1_795_246_210u32.to_le_bytes(), b"abc"].concat(), false);
        check(b"12:10.123456789 +0000", true);
        check(b"abci\x82\x48\x01\x6b", true);
        check(&1_795_246_210.123_456_7_f64.to_be_bytes(), true);
        check(&1_795_246_210.0_f64.to_le_bytes(), true);
        check(&1_795_246_211.0_f64.to_le_bytes(), false);
    }

    #[test]
    fn it_is_found_in_zips() {
        // 2026-11-21 08:10:10 is (46 << 9 | 11 << 5 | 21, 8 << 11 | 10 << 5 | 5).
        assert_eq!(dos_time(1_795_248_610), Some([0x45, 0x41, 0x75, 0x5d]));
        assert_eq!(dos_time(951_782_400), Some([0, 0, 0x5d, 0x28]));
        assert_eq!(dos_time(315_532_800), Some([0, 0, 0x21, 0]));
        assert_eq!(dos_time(315_532_798), None);
        let has = |secs: i64, header: &[u8]| {
            zip_forms(secs).iter().any(|form| header.windows(form.len()).any(|part| part == form))
        };
        let header = b"PK\x03\x04\x14\0\x02\0\x08\0\x45\x41\x75\x5d";
        assert!([0, 1, -1].into_iter().all(|more| has(1_795_248_610 + more, header)));
        assert!(!has(1_795_248_612, header) && !has(1_795_248_608, header));
        assert!(has(1_795_248_610, b"PK\x01\x02\x1e\x03\x0a\0\0\x08\0\0\x45\x41\x75\x5d"));
    }
}
