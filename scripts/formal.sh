#!/bin/sh
# Build the Coq development, check it, and prove the claims of formal/instances.txt in Coq's kernel.
#   scripts/formal.sh VENV     VENV: has the package installed, for `pessimal formal export`
set -eu
cd "$(dirname "$0")/.."
bin=$(cd "$1" && pwd)/bin
packages="coq libcoq-bignums"

if ! command -v coqc >/dev/null || [ ! -d "$(coqc -where)/user-contrib/Bignums" ]; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -q >/dev/null && apt-get install -y -q --no-install-recommends $packages >/dev/null
  else
    echo "Coq is missing: run  apt-get install --no-install-recommends $packages  as root, then try again" >&2
    exit 1
  fi
fi

if grep -nEw 'Admitted|admit|Axiom|Axioms|Parameter|Parameters|Conjecture' formal/theories/*.v; then
  echo "formal/theories leaves something unproved" >&2; exit 1
fi

build=formal/build
mkdir -p $build
(cd formal && coq_makefile -f _CoqProject -o Makefile.coq >/dev/null && make -s -f Makefile.coq -j2)

names=
while read -r stem; do
  weights=weights/${stem%%.*}.safetensors
  file=$("$bin/pessimal" formal export "certificates/$stem.cert" --weights "$weights" --out $build 2>/dev/null)
  echo "coqc $file"
  coqc -Q formal/theories Pessimal -Q $build Instances "$file" >"$file.assumptions"
  names="$names $(basename "$file" .v)"
done <formal/instances.txt

"$bin/python" scripts/formal_assumptions.py $names
# What coqchk reads again are the theorems: it has no virtual machine, so the counts of the instances are coqc's.
coqchk -silent -Q formal/theories Pessimal Pessimal.CheckPositionMinima Pessimal.CheckSums
echo "formal: theorems and instances proved, coqchk agrees, assumptions as listed"
