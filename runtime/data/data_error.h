#pragma once
#include <stdexcept>

namespace cpuflow::rt {

/// Text, ids or a tokenizer that cannot be used; what() says where, what was expected, what was found and what to do.
struct DataError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace cpuflow::rt
