//! The database of valid paths, as Nix has it (schema 10, the same in Nix 2.8 to 2.34).
//!
//! Nothing here knows what lies on disk: a path is valid because there is a row for it. One connection per open
//! store, behind a lock. Every change is one `IMMEDIATE` transaction, so that it waits for other writers instead of
//! failing in the middle. SQLite here is newer than Nix's: the file is never vacuumed nor its format changed.

mod graph;
mod read;
mod write;

pub(crate) use read::RawInfo;
pub(crate) use write::RecordedOutputs;

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use crate::error::{Cause, Error, Result};

/// What `db/schema` says.
pub(crate) const SCHEMA_VERSION: &str = "10";

/// How long to wait for another writer. Collecting garbage holds the write lock for moments only.
const BUSY_TIMEOUT: Duration = Duration::from_secs(300);

const SCHEMA: &str = "
create table if not exists ValidPaths (
    id               integer primary key autoincrement not null,
    path             text unique not null,
    hash             text not null,
    registrationTime integer not null,
    deriver          text,
    narSize          integer,
    ultimate         integer,
    sigs             text,
    ca               text
);
create table if not exists Refs (
    referrer  integer not null,
    reference integer not null,
    primary key (referrer, reference),
    foreign key (referrer) references ValidPaths(id) on delete cascade,
    foreign key (reference) references ValidPaths(id) on delete restrict
);
create index if not exists IndexReferrer on Refs(referrer);
create index if not exists IndexReference on Refs(reference);
create trigger if not exists DeleteSelfRefs before delete on ValidPaths
  begin
    delete from Refs where referrer = old.id and reference = old.id;
  end;
create table if not exists DerivationOutputs (
    drv  integer not null,
    id   text not null,
    path text not null,
    primary key (drv, id),
    foreign key (drv) references ValidPaths(id) on delete cascade
);
create index if not exists IndexDerivationOutputs on DerivationOutputs(path);
";

/// One connection to a store's database.
#[derive(Debug)]
pub(crate) struct Db {
    connection: Connection,
    path: PathBuf,
}

impl Db {
    /// Opens a database that exists.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let db = Self::connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        db.configure_writer()?;
        Ok(db)
    }

    /// Opens a database and makes its tables, unless they are there. The caller keeps others from doing so.
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let db = Self::connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
        db.configure_writer()?;
        db.connection
            .query_row("pragma main.journal_mode = wal", [], |_| Ok(()))
            .map_err(|source| db.error("turn on the write-ahead log", source))?;
        let mut db = db;
        db.change("make the tables", |tx| tx.execute_batch(SCHEMA))?;
        Ok(db)
    }

    /// Opens a database that will not be written, perhaps because it may not.
    pub(crate) fn open_read_only(path: &Path) -> Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
        let db = Self::connect(path, flags)?;
        if db.probe().is_ok() {
            return Ok(db);
        }
        // With a write-ahead log, reading needs the shared memory file, which a process without write permission
        // cannot make. If there is no log either, the database itself is all there is, and it is at rest.
        let wal = path.with_extension("sqlite-wal");
        if wal.metadata().is_ok_and(|meta| meta.len() > 0) {
            db.probe().map_err(|source| db.error("read", source))?;
        }
        let mut uri = String::from("file:");
        for byte in std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()) {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' => {
                    uri.push(char::from(*byte));
                }
                _ => uri.push_str(&format!("%{byte:02x}")),
            }
        }
        uri.push_str("?immutable=1");
        let db = Self {
            path: path.to_owned(),
            ..Self::connect(Path::new(&uri), flags | OpenFlags::SQLITE_OPEN_URI)?
        };
        db.probe().map_err(|source| db.error("read", source))?;
        Ok(db)
    }

    fn probe(&self) -> rusqlite::Result<()> {
        self.connection.query_row("select count(*) from sqlite_master", [], |_| Ok(()))
    }

    fn connect(path: &Path, flags: OpenFlags) -> Result<Self> {
        let fail =
            |source| Error::from(Cause::Database { action: "begin to work", path: path.to_owned(), source });
        let connection =
            Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(fail)?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(fail)?;
        connection.set_prepared_statement_cache_capacity(32);
        Ok(Self { connection, path: path.to_owned() })
    }

    fn configure_writer(&self) -> Result<()> {
        // As Nix: a commit survives the death of the process, and a power cut loses at most the last ones.
        self.connection
            .execute_batch(
                "pragma foreign_keys = 1; pragma synchronous = normal; pragma wal_autocheckpoint = 8192;",
            )
            .map_err(|source| self.error("begin to work", source))
    }

    /// Runs `body` in one transaction that is committed if it succeeds.
    fn change<T>(
        &mut self,
        action: &'static str,
        body: impl FnOnce(&rusqlite::Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T> {
        let path = &self.path;
        self.connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .and_then(|tx| {
                let value = body(&tx)?;
                tx.commit()?;
                Ok(value)
            })
            .map_err(|source| Cause::Database { action, path: path.clone(), source }.into())
    }

    /// Runs several queries on one state of the database.
    fn look<T>(
        &self,
        action: &'static str,
        body: impl FnOnce(&rusqlite::Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T> {
        self.connection
            .unchecked_transaction()
            .and_then(|tx| body(&tx))
            .map_err(|source| self.error(action, source))
    }

    fn error(&self, action: &'static str, source: rusqlite::Error) -> Error {
        Cause::Database { action, path: self.path.clone(), source }.into()
    }
}
