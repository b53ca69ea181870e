//! Who has a device file open, as `/proc` tells. Only root sees the files of others' processes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Its number.
    pub pid: u32,
    /// Its name, at most 15 characters of it.
    pub program: String,
    /// Which of the files it has open.
    pub files: Vec<PathBuf>,
}

/// Processes that use vfio or iommufd, in order of their number.
pub fn of_vfio(proc: &Path, dev: &Path) -> Vec<User> {
    let (vfio, iommu) = (dev.join("vfio"), dev.join("iommu"));
    let mut all = with_open(proc, |file| file.starts_with(&vfio) || file == iommu);
    let list = all.iter_mut().map(|(pid, files)| User {
        pid: *pid,
        program: fs::read_to_string(proc.join(pid.to_string()).join("comm"))
            .unwrap_or_default()
            .trim()
            .to_owned(),
        files: std::mem::take(files),
    });
    list.collect()
}

/// Whether any process has `file` open.
pub fn is_open(proc: &Path, file: &Path) -> bool {
    !with_open(proc, |open| open == file).is_empty()
}

/// What of the files that are `wanted` each process has open. A process that ends meanwhile has none.
fn with_open(proc: &Path, wanted: impl Fn(&Path) -> bool) -> BTreeMap<u32, Vec<PathBuf>> {
    let mut found = BTreeMap::new();
    for process in fs::read_dir(proc).into_iter().flatten().flatten() {
        let Some(pid) = process
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        let descriptors = fs::read_dir(process.path().join("fd"))
            .into_iter()
            .flatten()
            .flatten();
        let mut files: Vec<PathBuf> = descriptors
            .filter_map(|descriptor| fs::read_link(descriptor.path()).ok())
            .filter(|file| wanted(file))
            .collect();
        if !files.is_empty() {
            files.sort();
            files.dedup();
            found.insert(pid, files);
        }
    }
    found
}
