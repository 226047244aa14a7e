//! Reads derivations.
//!
//! The grammar has a fixed depth, so there is no recursion, and nothing is allocated that is larger than the input.

use std::collections::{BTreeMap, BTreeSet};

use crate::content_address::{ContentAddress, ContentMethod};
use crate::derivation::{Derivation, Output, OutputName};
use crate::error::{Error, Kind};
use crate::hash::Hash;
use crate::store_path::{StoreDir, StorePath, StorePathName};

/// Reads the text of a derivation called `name`, without `.drv`.
///
/// # Errors
/// Anything but what [`super::write`] writes for a derivation that [`Derivation::kind`] accepts and whose fixed
/// output, if it has one, has the path that its hash gives; the error names the byte. A derivation with inputs that
/// are outputs of outputs (`DrvWithVersion`) [is not supported](Error::is_unsupported).
pub fn parse(dir: &StoreDir, name: &StorePathName, text: &[u8]) -> Result<Derivation, Error> {
    let mut parser = Parser { dir, text, at: 0 };
    if text.starts_with(b"DrvWithVersion(") {
        return Err(parser.unsupported("a dynamic derivation is"));
    }
    parser.expect("Derive(")?;
    let outputs = parser.map(|parser| parser.output(name))?;
    parser.expect(",")?;
    let input_drvs = parser.map(Parser::input_drv)?;
    parser.expect(",")?;
    let input_srcs = parser.set(Parser::store_path)?;
    parser.expect(",")?;
    let system = parser.string()?;
    parser.expect(",")?;
    let builder = parser.string()?;
    parser.expect(",")?;
    let mut args = Vec::new();
    parser.list(|parser, _| {
        args.push(parser.string()?);
        Ok(())
    })?;
    parser.expect(",")?;
    let env = parser.map(|parser| {
        let key = parser.string()?;
        parser.expect(",")?;
        Ok((key, parser.string()?))
    })?;
    parser.expect(")")?;
    if parser.at != text.len() {
        return Err(parser.error("nothing may follow the last parenthesis"));
    }
    let derivation =
        Derivation { name: name.clone(), outputs, input_drvs, input_srcs, system, builder, args, env };
    derivation.kind()?;
    Ok(derivation)
}

/// What stands in place of the hash of an impure output.
pub(super) const IMPURE: &str = "impure";

struct Parser<'a> {
    dir: &'a StoreDir,
    text: &'a [u8],
    at: usize,
}

impl Parser<'_> {
    fn output(&mut self, drv_name: &StorePathName) -> Result<(OutputName, Output), Error> {
        let start = self.at;
        let invalid = |source| Error::from(Kind::Aterm { offset: start, why: "invalid output", source });
        let name = self.output_name()?;
        self.expect(",")?;
        let path = match self.string()?.as_slice() {
            b"" => None,
            path => Some(self.dir.parse(path).map_err(|error| invalid(Some(error)))?),
        };
        self.expect(",")?;
        let algo = self.string()?;
        self.expect(",")?;
        let hash = self.string()?;
        if algo.is_empty() {
            return match path {
                _ if !hash.is_empty() => Err(self.error_at(start, "output with a hash but no algorithm")),
                Some(path) => Ok((name, Output::InputAddressed(path))),
                None => Ok((name, Output::Deferred)),
            };
        }
        let (method, algo) = match ContentMethod::parse_with_algorithm(&algo) {
            Ok(parsed) => parsed,
            Err(error) if error.is_unsupported() => return Err(self.unsupported("a git-hashed output is")),
            Err(error) => return Err(invalid(Some(error))),
        };
        let output = match (hash.as_slice(), path) {
            (b"", None) => Output::Floating { method, algo },
            (hash, None) if hash == IMPURE.as_bytes() => Output::Impure { method, algo },
            (_, None) => return Err(self.error_at(start, "fixed output without a path")),
            (hash, Some(path)) => {
                let parsed = Hash::parse_bare(algo, hash).map_err(|error| invalid(Some(error)))?;
                if parsed.to_hex().as_bytes() != hash {
                    return Err(self.error_at(start, "fixed output whose hash is not in lower-case base 16"));
                }
                let address = ContentAddress::new(method, parsed).map_err(|error| invalid(Some(error)))?;
                let right = name
                    .path_name(drv_name)
                    .and_then(|name| self.dir.fixed_output_path(&name, &address))
                    .map_err(|error| invalid(Some(error)))?;
                if path != right {
                    return Err(Kind::WrongOutput {
                        name: drv_name.to_string(),
                        output: name.to_string(),
                        stored: self.dir.display(&path),
                        expected: self.dir.display(&right),
                    }
                    .into());
                }
                Output::Fixed { address, path }
            }
        };
        Ok((name, output))
    }

    fn input_drv(&mut self) -> Result<(StorePath, BTreeSet<OutputName>), Error> {
        let start = self.at;
        let path = self.store_path()?;
        if !path.is_derivation() {
            return Err(self.error_at(start, "an input derivation's name has to end in \".drv\""));
        }
        self.expect(",")?;
        let outputs = self.set(Parser::output_name)?;
        if outputs.is_empty() {
            return Err(self.error_at(start, "input derivation of which no output is needed"));
        }
        Ok((path, outputs))
    }

    fn output_name(&mut self) -> Result<OutputName, Error> {
        let start = self.at;
        let name = self.string()?;
        str::from_utf8(&name)
            .map_err(|_| self.error_at(start, "an output's name is ASCII"))
            .and_then(OutputName::new)
            .map_err(|error| {
                let why = "invalid name of an output";
                Kind::Aterm { offset: start, why, source: Some(error) }.into()
            })
    }

    fn store_path(&mut self) -> Result<StorePath, Error> {
        let start = self.at;
        let path = self.string()?;
        self.dir.parse(&path).map_err(|error| {
            Kind::Aterm { offset: start, why: "invalid store path", source: Some(error) }.into()
        })
    }

    /// Reads a list of parenthesised items that begin with a key.
    fn map<K: Ord, V>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<(K, V), Error>,
    ) -> Result<BTreeMap<K, V>, Error> {
        let mut map = BTreeMap::new();
        self.list(|parser, start| {
            parser.expect("(")?;
            let (key, value) = item(parser)?;
            parser.expect(")")?;
            if map.last_key_value().is_some_and(|(last, _)| *last >= key) {
                return Err(parser.error_at(start, NOT_SORTED));
            }
            map.insert(key, value);
            Ok(())
        })?;
        Ok(map)
    }

    fn set<K: Ord>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<K, Error>,
    ) -> Result<BTreeSet<K>, Error> {
        let mut set = BTreeSet::new();
        self.list(|parser, start| {
            let key = item(parser)?;
            if set.last().is_some_and(|last| *last >= key) {
                return Err(parser.error_at(start, NOT_SORTED));
            }
            set.insert(key);
            Ok(())
        })?;
        Ok(set)
    }

    /// Reads a bracketed list; `item` is told where each item starts.
    fn list(&mut self, mut item: impl FnMut(&mut Self, usize) -> Result<(), Error>) -> Result<(), Error> {
        self.expect("[")?;
        if self.skip("]") {
            return Ok(());
        }
        loop {
            let start = self.at;
            item(self, start)?;
            if self.skip("]") {
                return Ok(());
            }
            self.expect(",")?;
        }
    }

    fn string(&mut self) -> Result<Vec<u8>, Error> {
        self.expect("\"")?;
        let start = self.at;
        let mut bytes = Vec::new();
        loop {
            let rest = &self.text[self.at..];
            let plain = rest
                .iter()
                .position(|byte| matches!(byte, b'"' | b'\\' | b'\n' | b'\r' | b'\t'))
                .ok_or_else(|| self.error_at(start, "string without an end"))?;
            bytes.extend_from_slice(&rest[..plain]);
            self.at += plain;
            match (rest[plain], rest.get(plain + 1)) {
                (b'"', _) => {
                    self.at += 1;
                    return Ok(bytes);
                }
                (b'\\', Some(escaped)) => bytes.push(match escaped {
                    b'"' | b'\\' => *escaped,
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    _ => return Err(self.error("needless escape")),
                }),
                (b'\\', None) => return Err(self.error_at(start, "string without an end")),
                _ => return Err(self.error("line feed, carriage return or tab that is not escaped")),
            }
            self.at += 2;
        }
    }

    fn expect(&mut self, token: &'static str) -> Result<(), Error> {
        if self.skip(token) {
            return Ok(());
        }
        Err(self.error(match token {
            "Derive(" => "it has to begin with \"Derive(\"",
            "(" => "expected \"(\"",
            ")" => "expected \")\"",
            "[" => "expected \"[\"",
            "," => "expected \",\", or the end of the list",
            _ => "expected a string",
        }))
    }

    fn skip(&mut self, token: &str) -> bool {
        let found = self.text[self.at..].starts_with(token.as_bytes());
        if found {
            self.at += token.len();
        }
        found
    }

    fn error(&self, why: &'static str) -> Error {
        self.error_at(self.at, why)
    }

    fn error_at(&self, offset: usize, why: &'static str) -> Error {
        Kind::Aterm { offset, why, source: None }.into()
    }

    fn unsupported(&self, what: &str) -> Error {
        Kind::Unsupported { what: what.to_owned(), offset: self.at }.into()
    }
}

const NOT_SORTED: &str = "entry that is a duplicate or not in order";
