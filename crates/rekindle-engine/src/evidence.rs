//! What the audit asks of the trees, answered from their layers.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::PathBuf;
use std::rc::Rc;

use rekindle_layers::FileType;
use rekindle_plan::SourceChange;
use rekindle_plan::audit::{Advice, Call, Facts, LeftNames};
use rekindle_plan::trace::name_of;

use crate::depfile;
use crate::error::Error;
use crate::makefile::{self, Makefile, Prerequisites, Recipes};
use crate::ninja::{self, Instructions};
use crate::tree::Changes;
use crate::tree_reader::{TreeReader, same_content};

/// The trees of a seeded step.
pub(crate) struct Trees {
    /// What the step starts from today.
    before: TreeReader,
    /// What the checkpoint's step left, and then what each round left.
    after: Vec<TreeReader>,
    /// How the last differs from each of those before it; and from the first also what is another before the step, even where
    /// the step has then made of it what is there now, or has removed it: who looked at it earlier saw something else.
    changed: Vec<Vec<SourceChange>>,
    /// What was changed before each round.
    prepared: Vec<BTreeSet<Vec<u8>>>,
    /// The makefiles that were read, as they were then. `None` is one that cannot be read any more.
    makefiles: RefCell<HashMap<Vec<u8>, Option<Rc<Makefile>>>>,
    /// The recipes of makefiles in the trees after rounds. `None` are those of one that is there and cannot be read.
    recipes: RefCell<HashMap<InRound, Option<Rc<Recipes>>>>,
    /// What makefiles say of recipes that speak of all that they make something from.
    prerequisites: RefCell<HashMap<Vec<u8>, Option<Rc<Prerequisites>>>>,
    ninjas: Ninjas,
}

/// A file of the tree after a round.
type InRound = (usize, Vec<u8>);

/// What ninjas were found to be told, in the trees of one step: what its later audits ask again was read by an earlier one.
#[derive(Clone, Default)]
pub(crate) struct Ninjas(Rc<RefCell<HashMap<NinjaKey, Vec<InDirectory>>>>);

/// The round whose tree it is, and a digest of the arguments.
type NinjaKey = (usize, [u8; 32]);

/// A directory in which such a ninja runs, and what it is told there.
type InDirectory = (Vec<u8>, Rc<Instructions>);

impl Trees {
    /// `after` are the stacks that the checkpoint's step and each round left, `prepared` what was changed before each round, `sources`
    /// what is another before the step than it was then. `ninjas` has to be of the same stacks.
    pub(crate) fn new(
        before: &[PathBuf],
        after: &[Vec<PathBuf>],
        prepared: &[BTreeSet<Vec<u8>>],
        sources: &[SourceChange],
        ninjas: &Ninjas,
    ) -> Result<Trees, Error> {
        let (last, earlier) = after.split_last().expect("there is what the checkpoint's step left");
        let changed = earlier.iter().map(|stack| Ok(Changes::between(stack, last)?.into_seen()));
        let mut changed = changed.collect::<Result<Vec<_>, Error>>()?;
        if let Some(first) = changed.first_mut() {
            let known: HashSet<&[u8]> = first.iter().map(|change| &change.path[..]).collect();
            let is_new = |change: &&SourceChange| !known.contains(&change.path[..]);
            let others: Vec<SourceChange> = sources.iter().filter(is_new).cloned().collect();
            first.extend(others);
        }
        ninjas.keep_rounds([0, after.len() - 1]);
        Ok(Trees {
            before: TreeReader::open(before)?,
            after: after.iter().map(|stack| TreeReader::open(stack)).collect::<Result<_, _>>()?,
            changed,
            prepared: prepared.to_vec(),
            makefiles: RefCell::default(),
            recipes: RefCell::default(),
            prerequisites: RefCell::default(),
            ninjas: ninjas.clone(),
        })
    }

    fn last(&self) -> &TreeReader {
        self.after.last().expect("there is what the checkpoint's step left")
    }
}

impl Facts for Trees {
    fn changed_since(&self, round: usize) -> &[SourceChange] {
        &self.changed[round]
    }

    fn was_prepared(&self, round: usize, path: &[u8]) -> bool {
        self.prepared[round - 1].contains(path)
    }

    fn is_source(&self, round: usize, path: &[u8]) -> bool {
        let trees = [&self.after[round], &self.before];
        match trees.map(|tree| tree.metadata(path)) {
            [Some(a), Some(b)] if a.file_type == b.file_type && a.mode == b.mode => match a.file_type {
                FileType::Directory => true,
                FileType::File => a.size == b.size && same_content(trees, path),
                FileType::Symlink => {
                    let [a, b] = trees.map(|tree| tree.read_link(path));
                    a.is_some() && a == b
                }
                _ => false,
            },
            _ => false,
        }
    }

    fn exists(&self, path: &[u8]) -> bool {
        self.last().metadata(path).is_some()
    }

    fn existed(&self, round: usize, path: &[u8]) -> bool {
        self.after[round].metadata(path).is_some()
    }

    fn is_directory(&self, path: &[u8]) -> bool {
        self.last().metadata(path).is_some_and(|metadata| metadata.file_type == FileType::Directory)
    }

    fn names_in(&self, path: &[u8]) -> Vec<Vec<u8>> {
        // In what cannot be listed there may be anything.
        let unknown = vec![b"?".to_vec()];
        self.last().names(path).unwrap_or(unknown)
    }

    fn is_empty(&self, path: &[u8]) -> bool {
        self.last()
            .metadata(path)
            .is_some_and(|metadata| metadata.file_type == FileType::File && metadata.size == 0)
    }

    fn has_same_mode(&self, round: usize, path: &[u8]) -> bool {
        let [then, now] = [&self.after[round], self.last()].map(|tree| tree.metadata(path));
        matches!((then, now), (Some(then), Some(now)) if then.mode == now.mode)
    }

    fn is_in_sources(&self, path: &[u8]) -> bool {
        self.before.metadata(path).is_some()
    }

    fn is_book(&self, path: &[u8]) -> bool {
        depfile::is_book_of_cmake(path)
    }

    fn advice(&self, round: usize, path: &[u8]) -> Option<Advice> {
        match self.after[round].content(path) {
            Some(content) => depfile::advice(&content),
            // What is there and no file can be anything.
            None => (!self.existed(round, path)).then(Advice::default),
        }
    }

    fn reads_alike(&self, path: &[u8]) -> bool {
        let texts = || [&self.after[0], self.last()].map(|tree| tree.text(path));
        makefile::is_makefile(path)
            && matches!(texts(), [Some(then), Some(now)] if makefile::are_alike(&then, &now))
    }

    fn says_what_is_newer(&self, makefiles: &[&[u8]]) -> bool {
        let says = |makefile: &&[u8]| {
            self.last().text(makefile).is_none_or(|text| makefile::says_what_is_newer(&text))
        };
        makefiles.iter().any(says)
    }

    fn speaks_of_prerequisites(&self, makefiles: &[&[u8]], names: &[&[u8]]) -> bool {
        let read: Option<Vec<_>> = makefiles.iter().map(|makefile| self.prerequisites(makefile)).collect();
        // One that cannot be read may say anything.
        read.is_none_or(|read| makefile::speak_of(&read, names))
    }

    fn has_other_recipe(&self, makefiles: &[&[u8]], path: &[u8]) -> bool {
        let has_other = |makefile: &&[u8]| {
            match [0, self.after.len() - 1].map(|round| self.recipes(round, makefile)) {
                [Some(then), Some(now)] => then.of(path) != now.of(path),
                // One that cannot be read may say anything.
                _ => true,
            }
        };
        makefiles.iter().any(has_other)
    }

    fn tells_ninja(&self, round: usize, call: Call<'_>, path: &[u8]) -> bool {
        let instructions = self.instructions(round, call);
        // As long as they are not known, all that it looked at then may have told it.
        instructions.are_by(path) || (round == 0 && !instructions.are_known())
    }

    fn is_asked_of_ninja(&self, call: Call<'_>, path: &[u8]) -> bool {
        self.instructions(self.after.len() - 1, call).keep_up(&self.instructions(0, call), path)
    }

    fn is_meant(&self, makefiles: &[&[u8]], path: &[u8], made: &LeftNames<'_>) -> bool {
        let name = name_of(path);
        // Nobody says these. Which makefile was found first is not known, nor is where a make went (`-C`).
        if makefile::DEFAULTS.contains(&name) {
            return true;
        }
        let is_directory = [&self.after[0], self.last()].iter().any(|tree| {
            // A link may lead to one.
            tree.metadata(path).is_some_and(|metadata| metadata.file_type != FileType::File)
        });
        let may_mean = |path: &&[u8]| {
            // One that cannot be read any more may have said anything.
            self.makefile(path).is_none_or(|makefile| makefile.may_mean(name, is_directory, made))
        };
        // Some things are made without any.
        Makefile::default().may_mean(name, is_directory, made) || makefiles.iter().any(may_mean)
    }

    fn asked_for<'p>(&self, makefiles: &[&[u8]], paths: &[&'p [u8]]) -> Option<&'p [u8]> {
        let read: Option<Vec<_>> = makefiles.iter().map(|makefile| self.makefile(makefile)).collect();
        // One that cannot be read may ask for anything.
        let Some(read) = read else { return paths.first().copied() };
        let asks_for_variables = read.iter().any(|makefile| makefile.asks_for_variables());
        let is_asked_for = |path: &&&[u8]| {
            // What one puts into a variable another may ask for.
            let is_said = || read.iter().any(|makefile| makefile.says(name_of(path)));
            read.iter().any(|makefile| makefile.asks_for(path)) || (asks_for_variables && is_said())
        };
        paths.iter().find(is_asked_for).copied()
    }
}

impl Trees {
    /// What a makefile was then. It is asked for each name and each make.
    fn makefile(&self, path: &[u8]) -> Option<Rc<Makefile>> {
        let read = || self.after[0].text(path).map(|text| Rc::new(Makefile::read(&text)));
        self.makefiles.borrow_mut().entry(path.to_vec()).or_insert_with(read).clone()
    }

    /// The recipes of a makefile in the tree after this round. They are asked for each product.
    fn recipes(&self, round: usize, path: &[u8]) -> Option<Rc<Recipes>> {
        let read = || match self.after[round].text(path) {
            Some(text) => Some(Rc::new(Recipes::read(&text))),
            None => (!self.existed(round, path)).then(Rc::default),
        };
        self.recipes.borrow_mut().entry((round, path.to_vec())).or_insert_with(read).clone()
    }

    /// What a makefile says of recipes that speak of all that they make something from. It is asked for each list of a compiler.
    fn prerequisites(&self, path: &[u8]) -> Option<Rc<Prerequisites>> {
        let read = || {
            let text = [self.last(), &self.after[0]].into_iter().find_map(|tree| tree.text(path));
            text.map(|text| Rc::new(Prerequisites::read(&text)))
        };
        self.prerequisites.borrow_mut().entry(path.to_vec()).or_insert_with(read).clone()
    }

    /// What a ninja that is called so is told in the tree after this round.
    fn instructions(&self, round: usize, call: Call<'_>) -> Rc<Instructions> {
        self.ninjas.told(round, call, || {
            let read = |path: &[u8]| self.after[round].content_up_to(path, ninja::MOST_TEXT as u64);
            Instructions::new(call.exec.argv.iter(), call.cwd, &read)
        })
    }
}

impl Ninjas {
    /// Forgets all that is not of the trees after these rounds.
    fn keep_rounds(&self, rounds: [usize; 2]) {
        self.0.borrow_mut().retain(|(round, _), _| rounds.contains(round));
    }

    /// What a ninja is told in the tree after this round. It is asked for each path that somebody looked at.
    fn told(&self, round: usize, call: Call<'_>, read: impl FnOnce() -> Instructions) -> Rc<Instructions> {
        let mut ninjas = self.0.borrow_mut();
        let known = ninjas.entry((round, call.exec.argv_digest)).or_default();
        if let Some((_, found)) = known.iter().find(|(cwd, _)| cwd == call.cwd) {
            return Rc::clone(found);
        }
        let found = Rc::new(read());
        known.push((call.cwd.to_vec(), Rc::clone(&found)));
        found
    }
}
