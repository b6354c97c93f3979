//! Changing images on many engines.

use std::sync::Arc;

use hyper::Method;
use serde_json::Value;

use crate::engine::{Engine, EngineError};

use super::{Manager, STOPPED};

impl Manager {
    /// Makes a call that changes the images of the engine at `addr`, and lists them again; returns
    /// the engine's answer. It is finished even when nobody waits for it any more.
    ///
    /// # Errors
    /// The engine refused, or could not be asked.
    pub async fn change_images(
        self: &Arc<Self>,
        addr: &str,
        method: Method,
        path: String,
    ) -> Result<Value, EngineError> {
        let engine = self.known_engine(addr)?;
        let manager = Arc::clone(self);
        let work = async move {
            let (status, body) = engine.call(method, &path, None).await?;
            if !status.is_success() {
                return Err(EngineError::api(status, &body));
            }
            manager.relist_images(&engine).await;
            Ok(serde_json::from_slice(&body).unwrap_or_default())
        };
        let stopped = || Err(EngineError::Other(STOPPED.to_owned()));
        self.detached("images", work).await.unwrap_or_else(stopped)
    }

    /// Lists the images of an engine again, so that the client's next list tells of a change. What
    /// cannot be listed now is listed later.
    pub(crate) async fn relist_images(&self, engine: &Engine) {
        if let Err(error) = self.list_images(engine).await {
            self.log_failed(engine, "images", &error);
        }
    }
}
