//! The switches of the audit's rules.

/// Which rules hold. All of them, but for a test that shows that each is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// See the header of [`audit`](super).
    pub producer: bool,
    /// See the header of [`audit`](super).
    pub old_product: bool,
    /// See the header of [`audit`](super).
    pub orchestrator: bool,
    /// See the header of [`audit`](super).
    pub informer: bool,
    /// Whether a make has to be asked for the same again.
    pub asked_otherwise: bool,
    /// Whether what one printed counts for who heard it, even if it left something as well.
    pub heard: bool,
    /// Whether it counts that make tells its recipes what is newer.
    pub newer: bool,
    /// Whether what build tools printed may be kept.
    pub printed: bool,
    /// Whether looking for what was not there counts.
    pub absence: bool,
    /// Whether listing a directory counts as looking at the names in it.
    pub listing: bool,
    /// Whether it counts to find what was made later then.
    pub order: bool,
    /// Whether it counts to look at what was changed or removed later then.
    pub moment: bool,
    /// Whether it counts to leave an old product its mode.
    pub old_mode: bool,
    /// Whether what one looked at counts against those that it passed something on to, through files that are gone
    /// or pipes.
    pub handed_on: bool,
    /// Whether who wrote a file last has to have the last word again.
    pub overwritten: bool,
    /// Whether it counts that one puts something into what it had made itself.
    pub nested: bool,
    /// Whether what stands no more in what a book-keeper reads has to go.
    pub forgotten: bool,
    /// Whether what was removed has to be made again.
    pub not_made_again: bool,
    /// Whether a command that failed in a run of which the rest was kept has to run again.
    pub not_run_again: bool,
    /// Whether a command of make's that left nothing has to run again when what it looked at is another.
    pub silent: bool,
    /// Whether links among the sources have to lead where they led.
    pub link: bool,
    /// Whether sources have to be what they are, unless they were made then, too.
    pub source_made: bool,
}

impl Rules {
    /// All rules.
    pub const ALL: Rules = Rules {
        producer: true,
        old_product: true,
        orchestrator: true,
        informer: true,
        asked_otherwise: true,
        heard: true,
        newer: true,
        printed: true,
        absence: true,
        listing: true,
        order: true,
        moment: true,
        old_mode: true,
        handed_on: true,
        overwritten: true,
        nested: true,
        forgotten: true,
        not_made_again: true,
        not_run_again: true,
        silent: true,
        link: true,
        source_made: true,
    };

    /// All but the one of this name, or `None` if there is none of this name.
    pub fn without(name: &str) -> Option<Rules> {
        let mut rules = Rules::ALL;
        *match name {
            "producer" => &mut rules.producer,
            "old-product" => &mut rules.old_product,
            "orchestrator" => &mut rules.orchestrator,
            "informer" => &mut rules.informer,
            "heard" => &mut rules.heard,
            "newer" => &mut rules.newer,
            "printed" => &mut rules.printed,
            "asked-otherwise" => &mut rules.asked_otherwise,
            "absence" => &mut rules.absence,
            "listing" => &mut rules.listing,
            "order" => &mut rules.order,
            "moment" => &mut rules.moment,
            "old-mode" => &mut rules.old_mode,
            "handed-on" => &mut rules.handed_on,
            "overwritten" => &mut rules.overwritten,
            "nested" => &mut rules.nested,
            "forgotten" => &mut rules.forgotten,
            "not-made-again" => &mut rules.not_made_again,
            "not-run-again" => &mut rules.not_run_again,
            "silent" => &mut rules.silent,
            "link" => &mut rules.link,
            "source-made" => &mut rules.source_made,
            _ => return None,
        } = false;
        Some(rules)
    }
}
