//! What a file's name says about its picture: of which area, and of which date.

use std::path::Path;

/// The area and the date of a picture, in letters that file names and tables can hold.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Label {
    /// Pictures of one area show the same ground.
    pub area: String,
    /// Orders the pictures of an area.
    pub date: String,
}

impl Label {
    /// Reads `AREA_DATE.tif`: the date begins with four digits of a year and has digits and hyphens only. A name without one is all
    /// area. With `city` all pictures are of that area, and a name without a date is itself what orders them.
    pub fn of(path: &Path, city: Option<&str>) -> Self {
        let stem = plain(&path.file_stem().unwrap_or_default().to_string_lossy());
        let split = stem.rsplit_once('_').filter(|(area, date)| !area.is_empty() && is_date(date));
        match (split, city) {
            (Some((_, date)), Some(city)) => Self { area: plain(city), date: date.to_owned() },
            (Some((area, date)), None) => Self { area: area.to_owned(), date: date.to_owned() },
            (None, Some(city)) => Self { area: plain(city), date: stem },
            (None, None) => Self { area: stem, date: "0".to_owned() },
        }
    }
}

fn is_date(text: &str) -> bool {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    text.len() >= 4 && text.is_char_boundary(4) && digits(&text[..4]) && text[4..].split('-').all(digits)
}

/// The text with a hyphen for everything but letters, digits, underscores and hyphens.
fn plain(text: &str) -> String {
    text.chars().map(|letter| if letter.is_alphanumeric() || letter == '_' { letter } else { '-' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_ends_in_its_date_where_it_has_one() {
        let cases = [
            ("smallville_2020.tif", None, "smallville", "2020"),
            ("in/small_ville_2020-06-12.tif", None, "small_ville", "2020-06-12"),
            ("smallville_20200612.jpg", None, "smallville", "20200612"),
            ("smallville.tif", None, "smallville", "0"),
            ("smallville_12.tif", None, "smallville_12", "0"),
            ("smallville_2020b.tif", None, "smallville_2020b", "0"),
            ("_2020.tif", None, "_2020", "0"),
            ("St. John's, east_2020.tif", None, "St--John-s--east", "2020"),
            ("a_2020.tif", Some("smallville"), "smallville", "2020"),
            ("north west.tif", Some("small,ville"), "small-ville", "north-west"),
        ];
        for (file, city, area, date) in cases {
            let label = Label::of(Path::new(file), city);
            assert_eq!((label.area.as_str(), label.date.as_str()), (area, date), "{file}");
        }
    }
}
