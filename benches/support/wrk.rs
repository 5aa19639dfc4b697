//! wrk, the closed-loop load generator: run, and its report read.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// What one run of wrk measured.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Figures {
    /// Responses.
    pub(crate) requests: u64,
    /// Responses per second.
    pub(crate) per_second: f64,
    /// Half of the requests took at most this, in microseconds.
    pub(crate) p50_us: f64,
    /// 99 of 100 requests took at most this, in microseconds.
    pub(crate) p99_us: f64,
    /// Socket errors, and responses that are neither 2xx nor 3xx.
    pub(crate) errors: u64,
}

/// What wrk sends, from one thread.
#[derive(Clone, Debug, Default)]
pub(crate) struct Load {
    pub(crate) url: String,
    /// Keep-alive connections.
    pub(crate) connections: usize,
    pub(crate) seconds: u64,
    /// The script that makes the requests; GET of `url` without one.
    pub(crate) script: Option<PathBuf>,
    /// The cores for wrk, as taskset(1) takes them; any without.
    pub(crate) cpus: Option<String>,
}

/// Drives `url` with `connections` keep-alive connections for `seconds`, from one thread.
pub(crate) fn run(url: &str, connections: usize, seconds: u64) -> Result<Figures, String> {
    drive(&Load { url: url.to_owned(), connections, seconds, ..Load::default() })
}

/// Runs wrk with this load.
pub(crate) fn drive(load: &Load) -> Result<Figures, String> {
    let url = &load.url;
    let mut command = pinned("wrk", load.cpus.as_deref());
    command.args(["-t1", "--latency", "--timeout", "10s"]);
    command.arg(format!("-c{}", load.connections)).arg(format!("-d{}s", load.seconds));
    if let Some(script) = &load.script {
        command.arg("-s").arg(script);
    }
    let output =
        command.arg(url).stdin(Stdio::null()).output().map_err(|error| match error.kind() {
            ErrorKind::NotFound => "wrk is not installed; on Debian: apt-get install wrk".into(),
            _ => format!("cannot start wrk: {error}"),
        })?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr);
        return Err(format!("wrk failed on {url}: {} {}", text.trim(), reason.trim()));
    }
    parse(&text).ok_or_else(|| format!("wrk's report was not understood: {text}"))
}

/// Reads the report that wrk prints with `--latency`.
pub(crate) fn parse(report: &str) -> Option<Figures> {
    let mut figures = Figures::default();
    for line in report.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["50%", time] => figures.p50_us = microseconds(time)?,
            ["99%", time] => figures.p99_us = microseconds(time)?,
            [count, "requests", "in", ..] => figures.requests = count.parse().ok()?,
            ["Requests/sec:", rate] => figures.per_second = rate.parse().ok()?,
            ["Non-2xx", .., count] => figures.errors += count.parse::<u64>().ok()?,
            ["Socket", "errors:", rest @ ..] => {
                let numbers =
                    rest.iter().filter_map(|w| w.trim_end_matches(',').parse::<u64>().ok());
                figures.errors += numbers.sum::<u64>();
            }
            _ => {}
        }
    }
    (figures.per_second > 0.0 || report.contains("Requests/sec:")).then_some(figures)
}

/// A command for this program, on these cores only (taskset(1)).
pub(crate) fn pinned(program: impl AsRef<OsStr>, cpus: Option<&str>) -> Command {
    let Some(cpus) = cpus else { return Command::new(program) };
    let mut command = Command::new("taskset");
    command.args(["-c", cpus]).arg(program);
    command
}

/// "1.15ms" in microseconds.
fn microseconds(time: &str) -> Option<f64> {
    let at = time.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = time.split_at(at);
    let factor = match unit {
        "us" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        "m" => 60e6,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * factor)
}
