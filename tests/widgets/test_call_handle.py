"""The widget of a started call: what it tells the front end, and what it does when the front end speaks."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import comm
import pytest

from comms import Recorder
from moc_server_ext.abc import CallStreams
from moc_server_ext.client.started import CallHandle
from moc_server_ext.errors import CancelledError, InvalidInputError
from moc_server_ext.model import CallRequest, CallResult, CallState
from moc_widgets.call_handle import CallHandleWidget
from moc_widgets.call_page import call_page

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
OWN = {"function", "state", "cancellable"}
DONE = CallResult("c7", 3, None, b"")


def seen(comm: Recorder) -> list[dict[str, Any]]:
    """Give what of the call itself the front end has been told, message by message."""
    states = [each.get("state", {}) for each in comm.sent]
    own = [{name: value for name, value in state.items() if name in OWN} for state in states]
    return [each for each in own if each]


class Endless:
    """A platform whose call goes on until it is cancelled or told how it ends."""

    def __init__(self) -> None:
        self.begun, self._end = threading.Event(), threading.Event()
        self._outcome: CallResult | Exception = CancelledError("spin")

    def call_sync(self, request: CallRequest, streams: CallStreams) -> CallResult:
        assert streams.begun is not None
        streams.begun("c7", self._end.set)
        self.begun.set()
        assert self._end.wait(60)
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome

    def end(self, outcome: CallResult | Exception) -> None:
        self._outcome = outcome
        self._end.set()


@pytest.fixture
def comms(monkeypatch: pytest.MonkeyPatch) -> list[Recorder]:
    opened: list[Recorder] = []

    def create(*args: Any, **options: Any) -> Recorder:
        recorder = Recorder(*args, **options)
        # The widget's own comes first; that of its layout, which says nothing, is the other one.
        opened.insert(0 if "function" in recorder.sent[0]["state"] else len(opened), recorder)
        return recorder

    monkeypatch.setattr(comm, "create_comm", create)
    return opened


@pytest.fixture
def platform() -> Iterator[Endless]:
    platform = Endless()
    yield platform
    platform.end(CancelledError("spin"))


def start(platform: Any, function: str = "spin") -> CallHandle:
    handle = CallHandle(platform, CallRequest(function=function))
    assert platform.begun.wait(60)
    return handle


def ended(handle: CallHandle) -> None:
    """Wait until all who asked for it have been told of the end: they are told in the order in which they asked."""
    told = threading.Event()
    handle.when_ended(lambda _: told.set())
    assert told.wait(60)


def test_a_running_call_is_opened_with_its_name_and_state_and_nothing_else_of_it(platform, comms):
    CallHandleWidget(start(platform))
    assert seen(comms[0]) == [{"function": "spin", "state": "running", "cancellable": True}]
    others = {name for name in comms[0].sent[0]["state"] if not name.startswith("_")}
    assert others - OWN <= {"layout", "tabbable", "tooltip"}


def test_the_cancel_message_cancels_the_call_and_every_view_follows(platform, comms):
    handle = start(platform)
    CallHandleWidget(handle)
    comms[0].say({"type": "cancel"})
    ended(handle)
    assert handle.state is CallState.CANCELLED
    assert seen(comms[0])[1:] == [{"cancellable": False}, {"state": "cancelled"}]
    assert not comms[0].is_closed


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (DONE, "done"),
        (InvalidInputError("no"), "failed"),
        (CancelledError("spin"), "cancelled"),
    ],
)
def test_the_end_of_the_call_is_told_however_it_came(platform, comms, outcome, state):
    handle = start(platform)
    CallHandleWidget(handle)
    platform.end(outcome)
    ended(handle)
    assert {"state": state} in seen(comms[0])
    assert {"cancellable": False} in seen(comms[0])


def test_a_widget_closes_when_it_is_seen_no_more_and_its_call_has_ended(platform, comms):
    handle = start(platform)
    CallHandleWidget(handle)
    comms[0].say({"type": "gone"})
    assert not comms[0].is_closed
    assert handle.state is CallState.RUNNING
    platform.end(DONE)
    ended(handle)
    assert not comms[0].is_closed
    comms[0].say({"type": "gone"})
    assert [each.is_closed for each in comms] == [True, True]


@pytest.mark.parametrize("content", [None, "cancel", [], {}, {"type": ["cancel"]}, {"type": "wait"}, {"cancel": 1}])
def test_a_message_that_means_nothing_does_nothing(platform, comms, content):
    handle = start(platform)
    CallHandleWidget(handle)
    comms[0].say(content)
    assert handle.state is CallState.RUNNING
    assert len(comms[0].sent) == 1


def test_a_front_end_without_widgets_gets_the_state_as_html_and_text(platform, comms):
    handle = start(platform)
    data, _ = CallHandleWidget(handle)._repr_mimebundle_()
    assert data[WIDGET_VIEW]["model_id"] == comms[0].comm_id
    assert data["text/plain"] == "<call of 'spin': running>"
    assert "running" in data["text/html"]
    assert "<code>spin</code>" in data["text/html"]
    platform.end(DONE)
    ended(handle)
    assert call_page(handle)["text/plain"] == "<call of 'spin': done>"
    assert ".cancel()" not in call_page(handle)["text/html"]


def test_a_hostile_name_is_inert_in_every_form(platform, comms):
    handle = start(platform, "<img src=x onerror=alert(1)>\u202e")
    data, _ = CallHandleWidget(handle)._repr_mimebundle_()
    assert "<img" not in data["text/html"]
    assert seen(comms[0])[0]["function"].endswith("\\u202e")


def test_the_script_and_the_style_come_with_the_package_and_load_nothing(platform, comms):
    CallHandleWidget(start(platform))
    state = comms[0].sent[0]["state"]
    assert "export default" in state["_esm"]
    assert "innerHTML" not in state["_esm"]
    assert ".moc-call-cancel" in state["_css"]
    assert not [
        word for word in ("http:", "https:", "import ", "@import", "url(") if word in state["_esm"] + state["_css"]
    ]
