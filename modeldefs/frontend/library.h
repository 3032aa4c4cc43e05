#pragma once
#include <string>
#include <vector>

namespace cpuflow::frontend {

/// The layers and functions of the prelude, in its order.
std::vector<std::string> library_names();
/// What the prelude says of one of them, with the comment above it; "" if there is none of this name.
std::string library_text(const std::string& name);

}  // namespace cpuflow::frontend
