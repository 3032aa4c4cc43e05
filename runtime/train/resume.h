#pragma once
#include <string>
#include <vector>

#include "runtime/data/dataset.h"
#include "runtime/train/checkpoint.h"
#include "runtime/train/schedule.h"

namespace cpuflow::rt {

/// State of a run before its first step.
TrainState fresh_state(const codegen::Manifest& manifest, const TokenData& data, uint64_t seed, const std::string& order);
/// A schedule as JSON.
nlohmann::ordered_json schedule_json(const Schedule& schedule);
/// Opens the checkpoint of DIR; throws RunError when there is none, FileError when all are damaged.
Checkpoint open_to_resume(const CheckpointFolder& folder, const std::string& dir);
/// Compares what a checkpoint was made with and what the run is to go on with.  Throws RunError that lists all differences that would make
/// it another run (model, sizes, batches, data, order, seed); returns a line for each other difference (rates, schedule).
std::vector<std::string> check_resume(const TrainState& saved, const TrainState& now, const std::string& dir);
/// Throws DataError that names the first id that is not below V, and its position.
void check_ids(const TokenData& data, int64_t V);

/// Throws RunError unless DIR holds a checkpoint where a run is to go on, and none where one is to begin.
void check_place(const std::string& dir, bool resume);

}  // namespace cpuflow::rt
