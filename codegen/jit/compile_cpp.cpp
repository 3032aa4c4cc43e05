#include "codegen/jit/compile_cpp.h"

#include <fmt/format.h>
#include <xxhash.h>

#include "codegen/jit/jit_module.h"
#include "codegen/jit/object_cache.h"

namespace cpuflow::codegen {

namespace {

/// One line per decision; the two columns say the same to an installed compiler and to clang's front end.
struct Flag {
  const char* driver;
  std::vector<std::string> cc1;
};

const std::vector<Flag>& flag_table() {
  static const std::vector<Flag> table = {
      {"-std=c++20", {"-std=c++20"}},
      // Sums and products are rounded as the text says; kernels ask for fused multiply-add by name.
      {"-ffp-contract=off", {"-ffp-contract=off"}},
      {"-fno-math-errno", {}},
      {"-fno-trapping-math", {"-fno-rounding-math", "-ffp-exception-behavior=ignore"}},
      {"-fno-exceptions", {}},
      {"-fno-rtti", {"-fno-rtti"}},
      {"-fno-threadsafe-statics", {"-fno-threadsafe-statics"}},
      {"-fPIC", {"-mrelocation-model", "pic", "-pic-level", "2"}},
      // Kernels are written in vectors already, and this pass takes most of the compile time on unrolled tiles.
      {"-fno-tree-slp-vectorize", {}},
      // The user can do nothing about warnings in generated text; tests compile it with all of them.
      {"-w", {"-w"}},
  };
  return table;
}

#if defined(__x86_64__)
constexpr const char* kBaselineCpu = "x86-64";
#else
constexpr const char* kBaselineCpu = "generic";
#endif

std::string file_name_of(const std::string& name, const JitOptions& options) {
  return options.source_path.empty() ? name + ".cpp" : options.source_path;
}

std::string compile(const std::string& text, const std::string& file_name, const std::vector<std::string>& flags,
                    const JitOptions& options) {
  std::vector<const char*> arguments;
  for (const std::string& flag : flags) arguments.push_back(flag.c_str());
  std::string result, errors;
  int failed = jit_module().compile(arguments.data(), arguments.size(), text.data(), text.size(), file_name.c_str(), collect(result),
                                    collect(errors));
  if (failed) {
    throw JitError(fmt::format("internal error: the generated C++ does not compile; please report it with the model file and this:\n{}{}",
                               errors,
                               options.source_path.empty() ? std::string("the generated text was not kept; --dump=DIR keeps it\n")
                                                           : fmt::format("the generated text is in {}\n", options.source_path)));
  }
  return result;
}

}  // namespace

std::vector<std::string> driver_flags(const JitOptions& options) {
  std::vector<std::string> flags = {fmt::format("-O{}", options.opt_level), "-g"};
  for (const Flag& flag : flag_table()) flags.push_back(flag.driver);
  for (const std::string& feature : options.features) flags.push_back("-m" + feature);
  if (options.vector_bits > 0) flags.push_back(fmt::format("-mprefer-vector-width={}", options.vector_bits));
  return flags;
}

std::vector<std::string> cc1_flags(const JitOptions& options, Product product, const std::string& triple) {
  std::vector<std::string> flags = {"-triple",
                                    triple,
                                    "-target-cpu",
                                    kBaselineCpu,
                                    "-x",
                                    "c++",
                                    "-fgnuc-version=4.2.1",
                                    "-nostdsysteminc",
                                    "-nobuiltininc",
                                    "-discard-value-names",
                                    "-disable-llvm-verifier",
                                    "-ferror-limit",
                                    "20",
                                    "-mframe-pointer=none",
                                    "-fdebug-compilation-dir=.",
                                    fmt::format("-O{}", options.opt_level)};
  if (options.opt_level >= 2) flags.push_back("-vectorize-loops");
  for (const Flag& flag : flag_table()) flags.insert(flags.end(), flag.cc1.begin(), flag.cc1.end());
  for (const std::string& feature : options.features) flags.insert(flags.end(), {"-target-feature", "+" + feature});
  if (options.vector_bits > 0) flags.push_back(fmt::format("-mprefer-vector-width={}", options.vector_bits));
  switch (product) {
    case Product::Object:
      // Line tables and unwind information are for debuggers and profilers; in a listing they would only be noise.
      flags.insert(flags.end(),
                   {"-emit-obj", "-debug-info-kind=line-tables-only", "-dwarf-version=4", "-debugger-tuning=gdb", "-funwind-tables=2"});
      break;
    case Product::Assembly:
      flags.push_back("-S");
      break;
    case Product::Llvm:
      flags.push_back("-emit-llvm");
      break;
  }
  return flags;
}

std::string object_key(const std::string& text, const std::string& file_name, const std::vector<std::string>& flags,
                       const std::string& compiler) {
  std::string all = fmt::format("cpuflow object {}\n{}\n{}\n", kObjectCacheFormat, compiler, file_name);
  for (const std::string& flag : flags) all += flag + '\n';
  all += text;
  XXH128_hash_t hash = XXH3_128bits(all.data(), all.size());
  return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
}

std::string compile_to_assembly(const std::string& text, const std::string& name, const JitOptions& options) {
  return compile(text, file_name_of(name, options), cc1_flags(options, Product::Assembly, jit_module().triple), options);
}

std::string compile_to_llvm(const std::string& text, const std::string& name, const JitOptions& options) {
  return compile(text, file_name_of(name, options), cc1_flags(options, Product::Llvm, jit_module().triple), options);
}

std::string compiler_version() { return jit_module().compiler; }

std::string object_from_cache_or_compiler(const std::string& text, const std::string& name, const JitOptions& options, JitRecord& record) {
  Stopwatch loading;
  const cpuflow_jit_module_api& module = jit_module();
  record.ms_load = loading.ms();
  record.compiler = module.compiler;
  const std::string file_name = file_name_of(name, options);
  const std::vector<std::string> flags = cc1_flags(options, Product::Object, module.triple);
  record.hash = object_key(text, file_name, flags, module.compiler);

  std::string object;
  ObjectCache cache;
  if (options.use_cache) {
    cache = ObjectCache::open(options.cache_dir, options.cache_limit_bytes);
    record.cache_hit = cache.get(record.hash, object);
  }
  if (!record.cache_hit) {
    Stopwatch compiling;
    object = compile(text, file_name, flags, options);
    record.ms_compile = compiling.ms();
    if (options.use_cache) cache.put(record.hash, object);
  }
  record.note = cache.note();
  record.object_bytes = object.size();
  return object;
}

}  // namespace cpuflow::codegen
