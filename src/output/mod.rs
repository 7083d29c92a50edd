//! Writes results: image formats, manifest, SBOM, checksums.
