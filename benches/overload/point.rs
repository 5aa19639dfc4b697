//! One load on one server: the smallest thing that is measured.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::{getpriority_process, setpriority_process};

use crate::generator::{self, Plan};
use crate::outcome::Report;
use crate::process::Process;

/// How often memory is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// What one load on one server showed.
#[derive(Clone, Debug)]
pub(crate) struct Point {
    pub(crate) report: Report,
    /// The most memory the server held meanwhile, in KiB.
    pub(crate) rss_kib: u64,
    /// Whether the server was still there afterwards.
    pub(crate) alive: bool,
}

/// Puts the load of `plan` on a running server and watches its memory meanwhile.
pub(crate) fn measure(process: &mut Process, plan: &Plan) -> Result<Point, String> {
    let done = AtomicBool::new(false);
    let (report, rss_kib) = thread::scope(|scope| {
        let generator = thread::Builder::new().name("generator".into());
        let generator = generator.spawn_scoped(scope, || {
            let report = send(plan);
            done.store(true, Ordering::Release);
            report
        });
        let mut rss_kib = 0;
        while !done.load(Ordering::Acquire) && generator.as_ref().is_ok_and(|g| !g.is_finished()) {
            rss_kib = process.usage().rss_kib.max(rss_kib);
            thread::sleep(LOOK);
        }
        let report = generator.map_err(|error| error.to_string())?.join();
        Ok::<_, String>((report.map_err(|_| "the generator panicked")??, rss_kib))
    })?;
    Ok(Point { report, rss_kib, alive: !process.has_ended() })
}

/// Sends the load from this thread, ahead of the servers where the system allows it: in life the
/// clients have machines of their own.
pub(crate) fn send(plan: &Plan) -> Result<Report, String> {
    if let Ok(priority) = getpriority_process(None) {
        let _ = setpriority_process(None, priority - 5);
    }
    generator::run(plan)
}

/// The usual load of these benchmarks: fresh connections and a deadline of 200 ms, at which clients
/// give up. `clients` are as many loopback addresses.
pub(crate) fn plan(target: SocketAddr, clients: u8) -> Plan {
    let source = |n| target.ip().is_loopback().then_some([127, 0, 0, n]).map(Into::into);
    let client = |n| generator::Client { source: source(n), weight: 1.0 };
    let clients = match target {
        SocketAddr::V4(_) => (2..clients.saturating_add(2)).map(client).collect(),
        SocketAddr::V6(_) => vec![generator::Client { source: None, weight: 1.0 }],
    };
    Plan {
        target,
        phases: Vec::new(),
        clients,
        deadline: Duration::from_millis(200),
        patience: Duration::from_millis(200),
        retry_pause: Duration::from_millis(50),
        keep_alive: None,
        seed: 1,
    }
}
