//! The numbers of the process and of its network namespace, from /proc and from system calls.
//!
//! A program that confines itself cannot open files in /proc any more (landlock(7)). So these files
//! are opened once, before, and read at each scrape. What the system does not report is left out.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;
use std::time::Duration;

use rustix::fs::fstat;
use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, Timespec, clock_gettime};

static FILES: OnceLock<ProcessFiles> = OnceLock::new();

/// A file that is longer is read up to here.
const LENGTH_MAX: usize = 32 * 1024;

/// The files in /proc that tell about this process; `None` for those that could not be opened.
#[derive(Debug)]
pub(super) struct ProcessFiles {
    /// The sizes of its memory, in pages: proc_pid_statm(5).
    memory: Option<File>,
    /// The directory of its descriptors: proc_pid_fd(5).
    descriptors: Option<File>,
    /// The counters of its network namespace: proc_pid_net(5).
    network: Option<File>,
    /// When the process started, in seconds since 1970.
    started: Option<f64>,
}

/// Connections that the kernel dropped since the network namespace exists, on all listening
/// sockets.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ListenDrops {
    /// Because an accept queue was full.
    pub(super) overflows: u64,
    /// For this or any other reason.
    pub(super) drops: u64,
}

/// Opens the files in /proc, before the process gives up the right to.
pub(super) fn open_files() -> &'static ProcessFiles {
    FILES.get_or_init(|| {
        let stat = std::fs::read_to_string("/proc/self/stat").ok();
        ProcessFiles {
            memory: File::open("/proc/self/statm").ok(),
            descriptors: File::open("/proc/self/fd").ok(),
            network: File::open("/proc/self/net/netstat").ok(),
            started: stat.and_then(|stat| started(&stat)),
        }
    })
}

impl ProcessFiles {
    /// The virtual and the resident size of the process, in bytes.
    pub(super) fn memory(&self) -> Option<(u64, u64)> {
        let text = read(self.memory.as_ref()?)?;
        let mut pages = text.split(' ').map_while(|field| field.parse::<u64>().ok());
        let page = page_size() as u64;
        Some((pages.next()? * page, pages.next()? * page))
    }

    /// How many descriptors the process has open. Linux reports it as the size of the directory
    /// since 6.2; to list the directory would take milliseconds.
    pub(super) fn descriptors(&self) -> Option<u64> {
        let size = fstat(self.descriptors.as_ref()?).ok()?.st_size as u64;
        Some(size).filter(|size| *size > 0)
    }

    pub(super) fn listen_drops(&self) -> Option<ListenDrops> {
        listen_drops(&read(self.network.as_ref()?)?)
    }

    /// When the process started, in seconds since 1970.
    pub(super) fn started(&self) -> Option<f64> {
        self.started
    }
}

/// The most descriptors that the process may have; `None` if there is no limit.
pub(super) fn descriptor_limit() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// The CPU time of all threads of the process, in seconds.
pub(super) fn cpu_seconds() -> f64 {
    seconds(clock_gettime(ClockId::ProcessCPUTime))
}

/// The text of a file in /proc, from its start.
fn read(file: &File) -> Option<String> {
    let mut bytes = vec![0; LENGTH_MAX];
    let mut length = 0;
    loop {
        match file.read_at(&mut bytes[length..], length as u64).ok()? {
            0 => break,
            count => length += count,
        }
    }
    bytes.truncate(length);
    String::from_utf8(bytes).ok()
}

/// The start of the process by its line in /proc/PID/stat, which counts ticks since the system
/// started: the 22nd field, or the 20th behind the name of the program, which is in parentheses.
fn started(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks: u64 = fields.split_whitespace().nth(19)?.parse().ok()?;
    let since_boot = ticks as f64 / clock_ticks_per_second() as f64;
    let booted =
        seconds(clock_gettime(ClockId::Realtime)) - seconds(clock_gettime(ClockId::Boottime));
    Some(booted + since_boot)
}

fn seconds(time: Timespec) -> f64 {
    Duration::new(time.tv_sec.max(0) as u64, time.tv_nsec as u32).as_secs_f64()
}

/// Finds the counters in /proc/PID/net/netstat, which has a line with names before each line with
/// values.
fn listen_drops(text: &str) -> Option<ListenDrops> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("TcpExt: "));
    let (names, values) = (lines.next()?, lines.next()?);
    let value = |name: &str| {
        let place = names.split(' ').position(|found| found == name)?;
        values.split(' ').nth(place)?.parse().ok()
    };
    Some(ListenDrops { overflows: value("ListenOverflows")?, drops: value("ListenDrops")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_drops_of_listeners_are_found_by_name() {
        let text = "TcpExt: SyncookiesSent ListenOverflows ListenDrops TCPHPHits\n\
                    TcpExt: 1 22 333 4\n\
                    IpExt: InNoRoutes\n\
                    IpExt: 5\n";
        let expected = ListenDrops { overflows: 22, drops: 333 };
        assert_eq!(listen_drops(text), Some(expected));
        for cut in ["", "TcpExt: ListenOverflows ListenDrops\n", "TcpExt: a\nTcpExt: 1\n"] {
            assert_eq!(listen_drops(cut), None, "{cut}");
        }
        assert_eq!(listen_drops("TcpExt: ListenOverflows ListenDrops\nTcpExt: 1 x\n"), None);
    }

    #[test]
    fn a_program_may_have_any_name() {
        let fields = "S 1 1 1 0 -1 4194304 100 0 0 0 1 2 0 0 20 0 1 0 4242 0 0";
        let plain = started(&format!("7 (mill) {fields}")).unwrap();
        let odd = started(&format!("7 (a) b (c) {fields}")).unwrap();
        assert!((plain - odd).abs() < 1.0, "{plain} {odd}");
        assert_eq!(started("7 (mill) S 1"), None);
    }

    #[test]
    fn this_process_has_plausible_numbers() {
        let files = open_files();
        let now = seconds(clock_gettime(ClockId::Realtime));
        if let Some(started) = files.started() {
            assert!(started <= now + 1.0 && started > now - 86_400.0, "{started} {now}");
        }
        if let Some((all, resident)) = files.memory() {
            assert!(all >= resident && resident > 100_000, "{all} {resident}");
        }
        if let Some(open) = files.descriptors() {
            assert!(open >= 3 && descriptor_limit().is_none_or(|most| open <= most), "{open}");
        }
        assert!(cpu_seconds() > 0.0);
    }
}
