//! Observations on disk: sorted paths, each without what it has in common with the one before it.
//!
//! ```text
//! observations = flags:u8, set, set, set        opened, listed, looked for
//! flags        = 1 look-ups not known | 2 presence not watched | 4 everything, and then no paths
//! set          = count, path*                   ascending, none twice
//! path         = common, length, bytes:length   `common` is how many bytes it shares with the path before it
//! ```
//! Numbers are varints of the [frame](crate::disk). A tree of 80,000 sources takes about 1 MB.

use super::path_set::PathSet;
use super::{Flags, Observations};
use crate::Error;
use crate::disk::{Format, Reader, put_varint};

const FORMAT: Format = Format { what: "set of observations", version: 1 };

pub(super) fn encode(observations: &Observations) -> Vec<u8> {
    let Flags { lookups_unknown, presence_not_watched, everything } = observations.flags;
    let flags = u8::from(lookups_unknown) | u8::from(presence_not_watched) << 1 | u8::from(everything) << 2;
    let mut body = vec![flags];
    for set in [&observations.opened, &observations.listed, &observations.looked_for] {
        put_varint(&mut body, set.len());
        let mut last: &[u8] = &[];
        for path in set.iter() {
            let common = common(last, path);
            put_varint(&mut body, common);
            put_varint(&mut body, path.len() - common);
            body.extend_from_slice(&path[common..]);
            last = path;
        }
    }
    FORMAT.seal(&body)
}

pub(super) fn decode(bytes: &[u8]) -> Result<Observations, Error> {
    let mut reader = FORMAT.open(bytes)?;
    let bits = reader.byte()?;
    if bits & !7 != 0 {
        return Err(reader.damaged("a flag is not known"));
    }
    let flags = Flags {
        lookups_unknown: bits & 1 != 0,
        presence_not_watched: bits & 2 != 0,
        everything: bits & 4 != 0,
    };
    let observations = Observations {
        opened: set(&mut reader)?,
        listed: set(&mut reader)?,
        looked_for: set(&mut reader)?,
        flags,
    };
    if flags.everything && observations != Observations::everything() {
        return Err(reader.damaged("it says more than everything"));
    }
    reader.end()?;
    Ok(observations)
}

fn set(reader: &mut Reader<'_>) -> Result<PathSet, Error> {
    let mut set = PathSet::default();
    for index in 0..reader.varint()? {
        let shared = reader.varint()?;
        let length = reader.varint()?;
        let rest = reader.take(length)?;
        let last = set.last().unwrap_or_default();
        if shared > last.len() {
            return Err(reader.damaged("a path shares more than there is"));
        }
        // Where the two part, the new one is greater. So nothing more is shared, either.
        if index > 0 && last.get(shared) >= rest.first() {
            return Err(reader.damaged("the paths do not ascend"));
        }
        if !set.push_shared(shared, rest) {
            return Err(reader.damaged("a path is not one within a tree"));
        }
    }
    Ok(set)
}

fn common(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observation::ObservationsBuilder;
    use proptest::prelude::*;

    fn observations() -> Observations {
        let mut builder = ObservationsBuilder::new();
        ["", "Makefile", "src/a.c", "src/a.h", "src/deep/er"]
            .iter()
            .for_each(|path| builder.opened(path.as_bytes()));
        builder.listed(b"");
        builder.listed(b"src");
        builder.looked_for(b"GNUmakefile");
        builder.presence_not_watched();
        builder.finish()
    }

    fn body() -> Vec<u8> {
        let sealed = observations().encode();
        let header = FORMAT.seal(b"").len() - 32;
        sealed[header..sealed.len() - 32].to_vec()
    }

    #[test]
    fn what_is_no_set_is_refused_where_it_goes_wrong() {
        let check = |body: &[u8], expect: &str| {
            let error = decode(&FORMAT.seal(body)).expect_err(expect).to_string();
            assert!(error.ends_with(expect), "{error}");
        };
        check(b"\x08\0\0\0", "a flag is not known");
        check(b"\x04\x01\0\x01a\0\0", "it says more than everything");
        check(b"\x06\0\0\0", "it says more than everything");
        check(b"\0\x01\x01\0\0\0", "a path shares more than there is");
        check(b"\0\x01\0\x02a/\0\0", "a path is not one within a tree");
        check(b"\0\x02\0\x01b\x01\x01/\0\0", "a path is not one within a tree");
        // Each path is a little longer than the one before it; in the end, too long.
        let mut long = vec![0, 64, 0, 1, b'x'];
        for shared in 0..63 {
            put_varint(&mut long, 1 + 100 * shared);
            long.extend([100, b'/']);
            long.extend([b'x'; 99]);
        }
        check(&[&long[..], &[0, 0]].concat(), "a path is not one within a tree");
        check(b"\0\x02\0\x01b\0\x01a\0\0", "the paths do not ascend");
        check(b"\0\x02\0\x01b\x01\0\0\0", "the paths do not ascend");
        check(b"\0\x02\0\x02ab\0\x02ac\0\0", "the paths do not ascend");
        check(b"\0\x02\0\0\0\0\0\0", "the paths do not ascend");
        check(b"\0\xff\xff\xff\x7f", "it is cut off");
        check(b"\0\0\0\0\0", "something follows its end");
        assert_eq!(decode(&FORMAT.seal(b"\0\0\0\0")).expect("nothing"), Observations::default());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// Whatever is read would be written as the very same bytes, and nothing makes the reader panic.
        #[test]
        fn hostile_bytes_are_refused_or_canonical(
            edits in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>(), 0usize..3), 1..6),
        ) {
            let mut body = body();
            for (at, byte, how) in edits {
                let at = at.index(body.len());
                match how {
                    0 => body[at] = byte,
                    1 => body.insert(at, byte),
                    _ => drop(body.remove(at)),
                }
            }
            let sealed = FORMAT.seal(&body);
            if let Ok(read) = decode(&sealed) {
                prop_assert_eq!(read.encode(), sealed);
            }
        }

        #[test]
        fn noise_is_refused_or_canonical(noise in proptest::collection::vec(0u8..8, 0..40)) {
            prop_assert!(decode(&noise).is_err());
            let sealed = FORMAT.seal(&noise);
            if let Ok(read) = decode(&sealed) {
                prop_assert_eq!(read.encode(), sealed);
            }
        }
    }
}
