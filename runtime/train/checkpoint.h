#pragma once
#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "codegen/abi/manifest.h"
#include "runtime/atomic_file.h"
#include "runtime/safetensors.h"

namespace cpuflow::rt {

/// What a run has come to, beside its tensors.
struct TrainState {
  int64_t step = 0;  // steps that are done
  uint64_t tokens = 0;
  double elapsed_s = 0;
  int64_t phase = 0;           // of the training, from 0
  int64_t phase_step = 0;      // the step and
  double phase_elapsed_s = 0;  // the time at which it began
  uint64_t seed = 0;
  std::string order;      // "sequential" or "shuffled"
  std::string data_hash;  // of the ids that are trained on
  uint64_t data_ids = 0;
  nlohmann::ordered_json schedule;  // for people
  nlohmann::ordered_json model;     // model_signature()
  nlohmann::ordered_json train;     // settings of [train]
};

/// What must be the same when a run is resumed: sizes, parameters, losses, lanes and batches.
nlohmann::ordered_json model_signature(const codegen::Manifest& manifest);
/// [train] as JSON, numbers to the last bit.
nlohmann::ordered_json train_settings_json(const codegen::TrainSettings& train);

/// A checkpoint that was found complete: every file has the checksum that state.json has for it.
struct Checkpoint {
  std::string folder;
  TrainState state;
  std::vector<std::string> warnings;  // of damaged checkpoints that were passed over

  std::string file(const std::string& name) const { return folder + "/" + name; }
  /// Copies the parameters.  Throws FileError that lists what does not fit.
  void load_params(const codegen::Manifest& manifest, float* params) const;
  /// Copies AdamW's moments of trainable parameters.
  void load_moments(const codegen::Manifest& manifest, float* first, float* second) const;
};

/// DIR/checkpoint holds the newest checkpoint: model.safetensors, optimizer.safetensors, state.json and copies of `extra` files.  A new one
/// is written beside it (DIR/checkpoint.new), synced and then exchanged with it, the old one becomes DIR/checkpoint.previous: at any
/// instant at least one of the three is complete.
class CheckpointFolder {
 public:
  explicit CheckpointFolder(std::string dir) : dir_(std::move(dir)) {}

  /// Whether DIR holds anything that looks like a checkpoint.
  bool exists() const;
  /// The newest complete checkpoint of DIR, or the one that DIR itself is.  With `optimizer`, its tensors must be whole too.  Throws
  /// FileError that says for each checkpoint what is wrong.
  Checkpoint open(bool optimizer = true) const;
  /// What DIR/checkpoint has of one of the `extra` files; nothing where it is not there, or damaged.
  std::optional<std::string> whole_file(const std::string& name) const;
  /// Arranges what a process that was killed has left: the newest complete checkpoint gets its name, half-written ones go.
  void recover() const;
  /// Throws FileError (disk full, no permission); the newest of the checkpoints that were there stays, and the one before it unless it has to make room.
  void write(const codegen::Manifest& manifest, const TrainState& state, const float* params, const float* first, const float* second,
             const std::map<std::string, std::string>& extra = {}) const;
  /// Removes checkpoint.previous and what a killed process left in checkpoint.new, once the newest one has been read back without fault.
  void drop_others() const;

 private:
  Checkpoint find(bool optimizer) const;  // `open` without training beside it

  std::string dir_;
};

}  // namespace cpuflow::rt
