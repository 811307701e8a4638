//! What the log says of the members.

/// A change that was seen here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GossipEvent {
    /// The member's name.
    pub name: String,
    /// The change.
    pub change: MemberChange,
}

/// The kind of a change. Its label is the log word and the metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberChange {
    /// This coordinator has begun a list, since nobody answers who has one.
    Founded,
    /// The agreed list has a new member.
    Joined,
    /// The agreed list no longer has it.
    Removed,
    /// It has announced that it leaves.
    Left,
    /// It does not answer.
    Suspected,
    /// It answers again.
    Answers,
    /// An operator says that it is gone for good.
    Forgotten,
    /// Another process with that name is a member, and started later.
    NameTaken,
    /// Two clusters met, and this coordinator takes the list of the other.
    Merged,
}

impl MemberChange {
    /// All changes.
    pub const ALL: [Self; 9] = [
        Self::Founded,
        Self::Joined,
        Self::Removed,
        Self::Left,
        Self::Suspected,
        Self::Answers,
        Self::Forgotten,
        Self::NameTaken,
        Self::Merged,
    ];

    /// The label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Founded => "founded",
            Self::Joined => "joined",
            Self::Removed => "removed",
            Self::Left => "left",
            Self::Suspected => "suspected",
            Self::Answers => "answers",
            Self::Forgotten => "forgotten",
            Self::NameTaken => "name-taken",
            Self::Merged => "merged",
        }
    }
}

/// The result of an operator's word that a member is gone for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forget {
    /// It does not count any more, and is removed as soon as most of the others have heard of it.
    Forgotten,
    /// It answers.
    Answers,
    /// It is this coordinator.
    Own,
    /// No member has that name.
    Unknown,
}

impl Forget {
    /// The label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Forgotten => "forgotten",
            Self::Answers => "answers",
            Self::Own => "own",
            Self::Unknown => "unknown",
        }
    }
}

/// The state of a member, as this coordinator sees it. Its label is also the metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MemberState {
    /// It answers.
    Alive,
    /// It does not answer.
    Suspect,
    /// It has announced that it leaves.
    Left,
    /// Its process has ended, or it has been silent for long: it is removed when most say so.
    Gone,
    /// It asks to be listed.
    Joining,
}

impl MemberState {
    /// All states.
    pub const ALL: [Self; 5] = [Self::Alive, Self::Suspect, Self::Left, Self::Gone, Self::Joining];

    /// The label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Suspect => "suspect",
            Self::Left => "left",
            Self::Gone => "gone",
            Self::Joining => "joining",
        }
    }
}
