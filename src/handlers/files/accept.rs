//! The content codings that a client accepts (RFC 9110 §12.5.3). Pure functions.

use http::{HeaderMap, header};

use crate::http::accept::{Weight, weighted};

/// A content coding in which a compressed file may exist beside the plain one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Zstd,
    Brotli,
    Gzip,
}

impl Coding {
    pub(super) const ALL: [Self; 3] = [Self::Zstd, Self::Brotli, Self::Gzip];

    /// The name in Accept-Encoding and Content-Encoding.
    pub(super) fn token(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }

    /// The suffix of a compressed file's name.
    pub(super) fn suffix(self) -> &'static [u8] {
        match self {
            Self::Zstd => b".zst",
            Self::Brotli => b".br",
            Self::Gzip => b".gz",
        }
    }
}

/// The client's weight for each coding (RFC 9110 §12.5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Codings {
    identity: Weight,
    coded: [Weight; Coding::ALL.len()],
}

impl Codings {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let (mut identity, mut any) = (None, None);
        let mut coded = [None; Coding::ALL.len()];
        for (token, weight) in weighted(headers, &header::ACCEPT_ENCODING) {
            let is = |name: &str| token.eq_ignore_ascii_case(name.as_bytes());
            if is("identity") {
                identity = Some(weight);
            } else if is("*") {
                any = Some(weight);
            } else if let Some(place) = Coding::ALL
                .iter()
                .position(|coding| is(coding.token()) || (*coding == Coding::Gzip && is("x-gzip")))
            {
                coded[place] = Some(weight);
            }
        }
        // Unless the field names it, identity is acceptable, with a weight below every other.
        let identity = identity.unwrap_or(if any == Some(0) { 0 } else { 1 });
        Self { identity, coded: coded.map(|weight| weight.or(any).unwrap_or(0)) }
    }

    pub(super) fn weight(&self, coding: Option<Coding>) -> Weight {
        match coding {
            None => self.identity,
            Some(coding) => self.coded[coding as usize],
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;
    use crate::http::accept::MEMBERS_MAX;

    fn headers(name: &HeaderName, values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn codings_are_weighed_as_rfc_9110_12_5_3_says() {
        // Identity, zstd, br, gzip.
        let table: &[(&[&str], [Weight; 4])] = &[
            (&[], [1, 0, 0, 0]),
            (&[""], [1, 0, 0, 0]),
            (&["gzip, deflate, br, zstd"], [1, 1000, 1000, 1000]),
            (&["gzip;q=0.5, br;q=0.25"], [1, 0, 250, 500]),
            (&["gzip", "br;q=0.1"], [1, 0, 100, 1000]),
            (&["*"], [1, 1000, 1000, 1000]),
            (&["*;q=0"], [0, 0, 0, 0]),
            (&["gzip, *;q=0"], [0, 0, 0, 1000]),
            (&["identity;q=0.5, gzip;q=0.2"], [500, 0, 0, 200]),
            (&["identity;q=0, br"], [0, 0, 1000, 0]),
            (&["GZIP ; Q=0.001"], [1, 0, 0, 1]),
            (&["x-gzip"], [1, 0, 0, 1000]),
            (&["gzip;q=2, br;q=x, zstd;q=0.1234"], [1, 0, 0, 0]),
            (&[", ,gzip;q=1.000,"], [1, 0, 0, 1000]),
            (&["gzip;q=, br;q=1.001, zstd;q=0."], [1, 0, 0, 0]),
        ];
        for (values, [identity, coded @ ..]) in table {
            let codings = Codings::of(&headers(&header::ACCEPT_ENCODING, values));
            assert_eq!(codings, Codings { identity: *identity, coded: *coded }, "{values:?}");
        }
    }

    #[test]
    fn members_and_parameters_beyond_the_limits_are_ignored() {
        let codings = |value: &str| Codings::of(&headers(&header::ACCEPT_ENCODING, &[value]));
        let many = |n: usize| "a,".repeat(n);
        assert_eq!(codings(&(many(MEMBERS_MAX - 1) + "gzip")).coded, [0, 0, 1000]);
        assert_eq!(codings(&(many(MEMBERS_MAX) + "gzip")).coded, [0, 0, 0]);
        assert_eq!(codings(&(many(30_000) + "gzip")).coded, [0, 0, 0]);
        assert_eq!(codings(&format!("gzip{};q=0.5", ";a=b".repeat(9))).coded, [0, 0, 1000]);
    }
}
