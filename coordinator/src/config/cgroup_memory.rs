//! The memory limit of this process's cgroup, v1 or v2.

use std::path::Path;

/// Returns the least memory limit of the process's cgroup and those around it. `root`: `/`, or a copy of it in tests.
pub fn memory_limit(root: &Path) -> Option<u64> {
    let own = std::fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let limits = own.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (id, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        // Line `0::PATH` is v2; v1 has one line for each hierarchy.
        let (mount, file) = if id == "0" && controllers.is_empty() {
            ("sys/fs/cgroup", "memory.max")
        } else if controllers.split(',').any(|c| c == "memory") {
            ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
        } else {
            return None;
        };
        // In a container the path may be the host's: what is missing is skipped, and the mount itself is the
        // container's own.
        Path::new(path.trim_start_matches('/'))
            .ancestors()
            .filter_map(|path| limit(&root.join(mount).join(path).join(file)))
            .min()
    });
    limits.min()
}

fn limit(file: &Path) -> Option<u64> {
    // v2 says `max` for no limit, v1 a number near 2^63.
    std::fs::read_to_string(file).ok()?.trim().parse().ok().filter(|n| (1..1 << 60).contains(n))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn system(files: &[(&str, &str)]) -> Option<u64> {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        memory_limit(root.path())
    }

    #[test]
    fn the_least_limit_around_the_process_counts() {
        assert_eq!(
            system(&[
                ("proc/self/cgroup", "0::/a/b\n"),
                ("sys/fs/cgroup/a/memory.max", "1000\n"),
                ("sys/fs/cgroup/a/b/memory.max", "max\n")
            ]),
            Some(1000)
        );
        assert_eq!(system(&[("proc/self/cgroup", "0::/\n"), ("sys/fs/cgroup/memory.max", "2000\n")]), Some(2000));
        assert_eq!(system(&[("proc/self/cgroup", "0::/\n")]), None);
        assert_eq!(system(&[]), None);
    }

    #[test]
    fn the_first_version_of_cgroups_is_read_too() {
        let own = "5:cpu,cpuacct:/x\n4:memory:/kubepods/pod1\n";
        assert_eq!(
            system(&[("proc/self/cgroup", own), ("sys/fs/cgroup/memory/memory.limit_in_bytes", "3000\n")]),
            Some(3000)
        );
        assert_eq!(
            system(&[
                ("proc/self/cgroup", own),
                ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")
            ]),
            None
        );
    }
}
