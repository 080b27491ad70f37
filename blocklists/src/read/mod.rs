//! Readers: from the bytes of a list, whatever its format, to rules and a report on every line.

pub mod report;
