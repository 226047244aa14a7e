//! The recipes of a derivation's steps: what each step sees, and so what its key holds.
//!
//! A phase's environment holds only the attributes that it, or a phase before it, may read. An attribute that comes
//! later is not there, or, where others may ask whether it is set, stands as a text that ends the shell. So an edited
//! `installPhase` changes neither the environment nor the key of a phase before it.
//!
//! Outputs and a mounted source are at their scratch paths, so that no key holds a hash that every edit changes.

use std::collections::{BTreeMap, BTreeSet};

use rekindle_nix::StorePath;
use rekindle_plan::{Attribute, Placement, Recipe, RecipeKey};

use crate::toolchain::Toolchain;
use crate::world::{Command, driver_digest};

/// The step before the first phase: `$stdenv/setup` itself.
pub(crate) const SETUP: &str = "setup";

/// The version of the rules of this module and of how steps are run. To be raised with every change that a step could
/// notice.
const FORMAT: u32 = 1;
/// The version of what the sandbox shows.
const SANDBOX: u32 = 1;

/// What stands for a text that a phase may not see, only that there is one. Nobody runs it.
const HIDDEN: &[u8] = b"exit 97";

/// Phases in the order in which attributes become visible, to tell which of two comes first.
const ORDER: [&str; 6] =
    ["unpackPhase", "checkPhase", "installPhase", "fixupPhase", "installCheckPhase", "distPhase"];

/// How much of an attribute a phase sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// Its text.
    Text,
    /// Whether it is set and not empty.
    Presence,
    /// Nothing.
    Nothing,
}

/// Says how much of the attribute (the first argument) is visible in a phase (the second).
pub type Sight = fn(&str, &str) -> Visibility;

/// One step, before it is known what becomes of it.
#[derive(Debug, Clone)]
pub(crate) struct Planned {
    /// What it runs, with what it sees.
    pub(crate) command: Command,
    /// What decides what it does.
    pub(crate) recipe: Recipe,
    /// Its key.
    pub(crate) key: RecipeKey,
    /// What becomes visible with it.
    pub(crate) revealed: Vec<Vec<u8>>,
    /// What stays hidden, with the text that stands for it, if there is one.
    pub(crate) hidden: BTreeMap<Vec<u8>, Option<&'static [u8]>>,
}

/// Makes the recipes of one derivation.
#[derive(Debug)]
pub(crate) struct Recipes<'a> {
    /// The builder's arguments and environment, with everything at its scratch path.
    pub(crate) placed: Command,
    pub(crate) sight: Option<Sight>,
    pub(crate) system: &'a [u8],
    pub(crate) builder: &'a [u8],
    pub(crate) toolchain: Option<&'a Toolchain>,
    pub(crate) inputs: &'a [StorePath],
    pub(crate) cores: usize,
    pub(crate) kernel: Vec<u8>,
}

impl Recipes<'_> {
    /// The steps for these phases, of which the first is [`SETUP`]; `driver` gives the arguments of each.
    pub(crate) fn plan<'p>(&self, phases: impl Iterator<Item = (&'p str, Vec<Vec<u8>>)>) -> Vec<Planned> {
        let mut hidden = self.late();
        let mut before = None;
        let mut planned = Vec::new();
        for (phase, args) in phases {
            let mut revealed = Vec::new();
            if let Some(sight) = self.sight {
                hidden.retain(|name, _| {
                    let stays = visibility(sight, name, phase) != Visibility::Text;
                    if !stays {
                        revealed.push(name.clone());
                    }
                    stays
                });
            }
            let (mut env, mut attributes) = (BTreeMap::new(), BTreeMap::new());
            for (name, value) in &self.placed.env {
                match hidden.get(name) {
                    None => {
                        env.insert(name.clone(), value.clone());
                        attributes.insert(name.clone(), Attribute::Value(value.clone()));
                    }
                    Some(Some(stand_in)) => {
                        env.insert(name.clone(), stand_in.to_vec());
                        attributes.insert(name.clone(), Attribute::Present);
                    }
                    Some(None) => {}
                }
            }
            attributes.insert(b"NIX_BUILD_CORES".to_vec(), Attribute::Value(self.cores.to_string().into()));
            let recipe = Recipe {
                format: FORMAT,
                phase: Some(phase.to_owned()),
                placement: Placement::Scratch,
                system: self.system.to_vec(),
                builder: self.builder.to_vec(),
                arguments: self.placed.args.iter().chain(&args).cloned().collect(),
                toolchain: self.toolchain_bytes(),
                sandbox: SANDBOX,
                inputs: self.input_names(),
                attributes,
                before,
            };
            let key = recipe.key();
            before = Some(key);
            let command = Command { args, env };
            planned.push(Planned { command, recipe, key, revealed, hidden: hidden.clone() });
        }
        planned
    }

    /// The attributes that are bound late, with what stands for them at first.
    fn late(&self) -> BTreeMap<Vec<u8>, Option<&'static [u8]>> {
        let Some(sight) = self.sight else { return BTreeMap::new() };
        let rank =
            |name: &[u8]| ORDER.iter().position(|phase| visibility(sight, name, phase) == Visibility::Text);
        let rank = |name: &[u8]| rank(name).unwrap_or(ORDER.len());
        let mut late = BTreeMap::new();
        for (name, value) in &self.placed.env {
            let mine = rank(name);
            // Who speaks of it earlier may read it earlier. A list of phases only names them.
            let is_mentioned = || {
                self.placed
                    .env
                    .iter()
                    .any(|(other, text)| other != b"phases" && rank(other) < mine && mentions(text, name))
            };
            if mine == 0 || is_mentioned() {
                continue;
            }
            let presence = visibility(sight, name, SETUP) == Visibility::Presence && !value.is_empty();
            late.insert(name.clone(), presence.then_some(HIDDEN));
        }
        late
    }

    fn toolchain_bytes(&self) -> Vec<u8> {
        let mut bytes = driver_digest().into_bytes();
        bytes.push(b'\n');
        bytes.extend(&self.kernel);
        if let Some(toolchain) = self.toolchain {
            bytes.extend(toolchain.identity.bytes());
            for path in &toolchain.paths {
                bytes.push(0);
                bytes.extend(path.as_os_str().as_encoded_bytes());
            }
        }
        bytes
    }

    fn input_names(&self) -> BTreeSet<Vec<u8>> {
        self.inputs.iter().map(|input| input.base_name().into()).collect()
    }
}

/// The first of the hidden attributes that a phase has set in its shell, although it could not see it. Then it would
/// have seen it in a build that hides nothing, and may have read it.
pub(crate) fn touched(planned: &Planned, script: &[u8]) -> Option<Vec<u8>> {
    planned.hidden.iter().find_map(|(name, stand_in)| {
        let expected = stand_in.map(|text| [b"declare -x ", &name[..], b"=\"", text, b"\""].concat());
        let is_set = script.split(|byte| *byte == b'\n').any(|line| {
            let declared = line.strip_prefix(b"declare ").and_then(|rest| {
                let space = rest.iter().position(|byte| *byte == b' ')?;
                rest[space + 1..].strip_prefix(&name[..])
            });
            let is_it = declared.is_some_and(|rest| rest.first().is_none_or(|byte| *byte == b'='));
            is_it && expected.as_deref() != Some(line)
        });
        is_set.then(|| name.clone())
    })
}

/// Before the phases begin, the first one's view holds.
fn visibility(sight: Sight, name: &[u8], phase: &str) -> Visibility {
    let phase = if phase == SETUP { ORDER[0] } else { phase };
    std::str::from_utf8(name).map_or(Visibility::Text, |name| sight(name, phase))
}

/// Whether a text has a name in it, as a word.
fn mentions(text: &[u8], name: &[u8]) -> bool {
    let is_word = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    memchr::memmem::find_iter(text, name).any(|at| {
        !is_word(at.checked_sub(1).and_then(|at| text.get(at))) && !is_word(text.get(at + name.len()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sight(attribute: &str, phase: &str) -> Visibility {
        match (attribute, phase) {
            ("installPhase", "unpackPhase" | "buildPhase") => Visibility::Presence,
            ("installFlags", "unpackPhase" | "buildPhase") => Visibility::Nothing,
            _ => Visibility::Text,
        }
    }

    fn plan(env: &[(&str, &str)]) -> Vec<Planned> {
        let env = env.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()));
        let recipes = Recipes {
            placed: Command { args: Vec::new(), env: env.collect() },
            sight: Some(sight),
            system: b"x86_64-linux",
            builder: b"/bin/bash",
            toolchain: None,
            inputs: &[],
            cores: 2,
            kernel: Vec::new(),
        };
        let phases = [SETUP, "unpackPhase", "buildPhase", "installPhase"];
        recipes.plan(phases.into_iter().map(|phase| (phase, Vec::new())))
    }

    /// How many of the first steps have the same keys.
    fn same(one: &[Planned], other: &[Planned]) -> usize {
        one.iter().zip(other).take_while(|(one, other)| one.key == other.key).count()
    }

    #[test]
    fn what_comes_late_changes_only_late_keys() {
        let base = plan(&[("buildPhase", "make"), ("installPhase", "a"), ("installFlags", "x")]);
        let check =
            |env: &[(&str, &str)], expect: usize| assert_eq!(same(&base, &plan(env)), expect, "{env:?}");
        check(&[("buildPhase", "make"), ("installPhase", "a"), ("installFlags", "x")], 4);
        check(&[("buildPhase", "make"), ("installPhase", "b"), ("installFlags", "x")], 3);
        check(&[("buildPhase", "make"), ("installPhase", "a"), ("installFlags", "y")], 3);
        check(&[("buildPhase", "make"), ("installPhase", "a")], 3);
        check(&[("buildPhase", "make -j"), ("installPhase", "a"), ("installFlags", "x")], 0);
        // That there is one can be seen from the start.
        check(&[("buildPhase", "make"), ("installFlags", "x")], 0);
        assert_eq!(base[0].command.env.get(b"installPhase".as_slice()).map(Vec::as_slice), Some(HIDDEN));
        assert_eq!(base[0].command.env.get(b"installFlags".as_slice()), None);
        assert_eq!(base[3].command.env[b"installFlags".as_slice()], b"x");
    }

    #[test]
    fn what_is_mentioned_early_is_visible_early() {
        let one = plan(&[("buildPhase", "make $installFlags"), ("installFlags", "x")]);
        let other = plan(&[("buildPhase", "make $installFlags"), ("installFlags", "y")]);
        assert_eq!(same(&one, &other), 0);
        let one = plan(&[("buildPhase", "make myinstallFlags"), ("installFlags", "x")]);
        let other = plan(&[("buildPhase", "make myinstallFlags"), ("installFlags", "y")]);
        assert_eq!(same(&one, &other), 3);
    }

    #[test]
    fn a_late_variable_that_is_set_is_noticed() {
        let planned = plan(&[("installPhase", "a"), ("installFlags", "x")]);
        let check = |script: &str, expect: Option<&str>| {
            let found = touched(&planned[0], script.as_bytes());
            assert_eq!(found.as_deref(), expect.map(str::as_bytes), "{script}");
        };
        check("declare -x installPhase=\"exit 97\"\ndeclare -- installFlagsOther=\"1\"\n", None);
        check("declare -x installPhase=\"mine\"\n", Some("installPhase"));
        check("declare -a installFlags=([0]=\"a\")\n", Some("installFlags"));
        check("declare -x installFlags\n", Some("installFlags"));
    }
}
