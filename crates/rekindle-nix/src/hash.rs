//! Hashes as Nix writes them: four algorithms, three ways to write the digest, two ways to name the algorithm.
//!
//! Only SHA-256 decides anything in Rekindle. The others exist because fixed outputs may be declared with them
//! and then have to be verified.

use std::fmt;
use std::io;
use std::str::FromStr;

use data_encoding::{BASE64, HEXLOWER, HEXLOWER_PERMISSIVE};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};

use crate::base32;
use crate::error::{Error, Kind, quoted};

/// A hash algorithm that Nix knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum HashAlgo {
    Md5,
    Sha1,
    Sha256,
    Sha512,
}

impl HashAlgo {
    /// All of them.
    pub const ALL: [HashAlgo; 4] = [HashAlgo::Md5, HashAlgo::Sha1, HashAlgo::Sha256, HashAlgo::Sha512];

    /// Returns the name in Nix's texts, such as `sha256`.
    pub const fn name(self) -> &'static str {
        match self {
            HashAlgo::Md5 => "md5",
            HashAlgo::Sha1 => "sha1",
            HashAlgo::Sha256 => "sha256",
            HashAlgo::Sha512 => "sha512",
        }
    }

    /// Returns the algorithm of that name, if there is one.
    pub fn from_name(name: &[u8]) -> Option<HashAlgo> {
        HashAlgo::ALL.into_iter().find(|algorithm| algorithm.name().as_bytes() == name)
    }

    /// Returns the length of a digest, in bytes.
    pub const fn digest_len(self) -> usize {
        match self {
            HashAlgo::Md5 => 16,
            HashAlgo::Sha1 => 20,
            HashAlgo::Sha256 => 32,
            HashAlgo::Sha512 => 64,
        }
    }

    /// Returns the hash of `bytes`.
    pub fn digest(self, bytes: &[u8]) -> Hash {
        let mut hasher = Hasher::new(self);
        hasher.update(bytes);
        hasher.finish()
    }
}

impl fmt::Display for HashAlgo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A digest and the algorithm that made it. `Display` writes `sha256:<base 32>`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash {
    algorithm: HashAlgo,
    /// The digest, and zeros up to the longest one.
    bytes: [u8; 64],
}

impl Hash {
    /// Makes a hash of a digest.
    ///
    /// # Errors
    /// The digest is not as long as the algorithm's are.
    pub fn new(algorithm: HashAlgo, digest: &[u8]) -> Result<Hash, Error> {
        if digest.len() != algorithm.digest_len() {
            let why = format!("a {algorithm} digest has {} bytes", algorithm.digest_len());
            return Err(Kind::Hash { text: HEXLOWER.encode(digest), why }.into());
        }
        let mut bytes = [0; 64];
        bytes[..digest.len()].copy_from_slice(digest);
        Ok(Hash { algorithm, bytes })
    }

    /// Makes a hash of a SHA-256 digest.
    pub const fn from_sha256(digest: [u8; 32]) -> Hash {
        let mut bytes = [0; 64];
        let mut at = 0;
        while at < digest.len() {
            bytes[at] = digest[at];
            at += 1;
        }
        Hash { algorithm: HashAlgo::Sha256, bytes }
    }

    /// Returns the SHA-256 hash of `bytes`.
    pub fn sha256(bytes: &[u8]) -> Hash {
        Hash::from_sha256(Sha256::digest(bytes).into())
    }

    /// Reads `sha256:<digest>` or `sha256-<base 64>` (as in Subresource Integrity). The digest is in base 16, base 32
    /// or base 64, which its length tells.
    ///
    /// # Errors
    /// An unknown algorithm, or a digest of the wrong length or with characters that do not belong there.
    pub fn parse(text: &[u8]) -> Result<Hash, Error> {
        let invalid = |why: &str| Error::from(Kind::Hash { text: quoted(text), why: why.to_owned() });
        let separator = text
            .iter()
            .position(|byte| matches!(byte, b':' | b'-'))
            .ok_or_else(|| invalid("it does not name its algorithm, as in \"sha256:…\""))?;
        let algorithm = HashAlgo::from_name(&text[..separator])
            .ok_or_else(|| invalid("the algorithm is not md5, sha1, sha256 or sha512"))?;
        let digest = &text[separator + 1..];
        if text[separator] == b':' {
            return Hash::parse_bare(algorithm, digest);
        }
        let bytes = BASE64.decode(digest).map_err(|_| invalid("after \"-\" there has to be base 64"))?;
        Hash::new(algorithm, &bytes)
    }

    /// Reads a digest in base 16, base 32 or base 64 without the name of its algorithm.
    ///
    /// # Errors
    /// The digest has a wrong length or characters that do not belong there.
    pub fn parse_bare(algorithm: HashAlgo, text: &[u8]) -> Result<Hash, Error> {
        let invalid = |why: String| Error::from(Kind::Hash { text: quoted(text), why });
        let len = algorithm.digest_len();
        let bytes = if text.len() == 2 * len {
            HEXLOWER_PERMISSIVE.decode(text).map_err(|_| invalid("it is not base 16".to_owned()))?
        } else if text.len() == base32::encoded_len(len) {
            base32::decode(text)?
        } else if text.len() == BASE64.encode_len(len) {
            BASE64.decode(text).map_err(|_| invalid("it is not base 64".to_owned()))?
        } else {
            let [hex, nix32, base64] = [2 * len, base32::encoded_len(len), BASE64.encode_len(len)];
            let why = format!("a {algorithm} digest has {hex}, {nix32} or {base64} characters");
            return Err(invalid(why));
        };
        Hash::new(algorithm, &bytes)
    }

    /// Returns the algorithm.
    pub const fn algorithm(&self) -> HashAlgo {
        self.algorithm
    }

    /// Returns the digest.
    pub fn digest(&self) -> &[u8] {
        &self.bytes[..self.algorithm.digest_len()]
    }

    /// Returns the digest in base 16, without the algorithm.
    pub fn to_hex(&self) -> String {
        HEXLOWER.encode(self.digest())
    }

    /// Returns the digest in base 32, without the algorithm.
    pub fn to_nix32(&self) -> String {
        base32::encode(self.digest())
    }

    /// Returns `sha256-<base 64>`.
    pub fn to_sri(&self) -> String {
        format!("{}-{}", self.algorithm, BASE64.encode(self.digest()))
    }

    /// Returns `sha256:<base 16>`, as Nix's database has it.
    pub fn to_prefixed_hex(&self) -> String {
        format!("{}:{}", self.algorithm, self.to_hex())
    }

    /// Returns the digest if this is a SHA-256 hash.
    pub fn as_sha256(&self) -> Option<&[u8; 32]> {
        (self.algorithm == HashAlgo::Sha256).then(|| self.bytes.first_chunk()).flatten()
    }

    /// Returns the digest, or the error that says what it was needed for.
    pub(crate) fn require_sha256(&self, purpose: &'static str) -> Result<&[u8; 32], Error> {
        self.as_sha256().ok_or_else(|| Kind::NotSha256 { hash: self.to_string(), purpose }.into())
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm, self.to_nix32())
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

impl FromStr for Hash {
    type Err = Error;

    fn from_str(text: &str) -> Result<Hash, Error> {
        Hash::parse(text.as_bytes())
    }
}

/// Hashes what is written to it, and counts it.
#[derive(Clone, Debug)]
pub struct Hasher {
    state: State,
    written: u64,
}

#[derive(Clone, Debug)]
enum State {
    Md5(Md5),
    Sha1(Sha1),
    Sha256(Sha256),
    Sha512(Sha512),
}

impl Hasher {
    /// Starts a hash.
    pub fn new(algorithm: HashAlgo) -> Hasher {
        let state = match algorithm {
            HashAlgo::Md5 => State::Md5(Md5::new()),
            HashAlgo::Sha1 => State::Sha1(Sha1::new()),
            HashAlgo::Sha256 => State::Sha256(Sha256::new()),
            HashAlgo::Sha512 => State::Sha512(Sha512::new()),
        };
        Hasher { state, written: 0 }
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.written += bytes.len() as u64;
        match &mut self.state {
            State::Md5(state) => state.update(bytes),
            State::Sha1(state) => state.update(bytes),
            State::Sha256(state) => state.update(bytes),
            State::Sha512(state) => state.update(bytes),
        }
    }

    /// Returns how many bytes were added so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Returns the hash of all that was added.
    pub fn finish(self) -> Hash {
        let (algorithm, digest) = match self.state {
            State::Md5(state) => (HashAlgo::Md5, state.finalize().to_vec()),
            State::Sha1(state) => (HashAlgo::Sha1, state.finalize().to_vec()),
            State::Sha256(state) => (HashAlgo::Sha256, state.finalize().to_vec()),
            State::Sha512(state) => (HashAlgo::Sha512, state.finalize().to_vec()),
        };
        Hash::new(algorithm, &digest).expect("a digest is as long as its algorithm says")
    }
}

/// Never fails.
impl io::Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_form_of_a_hash_is_read() {
        let hex = "d151e6a3076f83c513d1b41d63d32773fe7560b957960d32f5eb61448d56bdb0";
        let nix32 = "1c5xas6l8qgbylr0v5jpp5h7bzkk4z9n67dls49wb0vg0yiyclfi";
        let base64 = "0VHmowdvg8UT0bQdY9Mnc/51YLlXlg0y9ethRI1WvbA=";
        let hash = Hash::parse_bare(HashAlgo::Sha256, hex.as_bytes()).unwrap();
        for text in [
            format!("sha256:{hex}"),
            format!("sha256:{}", hex.to_uppercase()),
            format!("sha256:{nix32}"),
            format!("sha256:{base64}"),
            format!("sha256-{base64}"),
        ] {
            assert_eq!(text.parse::<Hash>().unwrap(), hash, "{text}");
        }
        assert_eq!(hash.to_hex(), hex);
        assert_eq!(hash.to_nix32(), nix32);
        assert_eq!(hash.to_sri(), format!("sha256-{base64}"));
        assert_eq!(hash.to_string(), format!("sha256:{nix32}"));
        assert_eq!(hash.to_prefixed_hex(), format!("sha256:{hex}"));
        assert_eq!(hash.as_sha256().map(<[u8; 32]>::as_slice), Some(hash.digest()));
    }

    #[test]
    fn known_digests() {
        let check = |algorithm: HashAlgo, hex: &str| {
            assert_eq!(algorithm.digest(b"abc").to_hex(), hex);
            assert_eq!(HashAlgo::from_name(algorithm.name().as_bytes()), Some(algorithm));
        };
        check(HashAlgo::Md5, "900150983cd24fb0d6963f7d28e17f72");
        check(HashAlgo::Sha1, "a9993e364706816aba3e25717850c26c9cd0d89d");
        check(HashAlgo::Sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        check(
            HashAlgo::Sha512,
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
             2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        );
    }

    #[test]
    fn refused_texts() {
        for text in [
            "",
            "sha256",
            "sha256:",
            "sha256-",
            "sha3:00",
            "SHA256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015a",
            "sha256:ga7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            "sha256:zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz",
            "sha256-0VHmowdvg8UT0bQdY9Mnc/51YLlXlg0y9ethRI1WvbB=",
            "sha256-0VHmowdvg8UT0bQdY9Mnc/51YLlXlg0y9ethRI1WvbA",
            "md5-0VHmowdvg8UT0bQdY9Mnc/51YLlXlg0y9ethRI1WvbA=",
        ] {
            assert!(text.parse::<Hash>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_hasher_counts_what_it_hashes() {
        let mut hasher = Hasher::new(HashAlgo::Sha256);
        hasher.write_all(b"a").unwrap();
        hasher.update(b"bc");
        assert_eq!(hasher.written(), 3);
        assert_eq!(hasher.finish(), Hash::sha256(b"abc"));
    }

    proptest! {
        #[test]
        fn all_forms_round_trip(content: Vec<u8>, which in 0..4_usize) {
            let algorithm = HashAlgo::ALL[which];
            let hash = algorithm.digest(&content);
            for text in [hash.to_string(), hash.to_sri(), hash.to_prefixed_hex()] {
                prop_assert_eq!(text.parse::<Hash>().unwrap(), hash);
            }
            prop_assert_eq!(Hash::parse_bare(algorithm, hash.to_hex().as_bytes()).unwrap(), hash);
        }

        #[test]
        fn no_text_makes_it_panic(text: Vec<u8>) {
            let _ = Hash::parse(&text);
        }
    }
}
