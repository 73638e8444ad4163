//! Splices: a changed copy of a message in which every untouched byte is as it was.
