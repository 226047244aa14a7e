//! One file, by `file:`, `http:` or `https:`.
//!
//! The hash is the engine's business; here only what can be tried again is tried again. A download runs in a thread
//! of its own, because nothing but the end of the process can end a read that hangs: when the build is cancelled or
//! no byte comes for a minute, the thread is left behind.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use rekindle_engine::Cancel;

use crate::cli_error::one_line;

/// How often a download is tried.
const TRIES: u32 = 4;
/// How long to wait before the second try; each further wait is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// How long a server may take to answer, and then to send a next byte.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often the thread that waits looks whether it should.
const GLANCE: Duration = Duration::from_millis(50);

/// Makes the file `dest` from what is at `url`.
pub(super) fn fetch(url: &str, dest: &Path, executable: bool, cancel: &Cancel) -> Result<(), String> {
    match url.split_once(':').map(|(scheme, rest)| (scheme.to_ascii_lowercase(), rest)) {
        Some((scheme, rest)) if scheme == "file" => {
            copy(rest, dest).map_err(|error| format!("{url}: {error}"))?;
        }
        Some((scheme, _)) if scheme == "http" || scheme == "https" => download(url, dest, cancel)?,
        _ => return Err(format!("{url}: only file:, http: and https: URLs can be fetched")),
    }
    if executable {
        fs::set_permissions(dest, Permissions::from_mode(0o755))
            .map_err(|error| format!("{}: {error}", dest.display()))?;
    }
    Ok(())
}

/// Copies the file that follows `file:`.
fn copy(rest: &str, dest: &Path) -> Result<(), String> {
    let path = match rest.strip_prefix("//") {
        Some(with_host) => {
            let path = with_host.strip_prefix("localhost").unwrap_or(with_host);
            if path.starts_with('/') { path } else { return Err("it names another machine".to_owned()) }
        }
        None => rest,
    };
    let path = PathBuf::from(std::ffi::OsStr::from_bytes(&decoded(path)));
    let copy = || {
        let mut from = File::open(&path)?;
        if !from.metadata()?.is_file() {
            return Err(io::Error::other("it is no regular file"));
        }
        io::copy(&mut from, &mut File::create_new(dest)?)
    };
    copy().map(drop).map_err(|error| error.to_string())
}

/// Replaces `%41` and the like by the bytes that they stand for.
fn decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = |byte: u8| char::from(byte).to_digit(16);
        match after {
            [high, low, tail @ ..] if *first == b'%' => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    bytes.push((high * 16 + low) as u8);
                    rest = tail;
                    continue;
                }
                _ => bytes.push(*first),
            },
            _ => bytes.push(*first),
        }
        rest = after;
    }
    bytes
}

/// How a try ended that did not bring the file.
enum Trouble {
    /// Another try would end the same way.
    Final(String),
    /// Another try may do better.
    Passing(String),
}

fn download(url: &str, dest: &Path, cancel: &Cancel) -> Result<(), String> {
    let mut pause = FIRST_PAUSE;
    for attempt in 1.. {
        match attempt_download(url, dest, cancel) {
            Ok(()) => return Ok(()),
            Err(trouble) => {
                // A thread that was left behind may still hold the file; it is no longer this name's.
                let _ = fs::remove_file(dest);
                match trouble {
                    Trouble::Passing(_) if attempt < TRIES && !cancel.is_cancelled() => {}
                    Trouble::Final(reason) | Trouble::Passing(reason) => {
                        return Err(format!("{url}: {reason}"));
                    }
                }
            }
        }
        let until = Instant::now() + pause;
        while Instant::now() < until && !cancel.is_cancelled() {
            thread::sleep(GLANCE);
        }
        pause *= 2;
    }
    unreachable!("the last try returns")
}

fn attempt_download(url: &str, dest: &Path, cancel: &Cancel) -> Result<(), Trouble> {
    let (sender, receiver) = mpsc::channel();
    let progress = Arc::new(AtomicU64::new(0));
    let abandoned = Arc::new(AtomicBool::new(false));
    let worker = {
        let (url, dest) = (url.to_owned(), dest.to_owned());
        let (progress, abandoned) = (Arc::clone(&progress), Arc::clone(&abandoned));
        move || {
            // Nobody listens any more if this try was given up.
            let _ = sender.send(transfer(&url, &dest, &progress, &abandoned));
        }
    };
    thread::Builder::new()
        .name("download".to_owned())
        .spawn(worker)
        .map_err(|error| Trouble::Final(format!("cannot start a thread: {error}")))?;
    let (mut seen, mut last) = (0, Instant::now());
    loop {
        match receiver.recv_timeout(GLANCE) {
            Ok(outcome) => return outcome,
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Trouble::Final("the download broke off".to_owned()));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        let now = progress.load(Ordering::Relaxed);
        if now != seen {
            (seen, last) = (now, Instant::now());
        }
        let stalled = last.elapsed() > PATIENCE;
        if stalled || cancel.is_cancelled() {
            abandoned.store(true, Ordering::Relaxed);
            return Err(match stalled {
                true => Trouble::Passing(format!("nothing came for {} seconds", PATIENCE.as_secs())),
                false => Trouble::Final("stopped".to_owned()),
            });
        }
    }
}

fn transfer(url: &str, dest: &Path, progress: &AtomicU64, abandoned: &AtomicBool) -> Result<(), Trouble> {
    let tls = ureq::tls::TlsConfig::builder().root_certs(ureq::tls::RootCerts::PlatformVerifier).build();
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(PATIENCE))
        .timeout_recv_response(Some(PATIENCE))
        .user_agent(concat!("rekindle/", env!("CARGO_PKG_VERSION")))
        .tls_config(tls)
        .build();
    let agent = ureq::Agent::new_with_config(config);
    let mut response = agent.get(url).call().map_err(|error| {
        let text = one_line(&error);
        match error {
            ureq::Error::BadUri(_) | ureq::Error::TooManyRedirects | ureq::Error::Tls(_) => {
                Trouble::Final(text)
            }
            _ => Trouble::Passing(text),
        }
    })?;
    let status = response.status();
    if !status.is_success() {
        let text = format!("the server says {status}");
        let passing = status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429);
        return Err(if passing { Trouble::Passing(text) } else { Trouble::Final(text) });
    }
    let announced = response.body().content_length();
    let mut body = response.body_mut().as_reader();
    let disk = |error: io::Error| Trouble::Final(format!("cannot write {}: {error}", dest.display()));
    let mut file = OpenOptions::new().write(true).create_new(true).open(dest).map_err(disk)?;
    let mut chunk = vec![0; 64 << 10];
    let mut total = 0;
    loop {
        let read = match body.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Trouble::Passing(format!("it broke off after {total} bytes: {error}"))),
        };
        if abandoned.load(Ordering::Relaxed) {
            return Err(Trouble::Final("stopped".to_owned()));
        }
        file.write_all(&chunk[..read]).map_err(disk)?;
        total += read as u64;
        progress.store(total, Ordering::Relaxed);
    }
    match announced {
        Some(announced) if announced != total => {
            Err(Trouble::Passing(format!("it broke off after {total} of {announced} bytes")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
