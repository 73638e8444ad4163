//! Splices: a changed copy of a message in which every untouched byte is as it was.
//!
//! Collect changes by span, then write the message once. Both buffers are reused: nothing is
//! allocated once they have grown. Rows and list values go in and out syntactically exact; what a
//! change means is the caller's (`engine`).

use super::list::Item;
use super::name::Name;
use super::name_addr::NameAddr;
use super::span::Span;
use super::via::Stamp;
use super::view::View;

/// Two changes touch the same bytes: a mistake of the caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("two changes of a message overlap")]
pub struct Overlap;

/// The changes to one message.
#[derive(Clone, Debug, Default)]
pub struct Splices {
    /// In order of their places; at one place in the order they were made.
    list: Vec<Splice>,
    /// The new bytes of all of them.
    text: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Splice {
    old: Span,
    new: Span,
}

impl Splices {
    /// None yet.
    pub const fn new() -> Self {
        Self { list: Vec::new(), text: Vec::new() }
    }

    /// Forgets all, keeps the room.
    pub fn clear(&mut self) {
        self.list.clear();
        self.text.clear();
    }

    /// Whether nothing is changed.
    pub const fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// New bytes before the byte at `place`, behind earlier ones for the same place.
    pub fn insert(&mut self, place: u32, new: &[u8]) {
        self.replace(Span::at(place), new);
    }

    /// New bytes instead of those of `old`.
    pub fn replace(&mut self, old: Span, new: &[u8]) {
        self.replace_with(old, |text| text.extend_from_slice(new));
    }

    /// As [`Self::replace`]; `write` appends the new bytes to the buffer it is given, and must leave
    /// alone what is in it.
    pub fn replace_with(&mut self, old: Span, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.text.len();
        write(&mut self.text);
        let splice = Splice { old, new: Span::new(start, self.text.len()) };
        let key = |splice: &Splice| (splice.old.start, splice.old.end);
        // Mostly in order already: look from the end.
        let place = self.list.iter().rposition(|earlier| key(earlier) <= key(&splice)).map_or(0, |at| at + 1);
        self.list.insert(place, splice);
    }

    /// Takes bytes out. Bytes taken out twice are no mistake.
    pub fn remove(&mut self, old: Span) {
        if !old.is_empty() {
            self.replace(old, b"");
        }
    }

    /// The changes of a stamped Via.
    pub fn stamp(&mut self, stamp: &Stamp) {
        for (span, mark) in stamp.changes() {
            self.replace_with(span, |text| mark.write(text));
        }
    }

    /// A new row in front of all others of its field; where there are none, behind the Via rows.
    /// `write` appends the value.
    pub fn push_row(&mut self, view: &View<'_>, name: Name, write: impl FnOnce(&mut Vec<u8>)) {
        let place = match view.first(name) {
            Some(row) => row.line.start,
            None => view.rows_named(Name::Via).last().map_or(view.headers_end(), |row| row.line.end),
        };
        self.row_at(place, name.text().as_bytes(), write);
    }

    /// A new row behind all others of the message. `write` appends the value.
    pub fn append_row(&mut self, view: &View<'_>, label: &str, write: impl FnOnce(&mut Vec<u8>)) {
        self.row_at(view.headers_end(), label.as_bytes(), write);
    }

    fn row_at(&mut self, place: u32, label: &[u8], write: impl FnOnce(&mut Vec<u8>)) {
        self.replace_with(Span::at(place), |text| {
            text.extend_from_slice(label);
            text.extend_from_slice(b": ");
            write(text);
            text.extend_from_slice(b"\r\n");
        });
    }

    /// Gives a field its value: in its first row, or in a new last row.
    pub fn set(&mut self, view: &View<'_>, name: Name, value: &[u8]) {
        match view.first(name) {
            Some(row) if row.value.is_empty() => self.fill(view, row.value.end, value),
            Some(row) => self.replace(row.value, value),
            None => self.append_row(view, name.text(), |text| text.extend_from_slice(value)),
        }
    }

    /// A value into a row that has none.
    fn fill(&mut self, view: &View<'_>, place: u32, value: &[u8]) {
        let colon = view.text(Span { start: place.saturating_sub(1), end: place }) == b":";
        self.replace_with(Span::at(place), |text| {
            if colon {
                text.push(b' ');
            }
            text.extend_from_slice(value);
        });
    }

    /// Takes out all rows of a field.
    pub fn remove_rows(&mut self, view: &View<'_>, name: Name) {
        for row in view.rows_named(name) {
            self.remove(row.line);
        }
    }

    /// Takes one value out of its list: the only one of a row with the row. For several of one
    /// field use [`Self::retain`] or [`Self::remove_first`].
    pub fn remove_value(&mut self, item: &Item) {
        self.remove(if item.alone { item.line } else { item.cut });
    }

    /// Takes the first `count` values of a field out.
    pub fn remove_first(&mut self, view: &View<'_>, name: Name, count: usize) {
        self.retain(view, name, |number, _| number >= count);
    }

    /// Takes out the values of a field that `keep` is false for; it is asked for each, with its
    /// number over all rows. A row that loses all of them goes.
    pub fn retain(&mut self, view: &View<'_>, name: Name, mut keep: impl FnMut(usize, &Item) -> bool) {
        let mut values = view.values(name).flatten().enumerate().peekable();
        while let Some(line) = values.peek().map(|(_, item)| item.line) {
            // In one row: where the run of values that go began, and what was kept before it.
            let (mut gap, mut kept, mut end) = (None, None, 0);
            while let Some((number, item)) = values.next_if(|(_, item)| item.line == line) {
                end = item.span.end;
                if !keep(number, &item) {
                    gap.get_or_insert(item.span.start);
                    continue;
                }
                if let Some(start) = gap.take() {
                    self.remove(Span { start, end: item.span.start });
                }
                kept = Some(end);
            }
            match (gap, kept) {
                (None, _) => {}
                (Some(_), Some(start)) => self.remove(Span { start, end }),
                (Some(_), None) => self.remove(line),
            }
        }
    }

    /// Puts another URI into an address; one that was without brackets gets them, so that the
    /// new URI's parameters stay its own (`cparam01`).
    pub fn replace_uri(&mut self, address: &NameAddr<'_>, write: impl FnOnce(&mut Vec<u8>)) {
        let bracketed = address.bracketed;
        self.replace_with(address.uri_span, |text| {
            if !bracketed {
                text.push(b'<');
            }
            write(text);
            if !bracketed {
                text.push(b'>');
            }
        });
    }

    /// Puts a tag into the first Supported (P02: Asterisk looks at that one alone), or into a new
    /// one. Nothing changes where it is there.
    pub fn merge_supported(&mut self, view: &View<'_>, tag: &[u8]) {
        let Some(row) = view.first(Name::Supported) else {
            return self.append_row(view, Name::Supported.text(), |text| text.extend_from_slice(tag));
        };
        let value = view.text(row.value);
        if value.split(|b| *b == b',').any(|word| word.trim_ascii().eq_ignore_ascii_case(tag)) {
            return;
        }
        if value.is_empty() {
            return self.fill(view, row.value.end, tag);
        }
        self.replace_with(Span::at(row.value.end), |text| {
            text.extend_from_slice(if value.ends_with(b",") { b" " } else { b", " });
            text.extend_from_slice(tag);
        });
    }

    /// Appends the changed message to `out`.
    ///
    /// # Errors
    /// [`Overlap`] where a replacement meets another change; what was appended is taken back.
    pub fn write(&self, view: &View<'_>, out: &mut Vec<u8>) -> Result<(), Overlap> {
        let start = out.len();
        let done = self.append(view, out);
        if done.is_err() {
            out.truncate(start);
        }
        done
    }

    fn append(&self, view: &View<'_>, out: &mut Vec<u8>) -> Result<(), Overlap> {
        let message = view.span();
        out.reserve(message.len() + self.text.len());
        let mut at = message.start;
        for splice in &self.list {
            let erased = splice.new.is_empty();
            if splice.old.start < at && !erased {
                return Err(Overlap);
            }
            if splice.old.start > at {
                out.extend_from_slice(view.text(Span { start: at, end: splice.old.start }));
            }
            out.extend_from_slice(splice.new.text(&self.text));
            at = at.max(splice.old.end);
        }
        out.extend_from_slice(view.text(Span { start: at, end: message.end.max(at) }));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::limits::Limits;
    use crate::sip::view::Index;

    /// The message with these rows after one edit.
    fn edited(rows: &str, edit: impl FnOnce(&View<'_>, &mut Splices)) -> String {
        let message = format!("OPTIONS sip:a@b SIP/2.0\r\n{rows}\r\nbody");
        let mut index = Index::new();
        let view = View::read(message.as_bytes(), &mut index, &Limits::DEFAULT).unwrap();
        let mut splices = Splices::new();
        edit(&view, &mut splices);
        let mut out = b"kept".to_vec();
        splices.write(&view, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let rows = text.strip_prefix("keptOPTIONS sip:a@b SIP/2.0\r\n").unwrap();
        rows.strip_suffix("\r\nbody").unwrap().to_owned()
    }

    #[test]
    fn one_value_goes_with_the_comma_on_one_side() {
        // F02, V12
        for (before, gone, after) in [
            ("Route: <sip:a>\r\n", 0, ""),
            ("Route: <sip:a>,<sip:b>\r\n", 0, "Route: <sip:b>\r\n"),
            ("Route: <sip:a> , <sip:b>\r\n", 1, "Route: <sip:a>\r\n"),
            ("Route:<sip:a>, <sip:b>,\r\n <sip:c>\r\n", 1, "Route:<sip:a>, <sip:c>\r\n"),
            ("Route: <sip:a>\r\nX: y\r\nRoute: <sip:b>\r\n", 1, "Route: <sip:a>\r\nX: y\r\n"),
            ("Route: <sip:a>;x=\",\",<sip:b;y=,>\r\n", 1, "Route: <sip:a>;x=\",\"\r\n"),
        ] {
            let after = after.to_owned();
            assert_eq!(
                edited(before, |view, splices| splices
                    .remove_value(&view.values(Name::Route).nth(gone).unwrap().unwrap())),
                after
            );
            assert_eq!(edited(before, |view, splices| splices.retain(view, Name::Route, |n, _| n != gone)), after);
        }
    }

    #[test]
    fn several_values_go_together() {
        // F02, R8
        let rows = "Via: x\r\nRoute: <sip:a>, <sip:b> ,<sip:c>, <sip:d>\r\nRoute: <sip:e>\r\n";
        for (kept, after) in [
            ("", "Via: x\r\n"),
            ("abcde", rows),
            ("ade", "Via: x\r\nRoute: <sip:a>, <sip:d>\r\nRoute: <sip:e>\r\n"),
            ("bc", "Via: x\r\nRoute: <sip:b> ,<sip:c>\r\n"),
            ("be", "Via: x\r\nRoute: <sip:b>\r\nRoute: <sip:e>\r\n"),
            ("ac", "Via: x\r\nRoute: <sip:a>, <sip:c>\r\n"),
            ("d", "Via: x\r\nRoute: <sip:d>\r\n"),
        ] {
            let got = edited(rows, |view, splices| {
                splices.retain(view, Name::Route, |n, _| kept.contains(char::from(b'a' + n as u8)));
            });
            assert_eq!(got, after, "{kept}");
        }
        let got = edited(rows, |view, splices| splices.remove_first(view, Name::Route, 2));
        assert_eq!(got, "Via: x\r\nRoute: <sip:c>, <sip:d>\r\nRoute: <sip:e>\r\n");
    }

    #[test]
    fn rows_go_in_front_of_their_field_or_behind_the_vias() {
        // F08, F16, P01
        let push = |rows: &str| {
            edited(rows, |view, splices| {
                splices.push_row(view, Name::Via, |text| text.extend_from_slice(b"new"));
                splices.push_row(view, Name::RecordRoute, |text| text.extend_from_slice(b"<sip:1>"));
                splices.push_row(view, Name::RecordRoute, |text| text.extend_from_slice(b"<sip:2>"));
                splices.append_row(view, "Max-Forwards", |text| text.extend_from_slice(b"70"));
            })
        };
        assert_eq!(
            push("To: x\r\nv: a\r\nFrom: x\r\nVia: b\r\nCSeq: x\r\n"),
            "To: x\r\nVia: new\r\nv: a\r\nFrom: x\r\nVia: b\r\nRecord-Route: <sip:1>\r\nRecord-Route: <sip:2>\r\nCSeq: x\r\n\
             Max-Forwards: 70\r\n"
        );
        assert_eq!(
            push("v: a\r\nX: y\r\nRecord-Route: <sip:0>\r\n"),
            "Via: new\r\nv: a\r\nX: y\r\nRecord-Route: <sip:1>\r\nRecord-Route: <sip:2>\r\nRecord-Route: <sip:0>\r\n\
             Max-Forwards: 70\r\n"
        );
    }

    #[test]
    fn path_is_merged_into_the_first_supported() {
        // P02
        for (before, after) in [
            ("", "Supported: path\r\n"),
            ("Supported: 100rel\r\n", "Supported: 100rel, path\r\n"),
            ("k: 100rel , timer \r\nSupported: path\r\n", "k: 100rel , timer, path \r\nSupported: path\r\n"),
            ("Supported: gruu,PATH\r\n", "Supported: gruu,PATH\r\n"),
            ("Supported: pathfinder\r\n", "Supported: pathfinder, path\r\n"),
            ("Supported:\r\n", "Supported: path\r\n"),
            ("Supported: \r\n", "Supported: path\r\n"),
            ("Supported: a,\r\n b\r\n", "Supported: a,\r\n b, path\r\n"),
        ] {
            assert_eq!(edited(before, |view, splices| splices.merge_supported(view, b"path")), after);
        }
    }

    #[test]
    fn a_new_uri_is_put_in_brackets_where_there_were_none() {
        // 3.1 cparam01
        for (before, after) in [
            ("Contact: sip:a@b;expires=5\r\n", "Contact: <sip:c;nt=1>;expires=5\r\n"),
            ("m:\"A, B\"  <sip:a@b>;q=1\r\n", "m:\"A, B\"  <sip:c;nt=1>;q=1\r\n"),
        ] {
            let got = edited(before, |view, splices| {
                let contact = view.contacts().next().unwrap().unwrap();
                splices.replace_uri(&contact, |text| text.extend_from_slice(b"sip:c;nt=1"));
            });
            assert_eq!(got, after);
        }
    }

    #[test]
    fn overlapping_changes_are_refused() {
        let message = b"OPTIONS sip:a@b SIP/2.0\r\nX: abc\r\n\r\n";
        let mut index = Index::new();
        let view = View::read(message, &mut index, &Limits::DEFAULT).unwrap();
        let value = view.rows()[0].value;
        let mut splices = Splices::new();
        splices.replace(value, b"1");
        splices.replace(Span { start: value.start + 1, end: value.end }, b"2");
        let mut out = Vec::new();
        assert_eq!(splices.write(&view, &mut out), Err(Overlap));
        assert!(out.is_empty());
        splices.clear();
        splices.remove(view.rows()[0].line);
        splices.remove(value);
        splices.write(&view, &mut out).unwrap();
        assert_eq!(out, b"OPTIONS sip:a@b SIP/2.0\r\n\r\n");
    }
}
