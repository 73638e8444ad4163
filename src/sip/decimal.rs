//! Numbers into a message, without the machinery of formatting.

/// Appends a number in decimal.
pub fn write(number: u32, out: &mut Vec<u8>) {
    if number >= 10 {
        write(number / 10, out);
    }
    out.push(b'0' + (number % 10) as u8);
}

#[cfg(test)]
mod tests {
    #[test]
    fn writes_what_formatting_does() {
        for number in [0, 7, 10, 99, 100, 65_535, 1_000_000, u32::MAX] {
            let mut out = Vec::new();
            super::write(number, &mut out);
            assert_eq!(out, number.to_string().as_bytes());
        }
    }
}
