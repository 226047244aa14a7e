//! Recipe keys: everything that decides what a step does, except the content of the package's own sources.
//!
//! If two steps have the same key, the difference between what they leave comes from their sources alone, so one may
//! reuse, skip or go on from the other (see [`verdict`](crate::verdict)). A recipe holds the key of the step before
//! it, so equal keys mean equal recipes all the way up.
//!
//! The caller slices and masks: of the attributes a recipe holds those that the step can see, with the outputs at
//! their scratch paths and each path of the package's own sources replaced by a constant. It must not know how; to
//! it, identities and values are bytes. A change of how the caller does it is a change of [`Recipe::format`].
//!
//! One walk ([`Recipe::write`]) gives the digest, what is kept on disk, and the explanation, so none of them can
//! forget a field that another has. The walk is encoded so that no two recipes have the same encoding:
//!
//! ```text
//! recipe = field*, each field of the enum `Field` once, in its order
//! field  = 'f', string, value                      its name
//! value  = 'b', string                             bytes
//!        | 'n', number:u64
//!        | 'u'                                     unit: there, and nothing more to say
//!        | 'l', count:u64, value*count             list
//!        | 'm', count:u64, (string, value)*count   map, keys ascending, none twice
//! string = length:u64, bytes                       integers little-endian
//! ```
//!
//! | field | value |
//! | --- | --- |
//! | `format` | number |
//! | `phase` | bytes, or unit for a unit that is one step |
//! | `placement` | `scratch` or `final` |
//! | `system`, `builder`, `toolchain` | bytes |
//! | `arguments` | list of bytes |
//! | `sandbox` | number |
//! | `inputs` | map from identity to unit |
//! | `attributes` | map from name to bytes, or to unit where only the presence can be seen |
//! | `before` | the key's bytes, or unit for a first step |
//!
//! The key is BLAKE3 of the encoding, keyed by deriving from [`DOMAIN`], which holds the version.

mod difference;
mod disk;
mod key_writer;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

pub use difference::{Difference, differences};
pub use key_writer::{Field, KeyWriter};

use crate::Placement;
use key_writer::Encoder;

/// What recipe keys are derived from. Another encoding takes another version.
pub const DOMAIN: &str = "rekindle-plan recipe key v1";

/// The digest of a [`Recipe`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecipeKey([u8; 32]);

impl RecipeKey {
    /// A key that was stored.
    pub fn from_bytes(bytes: [u8; 32]) -> RecipeKey {
        RecipeKey(bytes)
    }

    /// Its bytes, to store.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// 64 hexadecimal digits.
impl fmt::Display for RecipeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for RecipeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// How much of an attribute a step sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attribute {
    /// Its value.
    Value(Vec<u8>),
    /// That it is set, not to what.
    Present,
}

/// Everything that decides what a step does, except the content of the package's own sources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    /// The version of the rules by which the caller makes recipes and runs steps.
    pub format: u32,
    /// The name of the phase, or `None` for a unit that is one step.
    pub phase: Option<String>,
    /// Where the outputs lie while the step runs.
    pub placement: Placement,
    /// The platform.
    pub system: Vec<u8>,
    /// The program.
    pub builder: Vec<u8>,
    /// Its arguments.
    pub arguments: Vec<Vec<u8>>,
    /// The identity of the toolchain, where it is not one of the inputs.
    pub toolchain: Vec<u8>,
    /// The version of the world that the sandbox shows.
    pub sandbox: u32,
    /// The identities of the inputs, other than the package's own sources.
    pub inputs: BTreeSet<Vec<u8>>,
    /// The attributes that the step sees.
    pub attributes: BTreeMap<Vec<u8>, Attribute>,
    /// The recipe key of the step before, or `None` for a first step.
    pub before: Option<RecipeKey>,
}

impl Recipe {
    /// Returns the digest.
    pub fn key(&self) -> RecipeKey {
        let mut encoder = Encoder::new(blake3::Hasher::new_derive_key(DOMAIN));
        self.write(&mut encoder);
        RecipeKey(*encoder.into_sink().finalize().as_bytes())
    }

    /// Walks over all fields, in the order of [`Field`].
    pub fn write(&self, writer: &mut dyn KeyWriter) {
        writer.field(Field::Format);
        writer.number(self.format.into());
        writer.field(Field::Phase);
        match &self.phase {
            Some(phase) => writer.bytes(phase.as_bytes()),
            None => writer.unit(),
        }
        writer.field(Field::Placement);
        writer.bytes(placement_name(self.placement).as_bytes());
        writer.field(Field::System);
        writer.bytes(&self.system);
        writer.field(Field::Builder);
        writer.bytes(&self.builder);
        writer.field(Field::Arguments);
        writer.list(self.arguments.len());
        for argument in &self.arguments {
            writer.bytes(argument);
        }
        writer.field(Field::Toolchain);
        writer.bytes(&self.toolchain);
        writer.field(Field::Sandbox);
        writer.number(self.sandbox.into());
        writer.field(Field::Inputs);
        writer.map(self.inputs.len());
        for input in &self.inputs {
            writer.key(input);
            writer.unit();
        }
        writer.field(Field::Attributes);
        writer.map(self.attributes.len());
        for (name, attribute) in &self.attributes {
            writer.key(name);
            match attribute {
                Attribute::Value(value) => writer.bytes(value),
                Attribute::Present => writer.unit(),
            }
        }
        writer.field(Field::Before);
        match &self.before {
            Some(key) => writer.bytes(key.as_bytes()),
            None => writer.unit(),
        }
    }

    /// Returns the first field in which this recipe differs from an older one, or `None` if the two have the same
    /// key.
    pub fn difference(&self, old: &Recipe) -> Option<Difference> {
        Difference::between(old, self)
    }

    /// Encodes it for the disk.
    pub fn encode(&self) -> Vec<u8> {
        disk::encode(self)
    }

    /// Reads what [`Recipe::encode`] wrote.
    ///
    /// # Errors
    /// If the bytes are damaged or of another version. Never panics, and takes no more memory than a small multiple
    /// of the bytes.
    pub fn decode(bytes: &[u8]) -> Result<Recipe, crate::Error> {
        disk::decode(bytes)
    }
}

fn placement_name(placement: Placement) -> &'static str {
    match placement {
        Placement::Scratch => "scratch",
        Placement::Final => "final",
    }
}
