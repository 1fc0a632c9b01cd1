"""What a file is by its first bytes, and what to do with what is not read.

Contents:
    Recognised — what a file is, and the remedy.
    recognise — the first bytes to what they are, or None.
    SAFETENSORS, ZIP, CERTIFICATE — what is told apart further by others.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

SAVE_STATE = "torch.save(model.state_dict(), 'model.pt')"
RESAVE = "torch.save(torch.load(path, weights_only=True), 'model.pt')"


@dataclass(frozen=True)
class Recognised:
    """A kind of file.

    Attributes:
        name: with its article.
        remedy: what to do if weights were expected.
    """

    name: str
    remedy: str

    def sentence(self) -> str:
        """What to tell whoever took it for weights."""
        return f"it is {self.name}, not weights; {self.remedy}"


CERTIFICATE = Recognised("a certificate", "name the weights file here and the certificate where it belongs")
SAFETENSORS = Recognised("a safetensors file", "read as it is")
ZIP = Recognised("a zip archive", f"save the model with {SAVE_STATE}")


def _starts(*beginnings: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(beginnings)


def _is_safetensors(head: bytes) -> bool:
    return head[8:9] == b"{" and 2 <= int.from_bytes(head[:8], "little") < 1 << 40 and b"\0" in head[:8]


def _is_page(head: bytes) -> bool:
    return re.match(rb"(\xef\xbb\xbf)?\s*(<!doctype html|<html|<head|<\?xml|<!--)", head, re.IGNORECASE) is not None


def _is_json(head: bytes) -> bool:
    return re.match(rb'(\xef\xbb\xbf)?\s*(\{\s*["}]|\[\s*["\[{\d\]-])', head) is not None


def _is_onnx(head: bytes) -> bool:
    return (
        head[:1] == b"\x08"
        and head[2:3] == b"\x12"
        and re.match(rb"..\x12[\x01-\x20][ -~]", head, re.DOTALL) is not None
    )


def _is_text(head: bytes) -> bool:
    try:
        text = head[:-3].decode("utf-8", "strict") if len(head) > 3 else head.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return all(c.isprintable() or c in "\r\n\t\ufeff" for c in text)


def _packed(name: str, tool: str) -> Recognised:
    return Recognised(f"packed with {name}", f"unpack it first ({tool})")


# In order: what is asked first may also fit what is asked later.
KINDS: tuple[tuple[Callable[[bytes], bool], Recognised], ...] = (
    (lambda head: not head, Recognised("an empty file", "was it saved or downloaded to the end?")),
    (lambda head: b'"format":"pessimal-certificate/' in head[8:], CERTIFICATE),
    (_is_safetensors, SAFETENSORS),
    (_starts(b"PK\x03\x04", b"PK\x05\x06"), ZIP),
    (
        _starts(b"version https://git-lfs"),
        Recognised("a Git-LFS pointer", "fetch the file that it stands for with `git lfs pull`"),
    ),
    (_is_page, Recognised("an HTML page", "the download gave a page and not the file: take its raw or download link")),
    (_starts(b"\x1f\x8b"), _packed("gzip", "gunzip, or tar -xzf")),
    (_starts(b"BZh"), _packed("bzip2", "bunzip2")),
    (_starts(b"\xfd7zXZ"), _packed("xz", "unxz")),
    (_starts(b"\x28\xb5\x2f\xfd"), _packed("zstd", "unzstd")),
    (_starts(b"7z\xbc\xaf\x27\x1c"), _packed("7-Zip", "7z x")),
    (lambda head: head[257:262] == b"ustar", Recognised("a tar archive", "unpack it first (tar -xf)")),
    (
        _starts(b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."),
        Recognised("a PyTorch file in the format of before version 1.6", f"save it again: {RESAVE}"),
    ),
    (
        lambda head: head[:1] == b"\x80" and head[1:2] in {b"\x02", b"\x03", b"\x04", b"\x05"},
        Recognised("a Python pickle, which is never run here", f"save the state dict instead: {SAVE_STATE}"),
    ),
    (_starts(b"GGUF", b"ggml", b"tjgg"), Recognised("a GGUF file", f"save the model's own state dict: {SAVE_STATE}")),
    (
        _starts(b"\x89HDF\r\n\x1a\n"),
        Recognised("an HDF5 file", "save its arrays with numpy.savez under the names of TransformerLens"),
    ),
    (
        _starts(b"\x93NUMPY"),
        Recognised("a single NumPy array", "save all tensors with numpy.savez under the names of TransformerLens"),
    ),
    (_starts(b"%PDF"), Recognised("a PDF document", "name the weights file")),
    (_is_onnx, Recognised("an ONNX model", f"save the model's own state dict: {SAVE_STATE}")),
    (
        lambda head: _is_json(head) and b'"weight_map"' in head,
        Recognised("the index of a model in several files", "save the state dict as one safetensors file"),
    ),
    (_is_json, Recognised("a JSON file", "name the file that holds the tensors, not the one that describes them")),
    (_is_text, Recognised("a text file", "name the file that holds the tensors")),
)


def recognise(head: bytes) -> Recognised | None:
    """What a file is.

    Args:
        head: at least its first 300 bytes, if it has so many.
    """
    return next((kind for fits, kind in KINDS if fits(head)), None)
