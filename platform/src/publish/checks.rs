//! What a release is held against: popular names, public suffixes, helplines.
//!
//! A list that blocks a popular name, or a name above one, breaks the net for a country; whoever meant to has two editors say so
//! (`approval`). A helpline is never blocked, whoever says so. Names are compared by their wire form, one look-up a rule.

use std::collections::HashSet;
use std::path::PathBuf;

use anyhow::Context as _;
use isigurt_blocklists::data;
use isigurt_blocklists::name::{Name, NameRef};

/// Most labels of a public suffix that are looked at.
const SUFFIX_LABELS: usize = 4;

/// What an entry would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Harm {
    /// It blocks a helpline, or something of one.
    Helpline,
    /// It blocks a popular name.
    Popular,
    /// It blocks everything below a public suffix.
    PublicSuffix,
}

/// Names that a release may not block.
#[derive(Default)]
pub(crate) struct Guard {
    popular: HashSet<Box<[u8]>>,
    /// Popular names and all names above them.
    above_popular: HashSet<Box<[u8]>>,
    helplines: HashSet<Box<[u8]>>,
    above_helplines: HashSet<Box<[u8]>>,
}

impl Guard {
    /// Reads lists of popular names, and the helplines that are built in.
    pub(crate) fn read(popular: &[PathBuf]) -> anyhow::Result<Self> {
        let mut guard = Self::default();
        for helpline in data::built_in()?.helplines {
            for name in &helpline.domains {
                insert(&mut guard.helplines, &mut guard.above_helplines, name);
            }
        }
        for file in popular {
            let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
            for (place, line) in text.lines().enumerate() {
                let name = line.rsplit(',').next().unwrap_or_default().trim();
                if name.is_empty() || name.starts_with('#') {
                    continue;
                }
                let name = Name::parse(name).with_context(|| {
                    format!("{}:{}: expected a name, or rank,name", file.display(), place + 1)
                })?;
                insert(&mut guard.popular, &mut guard.above_popular, &name);
            }
        }
        Ok(guard)
    }

    /// What blocking `name`, with all names below it or alone, would do.
    pub(crate) fn harm(&self, name: NameRef<'_>, below: bool) -> Option<Harm> {
        let helpline = name
            .suffixes()
            .any(|suffix| self.helplines.contains(suffix.wire()))
            || below && self.above_helplines.contains(name.wire());
        if helpline {
            return Some(Harm::Helpline);
        }
        let popular = if below { &self.above_popular } else { &self.popular };
        if popular.contains(name.wire()) {
            return Some(Harm::Popular);
        }
        (below && is_public_suffix(name)).then_some(Harm::PublicSuffix)
    }
}

fn insert(names: &mut HashSet<Box<[u8]>>, above: &mut HashSet<Box<[u8]>>, name: &Name) {
    names.insert(name.as_ref().wire().into());
    for suffix in name.as_ref().suffixes() {
        above.insert(suffix.wire().into());
    }
}

/// Whether many owners register names directly below `name`.
fn is_public_suffix(name: NameRef<'_>) -> bool {
    if name.labels().count() > SUFFIX_LABELS {
        return false;
    }
    let text = name.to_string();
    psl::suffix(text.as_bytes()).is_some_and(|suffix| suffix.as_bytes() == text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(popular: &str) -> anyhow::Result<Guard> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("popular.txt");
        std::fs::write(&file, popular)?;
        Guard::read(&[file])
    }

    #[test]
    fn popular_names_names_above_them_and_public_suffixes_are_found() {
        let guard = guard("# from a ranking\n1,www.popular.example\nshop.example.al\n").unwrap();
        let harm = |name: &str, below| guard.harm(Name::parse(name).unwrap().as_ref(), below);
        assert_eq!(harm("www.popular.example", false), Some(Harm::Popular));
        assert_eq!(harm("popular.example", true), Some(Harm::Popular));
        assert_eq!(
            harm("popular.example", false),
            None,
            "the name alone is not popular"
        );
        assert_eq!(harm("ads.popular.example", true), None);
        assert_eq!(harm("com.fj", true), Some(Harm::PublicSuffix));
        assert_eq!(harm("bad.com.fj", true), None);
    }

    #[test]
    fn a_helpline_is_found_above_at_and_below() {
        let guard = guard("").unwrap();
        let harm = |name: &str, below| guard.harm(Name::parse(name).unwrap().as_ref(), below);
        assert_eq!(harm("alo116.al", true), Some(Harm::Helpline));
        assert_eq!(harm("alo116.al", false), Some(Harm::Helpline));
        assert_eq!(harm("chat.alo116.al", false), Some(Harm::Helpline));
        assert_eq!(harm("al", true), Some(Harm::Helpline));
        assert_eq!(harm("xalo116.al", true), None);
    }

    #[test]
    fn a_line_that_is_no_name_is_an_error_with_its_place() {
        let error = guard("good.example\nnot a name\n").err().unwrap();
        assert!(format!("{error:#}").contains("popular.txt:2"), "{error:#}");
    }
}
