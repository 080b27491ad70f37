//! Confirmations of prefix lists, as publish leaves them for the service: answers signed ahead of time, one file a version.
//!
//! ```text
//! state/confirm/<list>/<version>.answers      lines of: prefix, blank, Confirmation as JSON; sorted by prefix
//! ```
//!
//! The service finds an answer by bisection in the file and sends it as it stands. It needs no key and no memory, and it
//! cannot answer what was not signed. The folder is no part of the public repository: whoever had all answers would have
//! the hashed list that the prefixes keep back.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use isigurt_wire::confirm::{ANSWER, Confirmation, Question};

/// The file of a version of a list below the publisher's state.
pub(crate) fn file(state: &Path, list: &str, version: u64) -> PathBuf {
    state
        .join("confirm")
        .join(list)
        .join(format!("{version}.answers"))
}

/// The octets of such a file.
pub(crate) fn octets(mut answers: Vec<Confirmation>) -> serde_json::Result<Vec<u8>> {
    answers.sort_unstable_by(|one, other| one.prefix.cmp(&other.prefix));
    let mut octets = Vec::new();
    for answer in &answers {
        octets.extend_from_slice(answer.prefix.as_bytes());
        octets.push(b' ');
        serde_json::to_writer(&mut octets, answer)?;
        octets.push(b'\n');
    }
    Ok(octets)
}

/// The answer to a question, as JSON; `None` where there is none. A question that is not of the form has none.
pub(crate) fn answer(state: &Path, question: &Question) -> io::Result<Option<Vec<u8>>> {
    let kebab = |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'-';
    let hexadecimal = |octet: u8| octet.is_ascii_digit() || (b'a'..=b'f').contains(&octet);
    let list = &question.list;
    if list.is_empty()
        || list.len() > 64
        || !list.bytes().all(kebab)
        || !question.prefix.bytes().all(hexadecimal)
    {
        return Ok(None);
    }
    match File::open(file(state, list, question.version)) {
        Ok(file) => find(&file, &question.prefix),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Bisects: between `low` and `high`, both starts of lines, the line may be.
fn find(file: &File, prefix: &str) -> io::Result<Option<Vec<u8>>> {
    let key = format!("{prefix} ");
    let (mut low, mut high) = (0, file.metadata()?.len());
    while low < high {
        let middle = low + (high - low) / 2;
        // The line that holds the octet in the middle starts behind the last line feed before it.
        let start = line_start(file, low, middle)?;
        let line = line(file, start)?;
        let next = start + line.len() as u64 + 1;
        let front = line.get(..key.len().min(line.len())).unwrap_or_default();
        match front.cmp(key.as_bytes()) {
            std::cmp::Ordering::Equal => return Ok(line.get(key.len()..).map(<[u8]>::to_vec)),
            std::cmp::Ordering::Less => low = next,
            std::cmp::Ordering::Greater => high = start,
        }
    }
    Ok(None)
}

fn line_start(file: &File, low: u64, middle: u64) -> io::Result<u64> {
    let mut end = middle;
    while end > low {
        let start = low.max(end.saturating_sub(512));
        let mut block = vec![0; usize::try_from(end - start).unwrap_or(0)];
        file.read_exact_at(&mut block, start)?;
        if let Some(place) = block.iter().rposition(|&octet| octet == b'\n') {
            return Ok(start + place as u64 + 1);
        }
        end = start;
    }
    Ok(low)
}

fn line(file: &File, start: u64) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    let mut block = [0; 512];
    while line.len() <= ANSWER {
        let count = file.read_at(&mut block, start + line.len() as u64)?;
        let part = block.get(..count).unwrap_or_default();
        if let Some(end) = part.iter().position(|&octet| octet == b'\n') {
            line.extend_from_slice(part.get(..end).unwrap_or_default());
            return Ok(line);
        }
        if count == 0 {
            break;
        }
        line.extend_from_slice(part);
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidData,
        "a line of the answers is not whole",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::SigningKey;

    #[test]
    fn each_prefix_has_its_answer_and_others_have_none() {
        let folder = tempfile::tempdir().unwrap();
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).unwrap();
        let key = SigningKey::from_bytes(&seed);
        let question = |prefix: &str| Question {
            list: "abuse".to_owned(),
            version: 3,
            prefix: prefix.to_owned(),
        };
        let prefixes: Vec<String> = (0..500_u32)
            .map(|number| format!("{:06x}", number * 7 + 3))
            .collect();
        let answers = prefixes.iter().map(|prefix| {
            let hashes = (0..prefix.len() + usize::from(prefix.as_bytes()[5] % 9))
                .map(|number| format!("{prefix}{number:026x}"))
                .collect();
            Confirmation::signed(&question(prefix), hashes, 100, &key)
        });
        let file = file(folder.path(), "abuse", 3);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, octets(answers.rev().collect()).unwrap()).unwrap();
        let keys = [data_encoding::HEXLOWER.encode(key.verifying_key().as_bytes())];
        for prefix in &prefixes {
            let octets = answer(folder.path(), &question(prefix)).unwrap().unwrap();
            let answer: Confirmation = serde_json::from_slice(&octets).unwrap();
            assert_eq!(answer.verify(&question(prefix), &keys, 0), Ok(()), "{prefix}");
        }
        for prefix in ["000000", "000004", "ffffff", "0000", "", "00000g"] {
            assert_eq!(
                answer(folder.path(), &question(prefix)).unwrap(),
                None,
                "{prefix}"
            );
        }
        for list in ["other", "../abuse", ""] {
            let question = Question {
                list: list.to_owned(),
                ..question("000003")
            };
            assert_eq!(answer(folder.path(), &question).unwrap(), None, "{list}");
        }
    }
}
