//! What a binary file is, by its first bytes.

/// A known kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Media {
    /// Its media type.
    pub(crate) kind: &'static str,
    /// The same in words.
    pub(crate) words: &'static str,
    /// Pixels from left to right and from top to bottom.
    pub(crate) pixels: Option<(u32, u32)>,
}

/// Where a signature stands, what it is, and of what.
type Signature = (usize, &'static [u8], &'static str, &'static str);

const SIGNATURES: &[Signature] = &[
    (0, b"\x89PNG\r\n\x1a\n", "image/png", "a PNG image"),
    (0, b"\xff\xd8\xff", "image/jpeg", "a JPEG image"),
    (0, b"GIF87a", "image/gif", "a GIF image"),
    (0, b"GIF89a", "image/gif", "a GIF image"),
    (8, b"WEBPVP8", "image/webp", "a WebP image"),
    (0, b"\0\0\x01\0", "image/x-icon", "an icon"),
    (0, b"II*\0", "image/tiff", "a TIFF image"),
    (0, b"MM\0*", "image/tiff", "a TIFF image"),
    (4, b"ftypavif", "image/avif", "an AVIF image"),
    (4, b"ftypheic", "image/heic", "a HEIC image"),
    (0, b"%PDF-", "application/pdf", "a PDF document"),
    (0, b"PK\x03\x04", "application/zip", "a ZIP archive, or a format made of one"),
    (0, b"\x1f\x8b\x08", "application/gzip", "gzip data"),
    (0, b"\x28\xb5\x2f\xfd", "application/zstd", "Zstandard data"),
    (0, b"\xfd7zXZ\0", "application/x-xz", "xz data"),
    (0, b"\x7fELF", "application/x-elf", "an ELF program or library"),
    (0, b"\0asm", "application/wasm", "WebAssembly"),
    (0, b"\xca\xfe\xba\xbe", "application/java-vm", "a Java class"),
    (0, b"SQLite format 3\0", "application/vnd.sqlite3", "an SQLite database"),
    (0, b"wOFF", "font/woff", "a WOFF font"),
    (0, b"wOF2", "font/woff2", "a WOFF2 font"),
];

/// Tells what a file is; none for text and what is not known.
pub(crate) fn of(data: &[u8]) -> Option<Media> {
    let known =
        SIGNATURES.iter().find(|(at, bytes, ..)| data.get(*at..).is_some_and(|d| d.starts_with(bytes)));
    let Some((_, _, kind, words)) = known else {
        // Two letters alone could be text: the size of what follows tells.
        let is_bitmap = data.starts_with(b"BM") && matches!(little(data, 14, 4), Some(40 | 108 | 124));
        let size = |at| little(data, at, 4).map(|pixels| (pixels as i32).unsigned_abs());
        let bitmap = || Media { kind: "image/bmp", words: "a BMP image", pixels: size(18).zip(size(22)) };
        return is_bitmap.then(bitmap);
    };
    let pixels = match *kind {
        "image/png" => big(data, 16, 4).zip(big(data, 20, 4)),
        "image/gif" => little(data, 6, 2).zip(little(data, 8, 2)),
        "image/jpeg" => jpeg(data),
        "image/webp" => webp(data),
        // 0 stands for 256.
        "image/x-icon" => {
            let size = |at| little(data, at, 1).map(|size| if size == 0 { 256 } else { size });
            size(6).zip(size(7))
        }
        _ => None,
    };
    Some(Media { kind, words, pixels })
}

fn big(data: &[u8], at: usize, count: usize) -> Option<u32> {
    Some(data.get(at..at + count)?.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte)))
}

fn little(data: &[u8], at: usize, count: usize) -> Option<u32> {
    Some(data.get(at..at + count)?.iter().rev().fold(0, |sum, byte| sum << 8 | u32::from(*byte)))
}

/// Looks for the segment that begins the frame.
fn jpeg(data: &[u8]) -> Option<(u32, u32)> {
    let mut at = 2;
    loop {
        match (data.get(at)?, data.get(at + 1)?) {
            // Any number of these may stand before a marker.
            (0xff, 0xff) => at += 1,
            // Of the numbers of frames three are other tables.
            (0xff, 0xc0..=0xcf) if !matches!(data[at + 1], 0xc4 | 0xc8 | 0xcc) => {
                return big(data, at + 7, 2).zip(big(data, at + 5, 2));
            }
            (0xff, 0x01 | 0xd0..=0xd8) => at += 2,
            (0xff, _) => at += 2 + big(data, at + 2, 2)? as usize,
            _ => return None,
        }
    }
}

fn webp(data: &[u8]) -> Option<(u32, u32)> {
    match data.get(12..16)? {
        b"VP8 " => Some((little(data, 26, 2)? & 0x3fff, little(data, 28, 2)? & 0x3fff)),
        b"VP8L" => {
            let bits = little(data, 21, 4)?;
            Some(((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1))
        }
        b"VP8X" => Some((little(data, 24, 3)? + 1, little(data, 27, 3)? + 1)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_tell_their_size() {
        let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x02\x80\0\0\x01\xe0\x08";
        let gif = b"GIF89a\x40\x01\xf0\0";
        let jpeg = b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0\xff\xff\xc4\0\x03x\xff\xc2\0\x0b\x08\0\x64\0\xc8\x01";
        let webp = b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\xff\0\0\x7f\0\0";
        let lossy = b"RIFF\0\0\0\0WEBPVP8 \0\0\0\0\0\0\0\x9d\x01\x2a\x40\x01\xf0\0";
        let lossless = b"RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2f\x3f\xc0\x3b\0";
        let bmp = b"BM\0\0\0\0\0\0\0\0\0\0\0\0\x28\0\0\0\x10\0\0\0\xf0\xff\xff\xff";
        for (data, kind, pixels) in [
            (&png[..], "image/png", (640, 480)),
            (gif, "image/gif", (320, 240)),
            (jpeg, "image/jpeg", (200, 100)),
            (webp, "image/webp", (256, 128)),
            (lossy, "image/webp", (320, 240)),
            (lossless, "image/webp", (64, 240)),
            (bmp, "image/bmp", (16, 16)),
            (b"\0\0\x01\0\x01\0\x20\0", "image/x-icon", (32, 256)),
        ] {
            let media = of(data).unwrap();
            assert_eq!((media.kind, media.pixels), (kind, Some(pixels)));
        }
    }

    #[test]
    fn cut_headers_tell_the_type_alone_and_text_nothing() {
        assert_eq!(of(b"\x89PNG\r\n\x1a\n").map(|media| media.pixels), Some(None));
        assert_eq!(of(b"\xff\xd8\xff\xe0\xff\xff").map(|media| media.pixels), Some(None));
        for text in [&b"BMW is a car"[..], b"", b"PK", b"GIF files", b"fn main() {}"] {
            assert_eq!(of(text), None);
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(4000))]
        #[test]
        fn no_bytes_panic(which in 0..SIGNATURES.len(), rest in proptest::collection::vec(proptest::num::u8::ANY, 0..64)) {
            let (at, bytes, ..) = SIGNATURES[which];
            let mut data = b"RIFF\0\0\0\0"[..at].to_vec();
            data.extend_from_slice(bytes);
            data.extend(rest);
            proptest::prop_assert!(of(&data).is_some());
        }
    }
}
