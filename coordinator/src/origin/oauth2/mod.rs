//! Tokens for origins by OAuth 2.0 client credentials (RFC 6749 section 4.4).

mod answer;
mod assertion;
mod client;
mod client_files;
mod failure;
mod form;
mod outage;
mod schedule;
mod source;
#[cfg(test)]
mod tests;
mod token;

pub(super) use client_files::{ClientFiles, TokenSources};
pub(super) use source::TokenSource;
pub(super) use token::AccessToken;
