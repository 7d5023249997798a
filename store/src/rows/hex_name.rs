//! Names of sixteen bytes that people see as 32 lower-case hex digits.

/// Gives a type `$name([u8; 16])` its text, its form in JSON and its place in keys. `$invalid` is the error for
/// other texts.
macro_rules! hex_name {
    ($name:ident, $invalid:ident) => {
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl std::str::FromStr for $name {
            type Err = $invalid;

            fn from_str(text: &str) -> Result<Self, $invalid> {
                let is_hex = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
                if text.len() != 32 || !text.bytes().all(is_hex) {
                    return Err($invalid);
                }
                let number = u128::from_str_radix(text, 16).map_err(|_| $invalid)?;
                Ok(Self(number.to_be_bytes()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = $invalid;

            fn try_from(text: String) -> Result<Self, $invalid> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.to_string()
            }
        }

        impl crate::KeyPart for $name {
            fn push(&self, key: &mut Vec<u8>) {
                key.extend_from_slice(&self.0);
            }

            fn take(rest: &mut &[u8]) -> Option<Self> {
                crate::row::take_array(rest).map(Self)
            }
        }
    };
}
pub(crate) use hex_name;
