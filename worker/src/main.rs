//! The command line of the worker.

mod cli;
mod doctor;
mod heap;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use dreamcore_worker::app::App;
use dreamcore_worker::config::{Config, forget_secrets};
use dreamcore_worker::sandbox::launch::Launcher;
use dreamcore_worker::store::volume::{Activity, InFlight};
use dreamcore_worker::{sandbox, server};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

/// Longest wait at the end for saves, whose clients are waiting for an answer.
const SAVE_TIMEOUT: Duration = Duration::from_mins(1);

fn main() -> ExitCode {
    let command = cli::Cli::parse().command;
    let config = match Config::from_env() {
        Ok(config) => config,
        Err(error) => return cli::fail(&error),
    };
    // These two calls need a process with only one thread.
    heap::give_back_large_blocks();
    let forgotten = forget_secrets();
    if let Err(error) = cli::init_log(&config) {
        return cli::fail(&error);
    }
    if let Err(error) = forgotten {
        tracing::warn!(%error, "the secrets stay in the worker's environment");
    }
    if let Err(error) = sandbox::protect_own_process() {
        return cli::fail(&format!("cannot protect the worker's own memory: {error}"));
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return cli::fail(&error),
    };
    match runtime.block_on(run(command, config)) {
        Ok(code) => code,
        Err(error) => cli::fail(&error),
    }
}

async fn run(
    command: cli::Command,
    config: Config,
) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let launcher = Launcher::new(cli::launcher_path(&config)?);
    match command {
        cli::Command::Serve => serve(config, launcher).await.map(|()| ExitCode::SUCCESS),
        cli::Command::Doctor { json, live } => doctor::run(config, launcher, json, live).await,
    }
}

async fn serve(config: Config, launcher: Launcher) -> Result<(), Box<dyn std::error::Error>> {
    // The port is taken before the self-test and everything else, so that a port that is in use is
    // reported at once.
    let listener = TcpListener::bind(config.server.listen)
        .await
        .map_err(|error| format!("DREAMCORE_LISTEN {}: {error}", config.server.listen))?;
    let app = Arc::new(App::new(config.app, launcher).await?);
    let router = server::router(&app, &config.server)?;
    server::tell_peers(&app.store.volume, &config.server)?;
    cli::report_start(&app, listener.local_addr()?);

    let (max_connections, grace) = (config.server.max_connections, config.server.shutdown_grace);
    let (stop, hurry) = (CancellationToken::new(), CancellationToken::new());
    tokio::spawn(stop_on_signal(Arc::clone(&app), stop.clone(), hurry.clone())?);
    let drained = async {
        let end = Instant::now() + grace;
        // New runs are refused by now. Those that are running may finish within the grace, and are
        // then stopped.
        if timeout_at(end, app.runs.finished()).await.is_err() {
            tracing::warn!("runs are stopped because the time for them is over");
            app.runs.stop_all();
            app.runs.finished().await;
        }
        let gate = app.store.volume.gate();
        let is_over = tokio::select! {
            waited = timeout_at(end, gate.without(Activity::Upload)) => waited.is_err(),
            () = hurry.cancelled() => gate.in_flight().uploads > 0,
        };
        if is_over {
            tracing::warn!("uploads are broken off because the time for them is over");
        }
        // Nothing breaks off a save; this is for the answer, which its client is waiting for.
        if timeout(SAVE_TIMEOUT, gate.without(Activity::Save)).await.is_err() {
            tracing::warn!("saves are still under way, and end without an answer");
        }
        if timeout(SAVE_TIMEOUT, gate.without(Activity::Commit)).await.is_err() {
            tracing::warn!("changes are still not committed, and end without an answer");
        }
    };
    server::serve(listener, router, max_connections, stop, drained).await;
    tracing::info!("stopped");
    Ok(())
}

/// After the first signal, running generations may finish; after a second one, they are stopped at
/// once.
fn stop_on_signal(
    app: Arc<App>,
    stop: CancellationToken,
    hurry: CancellationToken,
) -> std::io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        let mut next = async || {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        next().await;
        let in_flight = app.store.volume.gate().in_flight();
        let InFlight { reads, copies, uploads, saves, .. } = in_flight;
        let running = app.runs.running();
        tracing::info!(running, reads, copies, uploads, saves, "stopping");
        app.runs.close();
        stop.cancel();
        next().await;
        hurry.cancel();
        app.runs.stop_all();
    })
}
