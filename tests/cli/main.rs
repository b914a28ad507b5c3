//! Generations by the real Claude CLI against a scripted model API, and by programs that misbehave
//! in its place, seen from outside.

mod api_failures;
mod bad_cli;
mod broker_under_attack;
mod ends;
mod generation;
mod hostile_disks;
mod hostile_files;
mod hostile_output;
mod inputs;
mod leavings;
mod misbehaving_model;
mod providers;
mod queue;
mod raw_model;
mod relay_prompt;
mod secrets;
mod storage;
mod stream;
mod support;
mod tool_calls;
mod tools;
mod under_attack;
mod unmapped_memory;
