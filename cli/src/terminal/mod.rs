//! What people see: text that no stranger's word can bend, figures, colours, and full screens with keys.

pub(crate) mod figures;
mod keys;
pub(crate) mod pace;
pub(crate) mod paint;
pub(crate) mod screen;
pub(crate) mod text;

pub(crate) use keys::Key;
