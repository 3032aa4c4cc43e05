#pragma once

namespace cpuflow::cli {

/// Runs `cpuflowc`: parses the arguments, runs one command, prints what went wrong.  Returns the exit status (command.h).
int run(int argc, char** argv);

}  // namespace cpuflow::cli
