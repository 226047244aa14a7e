//! Checks of derivations: that they can be read, that their outputs follow from them, and are recorded so.

use std::collections::BTreeMap;

use super::Problem;
use crate::error::{Error, Result};
use crate::info::PathInfo;
use crate::store::Store;

impl Store {
    pub(super) fn verify_derivation(&self, info: &PathInfo, problems: &mut Vec<Problem>) -> Result<()> {
        let drv = &info.path;
        let derivation = match self.parse_derivation(drv) {
            Ok(derivation) => derivation,
            Err(error) => {
                problems.push(Problem::BadDerivation { drv: drv.clone(), why: chain(&error) });
                return Ok(());
            }
        };
        let references = derivation.references();
        for reference in references.iter().filter(|reference| !info.references.contains(**reference)) {
            problems
                .push(Problem::UndeclaredReference { path: drv.clone(), reference: (*reference).clone() });
        }
        if let Err(error) = self.check_outputs(&derivation) {
            problems.push(Problem::WrongOutput { drv: drv.clone(), why: chain(&error) });
        }
        let said: BTreeMap<String, _> = match self.recorded_outputs(drv, &derivation) {
            Ok(outputs) => outputs.into_iter().collect(),
            Err(error) => {
                problems.push(Problem::BadDerivation { drv: drv.clone(), why: chain(&error) });
                return Ok(());
            }
        };
        let recorded = match self.derivation_outputs(drv) {
            Ok(recorded) => recorded,
            Err(error) => {
                let path = self.store_dir().display(drv);
                problems.push(Problem::BadRecord { path, why: chain(&error) });
                return Ok(());
            }
        };
        for (output, path) in &said {
            if recorded.get(output) != Some(path) {
                problems.push(Problem::WrongOutputRecord { drv: drv.clone(), output: output.clone() });
            }
        }
        Ok(())
    }
}

/// An error with its sources, in one line.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
