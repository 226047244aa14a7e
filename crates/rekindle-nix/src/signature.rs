//! Signatures of store objects, and the keys that make and check them.
//!
//! A key or signature is written `<name of the key>:<base 64>`. Ed25519 is the only scheme that Nix has. What is
//! signed is the [`fingerprint`] of a store object, so that a signature speaks for the content, not for how it was
//! compressed.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE64;
use ed25519_dalek::{Signer, SigningKey, VerifyingKey};

use crate::error::{Error, Kind};
use crate::hash::Hash;
use crate::store_path::{StoreDir, StorePath};

/// Returns the text that is signed for a store object. `nar_size` is in bytes.
pub fn fingerprint<'a>(
    dir: &StoreDir,
    path: &StorePath,
    nar_hash: &Hash,
    nar_size: u64,
    references: impl IntoIterator<Item = &'a StorePath>,
) -> String {
    let mut references: Vec<_> = references.into_iter().map(|path| dir.display(path)).collect();
    references.sort_unstable();
    references.dedup();
    format!("1;{};{nar_hash};{nar_size};{}", dir.display(path), references.join(","))
}

/// A key that signs. `Debug` does not show it.
#[derive(Clone)]
pub struct SecretKey {
    name: String,
    key: SigningKey,
}

impl SecretKey {
    /// Makes the key that comes from 32 random bytes, to be kept as secret as the key.
    ///
    /// # Errors
    /// The name is empty or has a colon, a blank or a control character.
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Result<SecretKey, Error> {
        check_name("secret key", name)?;
        Ok(SecretKey { name: name.to_owned(), key: SigningKey::from_bytes(seed) })
    }

    /// Reads the text of a key file; white space around it does not matter.
    ///
    /// # Errors
    /// Not `name:base64` of 64 bytes, or its two halves do not belong together. The message does not show it.
    pub fn parse(text: &str) -> Result<SecretKey, Error> {
        let (name, bytes) = parse_named("secret key", text)?;
        let key = SigningKey::from_keypair_bytes(&bytes)
            .map_err(|_| invalid("secret key", "its halves do not belong together"))?;
        Ok(SecretKey { name, key })
    }

    /// Returns the text for a key file, without a line feed. It is the secret itself.
    pub fn to_secret_text(&self) -> String {
        format!("{}:{}", self.name, BASE64.encode(&self.key.to_keypair_bytes()))
    }

    /// Returns the name of the key.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the key that checks what this one signs.
    pub fn public_key(&self) -> PublicKey {
        PublicKey { name: self.name.clone(), key: self.key.verifying_key() }
    }

    /// Signs a message, usually a [`fingerprint`].
    pub fn sign(&self, message: &[u8]) -> Signature {
        Signature { key_name: self.name.clone(), bytes: self.key.sign(message).to_bytes() }
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({}:…)", self.name)
    }
}

impl FromStr for SecretKey {
    type Err = Error;

    fn from_str(text: &str) -> Result<SecretKey, Error> {
        SecretKey::parse(text)
    }
}

/// A key that checks signatures. `Display` writes what `trusted-public-keys` takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    name: String,
    key: VerifyingKey,
}

impl PublicKey {
    /// Reads the text of a key; white space around it does not matter.
    ///
    /// # Errors
    /// Not `name:base64` of 32 bytes, or not a point of the curve.
    pub fn parse(text: &str) -> Result<PublicKey, Error> {
        let (name, bytes) = parse_named("public key", text)?;
        let key = VerifyingKey::from_bytes(&bytes)
            .map_err(|_| invalid("public key", "it is not a point of the curve"))?;
        Ok(PublicKey { name, key })
    }

    /// Returns the name of the key.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns whether `signature` is this key's signature of `message`. One of a key of another name never is.
    pub fn verifies(&self, message: &[u8], signature: &Signature) -> bool {
        let bytes = ed25519_dalek::Signature::from_bytes(&signature.bytes);
        signature.key_name == self.name && self.key.verify_strict(message, &bytes).is_ok()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, BASE64.encode(self.key.as_bytes()))
    }
}

impl FromStr for PublicKey {
    type Err = Error;

    fn from_str(text: &str) -> Result<PublicKey, Error> {
        PublicKey::parse(text)
    }
}

/// A signature, and the name of the key that is said to have made it. `Display` writes the text of a `Sig:` line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Signature {
    key_name: String,
    bytes: [u8; 64],
}

impl Signature {
    /// Reads `name:base64`. Whether it is anyone's signature of anything is for [`PublicKey::verifies`] to say.
    ///
    /// # Errors
    /// Not of that form, or not 64 bytes.
    pub fn parse(text: &str) -> Result<Signature, Error> {
        let (key_name, bytes) = parse_named("signature", text)?;
        Ok(Signature { key_name, bytes })
    }

    /// Returns the name of the key.
    pub fn key_name(&self) -> &str {
        &self.key_name
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.key_name, BASE64.encode(&self.bytes))
    }
}

impl FromStr for Signature {
    type Err = Error;

    fn from_str(text: &str) -> Result<Signature, Error> {
        Signature::parse(text)
    }
}

fn parse_named<const LEN: usize>(what: &'static str, text: &str) -> Result<(String, [u8; LEN]), Error> {
    let (name, encoded) =
        text.trim().split_once(':').ok_or_else(|| invalid(what, "it is not of the form name:base64"))?;
    check_name(what, name)?;
    let bytes = BASE64.decode(encoded.as_bytes()).map_err(|_| invalid(what, "it is not base 64"))?;
    let bytes = bytes.try_into().map_err(|bytes: Vec<u8>| {
        Error::from(Kind::Key { what, why: format!("it has {} bytes instead of {LEN}", bytes.len()) })
    })?;
    Ok((name.to_owned(), bytes))
}

fn check_name(what: &'static str, name: &str) -> Result<(), Error> {
    if name.is_empty() {
        return Err(invalid(what, "the key has no name"));
    }
    if name.chars().any(|char| char == ':' || char.is_whitespace() || char.is_control()) {
        return Err(invalid(what, "the key's name has a colon, a blank or a control character"));
    }
    Ok(())
}

fn invalid(what: &'static str, why: &str) -> Error {
    Kind::Key { what, why: why.to_owned() }.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(name: &str) -> SecretKey {
        SecretKey::from_seed(name, &[7; 32]).unwrap()
    }

    #[test]
    fn a_signature_is_of_one_message_by_one_key_of_one_name() {
        let key_a = key("a-1");
        let signature = key_a.sign(b"message");
        assert!(key_a.public_key().verifies(b"message", &signature));
        assert!(!key_a.public_key().verifies(b"Message", &signature));
        assert!(!key("b-1").public_key().verifies(b"message", &signature));
        let other = SecretKey::from_seed("a-1", &[8; 32]).unwrap();
        assert!(!other.public_key().verifies(b"message", &signature));
    }

    #[test]
    fn texts_round_trip() {
        let secret = key("cache.example.org-1");
        let again = SecretKey::parse(&format!("{}\n", secret.to_secret_text())).unwrap();
        assert_eq!(again.to_secret_text(), secret.to_secret_text());
        let public = secret.public_key();
        assert_eq!(PublicKey::parse(&public.to_string()).unwrap(), public);
        let signature = secret.sign(b"");
        assert_eq!(Signature::parse(&signature.to_string()).unwrap(), signature);
    }

    #[test]
    fn the_secret_is_not_shown() {
        let secret = key("a");
        assert_eq!(format!("{secret:?}"), "SecretKey(a:…)");
        let half = secret.to_secret_text().replace("BwcH", "BwcI");
        let error = SecretKey::parse(&half).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("Bwc"));
    }

    #[test]
    fn refused_texts() {
        let good = key("a").public_key().to_string();
        let base64 = good.strip_prefix("a:").unwrap();
        for text in
            ["", "a", "a:", ":", "a:AAAA", "a:!", base64, &format!(":{base64}"), &format!("a b:{base64}")]
        {
            assert!(PublicKey::parse(text).is_err(), "{text}");
            assert!(SecretKey::parse(text).is_err(), "{text}");
            assert!(Signature::parse(text).is_err(), "{text}");
        }
        assert!(SecretKey::from_seed("a:b", &[0; 32]).is_err());
        assert!(SecretKey::from_seed("", &[0; 32]).is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text: String) {
            let _ = (SecretKey::parse(&text), PublicKey::parse(&text), Signature::parse(&text));
        }
    }
}
