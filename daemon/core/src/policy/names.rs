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
    #[error("{0}")]
    Expression(String),
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
            let expressions = RegexSetBuilder::new(sources)
                .unicode(false)
                .case_insensitive(true)
                .size_limit(EXPRESSIONS)
                .build()
                .map_err(|error| NamesError::Expression(error.to_string()))?;
            read.expressions = Some(expressions);
        }
        Ok(read)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The line that speaks of `name`: the most specific name, else the first expression.
    pub fn find(&self, name: NameRef<'_>) -> Option<&str> {
        let mut at = Some(name);
        while let Some(suffix) = at {
            if let Some(&(alone, place)) = self.by_name.get(suffix.wire())
                && (!alone || suffix == name)
            {
                return self.lines.get(place).map(String::as_str);
            }
            at = suffix.parent();
        }
        let expressions = self.expressions.as_ref()?;
        let text = name.to_string();
        let first = expressions.matches(text.as_bytes()).iter().next()?;
        let place = self.places.get(first)?;
        self.lines.get(*place).map(String::as_str)
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
