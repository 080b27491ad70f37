//! Why a name is blocked or not, for a person and as JSON.

use std::fmt;

use isigurt_blocklists::address::AddressName;
use isigurt_blocklists::index::{Hit, Lines, TagKind};
use isigurt_blocklists::name::{Name, NameRef};
use isigurt_blocklists::rule::Answer;
use isigurt_core::cache::{Cache, Found, KeyRef, Near};
use isigurt_core::policy::confirm::{Told, suspects};
use isigurt_core::policy::{self, Because, Client, Decision, NATIONAL, Opened, Present};
use isigurt_core::snapshot::Snapshot;
use isigurt_core::special;
use jiff::Timestamp;
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
    fn client<'s>(
        &self,
        snapshot: &'s Snapshot,
        present: &'s Present,
        minute: u32,
    ) -> Result<Client<'s>, String> {
        let policy = &snapshot.policy;
        let device = |device| Client::new(policy, present, device, minute);
        match self {
            Self::Default => Ok(device(None)),
            Self::Profile(name) => policy
                .profile(name)
                .map(|profile| Client::of_profile(policy, present, profile, minute))
                .ok_or_else(|| format!("there is no profile \"{name}\"")),
            Self::Device(who) => match (policy.device(who), who.parse()) {
                (Some(place), _) => Ok(device(Some(place))),
                (None, Ok(address)) => Ok(device(snapshot.clients.device(address))),
                (None, Err(_)) => Err(format!(
                    "there is no device \"{who}\"; name it, or give its address"
                )),
            },
        }
    }
}

/// What applies to a name, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Explanation {
    /// The name, canonical.
    pub name: String,
    /// The query type, a number.
    pub qtype: u16,
    /// `blocked`, `allowed`, `rewritten`, `helpline`, `special` or `local`.
    pub verdict: String,
    /// The profile that it was decided for.
    pub profile: String,
    /// The name that its answer leads to and that is blocked; known where the answer is in the cache, and never one of the
    /// national list, which nobody is to read there.
    #[serde(default)]
    pub leads_to: Option<String>,
    /// The deciding rule, if there is one.
    pub rule: Option<RuleText>,
    /// The line of the profile's own `allow` or `deny`, or its `default`, that decided.
    #[serde(default)]
    pub line: Option<String>,
    /// What else decided: a pause, a grant, a schedule, a budget, the mandatory national list.
    #[serde(default)]
    pub because: Option<String>,
    /// When that ends.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub until: Option<Timestamp>,
    /// The host that it leads to instead, for safe search.
    #[serde(default)]
    pub rewritten_to: Option<String>,
    /// Exceptions without which the name would be blocked.
    pub lifted_by: Vec<RuleText>,
    /// Lists of short hash prefixes that the name shares; only their confirmation service knows whether it is meant,
    /// and until then the list's header decides.
    #[serde(default)]
    pub candidate_of: Vec<RuleText>,
    /// What is known about that.
    #[serde(default)]
    pub confirmation: Option<String>,
}

/// A rule with its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
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
    #[schema(value_type = String)]
    pub kind: TagKind,
    /// Category or service.
    pub category: String,
    /// How it is answered, where the rule says so itself.
    pub answer: Option<String>,
}

/// Whose verdict is explained, and when.
#[derive(Debug, Clone, Copy)]
pub struct Asking<'a> {
    /// Everything that decides.
    pub snapshot: &'a Snapshot,
    /// What holds at that time.
    pub present: &'a Present,
    /// The minute of that time, since 1970.
    pub minute: u32,
    /// The lines of the snapshot's index.
    pub lines: Option<&'a Lines>,
    /// For whom.
    pub whom: &'a Whom,
}

/// Explains the verdict on `name`; the error is for a person.
pub fn explain(asking: &Asking<'_>, name: &str, qtype: u16) -> Result<Explanation, String> {
    // An address is explained as it would be in an answer.
    let (name, called) = if let Ok(address) = name.parse() {
        (AddressName::new(address).as_ref().to_name(), name.to_owned())
    } else {
        let name = Name::parse(name).map_err(|error| format!("{name:?}: {error}"))?;
        let called = name.to_string();
        (name, called)
    };
    let snapshot = asking.snapshot;
    let client = asking.whom.client(snapshot, asking.present, asking.minute)?;
    let mut explanation = Explanation {
        name: called,
        qtype,
        verdict: "allowed".to_owned(),
        profile: client.profile.name.clone(),
        leads_to: None,
        rule: None,
        line: None,
        because: None,
        until: None,
        rewritten_to: None,
        lifted_by: Vec::new(),
        candidate_of: Vec::new(),
        confirmation: None,
    };
    if snapshot.local.contains_key(name.as_ref().wire()) {
        "local".clone_into(&mut explanation.verdict);
        return Ok(explanation);
    }
    if special::special(name.as_ref(), qtype, snapshot.is_forwarded(name.as_ref())).is_some() {
        "special".clone_into(&mut explanation.verdict);
        return Ok(explanation);
    }
    let text = |hit: &Hit<'_>| rule_text(hit, snapshot, asking.lines);
    let verdict = policy::verdict(&snapshot.index, &client, name.as_ref(), qtype);
    explanation.rule = verdict.rule.as_ref().map(text);
    match verdict.decision {
        Decision::Helpline => "helpline".clone_into(&mut explanation.verdict),
        Decision::Blocked(because, _) => {
            "blocked".clone_into(&mut explanation.verdict);
            match because {
                Because::List(_) => {}
                Because::Denied => explanation.line = verdict.line.map(|line| format!("deny = {line:?}")),
                Because::NotAllowed => explanation.line = Some("default = \"deny\"".to_owned()),
                because => {
                    explanation.because = Some(because.text(&snapshot.index, client.profile).to_owned());
                    if matches!(because, Because::Paused | Because::Schedule(_)) {
                        explanation.until = client.standing.until;
                    }
                }
            }
        }
        Decision::Excepted(Opened::Allow) => {
            explanation.line = verdict.line.map(|line| format!("allow = {line:?}"));
        }
        Decision::Excepted(Opened::Grant) => {
            explanation.because = Some("granted".to_owned());
            explanation.until = client.standing.granted_until();
        }
        Decision::Rewritten(target) => {
            "rewritten".clone_into(&mut explanation.verdict);
            explanation.because = Some("safe search".to_owned());
            explanation.rewritten_to = Some(target.to_string());
        }
        Decision::Excepted(Opened::Own) | Decision::Allowed => {
            explanation.lifted_by = verdict.lifted.iter().map(text).collect();
        }
    }
    if !verdict.candidates.is_empty() && explanation.verdict != "helpline" && explanation.verdict != "blocked"
    {
        explanation.candidate_of = verdict.candidates.iter().map(text).collect();
        confirmation(&mut explanation, asking, &client, name.as_ref(), qtype);
    }
    Ok(explanation)
}

/// Adds what is known about a name that is a candidate, as the line decides by it.
fn confirmation(
    explanation: &mut Explanation,
    asking: &Asking<'_>,
    client: &Client<'_>,
    name: NameRef<'_>,
    qtype: u16,
) {
    let now_s = u64::try_from(Timestamp::now().as_second()).unwrap_or(0);
    let opened = explanation.verdict != "allowed" || explanation.line.is_some();
    for suspect in suspects(&asking.snapshot.index, client, name, qtype) {
        if opened && !suspect.mandatory {
            continue;
        }
        let (said, blocked) = match asking.snapshot.confirmed.told(&suspect, now_s) {
            Told::Meant => ("the platform confirms that this name is meant", true),
            Told::Innocent => ("the platform says that another name is meant", false),
            Told::Unknown if suspect.blocked_unless_told => {
                ("not confirmed yet; the list blocks such names until it is", true)
            }
            Told::Unknown => ("not confirmed yet; the list allows such names until it is", false),
        };
        explanation.confirmation = Some(said.to_owned());
        if blocked {
            "blocked".clone_into(&mut explanation.verdict);
            if suspect.mandatory {
                explanation.because = Some(NATIONAL.to_owned());
            }
            return;
        }
    }
}

fn rule_text(hit: &Hit<'_>, snapshot: &Snapshot, lines: Option<&Lines>) -> RuleText {
    let tag = snapshot.index.tags().get(usize::from(hit.tag.0));
    let kind = tag.map_or(TagKind::Own, |tag| tag.kind);
    RuleText {
        // The mandatory list is not to be read name by name.
        rule: if kind == TagKind::Mandatory {
            "a rule of the national list".to_owned()
        } else {
            hit.pattern_text()
        },
        list: hit.list.id.clone(),
        origin: hit.list.origin.clone(),
        line: hit.line(lines).filter(|_| kind != TagKind::Mandatory),
        kind,
        category: tag.map_or_else(String::new, |tag| tag.id.clone()),
        answer: (*hit.answer() != Answer::Configured).then(|| answer_text(hit.answer())),
    }
}

/// Adds what the answer in the cache leads to, where that decides: an alias or service target that is blocked itself.
pub fn follow(
    explanation: &mut Explanation,
    asking: &Asking<'_>,
    (cache, now_ms): (&Cache, u64),
) -> Result<(), String> {
    let Ok(name) = Name::parse(&explanation.name) else {
        return Ok(());
    };
    let client = asking
        .whom
        .client(asking.snapshot, asking.present, asking.minute)?;
    let qtype = explanation.qtype;
    let decided = policy::verdict(&asking.snapshot.index, &client, name.as_ref(), qtype).decision;
    // What is allowed by name may lead anywhere but to the national list.
    let opened = matches!(decided, Decision::Excepted(_));
    if explanation.verdict != "allowed" || !opened && decided != Decision::Allowed {
        return Ok(());
    }
    let key = KeyRef {
        name: name.as_ref(),
        qtype,
        dnssec_ok: false,
        checking_disabled: false,
    };
    let mut near = Near::none();
    let Found::Fresh(entry, _) = cache.get(&mut near, key, now_ms) else {
        return Ok(());
    };
    for target in &entry.targets.names {
        let met = explain(asking, &target.to_string(), qtype)?;
        let national = met.because.as_deref() == Some(NATIONAL);
        match met.verdict.as_str() {
            "helpline" => break,
            "blocked" if national || !opened => {
                explanation.verdict = met.verdict;
                explanation.leads_to = (!national).then_some(met.name);
                explanation.rule = met.rule;
                explanation.line = met.line;
                explanation.because = met.because;
                explanation.until = met.until;
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
            because,
            until,
            rewritten_to,
            lifted_by,
            candidate_of,
            confirmation,
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
                TagKind::Mandatory => {}
                _ => write!(out, "\n  category: {}", text.category)?,
            }
            text.answer
                .as_ref()
                .map_or(Ok(()), |answer| write!(out, "\n  answer: {answer}"))
        };
        if let Some(target) = leads_to {
            write!(out, "\n  because its answer leads to {target}")?;
        }
        if let Some(because) = because {
            write!(out, "\n  because: {because}")?;
        }
        if let Some(until) = until {
            let local = until.to_zoned_datetime(jiff::tz::TimeZone::system());
            write!(out, "\n  until: {}", local.strftime("%Y-%m-%d %H:%M:%S %:z"))?;
        }
        if let Some(target) = rewritten_to {
            write!(out, "\n  answered with: {target}")?;
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
            place(out, "candidate", candidate)?;
        }
        if let Some(confirmation) = confirmation {
            write!(out, "\n  confirmation: {confirmation}")?;
        }
        Ok(())
    }
}
