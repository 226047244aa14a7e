//! Ctrl-C and its kin: the first one stops the build and lets it clean up, the second ends the program at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rekindle_engine::Cancel;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::cli_error::CliError;

/// Whether the user wants to stop.
#[derive(Debug, Clone)]
pub(crate) struct Interrupt {
    cancel: Cancel,
    seen: Arc<AtomicBool>,
}

impl Interrupt {
    /// Listens for signals from now on, until the process ends.
    pub(crate) fn listen() -> Result<Interrupt, CliError> {
        let cancel = Cancel::new()?;
        let seen = Arc::new(AtomicBool::new(false));
        let interrupt = Interrupt { cancel, seen };
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])
            .map_err(|error| CliError::environment(format!("cannot listen for signals: {error}")))?;
        let listener = interrupt.clone();
        thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                for signal in signals.forever() {
                    if listener.seen.swap(true, Ordering::SeqCst) {
                        // The sandbox ends by itself when its caller is gone.
                        let _ = signal_hook::low_level::emulate_default_handler(signal);
                    }
                    listener.cancel.cancel();
                }
            })
            .map_err(|error| CliError::environment(format!("cannot start a thread: {error}")))?;
        Ok(interrupt)
    }

    /// The switch that a signal throws.
    pub(crate) fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    /// Whether a signal came.
    pub(crate) fn is_set(&self) -> bool {
        self.seen.load(Ordering::SeqCst)
    }
}
