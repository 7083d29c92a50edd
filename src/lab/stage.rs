//! How far a machine has come, read from what it says on its console.

use crate::base::limits::LAB_CONSOLE_LINE_BYTES;
use serde::{Deserialize, Serialize};

/// What the guest's own program begins its lines with; the stage follows in brackets.
const OURS: &str = "imgbuild-node: [";

/// How far a machine has come, in the order in which it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Nothing but the firmware has said anything.
    Firmware,
    /// The boot loader.
    Grub,
    /// The kernel.
    Kernel,
    /// The programs in the initrd.
    Initrd,
    /// The services of the system.
    Systemd,
    /// The seed is looked for and verified.
    Seed,
    /// The seed was refused.
    Refused,
    /// Accounts, names and networks are set up.
    CloudInit,
    /// Somebody could log in; the role has said nothing.
    Login,
    /// The role is set up.
    Role,
    /// The role waits for something.
    Waiting,
    /// The role could not be set up.
    Failed,
    /// The role is at work.
    Ready,
    /// The machine goes down.
    Shutdown,
    /// Its kernel gave up: nothing follows.
    Panicked,
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Firmware => "firmware",
            Self::Grub => "grub",
            Self::Kernel => "kernel",
            Self::Initrd => "initrd",
            Self::Systemd => "systemd",
            Self::Seed => "seed",
            Self::Refused => "refused",
            Self::CloudInit => "cloud-init",
            Self::Login => "login",
            Self::Role => "role",
            Self::Waiting => "waiting",
            Self::Failed => "failed",
            Self::Ready => "ready",
            Self::Shutdown => "shutdown",
            Self::Panicked => "panicked",
        })
    }
}

/// Parts of lines that show a stage. Only a later stage than the present one counts, but for the last.
const SIGNS: [(&str, Stage); 18] = [
    ("Welcome to GRUB", Stage::Grub),
    ("GNU GRUB", Stage::Grub),
    ("Booting `", Stage::Grub),
    ("EFI stub:", Stage::Kernel),
    ("Linux version ", Stage::Kernel),
    ("Loading Linux ", Stage::Kernel),
    ("Loading initial ramdisk", Stage::Kernel),
    ("Loading, please wait", Stage::Initrd),
    ("Begin: ", Stage::Initrd),
    ("Run /init as init process", Stage::Initrd),
    ("systemd[1]: ", Stage::Systemd),
    ("Welcome to Debian", Stage::Systemd),
    ("cloud-init[", Stage::CloudInit),
    (" login: ", Stage::Login),
    ("Reached target shutdown.target", Stage::Shutdown),
    ("reboot: Power down", Stage::Shutdown),
    ("reboot: Restarting system", Stage::Shutdown),
    ("Kernel panic - not syncing", Stage::Panicked),
];

/// Reads a console as it comes.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    stage: Stage,
    line: Vec<u8>,
    last: String,
}

impl Reader {
    pub(super) fn new() -> Self {
        Self { stage: Stage::Firmware, line: Vec::new(), last: String::new() }
    }

    /// Takes what was said. Gives whether the stage is another one now.
    pub(super) fn hear(&mut self, bytes: &[u8]) -> bool {
        let before = self.stage;
        for byte in bytes {
            match byte {
                b'\n' | b'\r' => self.end_of_line(),
                _ if self.line.len() < LAB_CONSOLE_LINE_BYTES => self.line.push(*byte),
                _ => {}
            }
        }
        // A prompt ends without an end of line.
        if self.line.ends_with(b" login: ") {
            self.end_of_line();
        }
        self.stage != before
    }

    fn end_of_line(&mut self) {
        let text = plain(&self.line);
        self.line.clear();
        let said = text.trim();
        if said.is_empty() {
            return;
        }
        self.stage = next(self.stage, &text);
        said.clone_into(&mut self.last);
    }

    /// How far it has come.
    pub(super) fn stage(&self) -> Stage {
        self.stage
    }

    /// The last line that says anything.
    pub(super) fn last(&self) -> &str {
        &self.last
    }
}

fn next(now: Stage, line: &str) -> Stage {
    if let Some((_, rest)) = line.split_once(OURS)
        && let Some((word, _)) = rest.split_once(']')
    {
        // The program itself knows best, also when it goes back.
        return match word {
            "seed" => Stage::Seed,
            "refused" => Stage::Refused,
            "role" => Stage::Role,
            "ready" => Stage::Ready,
            "waiting" => Stage::Waiting,
            "failed" => Stage::Failed,
            _ => now,
        };
    }
    let shown = SIGNS.iter().find(|(sign, _)| line.contains(sign)).map(|(_, stage)| *stage);
    match shown {
        // A machine that restarts begins anew.
        Some(Stage::Grub | Stage::Kernel) if now >= Stage::Login => shown.unwrap_or(now),
        // A refused seed leaves the rest of the boot to go on.
        Some(stage) if stage > now && !(now == Stage::Refused && stage < Stage::Shutdown) => stage,
        _ => now,
    }
}

/// The text without the terminal's control sequences.
fn plain(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        if character != '\u{1b}' {
            if !character.is_control() || character == '\t' {
                out.push(character);
            }
            continue;
        }
        if characters.next_if_eq(&'[').is_some() {
            while characters.next_if(|next| !('@'..='~').contains(next)).is_some() {}
        }
        characters.next();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The stages in the order in which they are reached, with what is said last in each.
    fn stages(console: &[u8]) -> Vec<Stage> {
        let mut reader = Reader::new();
        let mut found = vec![reader.stage()];
        for piece in console.chunks(7) {
            if reader.hear(piece) {
                found.push(reader.stage());
            }
        }
        found
    }

    #[test]
    fn recorded_console_goes_through_every_stage() {
        let console = include_bytes!("stage_console.txt");
        let expected = [
            Stage::Firmware,
            Stage::Grub,
            Stage::Kernel,
            Stage::Initrd,
            Stage::Systemd,
            Stage::Seed,
            Stage::CloudInit,
            Stage::Login,
            Stage::Role,
            Stage::Ready,
            Stage::Shutdown,
            Stage::Kernel,
        ];
        assert_eq!(stages(console), expected);
    }

    #[test]
    fn the_guest_itself_knows_best() {
        let mut reader = Reader::new();
        for (word, stage) in [
            ("seed", Stage::Seed),
            ("refused", Stage::Refused),
            ("role", Stage::Role),
            ("waiting", Stage::Waiting),
            ("failed", Stage::Failed),
            ("ready", Stage::Ready),
            ("role", Stage::Role),
            ("unheard-of", Stage::Role),
        ] {
            reader.hear(format!("[  12.3] x imgbuild-node: [{word}] because\r\n").as_bytes());
            assert_eq!(reader.stage(), stage);
            assert_eq!(reader.last(), format!("[  12.3] x imgbuild-node: [{word}] because"));
        }
    }

    #[test]
    fn a_refused_seed_stays_refused_however_the_boot_goes_on() {
        let mut reader = Reader::new();
        reader.hear(b"imgbuild-node: [refused] bad signature\nnode1 login: ");
        assert_eq!(reader.stage(), Stage::Refused);
    }

    #[test]
    fn a_panic_is_the_end_until_the_machine_starts_anew() {
        let mut reader = Reader::new();
        let said = "Kernel panic - not syncing: IO-APIC + timer doesn't work!";
        reader.hear(format!("[    0.04] {said}\n[    0.05] systemd[1]: no more\n").as_bytes());
        assert_eq!(reader.stage(), Stage::Panicked);
        reader.hear(b"Welcome to GRUB!\n");
        assert_eq!(reader.stage(), Stage::Grub);
    }

    #[test]
    fn control_sequences_are_not_shown() {
        assert_eq!(plain(b"\x1b[0;32m  OK  \x1b[0m] Started \x1b[2J\x1b[01;01Hx\x07"), "  OK  ] Started x");
        let mut reader = Reader::new();
        reader.hear(&[b'x'; 100_000]);
        reader.hear(b"\n\x1b[0m\n");
        assert_eq!(reader.last().len(), LAB_CONSOLE_LINE_BYTES);
    }
}
