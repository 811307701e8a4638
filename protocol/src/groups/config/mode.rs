//! Whether a group answers.

use serde::{Deserialize, Serialize};

/// Whether a group answers. Helm writes `on` and `off` as true and false.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "ModeWord", into = "ModeWord")]
pub enum Mode {
    /// It answers.
    #[default]
    On,
    /// It counts what it would do, and changes nothing for clients.
    Observe,
    /// It does nothing.
    Off,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "expected on, observe or off")]
enum ModeWord {
    Bool(bool),
    Word(ModeName),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ModeName {
    On,
    Observe,
    Off,
}

impl From<ModeWord> for Mode {
    fn from(word: ModeWord) -> Self {
        match word {
            ModeWord::Bool(true) | ModeWord::Word(ModeName::On) => Self::On,
            ModeWord::Bool(false) | ModeWord::Word(ModeName::Off) => Self::Off,
            ModeWord::Word(ModeName::Observe) => Self::Observe,
        }
    }
}

impl From<Mode> for ModeWord {
    fn from(mode: Mode) -> Self {
        Self::Word(match mode {
            Mode::On => ModeName::On,
            Mode::Observe => ModeName::Observe,
            Mode::Off => ModeName::Off,
        })
    }
}
