//! Store paths: how they are named, and how each type of them is computed.
//!
//! A store path is `<store directory>/<hash part>-<name>`. The hash part is 160 bits in base 32. It is a digest over
//! the type of the path, a SHA-256 hash that stands for the content or the recipe, the store directory and the name.
//! Two stores with different directories therefore share no path, which is why [`StoreDir`] does the computing.

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use crate::base32;
use crate::content_address::{ContentAddress, ContentMethod};
use crate::derivation::OutputName;
use crate::error::{Error, Kind, quoted};
use crate::hash::Hash;

/// The length of the hash part of a store path, in characters.
pub const HASH_PART_LEN: usize = 32;

/// The length of the digest in a store path, in bytes.
const DIGEST_LEN: usize = 20;

/// The directory that store paths are in, such as `/nix/store`: absolute, without a slash at the end.
///
/// It is the name by which the store's objects know each other, not where they are on this machine's disk.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreDir(String);

impl StoreDir {
    /// Checks and takes the path of a store directory.
    ///
    /// # Errors
    /// The path is not absolute, not UTF-8, the root, has an empty, `.` or `..` component, or a control character,
    /// quote or backslash (which Nix writes to its formats as they are).
    pub fn new(dir: &[u8]) -> Result<StoreDir, Error> {
        let invalid = |why| Error::from(Kind::StoreDir { dir: quoted(dir), why });
        let text = str::from_utf8(dir).map_err(|_| invalid("it is not UTF-8"))?;
        let below = text.strip_prefix('/').ok_or_else(|| invalid("it is not absolute"))?;
        if text.chars().any(|char| char.is_control() || matches!(char, '"' | '\\')) {
            return Err(invalid("it has a control character, a quote or a backslash"));
        }
        if below.split('/').any(|component| matches!(component, "" | "." | "..")) {
            return Err(invalid("it has an empty, \".\" or \"..\" component"));
        }
        Ok(StoreDir(text.to_owned()))
    }

    /// Returns the path.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Reads a full store path: this directory, a slash, a base name, and nothing else.
    ///
    /// # Errors
    /// The path is elsewhere, goes on below the store path, or its base name is invalid.
    pub fn parse(&self, path: &[u8]) -> Result<StorePath, Error> {
        StorePath::from_base_name(self.strip(path)?)
    }

    /// Reads a path that is, or is below, a store path. Also returns what follows the base name, which is empty or
    /// begins with a slash.
    ///
    /// # Errors
    /// The path is elsewhere, or the base name is invalid.
    pub fn parse_prefix<'a>(&self, path: &'a [u8]) -> Result<(StorePath, &'a [u8]), Error> {
        let inside = self.strip(path)?;
        let end = inside.iter().position(|&byte| byte == b'/').unwrap_or(inside.len());
        Ok((StorePath::from_base_name(&inside[..end])?, &inside[end..]))
    }

    /// Returns the full path.
    pub fn display(&self, path: &StorePath) -> String {
        format!("{}/{}", self.0, path.base_name())
    }

    /// Computes a store path of any type, for the types that have no function of their own here.
    ///
    /// `path_type` is all that precedes the hash, such as `output:out`, and must not be empty.
    ///
    /// # Errors
    /// `hash` is not SHA-256.
    pub fn make_store_path(
        &self,
        path_type: &str,
        hash: &Hash,
        name: &StorePathName,
    ) -> Result<StorePath, Error> {
        hash.require_sha256("a store path")?;
        let preimage = format!("{path_type}:sha256:{}:{}:{name}", hash.to_hex(), self.0);
        Ok(StorePath::new(&compressed(&Hash::sha256(preimage.as_bytes())), name))
    }

    /// Returns the path of a text that was added to the store, such as a derivation; `content` is the SHA-256 hash of
    /// its bytes.
    ///
    /// # Errors
    /// `content` is not SHA-256.
    pub fn text_path<'a>(
        &self,
        name: &StorePathName,
        content: &Hash,
        references: impl IntoIterator<Item = &'a StorePath>,
    ) -> Result<StorePath, Error> {
        self.make_store_path(&self.with_references("text", references, false), content, name)
    }

    /// Returns the path of a file tree that was added to the store; `nar` is the SHA-256 hash of its archive.
    ///
    /// For a tree that refers to itself, `nar` is the hash [modulo its own hash part](crate::rewrite::SelfHasher),
    /// and `self_reference` is true.
    ///
    /// # Errors
    /// `nar` is not SHA-256.
    pub fn source_path<'a>(
        &self,
        name: &StorePathName,
        nar: &Hash,
        references: impl IntoIterator<Item = &'a StorePath>,
        self_reference: bool,
    ) -> Result<StorePath, Error> {
        self.make_store_path(&self.with_references("source", references, self_reference), nar, name)
    }

    /// Returns the path of content without references whose hash was known beforehand, as of a download.
    ///
    /// # Errors
    /// A [`ContentMethod::Text`] hash is not SHA-256.
    pub fn fixed_output_path(
        &self,
        name: &StorePathName,
        content: &ContentAddress,
    ) -> Result<StorePath, Error> {
        let hash = content.hash();
        match content.method() {
            ContentMethod::Text => self.text_path(name, hash, []),
            ContentMethod::Recursive if hash.as_sha256().is_some() => self.source_path(name, hash, [], false),
            method => {
                let text = format!("fixed:out:{}{}:{}:", method.prefix(), hash.algorithm(), hash.to_hex());
                self.make_store_path("output:out", &Hash::sha256(text.as_bytes()), name)
            }
        }
    }

    /// Returns the path of an output of an input-addressed derivation, from the derivation's hash modulo.
    ///
    /// # Errors
    /// `modulo` is not SHA-256, or the name becomes too long.
    pub fn output_path(
        &self,
        output: &OutputName,
        modulo: &Hash,
        drv_name: &StorePathName,
    ) -> Result<StorePath, Error> {
        self.make_store_path(&format!("output:{output}"), modulo, &output.path_name(drv_name)?)
    }

    fn strip<'a>(&self, path: &'a [u8]) -> Result<&'a [u8], Error> {
        path.strip_prefix(self.0.as_bytes())
            .and_then(|rest| rest.strip_prefix(b"/"))
            .ok_or_else(|| Kind::NotInStore { path: quoted(path), dir: self.0.clone() }.into())
    }

    fn with_references<'a>(
        &self,
        path_type: &str,
        references: impl IntoIterator<Item = &'a StorePath>,
        self_reference: bool,
    ) -> String {
        let mut text = path_type.to_owned();
        for reference in references.into_iter().collect::<BTreeSet<_>>() {
            text.push(':');
            text.push_str(&self.display(reference));
        }
        if self_reference {
            text.push_str(":self");
        }
        text
    }
}

/// `/nix/store`.
impl Default for StoreDir {
    fn default() -> StoreDir {
        StoreDir("/nix/store".to_owned())
    }
}

impl fmt::Display for StoreDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for StoreDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreDir({})", self.0)
    }
}

/// An object of a store, by its base name: `<hash part>-<name>`. Ordered by the bytes of the base name, as Nix does.
///
/// Which store it is in is not part of it: see [`StoreDir::display`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StorePath(String);

impl StorePath {
    /// Puts a store path together from its digest and its name.
    pub fn new(digest: &[u8; DIGEST_LEN], name: &StorePathName) -> StorePath {
        StorePath(format!("{}-{name}", base32::encode(digest)))
    }

    /// Reads a base name.
    ///
    /// # Errors
    /// The hash part is not 32 base-32 digits, no hyphen follows, or the name is invalid.
    pub fn from_base_name(base_name: &[u8]) -> Result<StorePath, Error> {
        let invalid = |why| Error::from(Kind::StorePath { path: quoted(base_name), why });
        let (hash_part, rest) =
            base_name.split_at_checked(HASH_PART_LEN).ok_or_else(|| invalid("it is too short"))?;
        if !hash_part.iter().copied().all(base32::is_digit) {
            return Err(invalid("it does not begin with 32 base-32 digits"));
        }
        let name =
            rest.strip_prefix(b"-").ok_or_else(|| invalid("there is no \"-\" after the 32nd character"))?;
        why_invalid_name(name).map_or(Ok(()), |why| Err(invalid(why)))?;
        let text = String::from_utf8(base_name.to_vec()).expect("digits and names are ASCII");
        Ok(StorePath(text))
    }

    /// Returns `<hash part>-<name>`.
    pub fn base_name(&self) -> &str {
        &self.0
    }

    /// Returns the hash part: [`HASH_PART_LEN`] base-32 digits.
    pub fn hash_part(&self) -> &str {
        &self.0[..HASH_PART_LEN]
    }

    /// Returns the hash part, as the array that scanning and rewriting take.
    pub fn hash_part_bytes(&self) -> &[u8; HASH_PART_LEN] {
        self.0.as_bytes().first_chunk().expect("a base name is longer than its hash part")
    }

    /// Returns the digest that the hash part stands for.
    pub fn digest(&self) -> [u8; DIGEST_LEN] {
        let bytes = base32::decode(self.hash_part().as_bytes()).expect("a hash part is valid base 32");
        bytes.try_into().expect("32 digits are 20 bytes")
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.0[HASH_PART_LEN + 1..]
    }

    /// Returns whether the name says that this is a derivation.
    pub fn is_derivation(&self) -> bool {
        self.drv_name().is_some()
    }

    /// Returns the name of the derivation that this is the `.drv` file of, if the name says that it is one.
    pub fn drv_name(&self) -> Option<StorePathName> {
        StorePathName::new(self.name().strip_suffix(".drv")?).ok()
    }
}

impl fmt::Display for StorePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for StorePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StorePath({})", self.0)
    }
}

impl FromStr for StorePath {
    type Err = Error;

    fn from_str(base_name: &str) -> Result<StorePath, Error> {
        StorePath::from_base_name(base_name.as_bytes())
    }
}

/// The name in a store path: 1 to 211 characters out of `0-9a-zA-Z+-._?=`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StorePathName(String);

impl StorePathName {
    /// Checks and takes a name.
    ///
    /// # Errors
    /// The name is empty, too long, has another character, or is or begins like `.` and `..` do in a path.
    pub fn new(name: &str) -> Result<StorePathName, Error> {
        match why_invalid_name(name.as_bytes()) {
            Some(why) => Err(Kind::Name { name: quoted(name.as_bytes()), why }.into()),
            None => Ok(StorePathName(name.to_owned())),
        }
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the name with `suffix` behind it, as in `hello.drv`.
    ///
    /// # Errors
    /// The name becomes too long, or `suffix` has a character that is not allowed.
    pub fn with_suffix(&self, suffix: &str) -> Result<StorePathName, Error> {
        StorePathName::new(&format!("{}{suffix}", self.0))
    }
}

impl fmt::Display for StorePathName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for StorePathName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StorePathName({})", self.0)
    }
}

impl FromStr for StorePathName {
    type Err = Error;

    fn from_str(name: &str) -> Result<StorePathName, Error> {
        StorePathName::new(name)
    }
}

impl Borrow<str> for StorePathName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// Says what is wrong with a name, if anything is.
pub(crate) fn why_invalid_name(name: &[u8]) -> Option<&'static str> {
    const LONGEST: usize = 211;
    if name.is_empty() {
        return Some("the name is empty");
    }
    if name.len() > LONGEST {
        return Some("the name is longer than 211 characters");
    }
    if !name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+-._?=".contains(byte)) {
        return Some("the name has a character other than letters, digits and + - . _ ? =");
    }
    let dots = name.iter().take_while(|&&byte| byte == b'.').count();
    if matches!(dots, 1 | 2) && matches!(name.get(dots), None | Some(b'-')) {
        return Some("the name is, or begins like, \".\" or \"..\"");
    }
    None
}

/// Folds a hash to the length of the digest in a store path.
pub(crate) fn compressed(hash: &Hash) -> [u8; DIGEST_LEN] {
    let mut folded = [0; DIGEST_LEN];
    for (at, byte) in hash.digest().iter().enumerate() {
        folded[at % DIGEST_LEN] ^= byte;
    }
    folded
}

#[cfg(test)]
mod tests;
