//! `serve` as clients, attackers and browsers meet it, with the embedded model.
#![cfg(all(feature = "service", feature = "embedded-model", unix))]

mod answers;
mod defences;
mod house;
mod http;
mod limits;
mod openapi;
mod page;
mod schema;
mod watching;
