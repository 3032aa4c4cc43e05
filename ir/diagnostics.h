#pragma once
#include "ir/source_loc.h"

#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace cpuflow::ir {

/// Something to tell the user about a place in a model file.
struct Diagnostic {
  enum class Kind { Error, Warning, Note };
  Kind kind = Kind::Error;
  SourceLoc loc;
  std::string message;
};

/// Collects what a stage has to say; nothing is printed here.
class Diagnostics {
 public:
  void error(const SourceLoc& loc, std::string message);
  void warning(const SourceLoc& loc, std::string message);
  /// Belongs to the error or warning before it.
  void note(const SourceLoc& loc, std::string message);
  bool has_errors() const { return errors_ > 0; }
  const std::vector<Diagnostic>& all() const { return all_; }
  /// Every diagnostic as `path:line:column: error: message`, the source line, and carets under the range.
  std::string format() const;
  /// Throws ModelError if there is an error.
  void stop_if_errors() const;

 private:
  std::vector<Diagnostic> all_;
  size_t errors_ = 0;
};

/// The model file is wrong; what() is the formatted text of all errors of the stage.
struct ModelError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The compiler is wrong: an invariant does not hold.
struct InternalError : std::logic_error {
  using std::logic_error::logic_error;
};

/// The known name nearest to `name` by edit distance, or "" when none is near.
std::string nearest_name(std::string_view name, const std::vector<std::string>& known);

/// `; did you mean 'x'?` for the end of a message about an unknown name, or "".
std::string suggestion(std::string_view name, const std::vector<std::string>& known);

}  // namespace cpuflow::ir
