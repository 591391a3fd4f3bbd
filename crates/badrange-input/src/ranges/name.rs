//! Names of devices, as the kernel has them.

/// A device by the name that a stack knows it by: `/dev/sda1` is `sda1`, `/dev/mapper/x` is `x`,
/// `/dev/vg/lv` is `vg-lv` with dashes inside the two doubled.
pub(super) fn of_device(text: &str) -> String {
    let Some(path) = text.strip_prefix("/dev/") else { return text.to_owned() };
    match path.split_once('/') {
        None => path.to_owned(),
        Some(("mapper" | "block" | "md" | "disk" | "loop" | "pmem", rest)) => {
            rest.rsplit('/').next().unwrap_or(rest).to_owned()
        }
        Some((vg, lv)) if !lv.contains('/') => {
            format!("{}-{}", vg.replace('-', "--"), lv.replace('-', "--"))
        }
        Some((_, rest)) => rest.rsplit('/').next().unwrap_or(rest).to_owned(),
    }
}

/// `nvme0c1n2`, one path to a namespace, is the disk `nvme0n2`.
pub(super) fn of_namespace(text: &str) -> String {
    let parts = text.strip_prefix("nvme").and_then(|rest| {
        let (head, namespace) = rest.split_once('n')?;
        let (controller, _path) = head.split_once('c')?;
        Some(format!("nvme{controller}n{namespace}"))
    });
    parts.unwrap_or_else(|| text.to_owned())
}

/// Whether this is a device-mapper device's kernel name.
pub(super) fn is_dm(name: &str) -> bool {
    name.strip_prefix("dm-").is_some_and(crate::lines::is_digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_a_stack() {
        let names = [
            ("/dev/sda1", "sda1"),
            ("sda1", "sda1"),
            ("/dev/mapper/vg-data", "vg-data"),
            ("/dev/my-vg/lv-1", "my--vg-lv--1"),
            ("/dev/disk/by-id/wwn-5", "wwn-5"),
            ("/dev/dm-3", "dm-3"),
            ("8:16", "8:16"),
        ];
        for (text, name) in names {
            assert_eq!(of_device(text), name, "{text}");
        }
        assert_eq!(of_namespace("nvme0c1n2"), "nvme0n2");
        assert_eq!(of_namespace("nvme10n1"), "nvme10n1");
        assert!(is_dm("dm-0") && !is_dm("dm-x") && !is_dm("md0"));
    }
}
