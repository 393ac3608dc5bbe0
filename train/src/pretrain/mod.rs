//! `pretrain`: self-supervised training from a TOML file, a manifest and, usually, a checkpoint.

pub mod budget;
pub mod checkup;
pub mod config;
pub mod curve;
pub mod device;
pub mod export;
pub mod films;
pub mod metrics;
pub mod replica;
pub mod run;
pub mod schedules;
pub mod sections;
pub mod start;
pub mod team;
pub mod trainer;
pub mod watch;

pub use config::Config;
