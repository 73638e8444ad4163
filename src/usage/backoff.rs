//! How long a delivery that failed waits before it is tried again. Pure.

use std::time::Duration;

/// Tries of one delivery before it is given up: most of an hour.
pub(super) const TRIES: u32 = 16;
const FIRST: u64 = 1_000;
const LONGEST: u64 = 300_000;

/// The pause after so many tries: doubled from one second to five minutes, and between half of it and the whole,
/// so that those that failed together do not come back together. `random` is in 0..1.
pub(super) fn pause(tries: u32, random: f64) -> Duration {
    let full = FIRST.saturating_mul(1 << tries.saturating_sub(1).min(20)).min(LONGEST);
    Duration::from_millis(full / 2).mul_f64(1.0 + random.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound_and_are_not_all_the_same() {
        // R72
        let ms = |tries, random| pause(tries, random).as_millis();
        assert_eq!((ms(1, 0.0), ms(1, 1.0)), (500, 1_000));
        assert_eq!((ms(2, 0.0), ms(3, 1.0)), (1_000, 4_000));
        assert_eq!((ms(9, 1.0), ms(10, 1.0), ms(u32::MAX, 0.0)), (256_000, 300_000, 150_000));
        let all: Duration = (1..TRIES).map(|tries| pause(tries, 1.0)).sum();
        assert!((1_800..3_600).contains(&all.as_secs()), "{all:?}");
    }
}
