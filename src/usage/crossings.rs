//! Warnings at 80, 90 and 100 % of a number of seats, each once for every time it is passed upward (R72).
//!
//! Pure. One [`Crossings`] for each counter; it is shown the counter's peak once a second. What it says does not
//! depend on how fast the seats fill: someone who jumps over a step has passed it.

/// The steps, in percent.
pub const STEPS: [u8; 3] = [80, 90, 100];
/// Looks in a row that a counter must have been below a step before that step is armed again: a phone that comes
/// back within seconds is no new crossing.
pub const CALM: u8 = 5;

/// Which steps of one counter were passed and not left again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Crossings {
    passed: [bool; STEPS.len()],
    below: [u8; STEPS.len()],
}

impl Crossings {
    /// As it was kept: one bit for each step.
    pub fn from_bits(bits: u64) -> Self {
        let mut all = Self::default();
        for (n, passed) in all.passed.iter_mut().enumerate() {
            *passed = bits >> n & 1 == 1;
        }
        all
    }

    /// To be kept.
    pub fn bits(&self) -> u64 {
        self.passed.iter().enumerate().map(|(n, passed)| u64::from(*passed) << n).sum()
    }

    /// Shows the most that was used since the last look, of `limit`. Returns the steps that were passed upward by
    /// it; of steps that fall on the same number of users only the highest.
    pub fn look(&mut self, peak: u64, limit: u64) -> Vec<u8> {
        let mut passed = Vec::new();
        let thresholds = STEPS.map(|percent| threshold(limit, percent));
        let mut last = None;
        for (((threshold, step), armed), below) in
            thresholds.into_iter().zip(STEPS).zip(&mut self.passed).zip(&mut self.below)
        {
            if peak < threshold {
                *below = below.saturating_add(1);
                if *below >= CALM {
                    *armed = false;
                }
                continue;
            }
            *below = 0;
            if !std::mem::replace(armed, true) {
                if last == Some(threshold) {
                    passed.pop();
                }
                passed.push(step);
                last = Some(threshold);
            }
        }
        passed
    }
}

/// The smallest number of users that is at least `percent` of the limit. Somebody who is there although nobody may
/// be is at 100 %.
fn threshold(limit: u64, percent: u8) -> u64 {
    let users = (u128::from(limit) * u128::from(percent)).div_ceil(100);
    u64::try_from(users).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said while a counter goes through these values, one look each.
    fn said(limit: u64, peaks: &[u64]) -> Vec<(u64, u8)> {
        let mut all = Crossings::default();
        peaks.iter().flat_map(|peak| all.look(*peak, limit).into_iter().map(move |step| (*peak, step))).collect()
    }

    fn calm(value: u64) -> Vec<u64> {
        vec![value; usize::from(CALM)]
    }

    #[test]
    fn each_step_is_said_at_its_number_and_once() {
        // R72
        assert_eq!(said(100, &[79, 80, 81, 80, 89, 90, 91, 90, 99, 100, 101, 100]), [(80, 80), (90, 90), (100, 100)]);
        assert_eq!(said(10, &[7, 8, 8, 9, 9, 10, 10]), [(8, 80), (9, 90), (10, 100)]);
    }

    #[test]
    fn a_step_that_is_jumped_over_is_passed() {
        // R72
        assert_eq!(said(10, &[0, 10, 10]), [(10, 80), (10, 90), (10, 100)]);
        assert_eq!(said(10, &[7, 9]), [(9, 80), (9, 90)]);
    }

    #[test]
    fn it_is_said_again_only_after_the_step_was_left() {
        // R72
        assert_eq!(said(10, &[8, 7, 8]), [(8, 80)], "a phone that comes back is no crossing");
        let left = [vec![8], vec![7; usize::from(CALM) - 1], vec![8]].concat();
        assert_eq!(said(10, &left), [(8, 80)], "one look too few");
        assert_eq!(said(10, &[vec![8], calm(7), vec![8]].concat()), [(8, 80), (8, 80)]);
        // Falling below 100 arms 100 alone.
        assert_eq!(said(10, &[vec![10], calm(9), vec![10]].concat()), [(10, 80), (10, 90), (10, 100), (10, 100)]);
        let still = [vec![8], calm(8), vec![9, 8, 9]].concat();
        assert_eq!(said(10, &still), [(8, 80), (9, 90)]);
    }

    #[test]
    fn tiny_limits() {
        // R72
        assert_eq!(said(1, &[0, 1, 1]), [(1, 100)]);
        assert_eq!(said(3, &[0, 1, 2, 3]), [(3, 100)]);
        assert_eq!(said(5, &[3, 4, 5]), [(4, 80), (5, 100)]);
        assert_eq!(said(0, &[0, 0, 0]), []);
        assert_eq!(said(0, &[1, 1]), [(1, 100)], "more than nothing is licensed");
    }

    #[test]
    fn the_limit_moves() {
        // R72
        let mut all = Crossings::default();
        assert!(all.look(8, 20).is_empty());
        assert_eq!(all.look(8, 10), [80]);
        assert_eq!(all.look(8, 8), [100], "90 and 100 % of 8 are the same number");
        assert!(all.look(8, 4).is_empty());
        for _ in 0..CALM {
            assert!(all.look(8, 100).is_empty());
        }
        assert_eq!(all.look(8, 10), [80]);
        assert_eq!(all.look(u64::MAX, u64::MAX), [90, 100]);
    }

    #[test]
    fn a_restart_says_nothing_twice() {
        let mut all = Crossings::default();
        all.look(9, 10);
        let mut again = Crossings::from_bits(all.bits());
        assert!(again.look(9, 10).is_empty());
        assert_eq!(again.look(10, 10), [100]);
        assert_eq!(Crossings::from_bits(u64::MAX).bits(), 0b111);
    }
}
