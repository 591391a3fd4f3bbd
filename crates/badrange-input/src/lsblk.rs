use std::{collections::HashMap, io::Read};

use serde::Deserialize;

use crate::{
    ParseError,
    json::{self, Num},
    lines::whole_text,
};

/// A block device as `lsblk -J` lists it.
///
/// # Examples
/// ```
/// let text = r#"{"blockdevices": [{"name":"sda", "maj:min":"8:0", "size":1048576, "type":"disk",
///     "children": [{"name":"sda1", "maj:min":"8:1", "size":"512M", "type":"part", "start":"2048"}]}]}"#;
/// let devices = badrange_input::parse_lsblk(text.as_bytes())?;
/// assert_eq!((devices[0].bytes, devices[1].bytes), (Some(1 << 20), None));
/// assert_eq!((devices[1].start, devices[1].parents.as_slice()), (Some(2048), &[0][..]));
/// # Ok::<(), badrange_input::ParseError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LsblkDevice {
    /// Its name; for device-mapper the name of the mapping.
    pub name: String,
    /// `8:2`.
    pub number: Option<String>,
    /// `disk`, `part`, `lvm`, `crypt`, `raid1`, `loop`, `dm`, ...
    pub kind: String,
    /// Bytes; `None` when the text was made without `-b` and rounds them.
    pub bytes: Option<u64>,
    /// First sector of 512 bytes in the parent, of a partition.
    pub start: Option<u64>,
    /// Bytes of a logical block.
    pub logical_block: Option<u64>,
    /// `xfs`, `ext4`, ..., where the text tells.
    pub fs: Option<String>,
    /// Where it is mounted.
    pub mounts: Vec<String>,
    /// The devices it lies on, by their place in the list. A device of several parents is listed
    /// once.
    pub parents: Vec<usize>,
}

/// Reads `lsblk -J`, of any version: numbers may be strings, mount points one or several.
///
/// Every device comes after those it lies on.
///
/// # Errors
/// [`ParseErrorKind::NotThisFormat`](crate::ParseErrorKind::NotThisFormat) for other JSON.
///
/// # Examples
/// See [`LsblkDevice`].
pub fn parse_lsblk(input: impl Read) -> Result<Vec<LsblkDevice>, ParseError> {
    let text = whole_text(input)?;
    let tree: Tree = json::parse(&text, "lsblk")?;
    let mut list = List::default();
    for node in tree.blockdevices {
        list.add(node, None);
    }
    Ok(list.sorted())
}

#[derive(Debug, Deserialize)]
struct Tree {
    blockdevices: Vec<Node>,
}

#[derive(Debug, Deserialize)]
struct Node {
    name: String,
    #[serde(rename = "maj:min", default)]
    number: Option<String>,
    #[serde(rename = "type", default)]
    kind: Option<String>,
    #[serde(default)]
    size: Option<Num>,
    #[serde(default)]
    start: Option<Num>,
    #[serde(rename = "log-sec", default)]
    log_sec: Option<Num>,
    #[serde(default)]
    fstype: Option<String>,
    #[serde(default)]
    mountpoint: Option<String>,
    #[serde(default)]
    mountpoints: Vec<Option<String>>,
    #[serde(default)]
    children: Vec<Self>,
}

#[derive(Debug, Default)]
struct List {
    devices: Vec<LsblkDevice>,
    /// By number, or by name where there is none.
    known: HashMap<String, usize>,
}

impl List {
    fn add(&mut self, node: Node, parent: Option<usize>) {
        let key = node.number.clone().unwrap_or_else(|| node.name.clone());
        let exact = |n: &Option<Num>| n.as_ref().and_then(Num::exact);
        let place = *self.known.entry(key).or_insert(self.devices.len());
        if place == self.devices.len() {
            let mounts = node.mountpoints.into_iter().flatten().chain(node.mountpoint);
            self.devices.push(LsblkDevice {
                name: node.name,
                number: node.number,
                kind: node.kind.unwrap_or_default(),
                bytes: exact(&node.size),
                start: exact(&node.start),
                logical_block: exact(&node.log_sec),
                fs: node.fstype,
                mounts: mounts.filter(|mount| mount.starts_with('/')).collect(),
                parents: Vec::new(),
            });
        }
        if let (Some(device), Some(parent)) = (self.devices.get_mut(place), parent) {
            if !device.parents.contains(&parent) {
                device.parents.push(parent);
            }
        }
        for child in node.children {
            self.add(child, Some(place));
        }
    }

    /// A device of several parents was met under the first: put it after all of them.
    fn sorted(self) -> Vec<LsblkDevice> {
        let mut order: Vec<usize> = Vec::new();
        let mut left: Vec<usize> = (0..self.devices.len()).collect();
        while !left.is_empty() {
            let parents = |place: &usize| self.devices.get(*place).map(|d| d.parents.clone());
            let ready = |place: &usize| {
                parents(place).is_none_or(|all| all.iter().all(|parent| order.contains(parent)))
            };
            let next: Vec<usize> = left.iter().copied().filter(ready).collect();
            if next.is_empty() {
                order.append(&mut left); // a ring: no order is right
            }
            left.retain(|place| !next.contains(place));
            order.extend(next);
        }
        let moved = |old: &usize| order.iter().position(|place| place == old);
        let renumbered = order.iter().filter_map(|place| {
            let device = self.devices.get(*place)?.clone();
            let parents = device.parents.iter().filter_map(moved).collect();
            Some(LsblkDevice { parents, ..device })
        });
        renumbered.collect()
    }
}
