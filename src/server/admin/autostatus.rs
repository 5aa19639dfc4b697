//! The status in the lines of Apache's `mod_status` (`/server-status?auto`), which telegraf,
//! collectd and Zabbix read. Only keys that mean the same are here.

use std::fmt::Write;

use crate::pool::WorkerActivity;
use crate::server::handle::Handle;
use crate::server::state::ServerState;

/// The lines, each `Key: value`.
pub(super) fn text(handle: &Handle) -> String {
    let stats = handle.stats();
    let uptime = handle.shared().uptime().as_secs_f64();
    let whole = uptime as u64;
    let workers = handle.workers();
    let is_busy = |activity| activity == WorkerActivity::Serving;
    let scoreboard: String =
        workers.iter().map(|worker| if is_busy(worker.activity) { 'W' } else { '_' }).collect();
    let busy = scoreboard.bytes().filter(|byte| *byte == b'W').count();
    let stopping = u8::from(handle.state() > ServerState::Running);
    let mut text = format!("ServerVersion: millpond/{}\n", env!("CARGO_PKG_VERSION"));
    // Writing to a string cannot fail.
    let _ = writeln!(text, "ServerUptimeSeconds: {whole}");
    let _ = writeln!(text, "Total Accesses: {}", stats.served);
    let _ = writeln!(text, "Uptime: {whole}");
    let _ = writeln!(text, "ReqPerSec: {:.6}", stats.served as f64 / uptime.max(1e-3));
    let _ = writeln!(text, "BusyWorkers: {busy}");
    let _ = writeln!(text, "IdleWorkers: {}", workers.len() - busy);
    let _ = writeln!(text, "Processes: 1");
    let _ = writeln!(text, "Stopping: {stopping}");
    let _ = writeln!(text, "ConnsTotal: {}", stats.live);
    let _ = writeln!(text, "Scoreboard: {scoreboard}");
    text
}
