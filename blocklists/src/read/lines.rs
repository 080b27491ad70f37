//! From octets to the lines that a reader may see; the others are reported.
//!
//! Lines end with LF, CR LF or a lone CR. What is no UTF-8, holds control characters or is too long is refused line by
//! line, and no line is ever held in memory beyond [`MAX_LINE`] octets.

use std::io::{self, BufRead, BufReader, Read};

use super::report::Sink;
use super::{LineReader, MAX_LINE};

/// Octets read at once.
const BUFFER: usize = 64 << 10;

/// Feeds the lines of `input` to `reader`.
pub(super) fn each(input: impl Read, reader: &mut dyn LineReader, sink: &mut Sink<'_>) -> io::Result<()> {
    let mut input = BufReader::with_capacity(BUFFER, input);
    let mut lines = Lines {
        reader,
        sink,
        number: 0,
    };
    // The start of a line whose end has not been read yet; cut when it is too long to matter.
    let mut held: Vec<u8> = Vec::new();
    let mut cut = false;
    let mut after_cr = false;
    loop {
        let mut buffer = input.fill_buf()?;
        if buffer.is_empty() {
            break;
        }
        let taken = buffer.len();
        if lines.number == 0 && held.is_empty() {
            buffer = buffer.strip_prefix(b"\xef\xbb\xbf").unwrap_or(buffer);
        }
        while let Some(end) = buffer.iter().position(|octet| matches!(octet, b'\n' | b'\r')) {
            let (line, rest) = buffer.split_at(end);
            let (&terminator, rest) = rest.split_first().unwrap_or((&b'\n', &[]));
            buffer = rest;
            if terminator == b'\n' && after_cr && line.is_empty() && held.is_empty() && !cut {
                after_cr = false; // the LF of a CR LF
                continue;
            }
            after_cr = terminator == b'\r';
            if held.is_empty() && !cut {
                lines.one(line, false);
            } else {
                cut |= held.len() + line.len() > MAX_LINE;
                held.extend_from_slice(line.get(..line.len().min(MAX_LINE)).unwrap_or_default());
                lines.one(&held, cut);
                held.clear();
                cut = false;
            }
        }
        if !buffer.is_empty() {
            after_cr = false;
            cut |= held.len() + buffer.len() > MAX_LINE;
            let room = MAX_LINE.saturating_sub(held.len()).min(buffer.len());
            held.extend_from_slice(buffer.get(..room).unwrap_or_default());
        }
        input.consume(taken);
    }
    if !held.is_empty() || cut {
        lines.one(&held, cut);
    }
    Ok(())
}

struct Lines<'a, 'v> {
    reader: &'a mut dyn LineReader,
    sink: &'a mut Sink<'v>,
    number: u32,
}

impl Lines<'_, '_> {
    fn one(&mut self, line: &[u8], cut: bool) {
        self.number = self.number.saturating_add(1);
        let number = self.number;
        self.sink.report.lines += 1;
        let control = |octet: &u8| *octet < 0x20 && *octet != b'\t' || *octet == 0x7f;
        if cut || line.len() > MAX_LINE {
            let text = String::from_utf8_lossy(line);
            return self
                .sink
                .reject(number, format!("line longer than {MAX_LINE} octets"), &text);
        }
        match str::from_utf8(line) {
            Err(_) => self
                .sink
                .reject(number, "not UTF-8 text", &String::from_utf8_lossy(line)),
            Ok(text) if line.iter().any(control) => self.sink.reject(number, "control characters", text),
            Ok(text) => self.reader.line(number, text, self.sink),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::report::Visitor;
    use crate::rule::Rule;

    struct Collected(Vec<(u32, String)>);

    impl LineReader for Collected {
        fn line(&mut self, number: u32, line: &str, _: &mut Sink<'_>) {
            self.0.push((number, line.to_owned()));
        }
    }

    struct Nobody;

    impl Visitor for Nobody {
        fn rule(&mut self, _: u32, _: Rule) {}
        fn void(&mut self, _: Rule) {}
    }

    /// Hands out as many octets a read as it is told.
    struct Drip<'a>(&'a [u8], usize);

    impl Read for Drip<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let length = self.0.len().min(self.1).min(out.len());
            let (now, later) = self.0.split_at(length);
            out[..length].copy_from_slice(now);
            self.0 = later;
            Ok(length)
        }
    }

    fn lines(bytes: &[u8], at_once: usize) -> (Vec<(u32, String)>, Vec<u32>) {
        let mut collected = Collected(Vec::new());
        let mut nobody = Nobody;
        let mut sink = Sink::new(&mut nobody);
        each(Drip(bytes, at_once), &mut collected, &mut sink).unwrap();
        let refused = sink.report.rejected.iter().map(|line| line.line).collect();
        (collected.0, refused)
    }

    #[test]
    fn every_terminator_ends_one_line_however_the_octets_arrive() {
        let text = b"\xef\xbb\xbfa\nb\r\nc\rd\n\ne\r\r\nf";
        let expected: Vec<(u32, String)> = ["a", "b", "c", "d", "", "e", "", "f"]
            .into_iter()
            .zip(1..)
            .map(|(line, number)| (number, line.to_owned()))
            .collect();
        for at_once in [3, 4, 5, 7, 100] {
            assert_eq!(lines(text, at_once).0, expected, "{at_once} octets at once");
        }
        assert!(lines(b"", 9).0.is_empty());
    }

    #[test]
    fn lines_that_are_too_long_not_text_or_full_of_control_characters_are_refused_alone() {
        let mut text = b"a\n".to_vec();
        text.extend(std::iter::repeat_n(b'x', 3 * MAX_LINE));
        text.extend(b"\nb\n\xff\xfe\nc\x01\nd");
        for at_once in [1, 1000, 100_000] {
            let (read, refused) = lines(&text, at_once);
            let read: Vec<&str> = read.iter().map(|(_, line)| line.as_str()).collect();
            assert_eq!(read, ["a", "b", "d"], "{at_once} octets at once");
            assert_eq!(refused, [2, 4, 5]);
        }
    }
}
