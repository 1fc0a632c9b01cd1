#!/bin/sh
# Build the Coq development and the checker extracted from it, prove the claims of formal/instances.txt in Coq's kernel.
#   scripts/formal.sh VENV     VENV: has the package installed, for `pessimal formal export`
set -eu
cd "$(dirname "$0")/.."
bin=$(cd "$1" && pwd)/bin
packages="coq libcoq-bignums ocaml-nox ocaml-findlib libzarith-ocaml-dev libsha-ocaml-dev"

if ! { command -v coqc && [ -d "$(coqc -where)/user-contrib/Bignums" ] && ocamlfind query zarith sha; } >/dev/null 2>&1
then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -q >/dev/null && apt-get install -y -q --no-install-recommends $packages >/dev/null
  else
    echo "Coq or OCaml's libraries are missing: run  apt-get install --no-install-recommends $packages  as root, then try again" >&2
    exit 1
  fi
fi

"$bin/python" scripts/formal_sources.py

build=formal/build
mkdir -p $build
(cd formal && coq_makefile -f _CoqProject -o Makefile.coq >/dev/null && make -s -f Makefile.coq -j2)
(cd formal && coqc -Q theories Pessimal extraction/Extract.v && ocaml/build.sh)

# Two at a time: an instance takes a minute and half a gigabyte.
export bin build
xargs -P 2 -n 1 sh -euc '
  file=$("$bin/pessimal" formal export "certificates/$0.cert" --weights "weights/${0%%.*}.safetensors" --out "$build" 2>/dev/null)
  coqc -Q formal/theories Pessimal -Q "$build" Instances "$file" >/dev/null
  echo "proved $file"
' <formal/instances.txt
names=$(tr ".\n-" "_ _" <formal/instances.txt | sed "s/\([^ ][^ ]*\)/Bound_\1/g")

"$bin/python" scripts/formal_assumptions.py $names
# What coqchk reads again are the theorems: it has no virtual machine, so the counts of the instances are coqc's.
coqchk -silent -Q formal/theories Pessimal $(sed -n "s#^theories/\(.*\)\.v#Pessimal.\1#p" formal/_CoqProject)
echo "formal: theorems and instances proved, coqchk agrees, assumptions as listed"
