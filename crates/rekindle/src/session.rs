//! What every command starts from: the arguments that all have, the environment, and the store.

use std::path::{Path, PathBuf};

use rekindle_engine::{CheckpointStore, Config, Engine};
use rekindle_store::{Mode, Store};

use crate::cli_error::CliError;
use crate::environment::Environment;
use crate::report::shell_word;

/// One call of the program.
#[derive(Debug)]
pub(crate) struct Session<'a> {
    /// The environment.
    pub(crate) environment: &'a Environment,
    store: Option<&'a Path>,
}

impl<'a> Session<'a> {
    /// A call with `--store` as it was given, if it was.
    pub(crate) fn new(environment: &'a Environment, store: Option<&'a Path>) -> Session<'a> {
        Session { environment, store }
    }

    /// The root of the store: absolute, there or not.
    pub(crate) fn store_root(&self) -> Result<PathBuf, CliError> {
        let Environment { home, data_home, .. } = self.environment;
        let root = match (self.store, data_home, home) {
            (Some(store), _, _) if store.as_os_str().is_empty() => {
                return Err(CliError::user("the name of the store is empty")
                    .hint("leave --store out for the default"));
            }
            (Some(store), _, _) => store.to_owned(),
            (None, Some(data), _) => data.join("rekindle"),
            (None, None, Some(home)) => home.join(".local/share/rekindle"),
            (None, None, None) => {
                return Err(CliError::user("there is no place for the store, because HOME is not set")
                    .hint("name one with --store DIR or REKINDLE_STORE"));
            }
        };
        std::path::absolute(&root).map_err(|error| CliError::io("make absolute the path", &root, &error))
    }

    /// A directory of the user's for what may go at any time. It need not be there.
    pub(crate) fn cache_dir(&self) -> Result<PathBuf, CliError> {
        let Environment { home, cache_home, .. } = self.environment;
        let cache = cache_home.clone().or_else(|| Some(home.as_ref()?.join(".cache")));
        match cache {
            Some(cache) => Ok(cache.join("rekindle")),
            // Without a home there is still the store's own directory.
            None => Ok(self.store_root()?.join("cache")),
        }
    }

    /// The engine, on a store that is made if it is not there.
    pub(crate) fn engine(&self) -> Result<Engine, CliError> {
        // The sandbox executes its helper from inside of other directories, as this very program, even if the file was
        // replaced meanwhile.
        let helper = PathBuf::from("/proc/self/exe");
        Ok(Engine::open(Config { store_root: self.store_root()?, helper })?)
    }

    /// The checkpoints. It is an error if there is no store.
    pub(crate) fn checkpoints(&self) -> Result<CheckpointStore, CliError> {
        let store = self.store_to_read()?;
        Ok(CheckpointStore::open(store.root())?)
    }

    /// The store, for queries only. It is an error if there is none.
    pub(crate) fn store_to_read(&self) -> Result<Store, CliError> {
        self.open_existing(Mode::ReadOnly)
    }

    /// The store, for changes. It is an error if there is none.
    pub(crate) fn store_to_change(&self) -> Result<Store, CliError> {
        self.store_to_read()?;
        self.open_existing(Mode::ReadWrite)
    }

    fn open_existing(&self, mode: Mode) -> Result<Store, CliError> {
        let root = self.store_root()?;
        Store::open(&root, mode).map_err(|error| match error.kind() {
            rekindle_store::ErrorKind::NoStore => {
                CliError::user(format!("there is no store in {}", root.display()))
                    .hint("the first `rekindle build` makes one; --store names another place")
            }
            _ => error.into(),
        })
    }

    /// How this program is called again for the same store.
    pub(crate) fn program(&self) -> String {
        match self.store {
            Some(store) => format!("rekindle --store {}", shell_word(&store.to_string_lossy())),
            None => "rekindle".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_is_where_the_user_says_or_where_data_belongs() {
        let check = |store: Option<&str>, data: Option<&str>, home: Option<&str>, expected: Option<&str>| {
            let environment = Environment {
                data_home: data.map(PathBuf::from),
                home: home.map(PathBuf::from),
                ..Environment::default()
            };
            let session = Session::new(&environment, store.map(Path::new));
            assert_eq!(session.store_root().ok(), expected.map(PathBuf::from));
        };
        check(Some("/s"), Some("/d"), Some("/h"), Some("/s"));
        check(None, Some("/d"), Some("/h"), Some("/d/rekindle"));
        check(None, None, Some("/h"), Some("/h/.local/share/rekindle"));
        check(None, None, None, None);
        check(Some(""), None, Some("/h"), None);
    }

    #[test]
    fn advice_names_the_store() {
        let environment = Environment::default();
        assert_eq!(Session::new(&environment, None).program(), "rekindle");
        assert_eq!(Session::new(&environment, Some(Path::new("/a b"))).program(), "rekindle --store '/a b'");
    }
}
