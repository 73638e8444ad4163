//! A document as a QR code: an SVG file, or blocks on a terminal.

use crate::cli::exit::Failure;
use crate::licence::Document;
use qrcode::render::{svg, unicode};
use qrcode::{EcLevel, QrCode};
use std::path::Path;

/// Writes an SVG file; for `-` gives the blocks for a terminal with a dark background.
pub(super) fn write(document: &Document, path: &Path) -> Result<Option<String>, Failure> {
    let code = code(document)?;
    if path.as_os_str() == "-" {
        let colours = (unicode::Dense1x2::Light, unicode::Dense1x2::Dark);
        return Ok(Some(code.render().dark_color(colours.0).light_color(colours.1).build() + "\n"));
    }
    let image = code.render::<svg::Color<'_>>().min_dimensions(480, 480).build();
    std::fs::write(path, image)
        .map_err(|error| Failure::Usage(format!("{} cannot be written: {error}", path.display())))?;
    Ok(None)
}

fn code(document: &Document) -> Result<QrCode, Failure> {
    let line = document.line();
    QrCode::with_error_correction_level(&line, EcLevel::M)
        .or_else(|_| QrCode::with_error_correction_level(&line, EcLevel::L))
        .map_err(|error| Failure::Refused(format!("{} does not fit into a QR code: {error}", document.id())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::licence::{Book, Keys};
    use crate::model::Seats;
    use std::collections::HashSet;

    fn document() -> Document {
        Book::demo_licence(Seats { full: 100, light: 20 }).unwrap()
    }

    /// What a camera reads of dark points on light ground.
    fn photographed(dark: &HashSet<(usize, usize)>) -> String {
        let size = 8 + dark.iter().map(|(x, y)| *x.max(y)).max().unwrap();
        let ground = |x, y| if dark.contains(&(x, y)) { 0 } else { 255 };
        let mut image = rqrr::PreparedImage::prepare_from_greyscale(size, size, ground);
        image.detect_grids()[0].decode().unwrap().1
    }

    #[test]
    fn an_image_is_read_by_a_camera() {
        // R64
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("it.svg");
        assert_eq!(write(&document(), &path).unwrap(), None);
        let image = std::fs::read_to_string(&path).unwrap();
        let path = image.split_once(" d=\"").and_then(|(_, rest)| rest.split_once('"')).unwrap().0;
        let mut dark = HashSet::new();
        // Rectangles, as in M8 8h56v8H8V8.
        for part in path.split('M').skip(1) {
            let numbers: Vec<usize> =
                part.split([' ', 'h', 'v', 'H', 'V']).map(|number| number.parse().unwrap()).collect();
            let (left, top, wide, high) = (numbers[0], numbers[1], numbers[2], numbers[3]);
            dark.extend((left..left + wide).flat_map(|x| (top..top + high).map(move |y| (x, y))));
        }
        assert_eq!(Document::read(&photographed(&dark), &Keys::demo(), 0), Ok(document()));
    }

    #[test]
    fn a_terminal_shows_the_same() {
        // R64
        let blocks = write(&document(), Path::new("-")).unwrap().unwrap();
        let mut dark = HashSet::new();
        let scale = 4;
        for (row, line) in blocks.lines().enumerate() {
            for (x, block) in line.chars().enumerate() {
                // Light is what the terminal draws.
                let halves = [!matches!(block, '█' | '▀'), !matches!(block, '█' | '▄')];
                for (y, _) in (2 * row..).zip(halves).filter(|(_, is_dark)| *is_dark) {
                    let points = (0..scale * scale).map(|n| (x * scale + n % scale, y * scale + n / scale));
                    dark.extend(points);
                }
            }
        }
        assert_eq!(Document::read(&photographed(&dark), &Keys::demo(), 0), Ok(document()));
    }

    #[test]
    fn it_is_a_code_of_moderate_size() {
        let code = code(&document()).unwrap();
        assert_eq!(code.error_correction_level(), EcLevel::M);
        // What a telephone reads off a sheet of paper without effort.
        assert!(code.width() <= 97, "{} modules", code.width());
    }
}
