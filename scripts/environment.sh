#!/bin/sh
# Create the virtual environment and install the package into it, editable.
#   scripts/environment.sh DIR [EXTRA]     EXTRA: test (adds the test tools and torch)
# Debian ships venv in a package of its own and forbids pip outside an environment; both are handled here.
set -eu
dir=$1
extra=${2:-}
python=${PYTHON:-python3}

stamp="$dir/.installed${extra:+-$extra}"
if [ -f "$stamp" ] && [ "$stamp" -nt pyproject.toml ] && [ "$stamp" -nt constraints.txt ]; then exit 0; fi

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "pessimal needs Python 3.11 or newer; set PYTHON to one" >&2; exit 1; }

if [ ! -x "$dir/bin/pip" ]; then
  rm -rf "$dir"
  if ! "$python" -m venv "$dir" >/dev/null 2>&1; then
    rm -rf "$dir"
    version=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
      apt-get update -q && apt-get install -y -q "$version"
      "$python" -m venv "$dir"
    else
      echo "the venv module is missing: run  apt-get install $version  as root, then try again" >&2; exit 1
    fi
  fi
fi

pip="$dir/bin/python -m pip --disable-pip-version-check -q"
if [ "$extra" = test ]; then
  # torch is asked for by exact version: see constraints.txt.
  $pip install -c constraints.txt "torch==$(sed -n 's/^torch==//p' constraints.txt)"
  $pip install -c constraints.txt -e '.[test]'
else
  $pip install -c constraints.txt -e .
fi
touch "$stamp"
