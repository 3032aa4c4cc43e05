#include "ir/cpu_target.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <set>
#include <stdexcept>

#include "ir/diagnostics.h"
#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace cpuflow::ir {

namespace {

const std::vector<std::string> kAvx2Features = {"sse3", "ssse3", "sse4.1", "sse4.2", "popcnt", "avx",  "avx2",
                                                "fma",  "f16c",  "bmi",    "bmi2",   "lzcnt",  "movbe"};
const std::vector<std::string> kAvx512Features = {"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512cd"};
const std::vector<std::string> kBf16Features = {"avx512bf16"};
const std::vector<std::string> kAmxFeatures = {"amx-tile", "amx-bf16"};

/// Whether the operating system lets this process use tiles; asking is what grants it, for all threads.
bool may_use_tiles() {
#if defined(__x86_64__) && defined(SYS_arch_prctl)
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA of the kernel's asm/prctl.h
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

/// The instruction sets of the processor that the operating system lets programs use, by clang's names.
std::set<std::string> host_features() {
  std::set<std::string> found;
#if defined(__x86_64__)
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return found;
  auto add = [&found](unsigned reg, int bit, const char* name) {
    if ((reg >> bit) & 1) found.insert(name);
  };
  const unsigned leaf1 = c;
  add(leaf1, 0, "sse3");
  add(leaf1, 9, "ssse3");
  add(leaf1, 19, "sse4.1");
  add(leaf1, 20, "sse4.2");
  add(leaf1, 22, "movbe");
  add(leaf1, 23, "popcnt");
  // The registers' upper halves survive a task switch only if the system saves them: XCR0 says so.
  uint64_t xcr0 = 0;
  if ((leaf1 >> 27) & 1) {
    uint32_t low = 0, high = 0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    xcr0 = (uint64_t{high} << 32) | low;
  }
  const bool saves_ymm = (xcr0 & 0x6) == 0x6;
  const bool saves_zmm = (xcr0 & 0xE6) == 0xE6;
  const bool saves_tiles = (xcr0 & 0x60000) == 0x60000;
  if (saves_ymm) {
    add(leaf1, 28, "avx");
    add(leaf1, 12, "fma");
    add(leaf1, 29, "f16c");
  }
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
    add(b, 3, "bmi");
    add(b, 8, "bmi2");
    if (saves_ymm) add(b, 5, "avx2");
    if (saves_zmm) {
      add(b, 16, "avx512f");
      add(b, 17, "avx512dq");
      add(b, 28, "avx512cd");
      add(b, 30, "avx512bw");
      add(b, 31, "avx512vl");
    }
    if (saves_tiles && ((d >> 24) & 1) && may_use_tiles()) {
      add(d, 24, "amx-tile");
      add(d, 22, "amx-bf16");
    }
  }
  if (saves_zmm && __get_cpuid_count(7, 1, &a, &b, &c, &d)) add(a, 5, "avx512bf16");
  if (__get_cpuid(0x80000001, &a, &b, &c, &d)) add(c, 5, "lzcnt");
#endif
  return found;
}

std::string first_line(const std::string& path) {
  std::string line;
  std::ifstream file(path);
  std::getline(file, line);
  return line;
}

/// Bytes of cpu0's second cache by the kernel's description, else by the C library's; `otherwise` where neither knows.
size_t second_cache_bytes(size_t otherwise) {
  for (int index = 0; index < 8; ++index) {
    const std::string folder = fmt::format("/sys/devices/system/cpu/cpu0/cache/index{}/", index);
    if (first_line(folder + "level") != "2" || first_line(folder + "type") == "Instruction") continue;
    const std::string size = first_line(folder + "size");
    size_t digits = 0;
    size_t value = 0;
    for (; digits < size.size() && size[digits] >= '0' && size[digits] <= '9'; ++digits) value = value * 10 + static_cast<size_t>(size[digits] - '0');
    if (digits < size.size() && size[digits] == 'K') value <<= 10;
    if (digits < size.size() && size[digits] == 'M') value <<= 20;
    if (value > 0) return value;
  }
  const long answer = sysconf(_SC_LEVEL2_CACHE_SIZE);
  return answer > 0 ? static_cast<size_t>(answer) : otherwise;
}

}  // namespace

const std::vector<std::string>& target_names() {
  static const std::vector<std::string> names = {"portable", "avx2", "avx512", "avx512bf16", "amx", "amx-emulated"};
  return names;
}

CpuTarget target_by_name(std::string_view name) {
  if (name == "amx-emulated") {
    CpuTarget target = target_by_name("avx512");
    target.name = name;
    target.emulates_tiles = true;
    return target;
  }
  CpuTarget target;
  target.name = name;
  const std::vector<std::pair<std::string, const std::vector<std::string>*>> steps = {
      {"portable", nullptr}, {"avx2", &kAvx2Features}, {"avx512", &kAvx512Features}, {"avx512bf16", &kBf16Features}, {"amx", &kAmxFeatures}};
  for (const auto& [step, more] : steps) {  // each has what those before it have
    if (more) target.features.insert(target.features.end(), more->begin(), more->end());
    if (step != name) continue;
    target.lanes = step == "portable" ? 4 : step == "avx2" ? 8 : 16;
    target.fast_bf16 = step == "avx512bf16" || step == "amx";
    return target;
  }
  throw std::invalid_argument(fmt::format("unknown target '{}'{} (targets: {})", name, suggestion(name, target_names()), fmt::join(target_names(), ", ")));
}

bool runs_here(const CpuTarget& target) {
  static const std::set<std::string> host = host_features();
  return std::all_of(target.features.begin(), target.features.end(), [](const std::string& f) { return host.count(f) > 0; });
}

CpuTarget host_target() {
  CpuTarget best;
  for (const std::string& name : target_names()) {
    CpuTarget candidate = target_by_name(name);
    if (runs_here(candidate) && !candidate.emulates_tiles) best = candidate;
  }
  best.l2_bytes = second_cache_bytes(best.l2_bytes);
  return best;
}

}  // namespace cpuflow::ir
