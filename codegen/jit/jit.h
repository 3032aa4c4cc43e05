#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace cpuflow::codegen {

/// How generated C++ becomes code.
enum class Exec {
  Orc,     // clang and LLVM inside this process; no compiler executable, no temporary files
  Dlopen,  // an installed compiler makes a shared object: the reference when Orc is in doubt
};

struct JitOptions {
  Exec exec = Exec::Orc;
  std::vector<std::string> features;  // instruction sets above the architecture's baseline, by clang's names ("avx2", "fma")
  int vector_bits = 0;                // width that automatic vectorisation prefers, e.g. 512; 0: the compiler's choice
  int opt_level = 3;                  // 0 .. 3
  bool use_cache = true;              // keep objects on disk (Orc only)
  std::string cache_dir;              // "": $XDG_CACHE_HOME/cpuflowc, else ~/.cache/cpuflowc, else no cache
  size_t cache_limit_bytes = 512u << 20;
  std::string source_path;                             // where the caller has kept the text, for debuggers and error messages; "": nowhere
  std::vector<std::pair<std::string, void*>> symbols;  // what the text may call besides memcpy, memset and memmove (Orc only)
};

/// What happened on the way from text to code.
struct JitRecord {
  std::string hash;  // of everything that determines the object: 32 hexadecimal digits
  bool cache_hit = false;
  double ms_load = 0;     // loading the compiler's libraries, where this was not done before
  double ms_compile = 0;  // text -> object; 0 on a cache hit
  double ms_link = 0;     // dlopen, or handing the object to ORC, which links at the first symbol()
  size_t object_bytes = 0;
  std::string compiler;  // name and version
  std::string note;      // why the cache was not used, or what was wrong with it; "" when there is nothing to say
};

/// Compiled code in memory; it lives as long as this object.
class Library {
 public:
  virtual ~Library() = default;
  /// The address of an extern "C" function or object.  Throws JitError when there is none of this name.
  virtual void* symbol(const std::string& name) = 0;
  /// Safe to call from several threads, as is symbol().
  const JitRecord& record() const { return record_; }

 protected:
  JitRecord record_;
};

/// The text does not compile or link, or no compiler can be used; what() holds the compiler's messages.
struct JitError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Compiles `text` (C++20; includes no headers; entry points are extern "C") and loads it.  `name`.cpp is the file name in messages,
/// debuggers and profilers.  Libraries are independent of each other, also when their symbols have equal names.
/// With the environment variable CPUFLOW_PERF=1, Orc writes /tmp/perf-<pid>.map, so that `perf report` names the kernels.
/// May be called from several threads.  Throws JitError.
std::unique_ptr<Library> load_cpp(const std::string& text, const std::string& name, const JitOptions& options = {});

/// The assembly that the in-process compiler makes of `text`.  Throws JitError.
std::string compile_to_assembly(const std::string& text, const std::string& name, const JitOptions& options = {});

/// The same as LLVM IR, after optimisation.  Throws JitError.
std::string compile_to_llvm(const std::string& text, const std::string& name, const JitOptions& options = {});

/// Name and version of the in-process compiler; loads it.  Throws JitError.
std::string compiler_version();

}  // namespace cpuflow::codegen
