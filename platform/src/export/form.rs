//! A plain table, for whoever has no reader of the other forms: an item a line, as CSV (RFC 4180) or JSON. No standard names these
//! columns; they are ours, and told in docs/triage.md.

use super::{Item, time};

/// Names of the columns.
const COLUMNS: [&str; 8] = [
    "id",
    "type",
    "value",
    "list",
    "classification",
    "first_reported",
    "confirmed",
    "reports",
];

fn row(item: &Item) -> [String; COLUMNS.len()] {
    let classification = if item.mandatory {
        "illegal"
    } else {
        "harmful-to-children"
    };
    [
        item.case.clone(),
        "domain".to_owned(),
        item.name.clone(),
        item.list.clone(),
        classification.to_owned(),
        time(item.first),
        time(item.confirmed),
        item.reports.to_string(),
    ]
}

pub(super) fn csv(items: &[Item]) -> String {
    let mut text = COLUMNS.join(",") + "\r\n";
    for item in items {
        let cells = row(item).map(|cell| cell_of(&cell));
        text.push_str(&cells.join(","));
        text.push_str("\r\n");
    }
    text
}

/// A cell, quoted where it must be; what a spreadsheet would take for a formula is text.
fn cell_of(text: &str) -> String {
    let text = if text.starts_with(['=', '+', '-', '@']) {
        format!("'{text}")
    } else {
        text.to_owned()
    };
    if text.contains([',', '"', '\r', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

pub(super) fn json(items: &[Item]) -> anyhow::Result<String> {
    let items: Vec<serde_json::Value> = items
        .iter()
        .map(|item| {
            let cells = COLUMNS.iter().zip(row(item));
            let mut object: serde_json::Map<String, serde_json::Value> = cells
                .map(|(name, cell)| ((*name).to_owned(), cell.into()))
                .collect();
            object.insert("reports".to_owned(), item.reports.into());
            object.into()
        })
        .collect();
    Ok(serde_json::to_string_pretty(&serde_json::json!({ "version": 1, "items": items }))? + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(name: &str) -> Item {
        Item {
            case: "0a".repeat(16),
            name: name.to_owned(),
            list: "abuse".to_owned(),
            mandatory: true,
            first: 0,
            confirmed: 86_400,
            reports: 3,
        }
    }

    #[test]
    fn the_table_is_what_spreadsheets_and_programs_read() {
        let csv = csv(&[item("bad.test")]);
        assert_eq!(
            csv.lines().nth(1).unwrap(),
            format!(
                "{},domain,bad.test,abuse,illegal,1970-01-01T00:00:00Z,1970-01-02T00:00:00Z,3",
                "0a".repeat(16)
            )
        );
        assert_eq!(cell_of("=1+1"), "'=1+1");
        assert_eq!(cell_of("a,\"b\""), "\"a,\"\"b\"\"\"");
        let json: serde_json::Value = serde_json::from_str(&json(&[item("bad.test")]).unwrap()).unwrap();
        assert_eq!(json["items"][0]["value"], "bad.test");
        assert_eq!(json["items"][0]["reports"], 3);
    }
}
