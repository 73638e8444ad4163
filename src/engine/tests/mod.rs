//! What the engine does, by duty (PROTOCOLS 2) and rule, on a bench with a hand-set clock.

mod end_to_end;
