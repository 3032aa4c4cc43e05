# Sourced by the other scripts: defaults for what a bare machine lacks.
export PATH="${PATH:-/usr/local/bin:/usr/bin:/bin}"
export LC_ALL="${LC_ALL:-C.UTF-8}"
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if [ ! -w "${HOME:-/nowhere}" ]; then
  mkdir -p build/home
  export HOME="$PWD/build/home"
fi
jobs="${JOBS:-2}"

configure() {
  # A build folder remembers its path; one that was copied or moved is made anew.
  if [ -f build/CMakeCache.txt ] && ! grep -qx "CMAKE_HOME_DIRECTORY:INTERNAL=$PWD" build/CMakeCache.txt; then
    echo "build: the build folder belongs to another path: starting afresh"
    rm -rf build/CMakeCache.txt build/CMakeFiles
  fi
  cmake -G Ninja -S . -B build >build.log 2>&1 || { cat build.log >&2; rm -f build.log; return 1; }
  mkdir -p build
  mv build.log build/configure.log
}
