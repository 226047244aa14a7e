//! What breaks a rule, in words for a person.

use std::fmt;

use crate::observation::{ChangeKind, SourceChange};
use crate::quote::quote;

/// Why something may not be what a clean build makes. `Display` is one clause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which rule it breaks.
    pub rule: Rule,
    /// What changed.
    pub change: SourceChange,
    /// The one who had looked at it, in words for a person.
    pub who: String,
    /// What was made by it, or `None` if that is everything.
    pub product: Option<Vec<u8>>,
}

/// The rules by which a tree can be wrong, and the one by which something that is right is made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// A maker of what is still there had looked at what changed.
    Producer,
    /// Who ran now had looked at an old product.
    OldProduct,
    /// Who decides what is made had looked at what changed.
    Orchestrator,
    /// A make was not started again as it had been.
    AskedOtherwise,
    /// What a build tool printed was kept.
    Printed,
    /// Who ran now had looked at what was changed or removed only after that in an earlier build.
    Moment,
    /// What somebody wrote was written again by another one, and not by it.
    Overwritten,
    /// Somebody put something into what he had made himself.
    Nested,
    /// What was made by who keeps book does not stand any more in what it reads.
    Forgotten,
    /// What was removed was not made again.
    NotMadeAgain,
    /// A command that had failed did not run again.
    NotRunAgain,
    /// A command of make's that had left nothing may leave something now, and did not run again.
    Silent,
    /// A link among the sources leads elsewhere, and nobody hears who only asks where it leads.
    Link,
    /// A source was made by the build, which it had not been then.
    SourceMade,
    /// Nothing is wrong with it, but the build that made it is long ago.
    Renewed,
}

impl Rule {
    /// A name for machines.
    pub fn name(self) -> &'static str {
        match self {
            Rule::Producer => "producer",
            Rule::OldProduct => "old-product",
            Rule::Orchestrator => "orchestrator",
            Rule::AskedOtherwise => "asked-otherwise",
            Rule::Printed => "printed",
            Rule::Moment => "moment",
            Rule::Overwritten => "overwritten",
            Rule::Nested => "nested",
            Rule::Forgotten => "forgotten",
            Rule::NotMadeAgain => "not-made-again",
            Rule::NotRunAgain => "not-run-again",
            Rule::Silent => "silent",
            Rule::Link => "link",
            Rule::SourceMade => "source-made",
            Rule::Renewed => "renewed",
        }
    }
}

impl Finding {
    /// One that is about the tree, whoever made it so.
    pub(super) fn of_nobody(rule: Rule, change: SourceChange) -> Finding {
        Finding { rule, change, who: String::new(), product: None }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let changed = self.change.kind;
        let path = quote(&self.change.path);
        match (self.rule, &self.product) {
            (Rule::Producer, Some(product)) => {
                write!(
                    f,
                    "{} was not made again although {path} {changed}, and {} read it",
                    quote(product),
                    self.who
                )
            }
            (Rule::OldProduct, Some(_)) if self.change.kind == ChangeKind::Mode => {
                write!(f, "{path} was written by {} and has kept the mode of an old one", self.who)
            }
            (Rule::OldProduct, Some(product)) => {
                write!(f, "{} was made from an old {path} by {}", quote(product), self.who)
            }
            (Rule::AskedOtherwise, _) => {
                write!(f, "{}, which had {path} made, was not started again as it was", self.who)
            }
            (Rule::Printed, _) => {
                write!(f, "{path} is made of what a build tool had to do this time, by {}", self.who)
            }
            (Rule::Moment, _) if self.change.kind == ChangeKind::Removed => {
                write!(
                    f,
                    "{} did not get {path}, which another command had made for it and did not make again",
                    self.who
                )
            }
            (Rule::Moment, _) => {
                write!(
                    f,
                    "{} saw {path} as a command that ran after it in an earlier build had left it",
                    self.who
                )
            }
            (Rule::Overwritten, Some(product)) => {
                write!(
                    f,
                    "{} was not made again although {path}, which {} writes as well, was overwritten",
                    quote(product),
                    self.who
                )
            }
            (Rule::Nested, _) => {
                write!(
                    f,
                    "{path} was made by {}, as what it makes in a clean build was there already",
                    self.who
                )
            }
            (Rule::Link, _) => {
                write!(f, "{path} leads elsewhere, and who only asked where it leads was not observed")
            }
            (Rule::SourceMade, _) => {
                write!(f, "{path} is a source, and the build made it, which a clean build would not")
            }
            (Rule::Renewed, _) => {
                write!(
                    f,
                    "{path} was made so many builds ago that it costs less to make it again than to go through them"
                )
            }
            (Rule::NotMadeAgain, _) => write!(f, "{path} was removed and not made again"),
            (Rule::NotRunAgain, _) => write!(f, "{} had failed and was not run again", self.who),
            (Rule::Silent, _) => {
                write!(
                    f,
                    "{} was not run again although {path} {changed}, and it may make something now",
                    self.who
                )
            }
            (Rule::Forgotten, Some(product)) => {
                write!(
                    f,
                    "{} is not told of, or otherwise, in what {} reads, {path}",
                    quote(product),
                    self.who
                )
            }
            _ => write!(f, "{path} {changed}, and {} decides by it what is made", self.who),
        }
    }
}
