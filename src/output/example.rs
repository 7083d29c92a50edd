//! A small build for this room's tests.

use crate::base::digest::Digest;
use crate::base::epoch::Epoch;
use crate::base::ids::{LvmId, Uuid};
use crate::base::size::{Bytes, Extents, GIB, Sectors};
use crate::package::{BuildPlan, Pin};
use crate::plan::{
    Disk, Distribution, Filesystem, ImagePlan, Layer, Partition, PartitionRole, Tools, Volume, VolumeGroup,
};

fn pin(name: &str, version: &str, repository: &str) -> Pin {
    Pin {
        name: name.into(),
        version: version.into(),
        architecture: "amd64".into(),
        repository: repository.into(),
        path: format!("pool/main/{name}.deb"),
        size: 1000,
        sha256: Digest::of(name.as_bytes()),
    }
}

/// Three packages in the image, one tool, one partition and one volume.
pub(crate) fn build_plan() -> BuildPlan {
    let image = ImagePlan {
        name: "haproxy".into(),
        recipe: "debian-trixie".into(),
        roles: vec!["haproxy".into()],
        distribution: Distribution { id: "debian".into(), suite: "trixie".into(), efi_folder: "debian".into() },
        architecture: "amd64".into(),
        kernel: "generic".into(),
        repositories: Vec::new(),
        recipe_repositories: 0,
        recommends: false,
        base: Layer::default(),
        role: Layer::default(),
        kernel_arguments: Vec::new(),
        tools: Tools { repositories: Vec::new(), suite: "trixie".into(), packages: Vec::new() },
        trust: Vec::new(),
        disk: Disk {
            size: Bytes(4 * GIB),
            guid: Uuid::derive("example", "disk"),
            partitions: vec![Partition {
                number: 1,
                name: "lvm".into(),
                role: PartitionRole::Lvm,
                guid: Uuid::derive("example", "lvm"),
                first: Sectors(2048),
                length: Sectors(8_000_000),
            }],
            volume_group: VolumeGroup {
                name: "vg0".into(),
                id: LvmId::derive("example", "vg0"),
                pv_id: LvmId::derive("example", "pv"),
                extents: Extents(900),
                volumes: vec![Volume {
                    name: "root".into(),
                    id: LvmId::derive("example", "root"),
                    start: Extents(0),
                    extents: Extents(700),
                    filesystem: Filesystem::Ext4,
                    mount: "/".into(),
                    options: "defaults".into(),
                    uuid: Uuid::derive("example", "root"),
                    label: "root".into(),
                    weight: 1,
                    maximum: None,
                }],
                reserve: Bytes(0),
            },
        },
    };
    BuildPlan {
        image,
        image_id: "0123456789abcdef".into(),
        base_layer_id: "fedcba9876543210".into(),
        epoch: Epoch(1_700_000_000),
        base: vec![pin("bash", "5.2.37-2+b5", "debian"), pin("libstdc++6", "14.2.0-19~x1", "debian-security")],
        role: vec![pin("kubeadm", "1:1.36.0-1.1", "kubernetes")],
        tools: vec![pin("e2fsprogs", "1.47.2-3", "debian")],
        lock_digest: Digest::of(b"lock"),
    }
}
