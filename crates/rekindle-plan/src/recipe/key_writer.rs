//! The walk over a recipe, as events, and its two listeners: one encodes, the other explains.
//!
//! The events carry all that the grammar in the header of [`recipe`](super) needs. A listener must not know the
//! recipe: what it does not hear does not count.

/// A field of a recipe. The order is that of the walk, and so the order in which differences are looked for: what
/// explains most comes first, and the step before, which changes with everything above it, last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// The version of the rules by which the caller makes recipes.
    Format,
    /// The phase's name.
    Phase,
    /// Where the outputs lie.
    Placement,
    /// The platform.
    System,
    /// The program.
    Builder,
    /// Its arguments.
    Arguments,
    /// The identity of the toolchain.
    Toolchain,
    /// The version of the world that the sandbox shows.
    Sandbox,
    /// The inputs.
    Inputs,
    /// The visible attributes.
    Attributes,
    /// The step before.
    Before,
}

impl Field {
    /// Its name in the encoding, and for machines.
    pub fn name(self) -> &'static str {
        match self {
            Field::Format => "format",
            Field::Phase => "phase",
            Field::Placement => "placement",
            Field::System => "system",
            Field::Builder => "builder",
            Field::Arguments => "arguments",
            Field::Toolchain => "toolchain",
            Field::Sandbox => "sandbox",
            Field::Inputs => "inputs",
            Field::Attributes => "attributes",
            Field::Before => "before",
        }
    }
}

/// Hears the walk over a recipe.
///
/// After [`field`](KeyWriter::field) comes one value. A list is followed by as many values as it says, a map by as
/// many keys, in ascending order, each with a value. Values may be lists and maps again.
pub trait KeyWriter {
    /// A field begins.
    fn field(&mut self, field: Field);
    /// The next value of the map that is open belongs to this key.
    fn key(&mut self, key: &[u8]);
    /// A value: bytes.
    fn bytes(&mut self, value: &[u8]);
    /// A value: a number.
    fn number(&mut self, value: u64);
    /// A value that says only that it is there.
    fn unit(&mut self);
    /// A list of `count` values begins.
    fn list(&mut self, count: usize);
    /// A map of `count` keys begins.
    fn map(&mut self, count: usize);
}

/// Where encoded bytes go.
pub(super) trait Sink {
    fn put(&mut self, bytes: &[u8]);
}

impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

impl Sink for blake3::Hasher {
    fn put(&mut self, bytes: &[u8]) {
        self.update(bytes);
    }
}

/// Encodes the walk, into memory or into a digest.
pub(super) struct Encoder<S>(S);

impl<S: Sink> Encoder<S> {
    pub(super) fn new(sink: S) -> Self {
        Encoder(sink)
    }

    pub(super) fn into_sink(self) -> S {
        self.0
    }

    fn string(&mut self, bytes: &[u8]) {
        self.0.put(&(bytes.len() as u64).to_le_bytes());
        self.0.put(bytes);
    }

    fn tagged(&mut self, tag: u8, number: u64) {
        self.0.put(&[tag]);
        self.0.put(&number.to_le_bytes());
    }
}

impl<S: Sink> KeyWriter for Encoder<S> {
    fn field(&mut self, field: Field) {
        self.0.put(b"f");
        self.string(field.name().as_bytes());
    }

    fn key(&mut self, key: &[u8]) {
        self.string(key);
    }

    fn bytes(&mut self, value: &[u8]) {
        self.0.put(b"b");
        self.string(value);
    }

    fn number(&mut self, value: u64) {
        self.tagged(b'n', value);
    }

    fn unit(&mut self) {
        self.0.put(b"u");
    }

    fn list(&mut self, count: usize) {
        self.tagged(b'l', count as u64);
    }

    fn map(&mut self, count: usize) {
        self.tagged(b'm', count as u64);
    }
}

/// One step on the way from a field to a value in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Index(usize),
    Key(Vec<u8>),
}

/// A value that holds no others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Leaf {
    Bytes(Vec<u8>),
    Number(u64),
    Unit,
    /// A list or map without any value, inside another. One that is a field by itself leaves no leaf, so that what
    /// comes into it later is seen as added.
    Empty,
}

/// The field that a leaf is in, and the way to it from there.
pub(super) type Way = (Field, Vec<Part>);

/// Collects the leaves of the walk, each with the way to it. The ways ascend.
#[derive(Debug)]
pub(super) struct Leaves {
    pub(super) found: Vec<(Way, Leaf)>,
    way: Way,
    /// How many values each open list or map still waits for.
    open: Vec<usize>,
}

impl Leaves {
    pub(super) fn new() -> Self {
        Leaves { found: Vec::new(), way: (Field::Format, Vec::new()), open: Vec::new() }
    }

    fn leaf(&mut self, leaf: Leaf) {
        self.found.push((self.way.clone(), leaf));
        self.value_ended();
    }

    fn value_ended(&mut self) {
        while let Some(missing) = self.open.last_mut() {
            *missing -= 1;
            if *missing > 0 {
                if let Some(Part::Index(index)) = self.way.1.last_mut() {
                    *index += 1;
                }
                return;
            }
            // The list or map was a value, too.
            self.open.pop();
            self.way.1.pop();
        }
    }

    fn begin(&mut self, count: usize, first: Part) {
        if count > 0 {
            self.open.push(count);
            self.way.1.push(first);
        } else if !self.open.is_empty() {
            self.leaf(Leaf::Empty);
        }
    }
}

impl KeyWriter for Leaves {
    fn field(&mut self, field: Field) {
        self.way = (field, Vec::new());
    }

    fn key(&mut self, key: &[u8]) {
        if let Some(last) = self.way.1.last_mut() {
            *last = Part::Key(key.to_owned());
        }
    }

    fn bytes(&mut self, value: &[u8]) {
        self.leaf(Leaf::Bytes(value.to_owned()));
    }

    fn number(&mut self, value: u64) {
        self.leaf(Leaf::Number(value));
    }

    fn unit(&mut self) {
        self.leaf(Leaf::Unit);
    }

    fn list(&mut self, count: usize) {
        self.begin(count, Part::Index(0));
    }

    fn map(&mut self, count: usize) {
        self.begin(count, Part::Key(Vec::new()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_know_the_way_through_nested_values() {
        let mut leaves = Leaves::new();
        leaves.field(Field::Format);
        leaves.list(0);
        leaves.field(Field::Arguments);
        leaves.list(3);
        leaves.bytes(b"x");
        leaves.map(2);
        leaves.key(b"a");
        leaves.list(0);
        leaves.key(b"b");
        leaves.number(7);
        leaves.unit();
        leaves.field(Field::Before);
        leaves.unit();
        let key = |key: &[u8]| Part::Key(key.to_owned());
        let expect = [
            (Field::Arguments, vec![Part::Index(0)], Leaf::Bytes(b"x".to_vec())),
            (Field::Arguments, vec![Part::Index(1), key(b"a")], Leaf::Empty),
            (Field::Arguments, vec![Part::Index(1), key(b"b")], Leaf::Number(7)),
            (Field::Arguments, vec![Part::Index(2)], Leaf::Unit),
            (Field::Before, vec![], Leaf::Unit),
        ];
        assert_eq!(leaves.found, expect.map(|(field, way, leaf)| ((field, way), leaf)));
        assert!(leaves.found.is_sorted_by(|a, b| a.0 < b.0));
    }
}
