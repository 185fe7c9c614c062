//! Pictures for people: contact sheets, curves, heat maps.

pub mod answer_sheet;
pub mod contact_sheet;
pub mod pen;
pub mod plot;
