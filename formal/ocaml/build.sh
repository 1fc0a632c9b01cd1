#!/bin/sh
# Compile formal/build/pessimal-verified from the extracted checkers in formal/build and the readers here.
# Needs Debian's  ocaml-nox ocaml-findlib libzarith-ocaml-dev libsha-ocaml-dev.
set -eu
cd "$(dirname "$0")"
build=../build/ocaml
mkdir -p $build
cp ../build/checkers.ml ../build/checkers.mli ../extraction/big.ml ./*.ml $build/
cd $build
compile="ocamlfind ocamlopt -package zarith,sha -safe-string"
# Extracted code has unused names and other matters of style; the readers have to be free of warnings.
$compile -w -a -c big.ml checkers.mli checkers.ml
readers="json.ml container.ml weights.ml certificate.ml hints.ml cost.ml verdict.ml main.ml"
$compile -w +a-4-40-41-42-44-45-70 -warn-error +a -linkpkg big.cmx checkers.cmx $readers -o ../pessimal-verified
