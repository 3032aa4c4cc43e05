#include "runtime/train/resume.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <memory>

#include "runtime/data/data_error.h"
#include "runtime/train/trainer.h"

namespace cpuflow::rt {
namespace {

using Json = nlohmann::ordered_json;

/// Lines `key: was, now` for everything in which two objects differ, nested ones by dotted keys.
void differences(const Json& was, const Json& now, const std::string& prefix, std::vector<std::string>& out) {
  for (const auto& [key, value] : was.items()) {
    const std::string name = prefix.empty() ? key : prefix + "." + key;
    if (!now.contains(key)) {
      out.push_back(fmt::format("{} was {}, and is gone", name, value.dump()));
    } else if (value.is_object() && now[key].is_object()) {
      differences(value, now[key], name, out);
    } else if (value != now[key]) {
      out.push_back(fmt::format("{} was {}, now {}", name, value.dump(), now[key].dump()));
    }
  }
  for (const auto& [key, value] : now.items()) {
    if (!was.contains(key)) out.push_back(fmt::format("{} is new", prefix.empty() ? key : prefix + "." + key));
  }
}

}  // namespace

std::string hash_ids(const TokenIds& ids) {
  const std::unique_ptr<XXH64_state_t, decltype(&XXH64_freeState)> state(XXH64_createState(), XXH64_freeState);
  XXH64_reset(state.get(), 0);
  std::array<int32_t, 16384> piece;
  for (uint64_t i = 0; i < ids.size(); i += piece.size()) {
    const uint64_t count = std::min<uint64_t>(piece.size(), ids.size() - i);
    ids.copy(i, count, piece.data());
    XXH64_update(state.get(), piece.data(), count * sizeof(int32_t));
  }
  return fmt::format("{:016x}", XXH64_digest(state.get()));
}

void check_ids(const TokenData& data, int64_t V) {
  for (uint64_t i = 0; i < data.ids.size(); ++i) {
    if (data.ids[i] < static_cast<uint64_t>(V)) continue;
    throw DataError(fmt::format(
        "{}: id {} at position {} is not below the model's V = {}; use the tokenizer that the ids were made with, or set V (--set V={})",
        data.name, data.ids[i], i, V, data.ids[i] + 1));
  }
}

TrainState fresh_state(const codegen::Manifest& m, const TokenData& data, uint64_t seed, const std::string& order) {
  TrainState s;
  s.seed = seed;
  s.order = order;
  s.data_hash = hash_ids(data.ids);
  s.data_ids = data.ids.size();
  s.model = model_signature(m);
  s.train = train_settings_json(m.train);
  return s;
}

Json schedule_json(const Schedule& schedule) {
  switch (schedule.kind()) {
    case Schedule::Kind::Steps:
      return {{"kind", "steps"}, {"steps", schedule.steps()}};
    case Schedule::Kind::Budget:
      return {{"kind", "budget"}, {"seconds", schedule.budget()}};
    case Schedule::Kind::Replay:
      return {{"kind", "replay"}, {"steps", schedule.steps()}};
  }
  return {};
}

void check_place(const std::string& dir, bool resume) {
  const bool there = CheckpointFolder(dir).exists();
  if (resume && !there) throw RunError(fmt::format("{}: there is no checkpoint to resume from; without --resume a new run begins", dir));
  if (!resume && there) throw RunError(fmt::format("{}: holds a run already; --resume continues it, another folder (--out) begins a new one", dir));
}

Checkpoint open_to_resume(const CheckpointFolder& folder, const std::string& dir) {
  check_place(dir, true);
  return folder.open(true);
}

std::vector<std::string> check_resume(const TrainState& saved, const TrainState& now, const std::string& dir) {
  std::vector<std::string> faults, changes;
  differences(saved.model, now.model, "", faults);
  if (saved.data_hash != now.data_hash) faults.push_back(fmt::format("the text was {} other ids, now {}", saved.data_ids, now.data_ids));
  if (saved.order != now.order) faults.push_back(fmt::format("--order was {}, now {}", saved.order, now.order));
  if (saved.seed != now.seed) faults.push_back(fmt::format("--seed was {}, now {}", saved.seed, now.seed));
  if (!faults.empty()) {
    throw RunError(
        fmt::format("{}: cannot be resumed as it is asked for; it was made with other settings:\n  {}\ngive the same ones, or begin a new "
                    "run in another folder",
                    dir, fmt::join(faults, "\n  ")));
  }
  if (saved.phase != now.phase) return changes;  // each phase has settings of its own
  differences(saved.train, now.train, "train", changes);
  differences(saved.schedule, now.schedule, "schedule", changes);
  for (std::string& change : changes) change = "changed on resuming: " + change;
  return changes;
}

}  // namespace cpuflow::rt
