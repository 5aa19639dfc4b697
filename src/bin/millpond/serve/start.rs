//! `millpond serve`: the order in which a server gets its sockets, gives up rights and starts.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::SystemTime;

use log::{info, warn};
use millpond::Handle;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::admin::{self, CommandTarget};
use super::allowed_paths::{allowed_paths, describe, roots};
use super::build::{access_log, build, check_access_log};
use super::daemon::Daemon;
use super::load::load;
use super::{reopen, tls};
use crate::access_log::writer::open_as_root;
use crate::failure::{Failure, code};
use crate::os::notify::Notifier;
use crate::os::sandbox::confine;
use crate::os::signals::{SignalReceiver, Signals};
use crate::os::socket_activation::PassedSockets;
use crate::os::user::User;
use crate::os::{logging, stdout};
use crate::settings::{self, Flags, Settings, Site};
use crate::sites::file_broker;
use crate::sites::routing::listener_sites;

/// Serves until a signal ends the server.
pub(crate) fn run(flags: &Flags, print: bool) -> Result<ExitCode, Failure> {
    if print {
        let text = settings::print::print(&load(flags)?);
        return stdout::print(text.as_bytes()).map(|_| ExitCode::SUCCESS);
    }
    // First of all, so that a signal during the start is kept and handled after it.
    let signals = Signals::register()?;
    let loaded = load(flags)?;
    let settings = &loaded.settings;
    logging::start(&settings.log);
    raise_descriptor_limit();
    let user = settings.user.as_deref().map(User::find).transpose()?;
    // Before anything is bound, so that a wrong path is reported early.
    check_access_log(settings)?;
    let mut access = access_log(settings);
    let early = user.as_ref().filter(|_| access.is_some());
    let early = early.and_then(|user| open_as_root(&settings.access_log, user));
    let notifier = Notifier::from_env();

    let commands = CommandTarget::default();
    let mut passed = PassedSockets::from_env()?;
    // Keys are often readable by root only.
    let tls = tls::load(settings)?;
    let all = listener_sites(&loaded, passed.len() > 0)?;
    let (server, swaps) = build(&loaded, access.as_ref(), &mut passed, &commands, tls.as_ref())?;
    if let Some(file) = &loaded.file {
        info!("settings from {}", file.display());
    }
    loaded.warnings.iter().for_each(|warning| warn!("{warning}"));
    tls::warnings(&loaded, tls.as_ref(), &all).iter().for_each(|warning| warn!("{warning}"));
    if let Some(tls) = &tls {
        tls::log_certificates(tls, SystemTime::now());
    }
    if let Some(user) = user {
        user.assume()?;
        reopen::warnings(&loaded).iter().for_each(|warning| warn!("{warning}"));
    }
    // As the server's own user, so that no symbolic link leads root to a file of another user.
    if let Some(access) = &mut access {
        access.open(early)?;
    }
    if settings.confine {
        file_broker::start(roots(settings));
    }
    let confined = settings.confine && confine(&allowed_paths(&loaded), describe(settings));
    // Rights belong to a thread: every thread that starts from here on has only those that are
    // left.
    logging::start_thread()
        .map_err(|error| Failure::io(code::RUNTIME, "cannot start the log thread", error))?;
    let (signals, events) = signals.start()?;
    if admin::endpoint(settings).is_some() {
        let _ = commands.set(events);
    }
    if let Some(access) = &mut access {
        access.start()?;
    }
    let endpoints = server.endpoints().to_vec();
    let handle = Arc::new(server.spawn()?);
    for endpoint in &endpoints {
        info!("listening on {endpoint}");
    }
    if let Some(endpoint) = handle.admin_endpoint() {
        info!("admin endpoint at {}", url(endpoint).as_deref().unwrap_or(endpoint));
    }
    if let Some(endpoint) = handle.agent_endpoint() {
        info!("agent endpoint at {endpoint}");
    }
    if !loaded.settings.echo
        && let Some(url) = endpoints.iter().find_map(|endpoint| url(endpoint))
    {
        info!("URL: {url}");
    }
    missing_indexes(&loaded.settings).iter().for_each(|line| warn!("{line}"));
    stop_on_quit(&signals, &handle);

    let (flags, started) = (flags.clone(), loaded.settings.clone());
    let mut daemon = Daemon {
        handle,
        notifier,
        flags,
        started,
        loaded,
        swaps,
        tls,
        access_log: access,
        confined,
        reload_failed: false,
    };
    logging::flush_at_start();
    daemon.notifier.ready(&daemon.status());
    daemon.run_until_stop(&signals);
    daemon.lame_duck(&signals);
    Ok(daemon.drain(&signals))
}

/// A warning for each root whose `/` gets 404, with the remedies.
fn missing_indexes(settings: &Settings) -> Vec<String> {
    let sites = std::iter::once(&settings.site).chain(&settings.sites);
    let needs_index = |site: &&Site| !site.files.listing && site.files.fallback.is_none();
    sites
        .filter(needs_index)
        .filter_map(|site| {
            let (root, index) = (site.root.as_deref()?, &site.files.index);
            let found = index.iter().any(|name| root.join(name).exists());
            let names = index.join(" or ");
            (!found).then(|| {
                format!(
                    "GET / gets 404: {} has no {names}; add one, or list directories by --listing",
                    root.display()
                )
            })
        })
        .collect()
}

/// The URL at which a browser on this machine finds an endpoint.
fn url(endpoint: &str) -> Option<String> {
    let (scheme, address) = endpoint.split_once("://")?;
    let scheme = match scheme {
        "tls" => "https",
        tcp if tcp.starts_with("tcp") => "http",
        _ => return None,
    };
    let address: SocketAddr = address.parse().ok()?;
    Some(match address.ip().is_unspecified() {
        true => format!("{scheme}://localhost:{}/", address.port()),
        false => format!("{scheme}://{address}/"),
    })
}

/// Makes a second signal interrupt the drain. The main thread then logs how the drain ended.
fn stop_on_quit(signals: &SignalReceiver, handle: &Arc<Handle>) {
    let handle = Arc::clone(handle);
    signals.on_quit(move || {
        let handle = Arc::clone(&handle);
        let stop = move || {
            let _ = handle.stop_now();
        };
        // If no thread can be started, the signals thread ends the process a little later.
        let _ = thread::Builder::new().name("quit".to_owned()).spawn(stop);
    });
}

/// Raises the soft limit of open files to the hard limit. Each connection takes a descriptor, and
/// the soft limit is low only for programs that use select(2).
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        if let Err(errno) = setrlimit(Resource::Nofile, raised) {
            warn!("cannot raise the limit of open files: {errno}");
        }
    }
}
