//! The arguments of the commands that explain what was built.

use std::ffi::OsString;

use clap::Args as ClapArgs;

const WHY_AFTER_HELP: &str = "\
Examples:
  rekindle why src/a.o               who made it, from what, and why (not) again in the last build
  rekindle why ./result/bin/hello    who installed it, and from what that was copied
  rekindle why                       what became of each phase of the package here, and why
  rekindle why hello                 the same for a package by name
  rekindle why ./hello               the file of this name
  rekindle why src/a.o --json        all of it, see docs/json.md";

/// Says why something was built as it was: which process made a file, from what, and what became of each phase.
///
/// A FILE is one of the build tree, relative to the package's sources (`src/a.o`), as the build saw it
/// (`/build/source/src/a.o`), or of an output (`result/bin/hello`). What contains a slash or is a file here is a FILE, unless
/// it is a directory; any other word is a PACKAGE if there is one of this name, and else a FILE.
#[derive(Debug, Clone, ClapArgs)]
#[command(after_help = WHY_AFTER_HELP)]
pub(crate) struct WhyArgs {
    /// A file of the build tree or of an output, or a package, by its directory or name [default: the package here]
    #[arg(value_name = "FILE|PACKAGE")]
    pub(crate) what: Option<OsString>,

    #[command(flatten)]
    pub(crate) which: WhichArgs,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Of which build.
#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct WhichArgs {
    /// The package, if it is not the one in this directory
    #[arg(short, long, value_name = "NAME")]
    pub(crate) package: Option<String>,

    /// The build that made this checkpoint, by its identity or the first digits of it [default: the newest]
    #[arg(long, value_name = "ID", conflicts_with = "package")]
    pub(crate) checkpoint: Option<String>,
}

const GRAPH_AFTER_HELP: &str = "\
Examples:
  rekindle graph --of src/prog | dot -Tsvg > /tmp/prog.svg
  rekindle graph --processes hello | dot -Tsvg > /tmp/hello.svg
  rekindle graph --files --json | jq -r '.nodes as $n | .edges[]
      | select($n[.from].path == \"build/source/src/a.h\") | $n[.to].path'";

/// Draws which processes made which files from which others, for `dot` of Graphviz or as JSON.
///
/// A process here is all that one line of a makefile started. What is in the graph led to a file that is there: sources,
/// products and those who made them, in whichever build that was.
#[derive(Debug, Clone, ClapArgs)]
#[command(after_help = GRAPH_AFTER_HELP)]
pub(crate) struct GraphArgs {
    /// A package, by its directory or name [default: the package here]
    #[arg(value_name = "PACKAGE", conflicts_with = "checkpoint")]
    pub(crate) what: Option<OsString>,

    #[command(flatten)]
    pub(crate) which: WhichArgs,

    /// Only what this file came from
    #[arg(long, value_name = "FILE")]
    pub(crate) of: Option<OsString>,

    /// Only processes, and what they gave one another
    #[arg(long, conflicts_with = "files")]
    pub(crate) processes: bool,

    /// Only files, and what they were made from
    #[arg(long)]
    pub(crate) files: bool,

    /// All of it, however large it is
    #[arg(long)]
    pub(crate) all: bool,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
