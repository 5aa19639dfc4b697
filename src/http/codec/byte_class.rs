//! Which bytes the grammar allows in a token, a request target and a field value.

const TOKEN_BYTE: u8 = 1;
const TARGET_BYTE: u8 = 2;
const VALUE_BYTE: u8 = 4;

/// The kinds of text that each byte may be part of.
static CLASS: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        if is_tchar(b) {
            table[byte] |= TOKEN_BYTE;
        }
        if b > b' ' && b < 0x7f && b != b'#' {
            table[byte] |= TARGET_BYTE;
        }
        if b == b'\t' || (b >= b' ' && b != 0x7f) {
            table[byte] |= VALUE_BYTE;
        }
        byte += 1;
    }
    table
}

const fn is_tchar(b: u8) -> bool {
    b.is_ascii_alphanumeric()
        || matches!(
            b,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

/// Whether a token may have this byte (RFC 9110 §5.6.2).
pub(crate) fn is_token_byte(byte: u8) -> bool {
    CLASS[byte as usize] & TOKEN_BYTE != 0
}

/// Whether a target may have this byte: visible ASCII but for `#` (RFC 9112 §3.2).
pub(crate) fn is_target_byte(byte: u8) -> bool {
    CLASS[byte as usize] & TARGET_BYTE != 0
}

/// Whether a field value may have this byte (RFC 9110 §5.5).
pub(crate) fn is_value_byte(byte: u8) -> bool {
    CLASS[byte as usize] & VALUE_BYTE != 0
}
