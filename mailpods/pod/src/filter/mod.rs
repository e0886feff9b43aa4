//! The filter in a process of its own: what the smtp pod asks with, and what the filter pod answers with.

mod client;
mod server;

pub use client::RemoteScan;
pub use server::FilterListener;

#[cfg(test)]
mod tests;
