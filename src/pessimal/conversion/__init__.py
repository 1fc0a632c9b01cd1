"""Files as people have them, to the safetensors files that the trusted reader reads. Not trusted, unless it is used.

Nothing here runs a pickle or imports torch; what is not understood is refused by name. Whoever checks a certificate
about a file that went through here believes, beside the kernel, that these are the tensors of that file; whoever does
not want to converts it once (`pessimal convert`) and looks at the result.

Contents:
    door.py — the one door: bytes or an object to a canonical safetensors file, and what was done.
    interface.py — tensors not read yet, what a user states, budgets, the error.
    first_bytes.py — what a file is by its first bytes, and the remedy.
    torch_archive.py, pickled.py — torch's zip archives; their pickles, by a table of opcodes.
    numpy_archive.py — NumPy's archives.
    safetensors_file.py — safetensors with dtypes and names that the trusted reader does not take; writing.
    python_objects.py — state dicts and models handed over in Python.
    archive.py — zip archives, bounded.
    checkpoint.py — the state dict in a tree; prefixes; what is no weight.
    names.py, layouts.py — names and orientations of the field.
    configuration.py — what a file's configuration states.
"""

from pessimal.conversion.door import Conversion, convert_bytes, convert_object
from pessimal.conversion.first_bytes import recognise
from pessimal.conversion.interface import ORIENTATIONS, ConversionError, Stated

__all__ = ["ORIENTATIONS", "Conversion", "ConversionError", "Stated", "convert_bytes", "convert_object", "recognise"]
