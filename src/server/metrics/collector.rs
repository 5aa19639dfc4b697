//! [`ServerCollector`]: the metrics of a server, as a collector of `prometheus-client`.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::registry::Unit;

use super::families::Families;
use super::process::{cpu_seconds, descriptor_limit, open_files};
use crate::pool::{HandshakeStats, Stats};
use crate::server::handle::Handle;
#[cfg(feature = "tls")]
use crate::tls::CertificateInfo;

/// The metrics of a server, for the registry of a program that has metrics of its own.
///
/// No label has values that a client can choose: reasons, classes of statuses and outcomes are
/// fixed sets, and listeners are as many as the server has.
///
/// A registry should have one collector only, as each writes the same families. A program with
/// several servers keeps a registry for each.
///
/// # Examples
/// ```
/// use millpond::Server;
/// use millpond::http::Request;
/// use millpond::metrics::ServerCollector;
/// use prometheus_client::encoding::text;
/// use prometheus_client::metrics::counter::Counter;
/// use prometheus_client::registry::Registry;
///
/// let server = Server::builder().bind("tcp://127.0.0.1:0");
/// let handle = server.http(|_: &mut Request| "Hello").build()?.spawn()?;
/// let mut registry = Registry::default();
/// let orders: Counter = Counter::default();
/// registry.register("orders", "Orders taken", orders.clone());
/// registry.register_collector(Box::new(ServerCollector::new(&handle)));
/// orders.inc();
///
/// let mut out = String::new();
/// text::encode(&mut out, &registry)?;
/// assert!(out.contains("orders_total 1\n"));
/// assert!(out.contains("millpond_requests_served_total 0\n"));
/// # handle.stop_now();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ServerCollector {
    handle: Handle,
    process: bool,
}

impl ServerCollector {
    /// The metrics of this server, and those of the process (`process_…`).
    #[must_use]
    pub fn new(handle: &Handle) -> Self {
        Self { handle: handle.clone(), process: true }
    }

    /// Leaves out the metrics of the process, for a registry that has them from another collector.
    #[must_use]
    pub fn without_process(self) -> Self {
        Self { process: false, ..self }
    }
}

impl Collector for ServerCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let families = &mut Families(encoder);
        let stats = self.handle.stats();
        families.server(&self.handle, &stats)?;
        families.connections(&stats)?;
        families.handshakes(&stats.handshakes)?;
        families.listeners(&self.handle)?;
        #[cfg(feature = "tls")]
        families.certificates(&self.handle)?;
        families.requests(&stats)?;
        families.queue(&stats)?;
        families.overload(&stats)?;
        families.datagrams(&stats)?;
        families.kernel()?;
        if self.process { families.process() } else { Ok(()) }
    }
}

impl Families<'_> {
    fn server(&mut self, handle: &Handle, stats: &Stats) -> fmt::Result {
        let version = env!("CARGO_PKG_VERSION");
        self.info(&("millpond_build", None, "The version of the server"), "version", version)?;
        self.gauge(
            &("millpond_start_time", Some(Unit::Seconds), "When the server was made, since 1970"),
            unix_seconds(stats.started),
        )?;
        // As `/ready` of the admin endpoint responds: 0 from the beginning of a lame duck on, for
        // which `millpond_draining` is still 0.
        self.gauge(
            &("millpond_ready", None, "Whether the server has started and no stop was asked for"),
            u32::from(handle.is_ready()),
        )?;
        self.gauge(
            &("millpond_draining", None, "Whether the server stops and accepts no more"),
            u32::from(stats.draining),
        )?;
        let reloads = &stats.reloads;
        self.counters(
            &("millpond_reloads", None, "Reloads of the settings, by their result"),
            "result",
            vec![("succeeded", reloads.succeeded), ("failed", reloads.failed)],
        )?;
        self.gauge(
            &("millpond_reload_last_failed", None, "Whether the last reload failed"),
            u32::from(reloads.last_failed),
        )?;
        if let Some(time) = reloads.last_success {
            let help = "When settings were reloaded last, since 1970";
            self.gauge(
                &("millpond_reload_last_success_timestamp", Some(Unit::Seconds), help),
                unix_seconds(time),
            )?;
        }
        Ok(())
    }

    fn connections(&mut self, stats: &Stats) -> fmt::Result {
        let active = stats.live.saturating_sub(stats.parked);
        self.gauges(
            &("millpond_connections", None, "Open connections, by what they do"),
            "state",
            vec![("active", active), ("parked", stats.parked)],
        )?;
        self.gauge(
            &("millpond_connections_limit", None, "The limit on open connections"),
            stats.connection_limit,
        )?;
        self.counter(
            &("millpond_connections_accepted", None, "Connections accepted"),
            stats.accepted,
        )?;
        self.counters(
            &("millpond_connections_closed", None, "Connections that ended, by the reason"),
            "reason",
            stats.closed().map(|(reason, count)| (reason.name(), count)).collect(),
        )?;
        self.counters(
            &("millpond_accept_pauses", None, "Times that accepting paused, by what ran out"),
            "reason",
            vec![
                ("descriptors", stats.accept_exhausted),
                ("connections", stats.accept_full),
                ("refuse_budget", stats.accept_over_budget),
            ],
        )?;
        self.counter(
            &("millpond_accept_interrupted", None, "Times that accept was interrupted and retried"),
            stats.accept_interrupted,
        )?;
        self.counter(
            &("millpond_accept_failed", None, "Connections that failed before they were accepted"),
            stats.accept_skipped,
        )
    }

    fn handshakes(&mut self, stats: &HandshakeStats) -> fmt::Result {
        self.counters(
            &("millpond_tls_handshakes", None, "TLS handshakes by their result"),
            "result",
            vec![
                ("full", stats.full),
                ("resumed", stats.resumed),
                ("failed", stats.failed),
                ("timed_out", stats.timed_out),
                ("refused", stats.refused),
                ("cleartext", stats.cleartext),
            ],
        )?;
        self.counter(
            &(
                "millpond_tls_handshake_time",
                Some(Unit::Seconds),
                "The time that workers spent on TLS handshakes",
            ),
            stats.time.as_secs_f64(),
        )
    }

    /// Left out for a server without TLS.
    #[cfg(feature = "tls")]
    fn certificates(&mut self, handle: &Handle) -> fmt::Result {
        /// The most certificates that are reported.
        const MOST: usize = 64;
        let mut ends: Vec<_> = handle.certificates();
        // One series for each name: the certificate that expires first.
        ends.sort_by(|one, other| {
            (one.name(), one.not_after()).cmp(&(other.name(), other.not_after()))
        });
        ends.dedup_by(|next, kept| next.name() == kept.name());
        // Of too many, those that expire first.
        ends.sort_by_key(CertificateInfo::not_after);
        ends.truncate(MOST);
        if ends.is_empty() {
            return Ok(());
        }
        let help = "When the certificate expires, since 1970, by its first name";
        self.gauges(
            &("millpond_tls_certificate_expiry_timestamp", Some(Unit::Seconds), help),
            "certificate",
            ends.iter().map(|info| (info.name(), unix_seconds(info.not_after()))).collect(),
        )
    }

    /// Left out where the system does not report these queues.
    fn listeners(&mut self, handle: &Handle) -> fmt::Result {
        let mut queues = handle.accept_queues();
        // A passed socket may have the address of another one: one series for each text.
        queues.sort_by(|one, other| one.endpoint.cmp(&other.endpoint));
        queues.dedup_by(|next, kept| {
            let same = next.endpoint == kept.endpoint;
            if same {
                kept.length += next.length;
                kept.limit += next.limit;
            }
            same
        });
        if queues.is_empty() {
            return Ok(());
        }
        self.gauges(
            &(
                "millpond_accept_queue_length",
                None,
                "Connections that the kernel has completed \
                and the server has not accepted",
            ),
            "listener",
            queues.iter().map(|queue| (queue.endpoint.as_str(), queue.length)).collect(),
        )?;
        self.gauges(
            &("millpond_accept_queue_limit", None, "The limit on the kernel's accept queue"),
            "listener",
            queues.iter().map(|queue| (queue.endpoint.as_str(), queue.limit)).collect(),
        )
    }

    fn requests(&mut self, stats: &Stats) -> fmt::Result {
        self.counter(
            &("millpond_requests_served", None, "Requests and datagrams that a handler served"),
            stats.served,
        )?;
        self.counters(
            &("millpond_responses", None, "HTTP responses, by the class of their status"),
            "class",
            stats.responses().collect(),
        )?;
        self.counters(
            &("millpond_refused", None, "Requests, connections and datagrams that were refused"),
            "reason",
            stats.refused().map(|(reason, count)| (reason.name(), count)).collect(),
        )?;
        self.counter(
            &("millpond_refusing_cpu", Some(Unit::Seconds), "The CPU time spent on refusing"),
            stats.refusing.as_secs_f64(),
        )?;
        self.counter(&("millpond_panics", None, "Panics of handlers"), stats.panics)?;
        self.durations(
            &("millpond_service", Some(Unit::Seconds), "Times to serve a request"),
            &stats.service,
        )
    }

    fn queue(&mut self, stats: &Stats) -> fmt::Result {
        self.gauge(&("millpond_workers", None, "Worker threads"), stats.workers)?;
        self.gauge(
            &("millpond_workers_busy", None, "Worker threads that serve a request"),
            stats.busy,
        )?;
        self.gauge(&("millpond_queue_length", None, "Entries of the work queue"), stats.queued)?;
        self.gauge(
            &("millpond_queue_capacity", None, "The most entries of the work queue"),
            stats.queue_capacity,
        )?;
        self.gauge(
            &("millpond_queue_oldest", Some(Unit::Seconds), "The age of the queue's oldest entry"),
            stats.queue_oldest.as_secs_f64(),
        )?;
        self.durations(
            &("millpond_queue_wait", Some(Unit::Seconds), "Times that work waited in the queue"),
            &stats.wait,
        )
    }

    fn overload(&mut self, stats: &Stats) -> fmt::Result {
        self.gauge(
            &("millpond_overloaded", None, "Whether work is refused for its wait"),
            u32::from(stats.overloaded),
        )?;
        let ratio = Some(Unit::Other("ratio".to_owned()));
        self.gauge(
            &("millpond_load", ratio, "The work offered, over what could have been done"),
            stats.load,
        )?;
        self.gauge(
            &(
                "millpond_capacity_requests_per_second",
                None,
                "Requests that the workers can serve \
                in a second, as estimated",
            ),
            stats.capacity,
        )?;
        self.gauge(
            &(
                "millpond_wait_target",
                Some(Unit::Seconds),
                "The wait that overload control aims at",
            ),
            stats.wait_target.as_secs_f64(),
        )?;
        self.gauge(
            &("millpond_wait_limit", Some(Unit::Seconds), "The wait that is allowed at present"),
            stats.wait_limit.as_secs_f64(),
        )
    }

    fn datagrams(&mut self, stats: &Stats) -> fmt::Result {
        let datagrams = &stats.datagrams;
        self.counter(
            &("millpond_datagrams_received", None, "Datagrams received"),
            datagrams.received,
        )?;
        self.counters(
            &("millpond_datagrams", None, "Datagrams by what became of them"),
            "outcome",
            vec![
                ("answered", datagrams.answered),
                ("unanswered", datagrams.unanswered),
                ("refused", datagrams.refused().map(|(_, count)| count).sum()),
                ("too_long", datagrams.too_long),
                ("panicked", datagrams.panicked),
                ("unsent", datagrams.unsent),
            ],
        )?;
        self.gauge(
            &("millpond_datagrams_waiting", None, "Datagrams in the queue or in a handler"),
            datagrams.waiting,
        )?;
        self.counter(
            &(
                "millpond_datagrams_kernel_dropped",
                None,
                "Datagrams that the kernel dropped \
                because a receive buffer was full",
            ),
            datagrams.kernel_drops,
        )
    }

    /// Left out where the system does not report them.
    fn kernel(&mut self) -> fmt::Result {
        let Some(listen) = open_files().listen_drops() else { return Ok(()) };
        self.counter(
            &(
                "millpond_kernel_listen_overflows",
                None,
                "Connections that the kernel dropped \
                because an accept queue was full, of any program in the network namespace",
            ),
            listen.overflows,
        )?;
        self.counter(
            &(
                "millpond_kernel_listen_drops",
                None,
                "Connections that the kernel dropped before \
                they were accepted, of any program in the network namespace",
            ),
            listen.drops,
        )
    }

    /// The names and the meanings are those that client libraries of Prometheus share.
    fn process(&mut self) -> fmt::Result {
        let files = open_files();
        let help = "Total user and system CPU time spent in seconds";
        self.counter(&("process_cpu", Some(Unit::Seconds), help), cpu_seconds())?;
        if let Some((all, resident)) = files.memory() {
            self.gauge(
                &("process_resident_memory", Some(Unit::Bytes), "Resident memory size in bytes"),
                resident,
            )?;
            self.gauge(
                &("process_virtual_memory", Some(Unit::Bytes), "Virtual memory size in bytes"),
                all,
            )?;
        }
        if let Some(open) = files.descriptors() {
            self.gauge(&("process_open_fds", None, "Number of open file descriptors"), open)?;
        }
        if let Some(most) = descriptor_limit() {
            let help = "Maximum number of open file descriptors";
            self.gauge(&("process_max_fds", None, help), most)?;
        }
        if let Some(started) = files.started() {
            let help = "Start time of the process since 1970 in seconds";
            self.gauge(&("process_start_time", Some(Unit::Seconds), help), started)?;
        }
        Ok(())
    }
}

fn unix_seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}
