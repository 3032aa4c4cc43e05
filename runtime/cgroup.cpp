#include "runtime/cgroup.h"

#include <algorithm>
#include <fstream>
#include <sstream>
#include <vector>

namespace cpuflow::rt {
namespace {

/// The first word of a file, or "".
std::string first_word(const std::string& path) {
  std::ifstream file(path);
  std::string word;
  file >> word;
  return word;
}

/// A whole number of bytes or microseconds; nothing for "max", -1 and what is no number.
std::optional<uint64_t> number(const std::string& word) {
  if (word.empty() || word.find_first_not_of("0123456789") != std::string::npos || word.size() > 19) return std::nullopt;
  return std::stoull(word);
}

/// The value after `key` in a file of lines `key value`.
uint64_t keyed(const std::string& path, const std::string& key) {
  std::ifstream file(path);
  std::string name;
  uint64_t value = 0;
  while (file >> name >> value) {
    if (name == key) return value;
  }
  return 0;
}

/// One hierarchy: where it may be mounted, and the group of this process in it.
struct Hierarchy {
  bool unified = false;
  std::vector<std::string> mounts;
  std::string group;
};

/// Lines of /proc/self/cgroup are `number:controllers:path`; version 2 has the line `0::path`.
std::vector<Hierarchy> hierarchies(const std::string& root) {
  const std::string base = root + "/sys/fs/cgroup";
  std::vector<Hierarchy> out;
  std::ifstream file(root + "/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const size_t first = line.find(':'), second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    Hierarchy h;
    h.group = line.substr(second + 1);
    if (controllers.empty()) {
      h.unified = true;
      h.mounts = {base, base + "/unified"};
    } else {
      h.mounts = {base + "/" + controllers};
      std::istringstream names(controllers);
      for (std::string name; std::getline(names, name, ',');) h.mounts.push_back(base + "/" + name);
    }
    out.push_back(std::move(h));
  }
  return out;
}

/// The folder of a group and of every group above it.  In a container the path of the group may not exist below the mount; the mount
/// itself, which is always part of the list, is then the group.
std::vector<std::string> chain(const std::string& mount, std::string group) {
  std::vector<std::string> out;
  while (!group.empty() && group != "/") {
    out.push_back(mount + group);
    group.resize(group.rfind('/') == std::string::npos ? 0 : group.rfind('/'));
  }
  out.push_back(mount);
  return out;
}

void limit_cpus(CgroupLimits& limits, std::optional<uint64_t> quota, std::optional<uint64_t> period) {
  if (!quota || !period || *quota == 0 || *period == 0) return;
  const double cpus = static_cast<double>(*quota) / static_cast<double>(*period);
  limits.cpus = limits.cpus ? std::min(*limits.cpus, cpus) : cpus;
}

void limit_memory(CgroupLimits& limits, std::optional<uint64_t> limit, std::optional<uint64_t> used, uint64_t reclaimable) {
  // Version 1 writes "no limit" as a number near 2^63.
  if (!limit || *limit >= uint64_t{1} << 60) return;
  const uint64_t in_use = used.value_or(0) - std::min(used.value_or(0), reclaimable);
  const uint64_t left = *limit - std::min(*limit, in_use);
  if (limits.memory_limit && *limits.memory_limit - std::min(*limits.memory_limit, *limits.memory_in_use) <= left) return;
  limits.memory_limit = limit;
  limits.memory_in_use = in_use;
}

}  // namespace

CgroupLimits read_cgroup_limits(const std::string& root) {
  CgroupLimits limits;
  for (const Hierarchy& h : hierarchies(root)) {
    for (const std::string& mount : h.mounts) {
      for (const std::string& folder : chain(mount, h.group)) {
        if (h.unified) {
          std::ifstream file(folder + "/cpu.max");
          std::string quota, period;
          file >> quota >> period;
          limit_cpus(limits, number(quota), number(period));
          limit_memory(limits, number(first_word(folder + "/memory.max")), number(first_word(folder + "/memory.current")),
                       keyed(folder + "/memory.stat", "inactive_file"));
        } else {
          limit_cpus(limits, number(first_word(folder + "/cpu.cfs_quota_us")), number(first_word(folder + "/cpu.cfs_period_us")));
          limit_memory(limits, number(first_word(folder + "/memory.limit_in_bytes")), number(first_word(folder + "/memory.usage_in_bytes")),
                       keyed(folder + "/memory.stat", "total_inactive_file"));
        }
      }
    }
  }
  return limits;
}

}  // namespace cpuflow::rt
