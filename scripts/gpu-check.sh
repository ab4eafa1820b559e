#!/usr/bin/env bash
# Builds and checks the CUDA backend with nvcc and g++ alone.
#
#   scripts/gpu-check.sh                  on a machine with a GPU: parity, benchmark, sanitizers, native tests
#   scripts/gpu-check.sh --replay         anywhere with nvcc, after npm run build: the library, its resource budgets, and
#                                         its host side against the CPU, with kernels replayed on the host
#
# Writes bench/results/gpu-<device>.json after every stage, and a copy to $OUT if that is set. Objects and logs go
# to out/gpu-check/. JOBS limits the parallel compilers. A new kernel or test joins through native/sources.json.
set -euo pipefail
cd "$(dirname "$0")/.."

replay_only=false
case "${1:-}" in
  '') ;;
  --replay) replay_only=true ;;
  *) echo "usage: $0 [--replay]" >&2; exit 2 ;;
esac

build=out/gpu-check
rm -rf "$build"
mkdir -p "$build/objects" bench/results

host_flags='-O3 -ffp-contract=off -fPIC -fvisibility=hidden -Wall -Wextra'
version=$(python3 -c 'import json; print(json.load(open("package.json"))["version"])')
export build
export common="-std=c++20 -Inative/include -Inative -DWISEMERGE_VERSION=\"$version\""
export gxx="g++ $common $host_flags"
export nvcc="nvcc $common -O3 -fmad=false -Xptxas -v -Xcompiler ${host_flags// /,}
  -gencode=arch=compute_80,code=sm_80 -gencode=arch=compute_90,code=[sm_90,compute_90]"

# Replayed kernels call fmaf for each product: half the time where it is an instruction.
replay_nvcc=$nvcc
if grep -qw avx2 /proc/cpuinfo && grep -qw fma /proc/cpuinfo; then replay_nvcc="$nvcc -Xcompiler -mavx2,-mfma"; fi
export replay_nvcc

sources() {
  python3 -c 'import json, sys
for key in sys.argv[1:]: print(*json.load(open("native/sources.json"))["variables"][key], sep="\n")' "$@"
}
object() { echo "$build/objects/${1//\//_}.o"; }
objects() { while read -r source; do object "$source"; done; }
# What includes CUDA's headers goes to nvcc, which knows where they are.
compile() {
  local compiler=$gxx log code=0
  case "$1" in
    native/cuda/* | native/bench/cuda_*) compiler=$nvcc ;;
    *fake_cu*) compiler=$replay_nvcc ;;
  esac
  log=$(object "$1").log
  $compiler -c "$1" -o "$(object "$1")" >"$log" 2>&1 || code=255  # stops xargs
  if [ "$code" != 0 ] || grep -q 'warning' "$log"; then head -60 "$log" >&2; fi
  return "$code"
}
export -f object compile

cuda=$(sources cuda_sources)
host=$(sources core_sources cpu_sources network_sources train_sources merge_sources)
tests=$(sources test_sources)
parity=$(sources cuda_parity_sources)
fake=$(sources cuda_fake_sources)
bench=$(sources cuda_bench_sources)

echo "building with $(nvcc --version | sed -n 's/.*release //p'), $(g++ --version | head -1)"
wanted="$cuda $bench $parity $fake"
if ! $replay_only; then wanted="$wanted $host $tests"; fi
printf '%s\n' $wanted | xargs -P "${JOBS:-$(nproc)}" -I{} bash -c 'compile {}'

if $replay_only; then core=build/Release/wisemerge_core.a; else core=$(objects <<<"$host"); fi
cuda_objects=$(objects <<<"$cuda")
# defs: a source missing from the list fails here, not when the library is loaded.
$nvcc -shared -cudart static $cuda_objects -o "$build/wisemerge-cuda.so" \
  -Xlinker --exclude-libs,ALL,-z,nodelete,-z,defs,--version-script=native/exports.map
$nvcc -cudart static $(objects <<<"$bench") $cuda_objects -o "$build/cuda-bench"
$gxx -shared -Wl,-z,defs $(grep -Ev '(\.cu|cublas_lt_library\.cc)$' <<<"$cuda" | objects) $(objects <<<"$fake") \
  -o "$build/fake-cuda.so"
$gxx $(objects <<<"$parity") $core -o "$build/cuda-parity" -ldl -pthread
if ! $replay_only; then $gxx $(objects <<<"$tests") $core -o "$build/native-tests" -ldl -pthread; fi

echo "kernel resources (ptxas)"
cat "$build"/objects/native_cuda_*.cu.o.log | c++filt >"$build/ptxas.log"
python3 - "$build/ptxas.log" <<'PYTHON'
import re
import sys

spilled = []
name = None
for line in open(sys.argv[1]):
    if found := re.search(r"Compiling entry function '(.*)' for '(sm_\w+)'", line):
        name = found[2] + ' ' + re.sub(r'(void |wisemerge::|cuda::|\(anonymous namespace\)::)', '', found[1]).split('(Lerp')[0]
        name = name.split('(Compare')[0]
    elif found := re.search(r'(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads', line):
        frame, spills = int(found[1]), int(found[2]) + int(found[3])
    elif (found := re.search(r'Used (\d+) registers', line)) and name:
        shared = re.search(r'(\d+) bytes smem', line)
        print(f'  {found[1]:>3} registers {shared[1] if shared else 0:>6} B shared {frame:>4} B stack {spills:>4} B spilled  {name}')
        if spills or frame:
            spilled.append(name)
        name = None
if spilled:
    sys.exit('spilled or in local memory: ' + '; '.join(spilled))
PYTHON
replay() {
  echo "host replay of the whole backend"
  "$build/cuda-parity" "$build/fake-cuda.so" --reduced
}
if $replay_only; then replay; exit; fi

# cuBLASLt that the loader would not find: beside the toolkit, or a package of Python's.
for library in "$(dirname "$(command -v nvcc)")"/../lib64/libcublasLt.so.1[23] \
  "$(python3 -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')"/nvidia/*/lib/libcublasLt.so.1[23]; do
  if [ -e "$library" ]; then export LD_LIBRARY_PATH="${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$(dirname "$library")"; fi
done

# What every stage came to, as JSON. A run that is stopped leaves what it has found out.
report() {
  python3 - "$build" <<'PYTHON'
import datetime
import json
import os
import re
import subprocess
import sys

build = sys.argv[1]


def output(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def last_line(file):
    path = os.path.join(build, file)
    lines = open(path).read().strip().splitlines() if os.path.exists(path) else []
    return lines[-1] if lines else 'not run'


def object_of(file):
    path = os.path.join(build, file)
    return json.load(open(path)) if os.path.exists(path) else 'not run'


query = '--query-gpu=name,driver_version,memory.total'
name, driver, memory = output('nvidia-smi', query, '--format=csv,noheader').splitlines()[0].split(', ')
parity = last_line('parity.json')
result = {
    'device': name,
    'memory': memory,
    'driver': driver,
    'toolkit': re.search(r'V([\d.]+)', output('nvcc', '--version'))[1],
    'date': datetime.datetime.now(datetime.timezone.utc).isoformat(timespec='seconds'),
    'parity': json.loads(parity) if parity.startswith('{') else parity,
    'bench': object_of('bench.json'),
    'sanitizers': {tool: last_line(tool + '.result') for tool in ('memcheck', 'racecheck', 'synccheck')},
    'native_tests': last_line('native-tests.log'),
    'replay': last_line('replay.json'),
}
text = json.dumps(result, indent=2) + '\n'
file = 'gpu-' + re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-') + '.json'
for folder in filter(None, ['bench/results', os.environ.get('OUT')]):
    with open(os.path.join(folder, file), 'w') as target:
        target.write(text)
PYTHON
}

# What follows goes on after a failure: a run on a device should tell all it can.
failed=false
echo "parity on the device"
parity_code=0
"$build/cuda-parity" "$build/wisemerge-cuda.so" >"$build/parity.json" || parity_code=$?
cat "$build/parity.json"
if [ "$parity_code" = 77 ]; then exit 77; fi
if [ "$parity_code" != 0 ]; then failed=true; fi
report

echo "benchmark"
timeout -k 5 120 "$build/cuda-bench" >"$build/bench.json" || { failed=true; echo null >"$build/bench.json"; }
cat "$build/bench.json"
report

# "ok", "failed", or why the tool did not come to its end.
sanitize() {
  local tool=$1 log="$build/$1.log" code=0
  shift
  command -v compute-sanitizer >"$log" || { echo 'compute-sanitizer is not installed'; return; }
  timeout -k 5 100 compute-sanitizer --tool "$tool" --error-exitcode 9 \
    "$build/cuda-parity" "$build/wisemerge-cuda.so" --reduced "$@" >"$log" 2>&1 || code=$?
  if grep -q 'Device not supported' "$log"; then echo 'the device is not supported by the tool'
  elif [ "$code" = 0 ]; then echo ok
  elif [ "$code" = 124 ] || [ "$code" = 137 ]; then echo 'stopped after 100 s, no error until then'
  else echo failed
  fi
}
# Only threads that share memory can race or miss a barrier.
for tool in memcheck racecheck synccheck; do
  kernels=()
  if [ "$tool" != memcheck ]; then kernels=(--cooperative); fi
  sanitize "$tool" "${kernels[@]}" | tee "$build/$tool.result"
  if [ "$(cat "$build/$tool.result")" = failed ]; then tail -40 "$build/$tool.log"; failed=true; fi
  report
done

echo "native tests"
"$build/native-tests" | tee "$build/native-tests.log" || failed=true
report
replay | tee "$build/replay.json" || failed=true
report
if $failed; then exit 1; fi
