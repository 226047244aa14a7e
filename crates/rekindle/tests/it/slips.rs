//! A package of C that is built by make, with slips and without: what was compiled is read from the log, and what has to succeed
//! is held against a clean build in another store.

use std::path::PathBuf;

use serde_json::Value;

use crate::checkpoints::json;
use crate::project::{Finished, Invocation, Place};
use crate::tree;

/// A package `p`, whose recipes say `COMPILE FILE` and `LINK`, and which installs `prog`.
pub(crate) struct Project {
    pub(crate) place: Place,
    pub(crate) root: PathBuf,
    pub(crate) cores: &'static str,
}

pub(crate) struct Built {
    pub(crate) success: bool,
    pub(crate) code: Option<i32>,
    /// What was compiled and linked, in all attempts.
    pub(crate) work: Vec<String>,
    pub(crate) restarts: usize,
    pub(crate) audits: usize,
    pub(crate) failure: Value,
    pub(crate) drv: String,
    pub(crate) out: String,
    pub(crate) errors: String,
}

impl Project {
    pub(crate) fn of(files: &[(&str, &str)]) -> Project {
        let place = Place::new();
        for (file, text) in files {
            place.write("p", file, text);
        }
        let manifest = "[package]\nname = \"p\"\nversion = \"1\"\nbuild-system = \"make\"\n";
        let root = place.write("p", "rekindle.toml", manifest);
        Project { place, root, cores: "1" }
    }

    /// A cargo package `prog`, without a program yet, which has `l` as one of its `needs` (`dependencies`). The build script of that one
    /// cargo gives two names, as it does with all of them.
    pub(crate) fn of_cargo(needs: &str) -> Project {
        let package = |name: &str, rest: &str| {
            format!("[package]\nname = \"{name}\"\nversion = \"1.0.0\"\nedition = \"2021\"\n{rest}")
        };
        let members = format!("[workspace]\nmembers = [\"l\"]\n[{needs}]\nl = {{ path = \"l\" }}\n");
        let lock = "version = 3\n\n[[package]]\nname = \"l\"\nversion = \"1.0.0\"\n\n\
            [[package]]\nname = \"prog\"\nversion = \"1.0.0\"\ndependencies = [\n \"l\",\n]\n";
        let manifest = "[package]\nname = \"p\"\nversion = \"1\"\nbuild-system = \"cargo\"\n[package.phases]\n\
            install = \"install -D target/release/prog $out/prog\"\n";
        let project = Project::of(&[
            ("Cargo.toml", &package("prog", &members)),
            ("Cargo.lock", lock),
            ("l/Cargo.toml", &package("l", "")),
            ("l/build.rs", "fn main() {}\n"),
            ("l/src/lib.rs", "pub fn one() -> i32 {\n    1\n}\n"),
        ]);
        project.put("rekindle.toml", manifest);
        project
    }

    /// Whether a build compiled this crate, by what cargo said.
    pub(crate) fn compiles(&self, built: &Built, name: &str) -> bool {
        let log = self.place.rekindle(&["log", &built.drv]).run().stdout();
        log.contains(&format!("Compiling {name} "))
    }

    pub(crate) fn put(&self, file: &str, text: &str) {
        self.place.write("p", file, text);
    }

    pub(crate) fn build(&self) -> Built {
        self.built(&[], Invocation::run)
    }

    /// Builds with these options as well, in this way.
    pub(crate) fn built(&self, more: &[&str], run: impl FnOnce(Invocation) -> Finished) -> Built {
        let options = ["build", "--no-link", "--json", "--cores", self.cores];
        let finished = run(self.place.rekindle(&options).args(more).arg(&self.root));
        let report = json(&finished);
        let drv = report["goals"][0]["drvPath"].as_str().expect("a derivation");
        let log = self.place.rekindle(&["log", drv]).run().stdout();
        let said = log.lines().filter(|line| line.contains("COMPILE ") || line.contains("LINK"));
        let build = &report["builds"][0];
        let count = |what: &str| build[what].as_array().map_or(0, Vec::len);
        Built {
            success: finished.success(),
            code: finished.code(),
            work: said.map(|line| line.trim_start_matches("COMPILE ").to_owned()).collect(),
            restarts: count("restarts"),
            audits: count("audits"),
            failure: build["failure"].clone(),
            out: report["goals"][0]["outputs"]["out"]["path"].as_str().unwrap_or_default().to_owned(),
            errors: finished.stderr(),
            drv: drv.to_owned(),
        }
    }

    /// Builds what has to be what a clean build makes of it.
    pub(crate) fn builds(&self) -> Built {
        let built = self.build();
        assert!(built.success, "{}", built.errors);
        let clean = Place::new();
        let again = clean.build(&self.root, &["--clean", "--cores", self.cores]).remove(0);
        assert_eq!(built.out, again);
        let [ours, theirs] = [&self.place, &clean].map(|place| [place.physical(&again)]);
        assert_eq!(tree::differences(&ours, &theirs), Vec::<PathBuf>::new());
        built
    }
}
