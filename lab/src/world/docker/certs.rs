//! Certificates of nodes: what is copied into them before they start, and how one is replaced.

use std::path::PathBuf;

use futures_util::StreamExt as _;
use testcontainers::bollard::exec::StartExecResults;
use testcontainers::bollard::models::ExecConfig;
use testcontainers::bollard::query_parameters::UploadToContainerOptionsBuilder;
use testcontainers::bollard::{Docker, body_full};

use super::hosts::Running;
use super::images::Archive;
use super::{connect, engine_error};
use crate::pki::{self, Files, Pki};
use crate::scenario::cluster::{Host, MANAGER_PAIR, PKI, STORE_PAIR, engine_pair};
use crate::scenario::{CertKind, Holder};
use crate::world::WorldError;

/// The files of a node: its servers' pairs, and one of a client, with which it looks whether other
/// nodes are ready.
pub(super) fn of_node(pki: &Pki, host: &Host) -> Files {
    let mut files = Files::default();
    files.public("ca.pem", pki.authority());
    files.pair("", pki.client(CertKind::Good));
    if let Some(engine) = &host.engine {
        add(&mut files, pki, host, Holder::Engine, engine.cert);
    }
    if let Some(manager) = &host.manager {
        add(&mut files, pki, host, Holder::Manager, manager.cert);
    }
    files
}

/// The files of a store.
pub(super) fn of_store(pki: &Pki, host: &Host) -> Files {
    let mut files = Files::default();
    files.public("ca.pem", pki.authority());
    files.pair(STORE_PAIR, pki.store(host));
    files
}

fn add(files: &mut Files, pki: &Pki, host: &Host, holder: Holder, kind: CertKind) {
    match (holder, kind) {
        // An empty certificate: the engine starts without TLS.
        (Holder::Engine, CertKind::Plain) => {
            files.public(&format!("{}cert.pem", engine_pair(&host.name)), String::new());
        }
        (Holder::Engine, kind) => files.pair(&engine_pair(&host.name), pki.engine(host, kind)),
        (Holder::Manager, kind) => files.pair(MANAGER_PAIR, pki.manager(host, kind)),
    }
}

/// The folder with a client's certificate of a cluster that stays up: what `DOCKER_CERT_PATH` is
/// set to.
pub(super) fn client_folder(run: &str) -> PathBuf {
    std::env::temp_dir().join(format!("swarmlab-{run}"))
}

/// Writes that folder, for its owner's eyes only.
pub(super) fn write_client(pki: &Pki, run: &str) -> Result<(), WorldError> {
    let mut files = Files::default();
    files.public("ca.pem", pki.authority());
    files.pair("", pki.client(CertKind::Good));
    pki::write(&client_folder(run), &files).map_err(|why| WorldError::new(why, ""))
}

/// Removes that folder, if there is one.
pub(super) fn remove_client(run: &str) {
    // One that is not there, or is somebody else's, is none of ours.
    let _ = std::fs::remove_dir_all(client_folder(run));
}

/// Puts another certificate into a running node and restarts what shows it.
pub(super) async fn replace(
    node: &Running,
    pki: &Pki,
    host: &Host,
    holder: Holder,
    kind: CertKind,
) -> Result<(), WorldError> {
    let mut files = Files::default();
    add(&mut files, pki, host, holder, kind);
    let archive = archive(&files).map_err(|e| WorldError::new(format!("packing: {e}"), ""))?;
    let options = UploadToContainerOptionsBuilder::new().path("/").build();
    let docker = connect().await?;
    let id = node.id.as_str();
    let sent = docker.upload_to_container(id, Some(options), body_full(archive.into())).await;
    sent.map_err(|e| engine_error("copying a certificate", e))?;
    order(&docker, node, "restart", &holder.to_string()).await
}

fn archive(files: &Files) -> std::io::Result<Vec<u8>> {
    let mut archive = Archive::new();
    for (name, text, mode) in files.iter() {
        let path = format!("{}/{name}", PKI.trim_start_matches('/'));
        archive.file(&path, text.as_bytes(), mode)?;
    }
    archive.finish()
}

/// Gives an order to the program of a node, and waits until it is carried out.
async fn order(
    docker: &Docker,
    node: &Running,
    verb: &str,
    process: &str,
) -> Result<(), WorldError> {
    let what = format!("{verb} of the {process} on {}", node.host);
    let failed = |e| engine_error(&what, e);
    let words = ["/lab/lab", "node", "ctl", verb, process].map(str::to_owned);
    let config = ExecConfig {
        cmd: Some(words.into()),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        ..Default::default()
    };
    let exec = docker.create_exec(&node.id, config).await.map_err(failed)?;
    let started = docker.start_exec(&exec.id, None).await.map_err(failed)?;
    let mut said = String::new();
    if let StartExecResults::Attached { mut output, .. } = started {
        while let Some(piece) = output.next().await {
            said.push_str(&piece.map_err(failed)?.to_string());
        }
    }
    match docker.inspect_exec(&exec.id).await.map_err(failed)?.exit_code {
        Some(0) => Ok(()),
        _ => Err(WorldError::new(format!("{what}: {}", said.trim()), "")),
    }
}
