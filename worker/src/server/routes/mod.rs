//! One file a family of endpoints.

pub(super) mod files;
pub(super) mod generate;
pub(super) mod health;
