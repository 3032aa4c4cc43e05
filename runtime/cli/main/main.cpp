#include "runtime/cli/app.h"

int main(int argc, char** argv) { return cpuflow::cli::run(argc, argv); }
