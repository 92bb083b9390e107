# Installs what only the tests need: Chromium with fonts, PostgreSQL and Node from Debian, and the clients in tests/judges
# from npm. Sourced by `./run test`.
# What can't be had is left out and said in one line; with CI set that is a failure.

wanted=""
for browser in "${KALENDS_CHROMIUM:-}" chromium chromium-browser google-chrome; do
    if [ -n "$browser" ] && command -v "$browser" >/dev/null 2>&1; then
        KALENDS_CHROMIUM=$(command -v "$browser")
        break
    fi
done
if [ -z "${KALENDS_CHROMIUM:-}" ] || [ ! -x "$KALENDS_CHROMIUM" ]; then wanted="$wanted chromium"; fi
[ -d /usr/share/fonts/truetype/dejavu ] || wanted="$wanted fonts-dejavu-core"
[ -n "${KALENDS_TEST_DATABASE_URL:-}" ] || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 ||
    command -v initdb >/dev/null 2>&1 || wanted="$wanted postgresql"
command -v npm >/dev/null 2>&1 || wanted="$wanted nodejs npm"

if [ -n "$wanted" ] && command -v apt-get >/dev/null 2>&1; then
    as_root=""
    [ "$(id -u)" = 0 ] || { as_root="sudo -n"; $as_root true 2>/dev/null || as_root=no; }
    if [ "$as_root" != no ]; then
        echo "Installing for the tests:$wanted …" >&2
        # shellcheck disable=SC2086  # a list of package names
        if $as_root apt-get update -qq >.venv/apt.log 2>&1 &&
            DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y --no-install-recommends $wanted >>.venv/apt.log 2>&1
        then wanted=""; else tail -n 5 .venv/apt.log >&2; fi
    fi
fi
if [ -n "$wanted" ]; then
    echo "Left out, because these could not be installed:$wanted (tests that need them are skipped)." >&2
    [ -z "${CI:-}" ] || exit 1
fi
KALENDS_CHROMIUM=${KALENDS_CHROMIUM:-$(command -v chromium || true)}
export KALENDS_CHROMIUM

judges="tests/judges/node_modules/.kalends-$(cksum <tests/judges/package-lock.json | tr ' ' '-')"
if [ ! -e "$judges" ]; then
    echo "Installing tests/judges/package-lock.json (log: .venv/npm.log) …" >&2
    if npm ci --prefix tests/judges --ignore-scripts --no-audit --no-fund >.venv/npm.log 2>&1; then touch "$judges"; else
        tail -n 5 .venv/npm.log >&2
        echo "Left out, because npm could not install it: ews-javascript-api (its tests are skipped)." >&2
        [ -z "${CI:-}" ] || exit 1
    fi
fi
