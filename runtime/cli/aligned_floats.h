#pragma once
#include <cstdint>
#include <memory>

#include "runtime/memory.h"

namespace cpuflow::cli {

/// One zeroed array, aligned as kernels want it.
class AlignedFloats {
 public:
  explicit AlignedFloats(uint64_t count)
      : arena_(std::make_unique<rt::Arena>(rt::Arena::bytes_for(count + 1))), data_(arena_->floats(count + 1)) {}
  float* get() const { return data_; }

 private:
  std::unique_ptr<rt::Arena> arena_;
  float* data_;
};

}  // namespace cpuflow::cli
