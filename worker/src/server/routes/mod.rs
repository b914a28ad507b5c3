//! The handlers, one file for each family of endpoints.

pub(super) mod apply;
pub(super) mod assets;
pub(super) mod assist;
pub(super) mod files;
pub(super) mod generate;
pub(super) mod health;
pub(super) mod versions;
pub(super) mod volume;
