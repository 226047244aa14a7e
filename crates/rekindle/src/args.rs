//! The command line, as clap sees it. Nothing here does anything.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Parser, Subcommand};
use clap_complete::Shell;

const AFTER_HELP: &str = "\
Examples:
  rekindle build                     build the package in this directory; ./result links to what it made
  rekindle build ../zlib -L          build another one, and show what its builder prints
  rekindle init                      write down how it is built, as rekindle.toml, to change it
  rekindle log                       what the last build of the package here printed
  rekindle doctor                    what this machine can and cannot do

Exit codes:
    0  done
    1  a mistake in the arguments, the manifest or the sources, or a machine that does not play along
  100  a build failed
  101  a build took too long, or was silent for too long
  102  a fetched file has another hash than the manifest says
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
    #[arg(long, global = true, value_name = "DIR", env = "REKINDLE_STORE", hide_env_values = true)]
    pub(crate) store: Option<PathBuf>,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Build(BuildArgs),
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

const BUILD_AFTER_HELP: &str = "\
Examples:
  rekindle build                             the package in this directory
  rekindle build -p greeting                 one of several packages of a manifest
  rekindle build . ../other --no-link        two packages at once
  rekindle build --print-out-paths           print where the outputs are
  rekindle build --json | jq .goals          the same for programs, see docs/json.md
  rekindle build --keep-failed               keep the tree of a build that fails, to look around in it
  rekindle build /nix/store/…-hello.drv      a derivation that is in the store already

Exit codes: 0 done, 1 mistake or machine, 100 build failed, 101 timeout, 102 hash mismatch, 130 interrupted.";

/// Builds packages.
///
/// Each package is a directory with a `rekindle.toml`, or with a build system that Rekindle recognises. On success
/// there is a link `result` to what was built (`result-NAME` for each further output); the link also keeps it from
/// being collected as garbage.
#[derive(Debug, Clone, ClapArgs)]
#[command(after_help = BUILD_AFTER_HELP)]
pub(crate) struct BuildArgs {
    /// Directories of packages, or `.drv` files in the store
    #[arg(value_name = "WHAT", default_value = ".")]
    pub(crate) targets: Vec<OsString>,

    /// Only this package of a manifest that has several; may be given more than once
    #[arg(short, long = "package", value_name = "NAME")]
    pub(crate) packages: Vec<String>,

    /// Name of the link to what was built
    #[arg(short, long, value_name = "PATH", default_value = "result")]
    pub(crate) out_link: PathBuf,

    /// Make no link
    #[arg(long, conflicts_with = "out_link")]
    pub(crate) no_link: bool,

    /// Print where the outputs are, one path per line
    #[arg(long)]
    pub(crate) print_out_paths: bool,

    /// Print a report as JSON when all is over
    #[arg(long, conflicts_with = "print_out_paths")]
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

    /// Only say what would be built and fetched
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Take nothing from earlier builds
    #[arg(long)]
    pub(crate) clean: bool,

    /// Build at the final paths from the start, for results bit for bit as Nix makes them
    #[arg(long)]
    pub(crate) exact_path: bool,

    /// Run all phases in one step
    #[arg(long)]
    pub(crate) no_phases: bool,

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
    /// Deletes what no root keeps.
    Gc {
        /// Only say what would go
        #[arg(long)]
        dry_run: bool,
        /// Stop when this many bytes are free again; K, M, G and T are powers of 1024
        #[arg(long, value_name = "BYTES", value_parser = bytes)]
        max: Option<u64>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
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

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<u64>() {
        Ok(0) | Err(_) => Err("a number of seconds, at least 1, is needed".to_owned()),
        Ok(seconds) => Ok(Duration::from_secs(seconds)),
    }
}

fn bytes(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let shift = match &text[digits.len()..] {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return Err("a number of bytes is needed, perhaps with K, M, G or T".to_owned()),
    };
    let number = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift));
    number.ok_or_else(|| "a number of bytes is needed that fits into 64 bits".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

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
        assert_eq!((args.targets, args.out_link), (vec![OsString::from(".")], PathBuf::from("result")));
        assert_eq!((args.jobs, args.cores, args.timeout), (None, 0, None));
    }

    #[test]
    fn short_options_are_as_in_nix() {
        let args = build("rekindle build a b -L -j 3 -k -K -o out --cores 2 --timeout 9 --max-silent-time 4");
        assert_eq!(args.targets, ["a", "b"]);
        assert!(args.print_build_logs && args.keep_going && args.keep_failed);
        assert_eq!((args.jobs, args.cores, args.out_link), (Some(3), 2, PathBuf::from("out")));
        assert_eq!(args.timeout, Some(Duration::from_secs(9)));
        assert_eq!(args.max_silent_time, Some(Duration::from_secs(4)));
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
            "rekindle completions tcsh",
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
    fn sizes_have_units() {
        assert_eq!(bytes("0"), Ok(0));
        assert_eq!(bytes("3K"), Ok(3072));
        assert_eq!(bytes("2G"), Ok(2 << 30));
        for wrong in ["", "K", "-1", "1.5G", "1GG", "99999999T"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
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
