//! What all requests share.

use std::sync::atomic::AtomicBool;

use super::gate::Gate;
use super::metrics::Metrics;
use super::{Settings, Worklist};
use crate::output::json::{EngineInfo, Model};
use crate::reader::Reader;
use crate::service::clock;

/// One running service.
pub(super) struct House {
    pub reader: Reader,
    /// Of the reader.
    pub model: Model,
    /// Of the reader.
    pub engine: EngineInfo,
    /// The findings' labels, of the reader.
    pub findings: Vec<String>,
    /// The masks' labels, of the reader.
    pub segmentation: Vec<String>,
    pub settings: Settings,
    pub gate: Gate,
    pub metrics: Metrics,
    pub worklist: Option<Box<dyn Worklist>>,
    /// Milliseconds since 1970.
    pub started: i64,
    pub closing: AtomicBool,
}

impl House {
    pub fn new(reader: Reader, settings: Settings, worklist: Option<Box<dyn Worklist>>) -> House {
        // All threads have a film, and one more is decoded or written about while the engine has them all. With fewer they
        // idle between films; more would only take threads from the films in the engine, and overtake each other before it.
        let slots = reader.engine().threads() + 1;
        let bytes = settings.limits.max_file_bytes.saturating_mul(2);
        let heads = &reader.manifest().heads;
        House {
            findings: heads.findings.iter().map(|finding| finding.label.clone()).collect(),
            segmentation: heads.segmentation.clone(),
            model: reader.model(),
            engine: EngineInfo::new(reader.engine()),
            reader,
            gate: Gate::new(settings.places, slots, bytes),
            settings,
            metrics: Metrics::default(),
            worklist,
            started: clock::now(),
            closing: AtomicBool::new(false),
        }
    }
}
