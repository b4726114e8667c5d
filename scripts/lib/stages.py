"""stages.py - the stages of scripts/test: what each runs, and how its tests are counted.

A stage is a function that takes the run's options and a log file, and returns how many tests
passed and failed. It counts tests, not tools: each test case of meson and of pytest counts, and a
tool over many files (clang-tidy, a fuzz target) counts once a file or a target. A stage whose
subject is missing fails: nothing is left out silently.
"""

import argparse
import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as xml

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / os.environ.get("PGFAN_BUILD", "build")
POSTGRES_SHORT = ("14", "16", "17", "18")
CORES = os.cpu_count() or 2

sys.path.insert(0, str(ROOT / "tests"))
import source_tree  # noqa: E402  (the list of C files is one for checks and stages)


def build_dir(flavour):
    return BUILD.with_name(f"{BUILD.name}-{flavour}") if flavour else BUILD


def run(command, log, **environment):
    """Runs a command, its output to the log, and returns its exit status."""
    log.write(f"$ {' '.join(map(str, command))}\n")
    log.flush()
    done = subprocess.run(list(map(str, command)), cwd=ROOT, stdout=log, stderr=subprocess.STDOUT,
                          stdin=subprocess.DEVNULL, env={**os.environ, **environment}, check=False)
    return done.returncode


def build(flavour, log, compiler, *options, targets=()):
    """Configures and builds one flavour, or only some of its targets. Returns whether that worked."""
    directory = build_dir(flavour)
    if not (directory / "build.ninja").exists():
        if run(["meson", "setup", directory, "-Dwerror=true", *options], log, CC=compiler):
            return False
    elif run(["meson", "configure", directory, "-Dwerror=true"], log):
        return False
    return run(["ninja", "-C", directory, *targets], log) == 0


def count_junit(path, status):
    """Passed and failed test cases of a JUnit file; a failing tool always counts as one."""
    passed = failed = 0
    if path.exists():
        for case in xml.parse(path).iter("testcase"):
            if case.find("failure") is not None or case.find("error") is not None:
                failed += 1
            elif case.find("skipped") is None:
                passed += 1
    if status and not failed:
        failed = 1
    return passed, failed


def meson_test(flavour, log, *arguments, **environment):
    report = build_dir(flavour) / "meson-logs/testlog.junit.xml"
    report.unlink(missing_ok=True)
    status = run(["meson", "test", "-C", build_dir(flavour), "--no-rebuild", "--print-errorlogs",
                  *arguments], log, **environment)
    passed, failed = count_junit(report, status)
    return passed, failed if passed or failed else 1


def pytest(log, name, *arguments, **environment):
    report = BUILD / f"logs/{name}.junit.xml"
    report.unlink(missing_ok=True)
    # Tests mostly wait: for a sync, a time-out, a restart. Each worker has servers of its own.
    status = run(["/usr/bin/python3", "-m", "pytest", "-p", "no:cacheprovider", "-v", "--tb=short",
                  "-n", str(2 * CORES), "--durations=10", f"--junitxml={report}", *arguments],
                 log, PGFAN_BUILD=BUILD.name, **environment)
    return count_junit(report, status)


def stage_gcc(options, log):
    """build with gcc, warnings are errors"""
    del options
    return (1, 0) if build("", log, "gcc") else (0, 1)


def stage_clang(options, log):
    """build with clang, warnings are errors"""
    del options
    return (1, 0) if build("clang", log, "clang-14") else (0, 1)


def stage_style(options, log):
    """include directions, headers alone, banned calls, formatting, hardening of the binary"""
    del options
    passed, failed = meson_test("", log, "--suite", "style")
    if run(["/usr/bin/python3", "tests/check_hardening.py", BUILD / "pgfan"], log):
        failed += 1
    return passed, failed


def stage_tidy(options, log):
    """clang-tidy over the product"""
    del options
    files = source_tree.product(ROOT, (".c",))
    command = ["clang-tidy-14", "--quiet", "-p", build_dir("clang")]
    with concurrent.futures.ThreadPoolExecutor(CORES) as pool:
        runs = list(pool.map(lambda path: subprocess.run(
            [*map(str, command), str(path)], cwd=ROOT, capture_output=True, text=True,
            check=False), files))
    failed = 0
    for path, done in zip(files, runs):
        if done.returncode:
            failed += 1
            log.write(f"{path.relative_to(ROOT)}:\n{done.stdout}\n{done.stderr}\n")
    return len(files) - failed, failed


def stage_cppcheck(options, log):
    """cppcheck over the product"""
    del options
    status = run(["cppcheck", "--quiet", "--error-exitcode=1", "--inline-suppr", "--std=c11",
                  "--enable=warning,performance,portability", "--suppress=missingIncludeSystem",
                  "--suppressions-list=tests/cppcheck.txt", "-j", str(CORES), "-I.",
                  *(folder for folder in source_tree.FOLDERS if (ROOT / folder).is_dir())], log)
    return (0, 1) if status else (1, 0)


def stage_model(options, log):
    """spin: the rule of acknowledgement holds in every interleaving, wrong rules are caught"""
    del options
    return (0, 1) if run(["scripts/lib/model", build_dir("model")], log) else (1, 0)


def stage_unit(options, log):
    """unit tests, gcc"""
    del options
    return meson_test("", log, "--no-suite", "style", "--no-suite", "sim")


def stage_asan(options, log):
    """unit tests, clang, address and undefined-behaviour sanitizers"""
    del options
    if not build("asan", log, "clang-14", "-Db_sanitize=address,undefined", "-Db_lundef=false"):
        return 0, 1
    return meson_test("asan", log, "--no-suite", "style", "--no-suite", "sim", "-t", "4",
                      ASAN_OPTIONS="abort_on_error=1:detect_leaks=1",
                      UBSAN_OPTIONS="halt_on_error=1:print_stacktrace=1")


def stage_tsan(options, log):
    """unit tests, clang, thread sanitizer"""
    del options
    if not build("tsan", log, "clang-14", "-Db_sanitize=thread", "-Db_lundef=false"):
        return 0, 1
    return meson_test("tsan", log, "--no-suite", "style", "--no-suite", "sim", "-t", "8",
                      TSAN_OPTIONS="halt_on_error=1:second_deadlock_stack=1")


def fuzz_one(target, seconds, directory):
    """Runs one fuzz target from its seeds and returns (target, exit status, output)."""
    name = target.name.removeprefix("fuzz_")
    grown = directory / "grown" / name
    grown.mkdir(parents=True, exist_ok=True)
    seeds = ROOT / "tests/fuzz/corpus" / name
    command = [target, f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=2048",
               "-print_final_stats=1", "-verbosity=0", f"-artifact_prefix={directory}/crash-{name}-",
               grown, *([seeds] if seeds.is_dir() else [])]
    done = subprocess.run(list(map(str, command)), cwd=directory, text=True, errors="replace",
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return name, done.returncode, done.stdout


def stage_fuzz(options, log):
    """every parser of foreign bytes, libFuzzer with address and undefined-behaviour sanitizers"""
    directory = build_dir("fuzz")
    names = sorted(path.stem for path in (ROOT / "tests/fuzz").glob("fuzz_*.c"))
    if not names:
        log.write("there is no fuzz target: tests/fuzz/fuzz_<name>.c\n")
        return 0, 1
    if not build("fuzz", log, "clang-14", "-Dfuzz=true", "-Db_sanitize=address,undefined",
                 "-Db_lundef=false", "-Dc_args=-fsanitize=fuzzer-no-link",
                 targets=[f"tests/fuzz/{name}" for name in names]):
        return 0, 1
    targets = [directory / "tests/fuzz" / name for name in names]
    seconds = int(os.environ.get("PGFAN_FUZZ_SECONDS", "10" if options.quick else "40"))
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda path: fuzz_one(path, seconds, directory), targets))
    for name, status, output in results:
        log.write(f"== fuzz {name}: exit {status}\n{output[-6000:]}\n")
    failed = sum(1 for _, status, _ in results if status)
    return len(results) - failed, failed


def stage_sim(options, log):
    """the simulator: one seed, one history of faults, every invariant after every step"""
    share = (500 if options.quick else 10000) // CORES

    def one(part):
        return run(["scripts/simulate", "--seeds", share, "--first-seed", part * share + 1], log,
                   PGFAN_BUILD=BUILD.name)

    with concurrent.futures.ThreadPoolExecutor(CORES) as pool:
        statuses = list(pool.map(one, range(CORES)))
    return statuses.count(0), len(statuses) - statuses.count(0)


def stage_integration(options, log):
    """the engine on a real PostgreSQL 15"""
    del options
    return pytest(log, "integration", "tests/integration", "-m", "not rounds")


def stage_matrix(options, log):
    """the engine on PostgreSQL 14, 16, 17 and 18, in short"""
    del options

    def one(major):
        return pytest(log, f"matrix-{major}", "tests/integration", "-m", "matrix and not rounds",
                      PGFAN_TEST_POSTGRES=major)

    # Two majors at a time: these tests mostly wait.
    with concurrent.futures.ThreadPoolExecutor(CORES) as pool:
        counts = list(pool.map(one, POSTGRES_SHORT))
    return sum(passed for passed, _ in counts), sum(failed for _, failed in counts)


def stage_sanitized(options, log):
    """the engine under the sanitizers on a real PostgreSQL 15, in short"""
    del options
    passed = failed = 0
    for flavour, environment in (("asan", {"ASAN_OPTIONS": "detect_leaks=1:exitcode=99"}),
                                 ("tsan", {"TSAN_OPTIONS": "exitcode=99:report_bugs=1"})):
        binary = build_dir(flavour) / "pgfan"
        if not binary.exists():
            log.write(f"{binary} is missing: the stage {flavour} builds it\n")
            failed += 1
            continue
        counts = pytest(log, f"sanitized-{flavour}", "tests/integration", "-m",
                        "sanitized and not rounds", PGFAN_BINARY=str(binary), **environment)
        passed, failed = passed + counts[0], failed + counts[1]
    return passed, failed


def stage_rounds(options, log):
    """kill -9 of engine, walsender and postmaster in random rounds, checked by the verifier"""
    rounds = os.environ.get("PGFAN_ROUNDS", "8" if options.quick else "40")
    return pytest(log, "rounds", "tests/integration", "-m", "rounds", PGFAN_ROUNDS=rounds)


def stage_package(options, log):
    """the Debian package, built in two places: the same file, and it does what it should"""
    del options
    epoch = subprocess.run(["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True,
                           text=True, check=False).stdout.strip() or "1700000000"
    with tempfile.TemporaryDirectory(prefix="pgfan-package-") as scratch:
        other, packages = pathlib.Path(scratch) / "elsewhere", []
        shutil.copytree(ROOT, other, ignore=lambda folder, names: [
            name for name in names if pathlib.Path(folder) == ROOT
            and (name.startswith("build") or name in (".git", ".deps"))])
        for place in (ROOT, other):
            out = pathlib.Path(scratch) / f"out{len(packages)}"
            out.mkdir()
            if run([place / "scripts/package", "--out", out], log, SOURCE_DATE_EPOCH=epoch,
                   PGFAN_PACKAGE_BUILD=f"{BUILD.name}-package"):
                return len(packages), 1
            packages += out.glob("*.deb")
        status = run(["/usr/bin/python3", "tests/check_package.py", *packages], log)
    return len(packages) + (status == 0), int(status != 0)


def stage_compose(options, log):
    """docker-compose.yml for real: images, a shop that trades, a kill, the tests inside"""
    del options
    status = run(["scripts/lib/compose"], log)
    log.flush()
    checks = pathlib.Path(log.name).read_text(encoding="utf-8", errors="replace").count("] ok: ")
    return checks, int(status != 0)


STAGES = {name.removeprefix("stage_"): function for name, function in list(globals().items())
          if name.startswith("stage_")}
# A stage stands on the builds of others.
NEEDS = {"style": ("gcc",), "unit": ("gcc",), "sim": ("gcc",), "integration": ("gcc",),
         "matrix": ("gcc",), "rounds": ("gcc",), "tidy": ("clang",),
         "sanitized": ("asan", "tsan")}
GROUPS = {"servers": ("integration", "matrix", "sanitized", "rounds"),
          "static": ("style", "tidy", "cppcheck")}


def parse_arguments():
    parser = argparse.ArgumentParser(prog="scripts/test", description="Builds and tests pgfan.")
    parser.add_argument("--only", default="", metavar="STAGE,…",
                        help="only these stages and the builds that they stand on")
    parser.add_argument("--quick", action="store_true",
                        help="fuzz 10 s a target, 500 seeds, 8 kill rounds")
    parser.add_argument("--ci", action="store_true", help="plain output, everything in full")
    parser.add_argument("--list", action="store_true", help="list the stages")
    return parser.parse_args()


def chosen(only):
    if not only:
        return list(STAGES)
    wanted = set()
    for name in only.split(","):
        for stage in GROUPS.get(name, (name,)):
            if stage not in STAGES:
                sys.exit(f'error: unknown stage "{stage}"; scripts/test --list shows them')
            wanted.update((stage, *NEEDS.get(stage, ())))
    return [stage for stage in STAGES if stage in wanted]


def show_tail(path):
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    interesting = [line for line in lines
                   if re.search(r"FAIL|ERROR|error:|warning:|assert|not ok|Sanitizer", line)]
    for line in (interesting[:40] or lines[-20:]):
        print(f"    {line[:200]}")
    print(f"    … whole log: {path.relative_to(ROOT)}")


def main():
    options = parse_arguments()
    if options.list:
        for name, function in STAGES.items():
            print(f"{name:12} {function.__doc__}")
        for name, stages in GROUPS.items():
            print(f"{name:12} {' + '.join(stages)}")
        return 0
    logs = BUILD / "logs"
    table, total = [], [0, 0]
    begun = time.monotonic()
    for name in chosen(options.only):
        print(f"[{time.monotonic() - begun:6.0f} s] {name}: {STAGES[name].__doc__}", flush=True)
        start = time.monotonic()
        # The build directory may be meson's to make: the log moves in after that.
        logs.mkdir(parents=True, exist_ok=True)
        path = logs / f"{name}.log"
        with path.open("w", encoding="utf-8") as log:
            passed, failed = STAGES[name](options, log)
        table.append((name, passed, failed, time.monotonic() - start))
        total[0], total[1] = total[0] + passed, total[1] + failed
        if failed:
            show_tail(path)
    print(f"\n{'stage':12} {'passed':>7} {'failed':>7} {'seconds':>8}")
    for name, passed, failed, seconds in table:
        print(f"{name:12} {passed:7} {failed:7} {seconds:8.0f}")
    print(f"{'all':12} {total[0]:7} {total[1]:7} {time.monotonic() - begun:8.0f}\n")
    print(f"{total[0]} passed, {total[1]} failed")
    return 1 if total[1] else 0


if __name__ == "__main__":
    sys.exit(main())
