//! IODEF version 2 (RFC 7970): one incident a name, as computer security teams and police exchange them. What is written here is held
//! against the RFC's schema by `tests/tests/exchange.rs`.

use std::fmt::Write as _;

use super::{Item, time};

/// The document; `domain` is the maker's.
pub(super) fn text(items: &[Item], domain: &str, now: i64) -> anyhow::Result<String> {
    let mut text = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <IODEF-Document version=\"2.00\" xml:lang=\"en\" xmlns=\"urn:ietf:params:xml:ns:iodef-2.0\">\n",
    );
    for item in items {
        incident(&mut text, item, domain, now)?;
    }
    text.push_str("</IODEF-Document>\n");
    Ok(text)
}

fn incident(text: &mut String, item: &Item, domain: &str, now: i64) -> std::fmt::Result {
    let restriction = if item.mandatory { "red" } else { "amber" };
    let (case, list, name) = (escaped(&item.case), escaped(&item.list), escaped(&item.name));
    let domain = escaped(domain);
    let (seen, confirmed, now) = (time(item.first), time(item.confirmed), time(now));
    let reports = item.reports;
    // The order of the elements is the schema's (RFC 7970, section 8).
    write!(
        text,
        "<Incident purpose=\"mitigation\" restriction=\"{restriction}\">\n\
         <IncidentID name=\"{domain}\">{case}</IncidentID>\n\
         <DetectTime>{seen}</DetectTime>\n\
         <ReportTime>{confirmed}</ReportTime>\n\
         <GenerationTime>{now}</GenerationTime>\n\
         <Description>{list}: confirmed from {reports} reports</Description>\n\
         <Assessment><BusinessImpact severity=\"high\" type=\"ext-value\" ext-type=\"harm-to-children\"/></Assessment>\n\
         <Contact role=\"creator\" type=\"organization\"><ContactName>iSigurt national child-safety platform</ContactName></Contact>\n\
         <EventData><Flow><System category=\"source\"><Node><DomainData system-status=\"unknown\" domain-status=\"unknown\">\
         <Name>{name}</Name></DomainData></Node></System></Flow>\
         <Expectation action=\"block-host\"/></EventData>\n\
         </Incident>\n"
    )
}

/// Text of an element (XML 1.0, section 2.4).
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_becomes_an_incident_and_nothing_breaks_out_of_it() {
        let item = Item {
            case: "0a".repeat(16),
            name: "bad.test".to_owned(),
            list: "<x>&\"".to_owned(),
            mandatory: true,
            first: 0,
            confirmed: 0,
            reports: 2,
        };
        let text = text(&[item], "lists.isigurt.example", 0).unwrap();
        assert!(text.contains("<Name>bad.test</Name>"), "{text}");
        assert!(text.contains("restriction=\"red\""), "{text}");
        assert!(
            text.contains("&lt;x&gt;&amp;&quot;: confirmed from 2 reports"),
            "{text}"
        );
    }
}
