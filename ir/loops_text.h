#pragma once
#include "ir/loops.h"

#include <string>
#include <vector>

/// Words of the LoopProgram's text form that its printer and its parser share.
namespace cpuflow::ir {

inline const std::vector<std::string>& space_names() {
  static const std::vector<std::string> names{"params", "shared", "lane", "grads", "losses", "sums", "tokens", "targets", "out", "literal"};
  return names;
}
inline const std::vector<std::string>& rows_names() {
  static const std::vector<std::string> names{"all", "tile", "row", "register", "block"};
  return names;
}
inline const std::vector<std::string>& how_names() {
  static const std::vector<std::string> names{"=", "sum", "max", "min", "prod"};
  return names;
}
inline const std::vector<std::string>& dtype_names() {
  static const std::vector<std::string> names{"real", "int", "bool"};
  return names;
}

inline const char* space_name(Space s) { return space_names()[static_cast<size_t>(s)].c_str(); }
inline const char* rows_name(Rows r) { return rows_names()[static_cast<size_t>(r)].c_str(); }
inline const char* how_name(Store::How h) { return how_names()[static_cast<size_t>(h)].c_str(); }

/// The type of an operation's value that the text form does not mention.
DType usual_dtype(Op op, const std::vector<DType>& arguments);

}  // namespace cpuflow::ir
