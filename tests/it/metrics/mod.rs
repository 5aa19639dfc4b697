//! The metrics for Prometheus: the texts are parsed strictly, and compared with what clients saw.

mod documented;
mod exposition;
mod names;
mod parser;
mod scrapes;
