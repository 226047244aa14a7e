//! The layers that a build has in its hands: its own, which are drafts until a checkpoint keeps them, and those of the
//! checkpoint that it began from.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rekindle_layers::{
    Cursor, Draft, FileType, LayerId, LayerStore, Survey, Timestamp, TreeChange, TreeChangeKind, View,
    difference, runs_to_squash, squash, survey,
};
use rekindle_plan::{ChangeKind, Effect, How, Observations, ObservationsBuilder, Seen, SourceChange};
use rekindle_sandbox::Observed;

use crate::error::Error;
use crate::mounted::Mounted;
use crate::observing::open_all;
use crate::world::{TREE_BUILD, TREE_TMP};

/// A stack of layers, topmost first.
pub(crate) type Stack = Vec<Rc<Layer>>;

/// One layer. Nothing writes to it any more.
pub(crate) struct Layer(RefCell<Slot>);

enum Slot {
    Draft(Draft),
    Kept(LayerId, PathBuf),
    /// Its commit failed.
    Lost(PathBuf),
}

impl Layer {
    pub(crate) fn draft(draft: Draft) -> Rc<Layer> {
        Rc::new(Layer(RefCell::new(Slot::Draft(draft))))
    }

    /// Where it lies now.
    pub(crate) fn path(&self) -> PathBuf {
        match &*self.0.borrow() {
            Slot::Draft(draft) => draft.upper().to_owned(),
            Slot::Kept(_, path) | Slot::Lost(path) => path.clone(),
        }
    }

    /// Where it lies, as long as nothing keeps it.
    pub(crate) fn draft_path(&self) -> Option<PathBuf> {
        match &*self.0.borrow() {
            Slot::Draft(draft) => Some(draft.upper().to_owned()),
            Slot::Kept(..) | Slot::Lost(_) => None,
        }
    }

    /// What it takes on disk. `known` are those that were measured.
    fn size(&self, known: Option<&BTreeMap<LayerId, Survey>>) -> u64 {
        if let Slot::Kept(id, _) = &*self.0.borrow()
            && let Some(survey) = known.and_then(|known| known.get(id))
        {
            return survey.bytes;
        }
        // One that cannot be measured is left alone: it is larger than all others.
        survey(&self.path()).map_or(u64::MAX / 4, |survey| survey.bytes)
    }

    /// Keeps it beyond the end of the build.
    pub(crate) fn keep(&self, layers: &LayerStore) -> Result<LayerId, Error> {
        let mut slot = self.0.borrow_mut();
        let lost = match &*slot {
            Slot::Kept(id, _) => return Ok(*id),
            Slot::Draft(draft) => Slot::Lost(draft.upper().to_owned()),
            Slot::Lost(path) => {
                return Err(Error::environment(format!("the layer {} is gone", path.display())));
            }
        };
        let Slot::Draft(draft) = std::mem::replace(&mut *slot, lost) else {
            unreachable!("it was a draft a moment ago")
        };
        let id = draft.commit()?;
        *slot = Slot::Kept(id, layers.path(id));
        Ok(id)
    }
}

impl fmt::Debug for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Layer({})", self.path().display())
    }
}

/// Opens the layers of a checkpoint, each once however many stacks it is in.
#[derive(Debug, Default)]
pub(crate) struct Opened(BTreeMap<LayerId, Rc<Layer>>);

impl Opened {
    pub(crate) fn stack(&mut self, ids: &[LayerId], layers: &LayerStore) -> Stack {
        let open = |id: &LayerId| {
            let new = || Rc::new(Layer(RefCell::new(Slot::Kept(*id, layers.path(*id)))));
            Rc::clone(self.0.entry(*id).or_insert_with(new))
        };
        ids.iter().map(open).collect()
    }
}

/// The directories of a stack, with `base` below all.
pub(crate) fn paths(stack: &[Rc<Layer>], base: &Path) -> Vec<PathBuf> {
    let mut paths = layer_paths(stack);
    paths.push(base.to_owned());
    paths
}

/// The directories of a stack by itself, topmost first.
pub(crate) fn layer_paths(stack: &[Rc<Layer>]) -> Vec<PathBuf> {
    stack.iter().map(|layer| layer.path()).collect()
}

/// How many layers of about the same size a checkpoint may have on top of each other. Each is one more place to look into
/// for who looks for a name, in the sandbox too.
const MOST_ALIKE: usize = 16;

/// And how many of those that are written again faster than they are looked into: such as changed sources.
const MOST_SMALL: usize = 4;
const SMALL: u64 = 1 << 20;

fn most_alike(size: u64) -> usize {
    if size <= SMALL { MOST_SMALL } else { MOST_ALIKE }
}

/// Makes one layer of many small ones, in all stacks alike, so that a chain of builds goes on at the same speed however
/// long it is. Those that are `pinned` stay, as do all if it fails: it is for speed alone.
pub(crate) fn shorten(
    stacks: &mut [&mut Stack],
    pinned: &[Rc<Layer>],
    surveys: Option<&BTreeMap<LayerId, Survey>>,
    layers: &LayerStore,
) {
    let mut known: HashMap<*const Layer, Rc<Layer>> = HashMap::new();
    let mut names: Vec<Vec<*const Layer>> = Vec::with_capacity(stacks.len());
    for stack in &*stacks {
        known.extend(stack.iter().map(|layer| (Rc::as_ptr(layer), Rc::clone(layer))));
        names.push(stack.iter().map(Rc::as_ptr).collect());
    }
    let names: Vec<&[*const Layer]> = names.iter().map(Vec::as_slice).collect();
    let is_pinned = |name| pinned.iter().any(|layer| Rc::as_ptr(layer) == name);
    for run in runs_to_squash(&names, most_alike, is_pinned, |name| known[&name].size(surveys)) {
        let parts: Vec<PathBuf> = run.iter().map(|name| known[name].path()).collect();
        let Ok(draft) = layers.begin() else { continue };
        if squash(&parts, &draft).is_err() {
            continue;
        }
        let whole = Layer::draft(draft);
        for stack in &mut *stacks {
            if let Some(at) = stack.iter().position(|layer| Rc::as_ptr(layer) == run[0]) {
                stack.splice(at..at + run.len(), [Rc::clone(&whole)]);
            }
        }
    }
}

/// What differs between two stacks of directories.
pub(crate) struct Changes {
    pub(crate) tree: Vec<TreeChange>,
    /// The same, as a step may have seen it.
    seen: Vec<SourceChange>,
}

impl Changes {
    pub(crate) fn between(then: &[PathBuf], now: &[PathBuf]) -> Result<Changes, Error> {
        if then == now {
            return Ok(Changes { tree: Vec::new(), seen: Vec::new() });
        }
        let tree = difference(then, now, Path::new(""))?;
        let mut views = [cursor(then)?, cursor(now)?];
        let mut seen = Vec::with_capacity(tree.len());
        for change in &tree {
            let kind = match change.kind {
                TreeChangeKind::Added => ChangeKind::Added,
                TreeChangeKind::Removed => ChangeKind::Removed,
                // That is seen without opening it, too.
                TreeChangeKind::Content if looks_otherwise(&mut views, &change.path)? => ChangeKind::Mode,
                TreeChangeKind::Content => ChangeKind::Content,
                TreeChangeKind::Mode => ChangeKind::Mode,
                TreeChangeKind::Kind => ChangeKind::Kind,
                TreeChangeKind::Target => ChangeKind::Link,
            };
            seen.push(SourceChange { path: change.path.as_os_str().as_encoded_bytes().to_vec(), kind });
        }
        Ok(Changes { tree, seen })
    }

    /// The changes, as a step may have seen them.
    pub(crate) fn seen(&self) -> &[SourceChange] {
        &self.seen
    }

    /// The same.
    pub(crate) fn into_seen(self) -> Vec<SourceChange> {
        self.seen
    }

    /// Whether a changed file would look to whoever keeps sizes and whole seconds, as Python does with what it compiled,
    /// just as it looked before. `now` and `onto` are what the changes come from and go to, `mark` is the time that they
    /// get, and `marks` those that others got.
    pub(crate) fn look_the_same(
        &self,
        now: &[PathBuf],
        onto: &[PathBuf],
        mark: Timestamp,
        marks: &[Timestamp],
    ) -> Result<bool, Error> {
        if !marks.iter().any(|other| other.secs == mark.secs) {
            return Ok(false);
        }
        let (mut now, mut onto) = (cursor(now)?, cursor(onto)?);
        for change in &self.tree {
            let Some(new) = now.metadata(&change.path)? else { continue };
            let looks = match onto.metadata(&change.path)? {
                Some(old) => old.size == new.size && old.mtime.secs == mark.secs,
                // It may have been there, and gone since.
                None => true,
            };
            if looks && new.file_type == FileType::File {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What is to be applied to the tree `onto`, which a step left, for it to run there again on what is there `now`
    /// before it. `/tmp` becomes what it is now: no build tool looks after what it left there.
    pub(crate) fn to_apply(&self, now: &[PathBuf], onto: &[PathBuf]) -> Result<Vec<TreeChange>, Error> {
        let tmp = Path::new(TREE_TMP);
        let others = self.tree.iter().filter(|change| !change.path.starts_with(tmp)).cloned();
        let of_tmp = difference(onto, now, tmp)?.into_iter().map(|change| TreeChange {
            path: tmp.join(change.path).components().collect(),
            kind: change.kind,
        });
        Ok(others.chain(of_tmp).collect())
    }

    /// What they mean for a step that observed this.
    pub(crate) fn effect(&self, observations: &Observations) -> Effect {
        let is_watched = |change: &&SourceChange| {
            [TREE_BUILD, TREE_TMP].iter().any(|dir| {
                let rest = change.path.strip_prefix(dir.as_bytes());
                rest.is_some_and(|rest| rest.first().is_none_or(|byte| *byte == b'/'))
            })
        };
        if let Some(change) = self.seen.iter().find(|change| !is_watched(change)) {
            return Effect::Seen(Seen { change: change.clone(), how: How::Unknown });
        }
        Effect::of(&self.seen, observations)
    }
}

fn cursor(stack: &[PathBuf]) -> Result<Cursor, Error> {
    Ok(Cursor::new(View::of_layers(stack, Path::new(""))?))
}

/// Whether a file with other content has another mode as well, or is empty in one of the trees (`test -s`).
fn looks_otherwise([then, now]: &mut [Cursor; 2], path: &Path) -> Result<bool, Error> {
    Ok(match (then.metadata(path)?, now.metadata(path)?) {
        (Some(then), Some(now)) => then.mode != now.mode || then.size == 0 || now.size == 0,
        _ => true,
    })
}

/// What a step observed, from what the sandbox saw and from the layer that it left.
pub(crate) fn observations(
    observed: Option<&Observed>,
    upper: &Path,
    source: Option<(&Mounted, &Path)>,
) -> Result<Observations, Error> {
    let Some(observed) = observed.filter(|observed| observed.complete) else {
        return Ok(Observations::everything());
    };
    let mut builder = ObservationsBuilder::new();
    // Whether a file is there, where a link leads, which mode it has: nobody watches who asks.
    builder.presence_not_watched();
    let in_tree = |path: &Path| -> PathBuf {
        // The source lies in two places, and both count as the one in the build directory.
        let mounted = source.and_then(|(mounted, at)| Some(mounted.dir.join(path.strip_prefix(at).ok()?)));
        let inside = mounted.unwrap_or_else(|| path.strip_prefix("/").unwrap_or(path).to_owned());
        // An empty rest leaves a slash at the end.
        inside.components().collect()
    };
    for path in observed.opened.iter().chain(&observed.written) {
        builder.opened(in_tree(path).as_os_str().as_encoded_bytes());
    }
    for path in &observed.listed {
        builder.listed(in_tree(path).as_os_str().as_encoded_bytes());
    }
    open_all(upper, &mut builder)?;
    Ok(builder.finish())
}

/// The newest time in a layer, and in what is below it.
pub(crate) fn newest(upper: &Path, below: Timestamp) -> Result<Timestamp, Error> {
    Ok(rekindle_layers::newest_mtime(upper)?.max(below))
}
