//! Heads on frozen features: fitted on train, chosen and calibrated on val.

pub mod age;
pub mod binary;
mod columns;
pub mod examples;
pub mod findings;
pub mod folder;
pub mod gate;
pub mod head;
pub mod knn;
mod linear;
pub mod logistic;
pub mod ood;
pub mod pose;
pub mod question;
pub mod ridge;
#[cfg(feature = "burn")]
pub mod segmentation;
pub mod sex;
pub mod softmax;
pub mod standardise;
pub mod strength;
pub mod task;
pub mod view;

pub use columns::Columns;
pub use examples::Examples;
pub use knn::Knn;
pub use linear::Linear;
pub use question::{Answer, Question, decide};
pub use task::Task;
