//! What the guest reads of a volume.

#[path = "../../node/src/seed/base64.rs"]
mod base64;
#[path = "../../node/src/seed/copy.rs"]
pub(crate) mod copy;
#[cfg(test)]
#[path = "../../node/src/seed/example.rs"]
pub(crate) mod example;
#[path = "../../node/src/seed/judge.rs"]
pub(crate) mod judge;
#[path = "../../node/src/seed/policy.rs"]
pub(crate) mod policy;
#[path = "../../node/src/seed/ssh.rs"]
pub(crate) mod ssh;

/// Base64 without padding.
pub(crate) fn encoded(bytes: &[u8]) -> String {
    base64::encode_unpadded(bytes)
}

/// What a text in Base64 stands for.
pub(crate) fn decoded(text: &str) -> Option<Vec<u8>> {
    base64::decode(text)
}
