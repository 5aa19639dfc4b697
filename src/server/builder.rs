//! [`Builder`]: from endpoints, services and a configuration to a bound [`Server`].

use std::sync::Arc;

use super::bind::Bind;
use super::bound::Server;
use super::descriptors::fit_descriptors;
use super::plan::{
    Plan, ServicePart, check_apart, explain_collision, service_number, share_versions,
};
use super::service::{ConnectionService, Service};
use super::threads::Parts;
use crate::config::Config;
use crate::error::{Error, ErrorKind};
use crate::http::Handler;
use crate::pool::datagram::socket::DatagramSocket;
use crate::pool::source::Source;
use crate::pool::{Protocol, Shared};

/// The endpoint of a server without any [`Bind`]: every address, IPv4 and IPv6.
const DEFAULT_BIND: &str = "tcp://[::]:8888";

/// Configures a server. [`serve`](Builder::serve), or one of its short forms, binds it.
#[derive(Debug, Default)]
#[must_use]
pub struct Builder {
    config: Config,
    binds: Vec<Bind>,
}

impl Server {
    /// Returns a builder with the default configuration.
    pub fn builder() -> Builder {
        Builder::default()
    }
}

impl Builder {
    /// Replaces the whole configuration.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Adds an endpoint. A server without any listens at `tcp://[::]:8888`.
    pub fn bind(mut self, bind: impl Into<Bind>) -> Self {
        self.binds.push(bind.into());
        self
    }

    /// Sets the number of worker threads.
    pub fn workers(mut self, workers: usize) -> Self {
        self.config.pool.workers = workers;
        self
    }

    /// Binds an HTTP/1.1 server, whose responses come from `handler` wherever a [`Bind`] has no
    /// service of its own. The server does not run yet.
    ///
    /// # Errors
    /// See [`serve`](Self::serve).
    pub fn http(self, handler: impl Handler) -> Result<Server, Error> {
        self.serve(&Service::http(handler))
    }

    /// Binds a server that uses `protocol` wherever a [`Bind`] has no service of its own. The
    /// server does not run yet.
    ///
    /// # Errors
    /// See [`serve`](Self::serve).
    pub fn protocol(self, protocol: impl Protocol) -> Result<Server, Error> {
        self.serve(&Service::protocol(protocol))
    }

    /// Binds a server with this main service, which it uses wherever a [`Bind`] has no service of
    /// its own. The server does not run yet.
    ///
    /// # Errors
    /// An [`Error`] that names the setting, the endpoint or the system call: see
    /// [`ErrorKind`](crate::ErrorKind). An endpoint for which its service has no part is an error.
    pub fn serve(mut self, main: &Service) -> Result<Server, Error> {
        let plans = self.plans(main)?;
        fit_descriptors(&mut self.config);
        let mut services: Vec<ConnectionService> = Vec::new();
        let mut bound = Vec::new();
        let mut sources = Vec::new();
        let mut sockets = Vec::new();
        for Plan { target, urgent, part } in plans {
            let endpoint = target.endpoint().cloned();
            match part {
                ServicePart::Connections(part) => {
                    let client_first = part.client_sends_first();
                    let index = services.iter().position(|other| other.is_same_as(&part));
                    let protocol = service_number(index.unwrap_or_else(|| {
                        services.push(part);
                        services.len() - 1
                    }))?;
                    let listeners = target.listen(self.config.pool.backlog);
                    let defer = self.config.timeouts.defer_accept;
                    for listener in
                        listeners.map_err(|error| explain_collision(error, endpoint, &bound))?
                    {
                        if client_first && !defer.is_zero() {
                            listener.defer_accept(defer);
                        }
                        bound.push((listener.local_addr().ok(), listener.endpoint_text()));
                        let backlog = self.config.pool.backlog;
                        sources.push(Source::new(listener, protocol, urgent, backlog));
                    }
                }
                ServicePart::Datagrams(handler) => {
                    let opened = target.receive(self.config.pool.receive_buffer);
                    for socket in
                        opened.map_err(|error| explain_collision(error, endpoint, &bound))?
                    {
                        service_number(sockets.len())?;
                        let socket = DatagramSocket::new(socket, Arc::clone(&handler), urgent);
                        bound.push((socket.local_addr().ok(), socket.endpoint_text()));
                        sockets.push(Arc::new(socket));
                    }
                }
            }
        }
        let protocols = services.iter().map(|service| service.start(&self.config)).collect();
        let urgent = sources.iter().any(|source| source.urgent)
            || sockets.iter().any(|socket: &Arc<DatagramSocket>| socket.urgent);
        let shared = Shared::new(self.config, urgent).map_err(|error| {
            Error::new(ErrorKind::System, "cannot make the server's descriptors").with_source(error)
        })?;
        shared.count_datagrams_of(&sockets);
        Ok(Server { parts: Parts { shared, protocols, sources, sockets, urgent }, bound })
    }

    /// Checks everything that [`serve`](Self::serve) checks before it binds.
    ///
    /// # Errors
    /// The errors of [`serve`](Self::serve), except those of binding.
    ///
    /// # Examples
    /// ```
    /// use millpond::handlers::Echo;
    /// use millpond::{Server, Service};
    ///
    /// let builder = || Server::builder().bind("udp://127.0.0.1:7007");
    /// let streams = Service::protocol(Echo);
    /// assert!(builder().check(&streams.clone().and_datagrams(Echo)).is_ok());
    /// let error = builder().check(&streams).unwrap_err();
    /// assert!(error.to_string().contains("datagrams"));
    /// ```
    pub fn check(mut self, main: &Service) -> Result<(), Error> {
        self.plans(main).map(drop)
    }

    /// Parses and checks all endpoints, before the first is bound.
    fn plans(&mut self, main: &Service) -> Result<Vec<Plan>, Error> {
        self.config.check()?;
        if self.binds.is_empty() {
            self.binds.push(Bind::to(DEFAULT_BIND));
        }
        let plans = self.binds.drain(..).map(|bind| Plan::new(bind, main));
        let mut plans = plans.collect::<Result<Vec<_>, Error>>()?;
        share_versions(&mut plans);
        check_apart(&plans)?;
        Ok(plans)
    }
}
