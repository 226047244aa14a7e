//! From packages to derivations: sources are observed, the toolchain is identified, each package is lowered.
//!
//! Nothing is written to the store here. [`Recipes::offer`] and [`Recipes::commit`] do that, once all is known to be right.

use std::collections::HashMap;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread;

use rekindle_engine::{EmbeddedFile, Engine, Source, Toolchain};
use rekindle_nix::{Derivation, StorePath};
use rekindle_units::cargo::Lock;
use rekindle_units::lower::{Place, Recipe, Resolved, Stdenv, lower};
use rekindle_units::manifest::{self, Fetch, InputFrom};
use rekindle_units::{fetch, setup};

use crate::cli_error::CliError;
use crate::project::{Member, Project};
use crate::session::Session;
use crate::source_rules;
use crate::toolchain::{HostToolchain, host_toolchains};

/// The derivations of a project, and what they are made from.
#[derive(Debug)]
pub(crate) struct Recipes {
    /// One for each member of the project, in its order.
    pub(crate) packages: Vec<Recipe>,
    /// The locks of all Cargo projects.
    pub(crate) locks: Vec<Lock>,
    /// What the user should know.
    pub(crate) warnings: Vec<String>,
    ingredients: Ingredients,
}

/// What packages are made from, beside each other.
#[derive(Debug, Default)]
struct Ingredients {
    sources: Vec<Arc<Source>>,
    /// Fetches and what is made of them, each after what it uses.
    helpers: Vec<Recipe>,
    helper_places: HashMap<StorePath, usize>,
    /// Inputs that the store has already.
    stored: Vec<StorePath>,
    /// What all of this is built with.
    toolchains: Vec<Toolchain>,
}

/// One ingredient, by its place.
#[derive(Debug, Clone, Copy)]
enum Found {
    Source(usize),
    Helper(usize),
    Stored(usize),
    Member(usize),
}

/// What one member is made from.
#[derive(Debug)]
struct Needs {
    source: Option<Found>,
    /// Places among the sources.
    patches: Vec<usize>,
    inputs: Vec<Found>,
    /// A place among the helpers.
    vendor: Option<usize>,
}

impl Recipes {
    /// Lowers all packages of a project.
    pub(crate) fn lower(
        session: &Session<'_>,
        engine: &Engine,
        project: &Project,
    ) -> Result<Recipes, CliError> {
        // Both read many directories, and neither needs the other.
        let (toolchains, observed) = thread::scope(|scope| {
            let observed = scope.spawn(|| observe_sources(engine, &project.members));
            let toolchains = host_toolchains(session, &project.members);
            (toolchains, observed.join().unwrap_or_else(|panic| resume_unwind(panic)))
        });
        let (toolchains, observed) = (toolchains?, observed?);
        let files: Vec<_> = setup::FILES
            .iter()
            .map(|file| EmbeddedFile { path: file.name, contents: file.content, executable: false })
            .collect();
        let setup = engine.embed(setup::STORE_NAME, &files)?;
        let setup_path = setup.path.clone();
        let workshop = Workshop { engine, setup: &setup_path };
        let mut ingredients = Ingredients { sources: vec![Arc::new(setup)], ..Ingredients::default() };
        let members = project.members.iter().zip(observed).enumerate();
        let needs = members
            .map(|(at, (member, source))| ingredients.gather(&workshop, &toolchains[at], member, source));
        let needs: Vec<Needs> = needs.collect::<Result<_, _>>()?;
        let mut packages: Vec<Recipe> = Vec::with_capacity(needs.len());
        for (at, (member, needs)) in project.members.iter().zip(&needs).enumerate() {
            let resolved = ingredients.resolve(needs, &packages);
            let lower = |stdenv: &Stdenv<'_>| lower(stdenv, &member.package, &resolved);
            let (recipe, host) = workshop.settled(&toolchains[at], lower)?;
            packages.push(recipe);
            ingredients.toolchains.push(host);
        }
        let locks = project.members.iter().filter_map(|member| member.lock.clone()).collect();
        let warnings = warnings(project, &needs, &ingredients.sources);
        Ok(Recipes { packages, locks, warnings, ingredients })
    }

    /// The toolchains that they are for.
    pub(crate) fn toolchains(&self) -> &[Toolchain] {
        &self.ingredients.toolchains
    }

    /// Lets the engine build the derivations. The store gets only what builds read from there.
    pub(crate) fn offer(&self, engine: &Engine) -> Result<(), CliError> {
        for source in &self.ingredients.sources {
            engine.offer(Arc::clone(source))?;
        }
        for derivation in self.derivations() {
            engine.offer_derivation(derivation.clone())?;
        }
        Ok(())
    }

    /// Writes sources and derivations to the store, for others to build.
    pub(crate) fn commit(&self, engine: &Engine) -> Result<(), CliError> {
        for source in &self.ingredients.sources {
            engine.ingest(source)?;
        }
        for derivation in self.derivations() {
            engine.add_derivation(derivation)?;
        }
        Ok(())
    }

    fn derivations(&self) -> impl Iterator<Item = &Derivation> {
        self.ingredients.helpers.iter().chain(&self.packages).map(|recipe| &recipe.derivation)
    }
}

impl Ingredients {
    /// Finds out what a member is made from. `observed` is its source, if that lies in the file system.
    fn gather(
        &mut self,
        workshop: &Workshop<'_>,
        host: &HostToolchain,
        member: &Member,
        observed: Option<Source>,
    ) -> Result<Needs, CliError> {
        let (package, engine) = (&member.package, workshop.engine);
        let source = match (&package.source, observed) {
            (manifest::Source::Fetch(fetched), _) => Some(self.fetched(engine, fetched)?),
            (_, observed) => observed.map(|source| Found::Source(self.add_source(source))),
        };
        let mut patches = Vec::with_capacity(package.patches.len());
        for patch in &package.patches {
            let patch = member.dir.join(patch);
            patches.push(self.add_source(engine.observe_file(&source_rules::store_name(&patch), &patch)?));
        }
        let mut inputs = Vec::with_capacity(package.inputs.len());
        for (input, used) in package.inputs.iter().zip(&member.uses) {
            inputs.push(match (&input.from, used) {
                (_, Some(member)) => Found::Member(*member),
                (InputFrom::Fetch(fetched), None) => self.fetched(engine, fetched)?,
                (InputFrom::Store(path), None) if engine.store().is_valid(path)? => {
                    self.stored.push(path.clone());
                    Found::Stored(self.stored.len() - 1)
                }
                (InputFrom::Store(path), None) => {
                    let path = engine.store().store_dir().display(path);
                    return Err(CliError::user(format!(
                        "{} uses {path}, which is not in the store",
                        package.name
                    )));
                }
                (InputFrom::Package(_) | InputFrom::Directory(..), None) => {
                    unreachable!("the project found the member for each package that is used")
                }
            });
        }
        let vendor = match &member.lock {
            Some(lock) if !lock.crates().is_empty() => Some(self.vendor(workshop, host, lock)?),
            _ => None,
        };
        Ok(Needs { source, patches, inputs, vendor })
    }

    fn fetched(&mut self, engine: &Engine, fetched: &Fetch) -> Result<Found, CliError> {
        Ok(Found::Helper(self.add_helper(fetch::url(engine.store().store_dir(), fetched)?)))
    }

    /// Adds the derivations that bring the crates of a lock.
    fn vendor(
        &mut self,
        workshop: &Workshop<'_>,
        host: &HostToolchain,
        lock: &Lock,
    ) -> Result<usize, CliError> {
        let mut places = Vec::with_capacity(lock.crates().len());
        for krate in lock.crates() {
            places.push(self.add_helper(fetch::krate(workshop.engine.store().store_dir(), krate)?));
        }
        let recipes = places.iter().map(|place| &self.helpers[*place]);
        let crates: Vec<_> = lock.crates().iter().zip(recipes).collect();
        let (vendor, host) = workshop.settled(host, |stdenv| fetch::cargo_vendor(stdenv, &crates))?;
        self.toolchains.push(host);
        Ok(self.add_helper(vendor))
    }

    fn resolve<'a>(&'a self, needs: &Needs, packages: &'a [Recipe]) -> Resolved<'a> {
        let place = |found: &Found| match *found {
            Found::Source(at) => Place::Stored(&self.sources[at].path),
            Found::Helper(at) => Place::Made(&self.helpers[at]),
            Found::Stored(at) => Place::Stored(&self.stored[at]),
            Found::Member(at) => Place::Made(&packages[at]),
        };
        Resolved {
            source: needs.source.as_ref().map(place),
            patches: needs.patches.iter().map(|at| &self.sources[*at].path).collect(),
            inputs: needs.inputs.iter().map(place).collect(),
            cargo_vendor: needs.vendor.map(|at| &self.helpers[at]),
        }
    }

    fn add_source(&mut self, source: Source) -> usize {
        self.sources.push(Arc::new(source));
        self.sources.len() - 1
    }

    fn add_helper(&mut self, recipe: Recipe) -> usize {
        *self.helper_places.entry(recipe.path.clone()).or_insert_with(|| {
            self.helpers.push(recipe);
            self.helpers.len() - 1
        })
    }
}

/// What everything is lowered with.
struct Workshop<'a> {
    engine: &'a Engine,
    /// The set-up script.
    setup: &'a StorePath,
}

impl Workshop<'_> {
    /// Lowers something for the identity of the toolchain that its package keeps, and tells which toolchain that is.
    fn settled(
        &self,
        host: &HostToolchain,
        lower: impl Fn(&Stdenv<'_>) -> Result<Recipe, rekindle_units::Error>,
    ) -> Result<(Recipe, Toolchain), rekindle_units::Error> {
        let lower = |host: &HostToolchain| {
            let store_dir = self.engine.store().store_dir();
            lower(&Stdenv { store_dir, system: system(), setup: self.setup, toolchain: &host.facts })
        };
        let recipe = lower(host)?;
        let settled = host.settled(self.engine, &recipe.derivation);
        let recipe = if settled.facts.identity == host.facts.identity { recipe } else { lower(&settled)? };
        Ok((recipe, settled.toolchain))
    }
}

/// The source of each member that lies in the file system.
fn observe_sources(engine: &Engine, members: &[Member]) -> Result<Vec<Option<Source>>, CliError> {
    let observe = |member: &Member| {
        let manifest::Source::Path(path) = &member.package.source else { return Ok(None) };
        let path = member.dir.join(path);
        Ok(Some(if path.is_dir() {
            engine.observe_tree("source", &path, &source_rules::of(member, &path))?
        } else {
            engine.observe_file(&source_rules::store_name(&path), &path)?
        }))
    };
    members.iter().map(observe).collect()
}

fn warnings(project: &Project, needs: &[Needs], sources: &[Arc<Source>]) -> Vec<String> {
    let warning = |(member, needs): (&Member, &Needs)| {
        let Some(Found::Source(at)) = needs.source else { return None };
        let links = &sources[at].escaping_links;
        let first = links.first()?.display();
        Some(match links.len() {
            1 => format!(
                "{}: the link {first} leads out of the source, to where the build sees nothing",
                member.package.name
            ),
            count => format!(
                "{}: {count} links lead out of the source, to where the build sees nothing; the first is {first}",
                member.package.name
            ),
        })
    };
    project.members.iter().zip(needs).filter_map(warning).collect()
}

/// What Nix calls the platform that this program runs on.
fn system() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "x86_64-linux",
        "aarch64" => "aarch64-linux",
        "x86" => "i686-linux",
        "arm" => "armv7l-linux",
        "riscv64" => "riscv64-linux",
        "powerpc64" => "powerpc64le-linux",
        other => other,
    }
}
