//! Bytes in hex, with wild cards where they may stand, and regular expressions.

use regex::bytes::RegexBuilder;

use crate::reader::Problem;

/// Memory one compiled expression may take, in bytes.
const COMPILED_BYTES_MAX: usize = 1 << 20;
/// Longest text of bytes in a configuration.
const BYTES_MAX: usize = 4_096;

/// Bytes written in hex, with spaces and colons between them if wished; `None` for anything else.
pub fn hex(text: &str) -> Option<Vec<u8>> {
    let fixed = |(byte, mask)| (mask == 0xff).then_some(byte);
    hex_pattern(text)?.into_iter().map(fixed).collect()
}

/// The same with `?` or `X` for any digit: each byte, and which of its bits count.
pub fn hex_pattern(text: &str) -> Option<Vec<(u8, u8)>> {
    let digits: Vec<char> = text
        .chars()
        .filter(|character| !matches!(character, ' ' | ':'))
        .collect();
    let digit = |character: char| match character {
        '?' | 'X' | 'x' => Some((0, 0)),
        digit => Some((digit.to_digit(16)? as u8, 0x0f)),
    };
    let byte = |pair: &[char]| {
        let &[high, low] = pair else { return None };
        let ((high, high_mask), (low, low_mask)) = (digit(high)?, digit(low)?);
        Some((high << 4 | low, high_mask << 4 | low_mask))
    };
    digits.chunks(2).map(byte).collect()
}

pub(super) fn hex_text(text: &str) -> Result<String, Problem> {
    bounded(hex(text).map(|bytes| bytes.len()), text)
}

pub(super) fn hex_pattern_text(text: &str) -> Result<String, Problem> {
    bounded(hex_pattern(text).map(|bytes| bytes.len()), text)
}

fn bounded(length: Option<usize>, text: &str) -> Result<String, Problem> {
    match length {
        Some(length) if length <= BYTES_MAX => Ok(text.to_owned()),
        Some(length) => Err(Problem::new(
            format!("{length} bytes are too many"),
            format!("write at most {BYTES_MAX}"),
        )),
        None => Err(Problem::new(
            format!("\"{}\" is not a row of bytes in hex", text.escape_debug()),
            "write two hex digits for each byte, such as \"0d0a\" or \"0d 0a\"; ? stands for any digit of an answer",
        )),
    }
}

pub(super) fn regex(text: &str) -> Result<String, Problem> {
    match RegexBuilder::new(text).size_limit(COMPILED_BYTES_MAX).build() {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => {
            let reason = error.to_string();
            let reason = reason
                .lines()
                .last()
                .unwrap_or_default()
                .trim_start_matches("error: ")
                .to_owned();
            Err(Problem::new(
                format!(
                    "\"{}\" is not a regular expression: {reason}",
                    text.escape_debug()
                ),
                "the syntax is that of Rust's regex: no look-around, no back references; (?i) ignores case",
            ))
        }
    }
}

/// Text that stands in a line of a protocol, or between NULs.
pub(super) fn line(text: &str) -> Result<String, Problem> {
    if text.len() <= 255 && !text.is_empty() && !text.chars().any(char::is_control) {
        return Ok(text.to_owned());
    }
    Err(Problem::new(
        format!("\"{}\" cannot be said in one line", text.escape_debug()),
        "write 1 to 255 bytes without line ends and control characters",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_in_hex_with_wild_digits() {
        let table: &[(&str, Option<&[(u8, u8)]>)] = &[
            ("", Some(&[])),
            ("0d0A", Some(&[(0x0d, 0xff), (0x0a, 0xff)])),
            ("01:?? 3X", Some(&[(1, 0xff), (0, 0), (0x30, 0xf0)])),
            ("x7", Some(&[(7, 0x0f)])),
            ("012", None),
            ("0g", None),
        ];
        for (text, bytes) in table {
            assert_eq!(hex_pattern(text).as_deref(), *bytes, "{text}");
        }
        assert_eq!(hex("0d 0a"), Some(vec![0x0d, 0x0a]));
        assert_eq!(hex("0?"), None);
    }
}
