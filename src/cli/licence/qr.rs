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
    use crate::licence::Book;
    use crate::model::Seats;
    use qrcode::Version;

    #[test]
    fn a_document_is_a_code_of_moderate_size() {
        let document = Book::demo_licence(Seats { full: 100, light: 20 }).unwrap();
        let code = code(&document).unwrap();
        // 20 is 97 modules wide: what a telephone's camera reads off a sheet of paper without effort.
        assert!(matches!(code.version(), Version::Normal(version) if version <= 20), "{:?}", code.version());
        assert_eq!(code.error_correction_level(), EcLevel::M);
        let blocks = write(&document, Path::new("-")).unwrap().unwrap();
        assert!(blocks.lines().count() > 30 && blocks.contains('█'), "{blocks}");
    }
}
