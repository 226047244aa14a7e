//! What a program was told, in one piece.
//!
//! A large build has a million arguments, most of them short. Kept one by one they would take more memory than all else that
//! is known of it, and longer to read. They are kept as they are on disk: each follows its length, which is a varint.

use std::fmt;

use crate::disk::{Reader, put_varint};

/// The arguments of a program, its name first.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Arguments {
    packed: Box<[u8]>,
    count: u32,
}

impl Arguments {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The name of the program, as it was called.
    pub fn first(&self) -> Option<&[u8]> {
        self.iter().next()
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut reader = Reader::of_part(&self.packed);
        (0..self.count).map(move |_| argument(&mut reader).expect("it was whole when it was made"))
    }

    pub(super) fn put(&self, body: &mut Vec<u8>) {
        put_varint(body, self.len());
        body.extend_from_slice(&self.packed);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Arguments, crate::Error> {
        let count = reader.varint()?;
        let Ok(count) = u32::try_from(count) else { return Err(reader.damaged("a number is too large")) };
        let begin = reader.clone();
        for _ in 0..count {
            argument(reader)?;
        }
        Ok(Arguments { packed: begin.up_to(reader).into(), count })
    }
}

fn argument<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], crate::Error> {
    let length = reader.varint()?;
    reader.take(length)
}

impl<T: AsRef<[u8]>> FromIterator<T> for Arguments {
    fn from_iter<I: IntoIterator<Item = T>>(arguments: I) -> Arguments {
        let (mut packed, mut count) = (Vec::new(), 0);
        for argument in arguments {
            put_varint(&mut packed, argument.as_ref().len());
            packed.extend_from_slice(argument.as_ref());
            count += 1;
        }
        Arguments { packed: packed.into(), count }
    }
}

impl fmt::Debug for Arguments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(String::from_utf8_lossy)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_come_back_as_they_were() {
        let long = vec![b'x'; 300];
        let words = [&b"cc"[..], b"", &long, b"a b\n"];
        let arguments: Arguments = words.into_iter().collect();
        assert_eq!(arguments.iter().collect::<Vec<_>>(), words);
        assert_eq!((arguments.len(), arguments.first()), (4, Some(&b"cc"[..])));
        let none = Arguments::default();
        assert_eq!((none.len(), none.first(), none.iter().count()), (0, None, 0));
    }
}
