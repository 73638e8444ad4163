//! The life of a binding (R58 to R63), by the second.

use super::*;
use crate::licence::clock::HighWater;
use crate::licence::hardware::Machine;

const NOW: u64 = 1_800_000_000;
const HOUR: u64 = 3600;
const MINUTE: u64 = 60;

fn machine(key: u8) -> HardwareId {
    Machine { cpu: Vec::new(), key: [key; 32] }.id()
}

fn entry(confirmed: bool) -> Entry {
    Entry { issued_for: None, issued: NOW - DAY, confirmed }
}

/// Bound for good to machine 1.
fn bound() -> Binding {
    Binding::default().enter(entry(false), machine(1), NOW).unwrap()
}

/// On machine 2 for a time, accepted now.
fn temporary() -> Binding {
    bound().moved(machine(2)).enter(entry(true), machine(2), NOW).unwrap()
}

#[test]
fn the_first_machine_is_the_one() {
    // R63
    assert_eq!(bound().state(machine(1), u64::MAX), State::Permanent);
    assert!(bound().has_rights(machine(1), NOW));
    assert_eq!(Binding::default().state(machine(1), NOW), State::Unlicensed);
}

#[test]
fn a_changed_machine_is_unlicensed_at_once() {
    // R58
    let moved = bound().moved(machine(2));
    assert_eq!(moved.state(machine(2), NOW), State::Unlicensed);
    assert!(!moved.has_rights(machine(2), NOW));
    assert_eq!(moved.state(machine(1), NOW), State::Permanent, "back on the machine it is bound to");
}

#[test]
fn entering_the_key_elsewhere_warns_first() {
    // R59
    let moved = bound().moved(machine(2));
    let Err(Halt::Warn(text)) = moved.enter(entry(false), machine(2), NOW) else { panic!("no warning") };
    assert!(text.contains(&machine(1).to_string()) && text.contains(&moment(NOW + TEMPORARY)), "{text}");
    let accepted = moved.enter(entry(true), machine(2), NOW).unwrap();
    assert_eq!(accepted.state(machine(2), NOW), State::Temporary(NOW + 240 * HOUR));
    // Issued for another machine and entered on a new installation.
    let issued = Entry { issued_for: Some(machine(1)), ..entry(false) };
    assert!(matches!(Binding::default().enter(issued, machine(2), NOW), Err(Halt::Warn(_))));
    let here = Binding::default().enter(issued, machine(1), NOW).unwrap();
    assert_eq!(here.state(machine(1), NOW), State::Permanent);
}

#[test]
fn a_temporary_binding_lasts_240_hours() {
    // R60
    let state = |after| temporary().state(machine(2), NOW + after);
    let running = State::Temporary(NOW + 240 * HOUR);
    assert_eq!(state(239 * HOUR + 59 * MINUTE), running);
    assert_eq!(state(240 * HOUR - 1), running);
    assert_eq!(state(240 * HOUR), State::Deactivated);
    assert_eq!(state(240 * HOUR + 1), State::Deactivated);
    assert_eq!(state(240 * HOUR + MINUTE), State::Deactivated);
}

#[test]
fn entering_the_key_again_does_not_start_anew() {
    // R60
    let again = temporary().enter(entry(true), machine(2), NOW + HOUR).unwrap();
    assert_eq!(again.state(machine(2), NOW + HOUR), State::Temporary(NOW + 240 * HOUR));
    let late = again.enter(entry(true), machine(2), NOW + 241 * HOUR).unwrap();
    assert_eq!(late.state(machine(2), NOW + 241 * HOUR), State::Deactivated);
    // Nor does another new machine.
    let third = temporary().moved(machine(3));
    assert_eq!(third.state(machine(3), NOW + HOUR), State::Unlicensed);
    let third = third.enter(entry(true), machine(3), NOW + HOUR).unwrap();
    assert_eq!(third.state(machine(3), NOW + HOUR), State::Temporary(NOW + 240 * HOUR));
}

#[test]
fn a_clock_set_back_does_not_lengthen_it() {
    // R60
    let clock = HighWater::new(NOW);
    let state = |wall| temporary().state(machine(2), clock.at(wall));
    assert_eq!(state(NOW + 239 * HOUR), State::Temporary(NOW + 240 * HOUR));
    assert_eq!(state(NOW + 240 * HOUR), State::Deactivated);
    assert_eq!(state(NOW - 1000 * HOUR), State::Deactivated, "set back");
}

#[test]
fn warnings_are_due_at_seven_three_and_one_days() {
    // R60
    let deadline = NOW + TEMPORARY;
    for days in WARNINGS {
        let at = deadline - days * DAY;
        assert_eq!(warning_due(deadline, at - 2, at - 1), None);
        assert_eq!(warning_due(deadline, at - 1, at), Some(days));
        assert_eq!(warning_due(deadline, at, at + 1), None, "once");
    }
    assert_eq!(warning_due(deadline, NOW, deadline - 1), Some(1), "the last of those that were slept through");
    assert_eq!(warning_due(deadline, NOW, deadline), None);
    let mut due = Vec::new();
    let mut now = NOW;
    while let Some(next) = temporary().next(machine(2), now) {
        due.push((deadline - next) / DAY);
        now = next;
    }
    assert_eq!(due, [7, 3, 1, 0]);
}

#[test]
fn a_confirmation_makes_it_permanent_before_and_after_the_deadline() {
    // R61
    for after in [0, 239 * HOUR, 241 * HOUR] {
        let confirmed = temporary().confirm(machine(2), Some(machine(1)), NOW + after);
        assert_eq!(confirmed.state(machine(2), NOW + after), State::Permanent);
        assert!(confirmed.has_rights(machine(2), NOW + after));
        assert_eq!(confirmed.state(machine(1), NOW + after), State::Unlicensed, "the old one is revoked");
        let error = confirmed.enter(entry(true), machine(1), NOW + after).unwrap_err();
        assert!(matches!(error, Halt::Refuse(refusal) if refusal.rule == "R61"));
    }
    let without_entering = bound().moved(machine(2)).confirm(machine(2), None, NOW);
    assert_eq!(without_entering.state(machine(2), NOW), State::Permanent);
    assert!(without_entering.enter(entry(true), machine(1), NOW).is_err(), "the machine it was bound to is revoked");
}

#[test]
fn the_latest_confirmation_counts() {
    // R61
    let there = temporary().confirm(machine(2), Some(machine(1)), NOW + 10);
    assert_eq!(there.confirm(machine(1), Some(machine(2)), NOW + 9), there, "an older one");
    let back = there.confirm(machine(1), Some(machine(2)), NOW + 11);
    assert_eq!(back.state(machine(1), NOW + 11), State::Permanent);
    assert_eq!(back.state(machine(2), NOW + 11), State::Unlicensed);
    // The first document, issued for the revoked machine, does not undo it; one issued later does.
    let old = Entry { issued_for: Some(machine(2)), ..entry(true) };
    assert!(back.enter(old, machine(2), NOW + 12).is_err());
    assert!(back.enter(Entry { issued: NOW + 11, ..old }, machine(2), NOW + 12).is_err());
    let new = Entry { issued: NOW + 12, ..old };
    assert_eq!(back.enter(new, machine(2), NOW + 12).unwrap().state(machine(2), NOW + 12), State::Permanent);
}

#[test]
fn a_next_move_after_a_confirmation_has_its_own_time() {
    // R60 R61
    let confirmed = temporary().confirm(machine(2), Some(machine(1)), NOW + HOUR);
    let later = NOW + 1000 * DAY;
    let moved = confirmed.moved(machine(3)).enter(entry(true), machine(3), later).unwrap();
    assert_eq!(moved.state(machine(3), later), State::Temporary(later + TEMPORARY));
}

#[test]
fn a_backup_from_before_the_move_restores_the_rights() {
    // R62
    let backup = bound();
    assert!(!temporary().has_rights(machine(2), NOW), "withdrawn by the move");
    let restored = temporary().restore(&backup, machine(1));
    assert!(restored.has_rights(machine(2), NOW + 240 * HOUR - 1));
    assert!(!restored.has_rights(machine(2), NOW + 240 * HOUR), "not beyond the deadline");
    assert_eq!(restored.state(machine(2), NOW), State::Temporary(NOW + TEMPORARY));
    // One taken after the move restores nothing.
    assert!(!temporary().restore(&temporary(), machine(2)).has_rights(machine(2), NOW));
    // First the backup, then the key.
    let fresh = Binding::default().restore(&backup, machine(1)).moved(machine(1));
    assert!(!fresh.has_rights(machine(2), NOW));
    assert!(fresh.enter(entry(true), machine(2), NOW).unwrap().has_rights(machine(2), NOW));
    // Another move withdraws them again.
    let again = restored.moved(machine(3)).enter(entry(true), machine(3), NOW).unwrap();
    assert!(!again.has_rights(machine(3), NOW));
}

#[test]
fn a_backup_never_puts_a_deadline_off() {
    // R60 R62
    let late = bound().enter(entry(true), machine(2), NOW + 100 * HOUR).unwrap();
    assert_eq!(temporary().restore(&late, machine(2)).state(machine(2), NOW), State::Temporary(NOW + TEMPORARY));
    assert_eq!(late.restore(&temporary(), machine(2)).state(machine(2), NOW), State::Temporary(NOW + TEMPORARY));
}
