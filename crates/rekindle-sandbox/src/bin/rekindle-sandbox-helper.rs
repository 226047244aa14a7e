//! A sandbox helper and nothing else, for the tests of this crate.

fn main() -> std::process::ExitCode {
    rekindle_sandbox::child_main();
    std::process::ExitCode::from(2)
}
