//! Queries. What the database holds was perhaps written by another program: it is checked, and a record that makes
//! no sense is an error that names its path.

use std::collections::BTreeSet;

use rekindle_nix::{ContentAddress, Hash, Signature, StoreDir, StorePath};
use rusqlite::{OptionalExtension, Row, params};

use super::Db;
use crate::error::{Cause, Error, Result};
use crate::info::PathInfo;

/// A row of `ValidPaths` as it is, for callers that must not trip over a damaged one.
#[derive(Debug)]
pub(crate) struct RawInfo {
    pub(crate) id: i64,
    pub(crate) path: String,
    hash: String,
    registration_time: i64,
    deriver: Option<String>,
    nar_size: Option<i64>,
    ultimate: Option<bool>,
    sigs: Option<String>,
    ca: Option<String>,
}

const COLUMNS: &str = "id, path, hash, registrationTime, deriver, narSize, ultimate, sigs, ca";

impl Db {
    pub(crate) fn is_valid(&self, path: &str) -> Result<bool> {
        self.connection
            .prepare_cached("select 1 from ValidPaths where path = ?")
            .and_then(|mut query| query.exists([path]))
            .map_err(|source| self.error("look up a path", source))
    }

    pub(crate) fn path_info(&self, dir: &StoreDir, path: &str) -> Result<Option<PathInfo>> {
        match self.raw_info(path)? {
            Some(raw) => self.complete(dir, &raw).map(Some),
            None => Ok(None),
        }
    }

    fn raw_info(&self, path: &str) -> Result<Option<RawInfo>> {
        self.connection
            .prepare_cached(&format!("select {COLUMNS} from ValidPaths where path = ?"))
            .and_then(|mut query| query.query_row([path], raw).optional())
            .map_err(|source| self.error("look up a path", source))
    }

    /// All rows, by path.
    pub(crate) fn all_raw(&self) -> Result<Vec<RawInfo>> {
        self.connection
            .prepare_cached(&format!("select {COLUMNS} from ValidPaths order by path"))
            .and_then(|mut query| query.query_map([], raw)?.collect())
            .map_err(|source| self.error("list the paths", source))
    }

    /// Makes sense of a row.
    pub(crate) fn complete(&self, dir: &StoreDir, raw: &RawInfo) -> Result<PathInfo> {
        let bad = |why: String| Error::from(Cause::BadRecord { path: raw.path.clone(), why });
        let path = dir.parse(raw.path.as_bytes()).map_err(|e| bad(e.to_string()))?;
        let nar_hash = Hash::parse(raw.hash.as_bytes()).map_err(|e| bad(e.to_string()))?;
        let nar_size = match raw.nar_size {
            // Zero stands for "unknown" too; no archive is that small.
            None | Some(0) => None,
            Some(size) => Some(u64::try_from(size).map_err(|_| bad(format!("its size is {size}")))?),
        };
        let deriver = match raw.deriver.as_deref() {
            None | Some("") => None,
            Some(text) => Some(dir.parse(text.as_bytes()).map_err(|e| bad(e.to_string()))?),
        };
        let ca = match raw.ca.as_deref() {
            None | Some("") => None,
            Some(text) => Some(ContentAddress::parse(text.as_bytes()).map_err(|e| bad(e.to_string()))?),
        };
        let signatures = raw
            .sigs
            .as_deref()
            .unwrap_or_default()
            .split_ascii_whitespace()
            .map(|text| text.parse::<Signature>().map_err(|e| bad(e.to_string())))
            .collect::<Result<_>>()?;
        Ok(PathInfo {
            path,
            nar_hash,
            nar_size,
            references: self.references(dir, raw.id)?,
            deriver,
            ca,
            registration_time: raw.registration_time,
            ultimate: raw.ultimate.unwrap_or(false),
            signatures,
        })
    }

    /// The paths whose record refers to one that is gone, which a program that turned the checks off may leave.
    pub(crate) fn dangling_references(&self) -> Result<Vec<String>> {
        self.connection
            .prepare_cached(
                "select distinct v.path from Refs join ValidPaths v on referrer = v.id
                 where reference not in (select id from ValidPaths) order by v.path",
            )
            .and_then(|mut query| query.query_map([], |row| row.get(0))?.collect())
            .map_err(|source| self.error("look up references", source))
    }

    fn references(&self, dir: &StoreDir, id: i64) -> Result<BTreeSet<StorePath>> {
        let paths: Vec<String> = self
            .connection
            .prepare_cached("select path from Refs join ValidPaths on reference = id where referrer = ?")
            .and_then(|mut query| query.query_map([id], |row| row.get(0))?.collect())
            .map_err(|source| self.error("look up references", source))?;
        parse_all(dir, &paths)
    }

    /// The references of a path by its text; empty for one that is not valid.
    pub(crate) fn references_of(&self, dir: &StoreDir, path: &str) -> Result<BTreeSet<StorePath>> {
        let paths: Vec<String> = self
            .connection
            .prepare_cached(
                "select r.path from ValidPaths v join Refs on referrer = v.id join ValidPaths r on reference = r.id
                 where v.path = ?",
            )
            .and_then(|mut query| query.query_map([path], |row| row.get(0))?.collect())
            .map_err(|source| self.error("look up references", source))?;
        parse_all(dir, &paths)
    }

    pub(crate) fn referrers(&self, dir: &StoreDir, path: &str) -> Result<BTreeSet<StorePath>> {
        let paths: Vec<String> = self
            .connection
            .prepare_cached(
                "select path from Refs join ValidPaths on referrer = id
                 where reference = (select id from ValidPaths where path = ?)",
            )
            .and_then(|mut query| query.query_map([path], |row| row.get(0))?.collect())
            .map_err(|source| self.error("look up referrers", source))?;
        parse_all(dir, &paths)
    }

    pub(crate) fn all_valid(&self, dir: &StoreDir) -> Result<BTreeSet<StorePath>> {
        let paths: Vec<String> = self
            .connection
            .prepare_cached("select path from ValidPaths")
            .and_then(|mut query| query.query_map([], |row| row.get(0))?.collect())
            .map_err(|source| self.error("list the paths", source))?;
        parse_all(dir, &paths)
    }

    /// The outputs that are recorded for a valid derivation: name and path.
    pub(crate) fn derivation_outputs(&self, drv: &str) -> Result<Vec<(String, String)>> {
        self.connection
            .prepare_cached(
                "select o.id, o.path from DerivationOutputs o join ValidPaths v on o.drv = v.id
                 where v.path = ? order by o.id",
            )
            .and_then(|mut query| query.query_map([drv], |row| Ok((row.get(0)?, row.get(1)?)))?.collect())
            .map_err(|source| self.error("look up the outputs of a derivation", source))
    }

    /// The valid derivations that have the path as an output.
    pub(crate) fn valid_derivers(&self, dir: &StoreDir, path: &str) -> Result<BTreeSet<StorePath>> {
        let paths: Vec<String> = self
            .connection
            .prepare_cached(
                "select v.path from DerivationOutputs o join ValidPaths v on o.drv = v.id where o.path = ?",
            )
            .and_then(|mut query| query.query_map(params![path], |row| row.get(0))?.collect())
            .map_err(|source| self.error("look up derivers", source))?;
        parse_all(dir, &paths)
    }
}

fn raw(row: &Row<'_>) -> rusqlite::Result<RawInfo> {
    Ok(RawInfo {
        id: row.get(0)?,
        path: row.get(1)?,
        hash: row.get(2)?,
        registration_time: row.get(3)?,
        deriver: row.get(4)?,
        nar_size: row.get(5)?,
        ultimate: row.get(6)?,
        sigs: row.get(7)?,
        ca: row.get(8)?,
    })
}

fn parse_all(dir: &StoreDir, paths: &[String]) -> Result<BTreeSet<StorePath>> {
    paths
        .iter()
        .map(|path| {
            dir.parse(path.as_bytes())
                .map_err(|e| Cause::BadRecord { path: path.clone(), why: e.to_string() }.into())
        })
        .collect()
}
