#pragma once
#include <chrono>
#include <string>

#include "codegen/jit/jit.h"
#include "codegen/jit/module/module_api.h"

namespace cpuflow::codegen {

/// The module with clang and LLVM; the first call loads it.  It is looked for in the folder of the running program, then beside the
/// shared object that holds this code, then in ../lib/cpuflow of the first.  CPUFLOW_JIT_MODULE overrides.  Throws JitError.
const cpuflow_jit_module_api& jit_module();

/// Appends what the module writes to `text`.
cpuflow_jit_sink collect(std::string& text);

/// The object of `text`, from the cache if it is there; fills in all of `record` but ms_link.  Throws JitError.
std::string object_from_cache_or_compiler(const std::string& text, const std::string& name, const JitOptions& options, JitRecord& record);

/// Compiles with an installed compiler and dlopens the result.  Throws JitError.
std::unique_ptr<Library> load_with_dlopen(const std::string& text, const std::string& name, const JitOptions& options);

/// Wall time since construction.
class Stopwatch {
 public:
  double ms() const { return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start_).count(); }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace cpuflow::codegen
