//! Pictures that browsers send: what they really are, how large, and without what cameras write beside them.
//!
//! Read octet by octet and put together anew: what is not needed to show the picture, place and time of a photo above all, is in none
//! that leaves here. What is not understood is refused. Nothing is decoded: that is done by browsers, which are made for it.

/// Largest width and height.
const SIDE: u16 = 256;
/// Largest file, octets.
pub const LARGEST: usize = 32 * 1024;

/// What kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// JPEG (ITU-T T.81).
    Jpeg,
    /// WebP (RFC 9649), not moving.
    Webp,
}

impl Kind {
    /// As HTTP names it.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Webp => "image/webp",
        }
    }
}

/// Why a picture is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WrongPicture {
    /// Too many octets.
    #[error("the picture has more than {LARGEST} octets; make it smaller")]
    Large,
    /// Too wide or too high.
    #[error("the picture is larger than {SIDE} by {SIDE}; make it smaller")]
    Wide,
    /// Something else.
    #[error("this is no JPEG and no WebP picture, or it is damaged or moving; take another one")]
    Unknown,
}

/// What the octets are, and the same without what is not needed to show them.
pub(super) fn clean(octets: &[u8]) -> Result<(Kind, Vec<u8>), WrongPicture> {
    if octets.len() > LARGEST {
        return Err(WrongPicture::Large);
    }
    let found = if octets.starts_with(&[0xff, 0xd8]) {
        jpeg(octets).map(|found| (Kind::Jpeg, found))
    } else {
        webp(octets).map(|found| (Kind::Webp, found))
    };
    let (kind, (out, width, height)) = found.ok_or(WrongPicture::Unknown)?;
    if width == 0 || height == 0 {
        return Err(WrongPicture::Unknown);
    }
    if width > u32::from(SIDE) || height > u32::from(SIDE) {
        return Err(WrongPicture::Wide);
    }
    Ok((kind, out))
}

/// A picture with its width and height.
type Found = (Vec<u8>, u32, u32);

/// The segments of a JPEG file (T.81, annex B).
fn jpeg(octets: &[u8]) -> Option<Found> {
    let mut out = octets.get(..2)?.to_vec();
    let mut rest = octets.get(2..)?;
    let (mut size, mut scans) = (None, 0);
    loop {
        let (marker, after) = marker(rest)?;
        rest = after;
        if marker == 0xd9 {
            out.extend_from_slice(&[0xff, 0xd9]); // what stands behind the end is no part of the picture
            let (width, height) = size.filter(|_| scans > 0)?;
            return Some((out, width, height));
        }
        let length = usize::from(u16::from_be_bytes(*rest.first_chunk::<2>()?));
        let (segment, after) = rest.split_at_checked(length)?;
        let body = segment.get(2..)?;
        rest = after;
        let keep = match marker {
            0xc0..=0xc2 => {
                let (&[_, high, low, wide, narrow], _) = body.split_first_chunk::<5>()?;
                let number = |high, low| u32::from(u16::from_be_bytes([high, low]));
                let new = (number(wide, narrow), number(high, low));
                if size.replace(new).is_some() {
                    return None; // frames of a hierarchical picture
                }
                true
            }
            0xc4 | 0xdb | 0xdd | 0xda => true, // tables, restarts, a scan
            0xe0 => body.starts_with(b"JFIF\0") && body.len() == 14, // without a small picture in it
            0xe2 => body.starts_with(b"ICC_PROFILE\0"),
            0xee => body.starts_with(b"Adobe") && body.len() == 12,
            0xe1..=0xef | 0xfe => false, // EXIF, XMP, IPTC and what else cameras and programs write
            _ => return None,
        };
        if keep {
            out.extend_from_slice(&[0xff, marker]);
            out.extend_from_slice(segment);
        }
        if marker == 0xda {
            scans += 1;
            let length = scan(rest)?;
            let (data, after) = rest.split_at_checked(length)?;
            out.extend_from_slice(data);
            rest = after;
        }
    }
}

/// The next marker, which may have filling in front of it.
fn marker(rest: &[u8]) -> Option<(u8, &[u8])> {
    let filling = rest.iter().take_while(|octet| **octet == 0xff).count();
    let (&marker, after) = rest.get(filling..)?.split_first()?;
    (filling > 0 && marker != 0).then_some((marker, after))
}

/// Octets of a scan's data: up to a marker that is no restart.
fn scan(data: &[u8]) -> Option<usize> {
    let pairs = data.windows(2);
    let end = |pair: &[u8]| matches!(pair, [0xff, next] if !matches!(next, 0 | 0xd0..=0xd7 | 0xff));
    pairs.into_iter().position(end)
}

/// The chunks of a WebP file (RFC 9649, section 2).
fn webp(octets: &[u8]) -> Option<Found> {
    let (head, rest) = octets.split_first_chunk::<12>()?;
    let [b'R', b'I', b'F', b'F', a, b, c, d, b'W', b'E', b'B', b'P'] = *head else {
        return None;
    };
    let length = usize::try_from(u32::from_le_bytes([a, b, c, d])).ok()?;
    let mut rest = rest.get(..length.checked_sub(4)?)?;
    let mut out = Vec::new();
    let (mut canvas, mut image) = (None, None);
    while !rest.is_empty() {
        let (name, after) = rest.split_first_chunk::<4>()?;
        let (size, after) = after.split_first_chunk::<4>()?;
        let size_octets = usize::try_from(u32::from_le_bytes(*size)).ok()?;
        let (body, after) = after.split_at_checked(size_octets)?;
        let (_, after) = after.split_at_checked(size_octets % 2)?; // chunks begin at even places
        rest = after;
        let mut body = body.to_vec();
        match name {
            b"VP8X" if canvas.is_none() && image.is_none() => canvas = Some(extended(&mut body)?),
            b"VP8 " if image.is_none() => image = Some(lossy(&body)?),
            b"VP8L" if image.is_none() => image = Some(lossless(&body)?),
            b"ALPH" | b"ICCP" => {}
            b"VP8X" | b"VP8 " | b"VP8L" | b"ANIM" | b"ANMF" => return None,
            _ => continue, // EXIF, XMP, and what nobody knows
        }
        out.extend_from_slice(name);
        out.extend_from_slice(size);
        out.extend_from_slice(&body);
        out.resize(out.len().next_multiple_of(2), 0);
    }
    let (width, height) = image?;
    let (wide, high) = canvas.unwrap_or((width, height));
    let length = u32::try_from(out.len()).ok()?.checked_add(4)?;
    let out = [&b"RIFF"[..], &length.to_le_bytes(), b"WEBP", &out].concat();
    Some((out, width.max(wide), height.max(high)))
}

/// The canvas of an extended file; its flags say no more that there is EXIF or XMP.
fn extended(body: &mut [u8]) -> Option<(u32, u32)> {
    let flags = body.first_mut()?;
    if *flags & 0x02 != 0 {
        return None; // moving
    }
    *flags &= !(0x08 | 0x04);
    let [_, _, _, _, sides @ ..] = <&[u8; 10]>::try_from(&*body).ok()?;
    let (width, height) = sides.split_first_chunk::<3>()?;
    let side = |&[low, middle, high]: &[u8; 3]| u32::from_le_bytes([low, middle, high, 0]) + 1;
    Some((side(width), side(height.try_into().ok()?)))
}

/// Width and height of a key frame (RFC 6386, section 9.1).
fn lossy(body: &[u8]) -> Option<(u32, u32)> {
    let &[tag, _, _, 0x9d, 0x01, 0x2a, a, b, c, d] = body.first_chunk::<10>()? else {
        return None;
    };
    let side = |low, high| u32::from(u16::from_le_bytes([low, high]) & 0x3fff);
    (tag & 1 == 0).then(|| (side(a, b), side(c, d)))
}

/// Width and height of a lossless picture (RFC 9649, section 3.4).
fn lossless(body: &[u8]) -> Option<(u32, u32)> {
    let &[0x2f, a, b, c, d] = body.first_chunk::<5>()? else {
        return None;
    };
    let bits = u32::from_le_bytes([a, b, c, d]);
    Some(((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    fn segment(marker: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len() + 2).unwrap();
        [&[0xff, marker][..], &length.to_be_bytes(), body].concat()
    }

    /// A JPEG file of this size, with these segments in front.
    pub(crate) fn jpeg_file(width: u16, height: u16, more: &[Vec<u8>]) -> Vec<u8> {
        let frame = [
            &[8][..],
            &height.to_be_bytes(),
            &width.to_be_bytes(),
            &[1, 1, 0x11, 0],
        ]
        .concat();
        [
            vec![0xff, 0xd8],
            segment(0xe0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0"),
            more.concat(),
            segment(0xdb, &[0; 65]),
            segment(0xc0, &frame),
            segment(0xc4, &[0; 20]),
            segment(0xda, &[1, 1, 0, 0, 63, 0]),
            vec![0x12, 0xff, 0x00, 0x34, 0xff, 0xd0, 0x56], // data with a stuffed octet and a restart
            vec![0xff, 0xd9],
        ]
        .concat()
    }

    fn chunk(name: [u8; 4], body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len()).unwrap();
        let mut out = [&name[..], &length.to_le_bytes(), body].concat();
        out.resize(out.len().next_multiple_of(2), 0);
        out
    }

    fn webp_file(chunks: &[Vec<u8>]) -> Vec<u8> {
        let chunks = chunks.concat();
        let length = u32::try_from(chunks.len() + 4).unwrap();
        [&b"RIFF"[..], &length.to_le_bytes(), b"WEBP", &chunks].concat()
    }

    fn frame(width: u16, height: u16) -> Vec<u8> {
        let head = [0x10, 0, 0, 0x9d, 0x01, 0x2a];
        let frame = [&head[..], &width.to_le_bytes(), &height.to_le_bytes(), b"data!"].concat();
        chunk(*b"VP8 ", &frame)
    }

    fn canvas(flags: u8, width: u8, height: u8) -> Vec<u8> {
        chunk(*b"VP8X", &[flags, 0, 0, 0, width, 0, 0, height, 0, 0])
    }

    #[test]
    fn where_and_when_a_photo_was_taken_is_in_none_that_is_kept() {
        let exif = segment(0xe1, b"Exif\0\0GPS 41.33N 19.82E");
        let noted = [
            exif,
            segment(0xfe, b"comment"),
            segment(0xed, b"IPTC"),
            segment(0xe1, b"http://ns.adobe.com/xap/1.0/\0"),
        ];
        let mut file = jpeg_file(200, 100, &noted);
        file.extend_from_slice(b"a film behind the picture");
        let (kind, cleaned) = clean(&file).unwrap();
        assert_eq!((kind, &cleaned), (Kind::Jpeg, &jpeg_file(200, 100, &[])));

        let told = [
            canvas(0x0c, 199, 99),
            frame(200, 100),
            chunk(*b"EXIF", b"GPS"),
            chunk(*b"XMP ", b"<x/>"),
            chunk(*b"junk", b"x"),
        ];
        let (kind, cleaned) = clean(&webp_file(&told)).unwrap();
        let expected = webp_file(&[canvas(0, 199, 99), frame(200, 100)]);
        assert_eq!((kind, cleaned), (Kind::Webp, expected));
        let simple = webp_file(&[frame(256, 256)]);
        assert_eq!(clean(&simple).unwrap().1, simple);
    }

    #[test]
    fn what_is_too_large_moving_or_something_else_is_refused() {
        let wide = |file: &[u8]| clean(file) == Err(WrongPicture::Wide);
        assert!(wide(&jpeg_file(257, 1, &[])) && wide(&jpeg_file(1, 300, &[])));
        assert!(wide(&webp_file(&[frame(257, 10)])));
        let huge = [
            canvas(0, 255, 255),
            chunk(*b"VP8L", &[0x2f, 0xff, 0xff, 0xff, 0x0f]),
        ];
        assert!(wide(&webp_file(&huge)), "a small canvas with a large picture");
        assert_eq!(clean(&vec![0xff; LARGEST + 1]), Err(WrongPicture::Large));
        let svg = b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>".to_vec();
        let polyglot = [&[0xff, 0xd8][..], b"<script>alert(1)</script>"].concat();
        let moving = webp_file(&[canvas(2, 9, 9), chunk(*b"ANIM", &[0; 6])]);
        let cut = jpeg_file(10, 10, &[]);
        for (what, file) in [
            ("svg", svg),
            ("png", b"\x89PNG\r\n\x1a\n".to_vec()),
            ("gif", b"GIF89a".to_vec()),
            ("polyglot", polyglot),
            ("moving", moving),
            ("cut", cut[..cut.len() - 2].to_vec()),
            ("empty", Vec::new()),
            ("no picture", webp_file(&[])),
            ("flat", jpeg_file(10, 0, &[])),
        ] {
            assert_eq!(clean(&file), Err(WrongPicture::Unknown), "{what}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_sent_is_cleaned_once_and_stays_the_same_or_is_refused(
            place in 0_usize..400, octet in any::<u8>(), end in 0_usize..400, kind in any::<bool>(),
        ) {
            let told = [canvas(0x0c, 199, 99), frame(200, 100), chunk(*b"EXIF", b"GPS")];
            let mut file = if kind { jpeg_file(200, 100, &[segment(0xe1, b"Exif\0\0GPS")]) } else { webp_file(&told) };
            if let Some(there) = file.get_mut(place) {
                *there = octet;
            }
            file.truncate(end.max(file.len().saturating_sub(end)));
            if let Ok((kind, cleaned)) = clean(&file) {
                prop_assert_eq!(clean(&cleaned), Ok((kind, cleaned.clone())));
            }
        }

        #[test]
        fn octets_of_any_kind_are_refused_or_taken_without_harm(octets in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = clean(&octets);
            let _ = clean(&[&[0xff, 0xd8, 0xff][..], &octets].concat());
            let _ = clean(&[&b"RIFF\xc8\0\0\0WEBP"[..], &octets].concat());
        }
    }
}
