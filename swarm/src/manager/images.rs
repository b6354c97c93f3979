//! Changing images on many engines.

use std::sync::Arc;

use hyper::{Method, StatusCode};
use serde_json::Value;

use crate::engine::{Engine, EngineError};
use crate::scheduler::Request;

use super::Manager;

impl Manager {
    /// The node on which a container of this create request would be made now; nothing is claimed.
    ///
    /// # Errors
    /// What the client is told.
    pub fn choose(&self, mut body: Value) -> Result<String, String> {
        let request = Request::from_create("", &mut body)?;
        self.choose_for(&request)
    }

    /// Asks the engine at `addr` for its images and takes the answer over.
    ///
    /// # Errors
    /// When the engine could not be asked; what was known stays.
    pub async fn refresh_images(&self, addr: &str) -> Result<(), EngineError> {
        let engine = self.known_engine(addr)?;
        self.list_images(&engine).await
    }

    /// Makes a call that changes the images of the engine at `addr`, and lists them anew. It is
    /// finished even when nobody waits for it any more.
    ///
    /// # Errors
    /// The engine refused, or could not be asked.
    pub async fn change_images(
        self: &Arc<Self>,
        addr: &str,
        method: Method,
        path: String,
    ) -> Result<(StatusCode, Value), EngineError> {
        let engine = self.known_engine(addr)?;
        let manager = Arc::clone(self);
        let work = async move {
            let (status, body) = engine.call(method, &path, None).await?;
            if !status.is_success() {
                return Err(EngineError::api(status, &body));
            }
            manager.list_images_again(&engine).await;
            Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
        };
        let stopped = || Err(EngineError::Other("the manager is shutting down".to_owned()));
        self.detached("images", work).await.unwrap_or_else(stopped)
    }

    async fn list_images_again(&self, engine: &Engine) {
        if let Err(error) = self.list_images(engine).await {
            self.log_failed(engine, "images", &error);
        }
    }
}
