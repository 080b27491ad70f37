//! Accounts as a whole, with a clock in the hand.

use std::net::IpAddr;
use std::path::Path;

use super::clock::HandClock;
use super::session::csrf;
use super::*;
use crate::store::audit::Author;

const PASSWORD: &str = "three green apples";
const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));
const CHILD: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 9));
const LIFETIMES: Lifetimes = Lifetimes {
    idle: Duration::from_secs(3600),
    longest: Duration::from_secs(7200),
};

fn me() -> Author {
    Author::console()
}

struct House {
    accounts: Arc<Accounts>,
    clock: Arc<HandClock>,
    store: Store,
}

impl House {
    /// With an owner "Ana".
    fn new() -> Self {
        let house = Self::unclaimed();
        house.accounts.add(&new_user("Ana", Role::Owner), &me()).unwrap();
        house
    }

    fn unclaimed() -> Self {
        let store = Store::in_memory(Path::new("/nowhere"));
        let clock = Arc::new(HandClock::default());
        let accounts = Accounts::open(store.clone(), clock.clone(), LIFETIMES).unwrap();
        Self {
            accounts: Arc::new(accounts),
            clock,
            store,
        }
    }

    /// The same state after a restart.
    fn restarted(&self) -> Arc<Accounts> {
        Arc::new(Accounts::open(self.store.clone(), self.clock.clone(), LIFETIMES).unwrap())
    }

    async fn login(&self, name: &str, password: &str, code: Option<&str>) -> Result<SignedIn, AccountError> {
        self.accounts.login(shown(name, password, code, HOME)).await
    }

    fn id(&self, name: &str) -> String {
        self.accounts.id_of(name).unwrap()
    }
}

fn new_user(name: &str, role: Role) -> NewUser {
    NewUser {
        name: name.to_owned(),
        role,
        profiles: Vec::new(),
        language: Language::Sq,
        password: PASSWORD.to_owned(),
    }
}

fn shown(name: &str, password: &str, code: Option<&str>, address: IpAddr) -> Credentials {
    Credentials {
        name: name.to_owned(),
        password: password.to_owned(),
        code: code.map(str::to_owned),
        browser: None,
        address,
        agent: "Firefox".to_owned(),
    }
}

#[tokio::test]
async fn the_claim_code_makes_one_owner_and_works_once() {
    let house = House::unclaimed();
    let code = house.accounts.claim_code().unwrap();
    let from = || (HOME, "Firefox".to_owned());
    let new = new_user("Ana", Role::Owner);
    let wrong = house
        .accounts
        .claim_and_login("0000-0000".to_owned(), new.clone(), from())
        .await;
    assert!(matches!(wrong, Err(AccountError::WrongClaim)));
    let weak = NewUser {
        password: "short".to_owned(),
        ..new.clone()
    };
    let weak = house.accounts.claim_and_login(code.clone(), weak, from()).await;
    assert!(matches!(
        weak,
        Err(AccountError::Invalid {
            field: "password",
            ..
        })
    ));
    assert_eq!(house.accounts.claim_code().as_ref(), Some(&code), "not used up");
    let done = house
        .accounts
        .claim_and_login(code.clone(), new, from())
        .await
        .unwrap();
    assert_eq!(done.member.role, Role::Owner);
    assert!(house.accounts.claim_code().is_none());
    let second = house
        .accounts
        .claim_and_login(code.clone(), new_user("Ben", Role::Owner), from())
        .await;
    assert!(matches!(second, Err(AccountError::Claimed)));
    assert!(house.restarted().claim_code().is_none());
    let fresh = House::unclaimed().accounts.claim_code().unwrap();
    assert_ne!(fresh, code);
}

#[tokio::test]
async fn two_claims_at_the_same_time_make_one_owner() {
    let house = House::unclaimed();
    let code = house.accounts.claim_code().unwrap();
    let claim = |name: &str| {
        let from = (HOME, String::new());
        house
            .accounts
            .claim_and_login(code.clone(), new_user(name, Role::Owner), from)
    };
    let (one, other) = tokio::join!(claim("Ana"), claim("Ben"));
    assert!(one.is_ok() != other.is_ok());
    assert_eq!(house.accounts.users().len(), 1);
}

#[tokio::test]
async fn guesses_at_the_claim_code_are_slowed_down() {
    let house = House::unclaimed();
    let mut waits = 0;
    for _ in 0..30 {
        let new = new_user("Ana", Role::Owner);
        let claimed = house
            .accounts
            .claim_and_login("AAAA-AAAA".to_owned(), new, (CHILD, String::new()))
            .await;
        waits += usize::from(matches!(claimed, Err(AccountError::Wait(_))));
    }
    assert_eq!(waits, 24);
}

#[tokio::test]
async fn a_session_lives_while_it_is_used_and_not_for_ever() {
    let house = House::new();
    let session = house.login("ANA ", PASSWORD, None).await.unwrap().session;
    let alive = |accounts: &Accounts| accounts.by_session(&session, HOME).is_some();
    house.clock.pass(3600);
    assert!(alive(&house.accounts));
    house.clock.pass(3600);
    assert!(alive(&house.accounts), "used in between");
    assert!(!alive(&house.restarted()), "its use was not written down yet");
    house.accounts.tidy().unwrap();
    assert!(alive(&house.restarted()));
    house.clock.pass(1);
    assert!(!alive(&house.accounts), "older than two hours");
    house.accounts.tidy().unwrap();
    assert!(house.store.all(&SESSIONS).unwrap().is_empty());
    let session = house.login("Ana", PASSWORD, None).await.unwrap().session;
    house.clock.pass(-4000);
    assert!(
        house.accounts.by_session(&session, HOME).is_none(),
        "the clock was set back"
    );
    assert!(house.accounts.by_session("", HOME).is_none() && house.accounts.by_session("x", HOME).is_none());
}

#[tokio::test]
async fn secrets_are_not_in_the_state() {
    let house = House::new();
    let done = house.login("Ana", PASSWORD, None).await.unwrap();
    let id = house.id("Ana");
    let new = NewToken {
        name: "home assistant".to_owned(),
        scopes: vec![TokenScope::Read],
        days: None,
    };
    let (token, _) = house.accounts.make_token(&id, &new, &me()).unwrap();
    let all = format!(
        "{:?} {:?} {:?}",
        house.store.all(&USERS).unwrap(),
        house.store.all(&SESSIONS).unwrap(),
        house.store.all(&TOKENS).unwrap()
    );
    for secret in [PASSWORD, &done.session, &token] {
        assert!(!all.contains(secret), "{secret}");
    }
    assert_ne!(csrf(&done.session), done.session);
}

#[tokio::test]
async fn a_changed_password_ends_all_sessions_and_the_old_one_is_wrong() {
    let house = House::new();
    let one = house.login("Ana", PASSWORD, None).await.unwrap().session;
    let other = house.login("Ana", PASSWORD, None).await.unwrap().session;
    assert_ne!(one, other);
    house
        .accounts
        .set_password(&house.id("Ana"), "four yellow pears", &me(), |_| true)
        .unwrap();
    for session in [one, other] {
        assert!(house.accounts.by_session(&session, HOME).is_none());
    }
    assert!(matches!(
        house.login("Ana", PASSWORD, None).await,
        Err(AccountError::Wrong)
    ));
    house.login("Ana", "four yellow pears", None).await.unwrap();
}

#[tokio::test]
async fn a_child_that_guesses_locks_itself_out_and_nobody_else() {
    let house = House::new();
    let known = house.login("Ana", PASSWORD, None).await.unwrap().browser;
    let mut refused = 0;
    for _ in 0..8 {
        let guess = house
            .accounts
            .login(shown("ana", "1234567890", None, CHILD))
            .await;
        refused += usize::from(matches!(guess, Err(AccountError::Wait(_))));
    }
    assert_eq!(refused, 2);
    // The right password is not even looked at from there, a known browser's is, and that of other addresses too.
    let late = house.accounts.login(shown("Ana", PASSWORD, None, CHILD)).await;
    assert!(matches!(late, Err(AccountError::Wait(2..=3))), "{late:?}");
    let same_address = Credentials {
        browser: Some(known.clone()),
        ..shown("Ana", PASSWORD, None, CHILD)
    };
    let done = house.accounts.login(same_address).await.unwrap();
    assert_eq!(done.browser, known, "stays known");
    house.login("Ana", PASSWORD, None).await.unwrap();
    // A known browser of somebody else is a stranger.
    house.accounts.add(&new_user("Ben", Role::Viewer), &me()).unwrap();
    let other = Credentials {
        browser: Some(known),
        ..shown("Ben", PASSWORD, None, CHILD)
    };
    assert_eq!(
        house.accounts.place("Ben", other.browser.as_deref(), CHILD),
        Place::Address(CHILD)
    );
    house.clock.pass(3);
    house
        .accounts
        .login(shown("Ana", PASSWORD, None, CHILD))
        .await
        .unwrap();
}

#[tokio::test]
async fn unknown_names_are_answered_like_wrong_passwords() {
    let house = House::new();
    let unknown = house.login("nobody", PASSWORD, None).await.unwrap_err();
    let wrong = house.login("Ana", "wrong wrong wrong", None).await.unwrap_err();
    assert_eq!(unknown.to_string(), wrong.to_string());
    // The least of several: the machine has other work too.
    let took = |name: &str| {
        let once = |_| {
            let started = std::time::Instant::now();
            let _ = house.accounts.check_password(name, "wrong wrong wrong");
            started.elapsed()
        };
        (0..5).map(once).min().unwrap()
    };
    let (unknown, wrong) = (took("nobody"), took("Ana"));
    assert!(
        unknown * 4 > wrong && wrong * 4 > unknown,
        "{unknown:?} {wrong:?}"
    );
}

#[tokio::test]
async fn the_second_step_is_asked_for_after_the_password_and_each_code_works_once() {
    let house = House::new();
    let id = house.id("Ana");
    let enrolment = house.accounts.enrol(&id).unwrap();
    assert!(enrolment.uri.contains(&enrolment.secret));
    house.login("Ana", PASSWORD, None).await.unwrap(); // not in force yet
    let code = |now: i64| totp::tests::code(&enrolment.secret, now);
    let wrong = house.accounts.confirm_totp(&id, "000000", &me());
    assert!(matches!(wrong, Err(AccountError::Invalid { field: "code", .. })));
    let now = house.clock.wall();
    let recovery = house.accounts.confirm_totp(&id, &code(now), &me()).unwrap();
    assert!(
        house.accounts.enrol(&id).is_err() && house.accounts.confirm_totp(&id, &code(now), &me()).is_err()
    );

    assert!(matches!(
        house.login("Ana", PASSWORD, None).await,
        Err(AccountError::CodeNeeded)
    ));
    assert!(
        matches!(
            house.login("Ana", "wrong wrong", None).await,
            Err(AccountError::Wrong)
        ),
        "says nothing"
    );
    let used = house.login("Ana", PASSWORD, Some(&code(now))).await;
    assert!(
        matches!(used, Err(AccountError::Wrong)),
        "used when it was confirmed"
    );
    house.clock.pass(30);
    let next = code(house.clock.wall());
    house.login("Ana", PASSWORD, Some(&next)).await.unwrap();
    assert!(house.login("Ana", PASSWORD, Some(&next)).await.is_err());
    house.login("Ana", PASSWORD, Some(&recovery[3])).await.unwrap();
    assert!(house.login("Ana", PASSWORD, Some(&recovery[3])).await.is_err());
    let restarted = house.restarted();
    assert!(
        restarted
            .login(shown("Ana", PASSWORD, Some(&next), HOME))
            .await
            .is_err()
    );
    house.accounts.remove_totp(&id, &me(), |_| true).unwrap();
    house.login("Ana", PASSWORD, None).await.unwrap();
}

#[test]
fn there_is_always_an_owner_and_names_are_taken_once() {
    let house = House::new();
    let accounts = &house.accounts;
    let ana = house.id("ana");
    let change = |role| UserChange {
        role: Some(role),
        ..UserChange::default()
    };
    let last = accounts.alter(&ana, &change(Role::Viewer), &me(), |_| true);
    assert!(matches!(last, Err(AccountError::Conflict(_))));
    assert!(matches!(
        accounts.remove(&ana, &me(), |_| true),
        Err(AccountError::Conflict(_))
    ));
    assert!(matches!(
        accounts.add(&new_user(" ANA", Role::Admin), &me()),
        Err(AccountError::Conflict(_))
    ));
    for name in ["", " ", "a\nb", &"x".repeat(65)] {
        assert!(
            accounts.add(&new_user(name, Role::Admin), &me()).is_err(),
            "{name:?}"
        );
    }
    let ben = accounts.add(&new_user("Ben", Role::Owner), &me()).unwrap();
    accounts
        .alter(&ana, &change(Role::Viewer), &me(), |_| true)
        .unwrap();
    let renamed = UserChange {
        name: Some("ANA".to_owned()),
        profiles: Some(vec!["b".to_owned(), "a".to_owned(), "a".to_owned()]),
        ..UserChange::default()
    };
    let view = accounts.alter(&ana, &renamed, &me(), |_| true).unwrap().unwrap();
    assert_eq!((view.name.as_str(), view.profiles.len()), ("ANA", 2));
    assert!(
        accounts
            .alter(&ana, &renamed, &me(), |_| false)
            .unwrap()
            .is_none()
    );
    let taken = UserChange {
        name: Some("ben".to_owned()),
        ..UserChange::default()
    };
    assert!(accounts.alter(&ana, &taken, &me(), |_| true).is_err());
    assert!(matches!(
        accounts.remove(&ben.id, &me(), |_| true),
        Err(AccountError::Conflict(_))
    ));
    assert_eq!(house.restarted().users(), accounts.users());
}

#[tokio::test]
async fn tokens_expire_follow_their_user_and_go_with_it() {
    let house = House::new();
    let ben = house
        .accounts
        .add(&new_user("Ben", Role::Admin), &me())
        .unwrap()
        .id;
    let new = NewToken {
        name: "backup script".to_owned(),
        scopes: vec![TokenScope::PolicyWrite, TokenScope::Read, TokenScope::Read],
        days: Some(2),
    };
    let (token, view) = house.accounts.make_token(&ben, &new, &me()).unwrap();
    assert!(token.starts_with("isg_") && view.scopes.len() == 2);
    let may = |accounts: &Accounts| {
        let principal = accounts.by_token(&token, HOME)?;
        Some(principal.may(Action::PolicyWrite, Scope::Gateway))
    };
    assert_eq!(may(&house.restarted()), Some(true));
    let viewer = UserChange {
        role: Some(Role::Viewer),
        ..UserChange::default()
    };
    house.accounts.alter(&ben, &viewer, &me(), |_| true).unwrap();
    assert_eq!(may(&house.accounts), Some(false));
    house.clock.pass(2 * 86_400 - 1);
    assert_eq!(may(&house.accounts), Some(false));
    house.clock.pass(1);
    assert_eq!(may(&house.accounts), None);
    assert!(house.accounts.tokens(&ben).is_empty());
    let (second, _) = house.accounts.make_token(&ben, &new, &me()).unwrap();
    house.accounts.remove(&ben, &me(), |_| true).unwrap();
    assert!(house.accounts.by_token(&second, HOME).is_none());
    assert_eq!(house.accounts.by_token("isg_", HOME), None);
}

#[tokio::test]
async fn the_console_recovers_an_account_whatever_is_lost() {
    let house = House::new();
    let id = house.id("Ana");
    let enrolment = house.accounts.enrol(&id).unwrap();
    let code = totp::tests::code(&enrolment.secret, house.clock.wall());
    house.accounts.confirm_totp(&id, &code, &me()).unwrap();
    for _ in 0..10 {
        let _ = house.login("Ana", "wrong wrong wrong", None).await;
    }
    assert!(matches!(
        house.login("Ana", PASSWORD, None).await,
        Err(AccountError::Wait(_))
    ));
    house.accounts.recover("ana", "four yellow pears").unwrap();
    house.login("Ana", "four yellow pears", None).await.unwrap();
    assert!(matches!(
        house.accounts.recover("nobody", PASSWORD),
        Err(AccountError::Missing(_))
    ));
}

#[tokio::test]
async fn sessions_are_listed_bounded_and_ended_by_name() {
    let house = House::new();
    let id = house.id("Ana");
    let mut last = String::new();
    for _ in 0..25 {
        house.clock.pass(1);
        last = house.login("Ana", PASSWORD, None).await.unwrap().session;
    }
    let key = kept(&last);
    let sessions = house.accounts.sessions(&id, Some(&key));
    assert_eq!(sessions.len(), 20);
    assert!(sessions[0].this && sessions[1..].iter().all(|session| !session.this));
    house.accounts.end_session(&sessions[1].id).unwrap();
    assert!(house.accounts.end_session(&sessions[1].id).is_err() && house.accounts.end_session("").is_err());
    assert_eq!(house.accounts.session_user(&sessions[2].id), Some(id.clone()));
    house.accounts.end_other_sessions(&id, &key).unwrap();
    assert_eq!(house.accounts.sessions(&id, None).len(), 1);
    assert!(house.accounts.by_session(&last, HOME).is_some());
    assert_eq!(house.store.all(&SESSIONS).unwrap().len(), 1);
}
