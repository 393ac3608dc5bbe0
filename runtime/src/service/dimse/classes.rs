//! What is taken in: SOP classes that hold films, transfer syntaxes that the scan reader decodes.

/// Verification SOP class (PS3.4, annex A).
pub const VERIFICATION: &str = "1.2.840.10008.1.1";

/// Storage SOP classes (PS3.4, B.5).
pub const SOP_CLASSES: [&str; 6] = [
    // Computed Radiography Image
    "1.2.840.10008.5.1.4.1.1.1",
    // Digital X-Ray Image, for presentation and for processing
    "1.2.840.10008.5.1.4.1.1.1.1",
    "1.2.840.10008.5.1.4.1.1.1.1.1",
    // Secondary Capture Image, and multi-frame grey of 8 and 16 bits, of which one frame is read
    "1.2.840.10008.5.1.4.1.1.7",
    "1.2.840.10008.5.1.4.1.1.7.2",
    "1.2.840.10008.5.1.4.1.1.7.3",
];

/// JPEG extended (1.2.840.10008.1.2.4.51) is left out: of its 12-bit form no decoder reads a thing, and a sender whose
/// offer is refused may send another one.
pub const TRANSFER_SYNTAXES: [&str; 12] = [
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.2",
    "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.5",
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.57",
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.81",
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.4.91",
];
