//! The contract with callers as data: requests, answers, and errors of every endpoint.
//!
//! No code in this module serves a request. The server, the `OpenAPI` document, the tables in the
//! documents and the tests are made from these tables and types, so they cannot disagree.

pub mod answer;
mod endpoint;
mod error_code;
pub mod openapi;
pub mod request;
mod table;

pub use endpoint::{Endpoint, Gives, Method, Takes, TypeOf};
pub use error_code::ErrorCode;
pub use table::{ENDPOINTS, Id};
