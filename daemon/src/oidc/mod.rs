//! Sign-in by a school's own service (OpenID Connect Core 1.0, authorization code with PKCE, RFC 7636).
//!
//! ```text
//!   browser ─▶ begin: state, nonce, verifier, bound to this browser ─▶ service ─▶ finish
//!   finish: state once, same browser ▶ code for tokens ▶ token verified ▶ claims ▶ role (mapping) ─▶ accounts
//! ```
//!
//! A token is taken only with a good signature by a key of the service, from this issuer, for this gateway, for this request,
//! and in time. Keys are fetched anew where one is not known, at most every half minute. Nothing that the service says makes a role that the
//! configuration does not name, and no account of the gateway's own is ever taken over by a name or an address.

mod error;
mod mapping;
#[doc(hidden)]
pub mod outside;
mod verify;

use std::collections::HashMap;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use openidconnect::core::{CoreAuthenticationFlow, CoreClient, CoreProviderMetadata};
use openidconnect::{
    AsyncHttpClient, AuthorizationCode, ClientId, ClientSecret, CsrfToken, HttpRequest, HttpResponse,
    IssuerUrl, Nonce, OAuth2TokenResponse as _, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, Scope,
    TokenResponse as _,
};
use serde_json::Value;

use crate::accounts::{Clock, Vouch};
use crate::config::Oidc;
use crate::http::{Client, HttpError, Limits};

pub use error::{OidcError, Told};

/// How long a sign-in may take at the service.
const PATIENCE: Duration = Duration::from_secs(600);
/// Sign-ins that wait for the service; the oldest makes room.
const MOST_WAITING: usize = 512;
/// Of these, begun from one address.
const MOST_WAITING_OF_ONE: usize = 32;
/// How long the service's description and keys are good.
const KNOWN_FOR: Duration = Duration::from_secs(3600);
/// Because of keys that are not known they are not fetched more often than this, whatever tokens say.
const FETCHED_EVERY: Duration = Duration::from_secs(30);
/// An answer of the service is no longer than this, octets.
const LARGEST: u64 = 1 << 18;

/// The service, and the sign-ins under way.
#[derive(Debug)]
pub struct Provider {
    settings: Oidc,
    secret: Option<ClientSecret>,
    way: Way,
    clock: Arc<dyn Clock>,
    known: tokio::sync::Mutex<Option<Known>>,
    waiting: Mutex<HashMap<String, Waiting>>,
}

/// The way to the service.
#[derive(Debug)]
struct Way(Client);

impl<'c> AsyncHttpClient<'c> for Way {
    type Error = HttpError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.0.exchange(request, Limits::SMALL.with_octets(LARGEST)))
    }
}

#[derive(Debug, Clone)]
struct Known {
    metadata: Arc<CoreProviderMetadata>,
    at: Duration,
    /// When they were last fetched because of an unknown key.
    anew: Option<Duration>,
}

#[derive(Debug)]
struct Waiting {
    nonce: Nonce,
    verifier: PkceCodeVerifier,
    /// Hash of what the browser's cookie says.
    browser: blake3::Hash,
    callback: String,
    address: IpAddr,
    at: Duration,
}

/// Where a browser is sent, and what it is to show when it comes back.
#[derive(Debug)]
pub struct Begun {
    /// The service's page.
    pub url: String,
    /// For a cookie.
    pub browser: String,
}

/// What the service sends a browser back with.
#[derive(Debug, Default, serde::Deserialize)]
pub struct Answer {
    /// The request that it answers.
    #[serde(default)]
    pub state: Option<String>,
    /// What tokens are given for.
    #[serde(default)]
    pub code: Option<String>,
    /// Why there is none.
    #[serde(default)]
    pub error: Option<String>,
    /// The same in words.
    #[serde(default)]
    pub error_description: Option<String>,
}

impl Provider {
    /// The service of these settings; an error says which file is wrong.
    pub fn new(settings: Oidc, client: Client, clock: Arc<dyn Clock>) -> Result<Self, String> {
        let secret = settings.secret()?;
        Ok(Self {
            settings,
            secret: secret.map(ClientSecret::new),
            way: Way(client),
            clock,
            known: tokio::sync::Mutex::default(),
            waiting: Mutex::default(),
        })
    }

    /// What stands on the button.
    pub fn name(&self) -> &str {
        let named = self.settings.name.as_deref();
        named.unwrap_or_else(|| self.settings.issuer.host())
    }

    /// Begins a sign-in; the service sends the browser back to `callback`.
    pub async fn begin(&self, callback: String, address: IpAddr) -> Result<Begun, OidcError> {
        let metadata = self.metadata(false).await?;
        let client = self.relying_party(&metadata);
        let redirect = RedirectUrl::new(callback.clone()).map_err(|_| OidcError::Unknown)?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let scopes = self.settings.scopes.iter().cloned().map(Scope::new);
        let (url, state, nonce) = client
            .authorize_url(
                CoreAuthenticationFlow::AuthorizationCode,
                CsrfToken::new_random,
                Nonce::new_random,
            )
            .set_redirect_uri(std::borrow::Cow::Owned(redirect))
            .add_scopes(scopes)
            .set_pkce_challenge(challenge)
            .url();
        let mut browser = [0; 32];
        getrandom::fill(&mut browser).map_err(|_| OidcError::Unknown)?;
        let browser = BASE64URL_NOPAD.encode(&browser);
        self.wait_for(
            state.secret().clone(),
            Waiting {
                nonce,
                verifier,
                browser: blake3::hash(browser.as_bytes()),
                callback,
                address,
                at: self.clock.steady(),
            },
        );
        Ok(Begun {
            url: url.to_string(),
            browser,
        })
    }

    fn wait_for(&self, state: String, new: Waiting) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|_, other| new.at.saturating_sub(other.at) < PATIENCE);
        let of_one = |other: &Waiting| other.address == new.address;
        if waiting.values().filter(|other| of_one(other)).count() >= MOST_WAITING_OF_ONE {
            let_oldest_go(&mut waiting, of_one);
        }
        if waiting.len() >= MOST_WAITING {
            let_oldest_go(&mut waiting, |_| true);
        }
        waiting.insert(state, new);
    }

    /// Ends a sign-in: who it is, and what the service's word makes of it. A request is answered once, in the browser that made it.
    pub async fn finish(&self, answer: Answer, browser: Option<&str>) -> Result<Vouch, OidcError> {
        let state = answer.state.as_deref().unwrap_or_default();
        let begun = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let shown = browser.map(|browser| blake3::hash(browser.as_bytes()));
            // Whoever lacks the cookie cannot use the request up either.
            let same = waiting
                .get(state)
                .is_some_and(|begun| shown == Some(begun.browser));
            same.then(|| waiting.remove(state)).flatten()
        };
        let begun = begun.ok_or(OidcError::Unknown)?;
        if self.clock.steady().saturating_sub(begun.at) >= PATIENCE {
            return Err(OidcError::Unknown);
        }
        if let Some(error) = answer.error {
            let words = answer.error_description.unwrap_or_default();
            return Err(OidcError::Denied(format!("{error} {words}")));
        }
        let code = answer.code.ok_or(OidcError::Unknown)?;
        let claims = self.redeem(code, begun).await?;
        mapping::vouch(&self.settings, &claims)
    }

    /// Claims of the tokens that the code is given for.
    async fn redeem(&self, code: String, begun: Waiting) -> Result<Value, OidcError> {
        let metadata = self.metadata(false).await?;
        let client = self.relying_party(&metadata);
        let redirect = RedirectUrl::new(begun.callback).map_err(|_| OidcError::Unknown)?;
        let tokens = client
            .exchange_code(AuthorizationCode::new(code))
            .map_err(|_| OidcError::Service("its description names no token endpoint".to_owned()))?
            .set_redirect_uri(std::borrow::Cow::Owned(redirect))
            .set_pkce_verifier(begun.verifier)
            .request_async(&self.way)
            .await
            .map_err(|error| error::of_exchange(&error))?;
        let Some(token) = tokens.id_token() else {
            return Err(OidcError::Token(
                "there is none; is the scope openid allowed?".to_owned(),
            ));
        };
        let now = self.clock.wall();
        let mut claims = match verify::verify(&client, &metadata, token, &begun.nonce, now) {
            Err(error) if verify::unknown_key(&error) => {
                // The service may have changed its keys since they were fetched.
                let metadata = self.metadata(true).await?;
                let client = self.relying_party(&metadata);
                verify::verify(&client, &metadata, token, &begun.nonce, now)
            }
            other => other,
        }
        .map_err(|error| OidcError::Token(verify::told(&error)))?;
        if mapping::lacks(&self.settings, &claims)
            && let Some(endpoint) = metadata.userinfo_endpoint()
        {
            let access = tokens.access_token().secret();
            self.ask_more(endpoint.url().as_str(), access, &mut claims)
                .await?;
        }
        Ok(claims)
    }

    /// Adds what the service says beside the token (section 5.3), where it speaks of the same user.
    async fn ask_more(&self, endpoint: &str, access: &str, claims: &mut Value) -> Result<(), OidcError> {
        let request = axum::http::Request::get(endpoint)
            .header("authorization", format!("Bearer {access}"))
            .header("accept", "application/json")
            .body(Vec::new())
            .map_err(|error| OidcError::Service(error.to_string()))?;
        let answer = self
            .way
            .call(request)
            .await
            .map_err(|error| OidcError::Service(error.to_string()))?;
        let more: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
        if !answer.status().is_success() || more.get("sub") != claims.get("sub") {
            return Err(OidcError::Service("it says nothing about this user".to_owned()));
        }
        if let (Some(claims), Value::Object(more)) = (claims.as_object_mut(), more) {
            for (name, value) in more {
                claims.entry(name).or_insert(value);
            }
        }
        Ok(())
    }

    /// The service's description and keys; `anew`: not those that are known, unless they are fresh.
    async fn metadata(&self, anew: bool) -> Result<Arc<CoreProviderMetadata>, OidcError> {
        let mut known = self.known.lock().await;
        let now = self.clock.steady();
        let last_anew = known.as_ref().and_then(|known| known.anew);
        let fresh = |known: &&Known| {
            let since = |at: Duration| now.saturating_sub(at);
            let wanted = anew && known.anew.is_none_or(|at| since(at) >= FETCHED_EVERY);
            !wanted && since(known.at) < KNOWN_FOR
        };
        if let Some(known) = known.as_ref().filter(fresh) {
            return Ok(known.metadata.clone());
        }
        let issuer = IssuerUrl::new(self.settings.issuer.as_str().to_owned())
            .map_err(|error| OidcError::Service(error.to_string()))?;
        let metadata = CoreProviderMetadata::discover_async(issuer, &self.way)
            .await
            .map_err(|error| error::of_discovery(&error))?;
        let metadata = Arc::new(metadata);
        *known = Some(Known {
            metadata: metadata.clone(),
            at: now,
            anew: if anew { Some(now) } else { last_anew },
        });
        Ok(metadata)
    }

    fn relying_party(&self, metadata: &CoreProviderMetadata) -> verify::RelyingParty {
        let id = ClientId::new(self.settings.client_id.clone());
        CoreClient::from_provider_metadata(metadata.clone(), id, self.secret.clone())
    }
}

fn let_oldest_go(waiting: &mut HashMap<String, Waiting>, of: impl Fn(&Waiting) -> bool) {
    let those = waiting.iter().filter(|(_, begun)| of(begun));
    let oldest = those
        .min_by_key(|(_, begun)| begun.at)
        .map(|(state, _)| state.clone());
    if let Some(oldest) = oldest {
        waiting.remove(&oldest);
    }
}
