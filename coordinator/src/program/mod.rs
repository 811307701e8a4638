//! The program: reads its command line, and serves until a signal stops it, or carries out a command.

mod check;
mod line;
mod out;
mod shell;

pub use line::{Name, Program};

use crate::{
    config::{Command, Config, Flags, Hook, KubecacheFlags},
    coordinator::{self, CoordinatorError},
    http::get,
    kube::hooks,
    kubecache::{Kubecache, Note},
    server::Module,
    telemetry::{log, traces::TraceSettings},
    tls,
};
use clap::Parser;
use line::Serve;
use out::{complain, tell};
use std::{collections::BTreeMap, env, ffi::OsString, iter, path::PathBuf, process::ExitCode};
use tokio::signal::unix::{SignalKind, signal};

/// Runs the program.
pub fn main() -> ExitCode {
    // In a container variables alone may say what is served.
    let is_told = ["MESHCACHE_CONFIG", "MESHCACHE_ORIGIN"].iter().any(|name| env::var_os(name).is_some());
    let program = Program::read(env::args_os().collect(), is_told).unwrap_or_else(|bad| bad.exit());
    match run(program.command) {
        Ok(status) => status,
        Err(failed) => {
            complain(&failed.to_string());
            ExitCode::from(if matches!(failed, CoordinatorError::Config(_) | CoordinatorError::Kube(_)) {
                2
            } else {
                1
            })
        }
    }
}

fn run(command: Command) -> Result<ExitCode, CoordinatorError> {
    let done = |()| ExitCode::SUCCESS;
    match command {
        Command::Serve(flags) => {
            log::init(flags.log_format, flags.log_level);
            start(*flags).map(done)
        }
        Command::Client(command) => ask(*command),
        // kubecache's variables say what its log has.
        Command::Kubecache(flags) => kubecache(flags).map(done),
        Command::Check(flags) => {
            log_by_variables();
            check::run(flags)
        }
        Command::Completions { shell } => shell::completions(shell).map(done),
        Command::Man { command } => shell::man(command.as_deref()).map(done),
        Command::Probe { url, ca } => once(probe(url, ca)).map(done),
        Command::Hook(hook) => {
            log_by_variables();
            once(run_hook(hook)).map(done)
        }
    }
}

/// Logs as for serving, by the variables alone.
fn log_by_variables() {
    if let Ok(Serve { flags }) = Serve::try_parse_from(["meshcache"]) {
        log::init(flags.log_format, flags.log_level);
    }
}

/// Serves by the flags.
fn start(flags: Flags) -> Result<(), CoordinatorError> {
    let (traces, problems) = TraceSettings::read(&environment());
    problems.iter().for_each(|problem| tracing::warn!("{problem}"));
    serve(Config { traces, ..Config::try_from(flags).map_err(CoordinatorError::Config)? })
}

/// Asks a server.
fn ask(command: meshcache_cli::Command) -> Result<ExitCode, CoordinatorError> {
    let status = runtime(&mut tokio::runtime::Builder::new_current_thread())?.block_on(meshcache_cli::run(command));
    Ok(ExitCode::from(status))
}

fn runtime(builder: &mut tokio::runtime::Builder) -> Result<tokio::runtime::Runtime, CoordinatorError> {
    builder.enable_all().build().map_err(|error| CoordinatorError::System(error.to_string()))
}

async fn probe(url: String, ca: Option<PathBuf>) -> Result<String, CoordinatorError> {
    let trusts = || {
        let read = |path: &PathBuf| std::fs::read(path).map_err(|error| format!("--ca: {}: {error}", path.display()));
        let content = ca.as_ref().map(read).transpose()?;
        tls::client(content.as_deref().map(|content| tls::File { flag: "--ca", content }))
    };
    match get::get_trusting(&url, trusts).await {
        Ok(answer) => Ok(String::from_utf8_lossy(&answer).trim().to_owned()),
        Err(why) => Err(CoordinatorError::System(format!("{url}: {why}"))),
    }
}

/// Serves from kubecache's environment, or prints what that stands for.
fn kubecache(KubecacheFlags { print }: KubecacheFlags) -> Result<(), CoordinatorError> {
    let read = Kubecache::read(&environment()).map_err(|bad| CoordinatorError::Config(bad.to_string()))?;
    let arguments = iter::once("meshcache-coordinator").chain(read.arguments.iter().map(String::as_str));
    let flags = Serve::try_parse_from(arguments).map_err(|bad| CoordinatorError::Config(first_line(&bad)))?.flags;
    let (log_format, log_level) = (flags.log_format, flags.log_level);
    let config = Config::kubecache(flags, read.groups.clone(), read.extra.clone()).map_err(CoordinatorError::Config)?;
    let config = Config { traces: read.traces.clone(), ..config };
    coordinator::check(&config.source, &config.source.read(), config.identity)?;
    if print {
        tell(read.to_string().trim_end_matches('\n'));
        return Ok(());
    }
    log::init(log_format, log_level);
    for note in read.notes {
        match note {
            Note::Info(text) => tracing::info!("{text}"),
            Note::Warning(text) => tracing::warn!("{text}"),
        }
    }
    serve(config)
}

fn environment() -> BTreeMap<String, String> {
    let text = |text: OsString| text.to_string_lossy().into_owned();
    env::vars_os().map(|(name, value)| (text(name), text(value))).collect()
}

/// The line of clap's message that says what is wrong.
fn first_line(bad: &clap::Error) -> String {
    bad.to_string().lines().next().unwrap_or_default().to_owned()
}

/// Runs one task to its end, and prints its result.
fn once(task: impl Future<Output = Result<String, CoordinatorError>>) -> Result<(), CoordinatorError> {
    tell(&runtime(&mut tokio::runtime::Builder::new_current_thread())?.block_on(task)?);
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
            let digest = Module::wasm(&flags.filter).map_err(CoordinatorError::System)?.digest;
            list("attached", hooks::attach(&flags.file, &flags.service, &digest, flags.timeout.duration()).await?)
        }
        Hook::Detach(flags) => list("detached", hooks::detach(&flags.file, &flags.keep).await?),
    })
}

fn serve(config: Config) -> Result<(), CoordinatorError> {
    let runtime = runtime(&mut tokio::runtime::Builder::new_multi_thread())?;
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
            complain("a second signal: stopped at once");
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
