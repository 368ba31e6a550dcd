//! Waiting for a moment more finely than the runtime's timers do.

use std::time::{Duration, Instant};

/// The runtime's timers tick in milliseconds. What is left below this is slept by
/// a thread, which the kernel wakes to some fifty microseconds.
const TICKS: Duration = Duration::from_millis(2);

/// Waits until a moment.
pub(crate) async fn until(moment: Instant) {
    if let Some(early) = moment.checked_sub(TICKS)
        && early > Instant::now()
    {
        tokio::time::sleep_until(early.into()).await;
    }
    let left = moment.saturating_duration_since(Instant::now());
    if !left.is_zero() {
        // It fails only when the runtime shuts down, which drops this too.
        let _ = tokio::task::spawn_blocking(move || std::thread::sleep(left)).await;
    }
}
