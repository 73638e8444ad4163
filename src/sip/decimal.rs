//! Numbers into a message, without the machinery of formatting.

/// Appends a number in decimal.
pub fn write(mut number: u32, out: &mut Vec<u8>) {
    let mut digits = [0; 10];
    let mut start = digits.len();
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
        start -= 1;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(start..).unwrap_or_default());
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
