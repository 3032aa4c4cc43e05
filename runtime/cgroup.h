#pragma once
#include <cstdint>
#include <optional>
#include <string>

namespace cpuflow::rt {

/// What the control groups (version 1, 2 or both) of this process allow.
struct CgroupLimits {
  std::optional<double> cpus;             // quota / period
  std::optional<uint64_t> memory_limit;   // bytes
  std::optional<uint64_t> memory_in_use;  // bytes of the group that has the limit, without page cache that can be given up
};

/// Reads `root`/proc/self/cgroup and the files of the group and of all groups above it under `root`/sys/fs/cgroup; the tightest limit
/// counts.  What is missing or unreadable is no limit.  `root` is "" except in tests.
CgroupLimits read_cgroup_limits(const std::string& root = "");

}  // namespace cpuflow::rt
