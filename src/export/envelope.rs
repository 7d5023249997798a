//! The envelope that objects of a sealed export lie in: age files (<https://age-encryption.org/v1>) for one recipient, the
//! tenant's own. Whoever is given the tenant's identity reads them with `age -d`.
//!
//! What `age` makes is another file each time. An export has to be the same each time: a bag that was cut is made again
//! to the byte, and a blob is named by the hash of its object. So [`Sealer`] writes the format itself, and draws nothing at
//! random; [`Opener`] reads it with the `age` crate, which did not write it.

mod identity;
mod open;
mod seal;

pub use identity::{Identity, InvalidIdentity, KeyId};
pub use open::{Opener, Unopened};
pub use seal::Sealer;

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Seek as _, Write as _};

    use proptest::prelude::*;

    use super::*;

    fn identity(byte: u8) -> Identity {
        Identity::from_secret([byte; 32])
    }

    fn opener(byte: u8) -> Opener {
        Opener::new([identity(byte)])
    }

    /// Lengths around what a chunk holds.
    const LENGTHS: [usize; 8] = [0, 1, 65_535, 65_536, 65_537, 131_072, 131_073, 200_000];

    /// Every length is read back by the age crate, is as long as was said before, and is the same when it is made again, from
    /// bytes and from a file.
    #[test]
    fn what_is_sealed_is_opened_and_the_same_each_time() {
        let sealer = Sealer::new(&identity(1));
        for length in LENGTHS {
            let plain: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            let closed = sealer.seal(&plain);
            assert_eq!(closed.len() as u64, Sealer::sealed_len(length as u64), "{length}");
            assert_eq!(opener(1).open(&closed).unwrap(), plain, "{length}");
            assert_eq!(sealer.seal(&plain), closed, "{length}");
            let (mut from, mut into) =
                (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
            from.write_all(&plain).unwrap();
            sealer.seal_file(&mut from, &mut into).unwrap();
            into.rewind().unwrap();
            let mut again = Vec::new();
            std::io::Read::read_to_end(&mut into, &mut again).unwrap();
            assert_eq!(again, closed, "{length}");
        }
    }

    /// The bytes are part of the format: a bag that was cut by one version of the program is gone on with by another. These were
    /// computed by another program, from docs/export-format.md and the age specification.
    #[test]
    fn the_bytes_are_pinned() {
        let sealed = Sealer::new(&identity(1)).seal(b"quagmire");
        let text = String::from_utf8_lossy(&sealed);
        let lines: Vec<&str> = text.lines().take(4).collect();
        assert_eq!(lines[0], "age-encryption.org/v1");
        assert_eq!(lines[1], "-> X25519 CnDFNZRlhex6l0k/Vq/22VJptARiyeMgyoHxUVZfaiA");
        assert_eq!(
            colophon_model::Sha256::of(&sealed).to_string(),
            "98d82e94a800de8312009e3680432fcc312ce5db046764c9e79a57ed3321e647"
        );
    }

    /// Two plaintexts, and two tenants, share no key: a nonce that is used twice would give both away.
    #[test]
    fn no_two_plaintexts_share_a_key() {
        let share = |byte: u8, plain: &[u8]| {
            let sealed = Sealer::new(&identity(byte)).seal(plain);
            String::from_utf8_lossy(&sealed).lines().nth(1).unwrap().to_owned()
        };
        let shares: std::collections::BTreeSet<String> =
            [share(1, b""), share(1, b"a"), share(1, b"a\0"), share(2, b"a"), share(2, b"")].into();
        assert_eq!(shares.len(), 5);
    }

    /// Only whoever has the identity reads it, and whoever has it sees every changed byte.
    #[test]
    fn other_keys_open_nothing_and_a_changed_byte_is_seen() {
        let sealed = Sealer::new(&identity(1)).seal(b"quagmire");
        assert!(!sealed.windows(8).any(|at| at == b"quagmire"));
        assert!(matches!(opener(2).open(&sealed), Err(Unopened::NoKey)));
        assert!(matches!(Opener::default().open(&sealed), Err(Unopened::NoKey)));
        for at in 0..sealed.len() {
            let mut changed = sealed.to_vec();
            changed[at] ^= 1;
            assert!(opener(1).open(&changed).is_err(), "byte {at}");
        }
        assert!(opener(1).open(&sealed[..sealed.len() - 1]).is_err());
        assert!(matches!(opener(1).open(b"plain text"), Err(Unopened::NotSealed)));
    }

    /// A stream is opened whole or said to be none; of one that is cut whole chunks come out before.
    #[test]
    fn a_stream_is_opened_whole_or_not_at_all() {
        let plain: Vec<u8> = (0..200_000_u32).map(|at| (at % 251) as u8).collect();
        let sealed = Sealer::new(&identity(1)).seal(&plain);
        let mut out = Vec::new();
        opener(1).open_to(Cursor::new(&sealed), &mut out).unwrap();
        assert_eq!(out, plain);
        let mut start = Vec::new();
        let cut = opener(1).open_to(Cursor::new(&sealed[..100_000]), &mut start);
        assert!(matches!(cut, Err(Unopened::Damaged)), "{cut:?}");
        assert_eq!(start, plain[..65_536], "whole chunks only");
    }

    /// An identity is a line of the age format, and a file of them may have comments, as `age-keygen` writes it.
    #[test]
    fn identities_are_read_and_written() {
        let made = Identity::generate().unwrap();
        let text = format!("# a comment\n\n{}\n", made.to_text().as_str());
        let read = Identity::parse_all(&text).unwrap();
        assert_eq!((read.len(), read[0].id()), (1, made.id()));
        let theirs: age::x25519::Identity = made.to_text().parse().unwrap();
        assert_eq!(theirs.to_public().to_string(), made.id().to_string());
        assert!(!format!("{made:?}").contains("SECRET"));
        for bad in ["", "# nothing\n", "age1xyz", &made.to_text()[..70], &made.id().to_string()] {
            assert!(Identity::parse_all(bad).is_err(), "{bad}");
        }
        for bad in ["", "age1", "x", "AGE-SECRET-KEY-1"] {
            assert!(bad.parse::<KeyId>().is_err(), "{bad}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        /// Nothing that comes from a bucket panics.
        #[test]
        fn any_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300), cut in 0_usize..260) {
            prop_assert!(opener(1).open(&bytes).is_err());
            let mut file = Sealer::new(&identity(1)).seal(b"x").to_vec();
            let cut = cut.min(file.len() - 1);
            file.truncate(cut);
            prop_assert!(opener(1).open(&file).is_err());
            file.extend_from_slice(&bytes);
            let _ = opener(1).open(&file);
        }
    }
}
