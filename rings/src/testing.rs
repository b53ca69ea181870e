//! Seeds for random tests: printed, and taken from `WEIR_SEED` to replay a failure.

use rand::SeedableRng;
use rand::rngs::SmallRng;

/// A generator for one test. The seed is printed, so a failure shows it.
pub(crate) fn seeded(test: &str) -> SmallRng {
    let seed = match std::env::var("WEIR_SEED").map(|seed| seed.parse()) {
        Ok(Ok(seed)) => seed,
        Ok(Err(error)) => panic!("WEIR_SEED must be a number: {error}"),
        Err(_) => std::time::SystemTime::UNIX_EPOCH
            .elapsed()
            .map_or(1, |t| t.as_nanos() as u64),
    };
    println!("{test}: replay with WEIR_SEED={seed}");
    SmallRng::seed_from_u64(seed)
}
