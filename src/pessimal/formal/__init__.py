"""Certificates as theorems of the Coq development in `formal/`."""

from pessimal.formal.instance import FormalError, coq_instance

__all__ = ["FormalError", "coq_instance"]
