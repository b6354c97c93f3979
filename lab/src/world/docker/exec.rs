//! Runs programs in containers.

use futures_util::StreamExt as _;
use testcontainers::bollard::Docker;
use testcontainers::bollard::exec::{CreateExecOptions, StartExecOptions, StartExecResults};

use super::engine_error;
use crate::world::WorldError;

/// Runs a program in a container to its end, and returns what it said.
pub(super) async fn exec(
    docker: &Docker,
    container: &str,
    host: &str,
    argv: &[&str],
) -> Result<String, WorldError> {
    let failed = |error| engine_error(&format!("{} on {host}", argv[0]), error);
    let exec = CreateExecOptions {
        cmd: Some(argv.to_vec()),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        ..CreateExecOptions::default()
    };
    let exec = docker.create_exec(container, exec).await.map_err(failed)?.id;
    let started = docker.start_exec(&exec, None::<StartExecOptions>).await.map_err(failed)?;
    let mut said = String::new();
    if let StartExecResults::Attached { mut output, .. } = started {
        while let Some(piece) = output.next().await {
            said.push_str(&String::from_utf8_lossy(&piece.map_err(failed)?.into_bytes()));
        }
    }
    match docker.inspect_exec(&exec).await.map_err(failed)?.exit_code {
        Some(0) => Ok(said),
        _ => {
            let what = format!("`{}` on {host}: {}", argv.join(" "), said.trim());
            Err(WorldError::new(what, ""))
        }
    }
}
