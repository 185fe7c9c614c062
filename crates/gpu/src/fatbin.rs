//! Fat binaries, as `nvcc -fatbin` makes them. The driver is given an address and no length: it believes what the header says.

/// Bytes that a fat binary begins with (`FATBIN_MAGIC` of fatbinary_section.h, 0xba55ed50).
const MAGIC: [u8; 4] = [0x50, 0xed, 0x55, 0xba];
/// Magic, version (2 bytes), length of the header (2), length of what follows it (8).
const HEADER_BYTES: usize = 16;

/// Says why bytes are not one whole fat binary, if so. Anything else the driver may take, such as PTX or a cubin, is refused too:
/// nothing of ours is made so.
pub fn check(bytes: &[u8]) -> Result<(), &'static str> {
    let Some((header, _)) = bytes.split_first_chunk::<HEADER_BYTES>() else { return Err("it is too short") };
    if header[..4] != MAGIC {
        return Err("it is no fat binary");
    }
    let header_bytes = u64::from(u16::from_le_bytes([header[6], header[7]]));
    let body_bytes = u64::from_le_bytes(header[8..].try_into().expect("eight bytes are left"));
    match header_bytes.checked_add(body_bytes) {
        Some(length) if header_bytes >= HEADER_BYTES as u64 && length <= bytes.len() as u64 => Ok(()),
        _ => Err("it is cut short"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binary(header_bytes: u16, body_bytes: u64) -> Vec<u8> {
        let header = [&MAGIC[..], &[1, 0], &header_bytes.to_le_bytes(), &body_bytes.to_le_bytes()].concat();
        [header, vec![0; 32]].concat()
    }

    #[test]
    fn only_a_whole_fat_binary_is_one() {
        assert_eq!(check(&binary(16, 32)), Ok(()));
        assert_eq!(check(&binary(16, 33)), Err("it is cut short"));
        assert_eq!(check(&binary(16, u64::MAX)), Err("it is cut short"));
        assert_eq!(check(&binary(0, 32)), Err("it is cut short"));
        assert_eq!(check(&binary(16, 32)[..15]), Err("it is too short"));
        assert_eq!(check(b".version 8.5\n.target sm_87\n"), Err("it is no fat binary"));
        assert_eq!(check(b"\x7fELF\x02\x01\x01and more of it"), Err("it is no fat binary"));
    }
}
