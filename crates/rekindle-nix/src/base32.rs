//! Nix's base 32.
//!
//! The alphabet leaves out `e`, `o`, `u` and `t`, and the text is the number's digits from the most significant one,
//! with the bytes read as a little-endian number. In other words: a least-significant-bit-first base 32, reversed.

use std::sync::LazyLock;

use data_encoding::{BitOrder, Encoding, Specification};

use crate::error::{Error, Kind, quoted};

/// The 32 digits, in order of value, which is also their order as bytes.
pub const ALPHABET: &str = "0123456789abcdfghijklmnpqrsvwxyz";

/// Returns the text of `bytes`, [`encoded_len`] characters long.
pub fn encode(bytes: &[u8]) -> String {
    let mut digits = ENCODING.encode(bytes).into_bytes();
    digits.reverse();
    String::from_utf8(digits).expect("the alphabet is ASCII")
}

/// Returns the bytes of `text`.
///
/// # Errors
/// A character outside of the alphabet, a length that no number of bytes gives, or padding bits that are not zero:
/// each value has exactly one text.
pub fn decode(text: &[u8]) -> Result<Vec<u8>, Error> {
    let mut digits = text.to_vec();
    digits.reverse();
    ENCODING.decode(&digits).map_err(|error| {
        let why = match error.kind {
            data_encoding::DecodeKind::Length => "no value has a text of this length",
            data_encoding::DecodeKind::Trailing => "the first digit is too large",
            _ => "only the digits 0-9 and the letters a-z without e, o, t and u may occur",
        };
        Kind::Base32 { text: quoted(text), why }.into()
    })
}

/// Returns the length of the text of `bytes` bytes, in characters.
pub const fn encoded_len(bytes: usize) -> usize {
    (bytes * 8).div_ceil(5)
}

/// Returns whether `byte` is one of the 32 digits.
pub const fn is_digit(byte: u8) -> bool {
    DIGITS[byte as usize] != NOT_A_DIGIT
}

/// Returns the value of a digit, below 32, or [`NOT_A_DIGIT`].
pub(crate) const fn digit(byte: u8) -> u8 {
    DIGITS[byte as usize]
}

pub(crate) const NOT_A_DIGIT: u8 = 0xff;

const DIGITS: [u8; 256] = {
    let mut table = [NOT_A_DIGIT; 256];
    let alphabet = ALPHABET.as_bytes();
    let mut value = 0;
    while value < alphabet.len() {
        table[alphabet[value] as usize] = value as u8;
        value += 1;
    }
    table
};

static ENCODING: LazyLock<Encoding> = LazyLock::new(|| {
    let mut specification = Specification::new();
    specification.symbols.push_str(ALPHABET);
    specification.bit_order = BitOrder::LeastSignificantFirst;
    specification.encoding().expect("32 different symbols are an encoding")
});

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_texts() {
        let check = |bytes: &[u8], text: &str| {
            assert_eq!(encode(bytes), text);
            assert_eq!(decode(text.as_bytes()).unwrap(), bytes);
        };
        check(b"", "");
        check(&[0x1f], "0z");
        check(&[0xff], "7z");
        check(&[0; 20], "00000000000000000000000000000000");
        check(&[0xff; 20], "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz");
    }

    #[test]
    fn refused_texts() {
        for text in ["0", "000", "8z", "zz", "0e", "0E", "0A", "0 ", "0\n", "0=", "\u{e9}"] {
            assert!(decode(text.as_bytes()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn digits_have_their_place_as_value() {
        for byte in 0..=u8::MAX {
            let place = ALPHABET.bytes().position(|digit| digit == byte);
            assert_eq!(is_digit(byte), place.is_some());
            assert_eq!(place.map_or(NOT_A_DIGIT, |place| place as u8), digit(byte));
        }
    }

    /// The definition, digit by digit, to hold the encoder of the library against.
    fn by_definition(bytes: &[u8]) -> String {
        let bit = |at: usize| bytes.get(at / 8).map_or(0, |byte| byte >> (at % 8) & 1);
        (0..encoded_len(bytes.len()))
            .rev()
            .map(|k| (0..5).map(|i| bit(5 * k + i) << i).sum::<u8>())
            .map(|value| char::from(ALPHABET.as_bytes()[usize::from(value)]))
            .collect()
    }

    proptest! {
        #[test]
        fn encoding_is_the_definition_and_decoding_its_inverse(bytes: Vec<u8>) {
            let text = encode(&bytes);
            prop_assert_eq!(&text, &by_definition(&bytes));
            prop_assert_eq!(decode(text.as_bytes()).unwrap(), bytes);
        }

        #[test]
        fn a_text_that_decodes_is_the_text_of_its_value(text in "[0-9a-z]{0,60}") {
            if let Ok(bytes) = decode(text.as_bytes()) {
                prop_assert_eq!(encode(&bytes), text);
            }
        }
    }
}
