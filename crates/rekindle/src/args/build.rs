//! The arguments of all commands that build: `build`, `prepare`, `verify`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args as ClapArgs;

use super::values::{percent, seconds};

/// What is built and how, whatever for.
#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct HowArgs {
    /// Directories of packages, or `.drv` files in the store
    #[arg(value_name = "WHAT", default_value = ".")]
    pub(crate) targets: Vec<OsString>,

    /// Only this package of a manifest that has several; may be given more than once
    #[arg(short, long = "package", value_name = "NAME")]
    pub(crate) packages: Vec<String>,

    /// Print a report as JSON when all is over
    #[arg(long)]
    pub(crate) json: bool,

    /// Show what the builders print
    #[arg(short = 'L', long)]
    pub(crate) print_build_logs: bool,

    /// How many packages are built at a time [default: half as many as there are processors, at most 8]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) jobs: Option<u16>,

    /// How many processes each build may run at a time; 0 means as many as there are processors
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) cores: u16,

    /// After a failure, go on with what does not need it
    #[arg(short, long)]
    pub(crate) keep_going: bool,

    /// Keep the tree of a build that fails
    #[arg(short = 'K', long)]
    pub(crate) keep_failed: bool,

    /// Observe no processes; then no phase goes on from what it left in an earlier build
    #[arg(long)]
    pub(crate) no_observe: bool,

    /// The longest time that a phase may take
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) timeout: Option<Duration>,

    /// The longest time that a phase may print nothing
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) max_silent_time: Option<Duration>,

    /// Say nothing unless something is wrong
    #[arg(short, long, conflicts_with = "verbose")]
    pub(crate) quiet: bool,

    /// Say what each phase took
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

const BUILD_AFTER_HELP: &str = "\
Examples:
  rekindle build                             the package in this directory
  rekindle build -p greeting                 one of several packages of a manifest
  rekindle build . ../other --no-link        two packages at once
  rekindle build --print-out-paths           print where the outputs are
  rekindle build --json | jq .goals          the same for programs, see docs/json.md
  rekindle build --clean                     take nothing from earlier builds, for a release
  rekindle build --from 1a2b3c4d             go on from this checkpoint and no other
  rekindle build --report build.html         write a page of what was done, why, and how long it took
  rekindle build --keep-failed               keep the tree of a build that fails, to look around in it
  rekindle build /nix/store/…-hello.drv      a derivation that is in the store already

Exit codes: 0 done, 1 mistake or machine, 100 build failed, 101 timeout, 102 hash mismatch, 130 interrupted.";

/// Builds packages.
///
/// Each package is a directory with a `rekindle.toml`, or with a build system that Rekindle recognises. On success
/// there is a link `result` to what was built (`result-NAME` for each further output); the link also keeps it from
/// being collected as garbage.
///
/// A build starts from the checkpoint of an earlier one that fits best, and does again only what the changes ask for.
#[derive(Debug, Clone, ClapArgs)]
#[command(after_help = BUILD_AFTER_HELP)]
pub(crate) struct BuildArgs {
    #[command(flatten)]
    pub(crate) how: HowArgs,

    /// Name of the link to what was built
    #[arg(short, long, value_name = "PATH", default_value = "result")]
    pub(crate) out_link: PathBuf,

    /// Make no link
    #[arg(long, conflicts_with = "out_link")]
    pub(crate) no_link: bool,

    /// Print where the outputs are, one path per line
    #[arg(long, conflicts_with = "json")]
    pub(crate) print_out_paths: bool,

    /// Write a page of the build: what was reused and redone and why, and a timeline of its processes
    #[arg(long, value_name = "FILE.html", conflicts_with = "dry_run")]
    pub(crate) report: Option<PathBuf>,

    /// Only say what would be built and fetched
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Take nothing from earlier builds, and build an output that is there and incremental again
    #[arg(long)]
    pub(crate) clean: bool,

    /// Go on from exactly this checkpoint; the first four digits of its identity may be enough
    #[arg(
        long,
        visible_alias = "base",
        value_name = "ID",
        conflicts_with_all = ["clean", "exact_path", "no_phases"]
    )]
    pub(crate) from: Option<String>,

    /// Build at the final paths from the start, for results bit for bit as Nix makes them
    #[arg(long)]
    pub(crate) exact_path: bool,

    /// Run all phases in one step
    #[arg(long)]
    pub(crate) no_phases: bool,
}

const PREPARE_AFTER_HELP: &str = "\
Examples:
  rekindle prepare                   a checkpoint of the package in this directory
  id=$(rekindle prepare -q)          remember which
  rekindle build --from \"$id\"         go on from it, whatever was edited since
  rekindle checkpoint pin \"$id\"       keep it until it is removed on request

Exit codes: as of `rekindle build`.";

/// Builds packages up to the last step before they are installed, and prints the identities of the checkpoints.
///
/// Nothing is installed or registered; what a package needs is built in full. If there is a checkpoint of exactly these
/// sources and this recipe, it is the answer and nothing runs.
#[derive(Debug, Clone, ClapArgs)]
#[command(after_help = PREPARE_AFTER_HELP)]
pub(crate) struct PrepareArgs {
    #[command(flatten)]
    pub(crate) how: HowArgs,

    /// Take nothing from earlier builds
    #[arg(long)]
    pub(crate) clean: bool,

    /// Go on from exactly this checkpoint; the first four digits of its identity may be enough
    #[arg(long, visible_alias = "base", value_name = "ID", conflicts_with = "clean")]
    pub(crate) from: Option<String>,
}

const VERIFY_AFTER_HELP: &str = "\
Examples:
  rekindle verify                    the package in this directory, as it was built last
  rekindle verify ./result           what made this
  rekindle verify --sample 10%       a tenth of all outputs that are incremental or wrong, at random
  rekindle verify --json             all differences, see docs/json.md

Exit codes: 0 equal, 1 mistake or machine, 100 a clean build failed, 104 not equal, 130 interrupted.";

/// Builds clean what was built before, and compares every byte.
///
/// The outputs that are there are not touched. One that is equal and was incremental becomes verified. If one that was
/// incremental is wrong, the checkpoints of its package go into quarantine, so that nothing starts from them, and the next
/// `rekindle build` of it is clean and replaces it; so it is with what was built with it. A package that comes out
/// differently each time, clean or not, is said to be not reproducible: that takes one more clean build.
#[derive(Debug, Clone, ClapArgs)]
#[command(after_help = VERIFY_AFTER_HELP)]
pub(crate) struct VerifyArgs {
    /// Directories of packages, names of packages, store paths, links to them, or `.drv` files [default: the package
    /// in this directory, or with --sample all outputs]
    #[arg(value_name = "WHAT")]
    pub(crate) targets: Vec<OsString>,

    /// Only this package of a manifest that has several; may be given more than once
    #[arg(short, long = "package", value_name = "NAME")]
    pub(crate) packages: Vec<String>,

    /// Only this share of those that are incremental or wrong, chosen at random, but at least one
    #[arg(long, value_name = "N%", value_parser = percent)]
    pub(crate) sample: Option<u8>,

    /// Print a report as JSON when all is over
    #[arg(long)]
    pub(crate) json: bool,

    /// Show what the builders print
    #[arg(short = 'L', long)]
    pub(crate) print_build_logs: bool,

    /// How many packages are built at a time [default: half as many as there are processors, at most 8]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) jobs: Option<u16>,

    /// How many processes each build may run at a time; 0 means as many as there are processors
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) cores: u16,

    /// The longest time that a phase may take
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) timeout: Option<Duration>,

    /// The longest time that a phase may print nothing
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) max_silent_time: Option<Duration>,

    /// Say nothing unless something is wrong
    #[arg(short, long)]
    pub(crate) quiet: bool,
}
