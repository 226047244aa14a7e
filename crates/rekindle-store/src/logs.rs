//! Build logs, where Nix keeps and looks for them: `var/log/nix/drvs/<2>/<rest>.bz2`, named by the derivation.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use bzip2::Compression;
use bzip2::read::MultiBzDecoder;
use bzip2::write::BzEncoder;
use rekindle_nix::StorePath;

use crate::error::{At, Error, Result};
use crate::staging::Staging;
use crate::store::Store;

/// Writes the log of a build. It is kept, in place of an older one, if it is [finished](LogWriter::finish).
pub struct LogWriter {
    encoder: BzEncoder<File>,
    staged: Staging,
    target: PathBuf,
}

impl std::fmt::Debug for LogWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogWriter").field("target", &self.target).finish_non_exhaustive()
    }
}

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.encoder.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        // A flush of the compressor would end a block, and cost more than it is worth.
        Ok(())
    }
}

impl LogWriter {
    /// Completes the log and puts it in its place, which is returned.
    pub fn finish(self) -> Result<PathBuf> {
        self.encoder.finish().at("write", self.staged.path())?;
        if let Some(parent) = self.target.parent() {
            std::fs::create_dir_all(parent).at("create the directory", parent)?;
        }
        std::fs::rename(self.staged.path(), &self.target).at("rename to", &self.target)?;
        // What an older log looked like uncompressed would hide the new one from nobody, but is no longer true.
        let _ = std::fs::remove_file(self.target.with_extension(""));
        Ok(self.target)
    }
}

impl Store {
    /// Begins the log of a build of `drv`, which need not be valid.
    pub fn log_writer(&self, drv: &StorePath) -> Result<LogWriter> {
        let staged = self.area()?.place();
        let file = File::create_new(staged.path()).at("create", staged.path())?;
        let target = self.log_file(drv, ".bz2");
        Ok(LogWriter { encoder: BzEncoder::new(file, Compression::fast()), staged, target })
    }

    /// Where the log of `drv` lies, if there is one: a file that ends in `.bz2` if it is compressed.
    pub fn log_path(&self, drv: &StorePath) -> Option<PathBuf> {
        ["", ".bz2"].into_iter().map(|suffix| self.log_file(drv, suffix)).find(|path| path.exists())
    }

    /// Reads the log of `drv`, if there is one.
    pub fn read_log(&self, drv: &StorePath) -> Result<Option<Vec<u8>>> {
        for (suffix, compressed) in [("", false), (".bz2", true)] {
            let path = self.log_file(drv, suffix);
            let mut file = match File::open(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(Error::io("open", path, error)),
            };
            let mut log = Vec::new();
            let read = if compressed {
                MultiBzDecoder::new(file).read_to_end(&mut log)
            } else {
                file.read_to_end(&mut log)
            };
            read.at("read", &path)?;
            return Ok(Some(log));
        }
        Ok(None)
    }

    /// The derivations that have a log, valid or not, in no order. What has no name of a log is passed over.
    pub fn logged(&self) -> Result<Vec<StorePath>> {
        let mut found = Vec::new();
        let logs = self.layout.logs();
        for start in names(&logs)? {
            for rest in names(&logs.join(&start))? {
                let name = format!("{start}{}", rest.strip_suffix(".bz2").unwrap_or(&rest));
                found.extend(StorePath::from_base_name(name.as_bytes()).ok());
            }
        }
        Ok(found)
    }

    fn log_file(&self, drv: &StorePath, suffix: &str) -> PathBuf {
        let (directory, rest) = drv.base_name().split_at(2);
        self.layout.logs().join(directory).join(format!("{rest}{suffix}"))
    }
}

/// The names in a directory that are text. Nothing is in a directory that is not there, or that is none.
fn names(dir: &Path) -> Result<Vec<String>> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(Error::io("list", dir, error)),
    };
    let names = entries.map(|entry| Ok(entry.at("list", dir)?.file_name().into_string().ok()));
    names.filter_map(Result::transpose).collect()
}
