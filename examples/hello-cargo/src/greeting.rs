//! The words.

/// Returns one greeting.
pub fn greet(name: &str) -> String {
    format!("Hello, {name}, from cargo.")
}

#[cfg(test)]
mod tests {
    #[test]
    fn greets_by_name() {
        assert_eq!(super::greet("Rekindle"), "Hello, Rekindle, from cargo.");
    }
}
