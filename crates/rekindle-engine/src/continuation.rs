//! What one build of a derivation takes from earlier ones, and what it leaves for later ones.
//!
//! Whatever is wrong with a checkpoint is told in a line and costs time, never the build.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use rekindle_layers::{ChangeKind, LayerId, Survey, survey};
use rekindle_nix::Derivation;
use rekindle_plan::{Placement, RecipeKey, Seedable, StepList, Unusable, Verdict};

use crate::attempt::{Attempt, Mode, phases_with_args};
use crate::base::Base;
use crate::canary;
use crate::checkpoint::{NamedBase, Record, boot_id, new_id};
use crate::error::Error;
use crate::event::{Event, Taken};
use crate::job::Job;
use crate::mounted::Mounted;
use crate::outputs::Installed;
use crate::provenance::Provenance;
use crate::recipes::Recipes;
use crate::scratch::{OutputPaths, placed};
use crate::tree::{Layer, Stack};
use crate::world::World;

/// After so many layers of a source all of it is written again.
const MOST_SOURCE_LAYERS: usize = 40;

impl Job<'_> {
    pub(crate) fn recipes<'w>(
        &'w self,
        world: &'w World<'w>,
        moved: &[OutputPaths],
        mode: Mode,
    ) -> Recipes<'w> {
        let kernel = fs::read("/proc/sys/kernel/osrelease").unwrap_or_default();
        Recipes {
            placed: placed(self.drv(), moved, world.store.store_dir(), Placement::Scratch),
            sight: self.options.sight.filter(|_| mode.late && mode.is_kept()),
            system: &self.drv().system,
            builder: &self.drv().builder,
            toolchain: world.toolchain,
            inputs: world.inputs,
            cores: world.cores,
            kernel,
        }
    }

    /// What the build starts from. Whatever is wrong with checkpoints, there is still the clean build.
    pub(crate) fn choose_base(
        &self,
        recipes: &Recipes<'_>,
        mounted: Option<&Mounted>,
    ) -> Result<Base, Unusable> {
        let (package, system) = self.package();
        let (found, wrong) = self.engine.checkpoints().of_package(&package, &system, self.engine.layers());
        for message in wrong {
            self.tell(Event::Warning { message });
        }
        let sources = mounted.map(|mounted| &*mounted.manifest);
        let complain = |message| self.tell(Event::Warning { message });
        let wanted = |phases: &[String]| wanted(recipes, phases);
        let base = Base::choose(found, self.engine.layers(), sources, wanted, &complain);
        if let Ok(base) = &base {
            self.warn_of_clock(base);
        }
        base
    }

    /// The base that the user named, if it is of this package.
    pub(crate) fn named_base(&self) -> Option<&NamedBase> {
        let named = self.options.base.as_ref();
        named.filter(|named| self.package() == (named.package.clone(), named.system.clone()))
    }

    /// Takes the base that the user named, or says why that cannot be, and what to do.
    pub(crate) fn take_named(
        &self,
        named: &NamedBase,
        keeps: bool,
        recipes: &Recipes<'_>,
    ) -> Result<Base, String> {
        let NamedBase { id, package, system } = named;
        let refused = |why: &dyn std::fmt::Display| {
            format!("the checkpoint {id} cannot be its base: {why}; without --from the best one is chosen")
        };
        if !keeps {
            return Err(refused(&"its phases do not run one by one"));
        }
        let (found, _) = self.engine.checkpoints().of_package(package, system, self.engine.layers());
        let base = Base::take(found, self.engine.layers(), id, |phases| wanted(recipes, phases).0)
            .map_err(|why| refused(&why))?;
        self.warn_of_clock(&base);
        Ok(base)
    }

    fn warn_of_clock(&self, base: &Base) {
        if base.mark.is_none() {
            let message = format!(
                "the clock is behind the files of the checkpoint {}; nothing goes on from it",
                base.id
            );
            self.tell(Event::Warning { message });
        }
    }

    /// The layers of the mounted source: those of the base, with what differs on top.
    pub(crate) fn source_layers(&self, mounted: &Mounted, base: Option<&Base>) -> Result<Stack, Error> {
        let layers = self.engine.layers();
        if let Some(base) = base
            && let Some(manifest) = &base.manifest
            && base.source.len() < MOST_SOURCE_LAYERS
            && base.source_dir.as_deref() == Some(mounted.dir.as_path())
        {
            if manifest.root() == mounted.manifest.root() {
                return Ok(base.source.clone());
            }
            let draft = mounted.capture(layers, Some(manifest))?;
            return Ok([Layer::draft(draft)].into_iter().chain(base.source.iter().cloned()).collect());
        }
        Ok(vec![Layer::draft(mounted.capture(layers, None)?)])
    }

    /// Keeps what the steps left, and returns whether it did. That it could not be kept is no reason for a build to fail.
    pub(crate) fn checkpoint(
        &self,
        attempt: &Attempt<'_>,
        mounted: Option<&Mounted>,
        failed: Option<String>,
    ) -> bool {
        if !attempt.has_kept() {
            return false;
        }
        if let Err(error) = self.keep(attempt, mounted, failed) {
            let message = format!("no checkpoint was made: {}", error.one_line());
            self.tell(Event::Warning { message });
            return false;
        }
        true
    }

    /// Makes a checkpoint of what the steps left, and returns its identity.
    pub(crate) fn keep(
        &self,
        attempt: &Attempt<'_>,
        mounted: Option<&Mounted>,
        failed: Option<String>,
    ) -> Result<String, Error> {
        let nothing = || Error::environment("the steps left nothing that can be kept");
        let (record, traces) = attempt.keep()?.ok_or_else(nothing)?;
        let (package, system) = self.package();
        let record = Record {
            id: new_id()?,
            package,
            system,
            drv: self.drv_path().base_name().to_owned(),
            failed,
            created: canary::now(),
            boot: boot_id(),
            source_dir: mounted.map(|mounted| mounted.paths.final_path.name().to_owned()),
            ..record
        };
        let record = Record { surveys: self.surveys(&record, attempt)?, ..record };
        self.engine.checkpoints().write(&record, mounted.map(|mounted| &*mounted.manifest), &traces)?;
        Ok(record.id)
    }

    /// What each layer amounts to: what is known from the base, and what is new surveyed.
    fn surveys(&self, record: &Record, attempt: &Attempt<'_>) -> Result<BTreeMap<LayerId, Survey>, Error> {
        let layers = self.engine.layers();
        let of = |layer: LayerId| match attempt.base_surveys().and_then(|surveys| surveys.get(&layer)) {
            Some(known) => Ok((layer, *known)),
            None => Ok((layer, survey(&layers.path(layer))?)),
        };
        record.layers().into_iter().map(of).collect()
    }

    pub(crate) fn tell_taken(&self, attempt: &Attempt<'_>, verdicts: &[Verdict]) {
        let Some((base, changes)) = attempt.taken() else { return };
        let count = |verdict| verdicts.iter().filter(|other| **other == verdict).count();
        let kinds = |kind| changes.iter().filter(|change| change.kind == kind).count();
        let taken = Taken {
            base: base.to_owned(),
            added: kinds(ChangeKind::Added),
            changed: kinds(ChangeKind::Changed),
            removed: kinds(ChangeKind::Removed),
            reused: count(Verdict::Reuse),
            skipped: count(Verdict::Skip),
            seeded: count(Verdict::Seed),
            ran: count(Verdict::Run),
        };
        self.tell(Event::Taken { drv: self.drv_path().clone(), taken });
    }

    /// Writes down how each output came about that is new. What was built with another in its place is wrong.
    pub(crate) fn note_provenance(
        &self,
        installed: &Installed,
        attempt: &Attempt<'_>,
        verdicts: &[Verdict],
    ) -> Result<(), Error> {
        let is_clean = verdicts.iter().all(|verdict| *verdict == Verdict::Run);
        let provenance = match attempt.base_id() {
            Some(base) if !is_clean => Provenance::Incremental { base: base.to_owned() },
            _ => Provenance::Clean,
        };
        let noted = self.engine.provenances();
        if installed.has_changed {
            let known = installed.replaced.iter().filter_map(|output| noted.read(output));
            let bases: BTreeSet<String> = known.filter_map(|was| was.base().map(str::to_owned)).collect();
            for base in bases {
                self.engine.refute_users(self.drv_path(), &base)?;
            }
        }
        installed.paths().try_for_each(|output| noted.write(output, &provenance))
    }

    /// What checkpoints are of: the package, whatever its version, and the platform.
    pub(crate) fn package(&self) -> (String, String) {
        package_of(self.drv())
    }
}

/// What the checkpoints of a derivation are of.
pub(crate) fn package_of(drv: &Derivation) -> (String, String) {
    let name = drv.env.get(b"pname".as_slice()).or_else(|| drv.env.get(b"name".as_slice()));
    let name = name.map(|name| String::from_utf8_lossy(name).into_owned());
    let system = String::from_utf8_lossy(&drv.system).into_owned();
    (name.unwrap_or_else(|| drv.name.to_string()), system)
}

/// The keys of all steps before the outputs move, if the set-up finds these phases, and how many of them decide.
fn wanted(recipes: &Recipes<'_>, phases: &[String]) -> (Vec<RecipeKey>, usize) {
    let planned = recipes.plan(phases_with_args(phases));
    let list = StepList::phased(phases, false);
    let scratch = list.steps().iter().filter(|step| step.placement == Placement::Scratch).count();
    let keys = planned.iter().take(scratch + 1).map(|planned| planned.key).collect();
    (keys, (list.decisive(&Seedable::default()) + 1).min(scratch + 1))
}
