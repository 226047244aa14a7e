//! Greets whom it is told to.

mod greeting;

fn main() {
    let name = std::env::args().nth(1).unwrap_or_else(|| "world".to_owned());
    println!("{}", greeting::greet(&name));
}
