//! Whom to turn to: the three numbers that come first, and all others.

use std::sync::LazyLock;

use isigurt_blocklists::data::{self, Helpline};
use serde::Serialize;
use utoipa::ToSchema;

/// What to do where a report cannot be taken, as the end of a sentence.
pub const CALL: &str =
    "call 116 111 (children's helpline, free, day and night), 129 (police) or 112 (emergency)";

/// Those that come first, in their order.
const FIRST: [&str; 3] = ["al-alo-116-111", "al-police", "al-emergency"];

static ALL: LazyLock<Vec<Helpline>> =
    LazyLock::new(|| data::built_in().map(|data| data.helplines).unwrap_or_default());

/// All of them, in the order of the file: Albania and the countries where many Albanians live come first.
pub fn all() -> &'static [Helpline] {
    &ALL
}

/// 116 111, 129 and 112.
pub fn first() -> Vec<&'static Helpline> {
    let with = |id: &&str| ALL.iter().find(|helpline| helpline.id == *id);
    FIRST.iter().filter_map(with).collect()
}

/// A helpline as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct HelplineShown {
    /// Its name in Albanian.
    pub sq: &'static str,
    /// Its name in English.
    pub en: &'static str,
    /// The number to call.
    pub phone: Option<&'static str>,
    /// Where to start on the web.
    pub web: Option<&'static str>,
}

/// The three that come first, as they are shown.
pub fn first_shown() -> Vec<HelplineShown> {
    let shown = |helpline: &'static Helpline| HelplineShown {
        sq: &helpline.name.sq,
        en: &helpline.name.en,
        phone: helpline.phone.as_deref(),
        web: helpline.web.as_deref(),
    };
    first().into_iter().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_numbers_come_first() {
        let phones: Vec<_> = first_shown().iter().map(|shown| shown.phone.unwrap()).collect();
        assert_eq!(phones, ["116 111", "129", "112"]);
        for phone in phones {
            assert!(CALL.contains(phone));
        }
    }
}
