//! The text of a spreadsheet: its encoding, its byte order mark, and what separates its fields.

use std::borrow::Cow;

/// What Windows-1252 has in 0x80 to 0x9f; unassigned octets are U+FFFD.
const WINDOWS: [char; 32] = [
    '€', '\u{fffd}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{fffd}', 'Ž', '\u{fffd}',
    '\u{fffd}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{fffd}', 'ž', 'Ÿ',
];

/// The text of a file as Excel writes it: UTF-8 or UTF-16 by its byte order mark, else UTF-8, else Windows-1252, which holds
/// all Albanian letters.
pub fn decoded(octets: &[u8]) -> Cow<'_, str> {
    let utf_16 = |octets: &[u8], unit: fn([u8; 2]) -> u16| {
        let (pairs, _) = octets.as_chunks::<2>();
        let units = pairs.iter().map(|pair| unit(*pair));
        let characters = char::decode_utf16(units);
        characters
            .map(|character| character.unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect::<String>()
    };
    if let Some(rest) = octets.strip_prefix(&[0xff, 0xfe]) {
        return utf_16(rest, u16::from_le_bytes).into();
    }
    if let Some(rest) = octets.strip_prefix(&[0xfe, 0xff]) {
        return utf_16(rest, u16::from_be_bytes).into();
    }
    if let Ok(text) = std::str::from_utf8(octets) {
        return text.into();
    }
    let windows = |&octet: &u8| match octet {
        0x80..=0x9f => WINDOWS
            .get(usize::from(octet - 0x80))
            .copied()
            .unwrap_or('\u{fffd}'),
        _ => char::from(octet),
    };
    octets.iter().map(windows).collect::<String>().into()
}

/// The text behind a byte order mark and a line that names the separator, how many lines that was, and the separator.
pub(super) fn prepared(text: &str) -> (&str, u64, u8) {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    let named = first.trim_end().trim_matches('"').strip_prefix("sep=");
    if let Some(&[separator @ (b',' | b';' | b'\t' | b'|')]) = named.map(str::as_bytes) {
        return (rest, 1, separator);
    }
    // The header decides; it is the first line with something in it.
    let header = text
        .lines()
        .find(|line| !line.trim().is_empty())
        .unwrap_or_default();
    let mut quoted = false;
    let mut counts = [(0, b','), (0, b';'), (0, b'\t')];
    for octet in header.bytes() {
        quoted ^= octet == b'"';
        let count = counts
            .iter_mut()
            .find(|(_, separator)| *separator == octet && !quoted);
        if let Some((count, _)) = count {
            *count += 1;
        }
    }
    let most = counts.into_iter().rev().max_by_key(|(count, _)| *count);
    (text, 0, most.map_or(b',', |(_, separator)| separator))
}
