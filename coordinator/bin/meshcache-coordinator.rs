//! The program `meshcache` under its first name.

#[path = "../src/main.rs"]
mod program;

fn main() -> std::process::ExitCode {
    program::main()
}
