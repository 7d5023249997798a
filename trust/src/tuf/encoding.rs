//! Names in URLs and of files.

/// Every byte but the unreserved ones as `%XX` (RFC 3986 §2.1): any name becomes one part of a path.
pub fn percent_encoded(name: &str) -> String {
    name.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_becomes_one_part_of_a_path() {
        assert_eq!(percent_encoded("../a b?#%é"), "..%2Fa%20b%3F%23%25%C3%A9");
        assert_eq!(percent_encoded("a-Z_0.9~"), "a-Z_0.9~");
    }
}
