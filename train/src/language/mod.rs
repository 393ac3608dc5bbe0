//! The rival that reads: image and report encoders trained to find each other (CLIP), for `study`.

pub mod bert;
pub mod bert_folder;
pub mod matcher;
pub mod pairs;
pub mod reports;
pub mod text_encoder;
pub mod vocabulary;

pub use pairs::pair;
