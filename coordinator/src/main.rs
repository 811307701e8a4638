//! meshcache-coordinator: reads its flags, and runs a coordinator until a signal stops it.

use clap::Parser;
use meshcache_coordinator::{
    config::{CheckFlags, Command, Config, Hook, Program},
    coordinator::{self, CoordinatorError},
    http::get,
    kube::hooks,
    server::Filter,
    telemetry::log,
};
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

/// Returns freed memory to the system soon, also in an hour without requests.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// jemalloc's options, under the symbol that it looks up. It reads a C string through a pointer.
#[unsafe(export_name = "_rjem_malloc_conf")]
#[used]
static MALLOC_CONF: &[u8; 60] = b"background_thread:true,dirty_decay_ms:3000,muzzy_decay_ms:0\0";

fn main() -> ExitCode {
    let program = Program::parse();
    log::init(program.flags.log_format, program.flags.log_level);
    let done = match program.command {
        Some(Command::Check(flags)) => check(&flags),
        Some(Command::Probe { url }) => once(async {
            get::get(&url)
                .await
                .map(|answer| String::from_utf8_lossy(&answer).trim().to_owned())
                .map_err(|why| CoordinatorError::System(format!("{url}: {why}")))
        }),
        Some(Command::Hook(hook)) => once(run_hook(hook)),
        None => serve(program),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            eprintln!("{failed}");
            ExitCode::from(if matches!(failed, CoordinatorError::Config(_) | CoordinatorError::Kube(_)) {
                2
            } else {
                1
            })
        }
    }
}

fn check(flags: &CheckFlags) -> Result<(), CoordinatorError> {
    let loaded = coordinator::check(flags)?;
    for warning in &loaded.warnings {
        println!("{warning} (warning)");
    }
    println!("{}: good, {} groups", flags.config.display(), loaded.groups.iter().count());
    Ok(())
}

/// Runs one task to its end, and prints its result.
fn once(task: impl Future<Output = Result<String, CoordinatorError>>) -> Result<(), CoordinatorError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CoordinatorError::System(error.to_string()))?;
    println!("{}", runtime.block_on(task)?);
    Ok(())
}

async fn run_hook(hook: Hook) -> Result<String, CoordinatorError> {
    let list = |what: &str, of: Vec<String>| {
        if of.is_empty() { format!("nothing {what}") } else { format!("{what}: {}", of.join(", ")) }
    };
    Ok(match hook {
        Hook::CreateTokens(flags) => format!(
            "Secret {}: {}",
            flags.secret,
            if hooks::create_tokens(&flags.secret).await? { "made" } else { "there already" }
        ),
        Hook::DeleteTokens(flags) => format!(
            "Secret {}: {}",
            flags.secret,
            if hooks::delete_tokens(&flags.secret).await? { "removed" } else { "not there" }
        ),
        Hook::Attach(flags) => {
            let digest = Filter::read(&flags.filter).map_err(CoordinatorError::System)?.digest;
            list("attached", hooks::attach(&flags.file, &flags.service, &digest, flags.timeout.duration()).await?)
        }
        Hook::Detach(flags) => list("detached", hooks::detach(&flags.file, &flags.keep).await?),
    })
}

fn serve(program: Program) -> Result<(), CoordinatorError> {
    let config = Config::try_from(program.flags).map_err(CoordinatorError::Config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| CoordinatorError::System(error.to_string()))?;
    let ended = runtime.block_on(async {
        let (mut terminate, mut interrupt) = signals()?;
        let mut signalled = async move || {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        };
        let (stop, stopped) = tokio::sync::oneshot::channel();
        tokio::spawn(async move {
            signalled().await;
            let _ = stop.send(());
            signalled().await;
            eprintln!("a second signal: stopped at once");
            std::process::exit(1);
        });
        coordinator::run(config, async {
            let _ = stopped.await;
        })
        .await
    });
    // A name that is being resolved, or a file that hangs, must not keep the process.
    runtime.shutdown_background();
    ended
}

fn signals() -> Result<(tokio::signal::unix::Signal, tokio::signal::unix::Signal), CoordinatorError> {
    let handler = |kind| signal(kind).map_err(|error| CoordinatorError::System(error.to_string()));
    Ok((handler(SignalKind::terminate())?, handler(SignalKind::interrupt())?))
}
