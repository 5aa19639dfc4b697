//! `millpond serve`: from settings to a running server, and from a signal to its end.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{info, warn};
use millpond::net::{Endpoint, Listener};
use millpond::server::Builder;
use millpond::service::{Echo, Hello};
use millpond::{Handle, Server};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::failure::{Failure, code};
use crate::logging;
use crate::manual;
use crate::settings::{self, DEFAULT_BIND, Flags, Loaded, Origin, Settings};
use crate::signals::{Event, Signals};
use crate::systemd::{Notifier, Passed};

/// How often the service manager is told how things are.
const STATUS_EVERY: Duration = Duration::from_secs(10);

/// Serves until a signal ends it.
pub(crate) fn run(flags: &Flags, print: bool) -> Result<ExitCode, Failure> {
    if print {
        return manual::say(&settings::print(&load(flags)?));
    }
    // From the first moment on a signal is kept, and answered once the server is up.
    let signals = Signals::register()?;
    let loaded = load(flags)?;
    logging::start(&loaded.settings.log);
    let signals = signals.start()?;
    if let Some(file) = &loaded.file {
        info!("settings from {}", file.display());
    }
    loaded.warnings.iter().for_each(|warning| warn!("{warning}"));
    raise_descriptor_limit();

    let notifier = Notifier::from_env();
    let server = build(&loaded.settings, &mut Passed::from_env()?)?;
    let endpoints = server.endpoints();
    let handle = Arc::new(server.spawn()?);
    for endpoint in &endpoints {
        info!("listening on {endpoint}");
    }
    let stopper = Arc::clone(&handle);
    signals.on_quit(move || {
        // The report is the main thread's to log.
        let _ = stopper.stop_now();
    });

    let daemon = Daemon { handle, notifier, loaded };
    daemon.notifier.ready(&daemon.status());
    daemon.attend(&signals);
    Ok(daemon.drain(&signals))
}

/// Checks everything that can be checked without binding.
pub(crate) fn check(flags: &Flags, print: bool) -> Result<ExitCode, Failure> {
    let loaded = load(flags)?;
    if print {
        return manual::say(&settings::print(&loaded));
    }
    let warnings: String = loaded.warnings.iter().map(|w| format!("warning: {w}\n")).collect();
    manual::say(&format!("{warnings}the configuration is valid\n"))
}

/// The settings, with what can be known of endpoints and paths before anything is opened.
fn load(flags: &Flags) -> Result<Loaded, Failure> {
    let variables: Vec<_> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| name.starts_with("MILLPOND_"))
        .collect();
    let loaded = Loaded::new(flags, &variables)?;
    for endpoint in loaded.settings.bind.iter().filter(|text| passed_name(text).is_none()) {
        endpoint.parse::<Endpoint>().map_err(|error| {
            let hint = error.hint().unwrap_or_default().to_owned();
            let (code, place) = match loaded.origin("bind") {
                Origin::File(path, line) => (code::CONFIG, format!("{}:{line}: ", path.display())),
                Origin::Variable(name) => (code::CONFIG, format!("{name}: ")),
                _ => (code::USAGE, String::new()),
            };
            Failure::new(code, format!("{place}{error}")).with_hint(hint)
        })?;
    }
    if let Some(root) = &loaded.settings.root {
        std::fs::read_dir(root).map_err(|error| {
            Failure::io(code::CONFIG, format!("cannot serve {}", root.display()), error)
                .with_hint("ROOT is a directory that this user may read")
        })?;
    }
    Ok(loaded)
}

/// `NAME` of `fd:NAME`.
fn passed_name(endpoint: &str) -> Option<&str> {
    let name = endpoint.strip_prefix("fd:")?;
    Some(name.strip_prefix("//").unwrap_or(name))
}

/// Binds, or takes what was passed.
fn build(settings: &Settings, passed: &mut Passed) -> Result<Server, Failure> {
    let mut builder = Server::builder().config(settings.config.clone());
    if settings.bind.is_empty() && passed.len() > 0 {
        builder = listen(builder, passed.take_all())?;
    } else if settings.bind.is_empty() {
        builder = builder.bind(DEFAULT_BIND);
    }
    for endpoint in &settings.bind {
        builder = match passed_name(endpoint) {
            Some(name) => listen(builder, passed.take(name)?)?,
            None => builder.bind(endpoint),
        };
    }
    let unused = passed.take_all().len();
    if unused > 0 {
        warn!("{unused} of the passed sockets are not used, as no endpoint names them");
    }
    Ok(match settings.echo {
        true => builder.protocol(Echo)?,
        false => builder.http(Hello)?,
    })
}

fn listen(mut builder: Builder, fds: Vec<std::os::fd::OwnedFd>) -> Result<Builder, Failure> {
    for fd in fds {
        builder = builder.listen(Listener::from_fd(fd)?);
    }
    Ok(builder)
}

/// Raises the soft limit of descriptors to the hard one: each connection takes one, and the soft
/// limit is low for the sake of programs that use select(2).
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        if let Err(errno) = setrlimit(Resource::Nofile, raised) {
            warn!("cannot raise the limit of open files: {errno}");
        }
    }
}

/// A running server and those who ask about it.
struct Daemon {
    handle: Arc<Handle>,
    notifier: Notifier,
    loaded: Loaded,
}

impl Daemon {
    /// Answers signals, and keeps the service manager informed, until it is time to stop.
    fn attend(&self, signals: &crate::signals::Listener) {
        let mut beat = self.notifier.watchdog().map(Beat::new);
        let mut status = self.notifier.is_on().then(|| Beat::new(STATUS_EVERY));
        let mut told = String::new();
        loop {
            let now = Instant::now();
            // Nobody asks: nothing wakes the thread but a signal.
            let wait = [&beat, &status].into_iter().flatten().map(|beat| beat.left(now)).min();
            match signals.wait(wait) {
                Some(Event::Stop) => return,
                Some(Event::Dump) => self.dump(),
                Some(Event::Reopen) => info!("no log file is open: nothing to open anew"),
                Some(Event::Reload) => self.reload(),
                None => {}
            }
            let now = Instant::now();
            if beat.as_mut().is_some_and(|beat| beat.is_due(now)) {
                self.notifier.alive();
            }
            if status.as_mut().is_some_and(|beat| beat.is_due(now)) {
                let line = self.status();
                if line != told {
                    self.notifier.status(&line);
                    told = line;
                }
            }
        }
    }

    /// Ends in good order: what is in hand is finished, within the deadline.
    fn drain(&self, signals: &crate::signals::Listener) -> ExitCode {
        let deadline = self.loaded.settings.config.timeouts.drain;
        info!("stopping: finishing what is in hand within {deadline:?}");
        self.notifier.stopping(deadline);
        let report = self.handle.drain(deadline);
        if report.cut_off > 0 {
            warn!("stopped: {report}");
        } else {
            info!("stopped: {report}");
        }
        match signals.quit_code() {
            Some(code) => ExitCode::from(code),
            None if report.cut_off > 0 => ExitCode::from(code::CUT_OFF),
            None => ExitCode::SUCCESS,
        }
    }

    fn status(&self) -> String {
        self.handle.stats().to_string()
    }

    /// The state in lines of the log.
    fn dump(&self) {
        info!("state: {}", self.status());
    }

    fn reload(&self) {
        self.notifier.reloading();
        info!("there is nothing to reload");
        self.notifier.ready(&self.status());
    }
}

/// Something that is due every so often.
struct Beat {
    every: Duration,
    next: Instant,
}

impl Beat {
    fn new(every: Duration) -> Self {
        Self { every, next: Instant::now() + every }
    }

    fn left(&self, now: Instant) -> Duration {
        self.next.saturating_duration_since(now)
    }

    /// Whether it is due; if so, it is due again a full period from now.
    fn is_due(&mut self, now: Instant) -> bool {
        let due = now >= self.next;
        if due {
            self.next = now + self.every;
        }
        due
    }
}
