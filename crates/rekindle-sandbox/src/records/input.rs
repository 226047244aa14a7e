//! What a command as a whole took from the world that it found.

use std::collections::HashMap;

use super::{PathId, Records, Touch};

/// What a command as a whole observed of what was there before it, and what it changed. Each list is sorted by id.
///
/// A thing that one of its processes made and another one read is no input, and is listed as changed only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inputs {
    /// Files whose content was read, or that were executed.
    pub opened: Vec<PathId>,
    /// Directories that were listed.
    pub listed: Vec<PathId>,
    /// What was found to be there, without its content; symbolic links that were followed among it.
    pub present: Vec<PathId>,
    /// What was looked for and was not there.
    pub absent: Vec<PathId>,
    /// What was made, changed, removed or given other attributes.
    pub changed: Vec<PathId>,
}

impl Records {
    /// What the command as a whole took from the world that it found, and what it changed.
    pub fn inputs(&self) -> Inputs {
        // When each path was first changed by anyone; other rights or times make nothing another input.
        let mut first_change: HashMap<PathId, u32> = HashMap::new();
        for access in self.processes.iter().flat_map(|process| &process.accesses) {
            if access.changed != 0 {
                let at = first_change.entry(access.path).or_insert(access.changed);
                *at = (*at).min(access.changed);
            }
        }
        let mut inputs = Inputs::default();
        for access in self.processes.iter().flat_map(|process| &process.accesses) {
            if access.touch.changes() {
                inputs.changed.push(access.path);
            }
            let changed = first_change.get(&access.path).copied().unwrap_or(u32::MAX);
            if access.observed == 0 || access.observed > changed {
                continue;
            }
            for (touch, list) in [
                (Touch::READ | Touch::EXECUTED | Touch::UPDATED, &mut inputs.opened),
                (Touch::LISTED, &mut inputs.listed),
                (Touch::PRESENT | Touch::FOLLOWED, &mut inputs.present),
                (Touch::ABSENT, &mut inputs.absent),
            ] {
                if access.touch.any(touch) {
                    list.push(access.path);
                }
            }
        }
        for list in [
            &mut inputs.opened,
            &mut inputs.listed,
            &mut inputs.present,
            &mut inputs.absent,
            &mut inputs.changed,
        ] {
            list.sort_unstable();
            list.dedup();
        }
        inputs
    }
}
