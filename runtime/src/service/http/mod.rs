//! `serve`: films in by HTTP, the object of `infer` out, and a page to look at them. Nothing is kept.
//!
//! A request passes [`guard`] (Host, Origin, token), takes a place in the [`gate`], brings its body within limits of size
//! and time, and waits for a slot; decoding, reading and drawing run on a blocking thread, the reader two at a time.

mod assets;
mod body;
mod gate;
mod guard;
mod health;
mod histogram;
mod infer;
mod metrics;
mod options;
mod pictures;
mod problem;
mod server;
mod settings;
mod state;
mod token;
mod worklist;

pub use server::serve;
pub use settings::Settings;
pub use token::Token;
pub use worklist::{Entry, Worklist};
