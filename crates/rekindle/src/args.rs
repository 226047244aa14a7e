//! The command line, as clap sees it. Nothing here does anything.

mod build;
mod checkpoint;
mod explain;
mod values;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::parser::ValueSource;
use clap::{Args as ClapArgs, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use clap_complete::Shell;

pub(crate) use build::{BuildArgs, HowArgs, PrepareArgs, VerifyArgs};
pub(crate) use checkpoint::{CheckpointCommand, GcArgs};
pub(crate) use explain::{GraphArgs, WhyArgs};

const AFTER_HELP: &str = "\
Examples:
  rekindle build                     build the package in this directory; ./result links to what it made
  rekindle build ../zlib -L          build another one, and show what its builder prints
  rekindle init                      write down how it is built, as rekindle.toml, to change it
  rekindle log                       what the last build of the package here printed
  rekindle checkpoint list           what the next builds may start from
  rekindle why src/a.o               who made it, from what, and why it was (not) made again
  rekindle verify                    is the output what a clean build gives?
  rekindle doctor                    what this machine can and cannot do

Exit codes:
    0  done
    1  a mistake in the arguments, the manifest or the sources, or a machine that does not play along
  100  a build failed
  101  a build took too long, or was silent for too long
  102  a fetched file has another hash than the manifest says
  104  an output is not what a clean build gives
  130  interrupted";

/// Builds software hermetically and picks up where the last build left off.
///
/// Point it at a source tree: Autotools, Make, CMake, Meson and Cargo projects are recognised, and `rekindle.toml` says
/// what cannot be guessed. A build sees its sources, what it declares as inputs and the compilers of this machine, and
/// nothing else: no network, no home directory, no clock of its own. No root and no installation is needed.
///
/// What is built goes into a store that Nix can read, by default in ~/.local/share/rekindle.
#[derive(Debug, Parser)]
#[command(name = "rekindle", version, after_help = AFTER_HELP, max_term_width = 100, subcommand_required = true)]
#[command(arg_required_else_help = true)]
pub(crate) struct Args {
    /// The directory of the store: `nix/store` lies below it [default: $XDG_DATA_HOME/rekindle, or
    /// ~/.local/share/rekindle]
    #[arg(long, global = true, value_name = "DIR", env = "REKINDLE_STORE", hide_env_values = true, value_parser = any_path())]
    pub(crate) store: Option<PathBuf>,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Takes an empty path, too, which clap's own parser refuses wherever it comes from.
fn any_path() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(PathBuf::from)
}

impl Args {
    /// The arguments of this process. An empty `REKINDLE_STORE` counts as none, as other empty variables do; an empty
    /// `--store` is a mistake.
    pub(crate) fn of_process() -> Result<Args, clap::Error> {
        let matches = Args::command().try_get_matches()?;
        let mut args = Args::from_arg_matches(&matches)?;
        let is_variable = matches.value_source("store") == Some(ValueSource::EnvVariable);
        args.store = args.store.filter(|store| !(is_variable && store.as_os_str().is_empty()));
        Ok(args)
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Build(BuildArgs),
    Prepare(PrepareArgs),
    Verify(VerifyArgs),
    Why(WhyArgs),
    Graph(GraphArgs),
    /// Looks at checkpoints, keeps them and removes them.
    #[command(subcommand)]
    Checkpoint(CheckpointCommand),
    Gc(GcArgs),
    Init(InitArgs),
    Log(LogArgs),
    /// Looks at derivations: the build recipes that packages are lowered to.
    #[command(subcommand)]
    Drv(DrvCommand),
    /// Looks at the store and cleans it up.
    #[command(subcommand)]
    Store(StoreCommand),
    Doctor(DoctorArgs),
    Completions(CompletionsArgs),
}

/// Writes the `rekindle.toml` that `build` would go by if there were none.
#[derive(Debug, ClapArgs)]
pub(crate) struct InitArgs {
    /// The source tree
    #[arg(value_name = "DIR", default_value = ".")]
    pub(crate) dir: PathBuf,

    /// Overwrite a manifest that is there
    #[arg(long)]
    pub(crate) force: bool,
}

const LOG_AFTER_HELP: &str = "\
Examples:
  rekindle log                       the package in this directory
  rekindle log hello                 the newest log of any build of hello
  rekindle log ./result              the build that made this";

/// Prints what a build printed, whether it failed or not.
#[derive(Debug, ClapArgs)]
#[command(after_help = LOG_AFTER_HELP)]
pub(crate) struct LogArgs {
    /// A directory of a package, a package's name, a store path or a `.drv` file
    #[arg(value_name = "WHAT", default_value = ".")]
    pub(crate) target: OsString,

    /// Which package of a manifest that has several
    #[arg(short, long = "package", value_name = "NAME")]
    pub(crate) package: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DrvCommand {
    Show(DrvShowArgs),
}

const DRV_SHOW_AFTER_HELP: &str = "\
Examples:
  rekindle drv show                          what the package in this directory is lowered to
  rekindle drv show --json                   the same as `nix derivation show` prints it
  rekindle drv show --drv                    write the .drv file, for `nix-store --realise` for instance
  rekindle drv show /nix/store/…-hello.drv   a derivation that is in the store";

/// Prints derivations.
#[derive(Debug, ClapArgs)]
#[command(after_help = DRV_SHOW_AFTER_HELP)]
pub(crate) struct DrvShowArgs {
    /// Directories of packages, or `.drv` files in the store
    #[arg(value_name = "WHAT", default_value = ".")]
    pub(crate) targets: Vec<OsString>,

    /// Only this package of a manifest that has several
    #[arg(short, long = "package", value_name = "NAME")]
    pub(crate) packages: Vec<String>,

    /// Print JSON, as `nix derivation show` does
    #[arg(long)]
    pub(crate) json: bool,

    /// Write sources and `.drv` files to the store, and print where the latter are
    #[arg(long, conflicts_with = "json")]
    pub(crate) drv: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Prints what is known about store paths.
    PathInfo {
        /// Store paths, or links to them
        #[arg(value_name = "PATH", required_unless_present = "all")]
        paths: Vec<PathBuf>,
        /// Also all that they refer to, directly or not
        #[arg(short, long)]
        recursive: bool,
        /// All valid paths
        #[arg(long, conflicts_with_all = ["paths", "recursive"])]
        all: bool,
        /// Print JSON, as `nix path-info` does
        #[arg(long)]
        json: bool,
    },
    /// Compares the store with what is recorded of it. Exit code 1 if anything is wrong.
    Verify {
        /// Only look whether paths exist, without reading them
        #[arg(long)]
        no_contents: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Lists the files of a store path.
    Ls {
        /// A store path, a link to one, or a file or directory in one
        #[arg(value_name = "PATH")]
        path: PathBuf,
        /// Also what is in its directories
        #[arg(short = 'R', long)]
        recursive: bool,
        /// Also sizes and link targets
        #[arg(short, long)]
        long: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    Gc(GcArgs),
    /// Lists the links that keep paths from being deleted.
    Roots {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Says what this machine can and cannot do, and how to mend it.
///
/// Exit code 1 if builds cannot work.
#[derive(Debug, ClapArgs)]
pub(crate) struct DoctorArgs {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Prints a script that completes this command line in a shell.
///
/// For bash: `source <(rekindle completions bash)`.
#[derive(Debug, ClapArgs)]
pub(crate) struct CompletionsArgs {
    /// Which shell
    pub(crate) shell: Shell,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn parse(line: &str) -> Result<Args, clap::Error> {
        Args::try_parse_from(line.split(' '))
    }

    fn build(line: &str) -> BuildArgs {
        match parse(line).expect("it parses").command {
            Command::Build(build) => build,
            other => panic!("not a build: {other:?}"),
        }
    }

    #[test]
    fn the_definition_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_build_is_of_this_directory_by_default() {
        let args = build("rekindle build");
        assert_eq!(args.how.targets, [OsString::from(".")]);
        assert_eq!(args.out_link, PathBuf::from("result"));
        assert_eq!((args.how.jobs, args.how.cores, args.how.timeout), (None, 0, None));
    }

    #[test]
    fn short_options_are_as_in_nix() {
        let args = build("rekindle build a b -L -j 3 -k -K -o out --cores 2 --timeout 9 --max-silent-time 4");
        assert_eq!(args.out_link, PathBuf::from("out"));
        let how = args.how;
        assert_eq!(how.targets, ["a", "b"]);
        assert!(how.print_build_logs && how.keep_going && how.keep_failed);
        assert_eq!((how.jobs, how.cores), (Some(3), 2));
        assert_eq!(how.timeout, Some(Duration::from_secs(9)));
        assert_eq!(how.max_silent_time, Some(Duration::from_secs(4)));
    }

    #[test]
    fn the_base_has_two_names() {
        for line in ["rekindle build --from abcd", "rekindle build --base abcd"] {
            assert_eq!(build(line).from.as_deref(), Some("abcd"));
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for line in [
            "rekindle",
            "rekindle biuld",
            "rekindle build -j 0",
            "rekindle build --timeout 0",
            "rekindle build --timeout soon",
            "rekindle build --no-link -o x",
            "rekindle build --json --print-out-paths",
            "rekindle build -q -v",
            "rekindle store path-info",
            "rekindle store gc --max 3X",
            "rekindle gc --older-than 3",
            "rekindle gc --older-than soon",
            "rekindle gc --keep-last -1",
            "rekindle build --from abcd --clean",
            "rekindle build --from abcd --no-phases",
            "rekindle build --from abcd --exact-path",
            "rekindle prepare --from abcd --clean",
            "rekindle prepare --no-link",
            "rekindle verify --sample 0%",
            "rekindle verify --sample 101%",
            "rekindle verify --sample few",
            "rekindle checkpoint",
            "rekindle checkpoint show",
            "rekindle checkpoint rm",
            "rekindle checkpoint rm abcd --package x",
            "rekindle checkpoint pin",
            "rekindle completions tcsh",
            "rekindle why a b",
            "rekindle why --checkpoint abcd -p x",
            "rekindle graph --files --processes",
            "rekindle graph --checkpoint abcd x",
            "rekindle graph --checkpoint abcd -p x",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn the_store_can_be_named_before_and_after_the_command() {
        for line in ["rekindle --store /s build", "rekindle build --store /s", "rekindle store gc --store /s"]
        {
            assert_eq!(parse(line).expect("it parses").store, Some("/s".into()), "{line}");
        }
    }

    #[test]
    fn every_command_explains_itself() {
        fn check(command: &clap::Command) {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{} {}", command.get_name(), argument.get_id());
            }
            command.get_subcommands().for_each(check);
        }
        check(&Args::command());
    }
}
