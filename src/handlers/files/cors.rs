//! Which other origins' pages may read the answers: CORS, from the Fetch standard.

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN,
    VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::options::Cors;
use super::respond::METHODS;
use crate::error::{Error, ErrorKind};

/// The compiled options.
#[derive(Debug)]
pub(super) struct CorsPolicy {
    any: bool,
    origins: Vec<HeaderValue>,
    allow: Option<HeaderValue>,
    expose: Option<HeaderValue>,
    max_age: HeaderValue,
}

impl CorsPolicy {
    pub(super) fn new(cors: &Cors) -> Result<Self, Error> {
        let any = cors.origins.iter().any(|origin| origin == "*");
        if cors.origins.is_empty() || (any && cors.origins.len() > 1) {
            return Err(Error::new(
                ErrorKind::Config,
                "the origins for CORS contradict each other",
            )
            .with_hint("give `*` alone, or at least one origin such as https://example.com"));
        }
        let origins = if any { &[][..] } else { &cors.origins[..] };
        Ok(Self {
            any,
            origins: origins.iter().map(|origin| parse_origin(origin)).collect::<Result<_, _>>()?,
            allow: field_names(&cors.allow_headers)?,
            expose: field_names(&cors.expose_headers)?,
            max_age: HeaderValue::from(cors.max_age.as_secs()),
        })
    }

    /// Says on an answer whether the page that asked may read it.
    pub(super) fn add_fields(&self, request: &HeaderMap, response: &mut HeaderMap) {
        if !self.any {
            // Caches must not give one origin's answer to another.
            response.append(VARY, HeaderValue::from_static("Origin"));
        }
        if let Some(origin) = self.allowed_origin(request) {
            response.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            if let Some(expose) = &self.expose {
                response.insert(ACCESS_CONTROL_EXPOSE_HEADERS, expose.clone());
            }
        }
    }

    /// Adds to the answer to OPTIONS what a preflight asks for. It comes without credentials, and
    /// is answered without asking for any.
    pub(super) fn add_preflight_fields(&self, request: &HeaderMap, response: &mut HeaderMap) {
        if self.allowed_origin(request).is_none()
            || !request.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
        {
            return;
        }
        let methods = HeaderValue::from_static(METHODS);
        response.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
        if let Some(allow) = &self.allow {
            response.insert(ACCESS_CONTROL_ALLOW_HEADERS, allow.clone());
        }
        response.insert(ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
    }

    /// The value of Access-Control-Allow-Origin; `None` if it is nobody's who may.
    fn allowed_origin(&self, request: &HeaderMap) -> Option<HeaderValue> {
        if self.any {
            return Some(HeaderValue::from_static("*"));
        }
        let origin = request.get(ORIGIN)?;
        self.origins.iter().find(|allowed_origin| *allowed_origin == origin).cloned()
    }
}

/// An origin as browsers send it: scheme, host, perhaps a port, and nothing after it.
fn parse_origin(text: &str) -> Result<HeaderValue, Error> {
    let authority = text.split_once("://").map(|(_, authority)| authority);
    let whole = authority.is_some_and(|host| !host.is_empty() && !host.contains(['/', '?', '#']));
    HeaderValue::from_str(text)
        .ok()
        .filter(|_| whole && text == text.to_ascii_lowercase())
        .ok_or_else(|| {
            Error::new(ErrorKind::Config, format!("{text:?} is no origin")).with_hint(
                "an origin is like https://example.com:8443, in lower case, no slash after it",
            )
        })
}

fn field_names(names: &[String]) -> Result<Option<HeaderValue>, Error> {
    if let Some(bad) = names.iter().find(|name| name.parse::<HeaderName>().is_err()) {
        return Err(Error::new(ErrorKind::Config, format!("{bad:?} is no name of a field"))
            .with_hint("a name has letters, digits and hyphens"));
    }
    Ok(HeaderValue::from_str(&names.join(", ")).ok().filter(|value| !value.is_empty()))
}
