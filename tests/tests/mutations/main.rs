//! Damaged files at every door: each is answered or refused in words. Nothing panics, nothing takes memory beyond its limit.

mod checkpoints;
mod door;
mod films;
mod models;
mod texts;
