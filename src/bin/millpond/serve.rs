//! `millpond serve`: from settings to a running server, and from a signal to its end.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use log::{info, warn};
use millpond::net::{self, Endpoint};
use millpond::service::{Echo, Hello};
use millpond::{Builder, Handle, Server};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::access_log::AccessLog;
use crate::attend::Daemon;
use crate::confine::{Reach, User, confine};
use crate::door::{Door, Room};
use crate::failure::{Failure, code};
use crate::logging;
use crate::manual;
use crate::settings::{self, DEFAULT_BIND, Flags, Format, Loaded, Origin, Settings};
use crate::signals::{Listener, Signals};
use crate::systemd::{Notifier, Passed};

/// Serves until a signal ends it.
pub(crate) fn run(flags: &Flags, print: bool) -> Result<ExitCode, Failure> {
    if print {
        return manual::say(&settings::print(&load(flags)?));
    }
    // From the first moment on a signal is kept, and answered once the server is up.
    let signals = Signals::register()?;
    let loaded = load(flags)?;
    let settings = &loaded.settings;
    logging::start(&settings.log);
    if let Some(file) = &loaded.file {
        info!("settings from {}", file.display());
    }
    loaded.warnings.iter().for_each(|warning| warn!("{warning}"));
    raise_descriptor_limit();
    let user = settings.user.as_deref().map(User::find).transpose()?;
    let mut access = access_log(settings)?;
    let notifier = Notifier::from_env();

    let (server, door) = build(settings, access.as_ref(), &mut Passed::from_env()?)?;
    if let Some(user) = user {
        user.assume()?;
    }
    if settings.confine {
        confine(&reach(&loaded));
    }
    // Rights belong to a thread: only what starts from here on is without those given up.
    let signals = signals.start()?;
    if let Some(access) = &mut access {
        access.start()?;
    }
    let endpoints = server.endpoints();
    let handle = Arc::new(server.spawn()?);
    for endpoint in &endpoints {
        info!("listening on {endpoint}");
    }
    stop_on_quit(&signals, &handle);

    let flags = flags.clone();
    let mut daemon = Daemon { handle, notifier, flags, loaded, door, access, stale: false };
    daemon.notifier.ready(&daemon.status());
    daemon.attend(&signals);
    Ok(daemon.drain(&signals))
}

/// A second signal interrupts the drain, whose report is the main thread's to log.
fn stop_on_quit(signals: &Listener, handle: &Arc<Handle>) {
    let handle = Arc::clone(handle);
    signals.on_quit(move || {
        let handle = Arc::clone(&handle);
        let stop = move || {
            let _ = handle.stop_now();
        };
        // Without a thread to wait in, the process still ends, a little later.
        let _ = thread::Builder::new().name("quit".to_owned()).spawn(stop);
    });
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
pub(crate) fn load(flags: &Flags) -> Result<Loaded, Failure> {
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

/// The access log, if there is to be one.
pub(crate) fn access_log(settings: &Settings) -> Result<Option<AccessLog>, Failure> {
    match settings.access.format {
        Format::Off => Ok(None),
        _ => AccessLog::open(&settings.access).map(Some),
    }
}

/// What answers requests, by the settings.
pub(crate) fn room(settings: &Settings, access: Option<&AccessLog>) -> Result<Room, Failure> {
    let access = access.map(|access| (access.recorder(), settings.access.format));
    Ok(Room { handler: Box::new(Hello), access })
}

/// The files that are still needed once everything is bound and open.
fn reach(loaded: &Loaded) -> Reach {
    let settings = &loaded.settings;
    let parent = |path: &Path| match path.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let sockets = settings.bind.iter().filter_map(|endpoint| endpoint.strip_prefix("unix:"));
    let sockets = sockets.filter(|path| !path.starts_with('@')).map(Path::new);
    Reach {
        read: settings.root.iter().cloned().chain(loaded.file.as_deref().map(parent)).collect(),
        write: settings.access.file.as_deref().into_iter().chain(sockets).map(parent).collect(),
    }
}

/// Binds, or takes what was passed; and the door to the handler, if there is one.
fn build(
    settings: &Settings,
    access: Option<&AccessLog>,
    passed: &mut Passed,
) -> Result<(Server, Option<Door>), Failure> {
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
    if settings.echo {
        return Ok((builder.protocol(Echo)?, None));
    }
    let door = Door::new(room(settings, access)?);
    Ok((builder.http(door.clone())?, Some(door)))
}

fn listen(mut builder: Builder, fds: Vec<std::os::fd::OwnedFd>) -> Result<Builder, Failure> {
    for fd in fds {
        builder = builder.bind(net::Listener::from_fd(fd)?);
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
