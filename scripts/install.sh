#!/bin/bash
# Installs the Debian packages that cpuflowc needs and that are not there yet.  As root, or with sudo.  Touches nothing else.
set -eu
export PATH="${PATH:-/usr/bin:/bin}:/usr/local/sbin:/usr/sbin:/sbin"

needed=(
  cmake ninja-build g++ pkg-config                          # the build
  llvm-19-dev libclang-19-dev libclang-cpp19-dev clang-19   # the compiler inside; its CMake files name the clang-19 program
  zlib1g-dev libzstd-dev                                    # what libLLVM links
  libfmt-dev libcli11-dev nlohmann-json3-dev libtomlplusplus-dev
  libpcre2-dev libxxhash-dev libzip-dev
  catch2 libbenchmark-dev                                   # tests and benchmarks
)

installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null || true)" = installed ]; }

missing=()
for package in "${needed[@]}"; do
  installed "$package" || missing+=("$package")
done
if [ ${#missing[@]} = 0 ]; then
  echo "install: all ${#needed[@]} Debian packages are there"
  exit 0
fi

echo "install: ${#missing[@]} Debian packages are missing: ${missing[*]}"
root=()
if [ "$(id -u)" != 0 ]; then
  if ! command -v sudo >/dev/null; then
    echo "install: cannot install them: neither root nor sudo.  As root: apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 1
  fi
  root=(sudo)
fi
apt=("${root[@]}" env DEBIAN_FRONTEND=noninteractive LC_ALL=C apt-get -y -q -o Dpkg::Use-Pty=0)
echo "install: ${root[*]:+sudo }apt-get update"
"${apt[@]}" update >/dev/null || echo "install: apt-get update failed; going on with the package lists that are there" >&2
echo "install: ${root[*]:+sudo }apt-get install --no-install-recommends ${missing[*]}"
"${apt[@]}" install --no-install-recommends "${missing[@]}"
echo "install: done"
