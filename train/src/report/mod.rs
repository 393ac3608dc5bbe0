//! The report writer: cleaning, tokenizer, projector and decoder, trained on films and their reports.

pub mod batch;
pub mod clean;
pub mod compose;
pub mod config;
pub mod corpus;
pub mod findings;
pub mod image_tokens;
pub mod model;
pub mod rarity;
pub mod state;
pub mod tokenizer;
pub mod train;
pub mod weights;

pub use clean::{Cleaning, Removed};
pub use config::Config;
pub use corpus::Corpus;
pub use train::{Outcome, TrainJob};
