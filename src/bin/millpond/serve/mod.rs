//! `millpond serve`: from settings to a running server, and from a signal to its end.

mod daemon;
mod reload;
mod reopen;
mod status;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use log::{info, warn};
use millpond::handlers::{Echo, Files, Hello};
use millpond::http::Handler;
use millpond::net::{Endpoint, UnixName};
use millpond::{Bind, Builder, Error, Handle, Server, Service};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::access_log::{self, AccessLog, Recorder, directory};
use crate::failure::{Failure, code};
use crate::manual;
use crate::os::logging;
use crate::os::sandbox::{Reach, User, confine};
use crate::os::signals::{Listener, Signals};
use crate::os::systemd::{Notifier, Passed};
use crate::serve::daemon::Daemon;
use crate::settings::{self, Flags, Format, Loaded, Origin, Settings, Site, bytes};
use crate::sites::hosts::Hosts;
use crate::sites::opener;
use crate::sites::routing::{self, Place, places};
use crate::sites::swap::{Door, Room};

/// Serves until a signal ends it.
pub(crate) fn run(flags: &Flags, print: bool) -> Result<ExitCode, Failure> {
    if print {
        return manual::say(&settings::print::print(&load(flags)?));
    }
    // From the first moment on a signal is kept, and answered once the server is up.
    let signals = Signals::register()?;
    let loaded = load(flags)?;
    let settings = &loaded.settings;
    logging::start(&settings.log);
    raise_descriptor_limit();
    let user = settings.user.as_deref().map(User::find).transpose()?;
    // What is wrong with the access log is reported before anything is bound.
    check_access_log(settings)?;
    let mut access = access_log(settings);
    let early = user.as_ref().filter(|_| access.is_some());
    let early = early.and_then(|user| access_log::open_as_root(&settings.access, user));
    let notifier = Notifier::from_env();

    let (server, doors) = build(&loaded, access.as_ref(), &mut Passed::from_env()?)?;
    if let Some(file) = &loaded.file {
        info!("settings from {}", file.display());
    }
    loaded.warnings.iter().for_each(|warning| warn!("{warning}"));
    if let Some(user) = user {
        user.assume()?;
        reopen::warnings(&loaded).iter().for_each(|warning| warn!("{warning}"));
    }
    // The server's own user opens it, so that no link leads root to a file of others.
    if let Some(access) = &mut access {
        access.open(early)?;
    }
    if settings.confine {
        opener::start(roots(settings));
    }
    let confined = settings.confine && confine(&reach(&loaded), what_is_reached(settings));
    // Rights belong to a thread: only what starts from here on is without those given up.
    logging::write().map_err(|error| Failure::io(code::RUNTIME, "cannot start a thread", error))?;
    let signals = signals.start()?;
    if let Some(access) = &mut access {
        access.start()?;
    }
    let endpoints = server.endpoints();
    let handle = Arc::new(server.spawn()?);
    for endpoint in &endpoints {
        info!("listening on {endpoint}");
    }
    if !loaded.settings.echo
        && let Some(url) = endpoints.iter().find_map(|endpoint| url(endpoint))
    {
        info!("open {url}");
    }
    empty_roots(&loaded.settings).iter().for_each(|line| warn!("{line}"));
    stop_on_quit(&signals, &handle);

    let (flags, started) = (flags.clone(), loaded.settings.clone());
    let mut daemon =
        Daemon { handle, notifier, flags, started, loaded, doors, access, confined, stale: false };
    logging::settle();
    daemon.notifier.ready(&daemon.status());
    daemon.attend(&signals);
    Ok(daemon.drain(&signals))
}

/// A line for each root whose `/` is a bare 404, with what would change that.
fn empty_roots(settings: &Settings) -> Vec<String> {
    let sites = std::iter::once(&settings.site).chain(&settings.sites);
    let bare = |site: &&Site| !site.files.listing && site.files.fallback.is_none();
    sites
        .filter(bare)
        .filter_map(|site| {
            let (root, index) = (site.root.as_deref()?, &site.files.index);
            let found = index.iter().any(|name| root.join(name).exists());
            let names = index.join(" or ");
            (!found).then(|| {
                format!(
                    "/ is answered with 404: {} has no {names}; add one, or list directories by \
                     --listing",
                    root.display()
                )
            })
        })
        .collect()
}

/// Where a browser on this machine finds what is served at an endpoint.
fn url(endpoint: &str) -> Option<String> {
    let address = endpoint.split_once("://").filter(|(scheme, _)| scheme.starts_with("tcp"))?.1;
    let address: SocketAddr = address.parse().ok()?;
    Some(match address.ip().is_unspecified() {
        true => format!("http://localhost:{}/", address.port()),
        false => format!("http://{address}/"),
    })
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
    let mut loaded = load(flags)?;
    check_access_log(&loaded.settings)?;
    if let Some(user) = &loaded.settings.user {
        let warnings = reopen::warnings_as(&User::find(user)?, &loaded)?;
        loaded.warnings.extend(warnings);
    }
    // Sockets that a service manager passes are not here to be looked at.
    let binds = |endpoint: Option<&str>| {
        let text = endpoint.filter(|text| passed_name(Bind::split_priority(text).0).is_none());
        Ok(text.map(Bind::to).into_iter().collect())
    };
    plan(&loaded, &places(&loaded, false)?, None, binds)?.0.check(&echo())?;
    if print {
        return manual::say(&settings::print::print(&loaded));
    }
    let warnings: String = loaded.warnings.iter().map(|w| format!("warning: {w}\n")).collect();
    manual::say(&format!("{warnings}the configuration is valid\n"))
}

/// The settings, with what can be known of endpoints and paths before anything is opened.
pub(crate) fn load(flags: &Flags) -> Result<Loaded, Failure> {
    let variables: Vec<_> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, bytes::text(&value))))
        .filter(|(name, _)| name.starts_with("MILLPOND_"))
        .collect();
    let mut loaded = Loaded::new(flags, &variables)?;
    // A file that is named is to be written to, unless the format says off.
    if loaded.settings.access.file.is_some()
        && loaded.origin("access_log.format") == Origin::Default
    {
        loaded.settings.access.format = Format::Combined;
    }
    for text in &loaded.settings.bind {
        check_endpoint(text, &loaded.origin("bind"))?;
    }
    for (index, site) in loaded.settings.sites.iter().enumerate() {
        for text in &site.bind {
            check_endpoint(text, &loaded.site_origin(index, "bind"))?;
        }
    }
    Ok(loaded)
}

/// Checks what can be known of an endpoint by its text.
fn check_endpoint(text: &str, origin: &Origin) -> Result<(), Failure> {
    let (text, _) = Bind::split_priority(text);
    if passed_name(text).is_some() {
        return Ok(());
    }
    text.parse::<Endpoint>().map(drop).map_err(|error| {
        let hint = error.hint().unwrap_or_default().to_owned();
        let (code, place) = match origin {
            Origin::File(path, line) => (code::CONFIG, format!("{}:{line}: ", path.display())),
            Origin::Variable(name) => (code::CONFIG, format!("{name}: ")),
            _ => (code::USAGE, String::new()),
        };
        Failure::new(code, format!("{place}{error}")).with_hint(hint)
    })
}

/// `NAME` of `fd:NAME`.
fn passed_name(endpoint: &str) -> Option<&str> {
    let name = endpoint.strip_prefix("fd:")?;
    Some(name.strip_prefix("//").unwrap_or(name))
}

/// The access log, if there is to be one. It is not open yet.
pub(crate) fn access_log(settings: &Settings) -> Option<AccessLog> {
    (settings.access.format != Format::Off).then(|| AccessLog::new(&settings.access))
}

/// Checks what can be known of the access log before it is opened.
fn check_access_log(settings: &Settings) -> Result<(), Failure> {
    match settings.access.format {
        Format::Off => Ok(()),
        _ => access_log::check(&settings.access, settings.user.is_none()),
    }
}

/// What answers at each place, by the settings. Roots and files of users are opened, and nothing is
/// bound.
pub(crate) fn rooms(
    loaded: &Loaded,
    places: &[Place],
    access: Option<&AccessLog>,
) -> Result<Vec<Room>, Failure> {
    let settings = &loaded.settings;
    let used = |number: &usize| places.iter().any(|place| place.sites.contains(number));
    let mut sites: Vec<Arc<dyn Handler>> = Vec::new();
    for number in 0..routing::count(settings) {
        sites.push(match used(&number) {
            true => answerer(routing::site(settings, number))
                .map_err(|error| Failure::from(error).within(&routing::describe(loaded, number)))?,
            false => Arc::new(Hello),
        });
    }
    let room = |place: &Place| {
        let handler = match place.sites.as_slice() {
            [only] if routing::site(settings, *only).is_default() => Arc::clone(&sites[*only]),
            several => {
                let mut hosts = Hosts::default();
                for &number in several {
                    hosts.add(&routing::site(settings, number).hosts, &sites[number]);
                }
                Arc::new(hosts)
            }
        };
        Room { handler, access: line_log(loaded, access) }
    };
    Ok(places.iter().map(room).collect())
}

/// Where the lines of requests go, and what they look like.
pub(crate) fn line_log(loaded: &Loaded, access: Option<&AccessLog>) -> Option<(Recorder, Format)> {
    access.map(|access| (access.recorder(), loaded.settings.access.format))
}

fn answerer(site: &Site) -> Result<Arc<dyn Handler>, Error> {
    Ok(match &site.root {
        Some(root) => {
            let files = Files::open(root, site.options())?;
            let text = files.describe_root();
            let change = " (--index, --listing and --fallback change that)";
            let change = if text.contains("404:") { change } else { "" };
            info!("GET / of {} {text}{change}", root.display());
            Arc::new(files)
        }
        None => Arc::new(Hello),
    })
}

/// The files that are still needed once everything is bound and open.
fn reach(loaded: &Loaded) -> Reach {
    let settings = &loaded.settings;
    let sites = || std::iter::once(&settings.site).chain(&settings.sites);
    let again = sites().filter_map(|site| site.users.as_deref()).chain(loaded.file.as_deref());
    let more = settings.reach.iter().map(|path| bytes::path(path));
    let endpoints = settings.bind.iter().chain(settings.sites.iter().flat_map(|site| &site.bind));
    let sockets = endpoints.filter_map(|text| match text.parse() {
        Ok(Endpoint::Unix { name: UnixName::Path(path), .. }) => Some(directory(&path)),
        _ => None,
    });
    Reach {
        read: roots(settings).chain(again.map(home)).chain(more).collect(),
        write: access_log::reach(&settings.access).into_iter().chain(sockets).collect(),
    }
}

/// The directories that are served.
fn roots(settings: &Settings) -> impl Iterator<Item = PathBuf> {
    let sites = std::iter::once(&settings.site).chain(&settings.sites);
    sites.filter_map(|site| site.root.clone())
}

/// What the log says of [`reach`].
fn what_is_reached(settings: &Settings) -> &'static str {
    match roots(settings).next() {
        Some(_) => "the files that are served",
        None => "its own settings and logs: no other file is in reach",
    }
}

/// What has to stay in reach for a file to be read again: the directory that it is in, since
/// editors put a new file in the old one's place. Not so if that is one at the top, such as /etc,
/// in which there is more that is nobody's business.
fn home(path: &Path) -> PathBuf {
    let parent = directory(path);
    let depth = std::fs::canonicalize(&parent).map_or(0, |real| real.components().count());
    if depth > 2 { parent } else { path.to_owned() }
}

/// The handlers that the server knows, each with its endpoint. None for a server without handlers
/// (echo).
pub(crate) type Doors = Vec<(Option<String>, Door)>;

/// Opens what is served; then binds, or takes what was passed.
fn build(
    loaded: &Loaded,
    access: Option<&AccessLog>,
    passed: &mut Passed,
) -> Result<(Server, Doors), Failure> {
    let places = places(loaded, passed.len() > 0)?;
    let binds = |endpoint: Option<&str>| binds(endpoint, passed);
    let (builder, mut doors) = plan(loaded, &places, access, binds)?;
    let unused = passed.take_all().len();
    if unused > 0 {
        warn!("{unused} of the passed sockets are not used, as no endpoint names them");
    }
    if loaded.settings.echo {
        doors.clear();
    }
    // Every endpoint has its own service; this one is never asked.
    Ok((builder.serve(&echo())?, doors))
}

fn echo() -> Service {
    Service::protocol(Echo).and_packets(Echo).and_datagrams(Echo)
}

/// What is to be served where, before anything is bound.
fn plan(
    loaded: &Loaded,
    places: &[Place],
    access: Option<&AccessLog>,
    mut binds: impl FnMut(Option<&str>) -> Result<Vec<Bind>, Failure>,
) -> Result<(Builder, Doors), Failure> {
    let settings = &loaded.settings;
    let mut builder = Server::builder().config(settings.config.clone());
    let mut doors = Vec::new();
    // Those who are named go before the one that takes all that is left.
    let (named, rest): (Vec<_>, Vec<_>) = places
        .iter()
        .zip(rooms(loaded, places, access)?)
        .partition(|(place, _)| place.endpoint.is_some());
    for (place, room) in named.into_iter().chain(rest) {
        let door = Door::new(room);
        let service = if settings.echo { echo() } else { Service::http(door.clone()) };
        for bind in binds(place.endpoint.as_deref())? {
            builder = builder.bind(bind.with(service.clone()));
        }
        doors.push((place.endpoint.clone(), door));
    }
    Ok((builder, doors))
}

/// What an endpoint stands for. `None`: everything that was passed.
fn binds(endpoint: Option<&str>, passed: &mut Passed) -> Result<Vec<Bind>, Failure> {
    let (text, urgent) = Bind::split_priority(endpoint.unwrap_or_default());
    let fds = match (endpoint, passed_name(text)) {
        (None, _) => passed.take_all(),
        (_, Some(name)) => passed.take(name)?,
        (Some(endpoint), None) => return Ok(vec![Bind::to(endpoint)]),
    };
    let bind = |fd| {
        let bind = Bind::passed(fd)?;
        Ok(if urgent { bind.urgent() } else { bind })
    };
    fds.into_iter().map(bind).collect()
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
