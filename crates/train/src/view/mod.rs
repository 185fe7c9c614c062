//! Pictures for people: contact sheets, curves, heat maps.

pub mod answer_sheet;
pub mod contact_sheet;
pub mod expert_sheet;
pub mod glyphs;
pub mod pen;
pub mod plot;
