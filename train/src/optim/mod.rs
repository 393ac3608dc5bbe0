//! AdamW with parameter groups, schedules per iteration, clipping by global norm.

pub mod adamw;
pub mod clip;
pub mod layer_decay;
pub mod learner;
pub mod param_groups;
pub mod parameters;
pub mod schedule;
