//! What the parser sees of `imgbuild seed`.

use super::typed::Access;
use clap::{Args, ValueEnum};

/// `imgbuild seed`.
#[derive(Args, Debug)]
pub struct Seed {
    /// The cluster: its folder below seeds/, or a path
    pub cluster: String,
    /// What each seed is written as, beside the folder with its files
    #[arg(long, value_name = "FORM", default_value = "iso", env = "IMGBUILD_FORM", hide_env_values = true)]
    pub form: SeedForm,
    /// With `--form http`: where machines will find what is served
    #[arg(long, value_name = "URL", required_if_eq("form", "http"), env = "IMGBUILD_URL", hide_env_values = true)]
    pub url: Option<String>,
    /// How its secrets are opened.
    #[command(flatten)]
    pub access: Access,
}

/// What a seed is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SeedForm {
    /// ISO 9660, for a CD drive or a disk
    Iso,
    /// FAT32, for a disk or a memory stick
    Vfat,
    /// Nothing but the folder
    Folder,
    /// cloud-init's documents alone, for any web server and for images that are not imgbuild's
    Http,
}
