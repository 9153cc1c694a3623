"""WebAssembly's text format to its binary one, the only part of wasmtime that the compilers need.

What the text means to a person (its file name, its line numbers in a cell) is the business of ``compilers/wat.py``.
"""

from __future__ import annotations

from ...errors import InvalidInputError


def wat_to_wasm(text: str) -> bytes:
    """Assemble one module of WebAssembly text. Pure and thread-safe; loads wasmtime when first called.

    Parameters
    ----------
    text
        The module, ``(module …)`` or its fields alone.

    Returns
    -------
    bytes
        The binary module. It is well-formed, not necessarily valid: validation is part of registering it.

    Raises
    ------
    InvalidInputError
        The text is no WebAssembly; the message is wasmtime's own, with ``<anon>:LINE:COLUMN`` and the line in question.
    """
    import wasmtime  # 50 ms; only a person who writes text needs it

    try:
        return bytes(wasmtime.wat2wasm(text.encode("utf-8", "surrogatepass")))
    except wasmtime.WasmtimeError as error:
        raise InvalidInputError(str(error)) from None
