//! The paper's argument on one's own films: the same backbone, start, data and budget trained without labels, with
//! reports, with labels, and not at all; each frozen and probed.

pub mod arm;
pub mod config;
pub mod page;
pub mod plot;
pub mod questions;
pub mod run;

pub use arm::Arm;
pub use config::Config;
pub use run::{Request, run};
