//! Rules of the project that the compiler does not check.

mod architecture;
mod docs;
mod launcher;
mod layers;
mod modal;
mod source;
mod tables;
mod text;
