//! The model file: its manifest, its loading, the embedded default.

pub mod manifest;

pub use manifest::Manifest;
