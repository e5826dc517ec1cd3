#!/usr/bin/env bash
# Checks the Python of this repository: ruff's lint and format on all of it, then pytest on training/.
#
#   npm run test:python             or training/check.sh
#   training/check.sh --install     only installs what training and its checks need
#
# Both use .venv-training/, a virtual environment that git ignores. It is made at the first run and used again; packages are
# installed anew when training/pyproject.toml names others. Where the machine's Python has torch, that one is used; else pip installs it.
# What cannot be had is skipped, and one line says so; what runs and fails fails the command.
#
#   PYTHON            interpreter to make the environment from (python3)
#   INSTALL_SECONDS   bound on installing torch and its companions (900)
set -euo pipefail
cd "$(dirname "$0")/.."

readonly venv=.venv-training config=training/pyproject.toml
readonly python="${PYTHON:-python3}" install_seconds="${INSTALL_SECONDS:-900}"
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_RETRIES="${PIP_RETRIES:-1}"

say() { printf 'Python checks: %s\n' "$*"; }

# The requirements of a dependency group, or of the project, one a line.
requirements() {
  "$python" - "$config" "$1" <<'END'
import sys, tomllib
path, group = sys.argv[1:]
settings = tomllib.load(open(path, "rb"))
print(*(settings["project"]["dependencies"] if group == "project" else settings["dependency-groups"][group]), sep="\n")
END
}

# Whether an interpreter imports everything that training needs.
has_training_packages() {
  "$1" -c 'import matplotlib, numpy, PIL, safetensors, tokenizers, torch, transformers' >/dev/null 2>&1
}

# pip_install SECONDS GROUP: installs a group, unless the environment has just these requirements already.
pip_install() {
  local seconds=$1 wanted installed="$venv/installed-$2.txt" log="$venv/pip.log" bounded=()
  wanted=$(requirements "$2")
  if [[ $wanted == "$(cat "$installed" 2>/dev/null)" ]]; then return; fi
  if command -v timeout >/dev/null; then bounded=(timeout "$seconds"); fi
  # shellcheck disable=SC2086 # one word for each requirement
  if "${bounded[@]}" "$venv/bin/python" -m pip install $wanted >"$log" 2>&1; then
    echo "$wanted" >"$installed"
  else
    grep -v Retrying "$log" | tail -n 5
    return 1
  fi
}

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
  say "all skipped, since $python is no Python of version 3.11 or later"
  exit 0
fi
if ! "$venv/bin/python" -c '' 2>/dev/null; then
  rm -rf "$venv"
  options=()
  if has_training_packages "$python"; then options=(--system-site-packages); fi
  if ! "$python" -m venv "${options[@]}" "$venv"; then
    rm -rf "$venv"
    say "all skipped, since $python cannot make a virtual environment (Debian has that in python3-venv)"
    exit 0
  fi
fi
if ! pip_install 300 check; then
  say 'all skipped, since pip cannot install ruff and pytest'
  exit 0
fi

if [[ ${1-} != --install ]]; then
  "$venv/bin/python" -m ruff check --config "$config" .
  "$venv/bin/python" -m ruff format --config "$config" --check .
fi

complete=true
if ! has_training_packages "$venv/bin/python"; then
  say "installing torch and its companions into $venv"
  if ! pip_install "$install_seconds" project || ! has_training_packages "$venv/bin/python"; then complete=false; fi
fi
if [[ ${1-} == --install ]]; then
  $complete && say "ready: $venv/bin/python" && exit 0
  say 'torch and its companions cannot be installed (reasons above)'
  exit 1
fi

"$venv/bin/python" -m pytest -q training/tests
if ! $complete; then
  say 'tests of models skipped, since Python has no torch and pip could not install it (reasons above)'
fi
