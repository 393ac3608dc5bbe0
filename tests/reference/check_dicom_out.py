"""Reads back what `rad-dino-edge infer --dicom DIR` wrote, with other people's eyes.

    rad-dino-edge infer SCAN.dcm... --dicom DIR --format json > answers.jsonl
    python tests/reference/check_dicom_out.py answers.jsonl DIR

For each answer: pydicom reads the three objects, highdicom their structure (TID 1500 with its measurement groups; the
segmentation's frames and source); values, references, patient and study are compared with the answer and with the
source. `dciodvfy` (Debian dicom3tools) must find no error, `dsrdump` and `dcmdump` (dcmtk) must read every object;
a tool that is not installed is named and left out. Ends with 1 if anything is amiss.
Needs what requirements-dicom.txt names.
"""

import collections
import json
import pathlib
import shutil
import subprocess
import sys

import highdicom
import numpy as np
import pydicom
from pydicom.sr.codedict import codes

COPIED = ["PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyID", "AccessionNumber"]
# Labels without a code elsewhere are in our own scheme, which dciodvfy cannot know; the others are about what the source
# has no value for, or has in a form of its own.
HARMLESS = ["99RADDINOEDGE", "needed to build DICOMDIR", "Retired Person Name form", "Value dubious for this VR", "empty when actually unknown"]
TOOLS = collections.OrderedDict(dciodvfy=["sr", "sc", "seg"], dsrdump=["sr"], dcmdump=["sr", "sc", "seg"])


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def references(dataset):
    for element in dataset.iterall():
        if element.keyword == "ReferencedSOPInstanceUID":
            yield element.value


def common(dataset, source, seen):
    for keyword in COPIED:
        ours, theirs = dataset.get(keyword, ""), source.get(keyword, "")
        check(str(ours or "") == str(theirs or ""), f"{keyword}: {ours!r} for {theirs!r}")
    check(dataset.get("SpecificCharacterSet") == source.get("SpecificCharacterSet"), "SpecificCharacterSet")
    check(set(references(dataset)) == {source.SOPInstanceUID}, "references")
    for uid in dataset.SeriesInstanceUID, dataset.SOPInstanceUID:
        # Copies of one image, in another transfer syntax say, have one series; copies that give one answer, one instance.
        owner = source.SOPInstanceUID, dataset.Modality
        check(uid.is_valid and seen.setdefault(uid, owner) == owner, f"UID {uid} is used twice")
    check(dataset.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID, "meta")


def report(path, answer, source, seen):
    dataset = pydicom.dcmread(path)
    common(dataset, source, seen)
    document = highdicom.sr.srread(path)
    check(isinstance(document, highdicom.sr.ComprehensiveSR), "SOP class")
    root = document.content
    check(root[0].ContentTemplateSequence[0].TemplateIdentifier == "1500", "template")
    [device] = root.get_observer_contexts(observer_type=codes.DCM.Device)
    device = device.observer_identifying_attributes
    check(device.model_name == answer["model"]["name"], "device")
    check(device.serial_number == answer["model"]["sha256"], "serial number")
    groups = {g.tracking_identifier: g for g in root.get_image_measurement_groups()}
    check(len(groups) == len(answer["findings"]) + 1 + len(answer.get("segmentation", [])), "groups")
    for finding in answer["findings"]:
        group = groups[finding["label"]]
        values = {m.name.meaning: m.value for m in group.get_measurements()}
        check(values == {"Probability": finding["probability"], "Threshold of the decision": finding["threshold"]}, values)
        [decision] = [e.value for e in group.get_qualitative_evaluations() if "threshold" in e.name.meaning]
        check(decision == (codes.SCT.Positive if finding["positive"] else codes.SCT.Negative), "decision")
    age = [m.value for m in groups["estimates"].get_measurements() if "Age" in m.name.meaning]
    check(age == [answer["attributes"]["age_years"]], "age")
    words = [item.TextValue for item in root[0].ContentSequence[-1].ContentSequence]
    check("Not a medical device" in words[0], "notice")
    check("report" not in answer or any(answer["report"]["text"] in word for word in words), "report")
    check(all(any(w["message"] in word for word in words) for w in answer["warnings"]), "warnings")


def capture(path, answer, source, seen):
    dataset = pydicom.dcmread(path)
    common(dataset, source, seen)
    pixels = dataset.pixel_array
    check(pixels.shape == (dataset.Rows, dataset.Columns, 3) and pixels.dtype == np.uint8, "shape")
    check(pixels[-3:].max() == 0 and pixels.max() > 200, "the caption's band")
    check(dataset.get("BurnedInAnnotation") == source.get("BurnedInAnnotation"), "BurnedInAnnotation")


def segmentation(path, answer, source, seen):
    dataset = pydicom.dcmread(path)
    common(dataset, source, seen)
    segments = highdicom.seg.segread(path)
    labels = [segments.get_segment_description(n).segment_label for n in segments.segment_numbers]
    check(labels == [region["label"] for region in answer["segmentation"]], labels)
    masks = segments.get_pixels_by_source_instance([source.SOPInstanceUID], combine_segments=False)[0]
    check(masks.shape == (source.Rows, source.Columns, len(labels)), masks.shape)
    for n, region in enumerate(answer["segmentation"]):
        check(abs(masks[:, :, n].mean() - region["area_fraction"]) < 1e-6, "area")


def tools(path, suffix):
    for tool, suffixes in TOOLS.items():
        if suffix in suffixes and shutil.which(tool):
            run = subprocess.run([tool, path], capture_output=True, text=True, errors="replace")
            lines = (run.stdout + run.stderr).splitlines()
            amiss = [line for line in lines if line.startswith(("Error", "Warning", "E:", "W:")) and not any(h in line for h in HARMLESS)]
            check(run.returncode == 0 and not amiss, f"{tool}: {amiss[:3] or run.returncode}")


def main(answers, folder):
    missing = [tool for tool in TOOLS if not shutil.which(tool)]
    if missing:
        print(f"left out, not installed: {', '.join(missing)}")
    failed, checked, seen = 0, 0, {}
    for answer in map(json.loads, answers.read_text().splitlines()):
        if "error" in answer or answer["input"]["format"] != "dicom":
            continue
        source = pathlib.Path(answer["input"]["path"])
        data = pydicom.dcmread(source, stop_before_pixels=True)
        kinds = {"sr": report, "sc": capture, "seg": segmentation if "segmentation" in answer else None}
        for suffix, kind in kinds.items():
            if kind is None:
                continue
            path = folder / f"{source.stem}.{suffix}.dcm"
            checked += 1
            try:
                kind(path, answer, data, seen)
                tools(path, suffix)
            except Exception as error:
                failed += 1
                print(f"{path.name}: {type(error).__name__}: {error}")
    print(f"{checked} objects checked, {failed} amiss")
    return 1 if failed or not checked else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])))
