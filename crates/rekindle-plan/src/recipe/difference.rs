//! Why two recipes have different keys, for people.
//!
//! Found by the same walk as the keys: both recipes are taken apart into their leaves, which come in ascending
//! order, and the first that differ are named. It must not know which fields there are beyond what to call them.

use std::cmp::Ordering;
use std::fmt;

use super::Recipe;
use super::key_writer::{Field, Leaf, Leaves, Part, Way};
use crate::quote::{quote, quote_both};

/// The first field in which two recipes differ. `Display` is one clause: `attribute "CFLAGS": "-O2" became "-O3"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    field: Field,
    /// Which attribute, or which argument (from 1), quoted.
    member: Option<String>,
    change: Change,
    /// For [`Field::Toolchain`], whose values are digests: what is another one, if that is known.
    detail: Option<String>,
    /// For [`Field::Before`]: the phase of the step where it began, and how that one differs.
    origin: Option<Box<(Option<String>, Difference)>>,
}

/// Values are quoted and shortened.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Change {
    Became { old: String, new: String },
    Added(String),
    Removed(String),
}

impl Difference {
    /// Which field differs.
    pub fn field(&self) -> Field {
        self.field
    }

    /// For a step that differs only because of one before it: how that one differs, where this is known.
    pub fn origin(&self) -> Option<&Difference> {
        self.origin.as_ref().map(|origin| &origin.1)
    }

    /// The same, with a clause that says what of the toolchain is another one, if it differs in that.
    pub fn of_toolchain(self, detail: Option<&str>) -> Difference {
        match self.field {
            Field::Toolchain => Difference { detail: detail.map(str::to_owned), ..self },
            _ => self,
        }
    }

    pub(super) fn between(old: &Recipe, new: &Recipe) -> Option<Difference> {
        let found = |recipe: &Recipe| {
            let mut leaves = Leaves::new();
            recipe.write(&mut leaves);
            leaves.found
        };
        let (old, new) = (found(old), found(new));
        let mut pairs = differing(&old, &new);
        let first = pairs.next()?;
        if first.way.0 == Field::Inputs {
            let others: Vec<_> = pairs.take_while(|pair| pair.way.0 == Field::Inputs).take(2).collect();
            if let [other] = &others[..]
                && let Some(difference) = replaced(&first, other)
            {
                return Some(difference);
            }
        }
        Some(named(&first))
    }
}

/// Compares two chains of steps, step by step, as far as both go. A step that differs only because one before it
/// does names that one.
pub fn differences(new: &[Recipe], old: &[Recipe]) -> Vec<Option<Difference>> {
    let mut origin: Option<(Option<String>, Difference)> = None;
    let compare = |(new, old): (&Recipe, &Recipe)| {
        let mut difference = new.difference(old)?;
        if difference.field == Field::Before {
            difference.origin = origin.clone().map(Box::new);
        } else if origin.is_none() {
            origin = Some((new.phase.clone(), difference.clone()));
        }
        Some(difference)
    };
    new.iter().zip(old).map(compare).collect()
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subject = match self.field {
            Field::Format => "the format of recipes",
            Field::Phase => "the phase",
            Field::Placement => "the place of the outputs",
            Field::System => "the system",
            Field::Builder => "the builder",
            Field::Arguments => "argument",
            Field::Sandbox => "the version of the sandbox",
            Field::Inputs => "input",
            Field::Attributes => "attribute",
            Field::Toolchain => {
                f.write_str("the toolchain")?;
                return self.detail.iter().try_for_each(|detail| write!(f, ", as {detail}"));
            }
            Field::Before => {
                f.write_str("an earlier step")?;
                return match self.origin.as_deref() {
                    Some((Some(phase), difference)) => write!(f, ", {phase}: {difference}"),
                    Some((None, difference)) => write!(f, ": {difference}"),
                    None => Ok(()),
                };
            }
        };
        f.write_str(subject)?;
        if let Some(member) = &self.member {
            write!(f, " {member}")?;
        }
        match &self.change {
            Change::Became { old, new } => write!(f, ": {old} became {new}"),
            Change::Added(value) => write!(f, " added: {value}"),
            Change::Removed(value) => write!(f, " removed: {value}"),
        }
    }
}

/// A leaf that one of the two has, or that both have with other values.
struct Pair<'a> {
    way: &'a Way,
    old: Option<&'a Leaf>,
    new: Option<&'a Leaf>,
}

fn differing<'a>(mut old: &'a [(Way, Leaf)], mut new: &'a [(Way, Leaf)]) -> impl Iterator<Item = Pair<'a>> {
    std::iter::from_fn(move || {
        loop {
            let order = match (old.first(), new.first()) {
                (None, None) => return None,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(a), Some(b)) => a.0.cmp(&b.0),
            };
            let take = |side: &mut &'a [(Way, Leaf)], wanted: bool| {
                let (first, rest) = side.split_first().filter(|_| wanted)?;
                *side = rest;
                Some(first)
            };
            let (a, b) = (take(&mut old, order.is_le()), take(&mut new, order.is_ge()));
            let way = &a.or(b)?.0;
            let (a, b) = (a.map(|found| &found.1), b.map(|found| &found.1));
            if a != b {
                return Some(Pair { way, old: a, new: b });
            }
        }
    })
}

fn named(pair: &Pair<'_>) -> Difference {
    let (field, part) = (pair.way.0, pair.way.1.first());
    let member = match (field, part) {
        (Field::Inputs, _) | (_, None) => None,
        (_, Some(Part::Index(index))) => Some((index + 1).to_string()),
        (_, Some(Part::Key(key))) => Some(quote(key)),
    };
    let show = |leaf: &Leaf| match (leaf, part) {
        // An input is its own value.
        (_, Some(Part::Key(key))) if field == Field::Inputs => quote(key),
        (Leaf::Bytes(bytes), _) => quote(bytes),
        (Leaf::Number(number), _) => number.to_string(),
        (Leaf::Unit, Some(_)) => "set".to_owned(),
        (Leaf::Unit | Leaf::Empty, _) => "none".to_owned(),
    };
    let change = match (pair.old, pair.new) {
        (Some(Leaf::Bytes(old)), Some(Leaf::Bytes(new))) => {
            let (old, new) = quote_both(old, new);
            Change::Became { old, new }
        }
        (Some(old), Some(new)) => Change::Became { old: show(old), new: show(new) },
        (Some(old), None) => Change::Removed(show(old)),
        (None, new) => Change::Added(new.map(show).unwrap_or_default()),
    };
    Difference { field, member, change, detail: None, origin: None }
}

/// One input that went and one that came: the same thing in another version, most likely.
fn replaced(a: &Pair<'_>, b: &Pair<'_>) -> Option<Difference> {
    let (old, new) = match (a.old.is_some(), b.old.is_some()) {
        (true, false) => (a, b),
        (false, true) => (b, a),
        _ => return None,
    };
    let (Some(Part::Key(old)), Some(Part::Key(new))) = (old.way.1.first(), new.way.1.first()) else {
        return None;
    };
    let change = Change::Became { old: quote(old), new: quote(new) };
    Some(Difference { field: Field::Inputs, member: None, change, detail: None, origin: None })
}
