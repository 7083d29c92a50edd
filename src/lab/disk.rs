//! A machine's disk: a qcow2 overlay on the image, so that nothing is copied and the image stays as it is.

use super::call::Call;
use super::qemu::Qemu;
use crate::base::files;
use crate::base::hint::hinted;
use crate::base::limits::{IMAGE_HEAD_BYTES, IMAGE_OVERLAY_BYTES};
use crate::base::size::Bytes;
use anyhow::{Context as _, Result};
use std::path::Path;

/// What QEMU needs to know of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Image {
    /// QEMU's name of the format.
    pub(super) format: &'static str,
    /// Bytes of the disk in it.
    pub(super) size: u64,
}

/// Looks at an image's first bytes.
pub(super) fn look(path: &Path) -> Result<Image> {
    use std::io::Read as _;
    let file = files::open(path)?;
    let length = file.metadata().with_context(|| format!("reading {}", path.display()))?.len();
    let mut head = Vec::new();
    file.take(IMAGE_HEAD_BYTES).read_to_end(&mut head).with_context(|| format!("reading {}", path.display()))?;
    recognise(&head, length).ok_or_else(|| {
        hinted(
            format!("{} is neither a raw nor a qcow2 image", path.display()),
            "build it with `--format qcow2`: machines boot from raw and qcow2 images",
        )
    })
}

fn recognise(head: &[u8], length: u64) -> Option<Image> {
    if head.starts_with(b"QFI\xfb") {
        let size = u64::from_be_bytes(head.get(24..32)?.try_into().ok()?);
        return Some(Image { format: "qcow2", size });
    }
    let other = [b"KDMV".as_slice(), b"<<< ", b"conectix"].iter().any(|magic| head.starts_with(magic));
    (!other && length > 0 && length.is_multiple_of(512)).then_some(Image { format: "raw", size: length })
}

/// Makes the overlay, or takes the one that is there, and gives it its size.
pub(super) fn prepare(qemu: &Qemu, image: &Path, overlay: &Path, size: Option<Bytes>) -> Result<()> {
    let base = look(image)?;
    // The real place: `latest` may lead to another image when the disk is booted again.
    let place = std::fs::canonicalize(image).with_context(|| format!("resolving {}", image.display()))?;
    let kept = overlay.exists();
    if kept {
        belongs(overlay, &place)?;
    }
    let has = if kept { look(overlay)?.size } else { base.size };
    let wanted = size.map_or(has, |size| size.0);
    if wanted < has {
        return Err(hinted(
            format!("a disk of {} cannot become one of {}", Bytes(has), Bytes(wanted)),
            format!("leave out `--size`, or give at least {}", Bytes(has)),
        ));
    }
    if !kept {
        // qemu-img creates files; the call may only write what exists.
        files::write_atomic(overlay, &[])?;
        let mut call = Call::new(qemu, "qemu-img");
        let target = call.writes(overlay)?;
        // The name in the overlay is for `belongs`: machines get the image's place on their command line.
        call.args(["create", "-q", "-u", "-f", "qcow2", "-F", base.format, "-b"]);
        call.args([place.to_string_lossy().into_owned(), target, wanted.to_string()]);
        return call.must().with_context(|| format!("creating the disk {}", overlay.display()));
    }
    if wanted == has {
        return Ok(());
    }
    let mut call = Call::new(qemu, "qemu-img");
    let options = chain(&mut call, image, overlay)?;
    call.args(["resize", "-q", "--image-opts", &options, &wanted.to_string()]);
    call.must().with_context(|| format!("resizing the disk {}", overlay.display()))
}

/// Makes an empty disk, or leaves the one that is there.
pub(super) fn blank(qemu: &Qemu, path: &Path, size: Bytes) -> Result<()> {
    if path.exists() {
        return Ok(());
    }
    files::write_atomic(path, &[])?;
    let mut call = Call::new(qemu, "qemu-img");
    let target = call.writes(path)?;
    call.args(["create", "-q", "-f", "qcow2", &target, &size.0.to_string()]);
    call.must().with_context(|| format!("creating the disk {}", path.display()))
}

/// Refuses a kept disk that was begun on another image: its blocks would be laid over foreign ones.
fn belongs(overlay: &Path, image: &Path) -> Result<()> {
    let bytes = {
        use std::io::Read as _;
        let mut bytes = Vec::new();
        let reading = || format!("reading {}", overlay.display());
        files::open(overlay)?.take(IMAGE_OVERLAY_BYTES).read_to_end(&mut bytes).with_context(reading)?;
        bytes
    };
    match backing(&bytes) {
        Some(name) if name != image.to_string_lossy() => Err(hinted(
            format!("the disk {} was begun on {name}, not on {}", overlay.display(), image.display()),
            format!("boot `{name}` with it, or name another file with `--disk`"),
        )),
        _ => Ok(()),
    }
}

/// The name of the image below, as a qcow2 header gives it.
fn backing(bytes: &[u8]) -> Option<String> {
    let at = usize::try_from(u64::from_be_bytes(bytes.get(8..16)?.try_into().ok()?)).ok()?;
    let length = usize::try_from(u32::from_be_bytes(bytes.get(16..20)?.try_into().ok()?)).ok()?;
    let name = bytes.get(at..at.checked_add(length)?)?;
    (at > 0 && bytes.starts_with(b"QFI\xfb")).then(|| String::from_utf8_lossy(name).into_owned())
}

/// The overlay on its image, as QEMU's options name them.
pub(super) fn chain(call: &mut Call, image: &Path, overlay: &Path) -> Result<String> {
    let base = look(image)?;
    let (image, overlay) = (escaped(&call.reads(image)?), escaped(&call.writes(overlay)?));
    Ok(format!(
        "driver=qcow2,file.driver=file,file.filename={overlay},\
         backing.driver={},backing.read-only=on,backing.file.driver=file,backing.file.filename={image}",
        base.format
    ))
}

/// A path within a comma-separated option.
pub(super) fn escaped(path: &str) -> String {
    path.replace(',', ",,")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_disk_boots_only_on_the_image_it_was_begun_on() {
        let folder = tempfile::tempdir().unwrap();
        let overlay = folder.path().join("disk.qcow2");
        let name = b"/out/images/web/1111/web.qcow2";
        let mut bytes = b"QFI\xfb\0\0\0\x03".to_vec();
        bytes.extend(120_u64.to_be_bytes());
        bytes.extend(u32::try_from(name.len()).unwrap().to_be_bytes());
        bytes.resize(120, 0);
        bytes.extend(name);
        std::fs::write(&overlay, &bytes).unwrap();
        belongs(&overlay, Path::new("/out/images/web/1111/web.qcow2")).unwrap();
        let error = belongs(&overlay, Path::new("/out/images/web/2222/web.qcow2")).unwrap_err().to_string();
        assert!(error.ends_with("was begun on /out/images/web/1111/web.qcow2, not on /out/images/web/2222/web.qcow2"));
        for length in 0..bytes.len() {
            assert_eq!(backing(&bytes[..length]), None);
        }
        bytes[8] = 0xff;
        assert_eq!(backing(&bytes), None);
    }

    #[test]
    fn images_are_recognised_by_their_first_bytes() {
        let mut qcow2 = b"QFI\xfb".to_vec();
        qcow2.resize(24, 0);
        qcow2.extend(4096_u64.to_be_bytes());
        assert_eq!(recognise(&qcow2, 100), Some(Image { format: "qcow2", size: 4096 }));
        assert_eq!(recognise(&[0; 32], 1024), Some(Image { format: "raw", size: 1024 }));
        assert_eq!(recognise(&[0; 32], 1000), None);
        assert_eq!(recognise(b"KDMV", 1024), None);
        assert_eq!(recognise(b"QFI\xfb", 4), None);
    }
}
