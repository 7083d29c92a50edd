//! Round trips with both compressions, shape, damage.

use super::*;
use crate::format::ReadAt as _;
use proptest::prelude::*;
use std::io::Cursor;

/// Clusters of four kinds: zeros, text, numbers that hardly shrink, noise.
fn disk(clusters: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (number, kind) in clusters.iter().enumerate() {
        let mut state = number as u64 + 1;
        let mut noise = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        bytes.extend((0..CLUSTER).map(|at| match kind % 4 {
            0 => 0,
            1 => b"all work and no play "[at as usize % 21],
            2 => (noise() % 40) as u8,
            _ => noise() as u8,
        }));
    }
    bytes
}

fn image(disk: &[u8], compression: Compression) -> Vec<u8> {
    let mut writer = Writer::new(Cursor::new(Vec::new()), disk.len() as u64, compression).unwrap();
    let mut encoder = Encoder::new(compression).unwrap();
    for (number, cluster) in disk.chunks(CLUSTER as usize).enumerate() {
        let mut cluster = cluster.to_vec();
        cluster.resize(CLUSTER as usize, 0);
        writer.push(number as u64, &encoder.encode(&cluster).unwrap()).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

#[test]
fn disks_written_and_read_are_the_same() {
    for compression in [Compression::Zstd, Compression::Zlib] {
        let mut disk = disk(&[0, 1, 2, 3, 3, 0, 1, 1, 2, 0]);
        disk.truncate(9 * CLUSTER as usize + 512);
        let image = image(&disk, compression);
        let reader = Reader::open(image).unwrap();
        assert_eq!(reader.read_vec(0, disk.len()).unwrap(), disk);
        let name = format!("{compression:?}").to_lowercase();
        let expected = format!("qcow2 590336 bytes {name} compressed 5 plain 2 absent 3");
        assert_eq!(reader.dump().unwrap(), expected);
        assert!(reader.read_vec(disk.len() as u64 - 1, 2).is_err());
    }
}

#[test]
fn tables_that_stand_for_many_parts_are_refused() {
    // 600 MiB need two L2 tables; the second entry of the L1 table (behind header and refcount table) becomes the first.
    let writer = Writer::new(Cursor::new(Vec::new()), 9600 * CLUSTER, Compression::Zstd);
    let (mut writer, mut encoder) = (writer.unwrap(), Encoder::new(Compression::Zstd).unwrap());
    let cluster = encoder.encode(&disk(&[1])).unwrap();
    writer.push(0, &cluster).unwrap();
    writer.push(9000, &cluster).unwrap();
    let good = writer.finish().unwrap().into_inner();
    assert_eq!(Reader::open(good.clone()).unwrap().count().unwrap().compressed, 2);
    let l1 = 2 * CLUSTER as usize;
    let mut twice = good.clone();
    twice.copy_within(l1..l1 + 8, l1 + 8);
    let said = Reader::open(twice).err().unwrap().to_string();
    assert_eq!(said, "the qcow2 header has a wrong L1 table: it names an L2 table twice");
    let mut askew = good;
    askew[l1 + 6] ^= 2;
    let said = Reader::open(askew).err().unwrap().to_string();
    assert_eq!(said, "the qcow2 header has a wrong place of an L2 table");
}

#[test]
fn clusters_out_of_order_are_refused() {
    let mut writer = Writer::new(Cursor::new(Vec::new()), 4 * CLUSTER, Compression::Zstd).unwrap();
    writer.push(2, &Encoded::Zero).unwrap();
    for cluster in [1, 2, 4] {
        let said = writer.push(cluster, &Encoded::Zero).unwrap_err().to_string();
        assert_eq!(said, format!("cluster {cluster} came when cluster 3 or a later one of 4 was wanted"));
    }
    assert!(matches!(Writer::new(Cursor::new(Vec::new()), 100, Compression::Zstd), Err(WriteError::Size(100))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_mixture_survives(kinds in proptest::collection::vec(0_u8..4, 1..12), zlib: bool) {
        let disk = disk(&kinds);
        let compression = if zlib { Compression::Zlib } else { Compression::Zstd };
        let reader = Reader::open(image(&disk, compression)).unwrap();
        prop_assert!(reader.read_vec(0, disk.len()).unwrap() == disk);
    }

    #[test]
    fn mutated_images_never_panic(changes in proptest::collection::vec((any::<u32>(), any::<u8>()), 1..30), zlib: bool) {
        let compression = if zlib { Compression::Zlib } else { Compression::Zstd };
        let mut image = image(&disk(&[1, 2, 0, 3, 1]), compression);
        for (at, value) in changes {
            // Half of the changes hit the header and the tables' first bytes.
            let at = at as usize;
            let at = if at.is_multiple_of(2) { at % 112 } else { at % image.len() };
            image[at] = value;
        }
        if let Ok(reader) = Reader::open(image) {
            let length = reader.size().min(8 * CLUSTER) as usize;
            let _ = reader.read_vec(0, length);
        }
    }
}
