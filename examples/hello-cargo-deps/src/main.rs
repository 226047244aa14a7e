//! Counts to the number it is told, with a crate from the registry writing the digits.

fn main() {
    let last: u32 = std::env::args().nth(1).and_then(|word| word.parse().ok()).unwrap_or(3);
    let mut buffer = itoa::Buffer::new();
    for number in 1..=last {
        println!("{} from cargo and itoa", buffer.format(number));
    }
}
