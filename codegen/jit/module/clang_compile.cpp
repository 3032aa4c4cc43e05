#include "codegen/jit/module/clang_compile.h"

#include <clang/Basic/TargetInfo.h>
#include <clang/Basic/Version.h>
#include <clang/CodeGen/CodeGenAction.h>
#include <clang/Frontend/CompilerInstance.h>
#include <clang/Frontend/CompilerInvocation.h>
#include <clang/Frontend/TextDiagnosticPrinter.h>
#include <llvm/ADT/SmallString.h>
#include <llvm/Support/MemoryBuffer.h>
#include <llvm/Support/TargetSelect.h>
#include <llvm/Support/VirtualFileSystem.h>
#include <llvm/Support/raw_ostream.h>

#include <memory>
#include <mutex>
#include <string>

namespace {

void send(cpuflow_jit_sink sink, llvm::StringRef data) { sink.write(sink.to, data.data(), data.size()); }

std::unique_ptr<clang::CodeGenAction> action_for(clang::frontend::ActionKind kind) {
  switch (kind) {
    case clang::frontend::EmitAssembly:
      return std::make_unique<clang::EmitAssemblyAction>();
    case clang::frontend::EmitLLVM:
      return std::make_unique<clang::EmitLLVMAction>();
    default:
      return std::make_unique<clang::EmitObjAction>();
  }
}

}  // namespace

const char* clang_version() {
  static const std::string version = clang::getClangFullVersion();
  return version.c_str();
}

int clang_compile(const char* const* arguments, size_t argument_count, const char* text, size_t size, const char* file_name,
                  cpuflow_jit_sink result, cpuflow_jit_sink errors) {
  static std::once_flag targets;
  std::call_once(targets, [] {
    llvm::InitializeNativeTarget();
    llvm::InitializeNativeTargetAsmPrinter();
    llvm::InitializeNativeTargetAsmParser();
  });

  std::string messages;
  llvm::raw_string_ostream message_stream(messages);
  llvm::IntrusiveRefCntPtr<clang::DiagnosticOptions> diagnostic_options = new clang::DiagnosticOptions;
  clang::TextDiagnosticPrinter printer(message_stream, diagnostic_options.get());

  clang::CompilerInstance compiler;
  compiler.createDiagnostics(&printer, /*ShouldOwnClient=*/false);
  auto invocation = std::make_shared<clang::CompilerInvocation>();
  bool ok = clang::CompilerInvocation::CreateFromArgs(*invocation, llvm::ArrayRef<const char*>(arguments, argument_count),
                                                      compiler.getDiagnostics());
  llvm::SmallString<0> bytes;
  if (ok) {
    clang::FrontendOptions& front_end = invocation->getFrontendOpts();
    std::unique_ptr<llvm::MemoryBuffer> source = llvm::MemoryBuffer::getMemBufferCopy(llvm::StringRef(text, size), file_name);
    front_end.Inputs.clear();
    front_end.Inputs.push_back(clang::FrontendInputFile(source->getMemBufferRef(), clang::InputKind(clang::Language::CXX)));
    compiler.setInvocation(invocation);
    compiler.setVerboseOutputStream(llvm::nulls());
    // An empty file system: whatever the text says, nothing is read from the disk.
    compiler.createFileManager(llvm::makeIntrusiveRefCnt<llvm::vfs::InMemoryFileSystem>());
    compiler.setOutputStream(std::make_unique<llvm::raw_svector_ostream>(bytes));
    std::unique_ptr<clang::CodeGenAction> action = action_for(front_end.ProgramAction);
    ok = compiler.ExecuteAction(*action) && !compiler.getDiagnostics().hasErrorOccurred();
  }
  if (!ok) {
    message_stream.flush();
    send(errors, messages);
    return 1;
  }
  send(result, bytes);
  return 0;
}
