//! The cache as octets, so that a restart does not begin with an empty one.
//!
//! A head (magic, version, seconds since 1970), then an entry after the other: DO and CD (1 octet), age in milliseconds (8),
//! length (4), the message. Numbers are little-endian. What comes back is read as carefully as an upstream's answer; whether
//! the octets are those that were written is for the caller to check.

use std::io::{self, Read, Write};

use isigurt_blocklists::name::NameRef;

use super::{Cache, KeyRef};
use crate::wire::finished::{Finished, TtlBounds};
use crate::wire::query::skip_name;
use crate::wire::{HEADER, targets, u16_at};

const MAGIC: &[u8; 8] = b"ISGCACHE";
const VERSION: u32 = 1;

/// What came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restored {
    /// Answers that are of use again.
    pub entries: usize,
}

/// Why nothing comes back.
#[derive(Debug, thiserror::Error)]
pub enum Damaged {
    /// Reading failed.
    #[error("{0}")]
    Read(#[from] io::Error),
    /// Another program's file, or another version's.
    #[error("not a saved cache of this version")]
    Format,
    /// Saved later than now.
    #[error("saved in the future")]
    Clock,
    /// What it holds is no answer.
    #[error("damaged")]
    Entry,
}

impl Cache {
    /// Writes every answer that is within its time or may be served stale, but for names that `private` holds back.
    pub fn save(
        &self,
        out: &mut impl Write,
        wall_s: u64,
        now_ms: u64,
        private: impl Fn(NameRef<'_>) -> bool,
    ) -> io::Result<usize> {
        out.write_all(MAGIC)?;
        out.write_all(&VERSION.to_le_bytes())?;
        out.write_all(&wall_s.to_le_bytes())?;
        let mut saved = 0;
        for (_, entry) in self.entries.iter() {
            let age_ms = entry.age_ms(now_ms);
            let end = (u64::from(entry.answer.ttl()) * 1000).saturating_add(self.stale_window_ms);
            if age_ms >= end || private(entry.name()) {
                continue;
            }
            let wire = entry.answer.wire();
            out.write_all(&[entry.bits])?;
            out.write_all(&age_ms.to_le_bytes())?;
            out.write_all(&u32::try_from(wire.len()).unwrap_or(0).to_le_bytes())?;
            out.write_all(wire)?;
            saved += 1;
        }
        Ok(saved)
    }

    /// Takes back what [`Cache::save`] wrote. What was in the cache stays.
    pub fn restore(
        &self,
        from: &mut impl Read,
        wall_s: u64,
        now_ms: u64,
        bounds: TtlBounds,
    ) -> Result<Restored, Damaged> {
        let mut head = [0; 20];
        from.read_exact(&mut head)?;
        let (magic, rest) = head.split_first_chunk::<8>().ok_or(Damaged::Format)?;
        let (version, saved_s) = rest.split_first_chunk::<4>().ok_or(Damaged::Format)?;
        if magic != MAGIC || u32::from_le_bytes(*version) != VERSION {
            return Err(Damaged::Format);
        }
        let saved_s = u64::from_le_bytes(saved_s.try_into().map_err(|_| Damaged::Format)?);
        let away_ms = wall_s
            .checked_sub(saved_s)
            .ok_or(Damaged::Clock)?
            .saturating_mul(1000);
        let now = i64::try_from(now_ms).unwrap_or(i64::MAX);
        let mut restored = Restored { entries: 0 };
        let mut wire = Vec::new();
        let mut bits = [0];
        while from.read(&mut bits)? == 1 {
            let (mut age, mut length) = ([0; 8], [0; 4]);
            from.read_exact(&mut age)?;
            from.read_exact(&mut length)?;
            wire.clear();
            let length = u64::from(u32::from_le_bytes(length).min(1 << 16));
            from.by_ref().take(length).read_to_end(&mut wire)?;
            let age_ms = u64::from_le_bytes(age).saturating_add(away_ms);
            let stored_ms = now.saturating_sub(i64::try_from(age_ms).unwrap_or(i64::MAX));
            restored.entries += usize::from(self.put_back(bits[0], &wire, age_ms, stored_ms, bounds)?);
        }
        Ok(restored)
    }

    fn put_back(
        &self,
        bits: u8,
        wire: &[u8],
        age_ms: u64,
        stored_ms: i64,
        bounds: TtlBounds,
    ) -> Result<bool, Damaged> {
        let end = skip_name(wire, HEADER).ok_or(Damaged::Entry)?;
        let name = wire.get(HEADER..end).ok_or(Damaged::Entry)?;
        let key = KeyRef {
            name: NameRef::from_lower_wire(name).map_err(|_| Damaged::Entry)?,
            qtype: u16_at(wire, end).ok_or(Damaged::Entry)?,
            dnssec_ok: bits & 1 != 0,
            checking_disabled: bits & 2 != 0,
        };
        let answer = Finished::from_upstream(wire, end - HEADER + 4, bounds).map_err(|_| Damaged::Entry)?;
        let targets = targets::targets(answer.wire()).ok_or(Damaged::Entry)?;
        let end = (u64::from(answer.ttl()) * 1000).saturating_add(self.stale_window_ms);
        Ok(age_ms < end && self.insert(key, answer, targets, stored_ms))
    }
}
