//! `distill`: a small student learns a trained encoder's features.
//!
//! The teacher is run once, by the engine, over fixed views of the films; its CLS and patch tokens stay in one mapped
//! file, so that an epoch costs the student alone. The student starts from the teacher's own blocks and ends rounding
//! to int8 as its file will.

pub mod basis;
pub mod config;
pub mod least_squares;
pub mod loss;
pub mod network;
mod progress;
pub mod project;
pub mod record;
pub mod run;
pub mod start;
pub mod teacher;
pub mod trainer;
pub mod views;

pub use config::Config;
pub use run::{Distillation, Request, Summary};
