//! Waiting for something to be so, never without a deadline.

use std::fmt::Display;
use std::thread;
use std::time::{Duration, Instant};

use super::LabError;

/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Calls `look` until it returns a value. An `Err` is what was seen instead, and is reported when `patience` runs out.
pub fn wait_until<T, E: Display>(
    what: &str,
    patience: Duration,
    mut look: impl FnMut() -> Result<T, E>,
) -> Result<T, LabError> {
    let start = Instant::now();
    loop {
        match look() {
            Ok(value) => return Ok(value),
            Err(seen) if start.elapsed() >= patience => {
                return Err(LabError::Deadline {
                    what: what.to_owned(),
                    waited: patience,
                    last: seen.to_string(),
                });
            }
            Err(_) => thread::sleep(LOOK_EVERY),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::wait_until;

    #[test]
    fn it_returns_the_value_or_the_last_observation() {
        let mut calls = 0;
        let value = wait_until("three", Duration::from_secs(5), || {
            calls += 1;
            if calls == 3 { Ok(calls) } else { Err(calls) }
        });
        assert_eq!(value.expect("third call"), 3);

        let never = wait_until("rain", Duration::ZERO, || Err::<(), _>("sun"));
        let text = never.expect_err("no rain").to_string();
        assert!(text.contains("rain") && text.contains("sun"), "{text}");
    }
}
