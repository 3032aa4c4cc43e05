#include "codegen/jit/jit.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include "tests/catch.h"
#include "tests/files.h"
#include "tests/jit/scoped_env.h"

using namespace cpuflow::codegen;
using cpuflow::tests::ScopedEnv;

namespace {

using Axpy = void(float*, const float*, float, int);

const std::string kAxpy = R"(
extern "C" void axpy(float* y, const float* x, float a, int n) {
  for (int i = 0; i < n; ++i) y[i] = y[i] + a * x[i];
}
)";

/// Also keeps the dlopen session out of the user's own cache.
JitOptions without_cache() {
  static const TemporaryFolder folder;
  JitOptions options;
  options.use_cache = false;
  options.cache_dir = folder.path();
  return options;
}

struct NamedFeatures {
  const char* name;
  std::vector<std::string> features;
  int vector_bits;
  bool runs;
};

std::vector<NamedFeatures> targets() {
  std::vector<NamedFeatures> all = {{"portable", {}, 0, true}};
#if defined(__x86_64__)
  __builtin_cpu_init();
  bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
                __builtin_cpu_supports("avx512dq");
  all.push_back({"avx2", {"avx2", "fma"}, 0, avx2});
  all.push_back({"avx512", {"avx2", "fma", "avx512f", "avx512bw", "avx512vl", "avx512dq"}, 512, avx512});
#endif
  return all;
}

void check_axpy(Library& library) {
  auto* axpy = reinterpret_cast<Axpy*>(library.symbol("axpy"));
  std::vector<float> y(101), x(101);
  for (int i = 0; i < 101; ++i) {
    y[i] = static_cast<float>(i);
    x[i] = static_cast<float>(2 * i);
  }
  axpy(y.data(), x.data(), 0.5f, 100);
  for (int i = 0; i < 100; ++i) REQUIRE(y[i] == static_cast<float>(2 * i));
  REQUIRE(y[100] == 100.0f);
}

template <class F>
std::string error_of(F f) {
  try {
    f();
  } catch (const JitError& e) {
    return e.what();
  }
  return "";
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("a kernel runs on every target that this machine has, and compiles for the others") {
  for (const NamedFeatures& target : targets()) {
    for (Exec exec : {Exec::Orc, Exec::Dlopen}) {
      INFO(target.name << (exec == Exec::Orc ? " orc" : " dlopen"));
      JitOptions options = without_cache();
      options.exec = exec;
      options.features = target.features;
      options.vector_bits = target.vector_bits;
      auto library = load_cpp(kAxpy, "axpy", options);
      CHECK(library->record().object_bytes > 0);
      CHECK(library->record().hash.size() == 32);
      CHECK_FALSE(library->record().cache_hit);
      if (target.runs) check_axpy(*library);
    }
  }
}

TEST_CASE("features choose the registers of the generated code") {
#if defined(__x86_64__)
  for (const NamedFeatures& target : targets()) {
    JitOptions options = without_cache();
    options.features = target.features;
    options.vector_bits = target.vector_bits;
    std::string assembly = compile_to_assembly(kAxpy, "axpy", options);
    INFO(target.name);
    CHECK((contains(assembly, "%ymm") || target.vector_bits == 512) == (std::string(target.name) != "portable"));
    CHECK(contains(assembly, "%zmm") == (std::string(target.name) == "avx512"));
    // The text asks for a product and a sum: contraction would round once instead of twice.
    CHECK_FALSE(contains(assembly, "vfmadd"));
  }
#endif
}

TEST_CASE("assembly and IR on demand") {
  CHECK(contains(compile_to_assembly(kAxpy, "axpy"), "axpy:"));
  std::string ir = compile_to_llvm(kAxpy, "axpy");
  CHECK(contains(ir, "define"));
  CHECK(contains(ir, "@axpy("));
  CHECK(contains(ir, "<4 x float>"));
  CHECK(contains(compiler_version(), "19."));
}

TEST_CASE("a compile error names the place, says that it is internal and where the text is") {
  const std::string wrong = "extern \"C\" int f() {\n  return undeclared_name;\n}\n";
  std::string error = error_of([&] { load_cpp(wrong, "model", without_cache()); });
  CHECK(contains(error, "internal error"));
  CHECK(contains(error, "model.cpp:2:10: error: use of undeclared identifier 'undeclared_name'"));
  CHECK(contains(error, "--dump"));
  JitOptions kept = without_cache();
  kept.source_path = "/somewhere/14-model.cpp";
  error = error_of([&] { load_cpp(wrong, "model", kept); });
  CHECK(contains(error, "/somewhere/14-model.cpp:2:10"));
  CHECK(contains(error, "the generated text is in /somewhere/14-model.cpp"));
  JitOptions outside = without_cache();
  outside.exec = Exec::Dlopen;
  error = error_of([&] { load_cpp(wrong, "model", outside); });
  CHECK(contains(error, "internal error"));
  CHECK(contains(error, ":2:10: error:"));
}

TEST_CASE("text in memory cannot read the disk") {
  CHECK(contains(error_of([] { load_cpp("#include \"/etc/passwd\"\n", "m", without_cache()); }), "file not found"));
}

TEST_CASE("missing symbols are errors that name them") {
  auto library = load_cpp(kAxpy, "axpy", without_cache());
  CHECK(contains(error_of([&] { library->symbol("no_such_kernel"); }), "no_such_kernel"));
  check_axpy(*library);
  // printf is in this process, but generated code may not call it.
  auto needy = load_cpp("extern \"C\" int printf(const char*, ...); extern \"C\" void f() { printf(\"x\"); }", "needy", without_cache());
  std::string error = error_of([&] { needy->symbol("f"); });
  CHECK(contains(error, "f"));
  CHECK(contains(error, "needy"));
}

TEST_CASE("memory functions and listed symbols are found") {
  JitOptions options = without_cache();
  static int calls = 0;
  options.symbols.push_back({"count_call", reinterpret_cast<void*>(+[] { ++calls; })});
  auto library = load_cpp(R"(
extern "C" void count_call();
extern "C" void clear(char* p, unsigned long n) { for (unsigned long i = 0; i < n; ++i) p[i] = 0; count_call(); }
)",
                          "clear", options);
  std::vector<char> bytes(1000, 'x');
  reinterpret_cast<void (*)(char*, unsigned long)>(library->symbol("clear"))(bytes.data(), 999);
  CHECK(bytes[0] == 0);
  CHECK(bytes[998] == 0);
  CHECK(bytes[999] == 'x');
  CHECK(calls == 1);
}

TEST_CASE("libraries with equal symbol names live side by side") {
  for (Exec exec : {Exec::Orc, Exec::Dlopen}) {
    JitOptions options = without_cache();
    options.exec = exec;
    auto one = load_cpp("static int n = 0; extern \"C\" int next() { return n += 1; }", "model", options);
    auto two = load_cpp("static int n = 0; extern \"C\" int next() { return n += 100; }", "model", options);
    auto* first = reinterpret_cast<int (*)()>(one->symbol("next"));
    auto* second = reinterpret_cast<int (*)()>(two->symbol("next"));
    CHECK(first() == 1);
    CHECK(second() == 100);
    CHECK(first() == 2);
    two.reset();
    CHECK(first() == 3);
  }
}

TEST_CASE("threads compile and load at the same time") {
  TemporaryFolder folder;
  std::vector<std::thread> threads;
  std::vector<int> results(8, -1);
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([t, &results, &folder] {
      JitOptions options;
      options.cache_dir = folder.path();
      // Pairs of threads compile the same text.
      auto library = load_cpp("extern \"C\" int value() { return " + std::to_string(t / 2) + "; }", "t", options);
      results[t] = reinterpret_cast<int (*)()>(library->symbol("value"))();
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (int t = 0; t < 8; ++t) CHECK(results[t] == t / 2);
}

TEST_CASE("every installed compiler takes the flags") {
  TemporaryFolder folder;
  JitOptions options;
  options.cache_dir = folder.path();
  options.exec = Exec::Dlopen;
  for (const char* compiler : {"clang++-19", "clang++", "g++"}) {  // one that is not there is passed over
    INFO(compiler);
    ScopedEnv cxx("CXX", compiler);
    CHECK_NOTHROW(load_cpp(kAxpy, "axpy", options));
  }
}

TEST_CASE("dlopen says what to do when there is no compiler") {
  TemporaryFolder folder;
  ScopedEnv path("PATH", folder.path().c_str());
  ScopedEnv cxx("CXX", "no-such-compiler");
  JitOptions options;
  options.exec = Exec::Dlopen;
  options.cache_dir = folder.path();
  std::string error = error_of([&] { load_cpp(kAxpy, "axpy", options); });
  CHECK(contains(error, "no-such-compiler"));
  CHECK(contains(error, "g++"));
  CHECK(contains(error, "--exec orc"));
  CHECK(folder.entries().empty());
}

TEST_CASE("perf finds the kernels' names") {
  // The module reads the variable when it links for the first time, so this needs a process of its own: this program again, one test.
  std::string program = program_invocation_name;
  ScopedEnv perf("CPUFLOW_PERF", "1");
  pid_t child = ::fork();
  if (child == 0) {
    if (!std::freopen("/dev/null", "w", stdout)) ::_exit(126);
    ::execl(program.c_str(), program.c_str(), "missing symbols are errors that name them", static_cast<char*>(nullptr));
    ::_exit(127);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(status == 0);
  std::string path = "/tmp/perf-" + std::to_string(child) + ".map";
  std::ifstream file(path);
  std::string map(std::istreambuf_iterator<char>(file), {});
  CHECK(contains(map, " axpy\n"));
  std::filesystem::remove(path);
}
