//! The recipes of a makefile, by what they make.

use std::collections::{BTreeSet, HashMap};

use super::lines::{self, Kind};

/// What a makefile does to make each of its targets.
#[derive(Debug, Default)]
pub(crate) struct Recipes {
    /// In the order of the makefile.
    texts: Vec<Vec<u8>>,
    /// Where those are by which this is made.
    by_target: HashMap<Vec<u8>, Vec<usize>>,
}

impl Recipes {
    pub(crate) fn read(content: &[u8]) -> Recipes {
        let mut recipes = Recipes::default();
        let mut has_rule = false;
        for (kind, line) in lines::lines(content) {
            match kind {
                Kind::Recipe => {
                    if let Some(text) = recipes.texts.last_mut().filter(|_| has_rule) {
                        text.extend_from_slice(&line);
                    }
                }
                Kind::Rule => {
                    recipes.add(&line);
                    has_rule = true;
                }
                Kind::Other => {}
            }
        }
        recipes
    }

    fn add(&mut self, rule: &[u8]) {
        let (targets, rest) = rule.split_at(lines::end_of_targets(rule));
        for target in targets.split(u8::is_ascii_whitespace).filter(|target| !target.is_empty()) {
            self.by_target.entry(target.to_owned()).or_default().push(self.texts.len());
        }
        let beside = lines::outside_of_calls(rest).find(|at| rest[*at] == b';');
        self.texts.push(beside.map_or(&[][..], |at| &rest[at..]).to_vec());
    }

    /// The recipe for what lies at `path`, wherever the makefile is read; `None` if it has no rule for it.
    pub(crate) fn of(&self, path: &[u8]) -> Option<Vec<u8>> {
        let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at + 1);
        let names = std::iter::once(0).chain(slashes).map(|start| &path[start..]);
        let found: BTreeSet<usize> =
            names.filter_map(|name| self.by_target.get(name)).flatten().copied().collect();
        (!found.is_empty()).then(|| found.into_iter().flat_map(|at| self.texts[at].iter().copied()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recipe_of_a_target_is_its_own() {
        let content = b"a/b.o: flags\n\tcc one\n\tcc two\n\nc.txt: x\nc.txt: y\n\tgen\nall: a/b.o\n";
        let recipes = Recipes::read(content);
        let recipe =
            |path: &str| recipes.of(path.as_bytes()).map(|text| String::from_utf8(text).expect("text"));
        assert_eq!(recipe("build/a/b.o").as_deref(), Some("\tcc one\tcc two"));
        assert_eq!(recipe("build/c.txt").as_deref(), Some("\tgen"));
        assert_eq!(recipe("all").as_deref(), Some(""));
        assert_eq!(recipe("build/xb.o"), None);
        let content = b"a \\\n\tb: c ; one\n\ttwo \\\nthree: 3\n\tfour\nA = \\\n\tb\n";
        assert_eq!(Recipes::read(content).of(b"a").as_deref(), Some(&b"; one\ttwo  three: 3\tfour"[..]));
    }
}
