"""A comm that stands in for the front end of a widget: it keeps what is sent, and speaks as the front end does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import comm
import pytest
from comm.base_comm import BaseComm

SECONDS = 60.0


class Recorder(BaseComm):
    """The comm of one widget."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self.sent: list[dict[str, Any]] = []
        self._came = threading.Condition()
        super().__init__(*args, **options)

    def publish_msg(self, msg_type: str, data: Any = None, metadata: Any = None, buffers: Any = None, **_: Any) -> None:
        with self._came:
            self.sent.append({"type": msg_type, **(data or {}), "bytes": [bytes(each) for each in buffers or ()]})
            self._came.notify_all()

    def say(self, content: object) -> None:
        """Send a custom message as the front end would."""
        data = {"method": "custom", "content": content}
        self.handle_msg({"content": {"comm_id": self.comm_id, "data": data}, "buffers": []})

    @property
    def is_closed(self) -> bool:
        """Whether the kernel has closed it."""
        return "comm_close" in [each["type"] for each in self.sent]

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The custom messages that came, each with its ``bytes``."""
        return [
            {**each["content"], "bytes": each["bytes"]} for each in list(self.sent) if each.get("method") == "custom"
        ]

    def state(self, name: str) -> Any:
        """What the front end knows a trait to be."""
        states = [each["state"] for each in list(self.sent) if "state" in each]
        return [each[name] for each in states if name in each][-1]

    def wait(
        self, kind: str, count: int = 1, fits: Callable[[dict[str, Any]], bool] = lambda _: True
    ) -> dict[str, Any]:
        """Wait for the `count`-th message of a kind that fits, and give it."""

        def found() -> Sequence[dict[str, Any]]:
            return [each for each in self.messages if each["type"] == kind and fits(each)]

        with self._came:
            assert self._came.wait_for(lambda: len(found()) >= count, SECONDS), [each["type"] for each in self.messages]
        return found()[count - 1]


def record_comms(monkeypatch: pytest.MonkeyPatch, of: str) -> list[Recorder]:
    """Let widgets open recorders, and give those of widgets that have the trait `of`; layouts have comms as well."""
    opened: list[Recorder] = []

    def create(*args: Any, **options: Any) -> Recorder:
        recorder = Recorder(*args, **options)
        if of in recorder.sent[0]["state"]:
            opened.append(recorder)
        return recorder

    monkeypatch.setattr(comm, "create_comm", create)
    return opened
