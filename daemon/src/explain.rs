//! Why a name is blocked or not, for a person and as JSON.

use std::fmt;

use isigurt_blocklists::address::AddressName;
use isigurt_blocklists::index::{Hit, Lines, TagKind};
use isigurt_blocklists::name::Name;
use isigurt_blocklists::rule::Answer;
use isigurt_core::cache::{Cache, Found, KeyRef, Near};
use isigurt_core::policy::{self, Decision, Profile, Verdict};
use isigurt_core::snapshot::Snapshot;
use isigurt_core::special;
use serde::{Deserialize, Serialize};

/// For whom a verdict is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Whom {
    /// For clients that no device is named for.
    #[default]
    Default,
    /// For a device: its name, or its address.
    Device(String),
    /// For a profile.
    Profile(String),
}

impl Whom {
    fn profile<'s>(&self, snapshot: &'s Snapshot) -> Result<&'s Profile, String> {
        let policy = &snapshot.policy;
        match self {
            Self::Default => Ok(policy.default_profile()),
            Self::Profile(name) => policy
                .profile(name)
                .ok_or_else(|| format!("there is no profile \"{name}\"")),
            Self::Device(who) => match who.parse() {
                Ok(address) => Ok(policy.of(address)),
                Err(_) => policy
                    .device(who)
                    .ok_or_else(|| format!("there is no device \"{who}\"; name it, or give its address")),
            },
        }
    }
}

/// What applies to a name, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The name, canonical.
    pub name: String,
    /// The query type, a number.
    pub qtype: u16,
    /// `blocked`, `allowed`, `helpline`, `special` or `local`.
    pub verdict: String,
    /// The profile that it was decided for.
    pub profile: String,
    /// The name that its answer leads to and that is blocked; known where the answer is in the cache.
    #[serde(default)]
    pub leads_to: Option<String>,
    /// The deciding rule, if there is one.
    pub rule: Option<RuleText>,
    /// The line of the profile's own `allow` or `deny`, or its `default`, that decided.
    #[serde(default)]
    pub line: Option<String>,
    /// Exceptions without which the name would be blocked.
    pub lifted_by: Vec<RuleText>,
    /// Lists of short hash prefixes that the name shares; only their confirmation service knows whether it is meant,
    /// and until then it is allowed.
    #[serde(default)]
    pub candidate_of: Vec<RuleText>,
}

/// A rule with its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleText {
    /// Which names it speaks of.
    pub rule: String,
    /// List.
    pub list: String,
    /// File, or `built in`.
    pub origin: String,
    /// Line in it; unknown where the file of lines is missing.
    pub line: Option<u32>,
    /// `category`, `service`, `own`, `bypass` or `helpline`.
    pub kind: TagKind,
    /// Category or service.
    pub category: String,
    /// How it is answered, where the rule says so itself.
    pub answer: Option<String>,
}

/// Explains the verdict on `name`; the error is for a person. `lines` are those of the snapshot's index.
pub fn explain(
    snapshot: &Snapshot,
    lines: Option<&Lines>,
    whom: &Whom,
    name: &str,
    qtype: u16,
) -> Result<Explanation, String> {
    // An address is explained as it would be in an answer.
    let (name, called) = if let Ok(address) = name.parse() {
        (AddressName::new(address).as_ref().to_name(), name.to_owned())
    } else {
        let name = Name::parse(name).map_err(|error| format!("{name:?}: {error}"))?;
        let called = name.to_string();
        (name, called)
    };
    let profile = whom.profile(snapshot)?;
    let mut explanation = Explanation {
        name: called,
        qtype,
        verdict: "allowed".to_owned(),
        profile: profile.name.clone(),
        leads_to: None,
        rule: None,
        line: None,
        lifted_by: Vec::new(),
        candidate_of: Vec::new(),
    };
    if snapshot.local.contains_key(name.as_ref().wire()) {
        "local".clone_into(&mut explanation.verdict);
        return Ok(explanation);
    }
    if special::special(name.as_ref(), qtype, snapshot.is_forwarded(name.as_ref())).is_some() {
        "special".clone_into(&mut explanation.verdict);
        return Ok(explanation);
    }
    let text = |hit: &Hit<'_>| {
        let tag = snapshot.index.tags().get(usize::from(hit.tag.0));
        RuleText {
            rule: hit.pattern_text(),
            list: hit.list.id.clone(),
            origin: hit.list.origin.clone(),
            line: hit.line(lines),
            kind: tag.map_or(TagKind::Own, |tag| tag.kind),
            category: tag.map_or_else(String::new, |tag| tag.id.clone()),
            answer: (*hit.answer() != Answer::Configured).then(|| answer_text(hit.answer())),
        }
    };
    match policy::verdict(&snapshot.index, profile, name.as_ref(), qtype) {
        Verdict::Helpline(hit) => {
            "helpline".clone_into(&mut explanation.verdict);
            explanation.rule = Some(text(&hit));
        }
        Verdict::AllowedBy(line) => explanation.line = Some(format!("allow = {line:?}")),
        Verdict::DeniedBy(line) => {
            "blocked".clone_into(&mut explanation.verdict);
            explanation.line = Some(format!("deny = {line:?}"));
        }
        Verdict::NotAllowed => {
            "blocked".clone_into(&mut explanation.verdict);
            explanation.line = Some("default = \"deny\"".to_owned());
        }
        Verdict::Blocked(hit) => {
            "blocked".clone_into(&mut explanation.verdict);
            explanation.rule = Some(text(&hit));
        }
        Verdict::Allowed {
            lifted, candidates, ..
        } => {
            explanation.lifted_by = lifted.iter().map(text).collect();
            explanation.candidate_of = candidates.iter().map(text).collect();
        }
    }
    Ok(explanation)
}

/// Adds what the answer in the cache leads to, where that decides: an alias or service target that is blocked itself.
pub fn follow(
    explanation: &mut Explanation,
    snapshot: &Snapshot,
    lines: Option<&Lines>,
    whom: &Whom,
    cache: (&Cache, u64),
) -> Result<(), String> {
    let (Ok(name), profile) = (Name::parse(&explanation.name), whom.profile(snapshot)?) else {
        return Ok(());
    };
    let qtype = explanation.qtype;
    let decided = policy::decide(&snapshot.index, profile, name.as_ref(), qtype);
    if explanation.verdict != "allowed" || decided != Decision::Allowed {
        return Ok(()); // what is allowed by name may lead anywhere
    }
    let key = KeyRef {
        name: name.as_ref(),
        qtype,
        dnssec_ok: false,
        checking_disabled: false,
    };
    let (cache, now_ms) = cache;
    let mut near = Near::none();
    let Found::Fresh(entry, _) = cache.get(&mut near, key, now_ms) else {
        return Ok(());
    };
    for target in &entry.targets.names {
        let met = explain(snapshot, lines, whom, &target.to_string(), qtype)?;
        match met.verdict.as_str() {
            "helpline" => break,
            "blocked" => {
                explanation.verdict = met.verdict;
                explanation.leads_to = Some(met.name);
                explanation.rule = met.rule;
                explanation.line = met.line;
                break;
            }
            _ => {}
        }
    }
    Ok(())
}

fn answer_text(answer: &Answer) -> String {
    match answer {
        Answer::Configured => "as configured".to_owned(),
        Answer::NxDomain => "NXDOMAIN".to_owned(),
        Answer::NoData => "NODATA".to_owned(),
        Answer::Refused => "REFUSED".to_owned(),
        Answer::ServFail => "SERVFAIL".to_owned(),
        Answer::Drop => "no answer".to_owned(),
        Answer::TcpOnly => "over TCP only".to_owned(),
        Answer::Records(records) => format!("{} record(s) of the list", records.len()),
        Answer::Alias { target, below: false } => format!("alias of {target}"),
        Answer::Alias { target, below: true } => format!("alias of the name followed by {target}"),
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            verdict,
            profile,
            leads_to,
            rule,
            line,
            lifted_by,
            candidate_of,
            ..
        } = self;
        match verdict.as_str() {
            "helpline" => write!(out, "{name} is a helpline: never filtered, never logged")?,
            "special" => write!(
                out,
                "{name} is a special-use name: answered here, never asked upstream"
            )?,
            "local" => write!(out, "{name} is answered from [local] records")?,
            other => write!(out, "{name} is {other} (profile {profile})")?,
        }
        let place = |out: &mut fmt::Formatter<'_>, head: &str, text: &RuleText| {
            write!(
                out,
                "\n  {head}: {}\n  list: {}, line {} ({})",
                text.rule,
                text.list,
                text.line
                    .map_or_else(|| "unknown".to_owned(), |line| line.to_string()),
                text.origin
            )?;
            match text.kind {
                TagKind::Own => write!(out, "\n  category: the household's own list")?,
                TagKind::Service => write!(out, "\n  service: {}", text.category)?,
                _ => write!(out, "\n  category: {}", text.category)?,
            }
            text.answer
                .as_ref()
                .map_or(Ok(()), |answer| write!(out, "\n  answer: {answer}"))
        };
        if let Some(target) = leads_to {
            write!(out, "\n  because its answer leads to {target}")?;
        }
        if let Some(line) = line {
            write!(out, "\n  profile's own: {line}")?;
        }
        if let Some(rule) = rule {
            place(out, "rule", rule)?;
        }
        for lifted in lifted_by {
            place(out, "lifted by exception", lifted)?;
        }
        for candidate in candidate_of {
            place(out, "candidate, not confirmed and so allowed", candidate)?;
        }
        Ok(())
    }
}
