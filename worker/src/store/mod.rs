//! What lies on the volume, and the only module that opens paths below it.

pub mod assets;
pub mod projects;
pub mod skills;
