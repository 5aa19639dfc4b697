//! The other origins whose pages may read the responses: CORS, from the Fetch standard.

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
            return Err(Error::new(ErrorKind::Config, "the CORS origins contradict each other")
                .with_hint(
                    "expected `*` alone, or at least one origin such as https://example.com",
                ));
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

    /// Adds the fields that let the requesting page read the response, if its origin is allowed.
    pub(super) fn add_fields(&self, request: &HeaderMap, response: &mut HeaderMap) {
        if !self.any {
            // Caches must not send one origin's response to another origin.
            response.append(VARY, HeaderValue::from_static("Origin"));
        }
        if let Some(origin) = self.allowed_origin(request) {
            response.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            if let Some(expose) = &self.expose {
                response.insert(ACCESS_CONTROL_EXPOSE_HEADERS, expose.clone());
            }
        }
    }

    /// Adds the fields that a preflight requests to the response to OPTIONS. Browsers send
    /// preflights without credentials, so the handler requires none for them.
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

    /// The value of Access-Control-Allow-Origin; `None` if the origin is not allowed.
    fn allowed_origin(&self, request: &HeaderMap) -> Option<HeaderValue> {
        if self.any {
            return Some(HeaderValue::from_static("*"));
        }
        let origin = request.get(ORIGIN)?;
        self.origins.iter().find(|allowed_origin| *allowed_origin == origin).cloned()
    }
}

/// Parses an origin as browsers send it: scheme, host, optionally a port, and nothing after it.
fn parse_origin(text: &str) -> Result<HeaderValue, Error> {
    let authority = text.split_once("://").map(|(_, authority)| authority);
    let whole = authority.is_some_and(|host| !host.is_empty() && !host.contains(['/', '?', '#']));
    HeaderValue::from_str(text)
        .ok()
        .filter(|_| whole && text == text.to_ascii_lowercase())
        .ok_or_else(|| {
            Error::new(ErrorKind::Config, format!("invalid origin {text:?}")).with_hint(
                "expected an origin such as https://example.com:8443, in lower case, no slash after it",
            )
        })
}

fn field_names(names: &[String]) -> Result<Option<HeaderValue>, Error> {
    if let Some(bad) = names.iter().find(|name| name.parse::<HeaderName>().is_err()) {
        return Err(Error::new(ErrorKind::Config, format!("invalid field name {bad:?}"))
            .with_hint("expected letters, digits and hyphens"));
    }
    Ok(HeaderValue::from_str(&names.join(", ")).ok().filter(|value| !value.is_empty()))
}
