//! The two texts of a binary cache: `<hash part>.narinfo` describes a store object, `nix-cache-info` the cache.
//!
//! Both are lines of `Key: value`. Unknown keys are skipped, so that other programs may add their own; a known key
//! that is missing, doubled or malformed makes the text corrupt.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::content_address::ContentAddress;
use crate::error::{Error, Kind, quoted};
use crate::hash::Hash;
use crate::signature::{PublicKey, SecretKey, Signature, fingerprint};
use crate::store_path::{StoreDir, StorePath};

/// What a binary cache says about a store object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NarInfo {
    /// The store object.
    pub store_path: StorePath,
    /// Where the archive is, mostly relative to the cache.
    pub url: String,
    /// How the archive is compressed.
    pub compression: Compression,
    /// The hash of the compressed archive.
    pub file_hash: Option<Hash>,
    /// The size of the compressed archive, in bytes.
    pub file_size: Option<u64>,
    /// The SHA-256 hash of the archive.
    pub nar_hash: Hash,
    /// The size of the archive, in bytes; never 0.
    pub nar_size: u64,
    /// The store objects that it refers to, itself perhaps included.
    pub references: BTreeSet<StorePath>,
    /// The derivation that it is an output of.
    pub deriver: Option<StorePath>,
    /// Signatures of the [fingerprint](NarInfo::fingerprint); not checked yet.
    pub signatures: Vec<Signature>,
    /// What the path was computed from, if it was from the content.
    pub content_address: Option<ContentAddress>,
}

impl NarInfo {
    /// Reads a `.narinfo`.
    ///
    /// Whether the description is true is another question: see [`NarInfo::is_signed_by`]. A caller must also compare
    /// the path with the one it asked for.
    ///
    /// # Errors
    /// A line that is none, or one of `StorePath`, `URL`, `NarHash` and `NarSize` is missing, or a known key is
    /// doubled or has an invalid value. The error names the line.
    pub fn parse(dir: &StoreDir, text: &[u8]) -> Result<NarInfo, Error> {
        let mut lines = Lines::parse("narinfo", text)?;
        let info = NarInfo {
            store_path: lines.required("StorePath", |text| dir.parse(text))?,
            url: lines.required("URL", parse_url)?,
            compression: lines.optional("Compression", parse_compression)?.unwrap_or(Compression::Bzip2),
            file_hash: lines.optional("FileHash", Hash::parse)?,
            file_size: lines.optional("FileSize", parse_size)?,
            nar_hash: lines.required("NarHash", |text| {
                let hash = Hash::parse(text)?;
                hash.require_sha256("an archive").map(|_| hash)
            })?,
            nar_size: lines.required("NarSize", |text| match parse_size(text)? {
                0 => Err(value_error("no archive is empty")),
                size => Ok(size),
            })?,
            references: lines.optional("References", parse_references)?.unwrap_or_default(),
            deriver: lines
                .optional("Deriver", |text| match text {
                    b"" | b"unknown-deriver" => Ok(None),
                    path => StorePath::from_base_name(path).map(Some),
                })?
                .flatten(),
            signatures: lines.repeated("Sig", parse_signature)?,
            content_address: lines
                .optional("CA", |text| match text {
                    b"" => Ok(None),
                    text => ContentAddress::parse(text).map(Some),
                })?
                .flatten(),
        };
        lines.nothing_doubled()?;
        Ok(info)
    }

    /// Returns the text, as Nix writes it.
    pub fn to_text(&self, dir: &StoreDir) -> String {
        let mut text = String::new();
        let mut line = |key: &str, value: &dyn fmt::Display| text.push_str(&format!("{key}: {value}\n"));
        line("StorePath", &dir.display(&self.store_path));
        line("URL", &self.url);
        line("Compression", &self.compression);
        if let Some(hash) = &self.file_hash {
            line("FileHash", hash);
        }
        if let Some(size) = &self.file_size {
            line("FileSize", size);
        }
        line("NarHash", &self.nar_hash);
        line("NarSize", &self.nar_size);
        let references: Vec<_> = self.references.iter().map(StorePath::base_name).collect();
        line("References", &references.join(" "));
        if let Some(deriver) = &self.deriver {
            line("Deriver", deriver);
        }
        for signature in &self.signatures {
            line("Sig", signature);
        }
        if let Some(address) = &self.content_address {
            line("CA", address);
        }
        text
    }

    /// Returns the text that is signed.
    pub fn fingerprint(&self, dir: &StoreDir) -> String {
        fingerprint(dir, &self.store_path, &self.nar_hash, self.nar_size, &self.references)
    }

    /// Adds a signature, in place of one by a key of the same name.
    pub fn sign(&mut self, dir: &StoreDir, key: &SecretKey) {
        let signature = key.sign(self.fingerprint(dir).as_bytes());
        self.signatures.retain(|other| other.key_name() != key.name());
        self.signatures.push(signature);
    }

    /// Returns whether one of `keys` has signed this.
    pub fn is_signed_by(&self, dir: &StoreDir, keys: &[PublicKey]) -> bool {
        let fingerprint = self.fingerprint(dir);
        self.signatures
            .iter()
            .any(|signature| keys.iter().any(|key| key.verifies(fingerprint.as_bytes(), signature)))
    }
}

/// How the archives of a cache are compressed. `Display` writes the name in a `.narinfo`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Compression {
    None,
    Bzip2,
    Xz,
    Zstd,
    Gzip,
    Brotli,
    /// By a name that this crate does not know: one word.
    Other(String),
}

impl Compression {
    /// The ones that have a name here, with the name that they have in Nix.
    const NAMES: [(Compression, &'static str); 6] = [
        (Compression::None, "none"),
        (Compression::Bzip2, "bzip2"),
        (Compression::Xz, "xz"),
        (Compression::Zstd, "zstd"),
        (Compression::Gzip, "gzip"),
        (Compression::Brotli, "br"),
    ];
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Compression::Other(name) => name,
            known => Compression::NAMES.iter().find(|(each, _)| each == known).map_or("", |(_, name)| name),
        })
    }
}

/// What a binary cache says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheInfo {
    /// The store directory of the objects in it. A cache for another store directory is of no use.
    pub store_dir: StoreDir,
    /// Whether it is fast enough to be asked about many objects at once.
    pub want_mass_query: bool,
    /// Its place among other caches; lower ones are asked first.
    pub priority: Option<u32>,
}

impl CacheInfo {
    /// Reads a `nix-cache-info`. As Nix does, takes lines that are none for comments.
    ///
    /// # Errors
    /// No `StoreDir`, or an invalid value; the error names the line.
    pub fn parse(text: &[u8]) -> Result<CacheInfo, Error> {
        let lines = text.split(|&byte| byte == b'\n');
        let without_comments: Vec<_> =
            lines.map(|line| if line.contains(&b':') { line } else { b"" }).collect();
        let text = without_comments.join(&b'\n');
        let mut lines = Lines::parse("nix-cache-info", &text)?;
        let info = CacheInfo {
            store_dir: lines.required("StoreDir", StoreDir::new)?,
            want_mass_query: lines.optional("WantMassQuery", |text| Ok(text == b"1"))?.unwrap_or(false),
            priority: lines.optional("Priority", |text| {
                u32::try_from(parse_size(text)?).map_err(|_| value_error("the number is too large"))
            })?,
        };
        lines.nothing_doubled()?;
        Ok(info)
    }

    /// Returns the text.
    pub fn to_text(&self) -> String {
        let mut text = format!("StoreDir: {}\n", self.store_dir);
        if self.want_mass_query {
            text.push_str("WantMassQuery: 1\n");
        }
        if let Some(priority) = self.priority {
            text.push_str(&format!("Priority: {priority}\n"));
        }
        text
    }
}

/// Lines of `Key: value`, by key, each with its number.
struct Lines<'a> {
    what: &'static str,
    lines: BTreeMap<&'a [u8], Vec<(usize, &'a [u8])>>,
    /// Keys that were read and may only be there once.
    single: Vec<&'static str>,
}

impl<'a> Lines<'a> {
    fn parse(what: &'static str, text: &'a [u8]) -> Result<Lines<'a>, Error> {
        let mut lines: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (at, line) in text.split(|&byte| byte == b'\n').enumerate() {
            if line.is_empty() {
                continue;
            }
            let Some(colon) = line.iter().position(|&byte| byte == b':') else {
                let why = "it is not of the form \"Key: value\"".to_owned();
                return Err(Kind::Lines { what, line: at + 1, why, source: None }.into());
            };
            let (key, value) = (&line[..colon], &line[colon + 1..]);
            lines.entry(key).or_default().push((at + 1, value.strip_prefix(b" ").unwrap_or(value)));
        }
        Ok(Lines { what, lines, single: Vec::new() })
    }

    fn required<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&[u8]) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.optional(key, parse)?.ok_or_else(|| Kind::MissingKey { what: self.what, key }.into())
    }

    fn optional<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&[u8]) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        self.single.push(key);
        let Some(&(line, value)) = self.lines.get(key.as_bytes()).and_then(|all| all.first()) else {
            return Ok(None);
        };
        parse(value).map(Some).map_err(|error| self.invalid(key, line, error))
    }

    fn repeated<T>(
        &self,
        key: &'static str,
        mut parse: impl FnMut(&[u8]) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        let all = self.lines.get(key.as_bytes()).map_or(&[][..], Vec::as_slice);
        all.iter()
            .map(|&(line, value)| parse(value).map_err(|error| self.invalid(key, line, error)))
            .collect()
    }

    fn nothing_doubled(&self) -> Result<(), Error> {
        for key in &self.single {
            if let Some([_, (line, _), ..]) = self.lines.get(key.as_bytes()).map(Vec::as_slice) {
                let why = format!("there is a {key} already");
                return Err(Kind::Lines { what: self.what, line: *line, why, source: None }.into());
            }
        }
        Ok(())
    }

    fn invalid(&self, key: &str, line: usize, source: Error) -> Error {
        let why = format!("invalid {key}");
        Kind::Lines { what: self.what, line, why, source: Some(source) }.into()
    }
}

fn parse_url(text: &[u8]) -> Result<String, Error> {
    word(text)
        .filter(|url| !url.is_empty())
        .ok_or_else(|| value_error(&format!("{} is no URL", quoted(text))))
}

fn parse_compression(text: &[u8]) -> Result<Compression, Error> {
    let name = word(text).ok_or_else(|| value_error("it is not one word"))?;
    let known = Compression::NAMES.into_iter().find(|(_, known)| *known == name);
    Ok(match known {
        Some((compression, _)) => compression,
        // So did the oldest caches.
        None if name.is_empty() => Compression::Bzip2,
        None => Compression::Other(name),
    })
}

fn parse_references(text: &[u8]) -> Result<BTreeSet<StorePath>, Error> {
    let words = text.split(|&byte| byte == b' ').filter(|word| !word.is_empty());
    words.map(StorePath::from_base_name).collect()
}

fn parse_signature(text: &[u8]) -> Result<Signature, Error> {
    Signature::parse(str::from_utf8(text).map_err(|_| value_error("it is not UTF-8"))?)
}

fn parse_size(text: &[u8]) -> Result<u64, Error> {
    str::from_utf8(text)
        .ok()
        .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| value_error(&format!("{} is not a number of bytes", quoted(text))))
}

/// Returns the text if it is UTF-8 without blanks and control characters.
fn word(text: &[u8]) -> Option<String> {
    let text = str::from_utf8(text).ok()?;
    (!text.chars().any(|char| char.is_whitespace() || char.is_control())).then(|| text.to_owned())
}

fn value_error(why: &str) -> Error {
    Kind::Key { what: "value", why: why.to_owned() }.into()
}

#[cfg(test)]
mod tests;
