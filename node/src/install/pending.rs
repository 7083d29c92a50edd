//! What changed files entail and was not done yet. It outlives a restart; what a restart does anyway is dropped then.

use crate::files;
use crate::format::Effect;
use crate::places::{Places, state};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The longest such file.
const PENDING_BYTES: u64 = 4 << 20;

/// Left to do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pending {
    /// Which boot wrote it.
    #[serde(default)]
    pub(crate) boot: String,
    /// What the changes entail.
    pub(crate) effects: BTreeSet<Effect>,
    /// Units that an earlier generation ran and this one does not name.
    pub(crate) retired: BTreeSet<String>,
}

impl Pending {
    /// What is left to do. A damaged file counts as nothing: everything in it is done at a restart as well.
    pub(crate) fn read(places: &Places) -> Result<Self, String> {
        let bytes = files::read_optional(&places.state(state::PENDING), PENDING_BYTES)?;
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default())
    }

    /// Writes it, durably.
    pub(crate) fn write(&self, places: &Places) -> Result<(), String> {
        let text = serde_json::to_vec_pretty(self).map_err(|error| format!("writing what is left to do: {error}"))?;
        files::replace(&places.state(state::PENDING), &text, 0o600)
    }

    /// Without what another boot left to restart: what ran then does not run any more.
    pub(crate) fn since_boot(mut self, boot: &str) -> Self {
        if self.boot != boot {
            self.effects.retain(|effect| !matches!(effect, Effect::Restart(_) | Effect::Reload(_)));
            boot.clone_into(&mut self.boot);
        }
        self
    }
}

/// Adds to what is left to do.
pub(super) fn add(places: &Places, more: &Pending) -> Result<(), String> {
    let mut pending = Pending::read(places)?.since_boot(&boot_id(places));
    pending.effects.extend(more.effects.iter().cloned());
    pending.retired.extend(more.retired.iter().cloned());
    pending.write(places)
}

/// Names this boot.
pub(crate) fn boot_id(places: &Places) -> String {
    let text = std::fs::read_to_string(places.at("proc/sys/kernel/random/boot_id")).unwrap_or_default();
    text.trim().to_owned()
}
