//! Connections, from the first to the last.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, get, post};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::problem::Problem;
use super::state::House;
use super::{Settings, Worklist, assets, guard, health, infer, metrics, worklist};
use crate::error::{Error, ErrorKind, Result};
use crate::reader::Reader;

/// A connection is closed at the latest after this time, so that nobody who reads slowly holds it for ever.
const LIFETIME: Duration = Duration::from_secs(300);
/// After a failure to accept (no file descriptors left, say).
const PAUSE: Duration = Duration::from_millis(50);
/// Header fields of a request, at most.
const FIELDS: usize = 64;
/// Bytes of a request's header, at most.
const HEADER: usize = 32 * 1024;

/// Serves until SIGTERM or SIGINT; requests in the house are finished first. `ready` is told the address once
/// connections are accepted.
///
/// # Errors
/// `Usage` from [`Settings::check`] and for an address that cannot be listened on; `Internal` when the engine fails its
/// first run.
pub fn serve(
    reader: Reader,
    settings: Settings,
    worklist: Option<Box<dyn Worklist>>,
    ready: impl FnOnce(SocketAddr),
) -> Result<()> {
    settings.check()?;
    // The first run takes memory and shows that the engine works, before anybody waits for it.
    let size = reader.engine().shape().image_size;
    reader.engine().run(&vec![0.0; 3 * size * size], 1)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // for slots, work lists and the few that linger
        .max_blocking_threads(reader.engine().threads() + 8)
        .build()
        .map_err(|e| Error::new(ErrorKind::Internal, "the runtime does not start").source(e))?;
    let drain = settings.drain_time;
    let house = Arc::new(House::new(reader, settings, worklist));
    let served = runtime.block_on(run(&house, ready));
    runtime.shutdown_timeout(drain);
    served
}

async fn run(house: &Arc<House>, ready: impl FnOnce(SocketAddr)) -> Result<()> {
    let listen = house.settings.listen;
    let refused = |e: std::io::Error| {
        Error::new(ErrorKind::Usage, format!("{listen}: {e}")).hint("choose another address or port with --listen")
    };
    let listener = TcpListener::bind(listen).await.map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    let mut stop = Stop::new()?;
    let (router, graceful) = (router(house), GracefulShutdown::new());
    let connections = Arc::new(Semaphore::new(house.settings.connections.min(Semaphore::MAX_PERMITS)));
    ready(address);
    loop {
        let next = async {
            let permit = connections.clone().acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            next = next => next,
            () = stop.wait() => break,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(house.settings.header_time)
            .max_headers(FIELDS)
            .max_buf_size(HEADER)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router.clone()));
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            let _permit = permit;
            let _ = tokio::time::timeout(LIFETIME, connection).await;
        });
    }
    drop(listener);
    house.closing.store(true, Ordering::Relaxed);
    tokio::select! {
        () = graceful.shutdown() => {}
        () = tokio::time::sleep(house.settings.drain_time) => {}
        // who asks twice does not want to wait
        () = stop.wait() => {}
    }
    Ok(())
}

fn router(house: &Arc<House>) -> Router {
    let only = |routes: MethodRouter<Arc<House>>, allowed: &'static str| {
        routes.fallback(move || async move { Problem::method(allowed) })
    };
    let files = assets::FILES.into_iter().fold(Router::new(), |router, (path, kind, text)| {
        router.route(path, only(get(move || async move { assets::typed(StatusCode::OK, kind, text) }), "GET"))
    });
    files
        .route("/healthz", only(get(health::health), "GET"))
        .route("/metrics", only(get(metrics::metrics), "GET"))
        .route("/v1/infer", only(post(infer::infer), "POST"))
        .route("/v1/worklist", only(get(worklist::worklist), "GET"))
        .fallback(|| async { Problem::new(StatusCode::NOT_FOUND, "usage", "there is nothing at this path") })
        .layer(from_fn_with_state(house.clone(), guard::guard))
        .with_state(house.clone())
}

/// The signals that end the service.
struct Stop {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

impl Stop {
    fn new() -> Result<Stop> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let listen = |kind| {
                signal(kind).map_err(|e| Error::new(ErrorKind::Internal, "signals cannot be listened to").source(e))
            };
            Ok(Stop { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
        }
        #[cfg(not(unix))]
        Ok(Stop {})
    }

    async fn wait(&mut self) {
        #[cfg(unix)]
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
        #[cfg(not(unix))]
        let _ = tokio::signal::ctrl_c().await;
    }
}
