//! Standing beside a scanner: films come in, wait in a durable queue, are read, and their results are kept and sent on.
//!
//! One folder OUT holds all of it: `queue.sqlite` (what waits and what became of it), `spool/` (what came in),
//! `<name>.json` and for DICOM `<name>.sr.dcm`, `.sc.dcm`, `.seg.dcm` (what was found), `audit.jsonl` (one line an
//! object). A film is on disk and in the queue before its sender hears success; results are renamed into place, the
//! JSON last. So the process may be killed at any moment: at the next start what was running is read again, or, where
//! its JSON is already there, taken as it is.

pub mod clock;
#[cfg(feature = "dicom")]
pub mod dimse;
pub mod disk;
#[cfg(feature = "dicom")]
pub mod forward;
pub mod http;
#[cfg(feature = "dicom")]
pub mod listen;
pub mod log;
pub mod names;
pub mod queue;
pub mod results;
mod retry;
mod run;
pub mod settings;
pub mod spool;
mod stop;
#[cfg(feature = "tls")]
pub mod tls;
pub mod watch;
mod worker;

pub use queue::Queue;
pub use retry::Retry;
pub use run::{Service, run};
pub use settings::Settings;
pub use stop::Stop;
