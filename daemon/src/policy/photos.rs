//! Photos of profiles: small pictures beside their names, kept with the state and gone with their profile. They are no part of the
//! policy, which is exported and shown as text.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

use super::picture::{self, Kind, WrongPicture};
use super::{Author, Household, Store, StoreError};
use crate::store::{Changes, Table};

const PHOTOS: Table<Kept> = Table::new("profile-photo", &[]);
/// Photos that there may be: each change of the state writes them into an export.
const MOST: usize = 100;

#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    /// base64.
    octets: String,
}

/// A photo, as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Photo {
    /// What kind of picture.
    pub kind: Kind,
    /// The file.
    pub octets: Vec<u8>,
}

/// Why a photo is not kept.
#[derive(Debug, thiserror::Error)]
pub enum PhotoError {
    /// The picture.
    #[error(transparent)]
    Picture(#[from] WrongPicture),
    /// There is no such profile.
    #[error("there is no profile {0:?}; it may have been renamed or removed meanwhile")]
    NoProfile(String),
    /// There are enough.
    #[error("{MOST} profiles have a photo already; remove one, or take an emoji")]
    TooMany,
    /// The state.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Which profiles have a photo: a word that changes with it.
#[derive(Debug)]
pub(super) struct Photos(Mutex<BTreeMap<String, String>>);

impl Photos {
    pub(super) fn open(store: &Store) -> Result<Self, StoreError> {
        let kept = store.all(&PHOTOS)?.into_iter();
        let tags = kept
            .filter_map(|(profile, kept)| Some((profile, tag(&BASE64.decode(kept.octets.as_bytes()).ok()?))));
        Ok(Self(Mutex::new(tags.collect())))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tag(octets: &[u8]) -> String {
    blake3::hash(octets).to_hex().chars().take(16).collect()
}

impl Household {
    /// Profiles that have a photo, each with a word that changes with it.
    pub fn photo_tags(&self) -> BTreeMap<String, String> {
        self.photos.lock().clone()
    }

    /// The photo of a profile.
    pub fn photo(&self, profile: &str) -> Result<Option<Photo>, StoreError> {
        let kept = self.store.get(&PHOTOS, profile)?;
        let octets = kept.and_then(|kept| BASE64.decode(kept.octets.as_bytes()).ok());
        let photo = octets.and_then(|octets| picture::clean(&octets).ok());
        Ok(photo.map(|(kind, octets)| Photo { kind, octets }))
    }

    /// Gives a profile a photo, without what cameras write beside it; gives the word that changes with it.
    pub fn set_photo(&self, author: &Author, profile: &str, octets: &[u8]) -> Result<String, PhotoError> {
        let (_, octets) = picture::clean(octets)?;
        let mut tags = self.photos.lock();
        if !self.policy().profile.iter().any(|one| one.name == profile) {
            return Err(PhotoError::NoProfile(profile.to_owned()));
        }
        if tags.len() >= MOST && !tags.contains_key(profile) {
            return Err(PhotoError::TooMany);
        }
        let tag = tag(&octets);
        let kept = Kept {
            octets: BASE64.encode(&octets),
        };
        let mut changes = Changes::default();
        changes.put(&PHOTOS, profile, &kept);
        changes.audit(author.entry("photo.set", &format!("profile {profile}"), None, None));
        self.store.commit(changes)?;
        tags.insert(profile.to_owned(), tag.clone());
        drop(tags);
        self.tell(super::Event::Policy);
        Ok(tag)
    }

    /// Takes a profile's photo away, if it has one.
    pub fn remove_photo(&self, author: &Author, profile: &str) -> Result<(), StoreError> {
        self.follow_photos(author, &[(profile.to_owned(), None)])?;
        self.tell(super::Event::Policy);
        Ok(())
    }

    /// Follows profiles that were renamed or (`None`) removed: a photo goes with its profile, and no later one of that name gets it.
    pub fn follow_photos(
        &self,
        author: &Author,
        gone: &[(String, Option<String>)],
    ) -> Result<(), StoreError> {
        let mut tags = self.photos.lock();
        let (mut changes, mut next) = (Changes::default(), tags.clone());
        // Two may have changed their names with each other: all are taken before any is given.
        let taken: Vec<_> = gone
            .iter()
            .filter_map(|(old, new)| Some((old, new, next.remove(old)?)))
            .collect();
        for (old, new, tag) in taken {
            let kept = self.store.get(&PHOTOS, old)?;
            if !next.contains_key(old) {
                changes.remove(&PHOTOS, old);
            }
            let action = match (new, kept) {
                (Some(new), Some(kept)) => {
                    changes.put(&PHOTOS, new, &kept);
                    next.insert(new.clone(), tag);
                    "photo.move"
                }
                _ => "photo.remove",
            };
            changes.audit(author.entry(action, &format!("profile {old}"), None, None));
        }
        if !changes.is_empty() {
            self.store.commit(changes)?;
            *tags = next;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::picture::tests::jpeg_file;
    use super::*;
    use crate::config::Config;

    fn household(folder: &std::path::Path) -> Household {
        Household::new(Store::open(folder).unwrap(), &Config::default()).unwrap()
    }

    #[test]
    fn a_photo_goes_with_its_profile_is_kept_over_a_restart_and_gone_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let author = Author::console();
        let one = household(folder.path());
        let name = one.policy().profile[0].name.clone();
        let file = jpeg_file(64, 64, &[]);
        let tag = one.set_photo(&author, &name, &file).unwrap();
        assert!(matches!(
            one.set_photo(&author, "nobody", &file),
            Err(PhotoError::NoProfile(_))
        ));
        assert!(matches!(
            one.set_photo(&author, &name, b"x"),
            Err(PhotoError::Picture(_))
        ));
        drop(one);
        let again = household(folder.path());
        assert_eq!(again.photo_tags().get(&name), Some(&tag));
        assert_eq!(again.photo(&name).unwrap().unwrap().octets, file);
        again
            .follow_photos(&author, &[(name.clone(), Some("renamed".to_owned()))])
            .unwrap();
        assert_eq!(again.photo(&name).unwrap(), None);
        assert_eq!(again.photo_tags().keys().collect::<Vec<_>>(), ["renamed"]);
        again
            .follow_photos(
                &author,
                &[("other".to_owned(), None), ("renamed".to_owned(), None)],
            )
            .unwrap();
        assert!(again.photo_tags().is_empty());
        assert_eq!(again.photo("renamed").unwrap(), None);
    }

    #[test]
    fn two_that_change_their_names_with_each_other_keep_their_own_photos() {
        let folder = tempfile::tempdir().unwrap();
        let author = Author::console();
        let one = household(folder.path());
        for (profile, width) in [("a", 1), ("b", 2)] {
            let kept = Kept {
                octets: BASE64.encode(&jpeg_file(width, 1, &[])),
            };
            one.store.put(&PHOTOS, profile, &kept).unwrap();
        }
        drop(one);
        let one = household(folder.path());
        let swapped = [("a", "b"), ("b", "a")].map(|(old, new)| (old.to_owned(), Some(new.to_owned())));
        one.follow_photos(&author, &swapped).unwrap();
        assert_eq!(one.photo("a").unwrap().unwrap().octets, jpeg_file(2, 1, &[]));
        assert_eq!(one.photo("b").unwrap().unwrap().octets, jpeg_file(1, 1, &[]));
    }
}
