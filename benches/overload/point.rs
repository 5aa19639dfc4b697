//! One load on one server: the smallest thing that is measured.

use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{getpriority_process, setpriority_process};

use crate::generator;
use crate::outcome::Report;
use crate::plan::Plan;
use crate::process::Process;

/// How many steps of niceness the generator goes ahead of the servers.
const AHEAD: i32 = 15;
/// How often memory is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// What one load on one server showed.
#[derive(Clone, Debug)]
pub(crate) struct Point {
    pub(crate) report: Report,
    /// The most memory the server held meanwhile, in KiB.
    pub(crate) rss_kib: u64,
    /// Cores that the server used on average.
    pub(crate) cpu: f64,
    /// Whether the server was still there afterwards.
    pub(crate) alive: bool,
}

/// Puts the load of `plan` on a running server and watches its memory meanwhile.
pub(crate) fn measure(process: &mut Process, plan: &Plan) -> Result<Point, String> {
    let (start, before) = (Instant::now(), process.usage().cpu_us);
    let (report, rss_kib) = thread::scope(|scope| {
        let generator = thread::Builder::new().name("generator".into());
        let generator = generator.spawn_scoped(scope, || send(plan));
        let generator = generator.map_err(|error| error.to_string())?;
        let mut rss_kib = 0;
        while !generator.is_finished() {
            rss_kib = process.usage().rss_kib.max(rss_kib);
            thread::sleep(LOOK);
        }
        let report = generator.join().map_err(|_| "the generator panicked")??;
        Ok::<_, String>((report, rss_kib))
    })?;
    let cpu_us = process.usage().cpu_us.saturating_sub(before) as f64;
    let cpu = cpu_us / start.elapsed().as_secs_f64() / 1e6;
    Ok(Point { report, rss_kib, cpu, alive: !process.has_ended() })
}

/// Sends the load from this thread, ahead of the servers where the system allows it: in life the
/// clients have machines of their own.
pub(crate) fn send(plan: &Plan) -> Result<Report, String> {
    if let Ok(priority) = getpriority_process(None) {
        let _ = setpriority_process(None, priority - AHEAD);
    }
    generator::run(plan)
}
