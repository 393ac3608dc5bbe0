//! How a scan is to be read, where there is a choice.

use super::Limits;

/// How a scan is read. Limits alone are the options with everything else at its default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// What a file may cost.
    pub limits: Limits,
    /// Which grey levels of a DICOM picture become black and white.
    pub voi: Voi,
    /// Reads DICOM that is no single grey picture as well: the first frame of several, 8-bit colour as it is, grey
    /// where the photometric interpretation is missing or unknown.
    pub force_photometric: bool,
}

/// Values of interest of a DICOM picture (PS3.3, C.11.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Voi {
    /// The picture's own minimum and maximum, as RAD-DINO's own preprocessing does.
    #[default]
    None,
    /// The file's first VOI LUT, else its first window, else as [`Voi::None`].
    First,
}

impl From<&Limits> for Options {
    fn from(limits: &Limits) -> Options {
        Options { limits: *limits, ..Options::default() }
    }
}
