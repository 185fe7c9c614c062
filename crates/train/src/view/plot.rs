//! Curves of a run's log, losses on top, shares of right answers below, as an SVG or a PNG file.

use std::fmt::Write;
use std::path::Path;

use super::glyphs;
use super::pen::{self, Colour};
use crate::data::Raster;
use crate::training::journal::Entry;

const WIDTH: f64 = 900.0;
const PANEL_HEIGHT: f64 = 300.0;
const LEFT: f64 = 60.0;
const TOP: f64 = 30.0;
/// Room for names on the right.
const RIGHT: f64 = 170.0;
const HEIGHT: f64 = 2.0 * (PANEL_HEIGHT + TOP) + TOP;
const BLACK: Colour = [0; 3];
const COLOURS: [Colour; 6] =
    [[31, 119, 180], [214, 39, 40], [44, 160, 44], [148, 103, 189], [255, 127, 14], [23, 190, 207]];

/// Something to draw on; y grows downwards.
trait Canvas {
    fn polyline(&mut self, points: &[[f64; 2]], colour: Colour);
    /// Text whose lower left corner lies at a place.
    fn text(&mut self, at: [f64; 2], words: &str, colour: Colour);
}

/// Writes the curves of all entries, as PNG if the name ends so, else as SVG.
pub fn write(entries: &[Entry], path: &Path) -> anyhow::Result<()> {
    if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("png")) {
        let mut picture = Raster::filled(WIDTH as usize, HEIGHT as usize, [255; 3]);
        draw(entries, &mut picture);
        return Ok(picture.save(path)?);
    }
    let mut svg = Svg(String::new());
    draw(entries, &mut svg);
    Ok(std::fs::write(path, svg.finished())?)
}

fn draw(entries: &[Entry], canvas: &mut dyn Canvas) {
    let names: std::collections::BTreeSet<&str> =
        entries.iter().flat_map(|entry| entry.values.keys()).map(String::as_str).collect();
    let is_share = |name: &&str| *name == "hits" || name.ends_with(".hits") || name.ends_with(".acc25");
    let shares: Vec<&str> = names.into_iter().filter(is_share).collect();
    panel(canvas, entries, &["place", "bounds"], TOP, "loss");
    panel(canvas, entries, &shares, 2.0 * TOP + PANEL_HEIGHT, "share");
}

fn panel(canvas: &mut dyn Canvas, entries: &[Entry], names: &[&str], top: f64, title: &str) {
    let points = |name: &str| -> Vec<(f64, f64)> {
        entries.iter().filter_map(|entry| Some((entry.step as f64, *entry.values.get(name)?))).collect()
    };
    let last = entries.last().map_or(1.0, |entry| entry.step.max(1) as f64);
    let highest = names.iter().flat_map(|name| points(name)).map(|(_, value)| value).fold(1e-9, f64::max);
    let x = |step: f64| LEFT + (WIDTH - LEFT - RIGHT) * step / last;
    let y = |value: f64| top + PANEL_HEIGHT * (1.0 - value / highest);
    let (right, bottom) = (x(last), y(0.0));
    canvas.polyline(&[[LEFT, top], [LEFT, bottom], [right, bottom]], BLACK);
    canvas.text([LEFT, top - 6.0], title, BLACK);
    canvas.text([4.0, top + 10.0], &format!("{highest:.3}"), BLACK);
    let steps = format!("step {last}");
    canvas.text([right - glyphs::width_px(&steps) as f64, bottom + 14.0], &steps, BLACK);
    for (index, name) in names.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        let curve: Vec<[f64; 2]> = points(name).iter().map(|(step, value)| [x(*step), y(*value)]).collect();
        canvas.polyline(&curve, colour);
        canvas.text([right + 10.0, top + 14.0 + 16.0 * index as f64], name, colour);
    }
}

struct Svg(String);

impl Svg {
    fn finished(self) -> String {
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
             font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{}</svg>\n",
            self.0
        )
    }
}

impl Canvas for Svg {
    fn polyline(&mut self, points: &[[f64; 2]], [r, g, b]: Colour) {
        let points: Vec<String> = points.iter().map(|[x, y]| format!("{x:.1},{y:.1}")).collect();
        // Writing to a string cannot fail.
        let _ = writeln!(
            self.0,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"rgb({r},{g},{b})\" stroke-width=\"1.5\"/>",
            points.join(" ")
        );
    }

    fn text(&mut self, [x, y]: [f64; 2], words: &str, [r, g, b]: Colour) {
        let _ = writeln!(self.0, "<text x=\"{x:.1}\" y=\"{y:.1}\" fill=\"rgb({r},{g},{b})\">{words}</text>");
    }
}

impl Canvas for Raster {
    fn polyline(&mut self, points: &[[f64; 2]], colour: Colour) {
        for pair in points.windows(2) {
            pen::line(self, pair[0], pair[1], colour);
        }
    }

    fn text(&mut self, [x, y]: [f64; 2], words: &str, colour: Colour) {
        glyphs::text(self, [x, y - 10.0], words, colour);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries() -> Vec<Entry> {
        let entry = |step, name: &str, value| Entry { step, seconds: 0.0, values: [(name.to_owned(), value)].into() };
        vec![entry(1, "place", 7.0), entry(2, "place", 5.0), entry(1, "naip.acc25", 0.1), entry(2, "naip.acc25", 0.4)]
    }

    #[test]
    fn every_curve_is_drawn_with_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("curves.svg");
        write(&entries(), &path).unwrap();
        let svg = std::fs::read_to_string(path).unwrap();
        assert!(svg.contains(">place</text>") && svg.contains(">naip.acc25</text>"));
        assert!(svg.trim_end().ends_with("</svg>"));
    }

    #[test]
    fn a_name_that_ends_in_png_gives_a_picture_with_the_curves_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("curves.png");
        write(&entries(), &path).unwrap();
        let picture = Raster::open(&path).unwrap();
        assert_eq!((picture.width(), picture.height()), (900, 690));
        let drawn = picture.rgb().chunks_exact(3).filter(|pixel| **pixel == COLOURS[0]).count();
        assert!(drawn > 200, "{drawn}");
    }
}
