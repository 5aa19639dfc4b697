//! Signals: one thread receives them and passes them to the main thread as [`Event`]s.
//!
//! docs/signals.md documents what each signal does.

use std::sync::atomic::{AtomicI32, AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, never};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals as Iterator;

use crate::failure::{Failure, code};

/// The time in which the main thread has to end the process after a second signal.
const QUIT_WITHIN: Duration = Duration::from_secs(1);

/// What a signal requests, the most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// TERM or INT: stop gracefully. A second one ends the process at once.
    Stop,
    /// QUIT: log the state of the server.
    LogState,
    /// USR1: reopen the access log.
    Reopen,
    /// HUP: reload the settings.
    Reload,
}

const EVENTS: [Event; 4] = [Event::Stop, Event::LogState, Event::Reopen, Event::Reload];

/// Registered signals. Those that arrive before [`start`](Self::start) are kept until then.
#[derive(Debug)]
pub(crate) struct Signals(Iterator);

/// The main thread's end, at which it receives events.
#[derive(Debug)]
pub(crate) struct SignalReceiver {
    wake: Receiver<()>,
    shared: Arc<PendingEvents>,
}

/// Sends events to the main thread as signals do.
#[derive(Debug)]
pub(crate) struct EventSender {
    wake: Sender<()>,
    shared: Arc<PendingEvents>,
}

impl EventSender {
    /// Sends an event. Two equal ones that the main thread has not taken yet are one.
    pub(crate) fn send(&self, event: Event) {
        self.shared.put(event);
        // A wake-up that the main thread has not received yet covers this event, too.
        let _ = self.wake.try_send(());
    }
}

#[derive(Default)]
struct PendingEvents {
    /// One bit for each event that the main thread has not taken yet. Two equal signals are one
    /// event, so that no queue is needed and no event is lost.
    pending: AtomicU8,
    /// The second TERM or INT; 0 before.
    quit: AtomicI32,
    /// Makes the main thread return soon.
    on_quit: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl std::fmt::Debug for PendingEvents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PendingEvents").field("pending", &self.pending).finish_non_exhaustive()
    }
}

impl Signals {
    /// Registers the handlers. From then on, no signal ends the process by itself.
    pub(crate) fn register() -> Result<Self, Failure> {
        // USR2 requests nothing. Its default action would end the process, and other servers
        // upgrade on it, so that a script may send it.
        let handled = [SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGQUIT];
        Iterator::new(handled)
            .map(Self)
            .map_err(|error| Failure::io(code::RUNTIME, "cannot register signal handlers", error))
    }

    /// Starts the thread that receives signals, beginning with those that arrived before.
    ///
    /// The thread is not joined: it has to end the process on a second signal, at any time.
    pub(crate) fn start(self) -> Result<(SignalReceiver, EventSender), Failure> {
        let (sender, wake) = bounded(1);
        let shared = Arc::new(PendingEvents::default());
        let listener = SignalReceiver { wake, shared: Arc::clone(&shared) };
        let events = EventSender { wake: sender.clone(), shared: Arc::clone(&shared) };
        let spawned = thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || forward(self.0, &sender, &shared));
        spawned
            .map(|_| (listener, events))
            .map_err(|error| Failure::io(code::RUNTIME, "cannot start the signals thread", error))
    }
}

impl SignalReceiver {
    /// Waits for the next event, at most for `timeout`.
    pub(crate) fn wait(&self, timeout: Option<Duration>) -> Option<Event> {
        if let Some(event) = self.shared.take() {
            return Some(event);
        }
        let woken = match timeout {
            Some(timeout) => self.wake.recv_timeout(timeout),
            None => self.wake.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match woken {
            Ok(()) | Err(RecvTimeoutError::Timeout) => self.shared.take(),
            // The thread never ends. If it did, no signal could stop the server: stop it now.
            Err(RecvTimeoutError::Disconnected) => Some(Event::Stop),
        }
    }

    /// Sets the function that a second TERM or INT calls to interrupt the main thread. It must not
    /// wait for the main thread.
    pub(crate) fn on_quit(&self, stop: impl Fn() + Send + Sync + 'static) {
        let _ = self.shared.on_quit.set(Box::new(stop));
    }

    /// The exit code after a second signal: 128 plus its number, as in a shell.
    pub(crate) fn quit_code(&self) -> Option<u8> {
        match self.shared.quit.load(Ordering::SeqCst) {
            0 => None,
            signal => u8::try_from(128 + signal).ok(),
        }
    }
}

impl PendingEvents {
    /// Takes the most urgent of the pending events.
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

fn forward(mut signals: Iterator, wake: &Sender<()>, shared: &PendingEvents) {
    let mut stopping = false;
    for signal in signals.forever() {
        let event = match signal {
            SIGTERM | SIGINT if stopping => {
                shared.quit.store(signal, Ordering::SeqCst);
                // A main thread that waits for the end of the lame duck goes on.
                shared.put(Event::Stop);
                let _ = wake.try_send(());
                quit(shared, 128 + signal);
            }
            SIGTERM | SIGINT => Event::Stop,
            SIGHUP => Event::Reload,
            SIGUSR1 => Event::Reopen,
            SIGQUIT => Event::LogState,
            _ => continue,
        };
        stopping |= event == Event::Stop;
        shared.put(event);
        // A wake-up that the main thread has not received yet covers this event, too.
        let _ = wake.try_send(());
    }
}

/// Interrupts the main thread so that it ends the process. Ends the process here if the main thread
/// does not: it may hang in a system call, or still be starting the server.
fn quit(shared: &PendingEvents, code: i32) -> ! {
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
    fn each_event_is_taken_once_and_the_most_urgent_first() {
        let shared = PendingEvents::default();
        for event in [Event::Reload, Event::Reload, Event::Stop, Event::Reopen] {
            shared.put(event);
        }
        let taken: Vec<_> = std::iter::from_fn(|| shared.take()).collect();
        assert_eq!(taken, [Event::Stop, Event::Reopen, Event::Reload]);
    }

    #[test]
    fn an_event_after_its_wake_up_is_not_lost() {
        let (sender, wake) = bounded(1);
        let listener = SignalReceiver { wake, shared: Arc::default() };
        sender.send(()).unwrap();
        listener.shared.put(Event::LogState);
        assert_eq!(listener.wait(None), Some(Event::LogState));
        // The wake-up that is left over reports no event.
        assert_eq!(listener.wait(Some(Duration::from_secs(5))), None);
        assert_eq!(listener.wait(Some(Duration::ZERO)), None);
    }
}
