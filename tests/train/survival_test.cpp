// What happens to a run when something happens to its process, its disk or its files.
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <random>
#include <thread>

#include "runtime/train/checkpoint.h"
#include "runtime/train/signals.h"
#include "tests/catch.h"
#include "tests/train/bigram_model.h"
#include "tests/train/train_test_util.h"

using namespace cpuflow;
namespace fs = std::filesystem;

namespace {

constexpr int64_t kSteps = 40;

const codegen::Executable& model() {
  static const codegen::Executable exe = bigram::make();
  return exe;
}

const rt::TokenData& stream() {
  static const rt::TokenData data = bigram::text(3000);
  return data;
}

/// Trains in a process of its own; its exit status is 0 at the end of the run.
pid_t train_in_child(const std::string& dir, int threads, bool resume, double save_seconds = 0, const std::function<void()>& on_step = {}) {
  const pid_t child = fork();
  if (child != 0) return child;
  int status = 99;
  try {
    const rt::StopSignals signals;
    rt::TrainOptions options = train_options(model(), dir, kSteps, threads);
    options.resume = resume;
    options.save_seconds = save_seconds;
    options.stop = &rt::StopSignals::flag();
    Recorder record;
    record.on_step = [&](const rt::StepReport&) {
      if (on_step) on_step();
    };
    const rt::TrainResult result = rt::train(model(), stream(), nullptr, options, record);
    status = result.stopped_by == 0 ? 0 : 128 + result.stopped_by;
  } catch (...) {
    status = 98;
  }
  _exit(status);
}

int wait_for(pid_t child) {
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

/// The tensors of a run that nothing happens to.
const std::string& undisturbed() {
  static const std::string tensors = [] {
    const TemporaryFolder folder;
    Recorder record;
    rt::train(model(), stream(), nullptr, train_options(model(), folder.path(), kSteps, 1), record);
    return tensors_of(folder.path());
  }();
  return tensors;
}

void pause(double seconds) { std::this_thread::sleep_for(std::chrono::duration<double>(seconds)); }

void flip_byte(const std::string& path) {
  std::string bytes = text_of(path);
  bytes[bytes.size() - 5] = static_cast<char>(bytes[bytes.size() - 5] ^ 0x40);
  put(path, bytes);
}

}  // namespace

TEST_CASE("a run that is killed again and again ends with the same weights") {
  std::mt19937 random(7);
  const TemporaryFolder folder;
  int kills = 0;
  for (bool resume = false; kills < 200; resume = rt::CheckpointFolder(folder.path()).exists()) {
    const int threads = 1 + static_cast<int>(random() % 4);
    // However fast the machine is, the run takes several times as long as it may live.
    const pid_t child = train_in_child(folder.path(), threads, resume, 0, [] { pause(0.6 / kSteps); });
    // Longer from time to time, so that the run ends.
    pause(kills < 25 ? 0.002 + 1e-3 * static_cast<double>(random() % 80) : 2.0);
    kill(child, SIGKILL);
    const int status = wait_for(child);
    if (status == 0) break;
    REQUIRE(status == 1000 + SIGKILL);
    ++kills;
    if (rt::CheckpointFolder(folder.path()).exists() && fs::exists(folder / "checkpoint"))
      CHECK_NOTHROW(rt::CheckpointFolder(folder.path()).open());
  }
  CHECK(kills > 2);
  CHECK((tensors_of(folder.path()) == undisturbed()));
  CHECK(!fs::exists(folder / "checkpoint.new"));
  CHECK(!fs::exists(folder / "checkpoint.previous"));
  CHECK(rt::recorded_rates(folder / "metrics.jsonl").size() == kSteps);
  const std::string metrics = text_of(folder / "metrics.jsonl");
  CHECK(std::count(metrics.begin(), metrics.end(), '\n') == kSteps);  // no step twice
}

TEST_CASE("resuming a run that has ended removes what a kill in its last save left") {
  const TemporaryFolder folder;
  Recorder record;
  rt::train(model(), stream(), nullptr, train_options(model(), folder.path(), kSteps, 1), record);
  for (const char* left : {"checkpoint.new", "checkpoint.previous"}) fs::copy(folder / "checkpoint", folder / left, fs::copy_options::recursive);
  CHECK(wait_for(train_in_child(folder.path(), 1, true, 0, [] {})) == 0);
  CHECK(!fs::exists(folder / "checkpoint.new"));
  CHECK(!fs::exists(folder / "checkpoint.previous"));
  CHECK((tensors_of(folder.path()) == undisturbed()));
}

TEST_CASE("SIGINT and SIGTERM save and end the run, and it resumes on another number of threads") {
  for (const int number : {SIGINT, SIGTERM}) {
    const TemporaryFolder folder;
    const pid_t child = train_in_child(folder.path(), 3, false, 1000, [] { pause(0.02); });
    while (text_of(folder / "metrics.jsonl").size() < 500) pause(0.005);
    kill(child, number);
    CHECK(wait_for(child) == 128 + number);
    const int64_t step = rt::CheckpointFolder(folder.path()).open().state.step;
    CHECK((step > 1 && step < kSteps));
    CHECK(wait_for(train_in_child(folder.path(), 2, true)) == 0);
    CHECK((tensors_of(folder.path()) == undisturbed()));
  }
}

TEST_CASE("a second SIGINT ends the process at once, unless it comes with the first") {
  const TemporaryFolder folder;
  const pid_t child = train_in_child(folder.path(), 1, false, 1000, [] { pause(30); });
  while (text_of(folder / "metrics.jsonl").empty()) pause(0.005);
  for (const double later : {0.05, 1.1, 0.0}) {
    CHECK(kill(child, SIGINT) == 0);
    pause(later);
  }
  CHECK(wait_for(child) == 1000 + SIGINT);
  CHECK(rt::CheckpointFolder(folder.path()).open().state.step == 0);
}

TEST_CASE("a damaged checkpoint is told apart and the one before it is used") {
  const TemporaryFolder folder;
  Recorder record;
  std::atomic<int> stop{0};
  rt::TrainOptions options = train_options(model(), folder.path(), kSteps);
  options.save_seconds = 0;
  options.stop = &stop;
  options.checkpoint_files = {{"model.toml", "name = \"bigram\"\n"}};
  record.on_step = [&](const rt::StepReport& r) { stop = r.step == 10 ? SIGTERM : 0; };
  CHECK(rt::train(model(), stream(), nullptr, options, record).stopped_by == SIGTERM);
  const rt::CheckpointFolder checkpoints(folder.path());
  REQUIRE(checkpoints.open().state.step == 11);
  REQUIRE(fs::exists(folder / "checkpoint.previous/state.json"));
  CHECK(text_of(folder / "checkpoint/model.toml") == "name = \"bigram\"\n");
  // The folder of a checkpoint can be given itself.
  CHECK(rt::CheckpointFolder(folder / "checkpoint").open().state.step == 11);

  for (const char* name : {"model.safetensors", "optimizer.safetensors", "state.json", "model.toml"}) {
    INFO(name);
    const std::string path = folder / "checkpoint/" + name, whole = text_of(path);
    flip_byte(path);
    const rt::Checkpoint found = checkpoints.open();
    CHECK(found.state.step < 11);
    REQUIRE(found.warnings.size() == 1);
    CHECK(has(found.warnings[0], path));
    CHECK(has(found.warnings[0], "damaged"));
    put(path, whole.substr(0, whole.size() / 2));
    CHECK(has(checkpoints.open().warnings.at(0), "damaged"));
    fs::remove(path);
    CHECK(has(checkpoints.open().warnings.at(0), path));
    put(path, whole);
    CHECK(checkpoints.open().warnings.empty());
  }

  flip_byte(folder / "checkpoint/optimizer.safetensors");
  CHECK(checkpoints.open(false).state.step == 11);  // sampling needs no optimiser state
  options.resume = true;
  record.on_step = nullptr;
  stop = 0;
  CHECK(rt::train(model(), stream(), nullptr, options, record).steps == kSteps);
  CHECK(has(record.notes, "warning: " + folder / "checkpoint/optimizer.safetensors"));
  CHECK((tensors_of(folder.path()) == undisturbed()));

  flip_byte(folder / "checkpoint/model.safetensors");
  const std::string message = message_of([&] { checkpoints.open(); });
  CHECK(has(message, "checkpoint/model.safetensors: damaged"));
  CHECK(has(message, "no complete checkpoint is left"));
  fs::remove_all(folder / "checkpoint");
  CHECK(has(message_of([&] { checkpoints.open(); }), "there is no checkpoint here"));
}

TEST_CASE("whatever a killed process leaves of an exchange is put in order") {
  const TemporaryFolder folder;
  Recorder record;
  rt::TrainOptions options = train_options(model(), folder.path(), 3);
  rt::train(model(), stream(), nullptr, options, record);
  const std::string whole = folder / "checkpoint", fresh = folder / "checkpoint.new", previous = folder / "checkpoint.previous";
  const rt::CheckpointFolder checkpoints(folder.path());
  auto copy = [](const std::string& from, const std::string& to) { fs::copy(from, to, fs::copy_options::recursive); };

  // Between two renames: the new one is complete and has no name yet.
  fs::rename(whole, fresh);
  CHECK(checkpoints.open().state.step == 3);
  checkpoints.recover();
  CHECK(fs::exists(whole + "/state.json"));
  CHECK(!fs::exists(fresh));
  // Only the one before is complete.
  fs::rename(whole, previous);
  put(fresh + "/model.safetensors", "half");
  CHECK(checkpoints.open().state.step == 3);
  checkpoints.recover();
  CHECK(fs::exists(whole + "/state.json"));
  CHECK(!fs::exists(fresh));
  // Killed in its first save, a run has not begun.
  fs::rename(whole, folder / "aside");
  put(fresh + "/model.safetensors", "half");
  CHECK_FALSE(checkpoints.exists());
  fs::remove_all(fresh);
  fs::rename(folder / "aside", whole);
  CHECK(checkpoints.exists());
  // After the exchange: the older one under the new one's name.
  copy(whole, fresh);
  checkpoints.recover();
  CHECK(fs::exists(previous + "/state.json"));
  CHECK(!fs::exists(fresh));
}

TEST_CASE("when the disk is full training goes on, and the state is saved once there is room") {
  struct rlimit before {};
  getrlimit(RLIMIT_FSIZE, &before);
  auto limit = [&](rlim_t bytes) {
    const struct rlimit now { bytes, before.rlim_max };
    setrlimit(RLIMIT_FSIZE, &now);
  };
  for (const bool relieved : {true, false}) {
    const TemporaryFolder folder;
    Recorder record;
    rt::TrainOptions options = train_options(model(), folder.path(), kSteps);
    options.save_seconds = 0;
    record.on_step = [&](const rt::StepReport& r) {
      if (r.step == 5) limit(600);
      if (r.step == 20 && relieved) limit(before.rlim_cur);
    };
    const std::string message = message_of([&] { rt::train(model(), stream(), nullptr, options, record); });
    limit(before.rlim_cur);
    INFO(message);
    CHECK(record.steps.size() == kSteps);
    CHECK(has(record.notes, "checkpoint.new/model.safetensors: cannot write"));
    CHECK(has(record.notes, "training goes on"));
    CHECK(!fs::exists(folder / "checkpoint.new"));
    CHECK(rt::CheckpointFolder(folder.path()).open().state.step == (relieved ? kSteps : 5));
    if (relieved) CHECK((tensors_of(folder.path()) == undisturbed()));
    if (!relieved) CHECK(has(message, "the checkpoint of step 5 is whole"));
  }
}

TEST_CASE("on a disk with room for two checkpoints a third takes the place of the first") {
  const TemporaryFolder folder;
  const std::string disk = folder / "disk";
  fs::create_directory(disk);
  if (mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=28k") != 0) {  // 7 pages, and a checkpoint takes 3
    WARN("a small disk needs root: " << std::strerror(errno));
    return;
  }
  const codegen::Manifest& m = model().manifest;
  std::vector<float> numbers(m.param_floats, 0.5f);
  rt::TrainState state;
  state.order = "shuffled";
  const rt::CheckpointFolder checkpoints(disk);
  std::string message;
  for (state.step = 1; state.step <= 3 && message.empty(); ++state.step) {
    message = message_of([&] { checkpoints.write(m, state, numbers.data(), numbers.data(), numbers.data()); });
  }
  const int64_t newest = message_of([&] { checkpoints.open(); }).empty() ? checkpoints.open().state.step : -1;
  const bool older = fs::exists(disk + "/checkpoint.previous/state.json");
  fs::remove_all(disk + "/checkpoint.previous");
  std::ofstream(disk + "/more") << std::string(12000, 'x');
  const std::string full = message_of([&] { checkpoints.write(m, state, numbers.data(), numbers.data(), numbers.data()); });
  const int64_t kept = message_of([&] { checkpoints.open(); }).empty() ? checkpoints.open().state.step : -1;
  umount(disk.c_str());
  CHECK(message.empty());
  CHECK(newest == 3);
  CHECK(older);
  CHECK(has(full, "the disk is full"));
  CHECK(kept == 3);
}

TEST_CASE("a folder that cannot be written to is refused before the first step") {
  const TemporaryFolder folder;
  const std::string shut = folder / "shut";
  fs::create_directory(shut);
  chmod(folder.path().c_str(), 0755);
  chmod(shut.c_str(), 0555);
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  const pid_t child = fork();
  if (child == 0) {
    if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0)) _exit(1);
    Recorder record;
    const std::string message = message_of([&] { rt::train(model(), stream(), nullptr, train_options(model(), shut, 2), record); });
    const std::string told = std::to_string(record.steps.size()) + " steps: " + message;
    _exit(write(ends[1], told.data(), told.size()) > 0 ? 0 : 2);
  }
  CHECK(wait_for(child) == 0);
  char text[2000] = {};
  REQUIRE(read(ends[0], text, sizeof text - 1) > 0);
  close(ends[0]);
  close(ends[1]);
  INFO(text);
  CHECK(has(text, "0 steps: " + shut + "/checkpoint.new"));
  CHECK(has(text, "ermission"));
}
