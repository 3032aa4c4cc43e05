#include <llvm/ExecutionEngine/Orc/Core.h>
#include <llvm/ExecutionEngine/Orc/DebugObjectManagerPlugin.h>
#include <llvm/ExecutionEngine/Orc/EPCDebugObjectRegistrar.h>
#include <llvm/ExecutionEngine/Orc/ExecutorProcessControl.h>
#include <llvm/ExecutionEngine/Orc/ObjectLinkingLayer.h>
#include <llvm/ExecutionEngine/Orc/TargetProcess/JITLoaderGDB.h>
#include <llvm/Support/FormatVariadic.h>
#include <llvm/Support/MemoryBuffer.h>
#include <llvm/TargetParser/Host.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <string>

#include "codegen/jit/module/clang_compile.h"

namespace orc = llvm::orc;

namespace {

void send(cpuflow_jit_sink sink, llvm::Error error) {
  std::string message = llvm::toString(std::move(error));
  sink.write(sink.to, message.data(), message.size());
}

/// Tells perf where functions are: lines `address size name` in the file that perf looks for.  LLVM 19's own plugin for jitdump files
/// leaves a field of the header uninitialised, and perf rejects such a file.
class PerfMapPlugin : public orc::ObjectLinkingLayer::Plugin {
 public:
  PerfMapPlugin() {
    std::string path = "/tmp/perf-" + std::to_string(::getpid()) + ".map";
    file_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
    // Somebody else may have put a file there.
    struct stat status;
    if (file_ >= 0 && (::fstat(file_, &status) != 0 || !S_ISREG(status.st_mode) || status.st_uid != ::geteuid())) {
      ::close(file_);
      file_ = -1;
    }
  }
  ~PerfMapPlugin() override {
    if (file_ >= 0) ::close(file_);
  }
  void modifyPassConfig(orc::MaterializationResponsibility&, llvm::jitlink::LinkGraph&, llvm::jitlink::PassConfiguration& config) override {
    config.PostFixupPasses.push_back([this](llvm::jitlink::LinkGraph& graph) {
      std::string lines;
      for (llvm::jitlink::Symbol* symbol : graph.defined_symbols()) {
        if (!symbol->isCallable() || !symbol->hasName() || symbol->getSize() == 0) continue;
        lines += llvm::formatv("{0:x-} {1:x-} {2}\n", symbol->getAddress().getValue(), symbol->getSize(), symbol->getName()).str();
      }
      // One write, so that lines of several threads do not mix; without the file there is only less to see.
      if (file_ >= 0) [[maybe_unused]] const ssize_t written = ::write(file_, lines.data(), lines.size());
      return llvm::Error::success();
    });
  }
  llvm::Error notifyFailed(orc::MaterializationResponsibility&) override { return llvm::Error::success(); }
  llvm::Error notifyRemovingResources(orc::JITDylib&, orc::ResourceKey) override { return llvm::Error::success(); }
  void notifyTransferringResources(orc::JITDylib&, orc::ResourceKey, orc::ResourceKey) override {}

 private:
  int file_ = -1;
};

/// One linker for the process: debuggers and profilers see one list of kernels.
struct Session {
  std::unique_ptr<orc::ExecutionSession> execution;
  std::unique_ptr<orc::ObjectLinkingLayer> layer;
  std::string failure;
  std::atomic<uint64_t> libraries{0};

  Session() {
    auto control = orc::SelfExecutorProcessControl::Create();
    if (!control) {
      failure = llvm::toString(control.takeError());
      return;
    }
    execution = std::make_unique<orc::ExecutionSession>(std::move(*control));
    // Every error reaches the caller through the lookup that met it; ORC's own reports would go to stderr.
    execution->setErrorReporter([](llvm::Error error) { llvm::consumeError(std::move(error)); });
    layer = std::make_unique<orc::ObjectLinkingLayer>(*execution);
    auto registrar =
        std::make_unique<orc::EPCDebugObjectRegistrar>(*execution, orc::ExecutorAddr::fromPtr(&llvm_orc_registerJITLoaderGDBAllocAction));
    layer->addPlugin(std::make_unique<orc::DebugObjectManagerPlugin>(*execution, std::move(registrar),
                                                                     /*RequireDebugSections=*/false, /*AutoRegisterCode=*/true));
    const char* perf = std::getenv("CPUFLOW_PERF");
    if (perf && std::string(perf) == "1") {
      layer->addPlugin(std::make_unique<PerfMapPlugin>());
    }
  }
};

/// Lives until the process ends: kernels may still run while static objects are destroyed.
Session& session() {
  static Session* the_session = new Session;
  return *the_session;
}

}  // namespace

struct cpuflow_jit_library {
  orc::JITDylib* dylib;
};

namespace {

cpuflow_jit_library* link_object(const char* object, size_t size, const char* name, const cpuflow_jit_symbol* symbols, size_t symbol_count,
                                 cpuflow_jit_sink errors) {
  Session& s = session();
  if (!s.failure.empty()) {
    errors.write(errors.to, s.failure.data(), s.failure.size());
    return nullptr;
  }
  auto dylib = s.execution->createJITDylib(std::string(name) + "#" + std::to_string(s.libraries++));
  if (!dylib) {
    send(errors, dylib.takeError());
    return nullptr;
  }
  orc::SymbolMap known;
  for (size_t i = 0; i < symbol_count; ++i) {
    known[s.execution->intern(symbols[i].name)] = {orc::ExecutorAddr::fromPtr(symbols[i].address),
                                                   llvm::JITSymbolFlags::Exported | llvm::JITSymbolFlags::Callable};
  }
  llvm::Error error = dylib->define(orc::absoluteSymbols(std::move(known)));
  if (!error) error = s.layer->add(*dylib, llvm::MemoryBuffer::getMemBufferCopy(llvm::StringRef(object, size), name));
  if (error) {
    send(errors, std::move(error));
    llvm::consumeError(s.execution->removeJITDylib(*dylib));
    return nullptr;
  }
  return new cpuflow_jit_library{&*dylib};
}

void* find_symbol(cpuflow_jit_library* library, const char* name, cpuflow_jit_sink errors) {
  auto found = session().execution->lookup({library->dylib}, name);
  if (!found) {
    send(errors, found.takeError());
    return nullptr;
  }
  return found->getAddress().toPtr<void*>();
}

void unload(cpuflow_jit_library* library) {
  llvm::consumeError(session().execution->removeJITDylib(*library->dylib));
  delete library;
}

}  // namespace

extern "C" __attribute__((visibility("default"))) const cpuflow_jit_module_api* cpuflow_jit_module() {
  static const std::string triple = llvm::sys::getDefaultTargetTriple();
  static const cpuflow_jit_module_api api = {
      CPUFLOW_JIT_API_VERSION, clang_version(), triple.c_str(), clang_compile, link_object, find_symbol, unload};
  return &api;
}
