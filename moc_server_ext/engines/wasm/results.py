"""What a call gave, as a result, once its guest has ended well."""

from __future__ import annotations

import time

from ...guest_api.context import CallContext
from ...model import CallResult, Number


def finished(
    context: CallContext, *, result: Number | tuple[Number, ...] | None, exit_code: int | None, began_ns: int
) -> CallResult:
    """Close the output and make the result.

    Parameters
    ----------
    began_ns
        ``time.perf_counter_ns()`` when the call began.
    """
    output = context.output
    output.close()
    return CallResult(
        call_id=context.call_id,
        result=result,
        exit_code=exit_code,
        output=output.getvalue(),
        stderr=bytes(context.stderr),
        duration_us=(time.perf_counter_ns() - began_ns) // 1000,
        output_headers=output.headers,
        function=context.invocation.function,
    )
