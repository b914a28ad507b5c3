//! Rules of the project that a compiler does not check.
