//! `generate`: a decoder alone, for checking and for play.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::options::Format;
use super::{Tally, json, print};
use crate::error::{Error, ErrorKind, Result};
use crate::report::decoder::{Decoder, Options, Search, Stop};

/// Continues tokens with a decoder, the most probable token first.
#[derive(Debug, Args)]
pub struct Generate {
    /// Decoder file of rad-dino-quantize decoder.
    #[arg(long, value_name = "FILE")]
    decoder: PathBuf,
    /// Tokens to continue.
    #[arg(long, value_name = "1,2,3", value_delimiter = ',', required = true)]
    tokens: Vec<u32>,
    /// Most tokens to write.
    #[arg(long, value_name = "N", default_value_t = 64)]
    max_new: usize,
    /// Keep this many texts side by side and give the best.
    #[arg(long, value_name = "WIDTH", conflicts_with = "temperature")]
    beams: Option<usize>,
    /// Draw tokens from their probabilities at this temperature instead of taking the most probable.
    #[arg(long, value_name = "T")]
    temperature: Option<f32>,
    /// Seed of the draw.
    #[arg(long, value_name = "S", default_value_t = 0, requires = "temperature")]
    seed: u64,
    /// text (as it is written) or json.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Serialize)]
struct Written {
    tokens: Vec<u32>,
    text: String,
    log_probabilities: Vec<f32>,
    stop: &'static str,
}

impl Generate {
    pub(super) fn run(&self) -> Result<Tally> {
        let decoder = Decoder::from_file(&self.decoder).map_err(|e| match e.kind() {
            ErrorKind::Io => Error::new(ErrorKind::Usage, e.message().to_string()).hint("check --decoder"),
            _ => e,
        })?;
        let search = match (self.beams, self.temperature) {
            (Some(width), _) => Search::Beam(width),
            (None, Some(temperature)) => Search::Sample { temperature, seed: self.seed },
            (None, None) => Search::Greedy,
        };
        let options = Options { search, max_new: self.max_new, stop_loops: false };
        let mut stream = Stream { decoder: &decoder, tokens: vec![], shown: 0 };
        let generated = decoder.generate(None, &self.tokens, &options, |token| {
            if self.format == Format::Text {
                stream.take(token);
            }
        })?;
        match self.format {
            Format::Text => print("")?,
            Format::Json => {
                let text = decoder.tokenizer().map_or_else(String::new, |t| t.decode(&generated.tokens));
                let stop = match generated.stop {
                    Stop::End => "end",
                    Stop::Length => "length",
                    Stop::Loop => "loop",
                };
                let log_probabilities = generated.log_probabilities;
                print(&json(&Written { tokens: generated.tokens, text, log_probabilities, stop })?)?;
            }
        }
        Ok(Tally { done: 1, failed: 0 })
    }
}

/// Shows text as it grows; without a tokenizer the tokens' numbers.
struct Stream<'a> {
    decoder: &'a Decoder,
    tokens: Vec<u32>,
    shown: usize,
}

impl Stream<'_> {
    fn take(&mut self, token: u32) {
        self.tokens.push(token);
        let text = match self.decoder.tokenizer() {
            Some(tokenizer) => tokenizer.decode(&self.tokens),
            None => self.tokens.iter().map(u32::to_string).collect::<Vec<_>>().join(" "),
        };
        // half a character waits for its other half
        let whole = text.trim_end_matches(char::REPLACEMENT_CHARACTER);
        if let Some(new) = whole.get(self.shown..) {
            let mut stdout = std::io::stdout().lock();
            let written = stdout.write_all(new.as_bytes()).and_then(|()| stdout.flush());
            if written.is_err_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe) {
                std::process::exit(0);
            }
            self.shown = whole.len();
        }
    }
}
