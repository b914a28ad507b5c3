//! Sending what was chosen, each object after all objects that it refers to.

use std::collections::HashSet;
use std::io::{self, Write};

use git2::ObjectType;

use super::WalkError;
use super::plan::{Chosen, Plan};
use crate::frames::{self, Kind};
use crate::id::Id;
use crate::limits::{MAX_COMMIT_BYTES, MAX_TREE_BYTES};
use crate::object::{self, EntryKind, Unsound};

/// Writes the whole stream.
pub(super) fn send(
    plan: &Plan<'_>,
    chosen: &Chosen,
    output: &mut impl Write,
) -> Result<(), WalkError> {
    let count = u32::try_from(plan.admitted().len()).map_err(io::Error::other)?;
    frames::write_start(output, count)?;
    let mut sender = Sender { plan, output, sent: HashSet::new() };
    for id in oldest_first(plan) {
        let Some(commit) = plan.commit_of(id) else { continue };
        sender.send_tree(commit.tree)?;
        let kind = if plan.is_cut(id) { Kind::CutCommit } else { Kind::Commit };
        sender.send(kind, id)?;
    }
    // Every version, folder and file has been sent, so the objects that are left are tags.
    let tags = plan.admitted().iter().filter(|id| !sender.sent.contains(*id));
    for id in tags.copied().collect::<Vec<_>>() {
        sender.send(Kind::Tag, id)?;
    }
    for (name, id) in &chosen.references {
        frames::write(sender.output, Kind::Reference, *id, name.as_bytes())?;
    }
    if let Some(head) = &chosen.head {
        let branch = head.branch.as_deref().unwrap_or_default();
        frames::write(sender.output, Kind::Head, head.commit, branch.as_bytes())?;
    }
    frames::write(sender.output, Kind::End, Id([0; 20]), &[])?;
    Ok(sender.output.flush()?)
}

/// All versions, each after its parents.
fn oldest_first(plan: &Plan<'_>) -> Vec<Id> {
    let mut order = Vec::new();
    let mut done = HashSet::new();
    let mut newest: Vec<_> = plan.commits().map(|(id, commit)| (commit.time_s, id)).collect();
    // Sorted, so that the same repository gives the same stream every time.
    newest.sort_unstable();
    for (_, start) in newest {
        // The versions that are still to be visited, and for each whether its parents have been.
        let mut open = vec![(start, false)];
        while let Some((id, is_ready)) = open.pop() {
            if is_ready {
                order.push(id);
            } else if done.insert(id) {
                open.push((id, true));
                let commit = plan.commit_of(id).filter(|_| !plan.is_cut(id));
                open.extend(commit.iter().flat_map(|c| &c.parents).map(|parent| (*parent, false)));
            }
        }
    }
    order
}

struct Sender<'p, 'o, W> {
    plan: &'p Plan<'o>,
    output: &'p mut W,
    sent: HashSet<Id>,
}

impl<W: Write> Sender<'_, '_, W> {
    /// Sends a folder after everything in it. The recursion is no deeper than the depth that the
    /// folder had when it was measured.
    fn send_tree(&mut self, id: Id) -> Result<(), WalkError> {
        if self.sent.contains(&id) {
            return Ok(());
        }
        let tree = self.plan.read(id, ObjectType::Tree, MAX_TREE_BYTES).map_err(changed)?;
        for entry in object::tree(tree.data()).map_err(changed)? {
            match entry.kind {
                EntryKind::Folder => self.send_tree(entry.id)?,
                EntryKind::File => self.send(Kind::Blob, entry.id)?,
                EntryKind::Submodule => {}
            }
        }
        self.send(Kind::Tree, id)
    }

    fn send(&mut self, kind: Kind, id: Id) -> Result<(), WalkError> {
        if !self.sent.insert(id) {
            return Ok(());
        }
        let (object, most) = match kind {
            Kind::Blob => (ObjectType::Blob, self.plan.limits().file_bytes),
            Kind::Tree => (ObjectType::Tree, MAX_TREE_BYTES),
            Kind::Tag => (ObjectType::Tag, MAX_COMMIT_BYTES),
            _ => (ObjectType::Commit, MAX_COMMIT_BYTES),
        };
        let object = self.plan.read(id, object, most).map_err(changed)?;
        Ok(frames::write(self.output, kind, id, object.data())?)
    }
}

/// The error if an object cannot be read again that was read and found sound before.
fn changed(reason: Unsound) -> io::Error {
    io::Error::other(format!("an object that was sound is not any more: {reason}"))
}
