//! The wish to end early: Ctrl-C, in most cases.

use std::sync::Arc;

use tokio::sync::watch;

/// Asked by one, heard by all who hold a clone.
#[derive(Clone, Debug)]
pub struct Stop(Arc<watch::Sender<bool>>);

impl Default for Stop {
    fn default() -> Self {
        Stop(Arc::new(watch::Sender::new(false)))
    }
}

impl Stop {
    /// Asks everybody to end.
    pub fn ask(&self) {
        self.0.send_replace(true);
    }

    /// Whether it has been asked for.
    pub fn asked(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns once it has been asked for.
    pub async fn wait(&self) {
        // The sender lives as long as `self`, so this cannot fail.
        let _ = self.0.subscribe().wait_for(|asked| *asked).await;
    }
}
