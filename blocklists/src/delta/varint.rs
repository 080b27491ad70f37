//! Numbers in as few octets as they need: LEB128, seven bits an octet, lowest first.

use std::io::{Read, Write};

use super::DeltaError;

pub(super) fn write(mut number: u64, out: &mut impl Write) -> std::io::Result<()> {
    loop {
        let [low, ..] = (number & 0x7f).to_le_bytes();
        number >>= 7;
        if number == 0 {
            return out.write_all(&[low]);
        }
        out.write_all(&[low | 0x80])?;
    }
}

/// Reads a number; one that could be written in fewer octets is refused, so that there is one form of each delta.
pub(super) fn read(input: &mut impl Read) -> Result<u64, DeltaError> {
    let mut number = 0_u64;
    for place in 0..10 {
        let mut octet = [0];
        input.read_exact(&mut octet).map_err(torn)?;
        let [octet] = octet;
        let bits = u64::from(octet & 0x7f);
        if place == 9 && bits > 1 || place > 0 && octet == 0 {
            return Err(DeltaError::Damaged("a number"));
        }
        number |= bits << (7 * place);
        if octet & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(DeltaError::Damaged("a number"))
}

/// The end of the octets inside something is damage, other failures are failures.
pub(super) fn torn(error: std::io::Error) -> DeltaError {
    if error.kind() == std::io::ErrorKind::UnexpectedEof {
        DeltaError::Damaged("it ends too early")
    } else {
        error.into()
    }
}
