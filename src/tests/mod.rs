//! Tests that no room has for itself.

mod fuzz;
