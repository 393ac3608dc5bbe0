//! `preprocessor_config.json`, in and out.

use serde_json::{Map, Value, json};

use super::Preprocessing;
use crate::{Error, ErrorKind, Result};

/// Processors that resize, crop, rescale and normalise in this order, with bicubic as their default.
const PROCESSORS: [&str; 6] = [
    "BitImageProcessor",
    "BitImageProcessorFast",
    "BitImageProcessorPil",
    "CLIPImageProcessor",
    "CLIPImageProcessorFast",
    "CLIPImageProcessorPil",
];
const BICUBIC: u64 = 3;

impl Preprocessing {
    /// Reads a Hugging Face `preprocessor_config.json`.
    ///
    /// Switches that are absent count as on and `rescale_factor` as 1/255, as `BitImageProcessor` has it. Sizes, mean
    /// and standard deviation are never assumed.
    ///
    /// # Errors
    /// `Checkpoint`, naming the key, when a key is missing, misshapen or asks for what this build does not do: no
    /// resizing, no crop, a resize that changes the aspect ratio, another filter than bicubic.
    pub fn from_json(text: &str) -> Result<Preprocessing> {
        let config: Map<String, Value> = serde_json::from_str(text).map_err(|e| refused(e.to_string()).source(e))?;
        check_filter(&config)?;
        let rescale_factor = if !switch(&config, "do_rescale")? {
            1.0
        } else {
            config
                .get("rescale_factor")
                .map_or(Some(1.0 / 255.0), Value::as_f64)
                .ok_or_else(|| wrong("rescale_factor"))?
        };
        let (image_mean, image_std) = if switch(&config, "do_normalize")? {
            (triple(&config, "image_mean")?, triple(&config, "image_std")?)
        } else {
            ([0.0; 3], [1.0; 3])
        };
        let preprocessing = Preprocessing {
            shortest_edge: shortest_edge(&config)?,
            crop_size: crop_size(&config)?,
            rescale_factor,
            image_mean,
            image_std,
        };
        match preprocessing.problem() {
            None => Ok(preprocessing),
            Some(problem) => Err(refused(problem)),
        }
    }

    /// The same as a `preprocessor_config.json` of a `BitImageProcessor`.
    pub fn to_json(&self) -> String {
        let config = json!({
            "image_processor_type": "BitImageProcessor",
            "do_convert_rgb": true,
            "do_resize": true,
            "size": { "shortest_edge": self.shortest_edge },
            "resample": BICUBIC,
            "do_center_crop": true,
            "crop_size": { "height": self.crop_size, "width": self.crop_size },
            "do_rescale": true,
            "rescale_factor": self.rescale_factor,
            "do_normalize": true,
            "image_mean": self.image_mean,
            "image_std": self.image_std,
        });
        format!("{config:#}\n")
    }
}

fn refused(problem: impl Into<String>) -> Error {
    Error::new(ErrorKind::Checkpoint, format!("preprocessor_config.json: {}", problem.into()))
        .hint("use the preprocessor_config.json of a DINOv2 or RAD-DINO folder")
}

fn wrong(key: &str) -> Error {
    refused(format!("{key} is missing or misshapen"))
}

fn switch(config: &Map<String, Value>, key: &str) -> Result<bool> {
    config.get(key).map_or(Some(true), Value::as_bool).ok_or_else(|| wrong(key))
}

fn check_filter(config: &Map<String, Value>) -> Result<()> {
    let processor = config.get("image_processor_type").and_then(Value::as_str);
    let known = processor.is_none_or(|p| PROCESSORS.contains(&p));
    match config.get("resample") {
        Some(value) if value.as_u64() == Some(BICUBIC) => Ok(()),
        Some(value) => Err(refused(format!("resample is {value}, only bicubic (3) is read"))),
        None if known => Ok(()),
        None => Err(refused(format!("resample is missing, and {} has its own default", processor.unwrap_or_default()))),
    }
}

fn shortest_edge(config: &Map<String, Value>) -> Result<usize> {
    if !switch(config, "do_resize")? {
        return Err(refused("do_resize is false, but scans of any size must fit the model"));
    }
    let size = config.get("size").ok_or_else(|| wrong("size"))?;
    if size.get("longest_edge").is_some_and(|v| !v.is_null()) {
        return Err(refused("size.longest_edge is not read, only size.shortest_edge"));
    }
    if size.get("height").is_some() || size.get("width").is_some() {
        return Err(refused("size.height and size.width would squash the scan, only size.shortest_edge is read"));
    }
    side(size.get("shortest_edge").unwrap_or(size)).ok_or_else(|| wrong("size.shortest_edge"))
}

fn crop_size(config: &Map<String, Value>) -> Result<usize> {
    if !switch(config, "do_center_crop")? {
        return Err(refused("do_center_crop is false, but the model wants square pictures"));
    }
    let size = config.get("crop_size").ok_or_else(|| wrong("crop_size"))?;
    let (height, width) = (size.get("height").unwrap_or(size), size.get("width").unwrap_or(size));
    if height != width {
        return Err(refused(format!("crop_size is {height}×{width}, the model wants square pictures")));
    }
    side(height).ok_or_else(|| wrong("crop_size"))
}

fn side(value: &Value) -> Option<usize> {
    usize::try_from(value.as_u64()?).ok()
}

/// A list of three numbers, or one number for all channels.
fn triple(config: &Map<String, Value>, key: &str) -> Result<[f64; 3]> {
    let read = |value: &Value| match value {
        Value::Array(list) => match list.as_slice() {
            [r, g, b] => Some([r.as_f64()?, g.as_f64()?, b.as_f64()?]),
            _ => None,
        },
        one => one.as_f64().map(|v| [v; 3]),
    };
    config.get(key).and_then(read).ok_or_else(|| wrong(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RAD_DINO: &str = r#"{"crop_size":{"height":518,"width":518},"do_center_crop":true,"do_convert_rgb":true,
        "do_normalize":true,"do_rescale":true,"do_resize":true,"image_mean":[0.5307,0.5307,0.5307],
        "image_processor_type":"BitImageProcessor","image_std":[0.2583,0.2583,0.2583],"resample":3,
        "rescale_factor":0.00392156862745098,"size":{"shortest_edge":518}}"#;

    /// RAD_DINO with `key` replaced, or removed when `value` is null.
    fn with(key: &str, value: Value) -> Result<Preprocessing> {
        let mut config: Map<String, Value> = serde_json::from_str(RAD_DINO).unwrap();
        match value {
            Value::Null => config.remove(key),
            value => config.insert(key.to_string(), value),
        };
        Preprocessing::from_json(&Value::Object(config).to_string())
    }

    #[test]
    fn reads_and_writes() {
        let p = Preprocessing::from_json(RAD_DINO).unwrap();
        assert_eq!((p.shortest_edge, p.crop_size, p.rescale_factor), (518, 518, 1.0 / 255.0));
        assert_eq!((p.image_mean, p.image_std), ([0.5307; 3], [0.2583; 3]));
        assert_eq!(Preprocessing::from_json(&p.to_json()).unwrap(), p);
    }

    #[test]
    fn other_spellings() {
        let p = Preprocessing::from_json(RAD_DINO).unwrap();
        for (key, value) in [
            ("size", json!(518)),
            ("crop_size", json!(518)),
            ("image_mean", json!(0.5307)),
            ("do_resize", Value::Null),
            ("resample", Value::Null),
            ("rescale_factor", Value::Null),
            ("image_processor_type", Value::Null),
        ] {
            assert_eq!(with(key, value).unwrap(), p, "{key}");
        }
        assert_eq!(with("do_rescale", json!(false)).unwrap().rescale_factor, 1.0);
        let plain = with("do_normalize", json!(false)).unwrap();
        assert_eq!((plain.image_mean, plain.image_std), ([0.0; 3], [1.0; 3]));
    }

    #[test]
    fn refusals_name_the_key() {
        for (key, value) in [
            ("size", Value::Null),
            ("size", json!("518")),
            ("size", json!({"height": 518, "width": 518})),
            ("size", json!({"shortest_edge": 518, "longest_edge": 600})),
            ("crop_size", Value::Null),
            ("crop_size", json!({"height": 518, "width": 224})),
            ("crop_size", json!({"height": -1, "width": -1})),
            ("crop_size", json!(100_000)),
            ("resample", json!(2)),
            ("do_resize", json!(false)),
            ("do_center_crop", json!(false)),
            ("do_normalize", json!("yes")),
            ("image_mean", Value::Null),
            ("image_std", json!([0.2, 0.2])),
            ("image_std", json!([0.2, 0.0, 0.2])),
            ("rescale_factor", json!("1/255")),
        ] {
            let error = with(key, value).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Checkpoint);
            assert!(error.message().contains(key), "{key}: {error}");
        }
        assert_eq!(Preprocessing::from_json("[1]").unwrap_err().kind(), ErrorKind::Checkpoint);
        assert_eq!(Preprocessing::from_json("").unwrap_err().kind(), ErrorKind::Checkpoint);
    }
}
