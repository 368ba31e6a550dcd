//! Holding what comes until it is let go. Nothing stays held: what is let go by
//! nobody goes when its [`Go`] is dropped, when holding ends, or with who holds. What
//! is held can also be struck, with whatever those who hold it can be struck with.

use tokio::sync::{oneshot, watch};

/// Turns holding on and off.
#[derive(Debug)]
pub struct Switch(watch::Sender<Hold>);

/// What [`Switch`] says, for those who hold.
#[derive(Clone, Debug)]
pub struct Holding(watch::Receiver<Hold>);

/// Whether things are held, and how often those held have been let go together.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hold {
    /// Whether what comes now is held.
    pub on: bool,
    released: u64,
}

/// A switch, off, and what it says.
pub fn switch() -> (Switch, Holding) {
    let (switch, holding) = watch::channel(Hold::default());
    (Switch(switch), Holding(holding))
}

impl Switch {
    /// Turns it. Turned off, whatever is held at that moment is let go.
    pub fn turn(&self, on: bool) {
        self.0.send_modify(|hold| {
            hold.on = on;
            if !on {
                hold.released += 1;
            }
        });
    }
}

impl Holding {
    /// How it stands now.
    pub fn now(&self) -> Hold {
        *self.0.borrow()
    }

    /// Waits until nothing is held.
    pub async fn off(&mut self) {
        // Without a switch nothing is held either.
        let _ = self.0.wait_for(|now| !now.on).await;
    }

    /// Waits until what was held at that time is let go together.
    pub async fn released(&mut self, since: Hold) {
        // Without a switch nothing is held either.
        let _ = self.0.wait_for(|now| now.released != since.released).await;
    }
}

/// The right to let what is held go, once, or to strike it with an `S`. Dropped, it
/// lets it go as well.
#[derive(Debug)]
pub struct Go<S>(oneshot::Sender<S>);

/// The other end of a [`Go`].
#[derive(Debug)]
pub struct Gone<S>(oneshot::Receiver<S>);

/// The right to let something go, and what that waits for.
pub fn held<S>() -> (Go<S>, Gone<S>) {
    let (go, gone) = oneshot::channel();
    (Go(go), Gone(gone))
}

impl<S> Go<S> {
    /// Lets it go. Nothing happens if it is gone already.
    pub fn run(self) {
        drop(self);
    }

    /// Strikes it. Nothing happens if it is gone already.
    pub fn strike(self, with: S) {
        // The other end is gone where there is nothing to strike.
        let _ = self.0.send(with);
    }
}

impl<S> Gone<S> {
    /// Waits until it may go: its [`Go`] was run, or dropped. Tells what it was struck
    /// with, if it was.
    pub async fn wait(self) -> Option<S> {
        self.0.await.ok()
    }
}
