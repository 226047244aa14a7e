//! Recipes on disk: the encoding that keys are made of, in a frame.
//!
//! It is kept beside a checkpoint so that a later build can say why its recipe differs. Since the bytes are those of
//! the key, a recipe that was read can be held against the key that it was stored under.

use std::collections::{BTreeMap, BTreeSet};

use super::key_writer::Encoder;
use super::{Attribute, Field, Recipe, RecipeKey, placement_name};
use crate::disk::{Format, Reader};
use crate::{Error, Placement};

const FORMAT: Format = Format { what: "recipe", version: 1 };

pub(super) fn encode(recipe: &Recipe) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new());
    recipe.write(&mut encoder);
    FORMAT.seal(&encoder.into_sink())
}

pub(super) fn decode(bytes: &[u8]) -> Result<Recipe, Error> {
    let mut reader = FORMAT.open(bytes)?;
    let reader = &mut reader;
    let recipe = Recipe {
        format: field(reader, Field::Format).and_then(small)?,
        phase: match field(reader, Field::Phase).and_then(optional)? {
            None => None,
            Some(name) => match str::from_utf8(name) {
                Ok(name) => Some(name.to_owned()),
                Err(_) => return Err(reader.damaged("the name of a phase is not UTF-8")),
            },
        },
        placement: {
            let name = field(reader, Field::Placement).and_then(bytes_value)?;
            let is_named = |placement: &Placement| placement_name(*placement).as_bytes() == name;
            let placement = [Placement::Scratch, Placement::Final].into_iter().find(is_named);
            placement.ok_or_else(|| reader.damaged("an unknown place of the outputs"))?
        },
        system: field(reader, Field::System).and_then(bytes_value)?.to_owned(),
        builder: field(reader, Field::Builder).and_then(bytes_value)?.to_owned(),
        arguments: field(reader, Field::Arguments).and_then(arguments)?,
        toolchain: field(reader, Field::Toolchain).and_then(bytes_value)?.to_owned(),
        sandbox: field(reader, Field::Sandbox).and_then(small)?,
        inputs: field(reader, Field::Inputs).and_then(inputs)?,
        attributes: field(reader, Field::Attributes).and_then(attributes)?,
        before: match field(reader, Field::Before).and_then(optional)? {
            None => None,
            Some(key) => {
                let bytes = key.try_into().map_err(|_| reader.damaged("a key has not 32 bytes"))?;
                Some(RecipeKey::from_bytes(bytes))
            }
        },
    };
    reader.clone().end()?;
    Ok(recipe)
}

fn field<'r, 'a>(reader: &'r mut Reader<'a>, field: Field) -> Result<&'r mut Reader<'a>, Error> {
    tag(reader, b'f')?;
    if reader.sized()? != field.name().as_bytes() {
        return Err(reader.damaged("a field is not in its place"));
    }
    Ok(reader)
}

fn tag(reader: &mut Reader<'_>, expected: u8) -> Result<(), Error> {
    if reader.byte()? == expected { Ok(()) } else { Err(reader.damaged("a value is of another kind")) }
}

fn small(reader: &mut Reader<'_>) -> Result<u32, Error> {
    tag(reader, b'n')?;
    u32::try_from(reader.u64()?).map_err(|_| reader.damaged("a version is too large"))
}

fn bytes_value<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Error> {
    tag(reader, b'b')?;
    reader.sized()
}

fn optional<'a>(reader: &mut Reader<'a>) -> Result<Option<&'a [u8]>, Error> {
    match reader.byte()? {
        b'b' => reader.sized().map(Some),
        b'u' => Ok(None),
        _ => Err(reader.damaged("a value is of another kind")),
    }
}

fn arguments(reader: &mut Reader<'_>) -> Result<Vec<Vec<u8>>, Error> {
    tag(reader, b'l')?;
    let count = reader.u64()?;
    (0..count).map(|_| bytes_value(reader).map(<[u8]>::to_owned)).collect()
}

fn inputs(reader: &mut Reader<'_>) -> Result<BTreeSet<Vec<u8>>, Error> {
    let mut inputs = BTreeSet::new();
    entries(reader, |reader, key| {
        tag(reader, b'u')?;
        inputs.insert(key.to_owned());
        Ok(())
    })?;
    Ok(inputs)
}

fn attributes(reader: &mut Reader<'_>) -> Result<BTreeMap<Vec<u8>, Attribute>, Error> {
    let mut attributes = BTreeMap::new();
    entries(reader, |reader, key| {
        let value = optional(reader)?.map_or(Attribute::Present, |value| Attribute::Value(value.to_owned()));
        attributes.insert(key.to_owned(), value);
        Ok(())
    })?;
    Ok(attributes)
}

/// Reads a map; `value` reads what belongs to a key.
fn entries<'a>(
    reader: &mut Reader<'a>,
    mut value: impl FnMut(&mut Reader<'a>, &'a [u8]) -> Result<(), Error>,
) -> Result<(), Error> {
    tag(reader, b'm')?;
    let count = reader.u64()?;
    let mut last: Option<&[u8]> = None;
    for _ in 0..count {
        let key = reader.sized()?;
        if last.is_some_and(|last| last >= key) {
            return Err(reader.damaged("the keys of a map do not ascend"));
        }
        last = Some(key);
        value(reader, key)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::tests::recipe;
    use proptest::prelude::*;

    /// Decodes a body of which only the frame is right.
    fn decode_body(body: &[u8]) -> Result<Recipe, Error> {
        decode(&FORMAT.seal(body))
    }

    fn body(recipe: &Recipe) -> Vec<u8> {
        let mut encoder = Encoder::new(Vec::new());
        recipe.write(&mut encoder);
        encoder.into_sink()
    }

    #[test]
    fn what_is_no_recipe_is_refused_where_it_goes_wrong() {
        let check = |from: &[u8], to: &[u8], expect: &str| {
            let body = body(&recipe());
            let at = body.windows(from.len()).position(|window| window == from).expect("it is in there");
            let changed = [&body[..at], to, &body[at + from.len()..]].concat();
            let error = decode_body(&changed).expect_err(expect).to_string();
            assert!(error.ends_with(expect), "{error}");
        };
        check(b"format", b"tamrof", "a field is not in its place");
        check(b"buildPhase", b"build\xffhase", "the name of a phase is not UTF-8");
        check(b"scratch", b"sc atch", "an unknown place of the outputs");
        check(b"CFLAGS", b"zFLAGS", "the keys of a map do not ascend");
        let (tool, lib) = (b"\x06\0\0\0\0\0\0\0tool-1", b"\x05\0\0\0\0\0\0\0lib-1");
        check(tool, lib, "the keys of a map do not ascend");
        check(b"\x06\0\0\0\0\0\0\0system", b"\xff\xff\xff\xff\xff\xff\xff\xffsystem", "it is cut off");
        check(b"sandboxn\x02\0\0\0\0", b"sandboxn\x02\0\0\0\x01", "a version is too large");
        check(b"sandboxn", b"sandboxu", "a value is of another kind");
        let longer = [&body(&recipe())[..], b"u"].concat();
        assert!(decode_body(&longer).expect_err("longer").to_string().ends_with("something follows its end"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// Whatever is read would be written as the very same bytes, and nothing makes the reader panic.
        #[test]
        fn hostile_bytes_are_refused_or_canonical(
            edits in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>(), 0usize..3), 1..6),
        ) {
            let mut body = body(&recipe());
            for (at, byte, how) in edits {
                let at = at.index(body.len());
                match how {
                    0 => body[at] = byte,
                    1 => body.insert(at, byte),
                    _ => drop(body.remove(at)),
                }
            }
            if let Ok(read) = decode_body(&body) {
                prop_assert_eq!(read.encode(), FORMAT.seal(&body));
            }
        }

        #[test]
        fn noise_is_refused(noise in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(decode(&noise).is_err());
            prop_assert!(decode_body(&noise).is_err());
        }
    }
}
