#include "runtime/train/checkpoint.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <xxhash.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>

#include "runtime/data/strict_json.h"

namespace cpuflow::rt {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr int kFormat = 1;
constexpr const char *kModel = "model.safetensors", *kOptimizer = "optimizer.safetensors", *kState = "state.json";

std::string checksum(std::string_view bytes) { return fmt::format("{:016x}", XXH3_64bits(bytes.data(), bytes.size())); }

struct FileSum {
  uint64_t bytes = 0;
  std::string xxh3;
};

/// Size and checksum of a file, read piece by piece.  Throws FileError.
FileSum file_sum(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file)
    throw FileError(fmt::format("{}: {}", path, exists(path) ? "cannot be read; check its permissions" : why_missing(path)));
  const std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> state(XXH3_createState(), XXH3_freeState);
  XXH3_64bits_reset(state.get());
  std::vector<char> piece(size_t{1} << 20);
  FileSum sum;
  while (file.read(piece.data(), static_cast<std::streamsize>(piece.size())), file.gcount() > 0) {
    XXH3_64bits_update(state.get(), piece.data(), static_cast<size_t>(file.gcount()));
    sum.bytes += static_cast<uint64_t>(file.gcount());
  }
  if (file.bad()) throw FileError(fmt::format("{}: cannot be read: input error", path));
  sum.xxh3 = fmt::format("{:016x}", XXH3_64bits_digest(state.get()));
  return sum;
}

/// state.json, whose `checksum` is that of everything before it.
std::string seal(Json state) {
  state["checksum"] = checksum(state.dump());
  return state.dump(1) + "\n";
}

/// Exchanges two folders in one step where the kernel and the file system can.
bool exchange(const std::string& a, const std::string& b) {
#if defined(SYS_renameat2)
  constexpr unsigned kExchange = 2;  // RENAME_EXCHANGE
  return syscall(SYS_renameat2, AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), kExchange) == 0;
#else
  return false;
#endif
}

void rename_folder(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) == 0) return;
  throw FileError(fmt::format("{}: cannot become {}: {}; check the permissions of the run's folder", from, to, std::strerror(errno)));
}

void remove_folder(const std::string& path) {
  std::error_code error;
  fs::remove_all(path, error);
  if (error) throw FileError(fmt::format("{}: cannot remove this old checkpoint: {}; remove it by hand", path, error.message()));
}

Json state_json(const TrainState& s) {
  return {{"format", kFormat},      {"step", s.step},   {"tokens", s.tokens},       {"elapsed_s", s.elapsed_s},
          {"phase", s.phase},          {"phase_step", s.phase_step}, {"phase_elapsed_s", s.phase_elapsed_s},
          {"seed", s.seed},         {"order", s.order}, {"data_hash", s.data_hash}, {"data_ids", s.data_ids},
          {"schedule", s.schedule}, {"model", s.model}, {"train", s.train}};
}

TrainState state_from(const Json& j) {
  TrainState s;
  s.step = j.at("step").get<int64_t>();
  s.tokens = j.at("tokens").get<uint64_t>();
  s.elapsed_s = j.at("elapsed_s").get<double>();
  s.phase = j.value("phase", int64_t{0});
  s.phase_step = j.value("phase_step", int64_t{0});
  s.phase_elapsed_s = j.value("phase_elapsed_s", 0.0);
  s.seed = j.at("seed").get<uint64_t>();
  s.order = j.at("order").get<std::string>();
  s.data_hash = j.at("data_hash").get<std::string>();
  s.data_ids = j.at("data_ids").get<uint64_t>();
  s.schedule = j.at("schedule");
  s.model = j.at("model");
  s.train = j.at("train");
  return s;
}

/// state.json of a checkpoint, whose own checksum is right.  Throws FileError.
Json read_state(const std::string& folder) {
  const std::string path = folder + "/" + kState;
  const std::string text = read_file(path);
  Json json;
  try {
    json = parse_strict_ordered_json(text);
  } catch (const std::runtime_error& e) {
    throw FileError(fmt::format("{}: damaged: {}", path, e.what()));
  }
  if (!json.is_object() || !json.contains("checksum"))
    throw FileError(fmt::format("{}: damaged: it is no JSON object with a checksum", path));
  const Json stated = json["checksum"];
  json.erase("checksum");
  if (stated != checksum(json.dump())) throw FileError(fmt::format("{}: damaged: its checksum is not the one it states", path));
  if (json.value("format", 0) != kFormat) {
    throw FileError(fmt::format("{}: format {} is not known here (expected {}); use the version that wrote it", path,
                                json.value("format", 0), kFormat));
  }
  return json;
}

/// Reads and checks one checkpoint.  Throws FileError.
Checkpoint read(const std::string& folder, bool optimizer) {
  const std::string path = folder + "/" + kState;
  const Json json = read_state(folder);
  Checkpoint out;
  out.folder = folder;
  try {
    out.state = state_from(json);
    for (const auto& [name, facts] : json.at("files").items()) {
      if (name == kOptimizer && !optimizer) continue;
      const FileSum sum = file_sum(folder + "/" + name);
      const uint64_t written = facts.at("bytes").get<uint64_t>();
      if (sum.bytes != written)
        throw FileError(fmt::format("{}/{}: damaged: it has {} bytes, and {} were written", folder, name, sum.bytes, written));
      if (sum.xxh3 != facts.at("xxh3").get<std::string>()) {
        throw FileError(fmt::format("{}/{}: damaged: its checksum differs from the one in {}", folder, name, kState));
      }
    }
  } catch (const Json::exception& e) {
    throw FileError(fmt::format("{}: damaged: {}", path, e.what()));
  }
  return out;
}

constexpr int kMostExchanges = 20;  // while a checkpoint is read: training that saves all the time goes on saving

/// Which folder it is: another one after an exchange.
std::optional<ino_t> folder_number(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0 ? std::optional<ino_t>(info.st_ino) : std::nullopt;
}

std::string name_in(const std::string& dir, const char* suffix) { return (fs::path(dir) / "checkpoint").string() + suffix; }

/// The places where a checkpoint may be, in the order in which equally new ones are preferred.
std::vector<std::string> places(const std::string& dir) {
  std::vector<std::string> out;
  for (const char* suffix : {"", ".new", ".previous"}) {
    if (is_folder(name_in(dir, suffix))) out.push_back(name_in(dir, suffix));
  }
  if (out.empty() && rt::exists(dir + "/" + kState)) out.push_back(dir);
  return out;
}

/// A checkpoint, complete or not there at all.
void write_files(const std::string& folder, const codegen::Manifest& m, const TrainState& state, const float* params, const float* first, const float* second,
                 const std::map<std::string, std::string>& extra) {
  remove_folder(folder);
  if (::mkdir(folder.c_str(), 0777) != 0) {
    throw FileError(fmt::format("{}: cannot make this folder: {}; choose a run folder that you may write to", folder, std::strerror(errno)));
  }
  std::vector<TensorView> weights, moments;
  for (const codegen::ParamInfo& p : m.params) {
    weights.push_back({p.name, TensorType::F32, p.shape, params + p.offset});
    if (!p.trainable) continue;
    moments.push_back({"exp_avg." + p.name, TensorType::F32, p.shape, first + p.offset});
    moments.push_back({"exp_avg_sq." + p.name, TensorType::F32, p.shape, second + p.offset});
  }
  try {
    write_safetensors(folder + "/" + kModel, std::move(weights), {{"format", "pt"}});
    write_safetensors(folder + "/" + kOptimizer, std::move(moments), {{"format", "pt"}});
    std::vector<std::string> names{kModel, kOptimizer};
    for (const auto& [name, content] : extra) {
      write_file_atomically(folder + "/" + name, content);
      names.push_back(name);
    }
    Json json = state_json(state);
    for (const std::string& name : names) {
      const FileSum sum = file_sum(folder + "/" + name);
      json["files"][name] = {{"bytes", sum.bytes}, {"xxh3", sum.xxh3}};
    }
    write_file_atomically(folder + "/" + kState, seal(std::move(json)));
  } catch (...) {
    std::error_code ignored;
    fs::remove_all(folder, ignored);
    throw;
  }
}

}  // namespace

bool CheckpointFolder::exists() const {
  const std::vector<std::string> all = places(dir_);  // one without state.json was being written when the process ended, unless it is damaged
  return std::any_of(all.begin(), all.end(), [&](const std::string& place) { return place == name_in(dir_, "") || rt::exists(place + "/" + kState); });
}

Checkpoint CheckpointFolder::open(bool optimizer) const {
  for (int left = kMostExchanges;; --left) {
    const std::optional<ino_t> before = folder_number(name_in(dir_, ""));
    const auto stays = [&] { return left == 0 || folder_number(name_in(dir_, "")) == before; };
    try {
      Checkpoint found = find(optimizer);
      if (found.warnings.empty() || stays()) return found;
    } catch (const FileError&) {
      if (stays()) throw;
    }
  }
}

Checkpoint CheckpointFolder::find(bool optimizer) const {
  std::optional<Checkpoint> best;
  std::vector<std::string> faults;
  for (const std::string& place : places(dir_)) {
    try {
      Checkpoint found = read(place, optimizer);
      if (!best || found.state.step > best->state.step) best = std::move(found);
    } catch (const FileError& e) {
      // One without state.json was being written or removed; that is no damage.
      if (place == name_in(dir_, "") || rt::exists(place + "/" + kState)) faults.push_back(e.what());
    }
  }
  if (!best) {
    if (faults.empty())
      throw FileError(
          fmt::format("{}: there is no checkpoint here; give the folder of a run (`cpuflowc train .. --out DIR` makes one)", dir_));
    throw FileError(fmt::format("{}\nno complete checkpoint is left in {}; restore the folder from a copy, or train again",
                                fmt::join(faults, "\n"), dir_));
  }
  for (const std::string& fault : faults)
    best->warnings.push_back(fmt::format("{}; using {} of step {} instead", fault, best->folder, best->state.step));
  return std::move(*best);
}

std::optional<std::string> CheckpointFolder::whole_file(const std::string& name) const {
  const std::string folder = name_in(dir_, "");
  try {
    const std::string content = read_file(folder + "/" + name);
    const Json files = read_state(folder).value("files", Json::object());
    if (files.contains(name) && files[name].value("xxh3", "") == checksum(content)) return content;
  } catch (const FileError&) {
  }
  return std::nullopt;
}

void CheckpointFolder::recover() const {
  const std::string current = name_in(dir_, ""), fresh = name_in(dir_, ".new"), previous = name_in(dir_, ".previous");
  if (!is_folder(current)) {
    std::optional<Checkpoint> best;
    for (const std::string& place : {fresh, previous}) {
      try {
        Checkpoint found = read(place, true);
        if (!best || found.state.step > best->state.step) best = std::move(found);
      } catch (const FileError&) {
        continue;
      }
    }
    if (best) rename_folder(best->folder, current);
  }
  if (is_folder(current) && is_folder(fresh)) {
    // A complete one is what the exchange left: the older checkpoint, or, where `checkpoint` is damaged, all there is.
    try {
      read(fresh, true);
      if (!is_folder(previous)) rename_folder(fresh, previous);
    } catch (const FileError&) {
      remove_folder(fresh);
    }
  }
}

void CheckpointFolder::write(const codegen::Manifest& m, const TrainState& state, const float* params, const float* first,
                             const float* second, const std::map<std::string, std::string>& extra) const {
  const std::string current = name_in(dir_, ""), fresh = name_in(dir_, ".new"), previous = name_in(dir_, ".previous");
  recover();
  const auto write_fresh = [&] { write_files(fresh, m, state, params, first, second, extra); };
  try {
    write_fresh();
  } catch (const NoSpace&) {
    // The older of two whole checkpoints makes room for the new one.
    if (!is_folder(previous)) throw;
    drop_others();
    write_fresh();
  }
  sync_folder(fresh);
  if (!is_folder(current)) {
    rename_folder(fresh, current);
  } else if (exchange(fresh, current)) {
    // The new one is in its place; what fails here waits for the next save.
    std::error_code ignored;
    fs::remove_all(previous, ignored);
    fs::rename(fresh, previous, ignored);
  } else {
    remove_folder(previous);
    rename_folder(current, previous);
    rename_folder(fresh, current);
  }
  sync_folder(dir_);
}

void CheckpointFolder::drop_others() const {
  read(name_in(dir_, ""), true);
  for (const char* suffix : {".previous", ".new"}) remove_folder(name_in(dir_, suffix));
}

}  // namespace cpuflow::rt
