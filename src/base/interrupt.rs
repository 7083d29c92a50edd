//! Being asked to end: a first SIGINT, SIGTERM or SIGHUP lets the work under way clear up after itself, a second one ends
//! the process at once.
//!
//! Most work may simply stop: what it leaves is whole or is never read. Work that must clear up holds a [`Hold`]; it asks
//! [`check`] now and then, gives up with [`Interrupted`], and its thread ends the process.

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The signal that came; 0 while none has.
static SIGNAL: AtomicI32 = AtomicI32::new(0);
/// How many [`Hold`]s there are.
static HOLDS: Mutex<usize> = Mutex::new(0);
/// How often the end of the work under way is looked for.
const GLANCE: Duration = Duration::from_millis(20);
/// How long after an unexplained end of a child the signal that ended it too may take to arrive here.
const DELIVERY: Duration = Duration::from_millis(200);

/// Someone asked this process to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("interrupted by {}", self.name())]
pub struct Interrupted {
    /// The signal's number.
    pub signal: i32,
}

impl Interrupted {
    fn name(self) -> &'static str {
        match self.signal {
            SIGINT => "SIGINT",
            SIGTERM => "SIGTERM",
            SIGHUP => "SIGHUP",
            _ => "a signal",
        }
    }
}

/// Listens for signals from now on. `end` must end the process; it is called when one came and nobody has to clear up.
///
/// # Errors
/// When the system gives no handler.
pub fn listen(end: impl Fn(Interrupted) + Send + 'static) -> std::io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        loop {
            // While none has come, sleep until one does.
            let came: Vec<i32> = match SIGNAL.load(Ordering::SeqCst) {
                0 => signals.wait().collect(),
                _ => signals.pending().collect(),
            };
            for signal in came {
                if SIGNAL.compare_exchange(0, signal, Ordering::SeqCst, Ordering::SeqCst).is_err() {
                    // The second: the person does not want to wait. What is left is cleared up by the next build.
                    let _ = signal_hook::low_level::emulate_default_handler(signal);
                }
            }
            if let Some(interrupted) = pending() {
                // Nobody begins something that must be cleared up from here on.
                let holds = HOLDS.lock().unwrap_or_else(PoisonError::into_inner);
                if *holds == 0 {
                    end(interrupted);
                }
                drop(holds);
                std::thread::sleep(GLANCE);
            }
        }
    })?;
    Ok(())
}

/// Whether a signal came.
#[must_use]
pub fn pending() -> Option<Interrupted> {
    match SIGNAL.load(Ordering::SeqCst) {
        0 => None,
        signal => Some(Interrupted { signal }),
    }
}

/// Gives up when a signal came.
///
/// # Errors
/// [`Interrupted`], if so.
pub fn check() -> Result<(), Interrupted> {
    pending().map_or(Ok(()), Err)
}

/// As [`check`], for when something ended without a word: a terminal sends its signal to all of our processes, and ours may
/// arrive last.
///
/// # Errors
/// [`Interrupted`], if so.
pub fn check_late() -> Result<(), Interrupted> {
    let mut waited = Duration::ZERO;
    while waited < DELIVERY && pending().is_none() {
        std::thread::sleep(GLANCE);
        waited += GLANCE;
    }
    check()
}

/// As long as this value lives, the process does not end under the work that holds it.
#[derive(Debug)]
pub struct Hold {
    brief: bool,
}

impl Hold {
    /// For work whose thread ends the process itself when it is interrupted, clearing up on its way.
    #[must_use]
    pub fn to_the_end() -> Self {
        Self::begin(false)
    }

    /// For work that is done in a moment, whatever comes.
    #[must_use]
    pub fn brief() -> Self {
        Self::begin(true)
    }

    fn begin(brief: bool) -> Self {
        *HOLDS.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        Self { brief }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.brief || pending().is_none() {
            *HOLDS.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_their_names() {
        for (signal, name) in [(2, "SIGINT"), (15, "SIGTERM"), (1, "SIGHUP"), (10, "a signal")] {
            assert_eq!(Interrupted { signal }.to_string(), format!("interrupted by {name}"));
        }
    }

    #[test]
    fn without_a_signal_holds_are_given_back() {
        let (one, other) = (Hold::brief(), Hold::to_the_end());
        drop((one, other));
        assert_eq!(check(), Ok(()));
    }
}
