//! Content addresses: how the content of a store object was hashed, and the hash.
//!
//! A store object with a content address needs no signature, for anyone can compute its path again.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Kind, quoted};
use crate::hash::{Hash, HashAlgo};

/// What of a store object is hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ContentMethod {
    /// The bytes of one regular file that is not executable.
    Flat,
    /// The archive of the whole tree.
    Recursive,
    /// The bytes of one regular file, with references allowed; derivations are added so. Only with SHA-256.
    Text,
}

impl ContentMethod {
    /// Returns what precedes the algorithm in a derivation: nothing, `r:` or `text:`.
    pub const fn prefix(self) -> &'static str {
        match self {
            ContentMethod::Flat => "",
            ContentMethod::Recursive => "r:",
            ContentMethod::Text => "text:",
        }
    }

    /// Reads a method and an algorithm as a derivation has them, such as `r:sha256`.
    pub(crate) fn parse_with_algorithm(text: &[u8]) -> Result<(ContentMethod, HashAlgo), Error> {
        let invalid = |why| Error::from(Kind::ContentAddress { text: quoted(text), why });
        if text.starts_with(b"git:") {
            let what = "content addressed as a git object is".to_owned();
            return Err(Kind::Unsupported { what, offset: 0 }.into());
        }
        let (method, name) = [ContentMethod::Recursive, ContentMethod::Text]
            .into_iter()
            .find_map(|method| Some((method, text.strip_prefix(method.prefix().as_bytes())?)))
            .unwrap_or((ContentMethod::Flat, text));
        let algorithm = HashAlgo::from_name(name)
            .ok_or_else(|| invalid("the algorithm is not md5, sha1, sha256 or sha512"))?;
        check(method, algorithm).map_err(invalid)?;
        Ok((method, algorithm))
    }
}

impl fmt::Display for ContentMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ContentMethod::Flat => "flat",
            ContentMethod::Recursive => "recursive",
            ContentMethod::Text => "text",
        })
    }
}

/// A method and the hash that it gave. `Display` writes what Nix's database and `.narinfo` files have, such as
/// `fixed:r:sha256:…` or `text:sha256:…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentAddress {
    method: ContentMethod,
    hash: Hash,
}

impl ContentAddress {
    /// Puts a content address together.
    ///
    /// # Errors
    /// [`ContentMethod::Text`] with a hash other than SHA-256.
    pub fn new(method: ContentMethod, hash: Hash) -> Result<ContentAddress, Error> {
        check(method, hash.algorithm())
            .map_err(|why| Error::from(Kind::ContentAddress { text: hash.to_string(), why }))?;
        Ok(ContentAddress { method, hash })
    }

    /// Reads what `Display` writes.
    ///
    /// # Errors
    /// Neither `text:` nor `fixed:` at the start, or an invalid hash.
    pub fn parse(text: &[u8]) -> Result<ContentAddress, Error> {
        let invalid = |why| Error::from(Kind::ContentAddress { text: quoted(text), why });
        if let Some(hash) = text.strip_prefix(b"text:") {
            return ContentAddress::new(ContentMethod::Text, Hash::parse(hash)?);
        }
        let rest = text
            .strip_prefix(b"fixed:")
            .ok_or_else(|| invalid("it begins neither with \"text:\" nor with \"fixed:\""))?;
        let split = rest.iter().rposition(|&byte| byte == b':').ok_or_else(|| invalid("it has no hash"))?;
        let (method, algorithm) = ContentMethod::parse_with_algorithm(&rest[..split])?;
        if method == ContentMethod::Text {
            return Err(invalid("a text is not \"fixed\""));
        }
        ContentAddress::new(method, Hash::parse_bare(algorithm, &rest[split + 1..])?)
    }

    /// Returns what was hashed.
    pub const fn method(&self) -> ContentMethod {
        self.method
    }

    /// Returns the hash.
    pub const fn hash(&self) -> &Hash {
        &self.hash
    }
}

impl fmt::Display for ContentAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = match self.method {
            ContentMethod::Text => "text:",
            ContentMethod::Flat => "fixed:",
            ContentMethod::Recursive => "fixed:r:",
        };
        write!(f, "{prefix}{}", self.hash)
    }
}

impl FromStr for ContentAddress {
    type Err = Error;

    fn from_str(text: &str) -> Result<ContentAddress, Error> {
        ContentAddress::parse(text.as_bytes())
    }
}

fn check(method: ContentMethod, algorithm: HashAlgo) -> Result<(), &'static str> {
    match (method, algorithm) {
        (ContentMethod::Text, algorithm) if algorithm != HashAlgo::Sha256 => {
            Err("a text is always addressed by sha256")
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NIX32: &str = "sha256:1c5xas6l8qgbylr0v5jpp5h7bzkk4z9n67dls49wb0vg0yiyclfi";

    #[test]
    fn forms() {
        let check = |prefix: &str, method: ContentMethod| {
            let text = format!("{prefix}{NIX32}");
            let address: ContentAddress = text.parse().unwrap();
            assert_eq!(address.method(), method);
            assert_eq!(address.hash(), &NIX32.parse().unwrap());
            assert_eq!(address.to_string(), text);
        };
        check("text:", ContentMethod::Text);
        check("fixed:", ContentMethod::Flat);
        check("fixed:r:", ContentMethod::Recursive);
    }

    #[test]
    fn refused_forms() {
        for prefix in ["", "fixed", "source:", "text:r:", "fixed:text:", "fixed:x:", "fixed:r:r:"] {
            assert!(format!("{prefix}{NIX32}").parse::<ContentAddress>().is_err(), "{prefix}");
        }
        for text in ["", "fixed:", "fixed:r:", "fixed:sha256", "text:md5:3y8bwfr609h3lh9ch0izcqq7fl"] {
            assert!(text.parse::<ContentAddress>().is_err(), "{text}");
        }
        let git = ContentAddress::parse(b"fixed:git:sha1:kpcd173cq987hw957sx6m0868wv3x6d9").unwrap_err();
        assert!(git.is_unsupported());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _ = ContentAddress::parse(&bytes);
            let _ = ContentAddress::parse(&[b"fixed:r:", bytes.as_slice()].concat());
        }
    }
}
