//! Cookies (RFC 6265). Feature `cookies`.

use cookie::Cookie;
use http::header::{COOKIE, HeaderValue, SET_COOKIE};

use super::request::Request;
use super::response::Response;

impl Request {
    /// The value of the first cookie of this name, as the client sent it: quotes and percent
    /// escapes stay.
    ///
    /// # Examples
    /// ```
    /// use millpond::http::{Request, Response, StatusCode};
    ///
    /// fn show(req: &mut Request) -> Response {
    ///     match req.cookie("session") {
    ///         Some(id) => Response::text(format!("session {id}\n")),
    ///         None => Response::error(StatusCode::UNAUTHORIZED),
    ///     }
    /// }
    /// ```
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.cookie_pairs().find(|(other, _)| *other == name).map(|(_, value)| value)
    }

    /// The cookies that the client sent, in their order. Members of the field Cookie that are not
    /// `name=value` in UTF-8 are skipped.
    ///
    /// Their number is bounded by [`Limits::head`](crate::config::Limits::head). Each is only read
    /// when the iterator reaches it, and nothing is copied.
    ///
    /// # Examples
    /// ```
    /// use millpond::http::Request;
    ///
    /// let request = http::Request::builder().header("cookie", "theme=dark; junk; lang=en");
    /// let request = Request::from(request.body("".into()).unwrap());
    /// let names: Vec<_> = request.cookies().map(|cookie| cookie.name().to_owned()).collect();
    /// assert_eq!(names, ["theme", "lang"]);
    /// ```
    pub fn cookies(&self) -> impl Iterator<Item = Cookie<'_>> {
        self.cookie_pairs().map(Cookie::from)
    }

    /// The names and values of the cookies (RFC 6265 §4.2.1).
    fn cookie_pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        let members = self
            .headers()
            .get_all(COOKIE)
            .into_iter()
            .flat_map(|value| value.as_bytes().split(|&byte| byte == b';'));
        members.filter_map(|member| {
            let (name, value) = std::str::from_utf8(member).ok()?.split_once('=')?;
            let (name, value) = (name.trim_ascii(), value.trim_ascii());
            (!name.is_empty()).then_some((name, value))
        })
    }
}

impl Response {
    /// This response with a field Set-Cookie for this cookie (RFC 6265 §4.1), after those that it
    /// already has.
    ///
    /// Without [`path`](cookie::CookieBuilder::path), a browser keeps the cookie for the directory
    /// of the request. It sends the cookie over unencrypted connections, and shows it to scripts,
    /// unless it is [`secure`](cookie::CookieBuilder::secure) and
    /// [`http_only`](cookie::CookieBuilder::http_only).
    ///
    /// The response becomes a 500 if the name is not a token, or if the value, the path or the
    /// domain has a semicolon, a control character, or one beyond ASCII: a client would
    /// understand another cookie. The reason is logged. Encode such a value first.
    ///
    /// # Examples
    /// ```
    /// use millpond::http::Response;
    /// use millpond::http::cookie::{Cookie, SameSite};
    ///
    /// let session = Cookie::build(("session", "4711")).path("/").http_only(true);
    /// let response = Response::text("welcome\n").with_cookie(session.same_site(SameSite::Lax));
    /// let set = &response.headers()["set-cookie"];
    /// assert_eq!(set, "session=4711; HttpOnly; SameSite=Lax; Path=/");
    ///
    /// let response = Response::text("welcome\n").with_cookie(("theme", "dark"));
    /// assert_eq!(response.headers()["set-cookie"], "theme=dark");
    /// ```
    #[must_use]
    pub fn with_cookie<'c>(self, cookie: impl Into<Cookie<'c>>) -> Self {
        let cookie = cookie.into();
        match set_cookie(&cookie) {
            Some(value) => self.append_header(SET_COOKIE, value),
            None => self.into_failed(format_args!("invalid cookie {:?}", cookie.name())),
        }
    }

    /// This response with a field Set-Cookie that removes a cookie from the client (RFC 6265
    /// §3.1). The cookie needs the path and the domain with which it was set.
    ///
    /// # Examples
    /// ```
    /// use millpond::http::Response;
    /// use millpond::http::cookie::Cookie;
    ///
    /// let response = Response::redirect("/").without_cookie(Cookie::build("session").path("/"));
    /// let set = response.headers()["set-cookie"].to_str().unwrap();
    /// assert!(set.starts_with("session=; Path=/; Max-Age=0; Expires="), "{set}");
    /// ```
    #[must_use]
    pub fn without_cookie<'c>(self, cookie: impl Into<Cookie<'c>>) -> Self {
        let mut cookie = cookie.into();
        cookie.make_removal();
        self.with_cookie(cookie)
    }
}

/// The value of a field Set-Cookie; `None` if a client would understand another cookie.
fn set_cookie(cookie: &Cookie<'_>) -> Option<HeaderValue> {
    let is_token = http::HeaderName::try_from(cookie.name()).is_ok();
    let parts = [Some(cookie.value()), cookie.path(), cookie.domain()];
    let is_part = |part: &str| part.bytes().all(|b| (b' '..0x7f).contains(&b) && b != b';');
    let is_valid = is_token && parts.into_iter().flatten().all(is_part);
    is_valid.then(|| HeaderValue::try_from(cookie.to_string()).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(values: &[&[u8]]) -> Request {
        let mut request = http::Request::new("".into());
        for value in values {
            request.headers_mut().append(COOKIE, HeaderValue::from_bytes(value).unwrap());
        }
        Request::from(request)
    }

    #[test]
    fn cookies_are_found_and_malformed_ones_are_skipped() {
        let request = request(&[
            b"a=1; b=\"2\";c = 3 ;; =4; junk; d=\xff; a=5; e==6=; f=",
            b"g=\xe2\x82\xac",
        ]);
        let all: Vec<_> = request
            .cookies()
            .map(|cookie| (cookie.name().to_owned(), cookie.value().to_owned()))
            .collect();
        let expected = [
            ("a", "1"),
            ("b", "\"2\""),
            ("c", "3"),
            ("a", "5"),
            ("e", "=6="),
            ("f", ""),
            ("g", "€"),
        ];
        assert_eq!(all, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(request.cookie("a"), Some("1"));
        assert_eq!(request.cookie("f"), Some(""));
        assert_eq!(request.cookie("d"), None);
        assert_eq!(request.cookie("A"), None);
    }

    #[test]
    fn a_cookie_that_a_client_would_misunderstand_is_a_500() {
        for cookie in [
            Cookie::new("", "v"),
            Cookie::new("a=b", "v"),
            Cookie::new("a b", "v"),
            Cookie::new("a", "v; Domain=b"),
            Cookie::new("a", "v\r\nX: y"),
            Cookie::new("a", "€"),
            Cookie::build(("a", "v")).path("/;x").build(),
            Cookie::build(("a", "v")).domain("b\0").build(),
        ] {
            let response = Response::text("ok").with_cookie(cookie.clone());
            assert_eq!(response.status(), 500, "{cookie:?}");
            assert!(!response.headers().contains_key(SET_COOKIE), "{cookie:?}");
        }
    }

    #[test]
    fn each_cookie_has_a_field() {
        let response =
            Response::text("ok").with_cookie(("a", "{\"b\":1}")).with_cookie(("b", "2 3"));
        let values: Vec<_> = response.headers().get_all(SET_COOKIE).iter().collect();
        assert_eq!(values, ["a={\"b\":1}", "b=2 3"]);
    }
}
