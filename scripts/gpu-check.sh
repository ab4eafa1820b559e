#!/usr/bin/env bash
# Builds and checks the CUDA backend with nvcc and g++ alone.
#
#   scripts/gpu-check.sh                  on a machine with a GPU: parity, benchmark, then sanitizers and native tests
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
mkdir -p "$build/objects" "$build/keep" bench/results

# Where the toolkit's installer puts it, if nobody has put it on the PATH.
if ! command -v nvcc >/dev/null && [ -x /usr/local/cuda/bin/nvcc ]; then export PATH="$PATH:/usr/local/cuda/bin"; fi
for tool in nvcc g++ python3 c++filt; do
  command -v "$tool" >/dev/null || { echo "$0: there is no $tool" >&2; exit 2; }
done

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
    *.cu) compiler="$nvcc -keep -keep-dir $build/keep" ;;  # PTX, which is looked at below
    native/cuda/*) compiler=$nvcc ;;
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
find "$build/keep" -type f ! -name '*.ptx' -delete

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

# A kernel that spills is slow, not wrong; one whose operations are not rounded as written has other bits than the CPU.
resources() {
  cat "$build"/objects/native_cuda_*.cu.o.log | c++filt >"$build/ptxas.log"
  python3 - "$build" <<'PYTHON'
import glob
import re
import sys

build = sys.argv[1]
spilled = []
name = None
for line in open(f'{build}/ptxas.log'):
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

# Without .rn the assembler may fuse a product and a sum, and .approx, .full and .ftz are not IEEE's.
operation = re.compile(r'^\s*(?:@!?%p\d+\s+)?'
                       r'((?:add|sub|mul|mad|fma|div|rcp|sqrt|rsqrt|ex2|lg2|sin|cos|tanh)\.[\w.]*f(?:16|32|64)\w*)')
files = glob.glob(f'{build}/keep/*.ptx')
loose = {f'{found[1]} in {file.rsplit("/", 1)[1]}' for file in files for line in open(file)
         if (found := operation.match(line)) and not re.fullmatch(r'\w+\.rn\.f(32|64)', found[1])}
if not files:
    loose.add('no PTX was kept')
problems = ['spilled or in local memory: ' + '; '.join(spilled)] if spilled else []
problems += ['not rounded as written: ' + '; '.join(sorted(loose))] if loose else []
print('\n'.join(problems) or 'ok')
sys.exit(bool(problems))
PYTHON
}
echo "kernel resources (ptxas) and rounding (PTX)"
resources_code=0
resources | tee "$build/resources.log" || resources_code=$?
replay() {
  echo "host replay of the whole backend"
  "$build/cuda-parity" "$build/fake-cuda.so" --reduced
}
if $replay_only; then
  replay
  exit "$resources_code"
fi

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
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError) as error:
        return f'{command[0]}: {error}'


def lines_of(file):
    path = os.path.join(build, file)
    return open(path, errors='replace').read().strip().splitlines() if os.path.exists(path) else []


# The last line on stdout, or all of it; how the stage ended; and of one that did not end well, what it said.
def stage(name, whole=False):
    code, seconds = (lines_of(name + '.code') + ['', ''])[:2]
    if not code:
        return 'not run'
    said, told = lines_of(name + '.out'), lines_of(name + '.err')
    result = {'exit': int(code), 'seconds': int(seconds)}
    try:
        result['result'] = json.loads('\n'.join(said) if whole else said[-1])
    except (ValueError, IndexError):
        result['result'] = members(said) if whole else '\n'.join(said[-5:])
    if sections := [line for line in told if re.match(r'\d+\.\d s: ', line)]:
        result['sections'] = sections
    if code == '124' or code == '137':
        result['stopped'] = 'it took too long'
    if code != '0':
        reports = [line for line in said if line.startswith('=========')]  # of compute-sanitizer
        result['errors'] = [line for line in told if line.startswith('FAIL')] + reports[:30] + told[-12:]
    return result


# Of an object that was not written to its end, the members that are there.
def members(said):
    found = {}
    for line in said:
        try:
            found.update(json.loads('{' + line.strip().rstrip(',') + '}'))
        except ValueError:
            pass
    return found


def gpu(fields):
    return output('nvidia-smi', '--query-gpu=' + fields, '--format=csv,noheader').splitlines()[0:1]


name, *rest = (gpu('name,driver_version,memory.total') or ['unknown'])[0].split(', ')
driver, memory = (rest + ['unknown', 'unknown'])[:2]
result = {
    'device': name,
    'memory': memory,
    'driver': driver,
    'state': gpu('compute_cap,mig.mode.current,compute_mode,clocks.sm,clocks.max.sm,power.limit,temperature.gpu'),
    'toolkit': (re.search(r'V([\d.]+)', output('nvcc', '--version')) or ['', 'unknown'])[1],
    'compiler': output('g++', '--version').splitlines()[0],
    'date': datetime.datetime.now(datetime.timezone.utc).isoformat(timespec='seconds'),
    'kernels': [line for line in lines_of('resources.log') if 'registers' not in line],
    'parity': stage('parity'),
    'bench': stage('bench', whole=True),
    'sanitizers': {tool: stage(tool) for tool in ('memcheck', 'racecheck', 'synccheck')},
    'native_tests': stage('native-tests'),
    'replay': stage('replay'),
}
text = json.dumps(result, indent=2) + '\n'
file = 'gpu-' + re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-') + '.json'
for folder in filter(None, ['bench/results', os.environ.get('OUT')]):
    path = os.path.join(folder, file)
    with open(f'{path}.{os.getpid()}', 'w') as target:
        target.write(text)
    os.replace(target.name, path)
PYTHON
}

# Runs a stage for at most so many seconds. What follows goes on after a failure: a run on a device should tell all it
# can.
stage() {
  local name=$1 limit=$2 code=0 begin=$SECONDS
  shift 2
  timeout -k 5 "$limit" "$@" >"$build/$name.out" 2>"$build/$name.err" || code=$?
  printf '%s\n' "$code" "$((SECONDS - begin))" >"$build/$name.code"
  echo "$name: exit $code after $((SECONDS - begin)) s"
  tail -200 "$build/$name.out"
  if [ "$code" != 0 ]; then tail -40 "$build/$name.err"; fi
  report || echo 'the report could not be written'
}
ended() { head -1 "$build/$1.code"; }

stage parity 200 "$build/cuda-parity" "$build/wisemerge-cuda.so"
if [ "$(ended parity)" = 77 ]; then exit 77; fi
stage bench 150 "$build/cuda-bench"

# The rest is slow and times nothing: all at once. A sanitizer that is stopped or does not know the device is no failure.
# Only threads that share memory can race or miss a barrier.
sanitize() {
  local tool=$1
  shift
  stage "$tool" 150 compute-sanitizer --tool "$tool" --error-exitcode 9 \
    "$build/cuda-parity" "$build/wisemerge-cuda.so" --reduced "$@"
}
if command -v compute-sanitizer >/dev/null; then
  sanitize memcheck &
  sanitize racecheck --cooperative &
  sanitize synccheck --cooperative &
fi
stage native-tests 300 "$build/native-tests" &
stage replay 300 "$build/cuda-parity" "$build/fake-cuda.so" --reduced &
wait
report

failed=$resources_code
for name in parity bench native-tests replay; do
  if [ "$(ended "$name")" != 0 ]; then failed=1; fi
done
for tool in memcheck racecheck synccheck; do
  if [ ! -e "$build/$tool.code" ]; then echo "$tool: compute-sanitizer is not installed"; continue; fi
  case $(ended "$tool") in
    0 | 124 | 137) ;;
    *) grep -qs 'Device not supported' "$build/$tool.out" "$build/$tool.err" || failed=1 ;;
  esac
done
exit "$failed"
