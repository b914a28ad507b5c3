//! Rules of the project that a compiler does not check.

mod docs;
mod layers;
mod source;
mod text;
