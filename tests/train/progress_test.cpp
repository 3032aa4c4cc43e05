#include "runtime/train/progress.h"

#include <cstdlib>

#include "tests/catch.h"
#include "tests/train/bigram_model.h"
#include "tests/train/train_test_util.h"

using namespace cpuflow;

namespace {

rt::StepReport report(int64_t step) { return {step, 1000, 4096 * static_cast<uint64_t>(step + 1), 2.0, 3e-4, {2.0, 2.5}, 0.75, 12345, 75}; }

}  // namespace

TEST_CASE("a terminal gets one line that is rewritten and fits") {
  std::string out;
  const codegen::Executable exe = bigram::make();
  {
    codegen::Manifest watching = exe.manifest;
    watching.watch = {"gate"};
    rt::ProgressText text(watching, {true, true, 200}, [&](std::string_view s) { out += s; });
    text.step(report(41));
    for (const char* part :
         {"\r", "\x1b[36m", "step 42/1000", "12.3 ktok/s", "ce 2.0000", "ppl 7.389", "lr 0.0003", "grad 0.75", "1m 15s left"}) {
      INFO(out);
      CHECK(has(out, part));
    }
    CHECK(!has(out, "\n"));
    text.evaluation({42, 1, 1, {{1.5, 1.75}, {0.25}, 9, 72, 4.4817, 1.25, true}});
    CHECK(has(out, "\nafter 42 steps, 9 held-out windows:  val ce 1.5000  val total 1.7500  val ppl 4.4817  bits/byte 1.2500\n  watch: gate 0.25\n"));
    text.step(report(42));
  }
  CHECK(out.back() == '\n');

  out.clear();
  rt::ProgressText narrow(exe.manifest, {true, false, 30}, [&](std::string_view s) { out += s; });
  narrow.step(report(41));
  CHECK(!has(out, "\x1b[36m"));
  CHECK(out.size() == 29 + std::string("\r\x1b[K").size());
}

TEST_CASE("elsewhere plain lines come now and then, the first and the last included") {
  std::string out;
  const codegen::Executable exe = bigram::make();
  {
    rt::ProgressText text(
        exe.manifest, {false, false, 80}, [&](std::string_view s) { out += s; }, 1000);
    for (int step = 0; step < 50; ++step) text.step(report(step));
    CHECK(std::count(out.begin(), out.end(), '\n') == 1);
  }
  CHECK(std::count(out.begin(), out.end(), '\n') == 2);
  CHECK(has(out, "step 50/1000"));
  CHECK(!has(out, "\r"));
  CHECK(!has(out, "\x1b"));
}

TEST_CASE("a file is no terminal") {
  const TemporaryFolder folder;
  put(folder / "f", "");
  FILE* file = std::fopen((folder / "f").c_str(), "r");
  setenv("COLUMNS", "55", 1);
  const rt::Terminal terminal = rt::Terminal::of(fileno(file));
  unsetenv("COLUMNS");
  std::fclose(file);
  CHECK(!terminal.live);
  CHECK(!terminal.colour);
  CHECK(terminal.columns == 55);
}

TEST_CASE("numbers and times for people") {
  CHECK(rt::short_count(12345) == "12.3 k");
  CHECK(rt::short_count(999) == "999");
  CHECK(rt::short_count(999600) == "1 M");
  CHECK(rt::short_time(59.4) == "59s");
  CHECK(rt::short_time(200) == "3m 20s");
  CHECK(rt::short_time(3840) == "1h 04m");
  CHECK(rt::short_time(-3) == "0s");
}
