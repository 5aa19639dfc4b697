//! [`Allow`]: the methods of a path.

use http::{HeaderValue, Method};

/// The methods of a path, and the value of Allow that lists them.
pub(super) struct Allow {
    pub(super) methods: Vec<Method>,
    pub(super) value: HeaderValue,
}

impl Allow {
    pub(super) fn new() -> Self {
        Self { methods: Vec::new(), value: HeaderValue::from_static("") }
    }

    pub(super) fn add(&mut self, method: Method) {
        if self.methods.contains(&method) {
            return;
        }
        self.methods.push(method);
        self.methods.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
        let list = self.methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
        // A method is a token, so the value is valid.
        self.value = HeaderValue::try_from(list).unwrap_or(HeaderValue::from_static(""));
    }
}
