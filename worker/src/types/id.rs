//! Ids of users, projects, assets and runs: UUIDs in the hyphenated form only.
//!
//! `uuid` alone would also accept the braced, the URN and the bare form. Those are refused, because
//! an id names a folder on the volume and must have exactly one spelling there: lower case.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

/// Why a text is not an id: it is not a UUID in the hyphenated form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a UUID in the form xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx")]
pub struct IdError;

fn parse_hyphenated(text: &str) -> Result<Uuid, IdError> {
    // 36 bytes is the hyphenated form and no other; `try_parse` then checks where the hyphens are.
    if text.len() != uuid::fmt::Hyphenated::LENGTH {
        return Err(IdError);
    }
    Uuid::try_parse(text).map_err(|_| IdError)
}

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Uuid);

        impl $name {
            /// Makes a new, unique id at random.
            pub fn random() -> Self {
                Self(Uuid::new_v4())
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                parse_hyphenated(text).map(Self)
            }
        }

        impl fmt::Display for $name {
            /// The lower-case hyphenated form, which is also the folder's name on the volume.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        super::deserialize_through_from_str!($name);
        super::text_schema!($name, {
            "type": "string",
            "format": "uuid",
            "pattern": "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$",
        });
    };
}

id_type!(
    /// A user of DreamCore.
    UserId
);
id_type!(
    /// A project (one game) of a user.
    ProjectId
);

id_type!(
    /// An asset: a file that a user has uploaded.
    AssetId
);

id_type!(
    /// A run: one generation, or one save of files that were sent.
    RunId
);

impl RunId {
    /// A new, unique id. The ids of later runs sort after those of earlier ones.
    pub fn fresh() -> Self {
        Self(Uuid::now_v7())
    }
}

impl serde::Serialize for AssetId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn accepts_any_version_and_the_nil_uuid() {
        for text in [
            "00000000-0000-0000-0000-000000000000",
            "ffffffff-ffff-ffff-ffff-ffffffffffff",
            "018f4e5a-7b1c-7def-8123-456789abcdef",
            "6BA7B810-9DAD-11D1-80B4-00C04FD430C8",
        ] {
            let id: UserId = text.parse().unwrap();
            assert_eq!(id.to_string(), text.to_lowercase());
        }
    }

    #[test]
    fn refuses_every_other_form() {
        for text in [
            "",
            "6ba7b8109dad11d180b400c04fd430c8",
            "{6ba7b810-9dad-11d1-80b4-00c04fd430c8}",
            "urn:uuid:6ba7b810-9dad-11d1-80b4-00c04fd430c8",
            "6ba7b810-9dad-11d1-80b4-00c04fd430c",
            "6ba7b810-9dad-11d1-80b4-00c04fd430c88",
            "6ba7b810-9dad-11d1-80b4-00c04fd430cg",
            "6ba7b810_9dad_11d1_80b4_00c04fd430c8",
            "6ba7b8109-dad-11d1-80b4-00c04fd430c8",
            "../../../../../../../../../../etc/pas",
            "６ba7b810-9dad-11d1-80b4-00c04fd430",
            " 6ba7b810-9dad-11d1-80b4-00c04fd430c",
        ] {
            assert_eq!(text.parse::<ProjectId>(), Err(IdError), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_parses_is_36_safe_bytes(text in ".{0,60}") {
            if let Ok(id) = text.parse::<UserId>() {
                let shown = id.to_string();
                prop_assert_eq!(shown.len(), 36);
                prop_assert!(shown.bytes().all(|b| b.is_ascii_digit() || b == b'-' || (b'a'..=b'f').contains(&b)));
                prop_assert_eq!(shown, text.to_ascii_lowercase());
            }
        }

        #[test]
        fn every_uuid_survives_a_round_trip(bits in any::<u128>(), upper in any::<bool>()) {
            let mut text = Uuid::from_u128(bits).hyphenated().to_string();
            if upper {
                text.make_ascii_uppercase();
            }
            prop_assert_eq!(text.parse::<UserId>().unwrap().to_string(), text.to_ascii_lowercase());
        }
    }
}
