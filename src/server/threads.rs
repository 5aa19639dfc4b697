//! The threads of a server. No other file of the library starts threads.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{Builder as ThreadBuilder, JoinHandle};

use rustix::process::{getpriority_process, setpriority_process};

use crate::error::{Error, ErrorKind};
use crate::pool::Shared;
use crate::pool::acceptor::Acceptor;
use crate::pool::datagram::receive::Receiver;
use crate::pool::datagram::send_batch::SendBatch;
use crate::pool::datagram::socket::DatagramSocket;
use crate::pool::guard::{ProtocolWorkers, Protocols};
use crate::pool::monitor::Monitor;
use crate::pool::source::Source;
use crate::pool::worker::Worker;
use crate::sync::lock;

/// The name of the acceptor's thread. Once it has ended, the server accepts no connections.
const ACCEPTOR: &str = "acceptor";

/// What the threads of a server work on.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) shared: Arc<Shared>,
    pub(super) protocols: Protocols,
    pub(super) sources: Vec<Source>,
    pub(super) sockets: Vec<Arc<DatagramSocket>>,
    /// Whether there is a worker for urgent requests only.
    pub(super) urgent: bool,
    pub(super) admin: Option<AdminJob>,
}

/// What the admin thread runs.
pub(super) struct AdminJob(pub(super) Box<dyn FnOnce() + Send>);

impl fmt::Debug for AdminJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminJob")
    }
}

impl Parts {
    /// Starts the admin thread and the workers, and adds each to `threads`. After an error, these
    /// are the threads to stop. Each worker prepares itself first, which [`StartGate::wait`] waits
    /// for.
    pub(super) fn start_workers(
        &mut self,
        threads: &mut Vec<ServerThread>,
    ) -> Result<Arc<StartGate>, Error> {
        if let Some(AdminJob(run)) = self.admin.take() {
            // First: it reports that the server is not ready yet.
            threads.push(ServerThread::spawn(&self.shared, "admin", run)?);
        }
        let Self { shared, sockets, urgent, .. } = &*self;
        let protocols = || ProtocolWorkers::new(&self.protocols);
        let worker = |index| Worker {
            index,
            shared: Arc::clone(shared),
            protocols: protocols(),
            receiver: Receiver::new(Arc::clone(shared), sockets.clone()),
            batch: SendBatch::default(),
        };
        let nice = shared.pool().worker_nice;
        let missing = shared.pool().workers + usize::from(*urgent);
        let gate = Arc::new(StartGate::new(Arc::clone(shared), missing));
        for index in 0..shared.pool().workers {
            let (mut worker, gate) = (worker(index), Arc::clone(&gate));
            threads.push(ServerThread::spawn(shared, &format!("worker-{index}"), move || {
                raise_nice(nice);
                if gate.report(worker.prepare()) {
                    worker.run();
                }
            })?);
        }
        if *urgent {
            let (mut worker, gate) = (worker(shared.pool().workers), Arc::clone(&gate));
            threads.push(ServerThread::spawn(shared, "worker-urgent", move || {
                if gate.report(worker.prepare()) {
                    worker.run_urgent();
                }
            })?);
        }
        Ok(gate)
    }

    /// Starts the other threads, once the workers are ready.
    pub(super) fn start_others(self, threads: &mut Vec<ServerThread>) -> Result<(), Error> {
        let Self { shared, protocols, sources, sockets, .. } = self;
        let protocols = || ProtocolWorkers::new(&protocols);
        let monitor = Monitor::new(Arc::clone(&shared), protocols());
        threads.push(ServerThread::spawn(&shared, "monitor", move || monitor.run())?);
        shared.spawn_upgrades_with(|job| spawn_thread("upgraded", job).map(drop));
        shared.spawn_canceller_with(|job| spawn_thread("canceller", job).map(drop));
        // Last: a connection is accepted only once every other thread runs.
        let acceptor = Acceptor::new(Arc::clone(&shared), protocols(), sources, sockets);
        threads.push(ServerThread::spawn(&shared, ACCEPTOR, move || acceptor.run())?);
        Ok(())
    }
}

/// Where the start of a server waits for its workers.
pub(super) struct StartGate {
    shared: Arc<Shared>,
    state: Mutex<StartState>,
}

struct StartState {
    /// The workers that are not ready yet.
    missing: usize,
    /// The first error of a worker.
    error: Option<Error>,
}

impl StartGate {
    fn new(shared: Arc<Shared>, missing: usize) -> Self {
        Self { shared, state: Mutex::new(StartState { missing, error: None }) }
    }

    /// A worker is ready, or it cannot serve. Returns whether it can.
    fn report(&self, result: Result<(), Error>) -> bool {
        let is_ready = result.is_ok();
        {
            let mut state = lock(&self.state);
            state.missing -= 1;
            state.error = state.error.take().or(result.err());
        }
        self.shared.notify_waiters();
        is_ready
    }

    /// Waits until every worker has reported, or until another thread stops the server: a program's
    /// function that makes a state may never return.
    pub(super) fn wait(&self) -> Result<(), Error> {
        let shared = &self.shared;
        shared.wait_for_acceptor(|| shared.is_draining() || lock(&self.state).missing == 0);
        lock(&self.state).error.take().map_or(Ok(()), Err)
    }
}

/// Raises the nice value of the calling worker (nice(2), which on Linux applies to a thread), so
/// that the threads that accept, refuse and enforce deadlines get the CPU before it. This needs no
/// privilege.
fn raise_nice(by: u8) {
    let raise = || {
        let nice = getpriority_process(None)?;
        setpriority_process(None, (nice + i32::from(by)).min(19))
    };
    if by > 0
        && let Err(errno) = raise()
    {
        log::debug!("cannot raise the nice value of a worker: {}", io::Error::from(errno));
    }
}

/// A thread of the server, and whether it has ended.
pub(super) struct ServerThread {
    thread: JoinHandle<()>,
    ended: Arc<AtomicBool>,
}

impl ServerThread {
    fn spawn(
        shared: &Arc<Shared>,
        name: &str,
        run: impl FnOnce() + Send + 'static,
    ) -> Result<Self, Error> {
        let ended = Arc::new(AtomicBool::new(false));
        let end = ThreadEnd { shared: Arc::clone(shared), ended: Arc::clone(&ended) };
        let thread = spawn_thread(name, move || {
            let _end = end;
            run();
        });
        let thread = thread.map_err(|error| {
            Error::new(ErrorKind::System, "cannot start a thread")
                .with_source(error)
                .with_hint("lower the number of workers, or raise the limit on threads")
        })?;
        Ok(Self { thread, ended })
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    pub(super) fn name(&self) -> &str {
        self.thread.thread().name().unwrap_or_default()
    }

    pub(super) fn is_acceptor(&self) -> bool {
        self.name() == ACCEPTOR
    }
}

/// Records the end of a thread, even if it panics. If the server has stopped, closes the remaining
/// connections.
struct ThreadEnd {
    shared: Arc<Shared>,
    ended: Arc<AtomicBool>,
}

impl Drop for ThreadEnd {
    fn drop(&mut self) {
        if self.shared.is_stopped() {
            self.shared.close_all();
        }
        self.ended.store(true, Ordering::SeqCst);
        self.shared.notify_waiters();
    }
}

/// Joins the threads that have ended, and logs how many have not.
pub(super) fn join_ended(threads: Vec<ServerThread>) {
    let (ended, running): (Vec<_>, Vec<_>) = threads.into_iter().partition(ServerThread::has_ended);
    for thread in ended {
        let name = thread.name().to_owned();
        if thread.thread.join().is_err() {
            log::error!("thread {name} panicked");
        }
    }
    if !running.is_empty() {
        log::warn!(
            "{} threads are still in a handler, or make a worker's state, and keep running",
            running.len()
        );
    }
}

pub(super) fn spawn_thread(
    name: &str,
    run: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    ThreadBuilder::new().name(name.to_owned()).spawn(run)
}
