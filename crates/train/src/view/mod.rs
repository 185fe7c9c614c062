//! Pictures for people: contact sheets, curves, heat maps.

pub mod contact_sheet;
pub mod pen;
