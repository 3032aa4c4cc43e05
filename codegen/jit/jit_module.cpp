#include "codegen/jit/jit_module.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
#include <vector>

namespace cpuflow::codegen {

namespace {

namespace fs = std::filesystem;

std::vector<fs::path> candidates() {
  if (const char* given = std::getenv("CPUFLOW_JIT_MODULE")) return {fs::path(given)};
  std::vector<fs::path> paths;
  std::error_code ignored;
  fs::path program = fs::read_symlink("/proc/self/exe", ignored).parent_path();
  if (!program.empty()) paths.push_back(program / "cpuflow_jit.so");
  Dl_info here;
  if (dladdr(reinterpret_cast<void*>(&candidates), &here) && here.dli_fname) {
    paths.push_back(fs::absolute(here.dli_fname, ignored).parent_path() / "cpuflow_jit.so");
  }
  if (!program.empty()) paths.push_back(program.parent_path() / "lib" / "cpuflow" / "cpuflow_jit.so");
  return paths;
}

const cpuflow_jit_module_api* load() {
  std::string tried;
  for (const fs::path& path : candidates()) {
    std::error_code ignored;
    if (!fs::exists(path, ignored)) {
      tried += fmt::format("  {}: not there\n", path.string());
      continue;
    }
    void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
      tried += fmt::format("  {}\n", dlerror());
      continue;
    }
    auto* entry = reinterpret_cast<cpuflow_jit_module_entry*>(dlsym(handle, CPUFLOW_JIT_ENTRY));
    const cpuflow_jit_module_api* api = entry ? entry() : nullptr;
    if (api && api->version == CPUFLOW_JIT_API_VERSION) return api;
    tried += fmt::format("  {}: belongs to another version of cpuflowc\n", path.string());
  }
  throw JitError(
      fmt::format("cannot load the compiler module cpuflow_jit.so (clang and LLVM 19); it is built beside cpuflowc.  Tried:\n{}"
                  "Rebuild, set CPUFLOW_JIT_MODULE to its path, or use --exec dlopen.",
                  tried));
}

}  // namespace

const cpuflow_jit_module_api& jit_module() {
  static const cpuflow_jit_module_api* const api = load();
  return *api;
}

cpuflow_jit_sink collect(std::string& text) {
  return {[](void* to, const char* data, size_t size) { static_cast<std::string*>(to)->append(data, size); }, &text};
}

}  // namespace cpuflow::codegen
