//! TLS: certificates, versions, certificates of clients.

use super::row::{ROW, Row, in_short_help, path, path_text, single};
use crate::settings::types::{CLIENT_AUTH, TLS_VERSIONS};
use crate::settings::value;

/// The certificate at the top, or of a `[[site]]`.
pub(super) static CERTIFICATE_ROWS: &[Row] = &[
    in_short_help(optional!(
        path,
        path_text,
        site.tls.cert,
        "tls.cert",
        "tls-cert",
        "FILE",
        "The certificate chain for endpoints tls://, in PEM",
        "The server's own certificate is the first in the file. Its names decide which clients get \
         it; clients that ask for a name without a certificate get the one at the top, or else \
         that of the first site. SIGHUP reads the file again."
    )),
    in_short_help(optional!(
        path,
        path_text,
        site.tls.key,
        "tls.key",
        "tls-key",
        "FILE",
        "The private key of the certificate, in PEM",
        "It is not encrypted, and only root or the server's user should be able to read it. None: \
         the key is in the file of the certificate."
    )),
];

/// What all certificates have in common.
pub(super) static TLS_ROWS: &[Row] = &[
    choice!(
        TLS_VERSIONS,
        tls.min,
        "tls.min",
        "tls-min",
        "VERSION",
        "The oldest version of TLS that is accepted: 1.2, 1.3",
        ""
    ),
    choice!(
        CLIENT_AUTH,
        tls.client_auth,
        "tls.client_auth",
        "tls-client-auth",
        "WHEN",
        "Whether clients need a certificate: off, ask, require",
        "ask: a client without one is served, one with an invalid one is not."
    ),
    optional!(
        path,
        path_text,
        tls.client_ca,
        "tls.client_ca",
        "tls-client-ca",
        "FILE",
        "The certificates that those of clients are verified by, in PEM",
        ""
    ),
    switch!(
        "true",
        tls.redirect,
        "tls.redirect",
        "tls-redirect",
        "",
        "Redirect requests without TLS at an endpoint tls:// to https://",
        "Otherwise the response is a 400 that says so."
    ),
];
