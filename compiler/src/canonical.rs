//! The flow as committed: JSON with sorted keys.

use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::Value;

/// A flow's JSON without layout, native id and revision: keys sorted by bytes, two spaces of
/// indentation, one newline at the end. Equal flows have equal bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct CanonicalFlow(Vec<u8>);

impl CanonicalFlow {
    /// Encodes `flow`, from which the front end has removed what is not part of the flow.
    pub(crate) fn new(flow: &Value) -> Self {
        let mut bytes = serde_json::to_vec_pretty(&Sorted(flow)).expect("values have text keys");
        bytes.push(b'\n');
        Self(bytes)
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for CanonicalFlow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

/// Writes the members of objects in byte order of their keys. Whether `serde_json` keeps a map
/// sorted depends on a feature that any crate of a build may switch, so it is not relied upon.
struct Sorted<'a>(&'a Value);

impl Serialize for Sorted<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Object(members) => {
                let mut sorted: Vec<_> = members.iter().collect();
                sorted.sort_by_key(|(key, _)| *key);
                let mut map = serializer.serialize_map(Some(sorted.len()))?;
                for (key, value) in sorted {
                    map.serialize_entry(key, &Sorted(value))?;
                }
                map.end()
            }
            Value::Array(items) => serializer.collect_seq(items.iter().map(Sorted)),
            scalar => scalar.serialize(serializer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_sorted_at_every_depth() {
        let flow: Value = serde_json::from_str(r#"{"b":[{"z":1,"a":null}],"a":1e3}"#).unwrap();
        let text = String::from_utf8(CanonicalFlow::new(&flow).0).unwrap();
        let want = r#"{
  "a": 1000.0,
  "b": [
    {
      "a": null,
      "z": 1
    }
  ]
}
"#;
        assert_eq!(text, want);
    }
}
