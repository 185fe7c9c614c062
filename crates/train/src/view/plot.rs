//! Curves of a run's log as one SVG file: losses on top, held-out accuracy below.

use std::fmt::Write;

use crate::training::journal::Entry;

const WIDTH: f64 = 900.0;
const PANEL_HEIGHT: f64 = 300.0;
const LEFT: f64 = 60.0;
const TOP: f64 = 30.0;
const COLOURS: [&str; 6] = ["#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf"];

/// Draws the curves of all entries.
pub fn curves(entries: &[Entry]) -> String {
    let losses = ["place", "bounds"];
    let names: std::collections::BTreeSet<&str> =
        entries.iter().flat_map(|entry| entry.values.keys()).map(String::as_str).collect();
    let shares: Vec<&str> = names
        .into_iter()
        .filter(|name| *name == "hits" || name.ends_with(".hits") || name.ends_with(".acc25"))
        .collect();
    let height = 2.0 * (PANEL_HEIGHT + TOP) + TOP;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    panel(&mut svg, entries, &losses, TOP, "loss");
    panel(&mut svg, entries, &shares, 2.0 * TOP + PANEL_HEIGHT, "share");
    svg.push_str("</svg>\n");
    svg
}

fn panel(svg: &mut String, entries: &[Entry], names: &[&str], top: f64, title: &str) {
    let points = |name: &str| -> Vec<(f64, f64)> {
        entries.iter().filter_map(|entry| Some((entry.step as f64, *entry.values.get(name)?))).collect()
    };
    let last = entries.last().map_or(1.0, |entry| entry.step.max(1) as f64);
    let highest = names.iter().flat_map(|name| points(name)).map(|(_, value)| value).fold(1e-9, f64::max);
    let x = |step: f64| LEFT + (WIDTH - LEFT - 170.0) * step / last;
    let y = |value: f64| top + PANEL_HEIGHT * (1.0 - value / highest);
    let (right, bottom) = (x(last), y(0.0));
    // Writing to a string cannot fail.
    let _ = writeln!(
        svg,
        "<path d=\"M{LEFT} {top} V{bottom} H{right}\" fill=\"none\" stroke=\"black\"/>\n\
         <text x=\"{LEFT}\" y=\"{}\">{title}</text>\n<text x=\"4\" y=\"{}\">{highest:.3}</text>\n\
         <text x=\"{right}\" y=\"{}\" text-anchor=\"end\">step {last}</text>",
        top - 6.0,
        top + 10.0,
        bottom + 14.0
    );
    for (index, name) in names.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        let path: Vec<String> =
            points(name).iter().map(|(step, value)| format!("{:.1},{:.1}", x(*step), y(*value))).collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>\n\
             <text x=\"{}\" y=\"{}\" fill=\"{colour}\">{name}</text>",
            path.join(" "),
            right + 10.0,
            top + 14.0 + 16.0 * index as f64
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_curve_is_drawn_with_its_name() {
        let entry = |step, name: &str, value| Entry { step, seconds: 0.0, values: [(name.to_owned(), value)].into() };
        let svg = curves(&[entry(1, "place", 7.0), entry(2, "place", 5.0), entry(2, "naip.acc25", 0.4)]);
        assert!(svg.contains(">place</text>") && svg.contains(">naip.acc25</text>"));
        assert!(svg.trim_end().ends_with("</svg>"));
    }
}
