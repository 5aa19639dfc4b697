//! From settings to a bound server: the handlers of the sites, the access log, the listeners.

use std::sync::Arc;

use log::{info, warn};
use millpond::handlers::{Files, Hello};
use millpond::http::Handler;
use millpond::{Bind, BindOptions, Builder, Error, Server, Service, Tls};

use super::admin::{self, CommandTarget};
use super::load::passed_name;
use super::tls::{is_tls, without_tls};
use crate::access_log::writer::{self, AccessLog, Recorder};
use crate::failure::Failure;
use crate::os::socket_activation::PassedSockets;
use crate::settings::{AccessLogFormat, Loaded, Settings, Site};
use crate::sites::hosts::Hosts;
use crate::sites::routing::{self, ListenerSites, listener_sites};
use crate::sites::swap::{ListenerHandler, ListenerSwaps, SiteSwap};

/// Opens the roots, then binds the endpoints or takes the sockets that were passed.
pub(super) fn build(
    loaded: &Loaded,
    access: Option<&AccessLog>,
    passed: &mut PassedSockets,
    commands: &CommandTarget,
    tls: Option<&Tls>,
) -> Result<(Server, ListenerSwaps), Failure> {
    let listeners = listener_sites(loaded, passed.len() > 0)?;
    let binds = |endpoint: Option<&str>| binds(endpoint, passed, tls);
    let (builder, mut swaps) = plan(loaded, &listeners, (access, tls), binds)?;
    let builder = admin::configure(builder, &loaded.settings, commands)?;
    let unused = passed.take_all().len();
    if unused > 0 {
        warn!("unused passed sockets: {unused}, which no endpoint names");
    }
    if loaded.settings.echo {
        swaps.clear();
    }
    // Every endpoint has its own service, so that this default is never used.
    Ok((builder.service(Service::echo()).build()?, swaps))
}

/// The server with its endpoints and handlers, before anything is bound.
pub(super) fn plan(
    loaded: &Loaded,
    listeners: &[ListenerSites],
    (access, tls): (Option<&AccessLog>, Option<&Tls>),
    mut binds: impl FnMut(Option<&str>) -> Result<Vec<Bind>, Failure>,
) -> Result<(Builder, ListenerSwaps), Failure> {
    let settings = &loaded.settings;
    let mut builder = Server::builder().config(settings.config.clone());
    if let Some(tls) = tls {
        builder = builder.tls(tls.clone());
    }
    let mut swaps = Vec::new();
    // The listener without an endpoint comes last: it takes the sockets that no other one names.
    let (named, rest): (Vec<_>, Vec<_>) = listeners
        .iter()
        .zip(handlers(loaded, listeners, access)?)
        .partition(|(listener, _)| listener.endpoint.is_some());
    for (listener, handler) in named.into_iter().chain(rest) {
        let swap = SiteSwap::new(handler);
        let service = if settings.echo { Service::echo() } else { Service::http(swap.clone()) };
        for bind in binds(listener.endpoint.as_deref())? {
            builder = builder.bind(bind.with(service.clone()));
        }
        swaps.push((listener.endpoint.clone(), swap));
    }
    Ok((builder, swaps))
}

/// The sockets of an endpoint. `None`: every passed socket that was not taken yet.
fn binds(
    endpoint: Option<&str>,
    passed: &mut PassedSockets,
    tls: Option<&Tls>,
) -> Result<Vec<Bind>, Failure> {
    let (text, options) = BindOptions::split(endpoint.unwrap_or_default())?;
    let tls = tls.filter(|_| is_tls(&text));
    let text = without_tls(&text);
    let fds = match (endpoint, passed_name(&text)) {
        (None, _) => passed.take_all(),
        (_, Some(name)) => passed.take(name)?,
        (Some(endpoint), None) => return Ok(vec![Bind::to(endpoint)]),
    };
    let bind = |fd| {
        let bind = Bind::passed(fd)?.with_options(options);
        Ok(match tls {
            Some(tls) => bind.tls(tls),
            None => bind,
        })
    };
    fds.into_iter().map(bind).collect()
}

/// The handler of each listener. Opens roots and files of users; binds nothing.
pub(super) fn handlers(
    loaded: &Loaded,
    listeners: &[ListenerSites],
    access: Option<&AccessLog>,
) -> Result<Vec<ListenerHandler>, Failure> {
    let settings = &loaded.settings;
    let is_served =
        |number: &usize| listeners.iter().any(|listener| listener.sites.contains(number));
    let mut sites: Vec<Arc<dyn Handler>> = Vec::new();
    for number in 0..routing::count(settings) {
        sites.push(match is_served(&number) {
            true => site_handler(routing::site(settings, number))
                .map_err(|error| Failure::from(error).at(&routing::place_of(loaded, number)))?,
            false => Arc::new(Hello),
        });
    }
    let listener_handler = |listener: &ListenerSites| {
        let handler = match listener.sites.as_slice() {
            [only] if routing::site(settings, *only).is_default() => Arc::clone(&sites[*only]),
            several => {
                let mut hosts = Hosts::default();
                for &number in several {
                    hosts.add(&routing::site(settings, number).hosts, &sites[number]);
                }
                Arc::new(hosts)
            }
        };
        ListenerHandler { handler, access_log: recorder(loaded, access) }
    };
    Ok(listeners.iter().map(listener_handler).collect())
}

fn site_handler(site: &Site) -> Result<Arc<dyn Handler>, Error> {
    Ok(match &site.root {
        Some(root) => {
            let files = Files::open(root, site.options())?;
            let text = files.describe_root();
            let remedy = " (--index, --listing and --fallback change that)";
            let remedy = if text.contains("404:") { remedy } else { "" };
            info!("GET / of {} {text}{remedy}", root.display());
            Arc::new(files)
        }
        None => Arc::new(Hello),
    })
}

/// Where a handler logs each request, and in which format.
pub(super) fn recorder(
    loaded: &Loaded,
    access: Option<&AccessLog>,
) -> Option<(Recorder, AccessLogFormat)> {
    access.map(|access| (access.recorder(), loaded.settings.access_log.format))
}

/// The access log, if it is on. It is not open yet.
pub(super) fn access_log(settings: &Settings) -> Option<AccessLog> {
    (settings.access_log.format != AccessLogFormat::Off)
        .then(|| AccessLog::new(&settings.access_log))
}

/// Checks whether the access log can be opened, without opening it.
pub(super) fn check_access_log(settings: &Settings) -> Result<(), Failure> {
    match settings.access_log.format {
        AccessLogFormat::Off => Ok(()),
        _ => writer::check(&settings.access_log, settings.user.is_none()),
    }
}
