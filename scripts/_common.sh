# What the scripts share: the system packages, and QGIS without a window. Sourced, not run.

project=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$project/build
# QGIS's own Python; the first python3 on the path may be another one.
system_python=/usr/bin/python3
least_qgis=3.40

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

fail() {
    printf '%s\n' "$*" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        fail "Installing packages needs root: run this as root or install sudo."
    fi
}

# The source of a suite's backports, made from the machine's own source of that suite; both formats of apt.
# backports_source SUITE FILE... prints FORMAT (list or sources) on the first line and the source after it.
backports_source() {
    local suite=$1 file found
    shift
    for file in "$@"; do
        [ -f "$file" ] || continue
        case $file in
        *.list)
            found=$(sed -nE "s/^[[:space:]]*(deb[[:space:]]+(\[[^]]*\][[:space:]]+)?[^[:space:]]+)[[:space:]]+$suite[[:space:]].*/\1 $suite-backports main/p" "$file" | head -n 1)
            [ -z "$found" ] || { printf 'list\n%s\n' "$found" && return; }
            ;;
        *.sources)
            found=$(awk -v suite="$suite" 'BEGIN { RS = ""; FS = "\n" }
                {
                    wanted = 0; stanza = ""; off = 0
                    for (i = 1; i <= NF; i++) {
                        line = $i; key = tolower(line); sub(/:.*/, "", key)
                        if (key == "enabled" && tolower(line) ~ /no[ \t]*$/) off = 1
                        if (key == "suites") {
                            count = split(substr(line, index(line, ":") + 1), suites, " ")
                            for (j = 1; j <= count; j++) if (suites[j] == suite) wanted = 1
                            line = "Suites: " suite "-backports"
                        }
                        if (key == "types") line = "Types: deb"
                        if (key == "components") line = "Components: main"
                        if (line !~ /^#/) stanza = stanza line "\n"
                    }
                    if (wanted && !off) { printf "%s", stanza; exit }
                }' "$file")
            [ -z "$found" ] || { printf 'sources\n%s\n' "$found" && return; }
            ;;
        esac
    done
    return 1
}

has_qgis() {
    local version
    version=$(dpkg-query --show --showformat='${Version}' qgis 2>/dev/null) || return 1
    dpkg --compare-versions "${version#*:}" ge "$least_qgis" && "$system_python" -c "import qgis.core" 2>/dev/null
}

# Install QGIS, python3-venv and a font where they are missing; on Debian 12 QGIS comes from backports.
install_system() {
    command -v apt-get >/dev/null || fail "This script installs its needs with apt: run it on Debian 12 or newer."
    local packages=() suite source format
    has_qgis || packages+=(qgis python3-qgis qgis-providers)
    "$system_python" -c "import ensurepip, venv" 2>/dev/null || packages+=(python3-venv)
    ls /usr/share/fonts/truetype/dejavu/DejaVuSans.ttf >/dev/null 2>&1 || packages+=(fonts-dejavu-core)
    [ ${#packages[@]} -gt 0 ] || return 0
    say "Installing ${packages[*]}"
    # shellcheck source=/dev/null
    suite=$(. /etc/os-release && printf '%s' "$VERSION_CODENAME")
    local options=(install --yes --no-install-recommends)
    if [ "$suite" = bookworm ] && ! has_qgis; then
        if ! source=$(backports_source "$suite-backports" /etc/apt/sources.list /etc/apt/sources.list.d/*); then
            source=$(backports_source "$suite" /etc/apt/sources.list /etc/apt/sources.list.d/*) ||
                fail "No apt source of $suite was found to derive that of $suite-backports from; add one and run again."
            format=${source%%$'\n'*}
            printf '%s\n' "${source#*$'\n'}" |
                as_root tee "/etc/apt/sources.list.d/$suite-backports.$format" >/dev/null
        fi
        options+=(--target-release "$suite-backports")
    fi
    as_root apt-get update --quiet
    as_root env DEBIAN_FRONTEND=noninteractive apt-get "${options[@]}" "${packages[@]}"
    has_qgis || fail "QGIS $least_qgis or newer could not be installed; see apt's messages above."
}

# QGIS without a window: headless FOLDER
headless() {
    mkdir -p "$1/run"
    chmod 700 "$1/run"
    # Another python3 in front of QGIS's own would lead QGIS to the wrong library.
    export QT_QPA_PLATFORM=offscreen XDG_RUNTIME_DIR=$1/run PATH=/usr/bin:/bin:$PATH
}

# The same with a profile of its own and the plugin that scripts/package staged: headless_qgis FOLDER
headless_qgis() {
    headless "$1"
    mkdir -p "$1/profile"
    export QGIS_CUSTOM_CONFIG_PATH=$1/profile QGIS_PLUGINPATH=$build/plugins
    if [ ! -f "$1/enabled" ]; then
        qgis_process plugins enable carbon_spatializer || fail "QGIS does not find the plugin in $build/plugins"
        touch "$1/enabled"
    fi
}

# A virtual environment that holds what requirements files ask for: virtual_environment FOLDER VENV_OPTIONS -- PIP_ARGS
# It is made anew when they have changed or when making it was interrupted.
virtual_environment() {
    local folder=$1 options=() stamp
    shift
    while [ "$1" != -- ]; do
        options+=("$1")
        shift
    done
    shift
    stamp=$("$system_python" --version; printf '%s\n' "$@"; for file in "$@"; do [ ! -f "$file" ] || cat "$file"; done)
    if [ "$(cat "$folder/complete" 2>/dev/null)" != "$stamp" ]; then
        say "Making $folder"
        "$system_python" -m venv --clear "${options[@]}" "$folder"
        "$folder/bin/python" -m pip install --quiet --disable-pip-version-check "$@"
        printf '%s\n' "$stamp" >"$folder/complete"
    fi
}

# The environment of the tests and benchmarks: all that the worker needs, and the tools of the checks.
test_environment() {
    local requirements=carbon_spatializer/requirements
    virtual_environment "$build/test-env" -- -r $requirements/deep.txt -r $requirements/base.txt -r tests/requirements.txt
}
