//! Who may do what: one table, read by every door.
//!
//! Nothing else decides about rights. A handler names the [`Action`] and what it reaches ([`Scope`]) and asks
//! [`Principal::may`]; it never looks at a role itself.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a user is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything, other owners included.
    Owner,
    /// Everything but owners, admins and backups.
    Admin,
    /// What concerns the profiles that the account names: a teacher with the classes' profiles.
    Staff,
    /// Looks, changes nothing.
    Viewer,
}

impl Role {
    /// All of them, greatest first.
    pub const ALL: [Self; 4] = [Self::Owner, Self::Admin, Self::Staff, Self::Viewer];

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Staff => "staff",
            Self::Viewer => "viewer",
        }
    }
}

impl std::str::FromStr for Role {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|role| role.word() == word);
        found.ok_or_else(|| format!("there is no role \"{word}\"; take owner, admin, staff or viewer"))
    }
}

/// What an API token may be used for; never more than its user may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub enum TokenScope {
    /// Status, lists and policy.
    #[serde(rename = "read")]
    Read,
    /// The query log.
    #[serde(rename = "log:read")]
    LogRead,
    /// Profiles.
    #[serde(rename = "policy:write")]
    PolicyWrite,
    /// Devices.
    #[serde(rename = "device:write")]
    DeviceWrite,
    /// Pauses and grants.
    #[serde(rename = "relax")]
    Relax,
    /// Lists.
    #[serde(rename = "list:write")]
    ListWrite,
    /// Reports.
    #[serde(rename = "report")]
    Report,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// See how the gateway stands, and its lists.
    StatusRead,
    /// See a profile and its devices; the whole policy with [`Scope::Gateway`].
    PolicyRead,
    /// Change a profile; add, remove or replace profiles with [`Scope::Gateway`].
    PolicyWrite,
    /// Change which devices have a profile. Moving one asks for both profiles.
    DeviceWrite,
    /// Pause a profile or one of its devices, or grant it a name for a while.
    Relax,
    /// Read the queries of a profile's devices; of all devices with [`Scope::Gateway`].
    LogRead,
    /// Add, change or remove lists.
    ListWrite,
    /// Change settings of the gateway.
    SettingsWrite,
    /// See what was reported, and what devices asked for.
    ReportRead,
    /// Report a name.
    ReportSend,
    /// See what applies to the device that asks.
    OwnState,
    /// Ask for access to a blocked name.
    AskAccess,
    /// Change one's own password, second step, sessions and tokens.
    OwnAccount,
    /// See all accounts.
    AccountsRead,
    /// Add, change or remove an account of a role ([`Scope::Role`]).
    AccountsWrite,
    /// Take or restore a backup, which holds all secrets.
    Backup,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::StatusRead,
        Self::PolicyRead,
        Self::PolicyWrite,
        Self::DeviceWrite,
        Self::Relax,
        Self::LogRead,
        Self::ListWrite,
        Self::SettingsWrite,
        Self::ReportRead,
        Self::ReportSend,
        Self::OwnState,
        Self::AskAccess,
        Self::OwnAccount,
        Self::AccountsRead,
        Self::AccountsWrite,
        Self::Backup,
    ];
}

/// What an action reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope<'a> {
    /// The whole gateway.
    Gateway,
    /// One profile, by name.
    Profile(&'a str),
    /// Accounts of a role.
    Role(Role),
    /// The one who asks.
    Own,
    /// A list of which each sees what it reaches; the list itself is filtered.
    Reached,
}

/// How far a right reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    No,
    /// Oneself.
    Own,
    /// Oneself, and the profiles that the account names.
    Profiles,
    /// Oneself, and accounts that are neither owner nor admin.
    Below,
    All,
}

/// A row of the table.
struct Row {
    owner: Reach,
    admin: Reach,
    staff: Reach,
    viewer: Reach,
    /// A device whose user has not signed in.
    device: Reach,
    /// What a token needs for it; `None` = no token may.
    token: Option<TokenScope>,
}

/// The table.
#[allow(clippy::match_same_arms)] // a row an action: rows that look alike mean different things
const fn row(action: Action) -> Row {
    use Reach::{All, Below, No, Own, Profiles};
    use TokenScope::{DeviceWrite, ListWrite, LogRead, PolicyWrite, Read, Relax, Report};
    const fn columns(roles: [Reach; 4], device: Reach, token: Option<TokenScope>) -> Row {
        let [owner, admin, staff, viewer] = roles;
        Row {
            owner,
            admin,
            staff,
            viewer,
            device,
            token,
        }
    }
    match action {
        //                               owner admin  staff     viewer  device token
        Action::StatusRead => columns([All, All, All, All], No, Some(Read)),
        Action::PolicyRead => columns([All, All, Profiles, All], No, Some(Read)),
        Action::PolicyWrite => columns([All, All, Profiles, No], No, Some(PolicyWrite)),
        Action::DeviceWrite => columns([All, All, Profiles, No], No, Some(DeviceWrite)),
        Action::Relax => columns([All, All, Profiles, No], No, Some(Relax)),
        Action::LogRead => columns([All, All, Profiles, All], No, Some(LogRead)),
        Action::ListWrite => columns([All, All, No, No], No, Some(ListWrite)),
        Action::SettingsWrite => columns([All, All, No, No], No, None),
        Action::ReportRead => columns([All, All, Profiles, All], No, Some(Report)),
        Action::ReportSend => columns([All, All, All, Own], Own, Some(Report)),
        Action::OwnState => columns([Own, Own, Own, Own], Own, Some(Read)),
        Action::AskAccess => columns([Own, Own, Own, Own], Own, None),
        Action::OwnAccount => columns([Own, Own, Own, Own], No, None),
        Action::AccountsRead => columns([All, All, No, No], No, None),
        Action::AccountsWrite => columns([All, Below, No, No], No, None),
        Action::Backup => columns([All, No, No, No], No, None),
    }
}

impl Reach {
    fn covers(self, scope: Scope<'_>, profiles: &[String]) -> bool {
        match self {
            Self::No => false,
            Self::Own => scope == Scope::Own,
            Self::Profiles => match scope {
                Scope::Profile(name) => profiles.iter().any(|profile| profile == name),
                scope => matches!(scope, Scope::Own | Scope::Reached),
            },
            Self::Below => matches!(
                scope,
                Scope::Own | Scope::Reached | Scope::Role(Role::Staff | Role::Viewer)
            ),
            Self::All => true,
        }
    }
}

/// The user behind a session or a token, as the account stands now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The user's id.
    pub id: String,
    /// The user's name.
    pub name: String,
    /// The role.
    pub role: Role,
    /// Names of the profiles that a `staff` account is limited to.
    pub profiles: Vec<String>,
}

impl Member {
    /// Whether the action is allowed to this user on what it reaches.
    pub fn may(&self, action: Action, scope: Scope<'_>) -> bool {
        self.reaches(&row(action), scope)
    }

    fn reaches(&self, row: &Row, scope: Scope<'_>) -> bool {
        let reach = match self.role {
            Role::Owner => row.owner,
            Role::Admin => row.admin,
            Role::Staff => row.staff,
            Role::Viewer => row.viewer,
        };
        reach.covers(scope, &self.profiles)
    }
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// Who can open the state folder.
    Console,
    /// A user who signed in.
    Session {
        /// The user.
        member: Member,
        /// Key of the session.
        session: String,
        /// Where the request comes from.
        address: IpAddr,
    },
    /// A program with an API token.
    Token {
        /// The token's user.
        member: Member,
        /// Key of the token.
        token: String,
        /// What the token may be used for.
        scopes: Vec<TokenScope>,
        /// Where the request comes from.
        address: IpAddr,
    },
    /// A device whose user has not signed in.
    Device {
        /// Its address.
        address: IpAddr,
    },
}

impl Principal {
    /// Whether the action is allowed on what it reaches.
    pub fn may(&self, action: Action, scope: Scope<'_>) -> bool {
        let row = row(action);
        match self {
            Self::Console => true,
            Self::Session { member, .. } => member.reaches(&row, scope),
            Self::Token { member, scopes, .. } => {
                row.token.is_some_and(|needed| scopes.contains(&needed)) && member.reaches(&row, scope)
            }
            Self::Device { .. } => row.device.covers(scope, &[]),
        }
    }

    /// The user, where there is one.
    pub fn member(&self) -> Option<&Member> {
        match self {
            Self::Session { member, .. } | Self::Token { member, .. } => Some(member),
            Self::Console | Self::Device { .. } => None,
        }
    }

    /// Where the request comes from.
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Session { address, .. } | Self::Token { address, .. } | Self::Device { address } => {
                Some(*address)
            }
            Self::Console => None,
        }
    }

    /// What to write down beside a change: who made it.
    pub fn label(&self) -> String {
        match self {
            Self::Console => "console".to_owned(),
            Self::Session { member, .. } => member.name.clone(),
            Self::Token { member, .. } => format!("{} (token)", member.name),
            Self::Device { .. } => "device".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn member(role: Role) -> Member {
        Member {
            id: "1".to_owned(),
            name: "Ana".to_owned(),
            role,
            profiles: vec!["class-7a".to_owned()],
        }
    }

    fn signed_in(role: Role) -> Principal {
        Principal::Session {
            member: member(role),
            session: String::new(),
            address: HERE,
        }
    }

    /// Letters: `g` the gateway, `p` the named profile, `q` another profile, `o` roles owner and admin, `s` roles staff and
    /// viewer, `m` oneself, `r` a list that is filtered.
    fn reached(principal: &Principal, action: Action) -> String {
        let asked: [(char, &[Scope<'_>]); 7] = [
            ('g', &[Scope::Gateway]),
            ('p', &[Scope::Profile("class-7a")]),
            ('q', &[Scope::Profile("class-8b")]),
            ('o', &[Scope::Role(Role::Owner), Scope::Role(Role::Admin)]),
            ('s', &[Scope::Role(Role::Staff), Scope::Role(Role::Viewer)]),
            ('m', &[Scope::Own]),
            ('r', &[Scope::Reached]),
        ];
        let reached = asked.iter().filter_map(|(letter, scopes)| {
            let allowed: Vec<bool> = scopes.iter().map(|scope| principal.may(action, *scope)).collect();
            assert!(
                allowed.iter().all(|one| *one == allowed[0]),
                "{action:?} {letter}"
            );
            allowed[0].then_some(*letter)
        });
        reached.collect()
    }

    #[test]
    fn every_row_of_the_table_says_what_each_role_reaches() {
        const EVERYTHING: &str = "gpqosmr";
        //                         owner       admin       staff       viewer      device
        let expected: [(Action, [&str; 5]); 16] = [
            (
                Action::StatusRead,
                [EVERYTHING, EVERYTHING, EVERYTHING, EVERYTHING, ""],
            ),
            (
                Action::PolicyRead,
                [EVERYTHING, EVERYTHING, "pmr", EVERYTHING, ""],
            ),
            (Action::PolicyWrite, [EVERYTHING, EVERYTHING, "pmr", "", ""]),
            (Action::DeviceWrite, [EVERYTHING, EVERYTHING, "pmr", "", ""]),
            (Action::Relax, [EVERYTHING, EVERYTHING, "pmr", "", ""]),
            (Action::LogRead, [EVERYTHING, EVERYTHING, "pmr", EVERYTHING, ""]),
            (Action::ListWrite, [EVERYTHING, EVERYTHING, "", "", ""]),
            (Action::SettingsWrite, [EVERYTHING, EVERYTHING, "", "", ""]),
            (
                Action::ReportRead,
                [EVERYTHING, EVERYTHING, "pmr", EVERYTHING, ""],
            ),
            (Action::ReportSend, [EVERYTHING, EVERYTHING, EVERYTHING, "m", "m"]),
            (Action::OwnState, ["m", "m", "m", "m", "m"]),
            (Action::AskAccess, ["m", "m", "m", "m", "m"]),
            (Action::OwnAccount, ["m", "m", "m", "m", ""]),
            (Action::AccountsRead, [EVERYTHING, EVERYTHING, "", "", ""]),
            (Action::AccountsWrite, [EVERYTHING, "smr", "", "", ""]),
            (Action::Backup, [EVERYTHING, "", "", "", ""]),
        ];
        let device = Principal::Device { address: HERE };
        for (action, [owner, admin, staff, viewer, unknown]) in expected {
            for (role, expected) in Role::ALL.into_iter().zip([owner, admin, staff, viewer]) {
                assert_eq!(reached(&signed_in(role), action), expected, "{action:?} {role:?}");
            }
            assert_eq!(reached(&device, action), unknown, "{action:?} device");
            assert_eq!(
                reached(&Principal::Console, action),
                EVERYTHING,
                "{action:?} console"
            );
        }
        assert!(
            Action::ALL
                .iter()
                .all(|action| expected.iter().any(|(row, _)| row == action))
        );
    }

    #[test]
    fn a_token_may_what_its_scopes_say_and_its_user_may_and_never_touches_accounts() {
        let token = |role, scopes: &[TokenScope]| Principal::Token {
            member: member(role),
            token: String::new(),
            scopes: scopes.to_vec(),
            address: HERE,
        };
        let reads = token(Role::Owner, &[TokenScope::Read]);
        assert!(reads.may(Action::PolicyRead, Scope::Gateway));
        assert!(
            !reads.may(Action::PolicyWrite, Scope::Gateway) && !reads.may(Action::LogRead, Scope::Gateway)
        );
        let staff = token(Role::Staff, &[TokenScope::Relax]);
        assert!(staff.may(Action::Relax, Scope::Profile("class-7a")));
        assert!(
            !staff.may(Action::Relax, Scope::Profile("class-8b"))
                && !staff.may(Action::Relax, Scope::Gateway)
        );
        let viewer = token(Role::Viewer, &[TokenScope::PolicyWrite]);
        assert!(
            !viewer.may(Action::PolicyWrite, Scope::Gateway),
            "no more than its user"
        );
        let all = [
            TokenScope::Read,
            TokenScope::LogRead,
            TokenScope::PolicyWrite,
            TokenScope::DeviceWrite,
            TokenScope::Relax,
            TokenScope::ListWrite,
            TokenScope::Report,
        ];
        let strongest = token(Role::Owner, &all);
        for action in [
            Action::OwnAccount,
            Action::AccountsRead,
            Action::AccountsWrite,
            Action::Backup,
            Action::SettingsWrite,
        ] {
            assert_eq!(reached(&strongest, action), "", "{action:?}");
        }
    }
}
