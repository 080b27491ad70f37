//! From what the service says about a user to what the user may do here, as the configuration names it.

use serde_json::Value;

use super::OidcError;
use crate::accounts::{Role, Vouch};
use crate::config::{Oidc, RoleName};

/// Whether the claims do not say what the configuration hangs on.
pub(super) fn lacks(settings: &Oidc, claims: &Value) -> bool {
    let by_group = settings.role.iter().any(|role| role.value != "*");
    by_group && values(claims, &settings.claim).is_empty()
        || !settings.domains.is_empty() && claims["email"].is_null()
        || claims["preferred_username"].is_null() && claims["email"].is_null()
}

/// What the user may do here; an error where the configuration names nothing for it.
pub(super) fn vouch(settings: &Oidc, claims: &Value) -> Result<Vouch, OidcError> {
    let subject = claims["sub"].as_str().filter(|subject| !subject.is_empty());
    let subject = subject.ok_or_else(|| OidcError::Token("it says nobody's name".to_owned()))?;
    let mut vouch = Vouch {
        issuer: settings.issuer.as_str().to_owned(),
        subject: subject.to_owned(),
        name: name(claims, subject),
        role: Role::Viewer,
        profiles: Vec::new(),
    };
    check_domain(settings, claims)?;
    let has = values(claims, &settings.claim);
    let rules = settings
        .role
        .iter()
        .filter(|rule| rule.value == "*" || has.contains(&rule.value.as_str()));
    let rules: Vec<_> = rules.collect();
    let greatest = rules.iter().map(|rule| rule.role).min();
    let Some(greatest) = greatest else {
        return Err(OidcError::NoRole(Box::new(vouch)));
    };
    vouch.role = match greatest {
        RoleName::Owner => Role::Owner,
        RoleName::Admin => Role::Admin,
        RoleName::Staff => Role::Staff,
        RoleName::Viewer => Role::Viewer,
    };
    let staff = rules.iter().filter(|rule| rule.role == greatest);
    vouch.profiles = staff.flat_map(|rule| rule.profiles.clone()).collect();
    vouch.profiles.sort_unstable();
    vouch.profiles.dedup();
    Ok(vouch)
}

fn check_domain(settings: &Oidc, claims: &Value) -> Result<(), OidcError> {
    if settings.domains.is_empty() {
        return Ok(());
    }
    let email = claims["email"].as_str().unwrap_or_default();
    if claims["email_verified"] != Value::Bool(true) {
        return Err(OidcError::NotVerified);
    }
    let domain = email
        .rsplit_once('@')
        .map(|(_, domain)| domain)
        .unwrap_or_default();
    let allowed = settings
        .domains
        .iter()
        .any(|allowed| allowed.eq_ignore_ascii_case(domain));
    allowed.then_some(()).ok_or(OidcError::Domain)
}

/// What the user is called here.
fn name(claims: &Value, subject: &str) -> String {
    let told = ["preferred_username", "email", "name"]
        .into_iter()
        .find_map(|claim| {
            claims[claim]
                .as_str()
                .map(str::trim)
                .filter(|name| !name.is_empty())
        });
    let name = told
        .unwrap_or(subject)
        .chars()
        .filter(|letter| !letter.is_control());
    name.take(64).collect()
}

/// The texts of a claim: one, or several; dots lead into objects, unless the claim itself is called so.
fn values<'c>(claims: &'c Value, claim: &str) -> Vec<&'c str> {
    let found = claims.get(claim).or_else(|| {
        let mut at = claims;
        for step in claim.split('.') {
            at = at.get(step)?;
        }
        Some(at)
    });
    match found {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn settings(rest: &str) -> Oidc {
        let text = format!("issuer = \"https://login.school.example\"\nclient_id = \"gateway\"\n{rest}");
        toml::from_str(&text).unwrap()
    }

    #[test]
    fn the_greatest_role_of_all_groups_counts_and_staff_get_the_profiles_of_all_of_theirs() {
        let settings = settings(
            "claim = \"realm.roles\"\nrole = [\
             { value = \"it\", role = \"admin\" },\
             { value = \"7a\", role = \"staff\", profiles = [\"class-7a\"] },\
             { value = \"7b\", role = \"staff\", profiles = [\"class-7b\", \"class-7a\"] },\
             { value = \"*\", role = \"viewer\" }]",
        );
        let made = |roles: Value| {
            let vouch = vouch(&settings, &json!({ "sub": "1", "realm": { "roles": roles } })).unwrap();
            format!("{} {}", vouch.role.word(), vouch.profiles.join(","))
        };
        assert_eq!(made(json!(["7a", "other"])), "staff class-7a");
        assert_eq!(made(json!(["7b", "7a"])), "staff class-7a,class-7b");
        assert_eq!(made(json!("7a")), "staff class-7a");
        assert_eq!(made(json!(["7a", "it"])), "admin ");
        assert_eq!(made(json!([])), "viewer ");
        assert_eq!(made(json!({ "7a": true })), "viewer ");
        assert_eq!(
            made(json!(["IT"])),
            "viewer ",
            "groups are as the service writes them"
        );
    }

    #[test]
    fn only_verified_addresses_of_the_domains_named_may_sign_in() {
        let settings =
            settings("domains = [\"school.example\"]\nrole = [{ value = \"*\", role = \"viewer\" }]");
        let said = |claims: Value| match vouch(&settings, &claims) {
            Ok(vouch) => vouch.name,
            Err(error) => error.kind().to_owned(),
        };
        let of = |email: &str, verified: Value| {
            said(json!({ "sub": "1", "email": email, "email_verified": verified }))
        };
        assert_eq!(of("ana@School.example", json!(true)), "ana@School.example");
        assert_eq!(of("ana@school.example", json!(false)), "not-verified");
        assert_eq!(of("ana@school.example", json!("true")), "not-verified");
        assert_eq!(of("ana@school.example", Value::Null), "not-verified");
        for foreign in [
            "ana@evil.example",
            "ana@sub.school.example",
            "school.example",
            "a@school.example@evil.example",
        ] {
            assert_eq!(of(foreign, json!(true)), "domain", "{foreign}");
        }
        assert_eq!(
            said(json!({ "email": "ana@school.example", "email_verified": true })),
            "token",
            "nobody"
        );
    }

    #[test]
    fn whoever_is_in_no_group_that_is_named_may_not_sign_in() {
        let settings = settings("role = [{ value = \"it\", role = \"admin\" }]");
        let error = vouch(&settings, &json!({ "sub": "1", "groups": ["pupils"] })).unwrap_err();
        assert_eq!(error.kind(), "no-role");
        assert!(lacks(&settings, &json!({ "sub": "1", "email": "a@b.example" })));
        assert!(!lacks(
            &settings,
            &json!({ "email": "a@b.example", "groups": ["x"] })
        ));
    }
}
