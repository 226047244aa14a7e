//! Which edges ninja would look at.

use std::collections::HashSet;

use super::manifest::{EdgeId, Manifest, NodeId, Read};

/// All edges that lead to these targets, or else to what is made by default, and to the manifest itself, which ninja makes first.
/// `None` if one of the targets is not known.
pub(super) fn wanted(
    manifest: &mut Manifest,
    path: &[u8],
    targets: &[&[u8]],
    read: Read<'_>,
) -> Option<Vec<EdgeId>> {
    let mut search = Search { pending: Vec::new(), seen: vec![false; manifest.nodes.len()] };
    manifest.find(path).into_iter().for_each(|node| search.visit(node));
    for target in targets {
        search.visit(find(manifest, target)?);
    }
    let ends = match (targets, &manifest.defaults[..]) {
        ([], []) => manifest.roots(),
        ([], defaults) => defaults.to_vec(),
        _ => Vec::new(),
    };
    ends.into_iter().for_each(|node| search.visit(node));

    let mut is_wanted = vec![false; manifest.edges.len()];
    let mut wanted = Vec::new();
    let mut dyndeps = HashSet::new();
    while let Some(node) = search.pending.pop() {
        let Some(edge) = manifest.nodes[node].edge else { continue };
        if std::mem::replace(&mut is_wanted[edge], true) {
            continue;
        }
        wanted.push(edge);
        let more = manifest.dyndep(edge)?;
        if !more.is_empty() && !dyndeps.contains(&more) {
            let mut found = Vec::new();
            manifest.add_dyndeps(&more, read, &mut found)?;
            search.seen.resize(manifest.nodes.len(), false);
            // They may have been met before it was known that there is an edge.
            found.into_iter().filter(|node| search.seen[*node]).for_each(|node| search.pending.push(node));
            dyndeps.insert(more);
        }
        manifest.edges[edge].inputs.iter().for_each(|node| search.visit(*node));
    }
    Some(wanted)
}

/// What a target on the command line stands for: `NAME^` is the first thing that is made from it.
fn find(manifest: &Manifest, target: &[u8]) -> Option<NodeId> {
    match target.strip_suffix(b"^") {
        None => manifest.find(target),
        Some(name) => {
            let first = manifest.nodes[manifest.find(name)?].first_use?;
            manifest.edges[first].outputs.first().copied()
        }
    }
}

struct Search {
    pending: Vec<NodeId>,
    seen: Vec<bool>,
}

impl Search {
    fn visit(&mut self, node: NodeId) {
        if !std::mem::replace(&mut self.seen[node], true) {
            self.pending.push(node);
        }
    }
}
