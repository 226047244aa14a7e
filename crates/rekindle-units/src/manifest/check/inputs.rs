//! The rules for what comes from elsewhere: sources, fetches, inputs.

use rekindle_nix::{Hash, StoreDir};
use toml::Spanned;

use super::{Checker, store_name};
use crate::Error;
use crate::manifest::file::{FetchTable, InputTable, InputValue, SourceValue};
use crate::manifest::{Fetch, Input, InputFrom, Source};

impl Checker<'_> {
    pub(super) fn source(&self, source: Spanned<SourceValue>) -> Result<Source, Error> {
        let span = source.span();
        match source.into_inner() {
            SourceValue::Path(path) => Ok(Source::Path(self.path(Spanned::new(span, path))?)),
            SourceValue::Fetch(FetchTable { url, hash, name }) => {
                Ok(Source::Fetch(self.fetch(&url, hash, name)?))
            }
            SourceValue::Switch(false) => Ok(Source::None),
            SourceValue::Switch(true) => {
                Err(self.at(span.start, "source is a path, a table with url and hash, or false"))
            }
        }
    }

    fn fetch(
        &self,
        url: &Spanned<String>,
        hash: Spanned<String>,
        name: Option<Spanned<String>>,
    ) -> Result<Fetch, Error> {
        if !url.get_ref().contains("://") || url.get_ref().contains(char::is_whitespace) {
            return Err(self.refuse(url, format!("`{}` is not a URL", url.get_ref())));
        }
        if Hash::parse(hash.get_ref().as_bytes()).is_err() {
            let message = format!("`{}` is not a hash; write `sha256-…` or `sha256:…`", hash.get_ref());
            return Err(self.refuse(&hash, message));
        }
        if let Some(name) = &name {
            self.package_name(name)?;
        }
        let fetch = Fetch {
            url: url.get_ref().clone(),
            hash: hash.into_inner(),
            name: name.map(Spanned::into_inner),
        };
        store_name(fetch.file_name()).map_err(|reason| {
            let found = fetch.file_name();
            self.refuse(
                url,
                format!("the last part of the URL, `{found}`, cannot be a name: {reason}; set `name`"),
            )
        })?;
        Ok(fetch)
    }

    pub(super) fn input(&self, value: Spanned<InputValue>) -> Result<Input, Error> {
        let span = value.span();
        let table = match value.into_inner() {
            InputValue::Word(word) => {
                let word = Spanned::new(span, word);
                let from = if word.get_ref().starts_with('/') {
                    self.store_path(&word)?
                } else {
                    InputFrom::Package(self.package_name(&word)?)
                };
                return Ok(Input { from, outputs: Vec::new(), env: None, propagate: false });
            }
            InputValue::Table(table) => *table,
        };
        let InputTable { store, package, path, url, hash, name, outputs, env, propagate } = table;
        for (spot, key) in
            [(hash.as_ref().map(Spanned::span), "hash"), (name.as_ref().map(Spanned::span), "name")]
        {
            if let (Some(spot), None) = (spot, &url) {
                return Err(self.at(spot.start, format!("`{key}` goes with `url`")));
            }
        }
        let from = match (store, package, path, url) {
            (Some(store), None, None, None) => self.store_path(&store)?,
            (None, Some(package), None, None) => InputFrom::Package(self.package_name(&package)?),
            (None, package, Some(path), None) => {
                let package = package.map(|package| self.package_name(&package)).transpose()?;
                InputFrom::Directory(self.path(path)?, package)
            }
            (None, None, None, Some(url)) => {
                let Some(hash) = hash else { return Err(self.refuse(&url, "`url` needs a `hash`")) };
                InputFrom::Fetch(self.fetch(&url, hash, name)?)
            }
            _ => {
                let message = "an input has exactly one of store, package, path, url (or path with package)";
                return Err(self.at(span.start, message));
            }
        };
        let no_outputs = matches!(from, InputFrom::Store(_) | InputFrom::Fetch(_));
        if let (true, Some(output)) = (no_outputs, outputs.first()) {
            return Err(self.refuse(output, "only a package has outputs to choose from"));
        }
        if let (InputFrom::Fetch(_), None) = (&from, &env) {
            return Err(self.at(span.start, "a fetched input needs `env`, the variable that holds its path"));
        }
        let outputs = outputs.iter().map(|output| self.output(output)).collect::<Result<_, _>>()?;
        let env = env.map(|env| self.variable(&env)).transpose()?;
        Ok(Input { from, outputs, env, propagate })
    }

    fn store_path(&self, path: &Spanned<String>) -> Result<InputFrom, Error> {
        StoreDir::default().parse(path.get_ref().as_bytes()).map(InputFrom::Store).map_err(|_| {
            let message =
                format!("`{}` is not a store path; a directory is {{ path = \"…\" }}", path.get_ref());
            self.refuse(path, message)
        })
    }
}
