//! Changes: registering and forgetting paths.

use std::time::SystemTime;

use rekindle_nix::{StoreDir, StorePath};
use rusqlite::{OptionalExtension, Transaction, params};

use super::Db;
use crate::error::{Cause, Result};
use crate::info::Registration;

/// The recorded outputs of a derivation that is being registered: name and path.
pub(crate) type RecordedOutputs = Vec<(String, StorePath)>;

/// What became of a change that the state of the store may forbid.
enum Verdict {
    Done,
    Forbidden(Cause),
}

impl Db {
    /// Makes all of the paths valid, with the outputs of those that are derivations, or none.
    ///
    /// Each reference must be valid or among them. What is valid already stays as it is, but for what it can gain:
    /// being ultimate, and signatures.
    pub(crate) fn register(
        &mut self,
        dir: &StoreDir,
        paths: &[(Registration, RecordedOutputs)],
    ) -> Result<()> {
        let now = now();
        let verdict = self.change_if_allowed("register paths", |tx| {
            let mut fresh = Vec::new();
            for (registration, outputs) in paths {
                if let Some(id) = insert(tx, dir, registration, now)? {
                    fresh.push((id, registration, outputs));
                }
            }
            for (id, registration, outputs) in fresh {
                for reference in &registration.references {
                    let Some(reference_id) = id_of(tx, &dir.display(reference))? else {
                        return Ok(Verdict::Forbidden(Cause::ReferenceNotValid {
                            path: dir.display(&registration.path),
                            reference: dir.display(reference),
                        }));
                    };
                    tx.prepare_cached("insert or replace into Refs (referrer, reference) values (?, ?)")?
                        .execute(params![id, reference_id])?;
                }
                for (name, path) in outputs {
                    tx.prepare_cached(
                        "insert or replace into DerivationOutputs (drv, id, path) values (?, ?, ?)",
                    )?
                    .execute(params![id, name, dir.display(path)])?;
                }
            }
            Ok(Verdict::Done)
        })?;
        match verdict {
            Verdict::Done => Ok(()),
            Verdict::Forbidden(cause) => Err(cause.into()),
        }
    }

    /// Gives a valid path another hash, size and references: its files are others now. `exchange` puts them in place
    /// when all else is known to be right.
    pub(crate) fn replace(
        &mut self,
        dir: &StoreDir,
        new: &Registration,
        exchange: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let path = dir.display(&new.path);
        let mut failed = None;
        let verdict = self.change_if_allowed("replace a path", |tx| {
            let Some(id) = id_of(tx, &path)? else {
                return Ok(Verdict::Forbidden(Cause::NotValid { path: path.clone() }));
            };
            tx.prepare_cached("delete from Refs where referrer = ?")?.execute([id])?;
            for reference in &new.references {
                let Some(reference_id) = id_of(tx, &dir.display(reference))? else {
                    let reference = dir.display(reference);
                    return Ok(Verdict::Forbidden(Cause::ReferenceNotValid {
                        path: path.clone(),
                        reference,
                    }));
                };
                tx.prepare_cached("insert or replace into Refs (referrer, reference) values (?, ?)")?
                    .execute(params![id, reference_id])?;
            }
            // Whoever signed it signed other files.
            tx.prepare_cached("update ValidPaths set hash = ?, narSize = ?, sigs = null where id = ?")?
                .execute(params![
                    new.nar_hash.to_prefixed_hex(),
                    i64::try_from(new.nar_size).unwrap_or(i64::MAX),
                    id
                ])?;
            match exchange() {
                Ok(()) => Ok(Verdict::Done),
                Err(error) => {
                    failed = Some(error);
                    Ok(Verdict::Forbidden(Cause::NotValid { path: path.clone() }))
                }
            }
        })?;
        match (verdict, failed) {
            (_, Some(error)) => Err(error),
            (Verdict::Done, None) => Ok(()),
            (Verdict::Forbidden(cause), None) => Err(cause.into()),
        }
    }

    /// Makes a path invalid. It must have no referrers but itself. One that is not valid is no error.
    pub(crate) fn invalidate(&mut self, path: &str) -> Result<()> {
        let verdict = self.change_if_allowed("forget a path", |tx| {
            let referrer: Option<String> = tx
                .prepare_cached(
                    "select path from Refs join ValidPaths on referrer = id
                     where reference = (select id from ValidPaths where path = ?1) and path != ?1 limit 1",
                )?
                .query_row([path], |row| row.get(0))
                .optional()?;
            if let Some(referrer) = referrer {
                return Ok(Verdict::Forbidden(Cause::StillReferenced { path: path.to_owned(), referrer }));
            }
            tx.prepare_cached("delete from ValidPaths where path = ?")?.execute([path])?;
            Ok(Verdict::Done)
        })?;
        match verdict {
            Verdict::Done => Ok(()),
            Verdict::Forbidden(cause) => Err(cause.into()),
        }
    }

    /// As [`Db::change`], but `Forbidden` rolls back.
    fn change_if_allowed(
        &mut self,
        action: &'static str,
        body: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<Verdict>,
    ) -> Result<Verdict> {
        let path = &self.path;
        self.connection
            .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
            .and_then(|tx| {
                let verdict = body(&tx)?;
                match verdict {
                    Verdict::Done => tx.commit()?,
                    Verdict::Forbidden(_) => tx.rollback()?,
                }
                Ok(verdict)
            })
            .map_err(|source| Cause::Database { action, path: path.clone(), source }.into())
    }
}

/// Inserts a row and returns its id, or nothing if the path is valid already.
fn insert(
    tx: &Transaction<'_>,
    dir: &StoreDir,
    registration: &Registration,
    now: i64,
) -> rusqlite::Result<Option<i64>> {
    let path = dir.display(&registration.path);
    let sigs: Vec<String> = registration.signatures.iter().map(ToString::to_string).collect();
    if let Some(id) = id_of(tx, &path)? {
        upgrade(tx, id, registration.ultimate, &sigs)?;
        return Ok(None);
    }
    tx.prepare_cached(
        "insert into ValidPaths (path, hash, registrationTime, deriver, narSize, ultimate, sigs, ca)
         values (?, ?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        path,
        registration.nar_hash.to_prefixed_hex(),
        now,
        registration.deriver.as_ref().map(|deriver| dir.display(deriver)),
        i64::try_from(registration.nar_size).unwrap_or(i64::MAX),
        registration.ultimate.then_some(1),
        (!sigs.is_empty()).then(|| sigs.join(" ")),
        registration.ca.as_ref().map(ToString::to_string),
    ])?;
    Ok(Some(tx.last_insert_rowid()))
}

/// Seconds since 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "the database records when a path became valid; nothing is decided by it"
)]
fn now() -> i64 {
    let age = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(age.as_secs()).unwrap_or(i64::MAX)
}

fn upgrade(tx: &Transaction<'_>, id: i64, ultimate: bool, sigs: &[String]) -> rusqlite::Result<()> {
    if ultimate {
        tx.prepare_cached("update ValidPaths set ultimate = 1 where id = ?")?.execute([id])?;
    }
    if sigs.is_empty() {
        return Ok(());
    }
    let known: Option<String> =
        tx.prepare_cached("select sigs from ValidPaths where id = ?")?.query_row([id], |row| row.get(0))?;
    let mut all: Vec<&str> = known.as_deref().unwrap_or_default().split_ascii_whitespace().collect();
    for sig in sigs {
        if !all.contains(&sig.as_str()) {
            all.push(sig);
        }
    }
    tx.prepare_cached("update ValidPaths set sigs = ? where id = ?")?.execute(params![all.join(" "), id])?;
    Ok(())
}

fn id_of(tx: &Transaction<'_>, path: &str) -> rusqlite::Result<Option<i64>> {
    tx.prepare_cached("select id from ValidPaths where path = ?")?
        .query_row([path], |row| row.get(0))
        .optional()
}
