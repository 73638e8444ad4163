//! Where in a JSON text a path of keys and indexes lies: `instances[3].backends[0].address`.
//!
//! A scanner over text that is known to be valid JSON; it never decides whether it is.

use super::Step;
use std::ops::Range;

/// The bytes of the value at `path`, or of its nearest parent that exists.
pub fn locate(text: &str, path: &[Step]) -> Range<usize> {
    let mut scan = Scan { text: text.as_bytes(), at: 0 };
    scan.blanks();
    let mut found = scan.at..scan.end_of_value();
    for step in path {
        let Some(at) = scan.enter(step) else { break };
        scan.at = at;
        found = at..scan.end_of_value();
    }
    let start = found.start.min(text.len());
    start..found.end.clamp(start, text.len())
}

#[derive(Clone, Copy)]
struct Scan<'a> {
    text: &'a [u8],
    at: usize,
}

impl Scan<'_> {
    /// Start of the member or element that `step` names inside the value at `self.at`.
    fn enter(mut self, step: &Step) -> Option<usize> {
        match (self.peek()?, step) {
            (b'{', Step::Key(wanted)) => {
                self.at += 1;
                loop {
                    self.blanks();
                    let start = self.at;
                    self.at = self.end_of_string()?;
                    let key: String = serde_json::from_slice(self.text.get(start..self.at)?).ok()?;
                    self.blanks();
                    self.at += 1;
                    self.blanks();
                    if key == *wanted {
                        return Some(self.at);
                    }
                    self.next_sibling()?;
                }
            }
            (b'[', Step::Index(wanted)) => {
                self.at += 1;
                self.blanks();
                for _ in 0..*wanted {
                    self.next_sibling()?;
                    self.blanks();
                }
                (self.peek()? != b']').then_some(self.at)
            }
            _ => None,
        }
    }

    /// Behind the comma that follows the value here; none at the end of the list.
    fn next_sibling(&mut self) -> Option<()> {
        self.at = self.end_of_value();
        self.blanks();
        if self.peek()? != b',' {
            return None;
        }
        self.at += 1;
        Some(())
    }

    fn end_of_value(mut self) -> usize {
        let mut depth = 0_usize;
        while let Some(byte) = self.peek() {
            match byte {
                b'"' => self.at = self.end_of_string().unwrap_or(self.text.len()),
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                    continue;
                }
                b'}' | b']' | b',' | b':' if depth == 0 => return self.at,
                b'}' | b']' => {
                    depth -= 1;
                    self.at += 1;
                }
                b' ' | b'\t' | b'\r' | b'\n' | b',' | b':' => {
                    self.at += 1;
                    continue;
                }
                _ => self.word(),
            }
            if depth == 0 {
                break;
            }
        }
        self.at.min(self.text.len())
    }

    fn end_of_string(mut self) -> Option<usize> {
        if self.peek()? != b'"' {
            return None;
        }
        loop {
            self.at += 1;
            match self.peek()? {
                b'\\' => self.at += 1,
                b'"' => return Some(self.at + 1),
                _ => {}
            }
        }
    }

    fn word(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)) {
            self.at += 1;
        }
    }

    fn blanks(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::super::steps;
    use super::*;

    const TEXT: &str = r#"
    { "instances": [
        {"name": "a\"b]", "n": -1.5e3, "list": [true, [], {"x": null}]},
        {"name": "two", "web": {"url": "http://x"}}
      ], "proxies": [] }"#;

    #[test]
    fn a_path_leads_to_its_bytes() {
        for (path, value) in [
            ("instances[0].name", r#""a\"b]""#),
            ("instances[0].n", "-1.5e3"),
            ("instances[0].list[0]", "true"),
            ("instances[0].list[1]", "[]"),
            ("instances[0].list[2].x", "null"),
            ("instances[1].web.url", r#""http://x""#),
            ("instances[1].web", r#"{"url": "http://x"}"#),
            ("proxies", "[]"),
        ] {
            assert_eq!(&TEXT[locate(TEXT, &steps(path))], value, "{path}");
        }
    }

    #[test]
    fn what_is_missing_is_found_at_its_parent() {
        assert_eq!(&TEXT[locate(TEXT, &steps("instances[1].web.prefix"))], r#"{"url": "http://x"}"#);
        assert_eq!(&TEXT[locate(TEXT, &steps("instances[0].list[3]"))], r#"[true, [], {"x": null}]"#);
        assert_eq!(&TEXT[locate(TEXT, &steps("proxies[0].name"))], "[]");
        assert_eq!(&TEXT[locate(TEXT, &steps("nothing"))], TEXT.trim());
        assert_eq!(&TEXT[locate(TEXT, &steps(""))], TEXT.trim());
    }

    #[test]
    fn no_text_makes_it_leave_its_bounds() {
        for end in 0..=TEXT.len() {
            if TEXT.is_char_boundary(end) {
                let found = locate(&TEXT[..end], &steps("instances[1].web.url"));
                assert!(found.start <= found.end && found.end <= end);
            }
        }
    }
}
