//! Whether this machine can run an image's own programs, which building needs.

use crate::base::hint::hinted;
use crate::plan::ImagePlan;
use anyhow::Result;

/// This machine's architecture as the distributions call it.
fn here() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Refuses images for machines of another kind.
pub(super) fn require<'a>(images: impl IntoIterator<Item = &'a ImagePlan>) -> Result<()> {
    images.into_iter().try_for_each(|image| judge(image, here()))
}

fn judge(image: &ImagePlan, here: &str) -> Result<()> {
    let wanted = &image.architecture;
    if wanted == here {
        return Ok(());
    }
    Err(hinted(
        format!(
            "{} of {} is for {wanted}, and this machine is {here}: it cannot run the scripts of its packages",
            image.name, image.recipe
        ),
        format!(
            "build it on a machine of architecture {wanted}; `imgbuild plan` and `imgbuild lock` work here too, so take imgbuild.lock along"
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::hint::hints;
    use crate::output::example;

    #[test]
    fn image_for_another_architecture_is_refused_with_the_way_out() {
        let mut image = example::build_plan().image;
        image.architecture = "arm64".to_owned();
        assert!(judge(&image, "arm64").is_ok());
        let error = judge(&image, "amd64").unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "{} of debian-trixie is for arm64, and this machine is amd64: it cannot run the scripts of its packages",
                image.name
            )
        );
        assert_eq!(
            hints(&error),
            [
                "build it on a machine of architecture arm64; `imgbuild plan` and `imgbuild lock` work here too, so take imgbuild.lock along"
            ]
        );
    }
}
