//! What runs beside a scanner for months: HTTP with its page.

pub mod http;
