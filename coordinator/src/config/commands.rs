//! The commands. `--help` prints these comments.

use crate::{
    config::{Flags, service_ref::ServiceRef},
    settings::Identity,
};
use clap::{Args, Subcommand};
use meshcache_protocol::units::Span;
use std::path::PathBuf;

/// The commands.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Serve, alone or with others that share a mesh's keys
    #[command(after_help = SERVE)]
    Serve(Box<Flags>),
    /// Check a configuration. Status 0 if it is good, else 2
    ///
    /// All errors are told in one run, one line each: FILE:LINE: FIELD: what is wrong, and what to write
    #[command(after_help = CHECK)]
    Check(CheckFlags),
    /// Serve as kubecache, from its environment: docs/kubecache.md
    Kubecache(KubecacheFlags),
    /// Get a URL. Status 0 if the response is a 2xx, else 1
    #[command(hide = true)]
    Probe {
        /// http[s]://HOST[:PORT]/PATH
        url: String,
        /// The authorities of an https:// URL (PEM). Default: the system's
        #[arg(long, value_name = "FILE")]
        ca: Option<PathBuf>,
    },
    /// Commands that ask a server.
    #[command(flatten)]
    Client(Box<meshcache_cli::Command>),
    /// Print completions for a shell
    #[command(after_help = COMPLETIONS)]
    Completions {
        /// The shell
        #[arg(value_name = "bash|zsh|fish", hide_possible_values = true)]
        shell: clap_complete::Shell,
    },
    /// Print the man page of the program, or of one of its commands
    #[command(after_help = MAN)]
    Man {
        /// The command. Default: the program
        #[arg(value_name = "COMMAND")]
        command: Option<String>,
    },
    /// Commands of the chart's hooks.
    #[command(flatten)]
    Hook(Hook),
}

const SERVE: &str = "\
Examples:
  # alone, in front of one service
  meshcache serve --origin http://localhost:9000
  # groups of services, checked first
  meshcache check --config groups.yaml
  meshcache serve --config groups.yaml --admin-token-file token

Status: 0 when it was stopped by a signal, 1 when it cannot run, 2 when a flag
or the configuration is wrong.";

const COMPLETIONS: &str = "\
Examples:
  source <(meshcache completions bash)
  meshcache completions zsh >\"${fpath[1]}/_meshcache\"
  meshcache completions fish >~/.config/fish/completions/meshcache.fish";

const MAN: &str = "\
Examples:
  meshcache man | man -l -
  meshcache man why >/usr/local/share/man/man1/meshcache-why.1";

const CHECK: &str = "\
Examples:
  meshcache check groups.yaml
  helm template charts/meshcache -f values.yaml -s templates/groups.yaml |
    yq -r '.data[\"groups.yaml\"]' | meshcache check -

Status: 0 good, warnings are told; 2 not good.";

/// The commands of the chart's hooks, which change a cluster.
#[derive(Clone, Debug, Subcommand)]
pub enum Hook {
    /// Create a Secret with tokens for peers and administrators, unless it exists
    #[command(hide = true)]
    CreateTokens(SecretFlags),
    /// Delete the Secret that create-tokens made
    #[command(hide = true)]
    DeleteTokens(SecretFlags),
    /// Attach the filter to proxies, once every ready coordinator serves it
    #[command(hide = true)]
    Attach(AttachFlags),
    /// Detach the filter from proxies
    #[command(hide = true)]
    Detach(DetachFlags),
}

/// The flags of `create-tokens` and `delete-tokens`.
#[derive(Clone, Debug, Args)]
pub struct SecretFlags {
    /// The Secret
    #[arg(long, value_name = "[NAMESPACE/]NAME")]
    pub secret: ServiceRef,
}

/// The flags of `attach`.
#[derive(Clone, Debug, Args)]
pub struct AttachFlags {
    /// The WasmPlugins (a JSON list). SHA256 in their url and sha256 is replaced by the filter's digest
    #[arg(long, value_name = "FILE")]
    pub file: PathBuf,
    /// The coordinators' Service
    #[arg(long, value_name = "[NAMESPACE/]NAME")]
    pub service: ServiceRef,
    /// The filter that all coordinators must serve
    #[arg(long, env = "MESHCACHE_FILTER", value_name = "FILE")]
    pub filter: PathBuf,
    /// How long to wait for them
    #[arg(long, default_value = "5m", value_name = "DURATION")]
    pub timeout: Span,
}

/// The flags of `detach`.
#[derive(Clone, Debug, Args)]
pub struct DetachFlags {
    /// The WasmPlugins (a JSON list). Default: none
    #[arg(long, value_name = "FILE")]
    pub file: PathBuf,
    /// A WasmPlugin that stays. May be repeated
    #[arg(long, value_name = "NAMESPACE/NAME")]
    pub keep: Vec<String>,
}

/// The flags of `kubecache`.
#[derive(Clone, Copy, Debug, Args)]
pub struct KubecacheFlags {
    /// Print the configuration and the flags that the environment stands for, and end
    #[arg(long)]
    pub print: bool,
}

/// The flags of `check`.
#[derive(Clone, Debug, Args)]
pub struct CheckFlags {
    /// The groups: a file, a directory whose *.yaml files are combined, or - for standard input. Goes before --config
    #[arg(value_name = "FILE|DIR|-", required_unless_present = "config")]
    pub path: Option<PathBuf>,
    /// The groups, as for serving
    #[arg(long, env = "MESHCACHE_CONFIG", value_name = "FILE|DIR")]
    pub config: Option<PathBuf>,
    /// As for serving. With none, `callers` other than `*` are refused
    #[arg(
        long,
        env = "MESHCACHE_IDENTITY",
        default_value = "none",
        value_name = "none|xfcc|tls",
        hide_possible_values = true
    )]
    pub identity: Identity,
}
