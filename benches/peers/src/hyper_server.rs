//! hyper and axum, which share the tokio runtime.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

use crate::ServeArgs;
use crate::work::Work;

/// hyper 1; with `blocking`, the handler runs on the blocking pool of `--threads` threads.
pub(crate) fn serve(args: &ServeArgs, blocking: bool) -> Result<(), String> {
    let runtime = runtime(args, blocking)?;
    let work = args.work();
    runtime.block_on(async {
        let listener = listen(args).await?;
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                // Out of descriptors: some will be free soon.
                tokio::time::sleep(Duration::from_millis(5)).await;
                continue;
            };
            let _ = stream.set_nodelay(true);
            let work = work.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request| respond(request, work.clone(), blocking));
                let connection = hyper::server::conn::http1::Builder::new();
                let _ = connection.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    })
}

/// axum with one route.
pub(crate) fn serve_axum(args: &ServeArgs) -> Result<(), String> {
    let runtime = runtime(args, false)?;
    let work = args.work();
    let handler = move || {
        let work = work.clone();
        async move { work.wait().await }
    };
    let router = axum::Router::new().fallback(handler);
    runtime.block_on(async {
        let listener = listen(args).await?;
        axum::serve(listener, router).await.map_err(|error| error.to_string())
    })
}

async fn respond(
    _request: Request<Incoming>,
    work: Work,
    blocking: bool,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = if blocking {
        let handled = tokio::task::spawn_blocking(move || work.block()).await;
        handled.expect("the handler does not panic")
    } else {
        work.wait().await
    };
    Ok(Response::new(Full::new(body)))
}

fn runtime(args: &ServeArgs, blocking: bool) -> Result<Runtime, String> {
    let mut builder = Builder::new_multi_thread();
    builder.enable_all();
    match (args.threads, blocking) {
        (Some(threads), true) => {
            builder.max_blocking_threads(threads);
        }
        (Some(threads), false) => {
            builder.worker_threads(threads);
        }
        (None, _) => {}
    }
    builder.build().map_err(|error| format!("cannot start tokio: {error}"))
}

async fn listen(args: &ServeArgs) -> Result<TcpListener, String> {
    let address = args.address();
    TcpListener::bind(address).await.map_err(|error| format!("cannot bind {address}: {error}"))
}
