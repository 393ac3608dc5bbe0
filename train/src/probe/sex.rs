//! The sex task: the logit of female.

use super::findings::yes_or_no;
use super::question::Question;
use crate::data::{Dataset, Sex};

/// The training and val films whose sex is known, from the sources that can teach it.
pub fn question(dataset: &Dataset) -> Question {
    yes_or_no(dataset, |film| film.row.sex.map(|sex| sex == Sex::Female))
}
