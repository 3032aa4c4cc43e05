#pragma once
#include <cstdint>
#include <deque>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace cpuflow::rt {

/// Not a pickle, or one that is cut off or damaged; what() says where.
struct PickleError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The data in a pickle, and nothing but data: no name in it is looked up and nothing is called.  A call of a name is kept as a Call.
/// Format: the documentation of Python's pickletools, protocols 2 to 5.
class Pickle {
 public:
  struct Value {
    /// Global: a name (text is "module name").  Call: what would be made by calling items[0], a Global, with the arguments items[1..];
    /// Persistent: something outside of the pickle, described by items.
    enum class Kind : uint8_t { None, Bool, Int, Float, Text, Bytes, Tuple, List, Set, Dict, Global, Call, Persistent } kind = Kind::None;
    int64_t number = 0;                // Int, Bool
    double real = 0;                   // Float
    std::string text;                  // Text, Bytes, Global
    std::vector<const Value*> items;   // Dict: key, value, key, value, ..
  };

  /// Throws PickleError.
  explicit Pickle(std::string_view data);
  const Value& root() const { return *root_; }

 private:
  std::deque<Value> values_;  // references stay, and nothing is freed by recursion
  const Value* root_ = nullptr;
  friend class PickleReader;
};

}  // namespace cpuflow::rt
