//! From a scan to `pixel_values`, exactly as Pillow and the Hugging Face `BitImageProcessor` do it.

mod config;

pub use config::Preprocessing;
