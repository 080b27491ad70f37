//! A profile's own names: what it allows or denies whatever lists say.

use std::collections::HashMap;

use isigurt_blocklists::name::{Name, NameError, NameRef};
use regex::bytes::{RegexSet, RegexSetBuilder};

/// Octets that the compiled expressions of one profile may take.
const EXPRESSIONS: usize = 1 << 20;

/// Why a line is no rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NamesError {
    /// No name.
    #[error("{0:?}: {1}")]
    Name(String, NameError),
    /// No expression, or one that takes too much memory.
    #[error("{0}: {1}")]
    Expression(String, String),
}

impl NamesError {
    /// The line that is no rule, as it was written.
    pub fn line(&self) -> Option<&str> {
        match self {
            Self::Name(line, _) => Some(line),
            Self::Expression(line, _) => (!line.is_empty()).then_some(line),
        }
    }
}

fn expressions(sources: &[&str]) -> Result<RegexSet, regex::Error> {
    RegexSetBuilder::new(sources)
        .unicode(false)
        .case_insensitive(true)
        .size_limit(EXPRESSIONS)
        .build()
}

/// The error of the expression that is wrong by itself, else that of all together.
fn blamed(sources: &[&str], together: &regex::Error) -> NamesError {
    let alone = sources.iter().find_map(|source| {
        let error = expressions(&[source]).err()?;
        let text = error.to_string().replace('\n', " ");
        Some(NamesError::Expression(format!("/{source}/"), text))
    });
    alone.unwrap_or_else(|| {
        NamesError::Expression("all expressions together".to_owned(), together.to_string())
    })
}

/// Names with all below them, names alone, and expressions. Matching takes a look-up a label, and time linear in the name
/// for all expressions together.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// By wire format: whether the name stands alone, and its place among the lines.
    by_name: HashMap<Box<[u8]>, (bool, usize), foldhash::fast::RandomState>,
    expressions: Option<RegexSet>,
    /// Places of the expressions among the lines.
    places: Vec<usize>,
    lines: Vec<String>,
}

impl Names {
    /// Reads lines as `allow` and `deny` have them.
    pub fn read(lines: &[String]) -> Result<Self, NamesError> {
        let mut read = Self {
            lines: lines.to_vec(),
            ..Self::default()
        };
        let mut sources = Vec::new();
        for (place, line) in lines.iter().enumerate() {
            let expression = line.strip_prefix('/').and_then(|rest| rest.strip_suffix('/'));
            if let Some(source) = expression {
                sources.push(source);
                read.places.push(place);
                continue;
            }
            let (alone, text) = match line.strip_prefix('=') {
                Some(text) => (true, text),
                None => (false, line.as_str()),
            };
            let name = Name::parse(text).map_err(|error| NamesError::Name(line.clone(), error))?;
            let kept = read
                .by_name
                .entry(name.as_ref().wire().into())
                .or_insert((alone, place));
            kept.0 &= alone; // the wider of two lines for one name
        }
        if !sources.is_empty() {
            read.expressions = Some(expressions(&sources).map_err(|error| blamed(&sources, &error))?);
        }
        Ok(read)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The line that speaks of `name`: the most specific name, else the first expression.
    pub fn find(&self, name: NameRef<'_>) -> Option<&str> {
        if let Some(place) = self.named(name) {
            return self.lines.get(place).map(String::as_str);
        }
        let expressions = self.expressions.as_ref()?;
        let text = Text::of(name);
        let first = expressions.matches(text.octets()).iter().next()?;
        let place = self.places.get(first)?;
        self.lines.get(*place).map(String::as_str)
    }

    /// Whether a line speaks of `name`. Allocates nothing.
    #[inline]
    pub fn speak_of(&self, name: NameRef<'_>) -> bool {
        if self.lines.is_empty() {
            return false;
        }
        self.named(name).is_some()
            || self
                .expressions
                .as_ref()
                .is_some_and(|expressions| expressions.is_match(Text::of(name).octets()))
    }

    /// The place of the most specific line with a name.
    fn named(&self, name: NameRef<'_>) -> Option<usize> {
        if self.by_name.is_empty() {
            return None;
        }
        let mut at = Some(name);
        while let Some(suffix) = at {
            if let Some(&(alone, place)) = self.by_name.get(suffix.wire())
                && (!alone || suffix == name)
            {
                return Some(place);
            }
            at = suffix.parent();
        }
        None
    }
}

/// A name as text on the stack: at most 255 octets, each of which takes up to four characters.
struct Text {
    octets: [u8; 1024],
    length: usize,
}

impl Text {
    fn of(name: NameRef<'_>) -> Self {
        use std::fmt::Write as _;
        let mut text = Self {
            octets: [0; 1024],
            length: 0,
        };
        let _ = write!(text, "{name}"); // what is too long does not come: see above
        text
    }

    fn octets(&self) -> &[u8] {
        self.octets.get(..self.length).unwrap_or_default()
    }
}

impl std::fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let end = self.length + text.len();
        let place = self.octets.get_mut(self.length..end).ok_or(std::fmt::Error)?;
        place.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_speaks_for_all_below_it_unless_it_stands_alone() {
        let lines = [
            "example.org",
            "=alone.example",
            "/^ads[0-9]+\\./",
            "www.example.org",
        ];
        let names = Names::read(&lines.map(str::to_owned)).unwrap();
        for (name, line) in [
            ("example.org", Some("example.org")),
            ("a.b.example.org", Some("example.org")),
            ("www.example.org", Some("www.example.org")),
            ("x.www.example.org", Some("www.example.org")),
            ("badexample.org", None),
            ("alone.example", Some("=alone.example")),
            ("www.alone.example", None),
            ("ads7.example", Some("/^ads[0-9]+\\./")),
            ("ads.example", None),
            ("org", None),
        ] {
            assert_eq!(names.find(Name::parse(name).unwrap().as_ref()), line, "{name}");
        }
        assert!(Names::read(&[]).unwrap().is_empty());
    }

    #[test]
    fn what_is_no_name_and_what_takes_too_much_is_refused() {
        for line in ["a..b", "", "=", "/(/", "/((a{500}){500}){50}/"] {
            assert!(Names::read(&[line.to_owned()]).is_err(), "{line}");
        }
    }
}
