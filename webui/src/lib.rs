//! The web UI's files, embedded in the daemon so that a router needs one file only.
#![forbid(unsafe_code)]

/// The page at `/`: what this is, and where help is found, in Albanian and English.
pub const INDEX: &str = include_str!("../static/index.html");
/// Its style sheet.
pub const STYLE: &str = include_str!("../static/style.css");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_speaks_both_languages_names_the_helplines_and_loads_nothing_from_elsewhere() {
        for text in [
            "lang=\"sq\"",
            "lang=\"en\"",
            "116 111",
            "129",
            "112",
            "tel:116111",
        ] {
            assert!(INDEX.contains(text), "{text}");
        }
        assert!(!INDEX.contains("src=\"http") && !STYLE.contains("url(") && !INDEX.contains("<script"));
    }
}
