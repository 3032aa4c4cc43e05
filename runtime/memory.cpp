#include "runtime/memory.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <limits>

#include "runtime/atomic_file.h"
#include "runtime/cgroup.h"

namespace cpuflow::rt {
namespace {

constexpr uint64_t kHugePage = uint64_t{2} << 20;

/// MemAvailable of /proc/meminfo in bytes; where /proc is not mounted, what the kernel calls free.
uint64_t machine_memory(const std::string& root) {
  std::ifstream file(root + "/proc/meminfo");
  for (std::string line; std::getline(file, line);) {
    unsigned long long kib = 0;
    if (std::sscanf(line.c_str(), "MemAvailable: %llu kB", &kib) == 1) return kib * 1024;
  }
  struct sysinfo info {};
  if (sysinfo(&info) == 0) return (uint64_t{info.freeram} + info.bufferram) * info.mem_unit;
  return std::numeric_limits<uint64_t>::max();
}

}  // namespace

BatchShape batch_shape(int64_t B, const codegen::TrainSettings& train) {
  const int64_t micro = train.micro > 0 ? train.micro : B, batch = train.batch;
  if (micro % B != 0) {
    throw std::invalid_argument(
        fmt::format("train.micro = {} is not a multiple of B = {}, the sequences that the compiled model takes at once; set train.micro={}", micro, B, (micro / B + 1) * B));
  }
  if (batch < 1 || batch % micro != 0) {
    throw std::invalid_argument(fmt::format("train.batch = {} is not a multiple of the micro-batch of {} sequences; set train.batch={}", batch, micro, (batch / micro + 1) * micro));
  }
  return {batch, batch / B, batch / micro};
}
BatchShape batch_shape(const codegen::Manifest& m) {
  BatchShape shape = batch_shape(m.B, m.train);
  shape.together = m.together_of(shape.sequences);
  return shape;
}

int64_t gradient_lanes(const codegen::TrainSettings& train, int cpus) {
  if (train.lanes > 0) return train.lanes;
  return std::max(codegen::kLeastLanes, std::min<int64_t>(cpus, train.batch));
}

std::string TrainingMemory::text() const {
  return fmt::format(
      "{}: {} parameters, {} AdamW moments, {} gradients, {} scratch, {} shared values, {} losses and tokens",
      format_bytes(total()), format_bytes(params), format_bytes(moments), format_bytes(grads), format_bytes(scratch),
      format_bytes(shared), format_bytes(losses + tokens));
}

TrainingMemory training_memory(const codegen::Manifest& m, int threads) {
  const BatchShape shape = batch_shape(m);
  const uint64_t lanes = static_cast<uint64_t>(m.lanes), T = static_cast<uint64_t>(m.T);
  TrainingMemory out;
  out.params = Arena::bytes_for(m.param_floats);
  out.moments = 2 * out.params;
  out.scratch = std::min(lanes, static_cast<uint64_t>(threads)) * Arena::bytes_for(m.scratch_floats(shape.together));
  out.grads = lanes * Arena::bytes_for(std::max(m.grad_floats, m.param_floats));
  out.shared = Arena::bytes_for(m.shared_floats);
  out.losses = static_cast<uint64_t>(shape.calls) * lanes * Arena::bytes_for(m.loss_floats);
  out.tokens = 2 * lanes * Arena::bytes_for(T * static_cast<uint64_t>(shape.together));
  return out;
}

uint64_t available_memory(const std::string& root) {
  const CgroupLimits limits = read_cgroup_limits(root);
  const uint64_t machine = machine_memory(root);
  if (!limits.memory_limit) return machine;
  return std::min(machine, *limits.memory_limit - std::min(*limits.memory_limit, limits.memory_in_use.value_or(0)));
}

void require_memory(uint64_t needed, uint64_t available, const std::string& what) {
  if (needed <= available) return;
  throw MemoryError(fmt::format(
      "{} needs {} of memory, and {} are available (free memory of this machine, or what the limit of its control group leaves); "
      "smaller sizes (--set T=.. or d=..) or fewer copies of the gradient (--set train.lanes=..) need less, or give it more memory",
      what, format_bytes(needed), format_bytes(available)));
}

Arena::Arena(uint64_t bytes) : size_(std::max<uint64_t>(bytes, kAlign)) {
  mapped_ = size_ + 2 * kHugePage;
  mapping_ = mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapping_ == MAP_FAILED) {
    throw MemoryError(fmt::format("the system refuses {} of memory ({}); smaller sizes need less (--set T=.. or d=..)", format_bytes(size_),
                                  std::strerror(errno)));
  }
  const uint64_t address = reinterpret_cast<uint64_t>(mapping_);
  base_ = static_cast<char*>(mapping_) + ((address + kHugePage - 1) / kHugePage * kHugePage - address);
  madvise(base_, (size_ + kHugePage - 1) / kHugePage * kHugePage, MADV_HUGEPAGE);  // a wish; nothing depends on it
}

Arena::~Arena() { munmap(mapping_, mapped_); }

void* Arena::take(uint64_t count) {
  const uint64_t bytes = bytes_for(count);
  if (bytes > size_ - used_)
    throw std::logic_error(fmt::format("arena of {} is used up: {} more asked for", format_bytes(size_), format_bytes(bytes)));
  void* out = base_ + used_;
  used_ += bytes;
  return out;
}

}  // namespace cpuflow::rt
