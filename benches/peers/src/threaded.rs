//! tiny_http and rouille, the servers for blocking handlers.

use std::sync::Arc;

use crate::ServeArgs;

/// tiny_http, with `--threads` (4) threads taking requests, as its documentation advises.
pub(crate) fn tiny_http(args: &ServeArgs) -> Result<(), String> {
    let server = tiny_http::Server::http(args.address())
        .map_err(|error| format!("cannot bind {}: {error}", args.address()))?;
    let server = Arc::new(server);
    let take_requests = |_| {
        let (server, work) = (Arc::clone(&server), args.work());
        std::thread::spawn(move || {
            while let Ok(request) = server.recv() {
                let body = work.block();
                let _ = request.respond(tiny_http::Response::from_data(body));
            }
        })
    };
    let threads: Vec<_> = (0..args.threads.unwrap_or(4)).map(take_requests).collect();
    for thread in threads {
        let _ = thread.join();
    }
    Err("tiny_http stopped taking requests".into())
}

/// rouille with a pool of `--threads` (16) threads.
pub(crate) fn rouille(args: &ServeArgs) -> Result<(), String> {
    let work = args.work();
    rouille::start_server_with_pool(args.address(), args.threads.or(Some(16)), move |_request| {
        rouille::Response::from_data("text/plain", work.block().to_vec())
    })
}
