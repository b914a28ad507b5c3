//! The HTTP edge, seen from outside.
