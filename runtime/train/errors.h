#pragma once
#include <cstdint>
#include <stdexcept>
#include <string>

namespace cpuflow::rt {

/// A loss or a gradient became NaN or infinite.  The weights are those before the step, and they are saved.  The process should return 6.
struct Diverged : std::runtime_error {
  Diverged(int64_t step_, const std::string& what) : std::runtime_error(what), step(step_) {}
  int64_t step;  // counted from 0
};

/// The folder of a run does not fit what is asked for; what() says what to do.
struct RunError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace cpuflow::rt
