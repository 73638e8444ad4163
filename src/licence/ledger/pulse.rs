//! The keep-alives of a device: how often they come, and whether they have stopped (R43).

/// Keep-alives that must be missing before a device is silent.
const MISSED: u64 = 3;
/// No interval is taken for shorter than this, in seconds.
const SHORTEST: u64 = 5;

/// What was heard of a device over UDP. Where no keep-alive was ever heard twice, nothing is known of its
/// interval, and only its expiry ends it.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Pulse {
    last: u64,
    /// The last keep-alive; 0 for none.
    beat: u64,
    /// Seconds between two keep-alives, the longest of late; 0 while it is not known.
    interval: u64,
}

impl Pulse {
    /// A keep-alive came.
    pub fn beat(&mut self, now: u64) {
        let gap = now.saturating_sub(self.beat);
        if self.beat != 0 && gap > 0 {
            // One that was lost on the way does not make the device slow for ever.
            self.interval = gap.max(self.interval - self.interval / 8);
        }
        self.beat = now;
        self.hear(now);
    }

    /// Anything came.
    pub fn hear(&mut self, now: u64) {
        self.last = self.last.max(now);
    }

    /// Whether it is past its keep-alive.
    pub const fn is_silent(&self, now: u64) -> bool {
        let interval = if self.interval < SHORTEST { SHORTEST } else { self.interval };
        self.interval != 0 && now.saturating_sub(self.last) > MISSED * interval
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_three_missed_keep_alives() {
        // R43
        let mut pulse = Pulse::default();
        assert!(!pulse.is_silent(u64::MAX), "nothing was heard yet");
        pulse.beat(1_000);
        assert!(!pulse.is_silent(u64::MAX), "no interval is known");
        pulse.beat(1_030);
        assert!(!pulse.is_silent(1_030 + 90));
        assert!(pulse.is_silent(1_030 + 91));
        pulse.hear(1_050);
        assert!(!pulse.is_silent(1_050 + 90) && pulse.is_silent(1_050 + 91));
    }

    #[test]
    fn bursts_and_gaps_do_not_spoil_the_interval() {
        // R43
        let mut pulse = Pulse::default();
        for at in [1_000, 1_000, 1_001, 1_030, 1_060] {
            pulse.beat(at);
        }
        assert!(!pulse.is_silent(1_060 + 90) && pulse.is_silent(1_060 + 91));
        pulse.beat(2_000);
        for n in 1..60 {
            pulse.beat(2_000 + 30 * n);
        }
        let last = 2_000 + 30 * 59;
        assert!(!pulse.is_silent(last + 90) && pulse.is_silent(last + 120));
    }
}
