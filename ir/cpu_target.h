#pragma once
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace cpuflow::ir {

/// The processor that code is generated for; plain data, so that a pass can be tested for a machine that is not here.
struct CpuTarget {
  std::string name = "portable";      // "portable" | "avx2" | "avx512" | "avx512bf16" | "amx" | "amx-emulated"
  int lanes = 4;                      // float32 values in one vector register
  std::vector<std::string> features;  // instruction sets above the architecture's baseline, by clang's names ("avx2", "fma", ...)
  bool fast_bf16 = false;             // products of bf16 numbers are instructions; else they are made of float32 ones
  bool emulates_tiles = false;        // products of bf16 numbers have the bits that AMX gives, without AMX: slow
  size_t l2_bytes = 512 << 10;        // second cache of one core
};

/// Every target name, the most general first; behind them what no machine is best at.
const std::vector<std::string>& target_names();

/// The target of this name with a fixed cache size: equal on every machine.
/// Throws std::invalid_argument that lists the known names.
CpuTarget target_by_name(std::string_view name);

/// The best target that this machine and its operating system support, with this machine's second cache.
/// Looks at feature flags (CPUID, XCR0) only: a hypervisor may mask the processor's name.
CpuTarget host_target();

/// Whether this machine can execute code compiled for `target`; only its features matter.
bool runs_here(const CpuTarget& target);

}  // namespace cpuflow::ir
