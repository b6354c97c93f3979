//! What clients ask of one container, where the manager has a part in it.

use std::fmt;
use std::sync::Arc;

use hyper::{Method, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::cluster::NameTaken;
use crate::engine::EngineError;

use super::refresh::Depth;
use super::settle::NameClaim;
use super::{Manager, STOPPED};

/// Why a rename failed. The texts are the classic manager's.
#[derive(Clone, Debug)]
pub enum RenameError {
    /// Another container has the name, or is about to.
    Name(NameTaken),
    /// The engine refused, or could not be asked.
    Engine(EngineError),
}

impl fmt::Display for RenameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(taken) => taken.fmt(f),
            Self::Engine(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for RenameError {}

impl Manager {
    /// Starts a container on the engine at `addr`. One that runs already is no error.
    ///
    /// # Errors
    /// The engine refused, or could not be asked.
    pub async fn start_container(&self, addr: &str, id: &str) -> Result<(), EngineError> {
        let engine = self.known_engine(addr)?;
        let path = format!("/containers/{id}/start");
        let (status, body) = engine.call(Method::POST, &path, None).await?;
        if !status.is_success() && status != StatusCode::NOT_MODIFIED {
            return Err(EngineError::api(status, &body));
        }
        // It has been started, whatever the look says: it may have ended and removed itself.
        if let Err(error) = self.look_at(&engine, id, Depth::Full).await {
            self.log_failed(&engine, "a container", &error);
        }
        Ok(())
    }

    /// Removes a container from the engine at `addr`, by force and with its anonymous volumes if
    /// asked to.
    ///
    /// # Errors
    /// The engine refused, or could not be asked.
    pub async fn remove_container(
        &self,
        addr: &str,
        id: &str,
        force: bool,
        volumes: bool,
    ) -> Result<(), EngineError> {
        let engine = self.known_engine(addr)?;
        let query = match (force, volumes) {
            (true, true) => "?force=1&v=1",
            (true, false) => "?force=1",
            (false, true) => "?v=1",
            (false, false) => "",
        };
        let path = format!("/containers/{id}{query}");
        let (status, body) = engine.call(Method::DELETE, &path, None).await?;
        if status.is_success() || status == StatusCode::NOT_FOUND {
            self.forget_now(&engine, id);
        }
        match status {
            status if status.is_success() => Ok(()),
            StatusCode::NOT_FOUND => {
                Err(EngineError::Other(format!("Error: No such container: {id}")))
            }
            status => Err(EngineError::api(status, &body)),
        }
    }

    /// Renames a container on the engine at `addr`. The name is claimed while the engine is asked,
    /// so that of two at the same time one fails.
    ///
    /// # Errors
    /// The name is taken, the engine refused, or it could not be asked.
    pub async fn rename_container(
        self: &Arc<Self>,
        addr: &str,
        id: &str,
        name: &str,
    ) -> Result<(), RenameError> {
        let engine = self.known_engine(addr).map_err(RenameError::Engine)?;
        self.with(|cluster| cluster.claim_name(name, addr)).map_err(RenameError::Name)?;
        let claim = NameClaim::new(self, name, addr);
        let escaped = utf8_percent_encode(name, NON_ALPHANUMERIC);
        let path = format!("/containers/{id}/rename?name={escaped}");
        let (manager, id) = (Arc::clone(self), id.to_owned());
        let work = async move {
            let result = match engine.attempt(Method::POST, &path, None).await {
                Ok((status, _)) if status.is_success() => Ok(()),
                Ok((status, body)) => return Err(EngineError::api(status, &body)),
                Err(failure) if !failure.unknown => return Err(failure.error),
                Err(failure) => Err(failure.error),
            };
            // Renamed, or perhaps: either way the claim lasts until the engine shows the name.
            if let Err(error) = manager.look_at(&engine, &id, Depth::Full).await {
                manager.log_failed(&engine, "a container", &error);
                manager.settle_container(engine, id, claim);
            }
            result
        };
        let stopped = || Err(EngineError::Other(STOPPED.to_owned()));
        let result = self.detached("rename", work).await;
        result.unwrap_or_else(stopped).map_err(RenameError::Engine)
    }
}
