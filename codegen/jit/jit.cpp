#include "codegen/jit/jit.h"

#include <fmt/format.h>

#include <cstring>

#include "codegen/jit/jit_module.h"

namespace cpuflow::codegen {

namespace {

class OrcLibrary : public Library {
 public:
  OrcLibrary(const std::string& text, const std::string& name, const JitOptions& options) : name_(name) {
    const std::string object = object_from_cache_or_compiler(text, name, options, record_);
    // All that a compiler may call on its own account in code that includes nothing.
    std::vector<cpuflow_jit_symbol> symbols = {{"memcpy", reinterpret_cast<void*>(&std::memcpy)},
                                               {"memmove", reinterpret_cast<void*>(&std::memmove)},
                                               {"memset", reinterpret_cast<void*>(&std::memset)}};
    for (const auto& [symbol_name, address] : options.symbols) symbols.push_back({symbol_name.c_str(), address});
    Stopwatch linking;
    std::string errors;
    library_ = jit_module().link(object.data(), object.size(), name.c_str(), symbols.data(), symbols.size(), collect(errors));
    if (!library_) throw JitError(fmt::format("internal error: the code of '{}' cannot be linked: {}", name, errors));
    record_.ms_link = linking.ms();
  }
  ~OrcLibrary() override { jit_module().unload(library_); }

  void* symbol(const std::string& symbol_name) override {
    std::string errors;
    void* address = jit_module().symbol(library_, symbol_name.c_str(), collect(errors));
    if (!address) throw JitError(fmt::format("no usable function '{}' in the code of '{}': {}", symbol_name, name_, errors));
    return address;
  }

 private:
  std::string name_;
  cpuflow_jit_library* library_ = nullptr;
};

}  // namespace

std::unique_ptr<Library> load_cpp(const std::string& text, const std::string& name, const JitOptions& options) {
  if (options.exec == Exec::Dlopen) return load_with_dlopen(text, name, options);
  return std::make_unique<OrcLibrary>(text, name, options);
}

}  // namespace cpuflow::codegen
