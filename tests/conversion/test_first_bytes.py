"""What is no model is named by its first bytes, with the remedy."""

import gzip
import json
import pickle
import zipfile
from io import BytesIO

import numpy as np
import pytest

from pessimal.conversion import ConversionError, convert_bytes
from pessimal.spec import WeightsError, read_weights


def zipped(name):
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        file.writestr(name, "x")
    return out.getvalue()


def array():
    out = BytesIO()
    np.save(out, np.zeros(3))
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "name", "remedy"),
    [
        (b"", "an empty file", "saved or downloaded"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 3\n", "Git-LFS pointer", "git lfs pull"),
        (b"<!DOCTYPE html>\n<html><head><title>404</title></head></html>\n", "an HTML page", "download"),
        (b"\xef\xbb\xbf\n  <HTML>", "an HTML page", "download"),
        (gzip.compress(b"x", mtime=0), "gzip", "gunzip"),
        (b"BZh91AY", "bzip2", "bunzip2"),
        (b"\xfd7zXZ\0", "xz", "unxz"),
        (b"\x28\xb5\x2f\xfd", "zstd", "unzstd"),
        (b"\0" * 257 + b"ustar", "a tar archive", "tar -xf"),
        (pickle.dumps({"a": 1}, 2), "a Python pickle, which is never run", "state_dict()"),
        (pickle.dumps({"a": 1}, 5), "a Python pickle, which is never run", "state_dict()"),
        (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.", "before version 1.6", "torch.load"),
        (b"GGUF\3\0\0\0", "a GGUF file", "state_dict()"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file", "numpy.savez"),
        (array(), "a single NumPy array", "numpy.savez"),
        (b"\x08\x07\x12\x07pytorch", "an ONNX model", "state_dict()"),
        (json.dumps({"n_heads": 1}).encode(), "a JSON file", "holds the tensors"),
        (json.dumps({"weight_map": {}}).encode(), "the index of a model in several files", "one safetensors file"),
        (b"seed = 3\n", "a text file", "holds the tensors"),
        (zipped("word/document.xml"), "zip archive without tensors", "word/document.xml"),
        (b"PK\x05\x06" + bytes(18), "zip archive without tensors", "state_dict()"),
        (b'\x40\0\0\0\0\0\0\0{"arrays":{},"format":"pessimal-certificate/1"}', "a certificate", "weights file"),
    ],
)
def test_files_of_other_kinds_are_named_with_the_remedy(data, name, remedy):
    with pytest.raises(ConversionError) as caught:
        convert_bytes(data)
    assert name in str(caught.value)
    assert remedy in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_bytes_of_no_known_kind_are_left_to_the_trusted_reader():
    with pytest.raises(WeightsError, match="not a safetensors file"):
        read_weights(convert_bytes(bytes(range(128, 256)) * 3).data)
