//! Waiting for a moment more finely than the runtime's timers do.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

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

/// An alarm clock with a thread of its own, for who sets it often and seldom waits until
/// it rings: [`until`] would leave a sleeping thread behind each time.
#[derive(Debug)]
pub(crate) struct Alarm(Arc<Clock>);

#[derive(Debug, Default)]
struct Clock {
    setting: Mutex<Setting>,
    changed: Condvar,
    rings: Notify,
}

#[derive(Debug, Default)]
struct Setting {
    /// When the thread has to look next.
    at: Option<Instant>,
    /// Whether the alarm is dropped.
    over: bool,
}

impl Alarm {
    /// One that is not set. An error says that there is no thread to be had.
    pub(crate) fn new() -> io::Result<Alarm> {
        let clock = Arc::new(Clock::default());
        let own = Arc::clone(&clock);
        std::thread::Builder::new()
            .name("alarm".to_owned())
            .spawn(move || own.run())?;
        Ok(Alarm(clock))
    }

    /// Waits until a moment. One waits at a time.
    pub(crate) async fn until(&self, moment: Instant) {
        if let Some(early) = moment.checked_sub(TICKS)
            && early > Instant::now()
        {
            tokio::time::sleep_until(early.into()).await;
        }
        self.0.set(moment);
        loop {
            let rung = self.0.rings.notified();
            if Instant::now() >= moment {
                return;
            }
            rung.await;
        }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.0.setting().over = true;
        self.0.changed.notify_one();
    }
}

impl Clock {
    fn setting(&self) -> MutexGuard<'_, Setting> {
        self.setting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, moment: Instant) {
        let mut setting = self.setting();
        let is_sooner = setting.at.is_none_or(|at| moment < at);
        setting.at = Some(moment);
        // Where it is later, the thread finds out when it looks.
        if is_sooner {
            self.changed.notify_one();
        }
    }

    fn run(&self) {
        let mut setting = self.setting();
        while !setting.over {
            let left = setting
                .at
                .map(|at| at.saturating_duration_since(Instant::now()));
            setting = match left {
                None => self
                    .changed
                    .wait(setting)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => {
                    setting.at = None;
                    self.rings.notify_waiters();
                    setting
                }
                Some(left) => {
                    let waited = self.changed.wait_timeout(setting, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_alarm_rings_at_the_last_moment_that_it_was_set_to() {
        let alarm = Alarm::new().unwrap();
        let begun = Instant::now();
        for after in [50, 1, 5] {
            let moment = begun + Duration::from_millis(after);
            // Given up at once, as where something else happens first.
            tokio::select! {
                biased;
                () = alarm.until(moment) => {}
                () = std::future::ready(()) => {}
            }
        }
        let moment = Instant::now() + Duration::from_micros(300);
        alarm.until(moment).await;
        assert!(Instant::now() >= moment);
        let moment = Instant::now() + Duration::from_millis(5);
        alarm.until(moment).await;
        assert!(Instant::now() >= moment);
        let clock = Arc::downgrade(&alarm.0);
        drop(alarm);
        while clock.upgrade().is_some() {
            std::thread::yield_now();
        }
    }
}
