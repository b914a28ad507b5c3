//! The contract with callers as data: what can be asked, what is answered, and how it can fail.
//!
//! Nothing in here serves a request. The server, the documents and the tests read these tables, so
//! none of them can say anything else than the others.

pub mod answer;
mod endpoint;
mod error_code;
pub mod openapi;
pub mod request;
mod table;

pub use endpoint::{Endpoint, Gives, Method, Takes, TypeOf};
pub use error_code::ErrorCode;
pub use table::{ENDPOINTS, Id};
