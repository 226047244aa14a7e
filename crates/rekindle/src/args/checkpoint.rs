//! The arguments of the commands that look at checkpoints or remove them.

use std::time::Duration;

use clap::{Args as ClapArgs, Subcommand};

use super::values::{bytes, duration};

const LIST_AFTER_HELP: &str = "\
Examples:
  rekindle checkpoint list                 all, newest first
  rekindle checkpoint list -p hello        those of one package
  rekindle checkpoint list --json | jq -r '.checkpoints[] | select(.quarantined) | .id'";

#[derive(Debug, Subcommand)]
pub(crate) enum CheckpointCommand {
    /// Lists checkpoints, newest first.
    #[command(after_help = LIST_AFTER_HELP)]
    List {
        /// Only those of this package
        #[arg(short, long, value_name = "NAME")]
        package: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Shows what is in a checkpoint: its sources, steps and layers.
    Show {
        /// Its identity, or the first digits of it, at least four
        #[arg(value_name = "ID")]
        id: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Removes checkpoints, pinned or not. What others need stays; waits for builds that use checkpoints.
    Rm {
        /// Identities, or the first digits of them, at least four
        #[arg(value_name = "ID", required_unless_present = "package")]
        ids: Vec<String>,
        /// All of this package
        #[arg(short, long, value_name = "NAME", conflicts_with = "ids")]
        package: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Keeps checkpoints until they are removed with `rm`.
    Pin {
        /// Identities, or the first digits of them, at least four
        #[arg(value_name = "ID", required = true)]
        ids: Vec<String>,
    },
    /// Lets checkpoints go with their time again.
    Unpin {
        /// Identities, or the first digits of them, at least four
        #[arg(value_name = "ID", required = true)]
        ids: Vec<String>,
    },
}

const GC_AFTER_HELP: &str = "\
Of the checkpoints of a package the newest six stay, at most two of failed builds among them, and one that a build can start \
from; every build sees to that. \
--keep-last and --older-than say it otherwise: what is neither among the newest N nor younger goes. --max-size then \
removes the oldest, whatever the others say, until the rest fits. Pinned ones stay, quarantined ones go, and layers \
that something kept needs stay. With one of these options it waits for builds that use checkpoints.

Examples:
  rekindle gc                                      what no link keeps
  rekindle gc --keep-last 1 --older-than 7d        and checkpoints of more than a week, but one of each package
  rekindle gc --max-size 20G --dry-run             what would go if checkpoints were to take at most 20 GiB";

/// Deletes what is not needed: store paths that no link keeps, and old checkpoints.
#[derive(Debug, Clone, ClapArgs)]
#[command(after_help = GC_AFTER_HELP)]
pub(crate) struct GcArgs {
    /// Only say what would go
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Stop with store paths when this many bytes are free again; K, M, G and T are powers of 1024
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    pub(crate) max: Option<u64>,

    /// So many of the newest checkpoints of each package stay
    #[arg(long, value_name = "N")]
    pub(crate) keep_last: Option<usize>,

    /// Checkpoints older than that go; s, m, h, d and w are the units
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) older_than: Option<Duration>,

    /// The oldest checkpoints go until all take at most so many bytes
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    pub(crate) max_size: Option<u64>,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
