#!/bin/sh
# Compile formal/build/pessimal-verified from the extracted checker, formal/build/checker.ml, and the readers here.
# Needs Debian's  ocaml-nox ocaml-findlib libzarith-ocaml-dev libsha-ocaml-dev.
set -eu
cd "$(dirname "$0")"
build=../build/ocaml
mkdir -p $build
cp ../build/checker.ml ../build/checker.mli ./*.ml $build/
cd $build
compile="ocamlfind ocamlopt -package zarith,sha -safe-string"
# Extracted code has unused names and other matters of style; the readers have to be free of warnings.
$compile -w -a -c checker.mli checker.ml
readers="json.ml container.ml weights.ml certificate.ml hints.ml verdict.ml main.ml"
$compile -w +a-4-40-41-42-44-45-70 -warn-error +a -linkpkg checker.cmx $readers -o ../pessimal-verified
