//! Makes a container fit for a Docker engine, by system calls: an image need not have `mount`.

use std::ffi::CString;
use std::fs;
use std::io;
use std::path::Path;

use super::spec::Spec;

const MEMINFO: &str = "/run/lab/meminfo";

/// Everything an engine needs and a container lacks. Returns what did not work: an engine may
/// still start without it, and says more clearly what it misses.
pub(super) fn prepare(spec: &Spec) -> Vec<String> {
    let mut problems = Vec::new();
    let mut note = |what: &str, done: io::Result<()>| {
        if let Err(error) = done {
            problems.push(format!("{what}: {error}"));
        }
    };
    // Volumes of inner containers must propagate.
    note("making / shared", mount(None, "/", libc::MS_REC | libc::MS_SHARED));
    let quiet = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
    note("making /sys writable", mount(None, "/sys", libc::MS_REMOUNT | quiet));
    if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        note("handing out cgroup controllers", delegate_unified());
    }
    for path in cgroup_mounts(&fs::read_to_string("/proc/self/mountinfo").unwrap_or_default()) {
        // Without MS_BIND the superblock would be remounted, which the host has busy.
        let done = mount(None, &path, libc::MS_REMOUNT | libc::MS_BIND | quiet);
        note(&format!("making {path} writable"), done);
    }
    if let Some(memory) = spec.memory {
        note("claiming memory", claim_memory(memory));
    }
    for stale in ["/run/docker.pid", "/run/docker/containerd/containerd.pid"] {
        // Left when the node was killed; a process with that number may exist again.
        let _ = fs::remove_file(stale);
    }
    problems
}

fn mount(source: Option<&str>, target: &str, flags: libc::c_ulong) -> io::Result<()> {
    let source = source.map(CString::new).transpose()?;
    let target = CString::new(target)?;
    let source = source.as_ref().map_or(std::ptr::null(), |text| text.as_ptr());
    // SAFETY: the pointers are null or to NUL-terminated strings that live across the call.
    let done =
        unsafe { libc::mount(source, target.as_ptr(), std::ptr::null(), flags, std::ptr::null()) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Mount points of version 1 cgroup hierarchies in a `mountinfo` file.
fn cgroup_mounts(mountinfo: &str) -> Vec<String> {
    let mut mounts = Vec::new();
    for line in mountinfo.lines() {
        let Some((mount, filesystem)) = line.split_once(" - ") else { continue };
        if filesystem.starts_with("cgroup ") {
            mounts.extend(mount.split(' ').nth(4).map(str::to_owned));
        }
    }
    mounts
}

/// On a unified hierarchy a group with processes of its own cannot hand controllers to children:
/// moves every process into a child, then hands them out.
fn delegate_unified() -> io::Result<()> {
    let root = Path::new("/sys/fs/cgroup");
    let quiet = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
    mount(None, "/sys/fs/cgroup", libc::MS_REMOUNT | libc::MS_BIND | quiet)?;
    fs::create_dir_all(root.join("init"))?;
    for pid in fs::read_to_string(root.join("cgroup.procs"))?.lines() {
        // A process that ended meanwhile needs no moving.
        let _ = fs::write(root.join("init/cgroup.procs"), pid);
    }
    let controllers = fs::read_to_string(root.join("cgroup.controllers"))?;
    let all: Vec<_> = controllers.split_whitespace().map(|name| format!("+{name}")).collect();
    fs::write(root.join("cgroup.subtree_control"), all.join(" "))
}

/// Engines read their machine's memory from `/proc/meminfo`.
fn claim_memory(bytes: u64) -> io::Result<()> {
    let claimed = claimed_meminfo(&fs::read_to_string("/proc/meminfo")?, bytes);
    fs::create_dir_all("/run/lab")?;
    fs::write(MEMINFO, claimed)?;
    mount(Some(MEMINFO), "/proc/meminfo", libc::MS_BIND)
}

/// A `/proc/meminfo` with `bytes` in all, and no part larger than that.
fn claimed_meminfo(real: &str, bytes: u64) -> String {
    let total = bytes / 1024;
    let line = |line: &str| -> Option<String> {
        let (name, rest) = line.split_once(':')?;
        let value: u64 = rest.trim().strip_suffix(" kB")?.trim().parse().ok()?;
        let value = match name {
            "MemTotal" => total,
            "SwapTotal" | "SwapFree" | "SwapCached" => 0,
            _ => value.min(total),
        };
        Some(format!("{:<15} {value:>8} kB\n", format!("{name}:")))
    };
    real.lines().map(|text| line(text).unwrap_or_else(|| format!("{text}\n"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_claimed_in_full_and_no_part_exceeds_it() {
        let real = "MemTotal:       24683000 kB\nMemFree:        20000000 kB\nDirty:  12 kB\n\
                    SwapTotal:       1000000 kB\nHugePages_Total:       0\n";
        assert_eq!(
            claimed_meminfo(real, 1 << 30),
            "MemTotal:        1048576 kB\nMemFree:         1048576 kB\nDirty:                12 kB\n\
             SwapTotal:             0 kB\nHugePages_Total:       0\n"
        );
    }

    #[test]
    fn only_version_one_hierarchies_are_remounted() {
        let mountinfo = "\
30 29 0:26 /docker/x /sys/fs/cgroup/cpu,cpuacct ro,nosuid master:9 - cgroup cgroup rw,cpu\n\
31 29 0:27 / /sys/fs/cgroup/unified ro - cgroup2 cgroup2 rw\n\
32 29 0:28 / /proc rw - proc proc rw\n";
        assert_eq!(cgroup_mounts(mountinfo), ["/sys/fs/cgroup/cpu,cpuacct"]);
    }
}
