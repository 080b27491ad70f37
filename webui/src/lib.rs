//! The web UI's files, embedded in the daemon so that a router needs one file only.
//!
//! They are built from `app/` by `build.rs`. Where that was not possible (no Node), a plain page stands in their place: it
//! names the helplines and says what is missing. Nothing here decides who may see what; these files are for everybody.
#![forbid(unsafe_code)]

/// A file, as it is and compressed.
#[derive(Debug, Clone, Copy)]
pub struct Asset {
    /// Its path, without a slash in front.
    pub path: &'static str,
    /// Its entity tag (RFC 9110, section 8.8.3), quoted.
    pub tag: &'static str,
    /// Its octets.
    pub plain: &'static [u8],
    /// The same, compressed with gzip.
    pub gzip: Option<&'static [u8]>,
    /// The same, compressed with brotli.
    pub brotli: Option<&'static [u8]>,
}

/// Every file, sorted by path.
pub const ASSETS: &[Asset] = include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// The hash of the one style sheet that stands in the page itself, as a Content-Security-Policy names it; empty where there
/// is none.
pub const STYLE_HASH: &str = env!("ISIGURT_STYLE_HASH");

impl Asset {
    /// The file at this path.
    pub fn find(path: &str) -> Option<&'static Self> {
        let place = ASSETS.binary_search_by(|asset| asset.path.cmp(path)).ok()?;
        ASSETS.get(place)
    }

    /// The page that all addresses of the UI show.
    pub fn page() -> Option<&'static Self> {
        Self::find("index.html")
    }

    /// Whether the path changes whenever the content does.
    pub fn is_immutable(&self) -> bool {
        self.path.starts_with("assets/")
    }

    /// Its media type.
    pub fn media_type(&self) -> &'static str {
        match self.path.rsplit('.').next() {
            Some("html") => "text/html; charset=utf-8",
            Some("js") => "text/javascript; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("json") => "application/json",
            Some("webmanifest") => "application/manifest+json",
            Some("svg") => "image/svg+xml",
            Some("png") => "image/png",
            _ => "application/octet-stream",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = include_str!("../plain/index.html");

    #[test]
    fn the_plain_page_speaks_both_languages_names_the_helplines_and_loads_nothing_from_elsewhere() {
        for text in [
            "lang=\"sq\"",
            "lang=\"en\"",
            "116 111",
            "129",
            "112",
            "tel:116111",
            "Node.js",
        ] {
            assert!(PLAIN.contains(text), "{text}");
        }
        assert!(!PLAIN.contains("src=\"http") && !PLAIN.contains("<script"));
    }

    #[test]
    fn every_file_is_found_by_its_path_and_the_page_is_there() {
        for asset in ASSETS {
            assert_eq!(Asset::find(asset.path).unwrap().tag, asset.tag);
        }
        assert!(Asset::page().is_some() && Asset::find("").is_none());
    }

    #[test]
    fn all_files_together_add_at_most_two_megabytes() {
        let octets: usize = ASSETS
            .iter()
            .map(|asset| {
                let compressed = [asset.gzip, asset.brotli].into_iter().flatten();
                asset.plain.len() + compressed.map(<[u8]>::len).sum::<usize>()
            })
            .sum();
        assert!(octets < 2_000_000, "{octets}");
    }
}
