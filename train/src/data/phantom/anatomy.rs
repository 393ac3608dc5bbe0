//! The measures of one synthetic patient on one film.

use crate::data::{Sex, View};
use crate::random::Random;

/// Lengths are shares of the film's side. The patient's right is on the left of the image.
#[derive(Clone, Debug, PartialEq)]
pub struct Anatomy {
    /// Sex.
    pub sex: Sex,
    /// Years.
    pub age: f64,
    /// Projection.
    pub view: View,
    /// x of the midline.
    pub midline: f64,
    /// y of the lung apices.
    pub apex: f64,
    /// y of the domes of the diaphragm, right and left.
    pub dome: [f64; 2],
    /// y of the costophrenic angles.
    pub base: f64,
    /// Largest distance of the lung's outer border from the midline.
    pub width: f64,
    /// Heart's transverse diameter / the chest's inner diameter.
    pub cardiothoracic_ratio: f64,
    /// Distance of the heart's axis from the vertical, radians.
    pub heart_tilt: f64,
    /// Radius of the aortic knob.
    pub aorta: f64,
    /// Attenuation of bone.
    pub bone: f64,
    /// Height of a rib's band.
    pub rib: f64,
    /// Distance between ribs.
    pub rib_spacing: f64,
    /// How steeply ribs fall sideways.
    pub rib_slope: f64,
    /// Attenuation of the breasts, 0 for none.
    pub breast: f64,
    /// Half the torso's width.
    pub torso: f64,
    /// Thickness of soft tissue, 1 on average.
    pub tissue: f64,
    /// Seed of textures.
    pub texture: u64,
}

impl Anatomy {
    /// A patient; sex, age and view shape everything else.
    pub fn draw(random: &mut Random) -> Self {
        let sex = if random.chance(0.5) { Sex::Female } else { Sex::Male };
        let age = random.range(18.0, 92.0).floor();
        let view = if random.chance(0.3 + 0.3 * (age - 18.0) / 74.0) { View::Ap } else { View::Pa };
        Anatomy::of(random, sex, age, view)
    }

    /// A patient of given sex, age and view.
    pub fn of(random: &mut Random, sex: Sex, age: f64, view: View) -> Self {
        let (female, ap) = (sex == Sex::Female, view == View::Ap);
        let decades = (age - 50.0) / 10.0;
        let mut vary = |mean: f64, deviation: f64| mean + deviation * random.normal().clamp(-2.0, 2.0);
        let pick = |yes: bool, a: f64, b: f64| if yes { a } else { b };
        let size = pick(female, 0.93, 1.0);
        let depth = vary(pick(ap, 0.68, 0.74), 0.02) - 0.004 * decades;
        let dome = depth * (0.5 + 0.5 * size);
        Anatomy {
            sex,
            age,
            view,
            midline: vary(0.5, 0.008),
            apex: vary(pick(ap, 0.12, 0.105), 0.01),
            dome: [dome, dome + vary(0.02, 0.006)],
            base: dome + vary(0.095, 0.01),
            width: vary(0.385 * size, 0.012),
            cardiothoracic_ratio: vary(pick(ap, 0.48, 0.44), 0.018) + 0.006 * decades,
            heart_tilt: vary(0.75, 0.06),
            aorta: vary(0.036, 0.003) + 0.003 * decades.max(-2.0),
            bone: vary(pick(female, 0.155, 0.175), 0.012) * (1.0 - 0.05 * decades),
            rib: vary(0.0125, 0.0008) * size,
            rib_spacing: vary(0.066, 0.002) * (depth / 0.72),
            rib_slope: vary(pick(ap, 0.07, 0.10), 0.012),
            breast: if female { vary(0.13, 0.03).max(0.05) } else { 0.0 },
            torso: vary(0.52 * (0.4 + 0.6 * size), 0.015),
            tissue: vary(1.0, 0.06),
            texture: random.bits(),
        }
    }

    /// Signed distance from the midline of a lung: `lung` 0 is the right one (image left).
    pub fn outward(&self, x: f64, lung: usize) -> f64 {
        if lung == 0 { self.midline - x } else { x - self.midline }
    }

    /// x at `outward` from the midline on the side of `lung`.
    pub fn x(&self, outward: f64, lung: usize) -> f64 {
        if lung == 0 { self.midline - outward } else { self.midline + outward }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sex_age_and_view_show_in_the_measures() {
        let mean = |sex, age, view, measure: fn(&Anatomy) -> f64| {
            (0..200).map(|i| measure(&Anatomy::of(&mut Random::new(i), sex, age, view))).sum::<f64>() / 200.0
        };
        let (f, m, pa, ap) = (Sex::Female, Sex::Male, View::Pa, View::Ap);
        assert!(mean(f, 50.0, pa, |a| a.width) < mean(m, 50.0, pa, |a| a.width) - 0.02);
        assert!(mean(f, 50.0, pa, |a| a.breast) > 0.1 && mean(m, 50.0, pa, |a| a.breast) == 0.0);
        assert!(mean(m, 80.0, pa, |a| a.bone) < mean(m, 25.0, pa, |a| a.bone) * 0.85);
        assert!(mean(m, 80.0, pa, |a| a.cardiothoracic_ratio) > mean(m, 25.0, pa, |a| a.cardiothoracic_ratio) + 0.02);
        assert!(mean(m, 50.0, ap, |a| a.dome[0]) < mean(m, 50.0, pa, |a| a.dome[0]) - 0.03);
    }
}
