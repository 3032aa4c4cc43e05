#!/bin/bash
# Installs what is missing, builds everything and runs every test.  The last line is `N passed, N failed`, in test cases.
set -eu
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

bash scripts/install.sh
echo "build: everything, some minutes the first time; the tests take as long again"
configure
cmake --build build -j "$jobs" --target all bench_kernels

log=build/Testing/Temporary/LastTest.log
rm -f "$log"
status=0
(cd build && ctest --output-on-failure -j "$jobs") || status=$?

# Each program's section of the log ends with Catch2's summary; a program without one (it crashed, or is no Catch2 program)
# counts as one test case.
awk -v log_file="$log" '
  function close_section() {
    if (!open) return
    if (!counted) { if (passed_program) passed += 1; else failed += 1 }
    else if (!passed_program && !section_failed) failed += 1
    open = 0
  }
  /^[0-9]+\/[0-9]+ Testing: / { close_section(); open = 1; counted = section_failed = passed_program = 0 }
  /^All tests passed \(.* in [0-9]+ test case/ { for (i = 1; i < NF; i++) if ($i == "in") passed += $(i + 1); counted = 1 }
  /^No tests ran/ { counted = 1 }
  /^test cases: / {
    for (i = 1; i < NF; i++) {
      if ($(i + 1) == "passed") passed += $i
      if ($(i + 1) == "failed") { failed += $i; section_failed += $i }
    }
    counted = 1
  }
  /^ *skipped: / { skipped += 1 }
  /^Test Passed\.$/ { passed_program = 1 }
  END {
    close_section()
    if (skipped) printf "%d checks were skipped, for references or a CPU that are not here: grep skipped: %s\n", skipped, log_file
    printf "%d passed, %d failed\n", passed, failed
    exit failed > 0 || passed == 0
  }
' "$log" || status=1
exit "$status"
