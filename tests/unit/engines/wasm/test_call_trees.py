"""Calls made by guests: depth, errors, and limits that hold for the whole tree."""

from __future__ import annotations

import pytest

from moc_server_ext.errors import CancelledError, LimitExceededError
from moc_server_ext.model import Limits

CALLER = """(module
  (import "host" "call" (func $call (param i32 i32 i32) (result i32)))
  (memory (export "memory") %d) (data (i32.const 0) "callee")
  (func (export "run") (param i32) (result i32)
    (i32.add (i32.const 1000) (call $call (i32.const 0) (i32.const 6) (local.get 0)))))"""

DOUBLE = '(module (func (export "run") (param i32) (result i32) (i32.mul (local.get 0) (i32.const 2))))'
ENDLESS = '(module (func $again (export "run") (param i32) (result i32) (loop $l (br $l)) (unreachable)))'
BROKEN = '(module (func (export "run") (param i32) (result i32) (unreachable)))'
ITSELF = """(module
  (import "host" "call" (func $call (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1) (data (i32.const 0) "callee")
  (func (export "run") (param i32) (result i32)
    (if (result i32) (i32.eqz (local.get 0)) (then (i32.const 0))
      (else (i32.add (i32.const 1)
        (call $call (i32.const 0) (i32.const 6) (i32.sub (local.get 0) (i32.const 1))))))))"""
SIZE = """(module (memory (export "memory") 1) (func (export "run") (param i32) (result i32)
  (loop $again (br_if $again (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) (memory.size)))"""


def test_a_guest_calls_another_and_gets_its_number(bench, call_tree):
    context = call_tree(CALLER % 1, 21, functions={"callee": DOUBLE}, limits=Limits())
    assert bench.run_context(context).result == 1042


def test_calls_nest_up_to_the_depth_limit(bench, call_tree):
    limits = Limits(call_depth=16)
    context = call_tree(ITSELF, 15, functions={"callee": ITSELF}, limits=limits)
    assert bench.run_context(context).result == 15
    context = call_tree(ITSELF, 16, functions={"callee": ITSELF}, limits=limits)
    # The guest at depth 16 may not call: it fails, and the one at depth 15 learns so (-1) and goes on.
    assert bench.run_context(context).result == 14


def test_a_failing_callee_reaches_its_caller_who_goes_on(bench, call_tree):
    context = call_tree(CALLER % 1, 1, functions={"callee": BROKEN}, limits=Limits())
    result = bench.run_context(context)
    assert result.result == 999
    assert result.stderr.startswith(b"TrapError: Function 'callee' trapped")


def test_a_callee_that_cannot_begin_reaches_its_caller(bench, call_tree):
    context = call_tree(CALLER % 1, 1, functions={"callee": '(module (import "host" "such" (func)))'}, limits=Limits())
    assert bench.run_context(context).stderr.startswith(b"MissingImportError")


def test_the_time_of_a_callee_is_the_time_of_its_caller(bench, call_tree):
    context = call_tree(CALLER % 1, 1, functions={"callee": ENDLESS}, limits=Limits(timeout_seconds=0.05))
    with pytest.raises(LimitExceededError, match="'guest' reached its limit timeout_seconds"):
        bench.run_context(context)


def test_an_answer_that_comes_after_the_time_is_over_ends_the_call(bench, call_tree):
    context = call_tree(CALLER % 1, 1, functions={"callee": DOUBLE}, limits=Limits())
    context.cancel()
    with pytest.raises(CancelledError):
        bench.run_context(context)


def test_a_callee_gets_the_memory_that_its_caller_leaves(bench, call_tree):
    limits = Limits(memory_bytes=100 * 65536)
    context = call_tree(CALLER % 60, 1, functions={"callee": SIZE}, limits=limits)
    assert bench.run_context(context).result == 1040
