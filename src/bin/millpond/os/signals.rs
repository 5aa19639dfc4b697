//! Signals, taken by one thread and told to the main thread as [`Event`]s.
//!
//! docs/signals.md says what each does.

use std::sync::atomic::{AtomicI32, AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, never};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals as Iterator;

use crate::failure::{Failure, code};

/// How long the main thread has to end the process after a second signal.
const QUIT_WITHIN: Duration = Duration::from_secs(1);

/// What a signal asks for. The most urgent stands first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// TERM or INT: finish what is in hand, then end. A second one ends the process at once.
    Stop,
    /// QUIT: log the state.
    Dump,
    /// USR1: open the log files again.
    Reopen,
    /// HUP: read the settings again.
    Reload,
}

const EVENTS: [Event; 4] = [Event::Stop, Event::Dump, Event::Reopen, Event::Reload];

/// Signals that are held until [`start`](Self::start) hands them on.
#[derive(Debug)]
pub(crate) struct Signals(Iterator);

/// How the main thread hears of signals.
#[derive(Debug)]
pub(crate) struct Listener {
    wake: Receiver<()>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// A bit for each event that was not yet taken. The same signal twice is one event: nothing
    /// has to be kept, and nothing can be lost.
    pending: AtomicU8,
    /// The second TERM or INT; 0 before.
    quit: AtomicI32,
    /// Makes the main thread return soon.
    on_quit: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("pending", &self.pending).finish_non_exhaustive()
    }
}

impl Signals {
    /// Registers the handlers. From here on no signal ends the process by itself.
    pub(crate) fn register() -> Result<Self, Failure> {
        // USR2 asks for nothing. It is here because it would end a process that does not take it,
        // and other servers are sent it for an upgrade.
        let taken = [SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGQUIT];
        Iterator::new(taken).map(Self).map_err(|error| {
            Failure::io(code::RUNTIME, "cannot register handlers for signals", error)
        })
    }

    /// Starts the thread that takes signals, those first that came since.
    ///
    /// It is not joined: it ends with the process, which is what it is there to see to.
    pub(crate) fn start(self) -> Result<Listener, Failure> {
        let (sender, wake) = bounded(1);
        let shared = Arc::new(Shared::default());
        let listener = Listener { wake, shared: Arc::clone(&shared) };
        let spawned = thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || forward(self.0, &sender, &shared));
        spawned
            .map(|_| listener)
            .map_err(|error| Failure::io(code::RUNTIME, "cannot start the thread signals", error))
    }
}

impl Listener {
    /// Waits for the next event, at most for so long.
    pub(crate) fn wait(&self, most: Option<Duration>) -> Option<Event> {
        if let Some(event) = self.shared.take() {
            return Some(event);
        }
        let woken = match most {
            Some(most) => self.wake.recv_timeout(most),
            None => self.wake.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match woken {
            Ok(()) | Err(RecvTimeoutError::Timeout) => self.shared.take(),
            // The thread has ended, which it never does: without signals there is only stopping.
            Err(RecvTimeoutError::Disconnected) => Some(Event::Stop),
        }
    }

    /// What a second TERM or INT calls, so that the main thread returns from where it is. It must
    /// not wait for that.
    pub(crate) fn on_quit(&self, stop: impl Fn() + Send + Sync + 'static) {
        let _ = self.shared.on_quit.set(Box::new(stop));
    }

    /// The exit code after a second signal: 128 and the signal's number, as a shell has it.
    pub(crate) fn quit_code(&self) -> Option<u8> {
        match self.shared.quit.load(Ordering::SeqCst) {
            0 => None,
            signal => u8::try_from(128 + signal).ok(),
        }
    }
}

impl Shared {
    /// The most urgent event that is pending.
    fn take(&self) -> Option<Event> {
        EVENTS.into_iter().find(|event| {
            let bit = 1 << *event as u8;
            self.pending.fetch_and(!bit, Ordering::SeqCst) & bit != 0
        })
    }

    fn put(&self, event: Event) {
        self.pending.fetch_or(1 << event as u8, Ordering::SeqCst);
    }
}

fn forward(mut signals: Iterator, wake: &Sender<()>, shared: &Shared) {
    let mut stopping = false;
    for signal in signals.forever() {
        let event = match signal {
            SIGTERM | SIGINT if stopping => {
                shared.quit.store(signal, Ordering::SeqCst);
                quit(shared, 128 + signal);
            }
            SIGTERM | SIGINT => Event::Stop,
            SIGHUP => Event::Reload,
            SIGUSR1 => Event::Reopen,
            SIGQUIT => Event::Dump,
            _ => continue,
        };
        stopping |= event == Event::Stop;
        shared.put(event);
        // A wake-up that still stands is enough for this event, too.
        let _ = wake.try_send(());
    }
}

/// Has the main thread end the process, and ends it here where that one does not get to it: it may
/// hang in a system call, or not have got so far yet.
fn quit(shared: &Shared, code: i32) -> ! {
    if let Some(stop) = shared.on_quit.get() {
        stop();
        let _ = never::<()>().recv_timeout(QUIT_WITHIN);
    }
    std::process::exit(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_urgent_event_is_taken_first_and_each_once() {
        let shared = Shared::default();
        for event in [Event::Reload, Event::Reload, Event::Stop, Event::Reopen] {
            shared.put(event);
        }
        let taken: Vec<_> = std::iter::from_fn(|| shared.take()).collect();
        assert_eq!(taken, [Event::Stop, Event::Reopen, Event::Reload]);
    }

    #[test]
    fn no_event_is_lost_when_the_wake_up_comes_first() {
        let (sender, wake) = bounded(1);
        let listener = Listener { wake, shared: Arc::default() };
        sender.send(()).unwrap();
        listener.shared.put(Event::Dump);
        assert_eq!(listener.wait(None), Some(Event::Dump));
        // The wake-up that was left over means nothing.
        assert_eq!(listener.wait(Some(Duration::from_secs(5))), None);
        assert_eq!(listener.wait(Some(Duration::ZERO)), None);
    }
}
