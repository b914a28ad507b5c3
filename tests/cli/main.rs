//! Generations by the real Claude CLI against a scripted model API, seen from outside.

mod generation;
