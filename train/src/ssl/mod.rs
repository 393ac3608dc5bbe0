//! DINOv2's self-supervised objective: heads, teacher targets, losses, crops and masks.

pub mod centering;
pub mod dino_head;
pub mod dino_loss;
pub mod ema;
pub mod ibot_loss;
pub mod koleo;
pub mod masking;
pub mod meta_arch;
pub mod multi_crop;
pub mod sinkhorn;
pub mod whitening;

pub use dino_head::{DinoHead, HeadWeights};
pub use meta_arch::Network;
