//! What DIMSE (PS3.7) and DICOM files (PS3.10) need beside the upper layer: commands, file meta information, the objects
//! and codings this build takes.

mod classes;
mod command;
mod meta;
mod scu;

pub use classes::{SOP_CLASSES, TRANSFER_SYNTAXES, VERIFICATION};
pub use command::{C_ECHO, C_STORE, Command, status};
pub use meta::Meta;
pub use scu::{Failure, Scu};
