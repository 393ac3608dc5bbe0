//! Comprehensive SR after TID 1500 "Measurement Report" (PS3.16), one measurement group (TID 1501) a finding.

use dicom_core::VR;
use dicom_dictionary_std::{tags, uids};

use super::NOTICE;
use super::concept::{self, Concept, QUALITATIVE_EVALUATIONS, dcm, identify_schemes, own, sct, ucum};
use super::content::Relationship::{Contains, HasAcquisitionContext, HasConceptModifier, HasObservationContext};
use super::content::{code, container, identifier, image, number, template, words};
use super::dataset::{self, Object, items, text};
use super::modules::{Context, Kind};
use crate::Result;
use crate::output::json::Region;
use crate::probe::{Attributes, FindingResult};

const KIND: Kind = Kind {
    suffix: "sr",
    sop_class: uids::COMPREHENSIVE_SR_STORAGE,
    modality: "SR",
    series_number: "9101",
    series_description: "AI research output: findings",
};

const NO_UNITS: Concept = ucum("1", "no units");
const PROBABILITY: Concept = dcm("122157", "Probability");
const FINDING: Concept = dcm("121071", "Finding");
const SOURCE: Concept = sct("260753009", "Source");

pub(super) fn write(context: &Context) -> Result<Vec<u8>> {
    let mut object = context.object(KIND);
    identify_schemes(&mut object);
    text(&mut object, tags::COMPLETION_FLAG, VR::CS, "COMPLETE");
    text(&mut object, tags::VERIFICATION_FLAG, VR::CS, "UNVERIFIED");
    text(&mut object, tags::PRELIMINARY_FLAG, VR::CS, "PRELIMINARY");
    items(&mut object, tags::REFERENCED_PERFORMED_PROCEDURE_STEP_SEQUENCE, vec![]);
    items(&mut object, tags::PERFORMED_PROCEDURE_CODE_SEQUENCE, vec![]);
    items(&mut object, tags::CURRENT_REQUESTED_PROCEDURE_EVIDENCE_SEQUENCE, vec![context.evidence()]);

    let mut content = observer(context);
    content.push(code(
        HasConceptModifier,
        &dcm("121058", "Procedure reported"),
        &sct("399208008", "Plain chest X-ray"),
    ));
    content.push(library(context));
    content.push(measurements(context));
    content.push(evaluations(context));
    let mut document = container(None, &dcm("126000", "Imaging Measurement Report"), content);
    template(&mut document, "1500");
    for element in document {
        object.put(element);
    }
    dataset::file(object, KIND.suffix)
}

/// Language (TID 1204), and the model as a device that observes (TID 1001, 1004).
fn observer(context: &Context) -> Vec<Object> {
    let model = &context.answer.model;
    let name = format!("{} {} ({})", model.name, context.model_version(), context.software());
    let device = |number, meaning, value: &str| words(HasObservationContext, &dcm(number, meaning), value);
    vec![
        code(HasConceptModifier, &dcm("121049", "Language of Content Item and Descendants"), &concept::ENGLISH),
        code(HasObservationContext, &dcm("121005", "Observer Type"), &dcm("121007", "Device")),
        identifier(
            HasObservationContext,
            &dcm("121012", "Device Observer UID"),
            &super::uid::derive(&["device", &model.sha256, context.answer.engine.version]),
        ),
        device("121013", "Device Observer Name", &name),
        device("121014", "Device Observer Manufacturer", "rad-dino-edge"),
        device("121015", "Device Observer Model Name", &model.name),
        device("121016", "Device Observer Serial Number", &model.sha256),
    ]
}

/// Image Library (TID 1600): the source image.
fn library(context: &Context) -> Object {
    let modality = concept::modality(context.source.text((0x0008, 0x0060)).unwrap_or_default());
    let pixels = |number_: &'static str, meaning, value: u32| {
        number(HasAcquisitionContext, &dcm(number_, meaning), f64::from(value), &ucum("{pixels}", "pixels"))
    };
    let mut source = image(Contains, &SOURCE, context.reference());
    items(
        &mut source,
        tags::CONTENT_SEQUENCE,
        vec![
            code(HasAcquisitionContext, &dcm("121139", "Modality"), &modality),
            pixels("110910", "Pixel Data Rows", context.scan.height),
            pixels("110911", "Pixel Data Columns", context.scan.width),
        ],
    );
    let group = container(Some(Contains), &dcm("126200", "Image Library Group"), vec![source]);
    container(Some(Contains), &dcm("111028", "Image Library"), vec![group])
}

fn measurements(context: &Context) -> Object {
    let answer = context.answer;
    let mut groups: Vec<Object> = vec![];
    for finding in answer.findings.iter().flatten() {
        groups.push(group(context, &finding.label, &concept::finding(&finding.label), decision(finding)));
    }
    let estimates = estimates(&answer.attributes);
    if !estimates.is_empty() {
        groups.push(group(context, "estimates", &own("estimates", "Estimated from the image, not known"), estimates));
    }
    for region in answer.segmentation.iter().flatten() {
        groups.push(group(context, &region.label, &concept::region(&region.label), share(region)));
    }
    container(Some(Contains), &dcm("126010", "Imaging Measurements"), groups)
}

/// Measurement Group (TID 1501): what was looked for, by which algorithm (TID 4019), in which image.
fn group(context: &Context, label: &str, what: &Concept, results: Vec<Object>) -> Object {
    let model = &context.answer.model;
    let tracking = context.uid(&["tracking", label]);
    let algorithm = format!("{} ({})", model.name, model.precision.unwrap_or("foreign"));
    let version = format!("{} (sha256 {}), {}", context.model_version(), model.sha256, context.software());
    let mut content = vec![
        words(HasObservationContext, &dcm("112039", "Tracking Identifier"), label),
        identifier(HasObservationContext, &dcm("112040", "Tracking Unique Identifier"), &tracking),
        code(Contains, &FINDING, what),
        words(HasConceptModifier, &dcm("111001", "Algorithm Name"), &algorithm),
        words(HasConceptModifier, &dcm("111003", "Algorithm Version"), &version),
        image(Contains, &SOURCE, context.reference()),
    ];
    content.extend(results);
    let mut group = container(Some(Contains), &dcm("125007", "Measurement Group"), content);
    template(&mut group, "1501");
    group
}

fn decision(finding: &FindingResult) -> Vec<Object> {
    let decision = if finding.positive { sct("10828004", "Positive") } else { sct("260385009", "Negative") };
    vec![
        number(Contains, &PROBABILITY, finding.probability, &NO_UNITS),
        number(Contains, &own("threshold", "Threshold of the decision"), finding.threshold, &NO_UNITS),
        code(Contains, &own("decision", "Probability at or above the threshold"), &decision),
    ]
}

fn estimates(attributes: &Attributes) -> Vec<Object> {
    let mut content = vec![];
    if let Some(sex) = &attributes.sex {
        let female = sex.female >= 0.5;
        let (word, p) = if female {
            (sct("248152002", "Female"), sex.female)
        } else {
            (sct("248153007", "Male"), 1.0 - sex.female)
        };
        content.push(number(Contains, &own("sex-probability", "Probability of the estimated sex"), p, &NO_UNITS));
        content.push(code(Contains, &own("estimated-sex", "Sex estimated from the image"), &word));
    }
    if let Some(age) = attributes.age_years {
        content.push(number(Contains, &own("estimated-age", "Age estimated from the image"), age, &ucum("a", "year")));
    }
    if let Some(view) = &attributes.view {
        let name = own("view-probability", "Probability of the estimated view");
        content.push(number(Contains, &name, view.probability, &NO_UNITS));
        content.push(code(
            Contains,
            &own("estimated-view", "View estimated from the image"),
            &concept::view(&view.label),
        ));
    }
    content
}

fn share(region: &Region) -> Vec<Object> {
    vec![number(Contains, &own("area-fraction", "Share of the image's area"), region.area_fraction, &NO_UNITS)]
}

/// What is said in words: that this is research output, warnings, the report.
fn evaluations(context: &Context) -> Object {
    let mut content = vec![words(Contains, &dcm("121106", "Comment"), NOTICE)];
    for warning in &context.answer.warnings {
        content.push(words(Contains, &own("warning", "Warning"), &format!("{}: {}", warning.kind, warning.message)));
    }
    if let Some(report) = &context.answer.report {
        let name = own("report", "Report written by the model, not by a radiologist");
        content.push(words(Contains, &name, &format!("{}\n(source: {})", report.text, report.source)));
    }
    container(Some(Contains), &QUALITATIVE_EVALUATIONS, content)
}
