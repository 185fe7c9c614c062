//! What may be shown of an address: where it leads, and never who may go there.

/// Returns scheme, host and port of an address. User and password are left out, and so is what follows the host, because some
/// cameras take the password there.
pub fn address(address: &str) -> String {
    let (scheme, rest) = address.find("://").map_or(("", address), |end| address.split_at(end + "://".len()));
    let (authority, behind) = rest.find(['/', '?', '#']).map_or((rest, ""), |end| rest.split_at(end));
    let host = match (authority.rsplit_once('@'), behind.contains('@')) {
        (None, false) => authority,
        (Some((_, host)), false) => host,
        // A password may have a slash in it, and then begins where a port would.
        (None, true) => authority.split(':').next().unwrap_or_default(),
        (Some(_), true) => "...",
    };
    format!("{scheme}{host}")
}

/// Returns a text with every address in it shown as [`address`] shows it.
pub fn text(text: &str) -> String {
    let shown = |word: &str| if word.contains("://") { address(word) } else { word.to_owned() };
    text.split(' ').map(shown).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_user_and_password_wherever_they_stand() {
        for (given, shown) in [
            ("rtsp://192.168.144.25:8554/main", "rtsp://192.168.144.25:8554"),
            ("rtsp://admin:secret@camera:554/main", "rtsp://camera:554"),
            ("rtsps://admin:sec@ret@camera", "rtsps://camera"),
            ("rtsp://camera:554/user=admin&password=secret&channel=1", "rtsp://camera:554"),
            ("rtsp://camera:554/user=admin&password=sec@ret", "rtsp://camera"),
            ("rtsp://admin:sec/ret@camera/main", "rtsp://admin"),
            ("rtsp://admin:sec@r/et@camera/main", "rtsp://..."),
            ("admin:secret@camera/main", "camera"),
        ] {
            assert_eq!(address(given), shown, "{given}");
        }
        let said = "cannot open \"rtsp://admin:secret@camera:554/main\" (401)";
        assert_eq!(text(said), "cannot open \"rtsp://camera:554 (401)");
        assert_eq!(text("No such file \"/a b/c@d.mp4\""), "No such file \"/a b/c@d.mp4\"");
    }
}
